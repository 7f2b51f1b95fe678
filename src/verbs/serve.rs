//! `tare serve`: the embedded vLLM look-alike alone, until it is stopped. Reads nothing; writes its
//! log to stdout and, when asked, its truth to a file. This file must not know how it answers.

use anyhow::Result;

use crate::mock::{self, ServeOptions};

/// Serves as the options say; returns when stopped by SIGTERM, SIGINT or the end of the parent.
pub fn run(options: ServeOptions) -> Result<()> {
    mock::run(options)
}
