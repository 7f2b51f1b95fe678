//! The only place that turns a number into text with a unit. Milliseconds appear here, where people
//! read; files keep seconds. This file must not know what a number means.

use crate::metric::Unit;

/// `0.1234` → `123.4 ms`, chosen by size: µs below 1 ms, s from 10 s up.
pub fn seconds(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        "–".to_owned()
    } else if magnitude >= 10.0 {
        format!("{value:.2} s")
    } else if magnitude >= 1e-3 || magnitude == 0.0 {
        format!("{} ms", significant(value * 1e3))
    } else {
        format!("{} µs", significant(value * 1e6))
    }
}

/// `5.000123 s`: to the microsecond whatever its size, for differences of clocks.
pub fn microsecond_fine(value_s: f64) -> String {
    if value_s.is_finite() { format!("{value_s:.6} s") } else { "–".to_owned() }
}

/// Milliseconds without the unit, for table columns headed `ms`.
pub fn milliseconds(value_s: f64) -> String {
    if value_s.is_finite() { significant(value_s * 1e3) } else { "–".to_owned() }
}

/// `1234.5` → `1,235 tok/s`.
pub fn tokens_per_second(value: f64) -> String {
    if value.is_finite() { format!("{} tok/s", significant(value)) } else { "–".to_owned() }
}

/// `0.0123` → `1.23 %`.
pub fn percent(share: f64) -> String {
    if share.is_finite() {
        let value = share * 100.0;
        if value != 0.0 && value.abs() < 0.000_5 {
            return format!("{value:.1e} %");
        }
        if value != 0.0 && value.abs() < 0.01 {
            return format!("{} %", significant(value));
        }
        // Near nothing and all the second decimal matters.
        let decimals = if value.abs() < 10.0 || (99.0..101.0).contains(&value.abs()) { 2 } else { 1 };
        format!("{value:.decimals$} %")
    } else {
        "–".to_owned()
    }
}

/// Bytes in units of 2^20: `12.34 MiB`.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", significant(bytes as f64 / f64::from(1 << 20)))
}

/// A value in the unit of its metric.
pub fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => seconds(value),
        Unit::TokensPerSecond => tokens_per_second(value),
    }
}

/// One unit for all the numbers of an axis or a figure, chosen by the largest of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// `s`, `ms`, `µs` or `tok/s`.
    pub name: &'static str,
    /// Multiplies a value of a file to give the number shown.
    pub factor: f64,
}

impl Scale {
    /// The scale for values up to `largest`: seconds from 2 s up, milliseconds from 1 ms up.
    pub fn of(unit: Unit, largest: f64) -> Self {
        match unit {
            Unit::TokensPerSecond => Self { name: "tok/s", factor: 1.0 },
            Unit::Seconds if largest >= 2.0 => Self { name: "s", factor: 1.0 },
            Unit::Seconds if largest >= 1e-3 => Self { name: "ms", factor: 1e3 },
            Unit::Seconds => Self { name: "µs", factor: 1e6 },
        }
    }

    /// A value of a file with the scale's unit: `312.4 ms`.
    pub fn show(self, value: f64) -> String {
        if value.is_finite() { format!("{} {}", self.number(value), self.name) } else { "–".to_owned() }
    }

    /// A value of a file without the unit, for places headed by it.
    pub fn number(self, value: f64) -> String {
        if value.is_finite() { significant(value * self.factor) } else { "–".to_owned() }
    }

    /// A number on an axis, already in the scale's unit: so many decimals, thousands separated; `8e-5` where most of the
    /// decimals would be zeros, for which there is no room.
    pub fn tick(value: f64, decimals: usize) -> String {
        if decimals > 4 && value.abs() < 1e-3 {
            // Where its first digit is; what has none is 0.
            let last = i32::try_from(decimals).unwrap_or(i32::MAX);
            let first = (1..=last).find(|place| value.abs() * 10f64.powi(*place) > 1.0 - 1e-6);
            let Some(first) = first else { return "0".to_owned() };
            format!("{value:.digits$e}", digits = (last - first) as usize)
        } else if decimals == 0 && value.abs() >= 1000.0 {
            significant(value)
        } else {
            format!("{value:.decimals$}")
        }
    }
}

