//! How long it takes to read, correlate and store a run of 10,000 requests (about 1.5 million token
//! events), in the profile that people build. Prints one line a step; asserts nothing.
//!
//! `cargo bench --bench pipeline [-- REQUESTS TOKENS]`

#![allow(clippy::cast_possible_wrap)] // small counts

use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use tare::clock::UnixNs;
use tare::correlate::{Inputs, correlate};
use tare::record::{
    Connection, Endpoint, EventRow, Finished, LogEvent, LogRow, RequestRow, SampleRow, ScrapePhase,
    ScrapeRow, SpanRow, StampSource, Status,
};
use tare::secrets::Secrets;
use tare::server::vllm::VLLM;
use tare::store::{Manifest, RunData, RunFolder, RunWriter, events_parquet, folder, table};

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
    let seconds = |t: TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    Ok(seconds(used.user_time()) + seconds(used.system_time()))
}

fn append(folder: &RunFolder, finished: &[Finished]) -> anyhow::Result<()> {
    Manifest::new("bench", serde_json::Value::Null).write(folder)?;
    let mut writer = RunWriter::create(folder, &Secrets::default())?;
    let mut random = Random(9);
    let all = finished.len() as f64;
    writer.scrape(&scrape(ScrapePhase::Before, 0, 0.0))?;
    for (i, f) in finished.chunks(4).enumerate() {
        writer.finished(f)?;
        for f in f {
            writer.span(&span(&f.row, &mut random))?;
            writer.log(&log(&f.row))?;
        }
        if i % 10 == 0 {
            writer.scrape(&scrape(ScrapePhase::During, i as i64, i as f64 / all))?;
        }
    }
    writer.scrape(&scrape(ScrapePhase::After, 9_000_000, all))?;
    writer.end()?;
    Ok(())
}

/// xorshift: enough for noise, and the same everywhere.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between `lo` and `hi`, in nanoseconds.
    fn ns(&mut self, lo: f64, hi: f64) -> i64 {
        (lo + (hi - lo) * self.unit()) as i64
    }
}

/// A request of about `tokens` tokens, 8 to 14 ms apart, one event in ten coalesced with the next.
fn request(index: u64, tokens: u64, random: &mut Random) -> Finished {
    let started = 1_795_533_160_000_000_000 + index as i64 * 90_000_000;
    let first = started + random.ns(20e6, 60e6);
    let mut at = first;
    let mut events = Vec::new();
    for n in 0..tokens {
        let coalesced = random.unit() < 0.1;
        let lo = if coalesced { at - random.ns(1e5, 2e6) } else { at };
        events.push(EventRow {
            stamp_lo_unix_ns: UnixNs(lo),
            stamp_hi_unix_ns: UnixNs(at),
            user_unix_ns: UnixNs(at + random.ns(2e4, 9e4)),
            events_in_read: if coalesced { 2 } else { 1 },
            tokens: Some(1),
            bytes: 215 + (n % 9) as u32,
        });
        at += random.ns(8e6, 14e6);
    }
    let last = events.last().map_or(first, |e| e.stamp_hi_unix_ns.0);
    let seconds = |a: i64, b: i64| Some((b - a) as f64 / 1e9);
    let row = RequestRow {
        session: None,
        turn: None,
        asked_input_tokens: None,
        cached_input_tokens: None,
        request_id: format!("tare-5f3a9c-{index:06}"),
        trace_id: format!("{:032x}", 0x5f3a_9c00_0000_0000_u128 * 977 + u128::from(index)),
        response_id: Some(format!("chatcmpl-tare-5f3a9c-{index:06}")),
        index,
        prompt_index: (index % 500) as u32,
        user: Some((index % 50) as u32),
        arm: None,
        cell: None,
        round: None,
        pair: None,
        endpoint: Endpoint::Chat,
        streamed: true,
        scheduled_unix_ns: UnixNs(started - 1000),
        started_unix_ns: UnixNs(started),
        connect_begin_unix_ns: Some(UnixNs(started + 5_000)),
        connect_end_unix_ns: Some(UnixNs(started + 105_000)),
        tls_end_unix_ns: None,
        send_begin_unix_ns: Some(UnixNs(started + 110_000)),
        sent_unix_ns: Some(UnixNs(started + 130_000)),
        head_unix_ns: Some(UnixNs(started + 9_000_000)),
        first_token_unix_ns: Some(UnixNs(first)),
        first_token_lo_unix_ns: Some(UnixNs(first)),
        first_token_user_unix_ns: Some(UnixNs(first + 40_000)),
        first_content_unix_ns: Some(UnixNs(first)),
        last_token_unix_ns: Some(UnixNs(last)),
        last_token_lo_unix_ns: Some(UnixNs(last)),
        done_unix_ns: UnixNs(last + 300_000),
        stamps: StampSource::Kernel,
        status: Status::Ok,
        http_status: Some(200),
        error: None,
        finish_reason: Some("length".to_owned()),
        connection: Connection::New,
        local_port: Some(40_000),
        input_tokens: Some(200),
        output_tokens: Some(tokens as u32),
        max_tokens: Some(tokens as u32),
        prompt_chars: 900,
        n_events: tokens as u32,
        n_exact_events: tokens as u32,
        ttft_s: seconds(started, first),
        ttft_user_s: seconds(started, first + 40_000),
        ttft_scheduled_s: seconds(started - 1000, first),
        ttft_content_s: seconds(started, first),
        itl_mean_s: seconds(first, last).map(|s| s / (tokens - 1) as f64),
        tpot_s: seconds(first, last).map(|s| s / (tokens - 1) as f64),
        e2e_s: seconds(started, last),
        user_throughput_tps: seconds(started, last).map(|s| tokens as f64 / s),
        in_band_prefill_s: Some(0.010),
        in_band_queue_s: Some(0.000_5),
        in_band_decode_s: seconds(first, last),
        in_band_inference_s: None,
        generated_text: None,
        in_band_e2e_s: None,
        answer_headers: Vec::new(),
    };
    Finished { row, events, place: None }
}

