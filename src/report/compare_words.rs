//! A comparison in words: figures with their intervals, verdicts, gates. This file must not know tables.

use crate::metric::Unit;
use crate::record::comparison::{Against, Figure, GateFound, GateOutcome, TestedBy, Told};
use crate::record::measure::{Key, Measure, Quantity, Stat};
use crate::stats::Estimate;
use crate::units::{self, Scale};

/// From this many times on a ratio is said as such, and not in percent.
const TIMES: f64 = 2.0;

/// `TTFT, p99`.
pub(super) fn title(key: Key) -> String {
    let name = key.measure.about().title;
    match key.stat {
        Stat::Mean => format!("{name}, mean"),
        Stat::Percentile(p) => format!("{name}, p{p}"),
        Stat::Whole => name.to_owned(),
    }
}

/// `312.4 ms [300.1, 325.0]`; of what the data do not bound, the bound that is known, or none.
pub(super) fn show(e: &Estimate, quantity: Quantity) -> String {
    let (value, bounds) = parts(e, quantity);
    value + &bounds
}

/// The value with its unit, and its bounds in the same.
fn parts(e: &Estimate, quantity: Quantity) -> (String, String) {
    let unit = Unified::of(std::slice::from_ref(e), quantity);
    let value = format!("{} {}", units::number(e.value * unit.factor), unit.name);
    (value.trim_end().to_owned(), bounds(e.lo * unit.factor, e.hi * unit.factor))
}

/// One unit for all estimates of a row, which its head then names once.
pub(super) struct Unified {
    /// `ms`, or nothing for plain numbers.
    pub(super) name: &'static str,
    factor: f64,
}

impl Unified {
    /// By the smallest of them: in a larger one's unit it would lose its digits.
    pub(super) fn of(estimates: &[Estimate], quantity: Quantity) -> Self {
        let (factor, name) = match quantity {
            Quantity::Seconds => {
                let sizes = estimates.iter().map(|e| {
                    [e.value, e.lo, e.hi]
                        .into_iter()
                        .filter(|v| v.is_finite())
                        .map(f64::abs)
                        .fold(0.0, f64::max)
                });
                let scale =
                    Scale::of(Unit::Seconds, sizes.filter(|s| *s > 0.0).reduce(f64::min).unwrap_or(0.0));
                (scale.factor, scale.name)
            }
            Quantity::TokensPerSecond => (1.0, "tok/s"),
            Quantity::RequestsPerSecond => (1.0, "req/s"),
            Quantity::Percent => (1.0, "%"),
            Quantity::Tokens => (1.0, ""),
        };
        Self { name, factor }
    }

    /// `TTFT, mean, ms`; what is so many a second says so itself.
    pub(super) fn head(&self, title: &str) -> String {
        if self.name.is_empty() || title.ends_with("/s") {
            title.to_owned()
        } else {
            format!("{title}, {}", self.name)
        }
    }

    /// `312.4 [300.1, 325.0]`.
    pub(super) fn show(&self, e: &Estimate) -> String {
        units::number(e.value * self.factor) + &bounds(e.lo * self.factor, e.hi * self.factor)
    }
}

/// ` [0.9, 1.2]`, ` (≥ 0.9)`, or nothing.
fn bounds(lo: f64, hi: f64) -> String {
    match (lo.is_finite(), hi.is_finite()) {
        (true, true) => format!(" [{}, {}]", units::number(lo), units::number(hi)),
        (true, false) => format!(" (≥ {})", units::number(lo)),
        (false, true) => format!(" (≤ {})", units::number(hi)),
        (false, false) => String::new(),
    }
}

/// `1.120 [1.081, 1.162]`.
pub(super) fn ratio(e: &Estimate) -> String {
    let three = |v: f64| format!("{v:.3}");
    let bounds = match (e.lo.is_finite(), e.hi.is_finite()) {
        (true, true) => format!(" [{}, {}]", three(e.lo), three(e.hi)),
        (true, false) => format!(" (≥ {})", three(e.lo)),
        (false, true) => format!(" (≤ {})", three(e.hi)),
        (false, false) => String::new(),
    };
    format!("{}{bounds}", three(e.value))
}

