//! `tare compare` of runs whose engines are known: the differences have the right sign, gates the right exit
//! code, and what cannot be compared is refused in words.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use crate::program::{Place, Said, files, filters};

/// One user: nothing waits, and a run lasts two seconds.
const LOAD: &str = "--users 1 --num-prompts 60 --random-input-len 30 --random-output-len 8 --ignore-eos --scrape-interval 60";

/// A run of an engine whose step takes so many milliseconds, in a folder of that name.
fn run(place: &Place, name: &str, decode_ms: f64, more: &str) {
    let yaml = format!(
        "name: {name}\nembedded:\n  decode_base_ms: {decode_ms}\n  prefill_us_per_token: 100\n  jitter: 0\n  spans: true\n"
    );
    place.file("config.yaml", yaml);
    let said = place.tare(&format!("run config.yaml -q {LOAD} --output {name} {more}"));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

/// Two engines, the second with steps twice as long.
fn two() -> Place {
    let place = Place::new();
    run(&place, "quick", 2.0, "");
    run(&place, "slow", 4.0, "");
    place
}

fn json(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("compare.json")).unwrap()).unwrap()
}

fn figure<'a>(found: &'a Value, key: &str) -> &'a Value {
    found["figures"]
        .as_array()
        .unwrap()
        .iter()
        .find(|figure| figure["key"] == key)
        .unwrap_or_else(|| panic!("no {key}"))
}

/// Exit code and stderr.
fn ended(said: &Said) -> String {
    Said::shown(said)
        .split("----- stderr")
        .nth(1)
        .map(|err| format!("exit code: {}{err}", said.code.unwrap()))
        .unwrap()
}

#[test]
fn a_known_difference_of_two_engines_is_told_with_its_sign() {
    let place = two();
    let said = place.tare("compare quick slow --output both --goodput ttft:1000 tpot:3");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let found = json(&place.path("both"));
    let tpot = figure(&found, "mean_tpot_ms");
    // Each token takes a step more or less of 2 and 4 ms, and whatever this machine adds to both.
    assert_eq!(tpot["against"][1]["told"], "more");
    assert!(tpot["against"][0].is_null(), "the baseline is not compared with itself");
    let of = |part: &str| tpot["against"][1][part]["value"].as_f64().unwrap();
    assert!(of("difference") > 1e-3 && of("ratio") > 1.3, "{tpot}");
    assert_eq!(figure(&found, "mean_user_throughput")["against"][1]["told"], "less");
    assert_eq!(figure(&found, "output_throughput")["against"][1]["told"], "less");
    assert_eq!(figure(&found, "mean_server_decode_ms")["against"][1]["told"], "more");
    assert_eq!(figure(&found, "mean_output_tokens")["against"][1]["told"], "nothing");
    assert_eq!(figure(&found, "request_goodput")["against"][1]["told"], "less");
    // The same requests, since the seed is the same.
    assert_eq!(found["pairing"][1]["pairs"], 60, "{}", found["pairing"]);
    assert_eq!(tpot["against"][1]["pairs"], 60);
    let unlike: Vec<&str> =
        found["unlike"].as_array().unwrap().iter().map(|u| u["what"].as_str().unwrap()).collect();
    assert!(unlike.contains(&"embedded.decode_base_ms"), "{unlike:?}");
    assert!(!unlike.contains(&"seed") && !unlike.contains(&"prompts"), "{unlike:?}");
    // Its estimates are those of the runs' own reports.
    for (i, name) in ["quick", "slow"].into_iter().enumerate() {
        let summary: Value =
            serde_json::from_slice(&std::fs::read(place.path(name).join("summary.json")).unwrap()).unwrap();
        for key in ["mean_ttft_ms", "p99_itl_ms", "mean_tpot_ms", "median_e2el_ms"] {
            let (ours, its) =
                (figure(&found, key)["of"][i]["value"].as_f64().unwrap(), summary[key].as_f64().unwrap());
            assert!((ours * 1e3 / its - 1.0).abs() < 1e-9, "{name} {key}: {ours} s, {its} ms");
        }
        for key in ["request_throughput", "output_throughput", "total_token_throughput"] {
            let (ours, its) =
                (figure(&found, key)["of"][i]["value"].as_f64().unwrap(), summary[key].as_f64().unwrap());
            assert!((ours / its - 1.0).abs() < 1e-9, "{name} {key}: {ours}, {its}");
        }
    }
    let page = std::fs::read_to_string(place.path("both/compare.md")).unwrap();
    for text in [
        "# Side by side: quick, slow",
        "## Not like with like",
        "## Client and server",
        "| quick: client | quick: server | slow: client |",
        "## slow against quick",
        "plots/compare_violin.svg",
    ] {
        assert!(page.contains(text), "{text} is not in\n{page}");
    }
    let plots: Vec<String> = files(&place.path("both/plots"))
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(plots, ["compare_ecdf.png", "compare_ecdf.svg", "compare_violin.png", "compare_violin.svg"]);
    // The other way round.
    assert_eq!(place.tare("compare quick slow --baseline slow --output turned -q").code, Some(0));
    assert_eq!(figure(&json(&place.path("turned")), "mean_tpot_ms")["against"][0]["told"], "less");
}

