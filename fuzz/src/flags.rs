//! Command lines.

use std::ffi::OsString;

use clap::Parser as _;
use tare::cli::{Cli, Command};
use tare::config::{load, load_audit, normalise_args};

use super::says_something;

/// Any lines as the arguments of a command line: clap refuses them, or they make a configuration, or an error says
/// why not.
pub fn flags(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let given = ["tare", "run"].into_iter().chain(text.split('\n')).map(OsString::from);
    let Ok(cli) = Cli::try_parse_from(normalise_args(given)) else { return };
    let loaded = match &cli.command {
        // Another file than the arguments is not what is attacked.
        Command::Run(args) if args.config.is_none() => load(None, args),
        Command::Audit(args) if args.config.is_none() => load_audit(args),
        _ => return,
    };
    if let Err(error) = loaded {
        says_something(&error);
    }
}
