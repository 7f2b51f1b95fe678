//! A load as one of several ranks has it: how many connections, users and files it will need. What is
//! sent when is never made from this, but from the whole load, number by number. This file must not know
//! sockets.

use crate::config::{Arrival, Load, Over, RateStage, Times, UserStage};
use crate::record::share::Share;

/// The part of `load` that falls to `share`; a cap that has no place for it becomes 0.
pub fn own(load: &Load, share: Share) -> Load {
    if share.is_whole() {
        return load.clone();
    }
    Load {
        arrival: own_arrival(&load.arrival, share),
        requests: load.requests.map(|n| share.numbers(load.arrival.users()).below(n)),
        max_concurrency: load.max_concurrency.map(|n| share.users(n)),
        warmups: share.users(load.warmups),
        ..load.clone()
    }
}

fn own_arrival(arrival: &Arrival, share: Share) -> Arrival {
    let part = |rate: f64| rate / f64::from(share.world);
    match arrival {
        Arrival::Closed { users, ramp_s } => Arrival::Closed { users: share.users(*users), ramp_s: *ramp_s },
        Arrival::UserStages { stages } => {
            let own = |stage: &UserStage| UserStage { users: share.users(stage.users), ..*stage };
            Arrival::UserStages { stages: stages.iter().map(own).collect() }
        }
        Arrival::Burst => Arrival::Burst,
        Arrival::Constant { rate_rps } => Arrival::Constant { rate_rps: part(*rate_rps) },
        Arrival::Poisson { rate_rps } => Arrival::Poisson { rate_rps: part(*rate_rps) },
        Arrival::Gamma { rate_rps, burstiness } => {
            Arrival::Gamma { rate_rps: part(*rate_rps), burstiness: *burstiness }
        }
        Arrival::RateRamp { gaps, change, from_rps, to_rps, over } => Arrival::RateRamp {
            gaps: *gaps,
            change: *change,
            from_rps: part(*from_rps),
            to_rps: part(*to_rps),
            over: match over {
                Over::Requests(n) => Over::Requests(share.of(*n)),
                Over::Seconds(s) => Over::Seconds(*s),
            },
        },
        Arrival::RateStages { stages } => {
            let own = |s: &RateStage| RateStage { from_rps: part(s.from_rps), to_rps: part(s.to_rps), ..*s };
            Arrival::RateStages { stages: stages.iter().map(own).collect() }
        }
        Arrival::Trace { speed, times } => {
            let own = times.0.iter().skip(share.rank as usize).step_by(share.world as usize);
            Arrival::Trace { speed: *speed, times: Times(own.copied().collect()) }
        }
    }
}
