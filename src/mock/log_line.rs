//! One record of the log as bytes, in each of the shapes in which vLLM's log is met. What is a record
//! of uvicorn's keeps uvicorn's shape, where the logging of its time did. This file must not know when
//! a line is due, nor where it goes.

use std::fmt::Write as _;

use chrono::{DateTime, Local};

use crate::config::LogFormat;

/// What is said.
pub struct Record<'a> {
    /// As vLLM names its processes.
    pub process: &'a str,
    pub pid: u32,
    pub level: &'a str,
    pub at: DateTime<Local>,
    pub writer: Writer,
    /// `file.py:123`
    pub place: &'a str,
    pub message: &'a str,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Writer {
    Vllm,
    Uvicorn,
    Access,
}

/// The line, or lines, with their ends.
pub fn line(format: LogFormat, record: &Record) -> Vec<u8> {
    let text = match format {
        LogFormat::Default => plain(record, ""),
        LogFormat::V0_10 => coloured(record),
        LogFormat::Us => microseconds(record),
        LogFormat::Json => json(record),
    };
    text.into_bytes()
}

/// vLLM 0.31 and later: `(APIServer pid=1) INFO 11-24 15:11:29 [file.py:1] message`, and uvicorn's
/// lines bare.
fn plain(record: &Record, before_uvicorn: &str) -> String {
    let Record { process, pid, level, place, message, .. } = record;
    if record.writer != Writer::Vllm {
        let indent = " ".repeat(9_usize.saturating_sub(level.len()));
        return format!("{before_uvicorn}{level}:{indent}{message}\n");
    }
    let time = record.at.format("%m-%d %H:%M:%S");
    several(&format!("({process} pid={pid}) {level} {time} [{place}] "), message)
}

/// From 0.10.1 to 0.11: whatever a process writes has its name before it, in colour and also in files.
fn coloured(record: &Record) -> String {
    let Record { process, pid, level, place, message, .. } = record;
    let name = format!("\x1b[1;36m({process} pid={pid})\x1b[0;0m ");
    if record.writer != Writer::Vllm {
        return plain(record, &name);
    }
    let time = record.at.format("%m-%d %H:%M:%S");
    several(&format!("{name}{level} {time} [{place}] "), message)
}

/// A message of several lines carries the head on each of them.
fn several(head: &str, message: &str) -> String {
    let message = message.replace('\n', &format!("\r\n{head}"));
    format!("{head}{message}\n")
}

/// A logging configuration with `{created:.6f} {asctime} {levelname} {vllm_process_name}
/// pid={process} {name} [{filename}:{lineno}] {message}`, for vLLM and uvicorn alike.
fn microseconds(record: &Record) -> String {
    let Record { process, pid, level, at, message, .. } = record;
    let (created, micros) = (at.timestamp(), at.timestamp_subsec_micros());
    let time = at.format("%Y-%m-%dT%H:%M:%S");
    let (logger, place) = (logger(record), place(record));
    format!("{created}.{micros:06} {time} {level} {process} pid={pid} {logger} [{place}] {message}\n")
}

/// vLLM 0.32's JSON formatter.
fn json(record: &Record) -> String {
    let Record { process, pid, level, at, message, .. } = record;
    // Python's own name of the process; vLLM's comes last.
    let python = if *process == "APIServer" { "MainProcess" } else { process };
    let time = at.format("%Y-%m-%d %H:%M:%S,%3f");
    let mut text = format!("{{\"asctime\": \"{time}\", \"levelname\": \"{level}\", \"name\": ");
    quote(logger(record), &mut text);
    let _ = write!(text, ", \"processName\": \"{python}\", \"process\": {pid}, \"message\": ");
    quote(message, &mut text);
    let _ = write!(text, ", \"vllm_process_name\": \"{process}\"");
    if record.writer == Writer::Uvicorn && message.starts_with("Started server process") {
        text.push_str(", \"color_message\": \"Started server process [\\u001b[36m%d\\u001b[0m]\"");
    }
    text.push_str("}\n");
    text
}

/// A JSON string as `json.dumps` writes it: ASCII alone.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

fn place<'a>(record: &Record<'a>) -> &'a str {
    if record.writer == Writer::Access { "httptools_impl.py:482" } else { record.place }
}

/// The logger's name, by the file that logs; the first that fits.
fn logger(record: &Record) -> &'static str {
    match record.writer {
        Writer::Uvicorn => "uvicorn.error",
        Writer::Access => "uvicorn.access",
        Writer::Vllm => LOGGERS
            .iter()
            .find(|(place, _)| record.place.starts_with(place))
            .map_or("vllm.logger", |(_, logger)| *logger),
    }
}

