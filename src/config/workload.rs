//! What to send, resolved. This file must not know how a dataset is read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::law::Law;
use crate::record::History;

/// What to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    pub dataset: Dataset,
    /// Draw this many distinct prompts at random (seeded); `None`: all, in order.
    /// Always given for a dataset that is made: so many are.
    pub samples: Option<usize>,
    /// Each answer's length limit; in place of the dataset row's own when given.
    pub max_tokens: Option<u32>,
    /// Who counts tokens exactly; `None`: nobody, they are estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// Go on although it counts otherwise than the server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_tokenizer_mismatch: bool,
    /// Hold whole conversations. A request set that has them is always held so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_turn: Option<MultiTurn>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub ignore_eos: bool,
    pub stream: bool,
    /// Merged into every body, last (`--extra-body`).
    pub extra_body: serde_json::Map<String, serde_json::Value>,
}

/// Where prompts come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Dataset {
    /// ShareGPT JSON: a list of `{"conversations": [{"from"|"role", "value"|"content"}]}`.
    Sharegpt {
        path: PathBuf,
    },
    /// One JSON object a line: `{"prompt"}` or `{"messages"}`, with optional `output_tokens`.
    Jsonl {
        path: PathBuf,
    },
    /// A CSV file with a header.
    Csv {
        path: PathBuf,
        columns: Columns,
    },
    Parquet {
        path: PathBuf,
        columns: Columns,
    },
    /// Synthetic words: `prefix_len` tokens that all begin with, then as many as the law says. Without a
    /// tokenizer, about so many by the rule in `workload::synthetic`.
    Random {
        input_len: Law,
        output_len: Law,
        #[serde(default)]
        prefix_len: u32,
    },
    /// Synthetic words: prompt i begins with prefix i mod `num_prefixes`; then they are shuffled.
    PrefixRepetition {
        prefix_len: u32,
        suffix_len: u32,
        num_prefixes: u32,
        output_len: u32,
    },
    /// Lines of sonnets after a shared beginning of `prefix_len` tokens; `input_len` in all.
    Sonnet {
        input_len: u32,
        output_len: u32,
        prefix_len: u32,
    },
    /// Requests that were made somewhere at some time: their lengths, and when they came.
    Trace(Trace),
}

/// A trace of requests, and how to read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub path: PathBuf,
    pub format: TraceFormat,
    /// Only what came from here on, and before there, in seconds since the trace's first request.
    pub start_s: f64,
    pub end_s: Option<f64>,
    /// Of a `timed-trace`: how many seconds one unit of its time stamps is …
    pub sec_multiplier: f64,
    /// … how many tokens a hash id stands for (512 in Mooncake's) …
    pub block_tokens: u32,
    /// … and what its fields are called.
    pub fields: TraceFields,
}

/// Formats of traces.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFormat {
    /// JSON Lines, milliseconds.
    Mooncake,
    /// JSON Lines as `vllm bench serve --dataset-name timed_trace` reads them, seconds by default.
    TimedTrace,
    /// CSV of `TIMESTAMP,ContextTokens,GeneratedTokens`, dates.
    Azure,
    /// CSV of `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, seconds.
    Burstgpt,
}

/// Names of fields.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TraceFields {
    pub timestamp: String,
    pub input_length: String,
    pub output_length: String,
    pub hash_ids: String,
}

impl Default for TraceFields {
    fn default() -> Self {
        Self {
            timestamp: "timestamp".to_owned(),
            input_length: "input_length".to_owned(),
            output_length: "output_length".to_owned(),
            hash_ids: "hash_ids".to_owned(),
        }
    }
}

/// Which columns of a table hold what; `None`: the usual name.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    pub prompt: Option<String>,
    pub output: Option<String>,
    pub messages: Option<String>,
}

/// Who counts tokens.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// A `tokenizer.json`, or the folder it is in.
    File(PathBuf),
    /// The server, at `/tokenize`.
    Server,
}

/// How conversations are held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiTurn {
    /// `None`: as a prepared request set says; else the server's own answers.
    pub history: Option<History>,
    /// Time between an answer and the next turn, in seconds; `None`: as a prepared set says, else none.
    pub think_time_s: Option<Law>,
    /// Conversations of fewer turns are left out.
    pub min_turns: u32,
    pub max_turns: Option<u32>,
    /// Lengths of later turns, where they are made; `None`: as the first.
    pub turn_input_len: Option<Law>,
}

impl Dataset {
    /// Whether its prompts are made to number, not read.
    pub fn is_made(&self) -> bool {
        matches!(self, Self::Random { .. } | Self::PrefixRepetition { .. } | Self::Sonnet { .. })
    }
}
