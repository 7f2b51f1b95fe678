//! What `tare report` costs on a large run: a folder is made up, request by request, and the program is run on it.
//! Prints how long it took, its CPU time, its peak memory and the sizes of the files; asserts nothing.
//!
//! `cargo bench --bench report [-- REQUESTS TOKENS [FOLDER]]`: the folder stays if it is named. 10,000 requests of
//! 200 tokens if nothing is said; an event takes 52 bytes of the folder's stream.

#![allow(clippy::cast_possible_wrap)] // small counts

mod rows;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use tare::record::ScrapePhase;
use tare::record::begun::Begun;
use tare::secrets::Secrets;
use tare::store::manifest::RunState;
use tare::store::{Manifest, RunFolder, RunWriter};

use crate::rows::{Random, log, request, scrape, span};

/// Requests of which the writer gets one batch.
const BATCH: u64 = 16;
/// Pages of metrics while the run goes on.
const SCRAPES: u64 = 1_000;

fn main() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, usual| given.get(i).map_or(Ok(usual), |n: &String| n.parse::<u64>());
    let (requests, tokens) = (number(0, 10_000)?, number(1, 200)?);
    let temporary = tempfile::tempdir()?;
    let folder = given.get(2).map_or_else(|| temporary.path().join("run"), PathBuf::from);
    if folder.exists() {
        println!("{} is there already and is used as it is", folder.display());
    } else {
        let begun = Instant::now();
        make(&folder, requests, tokens)?;
        println!(
            "{requests} requests, {} events: made in {:.1} s",
            requests * tokens,
            begun.elapsed().as_secs_f64()
        );
    }
    report(&folder)?;
    sizes(&folder, requests * tokens)
}

fn make(path: &Path, requests: u64, tokens: u64) -> anyhow::Result<()> {
    let folder = RunFolder::create(path, false)?;
    let mut manifest = Manifest::new("made up", serde_json::Value::Null);
    "vllm".clone_into(&mut manifest.target.server);
    manifest.target.same_host = true;
    let mut writer = RunWriter::create(&folder, &Secrets::default())?;
    let mut random = Random(7);
    writer.scrapes(&[scrape(ScrapePhase::Before, 0, 0.0)])?;
    for first in (0..requests).step_by(usize::try_from(BATCH)?) {
        let batch: Vec<_> =
            (first..(first + BATCH).min(requests)).map(|i| request(i, tokens, &mut random)).collect();
        let begun: Vec<Begun> = batch.iter().map(|f| begun(&f.row)).collect();
        writer.begun(&begun)?;
        writer.finished(&batch)?;
        for f in &batch {
            writer.spans(&[span(&f.row, &mut random)])?;
            writer.logs(&[log(&f.row)])?;
        }
        let every = (requests / SCRAPES).max(BATCH) / BATCH * BATCH;
        if first % every == 0 {
            writer.scrapes(&[scrape(ScrapePhase::During, first as i64, first as f64)])?;
        }
    }
    writer.scrapes(&[scrape(ScrapePhase::After, requests as i64 + 100, requests as f64)])?;
    writer.end()?;
    manifest.end(RunState::Finished);
    manifest.write(&folder)
}

fn begun(row: &tare::record::RequestRow) -> Begun {
    Begun {
        request_id: row.request_id.clone(),
        index: row.index,
        user: row.user,
        begun_unix_ns: row.started_unix_ns,
    }
}

fn report(folder: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    let status = command.arg("report").arg(folder).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "tare report: {status}");
    let wall = begun.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).context("no account of the child")?;
    let seconds = |t: TimeVal| t.num_microseconds() as f64 / 1e6;
    let cpu = seconds(used.user_time()) + seconds(used.system_time());
    // macOS counts it in bytes, Linux in kilobytes.
    let a_mib = if cfg!(target_os = "macos") { 1024.0 * 1024.0 } else { 1024.0 };
    let peak_mib = used.max_rss() as f64 / a_mib;
    println!("tare report: {wall:.1} s, {cpu:.1} s of CPU, at most {peak_mib:.0} MiB of memory");
    Ok(())
}

fn sizes(folder: &Path, events: u64) -> anyhow::Result<()> {
    let mut files = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let bytes = file.metadata()?.len();
        let name = file.file_name();
        println!(
            "{:<24} {bytes:>14} bytes {:>8.2} an event",
            name.to_string_lossy(),
            bytes as f64 / events as f64
        );
    }
    Ok(())
}
