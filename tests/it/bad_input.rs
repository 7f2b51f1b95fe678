//! What the program says and how it ends when something is wrong with what it was given: each
//! mistake as a snapshot of exit code, stdout and stderr; and that no measured row is lost by it.

mod servers;
mod words;

use std::time::Duration;

use insta::assert_snapshot;

use crate::program::{LookAlike, Place, filters};

/// A few short requests, one after the other.
const FEW: &str = "--users 1 --num-prompts 6 --random-input-len 5 --random-output-len 4 --ignore-eos --scrape-interval 60 --output run";

fn embedded(faults: &str) -> String {
    format!("embedded:\n  decode_base_ms: 2\n  faults: [{faults}]\n")
}

/// A run against the embedded server with these faults.
fn run_with(faults: &str) -> (Place, String) {
    let place = Place::new();
    place.file("config.yaml", embedded(faults));
    let said = place.tare(&format!("run config.yaml {FEW}"));
    let short = said.in_short();
    (place, short)
}

fn lines(place: &Place, name: &str) -> usize {
    std::fs::read_to_string(place.path(name)).unwrap().lines().count()
}

#[test]
fn a_log_that_is_not_there() {
    let _names = filters();
    let (place, server) = (Place::new(), LookAlike::start(&[]));
    let said = place.tare(&format!("run --base-url {} --server-log vllm.log {FEW}", server.url));
    assert_snapshot!(said.in_short(), @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the server log vllm.log was not there when the run began; it is read from its start once it appears (hint: check the path given with `--server-log`; `-` reads standard input)
    run
    ----- stderr
    ");
}

/// A log that grows while the run goes on, by the same line again and again; and how many rows are
/// kept of it.
fn run_with_log(line: &'static [u8]) -> (String, usize) {
    let (place, server) = (Place::new(), LookAlike::start(&[]));
    place.file("server.log", "");
    let path = place.path("server.log");
    let writing = std::thread::spawn(move || {
        use std::io::Write;
        while let Ok(mut log) = std::fs::File::options().append(true).open(&path) {
            let _ = log.write_all(line);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let said = place.tare(&format!("run --base-url {} --server-log server.log {FEW}", server.url));
    let kept = lines(&place, "run/server_log.jsonl");
    drop(place);
    writing.join().unwrap();
    (said.in_short(), kept)
}

#[test]
fn a_log_of_another_format() {
    let _names = filters();
    let (said, kept) = run_with_log(b"2026/11/24 18:00:00 [notice] 1#1: start worker processes\n");
    assert_snapshot!(said, @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: none of the SOME lines read from the log server.log is in a known format, for example `2026/11/24 18:00:00 [notice] 1#1: start worker processes` (hint: known formats: vllm, uvicorn, tare_stat_log, sglang, tgi, llama_cpp, nginx, haproxy, envoy, caddy, traefik, litellm, sglang_router, tare_tap)
    run
    ----- stderr
    ");
    assert!(kept > 0, "lines that nobody understands are kept");
}

#[test]
fn a_binary_log() {
    let _names = filters();
    assert_snapshot!(run_with_log(b"\x7fELF\x02\x01\x01\0\0\0\xff\xfe\0\n").0, @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the server log server.log is no text log: it begins with binary data (hint: give the text that the server writes to its standard output)
    run
    ----- stderr
    ");
}

#[test]
fn a_dataset_with_broken_entries() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    place.file(
        "prompts.jsonl",
        "{\"prompt\": \"one\"}\n{\"prompt\": 2}\nthree\n{\"messages\": []}\n{\"prompt\": \"five\"}\n",
    );
    let said = place.tare(
        "run config.yaml --dataset-path prompts.jsonl --users 1 --num-prompts 4 --output-len 4 --output run",
    );
    assert_snapshot!(said.in_short(), @r"
    exit code: 0
    ----- stdout
    Total Requests: 4
    Successful Requests: 4
    Failed Requests: 0
    note: 4 different prompts were asked for, and the dataset has 2
    note: 3 of 5 entries of the dataset could not be read: line 2: prompt: expected text, found a number; line 3, column 2: not JSON: expected ident; line 4: messages: expected a message, found none
    run
    ----- stderr
    ");
    assert_eq!(lines(&place, "run/results.jsonl"), 4);
}

#[test]
fn a_dataset_without_a_good_entry() {
    let _names = filters();
    let place = Place::new();
    place.file("prompts.jsonl", "{\"prompt\": 2}\nthree\n");
    assert_snapshot!(place.tare("run --dataset-path prompts.jsonl --output run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: none of the 2 entries of `prompts.jsonl` can be sent
      line 1: prompt: expected text, found a number
      line 2, column 2: not JSON: expected ident
    hint: each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`
    ");
    place.file("empty.jsonl", "");
    assert_snapshot!(place.tare("run --dataset-path empty.jsonl --output run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `empty.jsonl` holds no entries
    hint: each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`
    ");
    place.file("cut.json", "[{\"conversations\": [{\"from\": \"human\", \"value\": \"Tell me of a long");
    assert_snapshot!(place.tare("run --dataset-path cut.json --output run").shown(), @r#"
    exit code: 2
    ----- stdout
    ----- stderr
    error: none of the 1 entries of `cut.json` can be sent
      line 1, column 65: EOF while parsing a string; nothing after this was read
    hint: expected a JSON list of `{"conversations": [{"from": "human", "value": text}, …]}`
    "#);
    assert!(!place.path("run").exists(), "nothing is made for a run that cannot be");
}

#[test]
fn a_dataset_that_is_not_there() {
    let _names = filters();
    assert_snapshot!(Place::new().tare("run --dataset-path sharegpt.json --output run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: cannot read the dataset `sharegpt.json`
    caused by: No such file or directory (os error N)
    hint: paths are relative to the current directory; requests/README.md says what ships and how to get more
    ");
}

#[test]
fn an_output_that_cannot_be_written() {
    let _names = filters();
    let place = Place::new();
    place.file("taken", "a file");
    assert_snapshot!(place.tare("run --num-prompts 1 --output taken").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: the output path taken is a file, not a folder
    hint: name a folder with --output
    ");
    assert_snapshot!(place.tare("run --num-prompts 1 --output taken/run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: cannot create the output folder taken/run
    caused by: Not a directory (os error N)
    hint: name another folder with --output
    ");
}

#[test]
fn an_output_folder_that_holds_something() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    std::fs::create_dir(place.path("run")).unwrap();
    place.file("run/notes.txt", "mine");
    place.file("run/report.md", "an older report");
    assert_snapshot!(place.tare(&format!("run config.yaml {FEW}")).shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: the output folder run is not empty (it holds notes.txt, report.md)
    hint: name another folder with --output, or give --overwrite to replace the run in it
    ");
    let said = place.tare(&format!("run config.yaml --overwrite {FEW}"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(std::fs::read_to_string(place.path("run/notes.txt")).unwrap(), "mine");
    assert!(std::fs::read_to_string(place.path("run/report.md")).unwrap().contains("Successful Requests: 6"));
}

#[test]
fn a_port_for_spans_that_is_taken() {
    let _names = filters();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    let port = taken.local_addr().unwrap().port();
    let said = place.tare(&format!("run config.yaml --otlp --otlp-http-port {port} {FEW}"));
    assert_snapshot!(said.shown().replace(&port.to_string(), "PORT"), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: cannot receive spans (OTLP over HTTP) at 127.0.0.1:PORT: Address already in use (os error N)
    hint: something else listens there, another collector or another run; `--otlp-http-port` takes another port, 0 any free one
    ");
    let said = place.tare(&format!("serve --port {port}"));
    assert_snapshot!(said.shown().replace(&port.to_string(), "PORT"), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: cannot listen on 127.0.0.1:PORT; is the port taken? (port 0 takes any free one)
    caused by: Address already in use (os error N)
    ");
}

#[test]
fn a_report_of_no_run() {
    let _names = filters();
    let place = Place::new();
    std::fs::create_dir(place.path("run")).unwrap();
    assert_snapshot!(place.tare("report run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: run is no run folder: it holds no manifest.json
    hint: name a folder that `tare run` wrote
    ");
    assert_snapshot!(place.tare("report nowhere").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: nowhere is no run folder: it holds no manifest.json
    hint: name a folder that `tare run` wrote
    ");
    place.file("run/manifest.json", "{\"schema_version\": 1,");
    assert_snapshot!(place.tare("report run").shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: run/manifest.json is not a manifest that this version can read
    caused by: EOF while parsing a value at line 1 column 21
    ");
}

#[test]
fn a_run_of_a_newer_version() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    assert_eq!(place.tare(&format!("run config.yaml {FEW}")).code, Some(0));
    let manifest = std::fs::read_to_string(place.path("run/manifest.json")).unwrap();
    place.file("run/manifest.json", manifest.replacen("\"schema_version\": 1", "\"schema_version\": 99", 1));
    assert_snapshot!(place.tare("report run").shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: run/manifest.json has schema version 99; this tare reads up to 1: use tare 0.1.0 or newer
    ");
}
