//! Every request with the best evidence of its server side, or with the reason why there is none.
//! Rows in = rows joined + rows not joined, always. This file must not know how a figure is made
//! from the rows.

use std::borrow::Cow;

use anyhow::Result;
use tare_parsers::hop_headers;

use super::Inputs;
use super::access_join::{self, AccessSide};
use super::clocks::{self, Maps, Pairs};
use super::keys::Keys;
use super::log_join::{self, LogSide, Written};
use super::log_lines;
use super::span_join::{self, ServerSide, Side};
use super::{log_zone, stat_join};
use crate::clock::UnixNs;
use crate::record::clocks::Clocks;
use crate::record::correlated::{Coverage, Window};
use crate::record::{JoinedRow, LogRow, RequestRow, Source, SpanRow, StatRow, Status};
use crate::server::Server;

/// All requests, joined.
pub struct RequestJoin<'a> {
    pub rows: Vec<JoinedRow>,
    pub coverage: Coverage,
    pub clocks: Clocks,
    /// From the server's clock to each client's.
    pub maps: Maps,
    /// The log's lines; moved by `log_zone_ns` where they were written in another time zone.
    pub log: Cow<'a, [LogRow]>,
    pub log_zone_ns: Option<i64>,
    /// The stat log's lines as spans.
    pub stat_spans: Vec<SpanRow>,
    /// Indices of the spans and of the stat log's lines that stand for requests, each once.
    pub request_spans: Vec<u32>,
    pub request_stats: Vec<u32>,
    /// What each source says of each request, for comparison.
    pub told: Vec<Told>,
    /// Sequences beyond one a request, of those that ended well: the server counts sequences.
    pub more_sequences: usize,
}

/// What every source says of one request.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub span: Option<ServerSide>,
    pub stat: Option<ServerSide>,
    pub log: Option<LogSide>,
    pub access: Option<AccessSide>,
}

/// Joins spans, stat log, in-band metrics and log lines to the requests: by ids first, which bounds the
/// clocks, then by times.
pub fn join<'a>(
    requests: Vec<RequestRow>,
    inputs: &Inputs<'a>,
    window: Option<Window>,
) -> Result<RequestJoin<'a>> {
    let ids = ids_of(&requests)?;
    let stat_spans = stat_join::as_spans(inputs.stat_log, inputs.server);
    let spans = span_join::claims(&requests, &ids, inputs.spans, inputs.server)?;
    let stats = span_join::claims(&requests, &ids, &stat_spans, inputs.server)?;
    let align = |pairs: &Pairs| clocks::align(pairs, inputs.same_host, inputs.clock_bound_s);
    let mut by_log = Pairs::default();
    log_join::claims(&requests, &ids, inputs.log)?.pairs(None, &mut by_log);
    let zone_ns = log_zone::shift_ns(&by_log, &align(&pairs(&spans, &stats, None, None)).1);
    let lines = zone_ns.map_or(Cow::Borrowed(inputs.log), |by| log_zone::shifted(inputs.log, by).into());
    let log = log_join::claims(&requests, &ids, &lines)?;
    let pairs_of = |rank| pairs(&spans, &stats, Some(&log), rank);
    let (maps, clocks) = Maps::new(&requests, pairs_of, inputs.beside(), inputs.clock_bound_s);
    let spans = spans.resolve(&maps, window);
    let stats = stats.resolve(&maps, window);
    let log = log.resolve(&maps, window);
    let access = access_join::join(&requests, &lines, &maps.reference, window);

    let available = Available {
        spans: !spans.request_spans.is_empty(),
        stats: !stat_spans.is_empty(),
        in_band: requests.iter().any(has_in_band),
        log: log.sides.iter().any(Option::is_some) || !log.leftovers.is_empty(),
    };
    let mut coverage = Coverage {
        requests: requests.len(),
        spans: inputs.spans.len(),
        stats: inputs.stat_log.len(),
        span_leftovers: spans.leftovers,
        stat_leftovers: stats.leftovers,
        log_leftovers: log.leftovers,
        access_lines: access.sides.iter().flatten().count(),
        access_leftovers: access.leftovers,
        ..Coverage::default()
    };
    let (mut more_sequences, mut rows, mut told) = (0, Vec::new(), Vec::new());
    let sides = spans.sides.into_iter().zip(stats.sides).zip(log.sides).zip(access.sides);
    for (index, (client, (((span, stat), log), access))) in (0..).zip(requests.into_iter().zip(sides)) {
        let shares = ids.shared().binary_search(&index).is_ok();
        let unclear = [&span, &stat].into_iter().any(|side| *side == Side::Ambiguous);
        coverage.ambiguous += usize::from(unclear || (shares && !matches!(span, Side::Joined(_))));
        let of_one = Told { span: span.joined().cloned(), stat: stat.joined().cloned(), log, access };
        if client.status == Status::Ok
            && let Some(side) = of_one.span.as_ref().or(of_one.stat.as_ref())
        {
            more_sequences += side.sequences - 1;
        }
        let troubles = [Side::Ambiguous, Side::OtherTime];
        let trouble = troubles.iter().find(|trouble| span == **trouble || stat == **trouble);
        let row = joined(client, &of_one, &maps, trouble, shares, available);
        if available.spans && of_one.span.is_none() {
            let reason = why(&row.client, trouble, shares, available);
            *coverage.without_span.entry(reason.to_owned()).or_default() += 1;
        }
        coverage.disagree_in_time += usize::from(row.span_fits_client == Some(false));
        match &row.unmatched {
            None => {
                coverage.joined += 1;
                *coverage.by_source.entry(row.source.as_str().to_owned()).or_default() += 1;
            }
            Some(reason) => *coverage.unjoined.entry(reason.clone()).or_default() += 1,
        }
        rows.push(row);
        told.push(of_one);
    }
    coverage.lost_spans = coverage.without_span.get(LOST_SPAN).copied().unwrap_or(0);
    Ok(RequestJoin {
        rows,
        coverage,
        clocks,
        maps,
        log: lines,
        log_zone_ns: zone_ns,
        stat_spans,
        request_spans: spans.request_spans,
        request_stats: stats.request_spans,
        told,
        more_sequences,
    })
}

