//! Servers that are not there, are something else, die, or answer nothing.

use axum::Router;
use axum::routing::{get, post};
use insta::assert_snapshot;

use super::{FEW, lines, run_with};
use crate::program::{LookAlike, Place, filters};
use crate::support::{closed_port, serve};

#[test]
fn no_server_there() {
    let _names = filters();
    let place = Place::new();
    let said = place.tare(&format!("run --base-url http://{} {FEW}", closed_port()));
    assert_snapshot!(said.shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: no server answers at http://127.0.0.1:PORT: Connection refused (os error N)
    hint: start the server first, or say where it is (--base-url, or --host and --port); --ready-check-timeout-sec waits for it, and `tare run` without a URL starts an embedded one
    ");
    assert!(!place.path("run").exists(), "the next try can have the folder's name");
}

#[test]
fn a_model_that_is_not_served() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", "embedded:\n  model: small\n");
    assert_snapshot!(place.tare(&format!("run config.yaml --model large {FEW}")).shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: the server does not serve a model `large`
    hint: it serves `small`
    ");
}

#[test]
fn a_server_that_is_something_else() {
    let _names = filters();
    let place = Place::new();
    let page = "<html>\n<body>Welcome to nginx!</body>\n</html>\n";
    let server = serve(Router::new().route("/v1/models", get(move || async move { page })));
    let said = place.tare(&format!("run --base-url {} {FEW}", server.url("")));
    assert_snapshot!(said.shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: http://127.0.0.1:PORT/v1/models answered with something else than a list of models: <html> <body>Welcome to nginx!</body> </html>
    hint: the base URL is the part before /v1, for example http://127.0.0.1:PORT
    ");
    let said = place.tare(&format!("run --base-url {} --output other", server.url("/v1")));
    assert_snapshot!(said.shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--base-url`: expected the URL without the API's own path, found one that ends in `/v1`
    hint: did you mean `http://127.0.0.1:PORT`?
    ");
}

#[test]
fn no_metrics_endpoint() {
    let _names = filters();
    assert_snapshot!(run_with("metrics_404").1, @r#"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: expected a page in Prometheus text format, found status 404 with `{"error":{"message":"Not Found","type":"Not Found","param":null,"code":404}}` (application/json) (hint: gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`)
    run
    ----- stderr
    "#);
}

#[test]
fn a_web_page_in_place_of_metrics() {
    let _names = filters();
    assert_snapshot!(run_with("metrics_html").1, @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: expected a page in Prometheus text format, found `<!DOCTYPE html> <html><head><title>Login</title></head><body>Please log in.</bod…` (text/html; charset=utf-8) (hint: gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`)
    run
    ----- stderr
    ");
}

#[test]
fn a_server_that_dies_in_the_middle() {
    let _names = filters();
    let (place, short) = run_with("die at_request=4");
    assert_snapshot!(short, @r"
    exit code: 0
    ----- stdout
    warning: the embedded server ended by itself (signal: 9 (SIGKILL))
    Total Requests: 6
    Successful Requests: 3
    Failed Requests: 3
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: no connection: Connection refused (os error N) (hint: is the server up, and are its metrics on that port? `--server-metrics` names another, `--no-server-metrics` leaves them out)
    run
    ----- stderr
    ");
    // The three that were answered are there with all their events.
    assert_eq!(lines(&place, "run/results.jsonl"), 6);
    let report = std::fs::read_to_string(place.path("run/report.md")).unwrap();
    assert!(report.contains("connect_error"), "{report}");
}

#[test]
fn another_servers_end_is_noticed() {
    let _names = filters();
    let (place, server) = (Place::new(), LookAlike::start(&["--fault", "die at_request=4"]));
    let said = place.tare(&format!("run --base-url {} {FEW}", server.url));
    assert_snapshot!(said.in_short(), @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 3
    Failed Requests: 3
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: no connection: Connection refused (os error N) (hint: is the server up, and are its metrics on that port? `--server-metrics` names another, `--no-server-metrics` leaves them out)
    run
    ----- stderr
    ");
    assert_eq!(lines(&place, "run/results.jsonl"), 6);
}

#[test]
fn every_request_fails() {
    let _names = filters();
    assert_snapshot!(run_with("http_503").1, @r"
    exit code: 3
    ----- stdout
    Total Requests: 6
    Successful Requests: 0
    Failed Requests: 6
    run
    ----- stderr
    error: none of 6 requests succeeded (6 times: HTTP 503: Service Unavailable)
    hint: run/report.md has every error
    ");
}

#[test]
fn a_server_that_never_answers() {
    let _names = filters();
    let place = Place::new();
    let models = || async { "{\"data\":[{\"id\":\"m\"}]}" };
    let silence = || async { std::future::pending::<()>().await };
    let router = Router::new().route("/v1/models", get(models)).route("/v1/chat/completions", post(silence));
    let server = serve(router);
    let said =
        place.tare(&format!("run --base-url {} --no-server-metrics --timeout 0.3 {FEW}", server.url("")));
    assert_snapshot!(said.in_short(), @r"
    exit code: 3
    ----- stdout
    Total Requests: 6
    Successful Requests: 0
    Failed Requests: 6
    run
    ----- stderr
    error: none of 6 requests succeeded (6 times: no response head within the time limit)
    hint: run/report.md has every error
    ");
}
