//! What the tool itself did to the numbers, as warnings, each with its cause and a remedy: inexact
//! stamps, client lag, late starts, lost packets. The evidence is that of the watch, written down
//! during the load. This file must not know how it was gathered.

use super::summary::{MetricLike, Summary};
use crate::metric::Metric;
use crate::record::own::{Network, OwnLag, RoundTrip, Stall, Stalled};
use crate::store::Manifest;
use crate::units;

/// A p99 over this is worth a warning.
const LATE_S: f64 = 1e-3;
/// As is a mean lag of over this share of the mean TTFT.
const LAG_SHARE: f64 = 0.01;
/// The share of runnable time without a CPU from which on waiting is called a cause.
const WAITING_SHARE: f64 = 0.1;

/// Every warning about the tool's own part.
pub(super) fn warnings(summary: &Summary, manifest: &Manifest) -> Vec<String> {
    let own = summary.own.as_ref();
    let late = lag(summary);
    let full = own.filter(|_| late.is_some()).and_then(full_buffers);
    let mut said: Vec<String> =
        [inexact(summary), late, full, schedule(summary, manifest)].into_iter().flatten().collect();
    said.extend(own.into_iter().flat_map(kernel));
    said
}

/// More than one event, or first token, in a hundred is no point.
fn inexact(summary: &Summary) -> Option<String> {
    let s = &summary.stamps;
    if s.kernel_stamped == 0 {
        return None;
    }
    let first = s.first_tokens - s.exact_first_tokens;
    let many = |part: usize, whole: usize| part * 100 > whole;
    if !many(s.inexact.events, s.events) && !many(first, s.first_tokens) {
        return None;
    }
    let n = |n: usize| units::count(n as u64);
    let causes = [
        (s.inexact.in_a_stall, "arrived while the client stalled"),
        (s.inexact.read_late, "were read over 1 ms late by the client"),
        (
            s.inexact.behind_lost,
            "waited in the kernel for bytes before theirs that the network had lost or held up",
        ),
        (s.inexact.several_at_once, "were sent several at once, by the server or what stands before it"),
        (s.inexact.unstamped, "came without a kernel stamp"),
        (s.inexact.other, "shared a read with other bytes"),
    ];
    let causes: Vec<String> = causes
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", n(*count)))
        .collect();
    Some(format!(
        "{} of {} token events ({}) and {} of {} first tokens have an interval, not an exact stamp: {}",
        n(s.inexact.events),
        n(s.events),
        units::percent(s.inexact.events as f64 / s.events.max(1) as f64),
        n(first),
        n(s.first_tokens),
        causes.join(", ")
    ))
}

/// The client was so late that a tool which stamps in the program would have shown it, or, stamping
/// there itself, has shown it.
fn lag(summary: &Summary) -> Option<String> {
    let own = summary.own.as_ref();
    let Some(lag) = summary.stamps.client_lag else {
        let own = own.filter(|own| summary.stamps.events > 0 && was_late(own))?;
        return Some(format!(
            "the client was late, and its user stamps contain that{}",
            Causes::of(own).in_words()
        ));
    };
    let ttft_s = summary.of(Metric::Ttft).map(|m| m.mean.value);
    let matters = lag.p99_s > LATE_S || ttft_s.is_some_and(|ttft| lag.mean_s > LAG_SHARE * ttft);
    if !matters {
        return None;
    }
    let why = match own.map(Causes::of) {
        None => "; what held it up was not recorded".to_owned(),
        Some(causes) => causes.in_words(),
    };
    Some(format!("the client was late: {}{why}", distribution(&lag, "events")))
}

/// By the watch alone, where no two stamps of an event can be compared.
fn was_late(own: &OwnLag) -> bool {
    !own.stalls.is_empty() || own.runtime_delay.is_some_and(|delay| delay.p99_s > LATE_S)
}

fn schedule(summary: &Summary, manifest: &Manifest) -> Option<String> {
    let at = |pointer: &str| manifest.config.pointer(pointer).filter(|value| !value.is_null());
    let asked = manifest.extra.get("asked").and_then(|asked| asked.get("is_open")?.as_bool());
    // A burst is asked for at one moment, which no one can keep.
    let burst = at("/load/arrival/kind").and_then(serde_json::Value::as_str) == Some("burst");
    let open = asked.unwrap_or_else(|| at("/load/arrival/rate_rps").is_some()) && !burst;
    let late = summary.stamps.schedule_lateness.filter(|late| open && late.p99_s > LATE_S)?;
    let why = if at("/load/max_concurrency").is_some() {
        "held back by the limit of concurrency, or by a late client"
    } else {
        "the client was late, and the load not quite what was asked for"
    };
    Some(format!(
        "requests started after their scheduled time: {}: {why}; TTFT counts from the start, `ttft_scheduled_s` from the schedule",
        distribution(&late, "requests")
    ))
}

