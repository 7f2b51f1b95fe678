//! Which row of one hop is which request's: by the ids of both, then by the client's port; every match must
//! agree in time as well, for ids are used again. Several rows of one request are tries. Rows in = rows
//! joined + rows left over, each with its reason. This file must not know products.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Result;

use super::place;
use super::zone;
use crate::clock::UnixNs;
use crate::correlate::clocks::{Beside, Map, Maps, Pairs};
use crate::correlate::ids::candidates;
use crate::correlate::keys::Keys;
use crate::record::correlated::Within;
use crate::record::hop::Completeness;
use crate::record::hops::{FoundBy, HopSummary, Passage};
use crate::record::{HopRow, RequestRow, Status};

/// Of the rows with a request's id, those whose clock shows a time so far from the others' are of other
/// requests: ids are used again.
const SAME_RUN_S: f64 = 10.0;
/// Stamps of one clock and of another host's, mapped, may disagree by so much with what caused what.
const TOLERANCE_S: f64 = 0.005;

/// Whose a row is; `Err`: its ids name several requests.
pub type Found = Option<Result<(usize, FoundBy), ()>>;

/// The requests by everything that can name them.
pub struct RequestKeys {
    sent: Keys,
    answered: Keys,
    body: Keys,
    trace: Keys,
}

impl RequestKeys {
    pub fn new(requests: &[RequestRow]) -> Result<Self> {
        let of = |key: fn(&RequestRow) -> &str| Keys::new((0..).zip(requests).map(|(i, r)| (key(r), i)));
        Ok(Self {
            sent: of(|r| &r.request_id)?,
            answered: Keys::new(
                (0..).zip(requests).flat_map(|(i, r)| r.answered_ids().map(move |id| (id, i))),
            )?,
            body: of(|r| r.response_id.as_deref().unwrap_or_default())?,
            trace: of(|r| &r.trace_id)?,
        })
    }

    /// Whose each row is, by its likeliest id that names a request; `Err` where an id names several.
    fn find(&self, rows: &[&HopRow]) -> Result<Vec<Found>> {
        let mut found = vec![None; rows.len()];
        let mut look = |keys: &Keys, by: FoundBy, ids: &dyn Fn(&HopRow) -> Vec<String>| -> Result<()> {
            let asks: Vec<(u32, String)> =
                (0..).zip(rows).flat_map(|(i, row)| ids(row).into_iter().map(move |id| (i, id))).collect();
            for hit in keys.find(asks.iter().map(|(i, id)| (*i, id.as_str())))? {
                let Some(slot) = found.get_mut(hit.asker as usize) else { continue };
                match (&*slot, hit.row) {
                    (Some(Ok(_)), _) | (Some(Err(())), None) => {}
                    (_, Some(row)) => *slot = Some(Ok((row as usize, by))),
                    (None, None) => *slot = Some(Err(())),
                }
            }
            Ok(())
        };
        let forms = |id: &Option<String>| -> Vec<String> {
            id.iter().flat_map(|id| candidates(id)).map(str::to_owned).collect()
        };
        let plain = |id: &Option<String>| -> Vec<String> { id.iter().cloned().collect() };
        look(&self.sent, FoundBy::RequestId, &|r| plain(&r.request_id))?;
        look(&self.answered, FoundBy::AnswerId, &|r| [plain(&r.own_id), plain(&r.request_id)].concat())?;
        look(&self.body, FoundBy::ResponseId, &|r| [plain(&r.response_id), plain(&r.own_id)].concat())?;
        look(&self.trace, FoundBy::TraceId, &|r| plain(&r.trace_id))?;
        // A server makes the body's id of the one that it got.
        look(&self.sent, FoundBy::ResponseId, &|r| forms(&r.response_id))?;
        Ok(found)
    }
}

