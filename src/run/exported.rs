//! The export of client spans: of a run that goes on, and of a run folder. This file must not know what a span says.

use std::path::Path;

use super::progress::eprintln_line;
use super::secrets;
use super::writer::Writer;
use crate::config::{Config, SpanExport};
use crate::error::{broken, usage};
use crate::export::{self, Exported, Exporter, Facts};
use crate::ingest::Collector;
use crate::net::HttpUrl;
use crate::record::RequestRow;
use crate::store::folder::RESULTS_STREAM;
use crate::store::{Lines, Manifest, RunFolder};

/// Exports what the writer gets to see and what the server's spans are, if that was asked for. What is known of the server must be in `manifest`.
pub(super) fn begin(
    config: &Config,
    manifest: &Manifest,
    folder: &RunFolder,
    writer: &Writer,
    collector: &Collector,
) -> anyhow::Result<Option<Exporter>> {
    let Some(asked) = &config.observe.export_spans else { return Ok(None) };
    let warn = |text: &str| eprintln_line(&format!("warning: client spans: {text}; the run goes on"));
    let exporter = Exporter::start(asked, facts(config, manifest, folder), &secrets(config), warn)?;
    writer.export_with(exporter.feed());
    let feed = exporter.feed();
    collector.pass_spans_on(Box::new(move |spans| feed.pass_on(spans)));
    Ok(Some(exporter))
}

/// Sends what is left and notes what became of it.
pub(super) fn end(exporter: Option<Exporter>, manifest: &mut Manifest) {
    match exporter.map(Exporter::end) {
        None => {}
        Some(Ok(done)) => {
            if done.requests + done.passed_on > 0 {
                manifest.note(done.arrived());
            }
            if let Some(lacking) = done.lacking() {
                manifest.warn(lacking);
            }
        }
        // What was measured is whole.
        Some(Err(error)) => manifest.warn(format!("client spans: {error:#}")),
    }
}

/// Exports the requests of `folder`, which is only looked at: those that have ended.
pub fn export_spans(folder: &Path, asked: &SpanExport) -> anyhow::Result<Exported> {
    let folder = RunFolder::open(folder).map_err(super::unusable)?;
    let manifest = Manifest::read(&folder)?;
    let mut requests: Lines<RequestRow> = Lines::read(&folder.file(RESULTS_STREAM))?;
    if let Some(complaint) = requests.complaint(RESULTS_STREAM) {
        eprintln_line(&format!("note: {complaint}"));
    }
    requests.rows.sort_by_key(|row| row.index);
    let path = folder.path().display().to_string();
    let Ok(config) = serde_json::from_value::<Config>(manifest.config.clone()) else {
        return Err(usage(format!(
            "{path} holds what another tool recorded: with which span ids is not known"
        ))
        .hint("spans are exported of what `tare run` or `tare audit` sent")
        .into());
    };
    let exported = export::export(asked, &facts(&config, &manifest, &folder), &requests.rows)?;
    if exported.requests == 0 {
        let none = || format!("{path} holds no request that has ended");
        return Err(broken(exported.lacking().unwrap_or_else(none)).into());
    }
    Ok(exported)
}

/// What all requests of a run have in common.
fn facts(config: &Config, manifest: &Manifest, folder: &RunFolder) -> Facts {
    let address = |url: Option<&str>| {
        let url = HttpUrl::parse(url?).ok()?;
        Some((url.host, url.port))
    };
    let through = config.audit.as_ref().map(|audit| audit.through.as_str());
    Facts {
        run_id: run_id(folder.path()),
        name: manifest.name.clone(),
        label: config.label.clone(),
        model: manifest.target.model.clone(),
        server: manifest.target.server.clone(),
        addresses: [address(manifest.target.base_url.as_deref()), address(through)],
        temperature: config.workload.temperature,
        top_p: config.workload.top_p,
    }
}

/// The folder's name. Runs of a sweep are called alike: `sweep-…/point-01-rate-8/run-1`.
fn run_id(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    match names.as_slice() {
        [.., sweep, point, run] if run.starts_with("run-") && point.starts_with("point-") => {
            format!("{sweep}/{point}/{run}")
        }
        [.., run] => run.clone(),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_by_its_folder_and_one_of_a_sweep_by_the_sweeps_too() {
        assert_eq!(run_id(Path::new("output/demo-20260102-030405")), "demo-20260102-030405");
        assert_eq!(run_id(Path::new("output/knee/point-01-rate-8/run-1")), "knee/point-01-rate-8/run-1");
    }
}
