//! Laws that lengths and times are drawn by, as they are written: `512`, `256..768`, `ratio:512,0.2`,
//! `normal:512,128`, `lognormal:512,512,16,4096`, `exponential:2`, `file:PATH`. This file must not know
//! what is drawn, nor draw it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// One law.
#[derive(Clone, Debug, PartialEq)]
pub enum Law {
    Fixed(f64),
    /// Each value from `least` to `most` as likely.
    Uniform {
        least: f64,
        most: f64,
    },
    /// Uniform between `mean · (1 − ratio)` and `mean · (1 + ratio)`, as `--random-range-ratio` has it.
    Around {
        mean: f64,
        ratio: f64,
    },
    /// Mean and standard deviation of the values themselves; what lies beyond the bounds is drawn again.
    Normal {
        mean: f64,
        sd: f64,
        bounds: Option<(f64, f64)>,
    },
    Lognormal {
        mean: f64,
        sd: f64,
        bounds: Option<(f64, f64)>,
    },
    Exponential {
        mean: f64,
    },
    /// Those of a file, each as likely: numbers, or the lengths of a dataset.
    Of(PathBuf),
}

/// What can be written, for hints.
pub const FORMS: &str = "for example 512, 256..768, ratio:512,0.2, normal:512,128, lognormal:512,256,16,4096 \
                         (mean, standard deviation, and bounds if wanted), exponential:512 or file:PATH";

impl Law {
    /// The largest value that it can give, where it has one.
    pub fn most(&self) -> Option<f64> {
        match self {
            Law::Fixed(value) => Some(*value),
            Law::Uniform { most, .. } => Some(*most),
            Law::Around { mean, ratio } => Some(mean * (1.0 + ratio)),
            Law::Normal { bounds, .. } | Law::Lognormal { bounds, .. } => bounds.map(|(_, most)| most),
            Law::Exponential { .. } | Law::Of(_) => None,
        }
    }

    /// The mean before any value is drawn again; that of a file is not known here.
    pub fn mean(&self) -> Option<f64> {
        match self {
            Law::Fixed(mean)
            | Law::Around { mean, .. }
            | Law::Normal { mean, .. }
            | Law::Lognormal { mean, .. }
            | Law::Exponential { mean } => Some(*mean),
            Law::Uniform { least, most } => Some(f64::midpoint(*least, *most)),
            Law::Of(_) => None,
        }
    }
}

impl FromStr for Law {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let expected = |what: &str| format!("expected {what}, found `{}`", text.escape_debug());
        if let Ok(value) = text.parse::<f64>() {
            return if value.is_finite() && value >= 0.0 {
                Ok(Law::Fixed(value))
            } else {
                Err(expected("a number of 0 or more"))
            };
        }
        if let Some((least, most)) = text.split_once("..") {
            return match numbers(&[least, most])?.as_slice() {
                [least, most] if least <= most => Ok(Law::Uniform { least: *least, most: *most }),
                _ => Err(expected("LEAST..MOST, the smaller one first")),
            };
        }
        let (name, rest) = text.split_once(':').ok_or_else(|| expected("a length or a law of lengths"))?;
        if name == "file" {
            return if rest.is_empty() { Err(expected("file:PATH")) } else { Ok(Law::Of(rest.into())) };
        }
        let given = numbers(&rest.split(',').collect::<Vec<_>>())?;
        match (name, given.as_slice()) {
            ("fixed", [value]) => Ok(Law::Fixed(*value)),
            ("uniform", [least, most]) if least <= most => Ok(Law::Uniform { least: *least, most: *most }),
            ("ratio", [mean, ratio]) if *ratio < 1.0 => Ok(Law::Around { mean: *mean, ratio: *ratio }),
            ("normal", [mean, sd, bounds @ ..]) => {
                Ok(Law::Normal { mean: *mean, sd: *sd, bounds: bounded(*mean, bounds)? })
            }
            ("lognormal", [mean, sd, bounds @ ..]) if *mean > 0.0 => {
                Ok(Law::Lognormal { mean: *mean, sd: *sd, bounds: bounded(*mean, bounds)? })
            }
            ("exponential", [mean]) => Ok(Law::Exponential { mean: *mean }),
            ("ratio", [_, _]) => Err(expected("a ratio below 1")),
            ("fixed" | "uniform" | "ratio" | "normal" | "lognormal" | "exponential", _) => {
                Err(expected(&format!("other numbers after `{name}:`")))
            }
            _ => Err(expected("a law that is known")),
        }
    }
}