/// What the requests of a rank, or all of them, say about the clocks. Stamps of a log are the coarsest: they
/// bound the clocks only where nothing else does.
fn pairs(
    spans: &span_join::Claims<'_>,
    stats: &span_join::Claims<'_>,
    log: Option<&log_join::Claims<'_>>,
    rank: Option<u32>,
) -> Pairs {
    let mut pairs = Pairs::default();
    spans.pairs(rank, &mut pairs);
    stats.pairs(rank, &mut pairs);
    if let Some(log) = log.filter(|_| pairs.is_empty()) {
        log.pairs(rank, &mut pairs);
    }
    pairs
}

/// The same of requests that are not joined yet: by what hosts' clocks are set beside each other.
pub fn pairs_of(requests: &[RequestRow], inputs: &Recorded<'_>) -> Result<Pairs> {
    let ids = ids_of(requests)?;
    let stat_spans = stat_join::as_spans(inputs.stat_log, inputs.server);
    let spans = span_join::claims(requests, &ids, inputs.spans, inputs.server)?;
    let stats = span_join::claims(requests, &ids, &stat_spans, inputs.server)?;
    let log = log_join::claims(requests, &ids, inputs.log)?;
    Ok(pairs(&spans, &stats, Some(&log), None))
}

/// What a server recorded of single requests.
pub struct Recorded<'a> {
    pub spans: &'a [SpanRow],
    pub stat_log: &'a [StatRow],
    pub log: &'a [LogRow],
    pub server: &'a Server,
}

/// The server may have used the id that was sent, or its own and told it in the answer.
fn ids_of(requests: &[RequestRow]) -> Result<Keys> {
    Keys::new((0..).zip(requests).flat_map(|(i, r)| {
        let answered = r.response_id.as_deref().unwrap_or_default();
        [(r.request_id.as_str(), i), (answered, i)]
    }))
}

/// Which kinds of evidence the run has at all.
#[derive(Clone, Copy)]
struct Available {
    spans: bool,
    stats: bool,
    in_band: bool,
    log: bool,
}

fn has_in_band(r: &RequestRow) -> bool {
    let told =
        [r.in_band_prefill_s, r.in_band_queue_s, r.in_band_decode_s, r.in_band_inference_s, r.in_band_e2e_s];
    told.iter().any(Option::is_some)
}

