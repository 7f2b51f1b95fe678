//! Figures: plain vectors in, SVG and PNG files out, one file per figure and one table, [`PLOTS`].
//! Nothing here must know where the values come from or how they were joined.
//!
//! [`theme`] is the one look; [`draw`] is what figures are drawn with.

mod audit;
mod compare_ecdf;
mod compare_violin;
pub mod draw;
mod ecdf;
mod split_violin;
pub mod sweep;
pub mod theme;
mod violin;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

pub use self::split_violin::{Pair, pairs};
use crate::metric::{Metric, Unit};
use crate::stats::Estimate;
use crate::units;

/// Every figure, in the order of the report.
pub const PLOTS: &[&dyn Plot] = &[
    &violin::Violin,
    &split_violin::SplitViolin,
    &ecdf::Ecdf,
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

/// Who measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    Client,
    Server,
}

/// One metric's values on one side, one per request (successful ones), in the unit of the files.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub metric: Metric,
    pub side: Side,
    /// In any order. Values that are not finite are not drawn, and the figure says how many.
    pub values: Vec<f64>,
    /// Where they come from, as people read it: `kernel stamps`, `OTLP spans`.
    pub source: String,
}

/// One metric of one cell of an audit, by both ways, in the unit of the files.
#[derive(Clone, Debug, PartialEq)]
pub struct Arms {
    pub metric: Metric,
    /// Which cell.
    pub about: String,
    /// One value per successful request, in any order.
    pub direct: Vec<f64>,
    pub through: Vec<f64>,
    /// Mean of the pairs' differences through − direct.
    pub added: Option<Estimate>,
}

/// All that figures are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlotData {
    /// What was run, in a few words; stands below every title.
    pub run: String,
    /// Successful requests.
    pub n_ok: usize,
    /// Requests that ended, successful or not.
    pub n_ended: usize,
    pub samples: Vec<Sample>,
    /// Of an audit, metric by metric.
    pub arms: Vec<Arms>,
    /// Mean of the paired differences client − server, in the unit of the files, by the metric of
    /// the server's side ([`Metric::QueuePrefill`]: client's TTFT − queue and prefill).
    pub differences: Vec<(Metric, Estimate)>,
    /// What each hop between them saw itself.
    pub hops: Vec<AtHop>,
    /// Of runs side by side, measure by measure.
    pub compared: Vec<Compared>,
    /// The differences themselves.
    pub paired: Vec<Paired>,
}

/// One measure of several runs, in the unit of the files.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub title: String,
    /// What it is, in a few words.
    pub about: String,
    pub unit: Unit,
    /// Each run's number and name, and its values in any order.
    pub runs: Vec<(usize, String, Vec<f64>)>,
}

/// One run's values of a measure, ascending.
struct Of {
    number: usize,
    name: String,
    values: Vec<f64>,
}

impl Compared {
    /// The runs that have a value to draw.
    fn ascending(&self) -> Vec<Of> {
        let of = |(number, name, values): &(usize, String, Vec<f64>)| {
            Some(Of { number: *number, name: name.clone(), values: ascending(values)? })
        };
        self.runs.iter().filter_map(of).collect()
    }
}

/// Client − server of each request that has both, in the order of scheduling, in the unit of the files.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// Of the server's side: [`Metric::QueuePrefill`] is the client's TTFT − queue and prefill.
    pub metric: Metric,
    pub values: Vec<f64>,
}

/// One metric of the same requests at the client and at a hop.
#[derive(Clone, Debug, PartialEq)]
pub struct AtHop {
    pub hop: String,
    pub metric: Metric,
    pub client: Vec<f64>,
    pub seen: Vec<f64>,
    /// Mean of the paired differences client − hop.
    pub difference: Option<Estimate>,
}

impl PlotData {
    /// The sample of a metric on a side.
    pub fn sample(&self, metric: Metric, side: Side) -> Option<&Sample> {
        self.samples.iter().find(|s| s.metric == metric && s.side == side)
    }

    /// A sample's values, ascending and finite; `None` when there is none.
    pub fn ascending(&self, metric: Metric, side: Side) -> Option<Vec<f64>> {
        ascending(&self.sample(metric, side)?.values)
    }

    /// The mean paired difference whose server side is this metric.
    pub fn difference(&self, metric: Metric) -> Option<Estimate> {
        self.differences.iter().find(|(m, _)| *m == metric).map(|(_, e)| *e)
    }

