//! Who is computed in which engine step: continuous batching as in vLLM's V1 scheduler, as plain
//! data without a clock or a thread, so that its rules can be tested.
//!
//! A step serves the running requests first, in the order of their admission: one token each when
//! decoding, or the next chunk of their prompt. What is left of the token budget goes to the waiting
//! ones, first come first served, as long as there are fewer than `max_num_seqs` running. A prompt
//! that does not fit is computed in chunks over several steps, and a prompt whose beginning was
//! computed before starts behind it, in whole blocks, always with at least one token to compute.
//!
//! Whoever is computed holds blocks of KV memory. Where they run out for a running request, the one admitted
//! last is preempted: it lets its blocks go, waits before all others, and computes its prompt and what it
//! has answered again. In a step that preempts nobody waiting is admitted. Unlike vLLM, blocks of answers are
//! never found again. As long as nobody says how many blocks there are, there are enough for
//! `max_num_seqs` full contexts, and nothing is preempted.

use std::collections::VecDeque;

use crate::clock::Anchor;

use super::blocks::{Blocks, Held};
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
    /// Blocks of KV memory (`num_gpu_blocks_override`); `None`: as many as can be needed.
    pub num_gpu_blocks: Option<u64>,
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
    /// How often the request has been preempted so far.
    pub preemptions: u32,
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
    /// Requests preempted in it.
    pub preempted: u64,
}

/// The scheduler's state.
pub struct Scheduler {
    limits: Limits,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    blocks: Blocks,
    stats: SchedulerStats,
    /// Something changed outside a step (an abort), which the next step's statistics must show.
    dirty: bool,
}

struct Sequence {
    request: Request,
    queued: Anchor,
    scheduled: Option<Anchor>,
    cached_tokens: u32,
    /// Tokens to compute before the next new one: the prompt, and after a preemption the answer so far.
    to_prefill: u32,
    /// Of these, computed or found in the cache.
    prefilled: u32,
    generated: u32,
    preemptions: u32,
    held: Held,
    /// Tokens planned for it in the current step.
    planned: u32,
}

