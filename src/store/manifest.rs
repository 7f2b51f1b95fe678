//! `manifest.json`: what a run was, where, with which settings, and how many rows went in and out of
//! each stage. Rewritten whole (temporary file, then rename), so that it can be read at any moment.
//! This file must not know who fills the fields.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::folder::{MANIFEST, RunFolder, replace_file};
use crate::clock::{Anchor, Step, UnixNs};
use crate::secrets::Secrets;

/// Rises when a reader of the older form would misread the new one.
pub const SCHEMA_VERSION: u32 = 1;

/// One run, described. Unknown fields of a newer version survive a rewrite in `extra`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub schema_version: u32,
    pub tool: Tool,
    /// The run's name, as the report's title.
    pub name: String,
    pub state: RunState,
    pub created_unix_ns: UnixNs,
    pub ended_unix_ns: Option<UnixNs>,
    /// The resolved configuration; secrets are never in it.
    pub config: serde_json::Value,
    pub host: Host,
    pub clock: Clocks,
    pub target: TargetFacts,
    pub sources: Vec<SourceFacts>,
    /// Stage → rows in, out and bad.
    pub counts: BTreeMap<String, StageCounts>,
    pub warnings: Vec<String>,
    pub notes: Vec<String>,
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
}

/// How far the run came; `Running` in a folder that nobody writes means that it was killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    Finished,
    Interrupted,
    Failed,
}

/// The machine the load ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    pub hostname: Option<String>,
    pub os: Option<String>,
    pub kernel: Option<String>,
    pub cpu_model: Option<String>,
    pub cpus: Option<usize>,
    pub memory_bytes: Option<u64>,
}

/// The wall clock against the monotonic one, at both ends of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clocks {
    pub begin: Anchor,
    pub end: Option<Anchor>,
    /// How far the wall clock moved against the monotonic one in between.
    pub drift_s: Option<f64>,
    /// Its jumps, as they were seen.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// What the requests were sent to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetFacts {
    pub base_url: Option<String>,
    /// Name in the table of servers.
    pub server: String,
    pub server_version: Option<String>,
    /// How it is known that it is that one: `named`, or by what it was recognised.
    pub server_from: Option<String>,
    pub model: Option<String>,
    /// The embedded server was started for this run.
    pub embedded: bool,
    /// Client and server read one clock.
    pub same_host: bool,
}

/// One source of the server's side: where it is, and whether it said anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// `metrics`, `server_log`, `spans`.
    pub kind: String,
    pub location: String,
    pub rows: u64,
    /// A source that the server lacks is a note, not an error.
    pub note: Option<String>,
}

/// Rows through one stage.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageCounts {
    #[serde(rename = "in")]
    pub rows_in: u64,
    #[serde(rename = "out")]
    pub rows_out: u64,
    pub bad: u64,
}

impl Manifest {
    /// The manifest of a run that begins now.
    pub fn new(name: &str, config: serde_json::Value) -> Self {
        let begin = Anchor::now();
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool { name: "tare".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            name: name.to_owned(),
            state: RunState::Running,
            created_unix_ns: begin.wall_unix_ns,
            ended_unix_ns: None,
            config,
            host: Host::default(),
            clock: Clocks { begin, end: None, drift_s: None, steps: Vec::new() },
            target: TargetFacts::default(),
            sources: Vec::new(),
            counts: BTreeMap::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }

    /// Notes the end of the run and how far the clocks drifted apart.
    pub fn end(&mut self, state: RunState) {
        let end = Anchor::now();
        self.state = state;
        self.ended_unix_ns = Some(end.wall_unix_ns);
        self.clock.drift_s = Some(self.clock.begin.wall_drift_s(&end));
        self.clock.end = Some(end);
    }

    /// Adds a warning once.
    pub fn warn(&mut self, warning: impl Into<String>) {
        push_once(&mut self.warnings, warning.into());
    }

    /// Adds a note once.
    pub fn note(&mut self, note: impl Into<String>) {
        push_once(&mut self.notes, note.into());
    }

    /// Takes secrets out of everything that was said, by whoever: a server may repeat them in its
    /// version, a gateway on the page it gives in place of metrics.
    pub fn clean(&mut self, secrets: &Secrets) -> Result<()> {
        let mut value = serde_json::to_value(&*self)?;
        secrets.clean_value(&mut value);
        *self = serde_json::from_value(value).context("the manifest cannot be cleaned of secrets")?;
        Ok(())
    }

    /// Rewrites the file atomically.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        replace_file(&folder.file(MANIFEST), |file| {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            Ok(file.write_all(&text)?)
        })
    }

    /// Reads it back; a newer schema is refused rather than misread.
    pub fn read(folder: &RunFolder) -> Result<Self> {
        let path = folder.file(MANIFEST);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a manifest that this version can read", path.display()))?;
        anyhow::ensure!(
            manifest.schema_version <= SCHEMA_VERSION,
            "{} has schema version {}; this tare reads up to {SCHEMA_VERSION}: use tare {} or newer",
            path.display(),
            manifest.schema_version,
            manifest.tool.version,
        );
        Ok(manifest)
    }
}

fn push_once(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_survives_the_disc_with_fields_it_does_not_know() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), false).unwrap();
        let mut manifest = Manifest::new("demo", serde_json::json!({"seed": 7}));
        manifest.counts.insert("load".to_owned(), StageCounts { rows_in: 10, rows_out: 9, bad: 1 });
        manifest.warn("twice");
        manifest.warn("twice");
        manifest.extra.insert("calibration".to_owned(), serde_json::json!({"p99_s": 1e-5}));
        manifest.end(RunState::Finished);
        manifest.write(&folder).unwrap();

        let back = Manifest::read(&folder).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&manifest).unwrap());
        assert_eq!(back.warnings, ["twice"]);
        assert_eq!(back.extra["calibration"]["p99_s"], 1e-5);
        assert!(back.clock.drift_s.unwrap().abs() < 1.0);
    }

    #[test]
    fn a_newer_schema_is_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), false).unwrap();
        let mut manifest = Manifest::new("demo", serde_json::Value::Null);
        manifest.schema_version = SCHEMA_VERSION + 1;
        manifest.write(&folder).unwrap();
        let refused = Manifest::read(&folder).unwrap_err().to_string();
        assert!(refused.contains("schema version 2"), "{refused}");
    }
}
