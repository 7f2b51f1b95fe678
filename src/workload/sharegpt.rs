//! ShareGPT JSON: a list of `{"conversations": [{"from", "value"}]}`, or with `role` and `content`
//! in place of `from` and `value`. The prompt is the conversation's first turn of the human; where whole
//! conversations are wanted, the later turns follow it as long as the dataset answers them.
//!
//! Unless told otherwise, an answer may be as long as the dataset's own. Entries are left out by the
//! rule of `vllm bench serve`: first prompts or answers below 4 tokens, prompts above 1,024, and
//! together above 2,048; counted by the run's tokenizer, or estimated where there is none. Where another
//! length is asked for, the dataset's answers are not looked at (there, the sum with that length is).

use std::fmt;
use std::io;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::jsonl::made;
use super::{Read, Want, kind, open};
use crate::record::{DatasetName, Message, Prompt, PromptKind, Turn};

const MIN_TOKENS: u32 = 4;
const MAX_PROMPT_TOKENS: u32 = 1024;
const MAX_TOTAL_TOKENS: u32 = 2048;

/// Reads a file; the limit that is wanted takes the place of the lengths of the dataset's answers.
pub fn read(path: &Path, want: &Want<'_>) -> anyhow::Result<Read> {
    let read = parse(open(path)?, want);
    let expected =
        "expected a JSON list of `{\"conversations\": [{\"from\": \"human\", \"value\": text}, …]}`";
    Ok(read.or_empty(path, DatasetName::Sharegpt, expected)?)
}

/// Reads entries one by one, so that a large file needs memory for its prompts only. Where the text
/// ceases to be JSON, as at the end of half a download, what was read before is kept.
pub fn parse(text: impl io::Read, want: &Want<'_>) -> Read {
    let mut read = Read::default();
    let mut json = serde_json::Deserializer::from_reader(text);
    let end = Entries { read: &mut read, want }.deserialize(&mut json).and_then(|()| json.end());
    if let Err(error) = end
        // An empty file holds no entry, not a broken one.
        && (error.line(), error.column()) != (1, 0)
    {
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        read.entries += 1;
        let place = format_args!("line {}, column {}", error.line(), error.column());
        read.broken.add(place, format_args!("{said}; nothing after this was read"));
    }
    read
}

/// The list, each of whose entries is taken as it comes.
struct Entries<'a> {
    read: &'a mut Read,
    want: &'a Want<'a>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(serde::de::Error::custom("expected a list of conversations, found an object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { read, want } = self;
        while let Some(entry) = entries.next_element::<Value>()? {
            let place = read.entries;
            read.entries += 1;
            match prompt(&entry, want) {
                Ok(prompt) => read.prompts.push(prompt),
                Err(Out::Broken(reason)) => read.broken.add(format_args!("entry {place}"), reason),
                Err(Out::Pruned(reason)) => read.pruned.add(format_args!("entry {place}"), reason),
            }
        }
        Ok(())
    }
}

/// Why an entry is left out.
enum Out {
    Broken(String),
    Pruned(String),
}

fn prompt(entry: &Value, want: &Want<'_>) -> Result<Prompt, Out> {
    let max_tokens = want.max_tokens;
    let object =
        entry.as_object().ok_or_else(|| Out::Broken(format!("expected an object, found {}", kind(entry))))?;
    let turns = object.get("conversations").or_else(|| object.get("messages"));
    let turns = turns.ok_or_else(|| Out::Broken("expected the key `conversations`".to_owned()))?;
    let turns = turns
        .as_array()
        .ok_or_else(|| Out::Broken(format!("conversations: expected a list, found {}", kind(turns))))?;
    let all = turns;
    let mut turns =
        all.iter().enumerate().skip_while(|(_, turn)| speaker(turn).is_some_and(|who| who != Speaker::Human));
    let (i, first) = turns
        .next()
        .ok_or_else(|| Out::Broken("conversations: expected a turn of the human, found none".to_owned()))?;
    if speaker(first).is_none() {
        return Err(Out::Broken(format!(
            "conversations[{i}]: expected the keys `from` and `value`, or `role` and `content`"
        )));
    }
    let text = said(first).map_err(|reason| Out::Broken(format!("conversations[{i}]: {reason}")))?;
    let tokens = (want.count)(text);
    if tokens < MIN_TOKENS {
        return Err(Out::Pruned(format!("the prompt has fewer than {MIN_TOKENS} tokens")));
    }
    if tokens > MAX_PROMPT_TOKENS {
        return Err(Out::Pruned(format!("the prompt has more than {MAX_PROMPT_TOKENS} tokens ({tokens})")));
    }
    let own = || {
        let next = turns.next().map(|(_, turn)| turn);
        let answer = next.filter(|turn| speaker(turn) == Some(Speaker::Model));
        let tokens = answer.and_then(|turn| said(turn).ok()).map(|text| (want.count)(text));
        tokens.filter(|&tokens| tokens >= MIN_TOKENS)
    };
    let Some(answer) = max_tokens.or_else(own) else {
        let message = format!("no answer of {MIN_TOKENS} tokens or more follows the prompt");
        return Err(Out::Pruned(message));
    };
    if max_tokens.is_none() && tokens + answer > MAX_TOTAL_TOKENS {
        return Err(Out::Pruned(format!(
            "prompt and answer have more than {MAX_TOTAL_TOKENS} tokens ({})",
            tokens + answer
        )));
    }
    let mut prompt = made(PromptKind::Text(text.to_owned()), Some(answer));
    if want.turns {
        prompt.turns = later_turns(all.get(i + 1..).unwrap_or_default(), want);
    }
    Ok(prompt)
}

