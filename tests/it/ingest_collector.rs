//! The collector against servers that behave, and such that do not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use tare::config::{Observe, Otlp};
use tare::ingest::snapshot::Verdict;
use tare::ingest::tail::Begin;
use tare::ingest::{Collector, Ingested, Plan};
use tare::record::{ScrapePhase, ScrapeRow};
use tare::server::trust::Trust;
use tare::server::vllm::VLLM;

use crate::support::{SOON, Served, closed_port, serve};

pub fn observe() -> Observe {
    Observe {
        metrics_urls: Vec::new(),
        no_metrics: false,
        scrape_interval_s: 0.01,
        server_log: None,
        stat_log: None,
        otlp: None,
        listen_metrics: None,
        export_spans: None,
        span_wait_s: 0.0,
        clock_bound_s: None,
    }
}

pub fn collect(observe: Observe, base_url: Option<&str>) -> (Collector, Receiver<Ingested>) {
    let (sender, rows) = mpsc::channel();
    let plan = Plan {
        server: &VLLM,
        hops: Vec::new(),
        observe,
        base_url: base_url.map(str::to_owned),
        trust: Trust::default(),
        log_begin: Begin::End,
    };
    (Collector::start(plan, sender).unwrap(), rows)
}

/// A metrics page that knows how often it was asked for.
fn counting(page: impl Fn(u64) -> String + Clone + Send + Sync + 'static) -> (Served, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = asked.clone();
    let answer = move || {
        let text = page(counter.fetch_add(1, Ordering::SeqCst));
        async move { text }
    };
    (serve(Router::new().route("/metrics", get(answer))), asked)
}

fn page(finished: u64, running: u64) -> String {
    format!(
        "# TYPE vllm:request_success_total counter\nvllm:request_success_total{{finished_reason=\"stop\"}} {finished}\n\
         # TYPE vllm:num_requests_running gauge\nvllm:num_requests_running {running}\nvllm:num_requests_waiting 0\n\
         # TYPE vllm:time_to_first_token_seconds histogram\nvllm:time_to_first_token_seconds_sum {}\nvllm:time_to_first_token_seconds_count {finished}\n\
         vllm:time_to_first_token_seconds_bucket{{le=\"+Inf\"}} {finished}\n",
        finished as f64 * 0.5
    )
}

fn scrapes(rows: &Receiver<Ingested>) -> Vec<ScrapeRow> {
    rows.try_iter()
        .filter_map(|row| match row {
            Ingested::Scrape(row) => Some(row),
            _ => None,
        })
        .collect()
}

fn count(rows: &[ScrapeRow], phase: ScrapePhase) -> usize {
    rows.iter().filter(|row| row.phase == phase).count()
}

#[test]
fn the_last_snapshot_is_repeated_until_the_counts_agree() {
    let (server, _) = counting(|asked| page(asked.min(4), 0));
    let (mut collector, rows) = collect(observe(), Some(&server.url("")));
    let before = collector.snapshot_before().unwrap();
    assert_eq!((before.n_ok, before.n_endpoints, before.idle, before.n_scrapes), (1, 1, true, 1));
    let after = collector.snapshot_after(Some(4.0)).unwrap();
    assert_eq!((after.verdict, after.finished, after.n_scrapes), (Verdict::Agreed, Some(4.0), 4));
    assert!(after.to_string().starts_with("finished counts agreed (4) at scrape 4"), "{after}");
    assert_eq!(collector.live().get().ttft, Some((2.0, 4.0)));
    let report = collector.stop();
    let rows = scrapes(&rows);
    assert_eq!(
        [ScrapePhase::Before, ScrapePhase::During, ScrapePhase::After].map(|phase| count(&rows, phase)),
        [1, 3, 1]
    );
    assert_eq!(
        (report.sources[0].kind.as_str(), report.sources[0].seen, report.sources[0].rejected),
        ("scrape", 5, 0)
    );
    assert!(report.notes.is_empty() && report.resets.is_empty(), "{report:?}");
    assert!(rows.last().unwrap().samples.iter().any(|sample| sample.name.ends_with("_bucket")));
}

#[test]
fn the_last_snapshot_gives_up_with_numbers() {
    let (server, _) = counting(|_| page(3, 0));
    let (mut collector, _rows) = collect(observe(), Some(&server.url("")));
    collector.snapshot_before();
    let after = collector.snapshot_after(Some(2.0)).unwrap();
    assert_eq!((after.verdict, after.finished), (Verdict::Fewer, Some(0.0)));
    assert!(after.n_scrapes > 1);
    assert!(after.to_string().ends_with("the server counts 0 finished requests, the client 2"), "{after}");
}

