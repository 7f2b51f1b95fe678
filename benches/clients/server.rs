//! The embedded server for one client: a process of its own, an engine with steps of one length, its
//! log in a file, its truth beside it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare::mock::truth::TruthRow;

use crate::reference::Load;

/// Started, and ended when dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub authority: String,
    pub log: PathBuf,
    truth: PathBuf,
}

impl Server {
    /// Starts it in `dir`, on this CPU alone if one is named, and waits until it says that it serves.
    pub fn start(dir: &Path, load: Load, cpu: Option<usize>) -> anyhow::Result<Self> {
        let (log, truth) = (dir.join("server.log"), dir.join("truth.jsonl"));
        let step_ms = (1e3 / load.tokens_per_second).to_string();
        // A server that waits for a CPU writes late and reads late, which would count as the clients' error.
        let child = before_others(env!("CARGO_BIN_EXE_tare"), cpu)
            .args(["serve", "--port", "0", "--no-enable-log-requests"])
            .args(["--decode-base-ms", &step_ms, "--decode-per-seq-ms", "0", "--jitter", "0"])
            .args(["--prefill-us-per-token", "0", "--frontend-ms", "0", "--frontend-us-per-token", "0"])
            .args(["--api-server-count", "2"])
            .args(["--max-num-seqs", "1000000", "--max-num-batched-tokens", "1000000"])
            .args(
                (load.late_first_ms > 0)
                    .then(|| format!("--fault=late_first up_to_ms={}", load.late_first_ms)),
            )
            .arg("--truth")
            .arg(&truth)
            .args(["--parent-pid", &std::process::id().to_string()])
            .stdout(File::create(&log)?)
            .stdin(Stdio::null())
            .spawn()
            .context("the embedded server does not start")?;
        let mut server = Self { child, authority: String::new(), log, truth };
        for _ in 0..1_000 {
            let said = std::fs::read_to_string(&server.log)?;
            let url = said.lines().find(|line| line.contains("Starting vLLM server on "));
            let url = url.and_then(|line| line.split_whitespace().last()?.strip_prefix("http://"));
            if let (Some(authority), true) = (url, said.contains("Application startup complete")) {
                authority.clone_into(&mut server.authority);
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the embedded server does not say that it serves")
    }

    /// Ends it, which writes the last of its truth, and reads that.
    pub fn stop(mut self) -> anyhow::Result<Vec<TruthRow>> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        self.child.wait()?;
        let text = std::fs::read_to_string(&self.truth).context("the embedded server left no truth")?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that runs before others, where that is allowed, and on this CPU alone if one is named.
pub fn before_others(program: &str, cpu: Option<usize>) -> Command {
    let allowed = Command::new("chrt").args(["-f", "10", "true"]).output().is_ok_and(|o| o.status.success());
    let cpu = cpu.map(|cpu| cpu.to_string());
    let mut words = Vec::new();
    if let Some(cpu) = &cpu {
        words.extend(["taskset", "-c", cpu]);
    }
    if allowed {
        words.extend(["chrt", "-f", "10"]);
    }
    words.push(program);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}