/// One hop's passages, in the order of the requests, and how they were found.
pub fn one(
    requests: &[RequestRow],
    keys: &RequestKeys,
    name: &str,
    rows: &[&HopRow],
    beside: Beside<'_>,
) -> Result<(Vec<Option<Passage>>, HopSummary)> {
    let mut summary = HopSummary {
        name: name.to_owned(),
        product: rows.first().map(|r| r.product.clone()).unwrap_or_default(),
        rows: rows.len(),
        ..HopSummary::default()
    };
    let mut found = keys.find(rows)?;
    by_lone_port(requests, rows, &mut found);
    let mut own: Vec<HopRow> = rows.iter().map(|row| (*row).clone()).collect();
    if let Some(minutes) = zone::minutes(requests, &own, &found) {
        for row in &mut own {
            zone::shift(row, minutes);
        }
        summary.zone_minutes = Some(minutes);
    }
    let (maps, clocks) = Maps::new(requests, |rank| pairs(requests, &own, &found, rank), beside, None);
    summary.clocks = clocks;
    by_port_and_time(requests, &own, &maps, &mut found);

    let mut tries: HashMap<usize, Vec<(usize, FoundBy)>> = HashMap::new();
    let mut other_time: HashMap<usize, usize> = HashMap::new();
    let ends = span_of(requests);
    for (i, row) in own.iter().enumerate() {
        let reason = match found.get(i).copied().flatten() {
            Some(Ok((index, by))) => match requests.get(index) {
                Some(request) if fits(request, row, maps.of(request)) => {
                    tries.entry(index).or_default().push((i, by));
                    continue;
                }
                _ => {
                    *other_time.entry(index).or_default() += 1;
                    "their id is a request's, their time is not"
                }
            },
            Some(Err(())) => "ambiguous: several requests have their id",
            None => why_left(row, requests, &maps.reference, ends),
        };
        *summary.leftovers.entry(reason.to_owned()).or_default() += 1;
    }

    let mut passages = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        if !request.passes_hops() {
            passages.push(None);
            continue;
        }
        summary.requests += 1;
        let Some(of_request) = tries.get(&index) else {
            let reason = why_not(request, other_time.contains_key(&index), rows.is_empty());
            *summary.unjoined.entry(reason.to_owned()).or_default() += 1;
            passages.push(None);
            continue;
        };
        // The client got the answer of the last try that was not given up.
        let last =
            of_request.iter().filter_map(|(i, by)| Some((own.get(*i)?, *by))).max_by_key(|(row, _)| {
                (row.status.is_some_and(|status| status < 500), row.end_unix_ns.or(row.start_unix_ns))
            });
        let Some((row, by)) = last else {
            passages.push(None);
            continue;
        };
        summary.joined += 1;
        *summary.by.entry(by.name()).or_default() += 1;
        let distinct = distinct(of_request.iter().filter_map(|(i, _)| own.get(*i)));
        let same = of_request.len() - distinct;
        if same > 0 {
            *summary.leftovers.entry("the same line once more".to_owned()).or_default() += same;
        }
        let again = distinct > 1 || row.attempts.is_some_and(|n| n > 1) || row.tries.len() > 1;
        summary.tried_again += usize::from(again);
        if let Some(differ) = ends_differ(request, row) {
            *summary.ends.entry(differ).or_default() += 1;
        }
        let before = tries_before(of_request.iter().filter_map(|(i, _)| own.get(*i)), row);
        let passage = place::passage(request, row, distinct, by, maps.of(request));
        passages.push(Some(Passage { tries_before: before, ..passage }));
    }
    Ok((passages, summary))
}

/// What the rows show of the hop's clock.
fn pairs(requests: &[RequestRow], rows: &[HopRow], found: &[Found], rank: Option<u32>) -> Pairs {
    let mut pairs = Pairs::default();
    let same_run = zone::same_run(requests, rows, found, SAME_RUN_S);
    for ((row, found), _) in rows.iter().zip(found).zip(same_run).filter(|(_, same)| *same) {
        if let Some(Ok((request, _))) = found
            && let Some(request) = requests.get(*request)
            && (rank.is_none() || request.rank == rank)
        {
            place::pairs(request, row, &mut pairs);
        }
    }
    pairs
}

/// Where a port names one request and one row, they belong together, whatever the clocks show.
fn by_lone_port(requests: &[RequestRow], rows: &[&HopRow], found: &mut [Found]) {
    let once = |ports: &mut dyn Iterator<Item = (usize, u16)>| -> HashMap<u16, Option<usize>> {
        let mut by_port: HashMap<u16, Option<usize>> = HashMap::new();
        for (i, port) in ports {
            by_port.entry(port).and_modify(|one| *one = None).or_insert(Some(i));
        }
        by_port
    };
    // What came by the port of a request that a row names by an id is not the request's.
    let named: HashSet<usize> = found.iter().filter_map(|found| Some((*found)?.ok()?.0)).collect();
    let passing = requests.iter().enumerate().filter(|(_, r)| r.passes_hops());
    let ours = once(&mut passing.filter_map(|(i, r)| Some((i, r.local_port?))));
    let theirs = once(&mut rows.iter().enumerate().filter_map(|(i, r)| Some((i, port_of(r)?))));
    for (port, row) in theirs {
        if let (Some(row), Some(Some(request))) = (row, ours.get(&port))
            && !named.contains(request)
            && let Some(slot @ (None | Some(Err(())))) = found.get_mut(row)
        {
            *slot = Some(Ok((*request, FoundBy::Address)));
        }
    }
}

