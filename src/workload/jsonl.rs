//! JSON Lines datasets and request files: one request a line.
//!
//! A row is `{"prompt": text}` or `{"messages": [{"role", "content"}]}`, with an optional length
//! limit `output_tokens` (also `max_tokens` or `max_completion_tokens`); or a row of OpenAI's batch
//! format, with those keys in `body`. Other keys are ignored. The first row of a file that tare
//! wrote also has `about`: where the prompts come from and by which seed they were drawn. Such a
//! file can be read by `vllm bench serve --dataset-name custom` too.

use std::io::{BufRead, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tokens::approx_tokens;
use super::{Read, kind, open};
use crate::error::Explain;
use crate::record::{Message, Prompt, PromptKind};

/// Where a request file's prompts come from; written into its first row.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct About {
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<u64>,
}

/// Reads a file; `max_tokens` takes the place of the rows' own limits.
pub fn read(path: &Path, max_tokens: Option<u32>) -> anyhow::Result<Read> {
    let read =
        parse(open(path)?, max_tokens).or_usage(format!("cannot read the dataset `{}`", path.display()))?;
    let expected = if read
        .broken
        .reasons
        .iter()
        .any(|reason| reason.starts_with("line 1: expected an object, found a list"))
    {
        "this is one JSON list: choose --dataset-name sharegpt if it holds conversations"
    } else {
        "each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`"
    };
    Ok(read.or_empty(path, expected)?)
}

/// Reads rows; a bad one is counted and left out.
pub fn parse(mut lines: impl BufRead, max_tokens: Option<u32>) -> std::io::Result<Read> {
    let mut read = Read::default();
    let mut line = Vec::new();
    let mut number: u64 = 0;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(read);
        }
        number += 1;
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        read.entries += 1;
        match serde_json::from_slice::<Value>(text) {
            Ok(value) => {
                if read.entries == 1 {
                    read.about = value.get("about").and_then(|about| About::deserialize(about).ok());
                }
                match row(&value) {
                    Ok(mut prompt) => {
                        prompt.max_tokens = max_tokens.or(prompt.max_tokens);
                        read.prompts.push(prompt);
                    }
                    Err(reason) => read.broken.add(format_args!("line {number}"), reason),
                }
            }
            Err(error) => {
                read.broken.add(format_args!("line {number}, column {}", error.column()), not_json(&error));
            }
        }
    }
}

/// Writes prompts so that [`read`] gives the same ones.
pub fn write(path: &Path, prompts: &[Prompt], about: About) -> anyhow::Result<()> {
    let say = || format!("cannot write `{}`", path.display());
    let file = std::fs::File::create(path).map_err(anyhow::Error::from).or_broken(say())?;
    let mut out = BufWriter::new(file);
    let mut about = Some(about);
    for prompt in prompts {
        let (text, messages) = match &prompt.kind {
            PromptKind::Text(text) => (Some(text.as_str()), None),
            PromptKind::Chat(messages) => (None, Some(messages.as_slice())),
        };
        let row = Row { prompt: text, messages, output_tokens: prompt.max_tokens, about: about.take() };
        serde_json::to_writer(&mut out, &row)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(out.write_all(b"\n")?))
            .or_broken(say())?;
    }
    out.flush().or_broken(say())
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<About>,
}

/// Why a row is left out, without its place.
type Reason = String;

