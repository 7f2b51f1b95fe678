//! What the metrics endpoints counted between the snapshots before and after the load: exact means
//! from sums and counts, quantiles as the bucket they fall in. Several endpoints are added up. A
//! counter that began anew in between makes all of it unusable, and that is said. This file must not
//! know how a server spells its metrics.

use std::collections::{BTreeMap, BTreeSet};

use crate::metric::Metric;
use crate::record::correlated::{Aggregate, Window, WindowMean};
use crate::record::{RequestRow, ScrapePhase, ScrapeRow};
use crate::server::{Hist, Server, Totals};
use crate::stats::histogram::{self, Buckets};

/// When a process began, as Prometheus clients tell it.
const PROCESS_START: &str = "process_start_time_seconds";

const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// The window between the snapshots, and what was counted in it.
pub fn join(scrapes: &[ScrapeRow], server: &Server) -> (Aggregate, Option<Window>) {
    let sources: BTreeSet<&str> = scrapes.iter().map(|s| s.source.as_str()).collect();
    let mut aggregate = Aggregate { endpoints: sources.len(), ..Aggregate::default() };
    let mut ends = Ends::default();
    let mut troubles: Vec<String> = Vec::new();
    for source in sources {
        let mut of_one: Vec<&ScrapeRow> =
            scrapes.iter().filter(|s| s.source == source && s.error.is_none()).collect();
        of_one.sort_by_key(|s| s.send_unix_ns);
        match Endpoint::new(&of_one, server) {
            Ok(endpoint) => {
                if let Some(what) = &endpoint.reset {
                    troubles.push(format!("{source}: {what} between two scrapes: the server was restarted"));
                }
                ends.add(&endpoint);
            }
            Err(trouble) => troubles.push(format!("{source}: {trouble}")),
        }
    }
    let Ends { before: Some(before), after: Some(after), window } = ends else {
        let nothing = "no metrics endpoint was scraped".to_owned();
        aggregate.unusable = Some(if troubles.is_empty() { nothing } else { troubles.join("; ") });
        return (aggregate, None);
    };
    aggregate.unusable = (!troubles.is_empty()).then(|| troubles.join("; "));
    let delta = after.since(&before);
    aggregate.histograms = histograms(&before, &after, &delta);
    aggregate.prompt_tokens = delta.prompt_tokens;
    aggregate.generation_tokens = delta.generation_tokens;
    aggregate.decode_seconds = delta.decode_seconds.zip(after.decode_seconds);
    aggregate.finished = delta.finished;
    aggregate.in_flight_before = in_engine(&before);
    aggregate.in_flight_after = in_engine(&after);
    (aggregate, window)
}

/// The window of the requests alone, where there are no snapshots.
pub fn window_of(requests: &[RequestRow]) -> Option<Window> {
    Some(Window {
        begin_unix_ns: requests.iter().map(|r| r.started_unix_ns).min()?,
        end_unix_ns: requests.iter().map(|r| r.done_unix_ns).max()?,
    })
}

/// All endpoints' totals at both ends.
#[derive(Default)]
struct Ends {
    before: Option<Totals>,
    after: Option<Totals>,
    window: Option<Window>,
}

impl Ends {
    fn add(&mut self, endpoint: &Endpoint) {
        let sum = |so_far: &Option<Totals>, one: &Totals| {
            Some(so_far.as_ref().map_or_else(|| one.clone(), |t| t.plus(one)))
        };
        self.before = sum(&self.before, &endpoint.before);
        self.after = sum(&self.after, &endpoint.after);
        let one = endpoint.window;
        self.window = Some(self.window.map_or(one, |w| Window {
            begin_unix_ns: w.begin_unix_ns.min(one.begin_unix_ns),
            end_unix_ns: w.end_unix_ns.max(one.end_unix_ns),
        }));
    }
}

/// One endpoint over the run.
struct Endpoint {
    before: Totals,
    after: Totals,
    window: Window,
    /// What shows that its counters began anew, if they did.
    reset: Option<String>,
}

impl Endpoint {
    /// From its good scrapes in the order of time. The last snapshot of each kind counts: it is
    /// repeated until the server has come to rest.
    fn new(scrapes: &[&ScrapeRow], server: &Server) -> Result<Self, String> {
        let last = |phase: ScrapePhase| {
            let found = scrapes.iter().rev().find(|s| s.phase == phase && !s.samples.is_empty());
            found.copied().ok_or(phase)
        };
        let missing = |phase: ScrapePhase| match phase {
            ScrapePhase::Before => "no snapshot from before the load".to_owned(),
            _ => "no snapshot from after the load".to_owned(),
        };
        let before = last(ScrapePhase::Before).map_err(missing)?;
        let after = last(ScrapePhase::After).map_err(missing)?;
        let (begin, end) = (before.recv_unix_ns, after.send_unix_ns);
        let within =
            |s: &&&ScrapeRow| s.send_unix_ns >= before.send_unix_ns && s.send_unix_ns <= after.send_unix_ns;
        let scrapes: Vec<&ScrapeRow> = scrapes.iter().filter(within).copied().collect();
        let over_time: Vec<Totals> = scrapes.iter().map(|s| server.totals(&s.samples)).collect();
        Ok(Self {
            before: server.totals(&before.samples),
            after: server.totals(&after.samples),
            window: Window { begin_unix_ns: begin, end_unix_ns: end },
            reset: fallen(&over_time)
                .map(|name| format!("{name} fell"))
                .or_else(|| fallen_series(&scrapes, server))
                .or_else(|| process_changed(&scrapes)),
        })
    }
}

