//! The families of the metrics page that are not the engine's: the process, the cache's configuration,
//! and HTTP. This file must not know how a line is written.

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::clock::UnixNs;

use super::exposition::{Labels, Page};
use super::http_metrics::{Http, HttpHandler};
use super::python;
use super::schedule::Limits;
use super::tokens::BLOCK;

/// What the Python client says of its process, as far as this system tells.
pub fn process(page: &mut Page, started: UnixNs) {
    if page.is_merged() {
        // Of several processes it says nothing.
        return;
    }
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Vec<f64> = memory.split(' ').filter_map(|n| n.parse().ok()).collect();
    let page_bytes = 4096.0;
    if let [virtual_pages, resident_pages, ..] = pages[..] {
        let name = "process_virtual_memory_bytes";
        page.gauge(name, "Virtual memory size in bytes.", &[(&[], virtual_pages * page_bytes)]);
        let name = "process_resident_memory_bytes";
        page.gauge(name, "Resident memory size in bytes.", &[(&[], resident_pages * page_bytes)]);
    }
    let help = "Start time of the process since unix epoch in seconds.";
    // The client reads it from the kernel, in hundredths.
    let start = (seconds(started) * 100.0).round() / 100.0;
    page.gauge("process_start_time_seconds", help, &[(&[], start)]);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let (user, system) = (usage.user_time(), usage.system_time());
        let hundredths = |t: TimeVal| (t.num_microseconds() / 10_000) as f64;
        let name = "process_cpu_seconds_total";
        page.head(name, "Total user and system CPU time spent in seconds.", "counter");
        page.sample(name, &[], (hundredths(user) + hundredths(system)) / 100.0);
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        let help = "Number of open file descriptors.";
        page.gauge("process_open_fds", help, &[(&[], descriptors.count() as f64)]);
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let help = "Maximum number of open file descriptors.";
        page.gauge("process_max_fds", help, &[(&[], soft as f64)]);
    }
}

/// How much memory there is for contexts.
pub fn cache_config(page: &mut Page, engines: &[String], limits: &Limits) {
    let blocks = limits.kv_blocks();
    let (block, blocks_text) = (BLOCK.to_string(), blocks.to_string());
    let size = (blocks * BLOCK as u64).to_string();
    let concurrency = python::repr(f64::from(limits.max_num_seqs));
    let labels = |engine| {
        [
            ("_block_size_resolved", "True"),
            ("block_size", &block),
            ("cache_dtype", "auto"),
            ("effective_attention_block_size", &block),
            ("enable_prefix_caching", "True"),
            ("engine", engine),
            ("gpu_memory_utilization", "0.92"),
            ("is_attention_free", "False"),
            ("kv_cache_max_concurrency", &concurrency),
            ("kv_cache_size_tokens", &size),
            ("num_cpu_blocks", "None"),
            ("num_gpu_blocks", &blocks_text),
            ("num_gpu_blocks_override", "None"),
            ("prefix_caching_hash_algo", "fnv1a"),
            ("sliding_window", "None"),
            ("user_specified_block_size", "False"),
        ]
    };
    let labels: Vec<_> = engines.iter().map(|engine| labels(engine.as_str())).collect();
    let series: Vec<(Labels, f64)> = labels.iter().map(|labels| (labels.as_slice(), 1.0)).collect();
    page.gauge("vllm:cache_config_info", "Information of the LLMEngine CacheConfig", &series);
}

/// What the HTTP layer counted.
pub fn http(page: &mut Page, http: &Http, created: f64) {
    requests(page, http);
    sizes(page, http, "http_request_size_bytes", "incoming requests", |h| h.request_bytes);
    sizes(page, http, "http_response_size_bytes", "outgoing responses", |h| h.response_bytes);
    let help = "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. ";
    page.histogram("http_request_duration_highr_seconds", help, created, &[(&[], &http.all_durations)]);
    let name = "http_request_duration_seconds";
    let help = "Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. ";
    page.head(name, help, "histogram");
    let labels: Vec<[(&str, &str); 2]> =
        http.durations.iter().map(|d| [("handler", d.handler), ("method", d.method.as_str())]).collect();
    for (durations, labels) in http.durations.iter().zip(&labels) {
        page.histogram_samples(name, labels, &durations.histogram);
    }
    let series: Vec<(Labels, f64)> =
        labels.iter().zip(&http.durations).map(|(l, d)| (l.as_slice(), seconds(d.created))).collect();
    page.created(name, help, &series);
}

fn requests(page: &mut Page, http: &Http) {
    let help = "Total number of requests by method, status and handler.";
    page.head("http_requests_total", help, "counter");
    let labels: Vec<[(&str, &str); 3]> = http
        .requests
        .iter()
        .map(|r| [("handler", r.handler), ("method", r.method.as_str()), ("status", r.status)])
        .collect();
    for (requests, labels) in http.requests.iter().zip(&labels) {
        page.sample("http_requests_total", labels, requests.count as f64);
    }
    let series: Vec<(Labels, f64)> =
        labels.iter().zip(&http.requests).map(|(l, r)| (l.as_slice(), seconds(r.created))).collect();
    page.created("http_requests", help, &series);
}

fn sizes(page: &mut Page, http: &Http, name: &str, what: &str, bytes: impl Fn(&HttpHandler) -> u64) {
    let help = format!(
        "Content length of {what} by handler. Only value of header is respected. Otherwise ignored. No percentile \
         calculated. "
    );
    page.head(name, &help, "summary");
    let labels: Vec<[(&str, &str); 1]> = http.handlers.iter().map(|h| [("handler", h.handler)]).collect();
    for (handler, labels) in http.handlers.iter().zip(&labels) {
        page.sample(&format!("{name}_count"), labels, handler.count as f64);
        page.sample(&format!("{name}_sum"), labels, bytes(handler) as f64);
    }
    let series: Vec<(Labels, f64)> =
        labels.iter().zip(&http.handlers).map(|(l, h)| (l.as_slice(), seconds(h.created))).collect();
    page.created(name, &help, &series);
}

/// Seconds since the epoch, as `_created` lines give them.
pub fn seconds(at: UnixNs) -> f64 {
    at.0 as f64 / 1e9
}
