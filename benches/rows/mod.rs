//! Rows of a run that never was, for the benches that time what comes after a load: requests of a steady run, each
//! with its span, its line of the log, and pages of metrics. This file must not know what is timed.

#![allow(clippy::cast_possible_wrap)] // small counts

use tare::clock::UnixNs;
use tare::record::{
    Connection, Endpoint, EventRow, Finished, LogEvent, LogRow, RequestRow, SampleRow, ScrapePhase,
    ScrapeRow, SpanRow, StampSource, Status,
};

/// xorshift: enough for noise, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between `lo` and `hi`, in nanoseconds.
    pub fn ns(&mut self, lo: f64, hi: f64) -> i64 {
        (lo + (hi - lo) * self.unit()) as i64
    }
}

/// A request of about `tokens` tokens, 8 to 14 ms apart, one event in ten coalesced with the next.
pub fn request(index: u64, tokens: u64, random: &mut Random) -> Finished {
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
        rank: None,
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

pub fn span(row: &RequestRow, random: &mut Random) -> SpanRow {
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

pub fn log(row: &RequestRow) -> LogRow {
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

pub fn scrape(phase: ScrapePhase, at: i64, count: f64) -> ScrapeRow {
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
