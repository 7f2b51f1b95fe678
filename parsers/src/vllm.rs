//! The vllm log format.

use crate::error::ParseError;
use crate::event::Parsed;

pub fn recognises(_line: &str) -> bool {
    false
}

pub fn parse<'a>(line: &'a str, _scratch: &'a mut String) -> Parsed<'a> {
    Parsed::Unknown(ParseError::at("vllm", "a log line", line, line))
}
