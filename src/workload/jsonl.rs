//! JSON Lines datasets and request files: one request a line.
//!
//! A row is `{"prompt": text}` or `{"messages": [{"role", "content"}]}`, with an optional length
//! limit `output_tokens` (also `max_tokens` or `max_completion_tokens`); or a row of OpenAI's batch
//! format, with those keys in `body`. Messages are sent as they stand: images, tool calls and names
//! too. What else belongs into a request's body is sent as well: the keys of [`PASSED_ON`], everything
//! in `extra_body`, and of a batch row everything in `body` that a run does not set itself. Other keys
//! are ignored.
//!
//! A row with `turns` is a conversation: each of them has the `messages` that are added, and optionally
//! `answer` (what the dataset has for an answer to the turn before), `think_s` and `output_tokens`.
//! `at_s` is when a request is to be sent. `input_tokens` is what its text was counted to have, by the
//! tokenizer that `about` names.
//!
//! The first row of a file that tare wrote also has `about`: where the prompts come from and by which
//! seed they were drawn. Such a file, without conversations, can be read by
//! `vllm bench serve --dataset-name custom` too.

mod row;

use std::io::{BufRead, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use self::row::{Reason, conversation, made, not_json};
use super::looks::BYTE_ORDER_MARK;
use super::{Read, Want, open, turns};
use crate::error::Explain;
use crate::record::{DatasetName, History, Message, Prompt, PromptKind, Turn};

/// vLLM's word for an answer that goes on to its limit.
const IGNORE_EOS: &str = "ignore_eos";

/// Keys of a row that are sent on in the body.
pub const PASSED_ON: &[&str] = row::PASSED_ON;

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
    /// By which `input_tokens` were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Of conversations: whose answers they were carried on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

/// Reads a file.
pub fn read(path: &Path, want: &Want<'_>) -> anyhow::Result<Read> {
    let read = parse(open(path)?, want).or_usage(format!("cannot read the dataset `{}`", path.display()))?;
    let expected = "each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`";
    Ok(read.or_empty(path, DatasetName::Jsonl, expected)?)
}

/// Reads rows; a bad one is counted and left out.
pub fn parse(mut lines: impl BufRead, want: &Want<'_>) -> std::io::Result<Read> {
    let mut read = Read::default();
    let mut line = Vec::new();
    let mut number: u64 = 0;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(read);
        }
        number += 1;
        let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        read.entries += 1;
        match serde_json::from_slice::<Value>(text) {
            Ok(value) => {
                if read.entries == 1 {
                    read.about = value.get("about").and_then(|about| About::deserialize(about).ok());
                }
                match row::row(&value) {
                    Ok(prompt) => {
                        let prompt = if want.turns { turns::apart(prompt) } else { prompt };
                        read.prompts.push(limited(prompt, want.max_tokens));
                    }
                    Err(reason) => read.broken.add(format_args!("line {number}"), reason),
                }
            }
            Err(error) => {
                let place = format_args!("line {number}, column {}", error.column());
                read.broken.add(place, not_json(&error));
            }
        }
    }
}

/// With the limit asked for in place of its own.
fn limited(mut prompt: Prompt, max_tokens: Option<u32>) -> Prompt {
    prompt.max_tokens = max_tokens.or(prompt.max_tokens);
    for turn in &mut prompt.turns {
        turn.max_tokens = max_tokens.or(turn.max_tokens);
    }
    prompt
}

/// Writes prompts so that [`read`] gives the same ones; with `ignore_eos` each asks for an answer up to its limit.
pub fn write(path: &Path, prompts: &[Prompt], ignore_eos: bool, about: About) -> anyhow::Result<()> {
    let say = || format!("cannot write `{}`", path.display());
    let file = std::fs::File::create(path).map_err(anyhow::Error::from).or_broken(say())?;
    let mut out = BufWriter::new(file);
    let mut about = Some(about);
    for prompt in prompts {
        let (text, messages) = match &prompt.kind {
            PromptKind::Text(text) => (Some(text.as_str()), None),
            PromptKind::Chat(messages) => (None, Some(messages.as_slice())),
        };
        let row = Row {
            at_s: prompt.at_s,
            prompt: text,
            messages,
            output_tokens: prompt.max_tokens,
            input_tokens: prompt.exact_tokens,
            extra_body: &prompt.extra,
            ignore_eos: ignore_eos && !prompt.extra.contains_key(IGNORE_EOS),
            turns: prompt.turns.iter().map(TurnRow::of).collect(),
            about: about.take(),
        };
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
    at_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra_body: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignore_eos: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<TurnRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<About>,
}

#[derive(Serialize)]
struct TurnRow<'a> {
    messages: &'a [Message],
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think_s: Option<f64>,
}

