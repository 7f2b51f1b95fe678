//! Every law against what it says of itself: its rate, its spread, its course in time, and that a seed
//! makes the same schedule for ever.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::config::Times;

fn offsets(arrival: &Arrival, seed: u64) -> Offsets {
    Offsets::new(arrival, seed).unwrap()
}

fn ramp(gaps: Gaps, change: Change, from_rps: f64, to_rps: f64, over: Over) -> Arrival {
    Arrival::RateRamp { gaps, change, from_rps, to_rps, over }
}

fn stage(gaps: Gaps, from_rps: f64, to_rps: f64, duration_s: f64) -> RateStage {
    RateStage { gaps, from_rps, to_rps, change: Change::Linear, duration_s }
}

/// The largest distance between the share of ascending `times` and that expected by then, `course`.
fn ks(times: &[f64], course: impl Fn(f64) -> f64) -> f64 {
    let n = times.len() as f64;
    times.iter().enumerate().fold(0.0, |most: f64, (i, &t)| {
        most.max((course(t) - i as f64 / n).abs()).max(((i + 1) as f64 / n - course(t)).abs())
    })
}

proptest! {
    /// The n-th arrival of a process with gaps of shape b and rate r comes at n/r ± 8 standard deviations,
    /// and the gaps' coefficient of variation is 1/√b.
    #[test]
    fn a_steady_rate_has_its_rate_and_its_law(rate in 0.5_f64..500.0, shape in 0.2_f64..5.0, poisson in any::<bool>(), seed in any::<u64>()) {
        let (arrival, b) = if poisson {
            (Arrival::Poisson { rate_rps: rate }, 1.0)
        } else {
            (Arrival::Gamma { rate_rps: rate, burstiness: shape }, shape)
        };
        let n = 4000;
        let times: Vec<f64> = offsets(&arrival, seed).take(n).collect();
        prop_assert!(times.windows(2).all(|w| w[0] <= w[1]));
        let expected = n as f64 / rate;
        prop_assert!((times[n - 1] - expected).abs() < 8.0 * (n as f64 / b).sqrt() / rate);
        let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        prop_assert!((variance.sqrt() / mean * b.sqrt() - 1.0).abs() < 0.4);
    }

    #[test]
    fn constant_never_drifts(rate in 0.1_f64..10_000.0, n in 1_usize..100_000) {
        let last = offsets(&Arrival::Constant { rate_rps: rate }, 0).nth(n).unwrap();
        prop_assert!((last - n as f64 / rate).abs() <= 1e-9 * (1.0 + last));
    }

    /// A Poisson process under a ramp of the rate in time: given how many came, their times are those of so
    /// many independent draws from λ(t) / Λ, so the KS distance to that exceeds 3.3 / √n once in 1.4 billion
    /// seeds; and as many came as expected, ± 8 standard deviations.
    #[test]
    fn a_ramp_in_time_has_its_course(from in 0.0_f64..50.0, more in 1.0_f64..50.0, seed in any::<u64>()) {
        let (to, duration_s) = (from + more, 100.0);
        let linear = ramp(Gaps::Poisson, Change::Linear, from, to, Over::Seconds(duration_s));
        let times: Vec<f64> = offsets(&linear, seed).collect();
        let expected = 0.5 * (from + to) * duration_s;
        let by = |t: f64| (from * t + (to - from) * t * t / (2.0 * duration_s)) / expected;
        prop_assert!((times.len() as f64 - expected).abs() < 8.0 * expected.sqrt());
        prop_assert!(ks(&times, by) < 3.3 / (times.len() as f64).sqrt());

        let from = from + 0.5;
        let exponential = ramp(Gaps::Poisson, Change::Exponential, from, to, Over::Seconds(duration_s));
        let times: Vec<f64> = offsets(&exponential, seed).collect();
        let growth = (to / from).ln();
        let by = |t: f64| ((growth * t / duration_s).exp() - 1.0) / (growth.exp() - 1.0);
        let expected = (to - from) / growth * duration_s;
        prop_assert!((times.len() as f64 - expected).abs() < 8.0 * expected.sqrt() + 1.0);
        prop_assert!(ks(&times, by) < 3.3 / (times.len() as f64).sqrt());
    }

    /// Over the count, request i of n follows at the rate of its number: with even gaps exactly, with drawn
    /// ones on average (8 standard deviations of the sum, Σ 1/rᵢ²).
    #[test]
    fn a_ramp_over_the_count_has_its_rates(from in 0.5_f64..50.0, to in 0.5_f64..50.0, exponential in any::<bool>(), seed in any::<u64>()) {
        let n = 500_u32;
        let change = if exponential { Change::Exponential } else { Change::Linear };
        let rate = |i: u32| {
            let way = f64::from(i) / f64::from(n - 1);
            if exponential { from * (to / from).powf(way) } else { from + (to - from) * way }
        };
        let over = Over::Requests(n.into());
        let even: Vec<f64> = offsets(&ramp(Gaps::Constant, change, from, to, over), 0).take(n as usize).collect();
        for i in 1..n {
            let gap = even[i as usize] - even[i as usize - 1];
            prop_assert!((gap * rate(i) - 1.0).abs() < 1e-6, "{i}: {gap}");
        }
        let last = offsets(&ramp(Gaps::Poisson, change, from, to, over), seed).nth(n as usize - 1).unwrap();
        let expected: f64 = (0..n).map(|i| 1.0 / rate(i)).sum();
        let spread = (0..n).map(|i| rate(i).powi(-2)).sum::<f64>().sqrt();
        prop_assert!((last - expected).abs() < 8.0 * spread);
    }

    #[test]
    fn every_stage_has_its_rate(rates in proptest::collection::vec(0.0_f64..40.0, 1..5), seed in any::<u64>()) {
        let length_s = 25.0;
        let stages: Vec<RateStage> = rates.iter().map(|&r| stage(Gaps::Poisson, r, r, length_s)).collect();
        let times: Vec<f64> = offsets(&Arrival::RateStages { stages }, seed).collect();
        for (i, rate) in rates.iter().enumerate() {
            let within = i as f64 * length_s..(i + 1) as f64 * length_s;
            let n = times.iter().filter(|t| within.contains(t)).count() as f64;
            let expected = rate * length_s;
            prop_assert!((n - expected).abs() <= 8.0 * expected.sqrt() + 2.0, "{n} of {expected}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule(seed in any::<u64>(), burstiness in 0.1_f64..4.0) {
        let arrival = Arrival::Gamma { rate_rps: 10.0, burstiness };
        let make = || offsets(&arrival, seed).take(50).collect::<Vec<_>>();
        prop_assert_eq!(make(), make());
    }
}

#[test]
fn stages_keep_their_own_gaps() {
    let stages = vec![
        stage(Gaps::Constant, 4.0, 4.0, 1.0),
        stage(Gaps::Poisson, 50.0, 50.0, 2.0),
        stage(Gaps::Constant, 2.0, 2.0, 2.0),
    ];
    let times: Vec<f64> = offsets(&Arrival::RateStages { stages }, 3).collect();
    assert_eq!(times[..4], [0.0, 0.25, 0.5, 0.75]);
    let last: Vec<f64> = times.iter().copied().filter(|t| *t >= 3.0).collect();
    assert!((3..=4).contains(&last.len()), "{last:?}");
    assert!(last.windows(2).all(|w| (w[1] - w[0] - 0.5).abs() < 1e-9), "{last:?}");
    assert!(last.last().unwrap() < &5.0);
}

#[test]
fn a_burst_is_all_at_once_and_a_trace_is_its_times() {
    assert!(offsets(&Arrival::Burst, 0).take(1000).all(|t| t.abs() < f64::EPSILON));
    let times = Times([0.0, 0.0, 1.5, 9.0].into());
    let trace: Vec<f64> = offsets(&Arrival::Trace { speed: 2.0, times }, 9).collect();
    assert_eq!(trace, [0.0, 0.0, 1.5, 9.0]);
    assert!(Offsets::new(&Arrival::Closed { users: 1, ramp_s: 0.0 }, 0).is_none());
}

#[test]
fn schedules_stay_the_same_for_ever() {
    let first = |arrival: &Arrival| {
        let times: Vec<String> = offsets(arrival, 42).take(3).map(|t| format!("{t:.9}")).collect();
        times.join(" ")
    };
    let gamma = Gaps::Gamma { burstiness: 0.5 };
    insta::assert_snapshot!(first(&Arrival::Poisson { rate_rps: 1.0 }), @"0.641394914 1.252547061 1.704372756");
    insta::assert_snapshot!(first(&Arrival::Gamma { rate_rps: 2.0, burstiness: 0.5 }), @"0.640683116 1.172017426 1.215697851");
    insta::assert_snapshot!(first(&ramp(Gaps::Poisson, Change::Linear, 0.0, 10.0, Over::Seconds(10.0))), @"1.132603121 1.582748913 1.846278828");
    insta::assert_snapshot!(first(&ramp(gamma, Change::Exponential, 1.0, 10.0, Over::Seconds(10.0))), @"1.122850199 1.874456915 1.930827119");
    insta::assert_snapshot!(first(&ramp(Gaps::Poisson, Change::Linear, 1.0, 10.0, Over::Requests(3))), @"0.641394914 0.752513486 0.797696056");
    insta::assert_snapshot!(first(&Arrival::RateStages { stages: vec![stage(gamma, 1.0, 1.0, 1.0), stage(Gaps::Poisson, 9.0, 9.0, 1.0)] }), @"1.031262915 1.405858733 1.503589927");
}
