//! What was found at a metrics endpoint in place of samples, in words and with a hint.

use std::fmt;
use std::time::Duration;

use super::problem::{Problem, excerpt};

/// What was found in place of samples.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    Connect(String),
    Timeout(Duration),
    Status { status: u16, found: String },
    Redirect { to: String },
    NotMetrics { found: String, json: bool },
    Empty,
    TooLarge(usize),
    TooManyLines(usize),
    Broken(String),
}

impl Trouble {
    /// Asking again soon may go better.
    pub fn may_pass(&self) -> bool {
        matches!(self, Trouble::Connect(_) | Trouble::Timeout(_) | Trouble::Broken(_))
    }

    /// As a note about the endpoint at `url`.
    pub fn problem(&self, url: &str) -> Problem {
        let problem = Problem::new(format!("no metrics from {url}: {self}"));
        match self {
            Trouble::Connect(_) => problem.hint("is the server up, and are its metrics on that port? `--server-metrics` names another, `--no-server-metrics` leaves them out"),
            Trouble::Status { status: 401 | 403, .. } => problem.hint("the endpoint wants a key; give one that is open to this host with `--server-metrics`"),
            Trouble::NotMetrics { json: true, .. } => problem.hint("a server that answers JSON there may have its Prometheus page elsewhere, TensorRT-LLM at /prometheus/metrics: name it with `--server-metrics`"),
            Trouble::Status { .. } | Trouble::NotMetrics { .. } | Trouble::Redirect { .. } => {
                problem.hint("gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`")
            }
            Trouble::Empty => problem.hint("does the server need a flag to show metrics?"),
            Trouble::Timeout(_) | Trouble::TooLarge(_) | Trouble::TooManyLines(_) | Trouble::Broken(_) => {
                problem
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Connect(why) => write!(f, "no connection: {why}"),
            Trouble::Timeout(after) => {
                write!(f, "no whole answer within {} s", after.as_secs_f64())
            }
            Trouble::Status { status, found } => {
                write!(f, "expected a page in Prometheus text format, found status {status} with {found}")
            }
            Trouble::Redirect { to } => {
                write!(f, "it redirects to another place, `{}`, which is not followed", excerpt(to, 200))
            }
            Trouble::NotMetrics { found, .. } => {
                write!(f, "expected a page in Prometheus text format, found {found}")
            }
            Trouble::Empty => f.write_str("the page has no samples"),
            Trouble::TooLarge(limit) => write!(f, "the page is longer than {} MiB", limit >> 20),
            Trouble::TooManyLines(limit) => write!(f, "the page has more than {limit} lines"),
            Trouble::Broken(why) => write!(f, "the answer broke off: {why}"),
        }
    }
}
