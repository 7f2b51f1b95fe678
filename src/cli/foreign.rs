//! Flags and values of `vllm bench serve` that are refused, each with the reason and what does the nearest
//! thing here. What is taken is not listed: it is a flag like any other. This file must not know what a run does.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::{Failure, usage};

/// One flag, or one value of a flag.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    pub flag: &'static str,
    /// `None`: the flag itself.
    pub value: Option<&'static str>,
    pub why: &'static str,
    pub instead: &'static str,
}

const fn flag(flag: &'static str, why: &'static str, instead: &'static str) -> Foreign {
    Foreign { flag, value: None, why, instead }
}

const fn value(flag: &'static str, value: &'static str, why: &'static str, instead: &'static str) -> Foreign {
    Foreign { flag, value: Some(value), why, instead }
}

const HUB: &str = "datasets are not fetched from a hub: a run must not depend on what it holds today";
const HUB_INSTEAD: &str =
    "fetch it once, write its prompts as JSON Lines, and give `--dataset-name custom --dataset-path FILE`";
const OTHER_SET: &str = "it belongs to a dataset that is not read here";
const OTHER_SET_INSTEAD: &str = "write its prompts as JSON Lines with `output_tokens`, and give `--dataset-name custom --dataset-path FILE`";
const MEDIA: &str = "no images, sounds or videos are made here";
const MEDIA_INSTEAD: &str =
    "rows of a JSON Lines file with `messages` may have image parts, which pass through";
const NO_TEXT: &str = "it asks for no generated text, so there is no TTFT to measure";
const NO_TEXT_INSTEAD: &str = "`--backend openai-chat`, `openai`, `vllm` or `openai-responses`";
const LORA: &str = "all requests of a run are for one model";
const LORA_INSTEAD: &str = "`--model NAME` of one module, a run for each";

/// Everything that is refused.
pub static FOREIGN: &[Foreign] = &[
    flag(
        "--no-oversample",
        "prompts are sent again where there are fewer than requests, and the report says so",
        "`--num-prompts` of the dataset's size",
    ),
    flag("--enable-multimodal-chat", MEDIA, MEDIA_INSTEAD),
    flag(
        "--disable-shuffle",
        "of more prompts than requests some are drawn, by the seed",
        "a file with those prompts alone (`head -n N`), which are then sent in order",
    ),
    flag("--custom-ensure-client-side-data", MEDIA, MEDIA_INSTEAD),
    flag("--spec-bench-output-len", OTHER_SET, "`--output-len N`"),
    flag("--spec-bench-category", OTHER_SET, OTHER_SET_INSTEAD),
    flag("--blazedit-min-distance", OTHER_SET, OTHER_SET_INSTEAD),
    flag("--blazedit-max-distance", OTHER_SET, OTHER_SET_INSTEAD),
    flag("--asr-max-audio-len-sec", MEDIA, OTHER_SET_INSTEAD),
    flag("--asr-min-audio-len-sec", MEDIA, OTHER_SET_INSTEAD),
    flag("--random-batch-size", NO_TEXT, NO_TEXT_INSTEAD),
    flag("--no-reranker", NO_TEXT, NO_TEXT_INSTEAD),
    flag("--random-mm-base-items-per-request", MEDIA, MEDIA_INSTEAD),
    flag("--random-mm-num-mm-items-range-ratio", MEDIA, MEDIA_INSTEAD),
    flag("--random-mm-limit-mm-per-prompt", MEDIA, MEDIA_INSTEAD),
    flag("--random-mm-bucket-config", MEDIA, MEDIA_INSTEAD),
    flag("--hf-subset", HUB, HUB_INSTEAD),
    flag("--hf-split", HUB, HUB_INSTEAD),
    flag("--hf-name", HUB, HUB_INSTEAD),
    flag("--hf-output-len", HUB, "`--output-len N`"),
    flag("--bfcl-categories", HUB, HUB_INSTEAD),
    flag("--speed-bench-dataset-subset", OTHER_SET, OTHER_SET_INSTEAD),
    flag("--speed-bench-output-len", OTHER_SET, "`--output-len N`"),
    flag("--speed-bench-category", OTHER_SET, OTHER_SET_INSTEAD),
    flag(
        "--tokenizer-mode",
        "a tokenizer is read from its `tokenizer.json`, and there is one way to do that",
        "leave it out",
    ),
    flag(
        "--use-beam-search",
        "vllm bench serve takes it and sends nothing of it",
        "`--extra-body '{\"use_beam_search\": true, \"n\": 4}'`, where the server has it",
    ),
    flag(
        "--probe-request-rate",
        "a run is one load, and every request of it is measured",
        "a second `tare run --request-rate R --num-prompts N --output-len 1` beside it",
    ),
    flag(
        "--profile",
        "a profiler changes what is measured",
        "`curl -X POST URL/start_profile` before the run and `/stop_profile` after it",
    ),
    flag("--lora-modules", LORA, LORA_INSTEAD),
    flag("--lora-assignment", LORA, LORA_INSTEAD),
    flag(
        "--chat-template-kwargs",
        "no chat template is applied here, the server does that",
        "`--extra-body '{\"chat_template_kwargs\": {…}}'`",
    ),
    flag(
        "--plot-timeline",
        "it draws a page with a line for each token",
        "every run has `plots/`, and `tare explain FOLDER --slowest 5` shows single requests",
    ),
    flag("--timeline-itl-thresholds", "it belongs to `--plot-timeline`", "`--goodput tpot:MS` for a limit"),
    flag("--plot-dataset-stats", "lengths are said before a run", "`--dry-run`"),
    value("--dataset-name", "hf", HUB, HUB_INSTEAD),
    value("--dataset-name", "random-mm", MEDIA, MEDIA_INSTEAD),
    value("--dataset-name", "random-rerank", NO_TEXT, NO_TEXT_INSTEAD),
    value("--dataset-name", "custom_audio", MEDIA, MEDIA_INSTEAD),
    value("--dataset-name", "custom_image", MEDIA, MEDIA_INSTEAD),
    value("--dataset-name", "spec_bench", OTHER_SET, OTHER_SET_INSTEAD),
    value("--dataset-name", "speed_bench", OTHER_SET, OTHER_SET_INSTEAD),
    value("--backend", "openai-audio", MEDIA, NO_TEXT_INSTEAD),
    value("--backend", "openai-embeddings", NO_TEXT, NO_TEXT_INSTEAD),
    value("--backend", "openai-embeddings-chat", NO_TEXT, NO_TEXT_INSTEAD),
    value("--backend", "openai-embeddings-clip", NO_TEXT, NO_TEXT_INSTEAD),
    value("--backend", "openai-embeddings-vlm2vec", NO_TEXT, NO_TEXT_INSTEAD),
    value("--backend", "infinity-embeddings", NO_TEXT, NO_TEXT_INSTEAD),
    value("--backend", "infinity-embeddings-clip", NO_TEXT, NO_TEXT_INSTEAD),
    value("--backend", "vllm-pooling", NO_TEXT, NO_TEXT_INSTEAD),
    value("--backend", "vllm-rerank", NO_TEXT, NO_TEXT_INSTEAD),
];

