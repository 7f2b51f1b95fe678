//! Estimates in words.

use super::*;

#[test]
fn dependence_is_said_beside_n() {
    let e = Estimate::within(0.5, 0.4, 0.6, 1_479);
    assert_eq!(counted(&e), "1,479");
    assert_eq!(counted(&e.effective(1_450.0)), "1,479", "within 5 % is the same");
    assert_eq!(counted(&e.effective(411.7)), "1,479 (eff. 412)");
}

#[test]
fn a_percentile_without_an_upper_bound_is_one_sided() {
    let p99 = Estimate::within(0.8171, 0.7902, f64::INFINITY, 90);
    assert_eq!(percentile(&p99, Unit::Seconds), "817.1 ms (≥ 790.2 ms; n too small)");
    assert_eq!(percentile(&Estimate { hi: 0.9, ..p99 }, Unit::Seconds), "817.1 ms");
    assert_eq!(percentile(&Estimate::unbounded(0.8171, 3), Unit::Seconds), "817.1 ms (n too small)");
}
