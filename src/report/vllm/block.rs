//! `--style vllm`: the block that `vllm bench serve` prints, line by line: labels of 40 columns, numbers of 10,
//! the same order and decimals. Layout only.

use std::fmt::Display;
use std::io::{self, Write};

use super::figures::Figures;
use crate::record::results::Asked;

/// Errors that are shown, each its own line.
const SHOWN_ERRORS: usize = 10;

/// Prints the block to `out`; `failed` has the error of each request that failed.
pub(super) fn print(
    out: &mut impl Write,
    asked: &Asked,
    figures: &Figures,
    failed: &[String],
) -> io::Result<()> {
    if !failed.is_empty() {
        writeln!(out, "Failed requests during benchmark run detected (capping to {SHOWN_ERRORS}):")?;
        for (i, error) in failed.iter().take(SHOWN_ERRORS).enumerate() {
            writeln!(out, "Error {i}: {error}")?;
        }
    }
    writeln!(out, "{:=^50}", " Serving Benchmark Result ")?;
    line(out, "Successful requests:", figures.completed)?;
    line(out, "Failed requests:", figures.failed)?;
    if let Some(limit) = asked.max_concurrency {
        line(out, "Maximum request concurrency:", limit)?;
    }
    if let Some(rate) = asked.request_rate {
        number(out, "Request rate configured (RPS):", rate)?;
    }
    number(out, "Benchmark duration (s):", figures.duration_s)?;
    line(out, "Total input tokens:", figures.input_tokens)?;
    line(out, "Total generated tokens:", figures.output_tokens)?;
    number(out, "Request throughput (req/s):", figures.rate(figures.completed as f64))?;
    if let Some(good) = figures.good {
        number(out, "Request goodput (req/s):", figures.rate(good as f64))?;
    }
    number(out, "Output token throughput (tok/s):", figures.rate(figures.output_tokens as f64))?;
    number(out, "Peak output token throughput (tok/s):", figures.peak_events)?;
    number(out, "Peak concurrent requests:", figures.peak_requests as f64)?;
    let tokens = figures.input_tokens + figures.output_tokens;
    number(out, "Total token throughput (tok/s):", figures.rate(tokens as f64))?;
    for metric in &figures.metrics {
        let name = metric.short;
        writeln!(out, "{:-^50}", metric.heading)?;
        number(out, &format!("Mean {name} (ms):"), metric.mean_s * 1e3)?;
        number(out, &format!("Median {name} (ms):"), metric.median_s * 1e3)?;
        for (percent, value) in &metric.percentiles {
            number(out, &format!("P{percent} {name} (ms):"), value * 1e3)?;
        }
    }
    writeln!(out, "{:=^50}", "")
}

fn line(out: &mut impl Write, label: &str, value: impl Display) -> io::Result<()> {
    writeln!(out, "{label:<40} {:<10}", value.to_string())
}

fn number(out: &mut impl Write, label: &str, value: f64) -> io::Result<()> {
    line(out, label, format!("{value:.2}"))
}
