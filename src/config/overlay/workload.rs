//! Flags of single datasets and of conversations, laid over the file.

use super::super::check::{Check, Origins};
use super::super::file::{self, File, MultiTurnChoice};
use super::super::law::{FORMS, Law};
use crate::cli::{DatasetArgs, HistoryName, MultiTurnArgs, WorkloadArgs};
use crate::record::History;

/// What single datasets take.
pub fn lay(flags: &WorkloadArgs, file: &mut File, origins: &mut Origins) {
    datasets(&flags.datasets, file, origins);
    let (datasets, turns) = (&flags.datasets, &flags.multi_turn);
    for (field, flag, given) in [
        ("workload.random_input_law", "--random-input-law", datasets.random_input_law.is_some()),
        ("workload.random_output_law", "--random-output-law", datasets.random_output_law.is_some()),
        ("workload.multi_turn", "--multi-turn", turns.multi_turn),
        ("workload.multi_turn.min_turns", "--multi-turn-min-turns", turns.multi_turn_min_turns.is_some()),
        ("workload.multi_turn.max_turns", "--multi-turn-max-turns", turns.multi_turn_max_turns.is_some()),
        ("workload.multi_turn.min_turns", "--multi-turn-num-turns", turns.multi_turn_num_turns.is_some()),
        ("workload.multi_turn.max_turns", "--multi-turn-num-turns", turns.multi_turn_num_turns.is_some()),
        ("workload.multi_turn.turn_input_len", "--per-turn-input-len", turns.per_turn_input_len.is_some()),
        ("workload.multi_turn.think_time_s", "--think-time", turns.think_time.is_some()),
        ("workload.multi_turn.think_time_s", "--multi-turn-delay-ms", turns.multi_turn_delay_ms.is_some()),
    ] {
        if given {
            origins.came_from(field, flag);
        }
    }
}

fn datasets(flags: &DatasetArgs, file: &mut File, origins: &mut Origins) {
    let into = &mut file.workload;
    origins.set("workload.tokenizer", "--tokenizer", flags.tokenizer.clone(), &mut into.tokenizer);
    origins.set(
        "workload.allow_tokenizer_mismatch",
        "--allow-tokenizer-mismatch",
        flags.allow_tokenizer_mismatch.then_some(true),
        &mut into.allow_tokenizer_mismatch,
    );
    origins.set(
        "workload.random_prefix_len",
        "--random-prefix-len",
        flags.random_prefix_len,
        &mut into.random_prefix_len,
    );
    let it = &mut into.prefix_repetition;
    for (field, flag, given, into) in [
        (
            "workload.prefix_repetition.prefix_len",
            "--prefix-repetition-prefix-len",
            flags.prefix_repetition_prefix_len,
            &mut it.prefix_len,
        ),
        (
            "workload.prefix_repetition.suffix_len",
            "--prefix-repetition-suffix-len",
            flags.prefix_repetition_suffix_len,
            &mut it.suffix_len,
        ),
        (
            "workload.prefix_repetition.num_prefixes",
            "--prefix-repetition-num-prefixes",
            flags.prefix_repetition_num_prefixes,
            &mut it.num_prefixes,
        ),
        (
            "workload.prefix_repetition.output_len",
            "--prefix-repetition-output-len",
            flags.prefix_repetition_output_len,
            &mut it.output_len,
        ),
        (
            "workload.sonnet.input_len",
            "--sonnet-input-len",
            flags.sonnet_input_len,
            &mut into.sonnet.input_len,
        ),
        (
            "workload.sonnet.output_len",
            "--sonnet-output-len",
            flags.sonnet_output_len,
            &mut into.sonnet.output_len,
        ),
        (
            "workload.sonnet.prefix_len",
            "--sonnet-prefix-len",
            flags.sonnet_prefix_len,
            &mut into.sonnet.prefix_len,
        ),
    ] {
        origins.set(field, flag, given, into);
    }
    let it = &mut into.columns;
    origins.set("workload.columns.prompt", "--prompt-column", flags.prompt_column.clone(), &mut it.prompt);
    origins.set("workload.columns.output", "--output-column", flags.output_column.clone(), &mut it.output);
    origins.set(
        "workload.columns.messages",
        "--messages-column",
        flags.messages_column.clone(),
        &mut it.messages,
    );
}

/// Flags whose text is more than a value, and those of conversations, which turn them on.
pub fn lay_texts(flags: &WorkloadArgs, file: &mut File, check: &mut Check<'_>) {
    for (flag, text, into) in [
        ("--random-input-law", &flags.datasets.random_input_law, &mut file.workload.random_input_law),
        ("--random-output-law", &flags.datasets.random_output_law, &mut file.workload.random_output_law),
    ] {
        if let Some(law) = law(flag, text.as_deref(), check) {
            *into = Some(law);
        }
    }
    if let (Some(general), Some(own)) = (flags.input_len, flags.random_input_len)
        && general != own
    {
        check.problem(
            "--input-len",
            format!("{general} contradicts `--random-input-len` ({own})"),
            "give one of them",
        );
    }
    multi_turn(&flags.multi_turn, file, check);
}

fn multi_turn(flags: &MultiTurnArgs, file: &mut File, check: &mut Check<'_>) {
    let given = &mut file.workload.multi_turn;
    if flags.multi_turn && !matches!(given, Some(MultiTurnChoice::On(_))) {
        *given = Some(MultiTurnChoice::On(file::MultiTurn::default()));
    }
    let think = law("--think-time", flags.think_time.as_deref(), check);
    let delay = flags.multi_turn_delay_ms.map(|ms| Law::Fixed(ms / 1e3));
    let turn = law("--per-turn-input-len", flags.per_turn_input_len.as_deref(), check);
    let told = [
        ("--multi-turn-history", flags.multi_turn_history.is_some()),
        ("--multi-turn-min-turns", flags.multi_turn_min_turns.is_some()),
        ("--multi-turn-max-turns", flags.multi_turn_max_turns.is_some()),
        ("--multi-turn-num-turns", flags.multi_turn_num_turns.is_some()),
        ("--think-time", flags.think_time.is_some()),
        ("--multi-turn-delay-ms", flags.multi_turn_delay_ms.is_some()),
        ("--per-turn-input-len", flags.per_turn_input_len.is_some()),
    ];
    let Some(MultiTurnChoice::On(into)) = given else {
        for (flag, _) in told.iter().filter(|(_, given)| *given) {
            check.problem(flag, "this is for conversations", "hold them with --multi-turn, or leave it out");
        }
        return;
    };
    let history = flags.multi_turn_history.map(|name| match name {
        HistoryName::Answers => History::Answers,
        HistoryName::Dataset => History::Dataset,
    });
    into.history = history.or(into.history);
    into.think_time_s = think.or(delay).or(into.think_time_s.take());
    into.turn_input_len = turn.or(into.turn_input_len.take());
    into.min_turns = flags.multi_turn_num_turns.or(flags.multi_turn_min_turns).or(into.min_turns);
    into.max_turns = flags.multi_turn_num_turns.or(flags.multi_turn_max_turns).or(into.max_turns);
}

fn law(flag: &'static str, text: Option<&str>, check: &mut Check<'_>) -> Option<Law> {
    match text?.parse() {
        Ok(law) => Some(law),
        Err(error) => {
            check.problem(flag, error, FORMS);
            None
        }
    }
}
