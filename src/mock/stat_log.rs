//! What the project's stat-logger plugin writes on a real vLLM: one JSON line for each request that the
//! engine has finished, appended in one write. Everything in it is said by the server: its instants are
//! on the server's own clock. This file must not know how requests are served.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::clock::UnixNs;

use super::registry::Finished;

/// A handle to the file; the writing thread ends when the last handle is gone.
pub struct StatLog {
    lines: Sender<Vec<u8>>,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    pid: u32,
    engine: usize,
    request_id: &'a str,
    finish_reason: &'a str,
    iteration_unix_ns: UnixNs,
    e2e_s: f64,
    queue_s: f64,
    prefill_s: f64,
    inference_s: f64,
    decode_s: f64,
    input_tokens: u32,
    output_tokens: u32,
    cached_tokens: u32,
    preemptions: u32,
    max_tokens: u32,
}

impl StatLog {
    /// Opens the file, made if it is not there, and starts the writing thread.
    pub fn open(path: &Path) -> Result<(Self, JoinHandle<Result<()>>)> {
        let shown = path.display().to_string();
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open the stat log `{shown}`"))?;
        let (lines, receiver) = channel();
        let thread = std::thread::Builder::new().name("mock-stat-log".to_owned()).spawn(move || {
            write_lines(&receiver, file).with_context(|| format!("cannot write the stat log `{shown}`"))
        })?;
        Ok((Self { lines }, thread))
    }

    /// A request whose last output was processed at `iteration`.
    pub fn record(&self, engine: usize, request_id: &str, iteration: UnixNs, done: &Finished) {
        // The thread only ends early when the file cannot be written, which it reports itself.
        let _ = self.lines.send(line(engine, request_id, iteration, done));
    }

    /// A line as another server writes it.
    pub fn raw(&self, line: Vec<u8>) {
        let _ = self.lines.send(line);
    }
}

fn line(engine: usize, request_id: &str, iteration_unix_ns: UnixNs, done: &Finished) -> Vec<u8> {
    let line = Line {
        v: 1,
        pid: std::process::id(),
        engine,
        request_id,
        finish_reason: done.reason.as_str(),
        iteration_unix_ns,
        e2e_s: done.e2e_s,
        queue_s: done.queue_s,
        prefill_s: done.prefill_s,
        inference_s: done.inference_s,
        decode_s: done.decode_s,
        input_tokens: done.prompt_tokens,
        output_tokens: done.output_tokens,
        cached_tokens: done.cached_tokens,
        preemptions: done.preemptions,
        max_tokens: done.max_tokens,
    };
    // Texts and numbers always serialise.
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn write_lines(lines: &Receiver<Vec<u8>>, mut file: File) -> Result<()> {
    while let Ok(line) = lines.recv() {
        file.write_all(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::mock::schedule::FinishReason;

    fn done() -> Finished {
        Finished {
            reason: FinishReason::Length,
            prompt_tokens: 42,
            cached_tokens: 0,
            preemptions: 0,
            output_tokens: 12,
            max_tokens: 12,
            e2e_s: 0.5,
            queue_s: 0.0001,
            prefill_s: 0.01,
            decode_s: 0.48,
            inference_s: 0.49,
        }
    }

    #[test]
    fn the_line_is_the_plugins() {
        let line =
            String::from_utf8(line(0, "chatcmpl-X", UnixNs(1_780_000_000_000_000_000), &done())).unwrap();
        let pid = std::process::id();
        assert_eq!(
            line,
            format!(
                "{{\"v\":1,\"pid\":{pid},\"engine\":0,\"request_id\":\"chatcmpl-X\",\"finish_reason\":\"length\",\
                 \"iteration_unix_ns\":1780000000000000000,\"e2e_s\":0.5,\"queue_s\":0.0001,\"prefill_s\":0.01,\
                 \"inference_s\":0.49,\"decode_s\":0.48,\"input_tokens\":42,\"output_tokens\":12,\"cached_tokens\":0,\
                 \"preemptions\":0,\"max_tokens\":12}}\n"
            )
        );
    }

    #[test]
    fn what_is_there_already_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat.jsonl");
        std::fs::write(&path, "another process's line\n").unwrap();
        let (log, thread) = StatLog::open(&path).unwrap();
        log.record(1, "cmpl-X-0", UnixNs(5), &done());
        drop(log);
        thread.join().unwrap().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next(), Some("another process's line"));
        assert!(text.lines().nth(1).unwrap().contains("\"engine\":1,\"request_id\":\"cmpl-X-0\""), "{text}");
        let missing =
            StatLog::open(Path::new("/nonexistent-folder/stat.jsonl")).err().expect("no such folder");
        assert!(format!("{missing:#}").contains("/nonexistent-folder/stat.jsonl"));
    }
}