impl Limits {
    /// Blocks of KV memory.
    pub fn kv_blocks(&self) -> u64 {
        let full = u64::from(self.max_model_len).div_ceil(BLOCK as u64);
        self.num_gpu_blocks.unwrap_or(u64::from(self.max_num_seqs) * full)
    }
}

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            running: Vec::new(),
            blocks: Blocks::new(limits.kv_blocks()),
            stats: SchedulerStats::default(),
            dirty: false,
        }
    }

    /// Takes a request; `now` is when it was queued.
    pub fn add(&mut self, request: Request, now: Anchor) {
        self.waiting.push_back(Sequence {
            to_prefill: request.prompt_tokens,
            request,
            queued: now,
            scheduled: None,
            cached_tokens: 0,
            prefilled: 0,
            generated: 0,
            preemptions: 0,
            held: Held::default(),
            planned: 0,
        });
    }

    /// Forgets a request, if it is still there.
    pub fn abort(&mut self, id: u64) {
        self.waiting.retain(|s| s.request.id != id);
        for sequence in self.running.iter_mut().filter(|s| s.request.id == id) {
            self.blocks.release(&mut sequence.held);
        }
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
        let (mut at, mut preempted) = (0, false);
        while at < self.running.len() {
            let Some(sequence) = self.running.get_mut(at) else { break };
            sequence.planned = sequence.next_tokens().min(budget);
            let more = sequence.blocks_needed().saturating_sub(sequence.held.len());
            if !self.blocks.take(more, &mut sequence.held) {
                // Itself, if nobody was admitted after it.
                self.preempt_last();
                preempted = true;
                continue;
            }
            budget -= sequence.planned;
            plan.count(sequence);
            name_blocks(&mut self.blocks, sequence);
            at += 1;
        }
        while !preempted && budget > 0 && (self.running.len() as u64) < u64::from(self.limits.max_num_seqs) {
            let Some(mut sequence) = self.waiting.pop_front() else {
                break;
            };
            if !self.admit(&mut sequence, budget) {
                self.waiting.push_front(sequence);
                break;
            }
            sequence.scheduled.get_or_insert(now);
            budget -= sequence.planned;
            plan.count(&sequence);
            name_blocks(&mut self.blocks, &sequence);
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
            let first = (sequence.generated == 1).then(|| sequence.admission());
            let preemptions = sequence.preemptions;
            outputs.push(Output { id: sequence.request.id, first, finish, preemptions });
            if finish.is_none() {
                still_running.push(sequence);
            } else {
                self.blocks.release(&mut sequence.held);
            }
        }
        self.running = still_running;
        StepOutput { at, outputs, stats: self.take_stats() }
    }

    /// Gives a waiting request its blocks, those of a known beginning among them, and plans its first chunk;
    /// `false` where there are not enough.
    fn admit(&mut self, sequence: &mut Sequence, budget: u32) -> bool {
        let request = &sequence.request;
        let usable = (sequence.to_prefill.saturating_sub(1) as usize / BLOCK).min(request.blocks.len());
        let parts = request.blocks.get(..usable).unwrap_or_default();
        let (hits, unheld) = self.blocks.cached(parts);
        let cached_tokens = (hits * BLOCK) as u32;
        let planned = (sequence.to_prefill - cached_tokens).min(budget);
        let more = blocks_of(cached_tokens + planned) - hits as u64;
        if more + unheld > self.blocks.free() {
            return false;
        }
        self.blocks.share(parts.get(..hits).unwrap_or_default(), &mut sequence.held);
        let enough = self.blocks.take(more, &mut sequence.held);
        (sequence.prefilled, sequence.planned) = (cached_tokens, planned);
        // What a preempted one finds again is no new question to the cache.
        if sequence.preemptions == 0 {
            sequence.cached_tokens = cached_tokens;
            self.stats.prefix_requests += 1;
            self.stats.prefix_queries += u64::from(sequence.request.prompt_tokens);
            self.stats.prefix_hits += u64::from(cached_tokens);
        }
        enough
    }

    /// Sends the request that was admitted last back to the head of the queue.
    fn preempt_last(&mut self) {
        let Some(mut sequence) = self.running.pop() else { return };
        self.blocks.release(&mut sequence.held);
        sequence.planned = 0;
        sequence.prefilled = 0;
        sequence.to_prefill = sequence.request.prompt_tokens + sequence.generated;
        sequence.preemptions += 1;
        self.stats.preempted += 1;
        self.waiting.push_front(sequence);
    }

    fn take_stats(&mut self) -> SchedulerStats {
        let mut stats = std::mem::take(&mut self.stats);
        stats.running = self.running.len() as u32;
        stats.waiting = self.waiting.len() as u32;
        stats.kv_usage = self.blocks.usage();
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
        self.prefilled >= self.to_prefill
    }

    fn next_tokens(&self) -> u32 {
        if self.decoding() { 1 } else { self.to_prefill - self.prefilled }
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

    /// For all its tokens when what is planned has been computed. The newest token has not been computed yet.
    fn blocks_needed(&self) -> u64 {
        let computed = if self.decoding() {
            (self.request.prompt_tokens + self.generated).saturating_sub(1)
        } else {
            self.prefilled
        };
        blocks_of(computed + self.planned)
    }
}

fn blocks_of(tokens: u32) -> u64 {
    u64::from(tokens).div_ceil(BLOCK as u64)
}

/// Blocks are known by what is planned for them, as in vLLM: two equal prompts admitted by the same step
/// compute their common part once.
fn name_blocks(blocks: &mut Blocks, sequence: &Sequence) {
    if sequence.decoding() {
        return;
    }
    let parts = &sequence.request.blocks;
    let begin = (sequence.prefilled as usize / BLOCK).min(parts.len());
    let end = ((sequence.prefilled + sequence.planned) as usize / BLOCK).min(parts.len());
    blocks.name(&sequence.held, begin, parts.get(begin..end).unwrap_or_default());
}
