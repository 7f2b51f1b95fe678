//! How exact the stamps are and what they cost, beside two clients of the usual kind: the same load, by
//! tare, by reqwest and by hyper in turn, each in a process of its own against a fresh embedded
//! server, which writes down when it read each request and when it handed each event to its socket.
//! Prints the errors of event stamps and TTFT, processor time, memory and the time to the first
//! request. Asserts nothing; say with the numbers what else the machine was doing.
//!
//! `cargo bench --bench clients [-- STREAMS TOKENS_PER_SECOND SECONDS [LATE_FIRST_MS]]`
//!
//! What is compared is not the same work: tare writes every event and request to disk, scrapes
//! `/metrics` and follows the server's log; the others keep stamps in memory and do nothing else. Each
//! opens its connections before the first requests, off the clock.

#![allow(clippy::cast_possible_wrap)] // small counts

#[path = "clients/compare.rs"]
mod compare;
#[path = "clients/hyper.rs"]
mod hyper_client;
#[path = "clients/reference.rs"]
mod reference;
#[path = "clients/reqwest.rs"]
mod reqwest_client;
#[path = "clients/server.rs"]
mod server;
#[path = "clients/tare.rs"]
mod tare_client;
#[path = "clients/watch.rs"]
mod watch;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use tare::clock::UnixNs;

use self::compare::Found;
use self::reference::Load;
use self::server::Server;
use self::watch::{Used, Watched};

/// The client that the others are measured by.
const BASE: &str = "reqwest";
const CLIENTS: [&str; 3] = ["tare", BASE, "hyper"];

fn main() -> anyhow::Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == reference::FLAG) {
        return reference::run(&args.split_off(1));
    }
    let mut numbers = args.iter().filter_map(|arg| arg.parse::<f64>().ok());
    let load = Load {
        streams: numbers.next().unwrap_or(100.0) as u32,
        tokens_per_second: numbers.next().unwrap_or(20.0),
        seconds: numbers.next().unwrap_or(10.0),
        late_first_ms: numbers.next().unwrap_or(0.0) as u32,
    };
    let cpus = std::thread::available_parallelism()?;
    let Load { streams, tokens_per_second, seconds, late_first_ms } = load;
    println!(
        "{streams} streams, {tokens_per_second} tokens/s each, {seconds} s, first tokens held back by 0 to {late_first_ms} ms; {cpus} CPUs"
    );
    let mut results = Vec::new();
    for client in CLIENTS {
        let result = one(client, load).with_context(|| format!("the client {client}"))?;
        show(client, &result);
        results.push((client, result));
    }
    ratios(&results);
    Ok(())
}

/// What one client did.
struct Outcome {
    found: Found,
    /// Until the last request had ended, and over the process's whole life.
    loading: Used,
    whole: Used,
    to_first_request_s: f64,
}

/// Runs one client against a server of its own.
fn one(client: &str, load: Load) -> anyhow::Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), load, None)?;
    let mut command = if client == "tare" {
        tare_client::command(load, &server, dir.path())
    } else {
        reference_command(client, load, &server, dir.path())?
    };
    let started = UnixNs::now();
    let watched = Watched::run(&mut command)?;
    let truth = server.stop()?;
    let ends = truth.iter().filter(|row| row.x_request_id.is_some()).map(|row| row.end_unix_ns);
    let last_end = ends.max().context("no request reached the server")?;
    let first_read = truth.iter().filter(|row| row.x_request_id.is_some()).map(|row| row.read_unix_ns).min();
    let answers =
        if client == "tare" { tare_client::answers(dir.path())? } else { reference::answers(dir.path())? };
    let found = Found::compare(&answers, &truth);
    ensure!(found.events > 0, "none of {} answers is in the server's truth", answers.len());
    Ok(Outcome {
        found,
        loading: watched.until(last_end, if client == "tare" { tare_client::LOAD_THREADS } else { &[] }),
        whole: watched.whole,
        to_first_request_s: first_read.unwrap_or(started).seconds_since(started),
    })
}

/// This program again, as the client.
fn reference_command(client: &str, load: Load, server: &Server, dir: &Path) -> anyhow::Result<Command> {
    if ![hyper_client::NAME, reqwest_client::NAME].contains(&client) {
        bail!("there is no client {client}");
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(reference::FLAG).arg(client).arg(&server.authority).args(load.words());
    command.arg(reference::file(dir));
    Ok(command)
}

fn show(client: &str, outcome: &Outcome) {
    let Outcome { found, loading, whole, to_first_request_s } = outcome;
    println!("\n{client}");
    println!(
        "  requests {}, of them not comparable {}; token events compared {}, of them exact {}",
        found.requests, found.left_out, found.events, found.exact
    );
    for (what, errors) in &found.errors {
        println!("  {what:<24} {errors}");
    }
    let per_million = |s: f64| s * 1e6 / found.events.max(1) as f64;
    for (what, seconds) in [
        ("CPU, the load's threads", loading.threads_cpu_s),
        ("CPU, until the last end", loading.cpu_s),
        ("CPU, whole process", whole.cpu_s),
    ] {
        println!("  {what:<24} {seconds:>8.2} s {:>8.2} s per million events", per_million(seconds));
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "  peak RSS                 {:>8.1} MiB until the last end, {:.1} MiB in all",
        mib(loading.peak_rss_bytes),
        mib(whole.peak_rss_bytes)
    );
    println!("  start to first request   {:>8.1} ms", to_first_request_s * 1e3);
}

/// The other clients' costs in units of the base's.
fn ratios(results: &[(&str, Outcome)]) {
    let Some((_, base)) = results.iter().find(|(client, _)| *client == BASE) else { return };
    println!("\nin units of {BASE}, until the last request ended");
    for (client, outcome) in results.iter().filter(|(client, _)| *client != BASE) {
        let per_event = |o: &Outcome, s: f64| s / o.found.events.max(1) as f64;
        let ratio = |s: f64| per_event(outcome, s) / per_event(base, base.loading.cpu_s);
        println!(
            "  {client:<8} CPU per event: the load's threads {:.2}, process {:.2}; peak RSS {:.2}",
            ratio(outcome.loading.threads_cpu_s),
            ratio(outcome.loading.cpu_s),
            outcome.loading.peak_rss_bytes as f64 / base.loading.peak_rss_bytes.max(1) as f64
        );
    }
}
