//! Whether events came as the server made them, or several together: by the moments at which they came.
//!
//! What a moment is, and what released a burst, is worked out where verdicts are made
//! (`correlate::diagnosis::signature`); this file must not know either.

use super::Told;
use crate::correlate::diagnosis::signature::{self, LEAST_EVENTS, LEAST_FLUSHES, Stream, TOGETHER, released};
use crate::doctor::seen::{Seen, Streamed};
use crate::record::diagnosis::Sure;
use crate::units;

/// Steps shorter than this share a moment by themselves.
const LEAST_STEP_S: f64 = 0.002;
/// An answer whose events span less of their time at the server than this came as a whole.
const AT_ONCE: f64 = 0.1;

pub fn sign(seen: &Seen<'_>, told: &mut Told) {
    let streams: Vec<&Streamed<'_>> = seen.ok.iter().filter(|s| s.events.len() >= LEAST_EVENTS).collect();
    if streams.is_empty() {
        told.clear(format!(
            "no stream of {LEAST_EVENTS} events or more: whether events are held together was not seen"
        ));
        return;
    }
    tokens_per_event(&streams, told);
    let itl = seen.server_itl_s();
    let own = seen.read.own.as_ref();
    let bursts: Vec<Stream> = streams.iter().map(|s| signature::stream(&s.events, itl, own)).collect();
    let moments: usize = bursts.iter().map(Stream::moments).sum();
    let events: usize = bursts.iter().map(|s| s.events).sum();
    let share = moments as f64 / events as f64;
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
        let (by, flushes) = released(&bursts, itl);
        let by = if flushes >= LEAST_FLUSHES { by.words() } else { String::new() };
        format!("events were held and came together{by}")
    };
    let what = format!("{how}: {shown}; {step}");
    if signature::was_late(own) {
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

/// Whether a stream's events came in far less time than the server took for them.
fn at_once(s: &Streamed<'_>, itl_s: Option<f64>) -> bool {
    let (Some(first), Some(last)) = (s.events.first(), s.events.last()) else { return false };
    let took = last.stamp_hi_unix_ns.seconds_since(first.stamp_hi_unix_ns);
    match itl_s {
        Some(itl) => took < AT_ONCE * itl * (s.events.len() - 1) as f64,
        None => took < 0.001,
    }
}
