//! The lines that show how the run goes: redrawn in place on a terminal, plain lines now and then elsewhere. Reads
//! counters on a thread of its own; must not touch the measured path.

mod history;
mod lines;
mod spark;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use self::history::{History, Look, ServerLook, Sum};
use self::lines::{Goal, Quantiles};
use crate::ingest::live::Live as ServerLive;
use crate::load::Live;

const REDRAW: Duration = Duration::from_millis(500);
/// How often a log file or a CI job gets a line.
const PLAIN_LINE: Duration = Duration::from_secs(10);

/// What is shown, and how.
pub(super) struct Progress {
    pub(super) load: Arc<Live>,
    pub(super) server: ServerLive,
    pub(super) duration_s: Option<f64>,
    pub(super) requests: Option<u64>,
    pub(super) quiet: bool,
}

impl Progress {
    /// Shows progress until `end` is cancelled.
    pub(super) fn start(self, end: CancellationToken) -> Option<JoinHandle<()>> {
        if self.quiet {
            return None;
        }
        std::thread::Builder::new().name("tare-progress".to_owned()).spawn(move || self.show(&end)).ok()
    }

    fn show(&self, end: &CancellationToken) {
        let begun = Instant::now();
        let on_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let goal = Goal { duration_s: self.duration_s, requests: self.requests };
        let mut history = History::default();
        let mut last_line = Instant::now();
        while !end.is_cancelled() {
            history.take(self.look(begun.elapsed()));
            // Woken early at the end.
            std::thread::park_timeout(REDRAW);
            if on_terminal {
                bar.set_message(lines::lines(&history, goal, self.so_far()));
                bar.tick();
            } else if last_line.elapsed() >= PLAIN_LINE {
                last_line = Instant::now();
                eprintln_line(&lines::line(&history, goal, self.so_far()));
            }
        }
        bar.finish_and_clear();
    }

    fn look(&self, at: Duration) -> Look {
        let load = &self.load;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let server = self.server.get();
        let (ttft, itl) = load.sums();
        let sum = |(sum, n): (f64, f64)| Sum { sum, n };
        Look {
            at_s: at.as_secs_f64(),
            sent: get(&load.sent),
            ended: get(&load.ended),
            ok: get(&load.ok),
            failed: get(&load.failed),
            users: get(&load.users),
            output_tokens: get(&load.output_tokens),
            ttft: sum(ttft),
            itl: sum(itl),
            server: ServerLook {
                running: server.running,
                waiting: server.waiting,
                kv_cache_usage: server.kv_cache_usage,
                ttft: server.ttft.map(sum),
                itl: server.itl.map(sum),
            },
        }
    }

    fn so_far(&self) -> Quantiles {
        Quantiles { p50_s: self.load.ttft_s(0.5), p99_s: self.load.ttft_s(0.99) }
    }
}

pub(super) fn eprintln_line(text: &str) {
    use std::io::Write as _;
    // A closed stderr must not end a measurement.
    let _ = writeln!(std::io::stderr(), "{text}");
}
