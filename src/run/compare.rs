//! Run folders, and result files of another tool, side by side: reads each, compares it with the baseline, judges gates, writes the page, the
//! numbers and the figures. What is wrong with what was asked for is said before the first row is read.
//! This file must not know how a figure is compared.

mod bench_file;
mod conditions;
mod draw;
mod gates;
mod names;

use self::bench_file::BenchFile;
pub use self::gates::{Gates, Judged, configured as configured_gates};

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::recompute::{self, looked_at};
use super::{Recomputed, unusable};
use crate::compare::judge::FailOn;
use crate::compare::pooled::Pooled;
use crate::compare::{self, Given, Run};
use crate::error::{Explain, Failure, usage};
use crate::plot::PlotData;
use crate::record::comparison::{AuditFacts, Audits, Comparison, RunFacts};
use crate::record::selection::Selection;
use crate::record::slo::Slo;
use crate::report::{self, Page};
use crate::store::folder::{COMPARE_JSON, COMPARE_MD, REQUEST_SET};
use crate::store::manifest::RunState;
use crate::store::{Manifest, RunFolder};

/// Rises when a key of `compare.json` changes its meaning.
const SCHEMA: u32 = 1;

/// What is to be compared, and how.
#[derive(Clone, Debug, Default)]
pub struct ToCompare {
    pub folders: Vec<PathBuf>,
    /// `WHICH=NAME` as written: a letter, or a folder as it was given.
    pub names: Vec<String>,
    pub baseline: Option<String>,
    pub selection: Selection,
    /// What a good request keeps to; nothing: what the runs themselves were given, if that is the same.
    pub slo: Slo,
    /// Gates as written; none: those of the runs' own configurations, all together.
    pub fail_if: Vec<String>,
    pub fail_on: FailOn,
    pub output: Option<PathBuf>,
    pub overwrite: bool,
}

/// What came of it.
pub enum Compared {
    Runs(Comparison),
    Audits(Audits),
}

impl Compared {
    /// As people read it: `all` figures, or those that they ask for first.
    pub fn page(&self, all: bool) -> Page {
        match self {
            Compared::Runs(comparison) => report::comparison(comparison, all),
            Compared::Audits(audits) => report::audits(audits, all),
        }
    }
}

/// Compares, writes, and gives the folder back, with what gates said: those that cannot be judged keep nothing from being
/// written.
pub fn compare(asked: &ToCompare) -> anyhow::Result<(PathBuf, Compared, Judged)> {
    let opened = Opened::of(asked)?;
    let folder = folder_of(asked)?;
    match opened.compare(asked, &folder) {
        Ok((compared, judged)) => Ok((folder.path().to_owned(), compared, judged)),
        Err(error) => {
            bench_file::discard(folder.path(), asked.folders.len());
            folder.discard();
            Err(error)
        }
    }
}

/// What figures of the runs side by side are drawn from; nothing is written.
pub(super) fn figure_data(asked: &ToCompare) -> anyhow::Result<PlotData> {
    let opened = Opened::of(asked)?;
    if opened.audits {
        return Err(usage("these are audits: each has a figure of its own, plots/audit")
            .hint("`tare compare` sets them side by side in a table")
            .into());
    }
    if opened.sources.iter().any(|source| matches!(source, Source::File(_))) {
        return Err(usage("a figure by run is of run folders; this is a result file of another tool")
            .hint("`tare compare` draws both, into a folder of its own")
            .into());
    }
    Ok(draw::data(&opened.runs(asked, Path::new("."))?))
}

/// What is compared: a run folder with an ended run, or another tool's file.
enum Source {
    Folder(RunFolder, Box<Manifest>),
    File(BenchFile),
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if path.is_file() {
            return BenchFile::read(path).map(Source::File);
        }
        open(path).map(|(folder, manifest)| Source::Folder(folder, Box::new(manifest)))
    }

    /// As it was run.
    fn name(&self) -> &str {
        match self {
            Source::Folder(_, manifest) => &manifest.name,
            Source::File(file) => &file.name,
        }
    }

    fn manifest(&self) -> Option<&Manifest> {
        match self {
            Source::Folder(_, manifest) => Some(manifest),
            Source::File(_) => None,
        }
    }
}

/// The sources asked for, ready to be read.
struct Opened {
    sources: Vec<Source>,
    names: Vec<String>,
    baseline: usize,
    audits: bool,
    gates: Gates,
}

