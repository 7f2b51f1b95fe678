//! The look-alike's log: a handle for each of vLLM's processes, which here are all one. Lines are
//! stamped where they are said and written by a thread of its own, so that a slow reader of the log
//! does not slow the server down. This file must not know when which line is due.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::clock::monotonic_ns;
use crate::config::{LogFormat, Pose};

use super::log_line::{self, Record, Writer};
use super::pose::llama_cpp;
use super::pose::sglang::{self, Moments};
use super::registry::Finished;
use super::server_clock::ServerClock;

/// A handle to the log; the writing thread ends when the last handle is gone.
#[derive(Clone)]
pub struct Log {
    lines: Sender<Vec<u8>>,
    process: Arc<str>,
    pid: u32,
    format: LogFormat,
    clock: ServerClock,
    /// As which server it writes: lines that are vLLM's alone are left out by others.
    pose: Pose,
    started_ns: i64,
}

impl Log {
    /// Starts the writing thread; lines are stamped by `clock`. The handle is the process `APIServer`.
    pub fn start(
        writer: Box<dyn Write + Send>,
        format: LogFormat,
        clock: ServerClock,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (lines, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("mock-log".to_owned())
            .spawn(move || write_lines(&receiver, writer))?;
        let log = Self {
            lines,
            process: "APIServer".into(),
            pid: std::process::id(),
            format,
            clock,
            pose: Pose::Vllm,
            started_ns: monotonic_ns(),
        };
        Ok((log, thread))
    }

    /// The same log as another server writes it.
    pub fn posing(self, pose: Pose) -> Self {
        Self { pose, ..self }
    }

    /// The same log as another process writes to it.
    pub fn of(&self, process: &str) -> Self {
        Self { process: process.into(), ..self.clone() }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is written by a logging configuration of one's own, under which the banner is a line.
    pub fn is_configured(&self) -> bool {
        matches!(self.format, LogFormat::Us | LogFormat::Json)
    }

    pub fn info(&self, place: &str, message: &str) {
        self.say(Writer::Vllm, "INFO", place, message);
    }

    pub fn warning(&self, place: &str, message: &str) {
        self.say(Writer::Vllm, "WARNING", place, message);
    }

    pub fn error(&self, place: &str, message: &str) {
        self.say(Writer::Vllm, "ERROR", place, message);
    }

    /// A line of uvicorn's.
    pub fn uvicorn(&self, level: &str, place: &str, message: &str) {
        self.say(Writer::Uvicorn, level, place, message);
    }

    /// uvicorn's line about a response. Only its own formatter adds the status's phrase.
    pub fn access(&self, client: &str, request: &str, status: u16, phrase: &str) {
        let phrase = if self.is_configured() { String::new() } else { format!(" {phrase}") };
        self.say(Writer::Access, "INFO", "", &format!("{client} - \"{request} HTTP/1.1\" {status}{phrase}"));
    }

    /// That another server than vLLM listens now.
    pub fn serving(&self, address: std::net::SocketAddr) {
        match self.pose {
            Pose::Vllm => {}
            Pose::Sglang => {
                let line = format!("Uvicorn running on http://{address} (Press CTRL+C to quit)");
                self.uvicorn("INFO", "", &line);
            }
            Pose::LlamaCpp => {
                self.slot_line(&format!("srv          init: build_info: {}", llama_cpp::BUILD));
                self.slot_line(&format!("srv          init: listening on http://{address}"));
                self.slot_line("srv  update_slots: all slots are idle");
            }
        }
    }

    /// A request that `SGLang` has received.
    pub fn request_received(&self, rid: &str) {
        self.raw(sglang::received_line(&self.stamp(), rid).into_bytes());
    }

    /// A request that another server has finished.
    pub fn request_finished(&self, task: u64, rid: &str, at: &Moments, done: &Finished) {
        match self.pose {
            Pose::Vllm => {}
            Pose::Sglang => self.raw(sglang::finished_line(&self.stamp(), rid, at, done).into_bytes()),
            Pose::LlamaCpp => llama_cpp::finished(task, done).iter().for_each(|line| self.slot_line(line)),
        }
    }

    fn slot_line(&self, line: &str) {
        self.raw(llama_cpp::stamped((monotonic_ns() - self.started_ns) / 1_000, line));
    }

    /// As Python's `isoformat` prints the time now.
    fn stamp(&self) -> String {
        self.clock.local().format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
    }

    /// Bytes as they are.
    pub fn raw(&self, bytes: Vec<u8>) {
        // The thread outlives every handle.
        let _ = self.lines.send(bytes);
    }

    fn say(&self, writer: Writer, level: &str, place: &str, message: &str) {
        let (process, pid, at) = (&*self.process, self.pid, self.clock.local());
        match (self.pose, writer) {
            (Pose::Vllm, _) => {}
            (Pose::Sglang, Writer::Uvicorn | Writer::Access) => {
                let head = at.format("%Y-%m-%d %H:%M:%S");
                return self.raw(format!("[{head}] {:<9} {message}\n", format!("{level}:")).into_bytes());
            }
            _ => return,
        }
        let record = Record { process, pid, level, at, writer, place, message };
        self.raw(log_line::line(self.format, &record));
    }
}

/// Writes what comes, flushing whenever there is nothing more at hand. A reader that went away is no
/// reason for the server to stop.
fn write_lines(lines: &Receiver<Vec<u8>>, mut writer: Box<dyn Write + Send>) {
    let mut gone = false;
    while let Ok(first) = lines.recv() {
        let mut batch = first;
        while let Ok(next) = lines.try_recv() {
            batch.extend_from_slice(&next);
            if batch.len() > 64 * 1024 {
                break;
            }
        }
        if !gone {
            gone = writer.write_all(&batch).and_then(|()| writer.flush()).is_err();
        }
    }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A writer whose bytes a test can look at.
    #[derive(Clone, Default)]
    pub struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub fn bytes(&self) -> Vec<u8> {
            self.0.lock().unwrap().clone()
        }

        pub fn text(&self) -> String {
            String::from_utf8_lossy(&self.bytes()).into_owned()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn processes_share_a_log() {
        let captured = Captured::default();
        let (log, thread) =
            Log::start(Box::new(captured.clone()), LogFormat::Default, ServerClock::default()).unwrap();
        log.info("loggers.py:335", "Engine 000: x");
        log.of("EngineCore").warning("core.py:1", "y");
        log.access("127.0.0.1:5", "GET /health", 200, "OK");
        let pid = log.pid();
        drop(log);
        thread.join().unwrap();
        let text = captured.text();
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        assert!(lines[0].starts_with(&format!("(APIServer pid={pid}) INFO ")), "{text}");
        assert!(lines[0].ends_with("] Engine 000: x"), "{text}");
        assert!(lines[1].starts_with(&format!("(EngineCore pid={pid}) WARNING ")), "{text}");
        assert_eq!(lines[2], "INFO:     127.0.0.1:5 - \"GET /health HTTP/1.1\" 200 OK");
    }

    #[test]
    fn a_reader_that_left_does_not_stop_the_log() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (log, thread) = Log::start(Box::new(Broken), LogFormat::Default, ServerClock::default()).unwrap();
        for _ in 0..3 {
            log.uvicorn("INFO", "server.py:103", "x");
        }
        drop(log);
        thread.join().unwrap();
    }
}
