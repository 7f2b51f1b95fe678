//! `data/stamps.csv` and `data/gaps.csv`: every stamp, and every gap between tokens, of the requests that the
//! page draws one by one. This file must not know how any of them was placed.

use super::table;
use crate::report::{Artifact, Report};

pub(in crate::report) const STAMPS: Artifact = Artifact {
    file: "data/stamps.csv",
    what: "every stamp of both sides of the requests that are drawn one by one",
    write: stamps,
};

pub(in crate::report) const GAPS: Artifact =
    Artifact { file: "data/gaps.csv", what: "the gaps between the tokens of these requests", write: gaps };

fn stamps(report: &Report<'_>) -> anyhow::Result<String> {
    let head = ["request_id", "what", "by", "lo_s", "hi_s", "note"];
    let rows = report.chosen.iter().flat_map(|chosen| {
        let id = &chosen.waterfall.row.client.request_id;
        chosen.waterfall.stamps.iter().map(move |s| {
            let note = s.note.clone().unwrap_or_default();
            vec![
                id.clone(),
                s.what.clone(),
                s.by.name().to_owned(),
                s.lo_s.to_string(),
                s.hi_s.to_string(),
                note,
            ]
        })
    });
    table(&head, rows)
}

fn gaps(report: &Report<'_>) -> anyhow::Result<String> {
    let head = ["request_id", "event", "at_s", "gap_s", "gap_lo_s", "gap_hi_s"];
    let rows = report.chosen.iter().flat_map(|chosen| {
        let id = &chosen.waterfall.row.client.request_id;
        chosen.waterfall.decode.iter().flat_map(|decode| &decode.gaps).map(move |g| {
            vec![
                id.clone(),
                g.event.to_string(),
                g.at_s.to_string(),
                g.gap_s.to_string(),
                g.bounds.lo_s.to_string(),
                g.bounds.hi_s.to_string(),
            ]
        })
    });
    table(&head, rows)
}
