//! Comparisons of hand-made runs whose differences are known, and gates on them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::gate::Gate;
use super::judge::{CannotJudge, FailOn, judge};
use super::series::{Counts, Prompt, Run, Series};
use super::{Together, compare};
use crate::record::comparison::{GateOutcome, RunFacts, Told};
use crate::record::measure::{Key, Measure, Stat};
use crate::stats::goodput;
use crate::stats::rounds::Rounds;

/// Latencies that scatter by a fifth and depend on nothing; `seed` makes others of the same law.
fn latencies(n: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    (0..n).map(|_| scale * (0.8 + 0.4 * uniform())).collect()
}

fn run(name: &str, ttft: &[f64]) -> Run {
    let index: Vec<u64> = (0..ttft.len() as u64).collect();
    let prompts =
        index.iter().map(|&i| Prompt { index: i, prompt: (i % 7) as u32, chars: 10, max_tokens: Some(8) });
    Run {
        facts: RunFacts {
            name: name.to_owned(),
            folder: format!("output/{name}"),
            facts: Vec::new(),
            warnings: Vec::new(),
            checks: Vec::new(),
            headline: Vec::new(),
        },
        conditions_are_whole: true,
        conditions: BTreeMap::from([
            ("server".to_owned(), name.to_owned()),
            ("seed".to_owned(), "1".to_owned()),
        ]),
        request_set: None,
        prompts: prompts.collect(),
        counts: Counts { ok: ttft.len(), failed: 0, in_flight: 0 },
        series: BTreeMap::from([
            (Measure::Ttft, Series::Requests { index, values: ttft.to_vec() }),
            (Measure::ServerTtft, Series::Counted { mean: 0.1, n: ttft.len() }),
            (Measure::Failed, Series::Share(goodput::share(0, ttft.len()).unwrap())),
        ]),
        rounds: Rounds::default(),
    }
}

fn figure(runs: &[Run], key: &str) -> crate::record::comparison::Figure {
    Together::of(runs, 0).figure(Key::parse(key).unwrap())
}

#[test]
fn a_difference_is_told_with_its_sign_and_its_interval() {
    let runs = [
        run("a", &latencies(400, 0.100, 1)),
        run("b", &latencies(500, 0.112, 2)),
        run("c", &latencies(300, 0.09, 3)),
    ];
    let found = compare(&runs, 0);
    let mean =
        found.figures.iter().find(|f| f.key == Key { measure: Measure::Ttft, stat: Stat::Mean }).unwrap();
    let [none, Some(b), Some(c)] = mean.against[..] else { panic!("{mean:?}") };
    assert!(none.is_none(), "the baseline is not compared with itself");
    assert_eq!((b.told, c.told, b.pairs), (Told::More, Told::Less, None));
    assert!(
        (b.ratio.unwrap().value - 1.12).abs() < 0.02 && (b.difference.value - 0.012).abs() < 0.002,
        "{b:?}"
    );
    assert!(b.ratio.unwrap().lo > 1.09 && b.ratio.unwrap().hi < 1.15);
    // TTFT has four figures, the failures one, of two runs against the baseline; what the endpoint
    // counted has no interval, and is told nothing of.
    assert_eq!(found.comparisons, 2 * (4 + 1));
    let counted = found.figures.iter().find(|f| f.measure == Measure::ServerTtft).unwrap();
    assert_eq!(counted.against[1].unwrap().told, Told::Unknown);
    // Another baseline turns it round.
    let turned = compare(&runs, 1);
    assert_eq!(turned.figures[0].against[0].unwrap().told, Told::Less);
}

#[test]
fn equal_laws_are_told_apart_as_seldom_as_chance_says() {
    let told = (0..200).filter(|seed| {
        let runs = [run("a", &latencies(60, 0.1, *seed)), run("b", &latencies(60, 0.1, seed + 1_000))];
        figure(&runs, "mean_ttft_ms").against[1].unwrap().told != Told::Nothing
    });
    let told = told.count();
    assert!((2..=22).contains(&told), "{told} of 200, where 10 are expected");
}

