//! The places on the way of a token, there and back: when a request was at each, how two of one clock lie
//! apart, and what they are called. This file must not know how parts are averaged.

use crate::metric::Metric;
use crate::record::correlated::Within;
use crate::record::hops::{HopSide, HopSummary};
use crate::record::{JoinedRow, ToldBy};

/// A place on the way, there and back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    Started,
    Sent,
    In(usize),
    Out(usize),
    Arrival,
    /// The token at the server's front end.
    Made,
    BackIn(usize),
    BackOut(usize),
    Here,
}

impl Cut {
    /// Whose it is, if it is a hop's.
    pub fn hop(self) -> Option<usize> {
        match self {
            Cut::In(hop) | Cut::Out(hop) | Cut::BackIn(hop) | Cut::BackOut(hop) => Some(hop),
            Cut::Started | Cut::Sent | Cut::Arrival | Cut::Made | Cut::Here => None,
        }
    }
}

/// All there can be, in the order of the way.
pub fn cuts(hops: usize) -> Vec<Cut> {
    let out = (0..hops).flat_map(|h| [Cut::In(h), Cut::Out(h)]);
    let back = (0..hops).rev().flat_map(|h| [Cut::BackIn(h), Cut::BackOut(h)]);
    [Cut::Started, Cut::Sent]
        .into_iter()
        .chain(out)
        .chain([Cut::Arrival, Cut::Made])
        .chain(back)
        .chain([Cut::Here])
        .collect()
}

/// Where a request's cut lies on the client's clock.
pub fn instant(row: &JoinedRow, cut: Cut, of: Metric) -> Option<Within> {
    let client = &row.client;
    let last = of == Metric::E2e;
    let passage = |hop: usize| row.hops.get(hop)?.as_deref();
    match cut {
        Cut::Started => Some(Within::at(client.started_unix_ns)),
        // The stamp after the last write can be late; what was begun to be sent is on the way.
        Cut::Sent => client.send_begin_unix_ns.map(Within::at),
        Cut::In(h) => passage(h)?.start,
        Cut::Out(h) => passage(h)?.sent_on,
        Cut::Arrival => row.arrival_here,
        Cut::Made => {
            if last {
                row.last_here
            } else {
                row.first_here
            }
        }
        Cut::BackIn(h) => {
            if last {
                passage(h)?.last_in
            } else {
                passage(h)?.first_in
            }
        }
        Cut::BackOut(h) => {
            if last {
                passage(h)?.last_out
            } else {
                passage(h)?.first_out
            }
        }
        Cut::Here => {
            if last { client.last_token_unix_ns } else { client.first_token_unix_ns }.map(Within::at)
        }
    }
}

/// How far two cuts are apart by the one clock that stamped both, where there is one: no offset is in that.
pub fn own_s(row: &JoinedRow, from: Cut, to: Cut, of: Metric) -> Option<f64> {
    let last = of == Metric::E2e;
    // A tap's instants out are intervals by its own clock as well: whoever it wrote to may have had it before.
    let hop = |hop: usize| {
        row.hops.get(hop)?.as_deref().map(|passage| &passage.row).filter(|row| row.told_by != ToldBy::Tap)
    };
    match (from, to) {
        (Cut::Arrival, Cut::Made) => {
            if last {
                row.server_e2e_s
            } else {
                row.server_ttft_s
            }
        }
        (Cut::In(h), Cut::Out(other)) if h == other => hop(h)?.upstream_sent_s,
        (Cut::BackIn(h), Cut::BackOut(other)) if h == other => {
            let hop = hop(h)?;
            if last {
                Some(hop.last_token_out_s? - hop.last_token_in_s?)
            } else {
                Some(hop.first_token_out_s? - hop.first_token_in_s?)
            }
        }
        _ => None,
    }
}

/// A cut as a moment, in words.
pub fn said(cut: Cut, list: &[HopSummary]) -> String {
    let name = |h: usize| list.get(h).map_or("?", |hop| hop.name.as_str());
    match cut {
        Cut::Started | Cut::Sent | Cut::Here => "The client's own stamp".to_owned(),
        Cut::In(h) => format!("When `{}` got the request", name(h)),
        Cut::Out(h) => format!("When `{}` had sent the request on", name(h)),
        Cut::Arrival => "When the request arrived at the server".to_owned(),
        Cut::Made => "When the server had the token".to_owned(),
        Cut::BackIn(h) => format!("When `{}` got the token", name(h)),
        Cut::BackOut(h) => format!("When `{}` had passed the token on", name(h)),
    }
}

/// A part's name, its side, and the hops that lie in it.
pub fn describe(from: Cut, to: Cut, list: &[HopSummary]) -> (String, HopSide, Vec<usize>) {
    let name = |h: usize| list.get(h).map_or("?", |hop| hop.name.as_str());
    let all = cuts(list.len());
    let place = |cut: Cut| all.iter().position(|c| *c == cut).unwrap_or(0);
    let mut inside: Vec<usize> = Vec::new();
    // A hop lies in a part if the part holds some of the time between the hop's in and out.
    for h in (0..list.len()).filter(|h| list.get(*h).is_some_and(|hop| !hop.is_listed_twice())) {
        let (a, b) = (place(from), place(to));
        let touches = |from_cut: Cut, to_cut: Cut| place(from_cut) < b && a < place(to_cut);
        if touches(Cut::In(h), Cut::Out(h)) || touches(Cut::BackIn(h), Cut::BackOut(h)) {
            inside.push(h);
        }
    }
    let side = if to == Cut::Sent {
        HopSide::Client
    } else if place(to) <= place(Cut::Arrival) {
        HopSide::Request
    } else if place(from) >= place(Cut::Made) {
        HopSide::Response
    } else {
        HopSide::Server
    };
    let end = |cut: Cut| match cut {
        Cut::Started | Cut::Sent | Cut::Here => "client".to_owned(),
        Cut::In(h) | Cut::Out(h) | Cut::BackIn(h) | Cut::BackOut(h) => name(h).to_owned(),
        Cut::Arrival | Cut::Made => "server".to_owned(),
    };
    let text = match (from, to) {
        (Cut::Started, Cut::Sent) => "connect, until sending begins".to_owned(),
        (Cut::In(h), Cut::Out(_)) => format!("{}, request", name(h)),
        (Cut::BackIn(h), Cut::BackOut(_)) => format!("{}, response", name(h)),
        (Cut::Arrival, Cut::Made) => "server".to_owned(),
        (Cut::Out(h), Cut::BackIn(other)) if h == other => format!("behind {}", name(h)),
        (Cut::In(h), Cut::BackIn(other)) if h == other => format!("{}, request, and behind it", name(h)),
        (Cut::In(h), Cut::In(_) | Cut::Arrival) => format!("{}, request → {}", name(h), end(to)),
        (Cut::BackIn(h), Cut::BackIn(_) | Cut::Here) => format!("{}, response → {}", name(h), end(to)),
        // There and back again: what lies in between cannot be told apart.
        _ if side == HopSide::Server => format!("{} → server → {}", end(from), end(to)),
        _ => {
            let through: Vec<&str> = inside.iter().map(|h| name(*h)).collect();
            let back = place(from) >= place(Cut::Made);
            let through: Vec<&str> = if back { through.into_iter().rev().collect() } else { through };
            let way = if through.is_empty() { String::new() } else { format!(" ({})", through.join(", ")) };
            format!("{} → {}{way}", end(from), end(to))
        }
    };
    (text, side, inside)
}