fn numbers(texts: &[&str]) -> Result<Vec<f64>, String> {
    let number = |text: &&str| match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!("expected a number of 0 or more, found `{}`", text.escape_debug())),
    };
    texts.iter().map(number).collect()
}

fn bounded(mean: f64, given: &[f64]) -> Result<Option<(f64, f64)>, String> {
    match given {
        [] => Ok(None),
        [least, most] if least <= &mean && &mean <= most => Ok(Some((*least, *most))),
        [_, _] => Err("expected bounds with the mean between them".to_owned()),
        _ => Err("expected two bounds, or none".to_owned()),
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread =
            |f: &mut fmt::Formatter<'_>, name: &str, mean: f64, sd: f64, bounds: Option<(f64, f64)>| {
                write!(f, "{name}:{mean},{sd}")?;
                bounds.map_or(Ok(()), |(least, most)| write!(f, ",{least},{most}"))
            };
        match self {
            Law::Fixed(value) => write!(f, "{value}"),
            Law::Uniform { least, most } => write!(f, "{least}..{most}"),
            Law::Around { mean, ratio } => write!(f, "ratio:{mean},{ratio}"),
            Law::Normal { mean, sd, bounds } => spread(f, "normal", *mean, *sd, *bounds),
            Law::Lognormal { mean, sd, bounds } => spread(f, "lognormal", *mean, *sd, *bounds),
            Law::Exponential { mean } => write!(f, "exponential:{mean}"),
            Law::Of(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Serialize for Law {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            // A whole number stays one.
            Law::Fixed(value) if value.fract() == 0.0 && *value < 1e15 => to.serialize_u64(*value as u64),
            Law::Fixed(value) => to.serialize_f64(*value),
            other => to.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Law {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Law;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a law such as `normal:512,128`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Law, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E>(self, value: u64) -> Result<Law, E> {
                Ok(Law::Fixed(value as f64))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Law, E> {
                self.visit_f64(value as f64)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Law, E> {
                if value.is_finite() && value >= 0.0 {
                    Ok(Law::Fixed(value))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(value), &self))
                }
            }
        }
        from.deserialize_any(Words)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_law_is_written_as_it_is_read() {
        for text in [
            "512",
            "0.5",
            "256..768",
            "ratio:512,0.2",
            "normal:512,128",
            "normal:512,128,1,2048",
            "lognormal:512,512,16,4096",
            "exponential:2",
            "file:lengths.txt",
        ] {
            let law: Law = text.parse().unwrap();
            assert_eq!(law.to_string(), text);
            let json = serde_json::to_string(&law).unwrap();
            assert_eq!(serde_json::from_str::<Law>(&json).unwrap(), law, "{json}");
        }
        assert_eq!("uniform:3,5".parse::<Law>().unwrap(), "3..5".parse().unwrap());
        assert_eq!(serde_json::to_string(&Law::Fixed(1024.0)).unwrap(), "1024");
    }

    #[test]
    fn what_is_no_law_is_refused_with_what_was_expected() {
        let refused: Vec<String> = [
            "",
            "-3",
            "inf",
            "9..3",
            "normal:5",
            "normal:5,1,6,9",
            "ratio:5,1",
            "gauss:5,1",
            "lognormal:0,1",
            "file:",
            "normal:a,b",
        ]
        .iter()
        .map(|text| text.parse::<Law>().unwrap_err())
        .collect();
        insta::assert_snapshot!(refused.join("\n"), @r"
        expected a length or a law of lengths, found ``
        expected a number of 0 or more, found `-3`
        expected a number of 0 or more, found `inf`
        expected LEAST..MOST, the smaller one first, found `9..3`
        expected other numbers after `normal:`, found `normal:5`
        expected bounds with the mean between them
        expected a ratio below 1, found `ratio:5,1`
        expected a law that is known, found `gauss:5,1`
        expected other numbers after `lognormal:`, found `lognormal:0,1`
        expected file:PATH, found `file:`
        expected a number of 0 or more, found `a`
        ");
    }

    proptest! {
        #[test]
        fn any_text_is_a_law_or_refused(text in "\\PC{0,20}|(normal|ratio|uniform|file|[0-9.]{1,3}):?[0-9.,-]{0,9}") {
            if let Ok(law) = text.parse::<Law>() {
                prop_assert_eq!(law.to_string().parse::<Law>(), Ok(law));
            }
        }
    }
}
