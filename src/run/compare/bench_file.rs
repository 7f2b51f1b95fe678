//! A result file of `vllm bench serve --save-result` in the place of a run folder. With `--save-detailed` its requests
//! become a run folder beside the comparison, and are judged like any run's; without, there are that tool's figures
//! alone, of which no interval is known. This file must not know how a figure is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::names;
use crate::compare::Run;
use crate::error::{Explain, usage};
use crate::record::comparison::RunFacts;
use crate::record::measure::{Key, Measure, Quantity, Stat};
use crate::record::selection::Selection;
use crate::run::{Import, import};
use crate::store::RunFolder;
use crate::units;

/// The folder of the runs that are made of files, in that of the comparison.
const MADE: &str = "from-files";
/// Rates that take the requests' starts to be counted anew.
const RATES: [Measure; 3] = [Measure::RequestThroughput, Measure::OutputThroughput, Measure::TotalThroughput];
/// What the file says of its load, with the name that a configuration has for the same.
const LOAD: [(&str, &str); 4] = [
    ("num_prompts", "load.requests"),
    ("max_concurrency", "load.max_concurrency"),
    ("request_rate", "load.arrival.rate_rps"),
    ("burstiness", "load.arrival.burstiness"),
];

/// A measure's figures, and how many requests they are of.
type Stated = (Measure, Vec<(Stat, f64)>, usize);

/// A result file, read.
pub(super) struct BenchFile {
    path: PathBuf,
    /// What it is called, if nobody says otherwise.
    pub name: String,
    object: Map<String, Value>,
}

