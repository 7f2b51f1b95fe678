//! Tables of the hops between client and server: where the time went on the way, and how sure the join of
//! each hop's log is. This file must not know how a row was joined or placed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tables::Table;
use crate::metric::Metric;
use crate::record::clocks::{ClockRelation, Clocks};
use crate::record::hops::{HopPart, HopSummary, Hops, Listed, OutOfPlace, Stated, Unread};
use crate::units::{self, milliseconds};

/// The way to the first, or the last, token; without rows where there is no hop on it: the breakdown has
/// more to say then.
pub fn path(hops: &Hops, of: Metric) -> Table {
    let path = if of == Metric::E2e { hops.e2e.as_ref() } else { hops.ttft.as_ref() };
    let Some(path) = path.filter(|_| !hops.list.is_empty()) else { return Table::default() };
    let what = if path.of == Metric::E2e { "E2E" } else { "TTFT" };
    let mut head = vec![format!("part of {what}"), "side".to_owned()];
    head.extend(path.columns.iter().map(|c| format!("{} (ms, n {})", c.at, units::count(c.n as u64))));
    head.push("how".to_owned());
    let parts = path.columns.first().map_or(0, |c| c.parts.len());
    let mut rows: Vec<Vec<String>> = (0..parts)
        .filter_map(|j| {
            let first = path.columns.first()?.parts.get(j)?;
            let mut row = vec![first.name.clone(), first.side.name().to_owned()];
            row.extend(path.columns.iter().map(|c| c.parts.get(j).map_or_else(String::new, cell)));
            row.push(how(first));
            Some(row)
        })
        .collect();
    if !rows.is_empty() {
        let mut sum = vec![format!("= {what}"), String::new()];
        sum.extend(path.columns.iter().map(|c| milliseconds(c.total_s)));
        sum.push("sum of the parts".to_owned());
        rows.push(sum);
    }
    let mut below = vec![format!(
        "{} of {} requests that ended well and passed a hop have every cut. {}. In brackets: the 95 % interval of the mean, over requests.",
        units::count(path.n as u64),
        units::count(path.n_total as u64),
        path.rule
    )];
    if path.columns.iter().flat_map(|c| &c.parts).any(|p| p.bounds.is_some()) {
        below.push(
            "`a … b`: coarse stamps, or two clocks, leave the mean open between these; no request narrows it.".to_owned(),
        );
    }
    below.extend(path.lacking.iter().cloned());
    Table {
        title: if path.of == Metric::E2e {
            "The way of the last token, hop by hop".to_owned()
        } else {
            "The way to the first token, hop by hop".to_owned()
        },
        head,
        rows,
        below,
    }
}

fn cell(part: &HopPart) -> String {
    if let Some(b) = part.bounds.filter(|b| milliseconds(b.lo_s) != milliseconds(b.hi_s)) {
        return format!("{} … {}", milliseconds(b.lo_s), milliseconds(b.hi_s));
    }
    let mut text = milliseconds(part.mean_s);
    if let Some(i) = part.interval.filter(|i| milliseconds(i.lo_s) != milliseconds(i.hi_s)) {
        let _ = write!(text, " [{}, {}]", milliseconds(i.lo_s), milliseconds(i.hi_s));
    }
    text
}

fn how(part: &HopPart) -> String {
    let mut how = if part.bounds.is_some() { "within bounds" } else { "measured" }.to_owned();
    if part.n_negative > 0 {
        let _ = write!(how, ", {} negative", units::count(part.n_negative as u64));
    }
    how
}

