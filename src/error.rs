//! Errors as people meet them: what went wrong, what caused it, what to do about it, and the exit
//! code that scripts see. Everything prints through [`print`]. This file must not know what the
//! program was doing.
//!
//! Any error ends the program with [`Exit::Broken`]; a [`Failure`] somewhere in its chain can say
//! another code and carries hints: `usage("no such dataset").hint("download it first")`, or, on any `Result`,
//! `read(path).or_usage("cannot read it").hint("check the path")`.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use crate::secrets::without_credentials;

/// What the exit code says; a documented contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// The run finished; failed requests are results, not errors.
    Finished = 0,
    /// The run finished, and a gate that was asked for was missed.
    GateMissed = 1,
    /// The command line or the configuration is wrong; nothing was sent.
    Usage = 2,
    /// Nothing succeeded, or the run broke.
    Broken = 3,
    /// Stopped by the user; what was measured is kept.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Prints an error for people: `error:`, then `caused by:` down the chain, then each `hint:`.
pub fn print(out: &mut dyn Write, error: &anyhow::Error) -> io::Result<()> {
    let out = &mut crate::plain::Terminal(out);
    let failures = failures(error);
    print_one(out, error.as_ref(), &failures)?;
    for other in failures.iter().flat_map(|failure| &failure.also) {
        print_one(out, other, &[other])?;
    }
    Ok(())
}

/// The exit code of an error: the outermost one that its chain states, else [`Exit::Broken`].
pub fn exit(error: &anyhow::Error) -> Exit {
    failures(error).iter().find_map(|failure| failure.exit).unwrap_or(Exit::Broken)
}

/// The user asked for something that cannot be: [`Exit::Usage`].
pub fn usage(message: impl Display) -> Failure {
    Failure::new(Some(Exit::Usage), What::Message(message.to_string(), None))
}

/// What was asked for went wrong: [`Exit::Broken`].
pub fn broken(message: impl Display) -> Failure {
    Failure::new(Some(Exit::Broken), What::Message(message.to_string(), None))
}

/// The user stopped it: [`Exit::Interrupted`].
pub fn interrupted(message: impl Display) -> Failure {
    Failure::new(Some(Exit::Interrupted), What::Message(message.to_string(), None))
}

/// An error with hints and, if it knows better than the default, an exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Option<Exit>,
    what: What,
    hints: Vec<String>,
    also: Vec<Failure>,
}

#[derive(Debug)]
enum What {
    Message(String, Option<anyhow::Error>),
    /// Another error as it is, given hints.
    Other(anyhow::Error),
}

impl Failure {
    fn new(exit: Option<Exit>, what: What) -> Self {
        Self { exit, what, hints: Vec::new(), also: Vec::new() }
    }

    /// Says what to do about it. Can be called again for another way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Names the error behind it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<anyhow::Error>) -> Self {
        if let What::Message(_, source) = &mut self.what {
            *source = Some(cause.into());
        }
        self
    }

    /// Says where, in front of the message.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        if let What::Message(message, _) = &mut self.what {
            message.insert_str(0, prefix);
        }
        self
    }

    /// Several failures found at once as one error; `None` when there are none.
    pub fn all(failures: Vec<Failure>) -> Option<Failure> {
        let mut failures = failures.into_iter();
        let mut first = failures.next()?;
        first.also.extend(failures);
        Some(first)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Message(message, _) => f.write_str(message),
            What::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            What::Message(_, cause) => cause.as_ref().map(|cause| cause.as_ref() as _),
            What::Other(error) => error.source(),
        }
    }
}

