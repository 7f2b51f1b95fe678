//! What came of the exact snapshots before and after the load, for the manifest and for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What came of the snapshot before the load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BeforeOutcome {
    /// Endpoints that gave a page, of how many.
    pub n_ok: usize,
    pub n_endpoints: usize,
    /// Whether the server was idle: nothing running, nothing waiting (or it does not say).
    pub idle: bool,
    pub running: Option<f64>,
    pub waiting: Option<f64>,
    pub n_scrapes: u32,
    pub waited_s: f64,
}

/// What came of the snapshot after the load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AfterOutcome {
    pub verdict: Verdict,
    /// Requests that should have finished well at the server since the first snapshot, and that
    /// have. Aborted ones are not among them: some front ends count those and some do not.
    pub expected: Option<f64>,
    pub finished: Option<f64>,
    pub n_scrapes: u32,
    pub waited_s: f64,
}

/// Whether the last snapshot can be trusted to hold every measured request and nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Finished counts agree with what the client expected.
    Agreed,
    /// Nothing was expected, and the counts stood still.
    Settled,
    /// Fewer finished than expected when the time was up.
    Fewer,
    /// More finished than expected: the server has other traffic.
    More,
    /// No endpoint gave both snapshots, or none counts finished requests.
    Unknown,
}

impl fmt::Display for AfterOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, finished) = (self.expected.unwrap_or(0.0), self.finished.unwrap_or(0.0));
        let Self { n_scrapes, waited_s, .. } = self;
        match self.verdict {
            Verdict::Agreed => {
                write!(f, "finished counts agreed ({finished}) at scrape {n_scrapes}, after {waited_s:.1} s")
            }
            Verdict::Settled => write!(
                f,
                "finished counts stood still ({finished}) at scrape {n_scrapes}, after {waited_s:.1} s"
            ),
            Verdict::Fewer => write!(
                f,
                "gave up after {waited_s:.1} s and {n_scrapes} scrapes: the server counts {finished} finished requests, the client {expected}"
            ),
            Verdict::More => write!(
                f,
                "the server counts {finished} finished requests, the client only {expected}: it serves others too"
            ),
            Verdict::Unknown => f.write_str(
                "there is nothing to compare: no count of finished requests from both before and after",
            ),
        }
    }
}
