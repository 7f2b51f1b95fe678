//! What stands before the message of a plain-text log line: stamps, process, level, source file, in
//! the shapes that vLLM, uvicorn and the container run-times around them write. It must not know
//! what messages say.

use std::borrow::Cow;

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1, take_while1};
use nom::character::complete::u32 as decimal_u32;
use nom::combinator::opt;
use nom::sequence::{delimited, separated_pair, terminated};

use crate::line::{Expected, Read, byte, expect, fail};
use crate::time::{LogTime, iso, month_day_time, unix_seconds};
use crate::wrapped::{RunTimeLine, run_time_line};

/// Everything a line says before its message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head<'a> {
    pub(crate) process: Option<&'a str>,
    pub(crate) pid: Option<u32>,
    pub(crate) level: Option<&'a str>,
    pub(crate) time: Option<LogTime>,
    /// The logger's name where the line gives it, else who writes heads of this shape.
    pub(crate) logger: Option<&'a str>,
}

/// Any of the heads, so that one parser reads a log whose writers differ:
/// `(APIServer pid=1) INFO 11-24 15:08:56 [loggers.py:127] ` (vLLM),
/// `INFO 07-15 12:00:00 async_llm_engine.py:174] ` (vLLM before 0.7),
/// `1795533127.216578 2026-11-24T15:12:07 INFO APIServer pid=26151 logger [file:line] ` (logging
/// configurations of one's own, with or without each part) and `INFO:     ` (uvicorn); before each
/// of them what a container run-time puts there: `2026-11-24T15:08:56.123456789Z stdout F `. vLLM 0.10 to 0.30
/// writes its brackets before whatever a configuration of one's own makes.
pub(crate) fn plain(input: &str) -> Read<'_, Head<'_>> {
    let (rest, Outer { stamp, process: bracketed, is_there }) = outer(input)?;
    let (rest, own) = if is_there { stamps(rest)? } else { (rest, None) };
    let stamp = LogTime::better(stamp, own);
    let (rest, level) = match level(rest) {
        // Nothing of a head was there at all.
        Err(_) if rest.len() == input.len() => return fail(input, "the head of a log line"),
        level => level?,
    };
    let (rest, tail) = if rest.starts_with(':') {
        (after_uvicorn_level(rest)?.0, Tail::of("uvicorn"))
    } else {
        let (rest, ()) = byte(b' ', "a blank after the level").parse(rest)?;
        match (stamp, own_tail(rest)) {
            // A stamp before the level means that the rest is free to be anything.
            (Some(_), Err(_)) => configured_tail(rest)?,
            (_, own) => own?,
        }
    };
    let (process, pid) = bracketed.or(tail.process).unzip();
    let head = Head { process, pid, level: Some(level), time: stamp.or(tail.time), logger: tail.logger };
    Ok((rest, head))
}

#[derive(Default)]
struct Tail<'a> {
    process: Option<(&'a str, u32)>,
    time: Option<LogTime>,
    logger: Option<&'a str>,
}

impl Tail<'_> {
    fn of(logger: &'static str) -> Self {
        Self { logger: Some(logger), ..Self::default() }
    }
}

/// What others put before a line that a program made: a container run-time's stamp, vLLM's brackets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outer<'a> {
    pub(crate) stamp: Option<LogTime>,
    pub(crate) process: Option<(&'a str, u32)>,
    /// More than a stamp, which may be its program's: what follows may begin with stamps of its own.
    is_there: bool,
}

pub(crate) fn outer(input: &str) -> Read<'_, Outer<'_>> {
    let (rest, stamp, is_framed) = match run_time_line(input) {
        Some(RunTimeLine { time, message: Cow::Borrowed(message), .. }) => (message, time, true),
        _ => stamps(input).map(|(rest, stamp)| (rest, stamp, false))?,
    };
    let (rest, process) = opt(process_in_brackets).parse(rest)?;
    Ok((rest, Outer { stamp, process, is_there: is_framed || process.is_some() }))
}

/// Up to two stamps before anything else; an absolute one is worth more than a civil one.
fn stamps(input: &str) -> Read<'_, Option<LogTime>> {
    let mut rest = input;
    let mut best = None;
    for _ in 0..2 {
        if !rest.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            break;
        }
        let (after, time) = alt((unix_seconds, iso)).parse(rest)?;
        let (after, ()) = byte(b' ', "a blank after the time").parse(after)?;
        rest = after;
        if !matches!(best, Some(LogTime::Unix { .. })) {
            best = Some(time);
        }
    }
    Ok((rest, best))
}

/// `(APIServer pid=23999) `
fn process_in_brackets(input: &str) -> Read<'_, (&str, u32)> {
    delimited(byte(b'(', "`(`"), process_and_pid, tag(") ")).parse(input)
}

/// `APIServer pid=23999`
fn process_and_pid(input: &str) -> Read<'_, (&str, u32)> {
    separated_pair(take_till1(|c| c == ' ' || c == '('), tag(" pid="), decimal_u32).parse(input)
}

fn level(input: &str) -> Read<'_, &str> {
    const LEVELS: [&str; 7] = ["INFO", "WARNING", "ERROR", "DEBUG", "CRITICAL", "WARN", "TRACE"];
    match take_while1::<_, _, Expected<'_>>(|c: char| c.is_ascii_uppercase()).parse(input) {
        Ok((rest, word)) if LEVELS.contains(&word) => Ok((rest, word)),
        _ => fail(input, "a log level"),
    }
}

