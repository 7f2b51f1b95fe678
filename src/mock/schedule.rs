//! Who is computed in which engine step: continuous batching as in vLLM's V1 scheduler, as plain
//! data without a clock or a thread, so that its rules can be tested.
//!
//! A step serves the running requests first, in the order of their admission: one token each when
//! decoding, or the next chunk of their prompt. What is left of the token budget goes to the waiting
//! ones, first come first served, as long as there are fewer than `max_num_seqs` running. A prompt
//! that does not fit is computed in chunks over several steps, and a prompt whose beginning was
//! computed before starts behind it, in whole blocks, always with at least one token to compute.
//! There is as much KV memory as `max_num_seqs` full contexts need, so nothing is ever preempted.

use std::collections::VecDeque;

use crate::clock::Anchor;

use super::prefix::PrefixCache;
use super::tokens::BLOCK;

/// A request as the engine knows it.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: u64,
    pub prompt_tokens: u32,
    /// Hashes of the prompt's full blocks.
    pub blocks: Vec<u64>,
    pub max_tokens: u32,
    /// The token at which it says all it has to say; `None`: never.
    pub stop_at: Option<u32>,
}

/// The scheduler's limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_num_seqs: u32,
    pub max_num_batched_tokens: u32,
    pub max_model_len: u32,
}

/// What one step computes.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Requests that get a token from their last one.
    pub decoding: u32,
    /// Prompt tokens computed.
    pub prefill_tokens: u32,
}

/// What one step brought about.
#[derive(Debug)]
pub struct StepOutput {
    pub at: Anchor,
    pub outputs: Vec<Output>,
    pub stats: SchedulerStats,
}

/// One new token of one request.
#[derive(Debug)]
pub struct Output {
    pub id: u64,
    /// With the first token: how it came about.
    pub first: Option<Admission>,
    pub finish: Option<FinishReason>,
}

/// When a request was queued and admitted, and how much of its prompt was cached.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    pub queued: Anchor,
    pub scheduled: Anchor,
    pub cached_tokens: u32,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FinishReason {
    Stop,
    Length,
}

impl FinishReason {
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        }
    }

    /// The last token is the end-of-text token.
    pub fn is_stop(self) -> bool {
        self == FinishReason::Stop
    }
}

/// The scheduler's state after a step, and what the prefix cache was asked during it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SchedulerStats {
    pub running: u32,
    pub waiting: u32,
    /// 0 … 1.
    pub kv_usage: f64,
    pub prefix_requests: u64,
    pub prefix_queries: u64,
    pub prefix_hits: u64,
}

/// The scheduler's state.
pub struct Scheduler {
    limits: Limits,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    cache: PrefixCache,
    stats: SchedulerStats,
    /// Something changed outside a step (an abort), which the next step's statistics must show.
    dirty: bool,
}

struct Sequence {
    request: Request,
    queued: Anchor,
    scheduled: Option<Anchor>,
    cached_tokens: u32,
    /// Prompt tokens computed or found in the cache.
    prefilled: u32,
    generated: u32,
    /// Tokens planned for it in the current step.
    planned: u32,
}

