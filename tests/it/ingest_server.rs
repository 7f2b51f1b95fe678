//! What each server's metrics page says in all: captured pages in, totals out.

use tare::record::SampleRow;
use tare::server::llama_cpp::LLAMA_CPP;
use tare::server::recognise::by_metrics;
use tare::server::sglang::SGLANG;
use tare::server::tgi::TGI;
use tare::server::vllm::VLLM;
use tare::server::{Hist, Totals};

fn page(name: &str) -> Vec<SampleRow> {
    let path = format!("{}/tests/samples/metrics/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let scrape = tare_parsers::exposition::parse(&text);
    assert!(scrape.errors.is_empty() && scrape.complete, "{:?}", scrape.errors);
    let row = |sample: &tare_parsers::exposition::Sample<'_>| SampleRow {
        name: sample.name.to_owned(),
        labels: sample
            .labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone().into_owned()))
            .collect(),
        value: sample.value,
    };
    scrape.samples.iter().map(row).collect()
}

fn totals(name: &str) -> Totals {
    VLLM.totals(&page(name))
}

/// Sum, count, number of bounds, and the count in the last bucket, which is all of them.
fn shape(hist: Option<&Hist>) -> (f64, f64, usize, f64) {
    let hist = hist.unwrap();
    let (le, n) = *hist.buckets.last().unwrap();
    assert!(le.is_infinite());
    assert!(
        hist.buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1),
        "{:?}",
        hist.buckets
    );
    (hist.sum, hist.count, hist.buckets.len(), n)
}

fn finished(totals: &Totals) -> Vec<(&str, f64)> {
    totals.finished.iter().filter(|(_, n)| **n > 0.0).map(|(reason, n)| (reason.as_str(), *n)).collect()
}

#[test]
fn a_page_of_today() {
    let t = totals("vllm-0.32.prom");
    assert_eq!(shape(t.ttft.as_ref()), (0.280_502_080_917_358_4, 7.0, 23, 7.0));
    assert_eq!(shape(t.itl.as_ref()), (1.045_462_311_999_472_1, 74.0, 20, 74.0));
    assert_eq!(shape(t.tpot.as_ref()).1, 6.0);
    assert_eq!(shape(t.e2e.as_ref()), (1.203_369_855_880_737_3, 6.0, 22, 6.0));
    assert_eq!(shape(t.queue.as_ref()).0, 0.000_159_546_000_304_544_58);
    assert_eq!(shape(t.prefill.as_ref()).0, 0.127_633_754_999_806_11);
    assert_eq!(shape(t.decode.as_ref()).0, 0.949_978_937_999_731);
    assert_eq!((t.prompt_tokens, t.generation_tokens), (Some(295.0), Some(81.0)));
    assert_eq!((t.running, t.waiting, t.kv_cache_usage), (Some(0.0), Some(0.0), Some(0.0)));
    assert_eq!(finished(&t), [("length", 6.0)]);
    assert_eq!((t.finished_all(), t.finished_well()), (Some(6.0), Some(6.0)));
    assert!(t.engines.iter().eq(["0"]) && t.models.iter().eq(["tiny"]));
}

#[test]
fn two_engines_are_added_up() {
    let t = totals("vllm-0.32-dp2.prom");
    let (sum, count, bounds, last) = shape(t.ttft.as_ref());
    assert!((sum - (0.122_254_610_061_645_51 + 0.066_967_725_753_784_18)).abs() < 1e-15);
    assert_eq!((count, bounds, last), (7.0, 23, 7.0));
    assert_eq!((t.prompt_tokens, t.generation_tokens), (Some(295.0), Some(81.0)));
    assert_eq!(finished(&t), [("length", 6.0)]);
    assert!(t.engines.iter().eq(["0", "1"]));
}

#[test]
fn a_page_merged_from_two_api_servers() {
    let t = totals("vllm-0.32-api2.prom");
    assert_eq!((shape(t.ttft.as_ref()).1, shape(t.e2e.as_ref()).1), (7.0, 6.0));
    assert_eq!(t.generation_tokens, Some(81.0));
}

