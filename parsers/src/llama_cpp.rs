//! llama.cpp's server log: the timing lines of each finished task, access lines of builds that write them,
//! what the server says of itself. Stamps, where they are on, count from the server's start, so no line has
//! an absolute time; tasks have numbers, and no line has the answer's id. It must not know what a reader
//! makes of them.

use crate::event::{Event, LogLine, Parsed, TimingOf};
use crate::hop_text::{self, Reading};

const NAME: &str = "llama_cpp";
/// How its lines begin, behind stamp and level.
const BEGINS: [&str; 20] = [
    "slot ",
    "srv ",
    "cmn ",
    "que ",
    "main: ",
    "init: ",
    "llama_",
    "ggml_",
    "gguf_",
    "load",
    "print_info: ",
    "sched_",
    "set_",
    "common_",
    "graph_",
    "build: ",
    "build_info: ",
    "system_info: ",
    "system info: ",
    "res ",
];

pub fn recognises(line: &str) -> bool {
    matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, message)
}

/// `0.15.606.252 I slot print_timing: id  3 | task 2 | prompt eval time = …`: stamp and level may be off.
fn message(text: &str) -> Reading<'_, LogLine<'_>> {
    let (stamped, rest) = without_stamp(text);
    let (level, rest) = level(rest);
    let line = |event| LogLine { process: None, pid: None, level, time: None, event };
    // Builds before 2025 wrote the three times of a task as lines of one message.
    if let Some(timing) = timing(None, rest.trim_ascii_start())? {
        return Ok(line(timing));
    }
    let known = BEGINS.iter().any(|begin| rest.starts_with(begin)) || (stamped && level.is_some());
    if !known {
        return Err((text, "a line of llama.cpp's server, such as `slot print_timing: …`"));
    }
    if let Some((task, said)) = of_a_task(rest)
        && let Some(timing) = timing(Some(task), said)?
    {
        return Ok(line(timing));
    }
    Ok(line(told(rest)))
}

/// Whether there was a stamp (minutes, seconds, milliseconds, microseconds), and what follows it.
fn without_stamp(text: &str) -> (bool, &str) {
    let Some((stamp, rest)) = text.split_once(' ') else { return (false, text) };
    let parts = || stamp.split('.');
    let widths = parts().skip(1).map(str::len).eq([2, 3, 3]);
    let digits = parts().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if widths && digits { (true, rest) } else { (false, text) }
}

fn level(text: &str) -> (Option<&str>, &str) {
    match text.split_once(' ') {
        Some((level @ ("I" | "W" | "E" | "D"), rest)) => (Some(level), rest),
        _ => (None, text),
    }
}

/// `slot print_timing: id  3 | task 2 | said`
fn of_a_task(text: &str) -> Option<(u64, &str)> {
    let rest = text.strip_prefix("slot ")?;
    let (_, rest) = rest.split_once("| task ")?;
    let (task, said) = rest.split_once(" |")?;
    Some((task.parse().ok()?, said.trim_ascii_start()))
}

/// `prompt eval time =       1.60 ms /    16 tokens (…)`
fn timing(task: Option<u64>, said: &str) -> Reading<'_, Option<Event<'_>>> {
    const WHAT: &str = "milliseconds, ` ms / ` and a number of tokens";
    let parts = [
        ("prompt eval time", TimingOf::Prefill),
        ("eval time", TimingOf::Decode),
        ("total time", TimingOf::Total),
    ];
    let found = parts.iter().find_map(|(words, of)| {
        let rest = said.strip_prefix(words)?.trim_ascii_start();
        Some((rest.strip_prefix('=')?.trim_ascii_start(), *of))
    });
    let Some((rest, of)) = found else { return Ok(None) };
    let (ms, rest) = rest.split_once(" ms / ").ok_or((rest, WHAT))?;
    let elapsed_s = hop_text::ns::<{ hop_text::MILLISECONDS }>(ms.trim_ascii()).ok_or((ms, WHAT))?;
    let tokens = rest.trim_ascii_start().split(' ').next().unwrap_or_default();
    let tokens = tokens.parse().map_err(|_| (rest, WHAT))?;
    Ok(Some(Event::Timing { task, of, elapsed_s: hop_text::seconds(elapsed_s), tokens }))
}

/// What a line without timing says.
fn told(text: &str) -> Event<'_> {
    let said = text.split_once(": ").map_or("", |(_, said)| said);
    if let Some((_, url)) = said.split_once("listening on http") {
        let at = said.len() - url.len() - "http".len();
        let url = said.get(at..).unwrap_or_default().split([' ', '\n']).next().unwrap_or_default();
        return Event::Serving { url };
    }
    if let Some(version) = said.strip_prefix("build_info: ") {
        return Event::Version { version };
    }
    if let Some((_, reason)) = text.split_once(", error: ").filter(|_| text.contains("send_error:")) {
        return Event::Failed { request_id: None, reason };
    }
    access(said).unwrap_or(Event::Other)
}

/// `request: POST /v1/chat/completions 127.0.0.1 200`; `done request: …` in newer builds.
fn access(said: &str) -> Option<Event<'_>> {
    let said = said.strip_prefix("done ").unwrap_or(said).strip_prefix("request: ")?;
    let mut words = said.split(' ');
    let (method, path, client, status) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let status = status.parse().ok().filter(|status| (100..1000).contains(status))?;
    Some(Event::Access { client, port: None, method, path: hop_text::path(path)?, status })
}