/// uvicorn pads `INFO:` with blanks; Python's own `WARNING:root:` has none, and is not uvicorn's.
fn after_uvicorn_level(input: &str) -> Read<'_, ()> {
    let (rest, _) = expect("`: ` after the level", tag(": ")).parse(input)?;
    Ok((rest.trim_start_matches(' '), ()))
}

/// `11-24 15:08:56 [loggers.py:127] `
fn own_tail(input: &str) -> Read<'_, Tail<'_>> {
    let (rest, time) = terminated(month_day_time, byte(b' ', "a blank and the source file")).parse(input)?;
    let (rest, ()) = source_file(rest)?;
    let tail = Tail { time: Some(time), ..Tail::of("vllm") };
    Ok((rest, tail))
}

/// `APIServer pid=26151 vllm.v1.engine.core [core.py:133] `, any part of it absent.
fn configured_tail(input: &str) -> Read<'_, Tail<'_>> {
    let (rest, process) = opt(terminated(process_and_pid, byte(b' ', "a blank"))).parse(input)?;
    let (rest, logger) = opt(logger_and_source_file).parse(rest)?;
    let tail = Tail { process, time: None, logger: logger.flatten() };
    Ok((rest, tail))
}

/// Without the source file, the logger could not be told from the message.
fn logger_and_source_file(input: &str) -> Read<'_, Option<&str>> {
    if input.starts_with('[') {
        return source_file(input).map(|(rest, ())| (rest, None));
    }
    let (rest, logger) = terminated(take_till1(|c| c == ' '), byte(b' ', "a blank")).parse(input)?;
    if !rest.starts_with('[') {
        return fail(rest, "`[`");
    }
    source_file(rest).map(|(rest, ())| (rest, Some(logger)))
}

/// `[loggers.py:127] ` or, before 0.7, `metrics.py:341] `; a message may be empty, so the blank may
/// be missing.
fn source_file(input: &str) -> Read<'_, ()> {
    let end = memchr::memchr2(b']', b' ', input.as_bytes());
    match end {
        Some(at) if at > 0 && input.as_bytes().get(at) == Some(&b']') => {
            let rest = input.get(at + 1..).unwrap_or_default();
            Ok((rest.strip_prefix(' ').unwrap_or(rest), ()))
        }
        _ => fail(input, "`[file:line]`"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn each_shape_of_head_leaves_the_message() {
        for (line, process, level) in [
            ("(APIServer pid=1) INFO 11-24 15:08:56 [loggers.py:127] message", Some("APIServer"), "INFO"),
            ("WARNING 07-15 12:00:00 async_llm_engine.py:174] message", None, "WARNING"),
            ("DEBUG 07-15 12:00:00 [entrypoints/.../utils/request_logger.py:65] message", None, "DEBUG"),
            (
                "1795533127.216578 2026-11-24T15:12:07 INFO APIServer pid=26151 vllm.config [m.py:1] message",
                Some("APIServer"),
                "INFO",
            ),
            ("2026-11-24 15:12:07,216 ERROR message", None, "ERROR"),
            // vLLM 0.24 with a configuration of one's own.
            (
                "(APIServer pid=597) 1795815756.941223 2026-11-27T21:42:36 INFO MainProcess pid=597 uvicorn.access [h.py:482] message",
                Some("APIServer"),
                "INFO",
            ),
            (
                "2026-11-24T15:12:07.216578123Z stdout F (EngineCore_DP1 pid=9) INFO 11-24 15:12:07 [core.py:1] message",
                Some("EngineCore_DP1"),
                "INFO",
            ),
            ("(APIServer pid=1) INFO:     message", Some("APIServer"), "INFO"),
            ("CRITICAL: message", None, "CRITICAL"),
        ] {
            let (rest, head) = plain(line).unwrap();
            assert_eq!(rest, "message", "{line}");
            assert_eq!((head.process, head.level), (process, Some(level)), "{line}");
        }
    }

    #[test]
    fn an_absolute_stamp_wins_over_a_civil_one() {
        for line in [
            "1795533127.216578 2026-11-24T15:12:07 INFO x",
            "2026-11-24T15:12:07 1795533127.216578 INFO x",
            "2026-11-24T15:12:07.216578Z INFO 11-24 15:12:07 [a.py:1] x",
            "(APIServer pid=5) 1795533127.216578 2026-11-24T15:12:07 INFO x",
            "2026-11-24T15:12:08Z stdout F (APIServer pid=5) 1795533127.216578 2026-11-24T15:12:07 INFO x",
            "2026-11-24T15:12:08Z stdout F 1795533127.216578 2026-11-24T15:12:07 INFO x",
        ] {
            let (_, head) = plain(line).unwrap();
            assert_eq!(
                head.time,
                Some(LogTime::Unix { unix_ns: 1_795_533_127_216_578_000, resolution_ns: 1000 }),
                "{line}"
            );
        }
    }

    #[test]
    fn foreign_heads_are_refused() {
        for line in [
            "WARNING:root:message",
            "Triton is installed, but doesn't include CPU backend.",
            "[W1124 15:11:14.813109132 utils.cpp:68] Warning: NUMA binding",
            "(APIServer pid=1) Traceback (most recent call last):",
            "INFO 11-24 15:08:56 no source file",
            "(APIServer pid=99999999999) INFO 11-24 15:08:56 [a.py:1] x",
        ] {
            assert!(plain(line).is_err(), "{line}");
        }
    }
}
