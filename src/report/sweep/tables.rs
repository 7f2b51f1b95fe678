//! A sweep in tables, a row for each level, ascending. Of a level that was run several times, each figure is the mean of its
//! runs' with the interval that lies within them; what lies between them is a table of its own. This file must not know
//! how a figure was made.

use super::super::tables::{Table, show};
use super::{Point, RunEnd, Sweep};
use crate::metric::{Metric, Unit};
use crate::report::Figures;
use crate::stats::goodput::pooled;
use crate::stats::{Estimate, linear, student};
use crate::sweep::asked::{Axis, Plan};
use crate::sweep::search::Verdict;
use crate::units::{self, Scale};

const NONE: &str = "–";

/// Every table that has a row.
pub(super) fn all(sweep: &Sweep) -> Vec<Table> {
    let tables = [
        throughput(sweep),
        objectives(sweep),
        first_tokens(sweep),
        whole(sweep),
        between(sweep),
        decisions(sweep),
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn ascending(sweep: &Sweep) -> Vec<&Point> {
    let mut points: Vec<&Point> = sweep.points.iter().collect();
    points.sort_by(|a, b| a.level.total_cmp(&b.level));
    points
}

fn level(sweep: &Sweep, point: &Point) -> String {
    match sweep.asked.axis {
        Axis::AsConfigured => "as configured".to_owned(),
        _ => point.level.to_string(),
    }
}

fn throughput(sweep: &Sweep) -> Table {
    let rows = ascending(sweep).into_iter().map(|point| {
        let figures = point.figures();
        let of = |value: &dyn Fn(&Figures) -> f64| -> f64 {
            figures.iter().map(|f| value(f)).sum::<f64>() / figures.len() as f64
        };
        let n =
            |value: &dyn Fn(&Figures) -> usize| units::count(figures.iter().map(|f| value(f) as u64).sum());
        let full = figures.iter().all(|f| f.rates.is_some()) && !figures.is_empty();
        let kept = of(&|f| f.rates.map_or(f64::NAN, |r| r.kept_up));
        let mut row = vec![
            level(sweep, point),
            point.runs.len().to_string(),
            format!("{} / {}", n(&|f| f.counts.ok), n(&|f| f.counts.total)),
            match mean(&figures, achieved) {
                Some(e) => per_second(&e),
                None if figures.is_empty() => NONE.to_owned(),
                None => format!("{:.2} (whole run)", of(&|f| f.totals.requests_rps)),
            },
            if full { units::percent(kept) } else { NONE.to_owned() },
            if full {
                format!("{:.1}", of(&|f| f.rates.map_or(f64::NAN, |r| r.in_flight_mean)))
            } else {
                NONE.to_owned()
            },
            mean(&figures, |f| f.rates?.output_tps).map_or_else(|| NONE.to_owned(), |e| per_second(&e)),
        ];
        row.push(note(point));
        row
    });
    Table {
        title: "Throughput".to_owned(),
        head: [
            heading(sweep),
            "runs",
            "ok / requests",
            "achieved, 1/s [95 %]",
            "answered",
            "in flight",
            "output tokens/s [95 %]",
            "note",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: rows.collect(),
        below: vec![
            "While the load was full: from the time on in which 95 % of the first requests had ended (half of the time at the latest) until sending ended. Achieved: ended well per second; answered: of what was scheduled in that time, as many ended well in it; in flight: on average over the time.".to_owned(),
        ],
    }
}

/// Above the levels of a table, where there is little room.
fn heading(sweep: &Sweep) -> &'static str {
    match sweep.asked.axis {
        Axis::Rate => "offered, 1/s",
        Axis::Concurrency => "at once",
        Axis::AsConfigured => "load",
    }
}

/// How many of its requests met the objectives; nothing where there are none.
fn objectives(sweep: &Sweep) -> Table {
    let points = ascending(sweep).into_iter().filter(|_| !sweep.slo.is_empty());
    let rows = points.map(|point| {
        let met: Vec<_> = point.seen().iter().filter_map(|seen| seen.met).collect();
        let share = pooled(&met).map_or_else(
            || [NONE.to_owned(), NONE.to_owned()],
            |e| {
                let bounds = format!("[{:.1}, {:.1}]", e.lo * 100.0, e.hi * 100.0);
                [format!("{} {bounds}", units::percent(e.value)), units::count(e.n as u64)]
            },
        );
        let rate = linear::mean(&met.iter().map(|met| met.rps).collect::<Vec<_>>());
        let rate = rate.map_or_else(|| NONE.to_owned(), |e| per_second(&e));
        [level(sweep, point)].into_iter().chain(share).chain([rate]).collect()
    });
    Table {
        title: "Objectives".to_owned(),
        head: [heading(sweep), "met the objectives [95 %]", "of requests", "goodput, 1/s [95 %]"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
        below: vec![format!(
            "Objectives: {}. Share of the requests scheduled while the load was full, failures included, with Wilson's interval at the effective n: requests that shared a queue miss together.",
            sweep.slo.words()
        )],
    }
}

fn note(point: &Point) -> String {
    let mut said: Vec<String> = Vec::new();
    for (end, word) in [
        (RunEnd::OverSaturated, "over-saturated"),
        (RunEnd::Interrupted, "stopped"),
        (RunEnd::NothingSucceeded, "nothing succeeded"),
        (RunEnd::Broken, "broke"),
    ] {
        match point.runs.iter().filter(|run| run.end == end).count() {
            0 => {}
            n if n == point.runs.len() => said.push(word.to_owned()),
            n => said.push(format!("{n} {word}")),
        }
    }
    let to_the_end = point.runs.iter().filter(|run| run.end != RunEnd::OverSaturated);
    let unsent: u64 = to_the_end.map(|run| run.unsent).sum();
    if unsent > 0 {
        said.push(format!("{} never sent", units::count(unsent)));
    }
    said.join(", ")
}

fn first_tokens(sweep: &Sweep) -> Table {
    let rows = with_figures(sweep).map(|point| {
        let figures = point.figures();
        vec![
            level(sweep, point),
            ok(&figures),
            shown(mean(&figures, |f| Some(f.client(Metric::Ttft)?.mean)), Unit::Seconds),
            at(&figures, Metric::Ttft, 50.0),
            at(&figures, Metric::Ttft, 99.0),
            server_ttft(&figures),
            queue(&figures),
        ]
    });
    Table {
        title: "Time to first token".to_owned(),
        head: [heading(sweep), "n", "mean [95 %]", "p50", "p99", "at the server, mean [95 %]", "queue, mean"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
        below: vec![format!(
            "{OF} At the server: its own TTFT, or, where it tells no more, queue + prefill (q+p)."
        )],
    }
}

fn whole(sweep: &Sweep) -> Table {
    let rows = with_figures(sweep).map(|point| {
        let figures = point.figures();
        let mean_of =
            |metric: Metric, unit: Unit| shown(mean(&figures, |f| Some(f.client(metric)?.mean)), unit);
        vec![
            level(sweep, point),
            ok(&figures),
            mean_of(Metric::ItlMean, Unit::Seconds),
            mean_of(Metric::Throughput, Unit::TokensPerSecond),
            mean_of(Metric::E2e, Unit::Seconds),
            at(&figures, Metric::E2e, 99.0),
        ]
    });
    Table {
        title: "Tokens and whole requests".to_owned(),
        head: [heading(sweep), "n", "ITL, mean [95 %]", "per user [95 %]", "E2E, mean [95 %]", "p99"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
        below: vec![format!("{OF} Per user: output tokens / request duration, over requests.")],
    }
}

const OF: &str = "Of successful requests of the whole run, its first ones too. (≥): nothing bounds the percentile from above.";

fn with_figures(sweep: &Sweep) -> impl Iterator<Item = &Point> {
    ascending(sweep).into_iter().filter(|point| !point.figures().is_empty())
}

fn ok(figures: &[&Figures]) -> String {
    units::count(figures.iter().map(|f| f.counts.ok as u64).sum())
}

/// A percentile of the client's.
fn at(figures: &[&Figures], metric: Metric, p: f64) -> String {
    let found = mean(figures, |f| f.client(metric)?.percentile(p));
    found.map_or_else(
        || NONE.to_owned(),
        |e| {
            let open = if e.hi.is_finite() { "" } else { " (≥)" };
            format!("{}{open}", units::seconds(e.value))
        },
    )
}

fn server_ttft(figures: &[&Figures]) -> String {
    let of = |metric: Metric| mean(figures, |f| f.both(metric)?.server);
    match (of(Metric::Ttft), of(Metric::QueuePrefill)) {
        (Some(e), _) => shown(Some(e), Unit::Seconds),
        (None, Some(e)) => format!("q+p {}", shown(Some(e), Unit::Seconds)),
        (None, None) => NONE.to_owned(),
    }
}

fn queue(figures: &[&Figures]) -> String {
    let means: Vec<f64> = figures
        .iter()
        .filter_map(|f| {
            f.server(Metric::Queue).map(|q| q.mean.value).or_else(|| f.window_mean(Metric::Queue))
        })
        .collect();
    if means.is_empty() {
        NONE.to_owned()
    } else {
        units::seconds(means.iter().sum::<f64>() / means.len() as f64)
    }
}

/// What differs from run to run of the same level.
fn between(sweep: &Sweep) -> Table {
    let several = ascending(sweep).into_iter().filter(|point| point.figures().len() > 1);
    let rows = several.map(|point| {
        let figures = point.figures();
        let over = |value: &dyn Fn(&Figures) -> Option<f64>| {
            let values: Vec<f64> = figures.iter().filter_map(|f| value(f)).collect();
            student::mean(&values).filter(|e| e.n > 1)
        };
        let seconds = |e: Option<Estimate>| shown(e, Unit::Seconds);
        let p99 = |f: &Figures, metric| Some(f.client(metric)?.percentile(99.0)?.value);
        vec![
            level(sweep, point),
            figures.len().to_string(),
            over(&|f| Some(achieved(f)?.value)).map_or_else(|| NONE.to_owned(), |e| per_second(&e)),
            seconds(over(&|f| Some(f.client(Metric::Ttft)?.mean.value))),
            seconds(over(&|f| p99(f, Metric::Ttft))),
            seconds(over(&|f| Some(f.client(Metric::ItlMean)?.mean.value))),
        ]
    });
    Table {
        title: "Between runs".to_owned(),
        head: [
            heading(sweep),
            "runs",
            "achieved, 1/s",
            "TTFT, mean",
            "TTFT p99",
            "ITL, mean",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: rows.collect(),
        below: vec!["Mean of the runs' figures with Student's 95 % interval over runs, each with a seed of its own: it holds what differs from run to run, which no interval within a run can know.".to_owned()],
    }
}

fn decisions(sweep: &Sweep) -> Table {
    let searches = matches!(sweep.asked.plan, Plan::Knee(_) | Plan::Slo { .. });
    let rows = sweep.decisions.iter().filter(|_| searches).enumerate().map(|(i, d)| {
        let verdict = match d.judgement.verdict {
            Verdict::Passes => "passes",
            Verdict::Fails => "fails",
            Verdict::Unclear => "not clear",
        };
        vec![
            (i + 1).to_string(),
            d.level.to_string(),
            d.run.to_string(),
            d.why.clone(),
            verdict.to_owned(),
            d.judgement.why.clone(),
        ]
    });
    Table {
        title: "The search".to_owned(),
        head: [" ", heading(sweep), "run", "why it was run", "verdict", "because"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        below: vec!["A verdict is on all runs of the level by then, and on its interval: a level whose interval holds the limit is not clear, and is run again.".to_owned()],
    }
}

fn achieved(f: &Figures) -> Option<Estimate> {
    Some(f.rates?.achieved_rps)
}

/// The mean of the runs' figures, with the interval within them.
fn mean(figures: &[&Figures], of: impl Fn(&Figures) -> Option<Estimate>) -> Option<Estimate> {
    linear::mean(&figures.iter().filter_map(|f| of(f)).collect::<Vec<_>>())
}

fn shown(e: Option<Estimate>, unit: Unit) -> String {
    e.map_or_else(|| NONE.to_owned(), |e| show(&e, unit))
}

fn per_second(e: &Estimate) -> String {
    let number = |v: f64| Scale { name: "", factor: 1.0 }.number(v);
    if e.is_bounded() {
        format!("{} [{}, {}]", number(e.value), number(e.lo), number(e.hi))
    } else {
        number(e.value)
    }
}