/// A reader that is late for long holds the writer up: then even the kernel's stamps are late.
fn full_buffers(own: &OwnLag) -> Option<String> {
    let counted = |name: &str| own.counted(name).unwrap_or(0);
    let full = counted("TCPToZeroWindowAdv").max(counted("PruneCalled"));
    (full > 0).then(|| {
        format!(
            "receive buffers were full {} times during the load (all programs of this network namespace): a server had to wait for its client to read, and the stamps of what it wrote meanwhile contain that",
            units::count(full)
        )
    })
}

fn kernel(own: &OwnLag) -> Vec<String> {
    let counted = |name: &str| own.counted(name).unwrap_or(0);
    let mut said = Vec::new();
    let again = own.lost_segments().unwrap_or(0);
    if again > 0 {
        said.push(format!(
            "{}{} TCP segments were lost and sent again during the load, {} of them to connect, {} after a timeout (all programs of this network namespace): a timeout is 0.2 s or more, 1 s or more to connect, and the TTFT of the requests concerned contains it",
            if counted("TCPLossProbes") > counted("TCPLossProbeRecovery") { "at least " } else { "" },
            units::count(again),
            units::count(counted("TCPSynRetrans")),
            units::count(counted("TCPTimeouts")),
        ));
    }
    let waited = own.waited_segments();
    if waited > 0 {
        said.push(format!(
            "the network lost or held up what servers sent: {} TCP segments waited in this host's kernel for earlier ones during the load (all programs of this network namespace), and what they brought is as late as those{}",
            units::count(waited),
            own.network.as_ref().map(round_trips).unwrap_or_default()
        ));
    }
    let dropped = counted("ListenDrops").max(counted("ListenOverflows"));
    if dropped > 0 {
        said.push(format!(
            "{} connections were dropped by a full listen queue on this host during the load: their requests waited 1 s or more to connect, and their TTFT contains it",
            units::count(dropped)
        ));
    }
    said
}

fn round_trips(network: &Network) -> String {
    let RoundTrip { min_s, p50_s, p99_s, .. } = network.round_trip;
    format!(
        "; the kernel's round trip times to the server: {} at least, p50 {}, p99 {}",
        units::seconds(min_s),
        units::seconds(p50_s),
        units::seconds(p99_s)
    )
}

/// Why the client was late, in seconds for which that was seen.
#[derive(Debug, Default)]
struct Causes {
    /// The process stood still, and neither used a CPU nor waited for one.
    stopped_s: f64,
    stopped: usize,
    /// It may have been that, or waiting: this system does not tell.
    unknown_s: f64,
    /// Threads that could run had no CPU.
    starved_s: f64,
    /// A thread was held up though the process ran.
    held_s: f64,
    /// Worker threads had other things to do.
    busy_s: f64,
    waited: Option<String>,
    busy: Option<String>,
    stolen: Option<(f64, String)>,
}

/// What one stall shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    Stopped,
    StoppedOrStarved,
    Starved,
    HeldUp,
    Busy,
}

/// Of a stall in a process that uses so many CPUs when nothing stands still.
fn cause(stall: &Stall, usual_cpus: f64) -> Cause {
    let half = stall.length_s / 2.0;
    // What was used before it, since the last beat, is not the stall's.
    let before_s = usual_cpus * (stall.window_s - stall.length_s).max(0.0);
    let used_s = stall.cpu_s.map(|cpu_s| cpu_s - before_s);
    match (stall.what, stall.waited_s) {
        (_, Some(waited)) if waited >= half => Cause::Starved,
        (Stalled::Runtime, _) => Cause::Busy,
        (Stalled::Process, _) if used_s.is_some_and(|used_s| used_s >= stall.length_s / 10.0) => {
            Cause::HeldUp
        }
        (Stalled::Process, Some(_)) => Cause::Stopped,
        (Stalled::Process, None) => Cause::StoppedOrStarved,
    }
}

impl Causes {
    fn of(own: &OwnLag) -> Self {
        let mut causes = Self::default();
        let used_s = own.user_s.unwrap_or(0.0) + own.system_s.unwrap_or(0.0);
        let usual_cpus = used_s / own.duration_s().max(f64::MIN_POSITIVE);
        let of_process = |stall: &&Stall| stall.what == Stalled::Process;
        for stall in &own.stalls {
            // What happened to the process happened to its runtime as well.
            let inside = |other: &Stall| {
                stall.begin_unix_ns <= other.end_unix_ns() && other.begin_unix_ns <= stall.end_unix_ns()
            };
            if stall.what == Stalled::Runtime && own.stalls.iter().filter(of_process).any(inside) {
                continue;
            }
            *match cause(stall, usual_cpus) {
                Cause::Stopped => {
                    causes.stopped += 1;
                    &mut causes.stopped_s
                }
                Cause::StoppedOrStarved => &mut causes.unknown_s,
                Cause::Starved => &mut causes.starved_s,
                Cause::HeldUp => &mut causes.held_s,
                Cause::Busy => &mut causes.busy_s,
            } += stall.length_s;
        }
        causes.note_waiting(own);
        causes.note_busy(own);
        causes.stolen = own.machine.steal_s.filter(|stolen_s| *stolen_s > 0.0).map(|stolen_s| {
            (stolen_s, format!("the hypervisor gave {} of CPU time to others", units::seconds(stolen_s)))
        });
        causes
    }

