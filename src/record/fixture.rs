//! Rows for tests: one plain request with round numbers, to be changed where a test needs it. Not
//! compiled outside tests.

use super::hop::Completeness;
use super::{
    Connection, Endpoint, EventRow, Finished, HopRow, LogEvent, LogRow, RequestRow, SampleRow, ScrapePhase,
    ScrapeRow, SpanRow, StampSource, StatRow, Status,
};
use crate::clock::UnixNs;

/// When request 0 starts; request n starts n seconds later.
pub const BEGIN: UnixNs = UnixNs(1_795_533_160_000_000_000);

/// A streamed chat of 11 tokens: connect 1 ms, send 1 ms, first token after 100 ms, then one every
/// 10 ms; client lag 0.1 ms.
pub fn request(index: u64) -> RequestRow {
    let started = BEGIN.plus_seconds(index as f64);
    let at = |s: f64| Some(started.plus_seconds(s));
    RequestRow {
        session: None,
        turn: None,
        asked_input_tokens: None,
        cached_input_tokens: None,
        request_id: format!("r-{index:04}"),
        trace_id: format!("{:032x}", 0xabc0_0000 + index),
        response_id: Some(format!("chatcmpl-r-{index:04}")),
        index,
        prompt_index: index as u32,
        rank: None,
        user: None,
        arm: None,
        cell: None,
        round: None,
        pair: None,
        endpoint: Endpoint::Chat,
        streamed: true,
        scheduled_unix_ns: started.plus_seconds(-0.001),
        started_unix_ns: started,
        connect_begin_unix_ns: at(0.0),
        connect_end_unix_ns: at(0.001),
        tls_end_unix_ns: None,
        send_begin_unix_ns: at(0.001),
        sent_unix_ns: at(0.002),
        head_unix_ns: at(0.010),
        first_token_unix_ns: at(0.100),
        first_token_lo_unix_ns: at(0.100),
        first_token_user_unix_ns: at(0.1001),
        first_content_unix_ns: at(0.100),
        last_token_unix_ns: at(0.200),
        last_token_lo_unix_ns: at(0.200),
        done_unix_ns: started.plus_seconds(0.201),
        stamps: StampSource::Kernel,
        status: Status::Ok,
        http_status: Some(200),
        error: None,
        finish_reason: Some("length".to_owned()),
        connection: Connection::New,
        local_port: Some(40_000),
        input_tokens: Some(20),
        output_tokens: Some(11),
        max_tokens: Some(11),
        prompt_chars: 80,
        n_events: 11,
        n_exact_events: 11,
        ttft_s: Some(0.100),
        ttft_user_s: Some(0.1001),
        ttft_scheduled_s: Some(0.101),
        ttft_content_s: Some(0.100),
        itl_mean_s: Some(0.010),
        tpot_s: Some(0.010),
        e2e_s: Some(0.200),
        user_throughput_tps: Some(55.0),
        in_band_prefill_s: None,
        in_band_queue_s: None,
        in_band_decode_s: None,
        in_band_inference_s: None,
        in_band_e2e_s: None,
        answer_headers: Vec::new(),
        generated_text: None,
    }
}

/// The request with its events, exact but for the third.
pub fn finished(index: u64) -> Finished {
    let row = request(index);
    let events = (0..row.n_events)
        .map(|n| {
            let hi = row.started_unix_ns.plus_seconds(0.100 + 0.010 * f64::from(n));
            EventRow {
                stamp_lo_unix_ns: if n == 2 { UnixNs(hi.0 - 5_000_000) } else { hi },
                stamp_hi_unix_ns: hi,
                user_unix_ns: hi.plus_seconds(0.000_1),
                events_in_read: if n == 2 { 2 } else { 1 },
                tokens: (n != 4).then_some(1),
                bytes: 200 + n,
            }
        })
        .collect();
    Finished { row, events, place: None }
}

