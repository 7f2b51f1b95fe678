//! How exact the stamps are: runs a load against the embedded server, which writes down when it
//! handed each event to its socket, and compares that truth with what the client stamped. Prints the
//! error of event stamps and of TTFT, whether the bounds hold, and what the client cost in CPU time.
//! Asserts nothing; say with the numbers what else the machine was doing.
//!
//! `cargo bench --bench stamps [-- USERS MILLISECONDS_PER_TOKEN SECONDS]`

#![allow(clippy::cast_possible_wrap)] // small counts

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tare::cli::{Cli, Command};
use tare::config::{self, Config};
use tare::record::{RequestRow, Status};
use tare::run::{Options, run};
use tare::stats::quantile;
use tare::store::{RunData, RunFolder};
use tokio_util::sync::CancellationToken;

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<f64>().ok());
    let users = numbers.next().unwrap_or(50.0);
    let ms_per_token = numbers.next().unwrap_or(20.0);
    let seconds = numbers.next().unwrap_or(10.0);
    let dir = tempfile::tempdir()?;
    let (folder, truth) = (dir.path().join("run"), dir.path().join("truth.jsonl"));
    let options = Options {
        exe: env!("CARGO_BIN_EXE_tare").into(),
        quiet: true,
        interrupt: CancellationToken::new(),
        truth: Some(truth.clone()),
    };
    let cpu = Cpu::watch();
    run(&config(users, ms_per_token, seconds, &folder)?, &options)?;
    let cpu = cpu.end();

    let data = RunData::read(&RunFolder::open(&folder)?)?;
    let found = compare(&data, &read_truth(&truth)?);
    println!("{users} users, about {:.0} tokens/s each, {seconds} s", 1e3 / ms_per_token);
    println!("requests {}, of them not comparable {}", data.requests.rows.len(), found.left_out);
    let events = data.events.len();
    let exact = found.exact.len() as f64 / found.all.len().max(1) as f64;
    println!("token events {events}, compared {}, exact {:.3} %", found.all.len(), exact * 1e2);
    show("event stamp - truth, exact", &found.exact);
    show("event stamp - truth, all", &found.all);
    show("event user stamp - truth", &found.user);
    show("TTFT client - truth", &found.ttft);
    println!(
        "bounds: {} stamps before the truth, {} lower bounds after the truth by more than 50 us, {} intervals upside down",
        found.early, found.low_late, found.upside_down
    );
    for (thread, seconds) in cpu {
        println!(
            "CPU {thread:<14} {seconds:>7.3} s, {:>8.2} s per million events",
            seconds * 1e6 / events.max(1) as f64
        );
    }
    Ok(())
}

/// `users` at once for `seconds`, and an engine whose step with all of them takes `ms_per_token`.
fn config(users: f64, ms_per_token: f64, seconds: f64, folder: &Path) -> anyhow::Result<Config> {
    let line = format!(
        "tare run --users {users} --ramp-s 1 --duration {seconds} --grace-period 2 --random-input-len 32 --output-len 120 --ignore-eos --samples 64"
    );
    let mut line: Vec<_> = line.split(' ').map(Into::into).collect();
    line.extend(["--output".into(), folder.into()]);
    let Command::Run(args) = Cli::read(config::normalise_args(line)).command else {
        anyhow::bail!("not a run")
    };
    let mut config = config::load(None, &args)?;
    let engine = &mut config.target.embedded;
    engine.max_num_seqs = users as u32;
    engine.decode_base_ms = ms_per_token / 2.0;
    engine.decode_per_seq_ms = ms_per_token / 2.0 / users;
    Ok(config)
}

/// What is compared of the embedded server's own record.
#[derive(Deserialize)]
struct TruthRow {
    x_request_id: Option<String>,
    /// Handed to the socket, tokens, bytes.
    events: Vec<(i64, u32, u32)>,
}

fn read_truth(path: &Path) -> anyhow::Result<HashMap<String, TruthRow>> {
    let text = std::fs::read_to_string(path).context("the embedded server left no truth")?;
    let mut rows = HashMap::new();
    for line in text.lines() {
        let row: TruthRow = serde_json::from_str(line)?;
        if let Some(id) = row.x_request_id.clone() {
            rows.insert(id, row);
        }
    }
    Ok(rows)
}

