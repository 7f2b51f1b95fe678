//! Datasets in tables: a column of prompts, or of conversations as JSON, and one of length limits. This
//! file must not know how a table is stored.

use std::path::Path;

use super::jsonl::{Reason, conversation, made};
use super::{Read, Want};
use crate::config::Columns;
use crate::error::{Failure, usage};
use crate::record::PromptKind;
use crate::store::columns::Cell;

const PROMPT: &str = "prompt";
const OUTPUT: &str = "output_tokens";
const MESSAGES: &str = "messages";

/// Which columns of a table are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chosen {
    pub text: usize,
    pub is_messages: bool,
    pub output: Option<usize>,
}

/// Those asked for, else those of the usual names.
pub fn choose(path: &Path, names: &[String], asked: &Columns) -> Result<Chosen, Failure> {
    let there = |name: &str| names.iter().position(|known| known == name);
    let must = |name: &str, flag: &str| {
        there(name).ok_or_else(|| {
            usage(format!("`{}` has no column `{name}`", path.display()))
                .hint(format!("its columns: {}; choose with {flag}", shown(names)))
        })
    };
    let (text, is_messages) = match (&asked.prompt, &asked.messages) {
        (Some(prompt), _) => (must(prompt, "--prompt-column")?, false),
        (None, Some(messages)) => (must(messages, "--messages-column")?, true),
        (None, None) => match (there(PROMPT), there(MESSAGES)) {
            (Some(prompt), _) => (prompt, false),
            (None, Some(messages)) => (messages, true),
            (None, None) => {
                return Err(usage(format!("`{}` has no column `{PROMPT}` or `{MESSAGES}`", path.display()))
                    .hint(format!(
                        "its columns: {}; choose with --prompt-column or --messages-column",
                        shown(names)
                    )));
            }
        },
    };
    let output = match &asked.output {
        Some(output) => Some(must(output, "--output-column")?),
        None => there(OUTPUT),
    };
    Ok(Chosen { text, is_messages, output })
}

fn shown(names: &[String]) -> String {
    const MOST: usize = 30;
    let mut list: Vec<String> =
        names.iter().take(MOST).map(|name| format!("`{}`", name.escape_debug())).collect();
    if names.len() > MOST {
        list.push(format!("and {} more", names.len() - MOST));
    }
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

/// Takes one row; `place` says which. A bad one is counted and left out.
pub fn take(
    read: &mut Read,
    place: &str,
    text: &Cell,
    output: Option<&Cell>,
    chosen: Chosen,
    want: &Want<'_>,
) {
    read.entries += 1;
    match kind(text, chosen.is_messages).and_then(|kind| Ok((kind, limit(output)?))) {
        Ok((kind, output)) => {
            let prompt = made(kind, want.max_tokens.or(output));
            read.prompts.push(if want.turns { super::turns::apart(prompt) } else { prompt });
        }
        Err(reason) => read.broken.add(place, reason),
    }
}

fn kind(cell: &Cell, is_messages: bool) -> Result<PromptKind, Reason> {
    let text = match cell {
        Cell::Text(text) if !text.trim().is_empty() => text,
        Cell::Text(_) | Cell::Null => return Err("expected text, found none".to_owned()),
        Cell::Int(number) => return Err(format!("expected text, found the number {number}")),
        Cell::Float(number) => return Err(format!("expected text, found the number {number}")),
        Cell::Unread(which) => return Err(format!("expected text, found the type {which}")),
        _ => return Err("expected text; a conversation is JSON in text, not a nested list".to_owned()),
    };
    if !is_messages {
        return Ok(PromptKind::Text(text.clone()));
    }
    let json = serde_json::from_str(text).map_err(|error| format!("messages: not JSON: {error}"))?;
    conversation(&json).map(PromptKind::Chat).map_err(|reason| format!("messages{reason}"))
}

fn limit(cell: Option<&Cell>) -> Result<Option<u32>, Reason> {
    let (number, found) = match cell {
        None | Some(Cell::Null) => return Ok(None),
        Some(Cell::Text(text)) if text.trim().is_empty() => return Ok(None),
        Some(Cell::Text(text)) => (text.trim().parse::<f64>().ok(), text.chars().take(40).collect()),
        Some(Cell::Int(number)) => (Some(*number as f64), number.to_string()),
        Some(Cell::Float(number)) => (Some(*number), number.to_string()),
        Some(Cell::Unread(which)) => (None, format!("the type {which}")),
        Some(_) => (None, "something else".to_owned()),
    };
    match number {
        Some(n) if n >= 1.0 && n <= f64::from(u32::MAX) && n.fract() == 0.0 => Ok(Some(n as u32)),
        _ => Err(format!("length limit: expected a whole number of 1 or more, found `{found}`")),
    }
}
