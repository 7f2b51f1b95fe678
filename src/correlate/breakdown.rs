//! Where the time to first token went: each request's parts, and their means at the mean and around
//! percentiles. The parts of a request sum to its TTFT; nothing is clamped, nothing is guessed: what
//! cannot be told apart is one part. This file must not know how the stamps were joined.
//!
//! | evidence | rows inside TTFT |
//! |---|---|
//! | spans, one clock | connect, send, path out, front end, queue, prefill, path back, unexplained |
//! | spans, two clocks | connect, send, front end, queue, prefill, path (by subtraction) |
//! | in-band metrics | connect, send, queue, prefill, path + front end (by subtraction) |
//! | metrics endpoint | as spans with two clocks, means only |
//! | nothing | connect, send, path + server (by subtraction) |
//!
//! The front end is server TTFT − queue − prefill, by subtraction: no server stamps it.

use crate::metric::Metric;
use crate::record::correlated::{Aggregate, Breakdown, BreakdownColumn, Evidence, Part, PartRow, Parts};
use crate::record::{Connection, JoinedRow, RequestRow, Source};

/// The percentiles shown beside the mean.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.50), ("p90", 0.90), ("p99", 0.99)];
/// A group holds the requests ranked within this share of a percentile, and at least so many.
const WITHIN: f64 = 0.01;
const AT_LEAST: usize = 30;
/// Stamps are whole nanoseconds: a part nearer to zero than this is zero.
const GRAIN_S: f64 = 1e-9;

/// One request's parts. `None` for TTFT: nothing inside it is known.
pub fn parts(row: &JoinedRow, same_host: bool) -> Parts {
    let client = &row.client;
    let between =
        |from: Option<crate::clock::UnixNs>, to: Option<crate::clock::UnixNs>| Some(to?.seconds_since(from?));
    let mut parts = Parts {
        schedule_s: Some(client.started_unix_ns.seconds_since(client.scheduled_unix_ns)),
        client_lag_s: between(client.first_token_unix_ns, client.first_token_user_unix_ns),
        connect_s: connect(client),
        send_s: between(client.send_begin_unix_ns, client.sent_unix_ns),
        ..Parts::default()
    };
    let Some(ttft) = client.ttft_s else {
        return parts;
    };
    parts.queue_s = row.server_queue_s;
    parts.prefill_s = row.server_prefill_s;
    parts.front_end_s = match (row.server_ttft_s, row.server_queue_s, row.server_prefill_s) {
        (Some(ttft), Some(queue), Some(prefill)) => Some(ttft - queue - prefill),
        _ => None,
    };
    if same_host
        && parts.front_end_s.is_some()
        && let (Some(arrival), Some(server_ttft)) = (row.server_arrival_unix_ns, row.server_ttft_s)
    {
        let sent = client.sent_unix_ns.or(client.send_begin_unix_ns).or(client.connect_end_unix_ns);
        parts.path_out_s = Some(arrival.seconds_since(sent.unwrap_or(client.started_unix_ns)));
        let first_there = arrival.plus_seconds(server_ttft);
        parts.path_back_s = client.first_token_unix_ns.map(|here| here.seconds_since(first_there));
        parts.unexplained_s = Some(ttft - known(&parts));
    } else {
        parts.path_s = Some(ttft - known(&parts));
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

/// The parts inside TTFT that are known so far.
fn known(p: &Parts) -> f64 {
    let inside = [p.connect_s, p.send_s, p.path_out_s, p.front_end_s, p.queue_s, p.prefill_s, p.path_back_s];
    inside.into_iter().flatten().sum()
}

/// Which rows a breakdown has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    OneClock,
    TwoClocks,
    InBand,
    Bare,
}

impl Shape {
    const ALL: [Shape; 4] = [Shape::OneClock, Shape::TwoClocks, Shape::InBand, Shape::Bare];

    fn of(row: &JoinedRow) -> Option<Shape> {
        row.client.ttft_s?;
        let engine = row.parts.queue_s.is_some() && row.parts.prefill_s.is_some();
        Some(match () {
            () if row.parts.path_out_s.is_some() && row.parts.path_back_s.is_some() => Shape::OneClock,
            () if row.source == Source::Span && row.parts.front_end_s.is_some() => Shape::TwoClocks,
            () if engine => Shape::InBand,
            () => Shape::Bare,
        })
    }

    fn rows(self) -> &'static [PartRow] {
        use PartRow as P;
        match self {
            Shape::OneClock => &[
                P::Schedule,
                P::Connect,
                P::Send,
                P::PathOut,
                P::FrontEnd,
                P::Queue,
                P::Prefill,
                P::PathBack,
                P::Unexplained,
                P::ClientLag,
            ],
            Shape::TwoClocks => {
                &[P::Schedule, P::Connect, P::Send, P::FrontEnd, P::Queue, P::Prefill, P::Path, P::ClientLag]
            }
            Shape::InBand => {
                &[P::Schedule, P::Connect, P::Send, P::Queue, P::Prefill, P::PathAndFrontEnd, P::ClientLag]
            }
            Shape::Bare => &[P::Schedule, P::Connect, P::Send, P::PathAndServer, P::ClientLag],
        }
    }

    fn evidence(self) -> Evidence {
        match self {
            Shape::OneClock | Shape::TwoClocks => Evidence::Span,
            Shape::InBand => Evidence::InBand,
            Shape::Bare => Evidence::None,
        }
    }
}

