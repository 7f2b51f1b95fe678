//! An audit in tables, its verdict and warnings in [`words`]: the cells, what the added time depends on, then
//! each arm as a load of its own. This file must not know how a figure was made.

pub(super) mod words;

use self::words::{Of, cell_words, interval, ttft, varied, whose};
pub use self::words::{load_in_words, name, verdict, warnings};

use super::tables::{self, Table};
use super::{breakdown, hops};
use crate::metric::{Metric, Unit};
use crate::record::audit::{Arm, ArmFound, Cell, CellFound, Factor, Figure, Found, Growth, Outside, Warmth};
use crate::stats::Estimate;
use crate::units;

const METRICS: [Metric; 3] = [Metric::Ttft, Metric::ItlMean, Metric::E2e];

/// Every table of an audit, in order.
pub(super) fn tables(found: &Found, verdicts: Table) -> Vec<Table> {
    let mut all: Vec<Table> = METRICS.iter().map(|metric| added(found, *metric)).collect();
    all.insert(1, verdicts);
    all.extend([outside(found), throughput(found), growth(found), cold(found), order(found), pairs(found)]);
    all.extend(found.arms.iter().flat_map(of_arm));
    all
}

/// Those that only the written report has room for.
pub(super) fn more(found: &Found) -> Vec<Table> {
    let mut all = vec![percentiles(found)];
    for arm in &found.arms {
        all.push(named(breakdown::table(&arm.breakdown_e2e, None), arm.arm));
        all.extend(breakdown::by(&arm.breakdown).into_iter().map(|table| named(table, arm.arm)));
    }
    all
}

fn added(found: &Found, metric: Metric) -> Table {
    let figure = |cell: &CellFound| cell.figures.iter().find(|f| f.metric == metric).copied();
    Table {
        title: format!("{}: what going through adds", metric.name()),
        below: match metric {
            Metric::Ttft => vec![how(found)],
            Metric::ItlMean => held_back(found).into_iter().collect(),
            _ => Vec::new(),
        },
        ..compared(found, Unit::Seconds, "added", &figure)
    }
}

fn how(found: &Found) -> String {
    let n = units::count(u64::from(found.requests_per_user));
    format!(
        "Direct: {}. Through: {}. A pair is the same request by both ways: same prompt, same user, same place in the leg. A round sends one leg of {n} requests for each user by each way, in random order; added = through − direct of a pair, without the effect of order (which leg came first), in brackets the 95 % interval over rounds. {}",
        found.direct,
        found.through,
        if found.salted {
            "Each prompt began with words of its own (salt): no prefix cache knew it."
        } else {
            "Both legs of a round send the same prompts: the second may find them in the server's prefix cache (see the effect of order)."
        }
    )
}

/// Where TTFT is longer and what follows it is shorter.
fn held_back(found: &Found) -> Option<String> {
    let added = |cell: &CellFound, metric| Of::Metric(metric).figure(cell).map(|figure| figure.added_mean);
    let held = found.cells.iter().filter(|cell| {
        let longer = added(cell, Metric::Ttft).is_some_and(|e| e.lo > 0.0);
        longer && added(cell, Metric::ItlMean).is_some_and(|e| e.hi < 0.0)
    });
    let names: Vec<String> = held.map(|cell| name(&cell.cell, found)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "Shorter here and longer in TTFT ({}): first tokens are held back and come with others. The latency between tokens is no better for it.",
            names.join("; ")
        )
    })
}

fn outside(found: &Found) -> Table {
    let engine = found.cells.iter().any(|cell| cell.outside.is_some_and(|(of, _)| of == Outside::Engine));
    let (title, below) = if engine {
        (
            "TTFT without queue and prefill: what going through adds",
            "TTFT − the engine's queue and prefill of the same requests: what the engine itself took longer or shorter, a known prefix included, is not in it. The server's front end still is.",
        )
    } else {
        (
            "TTFT outside the server: what going through adds",
            "TTFT − the server's own TTFT of the same requests: what the server itself took longer or shorter is not in it.",
        )
    };
    Table {
        title: title.to_owned(),
        below: vec![below.to_owned()],
        ..compared(found, Unit::Seconds, "added", &|cell| cell.outside.map(|(_, figure)| figure))
    }
}

fn throughput(found: &Found) -> Table {
    Table {
        title: "Output tokens per second of a leg".to_owned(),
        below: vec!["Of rounds whose requests all ended: output tokens of successful requests / first start to last end. n is rounds.".to_owned()],
        ..compared(found, Unit::TokensPerSecond, "through − direct", &|cell| cell.throughput)
    }
}

fn compared(found: &Found, unit: Unit, what: &str, figure: &dyn Fn(&CellFound) -> Option<Figure>) -> Table {
    let rows = found.cells.iter().filter_map(|cell| {
        let f = figure(cell)?;
        // A leg's figure is one of a round, of which no pair need be whole.
        let rounds = if unit == Unit::TokensPerSecond { f.added_mean.n } else { cell.rounds };
        let side = |e: &Estimate| units::quantity(e.value, unit);
        Some(vec![
            name(&cell.cell, found),
            tables::counted(&f.added_mean),
            units::count(rounds as u64),
            side(&f.direct.mean),
            side(&f.through.mean),
            interval(&f.added_mean, unit),
            interval(&f.added_median, unit),
        ])
    });
    let head = ["cell", "n", "rounds", "direct, mean", "through, mean"].map(str::to_owned);
    let mut head = head.to_vec();
    head.extend([format!("{what}: mean [95 %]"), format!("{what}: median [95 %]")]);
    Table { head, rows: rows.collect(), ..Table::default() }
}

