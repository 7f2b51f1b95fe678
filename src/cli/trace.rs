//! Flags that say how a trace of requests is read. clap types only.

use clap::Args;

/// Which part of a trace, and what its fields mean.
#[derive(Clone, Debug, Default, Args)]
pub struct TraceArgs {
    /// Trace: only requests from here on, in its own seconds [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub trace_start: Option<f64>,
    /// Trace: only requests before this, in its own seconds [default: its end]
    #[arg(long, value_name = "SECONDS")]
    pub trace_end: Option<f64>,
    /// timed-trace: seconds in one unit of its time stamps; 0.001 for milliseconds [default: 1]
    #[arg(long, value_name = "FACTOR")]
    pub timed_trace_sec_multiplier: Option<f64>,
    /// timed-trace: tokens that one hash id stands for [default: 16]
    #[arg(long, value_name = "N")]
    pub timed_trace_chunk_hash_size: Option<u32>,
    /// timed-trace: the field of the time [default: timestamp]
    #[arg(long, value_name = "NAME")]
    pub timed_trace_label_timestamp: Option<String>,
    /// timed-trace: the field of the prompt's tokens [default: input_length]
    #[arg(long, value_name = "NAME")]
    pub timed_trace_label_input_length: Option<String>,
    /// timed-trace: the field of the answer's tokens [default: output_length]
    #[arg(long, value_name = "NAME")]
    pub timed_trace_label_output_length: Option<String>,
    /// timed-trace: the field of the hash ids [default: hash_ids]
    #[arg(long, value_name = "NAME")]
    pub timed_trace_label_hash_ids: Option<String>,
}
