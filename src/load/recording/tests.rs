//! Answers made by hand: which events are exact, how a request ended, and what is kept of it.

use super::bounds::MAX_NAME_BYTES;
use super::room::Room;
use super::*;
use crate::load::http1::HttpError;

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

const DONE: &str = "data: [DONE]\n\n";

fn stamp(at: i64) -> ReadStamp {
    ReadStamp { kernel: Some(UnixNs(at)), user: UnixNs(at + 5), drained: true, empty_before: UnixNs(at - 50) }
}

fn chunk(body: &str) -> Vec<u8> {
    format!("{:x}\r\n{body}\r\n", body.len()).into_bytes()
}

fn token(text: &str, more: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}{more}}}]}}\n\n")
}

/// Takes the reads one after another, 100 ns apart, and concludes with `end`.
fn record(reads: &[Vec<u8>], end: &End) -> (Recording, Status, Option<String>) {
    let mut recording = Recording::default();
    let mut at = 1000;
    for read in reads {
        let _ = recording.take(Received::plain(read, stamp(at), 0));
        at += 100;
    }
    let (status, error) = recording.conclude(end);
    (recording, status, error)
}

fn exact(recording: &Recording) -> Vec<bool> {
    recording.events.iter().map(|e| e.stamp_lo_unix_ns == e.stamp_hi_unix_ns).collect()
}

#[test]
fn only_what_ends_a_read_is_exact() {
    let two = [chunk(&token("a", "")), chunk(&token("b", ""))].concat();
    let with_ping = [chunk(&token("c", "")), chunk(": ping\n\n")].concat();
    let ping_inside = chunk(&(token("d", "") + ": ping\n\n"));
    let begun = [chunk(&token("e", "")), b"b\r\ndata".to_vec()].concat();
    let rest = [b": \"x\"\n\n\r\n".as_slice(), &chunk(&token("f", ""))].concat();
    let (recording, status, _) =
        record(&[HEAD.to_vec(), two, with_ping, ping_inside, begun, rest], &End::Stopped);
    assert_eq!(status, Status::DecodeError); // `"x"` is no chunk
    assert_eq!(exact(&recording), [false, true, false, false, false, true]);
    let intervals: Vec<(i64, i64)> =
        recording.events.iter().map(|e| (e.stamp_lo_unix_ns.0, e.stamp_hi_unix_ns.0)).collect();
    assert_eq!(
        intervals,
        [(1050, 1100), (1100, 1100), (1150, 1200), (1250, 1300), (1350, 1400), (1500, 1500)]
    );
}

/// As vLLM ends a chat whose usage comes at the end: the end-of-text token has no text.
#[test]
fn the_event_that_ends_an_answer_bears_the_last_token() {
    let ended = |reason: &str, usage: &str| {
        let last = token("", &format!(",\"finish_reason\":\"{reason}\""));
        let reads = [token("a", ""), token("b", ""), last, format!("data: {{\"choices\":[]{usage}}}\n\n")];
        let reads: Vec<Vec<u8>> =
            std::iter::once(HEAD.to_vec()).chain(reads.iter().map(|event| chunk(event))).collect();
        let (recording, status, _) = record(&reads, &End::Closed(None));
        assert_eq!(status, Status::Ok);
        recording.events.last().unwrap().stamp_hi_unix_ns.0
    };
    let usage = |n: u32| format!(",\"usage\":{{\"completion_tokens\":{n}}}");
    assert_eq!(ended("stop", &usage(3)), 1300);
    assert_eq!(ended("tool_calls", &usage(3)), 1300);
    // Every token was seen; the limit has no token of its own; nobody counted.
    assert_eq!((ended("stop", &usage(2)), ended("length", &usage(3)), ended("stop", "")), (1200, 1200, 1200));
}

/// A server that goes on after what should be its last chunk: events stay in the order in which they came.
#[test]
fn an_end_that_is_followed_by_tokens_is_none() {
    let stop = token("", ",\"finish_reason\":\"stop\"");
    let usage = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3}}\n\n".to_owned();
    let reads = [token("a", ""), stop, token("b", ""), usage];
    let reads: Vec<Vec<u8>> =
        std::iter::once(HEAD.to_vec()).chain(reads.iter().map(|event| chunk(event))).collect();
    let (recording, status, _) = record(&reads, &End::Closed(None));
    let stamps: Vec<i64> = recording.events.iter().map(|event| event.stamp_hi_unix_ns.0).collect();
    assert_eq!((status, stamps), (Status::Ok, vec![1100, 1300]));
}

/// By its offset an event is found in a capture: it ends where its blank line does.
#[test]
fn an_event_is_known_by_where_it_ended_in_the_stream() {
    let mut recording = Recording::new(Endpoint::Chat, 0, None, true);
    let stream = [HEAD, &chunk(": ping\n\n"), &chunk(&token("a", "")), &chunk(&token("b", ""))].concat();
    let ends: Vec<u64> =
        (1..stream.len()).filter(|&at| stream[..at].ends_with(b"]}\n\n")).map(|at| at as u64 + 700).collect();
    for (i, piece) in stream.chunks(7).enumerate() {
        recording.take(Received::plain(piece, stamp(1000), 700 + 7 * i as u64)).unwrap();
    }
    recording.conclude(&End::Stopped);
    assert_eq!((recording.offsets, ends.len()), (ends, 2));
}

