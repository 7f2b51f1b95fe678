//! The same run, seen through a window: its figures made from some of the requests. What cannot be cut,
//! because a counter was read only before and after, stays that of the whole run and is marked. This
//! file must not know how the window was chosen.

use super::{breakdown, headline, hops};
use crate::record::JoinedRow;
use crate::record::correlated::{Breakdown, Correlated, Evidence, HeadlineRow};

/// `run` with the figures of those requests alone whose flag (one for each row) is set. Everything else
/// stays as it is: the reconciliation, the coverage and the clocks are about all that was recorded.
pub fn within(run: Correlated, inside: &[bool], seed: u64) -> Correlated {
    let rows: Vec<JoinedRow> =
        run.rows.iter().zip(inside).filter(|(_, inside)| **inside).map(|(row, _)| row.clone()).collect();
    let cut = headline::headline(&rows, &run.aggregate, &run.rounds, seed);
    let headline = run.headline.into_iter().zip(cut).map(|(whole, cut)| one_of(whole, cut)).collect();
    let broken_down = |whole: Breakdown| {
        let cut = breakdown::breakdown(&rows, &run.rows, &run.aggregate, whole.of, &run.rounds, seed);
        match cut.source {
            Evidence::Metrics => Breakdown { rule: format!("{}; whole run", whole.rule), ..whole },
            _ => cut,
        }
    };
    let (breakdown, breakdown_e2e) = (broken_down(run.breakdown), broken_down(run.breakdown_e2e));
    let hops = hops::hops(&rows, &run.hops.list, &run.rounds, seed);
    Correlated { rows, headline, breakdown, breakdown_e2e, hops, ..run }
}

/// The figure of the window, or that of the whole run where the server's side is known only of that:
/// then the tool's side is of the whole run, too.
fn one_of(whole: HeadlineRow, cut: HeadlineRow) -> HeadlineRow {
    match cut.source {
        Evidence::Metrics | Evidence::LogStats => {
            HeadlineRow { title: format!("{} | whole run", whole.title), whole_run: true, ..whole }
        }
        _ => cut,
    }
}
