//! `data/stamps.csv` and `data/gaps.csv`: every stamp, and every gap between tokens, of the requests that the
//! page draws one by one. This file must not know how any of them was placed.

use super::{cell, table};
use crate::record::waterfall::Waterfall;
use crate::report::{Artifact, Report};

pub(in crate::report) const STAMPS: Artifact = Artifact {
    file: "data/stamps.csv",
    what: "every stamp of both sides of the requests that are drawn one by one",
    write: stamps,
};

pub(in crate::report) const GAPS: Artifact =
    Artifact { file: "data/gaps.csv", what: "the gaps between the tokens of these requests", write: gaps };

/// All of one request: its parts, its stamps, its gaps. Where a part lies is as it is drawn; what is not known is empty.
pub(in crate::report) fn one(w: &Waterfall) -> anyhow::Result<String> {
    let head = ["kind", "what", "by", "ttft_s", "e2e_s", "lo_s", "hi_s", "note"];
    let parts = w.parts.iter().map(|p| {
        let (lo, hi) = (p.extents.first().map(|e| e.begin_lo_s), p.extents.last().map(|e| e.end_hi_s));
        let (what, how) = (p.part.name().to_owned(), p.how().to_owned());
        vec![
            "part".to_owned(),
            what,
            p.part.whose().name().to_owned(),
            cell(p.ttft_s),
            cell(p.e2e_s),
            cell(lo),
            cell(hi),
            how,
        ]
    });
    let stamps = w.stamps.iter().map(|s| {
        let (lo, hi, by) = (s.lo_s.to_string(), s.hi_s.to_string(), s.by.name().to_owned());
        let note = s.note.clone().unwrap_or_default();
        vec!["stamp".to_owned(), s.what.clone(), by, String::new(), String::new(), lo, hi, note]
    });
    let gaps = w.decode.iter().flat_map(|decode| &decode.gaps).map(|g| {
        let (event, lo, hi) = (g.event.to_string(), (g.at_s - g.gap_s).to_string(), g.at_s.to_string());
        let empty = String::new;
        vec!["gap".to_owned(), format!("before event {event}"), empty(), empty(), empty(), lo, hi, empty()]
    });
    table(&head, parts.chain(stamps).chain(gaps))
}

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
