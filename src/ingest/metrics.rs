//! Every metrics endpoint of a run over its time: the exact snapshot before the first measured
//! request, the grid while the load runs, the exact snapshot after the last. `scrape` asks, the
//! table in `server` reads; this file must not know any metric's spelling.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::problem::{Notes, Problem};
use super::resets::{Reset, ResetWatch};
use super::scrape::{MAX_PAGE_BYTES, Page, Scrape, Scraper, TIMEOUT, Wanted};
use super::snapshot::{AfterOutcome, BeforeOutcome, Verdict};
use super::trouble::Trouble;
use super::{Ingested, SourceReport};
use crate::clock::UnixNs;
use crate::record::{ScrapePhase, Sink};
use crate::server::recognise::by_metrics;
use crate::server::trust::Trust;
use crate::server::{SERVERS, Server, Totals};

/// A snapshot is repeated this often, and for so long at most.
const REPEAT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);
/// At the end of a run a page is waited for so long at least.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);
/// No grid is finer: the page costs the server some milliseconds of its event loop.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// All endpoints of a run. Cheap to clone; the state is shared.
#[derive(Clone)]
pub struct Endpoints {
    server: &'static Server,
    all: Arc<Vec<Endpoint>>,
    live: Live,
}

struct Endpoint {
    index: usize,
    scraper: Scraper,
    server: &'static Server,
    sink: Sink<Ingested>,
    notes: Notes,
    live: Live,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    resets: ResetWatch,
    found: Vec<Reset>,
    before: Option<Totals>,
    n_scrapes: u64,
    n_failed: u64,
    n_skipped: u64,
    n_bad_lines: u64,
    /// It was told that no answer came in time: that is said once.
    timed_out: bool,
}

impl Endpoints {
    /// For the endpoints at `urls`. One that can never be asked is a note.
    pub fn new(
        server: &'static Server,
        urls: &[String],
        trust: &Trust,
        sink: &Sink<Ingested>,
        notes: &Notes,
        live: &Live,
    ) -> Self {
        let mut endpoints = Vec::new();
        for url in urls {
            match Scraper::new(url, trust) {
                Ok(scraper) => endpoints.push(Endpoint {
                    index: endpoints.len(),
                    scraper,
                    server,
                    sink: sink.clone(),
                    notes: notes.clone(),
                    live: live.clone(),
                    state: Mutex::default(),
                }),
                Err(problem) => notes.add(problem.note()),
            }
        }
        Self { server, all: Arc::new(endpoints), live: live.clone() }
    }

    /// The snapshot before the first measured request. Waits for the server to be idle (warm-up
    /// requests are counted a moment after their answers end), but not for ever.
    pub async fn before(&self) -> BeforeOutcome {
        let begun = Instant::now();
        let mut n_scrapes = 0;
        loop {
            let scrapes = self.scrape_all(TIMEOUT).await;
            n_scrapes += 1;
            let pages: Vec<Totals> = scrapes.iter().filter_map(|(_, scrape)| self.totals(scrape)).collect();
            let all = pages.iter().fold(Totals::default(), |sum, totals| sum.plus(totals));
            let idle = is_idle(&all);
            let may_pass =
                scrapes.iter().any(|(_, scrape)| scrape.page.as_ref().is_err_and(Trouble::may_pass));
            let done = (idle && !may_pass) || begun.elapsed() >= PATIENCE;
            let phase = if done { ScrapePhase::Before } else { ScrapePhase::During };
            self.keep_all(scrapes, phase);
            if done {
                if !idle {
                    self.note_busy(&all);
                }
                return BeforeOutcome {
                    n_ok: pages.len(),
                    n_endpoints: self.all.len(),
                    idle,
                    running: all.running,
                    waiting: all.waiting,
                    n_scrapes,
                    waited_s: begun.elapsed().as_secs_f64(),
                };
            }
            tokio::time::sleep(REPEAT).await;
        }
    }