impl Opened {
    fn of(asked: &ToCompare) -> anyhow::Result<Self> {
        if asked.folders.len() < 2 {
            let found = asked.folders.len();
            return Err(usage(format!("expected two run folders or more, found {found}"))
                .hint("tare compare output/a output/b")
                .into());
        }
        // What is wrong with these is known without any run.
        Gates::read(&asked.fail_if, &[], asked.fail_on)?;
        let sources: Vec<Source> =
            asked.folders.iter().map(|path| Source::open(path)).collect::<anyhow::Result<_>>()?;
        let as_run: Vec<&str> = sources.iter().map(Source::name).collect();
        let names = names::names(&asked.folders, &as_run, &asked.names)?;
        let baseline = match &asked.baseline {
            Some(which) => names::which("--baseline", which, &names, &asked.folders)?,
            None => 0,
        };
        let is_audit = |source: &Source| source.manifest().and_then(recompute::plan_of).is_some();
        let audits = sources.iter().filter(|source| is_audit(source)).count();
        if audits != 0 && audits != sources.len() {
            let kinds = sources.iter().map(|source| if is_audit(source) { "an audit" } else { "a run" });
            return Err(mixed(kinds, &names));
        }
        let manifests: Vec<&Manifest> = sources.iter().filter_map(Source::manifest).collect();
        let gates = Gates::read(&asked.fail_if, &each_once(&manifests), asked.fail_on)?;
        let opened = Self { names, baseline, audits: audits > 0, gates, sources };
        if opened.audits {
            refuse_for_audits(asked)?;
        }
        Ok(opened)
    }

    fn compare(&self, asked: &ToCompare, to: &RunFolder) -> anyhow::Result<(Compared, Judged)> {
        if self.audits {
            let audits = self.audits(asked)?;
            let numbers = serde_json::to_value(&audits)?;
            let compared = Compared::Audits(audits);
            write(to, &compared.page(true), "audits", numbers)?;
            return Ok((compared, Judged::default()));
        }
        let runs = self.runs(asked, to.path())?;
        let mut comparison = compare::compare(&runs, self.baseline);
        let judged = self.gates.judged(&runs, self.baseline);
        comparison.gates.clone_from(&judged.found);
        let figures = draw::figures(to, &runs)?;
        let numbers = serde_json::to_value(&comparison)?;
        let compared = Compared::Runs(comparison);
        write(to, &Page { figures, ..compared.page(true) }, "runs", numbers)?;
        Ok((compared, judged))
    }

    /// Each run read and made ready, one after the other: their rows are never in memory together.
    fn runs(&self, asked: &ToCompare, to: &Path) -> anyhow::Result<Vec<Run>> {
        let slo = if asked.slo.is_empty() { self.common_slo() } else { asked.slo };
        let mut runs = Vec::new();
        let mut conditions = Vec::new();
        for (i, (source, name)) in self.sources.iter().zip(&self.names).enumerate() {
            match source {
                Source::Folder(folder, _) => {
                    let made = look(folder, asked.selection)?;
                    let set = request_set(folder);
                    conditions.push(conditions::of(&made, set));
                    runs.push(run(folder.path(), name, set, &made, slo)?);
                }
                Source::File(file) => {
                    conditions.push(conditions::Conditions::stated(file.conditions()));
                    let mut run = file.run(name, i, to, asked.selection, slo)?;
                    run.says_little();
                    runs.push(run);
                }
            }
        }
        for (run, of) in runs.iter_mut().zip(conditions::told_apart(conditions)) {
            run.set_conditions(of);
        }
        Ok(runs)
    }

    /// What all runs were given that say so; nothing where that is not the same.
    fn common_slo(&self) -> Slo {
        let mut each = self.sources.iter().filter_map(Source::manifest).map(recompute::slo_of);
        let first = each.next().unwrap_or_default();
        if each.all(|slo| slo == first) { first } else { Slo::default() }
    }

    fn audits(&self, asked: &ToCompare) -> anyhow::Result<Audits> {
        let mut audits = Vec::new();
        let mut conditions = Vec::new();
        for (source, name) in self.sources.iter().zip(&self.names) {
            let Source::Folder(folder, _) = source else { continue };
            let made = look(folder, asked.selection)?;
            conditions.push(conditions::of(&made, None));
            let facts = facts(folder.path(), name, &made);
            let Some(found) = made.audit else { continue };
            let verdicts = made.correlated.verdicts;
            audits.push(AuditFacts {
                name: facts.name,
                folder: facts.folder,
                facts: facts.facts,
                warnings: facts.warnings,
                found,
                verdicts,
            });
        }
        let unlike = compare::unlike::of_conditions(&conditions::told_apart(conditions));
        Ok(Audits { audits, unlike })
    }
}

