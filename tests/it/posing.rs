//! Runs against the embedded server as another one: which server it is, each request's best source joined,
//! and what that tells against the truth. Preemption and the prefix cache as their counters tell of them.

use tare::error::Exit;
use tare::record::correlated::{Evidence, PartRow, Verdict};
use tare::record::{LogEvent, Source, Status};

use crate::runs::{QUICK, Run, SHORT, run};

fn posing(server: &str, more: &str) -> String {
    format!("{QUICK}  as: {server}\n{more}")
}

/// By the answer's id: these servers do not use the one that was sent.
fn truth_of<'a>(run: &'a Run, response_id: &str) -> &'a tare::mock::truth::TruthRow {
    run.truth.iter().find(|row| row.request_id == response_id).unwrap_or_else(|| panic!("{response_id}"))
}

fn part_names(run: &Run) -> Vec<PartRow> {
    run.correlated.breakdown.columns[0].parts.iter().map(|part| part.row).collect()
}

#[test]
fn llama_cpps_timings_are_joined_and_are_the_truth() {
    let run = run(&posing("llama.cpp", ""), &format!("{SHORT} --users 4 --num-prompts 40 --num-warmups 2"));
    assert_eq!(run.exit, Exit::Finished);
    assert_eq!(run.manifest.target.server, "llama_cpp");
    assert_eq!(run.ok().count(), 40);
    for joined in run.joined_ok() {
        let truth = truth_of(&run, joined.client.response_id.as_deref().unwrap());
        assert_eq!(joined.source, Source::InBand);
        // Whole microseconds in milliseconds.
        let near =
            |told: Option<f64>, true_s: Option<f64>| (told.unwrap() - true_s.unwrap()).abs() <= 0.51e-6;
        assert!(near(joined.server_prefill_s, truth.prefill_s), "{joined:?}\n{truth:?}");
        assert!(near(joined.server_decode_s, truth.decode_s), "{joined:?}\n{truth:?}");
        assert_eq!(joined.server_queue_s, None, "the queue is not told");
        assert_eq!(joined.client.input_tokens, Some(truth.prompt_tokens));
        assert_eq!(joined.client.output_tokens, Some(truth.output_tokens));
    }
    // Prefill is measured, what remains is one row; together they are the client's TTFT.
    assert_eq!(run.correlated.breakdown.source, Evidence::InBand);
    let expected = [
        PartRow::Schedule,
        PartRow::Connect,
        PartRow::Send,
        PartRow::Prefill,
        PartRow::PathAndQueue,
        PartRow::ClientLag,
    ];
    assert_eq!(part_names(&run), expected);
    let mean = &run.correlated.breakdown.columns[0];
    let sum: f64 = mean.parts.iter().filter(|p| p.row.inside()).map(|p| p.mean_s).sum();
    assert!((sum - mean.total_s).abs() < 1e-9, "{mean:?}");
    // The counters count the warm-ups' tokens before the window, and all of the window's.
    for name in ["output tokens", "prompt tokens"] {
        let check = run.correlated.checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.verdict, Verdict::Agree, "{check:?}");
    }
    // Each finished task has its lines.
    let timings =
        run.log.iter().filter(|row| matches!(&row.event, LogEvent::Timing { of, .. } if of == "decode"));
    assert_eq!(timings.count(), run.truth.len());
}

#[test]
fn sglangs_records_give_ttft_and_the_whole_breakdown() {
    let yaml = posing("sglang", "  stat_log: true\n");
    let run = run(&yaml, &format!("{SHORT} --users 4 --num-prompts 40 --num-warmups 2"));
    assert_eq!((run.exit, run.manifest.target.server.as_str()), (Exit::Finished, "sglang"));
    assert_eq!(run.ok().count(), 40);
    for joined in run.joined_ok() {
        let truth = truth_of(&run, joined.client.response_id.as_deref().unwrap());
        assert_eq!((joined.source, joined.ttft_source), (Source::StatLog, Some(Source::StatLog)));
        assert_eq!((joined.server_ttft_s, joined.server_e2e_s), (truth.ttft_s, truth.e2e_s));
        assert_eq!(joined.server_queue_s, truth.queue_s);
        // The difference of two doubles of seconds since 1970, 238 ns apart.
        let prefill = joined.server_prefill_s.unwrap() - truth.prefill_s.unwrap();
        assert!(prefill.abs() < 1e-6, "{joined:?}\n{truth:?}");
        assert!(
            (joined.server_decode_s.unwrap() - (truth.e2e_s.unwrap() - truth.ttft_s.unwrap())).abs() < 1e-12
        );
        let arrival = joined.server_arrival_unix_ns.unwrap().0 - truth.arrival_unix_ns.unwrap().0;
        assert!(arrival.abs() < 1_000, "{arrival}");
    }
    assert_eq!(run.correlated.breakdown.source, Evidence::StatLog);
    assert!(
        part_names(&run).contains(&PartRow::FrontEnd) && part_names(&run).contains(&PartRow::Unexplained)
    );
    // The log's lines are by the same id.
    let by_log = run.joined_ok().filter(|joined| joined.log_received_unix_ns.is_some()).count();
    assert_eq!(by_log, 40);
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}

/// Sixteen requests of 12 blocks at their end, and room for 32 blocks: not more than two or three at once.
#[test]
fn where_memory_runs_out_requests_are_preempted_and_nothing_is_lost() {
    let yaml = format!("{QUICK}  max_model_len: 512\n  num_gpu_blocks_override: 32\n");
    let flags = "--dataset-name random --random-input-len 60 --random-output-len 120 --ignore-eos --users 8 --num-prompts 16";
    let run = run(&yaml, flags);
    assert_eq!(run.ok().count(), 16);
    let preempted: u32 = run.truth.iter().map(|row| row.preemptions).sum();
    assert!(preempted > 0, "never short of memory");
    for row in run.ok() {
        assert_eq!(row.output_tokens, row.max_tokens, "{row:?}");
    }
    let samples: Vec<_> =
        tare::store::RunData::read(&tare::store::RunFolder::open(&run.folder).unwrap()).unwrap().scrapes.rows;
    let last = samples.iter().rev().find(|scrape| scrape.error.is_none()).unwrap();
    let counted = |name: &str| last.samples.iter().find(|s| s.name == name).unwrap().value;
    assert_eq!(counted("vllm:num_preemptions_total"), f64::from(preempted));
    assert!(
        samples
            .iter()
            .flat_map(|s| &s.samples)
            .all(|s| s.name != "vllm:kv_cache_usage_perc" || s.value <= 1.0)
    );
    assert!(run.rows.iter().all(|row| row.status == Status::Ok));
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}