const LOGGERS: &[(&str, &str)] = &[
    ("request_logger.py", "vllm.entrypoints.serve.utils.request_logger"),
    ("async_llm.py", "vllm.v1.engine.async_llm"),
    ("loggers.py", "vllm.v1.metrics.loggers"),
    ("serving.py", "vllm.entrypoints.openai.chat_completion.serving"),
    ("api_utils.py:347", "vllm.entrypoints.launchers.launcher"),
    ("api_utils.py", "vllm.entrypoints.serve.utils.api_utils"),
    ("launcher.py", "vllm.entrypoints.launchers.launcher"),
    ("entry.py", "vllm.entrypoints.launchers.api_server.entry"),
    ("model.py", "vllm.config.model"),
    ("scheduler.py", "vllm.config.scheduler"),
    ("core.py", "vllm.v1.engine.core"),
    ("coordinator.py", "vllm.v1.engine.coordinator"),
    ("kv_cache_utils.py", "vllm.v1.core.kv_cache_utils"),
    ("serve.py", "vllm.entrypoints.cli.serve"),
    ("utils.py:70", "vllm.tracing.utils"),
    ("utils.py:1245", "vllm.v1.engine.utils"),
    ("utils.py", "vllm.v1.utils"),
    ("__init__.py:203", "opentelemetry.sdk._shared_internal"),
    ("__init__.py:229", "opentelemetry.exporter.otlp.proto.http.trace_exporter"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::TimeZone;

    use super::*;

    fn said(format: LogFormat, writer: Writer, place: &str, message: &str) -> String {
        let at = Local.with_ymd_and_hms(2026, 11, 24, 15, 12, 41).unwrap()
            + chrono::Duration::nanoseconds(861_968_999);
        let record = Record { process: "APIServer", pid: 26151, level: "INFO", at, writer, place, message };
        String::from_utf8(line(format, &record)).unwrap()
    }

    #[test]
    fn each_format_is_the_captured_one() {
        let added =
            |format| said(format, Writer::Vllm, "async_llm.py:578", "Added request cmpl-1-0-8456e173.");
        assert_eq!(
            added(LogFormat::Default),
            "(APIServer pid=26151) INFO 11-24 15:12:41 [async_llm.py:578] Added request cmpl-1-0-8456e173.\n"
        );
        assert_eq!(
            added(LogFormat::V0_10),
            "\x1b[1;36m(APIServer pid=26151)\x1b[0;0m INFO 11-24 15:12:41 [async_llm.py:578] Added request \
             cmpl-1-0-8456e173.\n"
        );
        let us = added(LogFormat::Us);
        let (seconds, rest) = us.split_once('.').unwrap();
        assert!(seconds.len() == 10 && seconds.bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(
            rest,
            "861968 2026-11-24T15:12:41 INFO APIServer pid=26151 vllm.v1.engine.async_llm [async_llm.py:578] Added \
             request cmpl-1-0-8456e173.\n"
        );
        assert_eq!(
            added(LogFormat::Json),
            "{\"asctime\": \"2026-11-24 15:12:41,861\", \"levelname\": \"INFO\", \"name\": \
             \"vllm.v1.engine.async_llm\", \"processName\": \"MainProcess\", \"process\": 26151, \"message\": \"Added \
             request cmpl-1-0-8456e173.\", \"vllm_process_name\": \"APIServer\"}\n"
        );
    }

    #[test]
    fn uvicorns_lines_are_bare_coloured_or_like_all_others() {
        let access =
            |format| said(format, Writer::Access, "", "127.0.0.1:54686 - \"GET /health HTTP/1.1\" 200");
        assert_eq!(access(LogFormat::Default), "INFO:     127.0.0.1:54686 - \"GET /health HTTP/1.1\" 200\n");
        assert_eq!(
            access(LogFormat::V0_10),
            "\x1b[1;36m(APIServer pid=26151)\x1b[0;0m INFO:     127.0.0.1:54686 - \"GET /health HTTP/1.1\" 200\n"
        );
        assert!(access(LogFormat::Us).ends_with(
            ".861968 2026-11-24T15:12:41 INFO APIServer pid=26151 uvicorn.access [httptools_impl.py:482] \
             127.0.0.1:54686 - \"GET /health HTTP/1.1\" 200\n"
        ));
        assert!(access(LogFormat::Json).contains(
            "\"name\": \"uvicorn.access\", \"processName\": \"MainProcess\", \"process\": 26151, \"message\": \
             \"127.0.0.1:54686 - \\\"GET /health HTTP/1.1\\\" 200\", \"vllm_process_name\""
        ));
        let started =
            said(LogFormat::Json, Writer::Uvicorn, "server.py:103", "Started server process [26151]");
        assert!(
            started.ends_with("\"color_message\": \"Started server process [\\u001b[36m%d\\u001b[0m]\"}\n")
        );
    }

    #[test]
    fn a_message_of_several_lines_and_one_that_is_not_ascii() {
        let two = said(LogFormat::Default, Writer::Vllm, "a.py:1", "two\nlines");
        let lines: Vec<&str> = two.split_terminator('\n').collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("[a.py:1] two\r") && lines[1].ends_with("[a.py:1] lines"), "{two:?}");
        let quoted = said(LogFormat::Json, Writer::Vllm, "a.py:1", "\"é🙂\x7f\n");
        assert!(quoted.contains("\"message\": \"\\\"\\u00e9\\ud83d\\ude42\\u007f\\n\""), "{quoted}");
        let warning = Record {
            process: "x",
            pid: 1,
            level: "WARNING",
            at: Local::now(),
            writer: Writer::Uvicorn,
            place: "",
            message: "Invalid HTTP request received.",
        };
        assert_eq!(line(LogFormat::Default, &warning), b"WARNING:  Invalid HTTP request received.\n");
    }
}
