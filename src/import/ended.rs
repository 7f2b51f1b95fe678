//! How a request ended, by what a tool in Python wrote down: an HTTP status, the name of an exception,
//! its message. This file must not know any tool's file.

use crate::record::Status;

/// A failure's status. `began`: an answer's beginning had come.
pub(super) fn status(words: &str, http_status: Option<u16>, began: bool) -> Status {
    let has = |names: &[&str]| names.iter().any(|name| words.contains(name));
    if http_status.is_some_and(|status| status >= 400) {
        return Status::HttpError;
    }
    if has(&["JSONDecode", "Decode", "InvalidURL", "Unicode"]) {
        return Status::DecodeError;
    }
    if has(&["Timeout", "timeout", "timed out"]) {
        return Status::Timeout;
    }
    if began { Status::Cut } else { Status::ConnectError }
}

/// The HTTP status that an error's words name: `HTTP Error 500`, `Server error '502 Bad Gateway'`.
pub(super) fn http_status(words: &str) -> Option<u16> {
    if !words.contains("HTTP") && !words.contains("error '") {
        return None;
    }
    let mut numbers = words.split(|c: char| !c.is_ascii_digit()).filter(|number| number.len() == 3);
    numbers.find_map(|number| number.parse().ok().filter(|status| (400..600).contains(status)))
}

/// The HTTP status that a reason phrase stands for (RFC 9110): all that some tools keep.
pub(super) fn of_phrase(phrase: &str) -> Option<u16> {
    const PHRASES: [(&str, u16); 12] = [
        ("Bad Request", 400),
        ("Unauthorized", 401),
        ("Forbidden", 403),
        ("Not Found", 404),
        ("Method Not Allowed", 405),
        ("Request Timeout", 408),
        ("Unprocessable Entity", 422),
        ("Too Many Requests", 429),
        ("Internal Server Error", 500),
        ("Bad Gateway", 502),
        ("Service Unavailable", 503),
        ("Gateway Timeout", 504),
    ];
    PHRASES.iter().find(|(known, _)| known.eq_ignore_ascii_case(phrase.trim())).map(|(_, status)| *status)
}

/// The last line that says something, as a traceback ends with its error.
pub(super) fn last_line(words: &str) -> String {
    let mut lines = words.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or(words).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_their_words() {
        assert_eq!(http_status("HTTP Error 500"), Some(500));
        assert_eq!(
            http_status(
                "HTTPStatusError(\"Server error '502 Bad Gateway' for url 'http://127.0.0.1:8000'\")"
            ),
            Some(502)
        );
        assert_eq!(http_status("ClientConnectorError: Cannot connect to host 127.0.0.1:443"), None);
        assert_eq!((of_phrase("Internal Server Error"), of_phrase("Some Error")), (Some(500), None));
        assert_eq!(status("", Some(429), false), Status::HttpError);
        assert_eq!(status("ReadTimeout('')", None, true), Status::Timeout);
        assert_eq!(status("ClientPayloadError", None, true), Status::Cut);
        assert_eq!(status("ClientConnectorError", None, false), Status::ConnectError);
    }
}
