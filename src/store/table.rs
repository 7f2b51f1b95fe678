//! The Parquet tables: every column of every one, in one place. A table is made from the rows of
//! its stream and can be made again, byte for byte. This file must not know what a column means.

use std::path::Path;

use anyhow::{Context as _, Result};
use polars::prelude::{Column, DataFrame, NamedFrom, ParquetCompression, ParquetWriter, Series};

use super::folder::replace_file;
use crate::clock::UnixNs;
use crate::record::{
    Arm, HopRow, JoinedRow, LogRow, RequestRow, ScrapePhase, ScrapeRow, Source, SpanRow, StatRow,
};

/// `results.parquet`: one row a request.
pub fn write_results(path: &Path, rows: &[RequestRow]) -> Result<()> {
    let rows: Vec<&RequestRow> = rows.iter().collect();
    write(path, request_columns(&rows))
}

/// `scrapes.parquet`: one row a sample; a failed scrape is one row without a sample.
pub fn write_scrapes(path: &Path, rows: &[ScrapeRow]) -> Result<()> {
    write(path, scrape_columns(rows))
}

/// `server_log.parquet`: one row a line.
pub fn write_log(path: &Path, rows: &[LogRow]) -> Result<()> {
    write(path, log::columns(rows))
}

/// `spans.parquet`: one row a span.
pub fn write_spans(path: &Path, rows: &[SpanRow]) -> Result<()> {
    write(path, span_columns(rows))
}

/// `stat_log.parquet`: one row a finished request.
pub fn write_stat_log(path: &Path, rows: &[StatRow]) -> Result<()> {
    write(path, stat_columns(rows))
}

/// `hops.parquet`: one row a request and hop.
pub fn write_hops(path: &Path, rows: &[HopRow]) -> Result<()> {
    write(path, hop_columns(rows))
}

/// `joined.parquet`: one row a request, both sides; the server's columns null where it said nothing.
pub fn write_joined(path: &Path, rows: &[JoinedRow]) -> Result<()> {
    let clients: Vec<&RequestRow> = rows.iter().map(|r| &r.client).collect();
    let mut columns = request_columns(&clients);
    columns.extend(joined_columns(rows));
    write(path, columns)
}

fn write(path: &Path, columns: Vec<Column>) -> Result<()> {
    let mut frame = DataFrame::new_infer_height(columns)
        .with_context(|| format!("cannot make the table of {}", path.display()))?;
    replace_file(path, |file| {
        ParquetWriter::new(file).with_compression(ParquetCompression::Zstd(None)).finish(&mut frame)?;
        Ok(())
    })
}

