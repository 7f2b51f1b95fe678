//! How long it takes to read, correlate and store a run of 10,000 requests (about 1.5 million token
//! events), in the profile that people build. Prints one line a step; asserts nothing.
//!
//! `cargo bench --bench pipeline [-- REQUESTS TOKENS]`

#![allow(clippy::cast_possible_wrap)] // small counts

mod rows;

use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use tare::correlate::{Inputs, correlate};
use tare::record::{Finished, ScrapePhase};
use tare::secrets::Secrets;
use tare::server::vllm::VLLM;
use tare::store::{Manifest, RunData, RunFolder, RunWriter, events_parquet, folder, table};

use crate::rows::{Random, log, request, scrape, span};

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let (requests, tokens) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(150));
    let dir = tempfile::tempdir()?;
    let folder = RunFolder::create(dir.path(), false)?;
    let mut steps = Steps::default();

    let finished: Vec<Finished> = {
        let mut random = Random(7);
        (0..requests).map(|i| request(i, tokens, &mut random)).collect()
    };
    steps.time("append", || append(&folder, &finished))?;
    drop(finished);
    let run = steps.time("read the streams", || RunData::read(&folder))?;
    steps.time("results.parquet", || {
        table::write_results(&folder.file(folder::RESULTS), &run.requests.rows)
    })?;
    steps.time("events.parquet", || events_parquet::write(&folder.file(folder::EVENTS), &run.events))?;
    steps
        .time("scrapes.parquet", || table::write_scrapes(&folder.file(folder::SCRAPES), &run.scrapes.rows))?;
    steps.time("spans.parquet", || table::write_spans(&folder.file(folder::SPANS), &run.spans.rows))?;
    steps.time("server_log.parquet", || table::write_log(&folder.file(folder::LOG), &run.log.rows))?;
    steps.time("read events.parquet", || events_parquet::read(&folder.file(folder::EVENTS)))?;

    let inputs = Inputs {
        scrapes: &run.scrapes.rows,
        log: &run.log.rows,
        spans: &run.spans.rows,
        server: &VLLM,
        same_host: true,
        ranks_beside_server: &[],
        stat_log: &[],
        events: &run.events,
        hops: &[],
        hop_names: &[],
        own: None,
        clock_bound_s: None,
        seed: 1,
    };
    let out = steps.time("correlate", || correlate(run.requests.rows.clone(), &inputs))?;
    steps.time("joined.parquet", || table::write_joined(&folder.file(folder::JOINED), &out.rows))?;
    println!("{} joined", out.coverage.joined);

    let (wall, cpu) = (steps.total - steps.first.0, steps.cpu - steps.first.1);
    println!("{:<22} {wall:>8.3} s {cpu:>8.3} s cpu", "all after append");
    println!("{} requests, {} events", run.requests.rows.len(), run.events.len());
    for name in
        [folder::EVENTS_STREAM, folder::EVENTS, folder::RESULTS_STREAM, folder::RESULTS, folder::SCRAPES]
    {
        let bytes = std::fs::metadata(folder.file(name))?.len();
        println!("{name:<22} {bytes:>12} bytes {:>8.2} an event", bytes as f64 / run.events.len() as f64);
    }
    Ok(())
}

#[derive(Default)]
struct Steps {
    total: f64,
    cpu: f64,
    /// The load's own step: not part of what is waited for.
    first: (f64, f64),
}

impl Steps {
    /// Wall and processor time of one step: on a busy machine only the latter means something.
    fn time<T>(&mut self, name: &str, step: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let (begin, cpu) = (Instant::now(), cpu_seconds()?);
        let out = step()?;
        let (took, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        println!("{name:<22} {took:>8.3} s {cpu:>8.3} s cpu");
        if self.total == 0.0 {
            self.first = (took, cpu);
        }
        self.total += took;
        self.cpu += cpu;
        Ok(out)
    }
}

fn cpu_seconds() -> anyhow::Result<f64> {
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |t: TimeVal| t.num_microseconds() as f64 / 1e6;
    Ok(seconds(used.user_time()) + seconds(used.system_time()))
}

fn append(folder: &RunFolder, finished: &[Finished]) -> anyhow::Result<()> {
    Manifest::new("bench", serde_json::Value::Null).write(folder)?;
    let mut writer = RunWriter::create(folder, &Secrets::default())?;
    let mut random = Random(9);
    let all = finished.len() as f64;
    writer.scrapes(&[scrape(ScrapePhase::Before, 0, 0.0)])?;
    for (i, f) in finished.chunks(4).enumerate() {
        writer.finished(f)?;
        for f in f {
            writer.spans(&[span(&f.row, &mut random)])?;
            writer.logs(&[log(&f.row)])?;
        }
        if i % 10 == 0 {
            writer.scrapes(&[scrape(ScrapePhase::During, i as i64, i as f64 / all)])?;
        }
    }
    writer.scrapes(&[scrape(ScrapePhase::After, 9_000_000, all)])?;
    writer.end()?;
    Ok(())
}
