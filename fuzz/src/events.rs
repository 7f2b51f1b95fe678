//! Token events of a run folder: the stream, and the Parquet file made of it.

use tare::store::events::Events;
use tare::store::events_parquet;

use super::scratch::with_file;

/// Any bytes as events: an error, or columns of one length of which every request has a part.
pub fn events(data: &[u8]) {
    let read = if data.starts_with(b"PAR1") {
        with_file(data, events_parquet::read)
    } else {
        Events::from_stream(data)
    };
    let Ok(events) = read else { return };
    let n = events.len();
    assert!(n == events.stamp_lo_unix_ns.len() && n == events.user_unix_ns.len());
    assert!(n == events.events_in_read.len() && n == events.tokens.len() && n == events.bytes.len());
    let mut next = 0;
    for (_, rows) in &events.requests {
        assert!(rows.start == next && rows.end > rows.start);
        next = rows.end;
    }
    assert_eq!(next, n);
    assert!(events.torn_bytes <= data.len() as u64);
    let ids = events.requests.iter().map(|(id, _)| id.as_str());
    assert!(events.gaps_s(ids).len() <= n);
}