    /// Scrapes every endpoint once in each `interval` until `stop`, at a random moment of its first half:
    /// what else happens periodically must not fall together with scrapes, or their effect on the server
    /// could not be told from it. A scrape that overruns skips the intervals it missed, which are counted,
    /// and never shifts the later ones.
    pub async fn grid(&self, interval: Duration, stop: &CancellationToken) {
        let interval = interval.max(MIN_INTERVAL);
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for index in 0..self.all.len() {
            let (all, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                let Some(endpoint) = all.all.get(index) else {
                    return;
                };
                let mut point: u32 = 0;
                let mut rng = ChaCha8Rng::seed_from_u64(UnixNs::now().0.unsigned_abs());
                loop {
                    let phase = interval.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX) / 2.0);
                    tokio::select! {
                        () = tokio::time::sleep_until(begun + interval * point + phase) => {}
                        () = stop.cancelled() => return,
                    }
                    // A scrape under way is finished, not thrown away, when the grid is stopped; but an endpoint that
                    // has never answered is not waited for.
                    let scrape = tokio::select! {
                        scrape = endpoint.scraper.scrape(Wanted::WithoutBuckets) => scrape,
                        () = stop.cancelled(), if endpoint.is_silent() => {
                            endpoint.state().n_skipped += 1;
                            return;
                        }
                    };
                    endpoint.keep(scrape, ScrapePhase::During);
                    let next = (begun.elapsed().as_secs_f64() / interval.as_secs_f64()).floor() as u32 + 1;
                    endpoint.state().n_skipped += u64::from(next.saturating_sub(point + 1));
                    point = next.max(point + 1);
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// The snapshot after the last measured request: repeated until as many requests have finished
    /// at the server as `expected`, or, without that number, until the counts stand still; and until
    /// the server holds none, since it may still be letting go of those that the client gave up.
    ///
    /// `stopped`: when the grid was. From then on it takes as long as one scrape may take, or little more: an
    /// endpoint that has never answered is not asked again, and one that was waited for is waited for no longer.
    pub async fn after(&self, expected: Option<f64>, stopped: Instant) -> AfterOutcome {
        let begun = Instant::now();
        let mut n_scrapes = 0;
        let mut last = None;
        loop {
            let scrapes = self.scrape_all(TIMEOUT.saturating_sub(stopped.elapsed()).max(LEAST_TIMEOUT)).await;
            n_scrapes += 1;
            let finished = self.finished_since_before(&scrapes);
            let verdict = match (finished, expected) {
                (None, _) => Verdict::Unknown,
                (Some(finished), Some(expected)) if finished > expected => Verdict::More,
                (Some(finished), Some(expected)) if finished < expected => Verdict::Fewer,
                (Some(_), Some(_)) => Verdict::Agreed,
                (Some(_), None) => Verdict::Settled,
            };
            let idle = scrapes.iter().filter_map(|(_, scrape)| self.totals(scrape)).all(|t| is_idle(&t));
            let settled = verdict != Verdict::Fewer
                && idle
                && (expected.is_some() || (n_scrapes > 1 && finished == last));
            let worth_repeating = verdict != Verdict::Unknown
                || scrapes.iter().any(|(_, scrape)| scrape.page.as_ref().is_err_and(Trouble::may_pass));
            let done =
                (settled && verdict != Verdict::Unknown) || !worth_repeating || begun.elapsed() >= PATIENCE;
            let phase = if done { ScrapePhase::After } else { ScrapePhase::During };
            self.keep_all(scrapes, phase);
            if done {
                return AfterOutcome {
                    verdict,
                    expected,
                    finished,
                    n_scrapes,
                    waited_s: begun.elapsed().as_secs_f64(),
                };
            }
            last = finished;
            tokio::time::sleep(REPEAT).await;
        }
    }

    /// Every reset seen, endpoint by endpoint.
    pub fn resets(&self) -> Vec<Reset> {
        self.all.iter().flat_map(|endpoint| endpoint.state().found.clone()).collect()
    }

    /// What was asked and what was got, endpoint by endpoint.
    pub fn reports(&self) -> Vec<SourceReport> {
        let report = |endpoint: &Endpoint| {
            let state = endpoint.state();
            SourceReport {
                kind: "scrape".to_owned(),
                source: endpoint.scraper.url().to_owned(),
                seen: state.n_scrapes,
                parsed: state.n_scrapes - state.n_failed,
                rejected: state.n_failed,
                details: [
                    ("skipped", state.n_skipped),
                    ("bad_lines", state.n_bad_lines),
                    ("resets", state.found.len() as u64),
                ]
                .map(|(key, n)| (key.to_owned(), n))
                .into(),
            }
        };
        self.all.iter().map(report).collect()
    }

    /// Asks all that are worth it, each for so long, and gives each answer with its endpoint's place.
    async fn scrape_all(&self, timeout: Duration) -> Vec<(usize, Scrape)> {
        let mut tasks = JoinSet::new();
        for endpoint in self.all.iter().filter(|endpoint| !endpoint.is_silent()) {
            let scraper = endpoint.scraper.clone().bounded(MAX_PAGE_BYTES, timeout);
            let index = endpoint.index;
            tasks.spawn(async move { (index, scraper.scrape(Wanted::All).await) });
        }
        let mut scrapes = tasks.join_all().await;
        scrapes.sort_by_key(|(index, _)| *index);
        scrapes
    }

    fn keep_all(&self, scrapes: Vec<(usize, Scrape)>, phase: ScrapePhase) {
        for (index, scrape) in scrapes {
            if let Some(endpoint) = self.all.get(index) {
                endpoint.keep(scrape, phase);
            }
        }
    }

    fn totals(&self, scrape: &Scrape) -> Option<Totals> {
        scrape.page.as_ref().ok().map(|page| self.server.totals(&page.samples))
    }

    /// Over all endpoints that have both ends and count; `None` if there is none.
    fn finished_since_before(&self, scrapes: &[(usize, Scrape)]) -> Option<f64> {
        let deltas = scrapes.iter().filter_map(|(index, scrape)| {
            let endpoint = self.all.get(*index)?;
            let before = endpoint.state().before.clone()?;
            let now = self.totals(scrape)?;
            // A server may show the counter only once it has counted something.
            now.finished_well().or(before.finished_well())?;
            Some(now.finished_well().unwrap_or(0.0) - before.finished_well().unwrap_or(0.0))
        });
        deltas.fold(None, |sum: Option<f64>, delta| Some(sum.unwrap_or(0.0) + delta))
    }

    fn note_busy(&self, all: &Totals) {
        if let Some(endpoint) = self.all.first() {
            endpoint.notes.add(format!(
                "the server was busy before the first request ({} running, {} waiting): its counts hold other traffic too",
                all.running.unwrap_or(0.0),
                all.waiting.unwrap_or(0.0)
            ));
        }
    }

    pub fn live(&self) -> &Live {
        &self.live
    }
}

/// Nothing running and nothing waiting, or the server does not say.
fn is_idle(totals: &Totals) -> bool {
    totals.running.unwrap_or(0.0) + totals.waiting.unwrap_or(0.0) == 0.0
}

impl Endpoint {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has been asked, has never given a page, and gave no answer in time when it was last asked.
    fn is_silent(&self) -> bool {
        let state = self.state();
        state.timed_out && state.n_scrapes == state.n_failed
    }

    /// Counts the scrape, watches its counters, refreshes the live values, and keeps its row.
    fn keep(&self, scrape: Scrape, phase: ScrapePhase) {
        self.look_at(&scrape, phase);
        // The writer is gone only when the program ends; there is nobody left to tell.
        self.sink.send(Ingested::Scrape(scrape.into_row(phase)));
    }

    fn look_at(&self, scrape: &Scrape, phase: ScrapePhase) {
        let mut state = self.state();
        state.n_scrapes += 1;
        let page = match &scrape.page {
            Ok(page) => page,
            Err(trouble) => {
                state.n_failed += 1;
                let timed_out = matches!(trouble, Trouble::Timeout(_));
                let was_told = std::mem::replace(&mut state.timed_out, timed_out) && timed_out;
                drop(state);
                if was_told {
                    return;
                }
                self.notes.add(trouble.problem(self.scraper.url()).note());
                return;
            }
        };
        state.n_bad_lines += u64::from(page.bad_lines);
        if page.bad_lines > 0 {
            self.notes.add(format!(
                "{} has lines that are not Prometheus text; they were left out and counted",
                self.scraper.url()
            ));
        }
        if let Some((evidence, alternating)) = state.resets.next(page) {
            self.note_reset(&evidence, alternating);
            let Scrape { source, send_unix_ns, recv_unix_ns, .. } = scrape;
            state.found.push(Reset {
                source: source.clone(),
                send_unix_ns: *send_unix_ns,
                recv_unix_ns: *recv_unix_ns,
                evidence,
                alternating,
            });
        }
        let totals = self.server.totals(&page.samples);
        if phase == ScrapePhase::Before {
            self.note_foreign_page(page, &totals);
            state.before = Some(totals.clone());
        }
        let since = state.before.as_ref().map(|before| totals.since(before));
        drop(state);
        self.live.update(self.index, scrape.recv_unix_ns, &totals, since);
    }

    fn note_reset(&self, evidence: &str, alternating: bool) {
        let url = self.scraper.url();
        if alternating {
            let problem = Problem::new(format!(
                "{url} answers from several processes in turn ({evidence}); its counters cannot be compared over time"
            ));
            self.notes.add(
                problem.hint("name each server's own endpoint with `--server-metrics`, once for each").note(),
            );
        } else {
            self.notes.add(format!("counters at {url} began anew during the run: {evidence}; what the server counted before that is lost"));
        }
    }

    /// A page with samples, none of which this server has: another server, or none at all.
    fn note_foreign_page(&self, page: &Page, totals: &Totals) {
        if *totals != Totals::default() {
            return;
        }
        let url = self.scraper.url();
        let names = page.samples.iter().map(|sample| sample.name.as_str());
        let problem = Problem::new(format!(
            "{url} has {} samples, but none of {}'s",
            page.samples.len(),
            self.server.name
        ));
        let hint = match (by_metrics(&names), self.server.metrics_flag) {
            (Some(other), _) => {
                format!("it looks like {0}: say so with `--server {0}`", other.name)
            }
            (None, Some(flag)) => format!("does the server need {flag}?"),
            (None, None) => {
                let known = SERVERS.iter().map(|server| server.name).collect::<Vec<_>>().join(", ");
                format!("servers known: {known}; name the server's own endpoint with `--server-metrics`")
            }
        };
        self.notes.add(problem.hint(hint).note());
    }
}
