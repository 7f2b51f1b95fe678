//! Which rows a breakdown can have, by what is known of its requests. One table: the best shape first.
//! This file must not know how a row's number is made.
//!
//! | evidence | rows inside TTFT |
//! |---|---|
//! | spans, one clock | connect, send, path out, front end, queue, prefill, path back, unexplained |
//! | spans, two clocks that are bounded | the same, path out and path back as intervals |
//! | spans, two clocks | connect, send, front end, queue, prefill, path (by subtraction) |
//! | stat log, one clock | connect, send, path out, queue, prefill, front end + path back (by subtraction) |
//! | in-band metrics | connect, send, queue, prefill, path + front end (by subtraction) |
//! | in-band metrics without the queue | connect, send, prefill, path + front end + queue (by subtraction) |
//! | log lines | connect, send, path out + receipt, server + path back |
//! | metrics endpoint | as spans with two clocks, means only |
//! | nothing | connect, send, path + server (by subtraction) |
//!
//! The front end is server TTFT − queue − prefill, by subtraction: no server stamps it. E2E has the same
//! rows with decode after prefill, or both as one where the server does not tell them apart; its front end is server E2E − queue − prefill − decode.

use crate::metric::Metric;
use crate::record::JoinedRow;
use crate::record::correlated::{Bounds, Evidence, PartRow, Parts};

/// Which rows a breakdown has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    OneClock,
    BoundedClocks,
    TwoClocks,
    StatLog,
    InBand,
    /// Of E2E alone: the server tells prefill and decode together.
    Inference,
    Prefill,
    Log,
    Bare,
}

impl Shape {
    /// The best first.
    pub const ALL: [Shape; 9] = [
        Shape::OneClock,
        Shape::BoundedClocks,
        Shape::TwoClocks,
        Shape::StatLog,
        Shape::InBand,
        Shape::Inference,
        Shape::Prefill,
        Shape::Log,
        Shape::Bare,
    ];

    /// The shape of one request's TTFT or E2E; `None`: it has none.
    pub fn of(row: &JoinedRow, what: Metric) -> Option<Shape> {
        let p = &row.parts;
        let engine = p.queue_s.is_some() && p.prefill_s.is_some();
        if what == Metric::E2e {
            row.client.e2e_s?;
            let inference = p.prefill_s.is_some() && p.decode_s.is_some();
            let engine = engine && inference;
            return Some(match () {
                () if p.e2e_path_back_s.is_some() => Shape::OneClock,
                () if p.e2e_front_end_s.is_some() && inference => Shape::TwoClocks,
                () if p.e2e_front_end_s.is_some() => Shape::Inference,
                () if engine => Shape::InBand,
                () if inference => Shape::Prefill,
                () => Shape::Bare,
            });
        }
        row.client.ttft_s?;
        Some(match () {
            () if p.path_out_s.is_some() && p.path_back_s.is_some() => Shape::OneClock,
            () if p.path_out_bounds.is_some() && p.path_back_bounds.is_some() => Shape::BoundedClocks,
            () if p.front_end_s.is_some() => Shape::TwoClocks,
            () if engine && p.path_out_s.is_some() => Shape::StatLog,
            () if engine => Shape::InBand,
            () if p.prefill_s.is_some() => Shape::Prefill,
            () if p.received_bounds.is_some() => Shape::Log,
            () => Shape::Bare,
        })
    }

    /// The shape with one row where this one has two that cannot be told apart.
    pub fn coarser(self) -> Option<Shape> {
        match self {
            Shape::BoundedClocks => Some(Shape::TwoClocks),
            Shape::Log => Some(Shape::Bare),
            _ => None,
        }
    }

    /// The rows, in the order of printing.
    pub fn rows(self, what: Metric) -> impl Iterator<Item = PartRow> {
        use PartRow as P;
        let inside: &[PartRow] = match self {
            Shape::OneClock => {
                &[P::PathOut, P::FrontEnd, P::Queue, P::Prefill, P::Decode, P::PathBack, P::Unexplained]
            }
            Shape::BoundedClocks => &[P::PathOut, P::FrontEnd, P::Queue, P::Prefill, P::Decode, P::PathBack],
            Shape::TwoClocks => &[P::FrontEnd, P::Queue, P::Prefill, P::Decode, P::Path],
            Shape::StatLog => &[P::PathOut, P::Queue, P::Prefill, P::Decode, P::FrontEndAndPathBack],
            Shape::InBand => &[P::Queue, P::Prefill, P::Decode, P::PathAndFrontEnd],
            Shape::Inference => &[P::FrontEnd, P::Queue, P::Inference, P::Path],
            Shape::Prefill => &[P::Prefill, P::Decode, P::PathAndQueue],
            Shape::Log => &[P::PathOutAndReceipt, P::ServerAndPathBack],
            Shape::Bare => &[P::PathAndServer],
        };
        [P::Schedule, P::Connect, P::Send]
            .into_iter()
            .chain(inside.iter().copied())
            .chain([P::ClientLag])
            .filter(move |row| what == Metric::E2e || !matches!(row, P::Decode | P::Inference))
    }

