//! Lines of a container run-time's file: those that it cut into parts (Kubernetes' `… stdout P …`, objects of docker's
//! json-file without a line end) joined with what follows, and without what stands around them.
//! This file does no I/O and must not know what a line says.

use std::collections::BTreeMap;

use tare_parsers::{LogTime, docker_line, run_time_line};

use super::lines::MAX_LINE_BYTES;

/// The parts of each stream's line that has not ended yet.
#[derive(Debug, Default)]
pub struct Parts {
    waiting: BTreeMap<String, String>,
}

/// What a line is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// A line as its program wrote it.
    Whole,
    /// The beginning or the middle of one: kept for the next.
    Kept,
    /// A run-time's, ended: all of it, longer than is kept or not; and when the run-time read its end, where that is said.
    Ended { line: String, cut: bool, time: Option<LogTime> },
}

impl Parts {
    /// Takes the next line of a log.
    pub fn next(&mut self, line: &str) -> Part {
        let Some(found) = run_time_line(line).or_else(|| docker_line(line)) else { return Part::Whole };
        if found.goes_on {
            let waiting = self.waiting.entry(found.stream.to_owned()).or_default();
            push(waiting, &found.message);
            return Part::Kept;
        }
        let mut whole = self.waiting.remove(found.stream).unwrap_or_default();
        push(&mut whole, &found.message);
        Part::Ended { cut: whole.len() >= MAX_LINE_BYTES, line: whole, time: found.time }
    }
}

/// As much as is kept of a line.
fn push(line: &mut String, more: &str) {
    let room = MAX_LINE_BYTES.saturating_sub(line.len());
    let ends = (0..=room.min(more.len())).rev().find(|at| more.is_char_boundary(*at)).unwrap_or(0);
    line.push_str(more.get(..ends).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-11-26T20:15:43.123456789Z";
    const TIME: Option<LogTime> =
        Some(LogTime::Unix { unix_ns: 1_795_724_143_123_456_789, resolution_ns: 1 });

    #[test]
    fn the_parts_of_a_line_are_joined_stream_by_stream() {
        let mut parts = Parts::default();
        assert_eq!(parts.next(&format!("{AT} stdout P {{\"a\": ")), Part::Kept);
        let other = Part::Ended { line: "other".to_owned(), cut: false, time: TIME };
        assert_eq!(parts.next(&format!("{AT} stderr F other")), other);
        assert_eq!(parts.next(&format!("{AT} stdout P 1, ")), Part::Kept);
        let ended = Part::Ended { line: "{\"a\": 1, \"b\": 2}".to_owned(), cut: false, time: TIME };
        assert_eq!(parts.next(&format!("{AT} stdout F \"b\": 2}}")), ended);
        assert_eq!(parts.next("{\"plain\": 1}"), Part::Whole);
    }

    /// As docker's json-file has a line of 40,000 bytes.
    #[test]
    fn the_parts_of_a_line_in_objects_are_joined_stream_by_stream() {
        let object =
            |stream: &str, log: &str| format!(r#"{{"log":"{log}","stream":"{stream}","time":"{AT}"}}"#);
        let (mut parts, text) = (Parts::default(), "0123456789".repeat(4000));
        let before = Part::Ended { line: "before".to_owned(), cut: false, time: TIME };
        assert_eq!(parts.next(&object("stdout", "before\\n")), before);
        assert_eq!(parts.next(&object("stdout", &text[..16384])), Part::Kept);
        let other = Part::Ended { line: "other".to_owned(), cut: false, time: TIME };
        assert_eq!(parts.next(&object("stderr", "other\\n")), other);
        assert_eq!(parts.next(&object("stdout", &text[16384..32768])), Part::Kept);
        let ended = Part::Ended { line: text.clone(), cut: false, time: TIME };
        assert_eq!(parts.next(&object("stdout", &format!("{}\\n", &text[32768..]))), ended);
        let after = Part::Ended { line: "after".to_owned(), cut: false, time: TIME };
        assert_eq!(parts.next(&object("stdout", "after\\n")), after);
    }

    #[test]
    fn a_line_that_never_ends_fills_no_memory() {
        let mut parts = Parts::default();
        let long = "ü".repeat(MAX_LINE_BYTES / 4);
        for _ in 0..5 {
            assert_eq!(parts.next(&format!("{AT} stdout P {long}")), Part::Kept);
        }
        let Part::Ended { line, cut, .. } = parts.next(&format!("{AT} stdout F end")) else {
            panic!("it ended")
        };
        assert!(cut && line.len() == MAX_LINE_BYTES, "{}", line.len());
    }
}
