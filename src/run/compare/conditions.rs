//! Under what conditions a run was: every setting that can change a figure, by the name that the
//! configuration gives it, and what else is known of server and client. This file must not know what
//! follows from a difference.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::record::StampSource;
use crate::run::Recomputed;
use crate::store::manifest::RunState;
use crate::units;

/// Sections of a configuration whose settings can change a figure.
const SECTIONS: [&str; 4] = ["load", "workload", "audit", "slo"];
/// Single settings that can.
const SETTINGS: [&str; 4] = ["seed", "target.endpoint", "observe.scrape_interval_s", "observe.no_metrics"];
/// Settings in these sections that cannot.
const OF_NO_MATTER: [&str; 5] = [
    "load.request_id_prefix",
    "audit.direct",
    "audit.through",
    "audit.through_model",
    "audit.through_api_key_env",
];
/// Exact stamps and the client's lag count as other conditions from these differences on.
const EXACT_SHARE: f64 = 0.01;
const LAG_S: f64 = 0.000_5;

/// What one run was under.
pub(super) struct Conditions {
    told: BTreeMap<String, String>,
    request_set: Option<u64>,
    exact: Option<f64>,
    lag_s: Option<f64>,
}

impl Conditions {
    /// Of another tool's file.
    pub(super) fn stated(told: BTreeMap<String, String>) -> Self {
        Self { told, request_set: None, exact: None, lag_s: None }
    }
}

/// Of one run.
pub(super) fn of(made: &Recomputed, request_set: Option<u64>) -> Conditions {
    let m = &made.manifest;
    let mut told = BTreeMap::new();
    settings(&m.config, "", &mut told);
    let embedded = m.target.embedded.then(|| m.config.pointer("/target/embedded")).flatten();
    if let Some(engine) = embedded {
        leaves(engine, "embedded".to_owned(), &mut told);
    }
    let mut say = |label: &str, value: String| told.insert(label.to_owned(), value);
    let version = m.target.server_version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
    let look_alike = if m.target.embedded { " (embedded look-alike)" } else { "" };
    say("server", format!("{}{version}{look_alike}", m.target.server));
    say("model", m.target.model.clone().unwrap_or_else(|| "unknown".to_owned()));
    say("tare version", m.tool.version.clone());
    say("window", made.summary.window.choice.clone());
    let host = [m.host.hostname.clone(), m.host.cpu_model.clone(), m.host.cpus.map(|n| format!("{n} CPUs"))];
    say("client", host.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if m.state != RunState::Finished {
        say("state", if m.state == RunState::Failed { "broke" } else { "interrupted" }.to_owned());
    }
    let stamps = made.correlated.rows.iter().map(|row| row.client.stamps).min().map(StampSource::as_str);
    say("stamps", stamps.unwrap_or("none").to_owned());
    let s = &made.summary.stamps;
    Conditions {
        told,
        request_set,
        exact: (s.events > 0).then(|| s.exact_events as f64 / s.events as f64),
        lag_s: s.client_lag.map(|lag| lag.mean_s),
    }
}

/// The same of all runs, with what only shows beside each other.
pub(super) fn told_apart(all: Vec<Conditions>) -> Vec<BTreeMap<String, String>> {
    let mut sets: Vec<Option<u64>> = Vec::new();
    let spread = |of: fn(&Conditions) -> Option<f64>| {
        let values: Vec<f64> = all.iter().filter_map(of).collect();
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most - values.iter().copied().fold(f64::INFINITY, f64::min)
    };
    let (exact, lag) = (spread(|c| c.exact) >= EXACT_SHARE, spread(|c| c.lag_s) >= LAG_S);
    let known = all.iter().any(|c| c.request_set.is_some());
    all.into_iter()
        .map(|c| {
            let mut told = c.told;
            let mut say = |label: &str, value: Option<String>| {
                told.insert(label.to_owned(), value.unwrap_or_else(|| "unknown".to_owned()));
            };
            if known {
                let number = sets.iter().position(|set| *set == c.request_set).unwrap_or_else(|| {
                    sets.push(c.request_set);
                    sets.len() - 1
                });
                say("prompts", c.request_set.map(|_| format!("request set {}", number + 1)));
            }
            if exact {
                say("stamps, exact events", c.exact.map(units::percent));
            }
            if lag {
                say("client lag, mean", c.lag_s.map(units::seconds));
            }
            told
        })
        .collect()
}

/// What people want to know of a run beside its figures.
pub(super) fn facts(made: &Recomputed) -> Vec<(String, String)> {
    let s = &made.summary;
    let mut facts: Vec<(String, String)> = made
        .report()
        .facts()
        .into_iter()
        .filter(|(label, _)| !matches!(*label, "run" | "steady state"))
        .map(|(label, value)| (label.to_owned(), value))
        .collect();
    let mut say = |label: &str, value: String| facts.push((label.to_owned(), value));
    let n = |n: usize| units::count(n as u64);
    let open =
        if s.counts.in_flight > 0 { format!(", {} not ended", n(s.counts.in_flight)) } else { String::new() };
    say("requests", format!("{} ok, {} failed{open}", n(s.counts.ok), n(s.counts.failed)));
    say("lasted", units::seconds(s.duration_s));
    say(
        "tokens",
        format!("{} in, {} out", units::count(s.totals.input_tokens), units::count(s.totals.output_tokens)),
    );
    if s.stamps.events > 0 {
        say("exact stamps", units::percent(s.stamps.exact_events as f64 / s.stamps.events as f64));
    }
    if let Some(lag) = s.stamps.client_lag {
        say("client lag", format!("mean {}, p99 {}", units::seconds(lag.mean_s), units::seconds(lag.p99_s)));
    }
    facts
}

/// The settings of a configuration that can change a figure.
fn settings(config: &Value, path: &str, told: &mut BTreeMap<String, String>) {
    let Value::Object(keys) = config else { return };
    for (key, value) in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if OF_NO_MATTER.contains(&path.as_str()) {
            continue;
        }
        let of_a_section = SECTIONS.iter().any(|section| {
            path == *section || path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
        });
        if of_a_section && value.is_object() || path == "target" || path == "observe" {
            settings(value, &path, told);
        } else if of_a_section || SETTINGS.contains(&path.as_str()) {
            leaves(value, path, told);
        }
    }
}

/// Every value of a tree, by its path; null is nothing.
fn leaves(value: &Value, path: String, told: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                leaves(value, format!("{path}.{key}"), told);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            told.insert(path, text.clone());
        }
        other => {
            told.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_change_figures_are_told_by_their_own_names() {
        let config = json!({
            "name": "a", "seed": 7, "output": "x",
            "load": {"arrival": {"kind": "closed", "users": 8}, "request_id_prefix": "tare-", "duration_s": null},
            "workload": {"dataset": {"name": "random"}, "max_tokens": 64, "extra_body": {}},
            "target": {"base_url": "http://h", "endpoint": "chat"},
            "observe": {"scrape_interval_s": 1.0, "server_log": "x.log"},
        });
        let mut told = BTreeMap::new();
        settings(&config, "", &mut told);
        let said: Vec<String> = told.iter().map(|(label, value)| format!("{label} = {value}")).collect();
        assert_eq!(
            said,
            [
                "load.arrival.kind = closed",
                "load.arrival.users = 8",
                "observe.scrape_interval_s = 1.0",
                "seed = 7",
                "target.endpoint = chat",
                "workload.dataset.name = random",
                "workload.max_tokens = 64",
            ]
        );
    }
}
