//! Which requests a report is made from, as a person says it: all of them, those that started in the
//! steady state, or those that started between two moments. This file must not know the requests.

use std::fmt;
use std::str::FromStr;

/// Which requests a report is made from. Seconds are since the run's first start; a request belongs
/// to a window if it started in it, its begin included and its end not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Selection {
    #[default]
    All,
    Steady,
    Between {
        begin_s: f64,
        /// Infinite: to the end.
        end_s: f64,
    },
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected all, steady, or A..B in seconds since the first start, such as 10..60, found `{text}`"
            )
        };
        let (begin, end) = match text {
            "all" => return Ok(Self::All),
            "steady" => return Ok(Self::Steady),
            other => other.split_once("..").ok_or_else(expected)?,
        };
        let seconds = |part: &str, open: f64| match part.trim() {
            "" => Some(open),
            part => part.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0),
        };
        match (seconds(begin, 0.0), seconds(end, f64::INFINITY)) {
            (Some(begin_s), Some(end_s)) if begin_s < end_s => Ok(Self::Between { begin_s, end_s }),
            (Some(_), Some(_)) => Err(format!("`{text}` ends before it begins")),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Steady => f.write_str("steady"),
            Self::Between { begin_s, end_s } if end_s.is_finite() => write!(f, "{begin_s}..{end_s}"),
            Self::Between { begin_s, .. } => write!(f, "{begin_s}.."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_read_as_it_is_said() {
        let between = |begin_s, end_s| Ok(Selection::Between { begin_s, end_s });
        assert_eq!("all".parse(), Ok(Selection::All));
        assert_eq!("steady".parse(), Ok(Selection::Steady));
        assert_eq!("10..60.5".parse(), between(10.0, 60.5));
        assert_eq!("10..".parse(), between(10.0, f64::INFINITY));
        assert_eq!("..60".parse(), between(0.0, 60.0));
        for text in ["all", "steady", "10..60.5", "10.."] {
            assert_eq!(text.parse::<Selection>().map(|s| s.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_selection_is_said() {
        let said = |text: &str| text.parse::<Selection>().err().unwrap_or_default();
        assert_eq!(
            said("10-60"),
            "expected all, steady, or A..B in seconds since the first start, such as 10..60, found `10-60`"
        );
        assert_eq!(said("60..10"), "`60..10` ends before it begins");
        for text in ["", "-1..2", "a..b", "nan..2", "1..inf", "Steady"] {
            assert!(said(text).starts_with("expected all, steady, or A..B"), "{text}");
        }
    }
}