#[test]
fn the_first_engine_without_engine_labels() {
    let t = totals("vllm-0.6.prom");
    assert_eq!(shape(t.ttft.as_ref()), (0.9, 3.0, 4, 3.0));
    assert_eq!(shape(t.itl.as_ref()), (2.34, 117.0, 2, 117.0));
    assert_eq!(shape(t.queue.as_ref()), (0.5, 2.0, 2, 2.0));
    assert_eq!((t.running, t.waiting, t.kv_cache_usage), (Some(2.0), Some(1.0), Some(0.25)));
    assert_eq!(finished(&t), [("length", 1.0), ("stop", 1.0)]);
    assert_eq!((t.tpot, t.prefill, t.decode), (None, None, None));
    assert!(t.engines.is_empty());
}

#[test]
fn two_spellings_of_one_series_are_not_added() {
    let t = totals("vllm-0.11.prom");
    assert_eq!(shape(t.itl.as_ref()), (0.08, 8.0, 2, 8.0));
    assert_eq!(t.kv_cache_usage, Some(0.5));
}

#[test]
fn open_metrics_of_the_rust_front_end() {
    let t = totals("vllm-rust.prom");
    assert_eq!((t.prompt_tokens, t.generation_tokens), (Some(295.0), Some(81.0)));
    assert_eq!(shape(t.ttft.as_ref()), (0.2805, 7.0, 4, 7.0));
    assert_eq!(
        (t.finished_all(), t.finished_well()),
        (Some(7.0), Some(6.0)),
        "an aborted request is counted, but did not end well"
    );
}

#[test]
fn differences_over_a_run() {
    let (before, after) = (totals("vllm-0.6.prom"), totals("vllm-0.6.prom"));
    let mut later = after.clone();
    later.ttft =
        later.ttft.map(|hist| Hist { sum: hist.sum + 1.5, count: hist.count + 2.0, buckets: hist.buckets });
    later.finished.insert("abort".to_owned(), 4.0);
    later.running = Some(9.0);
    let delta = later.since(&before);
    assert_eq!(delta.ttft.as_ref().and_then(Hist::mean), Some(0.75));
    assert_eq!(finished(&delta), [("abort", 4.0)], "a series that was not there before began at zero");
    assert_eq!((delta.running, delta.generation_tokens), (Some(9.0), Some(0.0)));
    assert_eq!(
        before.since(&later).ttft.map(|hist| hist.count),
        Some(-2.0),
        "a reset shows as a negative count"
    );
}

#[test]
fn replicas_are_added_up() {
    let sum = totals("vllm-0.6.prom").plus(&totals("vllm-0.6.prom"));
    assert_eq!(shape(sum.ttft.as_ref()), (1.8, 6.0, 4, 6.0));
    assert_eq!((sum.running, sum.kv_cache_usage), (Some(4.0), Some(0.25)));
    assert_eq!(Totals::default().plus(&sum), sum);
}

#[test]
fn buckets_that_one_label_set_lacks_are_left_out() {
    let bucket = |engine: &str, le: &str, value: f64| SampleRow {
        name: "vllm:time_to_first_token_seconds_bucket".to_owned(),
        labels: vec![("engine".to_owned(), engine.to_owned()), ("le".to_owned(), le.to_owned())],
        value,
    };
    let plain = |part: &str, value: f64| SampleRow {
        name: format!("vllm:time_to_first_token_seconds_{part}"),
        labels: Vec::new(),
        value,
    };
    let samples = [
        plain("sum", 1.0),
        plain("count", 9.0),
        bucket("0", "0.1", 3.0),
        bucket("0", "+Inf", 5.0),
        bucket("1", "0.2", 4.0),
        bucket("1", "+Inf", 4.0),
    ];
    assert_eq!(VLLM.totals(&samples).ttft.unwrap().buckets, [(f64::INFINITY, 9.0)]);
}

