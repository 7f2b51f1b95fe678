//! `--listen-metrics`: the client's own metrics while a run goes on, and the dashboard that sets them beside the server's.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tare_parsers::exposition;

use crate::program::Place;

/// The answer's body.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.contains("200 OK").then(|| body.to_owned())
}

fn value(page: &str, name: &str, label: &str) -> f64 {
    let read = exposition::parse(page);
    let samples = read.samples.iter().filter(|s| s.name == name);
    samples.filter(|s| label.is_empty() || s.labels.iter().any(|(_, v)| v == label)).map(|s| s.value).sum()
}

/// Names that the dashboard's queries ask for.
fn asked() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/grafana/tare.json");
    let board: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let exprs = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let names = exprs.flat_map(|target| {
        let expr = target["expr"].as_str().unwrap().to_owned();
        let words: Vec<String> = expr.split(|c| !is_name(c)).map(str::to_owned).collect();
        words
    });
    let names: BTreeSet<String> =
        names.filter(|name| name.starts_with("tare_client_") || name.starts_with("vllm:")).collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

#[test]
fn the_page_counts_what_the_run_counts_and_the_dashboard_asks_for_nothing_else() {
    let place = Place::new();
    place.file("config.yaml", "embedded:\n  decode_base_ms: 2\n  prefill_us_per_token: 20\n");
    let mut server = Command::new(env!("CARGO_BIN_EXE_tare"))
        .args(["serve", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let url = lines
        .find_map(|line| {
            let line = line.unwrap();
            line.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).map(str::to_owned)
        })
        .unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    // The run's last file is a pipe that nobody reads yet: when its report is written, the program stands still.
    let last_file = place.path("last.xml");
    assert!(Command::new("mkfifo").arg(&last_file).status().unwrap().success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_tare"))
        .args(["run", "--base-url", &url, "--output", "run", "--listen-metrics", "0", "--users", "4"])
        .args([
            "--num-prompts",
            "200",
            "--random-input-len",
            "12",
            "--random-output-len",
            "20",
            "--ignore-eos",
            "--junit",
            "last.xml",
        ])
        .current_dir(place.path("."))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = said.find(|line| line.as_ref().unwrap().contains("/metrics")).unwrap().unwrap();
    std::thread::spawn(move || said.for_each(drop));
    let address = line.split_once("http://").unwrap().1.split('/').next().unwrap().to_owned();

    let mut seen = 0;
    let last = loop {
        let reported = place.path("run/summary.json").exists();
        let page = get(&address, "/metrics").expect("the page is there until the run's last file is written");
        let read = exposition::parse(&page);
        assert!(read.errors.is_empty(), "{:?}", read.errors);
        if reported {
            break page;
        }
        seen += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(seen > 0);
    assert!(std::fs::read_to_string(&last_file).unwrap().contains("<testsuites"));
    assert!(child.wait().unwrap().success());
    assert!(get(&address, "/metrics").is_none(), "it ends with the program");

    let summary: Value =
        serde_json::from_slice(&std::fs::read(place.path("run/summary.json")).unwrap()).unwrap();
    let ended = value(&last, "tare_client_requests_total", "");
    let ok = value(&last, "tare_client_requests_total", "ok");
    assert!(ended == 200.0 && ok == ended, "{last}");
    assert_eq!(value(&last, "tare_client_requests_sent_total", ""), 200.0);
    assert!(
        last.contains("tare_client_num_requests_in_flight{")
            && value(&last, "tare_client_num_requests_in_flight", "") == 0.0
    );
    assert_eq!(summary["completed"], 200);
    assert_eq!(value(&last, "tare_client_time_to_first_token_seconds_count", ""), ok);
    assert_eq!(value(&last, "tare_client_generation_tokens_total", ""), 20.0 * ok);
    // A server that is late sends several tokens in one event.
    let rows = std::fs::read_to_string(place.path("run/results.jsonl")).unwrap();
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let gaps: f64 = rows.map(|row| row["n_events"].as_f64().unwrap() - 1.0).sum();
    assert_eq!(value(&last, "tare_client_inter_token_latency_seconds_count", ""), gaps);

    let theirs = get(url.trim_start_matches("http://").trim_end_matches('/'), "/metrics").unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let there: BTreeSet<String> = [&last, &theirs]
        .iter()
        .flat_map(|page| exposition::parse(page).samples.into_iter().map(|s| s.name.to_owned()))
        .collect();
    let lacking: Vec<String> = asked().difference(&there).cloned().collect();
    assert!(lacking.is_empty(), "nothing exposes {lacking:?}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    let place = Place::new();
    let said = place.tare("run --listen-metrics metrics:http --dry-run");
    insta::assert_snapshot!(format!("{} {}", said.code.unwrap(), said.err), @r"
    2 error: `--listen-metrics`: expected a port, or an address with one, found `metrics:http`
    hint: such as 9464, 127.0.0.1:9464 or 0.0.0.0:9464
    ");
}
