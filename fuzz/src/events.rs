//! Token events of a run folder: the stream, and the Parquet file made of it.

use tare::store::{Events, RunEvents, events_parquet};

use super::scratch::with_file;

/// Any bytes as events: an error, or columns of one length of which every request has a part.
pub fn events(data: &[u8]) {
    let read = if data.starts_with(b"PAR1") {
        with_file(data, events_parquet::read).map(RunEvents::from)
    } else {
        with_file(data, RunEvents::open)
    };
    let Ok(run) = read else { return };
    assert!(run.torn.as_ref().is_none_or(|torn| torn.bytes <= data.len() as u64));
    let mut in_file = 0;
    let batches = run.batches(|batch| {
        whole(batch);
        in_file += batch.len();
        Ok(())
    });
    batches.unwrap();
    assert_eq!(in_file, run.len());
}

/// Columns of one length, of which every request has a part.
fn whole(events: &Events) {
    let n = events.len();
    assert!(n == events.stamp_lo_unix_ns.len() && n == events.user_unix_ns.len());
    assert!(n == events.events_in_read.len() && n == events.tokens.len() && n == events.bytes.len());
    let mut next = 0;
    for (_, rows) in &events.requests {
        assert!(rows.start == next && rows.end > rows.start);
        next = rows.end;
    }
    assert_eq!(next, n);
}
