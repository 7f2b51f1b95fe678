//! The look-alike's metrics as numbers, of one engine: every counter, gauge and histogram that vLLM's page shows and
//! that the engine model fills. What is observed here is, to the last bit, what spans and in-band
//! metrics carry. This file must not know how the page is written.

use crate::clock::UnixNs;

use super::schedule::{FinishReason, SchedulerStats};

/// All metrics since the process (or the last reset) began.
#[derive(Debug)]
pub struct Registry {
    /// When the metrics were created, by the server's own clock; also the process start time after a
    /// reset.
    pub created: UnixNs,
    pub scheduler: SchedulerStats,
    pub prefix_queries: u64,
    pub prefix_hits: u64,
    pub preemptions: u64,
    pub prompt_tokens: u64,
    pub prompt_computed: u64,
    pub prompt_cached: u64,
    pub generation_tokens: u64,
    pub success_stop: u64,
    pub success_length: u64,
    pub request_prompt_tokens: Histogram,
    pub request_generation_tokens: Histogram,
    pub iteration_tokens: Histogram,
    pub request_max_num_generation_tokens: Histogram,
    pub request_params_n: Histogram,
    pub request_params_max_tokens: Histogram,
    pub time_to_first_token: Histogram,
    pub inter_token_latency: Histogram,
    pub time_per_output_token: Histogram,
    pub e2e: Histogram,
    pub queue: Histogram,
    pub inference: Histogram,
    pub prefill: Histogram,
    pub decode: Histogram,
    pub num_preemptions: Histogram,
    pub prefill_kv_computed: Histogram,
}

/// A histogram as Prometheus counts it: a value belongs to the first bucket whose bound it does not
/// exceed.
#[derive(Clone, Debug)]
pub struct Histogram {
    pub bounds: Vec<f64>,
    /// Per bucket, not cumulated; the last is `+Inf`.
    pub counts: Vec<u64>,
    pub sum: f64,
}

/// What is observed when the engine finishes a request. All times in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub reason: FinishReason,
    pub prompt_tokens: u32,
    pub cached_tokens: u32,
    pub preemptions: u32,
    pub output_tokens: u32,
    pub max_tokens: u32,
    pub e2e_s: f64,
    pub queue_s: f64,
    pub prefill_s: f64,
    pub decode_s: f64,
    pub inference_s: f64,
}

impl Finished {
    /// Per request: decode time over the tokens after the first; zero for a single token.
    pub fn time_per_output_token_s(&self) -> f64 {
        match self.output_tokens {
            0 | 1 => 0.0,
            tokens => self.decode_s / f64::from(tokens - 1),
        }
    }
}

impl Registry {
    /// No observations; `created` is now, by the server's own clock.
    pub fn new(max_model_len: u32, created: UnixNs) -> Self {
        let tokens = || Histogram::new(one_two_five(max_model_len));
        let latency = || Histogram::new(REQUEST_LATENCY.to_vec());
        Self {
            created,
            scheduler: SchedulerStats::default(),
            prefix_queries: 0,
            prefix_hits: 0,
            preemptions: 0,
            prompt_tokens: 0,
            prompt_computed: 0,
            prompt_cached: 0,
            generation_tokens: 0,
            success_stop: 0,
            success_length: 0,
            request_prompt_tokens: tokens(),
            request_generation_tokens: tokens(),
            iteration_tokens: Histogram::new(ITERATION_TOKENS.to_vec()),
            request_max_num_generation_tokens: tokens(),
            request_params_n: Histogram::new(PARAMS_N.to_vec()),
            request_params_max_tokens: tokens(),
            time_to_first_token: Histogram::new(TIME_TO_FIRST_TOKEN.to_vec()),
            inter_token_latency: Histogram::new(INTER_TOKEN_LATENCY.to_vec()),
            time_per_output_token: Histogram::new(INTER_TOKEN_LATENCY.to_vec()),
            e2e: latency(),
            queue: latency(),
            inference: latency(),
            prefill: latency(),
            decode: latency(),
            num_preemptions: Histogram::new(NUM_PREEMPTIONS.to_vec()),
            prefill_kv_computed: tokens(),
        }
    }

