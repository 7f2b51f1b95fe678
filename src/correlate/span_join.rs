//! Spans → requests: by trace id, else by the request id in the span; every span that finds no
//! request is counted under a reason. This file must not know what is done with the times.
//!
//! Rules, in this order:
//! 1. A span counts once, however often it was exported.
//! 2. A trace id names one request; only where it does not, the request id is asked.
//! 3. Spans of one request that share their arrival are its choices or prompts (n > 1): one side is
//!    made of them. Spans with different arrivals are attempts: the one attempt that lies inside the
//!    client's stamps is taken, of several the one that was answered; if none or several were, nothing is
//!    joined.
//! 4. A span joined by trace id is the request's even if the clocks disagree: kept and flagged. One
//!    joined by request id alone that does not lie inside the client's stamps is another request's.
//!
//! Ids come first ([`claims`]), since what they join bounds the clocks ([`Claims::pairs`]); times come
//! second, on the client's axis ([`Claims::resolve`]).

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;

use super::clocks::{Map, Maps, Pairs};
use super::ids::candidates;
use super::keys::Keys;
use crate::clock::UnixNs;
use crate::record::correlated::Window;
use crate::record::{Connection, OWN_STAMPS, RequestRow, Source, SpanRow, Status};
use crate::server::Server;

/// Stamps of one host may disagree by so much: rounding (256 ns in vLLM) and slewing, no more.
pub const SLACK_S: f64 = 0.001;
/// Instants in seconds of the epoch are doubles, 0.24 µs apart; an arrival may be made of two.
const ARRIVAL_GRAIN_NS: u64 = 1_000;

/// What the spans say about each request.
pub struct SpanJoin {
    /// One entry a request.
    pub sides: Vec<Side>,
    /// Spans that belong to no request, by reason.
    pub leftovers: BTreeMap<String, usize>,
    /// Every span of a request (ours or not), once: indices into the spans.
    pub request_spans: Vec<u32>,
}

/// One request's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    Joined(ServerSide),
    /// Ids fit more than one request or span.
    Ambiguous,
    /// Its id was found on a span of another time.
    OtherTime,
    None,
}

impl Side {
    pub fn joined(&self) -> Option<&ServerSide> {
        match self {
            Side::Joined(side) => Some(side),
            Side::Ambiguous | Side::OtherTime | Side::None => None,
        }
    }
}

/// A request as the server's spans tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSide {
    /// Spans, or stamps of the server's own.
    pub source: Source,
    pub arrival_unix_ns: UnixNs,
    pub ttft_s: Option<f64>,
    pub e2e_s: Option<f64>,
    pub queue_s: Option<f64>,
    pub prefill_s: Option<f64>,
    pub decode_s: Option<f64>,
    pub inference_s: Option<f64>,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    /// Sequences at the server: choices or prompts.
    pub sequences: usize,
    /// How often it was at the server between the client's stamps: more than once if something on the way
    /// sent it again.
    pub attempts: usize,
    /// From its first arrival there to that of the attempt that is taken; 0 of a single one.
    pub before_s: f64,
    /// Whether it lies inside the client's stamps.
    pub fits: bool,
}

/// A span that found its request.
#[derive(Clone, Copy)]
struct Claim {
    request: u32,
    span: u32,
    by_trace: bool,
}

/// What the ids alone say.
pub struct Claims<'a> {
    requests: &'a [RequestRow],
    spans: &'a [SpanRow],
    /// Sorted by request.
    claims: Vec<Claim>,
    /// Spans of requests that nothing claims.
    unclaimed: Vec<u32>,
    leftovers: Leftovers,
    request_spans: Vec<u32>,
}