fn row(value: &Value) -> Result<Prompt, Reason> {
    let object = value.as_object().ok_or_else(|| format!("expected an object, found {}", kind(value)))?;
    let (object, inside) = match object.get("body") {
        Some(body) => (
            body.as_object().ok_or_else(|| format!("body: expected an object, found {}", kind(body)))?,
            "body.",
        ),
        None => (object, ""),
    };
    let prompt = match (object.get("messages"), object.get("prompt")) {
        (Some(messages), _) => {
            PromptKind::Chat(conversation(messages).map_err(|reason| format!("{inside}messages{reason}"))?)
        }
        (None, Some(prompt)) => match prompt.as_str() {
            Some(text) if !text.trim().is_empty() => PromptKind::Text(text.to_owned()),
            Some(_) => return Err(format!("{inside}prompt: expected text, found none")),
            None => {
                return Err(format!("{inside}prompt: expected text, found {}", kind(prompt)));
            }
        },
        (None, None) => {
            let keys: Vec<String> = object.keys().take(5).map(|key| format!("`{key}`")).collect();
            let found = if keys.is_empty() { "no keys".to_owned() } else { keys.join(", ") };
            return Err(format!("expected `{inside}prompt` or `{inside}messages`, found {found}"));
        }
    };
    let limit = ["output_tokens", "max_tokens", "max_completion_tokens"]
        .into_iter()
        .find_map(|key| object.get(key).filter(|limit| !limit.is_null()).map(|limit| (key, limit)));
    let max_tokens = match limit {
        None => None,
        Some((key, limit)) => match limit.as_u64().and_then(|limit| u32::try_from(limit).ok()) {
            Some(limit) if limit > 0 => Some(limit),
            _ => {
                return Err(format!("{inside}{key}: expected a whole number of 1 or more, found `{limit}`"));
            }
        },
    };
    Ok(made(prompt, max_tokens))
}

/// Non-empty messages; content as text or as parts that are all text.
fn conversation(messages: &Value) -> Result<Vec<Message>, Reason> {
    let messages =
        messages.as_array().ok_or_else(|| format!(": expected a list, found {}", kind(messages)))?;
    if messages.is_empty() {
        return Err(": expected a message, found none".to_owned());
    }
    let message = |(i, message): (usize, &Value)| {
        let text = |key: &str| {
            message.get(key).ok_or_else(|| format!("[{i}]: expected the keys `role` and `content`"))
        };
        let role = text("role")?;
        let role = role.as_str().ok_or_else(|| format!("[{i}].role: expected text, found {}", kind(role)))?;
        let content = content(text("content")?).map_err(|reason| format!("[{i}].content: {reason}"))?;
        Ok(Message { role: role.to_owned(), content })
    };
    messages.iter().enumerate().map(message).collect()
}

fn content(content: &Value) -> Result<String, Reason> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let texts: Option<Vec<&str>> =
                parts.iter().map(|part| part.get("text").and_then(Value::as_str)).collect();
            texts.map(|texts| texts.concat()).ok_or_else(|| "expected parts of text only".to_owned())
        }
        other => Err(format!("expected text, found {}", kind(other))),
    }
}

/// A prompt with its sizes.
pub(super) fn made(kind: PromptKind, max_tokens: Option<u32>) -> Prompt {
    let sizes = |text: &str| (text.chars().count() as u32, approx_tokens(text));
    let (chars, approx_tokens) = match &kind {
        PromptKind::Text(text) => sizes(text),
        PromptKind::Chat(messages) => messages
            .iter()
            .map(|message| sizes(&message.content))
            .fold((0, 0_u32), |all, one| (all.0 + one.0, all.1.saturating_add(one.1))),
    };
    Prompt { kind, max_tokens, chars, approx_tokens }
}