    /// The scheduler's word after a step.
    pub fn scheduler_step(&mut self, stats: &SchedulerStats) {
        self.scheduler = *stats;
        self.prefix_queries += stats.prefix_queries;
        self.prefix_hits += stats.prefix_hits;
        self.preemptions += stats.preempted;
    }

    /// A request got its first token.
    pub fn first_token(&mut self, ttft_s: f64, prompt_tokens: u32, cached_tokens: u32) {
        self.prompt_tokens += u64::from(prompt_tokens);
        self.prompt_cached += u64::from(cached_tokens);
        self.prompt_computed += u64::from(prompt_tokens - cached_tokens);
        self.time_to_first_token.observe(ttft_s);
    }

    /// A step brought tokens; `computed` are the prompt tokens behind first ones.
    pub fn iteration(&mut self, computed: u64, generated: u64) {
        self.generation_tokens += generated;
        self.iteration_tokens.observe((computed + generated) as f64);
    }

    /// The engine finished a request.
    pub fn finished(&mut self, request: &Finished) {
        match request.reason {
            FinishReason::Stop => self.success_stop += 1,
            FinishReason::Length => self.success_length += 1,
        }
        self.request_prompt_tokens.observe(f64::from(request.prompt_tokens));
        self.request_generation_tokens.observe(f64::from(request.output_tokens));
        self.request_max_num_generation_tokens.observe(f64::from(request.output_tokens));
        self.request_params_n.observe(1.0);
        self.request_params_max_tokens.observe(f64::from(request.max_tokens));
        self.time_per_output_token.observe(request.time_per_output_token_s());
        self.e2e.observe(request.e2e_s);
        self.queue.observe(request.queue_s);
        self.inference.observe(request.inference_s);
        self.prefill.observe(request.prefill_s);
        self.decode.observe(request.decode_s);
        self.num_preemptions.observe(f64::from(request.preemptions));
        self.prefill_kv_computed.observe(f64::from(request.prompt_tokens - request.cached_tokens));
    }
}

impl Histogram {
    pub fn new(bounds: Vec<f64>) -> Self {
        let counts = vec![0; bounds.len() + 1];
        Self { bounds, counts, sum: 0.0 }
    }

    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    #[cfg(test)]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// 1, 2, 5, 10 … up to `max`.
fn one_two_five(max: u32) -> Vec<f64> {
    let mut bounds = Vec::new();
    let mut decade = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let bound = step * decade;
            if bound > u64::from(max) {
                return bounds;
            }
            bounds.push(bound as f64);
        }
        decade *= 10;
    }
}

const TIME_TO_FIRST_TOKEN: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
];
const INTER_TOKEN_LATENCY: [f64; 19] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
const REQUEST_LATENCY: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
];
const ITERATION_TOKENS: [f64; 13] =
    [1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];
const PARAMS_N: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 20.0];
const NUM_PREEMPTIONS: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_to_that_bucket() {
        let mut histogram = Histogram::new(vec![1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 2.5] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts, [2, 2, 1]);
        assert_eq!(histogram.count(), 5);
        assert!((histogram.sum - 7.5).abs() < 1e-12);
    }

    #[test]
    fn token_buckets_end_at_the_model_length() {
        assert_eq!(one_two_five(2048).last(), Some(&2000.0));
        assert_eq!(one_two_five(2048).len(), 11);
        assert_eq!(one_two_five(1), [1.0]);
    }

    #[test]
    fn a_single_token_has_no_time_per_token() {
        let finished = Finished {
            reason: FinishReason::Stop,
            prompt_tokens: 5,
            cached_tokens: 0,
            preemptions: 0,
            output_tokens: 1,
            max_tokens: 1,
            e2e_s: 1.0,
            queue_s: 0.0,
            prefill_s: 1.0,
            decode_s: 0.0,
            inference_s: 1.0,
        };
        assert!(finished.time_per_output_token_s().abs() < f64::EPSILON);
    }
}
