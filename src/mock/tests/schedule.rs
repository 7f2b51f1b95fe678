//! The scheduler's rules, step by step, without a clock.

use crate::clock::{Anchor, UnixNs};
use crate::mock::schedule::*;
use crate::mock::tokens::BLOCK;

fn at(step: i64) -> Anchor {
    Anchor { wall_unix_ns: UnixNs(1_000_000 + step), monotonic_ns: step }
}

fn scheduler(max_num_seqs: u32, max_num_batched_tokens: u32) -> Scheduler {
    Scheduler::new(Limits { max_num_seqs, max_num_batched_tokens, max_model_len: 4096, num_gpu_blocks: None })
}

/// As many blocks as said, and no more.
fn with_blocks(blocks: u64) -> Scheduler {
    let limits = Limits {
        max_num_seqs: 8,
        max_num_batched_tokens: 1000,
        max_model_len: 128,
        num_gpu_blocks: Some(blocks),
    };
    Scheduler::new(limits)
}

/// A request whose prompt shares nothing with any other.
fn request(id: u64, prompt_tokens: u32, max_tokens: u32) -> Request {
    let blocks = (0..u64::from(prompt_tokens) / BLOCK as u64).map(|b| id << 32 | b).collect();
    Request { id, prompt_tokens, blocks, max_tokens, stop_at: None }
}

/// Runs steps until nothing is left; returns (plan, ids with a token, ids finished) of each.
fn run(scheduler: &mut Scheduler) -> Vec<(Plan, Vec<u64>, Vec<u64>)> {
    let mut steps = Vec::new();
    while scheduler.has_work() {
        let now = 10 * i64::try_from(steps.len()).unwrap();
        let plan = scheduler.schedule(at(now));
        let out = scheduler.finish_step(at(now + 5));
        let finished = out.outputs.iter().filter(|o| o.finish.is_some()).map(|o| o.id).collect();
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
    assert_eq!(steps[0].0, Plan { decoding: 0, prefill_tokens: 100 }, "30 of the first, 70 of the second");
    assert_eq!(steps[1].0, Plan { decoding: 1, prefill_tokens: 99 }, "the first decodes, the second goes on");
    let first_of = |id| steps.iter().position(|(_, tokens, _)| tokens.contains(&id));
    assert_eq!(first_of(1), Some(0));
    assert_eq!(first_of(2), Some(10), "1000 = 70 + 9 * 99 + 39");
    assert_eq!(first_of(3), Some(10), "behind the long prompt, in what it left of the budget");
    assert!((0..=10).all(|s| steps[s].1.contains(&1)), "the long prompt does not stop the decoding one");
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
    assert_eq!(decoded as usize, prompts.len() * 6, "the first token comes with the prompt");
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
    assert_eq!((out.stats.prefix_requests, out.stats.prefix_queries, out.stats.prefix_hits), (1, 100, 96));
}

#[test]
fn a_wholly_cached_prompt_still_computes_its_last_block() {
    let mut scheduler = scheduler(8, 1000);
    scheduler.add(request(1, 64, 1), at(0));
    let mut twin = request(1, 64, 1);
    twin.id = 2;
    scheduler.add(twin, at(0));
    let plan = scheduler.schedule(at(1));
    assert_eq!(plan.prefill_tokens, 64 + 16, "the twin shares 48 of 64 within the same step");
}

#[test]
fn answers_end_at_the_stop_token_or_at_a_limit() {
    let mut scheduler = scheduler(8, 1000);
    scheduler.add(Request { stop_at: Some(4), ..request(1, 10, 9) }, at(0));
    scheduler.add(Request { stop_at: Some(9), ..request(2, 10, 9) }, at(0));
    scheduler.add(Request { stop_at: Some(10), ..request(3, 10, 9) }, at(0));
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
    assert_eq!(
        ends,
        [
            (1, FinishReason::Stop),
            (2, FinishReason::Stop),
            (3, FinishReason::Length),
            (4, FinishReason::Length)
        ]
    );
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
    assert_eq!(scheduler.finish_step(at(7)).stats, SchedulerStats::default());
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
    let first = scheduler.finish_step(at(25)).outputs[0].first.expect("its first token");
    assert_eq!((first.queued.monotonic_ns, first.scheduled.monotonic_ns), (2, 20));
}

/// Eight blocks, of which the first request needs all at its end: the second gives way, and computes its 32
/// prompt tokens and what it had answered again.
#[test]
fn where_blocks_run_out_the_last_admitted_is_preempted_and_computes_again() {
    let mut scheduler = with_blocks(8);
    // Prompt 32 = 2 blocks, 96 answers: 127 tokens computed at the end, 8 blocks.
    scheduler.add(request(1, 32, 96), at(0));
    scheduler.add(request(2, 32, 40), at(0));
    let (mut tokens, mut preempted, mut again, mut ends) = ([0_u32; 3], 0, 0, Vec::new());
    let mut step = 0;
    while scheduler.has_work() {
        let plan = scheduler.schedule(at(10 * step));
        let out = scheduler.finish_step(at(10 * step + 5));
        again += if step > 0 { plan.prefill_tokens } else { 0 };
        preempted += out.stats.preempted;
        assert!(out.stats.kv_usage <= 1.0);
        for output in out.outputs {
            tokens[output.id as usize] += 1;
            assert_eq!(output.first.is_some(), tokens[output.id as usize] == 1, "admitted once");
            ends.extend(output.finish.map(|_| (output.id, output.preemptions)));
        }
        step += 1;
        assert!(step < 1000, "it never ends");
    }
    assert_eq!(tokens, [0, 96, 40], "nothing is lost and nothing told twice");
    assert_eq!(preempted, 1);
    // Both hold 4 blocks while 64 tokens are computed; the first needs a fifth for its 34th answer. What the
    // second had until then, 32 of the prompt and 33 answered, is computed again, but for a block of the
    // prompt that nobody needed meanwhile.
    assert!((33..=65).contains(&again), "{again}");
    assert_eq!(ends, [(1, 0), (2, 1)]);
}

#[test]
fn nobody_is_admitted_whose_blocks_are_not_there() {
    let mut scheduler = with_blocks(8);
    scheduler.add(request(1, 100, 2), at(0));
    scheduler.add(request(2, 40, 2), at(0));
    assert_eq!(scheduler.schedule(at(0)).prefill_tokens, 100, "7 blocks; the other needs 3");
    let stats = scheduler.finish_step(at(5)).stats;
    assert_eq!((stats.running, stats.waiting, stats.preempted), (1, 1, 0));
    assert!((stats.kv_usage - 7.0 / 8.0).abs() < 1e-12);
    let rest = run(&mut scheduler);
    assert_eq!(rest.iter().flat_map(|(_, _, done)| done).copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_beginning_that_nobody_holds_is_found_until_its_blocks_are_needed() {
    let mut scheduler = with_blocks(8);
    scheduler.add(request(1, 48, 1), at(0));
    run(&mut scheduler);
    let mut again = request(1, 48, 1);
    again.id = 2;
    scheduler.add(again.clone(), at(0));
    assert_eq!(scheduler.schedule(at(0)).prefill_tokens, 16, "two of three blocks are cached");
    scheduler.finish_step(at(5));
    scheduler.add(request(3, 120, 1), at(0));
    run(&mut scheduler);
    again.id = 4;
    scheduler.add(again, at(0));
    assert_eq!(scheduler.schedule(at(0)).prefill_tokens, 48, "all eight blocks were needed for another");
}
