//! Numbers and literals as Python writes them, since vLLM's log and metrics page are written by it:
//! a consumer that only ever met Rust's formatting would break on the real thing.
//! This file must not know what a number means.

use std::fmt::Write as _;

/// `repr(float)`: the shortest digits that read back the same, an exponent below 1e-4 and from 1e16.
pub fn repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// A sample value as the Python client of Prometheus writes it: `repr`, but with an exponent from 1e6.
pub fn sample(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let text = repr(value);
    match text.split_once('.') {
        Some((whole, fraction)) if value > 0.0 && whole.len() > 6 => {
            let mut digits = whole.chars();
            let lead = digits.next().unwrap_or('0');
            let mantissa = format!("{lead}.{}{fraction}", digits.as_str());
            // The client strips zeros and dots together and always writes `e+0`.
            format!("{}e+0{}", mantissa.trim_end_matches(['0', '.']), whole.len() - 1)
        }
        _ => text,
    }
}

/// `True` or `False`.
pub fn boolean(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// A value or `None`.
pub fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "None".to_owned(), |v| v.to_string())
}

/// `repr(str)`: in single quotes, or in double ones when that saves escapes.
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            c if c == '\\' || c == quote => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_python_writes_them() {
        let written: Vec<String> =
            [0.0, 1.0, 0.8, 1e-5, 3.826_100_009_973_743e-5, 0.0001, 1e15, 1e16, -2.5, 123_456.75]
                .map(repr)
                .to_vec();
        let expected = [
            "0.0",
            "1.0",
            "0.8",
            "1e-05",
            "3.826100009973743e-05",
            "0.0001",
            "1000000000000000.0",
            "1e+16",
            "-2.5",
            "123456.75",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn samples_switch_to_exponents_at_a_million() {
        let written: Vec<String> = [
            0.0,
            999_999.0,
            1_000_000.0,
            1_795_533_077.964_902,
            4_686_381_056.0,
            0.000_159_546_000_304_544_58,
            f64::INFINITY,
            1_048_576.5,
        ]
        .map(sample)
        .to_vec();
        let expected = [
            "0.0",
            "999999.0",
            "1e+06",
            "1.795533077964902e+09",
            "4.686381056e+09",
            "0.00015954600030454458",
            "+Inf",
            "1.0485765e+06",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn strings_are_quoted_and_escaped() {
        assert_eq!(quoted("plain\n\\"), "'plain\\n\\\\'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("it's \"so\""), "'it\\'s \"so\"'");
        assert_eq!(optional(Some(3)), "3");
        assert_eq!(optional::<u32>(None), "None");
        assert_eq!(boolean(true), "True");
    }
}
