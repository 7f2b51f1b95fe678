//! Where one request's time went: its TTFT and its E2E as parts that sum to them. Nothing is clamped,
//! nothing is guessed: what cannot be told apart is one part, and what is only known to lie within
//! bounds stays bounds. This file must not know how parts of several requests are put together.

use super::log_join::Written;
use super::request_join::Told;
use crate::clock::UnixNs;
use crate::record::correlated::{Bounds, Parts, Within};
use crate::record::{Connection, JoinedRow, RequestRow, StampSource};

/// One request's parts.
pub fn parts(row: &JoinedRow, told: &Told, map: &super::clocks::Map) -> Parts {
    let client = &row.client;
    let mut parts = Parts {
        schedule_s: Some(client.started_unix_ns.seconds_since(client.scheduled_unix_ns)),
        // A client that stamps itself cannot tell how late it was: its TTFT contains that.
        client_lag_s: between(client.first_token_unix_ns, client.first_token_user_unix_ns)
            .filter(|_| client.stamps > StampSource::User),
        connect_s: connect(client),
        send_s: between(client.send_begin_unix_ns, client.sent_unix_ns),
        queue_s: row.server_queue_s,
        prefill_s: row.server_prefill_s,
        decode_s: row.server_decode_s,
        inference_s: row.server_inference_s,
        ..Parts::default()
    };
    let sent = client.sent_unix_ns.or(client.send_begin_unix_ns).or(client.connect_end_unix_ns);
    let sent = sent.unwrap_or(client.started_unix_ns);
    let out = row.arrival_here;
    let path_out = out.and_then(Within::exact).map(|arrival| arrival.seconds_since(sent));
    let path_out_bounds = out.map(|w| after(w, sent));
    let engine = row.server_queue_s.zip(row.server_prefill_s).map(|(queue, prefill)| queue + prefill);

    if let Some(ttft) = client.ttft_s {
        parts.front_end_s = row.server_ttft_s.zip(engine).map(|(ttft, engine)| ttft - engine);
        let back = row.first_here.filter(|_| parts.front_end_s.is_some());
        let path_back =
            back.and_then(Within::exact).and_then(|there| between(Some(there), client.first_token_unix_ns));
        if let (Some(out), Some(back)) = (path_out, path_back) {
            (parts.path_out_s, parts.path_back_s) = (Some(out), Some(back));
            parts.unexplained_s = Some(ttft - known(&parts));
        } else if let (Some(out), None, true) = (path_out, row.server_ttft_s, engine.is_some()) {
            parts.path_out_s = Some(out);
            parts.path_s = Some(ttft - known(&parts));
        } else {
            parts.path_s = Some(ttft - known(&parts));
            parts.path_out_bounds = path_out_bounds.filter(|_| back.is_some());
            parts.path_back_bounds =
                back.zip(client.first_token_unix_ns).map(|(there, here)| until(there, here));
        }
        let received = told.log.as_ref().and_then(|log| log.received);
        parts.received_bounds = received.zip(client.first_token_unix_ns).and_then(|(line, first)| {
            let from = client.send_begin_unix_ns.unwrap_or(client.started_unix_ns);
            Some(after(written(line, map, from, first)?, sent))
        });
    }
    if let Some(e2e) = client.e2e_s {
        let inference =
            row.server_prefill_s.zip(row.server_decode_s).map(|(prefill, decode)| prefill + decode);
        let inference = inference.or(row.server_inference_s);
        let queue = row.server_queue_s.filter(|_| inference.is_some());
        let engine = queue.zip(inference).map(|(queue, inference)| queue + inference);
        parts.e2e_front_end_s = row.server_e2e_s.zip(engine).map(|(e2e, engine)| e2e - engine);
        let back = row.last_here.filter(|_| parts.e2e_front_end_s.is_some());
        let path_back =
            back.and_then(Within::exact).and_then(|there| between(Some(there), client.last_token_unix_ns));
        let measured = [parts.connect_s, parts.send_s, queue, inference, parts.e2e_front_end_s];
        let rest = e2e - measured.into_iter().flatten().sum::<f64>();
        if let (Some(out), Some(back)) = (path_out, path_back) {
            parts.e2e_path_back_s = Some(back);
            parts.e2e_unexplained_s = Some(rest - out - back);
        } else {
            parts.e2e_path_s = Some(rest);
        }
    }
    parts
}

/// TCP, and TLS where there is some. A connection that was there costs nothing; that is measured too.
fn connect(client: &RequestRow) -> Option<f64> {
    match (client.connect_begin_unix_ns, client.tls_end_unix_ns.or(client.connect_end_unix_ns)) {
        (Some(begin), Some(end)) => Some(end.seconds_since(begin)),
        _ if matches!(client.connection, Connection::Reused | Connection::Warm) => Some(0.0),
        _ => None,
    }
}

/// The parts inside TTFT that are known so far. A queue alone is no part: no breakdown has that row.
fn known(p: &Parts) -> f64 {
    let queue = p.queue_s.filter(|_| p.prefill_s.is_some());
    let inside = [p.connect_s, p.send_s, p.path_out_s, p.front_end_s, queue, p.prefill_s, p.path_back_s];
    inside.into_iter().flatten().sum()
}

fn between(from: Option<UnixNs>, to: Option<UnixNs>) -> Option<f64> {
    Some(to?.seconds_since(from?))
}

/// From an instant until one within bounds.
fn after(there: Within, from: UnixNs) -> Bounds {
    Bounds { lo_s: there.lo_unix_ns.seconds_since(from), hi_s: there.hi_unix_ns.seconds_since(from) }
}

/// From an instant within bounds until another.
fn until(there: Within, to: UnixNs) -> Bounds {
    Bounds { lo_s: to.seconds_since(there.hi_unix_ns), hi_s: to.seconds_since(there.lo_unix_ns) }
}

/// When a line was written, on the client's clock, given what it came after and before.
fn written(line: Written, map: &super::clocks::Map, from: UnixNs, to: UnixNs) -> Option<Within> {
    let (first, last) = (map.anywhere(line.time_unix_ns)?, map.anywhere(line.end_unix_ns())?);
    let cut = first.over(last).cut_to(from, to);
    (cut.lo_unix_ns <= cut.hi_unix_ns).then_some(cut)
}
