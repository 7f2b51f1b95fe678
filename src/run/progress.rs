//! The line or two that show how the run goes: redrawn in place on a terminal, plain lines now and
//! then elsewhere. Reads counters on a thread of its own; must not touch the measured path.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::ingest::live::Live as ServerLive;
use crate::load::Live;
use crate::units;

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
        let mut last_line = Instant::now();
        let (mut last_tokens, mut last_look, mut rate) = (0, Instant::now(), 0.0);
        while !end.is_cancelled() {
            // Woken early at the end.
            std::thread::park_timeout(REDRAW);
            let tokens = self.load.output_tokens.load(Ordering::Relaxed);
            let passed = last_look.elapsed().as_secs_f64();
            // Tokens are counted when requests end; smooth the steps out.
            rate = 0.8 * rate + 0.2 * (tokens - last_tokens) as f64 / passed.max(1e-3);
            (last_tokens, last_look) = (tokens, Instant::now());
            if on_terminal {
                bar.set_message(self.lines(begun.elapsed(), rate));
                bar.tick();
            } else if last_line.elapsed() >= PLAIN_LINE {
                last_line = Instant::now();
                eprintln_line(&self.lines(begun.elapsed(), rate).replace('\n', " | "));
            }
        }
        bar.finish_and_clear();
    }

    fn lines(&self, elapsed: Duration, rate: f64) -> String {
        let load = &self.load;
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let goal = match (self.duration_s, self.requests) {
            (Some(s), _) => format!("{:.0}/{s:.0} s", elapsed.as_secs_f64()),
            (None, Some(n)) => format!("{:.0} s, {}/{n} requests", elapsed.as_secs_f64(), get(&load.ended)),
            (None, None) => format!("{:.0} s", elapsed.as_secs_f64()),
        };
        let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), units::seconds);
        let mut first = format!(
            "{goal}  in flight {}  ok {}  failed {}",
            load.in_flight(),
            get(&load.ok),
            get(&load.failed)
        );
        if get(&load.users) > 0 {
            let _ = write!(first, "  users {}", get(&load.users));
        }
        let _ = write!(first, "  {}", units::tokens_per_second(rate));
        let server = self.server.get();
        let mut second = format!("TTFT client p50 {}  p99 {}", ms(load.ttft_s(0.5)), ms(load.ttft_s(0.99)));
        if let Some(ttft) = server.ttft_mean_s {
            let _ = write!(second, "  server mean {}", units::seconds(ttft));
        }
        if let (Some(running), Some(waiting)) = (server.running, server.waiting) {
            let _ = write!(second, "  running {running:.0}  waiting {waiting:.0}");
        }
        format!("{first}\n  {second}")
    }
}

pub(super) fn eprintln_line(text: &str) {
    use std::io::Write as _;
    // A closed stderr must not end a measurement.
    let _ = writeln!(std::io::stderr(), "{text}");
}