/// What the intervals let be said of a figure: `12.0 % longer [8.1, 16.2]`.
pub(super) fn verdict(measure: Measure, against: &Against) -> String {
    let quantity = measure.about().quantity;
    let less = match against.told {
        Told::Unknown => return "no interval".to_owned(),
        Told::Nothing if against.difference.lo >= against.difference.hi => return "the same".to_owned(),
        Told::Nothing => return format!("not told apart{}", at_most(against, quantity)),
        Told::More => false,
        Told::Less => true,
    };
    let time = quantity == Quantity::Seconds;
    let word = match (time, less) {
        (true, false) => "longer",
        (true, true) => "shorter",
        (false, false) => "more",
        (false, true) => "less",
    };
    match against.ratio {
        Some(r) if r.value >= TIMES => {
            let as_much = if time { "as long" } else { "as much" };
            format!("{} × {as_much}{}", units::number(r.value), bounds(r.lo, r.hi))
        }
        Some(r) => {
            let e = sized(&r.moved(-1.0), less);
            format!("{} {word}{}", units::percent(e.value), in_hundreds(&e))
        }
        None => {
            let (value, bounds) = parts(&sized(&against.difference, less), quantity);
            format!("{value} {word}{bounds}")
        }
    }
}

/// How much less something is, as a size.
fn sized(e: &Estimate, less: bool) -> Estimate {
    if less { Estimate { value: -e.value, lo: -e.hi, hi: -e.lo, ..*e } } else { *e }
}

/// ` (±5.2 %)`: the true difference is within that.
fn at_most(against: &Against, quantity: Quantity) -> String {
    match against.ratio {
        Some(r) if r.is_bounded() => {
            let most = (1.0 - r.lo).max(r.hi - 1.0);
            format!(" (±{})", units::percent(most))
        }
        _ => {
            let d = against.difference;
            if d.is_bounded() {
                let most = d.lo.abs().max(d.hi.abs());
                format!(" (±{})", show(&Estimate::unbounded(most, d.n), quantity))
            } else {
                " (n too small)".to_owned()
            }
        }
    }
}

/// What is known of a run against the baseline, in one sentence: the figures that people ask for first.
pub(super) fn sentence(run: &str, baseline: &str, i: usize, figures: &[Figure]) -> String {
    let asked = [
        Key { measure: Measure::Ttft, stat: Stat::Mean },
        Key { measure: Measure::Ttft, stat: Stat::Percentile(99.0) },
        Key { measure: Measure::Tpot, stat: Stat::Mean },
        Key { measure: Measure::E2e, stat: Stat::Mean },
        Key { measure: Measure::OutputThroughput, stat: Stat::Whole },
    ];
    let said: Vec<String> = asked
        .iter()
        .filter_map(|key| figures.iter().find(|figure| figure.key == *key))
        .filter_map(|figure| {
            let against = figure.against.get(i)?.as_ref().filter(|against| against.told != Told::Unknown)?;
            Some(format!("{}: {}", title(figure.key), verdict(figure.measure, against)))
        })
        .collect();
    format!("{run} against {baseline}: {}", said.join("; "))
}

/// A gate, and why it was kept or missed.
pub fn gate(found: &GateFound) -> String {
    let quantity = found.key.measure.about().quantity;
    let word = match found.outcome {
        GateOutcome::Kept => "kept",
        GateOutcome::KeptUnsure => "kept, not surely",
        GateOutcome::MissedUnsure => "missed, not surely",
        GateOutcome::Missed => "missed",
    };
    let tested = match found.by {
        TestedBy::Value => String::new(),
        TestedBy::Difference => format!(", difference {}", show(&found.tested, quantity)),
        TestedBy::Ratio => format!(", {}", in_percent(&found.tested)),
    };
    let baseline = found.baseline.map_or_else(String::new, |b| format!(" against {}", show(&b, quantity)));
    format!(
        "{word}: `{}`: {} has {}{baseline}{tested}",
        found.gate,
        found.run,
        show(&found.measured, quantity)
    )
}

/// `+12.0 % [8.1, 16.2]`.
pub(super) fn in_percent(e: &Estimate) -> String {
    let sign = if e.value >= 0.0 { "+" } else { "-" };
    format!("{sign}{}{}", units::percent(e.value.abs()), in_hundreds(e))
}

/// The bounds of a share, of a hundred: ` [8.1, 16.2]`.
fn in_hundreds(e: &Estimate) -> String {
    let shown = |share: f64| units::percent(share).trim_end_matches(" %").to_owned();
    match (e.lo.is_finite(), e.hi.is_finite()) {
        (true, true) => format!(" [{}, {}]", shown(e.lo), shown(e.hi)),
        (true, false) => format!(" (≥ {})", shown(e.lo)),
        (false, true) => format!(" (≤ {})", shown(e.hi)),
        (false, false) => String::new(),
    }
}
