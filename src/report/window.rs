//! Which requests a report is made from, and which of them the run was in a steady state for. This
//! file must not know what is made of them.

use serde::{Deserialize, Serialize};

use super::Report;
use crate::clock::UnixNs;
use crate::error::{Failure, usage};
use crate::metric::Metric;
use crate::record::RequestRow;
use crate::record::selection::Selection;
use crate::stats::steady;
use crate::store::Manifest;
use crate::units;

/// The steady state of a run, found and marked whatever the report is made from. Seconds since the
/// first start; a request is inside if it started in [begin, end).
#[derive(Clone, Debug, Serialize)]
pub struct SteadyFacts {
    /// `None`: there is none.
    pub begin_s: Option<f64>,
    pub end_s: Option<f64>,
    /// Requests inside.
    pub requests: usize,
    /// How it was found, or why there is none.
    pub rule: String,
}

/// The requests that a report is made from.
#[derive(Clone, Debug, Serialize)]
pub struct WindowFacts {
    /// `all`, `steady`, or `A..B` as it was asked for.
    pub choice: String,
    /// Seconds since the first start, within the run.
    pub begin_s: f64,
    pub end_s: f64,
    /// Requests that started inside.
    pub requests: usize,
    /// The others, whatever became of them.
    pub left_out: usize,
}

/// What is chosen, and the steady state beside it.
#[derive(Clone, Debug)]
pub struct View {
    pub window: WindowFacts,
    pub steady: SteadyFacts,
}

impl View {
    /// Resolves a choice against all requests of a run; an error where it leaves nothing.
    pub fn of(rows: &[&RequestRow], selection: Selection, manifest: &Manifest) -> Result<Self, Failure> {
        let starts = starts(rows);
        let steady = SteadyFacts::of(rows, &starts, level(rows, manifest));
        let run_end = run_end(rows);
        let (begin_s, end_s) = match selection {
            Selection::All => (0.0, run_end),
            Selection::Between { begin_s, end_s } => (begin_s, end_s.min(run_end)),
            Selection::Steady => steady.begin_s.zip(steady.end_s).ok_or_else(|| {
                usage(format!("the run has no steady state: {}", steady.rule))
                    .hint("`--window A..B` chooses by hand, in seconds since the first start")
            })?,
        };
        let inside = |start_s: &&f64| selection == Selection::All || (begin_s..end_s).contains(*start_s);
        let requests = starts.iter().filter(inside).count();
        if requests == 0 && selection != Selection::All {
            return Err(usage(format!("no request started in the window `{selection}`"))
                .hint(format!("the run lasted {}, from 0 on", units::seconds(run_end))));
        }
        let left_out = rows.len() - requests;
        let window = WindowFacts { choice: selection.to_string(), begin_s, end_s, requests, left_out };
        Ok(Self { window, steady })
    }

    /// Which of the requests belong to the window, in their order.
    pub fn inside(&self, rows: &[&RequestRow]) -> Vec<bool> {
        let window = self.window.begin_s..self.window.end_s;
        starts(rows).iter().map(|start_s| !self.window.is_cut() || window.contains(start_s)).collect()
    }
}

impl WindowFacts {
    /// Whether anything was asked to be left out.
    pub fn is_cut(&self) -> bool {
        self.choice != Selection::All.to_string()
    }
}

impl SteadyFacts {
    fn of(rows: &[&RequestRow], starts: &[f64], level: Level) -> Self {
        let first = rows.iter().map(|r| r.started_unix_ns).min();
        let mut requests: Vec<steady::Request> = rows
            .iter()
            .zip(starts)
            .map(|(r, start_s)| steady::Request {
                start_s: *start_s,
                done_s: first.map_or(0.0, |first| r.done_unix_ns.seconds_since(first)),
                user: r.user,
                value: r.ttft_s,
            })
            .collect();
        let mut of = String::new();
        match level {
            Level::Whole => {}
            Level::Nowhere => {
                return Self::none("at no time does the load asked for stay the same".to_owned());
            }
            Level::From(begin_s, end_s) => {
                requests.retain(|r| (begin_s..end_s).contains(&r.start_s));
                of = format!("of the stage from {begin_s:.1} s to {end_s:.1} s, in its own seconds: ");
            }
        }
        let origin_s = requests.iter().map(|r| r.start_s).fold(f64::INFINITY, f64::min);
        match steady::find(&requests, Metric::Ttft.name()) {
            Ok(found) => {
                let (begin_s, end_s) = (found.begin_s + origin_s, found.end_s + origin_s);
                Self {
                    begin_s: Some(begin_s),
                    end_s: Some(end_s),
                    requests: starts.iter().filter(|s| (begin_s..end_s).contains(*s)).count(),
                    rule: of + &found.rule,
                }
            }
            Err(why) => Self::none(of + &why),
        }
    }

    fn none(why: String) -> Self {
        Self { begin_s: None, end_s: None, requests: 0, rule: why }
    }
}

