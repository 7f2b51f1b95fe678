//! Mean and standard deviation. The standard deviation is the population's (divisor n, numpy's
//! `ddof=0`), as `vllm bench serve` prints it. This file must not know what the numbers measure.

/// The arithmetic mean; `None` for no values or when a value is not finite.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

/// The population standard deviation (divisor n), in two passes.
pub fn std(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let std = (squares / values.len() as f64).sqrt();
    std.is_finite().then_some(std)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mean_and_std_are_numpys() {
        // numpy: np.mean, np.std of [0.8, 1.2, 3.5, 0.9, 2.2, 7.1, 1.0]
        let values = [0.8, 1.2, 3.5, 0.9, 2.2, 7.1, 1.0];
        assert!((mean(&values).unwrap() - 2.385_714_285_714_285_7).abs() < 1e-12);
        assert!((std(&values).unwrap() - 2.122_955_198_658_276_6).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_computed_is_none() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, f64::NAN]), None);
        assert_eq!(mean(&[f64::MAX, f64::MAX]), None);
        assert_eq!(std(&[f64::INFINITY]), None);
        assert_eq!(std(&[4.0]), Some(0.0));
    }

    proptest! {
        #[test]
        fn the_mean_lies_between_min_and_max(values in prop::collection::vec(-1e6..1e6f64, 1..200)) {
            let m = mean(&values).unwrap();
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(m >= min - 1e-6 && m <= max + 1e-6);
            prop_assert!(std(&values).unwrap() <= (max - min) / 2.0 + 1e-6);
        }
    }
}
