//! The parts of one request's time, and where each lies up to the first token. Parts follow each other
//! as they are listed; where bounds leave an end open, it lies within two instants. What is only known
//! as a remainder (out and back together) lies somewhere on both sides of what is measured between.

use crate::correlate::shape::{self, Shape};
use crate::metric::Metric;
use crate::record::JoinedRow;
use crate::record::correlated::{Bounds, PartRow};
use crate::record::waterfall::{DrawnPart, Extent};

/// The parts of TTFT and of E2E, each once, in the order of the breakdown.
pub fn of(row: &JoinedRow) -> Vec<DrawnPart> {
    let shapes = [Metric::Ttft, Metric::E2e].map(|of| (of, Shape::of(row, of)));
    let has = |part: PartRow| {
        shapes.iter().any(|(of, shape)| shape.is_some_and(|shape| shape.rows(*of).any(|r| r == part)))
    };
    let number = |part: PartRow, n: usize| {
        let (of, shape) = shapes.get(n)?;
        shape.as_ref()?.rows(*of).find(|r| *r == part)?;
        shape::value(&row.parts, part, *of)
    };
    let mut parts: Vec<DrawnPart> = PartRow::ALL
        .into_iter()
        .filter(|part| has(*part))
        .map(|part| DrawnPart {
            part,
            ttft_s: number(part, 0),
            e2e_s: number(part, 1),
            bounds: number(part, 0).and_then(|_| shape::bounds(&row.parts, part)),
            measured: shape::is_measured(part),
            extents: Vec::new(),
        })
        .filter(|part| part.ttft_s.or(part.e2e_s).is_some())
        .collect();
    if let Some(ttft) = row.client.ttft_s {
        lay(&mut parts, ttft);
    }
    parts
}

/// Puts the parts of TTFT one after another.
fn lay(parts: &mut [DrawnPart], ttft: f64) {
    let inside = |p: &DrawnPart| p.part.inside() && p.ttft_s.is_some();
    let is_server = |p: &DrawnPart| matches!(p.part, PartRow::FrontEnd | PartRow::Queue | PartRow::Prefill);
    let surrounds = |p: &DrawnPart| {
        matches!(
            p.part,
            PartRow::Path | PartRow::PathAndFrontEnd | PartRow::PathAndQueue | PartRow::FrontEndAndPathBack
        )
    };
    // By how much what was measured at the server may lie later: all of what surrounds it.
    let slack = parts.iter().find(|p| surrounds(p)).and_then(|p| p.ttft_s).unwrap_or(0.0).max(0.0);
    let last = parts.iter().rposition(inside);
    let (mut lo, mut hi) = (0.0, 0.0);
    let mut server_begin = None;
    for (n, part) in parts.iter_mut().enumerate().filter(|(_, p)| inside(p)) {
        let length = part.ttft_s.unwrap_or_default();
        if surrounds(part)
            && let Some(begin) = server_begin
        {
            // One of stamps that contradict has no place.
            let length = length.max(0.0);
            part.extents = vec![somewhere(begin, begin + length), somewhere(ttft - length, ttft)];
            continue;
        }
        if is_server(part) && server_begin.is_none() {
            server_begin = Some(lo);
            hi += slack;
        }
        let bounds = part.bounds.unwrap_or(Bounds { lo_s: length, hi_s: length });
        // All parts sum to the whole, so the last one ends with it.
        let end = if Some(n) == last { (ttft, ttft) } else { (lo + bounds.lo_s, hi + bounds.hi_s) };
        part.extents = vec![Extent { begin_lo_s: lo, begin_hi_s: hi, end_lo_s: end.0, end_hi_s: end.1 }];
        (lo, hi) = end;
    }
}

/// Anything from nothing to all of it.
fn somewhere(from: f64, to: f64) -> Extent {
    Extent { begin_lo_s: from, begin_hi_s: to, end_lo_s: from, end_hi_s: to }
}
