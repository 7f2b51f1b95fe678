//! Lengths and times drawn by their laws, the same for the same seed. This file must not know what is
//! made so long.

use std::path::Path;

use super::draw::Draw;
use crate::config::law::Law;
use crate::error::{Explain, usage};

/// Values beyond a law's bounds are drawn again so often; then the bound is taken.
const REDRAWS: u32 = 1000;

/// What lengths are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub enum Lengths {
    Law(Law),
    /// Each as likely.
    Values(Vec<u32>),
}

impl Lengths {
    /// A whole number of 1 or more.
    pub fn draw(&self, draw: &mut Draw) -> u32 {
        match self {
            Lengths::Values(values) => {
                values.get(draw.below(values.len() as u64) as usize).copied().unwrap_or(1).max(1)
            }
            Lengths::Law(Law::Uniform { least, most }) => {
                draw.between(least.ceil().max(1.0) as u32, most.floor().max(1.0) as u32)
            }
            Lengths::Law(Law::Around { mean, ratio }) => {
                let least = (mean * (1.0 - ratio)).floor().max(1.0);
                let most = (mean * (1.0 + ratio)).ceil();
                draw.between(least as u32, most as u32)
            }
            Lengths::Law(law) => bounded(law, draw, 1.0).round().max(1.0) as u32,
        }
    }
}

/// A time in seconds.
pub fn draw_s(law: &Law, draw: &mut Draw) -> f64 {
    bounded(law, draw, 0.0)
}

/// Drawn again until it is within the law's bounds, and not below `least`.
fn bounded(law: &Law, draw: &mut Draw, least: f64) -> f64 {
    let bounds = match law {
        Law::Normal { bounds, .. } | Law::Lognormal { bounds, .. } => *bounds,
        _ => None,
    };
    let (low, high) = bounds.unwrap_or((0.0, f64::INFINITY));
    let low = low.max(least);
    for _ in 0..REDRAWS {
        let value = once(law, draw);
        // Half below the least whole number rounds up to it.
        if value >= low - 0.5 * least && value <= high {
            return value;
        }
    }
    once(law, draw).clamp(low, high.max(low))
}

fn once(law: &Law, draw: &mut Draw) -> f64 {
    match law {
        Law::Fixed(value) => *value,
        Law::Uniform { least, most } => least + (most - least) * draw.unit(),
        Law::Around { mean, ratio } => mean * (1.0 + ratio * (2.0 * draw.unit() - 1.0)),
        Law::Normal { mean, sd, .. } => mean + sd * draw.normal(),
        Law::Lognormal { mean, sd, .. } => {
            // The logarithm's variance and mean, of those of the value itself.
            let variance = (sd / mean).powi(2).ln_1p();
            (mean.ln() - variance / 2.0 + variance.sqrt() * draw.normal()).exp()
        }
        Law::Exponential { mean } => -mean * draw.unit().ln(),
        // Its values are read elsewhere.
        Law::Of(_) => 0.0,
    }
}

