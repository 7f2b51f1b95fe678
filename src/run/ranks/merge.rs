//! The shards of one run as one run folder: every host's rows on one axis, the server's side once. From it
//! report, page and figures are made as from any run. A shard that is not there is named, wherever the merged
//! run is looked at. This file must not know how ranks met.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::super::recompute::{Recomputed, recompute_in};
use super::super::{target, unusable};
use super::align::{self, Placed};
use super::sums;
use crate::clock::UnixNs;
use crate::error::{Explain as _, Failure, broken, usage};
use crate::record::selection::Selection;
use crate::record::shard::{self, Merged, MergedHost, Shard};
use crate::record::{EventRow, Finished, RequestRow};
use crate::secrets::Secrets;
use crate::store::append::ROWS_AT_ONCE;
use crate::store::manifest::{RunState, StageCounts};
use crate::store::{Events, Manifest, RunData, RunFolder, RunWriter};

/// So many requests are written at once.
const AT_ONCE: usize = 512;

/// The shards to merge.
#[derive(Clone, Debug, Default)]
pub struct ToMerge {
    pub shards: Vec<PathBuf>,
    /// `None`: the shards' own.
    pub name: Option<String>,
    /// `None`: beside the first shard.
    pub output: Option<PathBuf>,
    pub overwrite: bool,
}

/// A merged run, and its report.
pub struct MergedRun {
    pub folder: PathBuf,
    pub recomputed: Recomputed,
    /// Why it is not the whole run, if it is not.
    pub lacking: Option<Failure>,
}

/// One shard, read.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) shard: Shard,
    pub(super) data: RunData,
    /// No one writes into it meanwhile.
    _folder: RunFolder,
}

impl Part {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let folder = RunFolder::open_to_write(path).map_err(unusable)?;
        let manifest = Manifest::read(&folder)?;
        let shard = manifest.extra.get(shard::SHARD).and_then(|value| Shard::deserialize(value).ok());
        let Some(shard) = shard else {
            return Err(usage(format!("{} is no shard of a run of several ranks", path.display()))
                .hint("`tare compare` sets runs of one process side by side")
                .into());
        };
        let data = RunData::read(&folder)?;
        Ok(Self { path: path.to_owned(), shard, data, _folder: folder })
    }

    pub(super) fn rank(&self) -> u32 {
        self.shard.share.rank
    }

    /// Rank and host, for people.
    pub(super) fn who(&self) -> String {
        match &self.data.manifest.host.hostname {
            Some(host) => format!("rank {} ({host})", self.rank()),
            None => format!("rank {}", self.rank()),
        }
    }
}

/// Merges the shards into a run folder and reports it.
pub fn merge(given: &ToMerge) -> anyhow::Result<MergedRun> {
    let parts = read_all(&given.shards)?;
    let first = parts.first().ok_or_else(|| usage("no shards were given"))?;
    let world = first.shard.share.world;
    let here: Vec<u32> = parts.iter().map(Part::rank).collect();
    let missing: Vec<u32> = (0..world).filter(|rank| !here.contains(rank)).collect();
    let server = target::known(&first.data.manifest.target.server)?;
    let placed = align::place(&parts, server)?;

    let beside = given.shards.first().and_then(|path| path.parent()).unwrap_or(Path::new("."));
    let path = given.output.clone().unwrap_or_else(|| beside.join("merged"));
    let folder = RunFolder::create(&path, given.overwrite).map_err(unusable)?;
    let mut manifest = describe(&parts, &placed, &missing)?;
    if let Some(name) = &given.name {
        manifest.name.clone_from(name);
    }
    let lacking = lacking(&parts, world, &missing);
    write(&folder, &parts, &placed).or_usage("the output folder cannot be written to")?;
    manifest.write(&folder)?;
    // What they held is in the merged run now.
    drop(parts);
    let recomputed = recompute_in(&folder, Selection::All)?.whole(&path)?;
    Ok(MergedRun { folder: path, recomputed, lacking })
}

