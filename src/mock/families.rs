//! The metrics page of vLLM 0.32: which families there are, in which order, with which help text and
//! labels. What the engine model has no notion of (adapters, multi-modal input, KV transfer) is there as
//! zero, as on an idle part of the real page; the interpreter's own `python_*` families are not.
//! This file must not know how a line is written.

use super::exposition::{Labels, Page};
use super::other_families::{cache_config, http, process, seconds};
use super::registry::Registry;
use super::schedule::Limits;

/// The whole page.
pub fn page(registry: &Registry, model: &str, limits: &Limits) -> String {
    let mut page = Page::new();
    process(&mut page, registry.created);
    Engine { registry, model, created: seconds(registry.created) }.write(&mut page);
    cache_config(&mut page, limits);
    http(&mut page, &registry.http, seconds(registry.created));
    page.into_text()
}

/// The families with the labels `engine` and `model_name`.
struct Engine<'a> {
    registry: &'a Registry,
    model: &'a str,
    created: f64,
}

impl Engine<'_> {
    fn write(&self, page: &mut Page) {
        let r = self.registry;
        let mfu = "(for Model Flops Utilization calculations).";
        self.counter(
            page,
            "estimated_flops_per_gpu",
            &format!("Estimated number of floating point operations per GPU {mfu}"),
            0,
        );
        self.counter(
            page,
            "estimated_read_bytes_per_gpu",
            &format!("Estimated number of bytes read from memory per GPU {mfu}"),
            0,
        );
        self.counter(
            page,
            "estimated_write_bytes_per_gpu",
            &format!("Estimated number of bytes written to memory per GPU {mfu}"),
            0,
        );
        let (running, waiting) = (f64::from(r.scheduler.running), f64::from(r.scheduler.waiting));
        self.gauge(page, "num_requests_running", "Number of requests in model execution batches.", running);
        self.gauge(page, "num_requests_waiting", "Number of requests waiting to be processed.", waiting);
        self.gauge_by(
            page,
            "num_requests_waiting_by_reason",
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; \
             'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all \
             reasons equals vllm:num_requests_waiting.",
            "reason",
            &[("capacity", waiting), ("deferred", 0.0)],
        );
        self.gauge_by(
            page,
            "engine_sleep_state",
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; \
             weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
            "sleep_state",
            &[("awake", 1.0), ("weights_offloaded", 0.0), ("discard_all", 0.0)],
        );
        self.gauge(
            page,
            "kv_cache_usage_perc",
            "KV-cache usage. 1 means 100 percent usage.",
            r.scheduler.kv_usage,
        );
        self.caches(page);
        self.tokens(page);
        self.outcomes(page);
        self.token_histograms(page);
        self.time_histograms(page);
    }

    fn caches(&self, page: &mut Page) {
        let r = self.registry;
        let external = "from KV connector cross-instance cache sharing, in terms of number of";
        let queried = "Prefix cache queries, in terms of number of queried tokens.";
        self.counter(page, "prefix_cache_queries", queried, r.prefix_queries);
        let hits = "Prefix cache hits, in terms of number of cached tokens.";
        self.counter(page, "prefix_cache_hits", hits, r.prefix_hits);
        let help = format!("External prefix cache queries {external} queried tokens.");
        self.counter(page, "external_prefix_cache_queries", &help, 0);
        let help = format!("External prefix cache hits {external} cached tokens.");
        self.counter(page, "external_prefix_cache_hits", &help, 0);
        let help = "Multi-modal cache queries, in terms of number of queried items.";
        self.counter(page, "mm_cache_queries", help, 0);
        self.counter(page, "mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items.", 0);
        self.counter(page, "num_preemptions", "Cumulative number of preemption from the engine.", 0);
    }

    fn tokens(&self, page: &mut Page) {
        let r = self.registry;
        self.counter(page, "prompt_tokens", "Number of prefill tokens processed.", r.prompt_tokens);
        self.counter_by(
            page,
            "prompt_tokens_by_source",
            "Number of prompt tokens by source.",
            "source",
            &[
                ("local_compute", r.prompt_computed),
                ("local_cache_hit", r.prompt_cached),
                ("external_kv_transfer", 0),
            ],
        );
        let cached = "Number of cached prompt tokens (local + external).";
        self.counter(page, "prompt_tokens_cached", cached, r.prompt_cached);
        self.counter_by(
            page,
            "prompt_tokens_cached_by_source",
            "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to \
             DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at \
             admission; sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.",
            "source",
            &[("device", r.prefix_hits), ("host", 0), ("p2p", 0), ("disk", 0), ("external_unspecified", 0)],
        );
        self.counter(
            page,
            "generation_tokens",
            "Number of generation tokens processed.",
            r.generation_tokens,
        );
    }

    fn outcomes(&self, page: &mut Page) {
        let r = self.registry;
        let reasons = [
            ("stop", r.success_stop),
            ("length", r.success_length),
            ("abort", 0),
            ("error", 0),
            ("repetition", 0),
        ];
        let labels = reasons
            .map(|(reason, _)| [("engine", "0"), ("finished_reason", reason), ("model_name", self.model)]);
        let series: Vec<(Labels, u64)> =
            labels.iter().zip(reasons).map(|(labels, (_, count))| (labels.as_slice(), count)).collect();
        let help = "Count of successfully processed requests.";
        page.counter("vllm:request_success", help, self.created, &series);
        let labels = ["max_num_queued_reqs", "max_num_queued_tokens"]
            .map(|reason| [("model_name", self.model), ("reason", reason)]);
        let series: Vec<(Labels, u64)> = labels.iter().map(|labels| (labels.as_slice(), 0)).collect();
        let help = "Number of admission attempts rejected by a queue limit, by reason.";
        page.counter("vllm:admission_rejections", help, self.created, &series);
    }

    fn token_histograms(&self, page: &mut Page) {
        let r = self.registry;
        let histograms = [
            ("request_prompt_tokens", "Number of prefill tokens processed.", &r.request_prompt_tokens),
            (
                "request_generation_tokens",
                "Number of generation tokens processed.",
                &r.request_generation_tokens,
            ),
            ("iteration_tokens_total", "Histogram of number of tokens per engine_step.", &r.iteration_tokens),
            (
                "request_max_num_generation_tokens",
                "Histogram of maximum number of requested generation tokens.",
                &r.request_max_num_generation_tokens,
            ),
            ("request_params_n", "Histogram of the n request parameter.", &r.request_params_n),
            (
                "request_params_max_tokens",
                "Histogram of the max_tokens request parameter.",
                &r.request_params_max_tokens,
            ),
        ];
        for (name, help, histogram) in histograms {
            page.histogram(&format!("vllm:{name}"), help, self.created, &self.labels(), histogram);
        }
    }

    fn time_histograms(&self, page: &mut Page) {
        let r = self.registry;
        let phase = |phase: &str| format!("Histogram of time spent in {phase} phase for request.");
        let histograms = [
            (
                "time_to_first_token_seconds",
                "Histogram of time to first token in seconds.".to_owned(),
                &r.time_to_first_token,
            ),
            (
                "inter_token_latency_seconds",
                "Histogram of inter-token latency in seconds.".to_owned(),
                &r.inter_token_latency,
            ),
            (
                "request_time_per_output_token_seconds",
                "Histogram of time_per_output_token_seconds per request.".to_owned(),
                &r.time_per_output_token,
            ),
            (
                "e2e_request_latency_seconds",
                "Histogram of e2e request latency in seconds.".to_owned(),
                &r.e2e,
            ),
            ("request_queue_time_seconds", phase("WAITING"), &r.queue),
            ("request_inference_time_seconds", phase("RUNNING"), &r.inference),
            ("request_prefill_time_seconds", phase("PREFILL"), &r.prefill),
            ("request_decode_time_seconds", phase("DECODE"), &r.decode),
            (
                "request_num_preemptions",
                "Histogram of the number of times a request was preempted.".to_owned(),
                &r.num_preemptions,
            ),
            (
                "request_prefill_kv_computed_tokens",
                "Histogram of new KV tokens computed during prefill (excluding cached tokens).".to_owned(),
                &r.prefill_kv_computed,
            ),
        ];
        for (name, help, histogram) in histograms {
            page.histogram(&format!("vllm:{name}"), &help, self.created, &self.labels(), histogram);
        }
    }

    fn labels(&self) -> [(&str, &str); 2] {
        [("engine", "0"), ("model_name", self.model)]
    }

    fn gauge(&self, page: &mut Page, name: &str, help: &str, value: f64) {
        page.gauge(&format!("vllm:{name}"), help, &[(&self.labels(), value)]);
    }

    fn gauge_by(&self, page: &mut Page, name: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        let labels: Vec<[(&str, &str); 3]> = values
            .iter()
            .map(|(value, _)| [("engine", "0"), ("model_name", self.model), (label, *value)])
            .collect();
        let series: Vec<(Labels, f64)> =
            labels.iter().zip(values).map(|(labels, (_, value))| (labels.as_slice(), *value)).collect();
        page.gauge(&format!("vllm:{name}"), help, &series);
    }

    fn counter(&self, page: &mut Page, name: &str, help: &str, value: u64) {
        page.counter(&format!("vllm:{name}"), help, self.created, &[(&self.labels(), value)]);
    }

    fn counter_by(&self, page: &mut Page, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        let labels: Vec<[(&str, &str); 3]> = values
            .iter()
            .map(|(value, _)| [("engine", "0"), ("model_name", self.model), (label, *value)])
            .collect();
        let series: Vec<(Labels, u64)> =
            labels.iter().zip(values).map(|(labels, (_, value))| (labels.as_slice(), *value)).collect();
        page.counter(&format!("vllm:{name}"), help, self.created, &series);
    }
}
