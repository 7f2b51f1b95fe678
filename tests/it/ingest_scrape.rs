//! One scrape: what is kept of a page, and what is said of an answer that is none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use tare::ingest::scrape::{Kind, Scrape, Scraper, TIMEOUT, Wanted};
use tare::ingest::trouble::Trouble;
use tare::record::ScrapePhase;
use tare::server::trust::Trust;

use crate::support::{block_on, closed_port, serve, serve_bytes};

const PAGE: &str = include_str!("../samples/metrics/vllm-0.32.prom");
const TEXT: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=1.0.0; charset=utf-8")];
const HTML: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/html")];

fn scrape(url: &str) -> Scrape {
    block_on(Scraper::new(url, &Trust::default()).unwrap().scrape(Wanted::All))
}

/// The note about the answer at `url`, with the port blanked.
fn note(url: &str) -> String {
    let address = url.split('/').nth(2).unwrap().to_owned();
    let trouble = scrape(url).page.unwrap_err();
    trouble.problem(url).note().replace(&address, "HOST")
}

#[test]
fn a_page_is_kept_with_its_stamps_and_without_birth_times() {
    let server = serve(Router::new().route("/metrics", get(|| async { (TEXT, PAGE) })));
    let scrape = scrape(&server.url("/metrics"));
    assert!(scrape.send_unix_ns < scrape.recv_unix_ns);
    let page = scrape.page.as_ref().unwrap();
    let count = |kind| page.kinds.iter().filter(|k| **k == kind).count();
    assert_eq!(
        count(Kind::Created),
        PAGE.lines().filter(|line| !line.starts_with('#') && line.contains("_created")).count()
    );
    assert_eq!(count(Kind::Bucket), PAGE.lines().filter(|line| line.contains("_bucket{")).count());

    let (before, during) =
        (scrape.clone().into_row(ScrapePhase::Before), scrape.clone().into_row(ScrapePhase::During));
    assert_eq!((before.bad_lines, before.error.as_deref()), (0, None));
    assert!(before.samples.iter().all(|sample| !sample.name.ends_with("_created")));
    assert!(during.samples.iter().all(|sample| !sample.name.ends_with("_bucket")));
    assert_eq!(before.samples.len(), page.samples.len() - count(Kind::Created));
    assert_eq!(during.samples.len(), before.samples.len() - count(Kind::Bucket));
    let of = |name: &str| {
        page.samples.iter().position(|sample| sample.name == name).map(|i| page.kinds[i]).unwrap()
    };
    assert_eq!(of("vllm:iteration_tokens_total_count"), Kind::Counter);
    assert_eq!(of("vllm:iteration_tokens_total_sum"), Kind::Other);
    assert_eq!(of("vllm:prompt_tokens_total"), Kind::Counter);
    assert_eq!(of("vllm:num_requests_running"), Kind::Other);
}

#[test]
fn a_page_read_without_buckets_is_the_whole_page_without_them() {
    // A bucket by its name alone is none.
    let page = format!("{PAGE}cache_entries_bucket{{role=\"x\"}} 5\n");
    let server = serve(Router::new().route("/metrics", get(move || async move { (TEXT, page) })));
    let scraper = Scraper::new(&server.url("/metrics"), &Trust::default()).unwrap();
    let scrape = |wanted| block_on(scraper.scrape(wanted));
    let (without, all) = (scrape(Wanted::WithoutBuckets), scrape(Wanted::All));
    let buckets = PAGE.lines().filter(|line| line.contains("_bucket{")).count();
    let samples = |scrape: &Scrape| scrape.page.as_ref().unwrap().samples.len();
    assert!(buckets > 0);
    assert_eq!(samples(&all) - samples(&without), buckets);
    let kept = without.into_row(ScrapePhase::During).samples;
    assert_eq!(kept.last().unwrap().name, "cache_entries_bucket");
    assert_eq!(kept, all.into_row(ScrapePhase::During).samples);
}

#[test]
fn good_lines_survive_bad_ones_and_values_that_are_none_are_left_out() {
    let page = "# TYPE q summary\nq{quantile=\"0.5\"} NaN\nq_count 0\n<<< broken\na_total 3\n";
    let server = serve(Router::new().route("/metrics", get(move || async move { (TEXT, page) })));
    let scrape = scrape(&server.url("/metrics"));
    let row = scrape.clone().into_row(ScrapePhase::Before);
    assert_eq!(row.bad_lines, 1);
    assert_eq!(
        row.samples.iter().map(|sample| sample.name.as_str()).collect::<Vec<_>>(),
        ["q_count", "a_total"]
    );
    assert_eq!(scrape.page.unwrap().n_not_finite, 1);
}

