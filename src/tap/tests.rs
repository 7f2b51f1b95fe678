//! What one connection's bytes are taken for, without sockets: pieces in, rows out. The stamps are
//! made up, so what becomes of them is known.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use proptest::prelude::*;

use super::connection::{Connection, Facts};
use super::exchange::{End, Exchange, Passed, Side, Unread};
use super::piece::Piece;
use super::tokens::Tokens;
use super::writer::Message;
use super::{Options, not_itself};
use crate::clock::UnixNs;
use crate::net::ReadStamp;

const REQUEST: &[u8] =
    b"POST /v1/chat/completions?key=geheim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer geheim\r\n\
    X-Request-ID: r-1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
    Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n9\r\n\"geheim\"}\r\n0\r\n\r\n";
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: s-1\r\ntransfer-encoding: chunked\r\n\r\n\
    37\r\ndata: {\"id\":\"c-1\",\"choices\":[{\"delta\":{\"role\":\"x\"}}]}\n\n\r\n\
    3a\r\ndata: {\"id\":\"c-1\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\r\n\
    3a\r\ndata: {\"id\":\"c-1\",\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n\r\n\
    e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
const GET: &[u8] = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// A connection whose pieces come 100 ns apart, and are written 10 ns after they have come; each is a
/// read that drained its socket.
struct Wire {
    connection: Connection,
    messages: Receiver<Message>,
    at: i64,
}

impl Wire {
    fn new() -> Self {
        let (sender, messages) = channel();
        let address = "127.0.0.1:1".parse().unwrap();
        let facts = Facts {
            connection: 3,
            client: address,
            outgoing: None,
            upstream: address,
            accepted: UnixNs(1),
            connected: UnixNs(2),
        };
        Self { connection: Connection::new(facts, sender), messages, at: 0 }
    }

    /// The stamp of the piece is the number of pieces so far, in hundreds.
    fn send(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        self.at += 100;
        let stamp = ReadStamp {
            kernel: Some(UnixNs(self.at)),
            user: UnixNs(self.at + 5),
            drained: true,
            empty_before: UnixNs(self.at - 50),
        };
        let piece =
            Piece { bytes, held_up: false, stamp, ends_the_read: true, written: UnixNs(self.at + 10) };
        self.connection.passed(side, piece);
        self
    }

    fn up(&mut self, bytes: &[u8]) -> &mut Self {
        self.send(Side::Client, bytes)
    }

    fn down(&mut self, bytes: &[u8]) -> &mut Self {
        self.send(Side::Upstream, bytes)
    }

    fn closed(&mut self, side: Side) -> &mut Self {
        self.connection.closed(side, false);
        self
    }

    fn rows(self) -> Vec<Exchange> {
        self.connection.finish(false);
        let mut tokens = Tokens::default();
        let row = |message| match message {
            Message::Events { batch, .. } => {
                tokens.read(&batch);
                None
            }
            Message::Ending(ending) => Some(ending.into_row(std::mem::take(&mut tokens))),
            _ => None,
        };
        self.messages.into_iter().filter_map(row).collect()
    }
}

fn ended(wire: Wire) -> Vec<(End, Option<Side>)> {
    wire.rows().iter().map(|row| (row.end, row.closed_first)).collect()
}

#[allow(clippy::unnecessary_wraps)] // as rows have it
fn exact(at: i64) -> Option<Passed> {
    Some(Passed { lo_unix_ns: UnixNs(at), hi_unix_ns: UnixNs(at), written_unix_ns: UnixNs(at + 10) })
}

fn interval(at: i64) -> Option<Passed> {
    exact(at).map(|passed| Passed { lo_unix_ns: UnixNs(at - 50), ..passed })
}

/// `bytes` cut where the parts begin.
fn cut<'a>(mut bytes: &'a [u8], parts: &[&str]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for part in parts {
        let at = bytes.windows(part.len()).position(|w| w == part.as_bytes()).unwrap();
        let (piece, rest) = bytes.split_at(at);
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

#[test]
fn a_compressed_stream_is_not_called_cut() {
    let mut wire = Wire::new();
    wire.up(GET).down(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",
    );
    let rows = wire.rows();
    assert_eq!((rows[0].end, rows[0].answer_whole, rows[0].token_events), (End::Complete, None, 0));
}

#[test]
fn an_exchange_has_the_stamps_of_the_pieces_that_ended_its_parts() {
    let mut wire = Wire::new();
    for piece in cut(REQUEST, &["5\r\n{", "9\r\n"]) {
        wire.up(piece);
    }
    for piece in cut(
        STREAM,
        &[
            "37\r\n",
            "3a\r\n",
            "3a\r\ndata: {\"id\":\"c-1\",\"choices\":[{\"delta\":{\"content\":\"b",
            "e\r\n",
        ],
    ) {
        wire.down(piece);
    }
    let row = wire.rows().remove(0);
    assert_eq!((row.request_first, row.request_last, row.request_whole), (interval(100), exact(300), true));
    assert_eq!((row.response_first, row.head, row.body_first), (interval(400), exact(400), interval(500)));
    assert_eq!((row.first_token, row.last_token, row.response_last), (exact(600), exact(700), exact(800)));
    assert_eq!((row.token_events, row.answer_whole, row.end), (2, Some(true), End::Complete));
    assert_eq!((row.request_bytes, row.response_bytes), (REQUEST.len() as u64, STREAM.len() as u64));
    let ids = [&row.request_id, &row.response_request_id, &row.response_id, &row.trace_id, &row.path];
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(ids.map(|id| id.as_deref().unwrap()), ["r-1", "s-1", "c-1", trace, "/v1/chat/completions"]);
    let written = serde_json::to_string(&row).unwrap();
    assert!(!written.contains("geheim"), "{written}");
    assert_eq!(serde_json::from_str::<Exchange>(&written).unwrap(), row);
}

/// Two tokens in one read: which of them came when is not known, only that both had come.
#[test]
fn what_does_not_end_a_read_is_an_interval() {
    let mut wire = Wire::new();
    wire.up(REQUEST).down(STREAM);
    let row = wire.rows().remove(0);
    assert_eq!((row.head, row.first_token, row.last_token), (interval(200), interval(200), interval(200)));
    assert_eq!((row.request_last, row.response_last), (exact(100), exact(200)));
}

/// Its events are read in several batches while it goes on.
#[test]
fn a_long_stream_has_all_its_tokens() {
    let mut wire = Wire::new();
    wire.up(REQUEST).down(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
    for n in 0..1_000 {
        wire.down(
            format!("data: {{\"id\":\"c-1\",\"choices\":[{{\"delta\":{{\"content\":\"t{n}\"}}}}]}}\n\n")
                .as_bytes(),
        );
    }
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    wire.down(finish.as_bytes()).closed(Side::Upstream);
    let row = wire.rows().remove(0);
    assert_eq!((row.token_events, row.answer_whole, row.end), (1_000, Some(true), End::Complete));
    assert_eq!((row.first_token, row.last_token), (exact(300), exact(100_200)));
    assert_eq!(row.response_id.as_deref(), Some("c-1"));
}

#[test]
fn a_kept_connection_has_an_exchange_for_each_request() {
    let mut wire = Wire::new();
    wire.up(GET).down(NO_CONTENT).up(REQUEST).down(STREAM);
    // In one piece, one behind the other, and answered so.
    wire.up(&[GET, b"\r\n", REQUEST].concat()).down(&[NO_CONTENT, STREAM].concat()).closed(Side::Upstream);
    let rows = wire.rows();
    let seen: Vec<_> = rows.iter().map(|row| (row.exchange, row.status, row.token_events, row.end)).collect();
    let (first, second) = ((Some(204), 0, End::Complete), (Some(200), 2, End::Complete));
    let numbered = |n, (status, tokens, end)| (n, status, tokens, end);
    assert_eq!(seen, [numbered(1, first), numbered(2, second), numbered(3, first), numbered(4, second)]);
    assert!(rows.iter().all(|row| row.closed_first.is_none()), "it was closed when nothing was open");
    assert_eq!(rows[2].response_bytes, NO_CONTENT.len() as u64);
}

#[test]
fn the_answer_to_head_has_no_body() {
    let mut wire = Wire::new();
    wire.up(b"HEAD / HTTP/1.1\r\n\r\n").down(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n");
    wire.up(GET).down(NO_CONTENT);
    assert_eq!(wire.rows().len(), 2);
}

#[test]
fn an_unstreamed_answer_tells_its_id_and_no_token() {
    let mut wire = Wire::new();
    let body = br#"{"id":"c-9","choices":[{"message":{"content":"text"},"finish_reason":"stop"}]}"#;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    wire.up(REQUEST).down(head.as_bytes()).down(body);
    let row = wire.rows().remove(0);
    assert_eq!((row.response_id.as_deref(), row.streamed), (Some("c-9"), Some(false)));
    assert_eq!((row.first_token, row.answer_whole, row.head), (None, None, exact(200)));
}

#[test]
fn an_exchange_that_does_not_end_says_who_closed() {
    use Side::{Client, Upstream};
    let part = &STREAM[..STREAM.len() - 60];
    for side in [Client, Upstream] {
        let end = if side == Client { End::AbortedByClient } else { End::CutByUpstream };
        for answer in [&b""[..], b"HTTP/1.1 200", part] {
            let mut wire = Wire::new();
            wire.up(REQUEST);
            if !answer.is_empty() {
                wire.down(answer);
            }
            let other = if side == Client { Upstream } else { Client };
            wire.closed(side).closed(other);
            assert_eq!(ended(wire), [(end, Some(side))]);
        }
    }
    let mut wire = Wire::new();
    wire.up(REQUEST).down(part);
    assert_eq!(ended(wire), [(End::InFlight, None)]);
}

/// It refuses while the body is still being sent: the exchange is whole, the request is not.
#[test]
fn an_answer_may_come_before_the_request_has_ended() {
    let mut wire = Wire::new();
    wire.up(&REQUEST[..REQUEST.len() - 20]);
    wire.down(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").closed(Side::Upstream);
    let row = wire.rows().remove(0);
    assert_eq!((row.end, row.status, row.request_whole), (End::Complete, Some(413), false));
}

/// HTTP lets any close end such an answer; the stream says whether it was whole.
#[test]
fn a_stream_that_ends_with_the_connection_is_whole_only_if_it_says_so() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let token = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (done, end) in [("data: [DONE]\n\n", End::Complete), ("", End::CutByUpstream)] {
        let mut wire = Wire::new();
        wire.up(REQUEST).down(format!("{head}{token}{done}").as_bytes()).closed(Side::Upstream);
        let row = wire.rows().remove(0);
        assert_eq!((row.end, row.answer_whole, row.token_events), (end, Some(!done.is_empty()), 1));
    }
}

#[test]
fn a_packed_stream_is_passed_on_and_not_called_cut() {
    // gzip of one event and `[DONE]`: an end by closing is its proper one.
    let mut wire = Wire::new();
    wire.up(GET)
        .down(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\x00")
        .closed(Side::Upstream);
    let [row] = &wire.rows()[..] else { panic!("one row") };
    assert_eq!((row.end, row.answer_whole, row.token_events), (End::Complete, None, 0));
}

#[test]
fn what_the_receiver_held_up_is_not_what_the_tap_added() {
    let (sender, messages) = channel();
    let address = "127.0.0.1:1".parse().unwrap();
    let facts = Facts {
        connection: 1,
        client: address,
        outgoing: None,
        upstream: address,
        accepted: UnixNs(1),
        connected: UnixNs(2),
    };
    let mut connection = Connection::new(facts, sender);
    let stamp =
        ReadStamp { kernel: Some(UnixNs(100)), user: UnixNs(105), drained: true, empty_before: UnixNs(50) };
    for (held_up, written) in [(false, UnixNs(110)), (true, UnixNs(2_000_000_000))] {
        connection
            .passed(Side::Client, Piece { bytes: b"\r\n", stamp, held_up, ends_the_read: true, written });
    }
    connection.finish(false);
    let up = messages.iter().find_map(|message| match message {
        Message::Connection { up, .. } => Some(up),
        _ => None,
    });
    let up = up.unwrap();
    assert_eq!((up.reads(), up.held_up, up.max_s()), (1, 1, 1e-8));
}

#[test]
fn what_is_no_http_1_is_counted_and_said() {
    let cases: [(&[u8], Unread); 3] = [
        (b"\x16\x03\x01\x02\x00\x01\x00", Unread::Tls),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Unread::Http2),
        (b"\x00\x01garbage", Unread::Request),
    ];
    for (bytes, reason) in cases {
        let mut wire = Wire::new();
        wire.up(bytes).down(b"anything").up(b"more").closed(Side::Client);
        let rows = wire.rows();
        assert_eq!((rows.len(), rows[0].end, rows[0].unread), (1, End::Unread, Some(reason)));
        assert_eq!((rows[0].request_bytes, rows[0].response_bytes), (bytes.len() as u64 + 4, 8));
    }
    let mut wire = Wire::new();
    wire.up(GET).down(b"SSH-2.0-x\r\n");
    assert_eq!(wire.rows()[0].unread, Some(Unread::Response));
    let mut wire = Wire::new();
    wire.down(b"220 hello\r\n");
    assert_eq!(wire.rows()[0].unread, Some(Unread::Unasked));
}

fn pieces(bytes: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).filter(|piece| !piece.is_empty()).collect()
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_rows_but_for_stamps(
        up in proptest::collection::vec(0..REQUEST.len() + GET.len(), 0..8),
        down in proptest::collection::vec(0..STREAM.len() + NO_CONTENT.len(), 0..12),
    ) {
        let (asked, answered) = ([REQUEST, GET].concat(), [STREAM, NO_CONTENT].concat());
        let mut wire = Wire::new();
        for piece in pieces(&asked, up) {
            wire.up(piece);
        }
        for piece in pieces(&answered, down) {
            wire.down(piece);
        }
        let rows = wire.rows();
        prop_assert_eq!(rows.len(), 2);
        prop_assert_eq!((rows[0].end, rows[1].end), (End::Complete, End::Complete));
        prop_assert_eq!((rows[0].token_events, rows[0].response_id.as_deref()), (2, Some("c-1")));
        prop_assert_eq!(rows[0].response_bytes + rows[1].response_bytes, answered.len() as u64);
        for row in rows {
            let passed = [row.response_first, row.head, row.body_first, row.first_token, row.last_token, row.response_last];
            let passed: Vec<Passed> = passed.into_iter().flatten().collect();
            prop_assert!(passed.iter().all(|p| p.lo_unix_ns <= p.hi_unix_ns && p.hi_unix_ns <= p.written_unix_ns));
            prop_assert!(passed.is_sorted_by_key(|p| p.hi_unix_ns));
        }
    }

    #[test]
    fn no_bytes_panic_and_none_are_lost(
        sent in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..40)), 0..8),
    ) {
        let mut wire = Wire::new();
        let mut bytes = 0;
        for (is_client, piece) in &sent {
            wire.send(if *is_client { Side::Client } else { Side::Upstream }, piece);
            bytes += piece.iter().filter(|b| !b"\r\n".contains(b)).count() as u64;
        }
        let counted: u64 = wire.rows().iter().map(|row| row.request_bytes + row.response_bytes).sum();
        prop_assert!(counted >= bytes);
    }
}

