//! Whether events came as the server made them, or several together: by the moments at which they came.
//!
//! Rules and figures: a moment is a stamp to the millisecond. Moments / events under a half means that
//! most events shared theirs. What held them is told by how the bursts lie: about 40 ms apart (delayed
//! acknowledgements under Nagle's algorithm), about 200 ms (a sender corked by its kernel: `HAProxy`
//! without `option http-no-delay`), or of one size, 4, 8 or 16 KiB (a buffer: nginx with a body that
//! ends by closing, or gzip).

use super::Told;
use crate::doctor::seen::{Seen, Streamed, median};
use crate::record::EventRow;
use crate::record::diagnosis::Sure;
use crate::units;

/// Streams with fewer events tell nothing.
const LEAST_EVENTS: usize = 8;
/// Steps shorter than this share a moment by themselves.
const LEAST_STEP_S: f64 = 0.002;
/// Moments / events.
const TOGETHER: f64 = 0.5;
/// An answer whose events span less of their time at the server than this came as a whole.
const AT_ONCE: f64 = 0.1;
/// Of its time so much makes a program late.
const LATE: f64 = 0.1;
const MOMENT_NS: i64 = 1_000_000;

pub fn sign(seen: &Seen<'_>, told: &mut Told) {
    let streams: Vec<&Streamed<'_>> = seen.ok.iter().filter(|s| s.events.len() >= LEAST_EVENTS).collect();
    if streams.is_empty() {
        told.clear(format!(
            "no stream of {LEAST_EVENTS} events or more: whether events are held together was not seen"
        ));
        return;
    }
    tokens_per_event(&streams, told);
    let bursts: Vec<Vec<Burst>> = streams.iter().map(|s| bursts(&s.events)).collect();
    let moments: usize = bursts.iter().map(Vec::len).sum();
    let events: usize = streams.iter().map(|s| s.events.len()).sum();
    let share = moments as f64 / events as f64;
    let itl = seen.server_itl_s();
    let shown = format!("{events} events came at {moments} moments");
    if share >= TOGETHER {
        told.clear(format!("events came one by one ({shown})"));
        return;
    }
    let step = match itl {
        Some(itl) if itl < LEAST_STEP_S => {
            told.either(
                Sure::Hint,
                format!("{shown}; the server's own step takes {}, so that says nothing", units::seconds(itl)),
            );
            return;
        }
        Some(itl) => format!("the server's step takes {}", units::seconds(itl)),
        None => "the server's step is not known, so it may write them together itself".to_owned(),
    };
    let whole = streams.iter().filter(|s| at_once(s, itl)).count();
    let how = if whole * 2 > streams.len() {
        "the whole body was held back and came at once".to_owned()
    } else {
        format!("events were held and came together{}", held_by(&bursts))
    };
    let what = format!("{how}: {shown}; {step}");
    if was_late(seen) {
        told.either(
            Sure::Hint,
            format!("{what}; but this program was late itself: try again on a quiet machine"),
        );
    } else if itl.is_some() {
        told.gateway(Sure::Likely, what);
    } else {
        told.either(Sure::Hint, what);
    }
}

/// Whether this program stood still for a good part of the time: what it reads late, it reads together.
fn was_late(seen: &Seen<'_>) -> bool {
    seen.read.own.as_ref().is_some_and(|own| {
        let stalled = [own.process_delay, own.runtime_delay].into_iter().flatten().map(|d| d.stalled_s);
        stalled.fold(0.0, f64::max) > LATE * own.duration_s()
    })
}

/// Several tokens in one event are the doing of whoever wrote it.
fn tokens_per_event(streams: &[&Streamed<'_>], told: &mut Told) {
    let counts = streams.iter().flat_map(|s| &s.events).filter_map(|e| e.tokens);
    let (n, tokens) = counts.fold((0_u32, 0_u32), |(n, sum), t| (n + 1, sum + t));
    let mean = f64::from(tokens) / f64::from(n.max(1));
    if n > 0 && mean >= 1.5 {
        told.either(
            Sure::Certain,
            format!("an event carries {mean:.1} tokens in the mean: the server writes several together (`--stream-interval`), or is slow to write"),
        );
    }
}

/// Events that came at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Burst {
    at_s: f64,
    bytes: u32,
}

