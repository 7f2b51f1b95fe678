//! What a sweep or search is asked to do, completely specified. This file must not know how it was written.

use serde::{Deserialize, Serialize};

/// What differs from point to point.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Requests per second of an open loop.
    Rate,
    /// Users of a closed loop, which are the requests in flight.
    Concurrency,
    /// Nothing: the load as configured, repeated.
    AsConfigured,
}

impl Axis {
    /// A level, as a person would say it.
    pub fn words(self, level: f64) -> String {
        match self {
            Axis::Rate => format!("{level} requests/s"),
            Axis::Concurrency => format!("{level} at once"),
            Axis::AsConfigured => "as configured".to_owned(),
        }
    }

    /// What stands above a column of levels.
    pub fn heading(self) -> &'static str {
        match self {
            Axis::Rate => "offered rate (requests/s)",
            Axis::Concurrency => "concurrency",
            Axis::AsConfigured => "load",
        }
    }

    /// The beginning of a level's folder.
    pub fn slug(self, level: f64) -> String {
        match self {
            Axis::Rate => format!("rate-{level}"),
            Axis::Concurrency => format!("concurrency-{level}"),
            Axis::AsConfigured => "as-configured".to_owned(),
        }
    }
}

/// What decides which level comes next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Plan {
    /// All of these, in this order.
    List { levels: Vec<f64> },
    /// The highest rate that the server keeps up with.
    Knee(Search),
    /// The highest level at which at least this share of the requests meets the objectives.
    Slo {
        share: f64,
        #[serde(flatten)]
        search: Search,
    },
}

/// How a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The first level.
    pub from: f64,
    /// No level is lower or higher than these.
    pub least: f64,
    pub most: f64,
    /// It ends when the lowest level that fails is higher than the highest that passes by so much of the latter.
    pub tolerance: f64,
    /// A level that is not clear is run so often at most.
    pub repeats: u32,
    /// Runs in all.
    pub max_runs: u32,
}

/// A sweep or search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub axis: Axis,
    pub plan: Plan,
    /// Runs of each level of a list.
    pub num_runs: u32,
    /// Before each run the server is asked to forget the prompts it knows.
    pub reset_prefix_cache: bool,
    /// A run whose requests pile up for good ends before its time.
    pub saturation_stop: bool,
}

impl Asked {
    /// What will be run, in a sentence.
    pub fn words(&self) -> String {
        let each =
            if self.num_runs > 1 { format!(", {} runs of each", self.num_runs) } else { String::new() };
        match (&self.plan, self.axis) {
            (Plan::List { .. }, Axis::AsConfigured) => format!("{} runs of this load", self.num_runs),
            (Plan::List { levels }, axis) => {
                let list: Vec<String> = levels.iter().map(f64::to_string).collect();
                format!("a run at each {}: {}{each}", axis.heading(), list.join(", "))
            }
            (Plan::Knee(search), _) => format!(
                "a search for the highest rate that the server keeps up with, from {} on, {} runs at most",
                search.from, search.max_runs
            ),
            (Plan::Slo { share, search }, axis) => format!(
                "a search for the highest {} at which a share of {share} meets the objectives, from {} on, {} runs at most",
                axis.heading(),
                search.from,
                search.max_runs
            ),
        }
    }
}
