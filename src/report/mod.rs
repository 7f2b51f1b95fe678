//! What people read: the correlated run as tables, Markdown and JSON. One file per writer, listed in
//! [`ARTIFACTS`]. This module must not know how anything was measured.

mod audit;
mod breakdown;
mod calibration;
mod causes;
pub mod ci;
mod client_totals;
mod clocks;
mod compare;
mod compare_audits;
mod compare_words;
mod csv;
mod diagnosis;
mod distributions;
mod figures;
mod from_events;
mod full_load;
mod gaps;
mod hops;
mod hosts;
mod html;
mod inexact;
mod json;
mod junit;
mod lengths;
mod markdown;
mod next_level;
mod offered;
mod over_window;
mod own;
mod page;
mod summary;
pub mod sweep;
mod tables;
mod terminal;
mod turns;
mod verdict;
mod verdicts;
pub mod vllm;
mod vllm_json;
mod waterfall;
mod window;

use std::io::Write as _;

use anyhow::Context;

pub use self::audit::name as cell_name;
pub use self::breakdown::chief as chief_part;
pub use self::compare::page as comparison;
pub use self::compare_audits::page as audits;
pub use self::compare_words::gate as gate_in_words;
pub use self::diagnosis::print as print_diagnosis;
pub use self::distributions::MetricSummary;
pub use self::figures::{BothSides, Figure, Figures};
pub use self::from_events::FromEvents;
pub use self::hosts::rows as host_rows;
pub use self::page::Page;
pub use self::summary::{Counts, Summary};
pub use self::terminal::{print, print_calibration, print_page};
pub use self::waterfall::print as print_waterfall;
pub use self::window::View;

use crate::plot::PlotData;
use crate::record::JoinedRow;
use crate::record::audit::Found;
use crate::record::correlated::Correlated;
use crate::record::timeline::Timeline;
use crate::record::waterfall::{Chosen, Outline, Waterfall};
use crate::store::Manifest;
use crate::store::folder::replace_file;

/// One request's parts, stamps and gaps as CSV.
pub fn request_csv(waterfall: &Waterfall) -> anyhow::Result<String> {
    csv::one_request(waterfall)
}

/// All that a writer needs.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    pub manifest: &'a Manifest,
    pub correlated: &'a Correlated,
    pub summary: &'a Summary,
    /// Of an audit: what it found.
    pub audit: Option<&'a Found>,
    /// What was lost in reading the folder, and other things to be said.
    pub notes: &'a [String],
    /// Of the whole run, whatever the rest is made from.
    pub timeline: Option<&'a Timeline>,
    /// Requests that are shown one by one.
    pub chosen: &'a [Chosen],
    /// Any other request, as far as its row tells.
    pub outline: fn(&JoinedRow) -> Outline,
    /// What the figures are drawn from.
    pub figures: &'a PlotData,
}

/// One file of the report.
pub struct Artifact {
    pub file: &'static str,
    pub what: &'static str,
    pub write: fn(&Report<'_>) -> anyhow::Result<String>,
}

/// Every file of the report.
pub const ARTIFACTS: &[Artifact] = &[
    markdown::ARTIFACT,
    json::ARTIFACT,
    html::ARTIFACT,
    csv::REQUESTS,
    csv::BREAKDOWN,
    csv::TIMELINE_CLIENT,
    csv::TIMELINE_TTFT,
    csv::TIMELINE_SERVER,
    csv::STAMPS,
    csv::GAPS,
];

/// Writes every artifact into `folder`, whole or not at all; what could not be written is returned.
pub fn write_all(folder: &std::path::Path, report: &Report<'_>) -> Vec<anyhow::Error> {
    let write = |artifact: &Artifact| -> anyhow::Result<()> {
        let path = folder.join(artifact.file);
        let text = (artifact.write)(report)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("could not create {}", folder.display()))?;
        }
        replace_file(&path, |file| Ok(file.write_all(text.as_bytes())?))
    };
    ARTIFACTS.iter().filter_map(|artifact| write(artifact).err()).collect()
}

