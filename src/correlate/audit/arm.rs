//! One arm of an audit as a load of its own: client and server, and where the time went. Both arms were
//! joined together, so the direct one bounds the server's clock for both. This file must not know pairs.

use super::super::{breakdown, headline, hops};
use crate::metric::Metric;
use crate::record::JoinedRow;
use crate::record::audit::{Arm, ArmFound};
use crate::record::correlated::{Aggregate, Correlated};

/// Made of the arm's requests alone. What only counts over time, the metrics endpoint, counted both arms
/// and says nothing of one.
pub(super) fn found(run: &Correlated, arm: Arm, seed: u64) -> ArmFound {
    let rows: Vec<JoinedRow> = run.rows.iter().filter(|row| row.client.arm == Some(arm)).cloned().collect();
    let nothing = Aggregate::default();
    let parts = |of| breakdown::breakdown(&rows, &rows, &nothing, of, &run.rounds, seed);
    ArmFound {
        arm,
        headline: headline::headline(&rows, &nothing, &run.rounds, seed),
        breakdown: parts(Metric::Ttft),
        breakdown_e2e: parts(Metric::E2e),
        hops: match arm {
            Arm::Direct => hops::hops(&rows, &[], &run.rounds, seed),
            Arm::Through => hops::hops(&rows, &run.hops.list, &run.rounds, seed),
        },
    }
}
