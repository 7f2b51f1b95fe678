//! What an audit says of gateways whose doing is known, for they are made here: one that tries again, one that also
//! keeps requests waiting; and of two real hops that are listed the wrong way round, or one of them twice.

use std::io::{Read, Write, sink};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tare::record::Arm;
use tare::store::{RunData, RunFolder};

use crate::program::{LookAlike, Place};
use crate::support::{Served, free_port, serve};
use crate::tap::Tap;
use crate::wire::read_request;

/// A gateway that asks another upstream before the server, which refuses each request after 50 ms.
#[derive(Clone)]
struct Retrying {
    refuses: SocketAddr,
    server: String,
    /// Each request waits so long before it is sent anywhere.
    waits: Duration,
    /// As nginx writes it.
    log: PathBuf,
}

impl Retrying {
    fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::fs::write(&self.log, "").unwrap();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let gateway = self.clone();
                std::thread::spawn(move || gateway.serve(client));
            }
        });
        address
    }

    fn serve(&self, mut client: TcpStream) {
        let mut server = TcpStream::connect(&self.server).unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        while let Some(request) = read_request(&mut client) {
            let (begun, mut tries) = (Instant::now(), Vec::new());
            if request.starts_with("POST") {
                std::thread::sleep(self.waits);
                let first = Instant::now();
                let mut refusing = TcpStream::connect(self.refuses).unwrap();
                refusing.write_all(request.as_bytes()).unwrap();
                pass_answer(&mut refusing, &mut sink());
                tries.push(first.elapsed());
            }
            let last = Instant::now();
            server.write_all(request.as_bytes()).unwrap();
            pass_answer(&mut server, &mut client);
            tries.push(last.elapsed());
            if tries.len() > 1 {
                self.note(&request, &client, begun.elapsed(), &tries);
            }
        }
    }

    fn note(&self, request: &str, client: &TcpStream, took: Duration, tries: &[Duration]) {
        let head = request
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("x-request-id: ").map(str::to_owned));
        let seconds = |took: &Duration| format!("{:.3}", took.as_secs_f64());
        let ends: Vec<String> = tries.iter().map(seconds).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let line = format!(
            "msec={} rid={} raddr={} uri=/v1/chat/completions st=200 rt={} ua={}, {} ust=503, 200 uct=0.000, 0.000 uht={}, 0.001 urt={} rl=1 bs=1 rc=OK\n",
            seconds(&now),
            head.unwrap(),
            client.peer_addr().unwrap(),
            seconds(&took),
            self.refuses,
            self.server,
            ends[0],
            ends.join(", ")
        );
        let mut log = std::fs::OpenOptions::new().append(true).open(&self.log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// One answer, on as it comes.
fn pass_answer(from: &mut TcpStream, to: &mut impl Write) {
    let (mut got, mut buffer) = (Vec::new(), [0; 8_192]);
    loop {
        let n = from.read(&mut buffer).unwrap();
        let Some(read) = buffer.get(..n).filter(|read| !read.is_empty()) else { return };
        to.write_all(read).unwrap();
        got.extend_from_slice(read);
        let text = String::from_utf8_lossy(&got).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length| body.len() >= length) {
            return;
        }
    }
}

fn refusing() -> Served {
    let refuse = || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        (StatusCode::SERVICE_UNAVAILABLE, "busy")
    };
    serve(Router::new().route("/v1/chat/completions", post(refuse)))
}

fn summary(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap()
}

/// The verdicts of an audit of such a gateway, and how long the first tries took by its log: the mean, s.
fn audited(waits: Duration) -> (Vec<Value>, f64) {
    let place = Place::new();
    let collector = free_port().port();
    let server = LookAlike::start(&[
        "--decode-base-ms",
        "8",
        "--otlp-endpoint",
        &format!("http://127.0.0.1:{collector}"),
    ]);
    let refusing = refusing();
    let (log, to) = (place.path("gateway.log"), server.url.trim_start_matches("http://").to_owned());
    let gateway = Retrying { refuses: refusing.address, server: to, waits, log: log.clone() }.start();
    let said = place.tare(&format!(
        "audit -q --direct {} --through http://{gateway} --model tare-mock --concurrency 2 --rounds 4 --prompt-tokens 12 \
         --output-tokens 12 --salt --no-server-metrics --otlp --otlp-grpc-port 0 --otlp-http-port {collector} \
         --hop nginx:{} --output run",
        server.url,
        log.display()
    ));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    let through = data.requests.rows.iter().filter(|row| row.arm == Some(Arm::Through));
    let first_try_s = |row: &tare::record::RequestRow| {
        let told = data.hops.rows.iter().find(|hop| hop.request_id.as_ref() == Some(&row.request_id));
        told.and_then(|hop| hop.tries[0].end_s).unwrap()
    };
    let first_tries: Vec<f64> = through.map(first_try_s).collect();
    let mean_s = first_tries.iter().sum::<f64>() / first_tries.len() as f64;
    let verdicts = summary(&place.path("run"))["verdicts"].as_array().unwrap().clone();
    (verdicts, mean_s)
}

