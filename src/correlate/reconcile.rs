//! Do both sides speak of the same requests? Counts, tokens and sums against each other, foreign
//! traffic, restarts, what was under way at the edges. What does not agree is said before any figure
//! is believed. This file must not know how a figure is made.

use super::aggregate_join::finished_well;
use super::request_join::RequestJoin;
use super::{agreement, reconcile_spans};
use crate::record::clocks::ClockRelation;
use crate::record::correlated::{Aggregate, Check, Verdict, Window};
use crate::record::{JoinedRow, SpanRow, Status};

/// Every check, in the order of printing.
pub fn checks(
    join: &RequestJoin<'_>,
    spans: &[SpanRow],
    aggregate: &Aggregate,
    window: Option<Window>,
) -> Vec<Check> {
    let rows = join.rows.as_slice();
    let mut out = vec![every_row(join), resets(aggregate), edges(aggregate), requests(join, aggregate)];
    out.push(foreign(join, aggregate));
    out.push(tokens(
        "output tokens",
        rows,
        aggregate.generation_tokens,
        |r| r.client.output_tokens,
        |r| r.client.max_tokens,
    ));
    out.push(tokens("prompt tokens", rows, aggregate.prompt_tokens, |r| r.client.input_tokens, |_| None));
    out.push(duplicates(join));
    out.push(clock(join, aggregate.endpoints));
    out.extend(zone(join));
    out.push(statuses(join));
    out.extend(reconcile_spans::checks(join, spans, aggregate, window));
    out.extend(decode_seconds(rows, aggregate));
    out.extend(agreement::checks(join));
    out
}

pub(super) fn check(
    name: &'static str,
    client: Option<f64>,
    server: Option<f64>,
    verdict: Verdict,
    detail: impl Into<String>,
) -> Check {
    Check { name, client, server, verdict, detail: detail.into() }
}

pub(super) fn agree_if(agrees: bool) -> Verdict {
    if agrees { Verdict::Agree } else { Verdict::Differ }
}

/// Rows in = rows joined + rows not joined, each with its reason.
fn every_row(join: &RequestJoin<'_>) -> Check {
    let c = &join.coverage;
    let unjoined: usize = c.unjoined.values().sum();
    let detail = format!("{} requests = {} joined + {unjoined} not joined", c.requests, c.joined);
    let verdict = agree_if(c.requests == c.joined + unjoined);
    check(
        "every request accounted for",
        Some(c.requests as f64),
        Some((c.joined + unjoined) as f64),
        verdict,
        detail,
    )
}

fn resets(aggregate: &Aggregate) -> Check {
    let name = "counters without a restart";
    match &aggregate.unusable {
        None => check(name, None, None, Verdict::Agree, format!("{} endpoint(s)", aggregate.endpoints)),
        Some(why) if aggregate.histograms.is_empty() && aggregate.finished.is_empty() => {
            check(name, None, None, Verdict::NotAvailable, why)
        }
        Some(why) => check(name, None, None, Verdict::Differ, why),
    }
}

fn edges(aggregate: &Aggregate) -> Check {
    let name = "server idle before and after";
    let (Some(before), Some(after)) = (aggregate.in_flight_before, aggregate.in_flight_after) else {
        return check(
            name,
            None,
            None,
            Verdict::NotAvailable,
            "the server does not say how many requests it holds",
        );
    };
    let detail = format!("{before} requests in the engine at the snapshot before, {after} at the one after");
    check(name, Some(before), Some(after), agree_if(before == 0.0 && after == 0.0), detail)
}

/// How many requests may have ended well at the server, by what the client saw.
struct Ended {
    /// Sequences, as the server counts them: a request with n = 2 is two.
    ok: usize,
    /// Reached the server and did not end well here: it may count them or not.
    perhaps: usize,
}

fn ended(join: &RequestJoin<'_>) -> Ended {
    let rows = &join.rows;
    let count = |test: fn(Status) -> bool| rows.iter().filter(|r| test(r.client.status)).count();
    Ended {
        ok: count(|s| s == Status::Ok) + join.more_sequences,
        perhaps: count(|s| !matches!(s, Status::Ok | Status::ConnectError | Status::HttpError)),
    }
}