/// Kept connections have one port for many requests: the time tells them apart.
fn by_port_and_time(requests: &[RequestRow], rows: &[HopRow], maps: &Maps, found: &mut [Found]) {
    let map = &maps.reference;
    if !map.compares() {
        return;
    }
    let by_id = |(row, found): (&HopRow, &Found)| {
        let (i, by) = (*found)?.ok()?;
        (by != FoundBy::Address && fits(requests.get(i)?, row, maps.of(requests.get(i)?))).then_some(i)
    };
    let named: HashSet<usize> = rows.iter().zip(&*found).filter_map(by_id).collect();
    let of_ports = ByPort::new(requests, &named);
    for (row, slot) in rows.iter().zip(found) {
        if matches!(slot, Some(Ok(_))) {
            continue;
        }
        let (Some(port), Some(start)) = (port_of(row), place::start(row, map)) else { continue };
        let mut fitting: Vec<(f64, usize)> = of_ports
            .around(port, start)
            .filter_map(|i| {
                Some((i, requests.get(i).filter(|request| fits(request, row, maps.of(request)))?))
            })
            .map(|(i, request)| {
                let middle = UnixNs(start.lo_unix_ns.0.midpoint(start.hi_unix_ns.0));
                (middle.seconds_since(sent(request)).abs(), i)
            })
            .collect();
        fitting.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Requests of one connection follow each other: the next may begin as the last one ends.
        let nearest = match fitting.as_slice() {
            [only] => Some(only),
            [first, second, ..] => (first.0 * 2.0 < second.0).then_some(first),
            [] => None,
        };
        *slot = nearest.map_or(*slot, |(_, i)| Some(Ok((*i, FoundBy::Address))));
    }
}

/// The requests of each port, in the order of sending: when, the latest end up to here, and which.
struct ByPort(HashMap<u16, Vec<(UnixNs, UnixNs, usize)>>);

impl ByPort {
    fn new(requests: &[RequestRow], named: &HashSet<usize>) -> Self {
        let mut by_port: HashMap<u16, Vec<(UnixNs, UnixNs, usize)>> = HashMap::new();
        for (i, request) in requests.iter().enumerate() {
            if let Some(port) = request.local_port.filter(|_| request.passes_hops() && !named.contains(&i)) {
                by_port.entry(port).or_default().push((sent(request), request.done_unix_ns, i));
            }
        }
        // Two hosts may have used one port at one time.
        by_port.retain(|_, of_port| {
            let mut ranks = of_port.iter().map(|(.., i)| requests.get(*i).and_then(|r| r.rank));
            let first = ranks.next();
            ranks.all(|rank| Some(rank) == first)
        });
        for of_port in by_port.values_mut() {
            of_port.sort_unstable();
            let mut latest = UnixNs(i64::MIN);
            for (_, done, _) in of_port {
                latest = latest.max(*done);
                *done = latest;
            }
        }
        Self(by_port)
    }

    /// Those that may have been under way then.
    fn around(&self, port: u16, start: Within) -> impl Iterator<Item = usize> {
        let of_port = self.0.get(&port).map(Vec::as_slice).unwrap_or_default();
        let (from, to) =
            (start.lo_unix_ns.plus_seconds(-TOLERANCE_S), start.hi_unix_ns.plus_seconds(TOLERANCE_S));
        let begun = of_port.partition_point(|(sent, ..)| *sent <= to);
        let of_then = of_port.get(..begun).unwrap_or_default().iter().rev();
        of_then.take_while(move |(_, latest, _)| *latest >= from).map(|(.., i)| *i)
    }
}