fn bursts(events: &[EventRow]) -> Vec<Burst> {
    let begin = events.first().map(|e| e.stamp_hi_unix_ns).unwrap_or_default();
    let mut found: Vec<(i64, Burst)> = Vec::new();
    for event in events {
        let moment = event.stamp_hi_unix_ns.0.div_euclid(MOMENT_NS);
        match found.last_mut() {
            Some((last, burst)) if *last == moment => burst.bytes += event.bytes,
            _ => {
                let at_s = event.stamp_hi_unix_ns.seconds_since(begin);
                found.push((moment, Burst { at_s, bytes: event.bytes }));
            }
        }
    }
    found.into_iter().map(|(_, burst)| burst).collect()
}

/// Whether a stream's events came in far less time than the server took for them.
fn at_once(s: &Streamed<'_>, itl_s: Option<f64>) -> bool {
    let (Some(first), Some(last)) = (s.events.first(), s.events.last()) else { return false };
    let took = last.stamp_hi_unix_ns.seconds_since(first.stamp_hi_unix_ns);
    match itl_s {
        Some(itl) => took < AT_ONCE * itl * (s.events.len() - 1) as f64,
        None => took < 0.001,
    }
}

/// What the bursts have in common; the first and the last of a stream are cut by its ends.
fn held_by(streams: &[Vec<Burst>]) -> String {
    let gaps = median(streams.iter().flat_map(|b| b.windows(2)).filter_map(|pair| match pair {
        [a, b] => Some(b.at_s - a.at_s),
        _ => None,
    }));
    let inner = streams.iter().filter_map(|b| b.get(..b.len().saturating_sub(1)));
    let sizes = median(inner.flatten().map(|b| f64::from(b.bytes)));
    let near = |value: Option<f64>, of: f64, by: f64| value.is_some_and(|v| (v / of - 1.0).abs() < by);
    match () {
        () if near(gaps, 0.2, 0.15) => {
            ", about 200 ms apart as from a corked sender (HAProxy: `option http-no-delay`)".to_owned()
        }
        () if near(gaps, 0.04, 0.1) => {
            ", about 40 ms apart as by delayed acknowledgements (TCP_NODELAY at the sender)".to_owned()
        }
        () if [4096.0, 8192.0, 16384.0].iter().any(|size| near(sizes, *size, 0.15)) => format!(
            ", about {} bytes at a time as from a buffer (nginx: `proxy_buffering off`, `proxy_http_version 1.1`)",
            units::count(sizes.unwrap_or_default().round() as u64)
        ),
        () => match (gaps, sizes) {
            (Some(gap), Some(bytes)) => {
                format!(
                    ", every {} and {} bytes (medians)",
                    units::seconds(gap),
                    units::count(bytes.round() as u64)
                )
            }
            _ => String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture::finished;

    /// Forty events, 20 ms each at the server, let through in groups.
    fn held(group: usize) -> Vec<EventRow> {
        let one = finished(0).events[0];
        (0..40)
            .map(|n| {
                let last_of_group = (n / group + 1) * group;
                EventRow {
                    stamp_hi_unix_ns: one.stamp_hi_unix_ns.plus_seconds(0.020 * last_of_group as f64),
                    bytes: 200,
                    ..one
                }
            })
            .collect()
    }

    #[test]
    fn events_of_one_moment_are_one_burst() {
        let found = bursts(&held(10));
        let bytes: Vec<u32> = found.iter().map(|b| b.bytes).collect();
        assert_eq!((found.len(), bytes), (4, vec![2000; 4]));
        assert!((found[1].at_s - 0.2).abs() < 1e-9);
        assert_eq!(bursts(&held(1)).len(), 40);
        assert!(bursts(&[]).is_empty());
    }

    #[test]
    fn what_held_them_is_told_by_time_or_size() {
        assert!(held_by(&[bursts(&held(10))]).contains("about 200 ms"), "{}", held_by(&[bursts(&held(10))]));
        assert!(held_by(&[bursts(&held(2))]).contains("about 40 ms"));
        // 20 events of 205 bytes: a buffer of 4096 is full.
        let mut buffered = held(20);
        for event in &mut buffered {
            event.bytes = 205;
        }
        assert!(held_by(&[bursts(&buffered)]).contains("4,100 bytes at a time"));
        let other = held_by(&[bursts(&held(5))]);
        assert!(other.starts_with(", every ") && other.ends_with(" and 1,000 bytes (medians)"), "{other}");
    }
}
