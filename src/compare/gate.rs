//! The grammar of gates: `<figure> <op> <threshold>`, such as `p99_ttft_ms > +5%`. A gate says when a run
//! *fails*. This file must not know which figures there are, nor how one is tested.
//!
//! ```text
//! gate      = figure op threshold
//! figure    = a word of letters, digits, `_` and `.`, as the result files name it
//! op        = ">" | ">=" | "<" | "<="
//! threshold = [sign] number [unit]
//! sign      = "+" | "-"           with a sign: against the baseline; without: the value itself
//! unit      = "%" | "us" | "ms" | "s" | "tok/s" | "req/s"
//! ```
//!
//! `+5%` is the baseline and 5 % of it more, `-5%` less; `+10ms` is the baseline and 10 ms. A number without
//! a unit is in the figure's own.

use std::fmt;

use thiserror::Error;

/// A gate, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    pub figure: String,
    pub op: Op,
    pub threshold: Threshold,
}

/// How a figure is held against its threshold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Op {
    Over,
    AtLeast,
    Under,
    AtMost,
}

/// What a figure must not reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// As written, with its sign.
    pub number: f64,
    /// Against the baseline: it was written with a sign.
    pub relative: bool,
    pub unit: Option<Unit>,
}

/// The unit of a threshold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Percent,
    Microseconds,
    Milliseconds,
    Seconds,
    TokensPerSecond,
    RequestsPerSecond,
}

/// Longest spelling first, where one begins with another.
const UNITS: [(&str, Unit); 9] = [
    ("tok/s", Unit::TokensPerSecond),
    ("tps", Unit::TokensPerSecond),
    ("req/s", Unit::RequestsPerSecond),
    ("rps", Unit::RequestsPerSecond),
    ("%", Unit::Percent),
    ("us", Unit::Microseconds),
    ("µs", Unit::Microseconds),
    ("ms", Unit::Milliseconds),
    ("s", Unit::Seconds),
];
const OPS: [(&str, Op); 4] = [(">=", Op::AtLeast), ("<=", Op::AtMost), (">", Op::Over), ("<", Op::Under)];

/// What is wrong with a gate, and where.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum GateError {
    #[error("expected the name of a figure at the begin, found {0}")]
    Figure(String),
    #[error("expected `>`, `>=`, `<` or `<=` after `{after}`, found {found}")]
    Op { after: String, found: String },
    #[error("expected a number after `{after}`, found {found}")]
    Number { after: &'static str, found: String },
    #[error("expected the unit %, us, ms, s, tok/s or req/s after the number, found `{0}`")]
    Unit(String),
}

impl Gate {
    /// Reads a gate.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        let text = text.trim();
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        let (figure, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
        if !figure.starts_with(|c: char| c.is_alphabetic()) {
            return Err(GateError::Figure(found(text)));
        }
        let rest = rest.trim_start();
        let named = OPS.iter().find_map(|(sign, op)| Some((*sign, *op, rest.strip_prefix(sign)?)));
        let Some((sign, op, rest)) = named else {
            return Err(GateError::Op { after: figure.to_owned(), found: found(rest) });
        };
        let threshold = Threshold::parse(rest.trim_start(), sign)?;
        Ok(Self { figure: figure.to_owned(), op, threshold })
    }
}

impl Threshold {
    fn parse(text: &str, after: &'static str) -> Result<Self, GateError> {
        let relative = text.starts_with(['+', '-']);
        let unsigned = text.get(usize::from(relative)..).unwrap_or_default();
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let (digits, unit) = unsigned.split_at(unsigned.find(|c| !is_digit(c)).unwrap_or(unsigned.len()));
        let number: f64 = match digits.parse() {
            Ok(number) if f64::is_finite(number) => number,
            _ => return Err(GateError::Number { after, found: found(text) }),
        };
        let unit = unit.trim();
        let unit = match UNITS.iter().find(|(name, _)| *name == unit) {
            _ if unit.is_empty() => None,
            Some((_, unit)) => Some(*unit),
            None => return Err(GateError::Unit(unit.to_owned())),
        };
        let number = if text.starts_with('-') { -number } else { number };
        Ok(Self { number, relative, unit })
    }
}

fn found(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") }
}

impl Op {
    /// Whether it asks for values above the threshold.
    pub fn is_upwards(self) -> bool {
        matches!(self, Op::Over | Op::AtLeast)
    }

