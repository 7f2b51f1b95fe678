//! Bodies that are no JSON, or lack a field, in the words of the real server: it is written in Python,
//! so it counts and names errors as Python's parser does. This file must not know what a good body
//! means.

use serde::de::DeserializeOwned;

use super::reject::Reject;

/// Reads a body.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Reject> {
    if bytes.is_empty() {
        return Err(Reject::validation("missing", "body", "Field required", "None", None));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            return Reject::validation("value_error", "body", &error.to_string(), "<body>", None);
        }
        let location = format!("body.{}", offset(bytes, &error));
        Reject::validation(
            "json_invalid",
            &location,
            "JSON decode error",
            "<dict of 0 items>",
            Some(python_reason(&error)),
        )
    })
}

/// A field that has to be there is not.
pub fn missing(field: &str, bytes: &[u8], added: usize) -> Reject {
    let items =
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).map_or(0, |m| m.len());
    let items = items + added;
    let input = format!("<dict of {items} items>");
    Reject::validation("missing", &format!("body.{field}"), "Field required", &input, None)
}

/// Where Python's parser would say the error is: bytes from the start of the body.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let line_starts =
        std::iter::once(0).chain(bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1));
    let line_start = line_starts.into_iter().nth(error.line().saturating_sub(1)).unwrap_or(0);
    let consumed = usize::from(error.is_syntax());
    line_start + error.column().saturating_sub(consumed)
}

/// The words of Python's parser for the same mistake.
fn python_reason(error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    let known = [
        ("EOF while parsing a string", "Unterminated string starting at"),
        ("control character", "Invalid control character at"),
        ("key must be a string", "Expecting property name enclosed in double quotes"),
        ("EOF while parsing an object", "Expecting ',' delimiter"),
        ("EOF while parsing a list", "Expecting ',' delimiter"),
        ("expected `:`", "Expecting ':' delimiter"),
        ("expected `,`", "Expecting ',' delimiter"),
        ("trailing comma", "Expecting property name enclosed in double quotes"),
        ("trailing characters", "Extra data"),
        ("invalid escape", "Invalid \\\\escape"),
    ];
    known.iter().find(|(ours, _)| text.starts_with(ours)).map_or("Expecting value", |(_, python)| python)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn broken_json_is_placed_where_python_places_it() {
        for (body, place, reason) in [
            ("{\"model\": ", "body.10", "Expecting value"),
            ("{\"a\": 1,\n \"b\" 2}", "body.14", "Expecting ':' delimiter"),
            ("{\"a\": 1} x", "body.9", "Extra data"),
            ("{a: 1}", "body.1", "Expecting property name enclosed in double quotes"),
        ] {
            let reject = parse_json::<serde_json::Value>(body.as_bytes()).unwrap_err();
            assert_eq!(reject.param.as_deref(), Some(place), "{body}");
            assert!(
                reject.message.contains(&format!("'error': {}", super::super::python::quoted(reason))),
                "{}",
                reject.message
            );
        }
    }
}