#[test]
fn a_read_that_leaves_something_or_has_no_stamp_is_not_exact() {
    let mut recording = Recording::default();
    let mut take = |bytes: &[u8], stamp| recording.take(Received::plain(bytes, stamp, 0)).unwrap();
    take(HEAD, stamp(1000));
    take(&chunk(&token("a", "")), ReadStamp { drained: false, ..stamp(1100) });
    take(&chunk(&token("b", "")), ReadStamp { kernel: None, ..stamp(1200) });
    recording.conclude(&End::Stopped);
    assert_eq!(exact(&recording), [false, false]);
    assert_eq!(recording.events.last().unwrap().stamp_hi_unix_ns, UnixNs(1205));
}

/// The kernel's stamp of the first read could not be used, so it has the program's, which is later
/// than the kernel's stamp of the second.
#[test]
fn a_later_segments_stamp_bounds_what_came_before_it() {
    let mut recording = Recording::new(Endpoint::Chat, 0, None, false);
    let mut take = |bytes: &[u8], stamp| recording.take(Received::plain(bytes, stamp, 0)).unwrap();
    take(HEAD, stamp(1000));
    take(&chunk(&token("a", "")), ReadStamp { kernel: None, ..stamp(1100) });
    take(&chunk(&token("b", "")), stamp(1102));
    recording.conclude(&End::Stopped);
    let bounds: Vec<(i64, i64)> =
        recording.events.iter().map(|e| (e.stamp_lo_unix_ns.0, e.stamp_hi_unix_ns.0)).collect();
    assert_eq!(bounds, [(1050, 1102), (1102, 1102)]);
}

#[test]
fn every_choice_must_have_ended() {
    let second = token("x", "").replace("\"index\":0", "\"index\":1");
    let first = token("a", ",\"finish_reason\":\"stop\"");
    let reads = [HEAD.to_vec(), chunk(&second), chunk(&first)];
    assert_eq!(record(&reads, &End::Closed(None)).1, Status::Cut);
    let second_ends = second.replace("\"delta\"", "\"finish_reason\":\"length\",\"delta\"");
    let all = [&reads[..], &[chunk(&second_ends)]].concat();
    assert_eq!(record(&all, &End::Closed(None)).1, Status::Ok);
}

#[test]
fn tokens_of_several_choices_are_not_guessed() {
    let usage = |n: u32| format!("}}],\"usage\":{{\"completion_tokens\":{n}}},\"x\":[{{\"y\":0");
    let first = token("a", &usage(1));
    let second = token("b", &usage(1)).replace("\"index\":0", "\"index\":1");
    let closing = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\n";
    let reads = [HEAD.to_vec(), chunk(&first), chunk(&second), chunk(&first)];
    let (cut, ..) = record(&reads, &End::Closed(None));
    assert_eq!(cut.output_tokens(), None);
    let all = [&reads[..], &[chunk(closing), chunk("data: [DONE]\n\n")]].concat();
    let (whole, status, _) = record(&all, &End::Complete);
    assert_eq!((status, whole.output_tokens(), whole.usage.prompt_tokens), (Status::Ok, Some(9), Some(3)));
    let tokens: Vec<Option<u32>> = whole.events.iter().map(|e| e.tokens).collect();
    assert_eq!(tokens, [Some(1), None, None]);
}

/// An event may have several lines of data, which are one chunk.
#[test]
fn what_was_said_is_kept_of_chunks_over_several_lines() {
    let chunk_of = |text: &str| {
        chunk(&format!("data: {{\"choices\":\ndata: [{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"))
    };
    let mut recording = Recording { keeps_text: true, ..Recording::default() };
    for read in [HEAD.to_vec(), chunk_of("a\\nb"), chunk_of(" c"), chunk("data: [DONE]\n\n")] {
        recording.take(Received::plain(&read, stamp(1000), 0)).unwrap();
    }
    assert_eq!(recording.conclude(&End::Complete), (Status::Ok, None));
    assert_eq!((recording.text().as_str(), recording.events.len()), ("a\nb c", 2));
}

#[test]
fn a_compressed_answer_is_named() {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n".to_vec();
    let (_, status, error) = record(&[head, b"\x1f\x8b\x08data: x\n\n".to_vec()], &End::Complete);
    assert_eq!(status, Status::DecodeError);
    assert!(error.unwrap().contains("`content-encoding: gzip`"));
}