    /// Where the server's numbers come from in such a breakdown of these requests.
    pub fn evidence(self, rows: &[&JoinedRow]) -> Evidence {
        match self {
            Shape::OneClock
            | Shape::BoundedClocks
            | Shape::TwoClocks
            | Shape::StatLog
            | Shape::InBand
            | Shape::Inference
            | Shape::Prefill => {
                let engine = |row: &&JoinedRow| row.engine_source;
                let most = Evidence::of_most(rows.iter().filter_map(engine));
                // Without the engine's times TTFT and E2E are all that a span told.
                match most {
                    Evidence::None => Evidence::of_most(rows.iter().filter_map(|row| row.arrival_source)),
                    told => told,
                }
            }
            Shape::Log => Evidence::Log,
            Shape::Bare => Evidence::None,
        }
    }
}

/// A row's number in one request: of TTFT, or of E2E.
pub fn value(parts: &Parts, row: PartRow, what: Metric) -> Option<f64> {
    let e2e = what == Metric::E2e;
    let of = |ttft: Option<f64>, whole: Option<f64>| if e2e { whole } else { ttft };
    match row {
        PartRow::Schedule => parts.schedule_s,
        PartRow::Connect => parts.connect_s,
        PartRow::Send => parts.send_s,
        PartRow::PathOut => parts.path_out_s.or_else(|| middle(parts.path_out_bounds)),
        PartRow::FrontEnd => of(parts.front_end_s, parts.e2e_front_end_s),
        PartRow::Queue => parts.queue_s,
        PartRow::Prefill => parts.prefill_s,
        PartRow::Decode => parts.decode_s,
        PartRow::Inference => parts.inference_s,
        // What path out leaves of the path: so the middles sum to the whole as well.
        PartRow::PathBack => {
            let left = || Some(parts.path_s? - middle(parts.path_out_bounds)?);
            of(parts.path_back_s.or_else(left), parts.e2e_path_back_s)
        }
        PartRow::PathOutAndReceipt => middle(parts.received_bounds),
        PartRow::ServerAndPathBack => Some(parts.path_s? - middle(parts.received_bounds)?),
        PartRow::FrontEndAndPathBack
        | PartRow::Path
        | PartRow::PathAndFrontEnd
        | PartRow::PathAndQueue
        | PartRow::PathAndServer => of(parts.path_s, parts.e2e_path_s),
        PartRow::Unexplained => of(parts.unexplained_s, parts.e2e_unexplained_s),
        PartRow::ClientLag => parts.client_lag_s,
    }
}

/// A row's bounds in one request, where it has no number.
pub fn bounds(parts: &Parts, row: PartRow) -> Option<Bounds> {
    match row {
        PartRow::PathOut => parts.path_out_bounds,
        PartRow::PathBack => parts.path_back_bounds,
        PartRow::PathOutAndReceipt => parts.received_bounds,
        PartRow::ServerAndPathBack => {
            let (path, received) = (parts.path_s?, parts.received_bounds?);
            Some(Bounds { lo_s: path - received.hi_s, hi_s: path - received.lo_s })
        }
        _ => None,
    }
}

/// Whether both ends of a row are stamped; else it is made by subtraction.
pub fn is_measured(row: PartRow) -> bool {
    !matches!(
        row,
        PartRow::FrontEnd
            | PartRow::Path
            | PartRow::PathAndFrontEnd
            | PartRow::PathAndQueue
            | PartRow::PathAndServer
            | PartRow::FrontEndAndPathBack
            | PartRow::ServerAndPathBack
            | PartRow::Unexplained
    )
}

fn middle(bounds: Option<Bounds>) -> Option<f64> {
    bounds.map(|b| f64::midpoint(b.lo_s, b.hi_s))
}
