//! What stands first: the run in one sentence, what did not reconcile, and both sides beside each other. This
//! file must not know how any of it was found.

use serde::Serialize;

use super::page::Page;
use crate::metric::Metric;
use crate::record::correlated::{Check, Verdict};
use crate::report::{audit, tables, verdict};
use crate::units;

/// The top of the page.
#[derive(Serialize)]
pub struct Top {
    name: String,
    facts: Vec<(&'static str, String)>,
    counts: Vec<Count>,
    apart: Option<verdict::Apart>,
    /// In place of it, where there is none.
    sentences: Vec<String>,
    warnings: Vec<String>,
    differ: Vec<Differs>,
    /// What is reconciled, in one sentence.
    reconciled: String,
    coverage: Vec<String>,
    headline: String,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Count {
    name: &'static str,
    value: String,
    /// Something went wrong.
    bad: bool,
}

#[derive(Serialize)]
struct Differs {
    name: &'static str,
    detail: String,
}

/// Of a report.
pub fn top(page: &Page<'_>) -> anyhow::Result<Top> {
    let report = page.report;
    let checks = &report.correlated.checks;
    let of = |verdict: Verdict| checks.iter().filter(move |c| c.verdict == verdict);
    let headline = tables::headline(report);
    Ok(Top {
        name: report.manifest.name.clone(),
        facts: report.facts().into_iter().filter(|(label, _)| *label != "run").collect(),
        counts: counts(page),
        apart: verdict::apart(report),
        sentences: sentences(page),
        warnings: report.warnings(),
        differ: of(Verdict::Differ)
            .map(|c: &Check| Differs { name: c.name, detail: c.detail.clone() })
            .collect(),
        reconciled: format!(
            "{} of {} checks agree, {} could not be made.",
            of(Verdict::Agree).count(),
            checks.len(),
            of(Verdict::NotAvailable).count()
        ),
        coverage: tables::coverage(report),
        headline: if headline.rows.is_empty() || report.audit.is_some() {
            String::new()
        } else {
            page.table(&headline)?
        },
        notes: report.notes.iter().chain(&report.manifest.notes).cloned().collect(),
    })
}

fn counts(page: &Page<'_>) -> Vec<Count> {
    let s = page.report.summary;
    let count = |name, value: String, bad| Count { name, value, bad };
    let mut all = vec![
        count("requests", units::count(s.counts.total as u64), false),
        count("ok", units::count(s.counts.ok as u64), s.counts.ok == 0),
        count("failed", units::count(s.counts.failed as u64), s.counts.failed > 0),
    ];
    if s.counts.in_flight > 0 {
        all.push(count("in flight at the end", units::count(s.counts.in_flight as u64), false));
    }
    all.push(count("duration", units::seconds(s.duration_s), false));
    if page.report.audit.is_none() {
        all.push(count("requests per second", format!("{:.2}", s.totals.requests_rps), false));
        all.push(count("output tokens", units::tokens_per_second(s.totals.output_tps), false));
        all.push(count("most at once", units::count(s.totals.peak_concurrency as u64), false));
    }
    all
}

/// What can be said in one line where no request's server side is known, and of an audit.
fn sentences(page: &Page<'_>) -> Vec<String> {
    let report = page.report;
    let found = audit::verdict(report);
    if !found.is_empty() || verdict::apart(report).is_some() {
        return found;
    }
    let ttft = report.correlated.headline.iter().find(|row| row.metric == Metric::Ttft);
    let said = ttft.and_then(|row| {
        let (tool, server, tare) = (row.tool?, row.server?, row.tare?);
        Some(format!(
            "Client TTFT {} = server {} + tare {} (means, {}); of single requests the server told nothing that splits it further.",
            units::seconds(tool.value),
            units::seconds(server.value),
            units::seconds(tare.value),
            row.source.name()
        ))
    });
    let alone = || {
        let ttft = report.summary.of(Metric::Ttft)?;
        let mean = &ttft.mean;
        let n = units::count(ttft.n as u64);
        Some(format!(
            "Client TTFT {} (mean of {n} requests); nothing is known of the server's side.",
            units::seconds(mean.value)
        ))
    };
    let nothing = || "No request had a first token.".to_owned();
    vec![said.or_else(alone).unwrap_or_else(nothing)]
}
