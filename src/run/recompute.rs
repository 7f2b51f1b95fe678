//! From a run folder's raw records to its tables, report and figures; what a run does at its end and
//! `tare report` does again. The same records give the same bytes.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use crate::clock::{Step, UnixNs, on_axis};
use crate::correlate;
use crate::error::{broken, usage};
use crate::ingest::hop_headers;
use crate::plot::{self, PlotData};
use crate::record::audit;
use crate::record::clocks::ClockRelation;
use crate::record::correlated::Correlated;
use crate::record::own::{self, OwnLag};
use crate::record::selection::Selection;
use crate::record::shard::{self, Merged};
use crate::record::slo::Slo;
use crate::record::timeline::Timeline;
use crate::record::waterfall::Chosen;
use crate::record::{HopRow, RequestRow, ToldBy};
use crate::report::{self, FromEvents, Report, Summary, View};
use crate::store::folder::{EVENTS, HOPS, JOINED, LOG, RESULTS, SCRAPES, SPANS, STAT_LOG};
use crate::store::{Manifest, RunData, RunEvents, RunFolder, events_parquet, table};

/// Seeds every interval: the same records give the same figures for ever.
const SEED: u64 = 0;

/// A report, made.
pub struct Recomputed {
    pub manifest: Manifest,
    pub correlated: Correlated,
    pub summary: Summary,
    /// Of an audit: what it found.
    pub audit: Option<audit::Found>,
    pub notes: Vec<String>,
    /// Of the requests that the report is made from.
    pub events: RunEvents,
    /// Of the whole run, whatever the report is made from; `None` without requests.
    pub timeline: Option<Timeline>,
    pub chosen: Vec<Chosen>,
    /// What the figures are drawn from.
    pub figures: PlotData,
    /// Why files of the report could not be written.
    pub unwritten: Vec<anyhow::Error>,
}

impl Recomputed {
    /// Itself, if all of it was written.
    pub fn whole(mut self, folder: &Path) -> anyhow::Result<Self> {
        match self.unwritten_in(folder) {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }

    /// What to say of the files that could not be written, if there are any: no record is lost by it.
    pub fn unwritten_in(&mut self, folder: &Path) -> Option<anyhow::Error> {
        let n = self.unwritten.len();
        let first = self.unwritten.drain(..).next()?;
        let folder = folder.display();
        let said = broken(format!(
            "{n} of the report's files could not be written; every record is kept in {folder}"
        ));
        Some(
            said.caused_by(first)
                .hint(format!("make room, then `tare report {folder}` makes them again"))
                .into(),
        )
    }

    /// As the writers take it.
    pub fn report(&self) -> Report<'_> {
        Report {
            manifest: &self.manifest,
            correlated: &self.correlated,
            summary: &self.summary,
            audit: self.audit.as_ref(),
            notes: &self.notes,
            timeline: self.timeline.as_ref(),
            chosen: &self.chosen,
            outline: correlate::waterfall::outline,
            figures: &self.figures,
        }
    }
}

/// Reads the raw records of `folder` and writes everything that is made from them; an error if any of it
/// cannot be written.
pub fn recompute(folder: &Path) -> anyhow::Result<Recomputed> {
    recompute_within(folder, Selection::All)?.whole(folder)
}

/// The same, with the report and the figures made from the selected requests; the tables of rows hold
/// all of them. What cannot be written is told by [`Recomputed::whole`]: the report can be shown all the same.
pub fn recompute_within(folder: &Path, selection: Selection) -> anyhow::Result<Recomputed> {
    let folder = RunFolder::open_to_write(folder).map_err(super::unusable)?;
    // Left by a run that was killed.
    folder.give_room();
    recompute_in(&folder, selection)
}

