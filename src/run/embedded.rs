//! The embedded server as a child process: started on a free port, its log read by the ingester,
//! stopped with the run. It shares no runtime with the load. This file must not know what is served.

use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Options;
use crate::config::{Config, Embedded, embedded_to_flags};
use crate::error::broken;
use crate::ingest::Collector;
use crate::store::RunFolder;
use crate::store::folder::EMBEDDED_STAT_LOG;

/// How long the child may take to flush its spans and its log.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of its complaints is kept: their end.
const LAST_WORDS_BYTES: usize = 4 * 1024;

/// How long it may take to say that it serves.
const START: Duration = Duration::from_secs(20);

/// Starts it for a run, and waits until its log says that it serves: it, and its URL.
pub(super) fn start(
    config: &Config,
    options: &Options,
    folder: &RunFolder,
    collector: &mut Collector,
) -> anyhow::Result<(Server, String)> {
    let otlp = collector.otlp_addresses().map(|a| format!("http://{}", a.http));
    let (mut server, log) = Server::start(
        &options.exe,
        &config.target.embedded,
        otlp.as_deref(),
        options.truth.as_deref(),
        Some(&folder.file(EMBEDDED_STAT_LOG)),
    )?;
    let signs = collector.attach_blocking_log("embedded", log).wait_started(START);
    match signs.url {
        Some(url) if signs.started => Ok((server, url)),
        _ => {
            if signs.ended.is_some() {
                server.wait();
            }
            let words = server.stop().unwrap_or_else(|| "it did not say that it serves".to_owned());
            Err(broken(format!("the embedded server did not start: {words}")).into())
        }
    }
}

/// The running child; killed when dropped.
pub(super) struct Server {
    child: Child,
    complaints: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts `exe serve` on a free port; returns it with its log.
    pub(super) fn start(
        exe: &Path,
        embedded: &Embedded,
        otlp_endpoint: Option<&str>,
        truth: Option<&Path>,
        stat_log: Option<&Path>,
    ) -> anyhow::Result<(Self, ChildStdout)> {
        let mut command = Command::new(exe);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0"]).args(embedded_to_flags(embedded));
        // Killed, this program can stop nobody: the child looks after itself.
        command.arg("--parent-pid").arg(std::process::id().to_string());
        if let Some(endpoint) = otlp_endpoint.filter(|_| embedded.spans) {
            command.args(["--otlp-endpoint", endpoint]);
        }
        if let Some(truth) = truth {
            command.arg("--truth").arg(truth);
        }
        if let Some(stat_log) = stat_log.filter(|_| embedded.stat_log) {
            command.arg("--stat-log").arg(stat_log);
        }
        // A group of its own: the terminal's Ctrl-C is for the run, which then stops the server.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("could not start the embedded server ({})", exe.display()))?;
        let log = child.stdout.take().context("the embedded server has no output to read")?;
        let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || end_of(stderr)));
        Ok((Self { child, complaints }, log))
    }

    /// Ends the child, with time to send what it still has; says what it complained of, if it had
    /// ended by itself.
    pub(super) fn stop(&mut self) -> Option<String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(format!("the embedded server ended by itself ({status}){}", self.last_words()));
        }
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill(pid, Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }

    /// Waits, not for long, for the end of a child that has closed its log.
    pub(super) fn wait(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Only for a child that has ended: its pipe has, too.
    fn last_words(&mut self) -> String {
        let said = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) }
    }
}

/// Reads on to the end, so that the child never waits for a full pipe, and keeps the last of it.
fn end_of(mut stderr: ChildStderr) -> String {
    let (mut kept, mut buffer) = (VecDeque::new(), [0; 1024]);
    while let Ok(n @ 1..) = stderr.read(&mut buffer) {
        kept.extend(buffer.get(..n).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(LAST_WORDS_BYTES));
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
