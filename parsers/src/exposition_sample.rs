//! One sample line of a Prometheus or OpenMetrics page. It must not know the rest of the page, but
//! for the unit of its timestamps.

use std::borrow::Cow;

use nom::Parser;

use crate::exposition::Sample;
use crate::line::{Read, Wanted, byte, fail};

/// `name{label="value",…} value [timestamp] [# {label="value",…} value [timestamp]]`
pub(crate) fn sample(line: &str, timestamps_in_seconds: bool) -> Read<'_, Sample<'_>> {
    let (rest, bare_name) = match metric_name(line) {
        Ok((rest, name)) => (rest, Some(name)),
        Err(_) if line.starts_with('{') => (line, None),
        Err(error) => return Err(error),
    };
    let rest = blanks(rest);
    let (rest, labels) =
        if rest.starts_with('{') { labels(rest, bare_name.is_none())? } else { (rest, Labels::default()) };
    let Some(name) = bare_name.or(labels.quoted_name) else {
        return fail(line, "a metric name");
    };
    let (rest, value) = number(blanks(rest), "a value")?;
    let (rest, timestamp_ms) = timestamp(blanks(rest), timestamps_in_seconds)?;
    let rest = exemplar(blanks(rest))?;
    if !rest.is_empty() {
        return fail(rest, "the end of the line");
    }
    let sample = Sample { name, labels: labels.pairs, value, timestamp_ms };
    Ok((rest, sample))
}

#[derive(Default)]
struct Labels<'a> {
    pairs: Vec<(&'a str, Cow<'a, str>)>,
    /// `{"a name that needs quotes", label="value"}`: how Prometheus 3 writes such names.
    quoted_name: Option<&'a str>,
}

/// From `{` to `}`, a comma after the last label allowed.
fn labels(input: &str, may_hold_name: bool) -> Read<'_, Labels<'_>> {
    let mut labels = Labels::default();
    let (mut rest, ()) = byte(b'{', "`{`").parse(input)?;
    loop {
        rest = blanks(rest);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((after, labels));
        }
        let (after, name) = if rest.starts_with('"') {
            let (after, name) = quoted(rest)?;
            if may_hold_name && labels.quoted_name.is_none() && !blanks(after).starts_with('=') {
                labels.quoted_name = Some(name);
                rest = separator(after)?;
                continue;
            }
            (after, name)
        } else {
            label_name(rest)?
        };
        let (after, ()) = byte(b'=', "`=` after a label name").parse(blanks(after))?;
        let (after, raw) = quoted(blanks(after))?;
        if labels.pairs.capacity() == 0 {
            // vLLM's samples have two or three: one allocation, and a small one.
            labels.pairs.reserve_exact(3);
        }
        labels.pairs.push((name, unescape(raw)));
        rest = separator(after)?;
    }
}

/// What may follow a label: a comma, or the end, which is left for the caller.
fn separator(input: &str) -> Wanted<'_, &str> {
    let rest = blanks(input);
    match rest.as_bytes().first() {
        Some(b',') => Ok(rest.get(1..).unwrap_or_default()),
        Some(b'}') => Ok(rest),
        _ => fail(rest, "`,` or `}` after a label"),
    }
}

/// A string in double quotes, without them and still escaped.
fn quoted(input: &str) -> Read<'_, &str> {
    let (content, ()) = byte(b'"', "`\"`").parse(input)?;
    let bytes = content.as_bytes();
    let mut at = 0;
    loop {
        match bytes.get(at) {
            Some(b'"') => {
                return Ok((
                    content.get(at + 1..).unwrap_or_default(),
                    content.get(..at).unwrap_or_default(),
                ));
            }
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return fail("", "the closing quote of a label value"),
        }
    }
}

/// `\\`, `\"` and `\n`. Any other backslash is kept: some exporters forget to escape it.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => value.push('\n'),
            Some(escaped @ ('\\' | '"')) => value.push(escaped),
            Some(other) => value.extend(['\\', other]),
            None => value.push('\\'),
        }
    }
    Cow::Owned(value)
}

fn metric_name(input: &str) -> Read<'_, &str> {
    name(input, true, "a metric name")
}

fn label_name(input: &str) -> Read<'_, &str> {
    name(input, false, "a label name")
}

/// In a `# TYPE` line a name may be in quotes.
pub(crate) fn type_name(input: &str) -> Read<'_, &str> {
    if input.starts_with('"') { quoted(input) } else { metric_name(input) }
}

fn name<'a>(input: &'a str, colons: bool, what: &'static str) -> Read<'a, &'a str> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || (colons && *byte == b':');
    let bytes = input.as_bytes();
    let length = bytes.iter().position(|byte| !fits(byte)).unwrap_or(bytes.len());
    if length == 0 || bytes.first().is_some_and(u8::is_ascii_digit) {
        return fail(input, what);
    }
    Ok((input.get(length..).unwrap_or_default(), input.get(..length).unwrap_or_default()))
}

/// A float as both formats write it, `+Inf`, `-Inf` and `NaN` included.
fn number<'a>(input: &'a str, what: &'static str) -> Read<'a, f64> {
    let (rest, word) = word(input);
    match word.parse() {
        Ok(number) => Ok((rest, number)),
        Err(_) => fail(input, what),
    }
}

fn timestamp(input: &str, in_seconds: bool) -> Read<'_, Option<i64>> {
    const WHAT: &str = "a timestamp";
    if input.is_empty() || input.starts_with('#') {
        return Ok((input, None));
    }
    let (rest, word) = word(input);
    // Only OpenMetrics has fractions, so a page that lost its `# EOF` can still be told.
    let milliseconds = match word.parse::<i64>() {
        Ok(seconds) if in_seconds => seconds.checked_mul(1000),
        Ok(milliseconds) => Some(milliseconds),
        Err(_) => word
            .parse::<f64>()
            .ok()
            .map(|seconds| (seconds * 1000.0).round())
            // Above this a float no longer tells milliseconds apart.
            .filter(|milliseconds| milliseconds.abs() <= 9.0e15)
            .map(|milliseconds| milliseconds as i64),
    };
    match milliseconds {
        Some(milliseconds) => Ok((rest, Some(milliseconds))),
        None => fail(input, WHAT),
    }
}

/// `# {trace_id="…"} 0.67 1520879607.789`: read, so that a line that is cut there is noticed, and
/// left out.
fn exemplar(input: &str) -> Wanted<'_, &str> {
    let Some(rest) = input.strip_prefix('#') else {
        return Ok(input);
    };
    let (rest, _) = labels(blanks(rest), false)?;
    let (rest, _) = number(blanks(rest), "the value of an exemplar")?;
    let (rest, _) = timestamp(blanks(rest), true)?;
    Ok(blanks(rest))
}

pub(crate) fn blanks(input: &str) -> &str {
    input.trim_start_matches([' ', '\t'])
}

/// Up to the next blank; may be empty.
pub(crate) fn word(input: &str) -> (&str, &str) {
    let bytes = input.as_bytes();
    let end = bytes.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    (input.get(end..).unwrap_or_default(), input.get(..end).unwrap_or_default())
}
