//! When a load has outgrown its server for good, so that a run need not go on: looked at while it runs. This file must
//! not know what is done then.
//!
//! As in `GuideLLM`'s constraint `over_saturation`, both the requests in flight and TTFT (over the time at which their
//! requests started) must rise beyond doubt; two things are stricter here, since short runs would otherwise be ended for
//! nothing. The intervals of the slopes know that neighbouring values are alike ([`crate::stats::trend`]); and it is not
//! enough that the slope of the requests in flight is above 0: at least [`PILES_UP`] of what is offered must pile up,
//! which is what "the server does not keep up" means in [`super::judge`]. It must be so at [`IN_A_ROW`] looks in a row, and
//! the first third of the time, in which the load fills the server, is left out.
//!
//! False alarms, on simulated stationary queues of 20 s with a look each 0.5 s: see the test, which states them.

use serde::{Deserialize, Serialize};

use crate::stats::Estimate;
use crate::stats::trend::Slope;

/// The share of the offered rate that must pile up.
pub const PILES_UP: f64 = 0.05;
/// Looks in a row at which it must.
pub const IN_A_ROW: u32 = 3;
/// Each slope is above its limit with this probability.
const SURE: f64 = 0.99;
/// Before this nothing is concluded.
const SOONEST_S: f64 = 3.0;
const FEWEST_STARTED: usize = 40;

/// What was seen so far, in seconds since the load began.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    in_flight: Vec<(f64, f64)>,
    /// When a request started, and its TTFT; as they become known.
    ttft: Vec<(f64, f64)>,
    in_a_row: u32,
}

/// Why a run ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saturated {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Requests in flight by then.
    pub in_flight: u64,
    /// By how many they grew from second to second.
    pub growth_rps: Estimate,
    /// By how much TTFT grew from second to second, s.
    pub ttft_growth: Estimate,
    pub offered_rps: f64,
}

impl Saturated {
    /// In a sentence.
    pub fn words(&self) -> String {
        format!(
            "over-saturated, ended after {:.1} s: {} requests in flight, {:.1} more each second [{:.1}, {:.1}] of the {} offered, TTFT longer by {:.0} ms each second",
            self.at_s,
            self.in_flight,
            self.growth_rps.value,
            self.growth_rps.lo,
            self.growth_rps.hi,
            rounded(self.offered_rps),
            self.ttft_growth.value * 1e3
        )
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

impl Watch {
    /// A request's TTFT, known by now.
    pub fn first_token(&mut self, started_s: f64, ttft_s: f64) {
        self.ttft.push((started_s, ttft_s));
    }

    /// Counts the requests in flight; between looks as often as one likes.
    pub fn count(&mut self, at_s: f64, in_flight: u64) {
        self.in_flight.push((at_s, in_flight as f64));
    }

    /// Looks at what was counted until now; `offered_rps` is what is asked for.
    pub fn look(&mut self, at_s: f64, offered_rps: f64) -> Option<Saturated> {
        let found = self.rises(at_s, offered_rps);
        self.in_a_row = if found.is_some() { self.in_a_row + 1 } else { 0 };
        found.filter(|_| self.in_a_row >= IN_A_ROW)
    }

    fn rises(&self, at_s: f64, offered_rps: f64) -> Option<Saturated> {
        if at_s < SOONEST_S || self.ttft.len() < FEWEST_STARTED {
            return None;
        }
        // Of TTFT as far as it is known: what starts late in a queue is told late.
        let settled = |of: &[(f64, f64)]| -> Vec<(f64, f64)> {
            let last = of.iter().map(|(t, _)| *t).fold(0.0, f64::max);
            of.iter().copied().filter(|(t, _)| *t >= last / 3.0).collect()
        };
        let growth = Slope::of(&settled(&self.in_flight))?;
        let ttft = Slope::of(&settled(&self.ttft))?;
        let over = growth.at_least(SURE) > PILES_UP * offered_rps && ttft.at_least(SURE) > 0.0;
        over.then(|| Saturated {
            at_s,
            in_flight: self.in_flight.last().map_or(0, |(_, n)| *n as u64),
            growth_rps: growth.estimate(),
            ttft_growth: ttft.estimate(),
            offered_rps,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    /// A queue before so many places, whose service is even or exponential, of mean `service_s`, watched for 20 s with a
    /// look each 0.5 s; true if it was said to be over-saturated. First tokens come when service begins, and are told
    /// when it ends.
    fn said(rate: f64, places: usize, service_s: f64, even: bool, seed: u64) -> bool {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut exponential =
            |mean: f64| -mean * (((random.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64).ln();
        let mut free = vec![0.0_f64; places];
        let (mut now, mut passages) = (0.0, Vec::new());
        while now < 20.0 {
            now += exponential(1.0 / rate);
            let place = free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
            let begins = place.max(now);
            let ends = begins + if even { service_s } else { exponential(service_s) };
            *place = ends;
            passages.push((now, begins - now + 0.02, ends));
        }
        let mut watch = Watch::default();
        let mut told = 0;
        passages.sort_by(|a, b| a.2.total_cmp(&b.2));
        for tick in 1..=200 {
            let at = 0.1 * f64::from(tick);
            while let Some((start, ttft, _)) = passages.get(told).filter(|p| p.2 <= at) {
                watch.first_token(*start, *ttft);
                told += 1;
            }
            watch.count(at, passages.iter().filter(|p| p.0 <= at && p.2 > at).count() as u64);
            if tick % 5 == 0 && watch.look(at, rate).is_some() {
                return true;
            }
        }
        false
    }

    fn of_200(rate: f64, places: usize, service_s: f64, even: bool) -> usize {
        (0..200).filter(|seed| said(rate, places, service_s, even, *seed)).count()
    }

    /// Stationary queues. What is said of 200 runs of 20 s at half, 0.7 and 0.8 of the capacity, where places are many,
    /// where there is one, with even and exponential service: the false alarms that this module's text speaks of. Near
    /// the capacity a queue wanders for longer than 20 s, and is over-saturated as far as anyone can see.
    #[test]
    fn stationary_queues_are_rarely_called_over_saturated() {
        let mut alarms = Vec::new();
        for load in [0.5, 0.7, 0.8] {
            for (places, service_s, even) in
                [(64, 1.0, true), (64, 1.0, false), (8, 0.2, true), (1, 0.02, true), (1, 0.05, false)]
            {
                let rate = load * places as f64 / service_s;
                alarms.push((load, of_200(rate, places, service_s, even)));
            }
        }
        eprintln!("false alarms of 200: {alarms:?}");
        let most = |load: f64| alarms.iter().filter(|(l, _)| *l <= load).map(|(_, n)| *n).max().unwrap();
        assert!(most(0.7) <= 2, "1 % of runs at most: {alarms:?}");
        assert!(most(0.8) <= 4, "2 % of runs at most: {alarms:?}");
    }

    #[test]
    fn a_load_beyond_the_capacity_is_found_out() {
        for (load, least) in [(1.3, 170), (1.5, 190), (2.0, 195), (4.0, 195)] {
            let found = of_200(load * 40.0, 8, 0.2, true);
            eprintln!("found of 200 at {load}: {found}");
            assert!(found >= least, "{found} of 200 at {load}");
        }
    }

    #[test]
    fn nothing_is_concluded_of_nothing() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(10.0, 5.0), None);
        (0..100).for_each(|i| watch.count(0.1 * f64::from(i), 3));
        assert_eq!(watch.look(10.0, 5.0), None, "no first token was told");
    }
}
