//! One connection's bytes from the server, by their place in the stream, and when they were there.
//! This file must not know sockets, addresses or what the bytes mean.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::header::Segment;
use crate::clock::UnixNs;

/// Segments remembered per connection: bounds the memory for connections nobody asks about.
const MOST_SEGMENTS: usize = 1 << 20;

/// What a segment was to its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// No data, or a connection whose beginning was not seen.
    Control,
    /// The bytes that were due.
    Next,
    /// Bytes after some that have not been seen.
    AfterGap,
    /// Bytes seen before, or due before those last seen: sent again, or late.
    Again,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    begin: u64,
    end: u64,
    /// When it was there, with all before it that were seen: data that came after a lost segment
    /// can be read no earlier than that.
    readable: UnixNs,
}

/// The stream from its first byte on.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Sequence number of the next byte due, and its offset; `None` before the connection's opening.
    next: Option<(u32, u64)>,
    /// In the order of their offsets, not overlapping.
    pieces: VecDeque<Piece>,
    /// Arrival of the latest of those forgotten.
    before: Option<UnixNs>,
}

impl Flow {
    /// Takes the next segment captured.
    pub(super) fn add(&mut self, segment: &Segment, arrived: UnixNs) -> Kind {
        if segment.syn {
            // A connection of the same port as an older one begins anew.
            *self = Self { next: Some((segment.seq.wrapping_add(1), 0)), ..Self::default() };
            return Kind::Control;
        }
        let Some((seq, due)) = self.next else { return Kind::Control };
        if segment.length == 0 || segment.rst {
            return Kind::Control;
        }
        // Sequence numbers wrap around; no segment is 2 GB away from what is due.
        let ahead = i64::from(segment.seq.wrapping_sub(seq).cast_signed());
        let Some(begin) = due.checked_add_signed(ahead) else { return Kind::Control };
        let end = begin + u64::from(segment.length);
        if end > due {
            self.next = Some((segment.seq.wrapping_add(segment.length), end));
        }
        self.fill(begin, end, arrived);
        if self.pieces.len() > MOST_SEGMENTS {
            self.pieces.pop_front();
        }
        match begin.cmp(&due) {
            Ordering::Less => Kind::Again,
            Ordering::Equal => Kind::Next,
            Ordering::Greater => Kind::AfterGap,
        }
    }

    /// When the byte before offset `end` was there with all before it.
    pub(super) fn arrival(&self, end: u64) -> Option<UnixNs> {
        let byte = end.checked_sub(1)?;
        let at = self.pieces.partition_point(|piece| piece.end <= byte);
        self.pieces.get(at).filter(|piece| piece.begin <= byte).map(|piece| piece.readable)
    }

    pub(super) fn forget(&mut self, end: u64) {
        while let Some(piece) = self.pieces.front().filter(|piece| piece.end <= end) {
            self.before = self.before.max(Some(piece.readable));
            self.pieces.pop_front();
        }
    }