/// A counter's name and how it is read.
type Counter<'a> = (&'static str, &'a dyn Fn(&Totals) -> Option<f64>);
/// A histogram's metric and how it is read.
type Histogram = (Metric, fn(&Totals) -> Option<&Hist>);

/// The first counter that fell from one scrape to the next.
fn fallen(over_time: &[Totals]) -> Option<&'static str> {
    let count = |hist: &Option<Hist>| hist.as_ref().map(|h| h.count);
    let counters: [Counter<'_>; 6] = [
        ("the count of first tokens", &|t| count(&t.ttft)),
        ("the count of finished requests", &|t| count(&t.e2e)),
        ("the sum of durations", &|t| t.e2e.as_ref().map(|h| h.sum)),
        ("the count of prompt tokens", &|t| t.prompt_tokens),
        ("the count of generated tokens", &|t| t.generation_tokens),
        ("the count of finished requests", &Totals::finished_all),
    ];
    let fell = |read: &dyn Fn(&Totals) -> Option<f64>| {
        let readings: Vec<f64> = over_time.iter().filter_map(read).collect();
        histogram::increase(&readings).is_some_and(|increase| increase.resets > 0)
    };
    counters.iter().find(|(_, read)| fell(read)).map(|(name, _)| *name)
}

/// A series: its name and labels.
type Series<'a> = (&'a str, &'a [(String, String)]);

/// The first series of a counter that fell: of one engine of several, say, whose others went on.
fn fallen_series(scrapes: &[&ScrapeRow], server: &Server) -> Option<String> {
    let mut last: BTreeMap<Series<'_>, f64> = BTreeMap::new();
    for sample in scrapes.iter().flat_map(|scrape| &scrape.samples) {
        if !server.metrics.counts(&sample.name) {
            continue;
        }
        let before = last.insert((&sample.name, &sample.labels), sample.value);
        if let Some(before) = before.filter(|before| sample.value < *before) {
            let labels: Vec<String> = sample.labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
            return Some(format!(
                "`{}{{{}}}` fell from {before} to {}",
                sample.name,
                labels.join(","),
                sample.value
            ));
        }
    }
    None
}

/// A process that began later has counters of its own, however high they are by then.
fn process_changed(scrapes: &[&ScrapeRow]) -> Option<String> {
    let mut starts = scrapes.iter().filter_map(|scrape| {
        let mut own = scrape.samples.iter().filter(|sample| sample.name == PROCESS_START);
        own.next().map(|sample| sample.value)
    });
    let first = starts.next()?;
    let other = starts.find(|start| start.to_bits() != first.to_bits())?;
    Some(format!("`{PROCESS_START}` changed from {first} to {other}"))
}

fn in_engine(totals: &Totals) -> Option<f64> {
    Some(totals.running? + totals.waiting.unwrap_or(0.0))
}

/// Every histogram's change.
fn histograms(before: &Totals, after: &Totals, delta: &Totals) -> Vec<WindowMean> {
    let of: [Histogram; 7] = [
        (Metric::Ttft, |t| t.ttft.as_ref()),
        (Metric::Itl, |t| t.itl.as_ref()),
        (Metric::Tpot, |t| t.tpot.as_ref()),
        (Metric::E2e, |t| t.e2e.as_ref()),
        (Metric::Queue, |t| t.queue.as_ref()),
        (Metric::Prefill, |t| t.prefill.as_ref()),
        (Metric::Decode, |t| t.decode.as_ref()),
    ];
    of.into_iter()
        .filter_map(|(metric, hist)| {
            let change = hist(delta)?;
            let buckets = change_of(hist(before), hist(after));
            Some(WindowMean {
                metric,
                sum: change.sum,
                count: change.count,
                mean: change.mean(),
                quantiles: buckets.as_ref().map(quantiles).unwrap_or_default(),
                buckets,
            })
        })
        .collect()
}

/// What came in the window, by bucket.
fn change_of(before: Option<&Hist>, after: Option<&Hist>) -> Option<Buckets> {
    let buckets = |hist: &Hist| Buckets::new(&hist.buckets);
    let after = after.and_then(buckets)?;
    match before.and_then(buckets) {
        Some(before) => after.since(&before).filter(|delta| !delta.reset).map(|delta| delta.buckets),
        None => Some(after),
    }
}

/// Its quantiles, as `(q, lower, upper)`.
fn quantiles(change: &Buckets) -> Vec<(f64, f64, Option<f64>)> {
    QUANTILES
        .into_iter()
        .filter_map(|q| change.quantile(q).map(|(lo, hi)| (q, lo, hi.is_finite().then_some(hi))))
        .collect()
}

/// Requests that ended well in the window: all but the aborted and the failed.
pub fn finished_well(finished: &BTreeMap<String, f64>) -> Option<f64> {
    let well = finished.iter().filter(|(reason, _)| !matches!(reason.as_str(), "abort" | "error"));
    (!finished.is_empty()).then(|| well.map(|(_, n)| n).sum())
}
