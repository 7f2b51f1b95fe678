//! Chunks as servers write them, and as they should not.

use super::*;

// The next three are chunks of vLLM 0.32, shortened at `…`.
#[test]
fn a_role_only_chunk_is_no_token() {
    let chunk = parse(br#"{"id":"chatcmpl-sse-chat-contusage","object":"chat.completion.chunk","created":1795533250,"model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":28,"total_tokens":28,"completion_tokens":0,"completion_tokens_details":null},"prompt_token_ids":null,"prompt_text":null}"#).unwrap();
    assert!(!chunk.has_text);
    assert_eq!(chunk.usage.unwrap().completion_tokens, Some(0));
    assert_eq!(chunk.id.as_deref(), Some("chatcmpl-sse-chat-contusage"));
}

#[test]
fn content_reasoning_text_and_tool_calls_bear_tokens() {
    let content =
        parse(br#"{"choices":[{"index":0,"delta":{"content":" app"},"finish_reason":null}]}"#).unwrap();
    assert!(content.has_text && content.has_content);
    for reasoning in [
        &br#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#[..],
        br#"{"choices":[{"index":0,"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":""}}}]}"#,
    ] {
        let reasoning = parse(reasoning).unwrap();
        assert!(reasoning.has_text && !reasoning.has_content);
    }
    let tool = parse(br#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#).unwrap();
    assert!(tool.has_text && !tool.has_content);
    let text = parse(br#"{"choices":[{"index":0,"text":" voice","finish_reason":"length"}]}"#).unwrap();
    assert!(text.has_content);
    assert_eq!(text.finish_reason.as_deref(), Some("length"));
}

#[test]
fn the_usage_chunk_brings_the_in_band_metrics() {
    let chunk = parse(br#"{"id":"x","choices":[],"usage":{"prompt_tokens":22,"total_tokens":38,"completion_tokens":16},"metrics":{"time_to_first_token_ms":18.74,"generation_time_ms":87.74,"queue_time_ms":0.0318,"mean_itl_ms":5.8,"tokens_per_second":150.2}}"#).unwrap();
    assert_eq!(chunk.usage, Some(Usage { prompt_tokens: Some(22), completion_tokens: Some(16) }));
    assert_eq!(chunk.in_band.unwrap().queue_time_ms, Some(0.0318));
}

// The closing chunk of a llama.cpp b11549, shortened at `…`.
#[test]
fn the_timings_of_llama_cpp_are_prefill_and_decode() {
    let chunk = parse(br#"{"choices":[],"id":"chatcmpl-IJAH1iDM","object":"chat.completion.chunk","usage":{"completion_tokens":4,"prompt_tokens":16,"total_tokens":20,"prompt_tokens_details":{"cached_tokens":0}},"timings":{"cache_n":0,"prompt_n":16,"prompt_ms":1.597,"prompt_per_token_ms":0.0998125,"prompt_per_second":10018.785222291797,"predicted_n":4,"predicted_ms":0.961,"predicted_per_token_ms":0.3203333333333333,"predicted_per_second":3121.7481789802296}}"#).unwrap();
    let expected =
        InBand { time_to_first_token_ms: Some(1.597), generation_time_ms: Some(0.961), queue_time_ms: None };
    assert_eq!(chunk.in_band, Some(expected));
    assert_eq!(chunk.cached_tokens, Some(0));
    assert_eq!(chunk.usage, Some(Usage { prompt_tokens: Some(16), completion_tokens: Some(4) }));
}

#[test]
fn a_whole_answer_is_read_the_same_way() {
    let chunk = parse(br#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":" a"},"finish_reason":"length"}],"usage":{"prompt_tokens":28,"completion_tokens":8}}"#).unwrap();
    assert!(chunk.has_content);
    assert_eq!(chunk.finish_reason.as_deref(), Some("length"));
}

#[test]
fn other_servers_shapes_are_no_errors() {
    // A number for an id, an empty finish reason, usage and metrics of other makes, content in parts.
    let chunk = parse(br#"{"id":7,"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"a"}],"tool_calls":null},"finish_reason":""}],"usage":"many","metrics":{"queue_time_ms":"soon"}}"#).unwrap();
    assert_eq!(chunk.id.as_deref(), Some("7"));
    assert!(
        chunk.has_content
            && chunk.finish_reason.is_none()
            && chunk.usage.is_none()
            && chunk.in_band.is_none()
    );
    let both = parse(br#"{"choices":[{"delta":{"content":"a\u00e9"},"message":{"content":""},"finish_reason":null}],"error":null}"#).unwrap();
    assert!(both.has_content && both.error.is_none());
}

#[test]
fn choices_are_told_apart() {
    let chunk = parse(br#"{"choices":[{"index":2,"delta":{"content":""},"finish_reason":"stop"},{"index":0,"delta":{"content":"x"}}]}"#).unwrap();
    assert_eq!((chunk.choices, chunk.finished), (0b101, 0b100));
    assert_eq!(parse(br#"{"choices":[]}"#).unwrap().choices, 0);
}

#[test]
fn errors_are_read() {
    let chunk =
        parse(br#"{"error":{"message":"EngineCore died","type":"InternalServerError","code":500}}"#).unwrap();
    assert_eq!(chunk.error.as_deref(), Some("EngineCore died"));
    assert!(parse(b"<html>").unwrap_err().starts_with("expected a JSON chunk, found `<html>`"));
}

/// What would be made of them would be wrong without a sign of it.
#[test]
fn absurd_counts_and_times_are_errors() {
    for count in ["-5", "100000001", "9223372036854775808", "-9223372036854775808", "1e40", "-0.5", "1e400"] {
        for key in ["prompt_tokens", "completion_tokens"] {
            let error = parse(format!("{{\"usage\":{{\"{key}\":{count}}}}}").as_bytes()).unwrap_err();
            let expected =
                if count == "1e400" { "number out of range" } else { "expected a count of tokens" };
            assert!(error.contains(expected), "{error}");
        }
    }
    let shapes = parse(br#"{"usage":{"prompt_tokens":null,"completion_tokens":2.5}}"#).unwrap();
    assert_eq!(shapes.usage, Some(Usage::default()), "another shape is no error");
    for ms in ["1e308", "-1e10"] {
        let error = parse(format!("{{\"metrics\":{{\"queue_time_ms\":{ms}}}}}").as_bytes()).unwrap_err();
        assert!(error.contains("at most 30 days in milliseconds"), "{error}");
    }
}
