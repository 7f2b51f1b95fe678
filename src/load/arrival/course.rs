//! A rate that changes in time, and the time at which so many arrivals are expected by it: gaps of mean
//! 1, put through this, become arrivals at that rate. This file must not know how gaps are drawn.
//!
//! With rate λ(t), Λ(t) = ∫ λ counts the arrivals expected by t. If S₁, S₂, … are the sums of gaps of
//! mean 1, then Λ⁻¹(S₁), Λ⁻¹(S₂), … arrive at rate λ: exactly Poisson where the gaps are exponential
//! (Çinlar, *Introduction to Stochastic Processes*, 1975, ch. 4.7), and with the gaps' own regularity
//! where they are not.

use crate::config::{Change, Gaps, RateStage};

/// Pieces one after another.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pieces: Vec<Piece>,
    /// Those before it are over: sums only grow.
    at: usize,
}

/// A rate, or a change of it.
#[derive(Clone, Copy, Debug)]
struct Piece {
    stage: RateStage,
    begin_s: f64,
    /// Expected before it, and in it.
    before: f64,
    within: f64,
}

impl Course {
    pub(super) fn new(stages: &[RateStage]) -> Self {
        let (mut begin_s, mut before) = (0.0, 0.0);
        let pieces = stages.iter().map(|&stage| {
            let piece = Piece { stage, begin_s, before, within: expected(&stage) };
            begin_s += stage.duration_s;
            before += piece.within;
            piece
        });
        Self { pieces: pieces.collect(), at: 0 }
    }

    /// Λ⁻¹: when `sum` arrivals are expected to have come; `None` after the last piece. Sums must not
    /// fall from call to call.
    pub(super) fn time_of(&mut self, sum: f64) -> Option<f64> {
        // At a boundary, the next piece; one without arrivals is passed over.
        while self.pieces.get(self.at).is_some_and(|piece| sum >= piece.before + piece.within) {
            self.at += 1;
        }
        let piece = self.pieces.get(self.at)?;
        Some(piece.begin_s + offset(&piece.stage, sum - piece.before))
    }

    /// The law of gaps where the last arrival was; before the first, that of the first piece that has any.
    pub(super) fn gaps(&self) -> Gaps {
        let rest = self.pieces.get(self.at..).unwrap_or_default();
        let piece = rest.iter().find(|piece| piece.within > 0.0).or(self.pieces.last());
        piece.map_or(Gaps::Poisson, |piece| piece.stage.gaps)
    }
}

/// Arrivals expected in a stage.
fn expected(stage: &RateStage) -> f64 {
    let RateStage { from_rps: a, to_rps: b, duration_s, .. } = *stage;
    match (stage.change, (b / a).ln()) {
        // (b − a) / ln(b / a) is their logarithmic mean.
        (Change::Exponential, growth) if growth.abs() > FLAT => (b - a) / growth * duration_s,
        _ => f64::midpoint(a, b) * duration_s,
    }
}

/// A change of the rate's logarithm that is none.
const FLAT: f64 = 1e-9;

