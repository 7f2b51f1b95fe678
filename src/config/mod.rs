//! The resolved configuration: what the program uses, every default filled in, every value checked.
//! `file` holds the YAML exactly as written, `read` reads it, `overlay` and `texts` lay the flags over
//! it, and `validate` turns the two into this. Nothing below this module sees a raw flag or a YAML key.

mod args;
mod arrival;
mod audit;
mod bench;
mod check;
mod cpus;
mod embedded;
mod engine;
mod export;
pub mod file;
mod hops;
pub mod law;
mod load;
mod overlay;
mod read;
pub mod results;
mod slo;
mod suggest;
mod sweep;
mod texts;
pub mod validate;
mod workload;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::args::normalise_args;
pub use self::arrival::{Arrival, Change, Gaps, Over, RateStage, Times, UserStage};
pub use self::bench::as_vllm;
pub use self::cpus::CpuList;
pub use self::embedded::{from_flags as embedded_from_flags, to_flags as embedded_to_flags};
pub use self::engine::{Embedded, LogFormat, Pose};
pub use self::export::{SpanExport, SpanTarget, span_export};
pub use self::hops::hop_of;
pub use self::load::{Connections, Load, Stamps};
pub use self::suggest::nearest;
pub use self::workload::{Columns, Dataset, MultiTurn, Tokenizer, Trace, TraceFields, TraceFormat, Workload};
use crate::cli::{AuditArgs, ResultArgs, RunArgs};
use crate::record::Endpoint;
use crate::record::audit::Warmth;
use crate::record::results::Results;
use crate::record::slo::Slo;

/// Reads the file, if there is one, lays the flags over it and resolves everything. Keys come from
/// the environment.
pub fn load(path: Option<&Path>, flags: &RunArgs) -> anyhow::Result<Config> {
    let file = path.map(read::read).transpose()?.unwrap_or_default();
    audit::refuse(&file)?;
    let env = |name: &str| std::env::var(name).ok();
    Ok(validate::resolve(file, path, flags, &env)?)
}

/// The same for an audit: its flags and the file's section `audit` stand in the place of a load.
pub fn load_audit(args: &AuditArgs) -> anyhow::Result<Config> {
    let path = args.config.as_deref();
    let file = path.map(read::read).transpose()?.unwrap_or_default();
    let env = |name: &str| std::env::var(name).ok();
    Ok(validate::resolve_audit(file, path, args, &env)?)
}

/// How a run that has ended is told, by other flags than it was made with.
pub fn results_of(flags: &ResultArgs, given: Results) -> anyhow::Result<Results> {
    let origins = check::Origins::default();
    let mut check = check::Check::new(&origins);
    let results = results::laid(flags, given, &mut check);
    check.finish()?;
    Ok(results)
}

/// One run, completely specified. Serialised into the manifest with secrets redacted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The run's name, used in the run folder's name when `output` is not given.
    pub name: String,
    pub target: Target,
    pub workload: Workload,
    pub load: Load,
    pub observe: Observe,
    /// What lies between client and server, in the order a request passes it.
    #[serde(default)]
    pub hops: Vec<Hop>,
    /// What each request should keep to; goodput is of those that do.
    #[serde(default, skip_serializing_if = "Slo::is_empty")]
    pub slo: Slo,
    /// What a figure of the run must not reach, each as it is written on the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// How the result is told in the words of `vllm bench serve`.
    #[serde(default)]
    pub results: Results,
    /// Seeds schedule, sampling and synthetic prompts; the same seed gives the same run.
    pub seed: u64,
    /// Free text pairs kept in the manifest and `summary.json` (`--metadata KEY=VALUE`).
    pub metadata: BTreeMap<String, String>,
    pub label: Option<String>,
    /// The run folder, exactly; else `output/<name>-<time>`.
    pub output: Option<PathBuf>,
    pub overwrite: bool,
    /// When the run has ended, find out how large the tool's own error is at its load.
    #[serde(default)]
    pub calibrate: bool,
    /// Several runs instead of one, each with a `load` of its own level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<crate::sweep::asked::Asked>,
    /// Ask the server to forget the prompts it knows before a single run; of a sweep, `sweep` says it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_prefix_cache: bool,
    /// An open loop ends before its time when its requests pile up for good.
    #[serde(default)]
    pub stop_over_saturated: bool,
    /// Two ways to the target, compared; `load` is then what all legs have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
}

