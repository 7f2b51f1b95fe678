//! uvicorn's log: `INFO:     127.0.0.1:55518 - "POST /v1/completions HTTP/1.1" 200 OK`, with or
//! without the head that a logging configuration put before it, and its own server lines. It must
//! not know which application runs in the server.

use nom::Parser;
use nom::bytes::complete::{tag, take_until};
use nom::sequence::terminated;

use crate::event::{Event, Parsed};
use crate::line::{Read, byte, digits, expect, fail, token};
use crate::read::{Dialect, read};

static UVICORN: Dialect =
    Dialect { name: "uvicorn", writes_as: |logger| logger.starts_with("uvicorn"), message };

pub fn recognises(line: &str) -> bool {
    matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    read(&UVICORN, line, scratch)
}

/// What stands between the client and the request line.
const BEFORE_REQUEST: &str = "- \"";

/// An access line, the line that says where the server listens, or any other.
pub(crate) fn message(input: &str) -> Read<'_, Event<'_>> {
    if let Some(url) = input.strip_prefix("Uvicorn running on ") {
        return match token(url) {
            Ok((_, url)) if url.starts_with("http") => Ok(("", Event::Serving { url })),
            _ => Ok(("", Event::Other)),
        };
    }
    // A socket address is short; a message that goes on without a blank is something else.
    let beginning = input.as_bytes().get(..64).unwrap_or(input.as_bytes());
    let client_end =
        if input.starts_with(BEFORE_REQUEST) { Some(0) } else { memchr::memchr(b' ', beginning) };
    let request = client_end.and_then(|end| {
        let rest = input.get(end..)?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        Some((end, rest.strip_prefix(BEFORE_REQUEST)?))
    });
    match request {
        Some((end, request)) => access(input.get(..end).unwrap_or_default(), request),
        None => Ok(("", Event::Other)),
    }
}

/// `POST /v1/completions HTTP/1.1" 200 OK`. A status without a reason phrase is as good as one with
/// it: vLLM's own formatter drops the phrase.
fn access<'a>(client: &'a str, request: &'a str) -> Read<'a, Event<'a>> {
    let (client, port) = client_and_port(client);
    let (rest, method) =
        expect("an HTTP method", terminated(token, byte(b' ', "a blank after the method"))).parse(request)?;
    if method == "WebSocket" {
        return Ok(("", Event::Other));
    }
    let (rest, path) = expect("a path and ` HTTP/`", take_until(" HTTP/")).parse(rest)?;
    let (rest, _) = expect("`\" ` after the HTTP version", take_until("\" ")).parse(rest)?;
    let (rest, _) = tag("\" ").parse(rest)?;
    let (rest, status) = expect("a status of three digits", digits::<3>).parse(rest)?;
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return fail(rest, "a blank or the end after the status");
    }
    let event =
        Event::Access { client, port, method, path, status: u16::try_from(status).unwrap_or_default() };
    Ok(("", event))
}

/// uvicorn joins address and port with `:`, IPv6 addresses too, and without brackets. On a Unix
/// socket there is no client.
fn client_and_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => {
                let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                (bare.unwrap_or(host), Some(port))
            }
            Err(_) => (text, None),
        },
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_be_anything_a_socket_can_have() {
        assert_eq!(client_and_port("127.0.0.1:55518"), ("127.0.0.1", Some(55518)));
        assert_eq!(client_and_port("::1:39948"), ("::1", Some(39948)));
        assert_eq!(client_and_port("[fe80::1]:443"), ("fe80::1", Some(443)));
        assert_eq!(client_and_port(""), ("", None));
        assert_eq!(client_and_port("host:99999"), ("host:99999", None));
    }
}