    /// The line below a title: what was run, and how many requests it rests on.
    fn subtitle(&self) -> String {
        let mut parts = Vec::new();
        if !self.run.is_empty() {
            parts.push(self.run.clone());
        }
        let (ok, ended) = (units::count(self.n_ok as u64), units::count(self.n_ended as u64));
        parts.push(format!("{ok} of {ended} requests ok"));
        let left_out = self.samples.iter().flat_map(|s| &s.values).filter(|v| !v.is_finite()).count();
        if left_out > 0 {
            parts.push(format!("{} values that are not finite left out", units::count(left_out as u64)));
        }
        parts.join(" · ")
    }
}

/// The finite values, ascending; `None` when there is none.
fn ascending(values: &[f64]) -> Option<Vec<f64>> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    (!values.is_empty()).then_some(values)
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

/// Writes a drawn figure as SVG and PNG, or removes what an earlier one left; returns the files, and why there are none.
fn write_svg(dir: &Path, name: &str, drawn: Drawn) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
    let svg_path = dir.join(format!("{name}.svg"));
    let png_path = dir.join(format!("{name}.png"));
    let (mut files, mut skipped) = (Vec::new(), None);
    match drawn {
        Drawn::Svg(svg) => {
            let png = draw::png::from_svg(&svg).with_context(|| format!("could not draw {name}.png"))?;
            for (path, bytes) in [(svg_path, svg.as_bytes()), (png_path, &png)] {
                fs::write(&path, bytes).with_context(|| format!("could not write {}", path.display()))?;
                files.push(path);
            }
        }
        Drawn::Nothing(why) => {
            for path in [svg_path, png_path] {
                if path.exists() {
                    fs::remove_file(&path)
                        .with_context(|| format!("could not remove the outdated {}", path.display()))?;
                }
            }
            skipped = Some(why);
        }
    }
    Ok((files, skipped))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Metric; 4] = [Metric::Ttft, Metric::Throughput, Metric::ItlMean, Metric::E2e];

    fn both_sides(values: &[f64]) -> PlotData {
        let samples = ALL
            .into_iter()
            .flat_map(|metric| [Side::Client, Side::Server].map(|side| (metric, side)))
            .map(|(metric, side)| Sample {
                metric,
                side,
                values: values.to_vec(),
                source: "spans".to_owned(),
            })
            .collect();
        let difference = crate::stats::bootstrap::mean(values, crate::stats::blocks::Blocks::Rows, 1);
        PlotData {
            run: "a test".to_owned(),
            n_ok: values.len(),
            n_ended: values.len(),
            samples,
            arms: vec![Arms {
                metric: Metric::Ttft,
                about: "concurrency 8".to_owned(),
                direct: values.to_vec(),
                through: values.iter().map(|v| v + 0.25).collect(),
                added: difference,
            }],
            differences: difference.map(|e| (Metric::Ttft, e)).into_iter().collect(),
            hops: vec![AtHop {
                hop: "edge".to_owned(),
                metric: Metric::Ttft,
                client: values.to_vec(),
                seen: values.to_vec(),
                difference: None,
            }],
            compared: vec![Compared {
                title: "TTFT".to_owned(),
                about: "start to first token".to_owned(),
                unit: Unit::Seconds,
                runs: vec![
                    (0, "first".to_owned(), values.to_vec()),
                    (1, "second".to_owned(), values.iter().map(|v| v + 0.25).collect()),
                ],
            }],
            paired: Vec::new(),
        }
    }

    fn svg(plot: &dyn Plot, data: &PlotData) -> String {
        match plot.draw(data).unwrap() {
            Drawn::Svg(svg) => svg,
            Drawn::Nothing(why) => panic!("{} drew nothing: {why}", plot.name()),
        }
    }

    #[test]
    fn every_file_of_a_figure_is_in_the_table() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plot");
        let figures: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "rs"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|stem| stem != "mod" && stem != "theme" && stem != "sweep")
            .collect();
        assert_eq!(figures.len(), PLOTS.len(), "{figures:?}");
        for stem in figures {
            assert!(PLOTS.iter().any(|p| p.name().ends_with(&stem)), "{stem}.rs is not in PLOTS");
        }
    }

    #[test]
    fn files_are_written_and_outdated_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        let plots = dir.path().join("plots");
        let written = write(&plots, &both_sides(&[0.1, 0.2, 0.3, 0.2, 0.4, 0.9])).unwrap();
        assert_eq!(written.len(), PLOTS.len());
        assert!(written.iter().all(|w| w.files.len() == 2 && w.skipped.is_none()));
        assert!(written.iter().flat_map(|w| &w.files).all(|f| f.exists()));

        let written = write(&plots, &PlotData::default()).unwrap();
        assert!(written.iter().all(|w| w.files.is_empty() && w.skipped.is_some()));
        assert_eq!(fs::read_dir(&plots).unwrap().count(), 0);
    }

    #[test]
    fn the_same_data_give_the_same_bytes() {
        let data = both_sides(&[0.31, 0.12, 0.23, 0.52, 0.44, 0.9, 0.13]);
        let shuffled = both_sides(&[0.9, 0.13, 0.44, 0.12, 0.23, 0.52, 0.31]);
        for plot in PLOTS {
            assert_eq!(svg(*plot, &data), svg(*plot, &data));
            // The interval of the mean difference depends on the order of the pairs; bodies do not.
            let mut shuffled = shuffled.clone();
            shuffled.differences.clone_from(&data.differences);
            shuffled.arms.iter_mut().zip(&data.arms).for_each(|(arm, same)| arm.added = same.added);
            assert_eq!(svg(*plot, &data), svg(*plot, &shuffled));
            let png = draw::png::from_svg(&svg(*plot, &data)).unwrap();
            assert_eq!(png, draw::png::from_svg(&svg(*plot, &data)).unwrap());
        }
    }

    #[test]
    fn values_that_are_not_finite_are_left_out_and_counted() {
        let data = both_sides(&[0.1, f64::NAN, 0.3, f64::INFINITY, 0.2, 0.25, 0.31]);
        for plot in PLOTS {
            assert!(svg(*plot, &data).contains("16 values that are not finite left out"));
        }
    }

    #[test]
    fn queue_and_prefill_is_never_called_ttft_of_the_server() {
        let values = vec![0.1, 0.2, 0.15, 0.4, 0.3];
        let sample = |metric, side| Sample {
            metric,
            side,
            values: values.clone(),
            source: "in-band metrics".to_owned(),
        };
        let data = PlotData {
            samples: vec![sample(Metric::Ttft, Side::Client), sample(Metric::QueuePrefill, Side::Server)],
            ..PlotData::default()
        };
        for plot in [&split_violin::SplitViolin as &dyn Plot, &ecdf::Ecdf] {
            let svg = svg(plot, &data);
            assert!(svg.contains("queue + prefill"), "{}", plot.name());
            assert!(!svg.contains("server TTFT") && !svg.contains(">\nserver\n"), "{}", plot.name());
        }
    }

    #[test]
    fn a_long_tail_is_cut_and_said() {
        let mut values: Vec<f64> = (0..990).map(|i| 0.2 + f64::from(i) / 5_000.0).collect();
        values.extend((0..10).map(|i| 20.0 + f64::from(i)));
        let data = both_sides(&values);
        assert!(svg(&violin::Violin, &data).contains("axis ends at p99: 10 beyond, max 29,000"));
        assert!(svg(&split_violin::SplitViolin, &data).contains("axis ends at p99: 10 | 10 beyond"));
        assert!(svg(&ecdf::Ecdf, &data).contains("axis ends at p99, 10 and 10 beyond"));
    }

    #[test]
    fn few_values_are_points_and_equal_ones_a_line() {
        let shapes = |values: &[f64]| {
            let svg = svg(&violin::Violin, &both_sides(values));
            (svg.matches("<circle").count(), svg.matches("<polygon").count())
        };
        // The legend's mean mark is two polygons.
        assert_eq!(shapes(&[0.1, 0.2, 0.3, 0.4]), (16, 2));
        assert_eq!(shapes(&[0.1; 60]), (0, 2));
        assert_eq!(shapes(&[0.25]), (4, 2));
    }

    #[test]
    fn one_small_figure_in_full() {
        let sample = |side, values: &[f64]| Sample {
            metric: Metric::Ttft,
            side,
            values: values.to_vec(),
            source: "OTLP spans".to_owned(),
        };
        let data = PlotData {
            run: "three requests".to_owned(),
            n_ok: 3,
            n_ended: 4,
            samples: vec![
                sample(Side::Client, &[0.31, 0.25, 0.42]),
                sample(Side::Server, &[0.30, 0.24, 0.40]),
            ],
            arms: Vec::new(),
            differences: vec![(Metric::Ttft, Estimate::unbounded(0.0133, 3))],
            ..PlotData::default()
        };
        insta::assert_snapshot!(svg(&split_violin::SplitViolin, &data));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_values_give_a_clean_figure(values in prop::collection::vec(prop_oneof![
            -1.0..1e5f64, Just(0.0), Just(0.5), Just(f64::NAN), any::<f64>(),
        ], 0..30)) {
            let data = both_sides(&values);
            for plot in PLOTS {
                if let Drawn::Svg(svg) = plot.draw(&data).unwrap() {
                    prop_assert!(!svg.contains("NaN") && !svg.contains(">\ninf"), "{svg}");
                }
            }
        }
    }
}
