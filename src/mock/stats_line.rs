//! The periodic `Engine 000: Avg prompt throughput …` line: what it counts between two lines, and
//! when vLLM leaves it out. This file must not know who logs it.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::schedule::SchedulerStats;

/// Requests over which the prefix cache's hit rate is averaged.
const RECENT_REQUESTS: u64 = 1000;

/// What has happened since the last line.
#[derive(Debug)]
pub struct StatsLine {
    /// The engine's number.
    engine: usize,
    since_ns: i64,
    prompt_computed: u64,
    generated: u64,
    last_prompt_tps: f64,
    last_generation_tps: f64,
    scheduler: SchedulerStats,
    /// (requests, tokens asked for, tokens found), the most recent requests.
    prefix: VecDeque<(u64, u64, u64)>,
}

impl StatsLine {
    /// `now` is on the monotonic clock, as everywhere here.
    pub fn new(engine: usize, now_ns: i64) -> Self {
        Self {
            engine,
            since_ns: now_ns,
            prompt_computed: 0,
            generated: 0,
            last_prompt_tps: 0.0,
            last_generation_tps: 0.0,
            scheduler: SchedulerStats::default(),
            prefix: VecDeque::new(),
        }
    }

    /// The scheduler's word after a step.
    pub fn scheduler_step(&mut self, stats: &SchedulerStats) {
        self.scheduler = *stats;
        if stats.prefix_requests > 0 {
            self.prefix.push_back((stats.prefix_requests, stats.prefix_queries, stats.prefix_hits));
        }
        while self.prefix.len() > 1 && self.prefix.iter().map(|(n, _, _)| n).sum::<u64>() > RECENT_REQUESTS {
            self.prefix.pop_front();
        }
    }

    /// Tokens of one step; prompt tokens found in the cache do not count.
    pub fn iteration(&mut self, prompt_computed: u64, generated: u64) {
        self.prompt_computed += prompt_computed;
        self.generated += generated;
    }

    /// The line, unless neither this interval nor the one before saw a token.
    pub fn line(&mut self, now_ns: i64) -> Option<String> {
        let seconds = (now_ns - self.since_ns) as f64 / 1e9;
        let rate = |tokens: u64| {
            if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
        };
        let (prompt, generation) = (rate(self.prompt_computed), rate(self.generated));
        let active =
            [prompt, generation, self.last_prompt_tps, self.last_generation_tps].iter().any(|t| *t > 0.0);
        self.since_ns = now_ns;
        self.prompt_computed = 0;
        self.generated = 0;
        self.last_prompt_tps = prompt;
        self.last_generation_tps = generation;
        active.then(|| self.text())
    }

    fn text(&self) -> String {
        let SchedulerStats { running, waiting, kv_usage, .. } = self.scheduler;
        let mut line = format!(
            "Engine {:03}: Avg prompt throughput: {:.1} tokens/s, Avg generation throughput: {:.1} tokens/s, \
             Running: {running} reqs, Waiting: {waiting} reqs, GPU KV cache usage: {:.1}%",
            self.engine,
            self.last_prompt_tps,
            self.last_generation_tps,
            kv_usage * 100.0
        );
        if !self.prefix.is_empty() {
            let asked: u64 = self.prefix.iter().map(|(_, asked, _)| asked).sum();
            let found: u64 = self.prefix.iter().map(|(_, _, found)| found).sum();
            let rate = if asked == 0 { 0.0 } else { found as f64 / asked as f64 };
            let _ = write!(line, ", Prefix cache hit rate: {:.1}%", rate * 100.0);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn the_line_reads_as_vllm_writes_it() {
        let mut stats = StatsLine::new(0, 0);
        stats.scheduler_step(&SchedulerStats {
            running: 3,
            waiting: 1,
            kv_usage: 0.0123,
            prefix_requests: 2,
            prefix_queries: 200,
            prefix_hits: 50,
            preempted: 0,
        });
        stats.iteration(245, 67);
        assert_eq!(
            stats.line(10 * SECOND).as_deref(),
            Some(
                "Engine 000: Avg prompt throughput: 24.5 tokens/s, Avg generation throughput: 6.7 tokens/s, \
                 Running: 3 reqs, Waiting: 1 reqs, GPU KV cache usage: 1.2%, Prefix cache hit rate: 25.0%"
            )
        );
    }

    #[test]
    fn one_idle_line_follows_the_last_active_one() {
        let mut stats = StatsLine::new(0, 0);
        assert_eq!(stats.line(SECOND), None);
        stats.iteration(0, 1);
        assert!(stats.line(2 * SECOND).is_some());
        let idle = stats.line(3 * SECOND).unwrap_or_default();
        assert!(idle.contains("throughput: 0.0 tokens/s, Avg generation throughput: 0.0 tokens/s"));
        assert!(!idle.contains("Prefix"), "no request has asked the cache yet");
        assert_eq!(stats.line(4 * SECOND), None);
    }

    #[test]
    fn the_hit_rate_forgets_old_requests() {
        let mut stats = StatsLine::new(0, 0);
        let step = |hits| SchedulerStats {
            prefix_requests: 600,
            prefix_queries: 600,
            prefix_hits: hits,
            ..SchedulerStats::default()
        };
        stats.scheduler_step(&step(600));
        stats.scheduler_step(&step(0));
        stats.iteration(1, 1);
        assert!(stats.line(SECOND).unwrap_or_default().ends_with("Prefix cache hit rate: 0.0%"));
    }
}