/// What is said in the place of clap's own words, where they are about something in the table.
pub fn refusal(error: &clap::Error) -> Option<Failure> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg)?;
    let name = argument.split([' ', '=']).next()?;
    let given = match error.kind() {
        ErrorKind::UnknownArgument => None,
        ErrorKind::InvalidValue => Some(text(ContextKind::InvalidValue)?),
        _ => return None,
    };
    let found = FOREIGN.iter().find(|foreign| foreign.flag == name && foreign.value == given)?;
    let shown = given.map_or_else(|| name.to_owned(), |given| format!("{name} {given}"));
    Some(
        usage(format!("`{shown}` of vllm bench serve is not taken: {}", found.why))
            .hint(format!("instead: {}", found.instead)),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// Every flag of `vllm bench serve` 0.32, as its `--help=all` lists them.
    const FLAGS: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/vllm-bench/flags.txt"));

    fn taken() -> BTreeSet<String> {
        let mut cli = Cli::command();
        cli.build();
        let serve = cli.find_subcommand("bench").unwrap().find_subcommand("serve").unwrap();
        let names = serve.get_arguments().flat_map(|arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long().into_iter().chain(aliases)
        });
        names.map(|name| format!("--{name}")).collect()
    }

    #[test]
    fn each_flag_is_either_taken_or_refused_with_a_reason() {
        let taken = taken();
        let refused: Vec<&str> = FOREIGN.iter().filter(|f| f.value.is_none()).map(|f| f.flag).collect();
        let mut unheard = Vec::new();
        for flag in FLAGS.lines() {
            match (taken.contains(flag), refused.contains(&flag)) {
                (false, false) => unheard.push(flag),
                (both, other) => assert!(both != other, "{flag} is taken and refused"),
            }
        }
        assert_eq!(unheard, [""; 0]);
        let all: BTreeSet<&str> = FLAGS.lines().collect();
        assert!(refused.iter().all(|flag| all.contains(flag)), "it has no such flag");
        assert_eq!(refused.iter().collect::<BTreeSet<_>>().len(), refused.len(), "a flag is there twice");
    }

    #[test]
    fn each_value_is_either_taken_or_refused_with_a_reason() {
        // The choices of `vllm bench serve` 0.32.
        let choices = [
            (
                "--dataset-name",
                "sharegpt burstgpt random random-mm random-rerank hf custom custom_audio custom_image prefix_repetition spec_bench speed_bench timed_trace",
            ),
            (
                "--backend",
                "vllm openai openai-chat openai-responses openai-audio openai-embeddings openai-embeddings-chat openai-embeddings-clip openai-embeddings-vlm2vec infinity-embeddings infinity-embeddings-clip vllm-pooling vllm-rerank",
            ),
            ("--ramp-up-strategy", "linear exponential"),
        ];
        for (flag, values) in choices {
            for value in values.split(' ') {
                let refused = FOREIGN.iter().any(|f| f.flag == flag && f.value == Some(value));
                let words = ["tare", "bench", "serve", flag, value].map(Into::into);
                let understood = Cli::try_read(words);
                match &understood {
                    Ok(_) => assert!(!refused, "{flag} {value} is taken and refused"),
                    Err(error) => assert!(refused && refusal(error).is_some(), "{flag} {value}: {error}"),
                }
            }
        }
    }

    #[test]
    fn reasons_are_sentences_and_remedies_name_something() {
        for foreign in FOREIGN {
            assert!(!foreign.why.ends_with('.') && foreign.why.len() > 20, "{foreign:?}");
            assert!(!foreign.instead.is_empty() && !foreign.instead.ends_with('.'), "{foreign:?}");
            assert!(!foreign.instead.contains(foreign.flag) || foreign.value.is_some(), "{foreign:?}");
        }
    }
}
