//! What `tare doctor` found out about a server: what it can prove, what lies between, how its clock
//! relates. This file must not know how any of it is found or printed.

use serde::Serialize;

use super::clocks::Clocks;

/// A server, examined.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    pub url: String,
    pub server: ServerFacts,
    /// Streamed requests sent and stamped, those that ended well, and the first error of the others.
    pub streamed: usize,
    pub streamed_ok: usize,
    pub error: Option<String>,
    /// Why the one request that was not streamed failed, if it did.
    pub unstreamed_error: Option<String>,
    /// The best evidence first.
    pub levels: Vec<Level>,
    pub between: Between,
    /// By address.
    pub same_host: bool,
    pub clocks: Clocks,
    /// What to do to prove more; `None` where there is nothing.
    pub next: Option<String>,
    /// What else was noted meanwhile.
    pub notes: Vec<String>,
}

/// Who answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerFacts {
    pub kind: String,
    /// `named`, or by what it was recognised.
    pub kind_from: String,
    pub version: Option<String>,
    /// `system_fingerprint` of an answer.
    pub fingerprint: Option<String>,
    pub model: Option<String>,
}

/// One kind of evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    pub name: &'static str,
    pub state: State,
    /// What was seen of it in this examination.
    pub seen: String,
    /// What it lets be said.
    pub adds: &'static str,
    /// The flag or setting that turns it on, or that makes it finer; `None`: nothing that is known.
    pub unlock: Option<String>,
    /// What else to know of that setting.
    pub advice: Option<&'static str>,
    /// What must be given to this program for it.
    pub give: Option<String>,
}

/// Whether a kind of evidence is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    On,
    Off,
    /// It was not looked for, or nothing can be said.
    Unknown,
}

impl State {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            State::On => "on",
            State::Off => "off",
            State::Unknown => "unknown",
        }
    }
}

/// What lies between client and server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Between {
    /// How sure it is that something does; `None`: no sign of it.
    pub gateway: Option<Sure>,
    pub findings: Vec<Finding>,
    /// What was looked at and is as it is without anything between.
    pub clear: Vec<String>,
}

/// Something seen on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub what: String,
    pub sure: Sure,
    /// Whether it speaks for something between; else it is the server's, or either's.
    pub gateway: bool,
}

/// How sure a conclusion is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sure {
    /// It fits, and so do other causes.
    Hint,
    /// Other causes are unusual.
    Likely,
    /// Nothing else does this.
    Certain,
}

impl Sure {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Sure::Hint => "a hint",
            Sure::Likely => "likely",
            Sure::Certain => "certain",
        }
    }
}
