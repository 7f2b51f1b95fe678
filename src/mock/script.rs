//! Faults on demand: each a short, readable spec such as `cut after=5 every=7`. What a spec says is
//! decided here, what it does is done where it happens; nothing here does I/O.
//!
//! A spec is a fault's name, its parameters, and at most one selector. Requests are numbered from 1
//! in the order in which the server has read them (chat and text completions only):
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
//! | `stream_error after=N` | after N token events an event `data: {"error": …}`, then `[DONE]` |
//! | `empty_first` | the first token has no text |
//! | `keep_alive_comments` | a comment line `: keep-alive` goes before every event |
//! | `no_usage` | `stream_options` is ignored, as by servers that do not know it |
//! | `refuse_continuous_usage` | 400 for a body that asks for `continuous_usage_stats` |
//! | `reset` | all metrics start from zero again, with a new process start time, as after a restart |
//! | `die` | the process kills itself when it has read the request: nothing is flushed or closed |
//! | `garbage_log` | binary bytes, half a line and an overlong line in the log |
//! | `span_loss` | the request's span is not exported |
//!
//! These have no selector: `span_delay_ms=N` (export spans every N milliseconds), `metrics_404` and
//! `metrics_html` (what `/metrics` answers).

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The parsed script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    rules: Vec<(When, Fault)>,
    pub span_delay: Option<Duration>,
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
    pub keep_alive_comments: bool,
    pub no_usage: bool,
    pub refuse_continuous_usage: bool,
    pub reset: bool,
    pub die: bool,
    pub garbage_log: bool,
    pub span_loss: bool,
}

/// A stream that ends early.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Token events written before.
    pub after: u32,
    /// The chunked body is closed properly.
    pub clean: bool,
}

/// A silence in the middle of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// The token event it delays, from 1.
    pub at: u32,
    pub length: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Always,
    Every(u64),
    At(u64),
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
    KeepAliveComments,
    NoUsage,
    RefuseContinuousUsage,
    Reset,
    Die,
    GarbageLog,
    SpanLoss,
}

/// Every name a spec may start with, for the error that lists them.
const KNOWN: &str = "http_NNN, cut, cut_clean, stall, late_first, stream_error, empty_first, keep_alive_comments, no_usage, \
     refuse_continuous_usage, reset, die, garbage_log, span_loss, span_delay_ms, metrics_404, metrics_html";

impl Script {
    /// Reads every spec; the first wrong one is an error that says what was expected.
    pub fn parse(specs: &[String]) -> Result<Self> {
        let mut script = Self::default();
        for spec in specs {
            script.add(spec).with_context(|| format!("fault `{spec}`"))?;
        }
        Ok(script)
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
                Fault::KeepAliveComments => faults.keep_alive_comments = true,
                Fault::NoUsage => faults.no_usage = true,
                Fault::RefuseContinuousUsage => faults.refuse_continuous_usage = true,
                Fault::Reset => faults.reset = true,
                Fault::Die => faults.die = true,
                Fault::GarbageLog => faults.garbage_log = true,
                Fault::SpanLoss => faults.span_loss = true,
            }
        }
        faults
    }

    fn add(&mut self, spec: &str) -> Result<()> {
        let mut words = spec.split_whitespace();
        let name = words.next().context("an empty fault; leave it out")?;
        let mut parameters = Parameters::read(words)?;
        if let Some(number) = name.strip_prefix("span_delay_ms=") {
            self.span_delay = Some(Duration::from_millis(parse_number("span_delay_ms", number)?));
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
            "keep_alive_comments" => Fault::KeepAliveComments,
            "no_usage" => Fault::NoUsage,
            "refuse_continuous_usage" => Fault::RefuseContinuousUsage,
            "reset" => Fault::Reset,
            "die" => Fault::Die,
            "garbage_log" => Fault::GarbageLog,
            "span_loss" => Fault::SpanLoss,
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
    (ChaCha8Rng::seed_from_u64(n).next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

impl When {
    fn hits(self, n: u64) -> bool {
        match self {
            When::Always => true,
            When::Every(every) => n.is_multiple_of(every),
            When::At(at) => n == at,
        }
    }
}

/// The `key=value` words of one spec that nobody has asked for yet.
struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    fn read(words: impl Iterator<Item = &'a str>) -> Result<Self> {
        let pairs = words.map(|word| {
            word.split_once('=').with_context(|| format!("expected `key=number`, found `{word}`"))
        });
        Ok(Self(pairs.collect::<Result<_>>()?))
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(k, _)| *k == key)?;
        Some(self.0.remove(at).1)
    }

    fn required<T: TryFrom<u64>>(&mut self, key: &str) -> Result<T> {
        let text = self.take(key).with_context(|| format!("it needs `{key}=N`"))?;
        let number = parse_number(key, text)?;
        T::try_from(number).ok().with_context(|| format!("`{key}={number}` is too large"))
    }

    fn selector(&mut self) -> Result<When> {
        match (self.take("every"), self.take("at_request")) {
            (Some(_), Some(_)) => bail!("`every` and `at_request` exclude each other"),
            (Some(text), None) => Ok(When::Every(at_least_one("every", text)?)),
            (None, Some(text)) => Ok(When::At(at_least_one("at_request", text)?)),
            (None, None) => Ok(When::Always),
        }
    }

    fn none_left(&self) -> Result<()> {
        match self.0.first() {
            Some((key, value)) => bail!("it takes no `{key}={value}`"),
            None => Ok(()),
        }
    }
}

fn parse_number(key: &str, text: &str) -> Result<u64> {
    text.parse().ok().with_context(|| format!("expected a whole number in `{key}`, found `{text}`"))
}

fn at_least_one(key: &str, text: &str) -> Result<u64> {
    match parse_number(key, text)? {
        0 => bail!("`{key}` counts from 1"),
        number => Ok(number),
    }
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
            "keep_alive_comments",
            "no_usage",
            "refuse_continuous_usage",
            "reset at_request=30",
            "die at_request=50",
            "garbage_log every=5",
            "span_loss every=4",
            "span_delay_ms=3000",
            "metrics_404",
            "metrics_html",
        ];
        let script = script(&specs).expect("valid");
        assert_eq!(script.span_delay, Some(Duration::from_secs(3)));
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
        assert!(error("span_delay_ms=1 every=2").contains("it takes no `every=2`"));
    }
}
