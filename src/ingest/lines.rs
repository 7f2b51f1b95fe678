//! Bytes in, whole lines out, however the bytes were cut on the way. A line that never ends cannot
//! fill the memory, and one that is not UTF-8 is still a line. This file does no I/O and must not
//! know what a line says.

use std::borrow::Cow;

/// One line is kept up to this many bytes; the rest of it is dropped.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Cuts a stream of bytes into lines; keeps an unfinished last one until its end comes.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    max_bytes: usize,
    /// The line that is being read is longer than `max_bytes`.
    cut: bool,
    /// The stream was entered in the middle of a line, which is to be left out.
    skip: bool,
}

/// One line without its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line<'a> {
    pub text: Cow<'a, str>,
    /// Bytes that are not UTF-8 were replaced.
    pub lossy: bool,
    /// The line was longer than is kept.
    pub cut: bool,
}

impl Lines {
    pub fn new(max_bytes: usize) -> Self {
        Self { partial: Vec::new(), max_bytes, cut: false, skip: false }
    }

    /// Leaves out everything up to the next line end: what came before was not read.
    pub fn skip_partial(&mut self) {
        self.skip = true;
    }

    /// Takes the next bytes and hands every line that they end to `sink`.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(Line<'_>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.partial.is_empty() && !self.skip && line.len() <= self.max_bytes {
                // The usual case: the line lies whole in this chunk and need not be copied.
                sink(decode(line, false));
                continue;
            }
            self.keep(line);
            self.end(&mut sink);
        }
        self.keep(rest);
    }

    /// The stream has ended: an unfinished last line is a line after all.
    pub fn finish(&mut self, mut sink: impl FnMut(Line<'_>)) {
        if !self.partial.is_empty() {
            self.end(&mut sink);
        }
        self.skip = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.max_bytes.saturating_sub(self.partial.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.cut |= kept.len() < bytes.len();
        if !self.skip {
            self.partial.extend_from_slice(kept);
        }
    }

    fn end(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        if !self.skip {
            sink(decode(&self.partial, self.cut));
        }
        self.partial.clear();
        self.partial.shrink_to(1 << 16);
        self.cut = false;
        self.skip = false;
    }
}

fn decode(bytes: &[u8], cut: bool) -> Line<'_> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    // A cut in the middle of a character is the cut's fault, not the writer's.
    let lossy = !cut && matches!(text, Cow::Owned(_));
    Line { text, lossy, cut }
}

/// What the first bytes of a file say against it being a text log.
pub fn not_text(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] => Some("gzip data"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd data"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16 text"),
        _ if start.contains(&0) => Some("binary data"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]], max_bytes: usize) -> Vec<(String, bool, bool)> {
        let mut out = Vec::new();
        let mut lines = Lines::new(max_bytes);
        let mut sink = |line: Line<'_>| out.push((line.text.into_owned(), line.lossy, line.cut));
        for chunk in chunks {
            lines.push(chunk, &mut sink);
        }
        lines.finish(&mut sink);
        out
    }

    #[test]
    fn a_partial_line_waits_for_its_end() {
        let plain = |text: &str| (text.to_owned(), false, false);
        assert_eq!(
            split(&[b"a\nb", b"c\r\n", b"\n", b"d"], 100),
            [plain("a"), plain("bc"), plain(""), plain("d")]
        );
    }

    #[test]
    fn long_and_broken_lines_are_lines_still() {
        let got = split(&[b"0123456789\nok\n\xff\xfe bad\n"], 4);
        assert_eq!(got[0], ("0123".to_owned(), false, true));
        assert_eq!(got[1], ("ok".to_owned(), false, false));
        assert!(got[2].2, "cut at four bytes");
        assert_eq!(split(&[b"\xff bad\n"], 100), [("\u{fffd} bad".to_owned(), true, false)]);
    }

    #[test]
    fn a_stream_entered_in_mid_line_begins_at_the_next() {
        let mut out = Vec::new();
        let mut lines = Lines::new(100);
        lines.skip_partial();
        for chunk in [&b"the rest"[..], b" of it\nfirst\nsec", b"ond\n"] {
            lines.push(chunk, |line| out.push(line.text.into_owned()));
        }
        assert_eq!(out, ["first", "second"]);
    }

    #[test]
    fn files_that_are_no_text_are_told_apart() {
        assert_eq!(not_text(b"\x1f\x8b\x08\x00"), Some("gzip data"));
        assert_eq!(not_text(b"PAR1\x00\x01"), Some("binary data"));
        assert_eq!(not_text("INFO: größer".as_bytes()), None);
    }

    proptest! {
        #[test]
        fn chunking_never_matters(text in "[a-c\\n\\r]{0,60}", cuts in prop::collection::vec(0usize..60, 0..6), max in 1usize..20) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&chunks, max), split(&[bytes], max));
        }
    }
}