/// Explains the error of any `Result` where it is met.
pub trait Explain<T> {
    /// The user can mend it: a message in front, [`Exit::Usage`].
    fn or_usage(self, message: impl Display) -> anyhow::Result<T>;
    /// The run cannot go on: a message in front, [`Exit::Broken`].
    fn or_broken(self, message: impl Display) -> anyhow::Result<T>;
    /// Says what to do about it; message and exit code stay as they are.
    fn hint(self, hint: impl Display) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Explain<T> for Result<T, E> {
    fn or_usage(self, message: impl Display) -> anyhow::Result<T> {
        self.map_err(|error| usage(message).caused_by(error).into())
    }

    fn or_broken(self, message: impl Display) -> anyhow::Result<T> {
        self.map_err(|error| broken(message).caused_by(error).into())
    }

    fn hint(self, hint: impl Display) -> anyhow::Result<T> {
        self.map_err(|error| {
            let mut error: anyhow::Error = error.into();
            if let Some(failure) = error.downcast_mut::<Failure>() {
                failure.hints.push(hint.to_string());
                return error;
            }
            Failure::new(None, What::Other(error)).hint(hint).into()
        })
    }
}

/// Every [`Failure`] of the chain, outermost first.
fn failures(error: &anyhow::Error) -> Vec<&Failure> {
    let mut found: Vec<&Failure> = error.chain().filter_map(|link| link.downcast_ref()).collect();
    // One given as `anyhow` context hides inside anyhow's own link of the chain.
    if let Some(context) = error.downcast_ref::<Failure>()
        && !found.iter().any(|&failure| std::ptr::eq(failure, context))
    {
        found.insert(0, context);
    }
    found
}

fn print_one(
    out: &mut dyn Write,
    error: &(dyn std::error::Error + 'static),
    failures: &[&Failure],
) -> io::Result<()> {
    let mut said = error.to_string();
    // What is quoted of a configuration, a URL, an answer may hold somebody's key.
    writeln!(out, "error: {}", without_credentials(&said))?;
    let mut link = error.source();
    while let Some(cause) = link {
        // Some libraries print their cause inside their own message; once is enough.
        let text = cause.to_string();
        if !said.ends_with(&text) {
            writeln!(out, "caused by: {}", without_credentials(&text))?;
        }
        said = text;
        link = cause.source();
    }
    for hint in failures.iter().flat_map(|failure| &failure.hints) {
        writeln!(out, "hint: {}", without_credentials(hint))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn shown(error: &anyhow::Error) -> String {
        let mut out = Vec::new();
        print(&mut out, error).unwrap();
        format!("exit {}\n{}", exit(error) as u8, String::from_utf8(out).unwrap())
    }

    fn missing() -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::NotFound, "No such file or directory"))
    }

    #[test]
    fn the_chain_is_printed_down_to_the_cause_and_then_what_to_do() {
        let error = missing()
            .or_usage("cannot read `a.yaml`")
            .hint("paths are relative to the current directory")
            .context("cannot start")
            .hint("see --help")
            .unwrap_err();
        insta::assert_snapshot!(shown(&error), @r"
        exit 2
        error: cannot start
        caused by: cannot read `a.yaml`
        caused by: No such file or directory
        hint: paths are relative to the current directory
        hint: see --help
        ");
    }

    #[test]
    fn a_hint_changes_neither_message_nor_exit_code() {
        let error = missing().hint("start the server first").unwrap_err();
        insta::assert_snapshot!(shown(&error), @r"
        exit 3
        error: No such file or directory
        hint: start the server first
        ");
    }

    #[test]
    fn several_failures_are_all_printed() {
        let all = vec![
            usage("one").hint("first way"),
            usage("two").caused_by(missing().unwrap_err()),
            usage("three"),
        ];
        insta::assert_snapshot!(shown(&Failure::all(all).unwrap().into()), @r"
        exit 2
        error: one
        hint: first way
        error: two
        caused by: No such file or directory
        error: three
        ");
        assert!(Failure::all(Vec::new()).is_none());
    }

    #[test]
    fn a_failure_given_as_context_still_counts_once() {
        let error = missing().context(usage("cannot read it").hint("look")).unwrap_err();
        insta::assert_snapshot!(shown(&error), @r"
        exit 2
        error: cannot read it
        caused by: No such file or directory
        hint: look
        ");
    }

    #[test]
    fn a_cause_repeated_by_its_parent_is_printed_once() {
        let error = missing()
            .map_err(|error| anyhow::anyhow!("sending: {error}").context("the run broke"))
            .unwrap_err();
        let repeated = Err::<(), _>(error).or_broken("the run broke").unwrap_err();
        insta::assert_snapshot!(shown(&repeated), @r"
        exit 3
        error: the run broke
        caused by: sending: No such file or directory
        ");
    }
}