/// The request's span: arrives 5 ms after the start, server TTFT 90 ms (queue 20, prefill 60).
pub fn span(row: &RequestRow) -> SpanRow {
    SpanRow {
        recv_unix_ns: row.done_unix_ns.plus_seconds(1.0),
        via: "grpc".to_owned(),
        service: Some("vllm".to_owned()),
        name: "llm_request".to_owned(),
        trace_id: row.trace_id.clone(),
        span_id: format!("{:016x}", 0x51 + row.index),
        parent_span_id: Some(format!("{:016x}", 0xc1 + row.index)),
        start_unix_ns: row.started_unix_ns.plus_seconds(0.005),
        end_unix_ns: row.started_unix_ns.plus_seconds(0.1955),
        request_id: Some(format!("chatcmpl-{}", row.request_id)),
        ttft_s: Some(0.090),
        e2e_s: Some(0.190),
        queue_s: Some(0.020),
        prefill_s: Some(0.060),
        decode_s: Some(0.100),
        inference_s: None,
        input_tokens: Some(20),
        output_tokens: Some(11),
        attributes: std::collections::BTreeMap::new(),
    }
}

/// The same as the server's stat logger writes it.
pub fn stat(row: &RequestRow) -> StatRow {
    let span = span(row);
    StatRow {
        source: "stat.jsonl".to_owned(),
        line_no: row.index + 1,
        read_unix_ns: row.done_unix_ns,
        pid: Some(1),
        engine: Some(0),
        request_id: format!("chatcmpl-{}", row.request_id),
        trace_id: None,
        finish_reason: Some("length".to_owned()),
        iteration_unix_ns: span.e2e_s.map(|e2e| span.start_unix_ns.plus_seconds(e2e)),
        e2e_s: span.e2e_s,
        ttft_s: None,
        queue_s: span.queue_s,
        prefill_s: span.prefill_s,
        inference_s: Some(0.160),
        decode_s: span.decode_s,
        input_tokens: Some(20),
        output_tokens: Some(11),
        cached_tokens: Some(0),
        preemptions: Some(0),
        max_tokens: Some(11),
    }
}

/// Its passage through a hop that tells everything but when tokens went on: there 2 ms after the start,
/// sent on 1 ms later, the first byte of the answer's body 1.5 ms after the server had it.
pub fn hop(row: &RequestRow) -> HopRow {
    HopRow {
        hop: "edge".to_owned(),
        product: "envoy".to_owned(),
        source: "access.log".to_owned(),
        line_no: row.index + 1,
        read_unix_ns: Some(row.done_unix_ns),
        request_id: Some(row.request_id.clone()),
        start_unix_ns: Some(row.started_unix_ns.plus_seconds(0.002)),
        start_resolution_ns: Some(1_000),
        start_slack_ns: Some(0),
        timer_resolution_ns: Some(1_000),
        upstream_sent_s: Some(0.001),
        upstream_first_body_s: Some(0.0945),
        upstream_end_s: Some(0.194),
        total_s: Some(0.195),
        status: Some(200),
        completeness: Completeness::Complete,
        ..HopRow::default()
    }
}

/// A log line with microsecond stamps, `at` seconds after the request's start.
pub fn log(row: &RequestRow, at: f64, event: LogEvent) -> LogRow {
    LogRow {
        source: "server.log".to_owned(),
        line_no: row.index + 1,
        read_unix_ns: row.started_unix_ns.plus_seconds(at + 0.1),
        time_unix_ns: Some(row.started_unix_ns.plus_seconds(at)),
        time_resolution_ns: Some(1_000),
        process: Some("APIServer".to_owned()),
        level: Some("INFO".to_owned()),
        event,
    }
}

/// A scrape `at` seconds after the first request's start.
pub fn scrape(phase: ScrapePhase, at: f64, samples: Vec<SampleRow>) -> ScrapeRow {
    ScrapeRow {
        source: "http://127.0.0.1:8000/metrics".to_owned(),
        phase,
        send_unix_ns: BEGIN.plus_seconds(at),
        recv_unix_ns: BEGIN.plus_seconds(at + 0.01),
        error: None,
        bad_lines: 0,
        samples,
    }
}

/// A sample of `engine`.
pub fn sample(name: &str, engine: &str, extra: &[(&str, &str)], value: f64) -> SampleRow {
    let mut labels = vec![("engine".to_owned(), engine.to_owned())];
    labels.extend(extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    SampleRow { name: name.to_owned(), labels, value }
}
