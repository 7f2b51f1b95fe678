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

/// The scheduler's limits, by the names of vLLM's flags.
#[allow(clippy::struct_field_names)]
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

    /// Requests whose prompt the step that `schedule` began computes, or a part of it.
    pub fn context_requests(&self) -> u32 {
        self.running.iter().filter(|s| s.planned > 0 && !s.decoding()).count() as u32
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
            outputs.push(Output { id: sequence.request.id, first, finish });
            if finish.is_none() {
                still_running.push(sequence);
            }
        }
        self.running = still_running;
        StepOutput { at, outputs, stats: self.take_stats() }
    }

    fn look_up_prefix(&mut self, sequence: &mut Sequence) {
        let request = &sequence.request;
        let usable = (request.prompt_tokens.saturating_sub(1) as usize / BLOCK).min(request.blocks.len());
        let hits = self.cache.leading_hits(request.blocks.get(..usable).unwrap_or_default());
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
        if self.decoding() { 1 } else { self.request.prompt_tokens - self.prefilled }
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
        Admission { queued: self.queued, scheduled, cached_tokens: self.cached_tokens }
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
    cache.insert(blocks.get(begin..end).unwrap_or_default());
}