/// The gates of all configurations: none of them is dropped for a run that lacks it.
fn each_once(manifests: &[&Manifest]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for gate in manifests.iter().flat_map(|manifest| configured_gates(manifest)) {
        if !all.contains(&gate) {
            all.push(gate);
        }
    }
    all
}

fn open(path: &Path) -> anyhow::Result<(RunFolder, Manifest)> {
    if !path.is_dir() {
        return Err(usage(format!("{}: expected a run folder, found nothing", path.display()))
            .hint("name a folder that `tare run`, `tare correlate` or `tare audit` wrote")
            .into());
    }
    if super::is_sweep(path) {
        return Err(usage(format!("{}: expected a run folder, found one of a sweep", path.display()))
            .hint("give the folder of a run in it, such as point-01-rate-8/run-1")
            .into());
    }
    let folder = RunFolder::open(path).map_err(unusable)?;
    let manifest = Manifest::read(&folder).or_usage("the run cannot be read")?;
    if manifest.state == RunState::Running {
        return Err(usage(format!("{} has not ended: it was killed, or is still going on", path.display()))
            .hint("compare runs that ended; `tare report` reports what there is of a killed one")
            .into());
    }
    Ok((folder, manifest))
}

fn look(folder: &RunFolder, selection: Selection) -> anyhow::Result<Recomputed> {
    looked_at(folder, selection).hint(format!("the run is that of {}", folder.path().display()))
}

fn mixed<'a>(kinds: impl Iterator<Item = &'a str>, names: &[String]) -> anyhow::Error {
    let kinds: Vec<String> =
        names.iter().zip(kinds).map(|(name, kind)| format!("`{name}` is {kind}")).collect();
    usage(format!("runs and audits cannot be compared with each other: {}", kinds.join(", ")))
        .hint("compare runs with runs, audits with audits")
        .into()
}

/// What is said of a run against a baseline has no meaning for audits.
fn refuse_for_audits(asked: &ToCompare) -> anyhow::Result<()> {
    let given = [
        ("--fail-if", !asked.fail_if.is_empty()),
        ("--goodput", !asked.slo.is_empty()),
        ("--baseline", asked.baseline.is_some()),
    ];
    let problems = given.into_iter().filter(|(_, given)| *given).map(|(flag, _)| {
        usage(format!("`{flag}` is not for audits")).hint("an audit is compared with its own direct requests")
    });
    Failure::all(problems.collect()).map_or(Ok(()), |failure| Err(failure.into()))
}

fn run(folder: &Path, name: &str, set: Option<u64>, made: &Recomputed, slo: Slo) -> anyhow::Result<Run> {
    let starts = made.correlated.rows.iter().map(|row| row.client.started_unix_ns);
    Ok(Run::new(Given {
        facts: facts(folder, name, made),
        correlated: &made.correlated,
        gaps: Pooled::gaps(&made.correlated.rows, &made.events)?,
        begun: starts.min().unwrap_or_default(),
        duration_s: made.summary.duration_s,
        is_cut: made.summary.window.is_cut(),
        request_set: set,
        slo,
    }))
}

fn facts(folder: &Path, name: &str, made: &Recomputed) -> RunFacts {
    RunFacts {
        name: name.to_owned(),
        folder: folder.display().to_string(),
        facts: conditions::facts(made),
        checks: made.correlated.checks.clone(),
        warnings: made.report().warnings().into_iter().chain(made.notes.iter().cloned()).collect(),
        headline: made.correlated.headline.clone(),
    }
}

/// Tells request sets apart.
fn request_set(folder: &RunFolder) -> Option<u64> {
    let bytes = std::fs::read(folder.file(REQUEST_SET)).ok().filter(|bytes| !bytes.is_empty())?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

/// The folder to write to: as named, or `output/compare-<time>`.
fn folder_of(asked: &ToCompare) -> anyhow::Result<RunFolder> {
    let path = asked.output.clone().unwrap_or_else(|| {
        let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
        Path::new("output").join(format!("compare-{now}"))
    });
    RunFolder::create(&path, asked.overwrite).map_err(unusable)
}

fn write(folder: &RunFolder, page: &Page, kind: &str, numbers: Value) -> anyhow::Result<()> {
    let mut top = serde_json::Map::new();
    top.insert("tare_schema".to_owned(), json!(SCHEMA));
    top.insert("kind".to_owned(), json!(kind));
    if let Value::Object(keys) = numbers {
        top.extend(keys);
    }
    let text = serde_json::to_string_pretty(&Value::Object(top))? + "\n";
    for (file, text) in [(COMPARE_MD, page.markdown()), (COMPARE_JSON, text)] {
        let path = folder.file(file);
        std::fs::write(&path, text).or_usage(format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
