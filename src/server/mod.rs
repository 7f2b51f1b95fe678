//! What differs between inference servers, as data: where their metrics are, what they call the
//! things that tare compares, how they log, what their spans carry. One file each; a new server is
//! one file and one line in [`SERVERS`]. This module must not know who asks, and does no I/O.

pub mod ask;
pub mod llama_cpp;
pub mod prefix_cache;
pub mod probe;
pub mod sglang;
pub mod tgi;
pub mod totals;
pub mod trust;
pub mod vllm;

pub use totals::{Hist, Totals};

/// Every server known, in the order in which the help lists them; the first is the default.
pub static SERVERS: &[&Server] = &[&vllm::VLLM, &sglang::SGLANG, &tgi::TGI, &llama_cpp::LLAMA_CPP];

/// One inference server, described.
#[derive(Debug)]
pub struct Server {
    /// The name used in configuration and reports.
    pub name: &'static str,
    pub description: &'static str,
    /// Path of the Prometheus page, below the base URL.
    pub metrics_path: &'static str,
    /// The flag that makes the server show metrics, when it does not by itself.
    pub metrics_flag: Option<&'static str>,
    pub metrics: Metrics,
    /// Name in `tare_parsers::FORMATS` of what its log is written in; `None`: no parser yet.
    pub log_format: Option<&'static str>,
    /// The span made for each request, and the flag that turns spans on.
    pub request_span: Option<&'static str>,
    pub spans_flag: Option<&'static str>,
    /// The flag that puts each request's times into its answer.
    pub in_band_flag: Option<&'static str>,
    /// Whether `stream_options.continuous_usage_stats` is understood: token counts on every chunk.
    pub continuous_usage: bool,
    /// Span attribute → what it means. Of several spellings present, the first listed wins.
    pub span_attributes: &'static [(&'static str, SpanField)],
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
    pub generation_tokens: &'static [&'static str],
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
        generation_tokens: &[],
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
    /// Where its metrics are, given the base URL of the API.
    pub fn metrics_url(&self, base_url: &str) -> String {
        format!("{}{}", base_url.trim_end_matches('/'), self.metrics_path)
    }

    /// What the span attribute `key` means.
    pub fn span_field(&self, key: &str) -> Option<SpanField> {
        self.span_attributes.iter().find(|(name, _)| *name == key).map(|(_, field)| *field)
    }
}

/// The server called `name`, whatever the case, `-` and `_` being the same.
pub fn find(name: &str) -> Option<&'static Server> {
    let plain = |s: &str| s.to_ascii_lowercase().replace('-', "_");
    SERVERS.iter().copied().find(|server| plain(server.name) == plain(name))
}

/// The server whose metric names a page has the most of, if it has any.
pub fn recognise<'a>(names: &(impl Iterator<Item = &'a str> + Clone)) -> Option<&'static Server> {
    let known = |server: &Server| names.clone().filter(|name| server.metrics.knows(name)).count();
    SERVERS
        .iter()
        .copied()
        .map(|server| (known(server), server))
        .filter(|(n, _)| *n > 0)
        .max_by_key(|(n, _)| *n)
        .map(|(_, server)| server)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_spelling() {
        for server in SERVERS {
            assert_eq!(SERVERS.iter().filter(|other| other.name == server.name).count(), 1);
            assert_eq!(find(&server.name.to_uppercase().replace('_', "-")).unwrap().name, server.name);
        }
        assert!(find("nope").is_none());
    }

    #[test]
    fn the_metrics_url_is_below_the_base_url() {
        assert_eq!(vllm::VLLM.metrics_url("http://h:1/prefix/"), "http://h:1/prefix/metrics");
        assert_eq!(vllm::VLLM.metrics_url("http://h:1"), "http://h:1/metrics");
    }

    #[test]
    fn a_page_is_recognised_by_its_names() {
        let sglang = ["python_info", "sglang:num_running_reqs", "sglang:e2e_request_latency_seconds_sum"];
        assert_eq!(recognise(&sglang.into_iter()).unwrap().name, "sglang");
        assert!(recognise(&["go_goroutines", "up"].into_iter()).is_none());
    }
}
