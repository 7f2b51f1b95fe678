//! The program as its users meet it: arguments in; exit code, stdout and stderr out, as one block of
//! text for snapshots, with what differs from run to run named instead of shown.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use insta::Settings;
use tempfile::TempDir;

/// A folder to work in, and the program started there.
pub struct Place {
    dir: TempDir,
    envs: Vec<(&'static str, String)>,
}

/// What a finished program left.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    here: String,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), envs: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and gives its name back.
    pub fn file<'a>(&self, name: &'a str, bytes: impl AsRef<[u8]>) -> &'a str {
        std::fs::write(self.path(name), bytes).unwrap();
        name
    }

    pub fn env(mut self, name: &'static str, value: &str) -> Self {
        self.envs.push((name, value.to_owned()));
        self
    }

    /// The program, to be started in this folder; nothing of the tester's environment is its own.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
        command.args(args.split_whitespace()).current_dir(self.dir.path()).stdin(Stdio::null());
        let of_launchers =
            ["SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "JOB_COMPLETION_INDEX"];
        let others = ["OPENAI_API_KEY", "RUST_LOG", "OTEL_SERVICE_NAME", "GITHUB_STEP_SUMMARY"];
        for name in others.into_iter().chain(of_launchers) {
            command.env_remove(name);
        }
        command.env("COLUMNS", "240").envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub fn tare(&self, args: &str) -> Said {
        self.said(self.command(args))
    }

    /// The same, after a shell's `limits`.
    pub fn tare_within(&self, limits: &str, args: &str) -> Said {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_tare")]);
        shell.args(args.split_whitespace()).current_dir(self.dir.path()).stdin(Stdio::null());
        self.said(shell)
    }

    fn said(&self, mut command: Command) -> Said {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said {
            code: status.code(),
            out: text(stdout),
            err: text(stderr),
            here: self.dir.path().display().to_string(),
        }
    }
}

impl Said {
    /// Everything, as one block.
    pub fn shown(&self) -> String {
        let code = self.code.map_or_else(|| "none (a signal)".to_owned(), |code| code.to_string());
        let text = format!("exit code: {code}\n----- stdout\n{}----- stderr\n{}", self.out, self.err);
        text.replace(&self.here, "HERE")
    }

    /// As [`shown`](Self::shown), of a report only what was wrong, and how many requests it is of.
    pub fn in_short(&self) -> String {
        let kept = ["warning:", "note:", "Total Requests", "Successful", "Failed", "In Flight", "run"];
        // On a busy machine reads come late and packets get lost, and clocks are corrected on any. A server that dies may for
        // a moment take connections and no more.
        let by_chance = [
            "first tokens have an interval",
            "the client was late",
            "started after their scheduled time",
            "TCP segments were lost",
            "the network lost or held up",
            "dropped by a full listen queue",
            "receive buffers were full",
            "the wall clock was stepped",
            "requests were sent a second time",
        ];
        let is_kept = |line: &&str| {
            kept.iter().any(|start| line.starts_with(start))
                && !by_chance.iter().any(|chance| line.contains(chance))
        };
        let lines: Vec<&str> = self.out.lines().filter(is_kept).collect();
        let short =
            Said { out: lines.join("\n") + "\n", err: self.err.clone(), here: self.here.clone(), ..*self };
        short.shown()
    }
}

/// While it lives, snapshots name ports and times instead of showing them.
#[must_use]
pub fn filters() -> impl Sized {
    let mut settings = Settings::clone_current();
    settings.add_filter(r"127\.0\.0\.1:\d{2,5}", "127.0.0.1:PORT");
    settings.add_filter(r"\b\d+(\.\d+)? (ns|µs|ms)\b", "TIME");
    settings.add_filter(r"\(os error \d+\)", "(os error N)");
    settings.add_filter(r"none of the \d+ lines", "none of the SOME lines");
    settings.bind_to_scope()
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// The look-alike as a server of its own, on a free port; ended when dropped.
pub struct LookAlike {
    child: Child,
    pub url: String,
}

impl LookAlike {
    /// Starts it, and waits until it says that it serves.
    pub fn start(args: &[&str]) -> Self {
        Self::start_at(0, args)
    }

    /// The same at this port; 0 is any free one.
    pub fn start_at(port: u16, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
        command.args(["serve", "--port", &port.to_string()]).args(args);
        if !args.contains(&"--decode-base-ms") {
            command.args(["--decode-base-ms", "2"]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find(|line| line.contains("Starting vLLM server on "));
        let url =
            said.and_then(|line| line.split_whitespace().last().map(str::to_owned)).expect("an address");
        lines.find(|line| line.contains("Application startup complete")).expect("to be told that it serves");
        // A full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }
}

impl Drop for LookAlike {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
