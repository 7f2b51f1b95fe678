//! How much of an offered rate is delivered, how late requests start, and what one costs: `tare run` in an
//! open loop against the embedded server, one-token answers, each in a process of its own, several times.
//! Prints beside it how late a thread was that only sleeps: what the machine did to everyone. Asserts
//! nothing; say with the numbers what else the machine was doing.
//!
//! `cargo bench --bench rate [-- RPS SECONDS RUNS [constant|poisson|BURSTINESS]]`

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;
use serde_json::Value;

/// Distinct prompts, of so many tokens.
const SAMPLES: u32 = 64;
const INPUT_TOKENS: u32 = 16;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |i: usize, usual: f64| args.get(i).map_or(Ok(usual), |arg| arg.parse::<f64>());
    let (rate, seconds, runs) = (number(0, 5000.0)?, number(1, 10.0)?, number(2, 5.0)? as u32);
    let law = match args.get(3).map(String::as_str) {
        None | Some("constant") => "--arrival constant".to_owned(),
        Some("poisson") => "--arrival poisson".to_owned(),
        Some(shape) => format!("--burstiness {shape}"),
    };
    println!(
        "{rate} requests/s ({law}) for {seconds} s, answers of one token; {} CPUs",
        std::thread::available_parallelism()?
    );
    for run in 1..=runs {
        let dir = tempfile::tempdir()?;
        one(run, &format!("--request-rate {rate} {law} --duration {seconds}"), dir.path())?;
    }
    Ok(())
}

fn one(run: u32, load: &str, dir: &Path) -> anyhow::Result<()> {
    let before = children_cpu_s()?;
    let (server, authority) = start(dir)?;
    let line = format!(
        "run -q --base-url http://{authority} {load} --random-input-len {INPUT_TOKENS} --random-output-len 1 \
         --ignore-eos --samples {SAMPLES}"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    command.args(line.split_whitespace()).arg("--output").arg(dir.join("run"));
    let said = command.stdout(Stdio::null()).status().context("the program does not start")?;
    ensure!(said.success(), "the run ended with {said}");
    let client = children_cpu_s()? - before;
    end(server)?;
    let server_s = children_cpu_s()? - before - client;
    show(run, dir, server_s)
}

fn show(run: u32, dir: &Path, server_s: f64) -> anyhow::Result<()> {
    let read = |name: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(dir.join("run").join(name))?)?)
    };
    let (summary, manifest) = (read("summary.json")?, read("manifest.json")?);
    let number =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let offered = |key: &str| number(&summary, &format!("/offered/{key}"));
    let (wanted, begun) = (offered("offered_rps"), offered("delivered_rps"));
    println!(
        "\nrun {run}: wanted {wanted:.2}/s, begun {begun:.2}/s ({:.3} %), {} due, {} never sent, {} ok",
        100.0 * begun / wanted,
        offered("due"),
        offered("unsent"),
        number(&summary, "/completed")
    );
    let [p50, p90, p99, max] =
        ["p50_s", "p90_s", "p99_s", "max_s"].map(|q| 1e3 * offered(&format!("lateness/{q}")));
    println!("  started late (ms)         p50 {p50:.3}  p90 {p90:.3}  p99 {p99:.3}  max {max:.3}");
    let own = |key: &str| number(&manifest, &format!("/own/{key}"));
    let [p50, p99, max] = ["p50_s", "p99_s", "max_s"].map(|q| 1e3 * own(&format!("process_delay/{q}")));
    println!("  a thread that sleeps (ms) p50 {p50:.3}  p99 {p99:.3}  max {max:.3}");
    let sent = offered("sent");
    let us = |seconds: f64| seconds * 1e6 / sent;
    let threads = manifest.pointer("/own/threads").and_then(Value::as_array).cloned().unwrap_or_default();
    let threads = threads.iter().filter_map(|thread| {
        let used = us(thread.get("on_cpu_s")?.as_f64()?);
        (used >= 0.5).then(|| format!("{} {used:.1}", thread["name"].as_str().unwrap_or("?")))
    });
    println!(
        "  CPU per request (µs)      client {:.1} while it loads ({}); server {:.1} in all",
        us(own("user_s") + own("system_s")),
        threads.collect::<Vec<_>>().join(", "),
        us(server_s)
    );
    Ok(())
}

/// Starts the embedded server, an engine with steps of a millisecond, and waits until it serves.
fn start(dir: &Path) -> anyhow::Result<(Child, String)> {
    let log = dir.join("server.log");
    let line = "serve --port 0 --no-enable-log-requests --decode-base-ms 1 --decode-per-seq-ms 0 --jitter 0 \
                --prefill-us-per-token 0 --frontend-ms 0 --frontend-us-per-token 0 --api-server-count 2 \
                --max-num-seqs 1000000 --max-num-batched-tokens 1000000";
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    command.args(line.split_whitespace()).args(["--parent-pid", &std::process::id().to_string()]);
    let mut child = command.stdout(File::create(&log)?).stdin(Stdio::null()).spawn()?;
    for _ in 0..1_000 {
        let said = std::fs::read_to_string(&log)?;
        let url = said.lines().find(|line| line.contains("Starting vLLM server on "));
        let url = url.and_then(|line| line.split_whitespace().last()?.strip_prefix("http://"));
        if let (Some(authority), true) = (url, said.contains("Application startup complete")) {
            return Ok((child, authority.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    bail!("the embedded server does not say that it serves")
}

fn end(mut server: Child) -> anyhow::Result<()> {
    kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGTERM)?;
    server.wait()?;
    Ok(())
}

/// Of children that have ended and were waited for.
fn children_cpu_s() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |t: TimeVal| t.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
