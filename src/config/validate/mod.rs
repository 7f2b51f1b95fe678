//! From what was written to what the program uses: every default filled in, every value checked,
//! every problem reported with the field's name and a way out. Opens no file, sends nothing.

mod arrival;
mod dataset;
mod load;
mod multi_turn;
mod observe;
mod stages;
mod target;
mod trace;
mod workload;

use std::path::{Path, PathBuf};

pub(super) use self::target::api_key;

use super::check::{Check, Limits, Origins};
use super::file::File;
use super::{Config, audit, embedded, hops, overlay, results, slo, sweep, texts};
use crate::cli::{AuditArgs, RunArgs};
use crate::error::{Failure, usage};

/// As `vllm bench serve --num-prompts`.
const DEFAULT_REQUESTS: u64 = 1000;
const MONTH_S: f64 = 30.0 * 86_400.0;
const SPAN: Limits = Limits::from(0.0, MONTH_S, "seconds");
pub(super) const POSITIVE_SPAN: Limits = Limits::above(0.0, MONTH_S, "seconds");

/// Lays the flags over the file and resolves everything. `env` looks up environment variables.
pub fn resolve(
    mut file: File,
    source: Option<&Path>,
    flags: &RunArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Failure> {
    let mut origins = Origins::new(source);
    overlay::lay(flags, &mut file, &mut origins);
    all(file, source, flags, env, &origins)
}

/// The same for an audit, whose own flags stand beside those of a run.
pub fn resolve_audit(
    mut file: File,
    source: Option<&Path>,
    args: &AuditArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Failure> {
    let mut origins = Origins::new(source);
    let flags = audit::as_run(args);
    overlay::lay(&flags, &mut file, &mut origins);
    audit::lay(args, &mut file, &mut origins);
    all(file, source, &flags, env, &origins)
}

fn all(
    mut file: File,
    source: Option<&Path>,
    flags: &RunArgs,
    env: &dyn Fn(&str) -> Option<String>,
    origins: &Origins,
) -> Result<Config, Failure> {
    let mut check = Check::new(origins);
    texts::lay(flags, &mut file, &mut check);
    let audit = file.audit.take().map(|given| audit::resolve(&given, &mut file, env, &mut check));
    if audit.as_ref().is_some_and(|_| file.target.base_url.is_none()) {
        // Nothing else can be told of an audit without a server.
        check.finish()?;
        return Err(usage("an audit needs a server: `--direct URL`"));
    }

    let given = file.sweep.take().unwrap_or_default();
    let sweep = sweep::resolve(&given, &mut file, &mut check);
    if sweep.is_some() && audit.is_some() {
        check.problem("sweep", "an audit has rounds of its own", "leave the section out");
    }
    let seed = file.seed.unwrap_or(0);
    let results = results::resolve(flags, &file, &mut check);
    if sweep.is_some() && results.save.is_some() {
        let hint = "leave it out; each run's summary.json has the same keys";
        check.problem("--save-result", "several runs are asked for, and the file is of one", hint);
    }
    let mut load = load::load(&file, &mut check);
    load.keep_texts = results.save.as_ref().is_some_and(|save| save.detailed);
    let workload = workload::workload(&mut file, load.requests, &mut check);
    let mut embedded = embedded::from_file(&file, seed, &mut check);
    let observe = observe::observe(&file, &mut embedded, env, &mut check);
    let config = Config {
        name: name(&file, source, if audit.is_some() { "audit" } else { "run" }, &mut check),
        target: target::target(&mut file, embedded, env, &mut check),
        workload,
        load,
        observe,
        hops: hops::hops(&file.hops, &mut check),
        slo: slo::resolve(file.slo, &mut check),
        gates: std::mem::take(&mut file.gates),
        results,
        seed,
        metadata: std::mem::take(&mut file.metadata),
        label: file.label,
        output: output(file.output, &mut check),
        overwrite: file.overwrite.unwrap_or(false),
        calibrate: file.calibrate.unwrap_or(false),
        reset_prefix_cache: sweep.is_none() && given.reset_prefix_cache == Some(true),
        stop_over_saturated: given.stop_over_saturated.unwrap_or(sweep.is_some()),
        sweep,
        audit,
    };
    check.finish()?;
    Ok(config)
}

/// The name given, else the configuration file's.
fn name(file: &File, source: Option<&Path>, usual: &str, check: &mut Check<'_>) -> String {
    let fits = |name: &str| {
        !name.is_empty()
            && !name.starts_with(['.', '-'])
            && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
    };
    if let Some(name) = &file.name {
        if !fits(name) {
            let message = format!("expected letters, digits, `.`, `_` and `-`, found `{name}`");
            check.problem("name", message, "the name becomes part of the run folder's name");
        }
        return name.clone();
    }
    let stem = source.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    stem.filter(|stem| fits(stem)).unwrap_or_else(|| usual.to_owned())
}

fn output(output: Option<PathBuf>, check: &mut Check<'_>) -> Option<PathBuf> {
    if output.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        check.problem("output", "expected a folder, found nothing", "left out, it is output/NAME-TIME");
    }
    output
}
