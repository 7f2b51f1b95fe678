//! vLLM's log, every version that is known: request lines, engine statistics, engine steps, what the
//! server says of itself, and uvicorn's lines in between. Python's and the Rust front end's. It must
//! not know how heads, colours and JSON are read, nor what is done with the events.

use nom::Parser;
use nom::bytes::complete::{tag, take_until};
use nom::character::complete::{u32 as decimal_u32, u64 as decimal_u64};
use nom::sequence::{delimited, preceded, terminated};

use crate::event::{Event, GeneratedPhase, Parsed};
use crate::line::{Read, decimal, expect, fail, token};
use crate::read::{Dialect, read};
use crate::{tracing_line, uvicorn, vllm_stats};

static VLLM: Dialect = Dialect {
    name: "vllm",
    // Everything in the server's process logs through it: uvicorn, plugins.
    writes_as: |_| true,
    message,
};

pub fn recognises(line: &str) -> bool {
    matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    read(&VLLM, line, scratch)
}

/// The first byte decides which few beginnings are worth trying; a message that has none of them
/// is some other line of vLLM's, or uvicorn's.
fn message(input: &str) -> Read<'_, Event<'_>> {
    let Some(first) = input.as_bytes().first() else {
        return Ok(("", Event::Other));
    };
    let known = match first {
        b'R' => requested(input),
        b'A' => added_or_aborted(input),
        b'G' => after("Generated response ", input).map(generated),
        b'F' => after("Finished request ", input).map(finished),
        b'E' => engine_or_error(input),
        b'I' => after("Iteration(", input)
            .map(|rest| iteration(None, rest))
            .or_else(|| after("Initializing ", input).map(|rest| Ok(("", initializing(rest))))),
        b'S' => after("Starting vLLM ", input).map(|rest| Ok(("", starting(rest)))),
        b'v' => after("vLLM ", input).map(version_line),
        b' ' => banner(input),
        b'0'..=b'9' => aggregated(input),
        _ => None,
    };
    match known {
        Some(event) => event,
        None if first.is_ascii_lowercase() && is_tracing(input) => tracing_line::message(input),
        None => uvicorn::message(input),
    }
}

fn after<'a>(prefix: &str, input: &'a str) -> Option<&'a str> {
    input.strip_prefix(prefix)
}

fn is_tracing(input: &str) -> bool {
    tracing_line::has_span(input)
        || input.starts_with("auto-aborting request ")
        || input.starts_with("http request ")
}

/// `Received request X: params: …` (before 0.11 `prompt: …`), `Request X aborted.`,
/// `Request X failed …`.
fn requested(input: &str) -> Option<Read<'_, Event<'_>>> {
    if let Some(rest) = after("Received request ", input) {
        return Some(received(rest));
    }
    let rest = after("Request ", input)?;
    let (id, said) = rest.split_once(' ')?;
    if let Some(reason) = said.strip_prefix("failed") {
        return Some(Ok(("", failed(id, reason))));
    }
    Some(match said {
        "aborted." => Ok(("", Event::Aborted { request_ids: id })),
        // A line that was cut may have become either.
        cut if "aborted.".starts_with(cut) || "failed".starts_with(cut) => fail("", "`aborted.` or `failed`"),
        // `Request X details:` and anything else about a request is not an event.
        _ => Ok(("", Event::Other)),
    })
}

fn received(input: &str) -> Read<'_, Event<'_>> {
    let (rest, word) = expect("a request id", token).parse(input)?;
    match word.strip_suffix(':') {
        Some(request_id) if !request_id.is_empty() => Ok(("", Event::Received { request_id })),
        _ => fail(rest, "`:` after the request id"),
    }
}

/// The reason is what stands after `failed`, without the brackets of `(engine dead).`.
fn failed<'a>(request_id: &'a str, rest: &'a str) -> Event<'a> {
    let said = rest.trim_ascii().trim_end_matches('.');
    let said = said.trim_start_matches(':').trim_ascii_start();
    let said = said.strip_prefix("due to ").unwrap_or(said);
    let bracketed = said
        .strip_prefix('(')
        .and_then(|said| said.strip_suffix(')'))
        .filter(|inner| !inner.contains(['(', ')']));
    let reason = match bracketed.unwrap_or(said) {
        "" => "failed",
        reason => reason,
    };
    Event::Failed { request_id: Some(request_id), reason }
}

/// `Added request X.`, `Aborted request X.` (to 0.10), `Aborted request(s) X,Y.`, and the
/// statistics of engines that do not say which one they are.
fn added_or_aborted(input: &str) -> Option<Read<'_, Event<'_>>> {
    if let Some(rest) = after("Added request ", input) {
        return Some(id_and_stop(rest).map(|(_, request_id)| ("", Event::Added { request_id })));
    }
    if let Some(rest) = after("Aborted request", input) {
        let ids = rest.strip_prefix("(s)").unwrap_or(rest);
        let ids = ids.strip_prefix(' ')?;
        return Some(id_and_stop(ids).map(|(_, request_ids)| ("", Event::Aborted { request_ids })));
    }
    vllm_stats::begins(input).then(|| vllm_stats::stats(None, input))
}

/// `Finished request X.`: vLLM before 0.7.
fn finished(input: &str) -> Read<'_, Event<'_>> {
    let (rest, request_id) = id_and_stop(input)?;
    let event = Event::Finished { request_id, input_tokens: None, output_tokens: None, finish_reason: None };
    Ok((rest, event))
}

/// An id, or several joined by commas, that the line's last full stop ends. Without it the line was
/// cut, and the id may have been cut too.
fn id_and_stop(input: &str) -> Read<'_, &str> {
    match input.strip_suffix('.') {
        Some(id) if !id.is_empty() => Ok(("", id)),
        _ => fail("", "`.` after the request id"),
    }
}

