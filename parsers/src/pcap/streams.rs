//! TCP segments in any order → connections: the bytes that each side sent, in the order of their
//! sequence numbers, each piece at the instant at which it and all before it had been seen. Of bytes
//! sent again the first copy counts; bytes that were not captured leave a gap. This file must not know
//! what the bytes mean.

use core::net::SocketAddr;
use std::collections::HashMap;

use super::segment::Segment;

/// One TCP connection, as far as it was captured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection<'a> {
    /// Who opened it; where the opening was not captured, the side with the higher port.
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// Its opening was captured: nothing is missing before the first moment.
    pub from_the_start: bool,
    /// When the client asked for it, and when the server took it.
    pub asked_unix_ns: Option<i64>,
    pub opened_unix_ns: Option<i64>,
    /// In the order of time.
    pub moments: Vec<Moment<'a>>,
}

/// What was seen of one side at one instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment<'a> {
    pub unix_ns: i64,
    pub by_client: bool,
    pub what: What<'a>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What<'a> {
    Data(&'a [u8]),
    /// So many bytes of its stream are not in the capture.
    Gap(u64),
    /// It sends no more.
    Closed,
    Reset,
}

/// What was found while streams were put together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    pub segments: u64,
    /// Segments that brought no byte that was not there.
    pub repeated: u64,
    /// Segments that came after later ones of their stream.
    pub out_of_order: u64,
    /// Segments of which the capture kept only the beginning.
    pub cut_short: u64,
    pub gaps: u64,
    pub missing_bytes: u64,
}

/// Puts connections together, in the order of their first segments.
pub fn connections(mut segments: Vec<Segment<'_>>) -> (Vec<Connection<'_>>, Counts) {
    let mut counts = Counts { segments: segments.len() as u64, ..Counts::default() };
    // Stable: of equal stamps the file's order stays.
    segments.sort_by_key(|segment| segment.unix_ns);
    let mut flows: Vec<Flow<'_>> = Vec::new();
    let mut current: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    for segment in segments {
        let (low, high) = (segment.from.min(segment.to), segment.from.max(segment.to));
        let found = current.get(&(low, high)).and_then(|at| flows.get_mut(*at));
        if let Some(flow) = found.filter(|flow| !flow.is_another(&segment)) {
            flow.take(segment);
        } else {
            current.insert((low, high), flows.len());
            let mut flow = Flow { low: Way::of(low), high: Way::of(high) };
            flow.take(segment);
            flows.push(flow);
        }
    }
    (flows.into_iter().map(|flow| flow.connection(&mut counts)).collect(), counts)
}

/// Both ways between two addresses while one connection lasts.
struct Flow<'a> {
    low: Way<'a>,
    high: Way<'a>,
}

/// What one side sent.
struct Way<'a> {
    from: SocketAddr,
    /// Of the SYN: its sequence number, whether it answered another, and when it came first.
    syn: Option<(u32, bool, i64)>,
    /// The last sequence number, and its distance from the first byte of the stream.
    last: Option<(u32, i64)>,
    highest: i64,
    late: u64,
    pieces: Vec<Piece<'a>>,
    /// Where and when it closed.
    fin: Option<i64>,
    rst: Option<i64>,
}

#[derive(Clone, Copy)]
struct Piece<'a> {
    /// Distance of its first byte from that of the stream.
    at: i64,
    unix_ns: i64,
    payload: &'a [u8],
    wire_len: usize,
}

impl<'a> Flow<'a> {
    /// Whether the segment opens another connection between the same addresses.
    fn is_another(&self, segment: &Segment<'_>) -> bool {
        let way = if segment.from == self.low.from { &self.low } else { &self.high };
        segment.syn
            && !segment.ack
            && way.last.is_some()
            && way.syn.map(|syn| syn.0) != Some(segment.sequence)
    }

    fn take(&mut self, segment: Segment<'a>) {
        if segment.from == self.low.from { self.low.take(segment) } else { self.high.take(segment) }
    }