/// The breakdown of all requests with a TTFT that share the best evidence: the best that at least
/// half of them have, else the one that most have; from the metrics endpoint where no request has any.
pub fn breakdown(rows: &[JoinedRow], aggregate: &Aggregate, same_host: bool) -> Breakdown {
    let shaped: Vec<(Shape, &JoinedRow)> = rows.iter().filter_map(|r| Shape::of(r).map(|s| (s, r))).collect();
    let n_total = shaped.len();
    let with = |shape: Shape| shaped.iter().filter(|(s, _)| *s == shape).count();
    let shape = Shape::ALL
        .into_iter()
        .find(|shape| n_total > 0 && with(*shape) * 2 >= n_total)
        .or_else(|| Shape::ALL.into_iter().rev().max_by_key(|shape| with(*shape)))
        .unwrap_or(Shape::Bare);
    let mut chosen: Vec<&JoinedRow> = shaped.iter().filter(|(s, _)| *s == shape).map(|(_, r)| *r).collect();
    let ttft = |row: &JoinedRow| row.client.ttft_s.unwrap_or(0.0);
    chosen.sort_by(|a, b| ttft(a).total_cmp(&ttft(b)).then(a.client.index.cmp(&b.client.index)));

    let mut breakdown = Breakdown {
        source: shape.evidence(),
        same_host,
        n_total,
        n: chosen.len(),
        columns: Vec::new(),
        rule: format!(
            "mean of all; pNN: the mean of the requests ranked within ±{:.0} % of it (at least {AT_LEAST})",
            WITHIN * 100.0
        ),
    };
    if chosen.is_empty() {
        return breakdown;
    }
    // Some servers' spans know queue and prefill, and no TTFT.
    if shape == Shape::InBand && chosen.iter().filter(|r| r.source == Source::Span).count() * 2 > chosen.len()
    {
        breakdown.source = Evidence::Span;
    }
    let mean = column("mean", &chosen, shape);
    if shape == Shape::Bare
        && let Some(split) = from_aggregate(&mean, aggregate)
    {
        breakdown.source = Evidence::Metrics;
        breakdown.columns.push(split);
        return breakdown;
    }
    breakdown.columns.push(mean);
    for (name, q) in PERCENTILES {
        breakdown.columns.push(column(name, group(&chosen, q), shape));
    }
    breakdown
}