/// A column from one field of every row.
fn column<'a, R, T, P: ?Sized>(name: &str, rows: &'a [R], field: impl Fn(&'a R) -> T) -> Column
where
    Series: NamedFrom<Vec<T>, P>,
{
    Series::new(name.into(), rows.iter().map(field).collect::<Vec<T>>()).into()
}

/// `[column("a", rows, |r| r.a), …]`, written as a table.
macro_rules! columns {
    ($rows:expr; $($name:literal: $field:expr,)*) => { vec![$(column($name, $rows, $field)),*] };
}

// After the macro, which it uses.
mod log;

fn ns(instant: Option<UnixNs>) -> Option<i64> {
    instant.map(|t| t.0)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn request_columns(rows: &[&RequestRow]) -> Vec<Column> {
    columns![rows;
        "request_id": |r| r.request_id.as_str(),
        "trace_id": |r| r.trace_id.as_str(),
        "response_id": |r| r.response_id.as_deref(),
        "index": |r| r.index,
        "prompt_index": |r| r.prompt_index,
        "user": |r| r.user,
        "rank": |r| r.rank,
        "session": |r| r.session,
        "turn": |r| r.turn,
        "arm": |r| r.arm.map(Arm::as_str),
        "cell": |r| r.cell,
        "round": |r| r.round,
        "pair": |r| r.pair,
        "endpoint": |r| r.endpoint.as_str(),
        "streamed": |r| r.streamed,
        "scheduled_unix_ns": |r| r.scheduled_unix_ns.0,
        "started_unix_ns": |r| r.started_unix_ns.0,
        "connect_begin_unix_ns": |r| ns(r.connect_begin_unix_ns),
        "connect_end_unix_ns": |r| ns(r.connect_end_unix_ns),
        "tls_end_unix_ns": |r| ns(r.tls_end_unix_ns),
        "send_begin_unix_ns": |r| ns(r.send_begin_unix_ns),
        "sent_unix_ns": |r| ns(r.sent_unix_ns),
        "head_unix_ns": |r| ns(r.head_unix_ns),
        "first_token_unix_ns": |r| ns(r.first_token_unix_ns),
        "first_token_lo_unix_ns": |r| ns(r.first_token_lo_unix_ns),
        "first_token_user_unix_ns": |r| ns(r.first_token_user_unix_ns),
        "first_content_unix_ns": |r| ns(r.first_content_unix_ns),
        "last_token_unix_ns": |r| ns(r.last_token_unix_ns),
        "last_token_lo_unix_ns": |r| ns(r.last_token_lo_unix_ns),
        "done_unix_ns": |r| r.done_unix_ns.0,
        "stamps": |r| r.stamps.as_str(),
        "status": |r| r.status.as_str(),
        "http_status": |r| r.http_status.map(u32::from),
        "error": |r| r.error.as_deref(),
        "finish_reason": |r| r.finish_reason.as_deref(),
        "connection": |r| r.connection.as_str(),
        "local_port": |r| r.local_port.map(u32::from),
        "input_tokens": |r| r.input_tokens,
        "output_tokens": |r| r.output_tokens,
        "asked_input_tokens": |r| r.asked_input_tokens,
        "cached_input_tokens": |r| r.cached_input_tokens,
        "max_tokens": |r| r.max_tokens,
        "prompt_chars": |r| r.prompt_chars,
        "n_events": |r| r.n_events,
        "n_exact_events": |r| r.n_exact_events,
        "ttft_s": |r| r.ttft_s,
        "ttft_user_s": |r| r.ttft_user_s,
        "ttft_scheduled_s": |r| r.ttft_scheduled_s,
        "ttft_content_s": |r| r.ttft_content_s,
        "itl_mean_s": |r| r.itl_mean_s,
        "tpot_s": |r| r.tpot_s,
        "e2e_s": |r| r.e2e_s,
        "user_throughput_tps": |r| r.user_throughput_tps,
        "in_band_prefill_s": |r| r.in_band_prefill_s,
        "in_band_queue_s": |r| r.in_band_queue_s,
        "in_band_decode_s": |r| r.in_band_decode_s,
        "in_band_inference_s": |r| r.in_band_inference_s,
        "in_band_e2e_s": |r| r.in_band_e2e_s,
        "answer_headers": |r| (!r.answer_headers.is_empty()).then(|| json(&r.answer_headers)),
    ]
}

fn joined_columns(rows: &[JoinedRow]) -> Vec<Column> {
    columns![rows;
        "source": |r| r.source.as_str(),
        "arrival_source": |r| r.arrival_source.map(Source::as_str),
        "ttft_source": |r| r.ttft_source.map(Source::as_str),
        "e2e_source": |r| r.e2e_source.map(Source::as_str),
        "engine_source": |r| r.engine_source.map(Source::as_str),
        "unmatched": |r| r.unmatched.as_deref(),
        "server_arrival_unix_ns": |r| ns(r.server_arrival_unix_ns),
        "arrival_here_lo_unix_ns": |r| r.arrival_here.map(|w| w.lo_unix_ns.0),
        "arrival_here_hi_unix_ns": |r| r.arrival_here.map(|w| w.hi_unix_ns.0),
        "first_here_lo_unix_ns": |r| r.first_here.map(|w| w.lo_unix_ns.0),
        "first_here_hi_unix_ns": |r| r.first_here.map(|w| w.hi_unix_ns.0),
        "last_here_lo_unix_ns": |r| r.last_here.map(|w| w.lo_unix_ns.0),
        "last_here_hi_unix_ns": |r| r.last_here.map(|w| w.hi_unix_ns.0),
        "server_ttft_s": |r| r.server_ttft_s,
        "server_e2e_s": |r| r.server_e2e_s,
        "server_queue_s": |r| r.server_queue_s,
        "server_prefill_s": |r| r.server_prefill_s,
        "server_decode_s": |r| r.server_decode_s,
        "server_inference_s": |r| r.server_inference_s,
        "server_input_tokens": |r| r.server_input_tokens,
        "server_output_tokens": |r| r.server_output_tokens,
        "log_received_unix_ns": |r| ns(r.log_received_unix_ns),
        "log_added_unix_ns": |r| ns(r.log_added_unix_ns),
        "log_first_output_unix_ns": |r| ns(r.log_first_output_unix_ns),
        "log_complete_unix_ns": |r| ns(r.log_complete_unix_ns),
        "log_aborted_unix_ns": |r| ns(r.log_aborted_unix_ns),
        "log_resolution_ns": |r| r.log_resolution_ns,
        "log_access_status": |r| r.log_access_status.map(u32::from),
        "span_fits_client": |r| r.span_fits_client,
        "hops": |r| serde_json::to_string(&r.hops).unwrap_or_default(),
        "part_schedule_s": |r| r.parts.schedule_s,
        "part_connect_s": |r| r.parts.connect_s,
        "part_send_s": |r| r.parts.send_s,
        "part_path_out_s": |r| r.parts.path_out_s,
        "part_front_end_s": |r| r.parts.front_end_s,
        "part_queue_s": |r| r.parts.queue_s,
        "part_prefill_s": |r| r.parts.prefill_s,
        "part_path_back_s": |r| r.parts.path_back_s,
        "part_path_s": |r| r.parts.path_s,
        "part_unexplained_s": |r| r.parts.unexplained_s,
        "part_client_lag_s": |r| r.parts.client_lag_s,
        "part_path_out_lo_s": |r| r.parts.path_out_bounds.map(|b| b.lo_s),
        "part_path_out_hi_s": |r| r.parts.path_out_bounds.map(|b| b.hi_s),
        "part_path_back_lo_s": |r| r.parts.path_back_bounds.map(|b| b.lo_s),
        "part_path_back_hi_s": |r| r.parts.path_back_bounds.map(|b| b.hi_s),
        "part_received_lo_s": |r| r.parts.received_bounds.map(|b| b.lo_s),
        "part_received_hi_s": |r| r.parts.received_bounds.map(|b| b.hi_s),
        "part_decode_s": |r| r.parts.decode_s,
        "part_inference_s": |r| r.parts.inference_s,
        "part_e2e_front_end_s": |r| r.parts.e2e_front_end_s,
        "part_e2e_path_back_s": |r| r.parts.e2e_path_back_s,
        "part_e2e_path_s": |r| r.parts.e2e_path_s,
        "part_e2e_unexplained_s": |r| r.parts.e2e_unexplained_s,
    ]
}

fn scrape_columns(rows: &[ScrapeRow]) -> Vec<Column> {
    let flat: Vec<_> = rows
        .iter()
        .flat_map(|scrape| {
            let samples = scrape.samples.iter().map(Some);
            let failed = scrape.samples.is_empty().then_some(None);
            samples.chain(failed).map(move |sample| (scrape, sample))
        })
        .collect();
    let flat = flat.as_slice();
    columns![flat;
        "source": |(r, _)| r.source.as_str(),
        "phase": |(r, _)| phase(r.phase),
        "send_unix_ns": |(r, _)| r.send_unix_ns.0,
        "recv_unix_ns": |(r, _)| r.recv_unix_ns.0,
        "error": |(r, _)| r.error.as_deref(),
        "bad_lines": |(r, _)| r.bad_lines,
        "name": |(_, s)| s.map(|s| s.name.as_str()),
        "labels": |(_, s)| s.map(|s| labels(&s.labels)),
        "value": |(_, s)| s.map(|s| s.value),
    ]
}

/// Labels as a server writes them: `a="1",b="2"`.
fn labels(labels: &[(String, String)]) -> String {
    let escaped = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let written: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escaped(v))).collect();
    written.join(",")
}

