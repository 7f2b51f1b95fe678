//! Levels as they are written: `1,2,4,8`, `1..64x2` (times two), `1..10+1` (plus one). This file must not know what a level
//! is of.

/// More levels than these are a mistake.
const MOST: usize = 200;

/// The levels of a list, whose parts may be ranges, in the order in which they are written; none twice.
///
/// The error says what was expected and what was found.
pub fn parse(text: &str) -> Result<Vec<f64>, String> {
    let mut levels: Vec<f64> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let of_part = match part.split_once("..") {
            Some((from, rest)) => range(part, from, rest)?,
            None => vec![number(part)?],
        };
        for level in of_part {
            if !levels.contains(&level) {
                levels.push(level);
            }
        }
    }
    if levels.len() > MOST { Err(too_many(text)) } else { Ok(levels) }
}

fn number(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(level) if level.is_finite() && level > 0.0 => Ok(level),
        _ if text.trim().is_empty() => Err("expected a number, found nothing".to_owned()),
        _ => Err(format!("expected a number above 0, found `{text}`")),
    }
}

fn range(part: &str, from: &str, rest: &str) -> Result<Vec<f64>, String> {
    let Some((at, sign)) = rest.char_indices().find(|(_, c)| matches!(c, 'x' | '+')) else {
        return Err(format!("expected a step (`{part}x2` or `{part}+1`), found `{part}`"));
    };
    let (to, step) = rest.split_at(at);
    let (from, to, step) = (number(from)?, number(to)?, number(step.get(1..).unwrap_or_default())?);
    if to < from {
        return Err(format!("expected the lower end first, found `{part}`"));
    }
    if sign == 'x' && step <= 1.0 {
        return Err(format!("expected a factor above 1, found `{part}`"));
    }
    let mut levels = Vec::new();
    for i in 0..=MOST {
        // Not summed up: rounding errors would add up, too.
        let level = if sign == 'x' { from * step.powf(i as f64) } else { from + step * i as f64 };
        if level > to * (1.0 + 1e-9) {
            return Ok(levels);
        }
        levels.push(rounded(level));
    }
    Err(too_many(part))
}

fn too_many(text: &str) -> String {
    format!("expected at most {MOST} levels, found more in `{text}`")
}

/// To twelve digits: 0.1 + 2 · 0.1 is 0.3.
fn rounded(level: f64) -> f64 {
    format!("{level:.12e}").parse().unwrap_or(level)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_and_ranges_are_read_in_their_order() {
        assert_eq!(parse("8, 1,2.5").unwrap(), [8.0, 1.0, 2.5]);
        assert_eq!(parse("1..64x2").unwrap(), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]);
        assert_eq!(parse("0.1..0.5+0.1").unwrap(), [0.1, 0.2, 0.3, 0.4, 0.5]);
        assert_eq!(parse("1..3+1,2..4x2,10").unwrap(), [1.0, 2.0, 3.0, 4.0, 10.0]);
        assert_eq!(parse("5..5x2").unwrap(), [5.0]);
    }

    #[test]
    fn what_is_no_list_is_said() {
        let error = |text: &str| parse(text).unwrap_err();
        insta::assert_snapshot!(
            ["", "1,,2", "1,two", "-1", "0", "inf", "1..8", "8..1x2", "1..8x1", "1..1000+1"].map(error).join("\n"),
            @r"
        expected a number, found nothing
        expected a number, found nothing
        expected a number above 0, found `two`
        expected a number above 0, found `-1`
        expected a number above 0, found `0`
        expected a number above 0, found `inf`
        expected a step (`1..8x2` or `1..8+1`), found `1..8`
        expected the lower end first, found `8..1x2`
        expected a factor above 1, found `1..8x1`
        expected at most 200 levels, found more in `1..1000+1`
        "
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.,x+e -]{0,20}") {
            if let Ok(levels) = parse(&text) {
                prop_assert!(!levels.is_empty() && levels.iter().all(|l| l.is_finite() && *l > 0.0));
            }
        }
    }
}