/// The reader's words without the place, which is said in front.
fn not_json(error: &serde_json::Error) -> Reason {
    let said = error.to_string();
    format!("not JSON: {}", said.split(" at line ").next().unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Read {
        parse(text.as_bytes(), None).unwrap()
    }

    #[test]
    fn every_kind_of_row_is_read() {
        let read = parsed(concat!(
            "\u{feff}{\"prompt\": \"one two\", \"output_tokens\": 5, \"about\": {\"source\": \"here\", \"seed\": 7}}\r\n",
            "\n",
            "{\"messages\": [{\"role\": \"system\", \"content\": \"be brief\"}, {\"role\": \"user\", \"content\": \"why?\"}], \"max_tokens\": 6}\n",
            "{\"custom_id\": \"1\", \"method\": \"POST\", \"body\": {\"model\": \"m\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"hi\"}]}], \"max_completion_tokens\": 7}}\n",
            "{\"prompt\": \"größe\", \"output_tokens\": null}",
        ));
        assert_eq!(read.about, Some(About { source: "here".into(), seed: Some(7), ..About::default() }));
        assert_eq!((read.entries, read.broken.count), (4, 0));
        let seen: Vec<_> = read
            .prompts
            .iter()
            .map(|p| (p.text().into_owned(), p.messages().len(), p.max_tokens, p.chars, p.approx_tokens))
            .collect();
        assert_eq!(
            seen,
            [
                ("one two".to_owned(), 1, Some(5), 7, 2),
                ("be brief\nwhy?".to_owned(), 2, Some(6), 12, 4),
                ("hi".to_owned(), 1, Some(7), 2, 1),
                ("größe".to_owned(), 1, None, 5, 4),
            ]
        );
    }

    #[test]
    fn the_limit_asked_for_takes_the_place_of_the_rows() {
        let read =
            parse("{\"prompt\":\"a\",\"output_tokens\":5}\n{\"prompt\":\"b\"}".as_bytes(), Some(9)).unwrap();
        assert_eq!(read.prompts.iter().map(|p| p.max_tokens).collect::<Vec<_>>(), [Some(9), Some(9)]);
    }

    #[test]
    fn bad_rows_are_counted_and_good_ones_kept() {
        let bytes = b"{\"prompt\": 5}\n{\"text\": \"x\", \"id\": 1}\n[1]\n{\"prompt\": \"good\"}\n{\"prompt\": \"cut\n{\"messages\": [{\"role\": \"user\"}]}\n\xff\xfe\n{\"prompt\": \"x\", \"output_tokens\": 0}\n{\"messages\": []}\n";
        let read = parse(&bytes[..], None).unwrap();
        assert_eq!((read.entries, read.broken.count, read.prompts.len()), (9, 8, 1));
        insta::assert_snapshot!(read.broken.reasons.join("\n"), @r"
        line 1: prompt: expected text, found a number
        line 2: expected `prompt` or `messages`, found `id`, `text`
        line 3: expected an object, found a list
        line 5, column 15: not JSON: EOF while parsing a string
        line 6: messages[0]: expected the keys `role` and `content`
        ");
    }

    #[test]
    fn a_file_without_a_good_row_is_refused() {
        let refused = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let error = read(file.path(), None).unwrap_err();
            let mut out = Vec::new();
            crate::error::print(&mut out, &error).unwrap();
            String::from_utf8(out).unwrap().replace(&file.path().display().to_string(), "FILE")
        };
        insta::assert_snapshot!(refused(""), @r"
        error: `FILE` holds no entries
        hint: each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`
        ");
        insta::assert_snapshot!(refused("<html>\n<body>\n"), @r"
        error: none of the 2 entries of `FILE` can be sent
          line 1, column 1: not JSON: expected value
          line 2, column 1: not JSON: expected value
        hint: each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`
        ");
        insta::assert_snapshot!(refused("[{\"conversations\": []}]"), @r"
        error: none of the 1 entries of `FILE` can be sent
          line 1: expected an object, found a list
        hint: this is one JSON list: choose --dataset-name sharegpt if it holds conversations
        ");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let read = parse(&bytes[..], None).unwrap();
            prop_assert_eq!(read.entries, read.broken.count + read.prompts.len() as u64);
        }

        #[test]
        fn anything_like_a_row_is_read_without_panic(row in "\\{\"(prompt|messages|body|output_tokens)\": ?(\"[a-z]{0,3}\"|-?[0-9]{1,3}|null|\\[(\\{\"role\":\"u\",\"content\":(1|\"x\"|\\[\\])\\})?\\]|\\{\\})\\}") {
            let read = parse(row.as_bytes(), None).unwrap();
            prop_assert_eq!(read.entries, 1);
            prop_assert_eq!(read.broken.count + read.prompts.len() as u64, 1);
        }
    }
}
