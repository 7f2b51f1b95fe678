//! Several ranks: each host's row, what is said on top of a part of a run or of a merged one, and the section
//! of `summary.json`. This file must not know how clocks were aligned.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize as _, Serialize};

use super::Report;
use super::tables::Table;
use crate::record::shard::{self, AlignedBy, HostRow, Merged, Shard};
use crate::record::{JoinedRow, RequestRow, Status};
use crate::stats::many::{Many, Values};
use crate::store::{Manifest, RunEvents};
use crate::units;

/// Of a host, a p99 over this is worth a warning.
const LATE_S: f64 = 1e-3;
/// As is a start so much beside the others'.
const SKEW_S: f64 = 0.1;

/// Which ranks a folder is of, for programs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ranks<'a> {
    run_id: String,
    world: u32,
    /// Of a part: which; null for the merged run.
    rank: Option<u32>,
    missing: Vec<u32>,
    hosts: &'a [HostRow],
}

/// `None` of a run of one process.
pub(super) fn ranks<'a>(report: &Report<'a>) -> Option<Ranks<'a>> {
    let hosts = report.summary.hosts.as_slice();
    if let Some(merged) = merged(report.manifest) {
        let Merged { run_id, world, missing, .. } = merged;
        return Some(Ranks { run_id, world, rank: None, missing, hosts });
    }
    let shard = part(report.manifest)?;
    let (rank, world) = (Some(shard.share.rank), shard.share.world);
    Some(Ranks { run_id: shard.run_id, world, rank, missing: Vec::new(), hosts })
}

fn merged(manifest: &Manifest) -> Option<Merged> {
    Merged::deserialize(manifest.extra.get(shard::MERGED)?).ok()
}

fn part(manifest: &Manifest) -> Option<Shard> {
    Shard::deserialize(manifest.extra.get(shard::SHARD)?).ok()
}

/// A row a host of a merged run, from the rows that are reported.
pub fn rows(manifest: &Manifest, rows: &[JoinedRow], events: &RunEvents) -> anyhow::Result<Vec<HostRow>> {
    let Some(merged) = merged(manifest) else { return Ok(Vec::new()) };
    let mut by_rank: BTreeMap<u32, Vec<&RequestRow>> = BTreeMap::new();
    for row in rows {
        if let Some(rank) = row.client.rank {
            by_rank.entry(rank).or_default().push(&row.client);
        }
    }
    let lags = lags(rows, events)?;
    let hosts = merged
        .hosts
        .iter()
        .map(|host| {
            let own = by_rank.remove(&host.rank).unwrap_or_default();
            let count = |of: fn(Status) -> bool| own.iter().filter(|r| of(r.status)).count();
            let late: Vec<f64> =
                own.iter().map(|r| r.started_unix_ns.seconds_since(r.scheduled_unix_ns)).collect();
            let used = host.own.as_ref().and_then(|own| {
                let s = own.duration_s();
                Some((own.user_s? + own.system_s?) / s).filter(|_| s > 0.0)
            });
            HostRow {
                rank: host.rank,
                hostname: host.hostname.clone(),
                requests: own.len(),
                ok: count(|status| status == Status::Ok),
                failed: count(Status::is_failure),
                offset_s: host.shifted_by_ns as f64 / 1e9,
                offset_bound_s: host.ahead.map(shard::Ahead::reach_s),
                aligned_by: host.aligned_by,
                start_skew_s: host.start_skew_s,
                lateness_p99_s: p99(&Values::Kept(late)),
                client_lag_p99_s: lags.get(&host.rank).and_then(p99),
                cpus_used: used,
            }
        })
        .collect();
    Ok(hosts)
}

/// User stamp − kernel stamp, where both are there, of each rank.
fn lags(rows: &[JoinedRow], events: &RunEvents) -> anyhow::Result<BTreeMap<u32, Values>> {
    let ranks = rows.iter().filter_map(|row| Some((row.client.request_id.as_str(), row.client.rank?)));
    let ranks: HashMap<&str, u32> = ranks.collect();
    let mut lags: BTreeMap<u32, Many> = BTreeMap::new();
    events.each(|id, part| {
        let Some(rank) = ranks.get(id) else { return };
        // Only a quantile is asked for: when each came is all the same.
        let lags = lags.entry(*rank).or_insert_with(|| Many::new(0, 0));
        for (user, kernel) in part.user_unix_ns.iter().zip(part.stamp_hi_unix_ns) {
            if user != kernel {
                lags.push(0, user.saturating_sub(*kernel));
            }
        }
    })?;
    Ok(lags.into_iter().map(|(rank, lags)| (rank, lags.values(1e9))).collect())
}