/// The client's port, of a row that may be a request's.
fn port_of(row: &HopRow) -> Option<u16> {
    row.path.as_deref().is_none_or(|path| path.contains("/completions")).then_some(())?;
    row.client.as_ref()?.rsplit_once(':')?.1.parse().ok()
}

/// Whether the hop can have begun with the request while the client waited for it. Where its clock cannot be
/// compared, nothing speaks against it.
fn fits(request: &RequestRow, row: &HopRow, map: &Map) -> bool {
    let Some(start) = place::start(row, map) else { return true };
    let sent = sent(request).plus_seconds(-TOLERANCE_S);
    let done = request.done_unix_ns.plus_seconds(TOLERANCE_S);
    start.lo_unix_ns <= done && sent <= start.hi_unix_ns
}

fn sent(request: &RequestRow) -> UnixNs {
    request.send_begin_unix_ns.unwrap_or(request.started_unix_ns)
}

/// From the first request's start to the last one's end.
fn span_of(requests: &[RequestRow]) -> Option<(UnixNs, UnixNs)> {
    let begin = requests.iter().map(|r| r.started_unix_ns).min()?;
    Some((begin, requests.iter().map(|r| r.done_unix_ns).max()?))
}

fn why_left(
    row: &HopRow,
    requests: &[RequestRow],
    map: &Map,
    ends: Option<(UnixNs, UnixNs)>,
) -> &'static str {
    let api = |path: &str| path.contains("/completions") || requests.is_empty();
    if row.path.as_deref().is_some_and(|path| !api(path)) {
        return "of another path (health checks, metrics, models)";
    }
    if let (Some(start), Some((begin, end))) = (place::start(row, map), ends)
        && (start.hi_unix_ns < begin || start.lo_unix_ns > end)
    {
        return "before or after the measured requests (warm-ups, other runs)";
    }
    let named = row.request_id.is_some() || row.response_id.is_some() || row.trace_id.is_some();
    if named { "their ids are no request's" } else { "they have no id, and no port and time of a request's" }
}

fn why_not(request: &RequestRow, other_time: bool, no_rows: bool) -> &'static str {
    if no_rows {
        "the hop's log tells of no request"
    } else if request.status == Status::ConnectError {
        "it never reached the hop: no connection"
    } else if other_time {
        "a line has its id, but lies outside the request's time"
    } else {
        "no line has its ids, or its port at its time"
    }
}

/// How the client's answer ended and what the hop says, where the two differ.
fn ends_differ(request: &RequestRow, row: &HopRow) -> Option<String> {
    let whole = request.status == Status::Ok;
    let says = row.completeness;
    let well = row.status.is_none_or(|status| status < 400);
    let differ = match says {
        Completeness::Complete => !whole && well && request.status != Status::HttpError,
        Completeness::Cut | Completeness::Aborted => whole,
        Completeness::Unknown => request.status == Status::Cut && well,
    };
    let status = row.status.map(|status| format!(", status {status}")).unwrap_or_default();
    differ.then(|| format!("client: {}, hop: {}{status}", request.status.as_str(), says.as_str()))
}

/// Of a request's rows those that failed before `answered` began: how many, and how long before it the first of them
/// began. That a request was here twice and answered twice is how some routers work: prefill here, decode there.
fn tries_before<'a>(rows: impl Iterator<Item = &'a HopRow>, answered: &HopRow) -> Option<(usize, f64)> {
    let begun = answered.start_unix_ns?;
    let failed = |row: &&HopRow| {
        row.status.is_none_or(|status| status >= 400)
            || matches!(row.completeness, Completeness::Cut | Completeness::Aborted)
    };
    let failed = rows.filter(|row| row.path == answered.path).filter(failed);
    // A line that stands there twice tells of one try.
    let starts: BTreeSet<UnixNs> =
        failed.filter_map(|row| row.start_unix_ns.filter(|start| *start < begun)).collect();
    Some((starts.len(), begun.seconds_since(*starts.first()?)))
}

/// How many of these rows differ in more than where they stood: a log that is given twice, or that a
/// collector repeats, tells of no second try.
fn distinct<'a>(rows: impl Iterator<Item = &'a HopRow>) -> usize {
    let mut seen: Vec<HopRow> = Vec::new();
    for row in rows {
        let alike = HopRow { source: String::new(), line_no: 0, read_unix_ns: None, ..row.clone() };
        if !seen.contains(&alike) {
            seen.push(alike);
        }
    }
    seen.len()
}