fn phase(phase: ScrapePhase) -> &'static str {
    match phase {
        ScrapePhase::Before => "before",
        ScrapePhase::During => "during",
        ScrapePhase::After => "after",
    }
}

fn span_columns(rows: &[SpanRow]) -> Vec<Column> {
    columns![rows;
        "recv_unix_ns": |r| r.recv_unix_ns.0,
        "via": |r| r.via.as_str(),
        "service": |r| r.service.as_deref(),
        "name": |r| r.name.as_str(),
        "trace_id": |r| r.trace_id.as_str(),
        "span_id": |r| r.span_id.as_str(),
        "parent_span_id": |r| r.parent_span_id.as_deref(),
        "start_unix_ns": |r| r.start_unix_ns.0,
        "end_unix_ns": |r| r.end_unix_ns.0,
        "request_id": |r| r.request_id.as_deref(),
        "ttft_s": |r| r.ttft_s,
        "e2e_s": |r| r.e2e_s,
        "queue_s": |r| r.queue_s,
        "prefill_s": |r| r.prefill_s,
        "decode_s": |r| r.decode_s,
        "input_tokens": |r| r.input_tokens,
        "output_tokens": |r| r.output_tokens,
        "attributes": |r| serde_json::to_string(&r.attributes).unwrap_or_default(),
    ]
}

