//! An engine: a thread that runs the scheduler step by step and lets each step take as long as the
//! cost model says. It stands for vLLM's engine core process: requests reach it between two steps,
//! and its stamps are taken there. This file must not know HTTP, text or metrics.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock::{Anchor, monotonic_ns};
use crate::config::Embedded;

use super::answer::normal;
use super::schedule::{Limits, Plan, Request, Scheduler, StepOutput};
use super::timer::exact_sleeps;

/// What the engine can be told.
pub enum Command {
    Add(Request),
    Abort(u64),
}

/// What one step of one engine was and brought about.
#[derive(Debug)]
pub struct Step {
    /// The engine's number.
    pub engine: usize,
    /// Steps with something to compute, from 0.
    pub number: u64,
    pub plan: Plan,
    /// Requests whose prompt it computed, or a part of it.
    pub context_requests: u32,
    /// How long it took.
    pub elapsed_s: f64,
    pub output: StepOutput,
}

/// Starts the engine of this number. It ends when every command sender, or the receiver of its steps, is
/// gone.
pub fn start(
    engine: usize,
    embedded: &Embedded,
    steps: UnboundedSender<Step>,
) -> std::io::Result<(Sender<Command>, JoinHandle<()>)> {
    let (commands, receiver) = channel();
    let scheduler = Scheduler::new(limits(embedded));
    let cost = StepCost::new(engine, embedded);
    let thread = std::thread::Builder::new().name(format!("mock-engine-{engine}")).spawn(move || {
        exact_sleeps();
        run(engine, scheduler, cost, &receiver, &steps);
    })?;
    Ok((commands, thread))
}

/// The scheduler's limits of a configuration.
pub fn limits(embedded: &Embedded) -> Limits {
    Limits {
        max_num_seqs: embedded.max_num_seqs,
        max_num_batched_tokens: embedded.max_num_batched_tokens,
        max_model_len: embedded.max_model_len,
        num_gpu_blocks: embedded.num_gpu_blocks_override,
    }
}

fn run(
    engine: usize,
    mut scheduler: Scheduler,
    mut cost: StepCost,
    commands: &Receiver<Command>,
    steps: &UnboundedSender<Step>,
) {
    let mut number = 0;
    loop {
        if !scheduler.has_work() {
            match commands.recv() {
                Ok(command) => obey(&mut scheduler, command),
                Err(_) => return,
            }
        }
        loop {
            match commands.try_recv() {
                Ok(command) => obey(&mut scheduler, command),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let begin = Anchor::now();
        let plan = scheduler.schedule(begin);
        let context_requests = scheduler.context_requests();
        if !plan.is_empty() {
            sleep_until(begin.monotonic_ns + cost.step_ns(&plan));
        }
        let computed = !plan.is_empty();
        let output = scheduler.finish_step(Anchor::now());
        let elapsed_s = (output.at.monotonic_ns - begin.monotonic_ns) as f64 / 1e9;
        if steps.send(Step { engine, number, plan, context_requests, elapsed_s, output }).is_err() {
            return;
        }
        number += u64::from(computed);
    }
}

fn obey(scheduler: &mut Scheduler, command: Command) {
    match command {
        Command::Add(request) => scheduler.add(request, Anchor::now()),
        Command::Abort(id) => scheduler.abort(id),
    }
}

/// Sleeps to an absolute moment of the monotonic clock, so that being late once is not carried on.
fn sleep_until(deadline_ns: i64) {
    loop {
        let left = deadline_ns - monotonic_ns();
        if left <= 0 {
            return;
        }
        std::thread::sleep(Duration::from_nanos(left as u64));
    }
}

/// How long a step takes.
struct StepCost {
    base_ms: f64,
    per_sequence_ms: f64,
    per_prompt_token_ms: f64,
    jitter: f64,
    rng: ChaCha8Rng,
}

impl StepCost {
    fn new(engine: usize, embedded: &Embedded) -> Self {
        Self {
            base_ms: embedded.decode_base_ms,
            per_sequence_ms: embedded.decode_per_seq_ms,
            per_prompt_token_ms: embedded.prefill_us_per_token / 1e3,
            jitter: embedded.jitter,
            rng: ChaCha8Rng::seed_from_u64(embedded.seed.wrapping_add(engine as u64)),
        }
    }

    fn step_ns(&mut self, plan: &Plan) -> i64 {
        let mean_ms = self.base_ms
            + self.per_sequence_ms * f64::from(plan.decoding)
            + self.per_prompt_token_ms * f64::from(plan.prefill_tokens);
        (mean_ms * 1e6 * spread(self.jitter, &mut self.rng)) as i64
    }
}

/// A factor around 1 with this relative spread, never below a tenth.
pub fn spread(jitter: f64, rng: &mut ChaCha8Rng) -> f64 {
    (1.0 + jitter * normal(rng)).max(0.1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_step_costs_its_base_its_sequences_and_its_prompt_tokens() {
        let embedded = Embedded {
            decode_base_ms: 8.0,
            decode_per_seq_ms: 0.5,
            prefill_us_per_token: 60.0,
            jitter: 0.0,
            ..Embedded::default()
        };
        let mut cost = StepCost::new(0, &embedded);
        assert_eq!(cost.step_ns(&Plan { decoding: 4, prefill_tokens: 100 }), 16_000_000);
    }

    #[test]
    fn jitter_is_seeded_and_as_wide_as_asked_for() {
        let embedded =
            Embedded { decode_base_ms: 10.0, decode_per_seq_ms: 0.0, jitter: 0.1, ..Embedded::default() };
        let plan = Plan { decoding: 1, prefill_tokens: 0 };
        let draw = || {
            let mut cost = StepCost::new(0, &embedded);
            (0..5_000).map(|_| cost.step_ns(&plan) as f64 / 1e7).collect::<Vec<f64>>()
        };
        let factors = draw();
        assert_eq!(factors, draw());
        let mean = factors.iter().sum::<f64>() / factors.len() as f64;
        let deviation =
            (factors.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / factors.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.01 && (deviation - 0.1).abs() < 0.01, "{mean} {deviation}");
    }

    #[test]
    fn the_thread_computes_what_it_is_told_and_ends_with_its_sender() {
        let embedded = Embedded { decode_base_ms: 0.5, jitter: 0.0, ..Embedded::default() };
        let (sender, mut outputs) = tokio::sync::mpsc::unbounded_channel();
        let (commands, thread) = start(0, &embedded, sender).unwrap();
        let request = Request { id: 9, prompt_tokens: 40, blocks: vec![1, 2], max_tokens: 3, stop_at: None };
        commands.send(Command::Add(request)).unwrap();
        let steps: Vec<Step> = (0..3).map(|_| outputs.blocking_recv().unwrap()).collect();
        let stamps: Vec<i64> = steps.iter().map(|s| s.output.at.monotonic_ns).collect();
        assert!(stamps.windows(2).all(|w| w[1] - w[0] >= 500_000), "{stamps:?}");
        let what: Vec<_> = steps.iter().map(|s| (s.number, s.context_requests, s.plan.decoding)).collect();
        assert_eq!(what, [(0, 1, 0), (1, 0, 1), (2, 0, 1)]);
        assert!(steps.iter().all(|s| s.elapsed_s >= 0.0005));
        let first = steps[0].output.outputs[0].first.unwrap();
        assert!(first.queued.monotonic_ns <= first.scheduled.monotonic_ns);
        assert!(steps[2].output.outputs[0].finish.is_some());
        drop(commands);
        thread.join().unwrap();
    }
}
