//! One file per verb: what it reads, what it calls, what it writes. The work is done elsewhere.

pub mod audit;
pub mod bench;
pub mod calibrate;
pub mod compare;
pub mod completions;
pub mod correlate;
pub mod doctor;
pub mod explain;
mod gates;
pub mod man;
pub mod prepare;
mod ranks;
pub mod report;
mod results;
pub mod run;
pub mod serve;
pub mod tap;

use std::io::{self, Write};

use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::error::{self, Exit};
use crate::run::Options;

/// The program's own log, on stderr: warnings, more with `-v`, anything with `RUST_LOG`.
pub fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "tare=info",
        _ => "tare=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Printing to a reader that has seen enough (`tare report … | head`) is no error.
fn unless_closed(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// What else went wrong is said, each for itself; `exit` is how it ends where nothing did.
fn unless_broken(
    errors: impl Iterator<Item = anyhow::Error>,
    exit: anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let mut broken = None;
    for error in errors {
        let _ = error::print(&mut io::stderr(), &error);
        broken.get_or_insert(error::exit(&error));
    }
    Ok(match (exit?, broken) {
        (Exit::Finished | Exit::GateMissed, Some(broken)) => broken,
        (exit, _) => exit,
    })
}

/// What a run needs of the program.
fn options(quiet: bool) -> anyhow::Result<Options> {
    Ok(Options {
        exe: std::env::current_exe()?,
        quiet,
        interrupt: interrupt("stopping: the report follows (again to end at once)")?,
        truth: None,
        ranks: None,
    })
}

/// The first Ctrl-C (or SIGTERM) stops what is done, which is `said`; what was measured is reported. The second ends the
/// program at once; what was written stays.
fn interrupt(said: &'static str) -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancel = token.clone();
    // Signals are listened for before this returns: what is said to be ready can be stopped.
    let (listening, listens) = std::sync::mpsc::channel::<()>();
    std::thread::Builder::new().name("tare-signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut int), Ok(mut term)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            drop(listening);
            let mut count = 0;
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                count += 1;
                if count > 1 {
                    std::process::exit(Exit::Interrupted as i32);
                }
                let _ = writeln!(std::io::stderr(), "{said}");
                cancel.cancel();
            }
        });
    })?;
    let _ = listens.recv();
    Ok(token)
}