impl Limits {
    /// Blocks of KV memory.
    pub fn kv_blocks(&self) -> u64 {
        u64::from(self.max_num_seqs) * u64::from(self.max_model_len).div_ceil(BLOCK as u64)
    }
}

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            running: Vec::new(),
            cache: PrefixCache::new(limits.kv_blocks() as usize),
            stats: SchedulerStats::default(),
            dirty: false,
        }
    }

    /// Takes a request; `now` is when it was queued.
    pub fn add(&mut self, request: Request, now: Anchor) {
        self.waiting.push_back(Sequence {
            request,
            queued: now,
            scheduled: None,
            cached_tokens: 0,
            prefilled: 0,
            generated: 0,
            planned: 0,
        });
    }

    /// Forgets a request, if it is still there.
    pub fn abort(&mut self, id: u64) {
        self.waiting.retain(|s| s.request.id != id);
        self.running.retain(|s| s.request.id != id);
        self.dirty = true;
    }

    /// Whether a step has anything to do or to tell.
    pub fn has_work(&self) -> bool {
        self.dirty || !self.running.is_empty() || !self.waiting.is_empty()
    }

    /// Decides what the next step computes; `now` is when requests admitted by it were scheduled.
    pub fn schedule(&mut self, now: Anchor) -> Plan {
        self.dirty = false;
        let mut plan = Plan::default();
        let mut budget = self.limits.max_num_batched_tokens;
        for sequence in &mut self.running {
            sequence.planned = sequence.next_tokens().min(budget);
            budget -= sequence.planned;
            plan.count(sequence);
            share_blocks(&mut self.cache, sequence);
        }
        while budget > 0 && (self.running.len() as u64) < u64::from(self.limits.max_num_seqs) {
            let Some(mut sequence) = self.waiting.pop_front() else {
                break;
            };
            sequence.scheduled = Some(now);
            self.look_up_prefix(&mut sequence);
            sequence.planned = sequence.next_tokens().min(budget);
            budget -= sequence.planned;
            plan.count(&sequence);
            share_blocks(&mut self.cache, &sequence);
            self.running.push(sequence);
        }
        plan
    }

    /// Ends the step that `schedule` began; `at` is the stamp of its tokens.
    pub fn finish_step(&mut self, at: Anchor) -> StepOutput {
        let mut outputs = Vec::with_capacity(self.running.len());
        let mut still_running = Vec::with_capacity(self.running.len());
        for mut sequence in self.running.drain(..) {
            let was_decoding = sequence.decoding();
            let planned = std::mem::take(&mut sequence.planned);
            if !was_decoding {
                sequence.prefilled += planned;
            }
            if planned == 0 || !sequence.decoding() {
                still_running.push(sequence);
                continue;
            }
            sequence.generated += 1;
            let finish = sequence.finish_reason(self.limits.max_model_len);
            let first = (!was_decoding).then(|| sequence.admission());
            outputs.push(Output {
                id: sequence.request.id,
                first,
                finish,
            });
            if finish.is_none() {
                still_running.push(sequence);
            }
        }
        self.running = still_running;
        StepOutput {
            at,
            outputs,
            stats: self.take_stats(),
        }
    }

    fn look_up_prefix(&mut self, sequence: &mut Sequence) {
        let request = &sequence.request;
        let usable =
            (request.prompt_tokens.saturating_sub(1) as usize / BLOCK).min(request.blocks.len());
        let hits = self.cache.leading_hits(&request.blocks[..usable]);
        sequence.cached_tokens = (hits * BLOCK) as u32;
        sequence.prefilled = sequence.cached_tokens;
        self.stats.prefix_requests += 1;
        self.stats.prefix_queries += u64::from(request.prompt_tokens);
        self.stats.prefix_hits += u64::from(sequence.cached_tokens);
    }

    fn take_stats(&mut self) -> SchedulerStats {
        let held: u64 = self.running.iter().map(Sequence::blocks_held).sum();
        let mut stats = std::mem::take(&mut self.stats);
        stats.running = self.running.len() as u32;
        stats.waiting = self.waiting.len() as u32;
        stats.kv_usage = held as f64 / self.limits.kv_blocks().max(1) as f64;
        stats
    }
}

impl Plan {
    fn count(&mut self, sequence: &Sequence) {
        if sequence.decoding() {
            self.decoding += sequence.planned;
        } else {
            self.prefill_tokens += sequence.planned;
        }
    }

    /// Nothing to compute: such a step takes no time.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Sequence {
    fn decoding(&self) -> bool {
        self.prefilled >= self.request.prompt_tokens
    }

    fn next_tokens(&self) -> u32 {
        if self.decoding() {
            1
        } else {
            self.request.prompt_tokens - self.prefilled
        }
    }

    /// The end of text is looked for before the limits, as in vLLM.
    fn finish_reason(&self, max_model_len: u32) -> Option<FinishReason> {
        if self.request.stop_at == Some(self.generated) {
            Some(FinishReason::Stop)
        } else if self.generated >= self.request.max_tokens
            || self.request.prompt_tokens + self.generated >= max_model_len
        {
            Some(FinishReason::Length)
        } else {
            None
        }
    }

    fn admission(&self) -> Admission {
        let scheduled = self.scheduled.unwrap_or(self.queued);
        Admission {
            queued: self.queued,
            scheduled,
            cached_tokens: self.cached_tokens,
        }
    }

    fn blocks_held(&self) -> u64 {
        u64::from(self.prefilled + self.generated).div_ceil(BLOCK as u64)
    }
}

