//! `tare completions SHELL`: a script for the shell on stdout, nothing else.

use crate::cli::CompletionsArgs;
use crate::error::Exit;

/// Runs the verb.
pub fn completions(args: CompletionsArgs) -> anyhow::Result<Exit> {
    super::unless_closed(args.write(&mut crate::plain::stdout()))?;
    Ok(Exit::Finished)
}