fn stake_s(verdict: &Value) -> f64 {
    verdict["at_stake"]["seconds"]["value"].as_f64().unwrap()
}

#[test]
fn what_a_gateways_first_try_takes_is_told_once() {
    let (verdicts, first_try_s) = audited(Duration::ZERO);
    let rules: Vec<&Value> = verdicts.iter().map(|verdict| &verdict["rule"]).collect();
    assert_eq!(rules, ["retries"], "{verdicts:#?}");
    assert!(first_try_s >= 0.050 && (stake_s(&verdicts[0]) - first_try_s).abs() < 1e-9, "{verdicts:#?}");
}

#[test]
fn a_gateway_that_also_keeps_requests_waiting_is_told_both() {
    let (verdicts, first_try_s) = audited(Duration::from_millis(40));
    let rules: Vec<&Value> = verdicts.iter().map(|verdict| &verdict["rule"]).collect();
    assert_eq!(rules, ["queueing", "retries"], "{verdicts:#?}");
    assert!((stake_s(&verdicts[1]) - first_try_s).abs() < 1e-9, "{verdicts:#?}");
    let said = verdicts[0]["evidence"][0].as_str().unwrap();
    assert!(said.contains("without what `retries` explains"), "{said}");
}

/// A run through two taps, the outer one before the inner, with these hops: its warnings on hops, and its hops.
fn through_two_taps(hops: impl Fn(&Tap, &Tap) -> String) -> (Vec<String>, Value) {
    let place = Place::new();
    let server = LookAlike::start(&[]);
    let inner = Tap::start(&server.url);
    let outer = Tap::start(&inner.address.to_string());
    let said = place.tare(&format!(
        "run --base-url http://{} --users 2 --num-prompts 12 --random-input-len 12 --random-output-len 8 --ignore-eos \
         --no-server-metrics {} --output run",
        outer.address,
        hops(&outer, &inner)
    ));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let on_hops = said
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .filter(|said| said.starts_with("hops "));
    (on_hops.map(str::to_owned).collect(), summary(&place.path("run"))["hops"].clone())
}

/// The parts of the way to the first token.
fn parts(hops: &Value) -> Vec<&str> {
    let parts = hops["ttft"]["columns"][0]["parts"].as_array().unwrap();
    parts.iter().map(|part| part["name"].as_str().unwrap()).collect()
}

fn hop(name: &str, tap: &Tap) -> String {
    format!("--hop {name}={} ", tap.file().display())
}

#[test]
fn two_hops_listed_the_wrong_way_round_are_taken_as_requests_pass_them() {
    let (said, _) = through_two_taps(|outer, inner| hop("outer", outer) + &hop("inner", inner));
    assert_eq!(said, [""; 0]);
    let (said, swapped) = through_two_taps(|outer, inner| hop("inner", inner) + &hop("outer", outer));
    assert_eq!(
        said,
        [
            "hops `outer` and `inner` are listed the wrong way round: `outer` had the request before `inner` in 12 of 12 requests that tell; the report takes them in that order; list `outer` before `inner`, as requests pass them"
        ]
    );
    let names: Vec<&Value> = swapped["list"].as_array().unwrap().iter().map(|hop| &hop["name"]).collect();
    assert_eq!(names, ["outer", "inner"]);
}

#[test]
fn one_hop_under_two_names_is_on_the_way_once() {
    let (said, hops) = through_two_taps(|outer, _| hop("outer", outer) + &hop("again", outer));
    assert_eq!(
        said,
        [
            "hops `outer` and `again` tell the same, line by line, of 12 of 12 requests that both tell of: one log under two names; `again` is left out of the way; leave it out of the list, or give the log of the hop that is meant"
        ]
    );
    assert!(parts(&hops).iter().all(|part| !part.contains("again")), "{:?}", parts(&hops));
}