/// Blocks are shared from the moment they are planned, as in vLLM: two equal prompts admitted by the
/// same step compute their common part once.
fn share_blocks(cache: &mut PrefixCache, sequence: &Sequence) {
    if sequence.decoding() {
        return;
    }
    let blocks = &sequence.request.blocks;
    let begin = (sequence.prefilled as usize / BLOCK).min(blocks.len());
    let end = ((sequence.prefilled + sequence.planned) as usize / BLOCK).min(blocks.len());
    cache.insert(&blocks[begin..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: i64) -> Anchor {
        Anchor {
            wall_unix_ns: crate::clock::UnixNs(1_000_000 + step),
            monotonic_ns: step,
        }
    }

    fn scheduler(max_num_seqs: u32, max_num_batched_tokens: u32) -> Scheduler {
        Scheduler::new(Limits {
            max_num_seqs,
            max_num_batched_tokens,
            max_model_len: 4096,
        })
    }

    /// A request whose prompt shares nothing with any other.
    fn request(id: u64, prompt_tokens: u32, max_tokens: u32) -> Request {
        let blocks = (0..u64::from(prompt_tokens) / BLOCK as u64)
            .map(|b| id << 32 | b)
            .collect();
        Request {
            id,
            prompt_tokens,
            blocks,
            max_tokens,
            stop_at: None,
        }
    }

    /// Runs steps until nothing is left; returns (plan, ids with a token, ids finished) of each.
    fn run(scheduler: &mut Scheduler) -> Vec<(Plan, Vec<u64>, Vec<u64>)> {
        let mut steps = Vec::new();
        while scheduler.has_work() {
            let now = steps.len() as i64 * 10;
            let plan = scheduler.schedule(at(now));
            let out = scheduler.finish_step(at(now + 5));
            let finished = out
                .outputs
                .iter()
                .filter(|o| o.finish.is_some())
                .map(|o| o.id)
                .collect();
            steps.push((plan, out.outputs.iter().map(|o| o.id).collect(), finished));
            assert!(steps.len() < 100_000, "it never ends");
        }
        steps
    }

    #[test]
    fn requests_are_admitted_first_come_first_served_and_at_most_so_many() {
        let mut scheduler = scheduler(2, 1000);
        for id in 1..=5 {
            scheduler.add(request(id, 20, 3), at(0));
        }
        let steps = run(&mut scheduler);
        let mut finished = Vec::new();
        for (_, tokens, done) in &steps {
            assert!(tokens.len() <= 2, "{tokens:?}");
            finished.extend(done.iter().copied());
        }
        assert_eq!(finished, [1, 2, 3, 4, 5]);
        assert_eq!(steps.len(), 9, "two at a time, three steps each");
    }

    #[test]
    fn the_token_budget_is_never_exceeded_and_decoding_goes_first() {
        let mut scheduler = scheduler(64, 100);
        scheduler.add(request(1, 30, 200), at(0));
        scheduler.add(request(2, 1000, 5), at(0));
        scheduler.add(request(3, 40, 5), at(0));
        let steps = run(&mut scheduler);
        for (plan, _, _) in &steps {
            assert!(plan.decoding + plan.prefill_tokens <= 100, "{plan:?}");
        }
        assert_eq!(
            steps[0].0,
            Plan {
                decoding: 0,
                prefill_tokens: 100
            },
            "30 of the first, 70 of the second"
        );
        assert_eq!(
            steps[1].0,
            Plan {
                decoding: 1,
                prefill_tokens: 99
            },
            "the first decodes, the second goes on"
        );
        let first_of = |id| steps.iter().position(|(_, tokens, _)| tokens.contains(&id));
        assert_eq!(first_of(1), Some(0));
        assert_eq!(first_of(2), Some(10), "1000 = 70 + 9 * 99 + 39");
        assert_eq!(
            first_of(3),
            Some(10),
            "behind the long prompt, in what it left of the budget"
        );
        assert!(
            (0..=10).all(|s| steps[s].1.contains(&1)),
            "the long prompt does not stop the decoding one"
        );
    }

    #[test]
    fn every_prompt_token_is_computed_once_and_every_answer_is_complete() {
        let mut scheduler = scheduler(3, 64);
        let prompts = [1, 15, 16, 17, 63, 64, 65, 300];
        for (id, prompt) in prompts.iter().enumerate() {
            scheduler.add(request(id as u64, *prompt, 7), at(0));
        }
        let steps = run(&mut scheduler);
        let computed: u32 = steps.iter().map(|(plan, _, _)| plan.prefill_tokens).sum();
        assert_eq!(computed, prompts.iter().sum::<u32>());
        let tokens: usize = steps.iter().map(|(_, tokens, _)| tokens.len()).sum();
        assert_eq!(tokens, prompts.len() * 7);
        let decoded: u32 = steps.iter().map(|(plan, _, _)| plan.decoding).sum();
        assert_eq!(
            decoded as usize,
            prompts.len() * 6,
            "the first token comes with the prompt"
        );
    }

    #[test]
    fn a_known_prefix_is_not_computed_again() {
        let mut scheduler = scheduler(8, 1000);
        scheduler.add(request(1, 100, 1), at(0));
        run(&mut scheduler);
        let mut again = request(1, 100, 1);
        again.id = 2;
        scheduler.add(again, at(0));
        let plan = scheduler.schedule(at(10));
        let out = scheduler.finish_step(at(15));
        assert_eq!(plan.prefill_tokens, 4, "six blocks of 16 are cached");
        assert_eq!(out.outputs[0].first.map(|f| f.cached_tokens), Some(96));
        assert_eq!(
            (
                out.stats.prefix_requests,
                out.stats.prefix_queries,
                out.stats.prefix_hits
            ),
            (1, 100, 96)
        );
    }

    #[test]
    fn a_wholly_cached_prompt_still_computes_its_last_block() {
        let mut scheduler = scheduler(8, 1000);
        scheduler.add(request(1, 64, 1), at(0));
        let mut twin = request(1, 64, 1);
        twin.id = 2;
        scheduler.add(twin, at(0));
        let plan = scheduler.schedule(at(1));
        assert_eq!(
            plan.prefill_tokens,
            64 + 16,
            "the twin shares 48 of 64 within the same step"
        );
    }

    #[test]
    fn answers_end_at_the_stop_token_or_at_a_limit() {
        let mut scheduler = scheduler(8, 1000);
        scheduler.add(
            Request {
                stop_at: Some(4),
                ..request(1, 10, 9)
            },
            at(0),
        );
        scheduler.add(
            Request {
                stop_at: Some(9),
                ..request(2, 10, 9)
            },
            at(0),
        );
        scheduler.add(
            Request {
                stop_at: Some(10),
                ..request(3, 10, 9)
            },
            at(0),
        );
        scheduler.add(request(4, 4090, 100), at(0));
        let mut ends = Vec::new();
        let mut tokens = [0; 5];
        while scheduler.has_work() {
            scheduler.schedule(at(0));
            for output in scheduler.finish_step(at(0)).outputs {
                tokens[output.id as usize] += 1;
                ends.extend(output.finish.map(|reason| (output.id, reason)));
            }
        }
        ends.sort_by_key(|(id, _)| *id);
        use FinishReason::{Length, Stop};
        assert_eq!(ends, [(1, Stop), (2, Stop), (3, Length), (4, Length)]);
        assert_eq!(tokens, [0, 4, 9, 9, 6]);
    }

    #[test]
    fn an_abort_frees_the_seat_and_is_told_by_the_next_step() {
        let mut scheduler = scheduler(1, 1000);
        scheduler.add(request(1, 10, 50), at(0));
        scheduler.add(request(2, 10, 1), at(0));
        scheduler.schedule(at(1));
        let stats = scheduler.finish_step(at(2)).stats;
        assert_eq!((stats.running, stats.waiting), (1, 1));
        assert!(stats.kv_usage > 0.0);
        scheduler.abort(1);
        scheduler.schedule(at(3));
        let out = scheduler.finish_step(at(4));
        assert_eq!(out.outputs.iter().map(|o| o.id).collect::<Vec<_>>(), [2]);
        scheduler.add(request(3, 10, 50), at(5));
        scheduler.abort(3);
        assert!(scheduler.has_work());
        let plan = scheduler.schedule(at(6));
        assert!(plan.is_empty());
        assert_eq!(
            scheduler.finish_step(at(7)).stats,
            SchedulerStats::default()
        );
        assert!(!scheduler.has_work());
    }

    #[test]
    fn admission_carries_both_stamps() {
        let mut scheduler = scheduler(1, 1000);
        scheduler.add(request(1, 10, 1), at(1));
        scheduler.add(request(2, 10, 1), at(2));
        scheduler.schedule(at(10));
        scheduler.finish_step(at(15));
        scheduler.schedule(at(20));
        let first = scheduler.finish_step(at(25)).outputs[0]
            .first
            .expect("its first token");
        assert_eq!(
            (first.queued.monotonic_ns, first.scheduled.monotonic_ns),
            (2, 20)
        );
    }
}