/// A round length of time, as it is meant: `0.2` → `200 ms`, `2` → `2 s`.
pub fn stretch(s: f64) -> String {
    if s >= 1.0 {
        format!("{} s", (s * 1e6).round() / 1e6)
    } else {
        format!("{} ms", (s * 1e6).round() / 1e3)
    }
}

/// `1234567` → `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A number that has no unit, or whose unit stands elsewhere.
pub fn number(value: f64) -> String {
    if value.is_finite() { significant(value) } else { "–".to_owned() }
}

/// Enough decimals for about four significant digits, thousands separated.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1000.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("{sign}{}", count(magnitude.round() as u64))
    } else if magnitude >= 100.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else if magnitude < 0.000_5 {
        // Nothing is below zero by nothing.
        "0.000".to_owned()
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_shown_in_the_unit_people_expect() {
        let shown: Vec<String> =
            [0.0, 0.000_012_3, 0.001_5, 0.334, 1.234, 12.5, -0.02, -1e-13].map(seconds).to_vec();
        assert_eq!(
            shown,
            ["0.000 ms", "12.30 µs", "1.50 ms", "334.0 ms", "1,234 ms", "12.50 s", "-20.00 ms", "0.000 µs"]
        );
    }

    #[test]
    fn differences_of_clocks_keep_their_microseconds() {
        assert_eq!(
            [5.000_123_4, -0.000_05, f64::NAN].map(microsecond_fine),
            ["5.000123 s", "-0.000050 s", "–"]
        );
    }

    #[test]
    fn a_share_is_shown_in_a_hundred() {
        assert_eq!(
            [0.0, 0.0123, 0.5, 0.9996, 1.0, 1.6113].map(percent),
            ["0.00 %", "1.23 %", "50.0 %", "99.96 %", "100.00 %", "161.1 %"]
        );
        assert_eq!([8e-7, 6e-6].map(percent), ["8.0e-5 %", "0.001 %"]);
        assert_eq!(percent(f64::NAN), "–");
    }

    #[test]
    fn a_scale_fits_the_largest_value() {
        let shown = [4e-4, 0.3, 1.9, 12.0].map(|largest| Scale::of(Unit::Seconds, largest).show(3e-4));
        assert_eq!(shown, ["300.0 µs", "0.300 ms", "0.300 ms", "0.000 s"]);
        assert_eq!(Scale::of(Unit::TokensPerSecond, 5.0).show(1234.5), "1,235 tok/s");
        assert_eq!([Scale::tick(1500.0, 0), Scale::tick(0.25, 2)], ["1,500", "0.25"]);
    }

    #[test]
    fn a_tick_without_room_for_its_zeros_is_short() {
        let by_steps =
            |step: f64, decimals| [0.0, 1.0, 3.0, 4.0, 5.0].map(|n| Scale::tick(n * step, decimals));
        assert_eq!(by_steps(2e-5, 5), ["0", "2e-5", "6e-5", "8e-5", "1.0e-4"]);
        assert_eq!(by_steps(2.5e-6, 7), ["0", "2.5e-6", "7.5e-6", "1.00e-5", "1.25e-5"]);
        assert_eq!(
            [Scale::tick(-4e-5, 5), Scale::tick(4e-4, 4), Scale::tick(1.000_01, 5)],
            ["-4e-5", "0.0004", "1.00001"]
        );
    }

    #[test]
    fn shares_and_sizes_have_their_units() {
        assert_eq!([0.98765, -0.000_012].map(percent), ["98.8 %", "-0.001 %"]);
        assert_eq!([0, 3 << 19, 2_000 << 20].map(mebibytes), ["0.000 MiB", "1.50 MiB", "2,000 MiB"]);
    }

    #[test]
    fn counts_have_thousands_separators() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
