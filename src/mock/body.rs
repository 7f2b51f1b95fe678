//! Bodies of chat and text completions and of responses: from bytes to what has to be computed and how it is
//! to be told. Wrong ones are refused as vLLM refuses them. This file must not know the engine.
//!
//! Fields that it does not know are ignored, `stop` strings among them: they never match here.

use serde::Deserialize;

use super::json_error::{missing, parse_json};
use super::params::Params;
use super::reject::Reject;
use super::tokens;

/// Output tokens of a text completion that does not say how many.
const COMPLETION_DEFAULT: i64 = 16;

/// What an answer is asked of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Api {
    Chat,
    Completions,
    Responses,
}

/// A body as sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    pub model: Option<String>,
    pub request_id: Option<String>,
    /// `SGLang`'s word for it.
    pub rid: Option<String>,
    pub stream: Option<bool>,
    messages: Option<Vec<Message>>,
    prompt: Option<Prompt>,
    stream_options: Option<StreamOptions>,
    stream_interval: Option<i64>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    // Of responses.
    input: Option<Input>,
    instructions: Option<String>,
    max_output_tokens: Option<i64>,
    min_tokens: Option<i64>,
    n: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    repetition_penalty: Option<f64>,
    seed: Option<i64>,
    ignore_eos: Option<bool>,
    // Of `/tokenize`.
    add_generation_prompt: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: Option<bool>,
    continuous_usage_stats: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Ids(Vec<u32>),
    Texts(Vec<String>),
    IdLists(Vec<Vec<u32>>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Message>),
}

/// What is to be computed, and how it is to be told.
#[derive(Debug)]
pub struct Job {
    pub api: Api,
    /// Of responses: what they are to say again.
    pub instructions: Option<String>,
    pub prompt: Vec<u32>,
    pub params: Params,
    pub stream: bool,
    pub include_usage: bool,
    pub continuous_usage: bool,
    /// Tokens per event after the first one.
    pub stream_interval: u32,
}

/// Reads a body; `api` decides which fields it must have.
pub fn parse(bytes: &[u8], api: Api) -> Result<Body, Reject> {
    let mut body: Body = parse_json(bytes)?;
    match api {
        Api::Chat if body.messages.is_none() => return Err(missing("messages", bytes, 0)),
        // The real one has put a field of its own there by then.
        Api::Responses if body.input.is_none() => return Err(missing("input", bytes, 1)),
        // Another API's options, which are ignored here as there.
        Api::Responses => body.stream_options = None,
        _ => {}
    }
    if api == Api::Completions && body.prompt.is_none() {
        return Err(Reject::value(
            "Either prompt or prompt_embeds must be provided and non-empty.",
            "prompt",
            "None",
        ));
    }
    if body.stream_options.is_some() && !body.stream.unwrap_or(false) {
        let what = "Stream options can only be defined when `stream=True`.";
        return Err(Reject::validation("value_error", "body.stream_options", what, "<dict>", Some(what)));
    }
    Ok(body)
}

/// Reads a body of `/tokenize`, which may be either kind.
pub fn parse_tokenize(bytes: &[u8]) -> Result<Body, Reject> {
    let body: Body = parse_json(bytes)?;
    if body.messages.is_none() && body.prompt.is_none() { Err(missing("prompt", bytes, 0)) } else { Ok(body) }
}

