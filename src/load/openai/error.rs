//! What a server says went wrong, as one line. This file must not know where it was said.

use serde_json::Value;

/// The message of an `OpenAI` error body, or its first characters.
pub fn error_message(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => match value.get("error").or_else(|| value.get("detail")) {
            Some(error) => error_text(error),
            None => error_text(&value),
        },
        Err(_) => shorten(&String::from_utf8_lossy(body)),
    }
}

/// The message of an error object.
pub(super) fn error_text(error: &Value) -> String {
    match error.get("message").unwrap_or(error) {
        Value::String(text) => shorten(text),
        other => shorten(&other.to_string()),
    }
}

/// One line of a bearable length that does nothing to a terminal.
pub(super) fn shorten(text: &str) -> String {
    crate::plain::line(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_message_cannot_steer_a_terminal() {
        assert_eq!(error_message(b"\x1b[2J\x07gone"), "\u{fffd}[2J\u{fffd}gone");
    }

    #[test]
    fn bodies_of_all_makes_are_one_line() {
        assert_eq!(
            error_message(br#"{"error":{"message":"The model `nope` does not exist."}}"#),
            "The model `nope` does not exist."
        );
        assert_eq!(error_message(b"Bad  Gateway\n"), "Bad Gateway");
    }
}
