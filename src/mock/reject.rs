//! Errors as the server answers them: status and an `OpenAI` error body, in vLLM's words and order of
//! keys. This file must not know what led to them.

use std::fmt::Write as _;

use serde::Serialize;

use super::head::reason;
use super::python;

/// A request that gets an error instead of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reject {
    pub status: u16,
    pub message: String,
    pub kind: String,
    pub param: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Info<'a>,
}

#[derive(Serialize)]
struct Info<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: u16,
}

impl Reject {
    /// A parameter with a value the model cannot take.
    pub fn value(what: &str, parameter: &str, value: &str) -> Self {
        Self {
            status: 400,
            message: format!("{what} (parameter={parameter}, value={value})"),
            kind: "BadRequestError".to_owned(),
            param: Some(parameter.to_owned()),
        }
    }

    /// One entry of what pydantic found wrong with the body.
    pub fn validation(kind: &str, location: &str, message: &str, input: &str, context: Option<&str>) -> Self {
        let mut entry = format!(
            "{{'type': {}, 'loc': {}, 'msg': {}, 'input': {}",
            python::quoted(kind),
            python::quoted(location),
            python::quoted(message),
            python::quoted(input)
        );
        if let Some(context) = context {
            let _ = write!(entry, ", 'ctx': {{'error': {}}}", python::quoted(context));
        }
        Self {
            status: 400,
            message: format!("1 validation error:\n  {entry}}}"),
            kind: "Bad Request".to_owned(),
            param: Some(location.to_owned()),
        }
    }

    pub fn unknown_model(asked: &str, served: &str) -> Self {
        Self {
            status: 404,
            message: format!("The model `{asked}` does not exist. Valid aliases: {served}."),
            kind: "NotFoundError".to_owned(),
            param: Some("model".to_owned()),
        }
    }

    pub fn prompt_too_long(limit: u32, tokens: usize) -> Self {
        // The real tokenizer stops one token beyond the limit.
        let tokens = tokens.min(limit as usize + 1);
        let what = format!(
            "This model's maximum context length is {limit} tokens. However, your prompt contains at least {tokens} \
             input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the \
             input prompt."
        );
        Self::value(&what, "input_tokens", &tokens.to_string())
    }

    /// An error that only has a status, as the framework makes it.
    pub fn status(status: u16, message: &str) -> Self {
        Self { status, message: message.to_owned(), kind: reason(status).to_owned(), param: None }
    }

    /// What a fault makes of a request.
    pub fn fault(status: u16) -> Self {
        let kind = match status {
            500 => "InternalServerError",
            503 => "ServiceUnavailableError",
            429 => "RateLimitError",
            400..=499 => "BadRequestError",
            _ => reason(status),
        };
        Self { status, message: reason(status).to_owned(), kind: kind.to_owned(), param: None }
    }

    pub fn body(&self) -> Vec<u8> {
        let error = Info {
            message: &self.message,
            kind: &self.kind,
            param: self.param.as_deref(),
            code: self.status,
        };
        serde_json::to_vec(&Body { error }).unwrap_or_default()
    }

    /// What the log says of it, when it says anything.
    pub fn log_line(&self) -> Option<String> {
        (self.status == 404 && self.kind == "NotFoundError").then(|| {
            format!(
                "Error with model error=ErrorInfo(message={}, type={}, param='model', code=404)",
                python::quoted(&self.message),
                python::quoted(&self.kind)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_an_unknown_model_as_vllm_does() {
        assert_eq!(
            Reject::unknown_model("nope", "tiny").log_line().as_deref(),
            Some(
                "Error with model error=ErrorInfo(message='The model `nope` does not exist. Valid aliases: tiny.', \
                 type='NotFoundError', param='model', code=404)"
            )
        );
        assert_eq!(Reject::status(404, "Not Found").log_line(), None);
    }

    #[test]
    fn statuses_have_the_kind_that_openai_clients_look_for() {
        let body = String::from_utf8(Reject::fault(500).body()).unwrap_or_default();
        assert_eq!(
            body,
            r#"{"error":{"message":"Internal Server Error","type":"InternalServerError","param":null,"code":500}}"#
        );
    }
}
