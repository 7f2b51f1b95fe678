//! Conversations taken apart into turns: what is sent before each answer. This file must not know
//! where a conversation comes from.

use crate::record::{Message, Prompt, PromptKind, Turn};

/// What is sent first, and the later turns. Everything before an answer of the model that is plain text
/// is one turn's; what follows the last such answer is sent only if a user said something in it. A tool
/// call and its result belong to the turn in which they were made.
pub fn split(messages: Vec<Message>) -> (Vec<Message>, Vec<Turn>) {
    let mut parts: Vec<(Option<String>, Vec<Message>)> = vec![(None, Vec::new())];
    for message in messages {
        let is_answer = message.role == "assistant" && message.whole.is_none();
        let Some((answer, said)) = parts.last_mut() else { break };
        if is_answer && !said.is_empty() {
            parts.push((Some(message.content), Vec::new()));
        } else if let (true, Some(answer)) = (is_answer, answer.as_mut()) {
            // Two answers in a row are one.
            answer.push('\n');
            answer.push_str(&message.content);
        } else {
            said.push(message);
        }
    }
    let mut parts = parts.into_iter();
    let first = parts.next().map(|(_, said)| said).unwrap_or_default();
    let asked = |said: &[Message]| said.iter().any(|message| message.role == "user");
    let turns = parts.filter(|(_, said)| asked(said)).map(|(answer, messages)| Turn {
        answer,
        messages,
        ..Turn::default()
    });
    (first, turns.collect())
}

/// Makes a prompt that holds a whole conversation one that holds it turn by turn. Each turn has the
/// limit of the whole.
pub fn apart(mut prompt: Prompt) -> Prompt {
    let PromptKind::Chat(messages) = prompt.kind else { return prompt };
    let (first, mut turns) = split(messages);
    for turn in &mut turns {
        turn.max_tokens = prompt.max_tokens;
    }
    let sized = super::jsonl::made(PromptKind::Chat(first), prompt.max_tokens);
    (prompt.kind, prompt.chars, prompt.approx_tokens) = (sized.kind, sized.chars, sized.approx_tokens);
    if !turns.is_empty() {
        // Counted for all of it.
        prompt.exact_tokens = None;
    }
    prompt.turns.splice(..0, turns);
    prompt
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(role: &str, content: &str) -> Message {
        Message::new(role, content)
    }

    fn words(messages: &[Message]) -> String {
        messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("+")
    }

    #[test]
    fn a_turn_is_what_is_said_before_an_answer() {
        let (first, turns) = split(vec![
            said("system", "s"),
            said("user", "1"),
            said("assistant", "a"),
            said("assistant", "b"),
            said("user", "2"),
            said("assistant", "c"),
            said("user", "3"),
        ]);
        assert_eq!(words(&first), "s+1");
        let turns: Vec<_> = turns.iter().map(|t| (t.answer.clone().unwrap(), words(&t.messages))).collect();
        assert_eq!(turns, [("a\nb".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn tool_calls_stay_in_their_turn_and_an_answer_at_the_end_asks_nothing() {
        let call = Message {
            whole: Some(serde_json::json!({"role": "assistant", "tool_calls": []})),
            ..said("assistant", "")
        };
        let (first, turns) =
            split(vec![said("user", "1"), call, said("tool", "result"), said("assistant", "a")]);
        assert_eq!((words(&first), turns.len()), ("1++result".to_owned(), 0));
        // Without a word of the user before it, an answer is part of what is sent.
        let (first, turns) =
            split(vec![said("assistant", "hello"), said("user", "1"), said("assistant", "a")]);
        assert_eq!((words(&first), turns.len()), ("hello+1".to_owned(), 0));
    }
}
