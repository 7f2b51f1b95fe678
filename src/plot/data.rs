//! What figures are drawn from: plain values, with the words that name them. This file must not know how they were
//! joined, nor how they are drawn.

use crate::metric::{Metric, Unit};
use crate::stats::Estimate;
use crate::units;

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
    /// Where the time went.
    pub bars: Vec<Bars>,
}

/// One measure of several runs, in the unit of the files.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub metric: Metric,
    pub title: String,
    /// What it is, in a few words.
    pub about: String,
    pub unit: Unit,
    /// Each run's number and name, and its values in any order.
    pub runs: Vec<(usize, String, Vec<f64>)>,
}

/// One run's values of a measure, ascending.
pub struct Of {
    pub number: usize,
    pub name: String,
    pub values: Vec<f64>,
}

impl Compared {
    /// The runs that have a value to draw.
    pub fn ascending(&self) -> Vec<Of> {
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
    pub fn subtitle(&self) -> String {
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
pub fn ascending(values: &[f64]) -> Option<Vec<f64>> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    (!values.is_empty()).then_some(values)
}

/// Whose a part of the time is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    Client,
    /// Between client and server.
    Tare,
    Server,
    /// The server's and what lies between, not told apart.
    Both,
    Unknown,
}

/// Where one time went: at its mean and around its percentiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    pub metric: Metric,
    /// What stands out, as a heading.
    pub finding: String,
    /// Cut at each hop, and not by what the server did.
    pub by_hop: bool,
    pub bars: Vec<Bar>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// `mean`, `p99`.
    pub at: String,
    /// Of so many requests.
    pub n: usize,
    pub total_s: f64,
    /// In the order of time.
    pub parts: Vec<BarPart>,
}

/// A part of a bar.
#[derive(Clone, Debug, PartialEq)]
pub struct BarPart {
    pub name: String,
    pub whose: Whose,
    /// May be negative, where stamps of two clocks contradict.
    pub mean_s: f64,
}