/// The same, in a folder that is held already.
pub(super) fn recompute_in(folder: &RunFolder, selection: Selection) -> anyhow::Result<Recomputed> {
    let mut data = RunData::read(folder)?;
    let notes = data.complaints();
    if let Some(unended) = data.unended() {
        data.manifest.warn(unended);
    }
    whole_if_audit(&data.manifest, selection)?;
    // What cannot be written keeps nothing from being made, or shown.
    let mut unwritten = write_tables(folder, &data);
    let correlated = correlated(&mut data)?;
    unwritten.extend(table::write_joined(&folder.file(JOINED), &correlated.rows).err());
    let mut recomputed = reported(data, correlated, notes, selection)?;
    let report = recomputed.report();
    unwritten.extend(report::write_all(folder.path(), &report));
    let plots = folder.plots().map_err(Into::into);
    unwritten.extend(plots.and_then(|plots| plot::write(&plots, &recomputed.figures)).err());
    recomputed.unwritten = unwritten;
    Ok(recomputed)
}

/// The same of the selected requests, with nothing written: for verbs that only look.
pub(super) fn looked_at(folder: &RunFolder, selection: Selection) -> anyhow::Result<Recomputed> {
    let mut data = RunData::read(folder)?;
    let notes = data.complaints();
    whole_if_audit(&data.manifest, selection)?;
    let correlated = correlated(&mut data)?;
    reported(data, correlated, notes, selection)
}

/// What an audit was to do; `None` of any other run.
pub(super) fn plan_of(manifest: &Manifest) -> Option<audit::Plan> {
    manifest.extra.get(audit::KEY).and_then(|value| audit::Plan::deserialize(value).ok())
}

/// What its requests should keep to.
pub(super) fn slo_of(manifest: &Manifest) -> Slo {
    manifest.config.get("slo").and_then(|slo| Slo::deserialize(slo).ok()).unwrap_or_default()
}

fn whole_if_audit(manifest: &Manifest, selection: Selection) -> anyhow::Result<()> {
    if plan_of(manifest).is_some() && selection != Selection::All {
        return Err(usage("an audit has no window: the rounds of its two arms are in turn")
            .hint("leave `--window` out")
            .into());
    }
    Ok(())
}

/// Everything that is said of the selected requests.
fn reported(
    mut data: RunData,
    mut correlated: Correlated,
    notes: Vec<String>,
    selection: Selection,
) -> anyhow::Result<Recomputed> {
    let timeline = correlate::timeline::timeline(
        &correlated.rows,
        &data.events,
        &data.scrapes.rows,
        &data.log.rows,
        super::target::known(&data.manifest.target.server)?,
        correlated.clocks.relation == ClockRelation::OneClock,
    )?;
    let clients: Vec<&RequestRow> = correlated.rows.iter().map(|j| &j.client).collect();
    let view = View::of(&clients, selection, &data.manifest)?;
    if view.window.is_cut() {
        let inside = view.inside(&clients);
        correlated = correlate::within(correlated, &inside, SEED);
        let kept: HashSet<&str> = correlated.rows.iter().map(|j| j.client.request_id.as_str()).collect();
        data.events = data.events.only(|id| kept.contains(id));
    }
    let own = own_of(&data.manifest);
    let slo = slo_of(&data.manifest);
    let clients: Vec<&RequestRow> = correlated.rows.iter().map(|j| &j.client).collect();
    let from_events = FromEvents::gather(&clients, &data.events, own.as_ref())?;
    let mut summary = Summary::new(&correlated, &from_events, own, view, slo);
    summary.hosts = report::host_rows(&data.manifest, &correlated.rows, &data.events)?;
    let audit = plan_of(&data.manifest).map(|plan| correlate::audit::found(&correlated, &plan, SEED));
    if audit.is_some() {
        summary.leave_out_figures();
    }
    let chosen = drawn(&correlated, &data.events, summary.own.as_ref())?;
    let RunData { manifest, events, .. } = data;
    let figures = PlotData::default();
    let mut recomputed = Recomputed {
        manifest,
        correlated,
        summary,
        audit,
        notes,
        events,
        timeline,
        chosen,
        figures,
        unwritten: Vec::new(),
    };
    recomputed.figures = super::plotted::plot_data(&recomputed.report());
    Ok(recomputed)
}

