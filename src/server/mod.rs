//! What differs between inference servers, as data: where their metrics are, what they call the
//! things that tare compares, how they log, what their spans carry. One file each; a new server is
//! one file and one line in [`SERVERS`]. This module must not know who asks, and does no I/O.

pub mod ask;
pub mod llama_cpp;
pub mod lmdeploy;
pub mod ollama;
pub mod prefix_cache;
pub mod probe;
pub mod recognise;
pub mod sglang;
pub mod tensorrt_llm;
pub mod tgi;
pub mod tokenize;
pub mod totals;
pub mod trust;
pub mod vllm;

pub use recognise::{Signs, Version};
pub use totals::{Hist, Totals};

use crate::metric::Metric;

/// Every server known, in the order in which the help lists them; the first is the default.
pub static SERVERS: &[&Server] = &[
    &vllm::VLLM,
    &sglang::SGLANG,
    &tgi::TGI,
    &tensorrt_llm::TENSORRT_LLM,
    &llama_cpp::LLAMA_CPP,
    &lmdeploy::LMDEPLOY,
    &ollama::OLLAMA,
];

/// One inference server, described.
#[derive(Debug)]
pub struct Server {
    /// The name used in configuration and reports.
    pub name: &'static str,
    /// How others spell it, after `--backend` of their load generators too; `-`, `_`, `.` and the case
    /// make no difference.
    pub aliases: &'static [&'static str],
    pub description: &'static str,
    /// How what this table says of it is known.
    pub seen: Seen,
    /// By what it is recognised, and where it tells its version.
    pub signs: Signs,
    pub versions: &'static [Version],
    /// Path of the Prometheus page, below the base URL; `None`: it has none.
    pub metrics_path: Option<&'static str>,
    /// What makes the server show metrics, when it does not by itself.
    pub metrics_flag: Option<&'static str>,
    pub metrics: Metrics,
    /// What its figures really measure, where it is not the dictionary's definition to the letter.
    pub measures: &'static [(Metric, &'static str)],
    /// Name in `tare_parsers::FORMATS` of what its log is written in; `None`: no parser yet.
    pub log_format: Option<&'static str>,
    /// The span made for each request, and the flag that turns spans on.
    pub request_span: Option<&'static str>,
    pub spans_flag: Option<&'static str>,
    /// What each request's answer tells of its times.
    pub in_band: InBand,
    /// What makes it write a line for each finished request that `--stat-log` reads.
    pub stat_log_flag: Option<&'static str>,
    /// Whether `stream_options.continuous_usage_stats` is understood: token counts on every chunk.
    pub continuous_usage: bool,
    /// What else is peculiar about its API.
    pub quirks: &'static [&'static str],
    /// Span attribute → what it means. Of several spellings present, the first listed wins.
    pub span_attributes: &'static [(&'static str, SpanField)],
}

/// How what is said of a server is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// It was run with tare: this version.
    Real(&'static str),
    /// From its sources alone.
    Sources(&'static str),
}

impl Seen {
    /// The word used in the table of servers.
    pub fn as_str(self) -> &'static str {
        match self {
            Seen::Real(_) => "real",
            Seen::Sources(_) => "sources",
        }
    }

    /// The version that was looked at.
    pub fn of(self) -> &'static str {
        match self {
            Seen::Real(version) | Seen::Sources(version) => version,
        }
    }
}

/// What an answer tells of its request's times.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InBand {
    /// Nothing.
    Never,
    /// What is said, always.
    Always(&'static str),
    /// What is said, with this flag of the server's.
    With { flag: &'static str, tells: &'static str },
}

impl InBand {
    /// The flag that would turn it on.
    pub fn flag(self) -> Option<&'static str> {
        match self {
            InBand::With { flag, .. } => Some(flag),
            InBand::Never | InBand::Always(_) => None,
        }
    }

    /// What is told.
    pub fn tells(self) -> Option<&'static str> {
        match self {
            InBand::Never => None,
            InBand::Always(tells) | InBand::With { tells, .. } => Some(tells),
        }
    }
}

