//! A Prometheus histogram: how many values lie at or below each bound, how many there are, and their sum. This file must
//! not know what the values measure.

use std::fmt::Write as _;

/// Counts of values by bucket.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what lies beyond the last.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// With these upper bounds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts a value; one that is not finite is no value.
    pub fn observe(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        // A value on a bound belongs to that bound.
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    /// Its lines of an exposition; `labels` without braces, and not empty.
    pub fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        let bounds = self.bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&self.counts) {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(out, "{name}_count{{{labels}}} {below}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {:?}", self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulated_and_a_bound_holds_its_own_value() {
        let mut histogram = Histogram::new(&[0.25, 1.0]);
        for value in [0.25, 0.25, 0.5, 4.0, f64::NAN] {
            histogram.observe(value);
        }
        let mut text = String::new();
        histogram.write(&mut text, "t", "m=\"x\"");
        insta::assert_snapshot!(text, @r#"
        t_bucket{m="x",le="0.25"} 2
        t_bucket{m="x",le="1.0"} 3
        t_bucket{m="x",le="+Inf"} 4
        t_count{m="x"} 4
        t_sum{m="x"} 5.0
        "#);
    }
}