/// The turns after the first, each with the answer before it, as far as human and model take turns and
/// every turn's answer has a length.
fn later_turns(rest: &[Value], want: &Want<'_>) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut rest = rest.iter();
    let of = |turn: Option<&Value>, who: Speaker| {
        turn.filter(|turn| speaker(turn) == Some(who)).and_then(|turn| said(turn).ok()).map(str::to_owned)
    };
    let mut answer = of(rest.next(), Speaker::Model);
    while answer.is_some() {
        let Some(asked) = of(rest.next(), Speaker::Human) else { break };
        let next = of(rest.next(), Speaker::Model);
        let Some(max_tokens) = want.max_tokens.or_else(|| next.as_deref().map(|text| (want.count)(text)))
        else {
            break;
        };
        turns.push(Turn {
            answer: answer.take(),
            messages: vec![Message::new("user", asked)],
            max_tokens: Some(max_tokens),
            ..Turn::default()
        });
        answer = next;
    }
    turns
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Speaker {
    Human,
    Model,
    Other,
}

/// Who speaks; `None` when the turn does not say.
fn speaker(turn: &Value) -> Option<Speaker> {
    let name = turn.get("from").or_else(|| turn.get("role"))?.as_str()?;
    Some(match name {
        "human" | "user" => Speaker::Human,
        "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "model" => Speaker::Model,
        _ => Speaker::Other,
    })
}

fn said(turn: &Value) -> Result<&str, String> {
    let value =
        turn.get("value").or_else(|| turn.get("content")).ok_or("expected the key `value` or `content`")?;
    match value.as_str() {
        Some(text) if !text.trim().is_empty() => Ok(text),
        Some(_) => Err("expected text, found none".to_owned()),
        None => Err(format!("expected text, found {}", kind(value))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::tokens::approx_tokens;
    use super::*;

    const WANT: Want<'static> = Want { max_tokens: None, turns: false, count: &approx_tokens };

    const GOOD: &str = r#"[
        {"id": "a", "conversations": [{"from": "human", "value": "What is the tallest hill here?"}, {"from": "gpt", "value": "The one behind the house."}]},
        {"conversations": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name five large rivers"}, {"role": "assistant", "content": "Nile, Amazon, Volga, Rhine, Congo"}]},
        {"conversations": [{"from": "gpt", "value": "as I said"}, {"from": "human", "value": "go on, please, I listen"}, {"from": "gpt", "value": "and then it was over"}]}
    ]"#;

    #[test]
    fn both_spellings_are_read() {
        let read = parse(GOOD.as_bytes(), &WANT);
        assert_eq!((read.entries, read.broken.count, read.pruned.count), (3, 0, 0));
        let seen: Vec<_> =
            read.prompts.iter().map(|prompt| (prompt.text().into_owned(), prompt.max_tokens)).collect();
        assert_eq!(
            seen,
            [
                ("What is the tallest hill here?".to_owned(), Some(6)),
                ("Name five large rivers".to_owned(), Some(9)),
                ("go on, please, I listen".to_owned(), Some(5)),
            ]
        );
        let limited = parse(GOOD.as_bytes(), &Want { max_tokens: Some(32), ..WANT });
        assert!(limited.prompts.iter().all(|prompt| prompt.max_tokens == Some(32)));
    }

    #[test]
    fn broken_entries_are_counted_with_where_and_why() {
        let text = r#"[7, {"id": 1}, {"conversations": 3}, {"conversations": []}, {"conversations": [{"from": "human"}]},
            {"conversations": [{"from": "human", "value": 9}]}, {"conversations": [{"text": "x"}]},
            {"conversations": [{"from": "human", "value": "What is it that you do?"}, {"from": "gpt", "value": "I answer all questions."}]}]"#;
        let read = parse(text.as_bytes(), &WANT);
        assert_eq!((read.entries, read.broken.count, read.prompts.len()), (8, 7, 1));
        insta::assert_snapshot!(read.broken.reasons.join("\n"), @r"
        entry 0: expected an object, found a number
        entry 1: expected the key `conversations`
        entry 2: conversations: expected a list, found a number
        entry 3: conversations: expected a turn of the human, found none
        entry 4: conversations[0]: expected the key `value` or `content`
        ");
    }

    #[test]
    fn entries_of_unusual_length_are_left_out_as_vllm_bench_does() {
        let entry = |prompt: &str, answer: &str| {
            format!(
                r#"{{"conversations": [{{"from": "human", "value": "{prompt}"}}, {{"from": "gpt", "value": "{answer}"}}]}}"#
            )
        };
        let long = |n: usize| vec!["word"; n].join(" ");
        let rows = [
            entry("hi", &long(9)),
            entry(&long(1025), &long(9)),
            entry(&long(9), "no"),
            entry(&long(1024), &long(1025)),
            entry(&long(1024), &long(1024)),
        ];
        let read = parse(format!("[{}]", rows.join(",")).as_bytes(), &WANT);
        assert_eq!((read.pruned.count, read.prompts.len()), (4, 1));
        insta::assert_snapshot!(read.pruned.reasons.join("\n"), @r"
        entry 0: the prompt has fewer than 4 tokens
        entry 1: the prompt has more than 1024 tokens (1025)
        entry 2: no answer of 4 tokens or more follows the prompt
        entry 3: prompt and answer have more than 2048 tokens (2049)
        ");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_list() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("\u{feff}{GOOD}")).unwrap();
        assert_eq!(super::read(file.path(), &WANT).unwrap().prompts.len(), 3);
    }

    #[test]
    fn half_a_download_keeps_what_it_has_and_says_so() {
        let half = &GOOD[..GOOD.len() - 150];
        let read = parse(half.as_bytes(), &WANT);
        assert_eq!((read.prompts.len(), read.broken.count), (2, 1));
        insta::assert_snapshot!(read.broken.reasons.join("\n"), @"line 4, column 27: EOF while parsing a list; nothing after this was read");
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let refused = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let error = read(file.path(), &WANT).unwrap_err();
            let mut out = Vec::new();
            crate::error::print(&mut out, &error).unwrap();
            String::from_utf8(out).unwrap().replace(&file.path().display().to_string(), "FILE")
        };
        insta::assert_snapshot!(refused("{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n"), @r"
        error: none of the 1 entries of `FILE` can be sent
          line 1, column 2: expected a list of conversations, found an object; nothing after this was read
        hint: it looks like JSON Lines: choose --dataset-name custom
        ");
        insta::assert_snapshot!(refused("PK\u{3}\u{4}"), @r"
        error: none of the 1 entries of `FILE` can be sent
          line 1, column 1: expected value; nothing after this was read
        hint: it looks like a zip archive: unpack it first
        ");
        assert_eq!(refused(""), refused("[]"));
        insta::assert_snapshot!(refused("[]"), @r#"
        error: `FILE` holds no entries
        hint: expected a JSON list of `{"conversations": [{"from": "human", "value": text}, …]}`
        "#);
        insta::assert_snapshot!(refused("[{\"conversations\": []}]"), @r#"
        error: none of the 1 entries of `FILE` can be sent
          entry 0: conversations: expected a turn of the human, found none
        hint: expected a JSON list of `{"conversations": [{"from": "human", "value": text}, …]}`
        "#);
    }

    #[test]
    fn whole_conversations_are_held_as_long_as_they_are_answered() {
        let text = r#"[{"conversations": [
            {"from": "system", "value": "Be short."},
            {"from": "human", "value": "What is the tallest hill here?"},
            {"from": "gpt", "value": "It is the one behind you."},
            {"from": "human", "value": "And the next?"},
            {"from": "gpt", "value": "Six words are in this answer."},
            {"from": "human", "value": "Nobody answers this."}]}]"#;
        let read = parse(text.as_bytes(), &Want { turns: true, ..WANT });
        let prompt = &read.prompts[0];
        assert_eq!(
            (prompt.text().into_owned(), prompt.turns.len()),
            ("What is the tallest hill here?".to_owned(), 1)
        );
        let turn = &prompt.turns[0];
        assert_eq!(turn.answer.as_deref(), Some("It is the one behind you."));
        assert_eq!((turn.messages[0].content.as_str(), turn.max_tokens), ("And the next?", Some(7)));
        // With a limit of its own, the last turn needs no answer to have a length.
        let all = parse(text.as_bytes(), &Want { turns: true, max_tokens: Some(9), ..WANT });
        assert_eq!(all.prompts[0].turns.iter().map(|t| t.max_tokens).collect::<Vec<_>>(), [Some(9), Some(9)]);
        assert!(parse(text.as_bytes(), &WANT).prompts[0].turns.is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,80}|[\\[\\]{}:,\"a-z0-9 ]{0,80}") {
            let read = parse(text.as_bytes(), &WANT);
            prop_assert_eq!(read.entries, read.broken.count + read.pruned.count + read.prompts.len() as u64);
        }

        #[test]
        fn any_prefix_of_a_good_file_is_read_without_panic(length in 1..GOOD.len()) {
            let read = parse(&GOOD.as_bytes()[..length], &WANT);
            prop_assert_eq!(read.entries, read.broken.count + read.pruned.count + read.prompts.len() as u64);
            prop_assert_eq!(read.broken.count, 1);
        }
    }
}