fn requests(join: &RequestJoin<'_>, aggregate: &Aggregate) -> Check {
    let name = "requests";
    let Ended { ok, perhaps } = ended(join);
    let Some(server) = usable(aggregate).and_then(|a| finished_well(&a.finished)) else {
        return check(
            name,
            Some(ok as f64),
            None,
            Verdict::NotAvailable,
            "no count of finished requests over the window",
        );
    };
    let (lo, hi) = (ok as f64, (ok + perhaps) as f64);
    let detail = match (server >= lo, server <= hi) {
        (true, true) if perhaps == 0 => {
            format!("{ok} ok at the client, {server} finished at the server")
        }
        (true, true) => format!(
            "{ok} ok at the client and {perhaps} cut, timed out or unfinished, {server} finished at the server"
        ),
        (true, false) => format!("{} more finished at the server than the client sent", server - hi),
        (false, _) => format!("{} of the client's {ok} are missing at the server", lo - server),
    };
    check(name, Some(lo), Some(server), agree_if((lo..=hi).contains(&server)), detail)
}

fn foreign(join: &RequestJoin<'_>, aggregate: &Aggregate) -> Check {
    let name = "no foreign traffic";
    let Ended { ok, perhaps } = ended(join);
    let counted = usable(aggregate).and_then(|a| finished_well(&a.finished));
    let more = counted.map(|server| (server - (ok + perhaps) as f64).max(0.0));
    let spans: usize = foreign_of(&join.coverage.span_leftovers);
    let ids: usize = foreign_of(&join.coverage.log_leftovers);
    let detail = format!(
        "{} requests more at the server, {spans} spans and {ids} log ids of others",
        more.map_or_else(|| "unknown".to_owned(), |m| m.to_string())
    );
    let known = more.is_some() || join.coverage.spans > 0 || !join.coverage.log_leftovers.is_empty();
    let verdict = if known {
        agree_if(more.unwrap_or(0.0) == 0.0 && spans == 0 && ids == 0)
    } else {
        Verdict::NotAvailable
    };
    check(name, Some(0.0), more, verdict, detail)
}

fn foreign_of(leftovers: &std::collections::BTreeMap<String, usize>) -> usize {
    leftovers.iter().filter(|(reason, _)| reason.starts_with("foreign")).map(|(_, n)| n).sum()
}

/// Tokens of the successful requests against the server's counter, which holds those of the aborted
/// too: then the client's side is an interval.
fn tokens(
    name: &'static str,
    rows: &[JoinedRow],
    server: Option<f64>,
    of: fn(&JoinedRow) -> Option<u32>,
    at_most: fn(&JoinedRow) -> Option<u32>,
) -> Check {
    let ok = || rows.iter().filter(|r| r.client.status == Status::Ok);
    let unknown = ok().filter(|r| of(r).is_none()).count();
    let sum: f64 = ok().filter_map(of).map(f64::from).sum();
    let Some(server) = server else {
        return check(name, Some(sum), None, Verdict::NotAvailable, "no counter over the window");
    };
    if unknown > 0 {
        let detail = format!("{unknown} successful requests came without usage");
        return check(name, Some(sum), Some(server), Verdict::NotAvailable, detail);
    }
    let cut: Vec<&JoinedRow> = rows
        .iter()
        .filter(|r| !matches!(r.client.status, Status::Ok | Status::ConnectError | Status::HttpError))
        .collect();
    let most = cut.iter().map(|r| at_most(r).map(f64::from)).sum::<Option<f64>>();
    let hi = if cut.is_empty() { sum } else { most.map_or(f64::INFINITY, |most| sum + most) };
    let detail = match server - sum {
        0.0 => "equal".to_owned(),
        more if more > 0.0 && server <= hi => {
            format!("{more} more at the server, as {} cut or unfinished requests may account for", cut.len())
        }
        more if more > 0.0 => format!("{more} more at the server"),
        less => format!("{} fewer at the server", -less),
    };
    check(name, Some(sum), Some(server), agree_if((sum..=hi).contains(&server)), detail)
}

fn duplicates(join: &RequestJoin<'_>) -> Check {
    let n = join.coverage.ambiguous;
    let detail = format!("{n} requests could not be told apart by id");
    check("ids are unique", Some(n as f64), None, agree_if(n == 0), detail)
}

