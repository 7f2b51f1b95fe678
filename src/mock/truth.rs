//! What really happened to each chat or text completion or response, one JSON line each: the reference that
//! measurements of this server are checked against. Stamps are taken where things happen, written
//! later by a thread of its own. This file must not know how requests are served.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::clock::UnixNs;

use super::server_clock::ServerClock;

/// One request, as the server knows it. All instants are wall-clock nanoseconds of this host, also
/// where the server's own clock is made to be wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TruthRow {
    /// Requests in the order in which they were read, from 1.
    pub n: u64,
    /// The `id` of the response; empty when there was none.
    pub request_id: String,
    /// The engine's own id, as in `Added request`; empty when it never got there.
    pub engine_id: String,
    pub x_request_id: Option<String>,
    pub traceparent: Option<String>,
    pub path: String,
    pub stream: bool,
    pub client_port: u16,
    /// 1 for the first request of its connection.
    pub connection_request: u32,
    /// The connection was accepted (by the program; the kernel may have done so earlier).
    pub accepted_unix_ns: UnixNs,
    /// The request's first byte was there to be read, and its last one had been read.
    pub first_byte_unix_ns: UnixNs,
    pub read_unix_ns: UnixNs,
    /// The body had been parsed: vLLM's `arrival_time`.
    pub arrival_unix_ns: Option<UnixNs>,
    /// The response's head was handed to the socket.
    pub head_unix_ns: Option<UnixNs>,
    /// Engine: put into the queue, admitted, end of the steps with the first and the last token.
    pub queued_unix_ns: Option<UnixNs>,
    pub scheduled_unix_ns: Option<UnixNs>,
    pub first_token_unix_ns: Option<UnixNs>,
    pub last_token_unix_ns: Option<UnixNs>,
    /// Front end: when it had the first and the last token.
    pub first_output_unix_ns: Option<UnixNs>,
    pub last_output_unix_ns: Option<UnixNs>,
    /// The last byte had been handed over, or the exchange was given up.
    pub end_unix_ns: UnixNs,
    /// What the server's metrics observed, TTFT and e2e by its own wall clock. `e2e_s` only when the engine finished the request; the
    /// others as far as it got.
    pub ttft_s: Option<f64>,
    pub e2e_s: Option<f64>,
    pub queue_s: Option<f64>,
    pub prefill_s: Option<f64>,
    pub decode_s: Option<f64>,
    pub prompt_tokens: u32,
    pub cached_tokens: u32,
    #[serde(default)]
    pub preemptions: u32,
    /// Tokens that the front end has counted; the client may have been sent fewer.
    pub output_tokens: u32,
    pub status: u16,
    pub outcome: Outcome,
    /// Set when the engine finished the request, whether or not the client was told.
    pub finish_reason: Option<String>,
    /// Which engine served it, of several.
    #[serde(default)]
    pub engine: u16,
    /// Faults that took effect.
    pub faults: Vec<String>,
    /// Lines of the log that were lost: `Received`, `Added`, `access`, `delta`, `Generated`,
    /// `Aborted`, `aborted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_lines: Vec<String>,
    /// Writes that found the socket's buffer full.
    pub blocked_writes: u32,
    /// Each event: when the socket was given it, how many tokens it carries, its bytes (with the
    /// chunk's framing). A non-streamed answer is one event.
    pub events: Vec<(UnixNs, u32, u32)>,
    /// Of these the first whose text a reader sees: no reasoning, and no call of a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_visible_unix_ns: Option<UnixNs>,
    /// On the first line of the file: how wrong the server's own wall clock was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ServerClock>,
}

/// How an exchange ended, seen from the server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was handed over.
    #[default]
    Complete,
    /// An error instead of an answer.
    Rejected,
    /// The client left.
    Aborted,
    /// A fault ended it.
    Cut,
    /// The server was stopped.
    Stopped,
}

/// A handle to the file; the writing thread ends when the last handle is gone.
#[derive(Clone)]
pub struct Truth {
    rows: Sender<TruthRow>,
}

impl Truth {
    /// Creates the file and starts the writing thread. The first row will say what the clock was.
    pub fn create(path: &Path, clock: ServerClock) -> Result<(Self, JoinHandle<Result<()>>)> {
        let file = File::create(path)
            .with_context(|| format!("cannot create the truth file `{}`", path.display()))?;
        let (rows, receiver) = channel();
        let shown = path.display().to_string();
        let thread = std::thread::Builder::new().name("mock-truth".to_owned()).spawn(move || {
            write_rows(&receiver, file, clock)
                .with_context(|| format!("cannot write the truth file `{shown}`"))
        })?;
        Ok((Self { rows }, thread))
    }

    pub fn record(&self, row: TruthRow) {
        // The thread only ends early when the file cannot be written, which it reports itself.
        let _ = self.rows.send(row);
    }
}

fn write_rows(rows: &Receiver<TruthRow>, file: File, clock: ServerClock) -> Result<()> {
    let mut clock = Some(clock);
    let mut file = BufWriter::with_capacity(256 * 1024, file);
    while let Ok(first) = rows.recv() {
        let mut next = Some(first);
        while let Some(mut row) = next {
            row.clock = clock.take();
            serde_json::to_writer(&mut file, &row)?;
            file.write_all(b"\n")?;
            next = rows.try_recv().ok();
        }
        file.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        let clock = ServerClock { offset_ns: -5, drift_ppm: 0.25, ..ServerClock::default() };
        let (truth, thread) = Truth::create(&path, clock).unwrap();
        let row = TruthRow {
            n: 1,
            request_id: "chatcmpl-x".to_owned(),
            e2e_s: Some(0.1 + 0.2),
            outcome: Outcome::Cut,
            events: vec![(UnixNs(1_795_533_163_895_882_153), 1, 222)],
            ..TruthRow::default()
        };
        truth.record(row.clone());
        truth.record(TruthRow { n: 2, ..TruthRow::default() });
        drop(truth);
        thread.join().unwrap().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let back: Vec<TruthRow> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(back[0], TruthRow { clock: Some(clock), ..row });
        assert_eq!(back[1].clock, None);
        assert_eq!(back.len(), 2);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Truth::create(Path::new("/nonexistent-folder/truth.jsonl"), ServerClock::default())
            .err()
            .expect("no such folder");
        assert!(format!("{error:#}").contains("/nonexistent-folder/truth.jsonl"));
    }
}
