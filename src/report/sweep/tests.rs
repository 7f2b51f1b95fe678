//! A sweep made by hand, whose page is known.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::super::figures::{BothSides, Counts, Figure, Totals};
use super::*;
use crate::metric::Metric;
use crate::record::correlated::Evidence;
use crate::record::slo::SloFound;
use crate::stats::Estimate;
use crate::stats::goodput::goodput;
use crate::stats::rates::Rates;
use crate::sweep::asked::{Axis, Plan, Search};
use crate::sweep::judge::by_slo;

fn e(value: f64) -> Estimate {
    Estimate::within(value, 0.9 * value, 1.1 * value, 100)
}

/// A run whose TTFT has this mean, with so many of 100 requests within the objectives.
fn run(number: usize, rate: f64, ttft_s: f64, met: usize) -> PointRun {
    let figure = |metric: Metric, mean: f64| Figure {
        metric,
        title: metric.name().to_owned(),
        n: 100,
        mean: e(mean),
        std: 0.1 * mean,
        min: 0.5 * mean,
        max: 3.0 * mean,
        percentiles: vec![
            e(mean),
            e(1.5 * mean),
            e(1.8 * mean),
            Estimate::within(2.0 * mean, mean, f64::INFINITY, 100),
        ],
    };
    let flags: Vec<bool> = (0..100).map(|i| (i + 1) * met / 100 > i * met / 100).collect();
    let good = goodput(&flags, 10.0).unwrap();
    let slo = Slo { ttft_s: Some(1.0), ..Slo::default() };
    let rates = Rates {
        begin_s: 1.0,
        end_s: 11.0,
        scheduled: 100,
        completed: 98,
        offered_rps: rate,
        achieved_rps: e(0.98 * rate),
        kept_up: 0.98,
        output_tps: Some(e(20.0 * rate)),
        in_flight_mean: 2.5,
        growth_rps: Some(e(0.02)),
    };
    let figures = Figures {
        facts: BTreeMap::new(),
        warnings: Vec::new(),
        duration_s: 12.0,
        counts: Counts { total: 102, ok: 100, failed: 1, in_flight: 1 },
        totals: Totals::default(),
        rates: Some(rates),
        no_rates: None,
        slo: Some(SloFound { slo, all: good, full: Some(good), undecided: 0 }),
        client: vec![
            figure(Metric::Ttft, ttft_s),
            figure(Metric::Throughput, 40.0),
            figure(Metric::ItlMean, 0.02),
            figure(Metric::E2e, ttft_s + 0.4),
        ],
        server: vec![figure(Metric::Queue, 0.5 * ttft_s)],
        headline: vec![BothSides {
            metric: Metric::Ttft,
            title: "TTFT".to_owned(),
            tool: Some(e(ttft_s)),
            server: Some(e(ttft_s - 0.001)),
            tare: Some(e(0.001)),
            source: Evidence::Span,
            note: None,
        }],
        window_means: Vec::new(),
    };
    PointRun {
        number,
        folder: format!("point-01-rate-{rate}/run-{number}"),
        seed: number as u64,
        end: RunEnd::Finished,
        error: None,
        saturated: None,
        unsent: 0,
        figures: Some(figures),
    }
}

fn point(number: usize, level: f64, runs: Vec<PointRun>) -> Point {
    let mut point = Point { number, level, runs, judgement: None };
    point.judgement = Some(by_slo(&point.seen(), 0.95));
    point
}

fn sweep() -> Sweep {
    let search = Search { from: 4.0, least: 0.01, most: 1e5, tolerance: 0.05, repeats: 3, max_runs: 30 };
    let mut saturated = run(1, 16.0, 2.5, 0);
    saturated.end = RunEnd::OverSaturated;
    let broken = PointRun {
        end: RunEnd::Broken,
        error: Some("no server answers".to_owned()),
        figures: None,
        ..run(1, 32.0, 1.0, 0)
    };
    let points = vec![
        point(1, 4.0, vec![run(1, 4.0, 0.05, 97), run(2, 4.0, 0.06, 100)]),
        point(2, 16.0, vec![saturated]),
        point(3, 8.0, vec![run(1, 8.0, 0.2, 80)]),
        Point { number: 4, level: 32.0, runs: vec![broken], judgement: None },
    ];
    let decisions = points
        .iter()
        .filter_map(|p| {
            let judgement = p.judgement.clone()?;
            Some(Decision { level: p.level, run: p.runs.len(), why: "a test".to_owned(), judgement })
        })
        .collect();
    Sweep {
        tare_sweep: SCHEMA,
        name: "by hand".to_owned(),
        tool_version: "0".to_owned(),
        created_unix_ns: UnixNs(0),
        state: RunState::Finished,
        asked: Asked {
            axis: Axis::Rate,
            plan: Plan::Slo { share: 0.95, search },
            num_runs: 1,
            reset_prefix_cache: false,
            saturation_stop: true,
        },
        slo: Slo { ttft_s: Some(1.0), ..Slo::default() },
        points,
        decisions,
        answer: Some(Answer {
            highest: Some(4.0),
            lowest_failing: Some(8.0),
            narrow: false,
            why: "a test ended".to_owned(),
        }),
        notes: vec!["a note".to_owned()],
        config: Value::Null,
    }
}

#[test]
fn a_page_has_a_row_for_each_level_and_says_what_was_found() {
    let page = markdown(&sweep(), &[("sweep_latency", "a caption")]).unwrap();
    for said in [
        "# by hand\n",
        "95.0 % keep to ttft ≤ 1,000 ms up to 4 requests/s (",
        "; no longer at 8 requests/s (",
        "Not narrowed down as far as asked.",
        // Two runs of one level: their counts are added up, and there is something between them.
        "| 4 | 2 | 200 / 204 |",
        "## Between runs",
        "| over-saturated |",
        "| broke |",
        "1 runs were ended before their time",
        "point-01-rate-32/run-1: no server answers",
        "- a note",
        "![a caption](plots/sweep_latency.svg)",
    ] {
        assert!(page.contains(said), "{said:?} is not in\n{page}");
    }
    let at = |row: &str| page.find(row).unwrap();
    assert!(at("| 4 | 2 |") < at("| 8 | 1 |") && at("| 8 | 1 |") < at("| 16 | 1 |"), "ascending:\n{page}");
}

#[test]
fn a_sweep_survives_its_file() {
    let text = serde_json::to_string(&sweep()).unwrap();
    let back: Sweep = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}

#[test]
fn a_row_of_figures_is_a_line_of_120_columns() {
    // Reasons are sentences, and wrap.
    for table in super::tables::all(&sweep()).iter().filter(|table| table.title != "The search") {
        let longest = |i: usize| {
            let cells = table.rows.iter().chain([&table.head]).filter_map(|row| row.get(i));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let width: usize = (0..table.head.len()).map(|i| longest(i) + 2).sum();
        assert!(width <= 120, "{}: {width} columns", table.title);
    }
}
