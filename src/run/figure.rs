//! One figure of a run, or of several: what of their data it shows, and where it is written. Nothing else in a run
//! folder is touched. This file must not know how a figure is drawn.

use std::path::{Path, PathBuf};

use super::compare::{self, ToCompare};
use super::recompute::looked_at;
use super::{named, plotted, read_back, unusable};
use crate::error::{Explain, usage};
use crate::plot::{self, PlotData, Side};
use crate::record::Status;
use crate::record::figure::{Asked, By, Kind, Size};
use crate::record::selection::Selection;
use crate::report;
use crate::store::RunFolder;

/// Draws it; the files that were written.
pub fn figure(
    folders: &[PathBuf],
    asked: &Asked,
    selection: Selection,
    out: Option<&Path>,
) -> anyhow::Result<Vec<PathBuf>> {
    let name = name_of(asked)?;
    if asked.request.is_some() && (asked.kind != Kind::Waterfall || selection != Selection::All) {
        return Err(usage("`--request` is of a waterfall, and of the whole run")
            .hint("`--figure waterfall --request ID`, without `--window`")
            .into());
    }
    let mut csv = None;
    let mut data = if asked.by == Some(By::Run) {
        compare::figure_data(&ToCompare { folders: folders.to_vec(), selection, ..ToCompare::default() })?
    } else {
        let [folder] = folders else {
            return Err(usage(format!("expected one run folder, found {}", folders.len()))
                .hint("several are drawn side by side with `--by run`")
                .into());
        };
        let folder = RunFolder::open(folder).map_err(unusable)?;
        match &asked.request {
            None => looked_at(&folder, selection)?.figures,
            Some(id) => {
                let (data, text) = of_one(folder.path(), id)?;
                csv = Some(text);
                data
            }
        }
    };
    if asked.by == Some(By::Hop) && data.hops.is_empty() && !data.bars.iter().any(|bars| bars.by_hop) {
        return Err(usage("this run has no hop that tells of its requests")
            .hint("`--hop [NAME=][KIND:]FILE` adds a gateway's log to a run")
            .into());
    }
    cut(&mut data, asked);
    let wide = asked.size == Size::Slide;
    let svg = match plot::one(name, &data, wide)? {
        plot::Drawn::Svg(svg) => svg,
        plot::Drawn::Nothing(why) => {
            return Err(usage(format!("there is no such figure of this run: {why}")).into());
        }
    };
    let home = match folders {
        [folder] => folder.join(crate::store::folder::PLOTS),
        _ => PathBuf::from("."),
    };
    let mut written = plot::save(&svg, &files(out, &home, &asked.stem())?)?;
    // No other file has the numbers of a request that was asked for.
    if let (Some(text), Some(first)) = (csv, written.first()) {
        let path = first.with_extension("csv");
        std::fs::write(&path, text).or_broken(format!("could not write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// What the figure of one request is drawn from, and its numbers as CSV.
fn of_one(folder: &Path, id: &str) -> anyhow::Result<(PlotData, String)> {
    let read = read_back(folder)?;
    let rows = &read.correlated.rows;
    let waterfall = read.waterfall(named(id, rows)?)?;
    let n_ended = rows.iter().filter(|row| row.client.status != Status::InFlight).count();
    let csv = report::request_csv(&waterfall)?;
    let data = PlotData {
        run: read.manifest.name.clone(),
        n_ended,
        falls: vec![plotted::fall(&waterfall, String::new())],
        ..PlotData::default()
    };
    Ok((data, csv))
}

/// The figure in the table of all.
fn name_of(asked: &Asked) -> anyhow::Result<&'static str> {
    Ok(match (asked.kind, asked.by) {
        (Kind::Violin, None) => "req_metrics_violin",
        (Kind::Violin, Some(By::Server | By::Hop)) => "split_violin",
        (Kind::Violin, Some(By::Run)) => "compare_violin",
        (Kind::Ecdf, None | Some(By::Server)) => "ecdf",
        (Kind::Ecdf, Some(By::Run)) => "compare_ecdf",
        (Kind::Breakdown, None | Some(By::Server | By::Hop)) => "breakdown",
        (Kind::Tare, None | Some(By::Server)) => "tare",
        (Kind::Timeline, None | Some(By::Server)) => "timeline",
        (Kind::Waterfall, None | Some(By::Server)) => "waterfall",
        (kind, Some(by)) => {
            return Err(usage(format!("there is no `{kind}` by {by}"))
                .hint("violin and ecdf are drawn by run, violin and breakdown by hop")
                .into());
        }
    })
}

/// Leaves only what was asked for.
fn cut(data: &mut PlotData, asked: &Asked) {
    data.samples.retain(|s| asked.has(s.metric) && (asked.by.is_some() || s.side == Side::Client));
    data.hops.retain(|hop| asked.by != Some(By::Server) && asked.has(hop.metric));
    if asked.by == Some(By::Hop) {
        data.samples.retain(|s| s.side == Side::Client);
    }
    data.bars.retain(|bars| asked.has(bars.metric));
    match asked.by {
        Some(By::Hop) => data.bars.retain(|bars| bars.by_hop),
        Some(By::Server) => data.bars.retain(|bars| !bars.by_hop),
        _ => {}
    }
    data.paired.retain(|paired| asked.has(paired.metric));
    data.compared.retain(|compared| asked.has(compared.metric));
}

/// The files to write, by where they are wanted.
fn files(out: Option<&Path>, home: &Path, stem: &str) -> anyhow::Result<Vec<PathBuf>> {
    let both = |dir: &Path| ["svg", "png"].map(|ending| dir.join(format!("{stem}.{ending}"))).to_vec();
    let Some(out) = out else { return Ok(both(home)) };
    match out.extension().and_then(|e| e.to_str()) {
        _ if out.is_dir() => Ok(both(out)),
        Some("svg" | "png") => Ok(vec![out.to_owned()]),
        None => Ok(both(out)),
        Some(other) => Err(usage(format!("--out {}: expected .svg or .png, found .{other}", out.display()))
            .hint("a folder gets both")
            .into()),
    }
}
