//! One file per verb: what it reads, what it calls, what it writes. The work is done elsewhere.

pub mod report;
pub mod run;
pub mod serve;

use std::io;

use tracing_subscriber::EnvFilter;

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