#[test]
fn a_run_beside_itself_differs_by_nothing() {
    let place = Place::new();
    run(&place, "one", 2.0, "");
    let said = place.tare(
        "compare one one --name B=again --output same --fail-if 'mean_ttft_ms>+1%'"
            .replace('\'', "")
            .as_str(),
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let found = json(&place.path("same"));
    for figure in found["figures"].as_array().unwrap() {
        let told = figure["against"][1]["told"].as_str().unwrap();
        assert!(told == "nothing" || told == "unknown", "{figure}");
    }
    assert_eq!(found["unlike"].as_array().unwrap().len(), 0, "{}", found["unlike"]);
    assert_eq!(found["gates"][0]["outcome"], "kept");
}

#[test]
fn gates_end_the_program_as_they_say() {
    let _names = filters();
    let place = two();
    let gated = |gate: &str| {
        place.tare(&format!("compare quick slow -q --output gates --overwrite --fail-if {gate}"))
    };
    let missed = gated("mean_tpot_ms>+20%");
    assert_eq!(missed.code, Some(1));
    assert!(missed.err.starts_with("gate missed: `mean_tpot_ms>+20%`: slow has "), "{}", missed.err);
    assert_eq!(json(&place.path("gates"))["gates"][0]["outcome"], "missed");
    assert_eq!(gated("mean_tpot_ms>+5000%").code, Some(0));
    assert_eq!(gated("mean_tpot_ms>3s").code, Some(0));
    assert_eq!(gated("output_throughput<-10%").code, Some(1));
    // Several, of which one is missed; the others are told, too.
    let several = gated("mean_tpot_ms>+20% --fail-if failed_percent>50% --fail-if mean_ttft_ms>1us");
    assert_eq!(several.code, Some(1));
    assert_eq!(several.err.lines().count(), 2, "{}", several.err);
    assert_eq!(json(&place.path("gates"))["gates"].as_array().unwrap().len(), 3);

    assert_snapshot!(ended(&gated("p99_tfft_ms>+5% --fail-if mean_ttft_ms --fail-if mean_ttft_ms>5%")), @r"
    exit code: 2
    error: `--fail-if 'p99_tfft_ms>+5%'`: there is no figure `p99_tfft_ms`
    hint: did you mean `p99_ttft_ms`?
    error: `--fail-if 'mean_ttft_ms'`: expected `>`, `>=`, `<` or `<=` after `mean_ttft_ms`, found nothing
    hint: for example 'p99_ttft_ms > +5%'
    ");
    assert_snapshot!(ended(&gated("request_goodput<1 --fail-if p99_ttft_ms>+5%")), @r"
    exit code: 2
    error: `--fail-if 'request_goodput<1'` cannot be judged: slow has no request_goodput
    hint: say what is good: --goodput ttft:500 tpot:50
    error: `--fail-if 'p99_ttft_ms>+5%'` cannot be judged: p99_ttft_ms of slow has no interval on this side
    hint: send more requests, or let the estimate decide: --fail-on point
    ");
    // CI is told all the same: what was missed is a failure, what cannot be judged an error.
    assert_eq!(gated("request_goodput<1 --fail-if mean_tpot_ms>+20% --junit gates.xml").code, Some(2));
    let xml = std::fs::read_to_string(place.path("gates.xml")).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"1\""), "{xml}");
    assert!(xml.contains("<error message=\"`--fail-if 'request_goodput&lt;1'` cannot be judged"), "{xml}");
}

#[test]
fn a_single_run_has_gates_of_its_own() {
    let _names = filters();
    let place = Place::new();
    run(&place, "one", 2.0, "--goodput ttft:60000");
    let gated = |gate: &str| place.tare(&format!("report one -q --fail-if {gate}"));
    assert_eq!(gated("p90_ttft_ms>60s --fail-if failed_percent>20%").code, Some(0));
    let missed = gated("mean_tpot_ms>1us");
    assert_eq!(missed.code, Some(1));
    assert!(missed.err.starts_with("gate missed: `mean_tpot_ms>1us`: one has "), "{}", missed.err);
    // The objectives are those that the run was given.
    assert_eq!(gated("request_goodput<0.001").code, Some(0));
    assert_snapshot!(ended(&gated("mean_ttft_ms>+5%")), @r"
    exit code: 2
    error: `--fail-if 'mean_ttft_ms>+5%'` cannot be judged: a threshold with a sign is against a baseline, and there is none
    hint: write the threshold without a sign, such as `> 200ms`
    ");
    // A run itself, too: what is wrong is said before anything is sent.
    place.file("config.yaml", "embedded:\n  decode_base_ms: 2\n");
    let sent = |gate: &str| {
        place.tare(&format!("run config.yaml -q {LOAD} --output new --overwrite --fail-if {gate}"))
    };
    assert_eq!(sent("mean_e2el_ms>1us").code, Some(1));
    assert!(place.path("new/report.md").exists(), "the run is reported all the same");
    std::fs::remove_dir_all(place.path("new")).unwrap();
    assert_eq!(sent("mean_e2e>1us").code, Some(2));
    assert!(!place.path("new").exists());
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let _names = filters();
    let place = Place::new();
    run(&place, "one", 2.0, "");
    place.file("a-file", "x");
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::create_dir(place.path("going-on")).unwrap();
    let manifest = std::fs::read_to_string(place.path("one/manifest.json")).unwrap();
    place.file("going-on/manifest.json", manifest.replace("\"finished\"", "\"running\""));
    let refused =
        |args: &str| format!("$ tare compare {args}\n{}", ended(&place.tare(&format!("compare {args}"))));
    let all = [
        "one",
        "one one",
        "one nowhere",
        "one a-file",
        "one empty",
        "one going-on",
        "one one --name two",
        "one one --name C=two",
        "one one --name B=two --baseline tow",
        "one one --name B=two --goodput itl:5",
    ];
    assert_snapshot!(all.map(refused).join("\n"), @r"
    $ tare compare one
    exit code: 2
    error: expected two run folders or more, found 1
    hint: tare compare output/a output/b

    $ tare compare one one
    exit code: 2
    error: two runs are called `one`
    hint: name them: --name A=before --name B=after; A is the first folder, B the second

    $ tare compare one nowhere
    exit code: 2
    error: nowhere: expected a run folder, found nothing
    hint: name a folder that `tare run`, `tare correlate` or `tare audit` wrote

    $ tare compare one a-file
    exit code: 2
    error: a-file: expected a run folder or a result file, found no JSON
    caused by: expected value at line 1 column 1
    hint: name a folder that `tare run`, `tare correlate` or `tare audit` wrote, or a file of `vllm bench serve --save-result`

    $ tare compare one empty
    exit code: 2
    error: empty is no run folder: it holds no manifest.json
    hint: name a folder that `tare run` wrote

    $ tare compare one going-on
    exit code: 2
    error: going-on has not ended: it was killed, or is still going on
    hint: compare runs that ended; `tare report` reports what there is of a killed one

    $ tare compare one one --name two
    exit code: 2
    error: `--name two`: expected WHICH=NAME, such as A=before

    $ tare compare one one --name C=two
    exit code: 2
    error: `--name`: no run is `C`
    hint: there are `one`, `one`, or A, B, … in their order

    $ tare compare one one --name B=two --baseline tow
    exit code: 2
    error: `--baseline`: no run is `tow`
    hint: did you mean `two`?

    $ tare compare one one --name B=two --goodput itl:5
    exit code: 2
    error: `--goodput itl:5`: expected NAME:MS, such as ttft:500
    hint: names are ttft, tpot and e2el; folders stand before the flag
    ");
    for (args, said) in
        [("--window 100..200", "no request started in the window"), ("--output one", "is not empty")]
    {
        let refused = place.tare(&format!("compare one one --name B=two {args}"));
        assert!(refused.code == Some(2) && refused.err.contains(said), "{}", refused.err);
    }
    let left = std::fs::read_dir(place.path("output")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "what is refused leaves no folder of its own");
}

/// A result file of the real tool, from `tests/samples/vllm-bench`.
fn sample(name: &str) -> Value {
    let path = format!("{}/tests/samples/vllm-bench/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn result_files_of_vllm_bench_are_compared_like_runs() {
    let place = Place::new();
    let (chat, completions) = (sample("chat.json"), sample("completions.json"));
    place.file("chat.json", chat.to_string());
    place.file("completions.json", completions.to_string());
    let said = place.tare("compare chat.json completions.json --output both");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let found = json(&place.path("both"));
    for (i, file) in [&chat, &completions].into_iter().enumerate() {
        for key in ["mean_ttft_ms", "median_ttft_ms", "p99_tpot_ms", "mean_itl_ms", "p99_itl_ms"] {
            let ours = figure(&found, key)["of"][i]["value"].as_f64().unwrap() * 1e3;
            let its = file[key].as_f64().unwrap();
            assert!((ours / its - 1.0).abs() < 1e-5, "{key}: {ours} and {its}");
        }
        let rate = figure(&found, "request_throughput")["of"][i]["value"].as_f64().unwrap();
        // From the first start to the last end; the tool counts from before it makes its requests ready.
        assert!((rate / file["request_throughput"].as_f64().unwrap() - 1.0).abs() < 0.1, "{rate}");
        let tokens = figure(&found, "mean_input_tokens")["of"][i]["value"].as_f64().unwrap();
        assert_eq!(tokens, file["total_input_tokens"].as_f64().unwrap() / 20.0);
    }
    // The requests are known, so that a difference can be told: 15.3 ms and 8.1 ms.
    assert_eq!(figure(&found, "mean_ttft_ms")["against"][1]["told"], "less");
    // The tool's prompt tokens are its own count: their rate is stated, and not judged.
    assert_eq!(figure(&found, "total_token_throughput")["against"][1]["told"], "unknown");
    assert!(place.path("both/from-files/1/results.jsonl").is_file(), "its requests are a run folder");
}

#[test]
fn a_summary_of_vllm_bench_has_no_interval_and_no_verdict() {
    let place = Place::new();
    run(&place, "ours", 2.0, "");
    let mut summary = sample("completions.json");
    for list in [
        "ttfts",
        "itls",
        "input_lens",
        "output_lens",
        "start_times",
        "latencies",
        "queue_times",
        "errors",
        "generated_texts",
    ] {
        summary.as_object_mut().unwrap().remove(list);
    }
    place.file("theirs.json", summary.to_string());
    let said = place.tare("compare ours theirs.json --output both");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("its figures have no interval"), "{}", said.out);
    let found = json(&place.path("both"));
    for key in ["mean_ttft_ms", "p90_e2el_ms", "p99_itl_ms", "request_throughput", "output_throughput"] {
        let of = figure(&found, key);
        let value = of["of"][1]["value"].as_f64().unwrap();
        let its = summary[key].as_f64().unwrap() / if key.ends_with("_ms") { 1e3 } else { 1.0 };
        assert!((value / its - 1.0).abs() < 1e-12 && of["of"][1]["lo"].is_null(), "{key}: {of}");
        assert_eq!(of["against"][1]["told"], "unknown", "{key}");
    }
    // Goodput is of objectives that the file does not say.
    assert!(found["figures"].as_array().unwrap().iter().all(|f| f["key"] != "request_goodput"));
    let gate = place.tare("compare ours theirs.json --output gate --fail-if mean_ttft_ms>+5%");
    assert!(gate.code == Some(2) && gate.err.contains("has no interval on this side"), "{}", gate.err);
    assert!(place.path("gate/compare.md").exists(), "it is compared all the same");
    let window = place.tare("compare ours theirs.json --output other --window 0..1");
    assert!(window.code == Some(2) && window.err.contains("a summary has no window"), "{}", window.err);
    place.file("two.json", format!("{summary}\n{summary}"));
    let two = place.tare("compare ours two.json --output other");
    assert!(two.code == Some(2) && two.err.contains("expected one result, found 2"), "{}", two.err);
}
