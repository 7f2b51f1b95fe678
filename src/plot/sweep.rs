//! Figures of a sweep, level by level; their table is [`SWEEP_PLOTS`]. Nothing here must know how a level was run.

mod latency;
mod pareto;
mod xy;

use std::path::Path;

use super::{Drawn, write_svg};
use crate::stats::Estimate;
use crate::units;

/// Every figure of a sweep.
pub const SWEEP_PLOTS: &[&dyn SweepPlot] = &[&latency::Latency, &pareto::Pareto];

/// One figure of a sweep; its files are `<name>.svg` and `<name>.png`.
pub trait SweepPlot: Sync {
    fn name(&self) -> &'static str;
    /// What it shows, in one sentence.
    fn caption(&self) -> &'static str;
    /// The figure, or why there is none.
    fn draw(&self, data: &SweepData) -> anyhow::Result<Drawn>;
}

/// All that figures of a sweep are made from, in the units of the files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepData {
    pub name: String,
    /// What the levels are of.
    pub axis: String,
    /// Levels are rates, with which what was achieved can be compared.
    pub is_rate: bool,
    /// What a search found.
    pub marked: Option<f64>,
    /// Ascending.
    pub levels: Vec<Level>,
}

/// The figures of one level.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Level {
    pub level: f64,
    pub label: String,
    pub n_ok: usize,
    /// A run of it was ended before its time: its latencies grew as long as it lasted.
    pub ended_early: bool,
    pub achieved_rps: Option<Estimate>,
    pub output_tps: Option<Estimate>,
    pub per_user_tps: Option<Estimate>,
    pub ttft: Option<Estimate>,
    pub ttft_p99: Option<f64>,
    pub ttft_server: Option<Estimate>,
    /// What the server's side really is.
    pub server_is: String,
    pub e2e: Option<Estimate>,
    pub e2e_server: Option<Estimate>,
}

impl SweepData {
    fn subtitle(&self) -> String {
        let n: usize = self.levels.iter().map(|level| level.n_ok).sum();
        format!("{} · {} levels · {} requests ok", self.name, self.levels.len(), units::count(n as u64))
    }
}

/// Writes every figure to `dir`, creating it; returns the name and caption of each that there is something to draw of.
pub fn write(dir: &Path, data: &SweepData) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    let mut drawn = Vec::new();
    for plot in SWEEP_PLOTS {
        if write_svg(dir, plot.name(), plot.draw(data)?)?.0.len() == 2 {
            drawn.push((plot.name(), plot.caption()));
        }
    }
    Ok(drawn)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn levels() -> SweepData {
        let e = |value: f64| Some(Estimate::within(value, 0.9 * value, 1.1 * value, 50));
        let level = |i: usize| {
            let rate = f64::from(1 << i);
            Level {
                level: rate,
                label: rate.to_string(),
                n_ok: 50,
                ended_early: i == 4,
                achieved_rps: e(rate.min(10.0)),
                output_tps: e(20.0 * rate.min(10.0)),
                per_user_tps: e(120.0 / (1.0 + rate)),
                ttft: e(0.02 * (1.0 + rate)),
                ttft_p99: Some(0.05 * (1.0 + rate)),
                ttft_server: e(0.019 * (1.0 + rate)),
                server_is: "TTFT".to_owned(),
                e2e: e(0.3 + 0.02 * rate),
                e2e_server: e(0.29 + 0.02 * rate),
            }
        };
        SweepData {
            name: "a test".to_owned(),
            axis: "offered rate (requests/s)".to_owned(),
            is_rate: true,
            marked: Some(8.0),
            levels: (0..5).map(level).collect(),
        }
    }

    #[test]
    fn figures_are_written_and_outdated_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<&str> =
            write(dir.path(), &levels()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["sweep_latency", "sweep_pareto"]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
        assert!(write(dir.path(), &SweepData::default()).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_figure_names_both_sides_and_what_a_search_found() {
        for plot in SWEEP_PLOTS {
            let Drawn::Svg(svg) = plot.draw(&levels()).unwrap() else {
                panic!("{} drew nothing", plot.name())
            };
            assert!(!svg.contains("NaN"), "{}", plot.name());
            if plot.name() == "sweep_latency" {
                assert!(svg.contains("server, mean (TTFT)") && svg.contains("client, mean"), "{svg}");
            }
        }
    }

    #[test]
    fn levels_without_figures_leave_gaps() {
        let mut data = levels();
        data.levels[1].ttft = None;
        data.levels[2].output_tps = None;
        data.levels[3].ttft_server = None;
        data.levels[0] = Level { level: 1.0, ..Level::default() };
        for plot in SWEEP_PLOTS {
            plot.draw(&data).unwrap();
        }
    }
}
