//! What the embedded server says, read by the parsers that read the real one's: every line of its log in
//! each format, also under a wrong clock; and a run whose embedded server is set up by its configuration.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use chrono::{Local, TimeZone, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare::clock::UnixNs;
use tare::mock::truth::TruthRow;
use tare_parsers::{Event, GeneratedPhase, LogLine, LogTime, Parsed, vllm};

use crate::runs::{QUICK, SHORT, run};

/// The log and the truth of a server that was asked two chats, one whole answer and a client that left;
/// it is stopped when its log has the words `until`.
fn log_of(args: &str, until: &str) -> (String, Vec<TruthRow>) {
    let folder = tempfile::tempdir().unwrap();
    let (log, truth) = (folder.path().join("server.log"), folder.path().join("truth.jsonl"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    command.args(["serve", "--port", "0", "--decode-base-ms", "2", "--truth"]).arg(&truth);
    command.args(args.split_whitespace()).stdin(Stdio::null());
    let mut child = command.stdout(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let read = || std::fs::read_to_string(&log).unwrap();
    crate::support::wait_until("the server to serve", || read().contains("Application startup complete"));
    let text = read();
    let address = text.split_once("Starting vLLM server on http://").unwrap().1;
    let address = address.split(['\n', '"']).next().unwrap();
    let ask = |id: &str, stream: bool, tokens: u32, leave: bool| {
        let body = serde_json::json!({
            "messages": [{"role": "user", "content": "hello"}], "stream": stream, "max_tokens": tokens,
            "ignore_eos": true,
        })
        .to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nx-request-id: {id}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all((head + &body).as_bytes()).unwrap();
        if leave {
            stream.read_exact(&mut [0; 400]).unwrap();
            return;
        }
        stream.read_to_end(&mut Vec::new()).unwrap();
    };
    ask("one", true, 8, false);
    ask("two", true, 8, false);
    ask("whole", false, 3, false);
    ask("left", true, 2000, true);
    crate::support::wait_until("the abort", || read().contains("Request chatcmpl-left aborted."));
    crate::support::wait_until(until, || read().contains(until));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    let truth = std::fs::read_to_string(&truth).unwrap();
    let rows = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (read(), rows)
}

/// Does `look` to every line, none of which may be unknown.
fn each_line(log: &str, mut look: impl FnMut(&LogLine<'_>)) {
    let mut scratch = String::new();
    for line in log.lines() {
        match vllm::parse(line, &mut scratch) {
            Parsed::Line(line) => look(&line),
            other => panic!("{line}: {other:?}"),
        }
    }
}

fn unix_ns(time: LogTime) -> (i64, i64) {
    match time {
        LogTime::Unix { unix_ns, resolution_ns } => (unix_ns, resolution_ns),
        LogTime::Local { year, month, day, hour, minute, second, nanos, resolution_ns } => {
            use chrono::Datelike;
            let year = year.unwrap_or_else(|| Local::now().year());
            let civil = Local.with_ymd_and_hms(
                year,
                month.into(),
                day.into(),
                hour.into(),
                minute.into(),
                second.into(),
            );
            let at = civil.earliest().unwrap().with_timezone(&Utc);
            (at.timestamp() * 1_000_000_000 + i64::from(nanos), resolution_ns)
        }
    }
}

#[test]
fn every_line_of_every_format_is_read() {
    for (format, resolution_ns) in
        [("default", 1_000_000_000), ("us", 1_000), ("json", 1_000_000), ("0.10", 1_000_000_000)]
    {
        let (log, rows) = log_of(
            &format!(
                "--log-format {format} --enable-log-outputs --enable-logging-iteration-details --clock-offset-ms -3000 --clock-drift-ppm 500"
            ),
            "",
        );
        let clock = rows.iter().find_map(|row| row.clock).unwrap();
        let mut seen = Vec::new();
        each_line(&log, |line| {
            if let (Some(time), Event::Received { request_id }) = (line.time, &line.event) {
                let row = rows.iter().find(|row| row.request_id == *request_id).unwrap();
                let (at, resolution) = unix_ns(time);
                assert_eq!(resolution, resolution_ns, "{format}");
                // Between the arrival and the queue, on the wrong clock, to the stamp's resolution; the
                // stamp follows the host's wall clock, the truth the program's own axis.
                let (least, most) =
                    [row.arrival_unix_ns, row.queued_unix_ns].map(|t| clock.says(t.unwrap())).into();
                let slack = 1_000_000;
                assert!(
                    at + resolution + slack > least.0 && at <= most.0 + slack,
                    "{format}: {at} {least:?} {most:?}"
                );
            }
            seen.push(match line.event {
                Event::Received { .. } => "received",
                Event::Added { .. } => "added",
                Event::Access { .. } => "access",
                Event::Generated { phase: GeneratedPhase::Delta, .. } => "delta",
                Event::Generated { phase: GeneratedPhase::Complete, .. } => "complete",
                Event::Generated { phase: GeneratedPhase::Whole, .. } => "whole",
                Event::Aborted { .. } => "aborted",
                Event::Iteration { .. } => "iteration",
                Event::Version { version: "0.32.0" } => "version",
                Event::Serving { .. } => "serving",
                _ => "other",
            });
        });
        let count = |what: &str| seen.iter().filter(|seen| **seen == what).count();
        assert_eq!((count("received"), count("added"), count("access")), (4, 4, 4), "{format}: {log}");
        assert_eq!((count("complete"), count("whole"), count("aborted")), (2, 1, 2), "{format}: {log}");
        assert!(count("delta") > 8 && count("iteration") > 18, "{format}: {log}");
        assert!(count("version") >= 1 && count("serving") == 1, "{format}: {log}");
    }
}

#[test]
fn several_engines_and_servers_are_read_too() {
    let (log, _) = log_of("--data-parallel-size 2 --log-stats-interval-s 0.1", "Engine 001: Avg");
    let (mut processes, mut engines) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    each_line(&log, |line| {
        processes.extend(line.process.map(str::to_owned));
        if let Event::Stats { engine, .. } = line.event {
            engines.extend(engine.map(str::to_owned));
        }
    });
    let processes: Vec<String> = processes.into_iter().collect();
    assert_eq!(processes, ["APIServer", "EngineCore_DP0", "EngineCore_DP1", "VLLM_DP_Coordinator"]);
    assert_eq!(engines.into_iter().collect::<Vec<_>>(), ["000", "001"]);
    let (log, _) = log_of("--api-server-count 2", "");
    let mut processes = std::collections::BTreeSet::new();
    each_line(&log, |line| {
        processes.extend(line.process.map(str::to_owned));
    });
    let processes: Vec<String> = processes.into_iter().collect();
    assert_eq!(processes, ["ApiServer_0", "ApiServer_1", "EngineCore", "MainProcess"]);
}

#[test]
fn a_configuration_sets_the_embedded_server_up() {
    let says = "  log_format: us
  enable_log_outputs: true
  enable_log_deltas: false
  data_parallel_size: 2
  stat_log: true
  clock_offset_ms: 1500
  faults: ['span_loss share=0.2', 'log_loss share=0.1']
";
    let observe = "observe:\n  span_wait_s: 0.5\n";
    let run = run(&format!("{QUICK}{says}{observe}"), &format!("{SHORT} --users 3 --num-prompts 40"));
    let clock = run.truth.iter().find_map(|row| row.clock).unwrap();
    assert_eq!(clock.offset_ns, 1_500_000_000);
    let engines: std::collections::BTreeSet<u16> = run.truth.iter().map(|row| row.engine).collect();
    assert_eq!(engines.into_iter().collect::<Vec<_>>(), [0, 1]);
    // Lines of microseconds, on the clock that is ahead.
    let truth = run.truth_by_id();
    let mut received = 0;
    for row in &run.log {
        let tare::record::LogEvent::Received { request_id } = &row.event else { continue };
        let truth = truth[request_id.trim_start_matches("chatcmpl-")];
        let at = row.time_unix_ns.unwrap();
        let (least, most) = (truth.arrival_unix_ns.unwrap(), truth.queued_unix_ns.unwrap());
        assert!(
            (clock.says(least).0 - 1_000_000..=clock.says(most).0 + 1_000_000).contains(&at.0),
            "{row:?}"
        );
        received += 1;
    }
    let lost = run.truth.iter().filter(|row| row.lost_lines.contains(&"Received".to_owned())).count();
    assert_eq!((received, received + lost), (40 - lost, 40));
    assert!(lost > 0, "4 of 40 are expected, and always the same");
    let stat: Vec<serde_json::Value> =
        run.file("embedded_stat_log.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(stat.len(), 40);
    for line in &stat {
        let truth = truth[line["request_id"].as_str().unwrap().trim_start_matches("chatcmpl-")];
        let iteration = UnixNs(line["iteration_unix_ns"].as_i64().unwrap());
        assert_eq!(iteration, clock.says(truth.last_output_unix_ns.unwrap()));
    }
}