fn percentiles(found: &Found) -> Table {
    let mut rows = Vec::new();
    for metric in METRICS {
        for cell in &found.cells {
            let Some(f) = cell.figures.iter().find(|f| f.metric == metric) else { continue };
            let show = |v: f64| units::quantity(v, metric.unit());
            let mut row = vec![metric.name().to_owned(), name(&cell.cell, found)];
            row.extend([f.direct.p50, f.direct.p90, f.direct.p99].map(show));
            row.extend([f.through.p50, f.through.p90, f.through.p99].map(show));
            rows.push(row);
        }
    }
    Table {
        title: "Each way's percentiles".to_owned(),
        head: ["", "cell", "direct: p50", "p90", "p99", "through: p50", "p90", "p99"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        below: Vec::new(),
    }
}

fn growth(found: &Found) -> Table {
    Table {
        title: "What the added time depends on".to_owned(),
        head: ["", "with", "added at each level", "highest − lowest", "per one more", "verdict"].map(str::to_owned).to_vec(),
        rows: found.growth.iter().map(grows).collect(),
        below: vec!["Means over the cells of a level. Per one more (user, prompt token): the slope of the straight line through the levels; that it is straight is not claimed.".to_owned()],
    }
}

fn grows(g: &Growth) -> Vec<String> {
    let unit = g.metric.unit();
    let levels: Vec<String> =
        g.levels.iter().map(|(level, e)| format!("{level}: {}", interval(e, unit))).collect();
    let d = &g.last_less_first;
    let verdict = if !d.is_bounded() {
        "too few rounds to tell"
    } else if d.lo > 0.0 || d.hi < 0.0 {
        // What is taken off is no addition that grows.
        match (d.lo > 0.0, g.levels.iter().all(|(_, e)| e.value < 0.0)) {
            (true, false) => "grows",
            (false, false) => "shrinks",
            (true, true) => "it takes off less",
            (false, true) => "it takes off more",
        }
    } else {
        "no dependence shown"
    };
    vec![
        if g.metric == Metric::Ttft { ttft(g.outside) } else { g.metric.name().to_owned() },
        match g.factor {
            Factor::Concurrency => "concurrency",
            Factor::PromptTokens => "prompt tokens",
        }
        .to_owned(),
        levels.join("; "),
        interval(d, unit),
        g.slope.map_or_else(|| "–".to_owned(), |e| interval(&e, unit)),
        verdict.to_owned(),
    ]
}

fn cold(found: &Found) -> Table {
    let rows = found.cold.iter().map(|c| {
        let cell =
            Cell { concurrency: c.concurrency, prompt_tokens: c.prompt_tokens, connections: Warmth::Warm };
        let show = |e: &Estimate| interval(e, c.metric.unit());
        vec![
            ttft(c.outside),
            cell_words(&cell, true, varied(found)[0], false),
            show(&c.warm),
            show(&c.cold),
            show(&c.cold_less_warm),
        ]
    });
    Table {
        title: "What new connections add to what going through adds".to_owned(),
        head: ["", "cell", "added, warm", "added, cold", "cold − warm"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        below: vec!["Cold: a connection for each request, whose opening is inside TTFT by both ways; the last column is what opening costs more through than direct.".to_owned()],
    }
}

fn order(found: &Found) -> Table {
    let rows = found.order.iter().map(|o| {
        let e = &o.second_less_first;
        vec![whose(o, found), units::count(e.n as u64), interval(e, o.metric.unit())]
    });
    Table {
        title: "The effect of order on TTFT".to_owned(),
        head: ["arm", "couples of rounds", "second in its round − first"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        below: vec!["Of each two rounds of a cell one has either order, so that this falls on both arms alike and cancels out of what is added where it is the same for both.".to_owned()],
    }
}

fn pairs(found: &Found) -> Table {
    let n = |n: usize| units::count(n as u64);
    let rows = found.cells.iter().map(|cell| {
        let lost: Vec<String> = cell.lost.iter().map(|(why, count)| format!("{} {why}", n(*count))).collect();
        let [direct, through] = cell.failed;
        vec![
            name(&cell.cell, found),
            n(cell.begun),
            n(cell.pairs),
            if lost.is_empty() { "none".to_owned() } else { lost.join("; ") },
            n(direct),
            n(through),
            n(cell.uneven),
        ]
    });
    Table {
        title: "Pairs".to_owned(),
        head: [
            "cell",
            "begun",
            "both answered",
            "lost",
            "failed direct",
            "failed through",
            "of unequal length",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: rows.collect(),
        below: Vec::new(),
    }
}

fn of_arm(arm: &ArmFound) -> Vec<Table> {
    let all = [
        tables::headline_of(&arm.headline, &arm.hops.list),
        hops::path(&arm.hops, Metric::Ttft),
        hops::path(&arm.hops, Metric::E2e),
        breakdown::table(&arm.breakdown, None),
    ];
    all.into_iter().map(|table| named(table, arm.arm)).collect()
}

fn named(table: Table, arm: Arm) -> Table {
    Table { title: format!("{}: {}", arm.as_str(), table.title), ..table }
}
