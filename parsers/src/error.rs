//! What a parser says about text it could not read: the format it was reading, what it expected,
//! what it found instead, and where. It must not know any format.

/// One unread line, in a form that can be counted, grouped by `expected`, and shown to a person.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{format}: expected {expected} at column {column}, found {}", shown(.found))]
pub struct ParseError {
    /// Name of the format, as in `Format::name`.
    pub format: &'static str,
    pub expected: &'static str,
    /// A short excerpt that begins where the parser stopped; empty at the end of the line.
    pub found: String,
    /// Position in characters, from 1, in the line without its colour codes. In a JSON line that
    /// could be read as such it counts inside the decoded message.
    pub column: usize,
}

/// Characters of `found`: enough to recognise the place, short enough for one line of a report.
const EXCERPT_CHARS: usize = 40;

impl ParseError {
    /// An error at the byte where `rest`, a suffix of `whole`, begins.
    pub fn at(format: &'static str, expected: &'static str, whole: &str, rest: &str) -> Self {
        let offset = whole.len().saturating_sub(rest.len());
        let column = whole.get(..offset).map_or(offset, |before| before.chars().count());
        Self { format, expected, found: excerpt(rest), column: column + 1 }
    }
}

fn excerpt(rest: &str) -> String {
    match rest.char_indices().nth(EXCERPT_CHARS) {
        Some((cut, _)) => rest.get(..cut).map_or_else(String::new, str::to_owned) + "…",
        None => rest.to_owned(),
    }
}

fn shown(found: &str) -> String {
    if found.is_empty() { "the end of the line".to_owned() } else { format!("{found:?}") }
}
