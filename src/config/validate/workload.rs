//! Checks `workload`: which dataset, how much of it, and the parameters sent with each prompt. No
//! dataset is opened here.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::{DEFAULT_REQUESTS, trace};
use crate::config::check::{Check, Limits};
use crate::config::file::{DatasetName, File};
use crate::config::{Dataset, Workload};

pub fn workload(file: &mut File, requests: Option<u64>, check: &mut Check<'_>) -> Workload {
    let dataset = dataset(file, check);
    trace::misplaced(file, check);
    let given = &mut file.workload;
    let mut samples = check.whole_or_none(
        "workload.samples",
        given.samples,
        1..=usize::MAX,
        "left out, all prompts are used, in order",
    );
    let mut max_tokens = check.whole_or_none(
        "workload.max_tokens",
        given.max_tokens,
        1..=u32::MAX,
        "left out, the dataset says it",
    );
    if let Dataset::Random { input_len, range_ratio, .. } = dataset {
        // Its answers' lengths are drawn with the prompts.
        max_tokens = None;
        let wanted = requests.unwrap_or(DEFAULT_REQUESTS);
        let n = *samples.get_or_insert(usize::try_from(wanted).unwrap_or(usize::MAX));
        if n as f64 * f64::from(input_len) * (1.0 + range_ratio) > MAX_RANDOM_TOKENS {
            let message = format!("{n} random prompts of {input_len} tokens do not fit in memory");
            check.problem(
                "workload.samples",
                message,
                "ask for fewer distinct prompts with --samples; they are then repeated",
            );
        }
    }
    for key in ["messages", "prompt", "input", "stream", "stream_options"] {
        if given.extra_body.contains_key(key) {
            let hint = if key == "stream" {
                "`workload.stream: false` or --no-stream asks for whole answers"
            } else {
                "leave it out"
            };
            check.problem("workload.extra_body", format!("`{key}` is set by tare itself"), hint);
        }
    }
    let server = "left out, the server decides";
    Workload {
        samples,
        max_tokens,
        temperature: check.real_or_none(
            "workload.temperature",
            given.temperature,
            Limits::from(0.0, 10.0, ""),
            server,
        ),
        top_p: check.real_or_none("workload.top_p", given.top_p, Limits::above(0.0, 1.0, ""), server),
        // A trace says how long its answers were.
        ignore_eos: given.ignore_eos.unwrap_or(matches!(dataset, Dataset::Trace(_))),
        stream: given.stream.unwrap_or(true),
        extra_body: std::mem::take(&mut given.extra_body),
        dataset,
    }
}

/// Random text is held in memory: about 2 GiB at most.
const MAX_RANDOM_TOKENS: f64 = 4e8;

fn dataset(file: &mut File, check: &mut Check<'_>) -> Dataset {
    let given = &mut file.workload;
    let ending = given.path.as_ref().and_then(|path| path.extension()).map(OsStr::to_ascii_lowercase);
    let by_ending = match ending.as_ref().and_then(|ending| ending.to_str()) {
        Some("jsonl" | "ndjson") => Some(DatasetName::Jsonl),
        Some("json") => Some(DatasetName::Sharegpt),
        _ => None,
    };
    if given.dataset.is_none() && given.path.is_some() && by_ending.is_none() {
        check.problem(
            "workload.path",
            "the file's ending does not say what it holds",
            "say it with --dataset-name sharegpt or custom",
        );
    }
    let usual = if given.path.is_some() { DatasetName::Jsonl } else { DatasetName::Random };
    let name = given.dataset.or(by_ending).unwrap_or(usual);
    if name == DatasetName::Random {
        return random(file, check);
    }
    for (field, is_given) in [
        ("workload.random_input_len", given.random_input_len.is_some()),
        ("workload.random_output_len", given.random_output_len.is_some()),
        ("workload.range_ratio", given.range_ratio.is_some()),
    ] {
        if is_given {
            check.problem(
                field,
                "this is for random prompts, and the dataset is a file",
                "leave it out, or choose --dataset-name random",
            );
        }
    }
    let misplaced = match name {
        DatasetName::Sharegpt => "`--custom-output-len`",
        _ => "`--sharegpt-output-len`",
    };
    refuse_length_of_another(misplaced, check);
    let path = given.path.take().unwrap_or_else(|| {
        check.problem(
            "workload.path",
            "missing: this dataset is read from a file",
            "for example `--dataset-path requests/demo.jsonl`",
        );
        PathBuf::new()
    });
    match trace::format(name) {
        Some(format) => Dataset::Trace(trace::trace(given, format, path, check)),
        None if name == DatasetName::Sharegpt => Dataset::Sharegpt { path },
        None => Dataset::Jsonl { path },
    }
}

fn random(file: &mut File, check: &mut Check<'_>) -> Dataset {
    let given = &mut file.workload;
    if given.path.is_some() {
        check.problem(
            "workload.path",
            "random prompts are read from no file",
            "leave it out, or say --dataset-name sharegpt or custom",
        );
    }
    for misplaced in ["`--custom-output-len`", "`--sharegpt-output-len`"] {
        refuse_length_of_another(misplaced, check);
    }
    if let (Some(random), Some(most)) = (given.random_output_len, given.max_tokens)
        && random != most
    {
        let message = format!("{most} contradicts {} ({random})", check.name("workload.random_output_len"));
        check.problem(
            "workload.max_tokens",
            message,
            "for random prompts, `random_output_len` is the answer's length limit",
        );
    }
    let len = 1..=10_000_000;
    Dataset::Random {
        input_len: check.whole("workload.random_input_len", given.random_input_len, 1024, len.clone()),
        output_len: check.whole(
            "workload.random_output_len",
            given.random_output_len.or(given.max_tokens.filter(|&n| n > 0)),
            128,
            len,
        ),
        range_ratio: check.real("workload.range_ratio", given.range_ratio, 0.0, Limits::from(0.0, 0.999, "")),
    }
}

/// `--custom-output-len` with ShareGPT and the like: silently ignoring it would mislead.
fn refuse_length_of_another(flag: &str, check: &mut Check<'_>) {
    if check.name("workload.max_tokens") == flag {
        check.problem(
            "workload.max_tokens",
            "this is for another dataset",
            "--output-len sets the length limit whatever the dataset",
        );
    }
}
