//! Every number of the report, computed once: what happened, how long it took, with n and interval.
//! The writers only lay these out. This file must not know Markdown, terminals or plots.

use std::collections::BTreeMap;

use serde::Serialize;

use super::causes;
use super::distributions::{self, MetricSummary};
use super::from_events::FromEvents;
use super::full_load::{self, Passages};
use super::inexact::Inexact;
use super::window::{SteadyFacts, View, WindowFacts};
use crate::metric::Metric;
use crate::record::correlated::Correlated;
use crate::record::own::OwnLag;
use crate::record::shard::HostRow;
use crate::record::slo::{Slo, SloFound};
use crate::record::{RequestRow, StampSource, Status};
use crate::stats::many::Values;
use crate::stats::rates::Rates;
use crate::store::Manifest;
use crate::store::manifest::RunState;

/// The numbers of one run, apart from what correlation already says.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Which requests everything here is made from.
    pub window: WindowFacts,
    pub steady: SteadyFacts,
    /// Rounds of users that moved in lockstep: the blocks that intervals are made from.
    pub rounds: Option<usize>,
    pub counts: Counts,
    pub errors: Vec<ErrorKind>,
    /// First request started → last request done; of a window, its length.
    pub duration_s: f64,
    pub totals: Totals,
    /// While the load was full; `None` where it never was, with the reason.
    pub rates: Option<Rates>,
    pub no_rates: Option<String>,
    /// Of a run with objectives: how many requests met them.
    pub slo: Option<SloFound>,
    /// Over successful requests.
    pub client: Vec<MetricSummary>,
    /// Over joined requests, per-request sources only.
    pub server: Vec<MetricSummary>,
    pub stamps: Stamps,
    pub workload: WorkloadFacts,
    /// What was seen of the program itself; `None` for a run that was killed.
    pub own: Option<OwnLag>,
    /// Of a load that several processes sent: a row each; in the file they stand with its ranks.
    #[serde(skip)]
    pub hosts: Vec<HostRow>,
}

/// How the requests ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    pub total: usize,
    pub ok: usize,
    pub failed: usize,
    /// Not ended when the run was: neither ok nor failed.
    pub in_flight: usize,
    pub by_status: BTreeMap<&'static str, usize>,
}

/// Failures of one kind with one message.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorKind {
    pub status: &'static str,
    pub message: String,
    pub n: usize,
}

/// Sums and rates over the whole run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Successful requests whose usage the server did not send.
    pub requests_without_usage: usize,
    pub requests_rps: f64,
    pub output_tps: f64,
    pub total_tps: f64,
    /// The most tokens that arrived in one second, seconds counted from the first start.
    pub peak_output_tps: Option<f64>,
    pub peak_concurrency: usize,
}

/// How good the stamps are: what the tool itself contributes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stamps {
    pub events: usize,
    pub exact_events: usize,
    pub first_tokens: usize,
    pub exact_first_tokens: usize,
    pub inexact: Inexact,
    /// Requests whose stamps are the kernel's; the others have user stamps.
    pub kernel_stamped: usize,
    /// User stamp − kernel stamp, per event that has both: what stamping in the program would have
    /// added.
    pub client_lag: Option<MetricLike>,
    /// Started − scheduled.
    pub schedule_lateness: Option<MetricLike>,
}

/// A distribution in short.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MetricLike {
    pub n: usize,
    pub mean_s: f64,
    pub p50_s: f64,
    pub p90_s: f64,
    pub p99_s: f64,
    pub max_s: f64,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct WorkloadFacts {
    pub distinct_prompts: usize,
    /// The most often a prompt was sent: above 1, a prefix cache may have answered.
    pub most_repeats: usize,
}

impl Summary {
    /// Counts and distributions of a run, with what was seen of the program meanwhile.
    pub fn new(
        correlated: &Correlated,
        events: &FromEvents,
        own: Option<OwnLag>,
        view: View,
        slo: Slo,
    ) -> Self {
        let rows: Vec<&RequestRow> = correlated.rows.iter().map(|j| &j.client).collect();
        let ok: Vec<&RequestRow> = rows.iter().copied().filter(|r| r.status == Status::Ok).collect();
        // Of what started in a window, some ends after it; at a steady state as much ends in it that
        // started before.
        let duration_s = view.window.end_s - view.window.begin_s;
        let rates = Passages::of(&rows).ok_or_else(|| "there are no requests".to_owned());
        let (rates, no_rates) = match rates.and_then(|passages| passages.rates(events.tokens.as_ref())) {
            Ok(rates) => (Some(rates), None),
            Err(why) => (None, Some(why)),
        };
        Self {
            window: view.window,
            steady: view.steady,
            rounds: correlated.rounds.count(),
            counts: counts(&rows),
            errors: errors(&rows),
            duration_s,
            totals: totals(&rows, &ok, events, duration_s),
            slo: full_load::slo(slo, &rows, rates.as_ref(), duration_s),
            rates,
            no_rates,
            client: distributions::client(&ok, &events.gaps_s, &correlated.rounds),
            server: distributions::server(correlated),
            stamps: stamps(&rows, events),
            workload: workload(&rows),
            own,
            hosts: Vec::new(),
        }
    }

    /// Leaves only what is true of requests of whatever load: those of an audit are of many.
    pub fn leave_out_figures(&mut self) {
        (self.client, self.server, self.rounds) = (Vec::new(), Vec::new(), None);
        (self.rates, self.slo) = (None, None);
        self.totals = Totals {
            input_tokens: self.totals.input_tokens,
            output_tokens: self.totals.output_tokens,
            requests_without_usage: self.totals.requests_without_usage,
            ..Totals::default()
        };
    }