    /// Whether a value is on the failing side.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Op::Over => value > threshold,
            Op::AtLeast => value >= threshold,
            Op::Under => value < threshold,
            Op::AtMost => value <= threshold,
        }
    }
}

impl Unit {
    /// The word that is written.
    pub fn as_str(self) -> &'static str {
        UNITS.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| *name)
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = OPS.iter().find(|(_, op)| *op == self.op).map_or("", |(sign, _)| *sign);
        let Threshold { number, relative, unit } = self.threshold;
        let sign = match (relative, number.is_sign_negative()) {
            (true, false) => "+",
            (true, true) => "-",
            (false, _) => "",
        };
        write!(f, "{} {op} {sign}{}{}", self.figure, number.abs(), unit.map_or("", Unit::as_str))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn threshold(number: f64, relative: bool, unit: Option<Unit>) -> Threshold {
        Threshold { number, relative, unit }
    }

    #[test]
    fn gates_are_read_as_they_are_meant() {
        for (text, figure, op, expected) in [
            ("p99_ttft_ms > +5%", "p99_ttft_ms", Op::Over, threshold(5.0, true, Some(Unit::Percent))),
            (
                "mean_itl_ms>=+10ms",
                "mean_itl_ms",
                Op::AtLeast,
                threshold(10.0, true, Some(Unit::Milliseconds)),
            ),
            (
                "request_throughput < -2.5 %",
                "request_throughput",
                Op::Under,
                threshold(-2.5, true, Some(Unit::Percent)),
            ),
            (" goodput<=3 ", "goodput", Op::AtMost, threshold(3.0, false, None)),
            ("p99.9_e2el_ms > 1.5s", "p99.9_e2el_ms", Op::Over, threshold(1.5, false, Some(Unit::Seconds))),
            (
                "output_throughput < 900 tok/s",
                "output_throughput",
                Op::Under,
                threshold(900.0, false, Some(Unit::TokensPerSecond)),
            ),
        ] {
            assert_eq!(
                Gate::parse(text).unwrap(),
                Gate { figure: figure.to_owned(), op, threshold: expected },
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = |text: &str| Gate::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(["", "> 5", "p99_ttft_ms", "p99_ttft_ms = 5", "p99_ttft_ms > fast", "p99_ttft_ms > +", "p99_ttft_ms > 1.2.3", "p99_ttft_ms > 5 minutes"].map(said).join("\n"), @r"
        expected the name of a figure at the begin, found nothing
        expected the name of a figure at the begin, found `> 5`
        expected `>`, `>=`, `<` or `<=` after `p99_ttft_ms`, found nothing
        expected `>`, `>=`, `<` or `<=` after `p99_ttft_ms`, found `= 5`
        expected a number after `>`, found `fast`
        expected a number after `>`, found `+`
        expected a number after `>`, found `1.2.3`
        expected the unit %, us, ms, s, tok/s or req/s after the number, found `minutes`
        ");
    }

    fn any_gate() -> impl Strategy<Value = Gate> {
        let op = prop::sample::select(OPS.map(|(_, op)| op).to_vec());
        let unit = prop::option::of(prop::sample::select(UNITS.map(|(_, unit)| unit).to_vec()));
        ("[a-z][a-z0-9_]{0,12}", op, 0.0..1e9_f64, any::<bool>(), any::<bool>(), unit).prop_map(
            |(figure, op, number, relative, down, unit)| {
                let number = if relative && down { -number } else { number };
                Gate { figure, op, threshold: Threshold { number, relative, unit } }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(gate in any_gate()) {
            prop_assert_eq!(Gate::parse(&gate.to_string()), Ok(gate));
        }

        #[test]
        fn spaces_mean_nothing(gate in any_gate()) {
            let dense: String = gate.to_string().split_whitespace().collect();
            prop_assert_eq!(Gate::parse(&dense), Ok(gate));
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,40}") {
            let _ = Gate::parse(&text);
        }

        #[test]
        fn an_op_and_its_opposite_never_both_hold(value in -1e3..1e3_f64, threshold in -1e3..1e3_f64) {
            prop_assert_ne!(Op::Over.holds(value, threshold), Op::AtMost.holds(value, threshold));
            prop_assert_ne!(Op::Under.holds(value, threshold), Op::AtLeast.holds(value, threshold));
        }
    }
}