impl Body {
    /// Whether it asks for usage in every event.
    pub fn wants_continuous_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|o| o.continuous_usage_stats.unwrap_or(false))
    }

    /// The prompt in tokens.
    pub fn prompt_tokens(&self) -> Result<Vec<u32>, Reject> {
        if let Some(messages) = &self.messages {
            let messages: Vec<(String, String)> = messages.iter().map(Message::text).collect();
            let turns = messages.iter().map(|(role, content)| (role.as_str(), content.as_str()));
            return Ok(tokens::conversation(turns, self.add_generation_prompt.unwrap_or(true)));
        }
        if let Some(input) = &self.input {
            let mut messages: Vec<(String, String)> =
                self.instructions.iter().map(|text| ("system".to_owned(), text.clone())).collect();
            match input {
                Input::Text(text) => messages.push(("user".to_owned(), text.clone())),
                Input::Items(items) => messages.extend(items.iter().map(Message::text)),
            }
            let turns = messages.iter().map(|(role, content)| (role.as_str(), content.as_str()));
            return Ok(tokens::conversation(turns, true));
        }
        let several = || Reject::value("prompt must be a single prompt.", "prompt", "list");
        let ids = match &self.prompt {
            Some(Prompt::Text(text)) => tokens::prompt(text),
            Some(Prompt::Ids(ids)) => ids.clone(),
            Some(Prompt::Texts(texts)) => match texts.as_slice() {
                [text] => tokens::prompt(text),
                _ => return Err(several()),
            },
            Some(Prompt::IdLists(lists)) => match lists.as_slice() {
                [ids] => ids.clone(),
                _ => return Err(several()),
            },
            None => Vec::new(),
        };
        if ids.is_empty() {
            return Err(Reject::value("The prompt must not be empty.", "prompt", "[]"));
        }
        Ok(ids)
    }

    /// What to do, for a model with this context length.
    pub fn job(self, api: Api, max_model_len: u32) -> Result<Job, Reject> {
        let limit = i64::from(max_model_len);
        let (name, asked) = match (api, self.max_completion_tokens, self.max_tokens) {
            (Api::Chat, Some(tokens), _) => ("max_completion_tokens", Some(tokens)),
            (Api::Chat, None, tokens) => ("max_tokens", tokens),
            (Api::Completions, _, tokens) => ("max_tokens", Some(tokens.unwrap_or(COMPLETION_DEFAULT))),
            (Api::Responses, _, _) => ("max_output_tokens", self.max_output_tokens),
        };
        if let Some(tokens) = asked.filter(|tokens| *tokens > limit) {
            let what = format!(
                "{name}={tokens} cannot be greater than max_model_len={limit}. Please request fewer output tokens."
            );
            return Err(Reject::value(&what, name, &tokens.to_string()));
        }
        let prompt = self.prompt_tokens()?;
        if prompt.len() > max_model_len as usize {
            return Err(Reject::prompt_too_long(max_model_len, prompt.len()));
        }
        let room = limit - i64::try_from(prompt.len()).unwrap_or(limit);
        let params = self.params(asked.map_or(room, |tokens| tokens.min(room)));
        params.check()?;
        let options = self.stream_options.unwrap_or_default();
        let include_usage = options.include_usage.unwrap_or(false);
        Ok(Job {
            api,
            instructions: self.instructions,
            prompt,
            params,
            stream: self.stream.unwrap_or(false),
            include_usage,
            continuous_usage: include_usage && options.continuous_usage_stats.unwrap_or(false),
            stream_interval: self.stream_interval.unwrap_or(1).clamp(1, 1 << 20) as u32,
        })
    }

    fn params(&self, max_tokens: i64) -> Params {
        Params {
            n: self.n.unwrap_or(1),
            presence_penalty: self.presence_penalty.unwrap_or(0.0),
            frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(0),
            min_p: self.min_p.unwrap_or(0.0),
            seed: self.seed,
            ignore_eos: self.ignore_eos.unwrap_or(false),
            max_tokens,
            min_tokens: self.min_tokens.unwrap_or(0),
        }
    }
}

