//! What syslog puts before a message: `<134>Nov 24 14:50:50 haproxy[28073]: ` (RFC 3164),
//! `<134>1 2026-11-24T14:51:12.643098+00:00 - haproxy 28073 - - ` (RFC 5424), and both as daemons
//! write them to files, without `<134>` and with a host; or a stamp alone. It must not know what the message says.

use crate::time::{LogTime, iso, offset_of, syslog};

/// A frame's facts; all absent where there is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) time: Option<LogTime>,
    /// How far the sender's zone is ahead of UTC.
    pub(crate) offset_s: Option<i64>,
    pub(crate) program: Option<&'a str>,
    pub(crate) pid: Option<u32>,
    /// The stamp is the sender's, not that of whoever wrote the line down.
    pub(crate) by_sender: bool,
}

impl Frame<'_> {
    /// When the sender sent it, if that is told absolutely and finer than a second.
    pub(crate) fn sent(&self) -> Option<LogTime> {
        let is_fine = |time: &LogTime| matches!(time, LogTime::Unix { resolution_ns, .. } if *resolution_ns < 1_000_000_000);
        self.time.filter(|time| self.by_sender && is_fine(time))
    }
}

/// The frame and the message behind it. What is no frame is message.
pub(crate) fn split(line: &str) -> (Frame<'_>, &str) {
    let after_priority = priority(line).unwrap_or(line);
    let framed =
        rfc5424(after_priority).or_else(|| rfc3164(after_priority)).or_else(|| stamped(after_priority));
    framed.unwrap_or((Frame::default(), after_priority))
}

fn priority(line: &str) -> Option<&str> {
    let (digits, rest) = line.strip_prefix('<')?.split_once('>')?;
    (matches!(digits.len(), 1..=3) && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

/// `1 STAMP HOST PROGRAM PID MSGID - `; structured data in brackets is passed over.
fn rfc5424(text: &str) -> Option<(Frame<'_>, &str)> {
    let mut words = text.strip_prefix("1 ")?.splitn(6, ' ');
    let stamp = words.next()?;
    let (_host, program, pid, _id) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let rest = words.next()?;
    let message = match rest.strip_prefix("- ") {
        Some(message) => message,
        None => rest.strip_prefix('[')?.split_once("] ")?.1,
    };
    let time = iso(stamp).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, time)| time)?;
    let frame = Frame {
        time: Some(time),
        offset_s: offset_of(stamp),
        program: Some(program),
        pid: pid.parse().ok(),
        by_sender: true,
    };
    Some((frame, message))
}

/// An absolute stamp and nothing else: HAProxy's `log … format iso` and `timed`.
fn stamped(text: &str) -> Option<(Frame<'_>, &str)> {
    let (rest, time) = iso(text).ok()?;
    let message = rest.strip_prefix(' ').filter(|_| matches!(time, LogTime::Unix { .. }))?;
    Some((Frame { time: Some(time), offset_s: offset_of(text), ..Frame::default() }, message))
}

/// `STAMP [HOST] PROGRAM[PID]: `, the stamp in either style.
fn rfc3164(text: &str) -> Option<(Frame<'_>, &str)> {
    let (rest, time) = syslog(text).or_else(|_| iso(text)).ok()?;
    let offset_s = if matches!(time, LogTime::Unix { .. }) { offset_of(text) } else { None };
    let (tag, message) = rest.strip_prefix(' ')?.split_once(": ")?;
    let mut words = tag.split(' ');
    let (first, second) = (words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    let program = second.unwrap_or(first);
    let (program, pid) = match program.split_once('[') {
        Some((program, pid)) => (program, pid.strip_suffix(']')?.parse().ok()),
        None => (program, None),
    };
    Some((Frame { time: Some(time), offset_s, program: Some(program), pid, by_sender: false }, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_framing_leaves_the_message() {
        for line in [
            "<134>Nov 24 14:50:50 haproxy[28073]: m: x",
            "Nov 24 14:50:50 gateway-1 haproxy[28073]: m: x",
            "<134>1 2026-11-24T14:51:12.643098+00:00 - haproxy 28073 - - m: x",
            "<134>1 2026-11-24T14:51:12.643098+02:00 host haproxy 28073 id [a b=\"c\"] m: x",
            "2026-11-24T14:51:12.643098+02:00 gateway-1 haproxy[28073]: m: x",
        ] {
            let (frame, message) = split(line);
            assert_eq!((message, frame.program, frame.pid), ("m: x", Some("haproxy"), Some(28073)), "{line}");
            assert!(frame.time.is_some());
        }
        assert_eq!(split("m: x"), (Frame::default(), "m: x"));
    }
}
