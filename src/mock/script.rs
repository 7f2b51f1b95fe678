//! Faults on demand: each a short, readable spec such as `cut after=5 every=7`. What a spec says is
//! decided here, what it does is done where it happens; nothing here does I/O.
//!
//! A spec is a fault's name, its parameters, and at most one selector. Requests are numbered from 1
//! in the order in which the server has read them (chat and text completions and responses only):
//!
//! | selector | hits |
//! |---|---|
//! | (none) | every request |
//! | `every=N` | requests N, 2N, 3N … |
//! | `at_request=N` | request N alone |
//!
//! | fault | what happens |
//! |---|---|
//! | `http_500`, any `http_4xx`/`http_5xx` | that status with an `OpenAI` error body, instead of an answer |
//! | `cut after=N` | after N token events, half of the next event's bytes, then the connection is closed |
//! | `cut_clean after=N` | as above, but the body ends properly: no finish reason, no `[DONE]` |
//! | `stall at=N for_ms=M` | M milliseconds of silence before token event N; the engine goes on meanwhile |
//! | `late_first up_to_ms=N` | the first token event is held back by up to N milliseconds, drawn for each request |
//! | `stream_error after=N` | after N token events an event `data: {"error": …}`, then `[DONE]`; of responses an `error` event |
//! | `empty_first` | the first token has no text |
//! | `reasoning tokens=N` | the first N tokens of the answer are reasoning, and no text (chats and responses) |
//! | `tool_call after=N` | what comes after N tokens is the call of a function: its name, then its arguments (chats and responses) |
//! | `keep_alive_comments` | a comment line `: keep-alive` goes before every event |
//! | `no_usage` | `stream_options` is ignored, as by servers that do not know it |
//! | `refuse_continuous_usage` | 400 for a body that asks for `continuous_usage_stats` |
//! | `reset` | all metrics start from zero again, with a new process start time, as after a restart |
//! | `die` | the process kills itself when it has read the request: nothing is flushed or closed |
//! | `garbage_log` | binary bytes, half a line and an overlong line in the log |
//! | `span_loss share=S` | the request's span is lost, with probability S (left out: always), drawn for each request |
//! | `log_loss share=S` | each line of the log that is about the request is lost, with probability S (left out: always), drawn for each line |
//!
//! These have no selector: `span_delay_ms=N` (export spans every N milliseconds), `span_queue=N` (at
//! most N spans wait for their export, and a further one drives out the oldest: the SDK's
//! `OTEL_BSP_MAX_QUEUE_SIZE`), `metrics_404` and `metrics_html` (what `/metrics` answers).

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::draws::{Draws, unit};
use super::parts::Parts;
use super::spec::{Parameters, When, at_least_one, number};

/// The parsed script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    rules: Vec<(When, Fault)>,
    seed: u64,
    pub span_delay: Option<Duration>,
    /// Spans that may wait for their export.
    pub span_queue: Option<usize>,
    pub metrics: MetricsPage,
}

/// What `/metrics` answers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MetricsPage {
    #[default]
    Page,
    NotFound,
    Html,
}

/// What is to happen to one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    pub http_status: Option<u16>,
    pub cut: Option<Cut>,
    pub stall: Option<Stall>,
    /// Silence before the first token event.
    pub late_first: Option<Duration>,
    /// Token events before the in-stream error.
    pub stream_error: Option<u32>,
    pub empty_first: bool,
    /// What the answer is made of.
    pub parts: Parts,
    pub keep_alive_comments: bool,
    pub no_usage: bool,
    pub refuse_continuous_usage: bool,
    pub reset: bool,
    pub die: bool,
    pub garbage_log: bool,
    pub span_loss: bool,
    pub log_loss: Option<LineLoss>,
}

/// A stream that ends early.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Token events written before.
    pub after: u32,
    /// The chunked body is closed properly.
    pub clean: bool,
}

/// Lines of the log that are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineLoss {
    share: f64,
    draws: Draws,
}

impl LineLoss {
    /// Whether the request's line of this number is lost.
    pub fn hits(&self, line: u64) -> bool {
        self.draws.unit(line) < self.share
    }
}

/// A silence in the middle of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// The token event it delays, from 1.
    pub at: u32,
    pub length: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    HttpStatus(u16),
    Cut(Cut),
    Stall(Stall),
    /// At most so late.
    LateFirst(Duration),
    StreamError(u32),
    EmptyFirst,
    /// So many tokens of it.
    Reasoning(u32),
    /// After so many tokens.
    ToolCall(u32),
    KeepAliveComments,
    NoUsage,
    RefuseContinuousUsage,
    Reset,
    Die,
    GarbageLog,
    /// The share that is lost.
    SpanLoss(f64),
    LogLoss(f64),
}

/// Every name a spec may start with, for the error that lists them.
const KNOWN: &str = "http_NNN, cut, cut_clean, stall, late_first, stream_error, empty_first, reasoning, tool_call, keep_alive_comments, no_usage, \
     refuse_continuous_usage, reset, die, garbage_log, span_loss, log_loss, span_delay_ms, span_queue, metrics_404, metrics_html";

