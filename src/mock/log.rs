//! The look-alike's log: lines as vLLM 0.31 and later write them, and uvicorn's bare ones between
//! them. Lines are stamped where they are said and written by a thread of its own, so that a slow
//! reader of the log does not slow the server down. This file must not know when which line is due.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::server_clock::ServerClock;

/// A handle to the log; the writing thread ends when the last handle is gone.
#[derive(Clone)]
pub struct Log {
    lines: Sender<Vec<u8>>,
    pid: u32,
    clock: ServerClock,
}

impl Log {
    /// Starts the writing thread; lines are stamped by `clock`.
    pub fn start(
        writer: Box<dyn Write + Send>,
        clock: ServerClock,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (lines, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("mock-log".to_owned())
            .spawn(move || write_lines(&receiver, writer))?;
        Ok((Self { lines, pid: std::process::id(), clock }, thread))
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A line of the API server: `(APIServer pid=1) INFO 11-24 15:11:29 [file.py:1] message`.
    pub fn info(&self, place: &str, message: &str) {
        self.vllm("APIServer", "INFO", place, message);
    }

    pub fn warning(&self, place: &str, message: &str) {
        self.vllm("APIServer", "WARNING", place, message);
    }

    pub fn error(&self, place: &str, message: &str) {
        self.vllm("APIServer", "ERROR", place, message);
    }

    /// A line of another of vLLM's processes; here they are all one.
    pub fn engine_core(&self, place: &str, message: &str) {
        self.vllm("EngineCore", "INFO", place, message);
    }

    /// A line of uvicorn's, which has neither time nor process.
    pub fn uvicorn(&self, level: &str, message: &str) {
        let indent = " ".repeat(9_usize.saturating_sub(level.len()));
        self.raw(format!("{level}:{indent}{message}\n").into_bytes());
    }

    /// Bytes as they are.
    pub fn raw(&self, bytes: Vec<u8>) {
        // The thread outlives every handle.
        let _ = self.lines.send(bytes);
    }

    fn vllm(&self, process: &str, level: &str, place: &str, message: &str) {
        let time = self.clock.local().format("%m-%d %H:%M:%S");
        let prefix = format!("({process} pid={}) {level} {time} [{place}] ", self.pid);
        // A message of several lines carries the prefix on each of them.
        let message = message.replace('\n', &format!("\r\n{prefix}"));
        self.raw(format!("{prefix}{message}\n").into_bytes());
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
    fn lines_look_like_the_real_ones() {
        let captured = Captured::default();
        let (log, thread) = Log::start(Box::new(captured.clone()), ServerClock::default()).unwrap();
        log.info("loggers.py:335", "Engine 000: x");
        log.uvicorn("INFO", "Started");
        log.uvicorn("WARNING", "Invalid HTTP request received.");
        log.error("a.py:1", "two\nlines");
        let pid = log.pid();
        drop(log);
        thread.join().unwrap();
        let text = captured.text();
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        let (prefix, rest) = lines[0].split_at(format!("(APIServer pid={pid}) INFO ").len());
        assert_eq!(prefix, format!("(APIServer pid={pid}) INFO "));
        let (time, message) = rest.split_at("11-24 15:11:29".len());
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "99-99 99:99:99");
        assert_eq!(message, " [loggers.py:335] Engine 000: x");
        assert_eq!(lines[1], "INFO:     Started");
        assert_eq!(lines[2], "WARNING:  Invalid HTTP request received.");
        assert!(lines[3].ends_with("[a.py:1] two\r"));
        assert!(
            lines[4].starts_with(&format!("(APIServer pid={pid}) ERROR ")) && lines[4].ends_with("] lines")
        );
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
        let (log, thread) = Log::start(Box::new(Broken), ServerClock::default()).unwrap();
        for _ in 0..3 {
            log.uvicorn("INFO", "x");
        }
        drop(log);
        thread.join().unwrap();
    }
}
