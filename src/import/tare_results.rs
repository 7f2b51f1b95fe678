//! tare's own `results.jsonl`, with the events of the stream that lies beside it, if one does. It
//! must not know what is done with the rows.

use std::path::Path;

use super::input::{Reading, has_keys, json};
use super::{Format, Of, Reads};
use crate::record::{EventRow, Finished, RequestRow};
use crate::store::folder::EVENTS_STREAM;
use crate::store::{Events, RunEvents};

pub(super) const FORMAT: Format = Format {
    name: "tare",
    of: Of::Client,
    description: "results.jsonl of a run folder of tare, with its events.arrows",
    reads: Reads::Text {
        recognises: |text| has_keys(text, &["request_id", "started_unix_ns", "done_unix_ns", "status"]),
        read,
    },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let beside = reading.path.parent().unwrap_or(Path::new("")).join(EVENTS_STREAM);
    let events = if beside.is_file() {
        RunEvents::open(&beside).and_then(|events| events.whole()).unwrap_or_else(|error| {
            reading.notes.push(format!("{error:#}: the requests come without their events"));
            Events::default()
        })
    } else {
        reading.notes.push(format!(
            "there is no {EVENTS_STREAM} beside {}: the requests come without their events",
            reading.path.display()
        ));
        Events::default()
    };
    reading.each_line(text, |_, line, rows| {
        let mut row: RequestRow = json(line)?;
        let events = of(&events, &row.request_id);
        if events.len() != row.n_events as usize {
            (row.n_events, row.n_exact_events) = (0, 0);
        }
        let events = if row.n_events == 0 { Vec::new() } else { events };
        rows.requests.push(Finished { row, events, place: None });
        Ok(())
    });
}

fn of(all: &Events, request_id: &str) -> Vec<EventRow> {
    all.of(request_id).into_iter().flatten().filter_map(|n| all.row(n)).collect()
}