impl Script {
    /// Reads every spec; the first wrong one is an error that says what was expected.
    pub fn parse(specs: &[String]) -> Result<Self> {
        let mut script = Self::default();
        for spec in specs {
            script.add(spec).with_context(|| format!("fault `{spec}`"))?;
        }
        Ok(script)
    }

    /// The same script, with draws that depend on this seed.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// What is to happen to the `n`-th request.
    pub fn faults(&self, n: u64) -> Faults {
        let mut faults = Faults::default();
        for (_, fault) in self.rules.iter().filter(|(when, _)| when.hits(n)) {
            match *fault {
                Fault::HttpStatus(status) => faults.http_status = Some(status),
                Fault::Cut(cut) => faults.cut = Some(cut),
                Fault::Stall(stall) => faults.stall = Some(stall),
                Fault::LateFirst(most) => faults.late_first = Some(most.mul_f64(share(n))),
                Fault::StreamError(after) => faults.stream_error = Some(after),
                Fault::EmptyFirst => faults.empty_first = true,
                Fault::Reasoning(tokens) => faults.parts.reasoning = tokens,
                Fault::ToolCall(after) => faults.parts.tool_after = Some(after),
                Fault::KeepAliveComments => faults.keep_alive_comments = true,
                Fault::NoUsage => faults.no_usage = true,
                Fault::RefuseContinuousUsage => faults.refuse_continuous_usage = true,
                Fault::Reset => faults.reset = true,
                Fault::Die => faults.die = true,
                Fault::GarbageLog => faults.garbage_log = true,
                Fault::SpanLoss(share) => faults.span_loss |= self.draws(1, n).unit(0) < share,
                Fault::LogLoss(share) => {
                    faults.log_loss = Some(LineLoss { share, draws: self.draws(2, n) });
                }
            }
        }
        faults
    }

    fn draws(&self, fault: u64, request: u64) -> Draws {
        Draws { seed: self.seed, fault, request }
    }

    fn add(&mut self, spec: &str) -> Result<()> {
        let mut words = spec.split_whitespace();
        let name = words.next().context("an empty fault; leave it out")?;
        let mut parameters = Parameters::read(words)?;
        if let Some(text) = name.strip_prefix("span_delay_ms=") {
            self.span_delay = Some(Duration::from_millis(number("span_delay_ms", text)?));
            return parameters.none_left();
        }
        if let Some(text) = name.strip_prefix("span_queue=") {
            let spans = at_least_one("span_queue", text)?;
            self.span_queue = Some(usize::try_from(spans).context("`span_queue` is too large")?);
            return parameters.none_left();
        }
        let fault = match name {
            "metrics_404" | "metrics_html" => {
                self.metrics = if name == "metrics_404" { MetricsPage::NotFound } else { MetricsPage::Html };
                return parameters.none_left();
            }
            "cut" | "cut_clean" => {
                Fault::Cut(Cut { after: parameters.required("after")?, clean: name == "cut_clean" })
            }
            "stall" => {
                let at = parameters.required("at")?;
                if at == 0 {
                    bail!("`at` counts token events from 1");
                }
                let length = Duration::from_millis(parameters.required::<u64>("for_ms")?);
                Fault::Stall(Stall { at, length })
            }
            "late_first" => Fault::LateFirst(Duration::from_millis(parameters.required::<u64>("up_to_ms")?)),
            "stream_error" => Fault::StreamError(parameters.required("after")?),
            "empty_first" => Fault::EmptyFirst,
            "reasoning" => Fault::Reasoning(parameters.required("tokens")?),
            "tool_call" => Fault::ToolCall(parameters.required("after")?),
            "keep_alive_comments" => Fault::KeepAliveComments,
            "no_usage" => Fault::NoUsage,
            "refuse_continuous_usage" => Fault::RefuseContinuousUsage,
            "reset" => Fault::Reset,
            "die" => Fault::Die,
            "garbage_log" => Fault::GarbageLog,
            "span_loss" => Fault::SpanLoss(parameters.share()?),
            "log_loss" => Fault::LogLoss(parameters.share()?),
            other => match other.strip_prefix("http_").and_then(|digits| digits.parse().ok()) {
                Some(status @ 400..=599) => Fault::HttpStatus(status),
                Some(status) => bail!("status {status} is no error; expected http_400 … http_599"),
                None => bail!("unknown fault `{other}`; known are: {KNOWN}"),
            },
        };
        let when = parameters.selector()?;
        parameters.none_left()?;
        self.rules.push((when, fault));
        Ok(())
    }
}