impl Report<'_> {
    /// What a reader must know before any number.
    pub fn warnings(&self) -> Vec<String> {
        let mut said: Vec<String> = hosts::part_of(self).into_iter().collect();
        said.extend(self.summary.warnings(self.manifest));
        said.extend(hosts::warnings(self));
        said.extend(self.audit.into_iter().flat_map(audit::warnings));
        said.extend(hops::warnings(&self.correlated.hops));
        let lengths = lengths::of(self.correlated.rows.iter().map(|row| &row.client));
        said.extend(lengths.filter(|lengths| lengths.is_wrong).map(|lengths| lengths.said));
        said
    }

    /// What the run was, as label and value.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let m = self.manifest;
        let target = match (&m.target.base_url, m.target.embedded) {
            (_, true) => "embedded server (a vLLM look-alike, no model)".to_owned(),
            (Some(url), false) => url.clone(),
            (None, false) => "unknown".to_owned(),
        };
        let mut server = m.target.server.clone();
        if let Some(version) = &m.target.server_version {
            server = format!("{server} {version}");
        }
        // That it is the one that was named, or started, is no news.
        if let Some(from) = m.target.server_from.as_ref().filter(|from| *from != "named") {
            server = format!("{server} ({from})");
        }
        let mut facts = vec![
            ("run", m.name.clone()),
            ("target", target),
            ("server", server),
            ("model", m.target.model.clone().unwrap_or_else(|| "unknown".to_owned())),
            ("load", self.load_in_words()),
            ("begun", rfc3339(m.created_unix_ns)),
            ("tare", m.tool.version.clone()),
        ];
        if let (Some(cpu), Some(cpus)) = (&m.host.cpu_model, m.host.cpus) {
            facts.push(("client", format!("{cpu}, {cpus} CPUs")));
        }
        facts.extend(hosts::facts(self));
        if self.audit.is_none() {
            facts.extend(offered::offered(self).map(|offered| ("offered", offered.words())));
            facts.extend(window::facts(self));
        }
        facts
    }

    /// The arrival process, as a person would say it.
    fn load_in_words(&self) -> String {
        let at = |pointer: &str| self.manifest.config.pointer(pointer);
        if let Some(found) = self.audit {
            return audit::load_in_words(found);
        }
        let number = |pointer: &str| at(pointer).and_then(serde_json::Value::as_f64);
        let law = self.manifest.extra.get("asked").and_then(|asked| asked.get("law")?.as_str());
        let arrival = match (law, at("/load/arrival/kind").and_then(serde_json::Value::as_str)) {
            (Some(law), _) => law.to_owned(),
            // Of a run before that was written down.
            (None, Some("closed")) => format!(
                "{} users, ramped over {} s",
                number("/load/arrival/users").unwrap_or(0.0),
                number("/load/arrival/ramp_s").unwrap_or(0.0)
            ),
            (None, Some(kind @ ("constant" | "poisson"))) => {
                format!("{kind} arrivals, {} requests/s", number("/load/arrival/rate_rps").unwrap_or(0.0))
            }
            (None, Some(kind)) => kind.to_owned(),
            (None, None) => return "unknown".to_owned(),
        };
        let history = self.manifest.extra.get("workload").and_then(|workload| workload.get("history"));
        let what = if history.is_some_and(|whose| !whose.is_null()) { "conversations" } else { "requests" };
        let ends = [
            number("/load/requests").map(|n| format!("{n} {what}")),
            number("/load/duration_s").map(|s| format!("{s} s")),
        ];
        let ends: Vec<String> = ends.into_iter().flatten().collect();
        if ends.is_empty() { arrival } else { format!("{arrival}; for {}", ends.join(" or ")) }
    }
}

fn rfc3339(t: crate::clock::UnixNs) -> String {
    chrono::DateTime::from_timestamp_nanos(t.0).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