/// When `sum` have come since the stage's begin, in seconds from that.
fn offset(stage: &RateStage, sum: f64) -> f64 {
    let RateStage { from_rps: a, to_rps: b, duration_s, .. } = *stage;
    if sum <= 0.0 || duration_s <= 0.0 {
        return 0.0;
    }
    let growth = (b / a).ln() / duration_s;
    let offset_s = match stage.change {
        // a (e^(g t) − 1) / g = sum
        Change::Exponential if (growth * duration_s).abs() > FLAT => (growth * sum / a).ln_1p() / growth,
        // a t + (b − a) t² / 2d = sum, by the form of the root that cancels nothing.
        _ => 2.0 * sum / (a + (a * a + 2.0 * (b - a) / duration_s * sum).max(0.0).sqrt()),
    };
    offset_s.min(duration_s)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::load) fn stage(from_rps: f64, to_rps: f64, change: Change, duration_s: f64) -> RateStage {
        RateStage { gaps: Gaps::Constant, from_rps, to_rps, change, duration_s }
    }

    fn rate(stage: &RateStage, t: f64) -> f64 {
        let share = t / stage.duration_s;
        match stage.change {
            Change::Linear => stage.from_rps + (stage.to_rps - stage.from_rps) * share,
            Change::Exponential => stage.from_rps * (stage.to_rps / stage.from_rps).powf(share),
        }
    }

    /// Λ by Simpson's rule on 2,000 intervals: no formula of this file's.
    fn integral(stage: &RateStage, until: f64) -> f64 {
        let n = 2000;
        let h = until / f64::from(n);
        let weight = |i: i32| match i {
            0 => 1.0,
            i if i == n => 1.0,
            i if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        (0..=n).map(|i| weight(i) * rate(stage, h * f64::from(i))).sum::<f64>() * h / 3.0
    }

    proptest! {
        #[test]
        fn so_many_are_expected_by_the_time_that_is_told(
            a in 0.01_f64..500.0, b in 0.01_f64..500.0, exponential in any::<bool>(),
            duration_s in 0.1_f64..1000.0, share in 0.001_f64..0.999,
        ) {
            let change = if exponential { Change::Exponential } else { Change::Linear };
            let stage = stage(a, b, change, duration_s);
            let all = integral(&stage, duration_s);
            prop_assert!((expected(&stage) / all - 1.0).abs() < 1e-6);
            let at = Course::new(&[stage]).time_of(share * all).unwrap();
            prop_assert!((integral(&stage, at) / (share * all) - 1.0).abs() < 1e-6, "{at}");
        }

        #[test]
        fn times_do_not_fall_and_end_with_the_last_stage(
            stages in proptest::collection::vec((0.0_f64..50.0, 0.0_f64..50.0, 0.1_f64..20.0), 1..6),
            gap in 0.01_f64..3.0,
        ) {
            let stages: Vec<RateStage> =
                stages.iter().map(|&(a, b, d)| stage(a, b, Change::Linear, d)).collect();
            let length: f64 = stages.iter().map(|s| s.duration_s).sum();
            let mut course = Course::new(&stages);
            let times: Vec<f64> = (0..).map_while(|n| course.time_of(f64::from(n) * gap)).collect();
            prop_assert!(times.windows(2).all(|w| w[0] <= w[1]));
            prop_assert!(times.iter().all(|t| (0.0..=length + 1e-9).contains(t)));
            let all: f64 = stages.iter().map(expected).sum();
            prop_assert!((times.len() as f64 - all / gap).abs() <= 1.0 + 1e-6 * times.len() as f64);
        }
    }

    #[test]
    fn a_ramp_from_nothing_and_back_is_symmetric() {
        let up = stage(0.0, 10.0, Change::Linear, 4.0);
        let mut course = Course::new(&[up]);
        // Λ(t) = 10 t² / 8.
        let times: Vec<f64> = [0.0, 1.25, 5.0, 11.25].map(|sum| course.time_of(sum).unwrap()).to_vec();
        assert!(times.iter().zip([0.0, 1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{times:?}");
        let mut down = Course::new(&[stage(10.0, 0.0, Change::Linear, 4.0)]);
        assert!((down.time_of(15.0).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(down.time_of(20.0), None);
    }

    #[test]
    fn a_pause_is_passed_over() {
        let flat = |rate, duration_s| stage(rate, rate, Change::Linear, duration_s);
        let mut course = Course::new(&[flat(2.0, 1.0), flat(0.0, 5.0), flat(1.0, 2.0)]);
        let times: Vec<f64> = (0..).map_while(|n| course.time_of(f64::from(n))).collect();
        assert_eq!(times, [0.0, 0.5, 6.0, 7.0]);
    }
}