    /// Notes the parts of [`begin`, `end`) that were not there yet.
    fn fill(&mut self, begin: u64, end: u64, arrived: UnixNs) {
        let mut at = match self.pieces.back() {
            Some(last) if last.end > begin => self.pieces.partition_point(|piece| piece.end <= begin),
            _ => self.pieces.len(),
        };
        let mut from = begin;
        while from < end {
            let next = self.pieces.get(at).copied();
            let until = next.map_or(end, |piece| piece.begin.min(end));
            if from < until {
                let earlier = at.checked_sub(1).and_then(|i| self.pieces.get(i)).map(|piece| piece.readable);
                let readable = arrived.max(earlier.or(self.before).unwrap_or(arrived));
                self.pieces.insert(at, Piece { begin: from, end: until, readable });
                at += 1;
                for later in self.pieces.range_mut(at..) {
                    later.readable = later.readable.max(readable);
                }
            }
            from = next.map_or(end, |piece| piece.end.max(until));
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn segment(seq: u32, length: u32) -> Segment {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Segment { from: nobody, to: nobody, seq, length, syn: false, rst: false }
    }

    /// A stream whose first byte has this sequence number.
    fn opened(first: u32) -> Flow {
        let mut flow = Flow::default();
        let syn = Segment { syn: true, ..segment(first.wrapping_sub(1), 0) };
        assert_eq!(flow.add(&syn, UnixNs(0)), Kind::Control);
        flow
    }

    fn arrivals(flow: &Flow, ends: impl IntoIterator<Item = u64>) -> Vec<Option<i64>> {
        ends.into_iter().map(|end| flow.arrival(end).map(|at| at.0)).collect()
    }

    #[test]
    fn every_byte_has_the_stamp_of_its_segment() {
        let mut flow = opened(1000);
        assert_eq!(flow.add(&segment(1000, 10), UnixNs(5)), Kind::Next);
        assert_eq!(flow.add(&segment(1010, 1), UnixNs(6)), Kind::Next);
        assert_eq!(arrivals(&flow, [0, 1, 10, 11, 12]), [None, Some(5), Some(5), Some(6), None]);
    }

    #[test]
    fn sequence_numbers_wrap_around() {
        let mut flow = opened(u32::MAX - 4);
        for i in 0..4_u32 {
            assert_eq!(
                flow.add(&segment((u32::MAX - 4).wrapping_add(i * 4), 4), UnixNs(i.into())),
                Kind::Next
            );
        }
        assert_eq!(arrivals(&flow, [4, 8, 12, 16]), [Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn what_came_after_a_lost_segment_could_be_read_only_with_it() {
        let mut flow = opened(0);
        assert_eq!(flow.add(&segment(0, 10), UnixNs(1)), Kind::Next);
        assert_eq!(flow.add(&segment(20, 10), UnixNs(2)), Kind::AfterGap);
        assert_eq!(flow.add(&segment(30, 10), UnixNs(3)), Kind::Next);
        assert_eq!(flow.add(&segment(10, 10), UnixNs(200)), Kind::Again, "the lost one, sent again");
        assert_eq!(flow.add(&segment(40, 10), UnixNs(300)), Kind::Next);
        assert_eq!(arrivals(&flow, [10, 20, 30, 40, 50]), [1, 200, 200, 200, 300].map(Some));
    }

    #[test]
    fn what_comes_again_keeps_its_first_stamp() {
        let mut flow = opened(0);
        flow.add(&segment(0, 10), UnixNs(1));
        assert_eq!(flow.add(&segment(0, 10), UnixNs(300)), Kind::Again);
        assert_eq!(flow.add(&segment(5, 10), UnixNs(400)), Kind::Again, "sent again with more behind it");
        assert_eq!(arrivals(&flow, [10, 11, 15]), [Some(1), Some(400), Some(400)]);
    }

    #[test]
    fn a_segment_that_the_capture_dropped_leaves_a_gap() {
        let mut flow = opened(0);
        flow.add(&segment(10, 10), UnixNs(2));
        assert_eq!(arrivals(&flow, [5, 15]), [None, Some(2)]);
    }

    #[test]
    fn what_is_forgotten_still_holds_back_what_follows() {
        let mut flow = opened(0);
        flow.add(&segment(10, 10), UnixNs(2));
        flow.add(&segment(0, 10), UnixNs(9));
        flow.forget(10);
        assert_eq!(arrivals(&flow, [10, 20]), [None, Some(9)]);
    }

    #[test]
    fn a_port_used_again_begins_anew() {
        let mut flow = opened(0);
        flow.add(&segment(0, 10), UnixNs(1));
        flow.add(&Segment { syn: true, ..segment(776, 0) }, UnixNs(2));
        flow.add(&segment(777, 3), UnixNs(3));
        assert_eq!(arrivals(&flow, [3, 4]), [Some(3), None]);
    }

    #[test]
    fn a_connection_not_seen_from_its_beginning_tells_nothing() {
        let mut flow = Flow::default();
        assert_eq!(flow.add(&segment(5, 10), UnixNs(1)), Kind::Control);
        assert_eq!(flow.arrival(1), None);
    }
}
