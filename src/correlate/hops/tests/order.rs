//! Lists of hops that the requests contradict: two the wrong way round, one log under two names, two of which some
//! requests pass either first. What is not told is left as it was listed.

use super::*;
use crate::record::hops::{Listed, OutOfPlace};

/// The row of a request at a hop that had it `at_s` after the client began.
fn at(request: &RequestRow, name: &str, at_s: f64) -> HopRow {
    HopRow {
        hop: name.to_owned(),
        start_unix_ns: Some(request.started_unix_ns.plus_seconds(at_s)),
        start_resolution_ns: Some(1),
        timer_resolution_ns: Some(1),
        ..hop(request)
    }
}

fn listed(names: &[&str], requests: &[RequestRow], rows: &[HopRow]) -> HopJoin {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    join(requests, &names, rows, true.into()).unwrap()
}

/// The hops as they are taken, and what is out of place, from the first to the last.
fn order(joined: &HopJoin) -> (Vec<&str>, Vec<(&str, &OutOfPlace)>) {
    let names = joined.list.iter().map(|hop| hop.name.as_str()).collect();
    let found =
        joined.list.iter().flat_map(|hop| hop.out_of_place.iter().map(|one| (hop.name.as_str(), one)));
    (names, found.collect())
}

fn out_of_place(other: &str, listed: Listed, requests: usize, of: usize) -> OutOfPlace {
    OutOfPlace { other: other.to_owned(), listed, requests, of }
}

#[test]
fn hops_that_are_listed_the_wrong_way_round_are_taken_as_requests_pass_them() {
    let all = requests(10);
    // The outer one begins 2 ms after the client, the inner one 3 ms later.
    let rows: Vec<HopRow> = all.iter().flat_map(|r| [at(r, "outer", 0.002), at(r, "inner", 0.005)]).collect();
    let right = listed(&["outer", "inner"], &all, &rows);
    assert_eq!(order(&right), (vec!["outer", "inner"], vec![]));
    let swapped = listed(&["inner", "outer"], &all, &rows);
    let found = out_of_place("outer", Listed::Reversed, 10, 10);
    assert_eq!(order(&swapped), (vec!["outer", "inner"], vec![("inner", &found)]));
    // And so the way is the same.
    assert_eq!(right.passages, swapped.passages);
    let way = |HopJoin { passages, list }: HopJoin| {
        let rows: Vec<JoinedRow> = all.iter().cloned().zip(passages).map(|(r, p)| beside(r, p)).collect();
        at_the_mean(&hops(&rows, &list, &Rounds::default(), 0).ttft.unwrap()).join("\n")
    };
    assert_eq!(way(right), way(swapped));
}

/// The gateway's log is late by up to a millisecond, and the inner hop's stamps are a millisecond coarse.
#[test]
fn stamps_that_overlap_tell_no_order_and_ports_do() {
    let all = requests(10);
    let coarse = |r: &RequestRow, name: &str, at_s: f64| HopRow {
        start_resolution_ns: Some(1_000_000),
        start_slack_ns: Some(2_000_000),
        ..at(r, name, at_s)
    };
    let rows: Vec<HopRow> =
        all.iter().flat_map(|r| [coarse(r, "outer", 0.002), coarse(r, "inner", 0.003)]).collect();
    assert_eq!(order(&listed(&["inner", "outer"], &all, &rows)), (vec!["inner", "outer"], vec![]));

    let by_port = |row: &HopRow| {
        let port = Some(format!("127.0.0.1:{}", 50_000 + row.line_no));
        if row.hop == "outer" {
            HopRow { outgoing: port, ..row.clone() }
        } else {
            HopRow { client: port, ..row.clone() }
        }
    };
    let rows: Vec<HopRow> = rows.iter().map(by_port).collect();
    let found = out_of_place("outer", Listed::Reversed, 10, 10);
    assert_eq!(
        order(&listed(&["inner", "outer"], &all, &rows)),
        (vec!["outer", "inner"], vec![("inner", &found)])
    );
}

