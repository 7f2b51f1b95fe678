//! `summary.json`: every number of the report, for programs: the flat keys of `vllm bench serve` at
//! the top level, ours beside them in sections. Times in sections are seconds.

use serde_json::{Map, Value, json};

use super::{Artifact, Report, audit, calibration, hosts, offered, own, verdict, vllm_json};
use crate::metric::Metric;

pub(super) const ARTIFACT: Artifact =
    Artifact { file: "summary.json", what: "every number, for programs", write };

/// Rises when a key changes its meaning.
const SCHEMA: u32 = 1;

fn write(report: &Report<'_>) -> anyhow::Result<String> {
    let mut top = if report.audit.is_some() { Map::new() } else { vllm_json::keys(report) };
    let c = report.correlated;
    let definitions: Map<String, Value> =
        Metric::ALL.iter().map(|m| (m.column().to_owned(), json!(m.definition()))).collect();
    let ours = [
        ("tare_schema", json!(SCHEMA)),
        ("run", json!(report.facts().into_iter().collect::<std::collections::BTreeMap<_, _>>())),
        ("warnings", json!(report.warnings())),
        ("notes", json!(report.notes.iter().chain(&report.manifest.notes).collect::<Vec<_>>())),
        ("verdict", json!(verdict::line(report))),
        ("headline", serde_json::to_value(&c.headline)?),
        ("breakdown", serde_json::to_value(&c.breakdown)?),
        ("breakdown_e2e", serde_json::to_value(&c.breakdown_e2e)?),
        ("hops", serde_json::to_value(&c.hops)?),
        ("over_window", serde_json::to_value(&c.over_window)?),
        ("probe_effect", serde_json::to_value(c.probe)?),
        ("stalls", serde_json::to_value(c.stalls)?),
        ("verdicts", serde_json::to_value(&c.verdicts)?),
        ("clocks", serde_json::to_value(&c.clocks)?),
        ("reconciliation", serde_json::to_value(&c.checks)?),
        ("coverage", serde_json::to_value(&c.coverage)?),
        ("server_aggregate", serde_json::to_value(&c.aggregate)?),
        ("offered", serde_json::to_value(offered::offered(report))?),
        ("own", serde_json::to_value(own::rows(report))?),
        ("summary", serde_json::to_value(report.summary)?),
        ("definitions", Value::Object(definitions)),
    ];
    top.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    if let Some(found) = report.audit {
        // Both arms together are no load: what would show them as one is left out, and each arm has its own.
        for of_one_load in ["headline", "breakdown", "breakdown_e2e", "over_window", "server_aggregate"] {
            top.remove(of_one_load);
        }
        top.insert("audit".to_owned(), serde_json::to_value(found)?);
        top.insert("verdict".to_owned(), json!(audit::verdict(report)));
    }
    if let Some(ranks) = hosts::ranks(report) {
        top.insert("ranks".to_owned(), serde_json::to_value(ranks)?);
    }
    if let Some(found) = report.calibration() {
        top.insert(calibration::KEY.to_owned(), serde_json::to_value(found)?);
    }
    Ok(serde_json::to_string_pretty(&Value::Object(top))? + "\n")
}
