//! How results are told in the words of `vllm bench serve`: clap types only, as written. Spellings are its own.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is written and printed beside tare's own.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Results as vllm bench serve")]
pub struct ResultArgs {
    /// Write the result as vllm bench serve does: one JSON object
    #[arg(long)]
    pub save_result: bool,
    /// With each request's times in it
    #[arg(long)]
    pub save_detailed: bool,
    /// Write it at the end of the file that is there
    #[arg(long)]
    pub append_result: bool,
    /// Folder of that file [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub result_dir: Option<PathBuf>,
    /// Its name [default: LABEL-RATEqps[-concurrencyN]-MODEL-TIME.json]
    #[arg(long, value_name = "FILE")]
    pub result_filename: Option<PathBuf>,
    /// Metrics in it and in --style vllm [default: ttft,tpot,itl]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub percentile_metrics: Vec<String>,
    /// Percentiles of these [default: 99]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub metric_percentiles: Vec<f64>,
    /// How the report is printed: tare's tables, or the block of vllm bench serve [default: tare]
    #[arg(long, value_enum, value_name = "HOW")]
    pub style: Option<StyleName>,
}

/// Flags that say nothing about a run here; they are taken so that a command line can stay as it is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Results as vllm bench serve")]
pub struct IdleArgs {
    /// Show no progress
    #[arg(long)]
    pub disable_tqdm: bool,
    /// Taken and of no effect: no model's code is run here
    #[arg(long, hide = true)]
    pub trust_remote_code: bool,
    /// Taken and of no effect: without --tokenizer none is loaded
    #[arg(long, hide = true)]
    pub skip_tokenizer_init: bool,
    /// Taken and of no effect: no chat template is applied here, text is sent as it stands
    #[arg(long, hide = true)]
    pub skip_chat_template: bool,
}

/// `--style`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum StyleName {
    // Both sides, with intervals
    Tare,
    // The block of vllm bench serve, 50 columns wide
    Vllm,
}