/// Whether the clocks are as their addresses say, and one offset and drift explain every pair.
fn clock(join: &RequestJoin<'_>, endpoints: usize) -> Check {
    let name = "clocks are consistent";
    let c = &join.clocks;
    let pairs = c.pairs_out + c.pairs_back;
    let steps = c.stretches.len().saturating_sub(1);
    let (verdict, detail) = match c.relation {
        ClockRelation::Unknown => (Verdict::NotAvailable, "nothing bounds the server's clock".to_owned()),
        ClockRelation::Contradict => (
            Verdict::Differ,
            format!("no offset, drift and three steps satisfy the {pairs} pairs: instants are not compared"),
        ),
        ClockRelation::OneClock if pairs == 0 => (
            Verdict::NotAvailable,
            "one host by its address; no pair of instants to hold against it".to_owned(),
        ),
        ClockRelation::OneClock => {
            let n = c.against_one_clock;
            (agree_if(n == 0), format!("one clock: {n} of {pairs} pairs contradict it"))
        }
        ClockRelation::Bounded if steps > 0 => (
            Verdict::Differ,
            format!(
                "{steps} step(s) of a clock in {pairs} pairs: bounded on each side. TTFT and E2E of requests under way then hold it at the server: not used one by one, but in the endpoint's sums"
            ),
        ),
        ClockRelation::Bounded if c.against_one_clock > 0 => (
            Verdict::Differ,
            format!(
                "one host by its address, two clocks by {} of {pairs} pairs: bounds are used instead",
                c.against_one_clock
            ),
        ),
        ClockRelation::Bounded if c.stated_bound_fits == Some(false) => {
            (Verdict::Differ, format!("the bound given does not fit the {pairs} pairs and is not used"))
        }
        ClockRelation::Bounded if c.strays > 0 => (
            Verdict::Differ,
            format!(
                "one offset and drift satisfy {pairs} pairs but for {}, which are of something else",
                c.strays
            ),
        ),
        ClockRelation::Bounded => (Verdict::Agree, format!("one offset and drift satisfy all {pairs} pairs")),
    };
    // Which of several servers answered a request, no pair tells.
    let detail = if endpoints > 1 && c.relation != ClockRelation::Unknown {
        format!("{detail}; {endpoints} endpoints: taken for one host's, with one clock")
    } else {
        detail
    };
    check(name, None, None, verdict, detail)
}

/// A log of another time zone is used all the same, and said.
fn zone(join: &RequestJoin<'_>) -> Option<Check> {
    let shift_s = join.log_zone_ns? as f64 / 1e9;
    let (sign, minutes) = (if shift_s < 0.0 { '-' } else { '+' }, (shift_s.abs() / 60.0).round() as i64);
    let detail = format!(
        "its stamps are {sign}{}:{:02} h off by the requests it names, a whole time zone: they were moved",
        minutes / 60,
        minutes % 60
    );
    Some(check("the log is of this time zone", None, None, Verdict::Differ, detail))
}

/// What the answers told of their decoding against the server's counter of it, where it has one. Counters
/// of llama.cpp are printed with six digits: each reading may be off by half of the last.
fn decode_seconds(rows: &[JoinedRow], aggregate: &Aggregate) -> Option<Check> {
    let name = "in-band: sum of decode times";
    let (counted, reading) = usable(aggregate)?.decode_seconds?;
    let told: Vec<f64> = rows.iter().filter_map(|r| r.client.in_band_decode_s).collect();
    let sum: f64 = told.iter().sum();
    let unknown = rows.iter().filter(|r| r.client.in_band_decode_s.is_none()).count();
    if unknown > 0 {
        let detail = format!("{unknown} requests do not tell");
        return Some(check(name, Some(sum), Some(counted), Verdict::NotAvailable, detail));
    }
    let grain = reading.abs() * 1e-5 + told.len() as f64 * 1e-6;
    let detail = format!("{} requests; the counter is good to {}", told.len(), crate::units::seconds(grain));
    Some(check(name, Some(sum), Some(counted), agree_if((sum - counted).abs() <= grain), detail))
}

/// The client's HTTP statuses against the access lines of its connections.
fn statuses(join: &RequestJoin<'_>) -> Check {
    let name = "HTTP status, by access line";
    let lines = join.coverage.access_lines;
    if lines == 0 {
        return check(name, None, None, Verdict::NotAvailable, "no access line of these connections");
    }
    let unclear: usize = join.coverage.access_leftovers.values().sum();
    let asked = join.rows.iter().filter(|r| r.client.send_begin_unix_ns.is_some()).count();
    let detail =
        format!("{lines} of {asked} requests have their access line; {unclear} lines belong to none");
    check(name, Some(asked as f64), Some(lines as f64), Verdict::Agree, detail)
}

/// The aggregate, if its differences can be trusted.
pub(super) fn usable(aggregate: &Aggregate) -> Option<&Aggregate> {
    aggregate.unusable.is_none().then_some(aggregate)
}
