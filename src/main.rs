//! The program: parses, runs, prints what went wrong with its hints, exits. Nothing else.

use std::process::ExitCode;

use tare::cli::{Cli, Command};
use tare::error::{self, Exit};
use tare::{config, verbs};

fn main() -> ExitCode {
    let cli = Cli::read(config::normalise_args(std::env::args_os()));
    verbs::start_log(cli.verbose);
    let done = match &cli.command {
        Command::Run(args) => verbs::run::run(args, cli.quiet),
        Command::Report(args) => verbs::report::report(args, cli.quiet),
        Command::Correlate(args) => verbs::correlate::correlate(args, cli.quiet),
        Command::Compare(args) => verbs::compare::compare(args, cli.quiet),
        Command::Audit(args) => verbs::audit::audit(args, cli.quiet),
        Command::Explain(args) => verbs::explain::explain(args),
        Command::Doctor(args) => verbs::doctor::doctor(args),
        Command::Calibrate(args) => verbs::calibrate::calibrate(args, cli.quiet),
        Command::Prepare(args) => verbs::prepare::prepare(args, cli.quiet),
        Command::Tap(args) => verbs::tap::tap(args, cli.quiet),
        Command::Serve(args) => verbs::serve::serve(args),
        Command::Bench(args) => verbs::bench::bench(args, cli.quiet),
        Command::Completions(args) => verbs::completions::completions(*args),
        Command::Man(args) => verbs::man::man(args),
    };
    let exit: Exit = done.unwrap_or_else(|error| {
        // A closed terminal changes nothing about what happened.
        let _ = error::print(&mut std::io::stderr(), &error);
        error::exit(&error)
    });
    exit.into()
}
