//! What an answer says, put together from its chunks: for conversations, which are carried on with it.
//! Read after the answer has ended. This file must not know when a chunk came.

use serde_json::Value;

/// The visible text of the first choice; reasoning and tool calls are no part of it.
pub fn answer_text<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> String {
    let mut text = String::new();
    for chunk in chunks {
        // What is no JSON has failed the request already.
        if let Ok(chunk) = serde_json::from_slice::<Value>(chunk) {
            said(&chunk, &mut text);
        }
    }
    text
}

fn said(chunk: &Value, text: &mut String) {
    let choices = chunk.get("choices").and_then(Value::as_array);
    let first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
    for choice in choices.into_iter().flatten().filter(first) {
        for content in ["/text", "/delta/content", "/message/content"] {
            content_text(choice.pointer(content), text);
        }
    }
    // The responses API: typed events, or a whole answer with its output.
    if chunk.get("type").and_then(Value::as_str) == Some("response.output_text.delta") {
        content_text(chunk.get("delta"), text);
    }
    let output = chunk.get("output").and_then(Value::as_array);
    // Others think, or call.
    let is_message = |item: &&Value| item.get("type").is_none_or(|kind| kind == "message");
    for item in output.into_iter().flatten().filter(is_message) {
        content_text(item.get("content"), text);
    }
}

/// Text, or parts of which some are text.
fn content_text(content: Option<&Value>, text: &mut String) {
    match content {
        Some(Value::String(piece)) => text.push_str(piece),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).for_each(|piece| text.push_str(piece));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: &[&str]) -> String {
        answer_text(chunks.iter().map(|chunk| chunk.as_bytes()))
    }

    #[test]
    fn streamed_chat_and_text_are_put_together() {
        let chat = [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"Good"}},{"index":1,"delta":{"content":"Bad"}}]}"#,
            "",
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":" day"}]},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"completion_tokens":2}}"#,
        ];
        assert_eq!(of(&chat), "Good day");
        assert_eq!(of(&[r#"{"choices":[{"index":0,"text":" a"}]}"#, r#"{"choices":[{"text":"b"}]}"#]), " ab");
    }

    #[test]
    fn whole_answers_and_the_responses_api_are_read_too() {
        assert_eq!(
            of(&[r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"all"}}]}"#]),
            "all"
        );
        assert_eq!(of(&[r#"{"type":"response.output_text.delta","delta":"x"}"#]), "x");
        assert_eq!(
            of(&[r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"whole"}]}]}"#]),
            "whole"
        );
        // As a real vLLM answers (`resp-nonstream`), the message after it by hand.
        let thinks = r#"{"output":[{"summary":[],"type":"reasoning","content":[{"text":" no part of it","type":"reasoning_text"}]},{"type":"message","content":[{"type":"output_text","text":"said"}]}]}"#;
        assert_eq!(of(&[thinks]), "said");
        assert_eq!(of(&["not json", "7"]), "");
    }
}
