//! The metrics page of vLLM 0.32: which families there are, in which order, with which help text and
//! labels; series engine by engine. What the engine model has no notion of (adapters, multi-modal input, KV transfer) is there as
//! zero, as on an idle part of the real page; the interpreter's own `python_*` families are not.
//! This file must not know how a line is written.

use super::exposition::{Labels, Page};
use super::http_metrics::Http;
use super::other_families::{cache_config, http, process, seconds};
use super::registry::{Histogram, Registry};
use super::schedule::Limits;

/// A number of one engine's.
type Of<'a, T> = &'a dyn Fn(&Registry) -> T;
/// A histogram of one engine's.
type HistogramOf = fn(&Registry) -> &Histogram;

/// What all engines have counted, and what the page says of each of them.
pub struct Engines<'a> {
    registries: Vec<&'a Registry>,
    /// Their numbers, as the label has them.
    names: Vec<String>,
    model: &'a str,
    created: f64,
}

/// The whole page; `merged` where several API servers have counted.
pub fn page(
    registries: Vec<&Registry>,
    counted: &Http,
    model: &str,
    limits: &Limits,
    merged: bool,
) -> String {
    let mut page = Page::new(merged);
    let Some(first) = registries.first() else {
        return String::new();
    };
    let created = first.created;
    process(&mut page, created);
    let names: Vec<String> = (0..registries.len()).map(|engine| engine.to_string()).collect();
    Engines { registries, names: names.clone(), model, created: seconds(created) }.write(&mut page);
    cache_config(&mut page, &names, limits);
    http(&mut page, counted, seconds(created));
    page.into_text()
}