/// The rows ranked around the `q`-quantile.
fn group<'a, 'b>(sorted: &'a [&'b JoinedRow], q: f64) -> &'a [&'b JoinedRow] {
    let n = sorted.len();
    let position = (n.saturating_sub(1)) as f64 * q;
    let reach = WITHIN * n as f64;
    let first = (position - reach).ceil().max(0.0) as usize;
    let last = ((position + reach).floor() as usize).min(n.saturating_sub(1));
    let size = (last + 1).saturating_sub(first).max(AT_LEAST).min(n);
    let first = ((position - (size - 1) as f64 / 2.0).round().max(0.0) as usize).min(n - size);
    sorted.get(first..first + size).unwrap_or(sorted)
}

fn column(at: &str, rows: &[&JoinedRow], shape: Shape) -> BreakdownColumn {
    let n = rows.len();
    let mean = |value: &dyn Fn(&JoinedRow) -> Option<f64>| {
        rows.iter().filter_map(|r| value(r)).sum::<f64>() / n as f64
    };
    let width =
        |r: &JoinedRow| Some(r.client.first_token_unix_ns?.seconds_since(r.client.first_token_lo_unix_ns?));
    let parts = shape.rows().iter().map(|row| {
        let value = |r: &JoinedRow| value(&r.parts, *row);
        Part {
            row: *row,
            mean_s: mean(&value),
            measured: is_measured(*row),
            n_negative: rows.iter().filter(|r| value(r).is_some_and(|v| v < -GRAIN_S)).count(),
        }
    });
    BreakdownColumn {
        at: at.to_owned(),
        n,
        ttft_s: mean(&|r| r.client.ttft_s),
        stamp_width_s: mean(&width),
        parts: parts.collect(),
    }
}

fn value(parts: &Parts, row: PartRow) -> Option<f64> {
    match row {
        PartRow::Schedule => parts.schedule_s,
        PartRow::Connect => parts.connect_s,
        PartRow::Send => parts.send_s,
        PartRow::PathOut => parts.path_out_s,
        PartRow::FrontEnd => parts.front_end_s,
        PartRow::Queue => parts.queue_s,
        PartRow::Prefill => parts.prefill_s,
        PartRow::PathBack => parts.path_back_s,
        PartRow::Path | PartRow::PathAndFrontEnd | PartRow::PathAndServer => parts.path_s,
        PartRow::Unexplained => parts.unexplained_s,
        PartRow::ClientLag => parts.client_lag_s,
    }
}

fn is_measured(row: PartRow) -> bool {
    !matches!(
        row,
        PartRow::FrontEnd
            | PartRow::Path
            | PartRow::PathAndFrontEnd
            | PartRow::PathAndServer
            | PartRow::Unexplained
    )
}

/// The mean column with the server's exact means in it, where no request has evidence of its own.
fn from_aggregate(client: &BreakdownColumn, aggregate: &Aggregate) -> Option<BreakdownColumn> {
    if aggregate.unusable.is_some() {
        return None;
    }
    let mean = |metric| aggregate.of(metric).and_then(|h| h.mean);
    let (ttft, queue, prefill) = (mean(Metric::Ttft)?, mean(Metric::Queue)?, mean(Metric::Prefill)?);
    let server =
        [(PartRow::FrontEnd, ttft - queue - prefill), (PartRow::Queue, queue), (PartRow::Prefill, prefill)];
    let mut split = client.clone();
    let bare = split.parts.iter().position(|p| p.row == PartRow::PathAndServer)?;
    let rest = split.parts.get(bare)?.mean_s - ttft;
    let parts = server.into_iter().chain([(PartRow::Path, rest)]).map(|(row, mean_s)| Part {
        row,
        mean_s,
        measured: is_measured(row),
        n_negative: 0,
    });
    split.parts.splice(bare..=bare, parts);
    Some(split)
}
