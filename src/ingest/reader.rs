//! What makes rows of the lines of one file or stream, whoever feeds it: the reader of the server's
//! log, the reader of its stat log. And how messages speak of the two. This file does no I/O and
//! must not know what a line says.

use std::io;
use std::path::Path;

use super::Ingested;
use super::lines::Line;
use super::log::{Freshness, LogCounts, Sign};
use super::problem::Problem;
use crate::clock::UnixNs;

/// Reads lines, one after the other.
pub trait LineReader: Send {
    fn kind(&self) -> &'static Kind;

    /// The file's path, or what the stream is called.
    fn source(&self) -> &str;

    /// Looks at the first of the text, where reading begins there, to find its format.
    fn look_at(&mut self, _start: &str) {}

    /// One line, read at `read`; a row, and what it says of the server as a whole.
    fn take(
        &mut self,
        line: &Line<'_>,
        read: UnixNs,
        freshness: Freshness,
    ) -> (Option<Ingested>, Option<Sign>);

    fn counts(&self) -> LogCounts;

    /// What is to be said of it as a whole, once it was read.
    fn verdict(&self) -> Option<Problem>;

    /// The last lines, as they were, where they are kept.
    fn recent(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One of the files that are read line by line, in words.
#[derive(Debug)]
pub struct Kind {
    /// Its name in the manifest's sources.
    pub name: &'static str,
    /// In sentences: `the server log`.
    pub words: &'static str,
    /// In sentences about a file that changes: `log`.
    pub short: &'static str,
    pub flag: &'static str,
    /// What to do about a file that is not there.
    pub missing: &'static str,
    /// What to give in place of something that is no text.
    pub wanted: &'static str,
    /// Whether packed data can be piped in.
    pub takes_stdin: bool,
}

/// The server's log.
pub static SERVER_LOG: Kind = Kind {
    name: "log",
    words: "server log",
    short: "log",
    flag: "--server-log",
    missing: "check the path given with `--server-log`; `-` reads standard input",
    wanted: "give the text that the server writes to its standard output",
    takes_stdin: true,
};

/// The file of its stat logger.
pub static STAT_LOG: Kind = Kind {
    name: "stat_log",
    words: "stat log",
    short: "stat log",
    flag: "--stat-log",
    missing: "does TARE_STAT_LOG name this file where the server runs, and is assets/vllm_tare_logger installed there?",
    wanted: "give the file that the server's TARE_STAT_LOG names",
    takes_stdin: false,
};

/// The access log of a hop between client and server.
pub static HOP_LOG: Kind = Kind {
    name: "hop_log",
    words: "hop's log",
    short: "hop's log",
    flag: "--hop",
    missing: "check the path given with `--hop`",
    wanted: "give the gateway's access log with timers and ids: `tare audit --print-config PRODUCT` shows what turns it on",
    takes_stdin: false,
};

impl Kind {
    pub fn unreadable(&self, path: &Path, error: &io::Error) -> Problem {
        let problem = Problem::new(format!("cannot read the {} {}: {error}", self.words, path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => problem.hint(format!("check the path given with `{}`", self.flag)),
            io::ErrorKind::PermissionDenied => problem.hint("tare needs permission to read it"),
            _ => problem,
        }
    }

    pub fn directory(&self, path: &Path) -> Problem {
        Problem::new(format!("the {} {} is a directory", self.words, path.display()))
            .hint(format!("give the {} file itself with `{}`", self.short, self.flag))
    }

    pub fn empty(&self, path: &Path) -> Problem {
        Problem::new(format!("the {} {} is empty", self.words, path.display()))
    }

    pub fn not_text(&self, source: &str, kind: &str) -> Problem {
        let hint = match kind {
            "gzip data" if self.takes_stdin => {
                "decompress it first, for example `zcat FILE | tare … --server-log -`"
            }
            "zstd data" if self.takes_stdin => {
                "decompress it first, for example `zstdcat FILE | tare … --server-log -`"
            }
            "gzip data" | "zstd data" => "decompress it first",
            _ => self.wanted,
        };
        Problem::new(format!("the {} {source} is no text log: it begins with {kind}", self.words)).hint(hint)
    }

    pub fn missing(&self, path: &Path) -> Problem {
        Problem::new(format!(
            "the {} {} was not there when the run began; it is read from its start once it appears",
            self.words,
            path.display()
        ))
        .hint(self.missing)
    }

    pub fn gone(&self, path: &Path) -> Problem {
        Problem::new(format!(
            "the {} {} went away while it was followed; waiting for a new one",
            self.short,
            path.display()
        ))
    }

    pub fn truncated(&self, path: &Path) -> Problem {
        Problem::new(format!(
            "the {} {} was truncated while it was followed; reading went on from its start",
            self.short,
            path.display()
        ))
    }

    pub fn written_over(&self, path: &Path) -> Problem {
        Problem::new(format!(
            "the {} {} was changed while it was followed, but did not grow: does whoever writes it append?",
            self.short,
            path.display()
        ))
        .hint("if not, begin with an empty file, or let `cat >>` write it: HAProxy writes over the beginning of what `>>` names")
    }

    /// `gone`: files of the row that are missing; 0 where it cannot be known.
    pub fn rotated_away(&self, path: &Path, gone: u64) -> Problem {
        let what = match gone {
            0 => "and what was being read is deleted: whether others came between is not known".to_owned(),
            1 => "and a file that came between is gone: its lines are lost".to_owned(),
            n => format!("and {n} files that came between are gone: their lines are lost"),
        };
        let (short, path) = (self.short, path.display());
        Problem::new(format!("the {short} {path} was rotated several times between two looks, {what}"))
            .hint("let the rotation keep more files, or larger ones")
    }
}
