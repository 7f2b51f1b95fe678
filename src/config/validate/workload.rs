//! Checks `workload`: how much of the dataset is sent, and the parameters sent with each prompt. No
//! dataset is opened here.

use super::{DEFAULT_REQUESTS, dataset, multi_turn, trace};
use crate::config::check::{Check, Limits};
use crate::config::file::File;
use crate::config::{Dataset, Tokenizer, Workload};

pub fn workload(file: &mut File, requests: Option<u64>, check: &mut Check<'_>) -> Workload {
    let dataset = dataset::dataset(file, check);
    trace::misplaced(file, check);
    let multi_turn = multi_turn::multi_turn(file, &dataset, check);
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
    if dataset.is_made() {
        // Its answers' lengths are drawn with the prompts.
        max_tokens = None;
        let wanted = requests.unwrap_or(DEFAULT_REQUESTS);
        let n = *samples.get_or_insert(usize::try_from(wanted).unwrap_or(usize::MAX));
        let turns = f64::from(multi_turn.as_ref().and_then(|turns| turns.max_turns).unwrap_or(1));
        let tokens = most_tokens(&dataset);
        if n as f64 * turns * tokens > MAX_RANDOM_TOKENS {
            let message = format!("{n} prompts of {tokens} tokens do not fit in memory");
            check.problem(
                "workload.samples",
                message,
                "ask for fewer distinct prompts with --samples; they are then repeated",
            );
        }
    }
    for key in ["messages", "prompt", "stream", "stream_options"] {
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
    let allow_tokenizer_mismatch = given.allow_tokenizer_mismatch.unwrap_or(false);
    if allow_tokenizer_mismatch && given.tokenizer.is_none() {
        let hint = "say which with --tokenizer, or leave it out";
        check.problem("workload.allow_tokenizer_mismatch", "there is no tokenizer", hint);
    }
    Workload {
        samples,
        max_tokens,
        tokenizer: tokenizer(given.tokenizer.take(), check),
        allow_tokenizer_mismatch,
        multi_turn,
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

/// Made text is held in memory: about 2 GiB at most.
const MAX_RANDOM_TOKENS: f64 = 4e8;

fn most_tokens(dataset: &Dataset) -> f64 {
    match dataset {
        Dataset::Random { input_len, prefix_len, .. } => {
            f64::from(*prefix_len) + input_len.most().or(input_len.mean()).unwrap_or(0.0)
        }
        Dataset::PrefixRepetition { prefix_len, suffix_len, .. } => {
            f64::from(*prefix_len) + f64::from(*suffix_len)
        }
        Dataset::Sonnet { input_len, .. } => f64::from(*input_len),
        _ => 0.0,
    }
}

fn tokenizer(given: Option<String>, check: &mut Check<'_>) -> Option<Tokenizer> {
    match given?.as_str() {
        "" => {
            check.problem(
                "workload.tokenizer",
                "expected a path or `server`, found nothing",
                "left out, lengths are estimated",
            );
            None
        }
        "server" => Some(Tokenizer::Server),
        path => Some(Tokenizer::File(path.into())),
    }
}