/// With `--listen 0` and no server at 41729, a tap was given that port, and took its own connections until it had
/// no more files.
#[test]
fn a_tap_that_was_given_its_upstreams_port_is_refused() {
    let to = |upstream: [u8; 4], listens: [u8; 4], port: u16| {
        let options = Options {
            listen: SocketAddr::from((listens, 0)),
            upstream: vec![SocketAddr::from((upstream, 41729))],
            output: None,
            threads: None,
        };
        not_itself(SocketAddr::from((listens, port)), &options).map_err(|error| error.to_string())
    };
    let (loopback, any, other) = ([127, 0, 0, 1], [0, 0, 0, 0], [10, 77, 0, 2]);
    let refused = Err("expected an upstream other than the tap itself, found 127.0.0.1:41729".to_owned());
    assert_eq!(to(loopback, loopback, 41729), refused);
    assert_eq!(to(loopback, any, 41729), refused);
    assert_eq!(to(loopback, loopback, 41730), Ok(()));
    assert_eq!(to(other, loopback, 41729), Ok(()), "another host's");
    // As vLLM prints where it serves.
    assert!(to(any, loopback, 41729).is_err_and(|said| said.ends_with("found 0.0.0.0:41729")));
    assert!(to([127, 0, 0, 2], any, 41729).is_err(), "an address of this host");
}