fn stat_columns(rows: &[StatRow]) -> Vec<Column> {
    columns![rows;
        "source": |r| r.source.as_str(),
        "line_no": |r| r.line_no,
        "read_unix_ns": |r| r.read_unix_ns.0,
        "pid": |r| r.pid,
        "engine": |r| r.engine,
        "request_id": |r| r.request_id.as_str(),
        "trace_id": |r| r.trace_id.as_deref(),
        "finish_reason": |r| r.finish_reason.as_deref(),
        "iteration_unix_ns": |r| ns(r.iteration_unix_ns),
        "e2e_s": |r| r.e2e_s,
        "ttft_s": |r| r.ttft_s,
        "queue_s": |r| r.queue_s,
        "prefill_s": |r| r.prefill_s,
        "inference_s": |r| r.inference_s,
        "decode_s": |r| r.decode_s,
        "input_tokens": |r| r.input_tokens,
        "output_tokens": |r| r.output_tokens,
        "cached_tokens": |r| r.cached_tokens,
        "preemptions": |r| r.preemptions,
        "max_tokens": |r| r.max_tokens,
    ]
}

fn hop_columns(rows: &[HopRow]) -> Vec<Column> {
    columns![rows;
        "hop": |r| r.hop.as_str(),
        "product": |r| r.product.as_str(),
        "told_by": |r| r.told_by.as_str(),
        "source": |r| r.source.as_str(),
        "line_no": |r| r.line_no,
        "read_unix_ns": |r| ns(r.read_unix_ns),
        "request_id": |r| r.request_id.as_deref(),
        "own_id": |r| r.own_id.as_deref(),
        "upstream_request_id": |r| r.upstream_request_id.as_deref(),
        "response_id": |r| r.response_id.as_deref(),
        "trace_id": |r| r.trace_id.as_deref(),
        "client": |r| r.client.as_deref(),
        "outgoing": |r| r.outgoing.as_deref(),
        "path": |r| r.path.as_deref(),
        "start_unix_ns": |r| ns(r.start_unix_ns),
        "start_resolution_ns": |r| r.start_resolution_ns,
        "start_slack_ns": |r| r.start_slack_ns,
        "end_unix_ns": |r| ns(r.end_unix_ns),
        "end_resolution_ns": |r| r.end_resolution_ns,
        "end_slack_ns": |r| r.end_slack_ns,
        "timer_resolution_ns": |r| r.timer_resolution_ns,
        "request_head_s": |r| r.request_head_s,
        "request_received_s": |r| r.request_received_s,
        "queue_s": |r| r.queue_s,
        "connected_s": |r| r.connected_s,
        "upstream_sent_s": |r| r.upstream_sent_s,
        "upstream_head_s": |r| r.upstream_head_s,
        "upstream_first_body_s": |r| r.upstream_first_body_s,
        "first_token_in_s": |r| r.first_token_in_s,
        "first_token_out_s": |r| r.first_token_out_s,
        "last_token_in_s": |r| r.last_token_in_s,
        "last_token_out_s": |r| r.last_token_out_s,
        "upstream_end_s": |r| r.upstream_end_s,
        "head_sent_s": |r| r.head_sent_s,
        "total_s": |r| r.total_s,
        "stated": |r| json(&r.stated),
        "tries": |r| json(&r.tries),
        "attempts": |r| r.attempts,
        "status": |r| r.status.map(u32::from),
        "completeness": |r| r.completeness.as_str(),
        "end_reason": |r| r.end_reason.as_deref(),
        "received_bytes": |r| r.received_bytes,
        "sent_bytes": |r| r.sent_bytes,
    ]
}