    fn connection(self, counts: &mut Counts) -> Connection<'a> {
        let Self { low, high } = self;
        let opens = |way: &Way<'_>| way.syn.is_some_and(|(_, answers, _)| !answers);
        let answers = |way: &Way<'_>| way.syn.is_some_and(|(_, answers, _)| answers);
        let low_is_client = if opens(&low) || answers(&high) {
            true
        } else if opens(&high) || answers(&low) {
            false
        } else {
            low.from.port() >= high.from.port()
        };
        let (client, server) = if low_is_client { (low, high) } else { (high, low) };
        let (asked, opened) = (client.syn, server.syn);
        let mut connection = Connection {
            client: client.from,
            server: server.from,
            from_the_start: asked.is_some() && opened.is_some(),
            asked_unix_ns: asked.map(|syn| syn.2),
            opened_unix_ns: opened.map(|syn| syn.2),
            moments: Vec::with_capacity(client.pieces.len() + server.pieces.len() + 2),
        };
        client.moments(true, &mut connection.moments, counts);
        server.moments(false, &mut connection.moments, counts);
        // Stable: at one instant the client's come first, and each side's in their order.
        connection.moments.sort_by_key(|moment| moment.unix_ns);
        connection
    }
}

impl<'a> Way<'a> {
    fn of(from: SocketAddr) -> Self {
        Self { from, syn: None, last: None, highest: 0, late: 0, pieces: Vec::new(), fin: None, rst: None }
    }

    fn take(&mut self, segment: Segment<'a>) {
        let Segment { unix_ns, sequence, payload, wire_len, .. } = segment;
        if segment.rst {
            self.rst.get_or_insert(unix_ns);
            return;
        }
        // A SYN has a number of its own, before that of the first byte.
        let first = if segment.syn { sequence.wrapping_add(1) } else { sequence };
        if segment.syn {
            self.syn.get_or_insert((sequence, segment.ack, unix_ns));
        }
        let at = match self.last {
            None => 0,
            // Numbers wrap: the nearer of the two distances is meant.
            Some((last, at)) => at + i64::from(first.wrapping_sub(last).cast_signed()),
        };
        self.last = Some((first, at));
        if segment.fin {
            self.fin.get_or_insert(unix_ns);
        }
        if wire_len > 0 {
            self.late += u64::from(at < self.highest && !self.pieces.is_empty());
            self.highest = self.highest.max(at + length(wire_len));
            self.pieces.push(Piece { at, unix_ns, payload, wire_len });
        }
    }

    fn moments(self, by_client: bool, moments: &mut Vec<Moment<'a>>, counts: &mut Counts) {
        let Self { syn, mut pieces, fin, rst, highest, late, .. } = self;
        pieces.sort_by_key(|piece| (piece.at, piece.unix_ns));
        let mut next = if syn.is_some() { 0 } else { pieces.first().map_or(0, |piece| piece.at) };
        let mut seen = i64::MIN;
        let mut repeated = 0;
        for Piece { at, unix_ns, payload, wire_len } in pieces {
            counts.cut_short += u64::from(payload.len() < wire_len);
            if at + length(wire_len) <= next {
                repeated += 1;
                continue;
            }
            seen = seen.max(unix_ns);
            if at > next {
                counts.gap(at - next);
                moments.push(Moment { unix_ns: seen, by_client, what: What::Gap((at - next) as u64) });
                next = at;
            }
            let known = usize::try_from(next - at).unwrap_or(usize::MAX);
            let new = payload.get(known..).unwrap_or_default();
            if !new.is_empty() {
                moments.push(Moment { unix_ns: seen, by_client, what: What::Data(new) });
                next += length(new.len());
            }
        }
        if highest > next && seen > i64::MIN {
            counts.gap(highest - next);
            moments.push(Moment { unix_ns: seen, by_client, what: What::Gap((highest - next) as u64) });
        }
        counts.repeated += repeated;
        counts.out_of_order += late.saturating_sub(repeated);
        if let Some(at) = fin {
            moments.push(Moment { unix_ns: at.max(seen), by_client, what: What::Closed });
        }
        if let Some(at) = rst {
            moments.push(Moment { unix_ns: at.max(seen), by_client, what: What::Reset });
        }
    }
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Counts {
    fn gap(&mut self, bytes: i64) {
        self.gaps += 1;
        self.missing_bytes += bytes.unsigned_abs();
    }
}
