//! The range of an axis, its ticks at round numbers, and where it ends when a few values lie far
//! beyond the rest. This file must not know how an axis is drawn.

use crate::metric::Unit;
use crate::stats::quantile::quantile;
use crate::units::Scale;

/// Of more differences than this, the outermost hundredth is off the axis.
const MANY: usize = 200;
/// So many interquartile ranges from the median an axis of differences ends.
const FAR: f64 = 8.0;

/// An axis in the unit of the files, shown in a scale's.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub lo: f64,
    pub hi: f64,
    /// Values of the ticks, ascending.
    pub ticks: Vec<f64>,
    /// Decimals of the tick labels.
    pub decimals: usize,
    pub scale: Scale,
    /// The quantile at which the axis ends, when values lie beyond it.
    pub ends_at: Option<f64>,
}

impl Axis {
    /// The axis for sets of ascending, finite values; `None` when there is no value at all.
    ///
    /// It begins at zero unless that would waste more than half of it.
    pub fn of(sets: &[&[f64]], unit: Unit) -> Option<Self> {
        let min = sets.iter().filter_map(|s| s.first()).copied().min_by(f64::total_cmp)?;
        let max = sets.iter().filter_map(|s| s.last()).copied().max_by(f64::total_cmp)?;
        let ends: Vec<(f64, Option<f64>)> = sets.iter().filter_map(|s| end(s)).collect();
        let (last, ends_at) = ends.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let ends_at = ends_at.filter(|_| last < max);
        let (lo, hi) = if min >= 0.0 && min < 0.5 * last {
            (0.0, last)
        } else if last > min {
            (min - 0.08 * (last - min), last)
        } else {
            // All equal: the value in the middle, with something around it.
            let around = if min == 0.0 { 1e-3 } else { 0.2 * min.abs() };
            (min - around, min + around)
        };
        let hi = if ends_at.is_some() { hi } else { hi + 0.05 * (hi - lo) };
        let scale = Scale::of(unit, lo.abs().max(hi.abs()));
        let (ticks, decimals) = ticks(lo * scale.factor, hi * scale.factor);
        let ticks = ticks.into_iter().map(|t| t / scale.factor).collect();
        Some(Self { lo, hi, ticks, decimals, scale, ends_at })
    }

    /// From one value to another, whatever lies beyond; `None` where there is nothing between them.
    pub fn between(lo: f64, hi: f64, unit: Unit) -> Option<Self> {
        let scale = Scale::of(unit, lo.abs().max(hi.abs()));
        let (ticks, decimals) = ticks(lo * scale.factor, hi * scale.factor);
        let ticks: Vec<f64> = ticks.into_iter().map(|t| t / scale.factor).collect();
        (hi > lo && !ticks.is_empty()).then_some(Self { lo, hi, ticks, decimals, scale, ends_at: None })
    }

    /// For ascending differences: without the outermost hundredth of many and without what lies far from most (a few
    /// far away would make a stroke of all the others); with zero where it is near.
    pub fn of_differences(values: &[f64], unit: Unit) -> Option<Self> {
        let cut = if values.len() > MANY { 0.005 } else { 0.0 };
        let (mut lo, mut hi) = (quantile(values, cut)?, quantile(values, 1.0 - cut)?);
        let (q1, middle, q3) = (quantile(values, 0.25)?, quantile(values, 0.5)?, quantile(values, 0.75)?);
        if q3 > q1 {
            (lo, hi) = (lo.max(middle - FAR * (q3 - q1)), hi.min(middle + FAR * (q3 - q1)));
        }
        let width = (hi - lo).max(1e-6);
        let lo = if lo > 0.0 && lo < width { 0.0 } else { lo - 0.04 * width };
        let hi = if hi < 0.0 && -hi < width { 0.0 } else { hi + 0.04 * width };
        Self::between(lo, hi, unit)
    }

    /// What is written at a tick.
    pub fn label(&self, tick: f64) -> String {
        Scale::tick(tick * self.scale.factor, self.decimals)
    }

    /// What is said beside it, and that it does not begin at zero where it does not.
    pub fn honest(&self, about: &str) -> String {
        match (self.lo > 0.0, about) {
            (false, about) => about.to_owned(),
            (true, "") => "not from 0".to_owned(),
            (true, about) => format!("{about} · not from 0"),
        }
    }

    /// Where a value lies on it, from 0 to 1.
    pub fn fraction(&self, value: f64) -> f64 {
        ((value - self.lo) / (self.hi - self.lo)).clamp(0.0, 1.0)
    }

    /// How many of these ascending values lie beyond its end.
    pub fn beyond(&self, sorted: &[f64]) -> usize {
        sorted.len() - sorted.partition_point(|v| *v <= self.hi)
    }
}