/// Finds the request of every span by its ids.
pub fn claims<'a>(
    requests: &'a [RequestRow],
    ids: &Keys,
    spans: &'a [SpanRow],
    server: &Server,
) -> Result<Claims<'a>> {
    let mut leftovers = Leftovers::default();
    let request_spans = request_spans(spans, server, &mut leftovers);
    let asking = || request_spans.iter().filter_map(|&i| spans.get(i as usize).map(|span| (i, span)));

    let traces = Keys::new((0..).zip(requests).map(|(i, r)| (r.trace_id.as_str(), i)))?;
    let by_trace = traces.find(asking().map(|(i, span)| (i, span.trace_id.as_str())))?;
    let has_trace: HashSet<u32> = by_trace.iter().filter(|f| f.row.is_some()).map(|f| f.asker).collect();
    let by_id = ids.find(asking().filter(|(i, _)| !has_trace.contains(i)).flat_map(|(i, span)| {
        span.request_id.iter().flat_map(move |id| candidates(id)).map(move |id| (i, id))
    }))?;

    let mut claims: Vec<Claim> = Vec::new();
    let mut answered = has_trace;
    for found in by_trace.iter().filter(|f| f.row.is_some()) {
        claims.extend(found.row.map(|request| Claim { request, span: found.asker, by_trace: true }));
    }
    for found in &by_id {
        answered.insert(found.asker);
        match found.row {
            Some(request) => claims.push(Claim { request, span: found.asker, by_trace: false }),
            None => leftovers.add(SHARED_ID, 1),
        }
    }
    claims.sort_by_key(|c| (c.request, c.span));
    let unclaimed = request_spans.iter().copied().filter(|i| !answered.contains(i)).collect();
    Ok(Claims { requests, spans, claims, unclaimed, leftovers, request_spans })
}

impl Claims<'_> {
    /// What these requests say about the clocks: those with one attempt; if a trace id joined any, only
    /// such, for an id alone may be another's. `rank`: only this one's.
    pub fn pairs(&self, rank: Option<u32>, pairs: &mut Pairs) {
        let traced = self.claims.iter().any(|c| c.by_trace);
        let of_rank = |request: &RequestRow| rank.is_none() || request.rank == rank;
        for (request, of_one) in self.by_request().filter(|(request, _)| of_rank(request)) {
            let taken = of_one.iter().filter(|(_, by_trace)| *by_trace == traced);
            let spans: Vec<&SpanRow> = taken.map(|(span, _)| *span).collect();
            let Some(first) = spans.first() else { continue };
            // Of a request that was sent twice it is not known which time the server speaks of.
            if request.connection == Connection::Retried || spans.iter().any(|s| !same_arrival(first, s)) {
                continue;
            }
            // What comes first here is the first token of any choice, not of the one named first.
            let Some(first) = combine(&spans, true) else { continue };
            // Longer at the server than at the client: not this request's, whatever its id.
            let sent = request.send_begin_unix_ns.unwrap_or(request.started_unix_ns);
            if first.e2e_s.is_some_and(|e2e| e2e > request.done_unix_ns.seconds_since(sent) + SLACK_S) {
                continue;
            }
            if let Some(sent) = request.send_begin_unix_ns {
                pairs.out(sent, first.arrival_unix_ns);
            }
            let arrival = first.arrival_unix_ns;
            let mut back = |after: Option<f64>, here: Option<UnixNs>| {
                if let (Some(after), Some(here)) = (after, here) {
                    pairs.back(arrival.plus_seconds(after), here);
                }
            };
            back(first.ttft_s, request.first_token_unix_ns);
            back(first.e2e_s, all_here(request));
        }
    }

    /// Each request's side, now that instants can be compared.
    pub fn resolve(mut self, maps: &Maps, window: Option<Window>) -> SpanJoin {
        let mut leftovers = std::mem::take(&mut self.leftovers);
        for span in self.unclaimed.iter().filter_map(|i| self.spans.get(*i as usize)) {
            leftovers.add(unclaimed(span, window, &maps.reference), 1);
        }
        let mut sides = vec![Side::None; self.requests.len()];
        for (index, of_one) in self.claimed() {
            if let (Some(request), Some(slot)) = (self.requests.get(index), sides.get_mut(index)) {
                *slot = resolve(request, &of_one, maps.of(request), &mut leftovers);
            }
        }
        SpanJoin { sides, leftovers: leftovers.0, request_spans: self.request_spans }
    }

    /// Requests that something claims, with what does and whether by trace id.
    fn claimed(&self) -> impl Iterator<Item = (usize, Vec<(&SpanRow, bool)>)> {
        self.claims.chunk_by(|a, b| a.request == b.request).filter_map(|of_one| {
            let index = of_one.first()?.request as usize;
            let span = |c: &Claim| self.spans.get(c.span as usize).map(|span| (span, c.by_trace));
            Some((index, of_one.iter().filter_map(span).collect()))
        })
    }

    fn by_request(&self) -> impl Iterator<Item = (&RequestRow, Vec<(&SpanRow, bool)>)> {
        self.claimed().filter_map(|(index, of_one)| Some((self.requests.get(index)?, of_one)))
    }
}

