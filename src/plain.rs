//! Texts of others (servers, logs, file names) made harmless to a terminal: what would steer it, or turn the
//! direction of what stands beside it, is replaced. This file must not know who says what.

use std::borrow::Cow;
use std::io::{self, Write};

/// What stands in place of a character that steers.
const REPLACEMENT: char = '\u{fffd}';

/// Whether a character does something to a terminal instead of being shown: controls other than the line's end
/// and the tab, and those that turn the direction of text ("Trojan Source").
pub fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with nothing in it that steers a terminal.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(steers) { Cow::Owned(text.replace(steers, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The same on one line, of at most so many characters and a sign that there were more.
pub fn line(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut left = most;
    for word in text.split_whitespace() {
        let blank = (!out.is_empty()).then_some(' ');
        for c in blank.into_iter().chain(word.chars()) {
            if left == 0 {
                out.push('…');
                return out;
            }
            out.push(if steers(c) { REPLACEMENT } else { c });
            left -= 1;
        }
    }
    out
}

/// Standard output, through which nothing steers the terminal.
pub fn stdout() -> Terminal<io::Stdout> {
    Terminal(io::stdout())
}

/// Standard error, likewise.
pub fn stderr() -> Terminal<io::Stderr> {
    Terminal(io::stderr())
}

/// Passes on what is written, made harmless. Whole characters come in one piece, as `write!` writes them.
#[derive(Debug)]
pub struct Terminal<W>(pub W);

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(plain(text).as_bytes())?,
            Err(_) => self.0.write_all(plain(&String::from_utf8_lossy(bytes)).as_bytes())?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_replaced_and_all_else_stays() {
        for (text, harmless) in [
            ("\u{1b}[2Jx\u{7}\u{9b}31m\r", "\u{fffd}[2Jx\u{fffd}\u{fffd}31m\u{fffd}"),
            ("a\u{202e}b\u{2066}c", "a\u{fffd}b\u{fffd}c"),
            ("é\tµs\n─ 3…", "é\tµs\n─ 3…"),
        ] {
            assert_eq!(plain(text), harmless);
            let mut out = Terminal(Vec::new());
            write!(out, "{text}").unwrap();
            assert_eq!(String::from_utf8(out.0).unwrap(), harmless);
        }
        let mut out = Terminal(Vec::new());
        out.write_all(b"\xff\x1b[2J").unwrap();
        assert_eq!(out.0, "\u{fffd}\u{fffd}[2J".as_bytes());
    }

    #[test]
    fn a_line_is_one_short_line() {
        assert_eq!(line(" a\n b\t\u{1b}c ", 9), "a b \u{fffd}c");
        assert_eq!(line("éé éé", 4), "éé é…");
        assert_eq!(line("éé éé", 5), "éé éé");
        assert_eq!(line("", 3), "");
    }
}