#[test]
fn three_hops_are_sorted_though_not_each_pair_tells() {
    let all = requests(10);
    // The middle one stamps to 10 ms: it is surely neither before nor behind the others.
    let middle = |r: &RequestRow| HopRow { start_slack_ns: Some(10_000_000), ..at(r, "middle", 0.003) };
    let rows: Vec<HopRow> =
        all.iter().flat_map(|r| [at(r, "inner", 0.005), middle(r), at(r, "outer", 0.002)]).collect();
    let found = out_of_place("outer", Listed::Reversed, 10, 10);
    assert_eq!(
        order(&listed(&["inner", "middle", "outer"], &all, &rows)),
        (vec!["middle", "outer", "inner"], vec![("inner", &found)])
    );
}

#[test]
fn hops_that_requests_pass_in_either_order_are_left_as_listed_and_said() {
    let all = requests(10);
    let rows: Vec<HopRow> = all
        .iter()
        .flat_map(|r| {
            let (one, other) = if r.index < 4 { (0.002, 0.005) } else { (0.005, 0.002) };
            [at(r, "one", one), at(r, "other", other)]
        })
        .collect();
    let found = out_of_place("one", Listed::Unclear, 4, 10);
    assert_eq!(
        order(&listed(&["one", "other"], &all, &rows)),
        (vec!["one", "other"], vec![("other", &found)])
    );
    // Instances beside each other: no request passes both, and nothing is said.
    let beside: Vec<HopRow> =
        all.iter().map(|r| at(r, if r.index < 4 { "one" } else { "other" }, 0.002)).collect();
    assert_eq!(order(&listed(&["one", "other"], &all, &beside)), (vec!["one", "other"], vec![]));
}

#[test]
fn one_log_under_two_names_parts_the_way_once() {
    let all = requests(10);
    let rows: Vec<HopRow> = all.iter().map(|r| at(r, "edge", 0.002)).collect();
    let again = rows.iter().map(|row| HopRow {
        hop: "copy".to_owned(),
        source: "copy.log".to_owned(),
        line_no: row.line_no + 7,
        ..row.clone()
    });
    let twice: Vec<HopRow> = rows.iter().cloned().chain(again).collect();
    let joined = listed(&["edge", "copy"], &all, &twice);
    let found = out_of_place("edge", Listed::Twice, 10, 10);
    assert_eq!(order(&joined), (vec!["edge", "copy"], vec![("copy", &found)]));
    let way = |HopJoin { passages, list }: HopJoin| {
        let rows: Vec<JoinedRow> = all.iter().cloned().zip(passages).map(|(r, p)| beside(r, p)).collect();
        at_the_mean(&hops(&rows, &list, &Rounds::default(), 0).ttft.unwrap()).join("\n")
    };
    assert_eq!(way(joined), way(listed(&["edge"], &all, &rows)));
}

/// A hop behind a gateway that tries again has a line for each try.
#[test]
fn a_hop_behind_one_that_tries_again_tells_how_long_that_took() {
    let all = requests(4);
    let behind =
        |r: &RequestRow, at_s: f64, status: u16| HopRow { status: Some(status), ..at(r, "behind", at_s) };
    let mut rows: Vec<HopRow> = all.iter().map(|r| behind(r, 0.052, 200)).collect();
    rows.push(behind(&all[1], 0.002, 503));
    rows.extend([behind(&all[2], 0.002, 503), behind(&all[2], 0.022, 503)]);
    // What was answered is no failed try (prefill here, decode there), nor is a line that stands there twice two.
    rows.push(behind(&all[3], 0.002, 200));
    rows.push(HopRow { line_no: 99, ..behind(&all[2], 0.022, 503) });
    let joined = listed(&["behind"], &all, &rows);
    let before: Vec<Option<(usize, f64)>> =
        joined.passages.iter().map(|p| p[0].as_ref().unwrap().tries_before).collect();
    let rounded: Vec<_> = before.iter().map(|b| b.map(|(n, s)| (n, (s * 1e3).round()))).collect();
    assert_eq!(rounded, [None, Some((1, 50.0)), Some((2, 50.0)), None]);
}