fn span(row: &RequestRow, random: &mut Random) -> SpanRow {
    let arrival = row.started_unix_ns.0 + random.ns(1.2e6, 2e6);
    let ttft = row.ttft_s.map(|t| t - 0.004);
    SpanRow {
        recv_unix_ns: row.done_unix_ns,
        via: "grpc".to_owned(),
        service: Some("vllm".to_owned()),
        name: "llm_request".to_owned(),
        trace_id: row.trace_id.clone(),
        span_id: format!("{:016x}", row.index + 1),
        parent_span_id: Some(format!("{:016x}", row.index + 77)),
        start_unix_ns: UnixNs(arrival),
        end_unix_ns: row.done_unix_ns,
        request_id: row.response_id.clone(),
        ttft_s: ttft,
        e2e_s: row.e2e_s.map(|t| t - 0.004),
        queue_s: row.in_band_queue_s,
        prefill_s: row.in_band_prefill_s,
        decode_s: row.in_band_decode_s,
        inference_s: None,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        attributes: [("gen_ai.request.max_tokens".to_owned(), "150".to_owned())].into(),
    }
}

fn log(row: &RequestRow) -> LogRow {
    let time = row.started_unix_ns.plus_seconds(0.003);
    let request_id = format!("chatcmpl-{}-0badf00d", row.request_id);
    LogRow {
        source: "server.log".to_owned(),
        line_no: row.index + 1,
        read_unix_ns: time,
        time_unix_ns: Some(time),
        time_resolution_ns: Some(1_000),
        process: Some("APIServer".to_owned()),
        level: Some("INFO".to_owned()),
        event: LogEvent::Added { request_id },
    }
}

fn scrape(phase: ScrapePhase, at: i64, count: f64) -> ScrapeRow {
    let labels = |extra: Option<&str>| {
        let mut labels =
            vec![("engine".to_owned(), "0".to_owned()), ("model_name".to_owned(), "m".to_owned())];
        labels.extend(extra.map(|le| ("le".to_owned(), le.to_owned())));
        labels
    };
    let mut samples = Vec::new();
    for name in ["time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds"] {
        if phase != ScrapePhase::During {
            for le in ["0.001", "0.01", "0.1", "1.0", "10.0", "+Inf"] {
                samples.push(SampleRow {
                    name: format!("vllm:{name}_bucket"),
                    labels: labels(Some(le)),
                    value: count,
                });
            }
        }
        for (suffix, value) in [("sum", count * 0.04), ("count", count)] {
            samples.push(SampleRow { name: format!("vllm:{name}_{suffix}"), labels: labels(None), value });
        }
    }
    for i in 0..120 {
        samples.push(SampleRow { name: format!("vllm:gauge_{i}"), labels: labels(None), value: count });
    }
    let now = UnixNs(1_795_533_159_000_000_000 + at * 100_000_000);
    ScrapeRow {
        source: "http://127.0.0.1:8000/metrics".to_owned(),
        phase,
        send_unix_ns: now,
        recv_unix_ns: now,
        error: None,
        bad_lines: 0,
        samples,
    }
}