#[test]
fn other_traffic_shows_as_more_and_no_expectation_as_standing_still() {
    let (server, _) = counting(|asked| page(asked.min(3), 0));
    let (mut collector, _rows) = collect(observe(), Some(&server.url("")));
    collector.snapshot_before();
    let after = collector.snapshot_after(None).unwrap();
    assert_eq!((after.verdict, after.finished, after.n_scrapes), (Verdict::Settled, Some(3.0), 4));
    let after = collector.snapshot_after(Some(1.0)).unwrap();
    assert_eq!((after.verdict, after.finished), (Verdict::More, Some(3.0)));
}

#[test]
fn the_first_snapshot_waits_until_the_server_is_idle() {
    let (server, _) = counting(|asked| page(5 + asked.min(2), 2 - asked.min(2)));
    let (collector, rows) = collect(observe(), Some(&server.url("")));
    let before = collector.snapshot_before().unwrap();
    assert_eq!((before.idle, before.n_scrapes, before.running), (true, 3, Some(0.0)));
    let rows = scrapes(&rows);
    let last = rows.last().unwrap();
    assert_eq!((last.phase, last.samples[0].value), (ScrapePhase::Before, 7.0));
    assert_eq!(count(&rows, ScrapePhase::Before), 1);
}

#[test]
fn the_grid_scrapes_while_the_load_runs_and_ends_before_the_last_snapshot() {
    let (server, asked) = counting(|_| page(1, 3));
    let (mut collector, rows) = collect(observe(), Some(&server.url("")));
    collector.start_grid();
    let mut live = 0;
    while live < 5 {
        match rows.recv_timeout(SOON).unwrap() {
            Ingested::Scrape(row) => {
                assert_eq!((row.phase, row.samples.len()), (ScrapePhase::During, 5));
                live += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(collector.live().get().running, Some(3.0));
    collector.snapshot_after(None);
    let n = asked.load(Ordering::SeqCst);
    let rest = scrapes(&rows);
    assert_eq!(rest.last().unwrap().phase, ScrapePhase::After);
    let report = collector.stop();
    assert_eq!(report.sources[0].seen, n);
}

#[test]
fn overruns_skip_grid_points_and_are_counted() {
    let answer = || async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        page(1, 0)
    };
    let server = serve(Router::new().route("/metrics", get(answer)));
    let (mut collector, rows) = collect(observe(), Some(&server.url("")));
    collector.start_grid();
    for _ in 0..3 {
        rows.recv_timeout(SOON).unwrap();
    }
    let report = collector.stop();
    assert!(report.sources[0].details["skipped"] >= 8, "{report:?}");
}

/// Every second scrape is refused: the others are kept, the failed ones stay as rows that say why, and no
/// restart is made of it.
#[test]
fn an_endpoint_that_fails_now_and_then_loses_only_those_scrapes() {
    let asked = Arc::new(AtomicU64::new(0));
    let answer = move || {
        let n = asked.fetch_add(1, Ordering::Relaxed);
        async move {
            if n.is_multiple_of(2) {
                Ok(page(n, 0))
            } else {
                Err(axum::http::StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    };
    let server = serve(Router::new().route("/metrics", get(answer)));
    let (mut collector, rows) = collect(observe(), Some(&server.url("")));
    collector.snapshot_before();
    collector.start_grid();
    let mut seen: Vec<ScrapeRow> = Vec::new();
    while seen.len() < 9 {
        if let Ingested::Scrape(row) = rows.recv_timeout(SOON).unwrap() {
            seen.push(row);
        }
    }
    let report = collector.stop();
    let failed = seen.iter().filter(|row| row.error.as_ref().is_some_and(|e| e.contains("503"))).count();
    let kept = seen.iter().filter(|row| row.error.is_none() && !row.samples.is_empty()).count();
    assert!(
        failed >= 3 && kept >= 3 && failed + kept == seen.len(),
        "{failed} failed, {kept} kept: {seen:?}"
    );
    assert!(report.resets.is_empty(), "{:?}", report.resets);
    assert!(report.sources[0].rejected >= failed as u64, "{report:?}");
}

#[test]
fn counters_that_begin_anew_are_seen() {
    let (server, _) = counting(|asked| page(if asked == 0 { 9 } else { 2 }, 0));
    let (mut collector, rows) = collect(observe(), Some(&server.url("")));
    collector.snapshot_before();
    collector.start_grid();
    rows.recv_timeout(SOON).unwrap();
    rows.recv_timeout(SOON).unwrap();
    let report = collector.stop();
    assert_eq!(report.resets.len(), 1);
    assert_eq!(
        report.resets[0].evidence,
        "vllm:request_success_total{finished_reason=stop} fell from 9 to 2"
    );
    assert!(report.resets[0].source.starts_with("http://127.0.0.1:") && !report.resets[0].alternating);
    assert!(report.notes[0].contains("began anew during the run"), "{:?}", report.notes);
}

#[test]
fn several_endpoints_are_scraped_and_added_up() {
    let (one, _) = counting(|asked| page(asked.min(1) * 2, asked.min(1)));
    let (two, _) = counting(|asked| page(asked.min(1) * 3, asked.min(1)));
    let urls = vec![one.url("/metrics"), two.url("/metrics")];
    let (mut collector, _rows) = collect(Observe { metrics_urls: urls, ..observe() }, None);
    collector.snapshot_before();
    let after = collector.snapshot_after(Some(5.0)).unwrap();
    assert_eq!(after.finished, Some(5.0));
    assert_eq!(collector.live().get().running, Some(2.0));
    assert_eq!(collector.stop().sources.len(), 2);
}

#[test]
fn a_server_without_metrics_is_a_note_and_not_an_error() {
    let server = serve(Router::new());
    for url in [server.url(""), format!("http://{}", closed_port()), "https://127.0.0.1".to_owned()] {
        let (mut collector, _rows) = collect(observe(), Some(&url));
        let before = collector.snapshot_before().unwrap();
        assert_eq!(before.n_ok, 0);
        collector.start_grid();
        assert_eq!(collector.snapshot_after(Some(1.0)).unwrap().verdict, Verdict::Unknown);
        let report = collector.stop();
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
        assert!(report.notes[0].contains("hint: "), "{:?}", report.notes);
    }
}

#[test]
fn no_metrics_asks_nobody() {
    let (server, asked) = counting(|_| page(1, 0));
    let (mut collector, _rows) = collect(Observe { no_metrics: true, ..observe() }, Some(&server.url("")));
    assert_eq!(collector.snapshot_before().unwrap().n_endpoints, 0);
    collector.start_grid();
    assert_eq!(collector.snapshot_after(Some(1.0)).unwrap().verdict, Verdict::Unknown);
    assert!(collector.stop().sources.is_empty());
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_page_of_another_server_is_said() {
    let other = serve(Router::new().route("/metrics", get(|| async { "sglang:num_running_reqs 1\n" })));
    let (collector, _rows) = collect(observe(), Some(&other.url("")));
    collector.snapshot_before();
    let notes = collector.stop().notes;
    assert!(
        notes[0].ends_with(
            "has 1 samples, but none of vllm's (hint: it looks like sglang: say so with `--server sglang`)"
        ),
        "{notes:?}"
    );
}

/// It is waited for once, before the run; told once; and neither the grid's end nor the last snapshot waits for it.
#[test]
fn an_endpoint_that_never_answers_is_waited_for_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            kept.push(stream);
        }
    });
    let (mut collector, _rows) = collect(observe(), Some(&url));
    let before = collector.snapshot_before().unwrap();
    assert_eq!((before.n_ok, before.n_scrapes), (0, 1));
    collector.start_grid();
    crate::support::wait_until("the grid has asked", || asked.load(std::sync::atomic::Ordering::SeqCst) == 2);
    collector.snapshot_after(Some(1.0));
    let report = collector.stop();
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2, "not asked again at the end");
    let told = report.notes.iter().filter(|note| note.contains("no whole answer within 10 s")).count();
    assert_eq!((told, report.notes.len()), (1, 1), "{:?}", report.notes);
    let source = &report.sources[0];
    assert_eq!((source.seen, source.rejected, source.details["skipped"]), (1, 1, 1));
}

#[test]
fn the_base_url_may_be_told_later() {
    let (server, _) = counting(|_| page(1, 0));
    let (mut collector, _rows) = collect(observe(), None);
    assert_eq!(collector.snapshot_before().unwrap().n_endpoints, 0);
    collector.set_base_url(&server.url("/"));
    assert_eq!(collector.snapshot_before().unwrap().n_ok, 1);
}

#[test]
fn a_port_in_use_is_an_error_that_names_port_and_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let otlp = Otlp { host: "127.0.0.1".to_owned(), grpc_port: 0, http_port: port };
    let (sender, _rows) = mpsc::channel();
    let plan = Plan {
        server: &VLLM,
        hops: Vec::new(),
        observe: Observe { otlp: Some(otlp), ..observe() },
        base_url: None,
        trust: Trust::default(),
        log_begin: Begin::End,
    };
    let problem = Collector::start(plan, sender).err().unwrap();
    assert!(
        problem.what.contains(&format!("127.0.0.1:{port}")) && problem.what.contains("HTTP"),
        "{problem}"
    );
    assert!(problem.hint.unwrap().contains("--otlp-http-port"));
}

#[test]
fn it_may_be_used_from_inside_another_runtime() {
    let (server, _) = counting(|_| page(1, 0));
    let url = server.url("");
    let kept: Arc<Mutex<Vec<usize>>> = Arc::default();
    crate::support::block_on(async {
        let (collector, _rows) = collect(observe(), Some(&url));
        kept.lock().unwrap().push(collector.snapshot_before().unwrap().n_ok);
        collector.stop();
    });
    assert_eq!(*kept.lock().unwrap(), [1]);
}
