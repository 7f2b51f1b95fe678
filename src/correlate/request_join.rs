//! Every request with the best evidence of its server side, or with the reason why there is none.
//! Rows in = rows joined + rows not joined, always. This file must not know how a figure is made
//! from the rows.

use anyhow::Result;

use super::Inputs;
use super::keys::Keys;
use super::log_join::{self, LogJoin, LogSide};
use super::span_join::{self, Side, SpanJoin};
use crate::record::correlated::{Coverage, Parts, Window};
use crate::record::{JoinedRow, RequestRow, Source, Status};

/// All requests, joined.
pub struct RequestJoin {
    pub rows: Vec<JoinedRow>,
    pub coverage: Coverage,
    /// Indices of the spans that stand for requests, each once.
    pub request_spans: Vec<u32>,
    /// Sequences beyond one a request, of those that ended well: the server counts sequences.
    pub more_sequences: usize,
}

/// Joins spans, in-band metrics and log lines to the requests.
pub fn join(requests: Vec<RequestRow>, inputs: &Inputs<'_>, window: Option<Window>) -> Result<RequestJoin> {
    // The server may have used the id that was sent, or its own and told it in the answer.
    let ids = Keys::new((0..).zip(&requests).flat_map(|(i, r)| {
        let answered = r.response_id.as_deref().unwrap_or_default();
        [(r.request_id.as_str(), i), (answered, i)]
    }))?;
    let spans = span_join::join(&requests, &ids, inputs.spans, inputs.server, inputs.same_host, window)?;
    let log = log_join::join(&requests, &ids, inputs.log, inputs.same_host, window)?;
    let available = Available {
        spans: !spans.request_spans.is_empty(),
        in_band: requests.iter().any(has_in_band),
        log: log.sides.iter().any(Option::is_some) || !log.leftovers.is_empty(),
    };

    let mut coverage =
        Coverage { requests: requests.len(), spans: inputs.spans.len(), ..Coverage::default() };
    let SpanJoin { sides, leftovers, request_spans } = spans;
    let LogJoin { sides: log_sides, leftovers: log_leftovers } = log;
    let mut more_sequences = 0;
    let mut rows = Vec::with_capacity(requests.len());
    for (((index, client), side), log) in (0..).zip(requests).zip(sides).zip(log_sides) {
        let shares = ids.shared().binary_search(&index).is_ok();
        coverage.ambiguous +=
            usize::from(side == Side::Ambiguous || (shares && !matches!(side, Side::Joined(_))));
        if let (Side::Joined(span), Status::Ok) = (&side, client.status) {
            more_sequences += span.sequences - 1;
        }
        let row = joined(client, &side, log.as_ref(), shares, available);
        coverage.disagree_in_time += usize::from(row.span_fits_client == Some(false));
        match &row.unmatched {
            None => {
                coverage.joined += 1;
                *coverage.by_source.entry(row.source.as_str().to_owned()).or_default() += 1;
            }
            Some(reason) => *coverage.unjoined.entry(reason.clone()).or_default() += 1,
        }
        rows.push(row);
    }
    coverage.span_leftovers = leftovers;
    coverage.log_leftovers = log_leftovers;
    Ok(RequestJoin { rows, coverage, request_spans, more_sequences })
}

/// Which kinds of evidence the run has at all.
#[derive(Clone, Copy)]
struct Available {
    spans: bool,
    in_band: bool,
    log: bool,
}

fn has_in_band(r: &RequestRow) -> bool {
    r.in_band_prefill_s.or(r.in_band_queue_s).or(r.in_band_decode_s).is_some()
}

/// One row: each number from the best source that has it.
fn joined(
    client: RequestRow,
    side: &Side,
    log: Option<&LogSide>,
    shares: bool,
    available: Available,
) -> JoinedRow {
    let span = match side {
        Side::Joined(span) => Some(span),
        _ => None,
    };
    let source = match (span, log) {
        (Some(_), _) => Source::Span,
        _ if has_in_band(&client) => Source::InBand,
        (None, Some(_)) => Source::Log,
        (None, None) => Source::None,
    };
    let unmatched = (source == Source::None).then(|| why(&client, side, shares, available).to_owned());
    JoinedRow {
        source,
        unmatched,
        server_arrival_unix_ns: span.map(|s| s.arrival_unix_ns),
        server_ttft_s: span.and_then(|s| s.ttft_s),
        server_e2e_s: span.and_then(|s| s.e2e_s),
        server_queue_s: span.and_then(|s| s.queue_s).or(client.in_band_queue_s),
        server_prefill_s: span.and_then(|s| s.prefill_s).or(client.in_band_prefill_s),
        server_decode_s: span.and_then(|s| s.decode_s).or(client.in_band_decode_s),
        server_input_tokens: span.and_then(|s| s.input_tokens).or(log.and_then(|l| l.input_tokens)),
        server_output_tokens: span.and_then(|s| s.output_tokens).or(log.and_then(|l| l.output_tokens)),
        log_received_unix_ns: log.and_then(|l| l.received_unix_ns),
        log_added_unix_ns: log.and_then(|l| l.added_unix_ns),
        log_resolution_ns: log.and_then(|l| l.resolution_ns),
        span_fits_client: span.map(|s| s.fits),
        parts: Parts::default(),
        client,
    }
}

/// Why a request has no server side.
fn why(client: &RequestRow, side: &Side, shares: bool, available: Available) -> &'static str {
    match client.status {
        Status::ConnectError => return "it never reached the server: no connection",
        Status::HttpError if client.http_status.is_some_and(|s| s >= 500) => {
            return "the server failed it (HTTP 5xx): no record is made of these";
        }
        Status::HttpError => return "the server refused it (HTTP 4xx): no record is made of these",
        Status::Timeout | Status::Cut | Status::StreamError | Status::InFlight => {
            return "it was aborted, cut or unfinished: the server keeps no record of these";
        }
        Status::Ok | Status::DecodeError => {}
    }
    match side {
        Side::Ambiguous => return "ambiguous: several spans fit it",
        Side::OtherTime => return "a span has its id, but lies outside the request's time",
        Side::Joined(_) | Side::None => {}
    }
    if shares && (available.spans || available.log) {
        "ambiguous: another request has the same id"
    } else if available.spans {
        "its span was lost, not exported or not sampled"
    } else if available.in_band {
        "its answer carried no metrics, as others did"
    } else if available.log {
        "no line of the log names it"
    } else {
        "the server tells nothing about single requests (no spans, no in-band metrics, no request lines)"
    }
}
