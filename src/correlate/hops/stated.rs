//! What gateways state in the heads of answers: durations, each by its own name. This file must not know
//! what any of them covers: `tare_parsers::hop_headers` says so.

use std::collections::{BTreeMap, BTreeSet};

use tare_parsers::hop_headers;

use crate::record::hops::{Stated, Unread};
use crate::record::{JoinedRow, RequestRow};
use crate::stats::blocks::Blocks;
use crate::stats::rounds::Rounds;
use crate::stats::{bootstrap, quantile};

/// How much longer than the client's wait a duration may be: timers are cut to milliseconds, and nginx
/// reads a clock that is up to 4 ms old.
const SLACK_S: f64 = 0.005;
/// So many answers it takes to speak of a unit, and of them so many must agree.
const LEAST_ANSWERS: usize = 10;
const MOST: f64 = 0.9;
/// A duration that is so much of the client's wait in another unit is that wait in it.
const MOST_OF_WAIT: f64 = 0.5;
/// Descriptions that tell apart; of more (an id, an address) each answer has its own, and none tells anything.
const DESCRIPTIONS: usize = 4;
/// And is about the same part of it in all answers.
const FOLLOWS: f64 = 1.5;
/// Whose names and units are anyone's.
const ANYONE: &str = "server_timing";

/// One duration of one answer.
#[derive(Clone, Copy)]
struct Said {
    index: u64,
    seconds: f64,
    /// How long the client waited for the head.
    waited_s: Option<f64>,
}

/// Every duration that is stated of these requests, by product and name, and what could not be read. An answer that
/// says that it failed tells of no answer of the server: Kong has a time until the upstream's head of one that it never
/// reached.
pub fn of(rows: &[JoinedRow], rounds: &Rounds, seed: u64) -> (Vec<Stated>, Vec<Unread>) {
    let mut unread: Vec<Unread> = Vec::new();
    let mut all: BTreeMap<(String, String), Vec<Said>> = BTreeMap::new();
    let answered =
        rows.iter().map(|row| &row.client).filter(|c| c.http_status.is_none_or(|status| status < 500));
    for client in answered {
        let (told, bad) = hop_headers::read(client.headers());
        for one in bad {
            let alike = |u: &&mut Unread| u.header == one.header && u.expected == one.expected;
            match unread.iter_mut().find(alike) {
                Some(known) => known.n += 1,
                None => unread.push(Unread {
                    header: one.header.to_owned(),
                    expected: one.expected,
                    found: one.value.to_owned(),
                    n: 1,
                }),
            }
        }
        for told in told {
            for (what, seconds) in told.stated {
                let said = Said { index: client.index, seconds, waited_s: waited_s(client) };
                all.entry((told.product.to_owned(), what.into_owned())).or_default().push(said);
            }
        }
    }
    let one = |((product, what), said): ((String, String), Vec<Said>)| {
        let labels = rounds.labels(said.iter().map(|one| one.index));
        let values: Vec<f64> = said.iter().map(|one| one.seconds).collect();
        let sorted = quantile::sorted(&values);
        let waits: Vec<(f64, f64)> =
            said.iter().filter_map(|one| Some((one.seconds, one.waited_s?))).collect();
        let longer = waits.iter().filter(|(s, waited)| *s > waited + SLACK_S).count();
        Some(Stated {
            mean: bootstrap::mean(&values, Blocks::known(labels.as_deref()), seed)?,
            p50_s: quantile::quantile(&sorted, 0.5)?,
            p99_s: quantile::quantile(&sorted, 0.99)?,
            compared: waits.len(),
            longer,
            rather: if product == ANYONE { rather(&waits, longer) } else { None },
            whole_ms: hop_headers::WHOLE_MILLISECONDS.contains(&product.as_str()),
            product,
            what,
        })
    };
    (pooled(all).into_iter().filter_map(one).collect(), unread)
}

