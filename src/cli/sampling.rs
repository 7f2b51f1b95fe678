//! How answers are sampled, beside temperature and top-p: clap types only, as written.

use clap::Args;

/// Parameters that go into each request's body under vLLM's names.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Workload")]
pub struct SamplingArgs {
    /// Sample from so many likeliest tokens [default: the server's]
    #[arg(long, value_name = "K")]
    pub top_k: Option<i64>,
    /// Sample from tokens at least so likely, against the likeliest [default: the server's]
    #[arg(long, value_name = "P")]
    pub min_p: Option<f64>,
    /// Against tokens by how often they came [default: the server's]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub frequency_penalty: Option<f64>,
    /// Against tokens that came at all [default: the server's]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub presence_penalty: Option<f64>,
    /// Against tokens of prompt and answer, as a factor [default: the server's]
    #[arg(long, value_name = "F")]
    pub repetition_penalty: Option<f64>,
    /// Ask for the log probabilities of so many tokens at each place
    #[arg(long, value_name = "N")]
    pub logprobs: Option<u32>,
}