#[test]
fn what_is_found_in_place_of_metrics_is_said() {
    let server = serve(
        Router::new()
            .route(
                "/html",
                get(|| async { (HTML, "<!doctype html>\n<html><head>\n<title>My gateway</title>") }),
            )
            .route("/404", get(|| async { (StatusCode::NOT_FOUND, HTML, "<h1>Not Found</h1>") }))
            .route("/401", get(|| async { (StatusCode::UNAUTHORIZED, "{\"error\":\"Unauthorized\"}") }))
            .route(
                "/json",
                get(|| async { ([(header::CONTENT_TYPE, "application/json")], "[{\"iter\": 1}]") }),
            )
            .route("/empty", get(|| async { (TEXT, "") }))
            .route("/comments", get(|| async { (TEXT, "# HELP a b\n# TYPE a gauge\n") }))
            .route("/elsewhere", get(|| async { Redirect::temporary("http://example.com/metrics") })),
    );
    insta::assert_snapshot!(note(&server.url("/html")), @"no metrics from http://HOST/html: expected a page in Prometheus text format, found `<!doctype html> <html><head> <title>My gateway</title>` (text/html) (hint: gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`)");
    insta::assert_snapshot!(note(&server.url("/404")), @"no metrics from http://HOST/404: expected a page in Prometheus text format, found status 404 with `<h1>Not Found</h1>` (text/html) (hint: gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`)");
    insta::assert_snapshot!(note(&server.url("/401")), @r#"no metrics from http://HOST/401: expected a page in Prometheus text format, found status 401 with `{"error":"Unauthorized"}` (text/plain; charset=utf-8) (hint: the endpoint wants a key; give one that is open to this host with `--server-metrics`)"#);
    insta::assert_snapshot!(note(&server.url("/json")), @r#"no metrics from http://HOST/json: expected a page in Prometheus text format, found `[{"iter": 1}]` (application/json) (hint: a server that answers JSON there may have its Prometheus page elsewhere, TensorRT-LLM at /prometheus/metrics: name it with `--server-metrics`)"#);
    insta::assert_snapshot!(note(&server.url("/empty")), @"no metrics from http://HOST/empty: the page has no samples (hint: does the server need a flag to show metrics?)");
    insta::assert_snapshot!(note(&server.url("/comments")), @"no metrics from http://HOST/comments: the page has no samples (hint: does the server need a flag to show metrics?)");
    insta::assert_snapshot!(note(&server.url("/elsewhere")), @"no metrics from http://HOST/elsewhere: it redirects to another place, `http://example.com/metrics`, which is not followed (hint: gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`)");
    assert_eq!(scrape(&server.url("/404")).into_row(ScrapePhase::During).samples.len(), 0);
    assert!(scrape(&server.url("/404")).into_row(ScrapePhase::During).error.unwrap().contains("404"));
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let url = format!("http://{}/metrics", closed_port());
    insta::assert_snapshot!(note(&url), @"no metrics from http://HOST/metrics: no connection: Connection refused (os error 111) (hint: is the server up, and are its metrics on that port? `--server-metrics` names another, `--no-server-metrics` leaves them out)");
}

#[test]
fn an_answer_that_breaks_off_is_no_page() {
    let address =
        serve_bytes(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 500\r\n\r\na_total 1\n");
    let trouble = scrape(&format!("http://{address}/metrics")).page.unwrap_err();
    assert!(matches!(trouble, Trouble::Broken(_)) && trouble.may_pass(), "{trouble}");
}

#[test]
fn redirects_are_followed_on_the_same_host_only() {
    let server = serve(
        Router::new()
            .route("/metrics", get(|| async { Redirect::permanent("/metrics/") }))
            .route("/metrics/", get(|| async { (TEXT, PAGE) })),
    );
    assert!(scrape(&server.url("/metrics")).page.is_ok());
    let other = serve(Router::new().route("/metrics", get(|| async { (TEXT, PAGE) })));
    let target = other.url("/metrics");
    let server =
        serve(Router::new().route("/metrics", get(move || async move { Redirect::temporary(&target) })));
    assert_eq!(
        scrape(&server.url("/metrics")).page.unwrap_err(),
        Trouble::Redirect { to: other.url("/metrics") }
    );
}

#[test]
fn long_pages_and_slow_servers_are_bounded() {
    let server = serve(Router::new().route("/metrics", get(|| async { (TEXT, PAGE) })).route(
        "/slow",
        get(|| async {
            tokio::time::sleep(crate::support::SOON).await;
        }),
    ));
    let bounded = |path: &str, bytes, timeout| {
        block_on(
            Scraper::new(&server.url(path), &Trust::default())
                .unwrap()
                .bounded(bytes, timeout)
                .scrape(Wanted::All),
        )
        .page
        .unwrap_err()
    };
    assert_eq!(bounded("/metrics", 1000, TIMEOUT), Trouble::TooLarge(1000));
    let short = Duration::from_millis(20);
    assert_eq!(bounded("/slow", 1000, short), Trouble::Timeout(short));
}

#[test]
fn no_compression_is_asked_for() {
    let seen: Arc<Mutex<Option<HeaderMap>>> = Arc::default();
    let kept = seen.clone();
    let server = serve(Router::new().route(
        "/metrics",
        get(move |headers: HeaderMap| async move {
            *kept.lock().unwrap() = Some(headers);
            (TEXT, PAGE).into_response()
        }),
    ));
    assert!(scrape(&server.url("/metrics")).page.is_ok());
    let headers = seen.lock().unwrap().take().unwrap();
    assert!(headers.get(header::ACCEPT_ENCODING).is_none() && headers.get(header::ACCEPT).is_some());
}

#[test]
fn a_url_that_cannot_be_asked_is_refused_with_a_hint() {
    let refused = |url: &str| Scraper::new(url, &Trust::default()).unwrap_err().note();
    insta::assert_snapshot!(refused("localhost:8000/metrics"), @"`localhost:8000/metrics` is no URL of a metrics endpoint: it does not begin with http:// or https:// (hint: write it as http://HOST:PORT/metrics, with `--server-metrics`)");
    insta::assert_snapshot!(refused("no url"), @"`no url` is no URL of a metrics endpoint: relative URL without a base (hint: write it as http://HOST:PORT/metrics, with `--server-metrics`)");
}
