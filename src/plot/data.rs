//! What figures are drawn from: plain values, with the words that name them. This file must not know how they were
//! joined, nor how they are drawn.

use crate::metric::{Metric, Unit};
use crate::record::Whose;
use crate::record::correlated::Evidence;
use crate::record::timeline::{AtServer, Bin, Firsts};
use crate::record::waterfall::{Decode, DrawnPart, Stamp};
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
    /// The run over time.
    pub over_time: Option<OverTime>,
    /// Single requests.
    pub falls: Vec<Fall>,
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

/// The whole run over time, in seconds since the first start.
#[derive(Clone, Debug, PartialEq)]
pub struct OverTime {
    /// What stands out, as a title.
    pub finding: String,
    /// Requests.
    pub n: usize,
    pub length_s: f64,
    /// How long a stretch is; the last one may be shorter.
    pub bin_s: f64,
    pub bins: Vec<Bin>,
    pub firsts: Vec<Firsts>,
    pub server: Vec<AtServer>,
    pub server_source: Option<Evidence>,
    /// When failed requests ended.
    pub failed_s: Vec<f64>,
    /// A part of it that stands out: what it is, from when, until when.
    pub marked: Option<(String, f64, f64)>,
    /// Why there is none.
    pub unmarked: String,
    /// What lies before that part is its warm-up.
    pub warm_up: bool,
}

/// One request, in seconds since its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Fall {
    /// What it was chosen for; empty: it was asked for.
    pub why: String,
    pub request_id: String,
    pub index: u64,
    /// How it ended, as files have it.
    pub status: &'static str,
    pub ttft_s: Option<f64>,
    pub e2e_s: Option<f64>,
    pub parts: Vec<DrawnPart>,
    pub stamps: Vec<Stamp>,
    pub decode: Option<Decode>,
}