/// All shards by rank: of one run, each once.
fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for path in paths {
        let same = |other: &Part| {
            let real = |path: &Path| std::fs::canonicalize(path).ok();
            real(&other.path).is_some() && real(&other.path) == real(path)
        };
        // Given twice, it could not be locked twice.
        if parts.iter().any(same) {
            return Err(usage(format!("{} is given twice", path.display()))
                .hint("give each shard once")
                .into());
        }
        parts.push(Part::read(path)?);
    }
    parts.sort_by_key(Part::rank);
    for pair in parts.windows(2) {
        let [a, b] = pair else { continue };
        let (shown_a, shown_b) = (a.path.display(), b.path.display());
        if a.shard.run_id != b.shard.run_id {
            return Err(usage(format!(
                "{shown_a} is of the run {}, and {shown_b} of the run {}",
                a.shard.run_id, b.shard.run_id
            ))
            .hint("merge the shards of one run; those of another may lie in the same folder")
            .into());
        }
        if a.shard.digest != b.shard.digest || a.shard.share.world != b.shard.share.world {
            return Err(usage(format!("{shown_a} and {shown_b} were given different loads"))
                .hint("their manifests say which; all ranks need the same configuration, flags and dataset")
                .into());
        }
        if a.rank() == b.rank() {
            return Err(usage(format!("{shown_a} and {shown_b} are both of rank {}", a.rank()))
                .hint("give each rank's shard once")
                .into());
        }
    }
    Ok(parts)
}

/// What makes this less than the run that was asked for.
fn lacking(parts: &[Part], world: u32, missing: &[u32]) -> Option<Failure> {
    let mut said = Vec::new();
    said.extend(missing_in_words(missing, world));
    said.extend(cut_short(parts));
    (!said.is_empty()).then(|| {
        broken(format!("the merged run is not the whole run: {}", said.join("; ")))
            .hint("what is there is merged and reported")
    })
}

/// Ranks that did not come to their end.
fn cut_short(parts: &[Part]) -> impl Iterator<Item = String> {
    parts.iter().filter_map(|part| {
        let how = match part.data.manifest.state {
            RunState::Finished => return None,
            RunState::Running => "was killed",
            RunState::Interrupted => "was interrupted",
            RunState::Failed => "failed",
        };
        Some(format!("{} {how}", part.who()))
    })
}

fn missing_in_words(missing: &[u32], world: u32) -> Option<String> {
    let list: Vec<String> = missing.iter().map(u32::to_string).collect();
    let (shards, are) = if missing.len() == 1 { ("shard of rank", "is") } else { ("shards of ranks", "are") };
    (!missing.is_empty())
        .then(|| format!("the {shards} {} (of {world} ranks) {are} MISSING", list.join(", ")))
}