/// Lengths in a file: whole numbers, apart by white space or commas; `#` begins a remark.
pub fn read(path: &Path) -> anyhow::Result<Vec<u32>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).or_usage(format!("cannot read the lengths in `{shown}`"))?;
    let mut lengths = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
            match word.parse::<u32>() {
                Ok(length) if length > 0 => lengths.push(length),
                _ => {
                    let word: String = word.chars().take(40).collect();
                    return Err(usage(format!(
                        "`{shown}`, line {}: expected a length of 1 or more, found `{}`",
                        i + 1,
                        word.escape_debug()
                    ))
                    .hint("a file of lengths has whole numbers; one whose name ends in .json, .jsonl, .csv or .parquet is read as a dataset")
                    .into());
                }
            }
        }
    }
    if lengths.is_empty() {
        return Err(usage(format!("`{shown}` holds no lengths")).hint("whole numbers, one a line").into());
    }
    Ok(lengths)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(law: &str, n: usize, seed: u64) -> Vec<f64> {
        let law = Lengths::Law(law.parse().unwrap());
        let mut draw = Draw::new(seed, 0);
        (0..n).map(|_| f64::from(law.draw(&mut draw))).collect()
    }

    fn moments(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Mean and standard deviation within eight standard errors of what was asked for; rounding to
        /// whole numbers adds 1/12 to the variance.
        #[test]
        fn normal_lengths_have_their_mean_and_spread(mean in 200.0_f64..2000.0, share in 0.02_f64..0.2, seed in any::<u64>()) {
            let (n, sd) = (4000, mean * share);
            let (m, s) = moments(&drawn(&format!("normal:{mean},{sd}"), n, seed));
            let root = (n as f64).sqrt();
            prop_assert!((m - mean).abs() < 8.0 * sd / root + 0.01, "mean {m} for {mean}");
            let expected = (sd * sd + 1.0 / 12.0).sqrt();
            prop_assert!((s - expected).abs() < 8.0 * expected / (2.0 * n as f64).sqrt(), "sd {s} for {sd}");
        }

        /// By the median, exp(µ), and the quartile of the logarithm: robust against the heavy tail.
        #[test]
        fn lognormal_lengths_have_their_median_and_spread(mean in 500.0_f64..4000.0, share in 0.3_f64..1.0, seed in any::<u64>()) {
            let sd = mean * share;
            let mut values = drawn(&format!("lognormal:{mean},{sd}"), 8000, seed);
            values.sort_by(f64::total_cmp);
            let variance = (share * share).ln_1p();
            let (mu, sigma) = (mean.ln() - variance / 2.0, variance.sqrt());
            let at = |z: f64| (mu + z * sigma).exp();
            // A quantile's standard error is √(q(1−q)/n)/density.
            for (q, z, density) in [(0.25, -0.6745, 0.3178), (0.5, 0.0, 0.3989), (0.75, 0.6745, 0.3178)] {
                let found = values[(q * values.len() as f64) as usize];
                let error = (q * (1.0_f64 - q) / values.len() as f64).sqrt() / density * sigma * at(z);
                prop_assert!((found - at(z)).abs() < 8.0 * error + 1.0, "{found} for {} at {q}", at(z));
            }
        }

        #[test]
        fn uniform_lengths_reach_both_ends_and_nothing_beyond(least in 1_u32..50, span in 0_u32..20, seed in any::<u64>()) {
            let values = drawn(&format!("{least}..{}", least + span), 2000, seed);
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            prop_assert_eq!((low, high), (f64::from(least), f64::from(least + span)));
        }

        #[test]
        fn bounds_hold_and_no_length_is_zero(mean in 1.0_f64..50.0, sd in 0.0_f64..200.0, seed in any::<u64>()) {
            for law in [format!("normal:{mean},{sd}"), format!("lognormal:{mean},{sd}"), format!("exponential:{mean}")] {
                prop_assert!(drawn(&law, 300, seed).iter().all(|&v| v >= 1.0), "{law}");
            }
            let most = mean + 10.0;
            let bounded = drawn(&format!("normal:{mean},{sd},1,{most}"), 300, seed);
            prop_assert!(bounded.iter().all(|&v| (1.0..=most.ceil()).contains(&v)));
        }
    }

    #[test]
    fn lengths_of_a_file_are_drawn_as_often_as_they_are_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# of a log\n10 20\n10, 10\n").unwrap();
        let values = read(file.path()).unwrap();
        assert_eq!(values, [10, 20, 10, 10]);
        let lengths = Lengths::Values(values);
        let mut draw = Draw::new(5, 0);
        let tens = (0..40_000).filter(|_| lengths.draw(&mut draw) == 10).count();
        // 30,000 expected, standard deviation 87.
        assert!(tens.abs_diff(30_000) < 500, "{tens}");
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12\n0\n").unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("line 2: expected a length of 1 or more, found `0`"), "{error}");
    }

    #[test]
    fn times_may_be_short() {
        let mut draw = Draw::new(1, 0);
        let law: Law = "exponential:0.2".parse().unwrap();
        let mean = (0..20_000).map(|_| draw_s(&law, &mut draw)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.2).abs() < 0.01, "{mean}");
    }
}