    /// Waiting that no stall shows, spread over many short moments, counts as well.
    fn note_waiting(&mut self, own: &OwnLag) {
        let load = own.load;
        let (Some(waited_s), Some(on_cpu_s)) = (load.waited_s, load.on_cpu_s) else { return };
        let share = waited_s / (waited_s + on_cpu_s).max(f64::MIN_POSITIVE);
        if share >= WAITING_SHARE {
            self.starved_s = self.starved_s.max(waited_s / f64::from(load.threads.unwrap_or(1).max(1)));
        }
        let limit = own.machine.throttled_s.filter(|s| *s > 0.0).map_or_else(String::new, |throttled| {
            format!(", held back for {} by the control group's limit", units::seconds(throttled))
        });
        self.waited = Some(format!(
            "the load's threads waited {} for a CPU in {} ({} of the time they could have run){limit}",
            units::seconds(waited_s),
            units::seconds(own.duration_s()),
            units::percent(share),
        ));
    }

    fn note_busy(&mut self, own: &OwnLag) {
        let Some(delay) = own.runtime_delay else { return };
        let seen_s = self.stopped_s + self.unknown_s + self.starved_s + self.held_s + self.busy_s;
        if seen_s == 0.0 && delay.p99_s > LATE_S {
            self.busy_s = delay.p99_s;
        }
        let share = own
            .load
            .busy_s
            .zip(own.load.threads)
            .map(|(busy, threads)| (busy / (f64::from(threads) * own.duration_s()), threads));
        let share =
            share.filter(|(share, _)| share.is_finite()).map_or_else(String::new, |(share, threads)| {
                format!(
                    ", its {threads} threads were busy for {} of the time",
                    units::percent(share.min(1.0))
                )
            });
        self.busy = Some(format!(
            "the runtime was busy: a task that could run waited {} at p99, {} at most{share}",
            units::seconds(delay.p99_s),
            units::seconds(delay.max_s)
        ));
    }

    /// The causes that matter beside the greatest, and what can be done.
    fn in_words(&self) -> String {
        let stopped = format!(
            "the process was stopped or the machine slept for {} ({} {}{})",
            units::seconds(self.stopped_s),
            self.stopped,
            if self.stopped == 1 { "time" } else { "times" },
            // A machine whose hypervisor runs others sleeps in that time.
            match &self.stolen {
                Some((stolen_s, stolen)) if *stolen_s >= self.stopped_s / 2.0 => format!("; {stolen}"),
                _ => String::new(),
            }
        );
        let unknown =
            format!("the process was stopped, or had no CPU, for {}", units::seconds(self.unknown_s));
        let held = match &self.stolen {
            Some((stolen_s, stolen)) if *stolen_s >= self.held_s / 2.0 => stolen.clone(),
            _ => format!("a thread was held up for {} while the process ran", units::seconds(self.held_s)),
        };
        let other_programs =
            "keep other programs off this machine or off its CPUs (`--affinity`), or use another";
        let causes = [
            (self.stopped_s, Some(stopped), ""),
            (self.unknown_s, Some(unknown), other_programs),
            (self.starved_s, self.waited.clone(), other_programs),
            (self.held_s, Some(held), ""),
            (self.busy_s, self.busy.clone(), "use fewer streams, more `--threads`, or another machine"),
        ];
        let most = causes.iter().map(|(s, ..)| *s).fold(0.0, f64::max);
        let chosen = causes.into_iter().filter(|(s, ..)| *s > 0.0 && *s >= most / 10.0);
        let (mut whys, mut remedies) = (Vec::new(), Vec::new());
        for (_, why, remedy) in chosen {
            whys.extend(why);
            if !remedy.is_empty() && !remedies.contains(&remedy) {
                remedies.push(remedy);
            }
        }
        if whys.is_empty() {
            return "; no cause was seen: no stall of over 10 ms was met, and CPUs were free".to_owned();
        }
        let remedy = if remedies.is_empty() { String::new() } else { format!(" ({})", remedies.join("; ")) };
        format!("; cause: {}{remedy}", whys.join("; "))
    }
}

fn distribution(m: &MetricLike, of: &str) -> String {
    format!(
        "mean {}, p99 {}, max {} ({} {of})",
        units::seconds(m.mean_s),
        units::seconds(m.p99_s),
        units::seconds(m.max_s),
        units::count(m.n as u64)
    )
}

#[cfg(test)]
mod tests;