/// The manifest of the whole.
fn describe(parts: &[Part], placed: &[Placed], missing: &[u32]) -> anyhow::Result<Manifest> {
    let first = parts.first().ok_or_else(|| usage("no shards were given"))?;
    let world = first.shard.share.world;
    let mut manifest = first.data.manifest.clone();
    for key in [shard::SHARD, crate::record::own::KEY] {
        manifest.extra.remove(key);
    }
    for key in ["output", "overwrite"] {
        if let Some(map) = manifest.config.as_object_mut() {
            map.remove(key);
        }
    }
    (manifest.warnings, manifest.notes) = (Vec::new(), Vec::new());
    manifest.warnings.extend(missing_in_words(missing, world).map(|said| {
        format!(
            "{said}: everything here is of the others alone, and no rate, count or sum is that of the run"
        )
    }));
    manifest.warnings.extend(
        cut_short(parts)
            .map(|said| format!("{said}: what it would still have sent is in no count and no rate")),
    );
    let killed = parts.iter().filter_map(|part| Some(format!("{}: {}", part.who(), part.data.unended()?)));
    manifest.warnings.extend(killed);
    manifest.warnings.extend(by_whom(parts, |part| part.data.manifest.warnings.clone()));
    manifest.warnings.extend(placed.iter().filter_map(|placed| placed.warning.clone()));
    manifest.notes.extend(by_whom(parts, |part| {
        let mut notes = part.data.manifest.notes.clone();
        notes.extend(part.data.complaints());
        notes.retain(|note| [true, false].iter().all(|observes| note != super::who_observes(*observes)));
        notes
    }));
    manifest.notes.extend(placed.iter().filter_map(|placed| placed.note.clone()));
    let left: usize = parts.iter().skip(1).map(server_rows).sum();
    if left > 0 {
        manifest.note(format!(
            "{left} records of the server's side in other shards are left out: the first rank's are of all"
        ));
    }
    manifest.state =
        parts.iter().map(|part| part.data.manifest.state).fold(RunState::Finished, |all, one| {
            match (all, one) {
                (all, RunState::Finished) => all,
                // Nobody writes here: those who were killed are named.
                (_, RunState::Running | RunState::Failed) => RunState::Failed,
                (all, RunState::Interrupted) => {
                    if all == RunState::Failed {
                        all
                    } else {
                        RunState::Interrupted
                    }
                }
            }
        });
    let hosts: Vec<MergedHost> =
        parts.iter().zip(placed).map(|(part, placed)| host(part, placed, first)).collect();
    let shifted = |at: UnixNs, placed: &Placed| UnixNs(at.0.saturating_sub(placed.shift_ns));
    let all = || parts.iter().zip(placed);
    manifest.created_unix_ns =
        all().map(|(p, at)| shifted(p.data.manifest.created_unix_ns, at)).min().unwrap_or_default();
    manifest.ended_unix_ns =
        all().filter_map(|(p, at)| Some(shifted(p.data.manifest.ended_unix_ns?, at))).max();
    let mut counts: BTreeMap<String, StageCounts> = first.data.manifest.counts.clone();
    for part in parts.iter().skip(1) {
        for stage in ["requests", "events"] {
            let more = part.data.manifest.counts.get(stage).copied().unwrap_or_default();
            let sum = counts.entry(stage.to_owned()).or_default();
            sum.rows_in += more.rows_in;
            sum.rows_out += more.rows_out;
            sum.bad += more.bad;
        }
    }
    manifest.counts = counts;
    let loads: Vec<_> = all()
        .filter_map(|(part, placed)| Some((part.data.manifest.extra.get("load")?, placed.shift_ns)))
        .collect();
    if let Some(load) = sums::loads(&loads) {
        manifest.extra.insert("load".to_owned(), load);
    }
    let merged = Merged { run_id: first.shard.run_id.clone(), world, missing: missing.to_vec(), hosts };
    manifest.extra.insert(shard::MERGED.to_owned(), serde_json::to_value(merged)?);
    Ok(manifest)
}

fn host(part: &Part, placed: &Placed, first: &Part) -> MergedHost {
    let manifest = &part.data.manifest;
    let shard = &part.shard;
    let one_boot = shard.boot.is_some() && shard.boot == first.shard.boot;
    let skew = shard.own_start_unix_ns.zip(first.shard.own_start_unix_ns).map(|(own, reference)| {
        UnixNs(own.0.saturating_sub(placed.shift_ns)).seconds_since(reference)
            + shard.ready_late_s.unwrap_or(0.0)
    });
    MergedHost {
        rank: part.rank(),
        hostname: manifest.host.hostname.clone(),
        pid: shard.pid,
        folder: part.path.display().to_string(),
        state: serde_json::to_value(manifest.state)
            .ok()
            .and_then(|state| state.as_str().map(str::to_owned))
            .unwrap_or_default(),
        ahead: placed.ahead,
        shifted_by_ns: placed.shift_ns,
        aligned_by: placed.by,
        // Elsewhere the server's clock would have to be set beside the first's as well.
        same_host: manifest.target.same_host && (part.rank() == first.rank() || one_boot),
        ready_late_s: shard.ready_late_s,
        start_skew_s: skew,
        own: super::super::recompute::own_of(manifest),
    }
}

fn server_rows(part: &Part) -> usize {
    let data = &part.data;
    data.scrapes.rows.len()
        + data.log.rows.len()
        + data.spans.rows.len()
        + data.stat_log.rows.len()
        + data.hops.rows.len()
}