/// What `tare audit` compares. The direct arm is the target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// `http://host:port[/prefix]` of what stands before the server.
    pub through: String,
    /// The model's name there; `None`: as at the server.
    pub through_model: Option<String>,
    /// Bearer token for it; never serialised.
    #[serde(skip)]
    pub through_api_key: Option<String>,
    pub through_api_key_env: Option<String>,
    /// Levels of the three factors, ascending: every combination is a cell. No prompt sizes where
    /// prompts come from a file.
    pub concurrency: Vec<u32>,
    pub prompt_tokens: Vec<u32>,
    pub connections: Vec<Warmth>,
    /// Each answer's length; `None`: as the dataset has it.
    pub output_tokens: Option<u32>,
    /// Rounds of each cell, and/or a time after which none is begun.
    pub rounds: Option<u32>,
    pub duration_s: Option<f64>,
    pub requests_per_user: u32,
    /// Users of a leg start within this time.
    pub spread_s: f64,
    /// Each prompt begins with words of its own.
    pub salt: bool,
}

/// Where requests go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// `http://host:port[/prefix]`; `None` starts the embedded server.
    pub base_url: Option<String>,
    /// Name in the table `SERVERS`; `None`: it is recognised.
    pub server: Option<String>,
    pub endpoint: Endpoint,
    /// Path below the base URL, when not the endpoint's usual one.
    pub path: Option<String>,
    /// `None`: the first model that `/v1/models` lists.
    pub model: Option<String>,
    /// Extra headers; values may be secret and are never serialised, only the names are.
    #[serde(serialize_with = "header_names::write", deserialize_with = "header_names::read")]
    pub headers: Vec<(String, String)>,
    /// Bearer token from the environment; never serialised.
    #[serde(skip)]
    pub api_key: Option<String>,
    /// The variable the key came from, for the manifest.
    pub api_key_env: Option<String>,
    /// PEM file of the authorities that may vouch for an `https` server; `None`: the system's.
    pub ca_cert: Option<PathBuf>,
    /// Take an `https` server's certificate unchecked.
    pub insecure: bool,
    /// Wait this long for the server to answer before the run; 0: one try.
    pub ready_timeout_s: f64,
    pub embedded: Embedded,
}

/// What to record of the server's side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observe {
    /// Metrics endpoints; empty: `BASE_URL/metrics`. Ignored when `no_metrics`.
    pub metrics_urls: Vec<String>,
    pub no_metrics: bool,
    pub scrape_interval_s: f64,
    /// Server log to tail: a path, or `-` for stdin.
    pub server_log: Option<String>,
    /// What the server's stat logger (`assets/vllm_tare_logger`) writes, to tail: a path.
    #[serde(default)]
    pub stat_log: Option<String>,
    pub otlp: Option<Otlp>,
    /// Where the client's own metrics are served while the run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_metrics: Option<SocketAddr>,
    /// Where the client's spans go while the run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_spans: Option<SpanExport>,
    /// How long to wait for late spans after the last request.
    pub span_wait_s: f64,
    /// By how much the server's clock differs from this one's at most, as NTP or PTP say on both hosts;
    /// `None`: only what the run itself shows.
    #[serde(default)]
    pub clock_bound_s: Option<f64>,
}

/// Something between client and server that keeps a log: a gateway, a proxy, `tare tap`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    pub name: String,
    /// Name in the table of log formats; `None`: found by looking.
    pub kind: Option<String>,
    pub log: PathBuf,
}

/// Where the OTLP receiver listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Otlp {
    pub host: String,
    /// 0: any free port.
    pub grpc_port: u16,
    pub http_port: u16,
}

/// Headers in files: their names. Read back, the values are empty.
mod header_names {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn write<S: Serializer>(headers: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(headers.iter().map(|(name, _)| name))
    }

    pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        Ok(names.into_iter().map(|name| (name, String::new())).collect())
    }
}