    /// One client metric.
    pub fn of(&self, metric: Metric) -> Option<&MetricSummary> {
        self.client.iter().find(|m| m.metric == metric)
    }

    /// What a reader must know before any number, with its cause.
    pub fn warnings(&self, manifest: &Manifest) -> Vec<String> {
        let mut said = Vec::new();
        if manifest.state == RunState::Running {
            said.push("the run has not ended: it was killed, or is still going on; only requests that had ended are here".to_owned());
        }
        said.extend(manifest.warnings.iter().cloned());
        let s = &self.stamps;
        if s.first_tokens > 0 && s.kernel_stamped == 0 {
            said.push("no kernel stamps (not on this system, or not asked for): every time is a user stamp and contains the client's own lag".to_owned());
        }
        said.extend(causes::warnings(self, manifest));
        if let Some(drift) = manifest.clock.drift_s.filter(|d| d.abs() > 1e-3) {
            let steps = &manifest.clock.steps;
            said.push(format!(
                "the wall clock was stepped {} times during the run, by {} in all: the client's stamps follow the monotonic clock and are not moved; instants of a server on this host were moved back, those of another host are as they came",
                steps.len(),
                crate::units::seconds(drift)
            ));
        }
        if self.totals.requests_without_usage > 0 {
            said.push(format!(
                "{} successful requests came without token counts (`usage`): token rates leave them out",
                self.totals.requests_without_usage
            ));
        }
        said
    }
}

fn counts(rows: &[&RequestRow]) -> Counts {
    let mut counts = Counts { total: rows.len(), ..Counts::default() };
    for status in Status::ALL {
        let n = rows.iter().filter(|r| r.status == status).count();
        if n > 0 {
            counts.by_status.insert(status.as_str(), n);
        }
        match status {
            Status::Ok => counts.ok += n,
            Status::InFlight => counts.in_flight += n,
            _ => counts.failed += n,
        }
    }
    counts
}

fn errors(rows: &[&RequestRow]) -> Vec<ErrorKind> {
    let mut kinds: BTreeMap<(Status, &str), usize> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.status.is_failure()) {
        *kinds.entry((row.status, row.error.as_deref().unwrap_or(""))).or_default() += 1;
    }
    let mut errors: Vec<ErrorKind> = kinds
        .into_iter()
        .map(|((status, message), n)| ErrorKind { status: status.as_str(), message: message.to_owned(), n })
        .collect();
    errors.sort_by_key(|e| std::cmp::Reverse(e.n));
    errors
}

fn totals(rows: &[&RequestRow], ok: &[&RequestRow], events: &FromEvents, duration_s: f64) -> Totals {
    let sum = |count: fn(&RequestRow) -> Option<u32>| {
        ok.iter().filter_map(|r| count(r)).map(u64::from).sum::<u64>()
    };
    let (input_tokens, output_tokens) = (sum(|r| r.input_tokens), sum(|r| r.output_tokens));
    let rate = |n: f64| if duration_s > 0.0 { n / duration_s } else { 0.0 };
    Totals {
        input_tokens,
        output_tokens,
        requests_without_usage: ok.iter().filter(|r| r.output_tokens.is_none()).count(),
        requests_rps: rate(ok.len() as f64),
        output_tps: rate(output_tokens as f64),
        total_tps: rate((input_tokens + output_tokens) as f64),
        peak_output_tps: events.peak_tokens,
        peak_concurrency: peak_concurrency(rows),
    }
}

fn peak_concurrency(rows: &[&RequestRow]) -> usize {
    let mut steps: Vec<(i64, i64)> =
        rows.iter().flat_map(|r| [(r.started_unix_ns.0, 1), (r.done_unix_ns.0, -1)]).collect();
    // At equal times the end comes first: a user's next request does not overlap its last.
    steps.sort_unstable();
    let (mut now, mut peak) = (0_i64, 0_i64);
    for (_, step) in steps {
        now += step;
        peak = peak.max(now);
    }
    peak as usize
}

fn stamps(rows: &[&RequestRow], events: &FromEvents) -> Stamps {
    let first: Vec<&&RequestRow> = rows.iter().filter(|r| r.first_token_unix_ns.is_some()).collect();
    let late: Vec<f64> = rows.iter().map(|r| r.started_unix_ns.seconds_since(r.scheduled_unix_ns)).collect();
    Stamps {
        events: events.events,
        exact_events: rows.iter().map(|r| r.n_exact_events as usize).sum(),
        first_tokens: first.len(),
        exact_first_tokens: first
            .iter()
            .filter(|r| r.first_token_lo_unix_ns == r.first_token_unix_ns)
            .count(),
        inexact: events.inexact,
        kernel_stamped: rows.iter().filter(|r| r.stamps > StampSource::User).count(),
        client_lag: in_short(&events.client_lag_s),
        schedule_lateness: in_short(&Values::Kept(late)),
    }
}

fn in_short(values: &Values) -> Option<MetricLike> {
    let [p50_s, p90_s, p99_s] = values.quantiles([0.5, 0.9, 0.99])?;
    let (_, max_s) = values.ends()?;
    Some(MetricLike { n: values.len(), mean_s: values.mean()?, p50_s, p90_s, p99_s, max_s })
}

fn workload(rows: &[&RequestRow]) -> WorkloadFacts {
    let mut sent: BTreeMap<u32, usize> = BTreeMap::new();
    for row in rows {
        *sent.entry(row.prompt_index).or_default() += 1;
    }
    WorkloadFacts { distinct_prompts: sent.len(), most_repeats: sent.values().copied().max().unwrap_or(0) }
}