/// A head cannot tell of more time than went by until it came.
fn waited_s(client: &RequestRow) -> Option<f64> {
    Some(client.head_unix_ns?.seconds_since(client.send_begin_unix_ns?)).filter(|s| *s > 0.0)
}

/// The unit, other than milliseconds, in which durations would agree with the client's waits. Of one that
/// is shorter than the wait nothing can be told, unless it is the wait itself in seconds.
fn rather(waits: &[(f64, f64)], longer: usize) -> Option<&'static str> {
    let fits = |scale: f64, least: f64, of: &[(f64, f64)]| {
        let fit = of.iter().filter(|(s, waited)| (least * waited..=waited + SLACK_S).contains(&(s * scale)));
        of.len() >= LEAST_ANSWERS && fit.count() as f64 >= MOST * of.len() as f64
    };
    if longer as f64 >= MOST * waits.len() as f64 {
        return fits(1e-3, 0.0, waits).then_some("µs");
    }
    // What is 0 in any unit tells of none.
    let told: Vec<(f64, f64)> = waits.iter().copied().filter(|(s, _)| *s > 0.0).collect();
    let mut parts: Vec<f64> = told.iter().map(|(s, waited)| s / waited).collect();
    parts.sort_by(f64::total_cmp);
    // A small cost of its own does not grow with the wait.
    let part = |tenths: usize| parts.get((parts.len() * tenths / 10).min(parts.len().saturating_sub(1)));
    let follows = part(1).zip(part(9)).is_some_and(|(low, high)| *high <= FOLLOWS * low);
    (told.len() * 2 >= waits.len() && follows && fits(1e3, MOST_OF_WAIT, &told)).then_some("s")
}

