//! The standard normal law: its quantiles, for intervals that rest on it.

/// The x with P(Z ≤ x) = p; ±∞ at 0 and 1. Acklam's rational approximation, relative error < 1.2e-9.
pub fn inverse_cdf(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const LOW: f64 = 0.024_25;
    let polynomial = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    if p <= 0.0 {
        f64::NEG_INFINITY
    } else if p >= 1.0 {
        f64::INFINITY
    } else if p < LOW {
        let x = (-2.0 * p.ln()).sqrt();
        polynomial(&C, x) / polynomial(&D, x)
    } else if p > 1.0 - LOW {
        -inverse_cdf(1.0 - p)
    } else {
        let x = p - 0.5;
        x * polynomial(&A, x * x) / polynomial(&B, x * x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P(Z ≤ x). Abramowitz and Stegun 26.2.17, |error| < 7.5e-8.
    fn cdf(x: f64) -> f64 {
        let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
        let polynomial = t
            * (0.319_381_530
                + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
        let tail = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
        if x >= 0.0 { 1.0 - tail } else { tail }
    }

    #[test]
    fn known_values_of_the_normal_law() {
        assert!((cdf(0.0) - 0.5).abs() < 1e-7);
        assert!((cdf(1.959_963_985) - 0.975).abs() < 1e-7);
        assert!((cdf(-1.0) - 0.158_655_254).abs() < 1e-7);
        assert!((inverse_cdf(0.975) - 1.959_963_985).abs() < 1e-8);
        assert!((inverse_cdf(0.001) + 3.090_232_306).abs() < 1e-8);
        assert!(inverse_cdf(0.0).is_infinite() && inverse_cdf(1.0).is_infinite());
    }

    #[test]
    fn the_two_are_inverse() {
        for i in 1..1_000 {
            let p = f64::from(i) / 1_000.0;
            assert!((cdf(inverse_cdf(p)) - p).abs() < 2e-7);
        }
    }
}