#[test]
fn requests_are_paired_where_both_sent_the_same() {
    let prompts = latencies(200, 1.0, 5);
    let longer: Vec<f64> =
        prompts.iter().zip(latencies(200, 0.01, 6)).map(|(p, own)| 1.01 * p + own).collect();
    let mut runs = [run("a", &prompts), run("b", &longer)];
    let why = |runs: &[Run]| compare(runs, 0).pairing[1].clone().unwrap();
    assert_eq!(why(&runs).why, "independent runs: the request set of one of them is not known");
    let apart = figure(&runs, "mean_ttft_ms").against[1].unwrap();
    (runs[0].request_set, runs[1].request_set) = (Some(7), Some(7));
    assert_eq!(why(&runs).pairs, 200);
    let together = figure(&runs, "mean_ttft_ms").against[1].unwrap();
    assert_eq!(together.pairs, Some(200));
    assert!((apart.difference.value - together.difference.value).abs() < 1e-12);
    assert!(
        together.difference.hi - together.difference.lo < 0.2 * (apart.difference.hi - apart.difference.lo)
    );
    // A percentile of differences is not the difference of percentiles.
    assert_eq!(figure(&runs, "p90_ttft_ms").against[1].unwrap().pairs, None);

    runs[1].prompts[17].prompt = 6;
    assert_eq!(
        why(&runs).why,
        "independent runs: the same prompts in another order (request 17 is prompt 3 in `a` and prompt 6 in `b`)"
    );
    runs[1].prompts[17] = runs[0].prompts[17];
    runs[1].prompts[4].max_tokens = None;
    assert_eq!(why(&runs).why, "independent runs: request 4 asks for another number of tokens");
    runs[1].prompts.truncate(4);
    assert_eq!(why(&runs).why, "independent runs: only 4 of 200 requests have a partner");
    runs[1].request_set = Some(8);
    assert_eq!(why(&runs).why, "independent runs: their request sets are not the same");
}

#[test]
fn a_run_beside_itself_is_told_nothing_of() {
    let mut runs = [run("a", &latencies(90, 0.1, 1)), run("again", &latencies(90, 0.1, 1))];
    (runs[0].request_set, runs[1].request_set) = (Some(7), Some(7));
    let found = compare(&runs, 0);
    let told: Vec<Told> = found.figures.iter().filter_map(|f| Some(f.against[1]?.told)).collect();
    assert!(told.iter().all(|told| matches!(told, Told::Nothing | Told::Unknown)), "{told:?}");
}

#[test]
fn what_is_not_alike_is_listed_with_what_follows() {
    let mut runs = [run("a", &latencies(50, 0.1, 1)), run("b", &latencies(50, 0.1, 2))];
    runs[1].counts.failed = 3;
    let values: Vec<f64> = latencies(50, 100.0, 9);
    let index: Vec<u64> = (0..50).collect();
    for (run, by) in runs.iter_mut().zip([1.0, 1.5]) {
        let tokens = values.iter().map(|v| v * by).collect();
        run.series.insert(Measure::OutputTokens, Series::Requests { index: index.clone(), values: tokens });
    }
    runs[0].conditions.insert("load.arrival.users".to_owned(), "8".to_owned());
    runs[1].conditions.insert("load.arrival.users".to_owned(), "16".to_owned());
    let said: Vec<String> = compare(&runs, 0)
        .unlike
        .iter()
        .map(|u| format!("{}: {} ({})", u.what, u.values.join(" | "), u.so.as_deref().unwrap_or("–")))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    failed requests: 0 of 50 | 3 of 53 (latencies are of requests that succeeded; those that did not may be the slow ones)
    answers' tokens, mean: 96.9 | 145.3 (answers of different lengths: Request Duration and Requests/s differ by that, TTFT and TPOT need not)
    server: a | b (if this is what is compared, all else should be alike)
    load.arrival.users: 8 | 16 (latencies grow with the load: figures of different loads say little of the servers)
    ");
}

fn judged(runs: &[Run], text: &str, fail_on: FailOn) -> Result<Vec<GateOutcome>, CannotJudge> {
    let tested: Vec<usize> = (1..runs.len()).collect();
    let tested = if runs.len() == 1 { vec![0] } else { tested };
    let found = judge(&Gate::parse(text).unwrap(), text, &Together::of(runs, 0), &tested, fail_on)?;
    Ok(found.into_iter().map(|found| found.outcome).collect())
}