#[test]
fn pages_are_recognised() {
    let all = [
        ("vllm-0.32.prom", "vllm"),
        ("vllm-0.6.prom", "vllm"),
        ("vllm-rust.prom", "vllm"),
        ("llama_cpp-b11549.prom", "llama_cpp"),
        ("sglang-0.4-docs.prom", "sglang"),
    ];
    for (name, server) in all {
        let samples = page(name);
        let found = by_metrics(&samples.iter().map(|sample| sample.name.as_str()));
        assert_eq!(found.unwrap().name, server, "{name}");
    }
}

/// Two chats of 16 tokens, of which the second found 15 in the cache, and 4 + 3 tokens answered.
#[test]
fn llama_cpps_page_counts_cached_prompt_tokens_apart_and_has_no_histogram() {
    let t = LLAMA_CPP.totals(&page("llama_cpp-b11549.prom"));
    assert_eq!((t.prompt_tokens, t.generation_tokens), (Some(17.0 + 15.0), Some(7.0)));
    assert_eq!(t.decode_seconds, Some(0.001_21));
    assert_eq!((t.running, t.waiting, t.kv_cache_usage), (Some(0.0), Some(0.0), None));
    assert!(t.ttft.is_none() && t.e2e.is_none() && t.queue.is_none() && t.decode.is_none());
    assert_eq!(t.finished_all(), None, "it does not count them");
}

/// The page of `SGLang`'s documentation, shortened: what an old server wrote under load.
#[test]
fn sglangs_old_time_per_output_token_is_neither_itl_nor_tpot() {
    let t = SGLANG.totals(&page("sglang-0.4-docs.prom"));
    assert_eq!(shape(t.ttft.as_ref()), (2_351_897.947_411_775_6, 11_008.0, 2, 11_008.0));
    assert_eq!(shape(t.e2e.as_ref()), (3_116_093.850_019_932, 11_228.0, 2, 11_228.0));
    assert!(t.itl.is_none() && t.tpot.is_none());
    assert_eq!((t.prompt_tokens, t.generation_tokens), (Some(8_128_902.0), Some(7_557_572.0)));
    assert_eq!((t.running, t.waiting, t.kv_cache_usage), (Some(162.0), Some(2826.0), Some(0.28)));
    assert!(t.models.iter().eq(["meta-llama/Llama-3.1-8B-Instruct"]));
}

/// Names as in TGI's sources (`router/src/server.rs`); the numbers are made up.
#[test]
fn tgis_counts_of_tokens_are_the_sums_of_histograms() {
    let sample = |name: &str, value: f64| SampleRow { name: name.to_owned(), labels: Vec::new(), value };
    let failed = SampleRow {
        labels: vec![("err".to_owned(), "validation".to_owned())],
        ..sample("tgi_request_failure", 1.0)
    };
    let t = TGI.totals(&[
        sample("tgi_request_success", 9.0),
        failed,
        sample("tgi_request_duration_sum", 4.5),
        sample("tgi_request_duration_count", 9.0),
        sample("tgi_request_queue_duration_sum", 0.9),
        sample("tgi_request_queue_duration_count", 9.0),
        sample("tgi_request_generated_tokens_sum", 180.0),
        sample("tgi_request_generated_tokens_count", 9.0),
        sample("tgi_request_mean_time_per_token_duration_sum", 0.2),
        sample("tgi_request_mean_time_per_token_duration_count", 9.0),
        sample("tgi_queue_size", 2.0),
    ]);
    assert_eq!(t.e2e.unwrap().mean(), Some(0.5));
    assert_eq!(t.queue.unwrap().mean(), Some(0.1));
    assert_eq!((t.generation_tokens, t.waiting), (Some(180.0), Some(2.0)));
    assert!(t.tpot.is_none(), "its time per token has the prefill in it");
    assert_eq!(t.finished.get("error"), Some(&1.0));
}
