//! One run's headline figures with their intervals, read back from its `summary.json`: what is put beside the figures of
//! other runs, by a sweep and by a comparison. This file must not know what is concluded from them, nor how they were
//! computed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::distributions::PERCENTILES;
use crate::metric::Metric;
use crate::record::correlated::Evidence;
use crate::record::slo::SloFound;
use crate::stats::Estimate;
use crate::stats::rates::Rates;
use crate::store::folder::SUMMARY;

/// A run in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What the run was, as label and value: `run`, `target`, `server`, `model`, `load`, `begun`, …
    pub facts: BTreeMap<String, String>,
    pub warnings: Vec<String>,
    pub duration_s: f64,
    pub counts: Counts,
    /// Sums and rates over the whole duration, with its beginning and its end: as `vllm bench serve` has them.
    pub totals: Totals,
    /// Rates while the load was full; `None` where it never was, with the reason.
    pub rates: Option<Rates>,
    pub no_rates: Option<String>,
    /// Whether requests met their objectives, where the run had any.
    pub slo: Option<SloFound>,
    /// What the client measured of successful requests.
    pub client: Vec<Figure>,
    /// What the server said of each of them; empty where nothing tells of single requests.
    pub server: Vec<Figure>,
    /// Both sides by the same estimator.
    pub headline: Vec<BothSides>,
    /// What the metrics endpoints counted over the run: exact means, of whatever requests.
    pub window_means: Vec<WindowMean>,
}

/// How the requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub total: usize,
    pub ok: usize,
    pub failed: usize,
    pub in_flight: usize,
}

/// Over the whole duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub requests_rps: f64,
    pub output_tps: f64,
    pub total_tps: f64,
    pub peak_output_tps: Option<f64>,
    pub peak_concurrency: usize,
}

/// One metric's distribution over requests, in the unit of the files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub metric: Metric,
    pub title: String,
    pub n: usize,
    pub mean: Estimate,
    pub std: f64,
    pub min: f64,
    pub max: f64,
    /// At 50, 90, 95 and 99 %; a level that could not be computed is left out with all after it.
    pub percentiles: Vec<Estimate>,
}

/// One row of the headline table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BothSides {
    pub metric: Metric,
    pub title: String,
    pub tool: Option<Estimate>,
    pub server: Option<Estimate>,
    pub tare: Option<Estimate>,
    pub source: Evidence,
    pub note: Option<String>,
}

/// A histogram's exact mean over the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowMean {
    pub metric: Metric,
    pub mean: Option<f64>,
    pub count: f64,
}

impl Figure {
    /// At 50, 90, 95 or 99 %.
    pub fn percentile(&self, level: f64) -> Option<Estimate> {
        let at = PERCENTILES.iter().position(|p| (p - level).abs() < 1e-9)?;
        self.percentiles.get(at).copied()
    }
}

impl Figures {
    /// Of a run folder whose report was made.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(SUMMARY);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| {
            format!(
                "{} is not a summary that this version reads: `tare report` makes it anew",
                path.display()
            )
        })
    }

    /// From a summary's text.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let w: Written = serde_json::from_str(text)?;
        let s = w.summary;
        Ok(Self {
            facts: w.run,
            warnings: w.warnings,
            duration_s: s.duration_s,
            counts: s.counts,
            totals: s.totals,
            rates: s.rates,
            no_rates: s.no_rates,
            slo: s.slo,
            client: s.client,
            server: s.server,
            headline: w.headline,
            window_means: w.server_aggregate.map(|aggregate| aggregate.histograms).unwrap_or_default(),
        })
    }

    /// What the client measured.
    pub fn client(&self, metric: Metric) -> Option<&Figure> {
        self.client.iter().find(|f| f.metric == metric)
    }

    /// What the server said of the same requests.
    pub fn server(&self, metric: Metric) -> Option<&Figure> {
        self.server.iter().find(|f| f.metric == metric)
    }

    /// What the metrics endpoints say of all requests.
    pub fn window_mean(&self, metric: Metric) -> Option<f64> {
        self.window_means.iter().find(|w| w.metric == metric)?.mean
    }

    /// The row of the headline table.
    pub fn both(&self, metric: Metric) -> Option<&BothSides> {
        self.headline.iter().find(|row| row.metric == metric)
    }
}

/// As far as it is read.
#[derive(Deserialize)]
struct Written {
    run: BTreeMap<String, String>,
    #[serde(default)]
    warnings: Vec<String>,
    /// Of an audit there is none.
    #[serde(default)]
    headline: Vec<BothSides>,
    server_aggregate: Option<WrittenAggregate>,
    summary: WrittenSummary,
}

#[derive(Deserialize)]
struct WrittenAggregate {
    histograms: Vec<WindowMean>,
}

#[derive(Deserialize)]
struct WrittenSummary {
    duration_s: f64,
    counts: Counts,
    totals: Totals,
    rates: Option<Rates>,
    no_rates: Option<String>,
    slo: Option<SloFound>,
    client: Vec<Figure>,
    server: Vec<Figure>,
}