impl<'a> TurnRow<'a> {
    fn of(turn: &'a Turn) -> Self {
        Self {
            messages: &turn.messages,
            answer: turn.answer.as_deref(),
            output_tokens: turn.max_tokens,
            think_s: (turn.think_s > 0.0).then_some(turn.think_s),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WANT: Want<'static> =
        Want { max_tokens: None, turns: false, count: &super::super::tokens::approx_tokens };

    fn parsed(text: &str) -> Read {
        parse(text.as_bytes(), &WANT).unwrap()
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
        let read = parse(
            "{\"prompt\":\"a\",\"output_tokens\":5}\n{\"prompt\":\"b\"}".as_bytes(),
            &Want { max_tokens: Some(9), ..WANT },
        )
        .unwrap();
        assert_eq!(read.prompts.iter().map(|p| p.max_tokens).collect::<Vec<_>>(), [Some(9), Some(9)]);
    }

    #[test]
    fn bad_rows_are_counted_and_good_ones_kept() {
        let bytes = b"{\"prompt\": 5}\n{\"text\": \"x\", \"id\": 1}\n[1]\n{\"prompt\": \"good\"}\n{\"prompt\": \"cut\n{\"messages\": [{\"role\": \"user\"}]}\n\xff\xfe\n{\"prompt\": \"x\", \"output_tokens\": 0}\n{\"messages\": []}\n";
        let read = parse(&bytes[..], &WANT).unwrap();
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
            let error = read(file.path(), &WANT).unwrap_err();
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
        hint: it looks like a web page: was the download refused?
        ");
        insta::assert_snapshot!(refused("[{\"conversations\": []}]"), @r"
        error: none of the 1 entries of `FILE` can be sent
          line 1: expected an object, found a list
        hint: it looks like one JSON list: choose --dataset-name sharegpt
        ");
    }

    #[test]
    fn what_belongs_into_a_body_is_kept_as_it_stands() {
        let image = r#"{"role":"user","content":[{"type":"text","text":"what is it?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}"#;
        let call = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
        let result = r#"{"role":"tool","tool_call_id":"1","content":"42"}"#;
        let lines = [
            format!(
                r#"{{"messages":[{image}],"response_format":{{"type":"json_object"}},"id":"x","stop":["."]}}"#
            ),
            format!(
                r#"{{"messages":[{{"role":"user","content":"hi"}},{call},{result}],"tools":[{{"type":"function"}}]}}"#
            ),
            r#"{"body":{"model":"m","stream":false,"prompt":"x","logit_bias":{"5":1},"unknown_key":3},"custom_id":"y"}"#
                .to_owned(),
        ];
        let read = parsed(&lines.join("\n"));
        assert_eq!((read.broken.reasons.clone(), read.prompts.len()), (Vec::<String>::new(), 3));
        let sent = |i: usize| serde_json::to_value(read.prompts[i].messages().as_ref()).unwrap();
        let as_json = |texts: &[&str]| {
            texts.iter().map(|t| serde_json::from_str::<Value>(t).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(sent(0).as_array().unwrap(), &as_json(&[image]));
        assert_eq!(sent(1).as_array().unwrap()[1..], as_json(&[call, result])[..]);
        let extra = |i: usize| serde_json::to_string(&read.prompts[i].extra).unwrap();
        assert_eq!(extra(0), r#"{"response_format":{"type":"json_object"},"stop":["."]}"#);
        assert_eq!(extra(1), r#"{"tools":[{"type":"function"}]}"#);
        assert_eq!(extra(2), r#"{"logit_bias":{"5":1},"unknown_key":3}"#);
        assert_eq!(
            (read.prompts[0].text().into_owned(), read.prompts[0].chars),
            ("what is it?".to_owned(), 11)
        );
    }

    #[test]
    fn everything_that_is_written_is_read_again() {
        let conversation = r#"{"messages":[{"role":"user","content":"a"}],"output_tokens":3,"turns":[{"messages":[{"role":"user","content":"b"}],"answer":"x","think_s":1.5,"output_tokens":4}]}"#;
        let timed = r#"{"at_s":0.25,"prompt":"c d","input_tokens":7,"extra_body":{"top_k":3}}"#;
        let read = parsed(&format!("{conversation}\n{timed}"));
        assert!((read.prompts[0].turns[0].think_s - 1.5).abs() < 1e-12);
        assert_eq!((read.prompts[1].at_s, read.prompts[1].exact_tokens), (Some(0.25), Some(7)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.jsonl");
        let about =
            About { history: Some(History::Dataset), tokenizer: Some("t".into()), ..About::default() };
        write(&path, &read.prompts, false, about.clone()).unwrap();
        let again = super::read(&path, &WANT).unwrap();
        assert_eq!((&again.prompts, again.about), (&read.prompts, Some(about)));
        write(&path, &read.prompts, true, About::default()).unwrap();
        let to_the_limit = super::read(&path, &WANT).unwrap();
        let asks = |prompt: &Prompt| prompt.extra.get(IGNORE_EOS) == Some(&Value::Bool(true));
        assert!(to_the_limit.prompts.iter().all(asks), "{:?}", to_the_limit.prompts);
    }

    #[test]
    fn a_conversation_is_taken_apart_where_that_is_wanted() {
        let row = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"x"},{"role":"user","content":"b"}],"output_tokens":5,"input_tokens":3}"#;
        let read = parse(row.as_bytes(), &Want { turns: true, ..WANT }).unwrap();
        let prompt = &read.prompts[0];
        assert_eq!((prompt.messages().len(), prompt.turns.len(), prompt.chars), (1, 1, 1));
        assert_eq!((prompt.exact_tokens, parsed(row).prompts[0].exact_tokens), (None, Some(3)));
        assert_eq!((prompt.turns[0].answer.as_deref(), prompt.turns[0].max_tokens), (Some("x"), Some(5)));
        assert_eq!(parsed(row).prompts[0].messages().len(), 3);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let read = parse(&bytes[..], &WANT).unwrap();
            prop_assert_eq!(read.entries, read.broken.count + read.prompts.len() as u64);
        }

        #[test]
        fn anything_like_a_row_is_read_without_panic(row in "\\{\"(prompt|messages|body|output_tokens)\": ?(\"[a-z]{0,3}\"|-?[0-9]{1,3}|null|\\[(\\{\"role\":\"u\",\"content\":(1|\"x\"|\\[\\])\\})?\\]|\\{\\})\\}") {
            let read = parse(row.as_bytes(), &WANT).unwrap();
            prop_assert_eq!(read.entries, 1);
            prop_assert_eq!(read.broken.count + read.prompts.len() as u64, 1);
        }
    }
}