/// The requests that a report draws one by one.
fn drawn(run: &Correlated, events: &RunEvents, own: Option<&OwnLag>) -> anyhow::Result<Vec<Chosen>> {
    let chosen = super::chosen::choose(&run.rows);
    let ids = chosen.iter().filter_map(|(n, _)| run.rows.get(*n)).map(|row| row.client.request_id.as_str());
    let ids: HashSet<&str> = ids.collect();
    let events = events.of_some(|id| ids.contains(id))?;
    let drawn = |(n, why): (usize, _)| {
        let row = run.rows.get(n)?;
        let rows = events.of(&row.client.request_id).unwrap_or_default();
        let own_events: Vec<_> = rows.filter_map(|at| events.row(at)).collect();
        Some(Chosen { why, waterfall: correlate::waterfall::waterfall(row, &own_events, run, own) })
    };
    Ok(chosen.into_iter().filter_map(drawn).collect())
}

/// Both sides of what was read as one; the requests are taken out of it.
pub(super) fn correlated(data: &mut RunData) -> anyhow::Result<Correlated> {
    if data.manifest.target.same_host {
        undo_steps(data);
    }
    let requests = std::mem::take(&mut data.requests.rows);
    let own = own_of(&data.manifest);
    let inputs = correlate::Inputs {
        own: own.as_ref(),
        scrapes: &data.scrapes.rows,
        log: &data.log.rows,
        spans: &data.spans.rows,
        stat_log: &data.stat_log.rows,
        hops: &data.hops.rows,
        hop_names: &hop_names(&data.manifest),
        events: &data.events,
        server: super::target::known(&data.manifest.target.server)?,
        same_host: data.manifest.target.same_host,
        ranks_beside_server: &beside_server(&data.manifest),
        clock_bound_s: clock_bound_s(&data.manifest),
        seed: SEED,
    };
    correlate::correlate(requests, &inputs)
}

/// Of a merged run: the ranks whose clock is the server's.
fn beside_server(manifest: &Manifest) -> Vec<u32> {
    let merged = merged_of(manifest).unwrap_or_default();
    merged.hosts.iter().filter(|host| host.same_host).map(|host| host.rank).collect()
}

/// What a merged run is made of; `None` of any other.
pub(super) fn merged_of(manifest: &Manifest) -> Option<Merged> {
    manifest.extra.get(shard::MERGED).and_then(|value| Merged::deserialize(value).ok())
}

/// The hops as they were configured, in their order.
fn hop_names(manifest: &Manifest) -> Vec<String> {
    let list = ["/hops", "/import/hops"].iter().find_map(|at| manifest.config.pointer(at)?.as_array());
    let name = |hop: &serde_json::Value| Some(hop.get("name")?.as_str()?.to_owned());
    list.into_iter().flatten().filter_map(name).collect()
}

/// What the program saw of itself. Of a run that was killed, or made by an older version, there is none.
pub(super) fn own_of(manifest: &Manifest) -> Option<OwnLag> {
    manifest.extra.get(own::KEY).and_then(|value| OwnLag::deserialize(value).ok())
}

/// What the configuration says of the two hosts' clocks.
fn clock_bound_s(manifest: &Manifest) -> Option<f64> {
    manifest.config.pointer("/observe/clock_bound_s").and_then(serde_json::Value::as_f64)
}

