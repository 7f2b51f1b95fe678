//! What keeps a source from being read: one sentence, and a hint what to do about it. Most problems
//! are notes (the run goes on without that source); a few are errors. This file must not know which.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What is wrong with a source, and what would help.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    pub what: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As one line: the form of a note.
    pub fn note(&self) -> String {
        self.hint.as_ref().map_or_else(|| self.what.clone(), |hint| format!("{} (hint: {hint})", self.what))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

/// More notes than this are not kept: some quote what a server said, and that may be new each time.
const MAX_NOTES: usize = 100;

/// Notes collected while the load runs, each said once, in the order they came up.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, note: impl Into<String>) {
        let note = note.into();
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() > MAX_NOTES || notes.contains(&note) {
            return;
        }
        let is_last = notes.len() == MAX_NOTES;
        notes.push(if is_last { "there were more notes than are kept".to_owned() } else { note });
    }

    /// Everything noted so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The first characters of something unexpected, on one line, for a message.
pub fn excerpt(text: &str, max_chars: usize) -> String {
    let without = |c: char| if c.is_control() || crate::plain::steers(c) { ' ' } else { c };
    let flat: String = text.chars().take(max_chars).map(without).collect();
    let squeezed = flat.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().nth(max_chars).is_some() { format!("{squeezed}…") } else { squeezed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_said_once_and_in_order() {
        let notes = Notes::default();
        for note in ["b", "a", "b"] {
            notes.add(note);
        }
        assert_eq!(notes.all(), ["b", "a"]);
    }

    #[test]
    fn notes_do_not_fill_the_memory() {
        let notes = Notes::default();
        for n in 0..3 * MAX_NOTES {
            notes.add(n.to_string());
        }
        let all = notes.all();
        assert_eq!(all.len(), MAX_NOTES + 1);
        assert_eq!(all.last().map(String::as_str), Some("there were more notes than are kept"));
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("<html>\n  <body>\t\u{1b}[0m", 100), "<html> <body> [0m");
        assert_eq!(excerpt("éééé", 2), "éé…");
    }
}