/// What several say is said once, with who says it where not all do.
fn by_whom(parts: &[Part], of: impl Fn(&Part) -> Vec<String>) -> Vec<String> {
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for part in parts {
        for text in of(part) {
            match said.iter_mut().find(|(known, _)| *known == text) {
                Some((_, who)) => who.push(part.who()),
                None => said.push((text, vec![part.who()])),
            }
        }
    }
    let all = parts.len();
    said.into_iter()
        .map(|(text, who)| if who.len() == all { text } else { format!("{}: {text}", who.join(", ")) })
        .collect()
}

/// The rows of all, each on the first's axis; the server's side as the first rank has it.
fn write(folder: &RunFolder, parts: &[Part], placed: &[Placed]) -> anyhow::Result<()> {
    let mut writer = RunWriter::create(folder, &Secrets::default())?;
    let all = || parts.iter().zip(placed);
    let mut begun: Vec<_> = all()
        .flat_map(|(part, placed)| {
            part.data.begun.rows.iter().cloned().map(move |mut row| {
                row.begun_unix_ns = UnixNs(row.begun_unix_ns.0.saturating_sub(placed.shift_ns));
                row
            })
        })
        .collect();
    begun.sort_by_key(|row| row.begun_unix_ns);
    writer.begun(&begun)?;
    let mut order: Vec<(UnixNs, usize, usize)> = all()
        .enumerate()
        .flat_map(|(p, (part, placed))| {
            part.data
                .requests
                .rows
                .iter()
                .enumerate()
                .map(move |(r, row)| (UnixNs(row.done_unix_ns.0.saturating_sub(placed.shift_ns)), p, r))
        })
        .collect();
    order.sort_unstable();
    for some in order.chunks(AT_ONCE) {
        // Those that ended together lie together in each part's file.
        let mut ids: Vec<HashSet<&str>> = vec![HashSet::new(); parts.len()];
        for (_, p, r) in some {
            if let (Some(ids), Some(row)) = (ids.get_mut(*p), row_of(parts, *p, *r)) {
                ids.insert(&row.request_id);
            }
        }
        let read = |(part, ids): (&Part, &HashSet<&str>)| part.data.events.of_these(ids);
        let events: Vec<Events> = parts.iter().zip(&ids).map(read).collect::<anyhow::Result<_>>()?;
        let finished: Vec<Finished> = some
            .iter()
            .filter_map(|(_, p, r)| finished(parts.get(*p)?, placed.get(*p)?, *r, events.get(*p)?))
            .collect();
        writer.finished(&finished)?;
    }
    if let Some(first) = parts.first() {
        let data = &first.data;
        data.scrapes.rows.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.scrapes(rows))?;
        data.log.rows.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.logs(rows))?;
        data.spans.rows.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.spans(rows))?;
        data.stat_log.rows.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.stats(rows))?;
        data.hops.rows.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.hops(rows))?;
        let set = first.path.join(crate::store::folder::REQUEST_SET);
        if set.is_file() {
            std::fs::copy(&set, folder.request_set())?;
        }
    }
    writer.end().map(drop)
}

fn row_of(parts: &[Part], part: usize, at: usize) -> Option<&RequestRow> {
    parts.get(part)?.data.requests.rows.get(at)
}

/// A request with its events, on the first's axis.
fn finished(part: &Part, placed: &Placed, at: usize, events: &Events) -> Option<Finished> {
    let mut row = part.data.requests.rows.get(at)?.clone();
    row.rank = Some(part.rank());
    align::shift(&mut row, placed.shift_ns);
    let set = |at: UnixNs| UnixNs(at.0.saturating_sub(placed.shift_ns));
    let events =
        events.of(&row.request_id).unwrap_or_default().filter_map(|n| events.row(n)).map(|event| EventRow {
            stamp_lo_unix_ns: set(event.stamp_lo_unix_ns),
            stamp_hi_unix_ns: set(event.stamp_hi_unix_ns),
            user_unix_ns: set(event.user_unix_ns),
            ..event
        });
    let events = events.collect();
    Some(Finished { row, events, place: None })
}
