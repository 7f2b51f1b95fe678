//! Raw answers of a real vLLM, recorded: what each says, the same under any chunking, and whole only if its
//! end was seen. Where they are from: `tests/samples/openai/README.md`.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::net::ReadStamp;

macro_rules! samples {
    ($($endpoint:ident $name:literal,)*) => {
        [$((
            $name,
            Endpoint::$endpoint,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/openai/", $name, ".response.raw")).as_slice(),
        )),*]
    };
}

const SAMPLES: [(&str, Endpoint, &[u8]); 9] = samples![
    Chat "chat-think",
    Chat "chat-tool",
    Chat "chat-logprobs",
    Completions "comp-logprobs",
    Responses "resp-think",
    Responses "resp-tool",
    Responses "resp-reasoning",
    Responses "resp-logprobs",
    Responses "resp-nonstream",
];

/// Reads of these sizes, over and over, 100 ns apart.
fn record(endpoint: Endpoint, bytes: &[u8], sizes: &[usize]) -> (Recording, Status, Option<String>) {
    let mut recording = Recording::new(endpoint, 0, None, false);
    let (mut left, mut at, mut end) = (bytes, 1000, End::Closed(None));
    for size in sizes.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (read, rest) = left.split_at((*size).min(left.len()));
        let stamp = ReadStamp {
            kernel: Some(UnixNs(at)),
            user: UnixNs(at + 5),
            drained: true,
            empty_before: UnixNs(at - 50),
        };
        match recording.take(Received::plain(read, stamp, 0)) {
            Ok(true) => end = End::Complete,
            Ok(false) => {}
            Err(error) => end = End::Bad(error),
        }
        (left, at) = (rest, at + 100);
    }
    let (status, error) = recording.conclude(&end);
    (recording, status, error)
}

fn told(endpoint: Endpoint, bytes: &[u8], sizes: &[usize]) -> String {
    let (recording, status, error) = record(endpoint, bytes, sizes);
    let tokens: Vec<String> =
        recording.events.iter().map(|e| e.tokens.map_or("?".to_owned(), |n| n.to_string())).collect();
    format!(
        "{} {}{}; {} events, of {} tokens; first visible {:?}; usage {:?}/{:?}; in band {}",
        status.as_str(),
        recording.finish_reason.as_deref().unwrap_or("-"),
        error.map_or_else(String::new, |error| format!(" ({error})")),
        tokens.len(),
        tokens.join(" "),
        recording.first_content,
        recording.usage.prompt_tokens,
        recording.output_tokens(),
        recording.in_band.time_to_first_token_ms.is_some(),
    )
}

/// Of chats the role is no token; a name is one; what is not visible is a token all the same.
#[test]
fn real_answers_say_what_they_say() {
    let mut all = String::new();
    for (name, endpoint, bytes) in SAMPLES {
        writeln!(all, "{name}: {}", told(endpoint, bytes, &[bytes.len()])).unwrap();
    }
    insta::assert_snapshot!(all, @r"
    chat-think: ok length; 12 events, of 1 1 3 1 1 1 1 1 1 1 1 1 tokens; first visible Some(2); usage Some(16)/Some(14); in band true
    chat-tool: ok length; 32 events, of 1 1 20 10 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 tokens; first visible None; usage Some(16)/Some(60); in band true
    chat-logprobs: ok length; 3 events, of ? ? ? tokens; first visible None; usage Some(16)/Some(3); in band true
    comp-logprobs: ok length; 3 events, of 1 1 1 tokens; first visible Some(0); usage Some(2)/Some(3); in band true
    resp-think: ok max_output_tokens; 12 events, of ? ? ? ? ? ? ? ? ? ? ? ? tokens; first visible Some(2); usage Some(16)/Some(14); in band true
    resp-tool: ok max_output_tokens; 32 events, of ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? tokens; first visible None; usage Some(16)/Some(60); in band true
    resp-reasoning: ok max_output_tokens; 6 events, of ? ? ? ? ? ? tokens; first visible None; usage Some(16)/Some(6); in band true
    resp-logprobs: ok max_output_tokens; 3 events, of ? ? ? tokens; first visible None; usage Some(12)/Some(3); in band true
    resp-nonstream: ok max_output_tokens; 0 events, of  tokens; first visible None; usage Some(16)/Some(6); in band true
    ");
}

/// A stream of responses cut before its last event is no whole answer, however properly HTTP was ended.
#[test]
fn without_its_last_event_a_response_is_cut() {
    let (_, endpoint, bytes) = SAMPLES[4];
    let end = bytes.windows(25).position(|at| at == b"event: response.completed").unwrap();
    let chunk = bytes[..end].windows(2).rposition(|at| at == b"\r\n").unwrap();
    let begin = bytes[..chunk].windows(2).rposition(|at| at == b"\r\n").unwrap();
    let cut = [&bytes[..begin + 2], b"0\r\n\r\n"].concat();
    let (recording, status, error) = record(endpoint, &cut, &[cut.len()]);
    assert_eq!(status, Status::Cut);
    assert_eq!(error.unwrap(), "the answer ended without `response.completed` or `response.incomplete`");
    assert_eq!(recording.output_tokens(), None, "only the last event counts them");
}

/// The name of an event is only a sign: without it, what the data says decides.
#[test]
fn events_of_responses_need_no_names() {
    let (_, endpoint, bytes) = SAMPLES[4];
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let data: Vec<&str> = text.lines().filter(|line| line.starts_with("data: ")).collect();
    let data = data.join("\n\n") + "\n\n";
    let head = head.replace("transfer-encoding: chunked", "x-framing: none");
    let plain = format!("{head}\r\n\r\n{data}");
    assert_eq!(told(endpoint, plain.as_bytes(), &[999]), told(endpoint, bytes, &[999]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_says_the_same(which in 0..SAMPLES.len(), sizes in prop::collection::vec(1_usize..900, 1..40)) {
        let (_, endpoint, bytes) = SAMPLES[which];
        prop_assert_eq!(told(endpoint, bytes, &sizes), told(endpoint, bytes, &[bytes.len()]));
    }

    #[test]
    fn a_cut_answer_is_never_ok_before_its_end_was_seen(which in 0..SAMPLES.len(), share in 0.0..1.0_f64) {
        let (_, endpoint, bytes) = SAMPLES[which];
        let cut = (bytes.len() as f64 * share) as usize;
        let (recording, status, _) = record(endpoint, &bytes[..cut], &[700]);
        prop_assert!(status != Status::Ok || recording.done_seen || recording.finish_reason.is_some());
    }

    #[test]
    fn no_bytes_break_the_parsers(data in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..4000) {
        for (_, endpoint, bytes) in SAMPLES {
            let _ = (openai::api(endpoint).parse)(&data);
            let _ = openai::parse_any(&data);
            // A real answer with a piece of something else in it.
            let at = at.min(bytes.len());
            let broken = [&bytes[..at], &data, &bytes[at..]].concat();
            record(endpoint, &broken, &[512]);
        }
    }
}