/// Sequences of one request share its arrival; where that is computed (a stat log's), to the grain of a
/// double.
fn same_arrival(a: &SpanRow, b: &SpanRow) -> bool {
    a.start_unix_ns.0.abs_diff(b.start_unix_ns.0) <= ARRIVAL_GRAIN_NS
}

/// When everything that the server made was surely here. A last token without text (an end-of-text
/// token) has no event of its own where the stream does not count tokens: then the last event is of
/// the token before it, and came before the server's last.
fn all_here(request: &RequestRow) -> Option<UnixNs> {
    let each_seen = request.output_tokens.is_some_and(|n| n <= request.n_events);
    let whole = (request.status == Status::Ok).then_some(request.done_unix_ns);
    request.last_token_unix_ns.filter(|_| each_seen).or(whole)
}

const NOT_A_REQUEST: &str = "not a request's span (start-up, middleware)";
const TWICE: &str = "exported twice";
const BEFORE: &str = "before the window (warm-up)";
const AFTER: &str = "after the window";
const FOREIGN: &str = "foreign: no request of this run has its ids";
const UNKNOWN: &str = "warm-up or foreign: the clocks of two hosts do not tell";
const SHARED_ID: &str = "ambiguous: several requests share its id";
const SEVERAL_FIT: &str = "ambiguous: several spans fit one request";
const OTHER_ATTEMPT: &str = "another attempt at a request";
const OTHER_TIME: &str = "the id of a request, at another time";

#[derive(Default)]
struct Leftovers(BTreeMap<String, usize>);

impl Leftovers {
    fn add(&mut self, reason: &str, n: usize) {
        if n > 0 {
            *self.0.entry(reason.to_owned()).or_default() += n;
        }
    }
}

/// The spans that stand for a request, each once.
fn request_spans(spans: &[SpanRow], server: &Server, leftovers: &mut Leftovers) -> Vec<u32> {
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for (i, span) in (0_u32..).zip(spans) {
        let timed = span.e2e_s.or(span.ttft_s).or(span.queue_s).or(span.prefill_s).is_some();
        if !timed && server.request_span != Some(span.name.as_str()) {
            leftovers.add(NOT_A_REQUEST, 1);
        } else if seen.insert((&span.trace_id, &span.span_id)) {
            out.push(i);
        } else {
            leftovers.add(TWICE, 1);
        }
    }
    out
}

/// Why nothing claims a span. Where clocks cannot be compared only the arrival of the export is known.
fn unclaimed(span: &SpanRow, window: Option<Window>, map: &Map) -> &'static str {
    let Some(w) = window else {
        return if map.compares() { FOREIGN } else { UNKNOWN };
    };
    let (began, ended) = (map.anywhere(span.start_unix_ns), map.anywhere(span.end_unix_ns));
    match (began, ended) {
        _ if span.recv_unix_ns < w.begin_unix_ns => BEFORE,
        (_, Some(ended)) if ended.hi_unix_ns < w.begin_unix_ns => BEFORE,
        (Some(began), _) if began.lo_unix_ns > w.end_unix_ns => AFTER,
        (Some(_), Some(_)) => FOREIGN,
        _ => UNKNOWN,
    }
}