/// `X (streaming delta): output: '…', finish_reason: None`. The output is quoted but may hold
/// anything, so the reason is looked for from the end.
fn generated(input: &str) -> Read<'_, Event<'_>> {
    const REASON: &str = ", finish_reason: ";
    let (rest, word) = expect("a request id", token).parse(input)?;
    let (request_id, phase) = if let Some(id) = word.strip_suffix(':') {
        (id, GeneratedPhase::Whole)
    } else if rest.starts_with(" (streaming delta):") {
        (word, GeneratedPhase::Delta)
    } else if rest.starts_with(" (streaming complete):") {
        (word, GeneratedPhase::Complete)
    } else {
        return fail(rest, "`:`, ` (streaming delta):` or ` (streaming complete):`");
    };
    let reason = memchr::memmem::rfind(rest.as_bytes(), REASON.as_bytes())
        .and_then(|at| rest.get(at + REASON.len()..));
    match reason {
        Some(reason) if !reason.is_empty() => {
            // The end of a stream is logged with a placeholder, whatever ended it.
            let placeholder = matches!(reason, "None" | "streaming_complete");
            let event =
                Event::Generated { request_id, phase, finish_reason: (!placeholder).then_some(reason) };
            Ok(("", event))
        }
        _ => fail("", "`, finish_reason: ` and a reason"),
    }
}

/// `Engine 000: …` before statistics or a step, and `Error with model …`.
fn engine_or_error(input: &str) -> Option<Read<'_, Event<'_>>> {
    if let Some(rest) = after("Error with model ", input) {
        return Some(error_with_model(rest));
    }
    let (engine, said) = after("Engine ", input)?.split_once(": ")?;
    if let Some(rest) = after("Iteration(", said) {
        return Some(iteration(Some(engine), rest));
    }
    vllm_stats::begins(said).then(|| vllm_stats::stats(Some(engine), said))
}

/// `2 Engines Aggregated: Avg prompt throughput: …`
fn aggregated(input: &str) -> Option<Read<'_, Event<'_>>> {
    let (head, said) = input.split_once(": ")?;
    (head.ends_with(" Engines Aggregated") && vllm_stats::begins(said))
        .then(|| vllm_stats::stats(Some(head), said))
}

/// `error=ErrorInfo(message='…', type=…)`, before 0.10 `object='error' message='…' type=…`. Python
/// quotes a text that holds `'` with `"`.
fn error_with_model(input: &str) -> Read<'_, Event<'_>> {
    let (rest, _) = expect("`message=`", (take_until("message="), tag("message="))).parse(input)?;
    let Some(quote @ ('\'' | '"')) = rest.chars().next() else {
        return fail(rest, "a quoted message");
    };
    let quoted = rest.get(1..).unwrap_or_default();
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    match end.and_then(|end| quoted.get(..end)) {
        Some(reason) => {
            let event = Event::Failed { request_id: None, reason };
            Ok(("", event))
        }
        None => fail("", "the closing quote of the message"),
    }
}

/// `15): 2 context requests, 7986 context tokens, 14 generation requests, 14 generation tokens,
/// iteration elapsed time: 1115.64 ms`, and whatever follows.
fn iteration<'a>(engine: Option<&'a str>, input: &'a str) -> Read<'a, Event<'a>> {
    let (rest, number) =
        expect("the number of the iteration and `): `", terminated(decimal_u64, tag("): "))).parse(input)?;
    let (rest, context_requests) =
        counted(rest, " context requests, ", "a number and ` context requests, `")?;
    let (rest, context_tokens) = counted(rest, " context tokens, ", "a number and ` context tokens, `")?;
    let (rest, generation_requests) =
        counted(rest, " generation requests, ", "a number and ` generation requests, `")?;
    let (rest, generation_tokens) =
        counted(rest, " generation tokens, ", "a number and ` generation tokens, `")?;
    let (rest, elapsed_s) = expect(
        "`iteration elapsed time: ` and milliseconds",
        delimited(tag("iteration elapsed time: "), decimal::<3>, tag(" ms")),
    )
    .parse(rest)?;
    let event = Event::Iteration {
        engine,
        number,
        context_requests,
        context_tokens,
        generation_requests,
        generation_tokens,
        elapsed_s,
    };
    Ok((rest, event))
}

fn counted<'a>(input: &'a str, unit: &'static str, what: &'static str) -> Read<'a, u32> {
    expect(what, terminated(decimal_u32, tag(unit))).parse(input)
}

/// `a V1 LLM engine (v0.32.0) with config: …`
fn initializing(input: &str) -> Event<'_> {
    input
        .split_once("LLM engine (v")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map_or(Event::Other, |(version, _)| Event::Version { version })
}

/// `server on http://…`, `API server 0 on http://…`
fn starting(input: &str) -> Event<'_> {
    input
        .split_once(" on ")
        .map(|(_, url)| url.trim_ascii_end())
        .filter(|url| url.starts_with("http"))
        .map_or(Event::Other, |url| Event::Serving { url })
}

/// `server version 0.32.0, serving model …`, `API server version 0.7.1`
fn version_line(input: &str) -> Read<'_, Event<'_>> {
    match preceded((take_until("server version "), tag("server version ")), token).parse(input) {
        Ok((_, word)) => {
            let version = word.trim_end_matches(',');
            Ok(("", Event::Version { version }))
        }
        Err(_) => uvicorn::message(input),
    }
}

/// The start-up banner has its version beside a picture made of blocks.
fn banner(input: &str) -> Option<Read<'_, Event<'_>>> {
    let (picture, version) = input.split_once("  version ")?;
    picture.ends_with('█').then(|| Ok(("", Event::Version { version: version.trim_ascii() })))
}