#[test]
fn a_gate_is_missed_where_the_whole_interval_misses_it() {
    // 12 % more, give or take 2.
    let runs = [run("a", &latencies(400, 0.100, 1)), run("b", &latencies(500, 0.112, 2))];
    let certain = |text: &str| judged(&runs, text, FailOn::Certain).unwrap()[0];
    assert_eq!(certain("mean_ttft_ms > +5%"), GateOutcome::Missed);
    assert_eq!(certain("mean_ttft_ms > +5ms"), GateOutcome::Missed);
    assert_eq!(certain("mean_ttft_ms > +0.005s"), GateOutcome::Missed);
    assert_eq!(certain("mean_ttft_ms > 105"), GateOutcome::Missed);
    assert_eq!(certain("mean_ttft_ms > +20%"), GateOutcome::Kept);
    assert_eq!(certain("mean_ttft_ms < 200ms"), GateOutcome::Missed);
    assert_eq!(certain("mean_ttft_ms < -5%"), GateOutcome::Kept);
    // The interval holds the threshold: chance could have done it.
    let r = figure(&runs, "mean_ttft_ms").against[1].unwrap().ratio.unwrap();
    let percent = |ratio: f64| format!("mean_ttft_ms > +{:.3}%", 100.0 * (ratio - 1.0));
    let (below, above) = (percent(f64::midpoint(r.lo, r.value)), percent(f64::midpoint(r.value, r.hi)));
    assert_eq!([certain(&below), certain(&above)], [GateOutcome::KeptUnsure; 2]);
    assert_eq!(judged(&runs, &below, FailOn::Point).unwrap(), [GateOutcome::MissedUnsure]);
    assert_eq!(judged(&runs, &above, FailOn::Point).unwrap(), [GateOutcome::KeptUnsure]);
    assert_eq!(certain("failed_percent > 1%"), GateOutcome::Kept);
    // A percentile that no value bounds from above can be missed, and is never surely kept.
    assert_eq!(
        judged(&[run("few", &latencies(40, 0.1, 1))], "p99_ttft_ms > 50", FailOn::Certain).unwrap(),
        [GateOutcome::Missed]
    );
    assert_eq!(
        judged(&[run("few", &latencies(40, 0.1, 1))], "p99_ttft_ms > 5000", FailOn::Certain).unwrap(),
        [GateOutcome::KeptUnsure]
    );
}

#[test]
fn a_gate_that_cannot_be_judged_is_never_kept() {
    let runs = [run("a", &latencies(40, 0.1, 1)), run("b", &latencies(40, 0.1, 2))];
    let refused = |text: &str| {
        let error = judged(&runs, text, FailOn::Certain).unwrap_err();
        format!("{error} / {}", error.hint().unwrap_or("–"))
    };
    let all = [
        "p99_tfft_ms > +5%",
        "p99_ttft_ms > 5%",
        "p99_ttft_ms > 5tok/s",
        "mean_tpot_ms > 5",
        "request_goodput < 5",
        "failed_percent > +5%",
        "mean_server_ttft_ms > 50",
    ];
    insta::assert_snapshot!(all.map(refused).join("\n"), @r"
    `p99_tfft_ms` is no figure / –
    `%` without a sign says nothing of p99_ttft_ms / `+5%` is 5 % more than the baseline
    `tok/s` is no unit of p99_ttft_ms / times take us, ms or s, rates tok/s or req/s; without a unit it is the figure's own
    b has no mean_tpot_ms / no successful request has a value of it
    b has no request_goodput / say what is good: --goodput ttft:500 tpot:50
    the baseline's failed_percent is 0: nothing is so many times as much / write a difference, such as `> +10ms`, or a value
    mean_server_ttft_ms of b has no interval on this side / send more requests, or let the estimate decide: --fail-on point
    ");
    let alone = [run("a", &latencies(40, 0.1, 1))];
    assert!(matches!(judged(&alone, "mean_ttft_ms > +5%", FailOn::Certain), Err(CannotJudge::NoBaseline)));
    // Without an interval, only the estimate can decide.
    assert_eq!(
        judged(&runs, "mean_server_ttft_ms > 50", FailOn::Point).unwrap(),
        [GateOutcome::MissedUnsure]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_values_are_compared_without_breaking(a in prop::collection::vec(0.0..1e3_f64, 1..40), b in prop::collection::vec(0.0..1e3_f64, 1..40)) {
        let found = compare(&[run("a", &a), run("b", &b)], 0);
        for against in found.figures.iter().flat_map(|f| f.against.iter().flatten()) {
            let d = against.difference;
            prop_assert!(d.lo <= d.value && d.value <= d.hi);
            prop_assert!(against.told != Told::More || d.lo > 0.0);
            prop_assert!(against.told != Told::Less || d.hi < 0.0);
        }
    }
}