/// A number from 0 to 1, the same for the same request number for ever.
fn share(n: u64) -> f64 {
    unit(&mut ChaCha8Rng::seed_from_u64(n))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;

    fn script(specs: &[&str]) -> Result<Script> {
        Script::parse(&specs.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    fn error(spec: &str) -> String {
        format!("{:#}", script(&[spec]).expect_err(spec))
    }

    #[test]
    fn selectors_choose_requests() {
        let script = script(&["cut after=5 every=7", "reset at_request=3", "empty_first"]).expect("valid");
        assert_eq!(script.faults(14).cut, Some(Cut { after: 5, clean: false }));
        assert_eq!(script.faults(15).cut, None);
        assert!(script.faults(3).reset && !script.faults(6).reset);
        assert!((1..20).all(|n| script.faults(n).empty_first));
    }

    #[test]
    fn every_fault_of_the_table_is_known() {
        let specs = [
            "http_500 every=10",
            "http_429",
            "cut after=5",
            "cut_clean after=0",
            "stall at=3 for_ms=2000 every=20",
            "late_first up_to_ms=50",
            "stream_error after=4",
            "empty_first",
            "reasoning tokens=3",
            "tool_call after=5 every=2",
            "keep_alive_comments",
            "no_usage",
            "refuse_continuous_usage",
            "reset at_request=30",
            "die at_request=50",
            "garbage_log every=5",
            "span_loss every=4",
            "span_loss share=0.05",
            "log_loss share=0.5 every=2",
            "span_delay_ms=3000",
            "span_queue=7",
            "metrics_404",
            "metrics_html",
        ];
        let script = script(&specs).expect("valid");
        assert_eq!(script.span_delay, Some(Duration::from_secs(3)));
        assert_eq!(script.span_queue, Some(7));
        assert_eq!(script.metrics, MetricsPage::Html);
        let documented = include_str!("script.rs");
        for spec in specs {
            let name = spec.split([' ', '=']).next().expect("a word").replace("http_429", "http_500");
            let rows = documented.lines().filter(|l| l.starts_with("//!") && l.contains(&format!("`{name}")));
            assert!(rows.count() > 0, "{name} is not documented");
        }
    }

    #[test]
    fn first_tokens_are_late_by_draws_that_fill_the_range() {
        let script = script(&["late_first up_to_ms=100"]).expect("valid");
        let late: Vec<f64> = (1..=2_000)
            .map(|n| script.faults(n).late_first.expect("for every request").as_secs_f64())
            .collect();
        assert_eq!(script.faults(7).late_first, script.faults(7).late_first);
        assert!(late.iter().all(|s| (0.0..0.1).contains(s)));
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        // Of 2,000 uniform draws the mean is within 4 of its standard errors (0.65 ms).
        assert!((mean - 0.05).abs() < 0.0026, "{mean}");
    }

    #[test]
    fn losses_have_their_share_are_seeded_and_independent() {
        let losses = |seed| -> Vec<bool> {
            let script =
                script(&["span_loss share=0.05", "log_loss share=0.05"]).expect("valid").seeded(seed);
            (1..=10_000).map(|n| script.faults(n).span_loss).collect()
        };
        let lost = losses(1);
        assert_eq!(lost, losses(1));
        assert_ne!(lost, losses(2));
        // 500 expected, with a standard deviation of 22; of neighbours 25, with one of 5.
        let count = lost.iter().filter(|lost| **lost).count();
        assert!((400..600).contains(&count), "{count}");
        let pairs = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
        assert!(pairs < 60, "{pairs}");

        let script = script(&["log_loss share=0.25 every=2", "span_loss at_request=3"]).expect("valid");
        assert!(script.faults(3).span_loss && !script.faults(4).span_loss);
        assert_eq!(script.faults(1).log_loss, None);
        let lines = script.faults(2).log_loss.expect("every second");
        let count = (0..10_000).filter(|line| lines.hits(*line)).count();
        // 2,500 expected, with a standard deviation of 43.
        assert!((2_300..2_700).contains(&count), "{count}");
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(error("cutt after=5").contains("unknown fault `cutt`; known are: http_NNN, cut,"));
        assert!(error("cut").contains("it needs `after=N`"));
        assert!(error("cut after=x").contains("expected a whole number in `after`, found `x`"));
        assert!(error("cut after=1 every=0").contains("`every` counts from 1"));
        assert!(error("cut after=1 every=2 at_request=2").contains("exclude each other"));
        assert!(error("die now").contains("expected `key=number`, found `now`"));
        assert!(error("reset after=3").contains("it takes no `after=3`"));
        assert!(error("http_200").contains("status 200 is no error"));
        assert!(error("stall at=99999999999 for_ms=1").contains("too large"));
        assert!(error("stall at=0 for_ms=1").contains("from 1"));
        assert!(error("  ").contains("empty fault"));
        assert!(error("span_loss share=5").contains("expected a number from 0 to 1 in `share`, found `5`"));
        assert!(error("span_queue=0").contains("`span_queue` counts from 1"));
        assert!(error("reset share=0.5").contains("it takes no `share=0.5`"));
        assert!(error("span_delay_ms=1 every=2").contains("it takes no `every=2`"));
    }
}
