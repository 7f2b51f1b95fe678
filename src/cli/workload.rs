//! The flags of single datasets, and of conversations: clap types only, as written.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::record::{DATASETS, DatasetName};

/// `--dataset-name`: the table's names.
pub(super) fn dataset_name() -> impl TypedValueParser<Value = DatasetName> {
    let value = |kind: &crate::record::DatasetKind| {
        PossibleValue::new(kind.name).aliases(kind.aliases.iter().copied()).help(kind.about)
    };
    PossibleValuesParser::new(DATASETS.iter().map(value))
        .map(|name| DatasetName::named(&name).unwrap_or(DatasetName::Random))
}

/// What single datasets take.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Workload")]
pub struct DatasetArgs {
    /// Count tokens exactly: a tokenizer.json or its folder, or server for the server's /tokenize
    #[arg(long, value_name = "PATH|server")]
    pub tokenizer: Option<String>,
    /// Go on although the tokenizer counts otherwise than the server
    #[arg(long)]
    pub allow_tokenizer_mismatch: bool,
    /// Law of random prompts' lengths: N, A..B, ratio:N,R, normal:MEAN,SD, lognormal:MEAN,SD, file:PATH
    #[arg(long, value_name = "LAW")]
    pub random_input_law: Option<String>,
    /// The same for the length limits of their answers
    #[arg(long, value_name = "LAW")]
    pub random_output_law: Option<String>,
    /// Tokens that all random prompts begin with, beside those of their own [default: 0]
    #[arg(long, value_name = "N")]
    pub random_prefix_len: Option<u32>,
    /// Tokens of each shared prefix of prefix_repetition [default: 256]
    #[arg(long, value_name = "N")]
    pub prefix_repetition_prefix_len: Option<u32>,
    /// Tokens of a prompt after its prefix [default: 256]
    #[arg(long, value_name = "N")]
    pub prefix_repetition_suffix_len: Option<u32>,
    /// Different prefixes [default: 10]
    #[arg(long, value_name = "N")]
    pub prefix_repetition_num_prefixes: Option<u32>,
    /// Tokens of each answer at most [default: 128]
    #[arg(long, value_name = "N")]
    pub prefix_repetition_output_len: Option<u32>,
    /// Tokens of a sonnet prompt [default: 550]
    #[arg(long, value_name = "N")]
    pub sonnet_input_len: Option<u32>,
    /// Tokens of its answer at most [default: 150]
    #[arg(long, value_name = "N")]
    pub sonnet_output_len: Option<u32>,
    /// Tokens that all sonnet prompts begin with [default: 200]
    #[arg(long, value_name = "N")]
    pub sonnet_prefix_len: Option<u32>,
    /// Column of the prompts in a CSV or Parquet file [default: prompt]
    #[arg(long, value_name = "NAME", conflicts_with = "messages_column")]
    pub prompt_column: Option<String>,
    /// Column of the answers' length limits [default: output_tokens, if there is one]
    #[arg(long, value_name = "NAME")]
    pub output_column: Option<String>,
    /// Column of conversations as JSON, in place of prompts [default: messages, if there is no prompt]
    #[arg(long, value_name = "NAME")]
    pub messages_column: Option<String>,
}

/// Conversations.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Conversations")]
pub struct MultiTurnArgs {
    /// Hold whole conversations: each turn is sent when the answer to the last one has come
    #[arg(long)]
    pub multi_turn: bool,
    /// Carry on with the server's own answers, or with the dataset's [default: answers]
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub multi_turn_history: Option<HistoryName>,
    /// Leave out conversations with fewer turns; random ones have at least so many [default: 1; random: 3]
    #[arg(long, value_name = "N")]
    pub multi_turn_min_turns: Option<u32>,
    /// Turns of a conversation at most [default: all; random: 3]
    #[arg(long, value_name = "N")]
    pub multi_turn_max_turns: Option<u32>,
    /// Turns of each random conversation, the same as both bounds
    #[arg(long, value_name = "N", conflicts_with_all = ["multi_turn_min_turns", "multi_turn_max_turns"])]
    pub multi_turn_num_turns: Option<u32>,
    /// Law of the time between an answer and the next turn, in seconds, such as 2 or lognormal:5,4
    #[arg(long, value_name = "LAW")]
    pub think_time: Option<String>,
    /// The same time, fixed, in milliseconds
    #[arg(long, value_name = "MS", conflicts_with = "think_time")]
    pub multi_turn_delay_ms: Option<f64>,
    /// Law of the lengths of random conversations' later turns [default: as the first]
    #[arg(long, value_name = "LAW")]
    pub per_turn_input_len: Option<String>,
}

/// `--multi-turn-history`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum HistoryName {
    // The server's own answers
    Answers,
    // Those of the dataset; the server's where it has none
    Dataset,
}