/// Where the load asked for stayed the same: only there can it have been steady.
#[derive(Clone, Copy)]
enum Level {
    /// From the first request to the last.
    Whole,
    Nowhere,
    /// Seconds since the first start, of the longest stage.
    From(f64, f64),
}

fn level(rows: &[&RequestRow], manifest: &Manifest) -> Level {
    let spans = manifest.extra.get("asked").and_then(|asked| asked.get("level_spans_s"));
    let Some(spans) = spans.and_then(|spans| Vec::<(f64, f64)>::deserialize(spans).ok()) else {
        return Level::Whole;
    };
    let Some((begin_s, end_s)) = spans.into_iter().max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0))) else {
        return Level::Nowhere;
    };
    // Spans count from the load's begin; a run that was killed does not say when that was, and its first
    // request was wanted about then.
    let begun = manifest.extra.get("load").and_then(|load| load.get("begun_unix_ns")?.as_i64()).map(UnixNs);
    let begun = begun.or_else(|| rows.iter().map(|r| r.scheduled_unix_ns).min());
    let first = rows.iter().map(|r| r.started_unix_ns).min();
    let late_s = first.zip(begun).map_or(0.0, |(first, begun)| first.seconds_since(begun));
    Level::From((begin_s - late_s).max(0.0), end_s - late_s)
}

/// Seconds from the first start to each.
fn starts(rows: &[&RequestRow]) -> Vec<f64> {
    let first = rows.iter().map(|r| r.started_unix_ns).min();
    rows.iter().map(|r| first.map_or(0.0, |first| r.started_unix_ns.seconds_since(first))).collect()
}

/// First start → last done.
fn run_end(rows: &[&RequestRow]) -> f64 {
    let first = rows.iter().map(|r| r.started_unix_ns).min();
    let last = rows.iter().map(|r| r.done_unix_ns).max();
    first.zip(last).map_or(0.0, |(first, last)| last.seconds_since(first))
}

/// The window and the steady state, a line each.
pub(super) fn facts(report: &Report<'_>) -> [(&'static str, String); 2] {
    let (w, s) = (&report.summary.window, &report.summary.steady);
    let span = |begin_s: f64, end_s: f64| format!("{begin_s:.1} s to {end_s:.1} s");
    let total = units::count((w.requests + w.left_out) as u64);
    let window = if w.is_cut() {
        format!(
            "{}, {}: the {} of {total} requests that started in it; {} left out. What is marked \"whole run\", and what was watched of the process, cannot be cut",
            w.choice,
            span(w.begin_s, w.end_s),
            units::count(w.requests as u64),
            units::count(w.left_out as u64),
        )
    } else {
        format!("all {total} requests")
    };
    let steady = match s.begin_s.zip(s.end_s) {
        Some((begin_s, end_s)) => format!(
            "{}, {} requests started in it ({})",
            span(begin_s, end_s),
            units::count(s.requests as u64),
            s.rule
        ),
        None => format!("none found ({})", s.rule),
    };
    [("window", window), ("steady state", steady)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Ten requests a second for a minute, whose TTFT is settled.
    fn rows() -> Vec<RequestRow> {
        let row = |i: i64| RequestRow {
            started_unix_ns: UnixNs(1_000_000_000 + i * 100_000_000),
            scheduled_unix_ns: UnixNs(1_000_000_000 + i * 100_000_000),
            done_unix_ns: UnixNs(1_050_000_000 + i * 100_000_000),
            ttft_s: Some(0.01 + 0.001 * (i % 7) as f64),
            ..RequestRow::default()
        };
        (0..600).map(row).collect()
    }

    /// The steady state, where the load asked for stayed the same in `spans`, and began half a second
    /// before its first request.
    fn steady(spans: &Value) -> SteadyFacts {
        let rows = rows();
        let rows: Vec<&RequestRow> = rows.iter().collect();
        let mut manifest = Manifest::new("x", Value::Null);
        manifest.extra.insert("asked".to_owned(), json!({ "level_spans_s": spans }));
        manifest.extra.insert("load".to_owned(), json!({ "begun_unix_ns": 500_000_000 }));
        View::of(&rows, Selection::All, &manifest).unwrap().steady
    }

    #[test]
    fn a_load_that_changes_is_steady_in_its_longest_stage_at_most() {
        let found = steady(&json!([[0.0, 10.0], [20.5, 50.5]]));
        let (begin_s, end_s) = (found.begin_s.unwrap(), found.end_s.unwrap());
        assert!((begin_s - 20.0).abs() < 1e-6 && (end_s - 49.9).abs() < 1e-6, "{found:?}");
        assert_eq!(found.requests, 300);
        assert!(
            found.rule.starts_with("of the stage from 20.0 s to 50.0 s, in its own seconds: "),
            "{found:?}"
        );
        assert_eq!(steady(&json!([])).begin_s, None);
        assert!((steady(&Value::Null).end_s.unwrap() - 59.9).abs() < 1e-6);
    }
}