/// One row: each number from the best source that has it.
fn joined(
    client: RequestRow,
    told: &Told,
    maps: &Maps,
    trouble: Option<&Side>,
    shares: bool,
    available: Available,
) -> JoinedRow {
    let map = maps.of(&client);
    let (span, stat, log) = (told.span.as_ref(), told.stat.as_ref(), told.log.as_ref());
    let in_band = has_in_band(&client);
    let source = match (span, stat, log) {
        (Some(span), _, _) => span.source,
        (None, Some(_), _) => Source::StatLog,
        _ if in_band => Source::InBand,
        (None, None, Some(_)) => Source::Log,
        (None, None, None) => Source::None,
    };
    let unmatched = (source == Source::None).then(|| why(&client, trouble, shares, available).to_owned());
    let best = |of: fn(&ServerSide) -> Option<f64>| {
        let told = span.and_then(|span| Some((of(span)?, span.source)));
        told.or_else(|| stat.and_then(of).map(|v| (v, Source::StatLog)))
    };
    let engine = |of: fn(&ServerSide) -> Option<f64>, in_band: Option<f64>| {
        best(of).or_else(|| in_band.map(|v| (v, Source::InBand)))
    };
    let count = |of: fn(&ServerSide) -> Option<u32>, log: Option<u32>| {
        span.and_then(of).or_else(|| stat.and_then(of)).or(log)
    };
    let arrival = span.or(stat).map(|s| s.arrival_unix_ns);
    let (ttft, e2e) = (best(|s| s.ttft_s), engine(|s| s.e2e_s, client.in_band_e2e_s));
    let queue = engine(|s| s.queue_s, client.in_band_queue_s);
    let prefill = engine(|s| s.prefill_s, client.in_band_prefill_s);
    let decode = engine(|s| s.decode_s, client.in_band_decode_s);
    let inference = engine(|s| s.inference_s, client.in_band_inference_s);
    let here = |after: f64, until: Option<UnixNs>| {
        let from = client.send_begin_unix_ns.unwrap_or(client.started_unix_ns);
        map.placed(arrival?.plus_seconds(after), from, until.unwrap_or(client.done_unix_ns))
    };
    let first = client.first_token_unix_ns;
    let (arrival_here, first_here, last_here) = (
        here(0.0, first),
        ttft.and_then(|(ttft, _)| here(ttft, first)),
        e2e.and_then(|(e2e, _)| here(e2e, client.last_token_unix_ns)),
    );
    // Both are differences of the server's wall clock: across a step they are no durations.
    let across = |to: Option<UnixNs>| {
        let from = client.send_begin_unix_ns.unwrap_or(client.started_unix_ns);
        map.may_step(from, to.unwrap_or(client.done_unix_ns))
    };
    let (ttft, e2e) = (ttft.filter(|_| !across(first)), e2e.filter(|_| !across(client.last_token_unix_ns)));
    let time = |of: fn(&LogSide) -> Option<Written>| log.and_then(of).map(|w| w.time_unix_ns);
    JoinedRow {
        source,
        arrival_source: arrival.map(|_| span.map_or(Source::StatLog, |span| span.source)),
        ttft_source: ttft.map(|t| t.1),
        e2e_source: e2e.map(|t| t.1),
        engine_source: queue.or(prefill).or(decode).or(inference).map(|t| t.1),
        unmatched,
        server_arrival_unix_ns: arrival,
        arrival_here,
        first_here,
        last_here,
        server_ttft_s: ttft.map(|t| t.0),
        server_e2e_s: e2e.map(|t| t.0),
        server_queue_s: queue.map(|t| t.0),
        server_prefill_s: prefill.map(|t| t.0),
        server_decode_s: decode.map(|t| t.0),
        server_inference_s: inference.map(|t| t.0),
        server_input_tokens: count(|s| s.input_tokens, log.and_then(|l| l.input_tokens)),
        server_output_tokens: count(|s| s.output_tokens, log.and_then(|l| l.output_tokens)),
        server_attempts: span.map_or(0, |s| s.attempts as u32),
        server_before_s: span.filter(|s| s.attempts > 1).map(|s| s.before_s),
        log_received_unix_ns: time(|l| l.received),
        log_added_unix_ns: time(|l| l.added),
        log_first_output_unix_ns: time(|l| l.first_output),
        log_complete_unix_ns: time(|l| l.complete),
        log_aborted_unix_ns: time(|l| l.aborted),
        log_resolution_ns: log.and_then(LogSide::resolution_ns),
        log_access_status: told.access.map(|a| a.status),
        log_lines: log_lines::of(&client, told, map),
        span_fits_client: span.map(|s| s.fits),
        ..JoinedRow::of(client)
    }
}

/// Of a span that ought to be there.
const LOST_SPAN: &str = "its span was lost, not exported or not sampled";

/// Why a request has no server side (or, where others have one, no span).
fn why(client: &RequestRow, trouble: Option<&Side>, shares: bool, available: Available) -> &'static str {
    match client.status {
        Status::ConnectError => return "it never reached the server: no connection",
        Status::HttpError if hop_headers::is_gateways_own(client.http_status, client.headers()) => {
            return "the gateway answered it in the server's place";
        }
        Status::HttpError if client.http_status.is_some_and(|s| s >= 500) => {
            return "the server failed it (HTTP 5xx): no record is made of these";
        }
        Status::HttpError if client.http_status.is_none() => {
            return "the server refused or failed it (an HTTP error): no record is made of these";
        }
        Status::HttpError => return "the server refused it (HTTP 4xx): no record is made of these",
        Status::Timeout | Status::Cut | Status::StreamError | Status::InFlight => {
            return "it was aborted, cut or unfinished: the server keeps no record of these";
        }
        Status::Ok | Status::DecodeError => {}
    }
    match trouble {
        Some(Side::Ambiguous) => return "ambiguous: several spans fit it",
        Some(Side::OtherTime) => return "a span has its id, but lies outside the request's time",
        _ => {}
    }
    if shares && (available.spans || available.stats || available.log) {
        "ambiguous: another request has the same id"
    } else if available.spans {
        LOST_SPAN
    } else if available.stats {
        "no line of the stat log names it"
    } else if available.in_band {
        "its answer carried no metrics, as others did"
    } else if available.log {
        "no line of the log names it"
    } else {
        "the server tells nothing about single requests (no spans, no in-band metrics, no request lines)"
    }
}
