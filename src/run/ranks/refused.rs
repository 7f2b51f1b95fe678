//! What several processes cannot do together, said before anything is sent. This file must not know how
//! ranks meet.

use crate::config::{Arrival, Config};
use crate::error::{Failure, usage};
use crate::record::share::Share;

/// The first thing of this configuration that cannot be shared.
pub(super) fn refused(config: &Config, share: Share) -> Option<Failure> {
    let n = share.world;
    let no = |what: &str, hint: &str| Some(usage(format!("{what} cannot be shared by {n} ranks")).hint(hint));
    if config.target.base_url.is_none() {
        return Some(
            usage("the embedded server belongs to one process, and would be started by each rank")
                .hint("start one with `tare serve` and name it with --base-url"),
        );
    }
    if config.sweep.is_some() {
        return no(
            "a sweep or search, whose next level is decided on one process's figures,",
            "run its levels one by one, each on all ranks, and merge each: `tare correlate OUT/shard-*`",
        );
    }
    if config.audit.is_some() {
        return no("an audit, which pairs each request with its twin,", "run it on one machine");
    }
    if config.calibrate {
        return no(
            "--calibrate, which repeats a process's own load,",
            "run `tare calibrate` on each machine, at its share of the load",
        );
    }
    if config.stop_over_saturated {
        return no(
            "--stop-over-saturated, which looks at one process's requests in flight,",
            "leave it out, and bound the run with --duration",
        );
    }
    if config.results.save.is_some() {
        return no("a file of results", "`tare report MERGED --save-result` writes it of the merged run");
    }
    if !config.gates.is_empty() {
        return no("gates", "`tare report MERGED --fail-if …` judges the merged run");
    }
    if let Some(most) = config.load.max_concurrency.filter(|most| *most < n)
        && config.load.arrival.is_open()
    {
        return Some(
            usage(format!("at most {most} requests at once cannot be shared by {n} ranks: each needs one"))
                .hint("raise --max-concurrency, or start fewer ranks"),
        );
    }
    // A rank with nothing to send is a mistake in one of the two numbers.
    let least = match &config.load.arrival {
        Arrival::Closed { users, .. } => u64::from(*users),
        _ => config.load.requests.unwrap_or(u64::MAX),
    };
    (least < u64::from(n)).then(|| {
        usage(format!("{least} requests or users cannot be shared by {n} ranks: some would have none"))
            .hint("start fewer ranks")
    })
}
