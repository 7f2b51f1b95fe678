//! Real gateways before the look-alike: what their logs say, with the snippets of `assets/gateways`, agrees
//! with the client's own records and with the server's truth. `scripts/gateways/check.sh` installs those
//! that it is given and runs these tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare::mock::truth::{Outcome, TruthRow};
use tare::record::{HopRow, RequestRow, Status};
use tare::store::{RunData, RunFolder};
use tare_parsers::{Completeness, Event, FORMATS, Hop, HopTime, LogTime, Parsed, Product};

use crate::program::{LookAlike, Place};
use crate::source::root;
use crate::support::{free_port, wait_until};

/// Two processes' readings of one clock.
const READING_NS: i64 = 20_000;
/// `LITELLM_MASTER_KEY` of run.sh, and what the client sends.
const KEY: &str = "sk-local";

/// A gateway as a process of its own; ended when dropped.
struct Gateway {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Gateway {
    fn start(product: &str, variant: &str, upstream: &str, folder: PathBuf) -> Self {
        let address = free_port();
        std::fs::create_dir_all(&folder).unwrap();
        let said = std::fs::File::create(folder.join("said.txt")).unwrap();
        let child = Command::new(root().join("scripts/gateways/run.sh"))
            .args([product, variant, &address.to_string(), upstream.trim_start_matches("http://")])
            .arg(&folder)
            .env("LITELLM_MASTER_KEY", KEY)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut gateway = Self { child, address, folder };
        wait_until("the gateway answers", || {
            let is_over = gateway.child.try_wait().unwrap().is_some();
            assert!(!is_over, "{product} ended: {}", gateway.said());
            gateway.answers()
        });
        gateway
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("said.txt")).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// One request of this id, which need not be answered well.
    fn ask_for(&self, id: &str) {
        let body = r#"{"model":"tare-mock","messages":[{"role":"user","content":"hello"}],"stream":true}"#;
        let ask = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\nX-Request-Id: {id}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(ask.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }

    fn answers(&self) -> bool {
        let ask = format!(
            "GET /v1/models HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
        );
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let mut head = [0; 15];
        stream.write_all(ask.as_bytes()).is_ok()
            && stream.read_exact(&mut head).is_ok()
            && head.starts_with(b"HTTP/1.1 200 OK")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// A load through one gateway, and what each side says of it.
struct Seen {
    requests: Vec<RequestRow>,
    truths: Vec<TruthRow>,
    log: String,
    product: &'static str,
    _place: Place,
}

impl Seen {
    /// `faults` are the server's, `flags` the client's.
    fn through(product: &'static str, variant: &str, faults: &[&str], flags: &str, requests: usize) -> Self {
        let place = Place::new().env("OPENAI_API_KEY", KEY);
        let truth = place.path("truth.jsonl");
        let mut scripted = vec!["--truth", truth.to_str().unwrap()];
        scripted.extend(faults.iter().flat_map(|fault| ["--fault", *fault]));
        let server = LookAlike::start(&scripted);
        let gateway = Gateway::start(product, variant, &server.url, place.path("gateway"));
        let said = place.tare(&format!(
            "run -q --base-url http://{} --model tare-mock --users 4 --num-prompts {requests} \
             --random-input-len 20 --random-output-len 20 --ignore-eos --no-server-metrics --hop {product}:{} {flags} --output run",
            gateway.address,
            gateway.log().display()
        ));
        assert_eq!(said.code, Some(0), "{}\n{}", said.err, gateway.said());
        // Some write their lines a little later (Envoy, LiteLLM).
        let lines = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines().filter(|line| line.contains("/v1/chat/completions")).count()
        };
        wait_until("a line about each request", || lines(&gateway.log()) >= requests);
        wait_until("the truth is written", || lines(&truth) >= requests);
        drop(server);
        gateway.ask_for("nobody-there");
        wait_until("a line about the last request", || {
            std::fs::read_to_string(gateway.log()).unwrap().contains("nobody-there")
        });
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        let truths = read(truth).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
        // HAProxy notices that a client has left when the server speaks again: too late for the run.
        for request in data.requests.rows.iter().filter(|row| row.status == Status::Ok) {
            let is_its = |hop: &&HopRow| hop.request_id.as_deref() == Some(request.request_id.as_str());
            assert_eq!(data.hops.rows.iter().filter(is_its).count(), 1, "{request:?}\n{}", said.err);
        }
        assert!(data.hops.rows.iter().all(|hop| hop.product == product && hop.hop == product));
        Self { requests: data.requests.rows, truths, log: read(gateway.log()), product, _place: place }
    }

    /// Hands each request of the load with its line and the truth to `look`; every line is read, and each
    /// request has one.
    fn each(&self, mut look: impl FnMut(&RequestRow, &Hop<'_>, &TruthRow)) {
        let detected = tare_parsers::detect(self.log.lines()).map(|format| format.name);
        assert_eq!(detected, Some(self.product), "{}", self.log);
        let format = FORMATS.iter().find(|format| format.name == self.product).unwrap();
        let mut found = 0;
        for line in self.log.lines() {
            let mut scratch = String::new();
            let hop = match (format.parse)(line, &mut scratch) {
                Parsed::Line(line) => line.event,
                other => panic!("{other:?}\n{line}"),
            };
            let Event::Hop(hop) = hop else { panic!("no hop: {line}") };
            let id = hop.request_id.as_deref();
            if id == Some("nobody-there") {
                says_that_nobody_was_there(&hop);
            }
            let Some(request) = self.requests.iter().find(|row| Some(row.request_id.as_str()) == id) else {
                continue;
            };
            // LiteLLM sends no id on: the server knows the request by the one that it gave itself.
            let truth = self.truths.iter().find(|truth| {
                truth.x_request_id.as_deref() == id
                    || request.response_id.as_deref() == Some(&truth.request_id)
            });
            look(request, &hop, truth.unwrap_or_else(|| panic!("no truth: {line}")));
            found += 1;
        }
        assert_eq!(found, self.requests.len(), "each request has one line");
    }
}

/// Unix nanoseconds between which the instant lies.
fn bounds(instant: HopTime) -> [i64; 2] {
    let LogTime::Unix { unix_ns, resolution_ns } = instant.time else { panic!("{instant:?}") };
    [unix_ns - instant.slack_ns, unix_ns + resolution_ns + instant.slack_ns]
}

/// The same of an instant so many seconds after the start.
fn after(hop: &Hop<'_>, phase_s: f64) -> [i64; 2] {
    let [lo, hi] = bounds(hop.start.unwrap());
    let later = (phase_s * 1e9).round() as i64;
    [lo + later, hi + later + hop.timer_resolution_ns.unwrap()]
}

fn in_order(what: &str, earlier: i64, later: i64, hop: &Hop<'_>) {
    assert!(earlier <= later + READING_NS, "{what}: {earlier} is after {later}\n{hop:?}");
}

/// What every product says of an answer that went well.
fn agrees(request: &RequestRow, hop: &Hop<'_>, truth: &TruthRow) {
    assert_eq!(request.status, Status::Ok, "{request:?}");
    assert_eq!(hop.trace_id, Some(request.trace_id.as_str()));
    assert_eq!(hop.path.as_deref(), Some("/v1/chat/completions"));
    assert!(!matches!(hop.completeness, Completeness::Cut | Completeness::Aborted), "{hop:?}");
    let is_litellm = hop.product == Product::Litellm;
    if is_litellm {
        // It logs neither port nor status of what went well.
        assert_eq!(hop.response_id, request.response_id.as_deref().map(Into::into));
        assert_eq!(hop.client.as_deref(), Some("127.0.0.1"));
        assert!(hop.phases.queue_s.is_some_and(|queue_s| queue_s >= 0.0));
    } else {
        let client = format!("127.0.0.1:{}", request.local_port.unwrap());
        assert_eq!((hop.client.as_deref(), hop.status), (Some(client.as_str()), Some(200)));
    }
    assert_eq!(hop.tries.len(), 1);

    // The client began to send, the gateway had it, the server had it.
    let [start_lo, start_hi] = bounds(hop.start.unwrap());
    in_order("the gateway had it after it was sent", request.send_begin_unix_ns.unwrap().0, start_hi, hop);
    in_order("the server had it after the gateway", start_lo, truth.read_unix_ns.0, hop);
    // The server sent its last token, and only then the hop was over.
    let last_written = truth.events.iter().rfind(|event| event.1 > 0).unwrap().0.0;
    if let Some(end) = hop.end {
        in_order("the hop was over after the last token", last_written, bounds(end)[1], hop);
    }
    let [_, total_hi] = after(hop, hop.phases.total_s.unwrap());
    in_order("the total is as long as that", last_written, total_hi, hop);

    // A head is no first token, and is never told as one: those were written later.
    let first_written = truth.events.iter().find(|event| event.1 > 0).unwrap().0.0;
    let first_there = request.first_token_unix_ns.unwrap().0;
    match (hop.product, hop.phases.upstream_first_body_s) {
        (Product::Envoy | Product::Litellm, Some(first_s)) => {
            // Envoy stamps the first byte of the body, which is that of the role; LiteLLM the first chunk.
            let [first_lo, first_hi] = after(hop, first_s);
            in_order("the body began after the server sent it", truth.events[0].0.0, first_hi, hop);
            in_order("the client had the token after the body began", first_lo, first_there, hop);
        }
        (Product::Envoy | Product::Litellm, None) => panic!("no first byte: {hop:?}"),
        (_, first) => assert_eq!(first, None),
    }
    if let Some(head_s) = hop.phases.upstream_head_s {
        let [head_lo, head_hi] = after(hop, head_s);
        in_order("the head came after the server sent it", truth.head_unix_ns.unwrap().0, head_hi, hop);
        in_order("and before the client had a token", head_lo, first_there, hop);
    }
    if let Some(head_s) = hop.tries[0].head_s {
        // A try begins some time after the start.
        let [head_lo, _] = after(hop, head_s);
        in_order("the try's head came before the client had a token", head_lo, first_there, hop);
    }
    assert!(truth.head_unix_ns.unwrap().0 < first_written);
    if let Some(connected_s) = hop.phases.connected_s {
        let [connected_lo, _] = after(hop, connected_s);
        in_order("the server had it after the connection", connected_lo, truth.read_unix_ns.0, hop);
    }
    if let Some(sent_s) = hop.phases.upstream_sent_s {
        let [sent_lo, _] = after(hop, sent_s);
        // Envoy stamps what it has handed to its socket a moment late: only the answer bounds it.
        in_order("the answer came after the request was sent", sent_lo, truth.head_unix_ns.unwrap().0, hop);
    }
}

/// The server had been stopped.
fn says_that_nobody_was_there(hop: &Hop<'_>) {
    assert!(hop.status.is_some_and(|status| status >= 500), "{hop:?}");
    assert_ne!(hop.completeness, Completeness::Cut, "{hop:?}");
    assert_eq!((hop.phases.upstream_head_s, hop.phases.upstream_first_body_s), (None, None), "{hop:?}");
    assert!(hop.tries.iter().all(|one| one.head_s.is_none()), "{hop:?}");
    if hop.product == Product::Haproxy {
        assert_eq!(hop.attempts, Some(4), "three retries: {hop:?}");
    }
}

/// Every line of every request, in both variants: the configurations differ in nothing that a log shows.
fn says_what_was(product: &'static str, variant: &str) {
    Seen::through(product, variant, &[], "", 40).each(agrees);
}

/// Answers that the server cut: the log must not call them whole.
fn never_calls_a_cut_answer_whole(product: &'static str) {
    let seen = Seen::through(product, "mended", &["cut after=5 every=4"], "", 24);
    let mut cut = 0;
    seen.each(|request, hop, truth| {
        if truth.outcome == Outcome::Complete {
            return agrees(request, hop, truth);
        }
        cut += 1;
        assert_ne!(request.status, Status::Ok, "{request:?}");
        assert_ne!(hop.completeness, Completeness::Complete, "{hop:?}");
        if !matches!(hop.product, Product::Nginx | Product::Litellm) {
            assert_eq!(hop.completeness, Completeness::Cut, "{hop:?}");
        }
    });
    assert_eq!(cut, 6);
}

/// Clients that left: no log lays it to the server, if it tells the two apart.
fn knows_who_left(product: &'static str) {
    let seen = Seen::through(product, "mended", &["stall at=5 for_ms=3000 every=4"], "--timeout 1.5", 16);
    let mut left = 0;
    seen.each(|request, hop, truth| {
        if request.status == Status::Ok {
            return agrees(request, hop, truth);
        }
        assert_eq!(request.status, Status::Timeout, "{request:?}");
        left += 1;
        match hop.product {
            // They say the same of answers that the server cut.
            Product::Caddy | Product::Traefik => assert_eq!(hop.completeness, Completeness::Cut, "{hop:?}"),
            // It looks when the server speaks again, and what the socket then takes in one go is sent for it.
            Product::Haproxy => {
                assert!(
                    matches!(hop.completeness, Completeness::Aborted | Completeness::Complete),
                    "{hop:?}"
                );
            }
            _ => assert_eq!(hop.completeness, Completeness::Aborted, "{hop:?}"),
        }
    });
    assert!(left >= 4, "{left}");
}

/// What `tare audit` finds of this gateway: the kind of each verdict, and what it names; none is about the
/// direct way, and every request that went through is found in the gateway's log.
fn verdicts(product: &'static str, variant: &str) -> Vec<String> {
    audited(product, variant).0
}

/// The same, and what its answers' heads state: names, how many answers, how many longer than the client waited.
fn audited(product: &'static str, variant: &str) -> (Vec<String>, Vec<(String, u64, u64)>) {
    let place = Place::new().env("OPENAI_API_KEY", KEY);
    let server = LookAlike::start(&["--decode-base-ms", "8"]);
    let gateway = Gateway::start(product, variant, &server.url, place.path("gateway"));
    let said = place.tare(&format!(
        "audit -q --direct {} --through http://{} --model tare-mock --concurrency 3 --rounds 4 --num-warmups 4 --salt \
         --no-server-metrics --hop {product}:{} --output run",
        server.url,
        gateway.address,
        gateway.log().display()
    ));
    assert_eq!(said.code, Some(0), "{}\n{}", said.err, gateway.said());
    let summary = std::fs::read_to_string(place.path("run/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    let in_log = |row: &&RequestRow| {
        data.hops.rows.iter().any(|hop| hop.request_id.as_deref() == Some(row.request_id.as_str()))
    };
    assert_eq!(data.requests.rows.len(), 72);
    assert_eq!(data.requests.rows.iter().filter(in_log).count(), 36, "{}", said.err);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let verdicts = summary["verdicts"].as_array().unwrap();
    assert!(verdicts.iter().all(|verdict| verdict["route"] == "through"), "{verdicts:#?}");
    // HAProxy's `%Ta` is often below zero before the end: no duration, and not taken for one.
    let is_unfinished = |one: &serde_json::Value| text(&one["found"]).contains("active;dur=-");
    assert!(summary["hops"]["unread"].as_array().unwrap().iter().all(is_unfinished), "{}", summary["hops"]);
    let count = |value: &serde_json::Value| value.as_u64().unwrap();
    let stated = summary["hops"]["stated"].as_array().unwrap().iter();
    let stated = stated.map(|s| (text(&s["what"]), count(&s["mean"]["n"]), count(&s["longer"]))).collect();
    let verdicts = verdicts
        .iter()
        .map(|verdict| {
            let remedies = verdict["remedies"].as_array().unwrap();
            let settings: Vec<String> = remedies.iter().map(|remedy| text(&remedy["setting"])).collect();
            format!("{}: {}", text(&verdict["kind"]), settings.join(", "))
        })
        .collect();
    (verdicts, stated)
}

/// `Server-Timing` as users of these products write it: of nothing that is not known yet a duration is made,
/// and none is longer than the client waited.
#[test]
#[ignore = "needs scripts/gateways/check.sh"]
fn audits_nginx_with_server_timing() {
    let (verdicts, stated) = audited("nginx", "timed");
    assert_eq!(verdicts, ["head: proxy_buffering off;"]);
    let [(nginx, n, longer), (upstream, m, also)] = stated.try_into().unwrap();
    assert_eq!((nginx.as_str(), n, longer, m, also), ("nginx", 36, 0, 36, 0));
    assert!(upstream.starts_with("upstream (127.0.0.1:"), "{upstream}");
}

#[test]
#[ignore = "needs scripts/gateways/check.sh"]
fn audits_haproxy_with_server_timing() {
    let (verdicts, stated) = audited("haproxy", "timed");
    assert_eq!(verdicts, ["hold: option http-no-delay"]);
    let of = |name: &str| stated.iter().find(|(what, ..)| what == name).map(|(_, n, longer)| (*n, *longer));
    for name in ["connect", "response", "queue (wait, in all)"] {
        assert_eq!(of(name), Some((36, 0)), "{stated:?}");
    }
    // Both are not over yet: 0, or -1, or what is idle time of the connection as well.
    assert!(
        of("total").is_none_or(|(n, _)| n <= 36) && of("active").is_none_or(|(n, _)| n <= 36),
        "{stated:?}"
    );
    assert_eq!(of("backend (servers/s1)"), None);
}

#[test]
#[ignore = "needs scripts/gateways/check.sh"]
fn audits_nginx() {
    // Its buffers hold no token of a server that sends chunks as they come, only the head.
    assert_eq!(verdicts("nginx", "default"), ["head: proxy_buffering off;"]);
    assert_eq!(verdicts("nginx", "mended"), [""; 0]);
}

#[test]
#[ignore = "needs scripts/gateways/check.sh"]
fn audits_haproxy() {
    assert_eq!(verdicts("haproxy", "default"), ["hold: option http-no-delay"]);
    assert_eq!(verdicts("haproxy", "mended"), [""; 0]);
}

#[test]
#[ignore = "needs scripts/gateways/check.sh"]
fn audits_envoy() {
    assert_eq!(verdicts("envoy", "default"), [""; 0]);
}

#[test]
#[ignore = "needs scripts/gateways/check.sh"]
fn audits_caddy() {
    assert_eq!(verdicts("caddy", "default"), [""; 0]);
}

#[test]
#[ignore = "needs scripts/gateways/check.sh"]
fn audits_traefik() {
    assert_eq!(verdicts("traefik", "default"), [""; 0]);
}

#[test]
fn print_config_prints_the_files_as_they_are() {
    let place = Place::new();
    let help = place.tare("audit --help").out;
    for product in tare::gateway_config::PRODUCTS {
        let said = place.tare(&format!("audit --print-config {}", product.name));
        let file = root().join("assets/gateways").join(product.file);
        assert_eq!((said.code, said.out), (Some(0), std::fs::read_to_string(file).unwrap()));
        assert!(help.contains(product.name), "{help}");
    }
    insta::assert_snapshot!(place.tare("audit --print-config apache").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: no configuration for `apache`
    hint: there are nginx, haproxy, envoy, caddy, traefik, litellm, kong
    ");
}

macro_rules! gateways {
    ($($name:ident)*) => { $(
        mod $name {
            #[test]
            #[ignore = "needs scripts/gateways/check.sh"]
            fn default_says_what_was() {
                super::says_what_was(stringify!($name), "default");
            }

            #[test]
            #[ignore = "needs scripts/gateways/check.sh"]
            fn mended_says_what_was() {
                super::says_what_was(stringify!($name), "mended");
            }

            #[test]
            #[ignore = "needs scripts/gateways/check.sh"]
            fn cut_answers_are_never_called_whole() {
                super::never_calls_a_cut_answer_whole(stringify!($name));
            }

            #[test]
            #[ignore = "needs scripts/gateways/check.sh"]
            fn clients_that_left_are_known() {
                super::knows_who_left(stringify!($name));
            }
        }
    )* };
}

gateways!(nginx haproxy envoy caddy traefik litellm);
