//! What is not known of one request, and why: a sentence each.

use crate::correlate::shape::Shape;
use crate::metric::Metric;
use crate::record::clocks::{ClockRelation, Clocks};
use crate::record::{EventRow, JoinedRow, Source, Status};
use crate::units;

/// The sentences.
pub fn of(row: &JoinedRow, events: &[EventRow], clocks: &Clocks) -> Vec<String> {
    let mut said = client(row, events);
    said.extend(server(row, clocks));
    said
}

/// Of the client's own side.
fn client(row: &JoinedRow, events: &[EventRow]) -> Vec<String> {
    let c = &row.client;
    let mut said = Vec::new();
    if c.streamed && c.ttft_s.is_none() {
        said.push("no TTFT: no token came".to_owned());
    } else if !c.streamed {
        said.push("no TTFT: the answer was not streamed".to_owned());
    }
    if c.status != Status::Ok {
        said.push("no duration (E2E): the answer did not come whole".to_owned());
    }
    let interval = c.first_token_lo_unix_ns.zip(c.first_token_unix_ns).map(|(lo, hi)| hi.seconds_since(lo));
    if let Some(width) = interval.filter(|width| *width > 0.0) {
        said.push(format!(
            "when the first token came, more closely: somewhere within {}, since the read before. TTFT, and the part that ends with it, are to the end of that",
            units::seconds(width)
        ));
    }
    if events.len() < c.n_events as usize {
        said.push(format!(
            "{} of {} events: they are not in the folder",
            c.n_events as usize - events.len(),
            c.n_events
        ));
    }
    if c.output_tokens.is_none() && c.status == Status::Ok {
        said.push("how many tokens: the server sent no usage".to_owned());
    }
    said
}

/// Of the server's side, and of what lies between.
fn server(row: &JoinedRow, clocks: &Clocks) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(why) = &row.unmatched {
        said.push(format!("the server's side: {why}"));
        return said;
    }
    if row.span_fits_client == Some(false) {
        said.push(
            "why the span does not lie inside the client's stamps: it was joined by its trace id".to_owned(),
        );
    }
    match Shape::of(row, Metric::Ttft) {
        Some(Shape::OneClock) => said.push(FRONT_END.to_owned()),
        Some(Shape::BoundedClocks) => {
            let reach =
                clocks.stretches.iter().map(crate::record::clocks::Stretch::reach_s).fold(0.0, f64::max);
            said.push(format!(
                "where between their bounds path out and path back end: two clocks, whose offset is known to ±{} in the middle of the run",
                units::seconds(reach)
            ));
            said.push(FRONT_END.to_owned());
        }
        Some(Shape::TwoClocks) => said.push(format!("path out and path back apart: {}", apart(clocks))),
        Some(Shape::StatLog) => said.push(
            "the front end apart from the path back: the stat log has no TTFT (only spans do)".to_owned(),
        ),
        Some(Shape::InBand) => said.push(format!(
            "path and front end apart: {}",
            match row.engine_source {
                Some(Source::InBand) =>
                    "metrics in the answer have no instants (spans and stat log do)".to_owned(),
                _ => apart(clocks),
            }
        )),
        Some(Shape::Prefill | Shape::Inference) => said.push(
            "path, front end and queue apart: the answer tells prefill and no queue, and has no instants"
                .to_owned(),
        ),
        Some(Shape::Log) => said.push(
            "front end, queue, prefill and path back apart: the log says only when it received the request"
                .to_owned(),
        ),
        Some(Shape::Bare) => said.push(
            "anything between the last write and the first token: no source of this run tells it".to_owned(),
        ),
        None => {}
    }
    said
}

const FRONT_END: &str = "how much of the front end lies after prefill: it is drawn before the queue, and is the server's TTFT minus queue and prefill";

/// Why instants of the two sides are not compared.
fn apart(clocks: &Clocks) -> String {
    match clocks.relation {
        ClockRelation::Unknown => "nothing relates the two clocks".to_owned(),
        ClockRelation::Contradict => "no offset and drift satisfies the run's pairs of stamps".to_owned(),
        ClockRelation::OneClock | ClockRelation::Bounded => {
            "the server's instants do not lie between the client's".to_owned()
        }
    }
}