impl Engines<'_> {
    fn write(&self, page: &mut Page) {
        let mfu = "(for Model Flops Utilization calculations).";
        self.counter(
            page,
            "estimated_flops_per_gpu",
            &format!("Estimated number of floating point operations per GPU {mfu}"),
            |_| 0,
        );
        self.counter(
            page,
            "estimated_read_bytes_per_gpu",
            &format!("Estimated number of bytes read from memory per GPU {mfu}"),
            |_| 0,
        );
        self.counter(
            page,
            "estimated_write_bytes_per_gpu",
            &format!("Estimated number of bytes written to memory per GPU {mfu}"),
            |_| 0,
        );
        let waiting = |r: &Registry| f64::from(r.scheduler.waiting);
        self.gauge(page, "num_requests_running", "Number of requests in model execution batches.", |r| {
            f64::from(r.scheduler.running)
        });
        self.gauge(page, "num_requests_waiting", "Number of requests waiting to be processed.", waiting);
        self.gauge_by(
            page,
            "num_requests_waiting_by_reason",
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; \
             'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all \
             reasons equals vllm:num_requests_waiting.",
            "reason",
            &[("capacity", &waiting), ("deferred", &|_| 0.0)],
        );
        self.gauge_by(
            page,
            "engine_sleep_state",
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; \
             weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
            "sleep_state",
            &[("awake", &|_| 1.0), ("weights_offloaded", &|_| 0.0), ("discard_all", &|_| 0.0)],
        );
        self.gauge(page, "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", |r| {
            r.scheduler.kv_usage
        });
        self.caches(page);
        self.tokens(page);
        self.outcomes(page);
        self.token_histograms(page);
        self.time_histograms(page);
    }

    fn caches(&self, page: &mut Page) {
        let external = "from KV connector cross-instance cache sharing, in terms of number of";
        let queried = "Prefix cache queries, in terms of number of queried tokens.";
        self.counter(page, "prefix_cache_queries", queried, |r| r.prefix_queries);
        let hits = "Prefix cache hits, in terms of number of cached tokens.";
        self.counter(page, "prefix_cache_hits", hits, |r| r.prefix_hits);
        let help = format!("External prefix cache queries {external} queried tokens.");
        self.counter(page, "external_prefix_cache_queries", &help, |_| 0);
        let help = format!("External prefix cache hits {external} cached tokens.");
        self.counter(page, "external_prefix_cache_hits", &help, |_| 0);
        let help = "Multi-modal cache queries, in terms of number of queried items.";
        self.counter(page, "mm_cache_queries", help, |_| 0);
        self.counter(
            page,
            "mm_cache_hits",
            "Multi-modal cache hits, in terms of number of cached items.",
            |_| 0,
        );
        self.counter(page, "num_preemptions", "Cumulative number of preemption from the engine.", |r| {
            r.preemptions
        });
    }

    fn tokens(&self, page: &mut Page) {
        self.counter(page, "prompt_tokens", "Number of prefill tokens processed.", |r| r.prompt_tokens);
        self.counter_by(
            page,
            "prompt_tokens_by_source",
            "Number of prompt tokens by source.",
            "source",
            &[
                ("local_compute", &|r| r.prompt_computed),
                ("local_cache_hit", &|r| r.prompt_cached),
                ("external_kv_transfer", &|_| 0),
            ],
        );
        let cached = "Number of cached prompt tokens (local + external).";
        self.counter(page, "prompt_tokens_cached", cached, |r| r.prompt_cached);
        self.counter_by(
            page,
            "prompt_tokens_cached_by_source",
            "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to \
             DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at \
             admission; sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.",
            "source",
            &[
                ("device", &|r| r.prefix_hits),
                ("host", &|_| 0),
                ("p2p", &|_| 0),
                ("disk", &|_| 0),
                ("external_unspecified", &|_| 0),
            ],
        );
        self.counter(page, "generation_tokens", "Number of generation tokens processed.", |r| {
            r.generation_tokens
        });
    }

    fn outcomes(&self, page: &mut Page) {
        self.counter_by(
            page,
            "request_success",
            "Count of successfully processed requests.",
            "finished_reason",
            &[
                ("stop", &|r| r.success_stop),
                ("length", &|r| r.success_length),
                ("abort", &|_| 0),
                ("error", &|_| 0),
                ("repetition", &|_| 0),
            ],
        );
        let labels = ["max_num_queued_reqs", "max_num_queued_tokens"]
            .map(|reason| [("model_name", self.model), ("reason", reason)]);
        let series: Vec<(Labels, u64)> = labels.iter().map(|labels| (labels.as_slice(), 0)).collect();
        let help = "Number of admission attempts rejected by a queue limit, by reason.";
        page.counter("vllm:admission_rejections", help, self.created, &series);
    }

    fn token_histograms(&self, page: &mut Page) {
        let histograms: [(&str, &str, HistogramOf); 6] = [
            ("request_prompt_tokens", "Number of prefill tokens processed.", |r| &r.request_prompt_tokens),
            ("request_generation_tokens", "Number of generation tokens processed.", |r| {
                &r.request_generation_tokens
            }),
            ("iteration_tokens_total", "Histogram of number of tokens per engine_step.", |r| {
                &r.iteration_tokens
            }),
            (
                "request_max_num_generation_tokens",
                "Histogram of maximum number of requested generation tokens.",
                |r| &r.request_max_num_generation_tokens,
            ),
            ("request_params_n", "Histogram of the n request parameter.", |r| &r.request_params_n),
            ("request_params_max_tokens", "Histogram of the max_tokens request parameter.", |r| {
                &r.request_params_max_tokens
            }),
        ];
        for (name, help, of) in histograms {
            self.histogram(page, name, help, of);
        }
    }

    fn time_histograms(&self, page: &mut Page) {
        let phase = |phase: &str| format!("Histogram of time spent in {phase} phase for request.");
        let said = str::to_owned;
        let histograms: [(&str, String, HistogramOf); 10] = [
            ("time_to_first_token_seconds", said("Histogram of time to first token in seconds."), |r| {
                &r.time_to_first_token
            }),
            ("inter_token_latency_seconds", said("Histogram of inter-token latency in seconds."), |r| {
                &r.inter_token_latency
            }),
            (
                "request_time_per_output_token_seconds",
                said("Histogram of time_per_output_token_seconds per request."),
                |r| &r.time_per_output_token,
            ),
            ("e2e_request_latency_seconds", said("Histogram of e2e request latency in seconds."), |r| &r.e2e),
            ("request_queue_time_seconds", phase("WAITING"), |r| &r.queue),
            ("request_inference_time_seconds", phase("RUNNING"), |r| &r.inference),
            ("request_prefill_time_seconds", phase("PREFILL"), |r| &r.prefill),
            ("request_decode_time_seconds", phase("DECODE"), |r| &r.decode),
            (
                "request_num_preemptions",
                said("Histogram of the number of times a request was preempted."),
                |r| &r.num_preemptions,
            ),
            (
                "request_prefill_kv_computed_tokens",
                said("Histogram of new KV tokens computed during prefill (excluding cached tokens)."),
                |r| &r.prefill_kv_computed,
            ),
        ];
        for (name, help, of) in histograms {
            self.histogram(page, name, &help, of);
        }
    }

    /// Each engine with its labels.
    fn each(&self) -> impl Iterator<Item = (&Registry, [(&str, &str); 2])> {
        self.registries
            .iter()
            .zip(&self.names)
            .map(|(registry, name)| (*registry, [("engine", name.as_str()), ("model_name", self.model)]))
    }

    /// The same for every value of a further label, engine by engine.
    fn each_by<'b, T>(
        &'b self,
        label: &'b str,
        values: &'b [(&'b str, Of<'b, T>)],
    ) -> impl Iterator<Item = (T, [(&'b str, &'b str); 3])> {
        values.iter().flat_map(move |(value, of)| {
            self.each().map(move |(registry, [engine, model])| {
                let mut labels = [engine, model, (label, *value)];
                labels.sort_unstable();
                (of(registry), labels)
            })
        })
    }

    fn gauge(&self, page: &mut Page, name: &str, help: &str, of: impl Fn(&Registry) -> f64) {
        let series: Vec<_> = self.each().map(|(registry, labels)| (labels, of(registry))).collect();
        let series: Vec<(Labels, f64)> = series.iter().map(|(l, value)| (l.as_slice(), *value)).collect();
        page.gauge(&format!("vllm:{name}"), help, &series);
    }

    fn gauge_by(&self, page: &mut Page, name: &str, help: &str, label: &str, values: &[(&str, Of<f64>)]) {
        let series: Vec<_> = self.each_by(label, values).collect();
        let series: Vec<(Labels, f64)> = series.iter().map(|(value, l)| (l.as_slice(), *value)).collect();
        page.gauge(&format!("vllm:{name}"), help, &series);
    }

    fn counter(&self, page: &mut Page, name: &str, help: &str, of: impl Fn(&Registry) -> u64) {
        let series: Vec<_> = self.each().map(|(registry, labels)| (labels, of(registry))).collect();
        let series: Vec<(Labels, u64)> = series.iter().map(|(l, value)| (l.as_slice(), *value)).collect();
        page.counter(&format!("vllm:{name}"), help, self.created, &series);
    }

    fn counter_by(&self, page: &mut Page, name: &str, help: &str, label: &str, values: &[(&str, Of<u64>)]) {
        let series: Vec<_> = self.each_by(label, values).collect();
        let series: Vec<(Labels, u64)> = series.iter().map(|(value, l)| (l.as_slice(), *value)).collect();
        page.counter(&format!("vllm:{name}"), help, self.created, &series);
    }

    fn histogram(&self, page: &mut Page, name: &str, help: &str, of: HistogramOf) {
        let series: Vec<_> = self.each().map(|(registry, labels)| (labels, registry)).collect();
        let series: Vec<(Labels, &Histogram)> =
            series.iter().map(|(l, registry)| (l.as_slice(), of(registry))).collect();
        page.histogram(&format!("vllm:{name}"), help, self.created, &series);
    }
}
