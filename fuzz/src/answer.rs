//! Answers of servers, from the first byte of the head to the last chunk.

use tare::load::http1::ResponseDecoder;
use tare::load::openai;
use tare::load::played::{Played, play};
use tare::record::{Endpoint, Status};

use super::survives;

/// Any bytes as an answer. The first byte says how long a read is, the second which API it is of and how it ends: the
/// same answer however it is cut, and never a success without its end.
pub fn answer(data: &[u8]) {
    let [cut, which, stream @ ..] = data else { return };
    let size = usize::from(*cut) + 1;
    assert_eq!(decoded(stream, size), decoded(stream, usize::MAX));
    let endpoint = Endpoint::ALL[usize::from(*which) % Endpoint::ALL.len()];
    let closes = which & 128 != 0;
    let (small, whole) =
        (play(endpoint, stream.chunks(size), closes), play(endpoint, std::iter::once(stream), closes));
    for played in [&small, &whole] {
        check(played);
    }
    // Until a head is whole, how much of it came first decides what is said of it.
    if let (Some(_), Some(_)) = (small.said.http_status, whole.said.http_status) {
        assert_eq!(small.said, whole.said);
    }
    for line in stream.split(|byte| *byte == b'\n') {
        if let Some(json) = line.strip_prefix(b"data: ") {
            for api in openai::APIS {
                if let Err(error) = (api.parse)(json) {
                    assert!(error.starts_with("expected a JSON chunk"));
                }
            }
            assert!(openai::error_message(json).chars().count() <= 301);
        }
    }
}

fn check(played: &Played) {
    let said = &played.said;
    assert_eq!(said.status == Status::Ok, said.error.is_none() && said.status != Status::InFlight);
    assert!(played.events.iter().all(|event| event.stamp_lo_unix_ns <= event.stamp_hi_unix_ns));
    assert!(played.events.is_sorted_by(|a, b| a.stamp_hi_unix_ns <= b.stamp_hi_unix_ns));
    survives(&said.status);
}

/// What the decoder makes of it: a failure, the body, the status, whether it is over.
fn decoded(stream: &[u8], size: usize) -> (bool, Vec<u8>, Option<u16>, bool) {
    let (mut decoder, mut body) = (ResponseDecoder::default(), Vec::new());
    let mut pieces = stream.chunks(size.min(stream.len().max(1)));
    let failed = pieces.any(|piece| decoder.push(piece, |_, part| body.extend_from_slice(part)).is_err());
    let head = decoder.head().map(|head| head.status);
    // A head that has not ended may be known for none only when more of it comes.
    (failed && head.is_some(), body, head, decoder.is_done())
}
