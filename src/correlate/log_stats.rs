//! Per-user throughput from the log's periodic stats lines alone, for a server of which nothing else
//! is known: tokens generated over request-seconds of running, Σ throughput·dt / Σ running·dt. An
//! estimate: `running` is the number at the end of each interval, and waiting requests are not in
//! it. This file must not know how a line was written.

use std::collections::BTreeMap;

use super::clocks::Map;
use crate::clock::UnixNs;
use crate::record::correlated::{LogStats, Window};
use crate::record::{LogEvent, LogRow};

/// One stats line: when, what it says.
#[derive(Clone, Copy)]
struct Line {
    time: UnixNs,
    generation_tps: f64,
    running: u32,
}

/// Where lines of one engine come from: source, process, name.
type Engine<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Adds up the stats lines whose interval lies in the window (its middle does), which is on the client's
/// clock. Where nothing relates the clocks, the line's own stamp is taken for one of it.
pub fn estimate(log: &[LogRow], window: Window, map: &Map) -> Option<LogStats> {
    let mut engines: BTreeMap<Engine<'_>, Vec<Line>> = BTreeMap::new();
    for row in log {
        if let LogEvent::Stats { engine, generation_throughput_tps, running, .. } = &row.event {
            let key = (row.source.as_str(), row.process.as_deref(), engine.as_deref());
            let here =
                |time| map.anywhere(time).map_or(time, |w| UnixNs(w.lo_unix_ns.0.midpoint(w.hi_unix_ns.0)));
            let time = row.time_unix_ns.map_or(row.read_unix_ns, here);
            engines.entry(key).or_default().push(Line {
                time,
                generation_tps: *generation_throughput_tps,
                running: *running,
            });
        }
    }
    let mut sum = LogStats { lines: 0, covered_s: 0.0, generated_tokens: 0.0, running_request_s: 0.0 };
    for lines in engines.values_mut() {
        lines.sort_by_key(|line| line.time);
        let interval = interval(lines);
        for pair in lines.windows(2) {
            let [earlier, line] = pair else { continue };
            // An idle server leaves lines out; the next one speaks of its own interval only.
            let gap = line.time.seconds_since(earlier.time);
            let dt = if gap > 1.5 * interval { interval } else { gap };
            let middle = line.time.plus_seconds(-dt / 2.0);
            if dt > 0.0 && middle >= window.begin_unix_ns && middle <= window.end_unix_ns {
                sum.lines += 1;
                sum.covered_s += dt;
                sum.generated_tokens += line.generation_tps * dt;
                sum.running_request_s += f64::from(line.running) * dt;
            }
        }
    }
    (sum.lines > 0).then_some(sum)
}

/// The usual time between two lines: the median.
fn interval(lines: &[Line]) -> f64 {
    let mut gaps: Vec<f64> = lines
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] => Some(b.time.seconds_since(a.time)).filter(|gap| *gap > 0.0),
            _ => None,
        })
        .collect();
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture::{BEGIN, log, request};

    fn stats(at: f64, engine: &str, generation: f64, running: u32) -> LogRow {
        let event = LogEvent::Stats {
            engine: Some(engine.to_owned()),
            prompt_throughput_tps: 0.0,
            generation_throughput_tps: generation,
            running,
            waiting: 0,
            kv_cache_usage: None,
            prefix_cache_hit_rate: None,
        };
        log(&request(0), at, event)
    }

    fn window(begin: f64, end: f64) -> Window {
        Window { begin_unix_ns: BEGIN.plus_seconds(begin), end_unix_ns: BEGIN.plus_seconds(end) }
    }

    #[test]
    fn tokens_over_request_seconds() {
        let lines = [stats(0.0, "000", 0.0, 0), stats(10.0, "000", 100.0, 4), stats(20.0, "000", 50.0, 2)];
        let found = estimate(&lines, window(0.0, 20.0), &Map::One).unwrap();
        assert_eq!((found.lines, found.generated_tokens, found.running_request_s), (2, 1500.0, 60.0));
        assert_eq!(found.user_throughput_tps(), Some(25.0));
    }

    #[test]
    fn engines_are_kept_apart_and_added_up() {
        let lines = [
            stats(0.0, "000", 0.0, 0),
            stats(0.1, "001", 0.0, 0),
            stats(10.0, "000", 100.0, 4),
            stats(10.1, "001", 60.0, 4),
        ];
        let found = estimate(&lines, window(0.0, 20.0), &Map::One).unwrap();
        assert_eq!((found.lines, found.generated_tokens, found.running_request_s), (2, 1600.0, 80.0));
    }

    #[test]
    fn lines_outside_the_window_and_gaps_left_by_an_idle_server_do_not_count() {
        let mut lines: Vec<LogRow> = (0..6).map(|i| stats(f64::from(i) * 10.0, "000", 10.0, 1)).collect();
        lines.push(stats(500.0, "000", 10.0, 1)); // idle in between
        let found = estimate(&lines, window(10.0, 500.0), &Map::One).unwrap();
        assert_eq!((found.lines, found.covered_s), (5, 50.0));
        assert_eq!(estimate(&lines, window(900.0, 950.0), &Map::One), None);
    }

    #[test]
    fn nothing_running_gives_no_throughput() {
        let lines = [stats(0.0, "000", 0.0, 0), stats(10.0, "000", 0.0, 0)];
        assert_eq!(estimate(&lines, window(0.0, 10.0), &Map::One).unwrap().user_throughput_tps(), None);
        assert_eq!(estimate(&[], window(0.0, 10.0), &Map::One), None);
    }
}