/// The server's own names of what tare compares: for each, every spelling ever used, newest first.
/// The first spelling that a page has is the one read; spellings are never added up, because
/// servers show an old name beside its successor for some versions.
///
/// A counter's name is given without `_total`, which is accepted but not required.
#[derive(Debug)]
pub struct Metrics {
    pub ttft: &'static [&'static str],
    pub itl: &'static [&'static str],
    pub tpot: &'static [&'static str],
    pub e2e: &'static [&'static str],
    pub queue: &'static [&'static str],
    pub prefill: &'static [&'static str],
    pub decode: &'static [&'static str],
    pub prompt_tokens: &'static [&'static str],
    /// Those that the counter above leaves out; added to it.
    pub prompt_tokens_left_out: &'static [&'static str],
    pub generation_tokens: &'static [&'static str],
    /// Seconds of decoding of all requests together, where there is no histogram of it.
    pub decode_seconds: &'static [&'static str],
    /// Requests that ended. Every entry found is added to the map of reasons.
    pub finished: &'static [(&'static str, Reason)],
    pub running: &'static [&'static str],
    pub waiting: &'static [&'static str],
    /// A share, 0 to 1.
    pub kv_cache_usage: &'static [&'static str],
}

impl Metrics {
    /// No metric known: the start of a server's table.
    pub const NONE: Metrics = Metrics {
        ttft: &[],
        itl: &[],
        tpot: &[],
        e2e: &[],
        queue: &[],
        prefill: &[],
        decode: &[],
        prompt_tokens: &[],
        prompt_tokens_left_out: &[],
        generation_tokens: &[],
        decode_seconds: &[],
        finished: &[],
        running: &[],
        waiting: &[],
        kv_cache_usage: &[],
    };
}

/// How a counter of finished requests says why they ended.
#[derive(Clone, Copy, Debug)]
pub enum Reason {
    /// In a label.
    Label(&'static str),
    /// It counts one kind only.
    Is(&'static str),
}

/// The typed fields of a span that an attribute can fill.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpanField {
    RequestId,
    Ttft,
    E2e,
    Queue,
    Prefill,
    Decode,
    InputTokens,
    OutputTokens,
}

impl Server {
    /// Where its metrics are, given the base URL of the API; `None`: it has none.
    pub fn metrics_url(&self, base_url: &str) -> Option<String> {
        Some(format!("{}{}", base_url.trim_end_matches('/'), self.metrics_path?))
    }

    /// What its figure of `metric` really measures, where that needs to be said.
    pub fn really(&self, metric: Metric) -> Option<&'static str> {
        self.measures.iter().find(|(of, _)| *of == metric).map(|(_, really)| *really)
    }

    /// What the span attribute `key` means.
    pub fn span_field(&self, key: &str) -> Option<SpanField> {
        self.span_attributes.iter().find(|(name, _)| *name == key).map(|(_, field)| *field)
    }
}

/// The server called `name`, by its own name or one of others for it.
pub fn find(name: &str) -> Option<&'static Server> {
    let name = plain(name);
    SERVERS
        .iter()
        .copied()
        .find(|server| plain(server.name) == name || server.aliases.iter().any(|alias| plain(alias) == name))
}

/// Whatever the case, `-`, `_`, `.` and blanks being nothing.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_spelling() {
        let mut all = std::collections::BTreeMap::new();
        for server in SERVERS {
            for name in [server.name].iter().chain(server.aliases) {
                assert_eq!(all.insert(plain(name), server.name), None, "{name}");
                assert_eq!(find(&name.to_uppercase().replace('_', "-")).unwrap().name, server.name);
            }
        }
        assert_eq!(find("llama.cpp").unwrap().name, "llama_cpp");
        assert!(find("nope").is_none() && find("").is_none());
    }

    #[test]
    fn the_metrics_url_is_below_the_base_url() {
        let at = |server: &Server, base: &str| server.metrics_url(base);
        assert_eq!(at(&vllm::VLLM, "http://h:1/prefix/").unwrap(), "http://h:1/prefix/metrics");
        assert_eq!(at(&tensorrt_llm::TENSORRT_LLM, "http://h:1").unwrap(), "http://h:1/prometheus/metrics");
        assert_eq!(at(&ollama::OLLAMA, "http://h:1"), None);
    }

    /// A name that two servers share would make both of a page of one.
    #[test]
    fn no_two_servers_share_a_metric() {
        let mut owners = std::collections::BTreeMap::new();
        for server in SERVERS {
            for name in server.metrics.all() {
                let before = owners.insert(name, server.name);
                assert!(before.is_none_or(|other| other == server.name), "{name}: {before:?}");
            }
        }
    }
}
