//! Figures: plain vectors in, SVG and PNG files out, one file per figure and one table, [`PLOTS`].
//! Nothing here must know where the values come from or how they were joined.
//!
//! [`theme`] is the one look; [`draw`] is what figures are drawn with.

mod audit;
mod breakdown;
mod compare_ecdf;
mod compare_violin;
mod data;
pub mod draw;
mod ecdf;
mod split_violin;
pub mod sweep;
mod tare;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod theme;
mod timeline;
mod violin;
mod waterfall;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::data::ascending;
pub use self::data::{
    Arms, AtHop, Bar, BarPart, Bars, Compared, Fall, OverTime, Paired, PlotData, Sample, Side,
};
pub use self::split_violin::{Pair, pairs};

/// Every figure, in the order of the report.
pub const PLOTS: &[&dyn Plot] = &[
    &violin::Violin,
    &split_violin::SplitViolin,
    &ecdf::Ecdf,
    &breakdown::Breakdown,
    &tare::Tare,
    &timeline::Timeline,
    &waterfall::Waterfall,
    &audit::Audit,
    &compare_violin::CompareViolin,
    &compare_ecdf::CompareEcdf,
];

/// One figure.
pub trait Plot: Sync {
    /// Its files are `<name>.svg` and `<name>.png`.
    fn name(&self) -> &'static str;
    /// What it shows, in one sentence: the text beside it in a report.
    fn caption(&self) -> &'static str;
    /// The figure, or why there is none.
    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn>;
}

/// What drawing gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Drawn {
    /// An SVG file's text; the same data give the same bytes.
    Svg(String),
    /// Nothing to draw, and why.
    Nothing(String),
}

/// What [`write`] did with one figure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    pub name: &'static str,
    pub caption: &'static str,
    /// The SVG, then the PNG; empty when there was nothing to draw.
    pub files: Vec<PathBuf>,
    /// Why there was nothing to draw.
    pub skipped: Option<String>,
}

/// Writes every figure of [`PLOTS`] to `dir` as SVG and PNG, creating `dir`.
///
/// A figure that has nothing to draw leaves no file behind, not even one of an earlier report.
pub fn write(dir: &Path, data: &PlotData) -> anyhow::Result<Vec<Written>> {
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
    PLOTS.iter().map(|plot| write_one(dir, *plot, data)).collect()
}

fn write_one(dir: &Path, plot: &dyn Plot, data: &PlotData) -> anyhow::Result<Written> {
    let name = plot.name();
    let drawn = plot.draw(data).with_context(|| format!("could not draw {name}"))?;
    let (files, skipped) = write_svg(dir, name, drawn)?;
    Ok(Written { name, caption: plot.caption(), files, skipped })
}

/// One figure of [`PLOTS`] alone, by its name; `wide`: on a page of 16 by 9.
pub fn one(name: &str, data: &PlotData, wide: bool) -> anyhow::Result<Drawn> {
    let plot = PLOTS.iter().find(|plot| plot.name() == name);
    let plot = plot.with_context(|| format!("there is no figure {name}"))?;
    match plot.draw(data).with_context(|| format!("could not draw {name}"))? {
        Drawn::Svg(svg) if wide => Ok(Drawn::Svg(draw::slide::slide(&svg)?)),
        drawn => Ok(drawn),
    }
}

/// Writes an SVG's text to these files, each as its ending says; gives them back.
pub fn save(svg: &str, files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    for path in files {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
        }
        let is_png = path.extension().is_some_and(|ending| ending == "png");
        let bytes = if is_png { draw::png::from_svg(svg)? } else { svg.as_bytes().to_vec() };
        fs::write(path, bytes).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(files.to_vec())
}

/// Writes a drawn figure as SVG and PNG, or removes what an earlier one left; returns the files, and why there are none.
fn write_svg(dir: &Path, name: &str, drawn: Drawn) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    let svg_path = dir.join(format!("{name}.svg"));
    let png_path = dir.join(format!("{name}.png"));
    match drawn {
        Drawn::Svg(svg) => Ok((save(&svg, &[svg_path, png_path])?, None)),
        Drawn::Nothing(why) => {
            for path in [svg_path, png_path] {
                if path.exists() {
                    fs::remove_file(&path)
                        .with_context(|| format!("could not remove the outdated {}", path.display()))?;
                }
            }
            Ok((Vec::new(), Some(why)))
        }
    }
}