impl Message {
    fn text(&self) -> (String, String) {
        let content = match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().filter_map(|p| p.text.as_deref()).collect::<Vec<_>>().join("\n")
            }
        };
        (self.role.clone(), content)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn job_of(body: &str, api: Api) -> Result<Job, Reject> {
        parse(body.as_bytes(), api)?.job(api, 2048)
    }

    fn job(body: &str, chat: bool) -> Result<Job, Reject> {
        job_of(body, if chat { Api::Chat } else { Api::Completions })
    }

    #[test]
    fn defaults_are_those_of_vllm() {
        let chat = job(r#"{"messages":[{"role":"user","content":"hi"}]}"#, true).unwrap();
        assert_eq!(chat.params.max_tokens, 2048 - i64::try_from(chat.prompt.len()).unwrap());
        assert!(!chat.stream && !chat.include_usage && chat.stream_interval == 1);
        let text = job(r#"{"prompt":"hi"}"#, false).unwrap();
        assert_eq!(text.params.max_tokens, 16);
        assert!((text.params.temperature - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn content_may_be_parts_and_prompts_may_be_tokens() {
        let plain = job(r#"{"messages":[{"role":"user","content":"a b"}]}"#, true).unwrap();
        let parts = job(
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a b"},{"type":"image_url","image_url":{}}]}]}"#,
            true,
        )
        .unwrap();
        assert_eq!(plain.prompt, parts.prompt);
        assert_eq!(job(r#"{"prompt":[5,6,7]}"#, false).unwrap().prompt, [5, 6, 7]);
        assert_eq!(job(r#"{"prompt":[[5,6]]}"#, false).unwrap().prompt, [5, 6]);
        assert_eq!(
            job(r#"{"prompt":["x"]}"#, false).unwrap().prompt,
            job(r#"{"prompt":"x"}"#, false).unwrap().prompt
        );
        assert!(job(r#"{"prompt":["x","y"]}"#, false).unwrap_err().message.contains("single prompt"));
        assert!(job(r#"{"prompt":[]}"#, false).unwrap_err().message.contains("must not be empty"));
    }

    #[test]
    fn responses_take_text_or_messages() {
        let of = |body: &str| job_of(body, Api::Responses);
        let text = of(r#"{"input":"a b","max_output_tokens":9,"stream_options":{}}"#).unwrap();
        assert_eq!((text.params.max_tokens, text.include_usage), (9, false));
        let items =
            of(r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a b"}]}]}"#).unwrap();
        assert_eq!(items.prompt, text.prompt);
        let told = of(r#"{"input":"a b","instructions":"Be short"}"#).unwrap();
        assert!(told.prompt.len() > text.prompt.len() && told.instructions.as_deref() == Some("Be short"));
        let missing = of(r#"{"model":"tiny","stream":true}"#).unwrap_err();
        assert!(missing.message.contains("'loc': 'body.input'"));
    }

    #[test]
    fn limits_clamp_or_refuse() {
        let long = format!(r#"{{"prompt":{},"max_tokens":2000}}"#, serde_json::json!(vec![7; 2000]));
        assert_eq!(job(&long, false).unwrap().params.max_tokens, 48, "what the context leaves");
        let full = format!(r#"{{"prompt":{}}}"#, serde_json::json!(vec![7; 2048]));
        assert!(job(&full, false).unwrap_err().message.starts_with("max_tokens must be at least 1, got 0."));
        let asked = job(r#"{"prompt":"x","max_tokens":3000}"#, false).unwrap_err();
        assert!(asked.message.starts_with("max_tokens=3000 cannot be greater than max_model_len=2048."));
        let chat = r#"{"messages":[{"role":"user","content":"x"}],"max_tokens":9,"max_completion_tokens":5}"#;
        assert_eq!(job(chat, true).unwrap().params.max_tokens, 5);
    }

    #[test]
    fn missing_fields_are_named() {
        let reject = job(r#"{"model":"m","stream":true}"#, true).unwrap_err();
        assert_eq!(reject.status, 400);
        assert_eq!(
            reject.message,
            "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', \
             'input': '<dict of 2 items>'}"
        );
        assert_eq!(reject.param.as_deref(), Some("body.messages"));
        assert!(job("", true).unwrap_err().message.contains("'loc': 'body'"));
        assert!(job("{}", false).unwrap_err().message.contains("prompt"));
    }

    #[test]
    fn usage_options_need_a_stream() {
        let body = r#"{"prompt":"x","stream_options":{"include_usage":true}}"#;
        assert!(job(body, false).unwrap_err().message.contains("only be defined when `stream=True`"));
        let body = r#"{"prompt":"x","stream":true,"stream_options":{"continuous_usage_stats":true}}"#;
        let job = job(body, false).unwrap();
        assert!(!job.include_usage && !job.continuous_usage, "the one is nothing without the other");
    }

    #[test]
    fn wrong_types_are_refused() {
        let reject = parse(br#"{"messages":[],"max_tokens":"many"}"#, Api::Chat).unwrap_err();
        assert_eq!(reject.status, 400);
        assert!(reject.message.contains("invalid type"), "{}", reject.message);
    }
}