/// How each hop's rows were joined, and what its clock is known to.
pub fn joins(hops: &Hops) -> Table {
    let rows = hops.list.iter().map(|hop| {
        vec![
            hop.name.clone(),
            hop.product.clone(),
            units::count(hop.rows as u64),
            format!("{} of {}", units::count(hop.joined as u64), units::count(hop.requests as u64)),
            list(hop.by.iter().map(|(by, n)| (*by, *n))),
            // Nothing was compared: that both are one is only said.
            if hop.joined == 0 { "unknown".to_owned() } else { clock(&hop.clocks) },
        ]
    });
    Table {
        title: "Hops between client and server".to_owned(),
        head: [
            "hop",
            "its log's format",
            "rows",
            "requests joined",
            "found by",
            "its clock against the client's",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: rows.collect(),
        below: hops.list.iter().flat_map(doubts).collect(),
    }
}

/// What requests contradict of the order in which the hops were listed.
pub(super) fn warnings(hops: &Hops) -> Vec<String> {
    let of_hop = |hop: &HopSummary| -> Vec<String> {
        hop.out_of_place.iter().map(|one| out_of_place(&hop.name, one)).collect()
    };
    hops.list.iter().flat_map(of_hop).collect()
}

fn out_of_place(name: &str, one: &OutOfPlace) -> String {
    let OutOfPlace { other, listed, requests, of } = one;
    let counts = format!("{} of {}", units::count(*requests as u64), units::count(*of as u64));
    match listed {
        Listed::Reversed => format!(
            "hops `{other}` and `{name}` are listed the wrong way round: `{other}` had the request before `{name}` in {counts} requests that tell; the report takes them in that order; list `{other}` before `{name}`, as requests pass them"
        ),
        Listed::Unclear => format!(
            "hops `{other}` and `{name}` have no order: `{other}` had the request first in {counts} requests that tell, `{name}` in the others, so the parts of the way between them mean little; where requests pass them differently, leave one of the two out, or measure each way in a run of its own"
        ),
        Listed::Twice => format!(
            "hops `{other}` and `{name}` tell the same, line by line, of {counts} requests that both tell of: one log under two names; `{name}` is left out of the way; leave it out of the list, or give the log of the hop that is meant"
        ),
    }
}

/// `Server-Timing` may name as many durations as it likes.
const MOST_STATED: usize = 30;

/// What gateways state in the heads of answers; nothing where none does.
pub fn stated(hops: &Hops) -> Table {
    let rows = hops.stated.iter().take(MOST_STATED).map(|s| {
        vec![
            s.product.clone(),
            s.what.clone(),
            units::count(s.mean.n as u64),
            units::seconds(s.mean.value),
            units::seconds(s.p50_s),
            units::seconds(s.p99_s),
            beside_wait(s),
        ]
    });
    let left = hops.stated.len().saturating_sub(MOST_STATED);
    let more = if left > 0 { format!(" And {left} more: see summary.json.") } else { String::new() };
    Table {
        title: "What gateways state in the heads of answers".to_owned(),
        head: ["by", "duration", "answers", "mean", "p50", "p99", "beside the client's wait for the head"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.chain(hops.unread.iter().map(unread)).collect(),
        below: std::iter::once(format!(
            "Sent with the head, so none of these is a TTFT, or tells what happens to tokens after it; of a gateway that takes the whole answer before it sends the head, the upstream's time is that of the whole answer. Answers with a status from 500 on are not counted.{more}"
        ))
        .chain(whole_milliseconds(hops))
        .chain(hops.stated.iter().filter_map(doubted))
        .collect(),
    }
}

/// Of whom that is to be known before small means are compared.
fn whole_milliseconds(hops: &Hops) -> Option<String> {
    let mut named: Vec<&str> =
        hops.stated.iter().filter(|s| s.whole_ms).map(|s| s.product.as_str()).collect();
    named.dedup();
    (!named.is_empty())
        .then(|| format!("{}: whole milliseconds, each good to one, either way.", named.join(" and ")))
}

/// Of a value so much is shown.
const SHOWN_CHARS: usize = 120;

fn unread(one: &Unread) -> Vec<String> {
    let found: String = one.found.chars().take(SHOWN_CHARS).collect();
    let more = if one.found.chars().nth(SHOWN_CHARS).is_some() { "…" } else { "" };
    let said = format!("not read: expected {}, found `{found}{more}`", one.expected);
    let mut row = vec![one.header.clone(), said, units::count(one.n as u64)];
    row.resize(7, "–".to_owned());
    row
}

/// Whether a duration can be one of its request at all.
fn beside_wait(s: &Stated) -> String {
    let counts = || format!("{} of {}", units::count(s.longer as u64), units::count(s.compared as u64));
    match (s.compared, s.longer, s.rather) {
        (0, ..) => "–".to_owned(),
        (_, 0, Some(unit)) => format!("a thousandth of it: in {unit}?"),
        (_, 0, None) => "within it".to_owned(),
        (_, _, Some(unit)) => format!("longer in {}: in {unit}?", counts()),
        (_, _, None) => format!("longer in {}", counts()),
    }
}

/// What the client's stamps contradict, or make doubtful, is not to be believed in silence.
fn doubted(s: &Stated) -> Option<String> {
    let said = match (s.longer, s.rather) {
        (0, None) => return None,
        (_, Some(unit)) => format!(
            "read as milliseconds, as its header wants it, it does not fit how long the client waited for the heads; in {unit} it would"
        ),
        (_, None) => "it is longer than the client waited for some of the heads that tell it: it counts from before the request, or is in another unit than its header's".to_owned(),
    };
    Some(format!("{} `{}`: {said}.", s.product, s.what))
}

fn doubts(hop: &HopSummary) -> Vec<String> {
    let counted = |counts: &BTreeMap<String, usize>| list(counts.iter().map(|(what, n)| (what.as_str(), *n)));
    let name = &hop.name;
    let mut said = Vec::new();
    if !hop.unjoined.is_empty() {
        said.push(format!("{name}: requests not joined: {}.", counted(&hop.unjoined)));
    }
    if !hop.leftovers.is_empty() {
        said.push(format!("{name}: rows without a request: {}.", counted(&hop.leftovers)));
    }
    if hop.tried_again > 0 {
        said.push(format!("{name}: tried {} requests more than once.", units::count(hop.tried_again as u64)));
    }
    if !hop.ends.is_empty() {
        said.push(format!("{name}: client and hop differ on how answers ended: {}.", counted(&hop.ends)));
    }
    if let Some(minutes) = hop.zone_minutes {
        said.push(format!(
            "{name}: its log is of another time zone ({minutes:+} minutes): its times were shifted by that."
        ));
    }
    if hop.clocks.relation == ClockRelation::Bounded && hop.clocks.against_one_clock > 0 {
        said.push(format!(
            "{name}: {} of its instants cannot be by this host's clock (before what caused them, or after what they caused): it counts as a clock of its own.",
            units::count(hop.clocks.against_one_clock as u64)
        ));
    }
    if hop.clocks.relation == ClockRelation::Contradict {
        said.push(format!(
            "{name}: its times cannot be reconciled with the client's by any offset and drift, so none of them is compared: are these the same requests?"
        ));
    }
    said
}

fn clock(clocks: &Clocks) -> String {
    match clocks.relation {
        ClockRelation::OneClock => "one clock".to_owned(),
        ClockRelation::Bounded => {
            let ahead = clocks.stretches.iter().map(|s| {
                let middle_s = f64::midpoint(s.offset_lo_s, s.offset_hi_s);
                let half_s = (s.offset_hi_s - s.offset_lo_s) / 2.0;
                format!("{} ahead, within ±{}", units::seconds(middle_s), units::seconds(half_s))
            });
            ahead.collect::<Vec<_>>().join(", then ")
        }
        ClockRelation::Contradict => "contradicts".to_owned(),
        ClockRelation::Unknown => "unknown".to_owned(),
    }
}

fn list<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let said: Vec<String> = counts.map(|(what, n)| format!("{} {what}", units::count(n as u64))).collect();
    if said.is_empty() { "–".to_owned() } else { said.join(", ") }
}