/// With one entry for names whose descriptions are another in each answer.
fn pooled(all: BTreeMap<(String, String), Vec<Said>>) -> BTreeMap<(String, String), Vec<Said>> {
    let name = |what: &str| what.split_once(" (").map_or(what, |(name, _)| name).to_owned();
    let mut descriptions: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (_, what) in all.keys().filter(|(product, _)| product == ANYONE) {
        descriptions.entry(name(what)).or_default().insert(what);
    }
    let many: BTreeSet<String> = descriptions
        .iter()
        .filter(|(_, all)| all.len() > DESCRIPTIONS)
        .map(|(name, _)| name.clone())
        .collect();
    let mut pooled: BTreeMap<(String, String), Vec<Said>> = BTreeMap::new();
    for ((product, what), said) in all {
        let short = name(&what);
        let what = if product == ANYONE && many.contains(&short) { short } else { what };
        pooled.entry((product, what)).or_default().extend(said);
    }
    for said in pooled.values_mut() {
        said.sort_by_key(|one| one.index);
    }
    pooled
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;
    use crate::record::fixture::request;

    #[test]
    fn each_duration_has_its_mean_over_the_answers_that_state_it() {
        let row = |index: u64| {
            let mut client = request(index);
            let header = |name: &str, value: String| (name.to_owned(), value);
            client.answer_headers = vec![header("x-litellm-overhead-duration-ms", format!("{}", 10 + index))];
            if index < 6 {
                client.answer_headers.push(header("x-envoy-upstream-service-time", "3".to_owned()));
            }
            JoinedRow::of(client)
        };
        let rows: Vec<JoinedRow> = (0..11).map(row).collect();
        let stated = of(&rows, &Rounds::default(), 0).0;
        let shown: Vec<_> = stated.iter().map(|s| (s.product.as_str(), s.what.as_str(), s.mean.n)).collect();
        assert_eq!(shown, [("envoy", "upstream_service_time", 6), ("litellm", "overhead", 11)]);
        assert!((stated[1].mean.value - 0.015).abs() < 1e-12 && (stated[1].p50_s - 0.015).abs() < 1e-12);
        assert_eq!(stated[0].p99_s, 0.003);
    }

    /// Answers whose heads came after these waits, each with a `Server-Timing` made of its wait.
    fn timed(waits_ms: impl IntoIterator<Item = f64>, header: impl Fn(u64, f64) -> String) -> Vec<Stated> {
        let rows: Vec<JoinedRow> = (0_u64..)
            .zip(waits_ms)
            .map(|(index, ms)| {
                let mut client = request(index);
                client.head_unix_ns = client.send_begin_unix_ns.map(|sent| sent.plus_seconds(ms / 1e3));
                client.answer_headers = vec![("server-timing".to_owned(), header(index, ms))];
                JoinedRow::of(client)
            })
            .collect();
        of(&rows, &Rounds::default(), 0).0
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_costs_itself_only() {
        let row = |index: u64| {
            let mut client = request(index);
            let value = if index == 0 { "a;dur=1" } else { "a;dur=1, b;dur={http.latency}" };
            client.answer_headers = vec![("server-timing".to_owned(), value.to_owned())];
            JoinedRow::of(client)
        };
        let rows: Vec<JoinedRow> = (0..11).map(row).collect();
        let (stated, unread) = of(&rows, &Rounds::default(), 0);
        assert_eq!(stated.iter().map(|s| (s.what.as_str(), s.mean.n)).collect::<Vec<_>>(), [("a", 11)]);
        let told: Vec<_> = unread.iter().map(|u| (u.header.as_str(), u.found.as_str(), u.n)).collect();
        assert_eq!(told, [("server-timing", "a;dur=1, b;dur={http.latency}", 10)]);
    }

    fn waits() -> impl Iterator<Item = f64> {
        (0..20).map(|n| 40.0 + f64::from(n))
    }

    #[test]
    fn a_duration_in_seconds_or_microseconds_is_shown_as_stated_and_doubted() {
        // nginx's `$upstream_header_time`, Caddy's `…duration_ms`, microseconds without a sign of it.
        let all = timed(waits(), |_, ms| {
            format!(
                "ms;dur={:.1}, part;dur={}, s;dur={:.3}, us;dur={:.0}",
                ms - 1.0,
                ms / 10.0,
                (ms - 2.0) / 1e3,
                (ms - 1.0) * 1e3
            )
        });
        let shown: Vec<_> = all.iter().map(|s| (s.what.as_str(), s.compared, s.longer, s.rather)).collect();
        assert_eq!(
            shown,
            [("ms", 20, 0, None), ("part", 20, 0, None), ("s", 20, 0, Some("s")), ("us", 20, 20, Some("µs"))]
        );
        assert!((all[2].mean.value - 0.000_047_5).abs() < 1e-9, "{:?}", all[2].mean);
    }

    #[test]
    fn a_duration_that_holds_more_than_the_request_is_longer_and_no_unit_mends_it() {
        // HAProxy's `%Tt` of a connection that was idle for a while.
        let all = timed(waits(), |n, ms| format!("total;dur={}", if n < 5 { ms } else { ms + 900.0 }));
        assert_eq!((all[0].compared, all[0].longer, all[0].rather), (20, 15, None));
        // Rounded up to a whole millisecond it is not.
        let all = timed(waits(), |_, ms| format!("total;dur={}", ms.ceil() + 1.0));
        assert_eq!((all[0].longer, all[0].rather), (0, None));
        // What is 0 in any unit, and few answers, tell of no unit.
        assert_eq!(timed(waits(), |n, _| format!("t;dur=0.00{}", u32::from(n == 3)))[0].rather, None);
        assert_eq!(timed(waits().take(9), |_, ms| format!("t;dur={}", ms / 1e3))[0].rather, None);
    }

    #[test]
    fn a_description_that_is_another_in_each_answer_makes_no_entry_of_its_own() {
        // As Akamai describes its `ak_p` by an id.
        let all = timed(waits(), |n, _| format!("ak_p;desc=\"1466439046607_{n}\";dur=1, edge;desc=a;dur=2"));
        let shown: Vec<_> = all.iter().map(|s| (s.what.as_str(), s.mean.n)).collect();
        assert_eq!(shown, [("ak_p", 20), ("edge (a)", 20)]);
    }
}