/// Differences in seconds.
#[derive(Default)]
struct Found {
    all: Vec<f64>,
    exact: Vec<f64>,
    user: Vec<f64>,
    ttft: Vec<f64>,
    left_out: usize,
    early: usize,
    low_late: usize,
    upside_down: usize,
}

fn compare(data: &RunData, truth: &HashMap<String, TruthRow>) -> Found {
    let mut found = Found::default();
    for row in &data.requests.rows {
        let rows = data.events.of(&row.request_id).unwrap_or_default();
        let written: Option<Vec<i64>> = truth
            .get(&row.request_id)
            .map(|t| t.events.iter().filter(|(_, tokens, _)| *tokens > 0).map(|(at, ..)| *at).collect());
        // Of a request that was given up, the server may have written more than came.
        let comparable = |n: usize| n == rows.len() || (row.status == Status::InFlight && n > rows.len());
        let Some(written) = written.filter(|w| comparable(w.len())) else {
            found.left_out += 1;
            continue;
        };
        for (i, written) in rows.zip(&written) {
            let stamps = (
                data.events.stamp_lo_unix_ns.get(i),
                data.events.stamp_hi_unix_ns.get(i),
                data.events.user_unix_ns.get(i),
            );
            let (Some(&lo), Some(&hi), Some(&user)) = stamps else { continue };
            let error = (hi - written) as f64 / 1e9;
            found.all.push(error);
            found.user.push((user - written) as f64 / 1e9);
            if lo == hi {
                found.exact.push(error);
            }
            found.early += usize::from(hi < *written);
            found.low_late += usize::from(lo > *written + 50_000 && lo != hi);
            found.upside_down += usize::from(lo > hi);
        }
        found.ttft.extend(ttft_error(row, written.first().copied()));
    }
    found
}

/// Client TTFT minus the same span ending at the server's write.
fn ttft_error(row: &RequestRow, written: Option<i64>) -> Option<f64> {
    Some(row.ttft_s? - (written? - row.started_unix_ns.0) as f64 / 1e9)
}

fn show(what: &str, seconds: &[f64]) {
    let sorted = quantile::sorted(seconds);
    let us = |q: f64| quantile::quantile(&sorted, q).unwrap_or(f64::NAN) * 1e6;
    let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64 * 1e6;
    println!(
        "{what:<28} n {:>8}  mean {mean:>9.1}  p50 {:>9.1}  p99 {:>9.1}  min {:>9.1}  max {:>9.1} us",
        seconds.len(),
        us(0.5),
        us(0.99),
        us(0.0),
        us(1.0)
    );
}

/// CPU time of this process's threads by name; looked at again and again, since threads end.
struct Cpu {
    end: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<HashMap<u32, (String, f64)>>,
}

impl Cpu {
    fn watch() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut threads = HashMap::new();
            while !seen.load(Ordering::Relaxed) {
                look(&mut threads);
                std::thread::sleep(Duration::from_millis(50));
            }
            threads
        });
        Self { end, thread }
    }

    fn end(self) -> Vec<(String, f64)> {
        self.end.store(true, Ordering::Relaxed);
        let mut by_name: HashMap<String, f64> = HashMap::new();
        for (name, seconds) in self.thread.join().unwrap_or_default().into_values() {
            if name.starts_with("tare-") {
                *by_name.entry(name).or_default() += seconds;
            }
        }
        let mut all: Vec<_> = by_name.into_iter().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }
}

fn look(threads: &mut HashMap<u32, (String, f64)>) {
    for entry in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).ok();
        // In user and in system mode, in hundredths of a second, counted from the name's bracket.
        let ran = read("stat").and_then(|text| {
            let mut fields = text.rsplit_once(") ")?.1.split(' ').skip(11);
            Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
        });
        if let (Some(name), Some(ran)) = (read("comm"), ran) {
            threads.insert(id, (name.trim().to_owned(), ran / 100.0));
        }
    }
}
