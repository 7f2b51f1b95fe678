//! What gateways do to streams, held against captures of real ones in front of a server that stamped
//! everything itself (`tests/samples/mw`): the verdicts of each, what was added, what was cut, and clocks
//! that were moved on purpose.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tare::record::correlated::Correlated;
use tare::record::verdicts::{Kind, Sure};
use tare::record::{JoinedRow, Status};
use tare::run::recompute;

use crate::program::Place;
use crate::source::{modules, root};

fn sample(gateway: &str, file: &str) -> PathBuf {
    root().join("tests/samples/mw").join(gateway).join(file)
}

/// Both sides of a capture, correlated.
fn correlated(client: &str, server: &str, more: &str) -> Correlated {
    let place = Place::new();
    let said = place.tare(&format!("correlate --client {client} --spans {server} --output run {more}"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    recompute(&place.path("run")).unwrap().correlated
}

fn of(gateway: &str, kind: &str, more: &str) -> Correlated {
    let path = |side: &str| sample(gateway, &format!("{side}{kind}.jsonl.gz")).display().to_string();
    correlated(&path("client"), &path("server"), &format!("--same-host {more}"))
}

fn hop(gateway: &str, kind: &str, file: &str) -> String {
    format!("--hop {kind}:{}", sample(gateway, file).display())
}

/// The lines of a sample.
fn lines(gateway: &str, file: &str) -> Vec<Value> {
    let packed = std::fs::File::open(sample(gateway, file)).unwrap();
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(packed)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rules(run: &Correlated) -> Vec<&str> {
    run.verdicts.iter().map(|v| v.rule).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    f64::midpoint(values[(n - 1) / 2], values[n / 2])
}

type Expected = (&'static str, &'static [&'static str], Option<(f64, f64)>);

/// Every gateway, what is to be said of it, and the milliseconds added to the first and the last token:
/// medians by another program (Python) from the same files, `t_first_token − t_send − ttft_ns` and
/// `t_last_token − t_send − last_ns`.
const GATEWAYS: [Expected; 13] = [
    ("direct", &[], Some((0.121, 0.121))),
    ("nginx-off", &[], Some((0.317, 0.315))),
    ("nginx-on", &[], Some((0.284, 0.307))),
    ("haproxy-nodelay", &[], Some((0.297, 0.412))),
    ("envoy", &[], Some((0.487, 0.656))),
    ("caddy", &[], Some((0.607, 0.648))),
    ("traefik-head3", &[], Some((0.627, 0.642))),
    ("sgl-router", &[], Some((0.935, 1.010))),
    ("haproxy", &["coalescing"], Some((80.524, 0.484))),
    ("haproxy-long", &["coalescing"], Some((151.501, 1.264))),
    ("nginx-default-h11", &["coalescing", "connection_churn"], Some((90.349, 0.590))),
    ("nginx-gzip", &["compression"], None),
    ("litellm", &["queueing", "id_lost"], Some((57.584, 38.166))),
];

#[test]
fn each_gateway_gets_its_verdicts_and_no_other() {
    for (gateway, expected, added) in GATEWAYS {
        let run = of(gateway, "", "");
        assert_eq!(run.coverage.joined, run.coverage.requests, "{gateway}");
        assert_eq!(rules(&run), expected, "{gateway}: {:#?}", run.verdicts);
        let Some((first, last)) = added else { continue };
        let from_sending = |at: Option<tare::clock::UnixNs>, row: &JoinedRow| {
            at.unwrap().seconds_since(row.client.send_begin_unix_ns.unwrap()) * 1e3
        };
        let firsts = run
            .rows
            .iter()
            .map(|row| from_sending(row.client.first_token_unix_ns, row) - row.server_ttft_s.unwrap() * 1e3);
        let lasts = run
            .rows
            .iter()
            .map(|row| from_sending(row.client.last_token_unix_ns, row) - row.server_e2e_s.unwrap() * 1e3);
        let (found_first, found_last) = (median(firsts), median(lasts));
        assert!(
            (found_first - first).abs() < 0.001 && (found_last - last).abs() < 0.001,
            "{gateway}: added {found_first:.4} and {found_last:.4}, expected {first} and {last}"
        );
    }
}

#[test]
fn a_hold_is_no_queue_and_a_queue_no_hold() {
    let haproxy = &of("haproxy-long", "", "").verdicts[0];
    assert_eq!((haproxy.kind, haproxy.certainty), (Kind::Hold, Sure::Likely));
    assert!(haproxy.what.contains("about 200 ms apart as from a corked sender"), "{}", haproxy.what);
    // HAProxy does not name itself: whatever does this is listed.
    assert_eq!(haproxy.products, [""; 0]);
    let settings: Vec<(&str, &str)> = haproxy.remedies.iter().map(|r| (r.product, r.setting)).collect();
    assert!(settings.contains(&("HAProxy", "option http-no-delay")), "{settings:?}");
    assert!(settings.contains(&("nginx", "proxy_buffering off;")), "{settings:?}");

    let nginx = &of("nginx-default-h11", "", "").verdicts[0];
    assert_eq!((nginx.kind, nginx.products.as_slice()), (Kind::Hold, &["nginx".to_owned()][..]));
    assert!(nginx.what.contains("a buffer of 4,096"), "{}", nginx.what);
    assert!(nginx.remedies.iter().all(|r| r.product == "nginx"), "{:?}", nginx.remedies);

    let litellm = &of("litellm", "", "").verdicts[0];
    assert_eq!((litellm.kind, litellm.products.as_slice()), (Kind::Queue, &["LiteLLM".to_owned()][..]));

    let gzip = &of("nginx-gzip", "", "").verdicts[0];
    assert!(gzip.what.contains("gzip") && gzip.what.contains("as a whole"), "{}", gzip.what);
    let stake = gzip.at_stake.unwrap().seconds;
    assert!((1.1..1.3).contains(&stake.value), "the whole stream: {stake:?}");
    assert!(gzip.remedies.iter().any(|r| r.setting.starts_with("gzip off")), "{:?}", gzip.remedies);
}

/// nginx's log has each head at 0 or 1 ms; it came to the client with the first token.
#[test]
fn a_head_that_was_held_is_told_by_the_log_and_is_no_first_token() {
    let run = of("nginx-on", "", &hop("nginx-on", "nginx", "access.log"));
    assert_eq!(rules(&run), ["head_held"]);
    assert_eq!(run.verdicts[0].at_stake, None, "no token is late");
    let truth: BTreeMap<String, f64> = lines("nginx-on", "server.jsonl.gz")
        .into_iter()
        .map(|line| {
            (line["x_request_id"].as_str().unwrap().to_owned(), line["ttft_ns"].as_f64().unwrap() / 1e9)
        })
        .collect();
    for row in &run.rows {
        let truth = truth[&row.client.request_id];
        assert!((row.server_ttft_s.unwrap() - truth).abs() < 1e-9, "by the server's stamps, not the head's");
        assert!(row.client.ttft_s.unwrap() >= truth);
    }
}

/// Nothing of the server, but the gateway's own log: it had the head of the answer at once, and the client got that
/// with tokens that came together. Who lets tokens pass is not suspected of anything.
#[test]
fn without_the_servers_times_the_gateways_log_tells_a_hold() {
    let alone = |gateway: &str, kind: &str, file: &str| {
        let place = Place::new();
        let client = sample(gateway, "client.jsonl.gz").display().to_string();
        let said =
            place.tare(&format!("correlate --client {client} --output run {}", hop(gateway, kind, file)));
        assert_eq!(said.code, Some(0), "{}", said.err);
        let run = recompute(&place.path("run")).unwrap().correlated;
        run.verdicts.into_iter().map(|v| (v.rule, v.kind, v.certainty)).collect::<Vec<_>>()
    };
    let hold = ("coalescing", Kind::Hold, Sure::Likely);
    assert_eq!(alone("haproxy", "haproxy", "log.log"), [hold]);
    assert_eq!(alone("nginx-default-h11", "nginx", "access.log")[..1], [hold]);
    assert_eq!(alone("haproxy-nodelay", "haproxy", "log.log"), []);
    assert_eq!(alone("nginx-off", "nginx", "access.log"), []);
}

/// Whole answers, and those that were cut, whatever HTTP said: 16 of 32 tokens each. `LiteLLM` puts an error
/// into the stream and ends it cleanly.
#[test]
fn cut_answers_are_incomplete_behind_every_gateway() {
    for (gateway, ok, incomplete) in [
        ("direct", 17, 3),
        ("nginx-off", 20, 4),
        ("haproxy", 20, 4),
        ("envoy", 20, 4),
        ("caddy", 20, 4),
        ("traefik-head3", 20, 4),
        ("litellm", 20, 4),
        ("nginx-default-h11", 20, 4),
        ("sgl-router", 26, 4),
    ] {
        let run = of(gateway, "-fail", "");
        let count = |is: fn(Status) -> bool| run.rows.iter().filter(|row| is(row.client.status)).count();
        assert_eq!(
            (count(|s| s == Status::Ok), count(|s| matches!(s, Status::Cut | Status::StreamError))),
            (ok, incomplete),
            "{gateway}"
        );
        for row in run.rows.iter().filter(|row| row.client.status != Status::Ok) {
            assert!(row.client.e2e_s.is_none() && row.client.n_events < 32, "{gateway}: {:?}", row.client);
        }
    }
}

/// nginx logs a cut answer with 200 and `OK`; `HAProxy` says `SD--`.
#[test]
fn a_log_that_calls_cut_answers_whole_is_told() {
    let nginx = of("nginx-off", "-fail", &hop("nginx-off", "nginx", "access-fail.log"));
    let verdict = nginx.verdicts.iter().find(|v| v.rule == "cut_logged_whole").unwrap();
    assert_eq!((verdict.n, verdict.of), (4, 4));
    let haproxy = of("haproxy", "-fail", &hop("haproxy", "haproxy", "log-fail.log"));
    assert!(!rules(&haproxy).contains(&"cut_logged_whole"), "{:?}", haproxy.verdicts);
}

/// A router that sends a 500 again: one request, several records of the server.
#[test]
fn what_a_router_sends_again_is_counted() {
    let run = of("sgl-router", "-fail", "");
    assert_eq!(rules(&run), ["retries"]);
    assert_eq!((run.verdicts[0].n, run.verdicts[0].of), (7, 30));
    assert!(run.verdicts[0].evidence[0].starts_with("37 records of the server are of 30 requests"));
}

/// The server's clock is moved by 123.4 ms and runs 50 ppm fast: the bounds hold the truth.
#[test]
fn a_clock_that_was_moved_is_found_within_its_bounds() {
    const OFFSET_NS: f64 = 123.4e6;
    const DRIFT: f64 = 50e-6;
    for (gateway, reach_ms) in [
        ("direct", 0.2),
        ("nginx-off", 0.3),
        ("envoy", 0.4),
        ("haproxy", 0.4),
        ("nginx-default-h11", 0.6),
        ("sgl-router", 0.6),
        ("litellm", 15.0),
    ] {
        let place = Place::new();
        let mut server = lines(gateway, "server.jsonl.gz");
        let begin = server.iter().map(|l| l["arrival_unix_ns"].as_i64().unwrap()).min().unwrap();
        for line in &mut server {
            let arrival = line["arrival_unix_ns"].as_i64().unwrap();
            let moved = OFFSET_NS + (arrival - begin) as f64 * DRIFT;
            line["arrival_unix_ns"] = (arrival + moved.round() as i64).into();
            for name in ["ttft_ns", "last_ns", "end_ns"] {
                let lasted = line[name].as_f64().unwrap();
                line[name] = ((lasted * (1.0 + DRIFT)).round() as i64).into();
            }
        }
        let text: Vec<String> = server.iter().map(Value::to_string).collect();
        place.file("server.jsonl", text.join("\n"));
        let client = sample(gateway, "client.jsonl.gz").display().to_string();
        let run = correlated(&client, &place.path("server.jsonl").display().to_string(), "");
        assert_eq!(run.coverage.joined, run.coverage.requests, "{gateway}");
        let [stretch] = run.clocks.stretches.as_slice() else { panic!("{gateway}: {:?}", run.clocks) };
        let middle = i64::midpoint(stretch.begin_unix_ns.0, stretch.end_unix_ns.0);
        let truth = (OFFSET_NS + (middle - begin) as f64 * DRIFT) / 1e9;
        assert!(
            (stretch.offset_lo_s..=stretch.offset_hi_s).contains(&truth)
                && (stretch.drift_lo_ppm..=stretch.drift_hi_ppm).contains(&50.0)
                && stretch.reach_s() * 1e3 < reach_ms,
            "{gateway}: {truth} and 50 ppm, found {stretch:?}"
        );
        // What is concluded needs no clock: durations of one each. 50 ppm of 0.2 s are 10 µs.
        let expected = GATEWAYS.iter().find(|(name, ..)| *name == gateway).unwrap().1;
        assert_eq!(rules(&run), expected, "{gateway}");
    }
}

#[test]
fn every_rule_is_in_its_table() {
    let mut table: Vec<&str> =
        tare::correlate::diagnosis::rules::RULES.iter().map(|rule| rule.name).collect();
    table.sort_unstable();
    assert_eq!(modules("src/correlate/diagnosis/rules"), table);
}