impl BenchFile {
    /// Reads a file that is no folder; in words why it is no result.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).or_usage(format!("cannot read {shown}"))?;
        let hint = "name a folder that `tare run`, `tare correlate` or `tare audit` wrote, or a file of `vllm bench serve --save-result`";
        let mut results = Vec::new();
        for result in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            results.push(
                result
                    .or_usage(format!("{shown}: expected a run folder or a result file, found no JSON"))
                    .hint(hint)?,
            );
        }
        let n = results.len();
        let object = match (results.pop(), n) {
            (Some(Value::Object(object)), 1) if is_result(&object) => object,
            (Some(Value::Object(object)), 2..) if is_result(&object) => {
                return Err(usage(format!(
                    "{shown}: expected one result, found {n}, as `--append-result` writes them"
                ))
                .hint("`tare correlate --client FILE --client-part DATE` makes a run folder of one")
                .into());
            }
            _ => {
                return Err(usage(format!(
                    "{shown}: expected a run folder or a result file, found no object with `completed`, `duration` and `mean_ttft_ms`"
                ))
                .hint(hint)
                .into());
            }
        };
        Ok(Self { path: path.to_owned(), name: names::stem(path), object })
    }

    /// Whether its single requests are in it.
    fn is_detailed(&self) -> bool {
        ["ttfts", "itls"].iter().all(|key| self.object.get(*key).is_some_and(Value::is_array))
    }

    /// Ready to be compared; a detailed one through a run folder below `to`, number `i`.
    pub fn run(
        &self,
        name: &str,
        i: usize,
        to: &Path,
        selection: Selection,
        slo: crate::record::slo::Slo,
    ) -> anyhow::Result<Run> {
        if !self.is_detailed() {
            if selection != Selection::All {
                return Err(usage(format!("{}: a summary has no window", self.path.display()))
                    .hint("leave `--window` out, or keep each request: --save-detailed")
                    .into());
            }
            return Ok(self.summary(name));
        }
        let into = made(to, i);
        let given = Import {
            client: self.path.clone(),
            client_format: Some("vllm_bench".to_owned()),
            server: "vllm".to_owned(),
            name: name.to_owned(),
            output: Some(into.clone()),
            overwrite: true,
            ..Import::default()
        };
        let (_, made) = import(&given)?;
        made.whole(&into)?;
        let folder = RunFolder::open(&into).map_err(crate::run::unusable)?;
        let looked = super::look(&folder, selection)?;
        let mut run = super::run(&into, name, None, &looked, slo)?;
        // Prompt tokens are those that the tool counted itself; and without starts there are no rates but its own.
        let placed =
            self.object.get("start_times").is_some_and(|v| v.as_array().is_some_and(|a| !a.is_empty()));
        let whole = if selection == Selection::All { RATES.as_slice() } else { &[] };
        for (measure, figures, n) in self.stated() {
            if measure == Measure::InputTokens
                || whole.contains(&measure) && (!placed || measure == Measure::TotalThroughput)
            {
                run.state(measure, figures, n);
            }
        }
        if !placed {
            run.drop_rates();
        }
        Ok(run)
    }

    /// Of a file without requests.
    fn summary(&self, name: &str) -> Run {
        let n = |key: &str| self.number(key).map_or(0, |n| n as usize);
        let (ok, failed) = (n("completed"), n("failed"));
        let facts = RunFacts {
            name: name.to_owned(),
            folder: self.path.display().to_string(),
            facts: self.facts(ok, failed),
            warnings: vec![
                "a summary of `vllm bench serve`: its figures have no interval, so no difference is concluded from them; `--save-detailed` keeps each request".to_owned(),
            ],
            checks: Vec::new(),
            headline: Vec::new(),
        };
        let mut run = Run::stated(facts, ok, failed);
        for (measure, figures, n) in self.stated() {
            run.state(measure, figures, n);
        }
        run
    }

    /// The figures that the file states, in the unit of files, with how many requests each is of (0: not said).
    fn stated(&self) -> Vec<Stated> {
        let completed = self.number("completed").filter(|n| *n >= 1.0);
        let Some(n) = completed else { return Vec::new() };
        let mut by: BTreeMap<Measure, Vec<(Stat, f64)>> = BTreeMap::new();
        for (name, value) in &self.object {
            // What was not measured is 0 there. Which objectives goodput is of, the file does not say.
            let (Some(key), Some(value)) = (Key::parse(name), value.as_f64().filter(|v| *v > 0.0)) else {
                continue;
            };
            if key.measure == Measure::Goodput {
                continue;
            }
            let factor = if key.measure.about().quantity == Quantity::Seconds { 1e-3 } else { 1.0 };
            let figures = by.entry(key.measure).or_default();
            if !figures.iter().any(|(stat, _)| *stat == key.stat) {
                figures.push((key.stat, value * factor));
            }
        }
        for (name, measure) in
            [("total_input_tokens", Measure::InputTokens), ("total_output_tokens", Measure::OutputTokens)]
        {
            if let Some(total) = self.number(name) {
                by.insert(measure, vec![(Stat::Mean, total / n)]);
            }
        }
        let of = |measure: Measure| if measure == Measure::Itl { 0 } else { n as usize };
        by.into_iter().map(|(measure, figures)| (measure, figures, of(measure))).collect()
    }

    /// What can be held against the conditions of a run.
    pub fn conditions(&self) -> BTreeMap<String, String> {
        let mut told = BTreeMap::from([
            ("tare version".to_owned(), "none: measured by vllm bench serve".to_owned()),
            ("stamps".to_owned(), "user".to_owned()),
            ("model".to_owned(), self.text("model_id").unwrap_or_else(|| "unknown".to_owned())),
            ("server".to_owned(), "unknown".to_owned()),
        ]);
        let load = LOAD.iter().filter_map(|(key, label)| Some(((*label).to_owned(), self.text(key)?)));
        told.extend(load);
        told
    }

    fn facts(&self, ok: usize, failed: usize) -> Vec<(String, String)> {
        let mut facts = vec![("tool".to_owned(), "vllm bench serve".to_owned())];
        let keys = ["date", "model_id", "backend", "num_prompts", "request_rate", "max_concurrency"];
        facts.extend(keys.iter().filter_map(|key| Some(((*key).replace('_', " "), self.text(key)?))));
        let n = |n: usize| units::count(n as u64);
        facts.push(("requests".to_owned(), format!("{} ok, {} failed", n(ok), n(failed))));
        facts.extend(self.number("duration").map(|s| ("lasted".to_owned(), units::seconds(s))));
        facts
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.object.get(key)?.as_f64().filter(|n| n.is_finite())
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.object.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Removes what a comparison that failed has made of files.
pub(super) fn discard(to: &Path, n: usize) {
    for i in 0..n {
        let run = made(to, i);
        if run.is_dir()
            && let Ok(folder) = RunFolder::create(&run, true)
        {
            folder.discard();
            drop(std::fs::remove_dir(&run));
        }
    }
    drop(std::fs::remove_dir(to.join(MADE)));
}

fn made(to: &Path, i: usize) -> PathBuf {
    to.join(MADE).join((i + 1).to_string())
}

fn is_result(object: &Map<String, Value>) -> bool {
    ["completed", "duration", "mean_ttft_ms"].iter().all(|key| object.get(*key).is_some_and(Value::is_number))
}
