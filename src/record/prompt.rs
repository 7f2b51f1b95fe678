//! What one request asks: made by the workload, sent by the load. This file must not know where
//! prompts come from or how they are sent.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// One prompt, and, where it begins a conversation, what is said later in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    pub kind: PromptKind,
    /// This answer's length limit; `None` leaves it to the server.
    pub max_tokens: Option<u32>,
    /// Characters of all its text.
    pub chars: u32,
    /// Tokens of its text by the rule of `workload::tokens`: an estimate, chat template not counted.
    pub approx_tokens: u32,
    /// Tokens of its text by the run's tokenizer, if it has one: special tokens counted, chat template not.
    pub exact_tokens: Option<u32>,
    /// Further fields of the request's body (`tools`, `response_format`, …), as the dataset has them.
    pub extra: Map<String, Value>,
    /// The turns that follow once this one is answered; none outside of conversations.
    pub turns: Vec<Turn>,
    /// When it is to be sent, in seconds from the run's begin, where the dataset says that.
    pub at_s: Option<f64>,
}

/// A prompt is a conversation or one piece of text; either can be sent to either endpoint.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum PromptKind {
    Chat(Vec<Message>),
    Text(String),
}

impl Default for PromptKind {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A later turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What the dataset has for an answer to the turn before.
    pub answer: Option<String>,
    /// What is said then: as a rule one message of the user.
    pub messages: Vec<Message>,
    pub max_tokens: Option<u32>,
    /// Time between the answer to the turn before and this one.
    pub think_s: f64,
    /// Tokens of its messages by the run's tokenizer, if it has one; a chat template not counted.
    pub exact_tokens: Option<u32>,
}

/// Which answers a conversation is carried on with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// The server's own.
    #[default]
    Answers,
    /// Those of the dataset; the server's where it has none.
    Dataset,
}

impl History {
    /// The word used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            History::Answers => "answers",
            History::Dataset => "dataset",
        }
    }
}

/// One message of a conversation, with the keys of the chat API.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Message {
    pub role: String,
    /// Its text: what is counted, and what the completions API is sent.
    pub content: String,
    /// The message as the dataset has it, where that is more than a role and a text: images and other
    /// parts, tool calls, names. It is sent as it stands.
    pub whole: Option<Value>,
}

impl Message {
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), whole: None }
    }

    /// Puts a text in front of what it says.
    pub fn begin_with(&mut self, text: &str) {
        self.content = format!("{text} {}", self.content);
        let content = self.whole.as_mut().and_then(|whole| whole.get_mut("content"));
        match content {
            Some(Value::String(said)) => *said = format!("{text} {said}"),
            Some(Value::Array(parts)) => {
                parts.insert(0, serde_json::json!({"type": "text", "text": text}));
            }
            _ => {}
        }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Some(whole) = &self.whole {
            return whole.serialize(to);
        }
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("role", &self.role)?;
        map.serialize_entry("content", &self.content)?;
        map.end()
    }
}

impl Prompt {
    /// The prompt as the chat API wants it: plain text is one message of the user.
    pub fn messages(&self) -> Cow<'_, [Message]> {
        match &self.kind {
            PromptKind::Chat(messages) => messages.into(),
            PromptKind::Text(text) => vec![Message::new("user", text)].into(),
        }
    }

    /// The prompt as the completions API wants it: the contents of a conversation, a line each.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.kind {
            PromptKind::Chat(messages) => {
                messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n").into()
            }
            PromptKind::Text(text) => text.into(),
        }
    }

    /// Its tokens as well as they are known.
    pub fn tokens(&self) -> u32 {
        self.exact_tokens.unwrap_or(self.approx_tokens)
    }

    /// Requests that it is good for: one, and one for each later turn.
    pub fn requests(&self) -> u64 {
        1 + self.turns.len() as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_sent_as_the_dataset_has_it() {
        let plain = Message::new("user", "hi");
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"role":"user","content":"hi"}"#);
        let parts = json!({"role": "user", "name": "x", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]});
        let mut message = Message { whole: Some(parts.clone()), ..Message::new("user", "") };
        assert_eq!(serde_json::to_value(&message).unwrap(), parts);
        message.begin_with("salt");
        let sent = serde_json::to_value(&message).unwrap();
        assert_eq!(sent["content"][0], json!({"type": "text", "text": "salt"}));
        assert_eq!(sent["content"][1], parts["content"][0]);
    }
}