fn p99(values: &Values) -> Option<f64> {
    values.quantiles([0.99]).map(|[p99]| p99)
}

/// Of a part of a run, that it is one: before anything else.
pub(super) fn part_of(report: &Report<'_>) -> Option<String> {
    let shard = part(report.manifest)?;
    let counted = if shard.observes { ", while the server's counts and means are of all ranks" } else { "" };
    Some(format!(
        "this is the part of rank {} of {}, not the run: its rates, counts and concurrency are a share of what was asked for{counted}; `tare correlate` of all shards makes the run of them",
        shard.share.rank, shard.share.world,
    ))
}

/// What a reader must know of the hosts of a merged run before any number.
pub(super) fn warnings(report: &Report<'_>) -> Vec<String> {
    let mut said = Vec::new();
    for host in &report.summary.hosts {
        let late = [host.lateness_p99_s, host.client_lag_p99_s].map(|s| s.filter(|s| *s > LATE_S));
        if let [Some(_), _] | [_, Some(_)] = late {
            let shown = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), units::seconds);
            said.push(format!(
                "{} was late itself: requests started {} after their time (p99), tokens waited {} for the program (p99)",
                who(host),
                shown(host.lateness_p99_s),
                shown(host.client_lag_p99_s)
            ));
        }
        if let Some(skew) = host.start_skew_s.filter(|skew| skew.abs() > SKEW_S) {
            said.push(format!(
                "{} began {} {} the first rank: the load was not quite that of one process",
                who(host),
                units::seconds(skew.abs()),
                if skew > 0.0 { "after" } else { "before" }
            ));
        }
    }
    said
}

fn who(host: &HostRow) -> String {
    match &host.hostname {
        Some(name) => format!("rank {} ({name})", host.rank),
        None => format!("rank {}", host.rank),
    }
}

/// What the folder is a part or a union of.
pub(super) fn facts(report: &Report<'_>) -> Option<(&'static str, String)> {
    if let Some(merged) = merged(report.manifest) {
        let all = if merged.missing.is_empty() { String::new() } else { format!(" of {}", merged.world) };
        return Some(("ranks", format!("{}{all}, run {}", merged.hosts.len(), merged.run_id)));
    }
    let shard = part(report.manifest)?;
    Some((
        "shard",
        format!(
            "rank {} of {} (by {}), run {}",
            shard.share.rank, shard.share.world, shard.from, shard.run_id
        ),
    ))
}

/// One row a host; empty of a run of one process.
pub(super) fn table(report: &Report<'_>) -> Table {
    let hosts = &report.summary.hosts;
    if hosts.is_empty() {
        return Table::default();
    }
    let head = [
        "rank",
        "host",
        "requests",
        "failed",
        "clock − rank 0's",
        "known by",
        "start skew",
        "lateness p99",
        "client lag p99",
        "CPUs",
    ];
    let shown = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), units::seconds);
    let rows = hosts.iter().map(|host| {
        let bound = match (host.aligned_by, host.offset_bound_s) {
            (AlignedBy::Reference, _) => "0".to_owned(),
            (_, Some(bound)) => format!("{} ± {}", units::seconds(host.offset_s), units::seconds(bound)),
            (_, None) => "unknown".to_owned(),
        };
        vec![
            host.rank.to_string(),
            host.hostname.clone().unwrap_or_else(|| "–".to_owned()),
            units::count(host.requests as u64),
            units::count(host.failed as u64),
            bound,
            host.aligned_by.words().to_owned(),
            shown(host.start_skew_s),
            shown(host.lateness_p99_s),
            shown(host.client_lag_p99_s),
            host.cpus_used.map_or_else(|| "–".to_owned(), |used| format!("{used:.2}")),
        ]
    });
    Table {
        title: "Load hosts".to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        below: vec![
            "Each host's rows were set back by its clock's offset, which lies within the bound; the parts of a request are as sure as its own host's pairs with the server make them. Start skew: when the host began its schedule, or could, after the first rank did, clocks aligned.".to_owned(),
        ],
    }
}