/// Whatever an event says, it is counted; the request ends where the bound is, and little is kept.
#[test]
fn a_stream_without_end_is_given_up() {
    for event in [token("a", ""), "data:\n\n".to_owned(), "data: {]\n\n".to_owned(), DONE.to_owned()] {
        let mut recording = Recording::default();
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        recording.take(Received::plain(head, stamp(1000), 0)).unwrap();
        let read = event.repeat(1024).into_bytes();
        let reads = (0..).find_map(|n| {
            recording.take(Received::plain(&read, stamp(1100), 0)).err().map(|error| (n, error))
        });
        assert_eq!(reads, Some((MAX_EVENTS / 1024, BadAnswer::TooManyEvents)), "{event}");
        assert!(recording.gathered.len() <= GATHER_EVENTS + 1024 && recording.data.len() < 1 << 20);
        let (status, error) = recording.conclude(&End::Bad(BadAnswer::TooManyEvents));
        assert_eq!(status, Status::DecodeError);
        assert!(error.is_some());
        assert!(recording.events.len() <= KEPT_OF_TOO_MANY, "{event}");
    }
}

/// Four streams that never end share room for what one alone might take; the one that asks for more than there is left
/// is given up, gives its share back, and the others go on.
#[test]
fn streams_without_end_share_their_room() {
    static ROOM: Room = Room::of(4 << 20);
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let read = token("a", "").repeat(1024).into_bytes();
    let mut open: Vec<Recording> =
        (0..4).map(|_| Recording { share: Share::of(&ROOM), ..Recording::default() }).collect();
    for recording in &mut open {
        recording.take(Received::plain(head, stamp(1000), 0)).unwrap();
    }
    let mut given_up = 0;
    for _ in 0..60 {
        for recording in &mut open {
            match recording.take(Received::plain(&read, stamp(1100), 0)) {
                Ok(_) => {}
                Err(BadAnswer::NoRoom) => {
                    let (status, error) = recording.conclude(&End::Bad(BadAnswer::NoRoom));
                    assert_eq!(status, Status::DecodeError);
                    assert!(error.unwrap().contains("all open answers together take more than 1024 MiB"));
                    assert!(recording.events.len() <= KEPT_OF_TOO_MANY);
                    // Gone, as after a request that failed; its user's next one begins.
                    *recording = Recording { share: Share::of(&ROOM), ..Recording::default() };
                    recording.take(Received::plain(head, stamp(1000), 0)).unwrap();
                    given_up += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let taken: usize = open.iter().map(Recording::bytes).sum();
        assert!(taken <= (4 << 20) + 4 * (64 << 10), "{taken}");
    }
    assert!(given_up > 0);
}

#[test]
fn bytes_that_end_no_event_are_given_up() {
    for filling in ["x", ": ping\n", ": ping\n\n", "data: x\n", "id: 1\n\n"] {
        let mut recording = Recording::default();
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        recording.take(Received::plain(head, stamp(1000), 0)).unwrap();
        let read = filling.repeat(65_536 / filling.len()).into_bytes();
        // Sooner or later; what is never given up shows as none.
        let taken = (0..10_000)
            .map(|n| n * read.len())
            .find(|_| recording.take(Received::plain(&read, stamp(1100), 0)) == Err(BadAnswer::NoEvent));
        assert!(taken.is_some_and(|taken| taken.abs_diff(MAX_SILENT_BYTES) < 1 << 17), "{filling:?}");
    }
}

#[test]
fn bodies_without_end_are_given_up() {
    for (status, most, error) in [
        ("200 OK", MAX_BODY_BYTES, BadAnswer::BodyTooLong),
        ("500 X", MAX_REFUSAL_BYTES, BadAnswer::RefusalTooLong),
    ] {
        let mut recording = Recording::default();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\r\n");
        recording.take(Received::plain(head.as_bytes(), stamp(1000), 0)).unwrap();
        let read = vec![b'['; 1 << 16];
        for _ in 0..most >> 16 {
            assert_eq!(recording.take(Received::plain(&read, stamp(1100), 0)), Ok(false));
        }
        assert_eq!(recording.take(Received::plain(&read, stamp(1100), 0)), Err(error.clone()));
        assert_eq!(recording.body.len(), most);
        let (concluded, said) = recording.conclude(&End::Bad(error));
        let expected = if status == "200 OK" { Status::DecodeError } else { Status::HttpError };
        assert_eq!(concluded, expected, "{said:?}");
    }
}

#[test]
fn a_name_of_many_bytes_is_none() {
    let long = "f".repeat(MAX_NAME_BYTES + 1);
    let id = format!("data: {{\"id\":\"{long}\",\"choices\":[]}}\n\n");
    let reason = token("a", &format!(",\"finish_reason\":\"{long}\""));
    for event in [id, reason] {
        let (recording, status, error) = record(&[HEAD.to_vec(), chunk(&event), chunk(DONE)], &End::Stopped);
        assert_eq!(status, Status::DecodeError);
        assert!(error.unwrap().contains("at most 1024 bytes, found 1025"));
        assert_eq!((recording.response_id, recording.finish_reason), (None, None));
    }
}

/// What came in the same read as the violation is kept, with its stamps.
#[test]
fn a_violation_of_http_loses_nothing_that_came_before() {
    let read = [HEAD, &chunk(&token("a", "")), b"zz\r\n"].concat();
    let (recording, status, error) = record(&[read], &End::Bad(HttpError::ChunkSize("zz".to_owned()).into()));
    assert_eq!((status, recording.events.len()), (Status::DecodeError, 1));
    assert!(recording.head.is_some() && error.unwrap().contains("zz"));
}
