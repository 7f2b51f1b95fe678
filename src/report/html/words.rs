//! What the words mean. The page has them from the dictionary. This file must not know how anything is
//! computed.

use super::page::{Page, Section};
use crate::metric::Metric;
use crate::record::correlated::PartRow;
use crate::report::tables::Table;

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let table = |title: &str, rows: Vec<Vec<String>>| Table {
        title: title.to_owned(),
        head: vec!["word".to_owned(), "meaning".to_owned()],
        rows,
        below: Vec::new(),
    };
    let metrics = Metric::ALL.iter().map(|m| vec![m.name().to_owned(), m.definition().to_owned()]).collect();
    let parts = PartRow::ALL.iter().map(|p| vec![p.name().to_owned(), p.definition().to_owned()]).collect();
    let others = [
        ("tare", "client − server, by the same estimator; of one request, or of means"),
        (
            "interval",
            "95 %, of requests in time order: for means the studentised block bootstrap (block length by Politis and White), for percentiles order statistics at the effective n",
        ),
        ("percentile", "linear interpolation between order statistics"),
        ("eff. n", "so many independent requests would tell as much about the mean"),
        ("ok", "the answer came whole: its finish_reason or [DONE] was seen"),
        ("in flight", "not ended when the run was: neither ok nor failed"),
        (
            "exact stamp",
            "a point in time; any other stamp is an interval from the last moment the socket was seen empty",
        ),
    ];
    let others =
        others.iter().map(|(word, meaning)| vec![(*word).to_owned(), (*meaning).to_owned()]).collect();
    let body = page.table(&table("Metrics", metrics))?
        + &page.table(&table("Parts of a request's time", parts))?
        + &page.table(&table("Other words", others))?;
    let lead = "Times in files are seconds; on this page they are ms, or what their unit says.".to_owned();
    Ok(Some(Section { id: "definitions", short: "Definitions", title: "Definitions".to_owned(), lead, body }))
}