/// Where an axis for these ascending values should end, and the quantile if that is not the maximum.
///
/// It ends at the 99th percentile (of fewer than 100 values: the 95th; of fewer than 20: never)
/// when the maximum is more than three times that: the rest would fill less than a third of it.
fn end(sorted: &[f64]) -> Option<(f64, Option<f64>)> {
    const FAR: f64 = 3.0;
    let max = *sorted.last()?;
    let q = if sorted.len() >= 100 { 0.99 } else { 0.95 };
    match quantile(sorted, q) {
        Some(end) if sorted.len() >= 20 && end > 0.0 && max > FAR * end => Some((end, Some(q))),
        _ => Some((max, None)),
    }
}

/// Ticks at multiples of 1, 2, 2.5 or 5 times a power of ten, about five of them, and the decimals
/// that tell them apart.
fn ticks(lo: f64, hi: f64) -> (Vec<f64>, usize) {
    let rough = (hi - lo) / 5.0;
    if !rough.is_finite() || rough <= 0.0 {
        return (Vec::new(), 0);
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let first = (lo / step - 1e-9).ceil();
    let last = (hi / step + 1e-9).floor();
    let count = (last - first).clamp(0.0, 50.0) as usize;
    let ticks = (0..=count).map(|i| (first + i as f64) * step).collect();
    let whole = |decimals: &i32| {
        let shifted = step * 10f64.powi(*decimals);
        (shifted - shifted.round()).abs() < 1e-6 * shifted
    };
    (ticks, (0..12).find(whole).unwrap_or(12) as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::quantile::sorted;

    fn shown(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|t| axis.label(*t)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_the_unit_shown() {
        let axis = Axis::of(&[&[0.05, 0.31, 0.93]], Unit::Seconds).unwrap();
        assert_eq!(axis.scale.name, "ms");
        assert_eq!(shown(&axis), ["0", "200", "400", "600", "800"]);
        let axis = Axis::of(&[&[4.90, 4.95, 5.02]], Unit::Seconds).unwrap();
        assert_eq!(axis.scale.name, "s");
        assert_eq!(shown(&axis), ["4.90", "4.95", "5.00"]);
        let axis = Axis::of(&[&[200.0, 900.0, 5_300.0]], Unit::TokensPerSecond).unwrap();
        assert_eq!(shown(&axis), ["0", "2,000", "4,000"]);
    }

    #[test]
    fn a_long_tail_ends_the_axis_at_a_stated_quantile() {
        let mut values: Vec<f64> = (0..995).map(|i| 0.1 + f64::from(i) / 10_000.0).collect();
        values.extend([3.0, 4.0, 5.0, 6.0, 7.0]);
        let axis = Axis::of(&[&values], Unit::Seconds).unwrap();
        assert_eq!(axis.ends_at, Some(0.99));
        assert!(axis.hi < 0.2);
        assert_eq!(axis.beyond(&values), 10);
        // With another set that reaches as far, nothing is cut.
        let axis = Axis::of(&[&values, &[0.1, 9.0]], Unit::Seconds).unwrap();
        assert_eq!((axis.ends_at, axis.beyond(&values)), (None, 0));
    }

    #[test]
    fn a_few_values_are_never_cut() {
        let values = sorted(&[0.1, 0.1, 0.1, 0.1, 9.0]);
        let axis = Axis::of(&[&values], Unit::Seconds).unwrap();
        assert_eq!((axis.ends_at, axis.beyond(&values)), (None, 0));
        assert_eq!(Axis::of(&[&[]], Unit::Seconds), None);
    }

    #[test]
    fn equal_values_have_an_axis_around_them() {
        for value in [0.0, 0.25, -3.0] {
            let axis = Axis::of(&[&[value; 7]], Unit::Seconds).unwrap();
            assert!(axis.lo < value && value < axis.hi);
            assert!(axis.ticks.len() >= 2);
        }
    }

    proptest! {
        #[test]
        fn ticks_lie_on_the_axis(values in prop::collection::vec(-10.0..1e4f64, 1..60)) {
            let values = sorted(&values);
            let axis = Axis::of(&[&values], Unit::Seconds).unwrap();
            let slack = 1e-6 * (axis.hi - axis.lo);
            prop_assert!(axis.ticks.iter().all(|t| *t >= axis.lo - slack && *t <= axis.hi + slack));
            prop_assert!(axis.ticks.len() <= 12 && !axis.ticks.is_empty());
            let mut labels = shown(&axis);
            labels.dedup();
            prop_assert_eq!(labels.len(), axis.ticks.len());
        }
    }
}