/// A server on this host writes down the wall clock; where that was stepped, its instants are put
/// where the client's are. The raw records stay as they are.
fn undo_steps(data: &mut RunData) {
    let steps = std::mem::take(&mut data.manifest.clock.steps);
    if !steps.is_empty() {
        for row in &mut data.log.rows {
            row.time_unix_ns = row.time_unix_ns.map(|time| on_axis(&steps, time, row.read_unix_ns));
        }
        for row in &mut data.spans.rows {
            let began = row.start_unix_ns;
            row.end_unix_ns = on_axis(&steps, row.end_unix_ns, row.recv_unix_ns);
            row.start_unix_ns = on_axis(&steps, began, row.end_unix_ns);
            let lasted = |s: f64| duration_s(&steps, (began, row.start_unix_ns), s, row.end_unix_ns);
            (row.ttft_s, row.e2e_s) = (row.ttft_s.map(lasted), row.e2e_s.map(lasted));
        }
        // A tap's instants are on an axis of its own, which steps as little as ours.
        for row in data.hops.rows.iter_mut().filter(|row| row.told_by != ToldBy::Tap) {
            let Some(read) = row.read_unix_ns else { continue };
            row.end_unix_ns = row.end_unix_ns.map(|end| on_axis(&steps, end, read));
            let ended = row.end_unix_ns.unwrap_or(read);
            row.start_unix_ns = row.start_unix_ns.map(|start| on_axis(&steps, start, ended));
        }
        for row in &mut data.stat_log.rows {
            let Some((ended, e2e)) = row.iteration_unix_ns.zip(row.e2e_s) else { continue };
            let here = on_axis(&steps, ended, row.read_unix_ns);
            let began = ended.plus_seconds(-e2e);
            row.iteration_unix_ns = Some(here);
            row.e2e_s = Some(duration_s(&steps, (began, on_axis(&steps, began, here)), e2e, here));
        }
    }
    data.manifest.clock.steps = steps;
}

/// TTFT and E2E are differences of the wall clock: what a step put into one is taken out. `began`: the
/// begin as the wall clock had it, and on the axis. A duration without a step stays as it was, to the bit.
fn duration_s(steps: &[Step], began: (UnixNs, UnixNs), lasted_s: f64, ended: UnixNs) -> f64 {
    let (wall, axis) = began;
    let end = wall.plus_seconds(lasted_s);
    let here = on_axis(steps, end, ended.plus_seconds(0.001));
    if here.0 - end.0 == axis.0 - wall.0 { lasted_s } else { here.seconds_since(axis) }
}

/// The raw records as Parquet, as far as it can be written; what cannot is returned.
fn write_tables(folder: &RunFolder, data: &RunData) -> Vec<anyhow::Error> {
    // A gateway that states something in its answers' heads is a hop there too.
    let heads = data.requests.rows.iter().flat_map(|request| hop_headers::rows(request).0);
    let hops: Vec<HopRow> = data.hops.rows.iter().cloned().chain(heads).collect();
    let written = [
        table::write_results(&folder.file(RESULTS), &data.requests.rows),
        events_parquet::write(&folder.file(EVENTS), &data.events),
        table::write_scrapes(&folder.file(SCRAPES), &data.scrapes.rows),
        table::write_log(&folder.file(LOG), &data.log.rows),
        table::write_spans(&folder.file(SPANS), &data.spans.rows),
        table::write_stat_log(&folder.file(STAT_LOG), &data.stat_log.rows),
        table::write_hops(&folder.file(HOPS), &hops),
    ];
    written.into_iter().filter_map(Result::err).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wall clock was set forward by 0.7 s half way through the second of three requests.
    #[test]
    fn a_step_of_this_hosts_clock_is_taken_out_of_durations() {
        let at = |s: f64| UnixNs(1_795_533_160_000_000_000).plus_seconds(s);
        let steps = [Step { at_unix_ns: at(10.1), by_ns: 700_000_000 }];
        let lasted = |wall: f64, axis: f64, said: f64, ended: f64| {
            duration_s(&steps, (at(wall), at(axis)), said, at(ended))
        };
        assert!((lasted(5.0, 5.0, 0.2, 5.2) - 0.2).abs() < 1e-15, "before it");
        assert!((lasted(10.0, 10.0, 0.9, 10.2) - 0.2).abs() < 1e-9, "across it");
        assert!((lasted(20.7, 20.0, 0.2, 20.2) - 0.2).abs() < 1e-15, "after it");
    }
}
