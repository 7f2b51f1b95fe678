//! The server's own tokenizer, asked over HTTP: `/tokenize`, as vLLM and `SGLang` have it (`prompt`), and
//! as llama.cpp's server does (`content`). This file must not know what is counted, or why.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{Asked, ask};
use super::trust::Trust;

const PATIENCE: Duration = Duration::from_mins(1);

/// How the server wants to be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// `{"model", "prompt"}` → `{"count", "tokens"}`; special tokens are added as for a completion.
    Prompt,
    /// `{"content", "add_special"}` → `{"tokens"}`.
    Content,
}

/// Where to ask.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub base_url: String,
    pub model: String,
    pub headers: Vec<(String, String)>,
    pub trust: Trust,
    pub dialect: Dialect,
}

impl Tokenizer {
    /// How many tokens a text has; an error in words where the server does not say.
    pub async fn count(&self, text: &str) -> Result<u32, String> {
        let url = format!("{}/tokenize", self.base_url.trim_end_matches('/'));
        let body = match self.dialect {
            Dialect::Prompt => json!({"model": self.model, "prompt": text}),
            Dialect::Content => json!({"content": text, "add_special": true}),
        };
        let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
        let answer = ask(&url, Some(body), &self.headers, PATIENCE, &self.trust).await?;
        read(&answer).ok_or_else(|| {
            let said = crate::plain::line(&answer.body, 200);
            format!("{url} answered HTTP {}: {said}", answer.status)
        })
    }
}

fn read(answer: &Asked) -> Option<u32> {
    if answer.status >= 300 {
        return None;
    }
    let value: Value = serde_json::from_str(&answer.body).ok()?;
    let listed = value.get("tokens").and_then(Value::as_array).map(|tokens| tokens.len() as u64);
    let count = value.get("count").and_then(Value::as_u64).or(listed)?;
    u32::try_from(count).ok()
}