/// One request's spans → its side.
fn resolve(request: &RequestRow, claimed: &[(&SpanRow, bool)], map: &Map, leftovers: &mut Leftovers) -> Side {
    let by_trace = claimed.iter().any(|(_, by_trace)| *by_trace);
    let (mut taken, by_id): (Vec<&SpanRow>, Vec<&SpanRow>) = {
        let (traced, rest): (Vec<_>, Vec<_>) = claimed.iter().partition(|(_, t)| *t == by_trace);
        (traced.iter().map(|(s, _)| *s).collect(), rest.iter().map(|(s, _)| *s).collect())
    };
    // Its id on a span of another trace, while its own trace is there: somebody else's request.
    leftovers.add(OTHER_TIME, by_id.len());

    taken.sort_by_key(|span| (span.start_unix_ns, span.span_id.clone()));
    let attempts: Vec<&[&SpanRow]> = taken.chunk_by(|a, b| same_arrival(a, b)).collect();
    let fits = |spans: &[&SpanRow]| spans.iter().all(|span| fits(request, span, map));
    let (mut tries, mut first) = (1, None);
    let chosen = match attempts.as_slice() {
        [only] => only,
        several => {
            let fitting: Vec<&[&SpanRow]> = several.iter().copied().filter(|spans| fits(spans)).collect();
            let answered = |spans: &&[&SpanRow]| spans.iter().any(|span| span.ttft_s.is_some());
            let answering: Vec<&[&SpanRow]> = fitting.iter().copied().filter(answered).collect();
            tries = fitting.len();
            first = fitting.iter().flat_map(|spans| *spans).map(|span| span.start_unix_ns).min();
            let ((&[one], _) | (_, &[one])) = (fitting.as_slice(), answering.as_slice()) else {
                leftovers.add(SEVERAL_FIT, taken.len());
                return Side::Ambiguous;
            };
            leftovers.add(OTHER_ATTEMPT, taken.len() - one.len());
            one
        }
    };
    let fits = fits(chosen);
    if !fits && !by_trace {
        leftovers.add(OTHER_TIME, chosen.len());
        return Side::OtherTime;
    }
    combine(chosen, fits).map_or(Side::None, |side| {
        let before_s = first.map_or(0.0, |first| side.arrival_unix_ns.seconds_since(first));
        Side::Joined(ServerSide { attempts: tries, before_s, ..side })
    })
}

/// Whether a span can be this request's, by time alone.
fn fits(request: &RequestRow, span: &SpanRow, map: &Map) -> bool {
    let begin = request.send_begin_unix_ns.unwrap_or(request.started_unix_ns);
    let lasted = span.e2e_s.or(span.ttft_s).unwrap_or(0.0);
    let inside = |server: UnixNs| {
        map.within(server, begin.plus_seconds(-SLACK_S), request.done_unix_ns.plus_seconds(SLACK_S)).is_some()
    };
    if map.compares() {
        inside(span.start_unix_ns) && inside(span.start_unix_ns.plus_seconds(lasted))
    } else {
        lasted <= request.done_unix_ns.seconds_since(begin) + SLACK_S
    }
}

/// One side from the spans of one arrival: a single span as it is; of several choices the first
/// token is the first of any, the end the last of any, and a decode time common to them is not known.
fn combine(spans: &[&SpanRow], fits: bool) -> Option<ServerSide> {
    let ttft = |span: &&&SpanRow| span.ttft_s.unwrap_or(f64::INFINITY);
    let first = spans.iter().min_by(|a, b| ttft(a).total_cmp(&ttft(b)))?;
    let e2e = spans.iter().filter_map(|span| span.e2e_s).max_by(f64::total_cmp);
    let tokens = spans.iter().map(|span| span.output_tokens).sum::<Option<u32>>();
    Some(ServerSide {
        source: if first.via == OWN_STAMPS { Source::ServerStamps } else { Source::Span },
        arrival_unix_ns: first.start_unix_ns,
        ttft_s: first.ttft_s,
        e2e_s: e2e,
        queue_s: first.queue_s,
        prefill_s: first.prefill_s,
        decode_s: if spans.len() == 1 { first.decode_s } else { None },
        inference_s: if spans.len() == 1 { first.inference_s } else { None },
        input_tokens: first.input_tokens,
        output_tokens: tokens,
        sequences: spans.len(),
        attempts: 1,
        before_s: 0.0,
        fits,
    })
}
