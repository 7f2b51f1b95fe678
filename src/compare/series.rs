//! A run's values, measure by measure, in the order of time, and the estimates that are made of them: the
//! same as in the run's own report. This file must not know other runs.

use std::collections::BTreeMap;

use super::SEED;
use super::pooled::Pooled;
use crate::clock::UnixNs;
use crate::metric::Metric;
use crate::record::comparison::RunFacts;
use crate::record::correlated::{Aggregate, Correlated};
use crate::record::measure::{Key, Measure, Stat};
use crate::record::slo::Slo;
use crate::record::{JoinedRow, RequestRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::goodput;
use crate::stats::rounds::Rounds;
use crate::stats::{Estimate, bootstrap, quantile};

/// A source that tells of less than this share of the requests speaks for none of them.
const COVERAGE: f64 = 0.9;
/// Rates are resampled over slices of time: so many, and a slice for so many requests.
const SLICES: std::ops::RangeInclusive<usize> = 10..=400;
const REQUESTS_PER_SLICE: usize = 5;

/// What a comparison takes of a run.
pub struct Given<'a> {
    pub facts: RunFacts,
    pub correlated: &'a Correlated,
    /// Between the tokens of the requests that ended well.
    pub gaps: Pooled,
    /// The first start, and how long the run (or its window) lasted.
    pub begun: UnixNs,
    pub duration_s: f64,
    /// Requests of a window: some of them end after it.
    pub is_cut: bool,
    /// Tells request sets apart; `None`: it is not known.
    pub request_set: Option<u64>,
    /// What a good request keeps to; nothing: there is no goodput.
    pub slo: Slo,
}

/// A run, ready to be compared.
pub struct Run {
    pub(super) facts: RunFacts,
    pub(super) conditions: BTreeMap<String, String>,
    /// Whether what is not among them is not so; else it is only not said.
    pub(super) conditions_are_whole: bool,
    pub(super) request_set: Option<u64>,
    pub(super) prompts: Vec<Prompt>,
    pub(super) counts: Counts,
    pub(super) series: BTreeMap<Measure, Series>,
    pub(super) rounds: Rounds,
}

/// How its requests ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub ok: usize,
    pub failed: usize,
    pub in_flight: usize,
}

/// What one request asked, as far as it tells requests apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Prompt {
    pub index: u64,
    pub prompt: u32,
    pub chars: u32,
    pub max_tokens: Option<u32>,
}

/// The values of one measure.
#[derive(Clone, Debug, PartialEq)]
pub enum Series {
    /// Of successful requests, in the order of scheduling, with their numbers.
    Requests { index: Vec<u64>, values: Vec<f64> },
    /// Of several for each request.
    Pooled(Pooled),
    /// What came in a slice of time, and its length.
    Slices(Vec<(f64, f64)>),
    /// A share of the requests, between 0 and 1.
    Share(Estimate),
    /// As another tool states it of a run as a whole: no interval is known. `n` 0: of how many it does not say.
    Stated { figures: Vec<(Stat, f64)>, n: usize },
    /// The exact mean of a counter over the run, of which no interval is known.
    Counted { mean: f64, n: usize },
}

impl Run {
    /// Takes the values out of a run.
    pub fn new(mut given: Given<'_>) -> Self {
        let rows = &given.correlated.rows;
        let ok: Vec<&JoinedRow> = rows.iter().filter(|r| r.client.status == Status::Ok).collect();
        let mut series = BTreeMap::new();
        let mut add = |measure: Measure, found: Option<Series>| {
            series.extend(found.map(|found| (measure, found)));
        };
        for (measure, value) in CLIENT {
            add(*measure, of_requests(&ok, |r| value(&r.client)));
        }
        let gaps = std::mem::take(&mut given.gaps);
        add(Measure::Itl, (!gaps.values.is_empty()).then_some(Series::Pooled(gaps)));
        for (measure, value, counted) in SERVER {
            let each = of_requests(&ok, value).filter(|s| s.len() as f64 >= COVERAGE * ok.len() as f64);
            add(*measure, each.or_else(|| over_window(&given.correlated.aggregate, (*counted)?)));
        }
        for (measure, slices) in slices(&given, &ok) {
            add(measure, Some(Series::Slices(slices)));
        }
        let counts = counts(rows);
        add(Measure::Failed, failed(rows).map(Series::Share));
        Self {
            prompts: rows.iter().map(|r| Prompt::of(&r.client)).collect(),
            counts,
            series,
            rounds: given.correlated.rounds.clone(),
            request_set: given.request_set,
            conditions: BTreeMap::new(),
            conditions_are_whole: true,
            facts: given.facts.clone(),
        }
    }

    /// A run of which only another tool's figures are known: see [`Self::state`].
    pub fn stated(facts: RunFacts, ok: usize, failed: usize) -> Self {
        let counts = Counts { ok, failed, in_flight: 0 };
        let share = goodput::share(failed, ok + failed).map(Series::Share);
        Self {
            prompts: Vec::new(),
            counts,
            series: share.map(|share| (Measure::Failed, share)).into_iter().collect(),
            rounds: Rounds::default(),
            request_set: None,
            conditions: BTreeMap::new(),
            conditions_are_whole: true,
            facts,
        }
    }

    /// Takes figures as another tool states them, in the place of its own.
    pub fn state(&mut self, measure: Measure, figures: Vec<(Stat, f64)>, n: usize) {
        self.series.insert(measure, Series::Stated { figures, n });
    }

    /// Leaves out what it counted over a time that is not that of its requests.
    pub fn drop_rates(&mut self) {
        self.series.retain(|_, series| !matches!(series, Series::Slices(_)));
    }

    /// Another tool's file says little of its conditions.
    pub fn says_little(&mut self) {
        self.conditions_are_whole = false;
    }

    /// Under what conditions it was, label by label.
    pub fn set_conditions(&mut self, conditions: BTreeMap<String, String>) {
        self.conditions = conditions;
    }

    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// How many requests succeeded, and ended.
    pub fn ended(&self) -> (usize, usize) {
        (self.counts.ok, self.counts.ok + self.counts.failed)
    }

    /// The values of a measure that has one for each request or gap.
    pub fn values(&self, measure: Measure) -> Option<&[f64]> {
        self.series.get(&measure)?.values()
    }

    /// One figure with its interval; `None` where the run does not have it.
    pub fn estimate(&self, key: Key) -> Option<Estimate> {
        self.series.get(&key.measure)?.estimate(key.stat, &self.rounds)
    }
}

impl Prompt {
    fn of(row: &RequestRow) -> Self {
        Self {
            index: row.index,
            prompt: row.prompt_index,
            chars: row.prompt_chars,
            max_tokens: row.max_tokens,
        }
    }
}

type OfClient = fn(&RequestRow) -> Option<f64>;
type OfBoth = fn(&JoinedRow) -> Option<f64>;

const CLIENT: &[(Measure, OfClient)] = &[
    (Measure::Ttft, |r| r.ttft_s),
    (Measure::Tpot, |r| r.tpot_s),
    (Measure::E2e, |r| r.e2e_s),
    (Measure::UserThroughput, |r| r.user_throughput_tps),
    (Measure::InputTokens, |r| r.input_tokens.map(f64::from)),
    (Measure::OutputTokens, |r| r.output_tokens.map(f64::from)),
];

/// Per request; else what the metrics endpoint counted.
const SERVER: &[(Measure, OfBoth, Option<Metric>)] = &[
    (Measure::ServerTtft, |r| r.server_ttft_s, Some(Metric::Ttft)),
    (Measure::ServerQueue, |r| r.server_queue_s, Some(Metric::Queue)),
    (Measure::ServerPrefill, |r| r.server_prefill_s, Some(Metric::Prefill)),
    (Measure::ServerDecode, |r| r.server_decode_s, Some(Metric::Decode)),
    (Measure::TareTtft, |r| Some(r.client.ttft_s? - r.server_ttft_s?), None),
];

fn of_requests(ok: &[&JoinedRow], value: impl Fn(&JoinedRow) -> Option<f64>) -> Option<Series> {
    let rows = ok.iter().filter_map(|r| Some((r.client.index, value(r)?)));
    let (index, values): (Vec<u64>, Vec<f64>) = rows.filter(|(_, v)| v.is_finite()).unzip();
    (!values.is_empty()).then_some(Series::Requests { index, values })
}

fn over_window(aggregate: &Aggregate, metric: Metric) -> Option<Series> {
    let counted = aggregate.unusable.is_none().then(|| aggregate.of(metric)).flatten()?;
    Some(Series::Counted { mean: counted.mean?, n: counted.count as usize })
}

fn counts(rows: &[JoinedRow]) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        match row.client.status {
            Status::Ok => counts.ok += 1,
            Status::InFlight => counts.in_flight += 1,
            _ => counts.failed += 1,
        }
    }
    counts
}

/// Failed of ended ones in the order of time: failures come together, and many of them at once are worth fewer.
fn failed(rows: &[JoinedRow]) -> Option<Estimate> {
    let ended = rows.iter().filter(|row| row.client.status != Status::InFlight);
    let failed: Vec<bool> = ended.map(|row| row.client.status != Status::Ok).collect();
    goodput::goodput(&failed, 1.0).map(|found| found.share)
}

/// Rates, slice by slice. A request is counted evenly over its duration, its tokens evenly from the first to the
/// last: sums are the same as where it ended, and users that move together make no waves. Of a window it is
/// counted where it started, since what started there is what is looked at.
fn slices(given: &Given<'_>, ok: &[&JoinedRow]) -> Vec<(Measure, Vec<(f64, f64)>)> {
    let count = (ok.len() / REQUESTS_PER_SLICE).clamp(*SLICES.start(), *SLICES.end());
    let length = given.duration_s / count as f64;
    if ok.is_empty() || !length.is_finite() || length <= 0.0 {
        return Vec::new();
    }
    let at = |t: UnixNs| t.seconds_since(given.begun) / length;
    let over = |from: UnixNs, to: UnixNs, r: &RequestRow| {
        if given.is_cut { (at(r.started_unix_ns), at(r.started_unix_ns)) } else { (at(from), at(to)) }
    };
    let mut requests = Slices::new(count);
    let mut good = Slices::new(count);
    let (mut output, mut all) = (Slices::new(count), Slices::new(count));
    for r in ok.iter().map(|r| &r.client) {
        let request = over(r.started_unix_ns, r.done_unix_ns, r);
        requests.add(request, 1.0);
        if given.slo.met(r) == Some(true) {
            good.add(request, 1.0);
        }
        let tokens = r.first_token_unix_ns.zip(r.last_token_unix_ns);
        let tokens = tokens.map_or(request, |(first, last)| over(first, last, r));
        output.add(tokens, f64::from(r.output_tokens.unwrap_or(0)));
        all.add(tokens, f64::from(r.output_tokens.unwrap_or(0)));
        all.add(request, f64::from(r.input_tokens.unwrap_or(0)));
    }
    let mut found = vec![(Measure::RequestThroughput, requests)];
    // Tokens of some requests alone are no throughput of all.
    if ok.iter().all(|r| r.client.output_tokens.is_some()) {
        found.push((Measure::OutputThroughput, output));
        if ok.iter().all(|r| r.client.input_tokens.is_some()) {
            found.push((Measure::TotalThroughput, all));
        }
    }
    if !given.slo.is_empty() {
        found.push((Measure::Goodput, good));
    }
    found.into_iter().map(|(measure, slices)| (measure, slices.with(length))).collect()
}

/// Amounts by slice of time.
struct Slices(Vec<f64>);

impl Slices {
    fn new(count: usize) -> Self {
        Self(vec![0.0; count])
    }

    /// Spreads an amount evenly from one place to another, in slices from the begin. What lies outside is
    /// put to the nearest: nothing is lost.
    fn add(&mut self, (from, to): (f64, f64), amount: f64) {
        let last = self.0.len().saturating_sub(1);
        let slice = |at: f64| (at.max(0.0) as usize).min(last);
        let (first, end) = (slice(from), slice(to));
        let width = to - from;
        for (i, so_far) in self.0.iter_mut().enumerate().take(end + 1).skip(first) {
            let lo = if i == first { from } else { i as f64 };
            let hi = if i == end { to } else { (i + 1) as f64 };
            *so_far += if width > 0.0 { amount * (hi - lo) / width } else { amount };
        }
    }

    fn with(self, length: f64) -> Vec<(f64, f64)> {
        self.0.into_iter().map(|amount| (amount, length)).collect()
    }
}

impl Series {
    /// How many values.
    pub fn len(&self) -> usize {
        match self {
            Series::Requests { values, .. } | Series::Pooled(Pooled { values, .. }) => values.len(),
            Series::Slices(slices) => slices.len(),
            Series::Share(share) => share.n,
            Series::Counted { n, .. } | Series::Stated { n, .. } => *n,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn values(&self) -> Option<&[f64]> {
        match self {
            Series::Requests { values, .. } | Series::Pooled(Pooled { values, .. }) => Some(values),
            _ => None,
        }
    }

    fn estimate(&self, stat: Stat, rounds: &Rounds) -> Option<Estimate> {
        match (self, stat) {
            (Series::Requests { index, values }, _) => {
                let labels = rounds.labels(index.iter().copied());
                of_values(values, stat, Blocks::known(labels.as_deref()))
            }
            (Series::Pooled(pooled), _) => {
                let labels = rounds.labels(pooled.index.iter().copied());
                pooled.estimate(stat, Blocks::known(labels.as_deref()))
            }
            (Series::Slices(slices), Stat::Whole) => bootstrap::ratio_of_sums(slices, Blocks::Rows, SEED),
            (Series::Share(share), Stat::Whole) => Some(share.scaled(100.0)),
            (Series::Stated { figures, n }, _) => {
                let (_, value) = figures.iter().find(|(of, _)| *of == stat)?;
                Some(Estimate::unbounded(*value, *n))
            }
            (Series::Counted { mean, n }, Stat::Mean) => Some(Estimate::unbounded(*mean, *n)),
            _ => None,
        }
    }
}

fn of_values(values: &[f64], stat: Stat, blocks: Blocks<'_>) -> Option<Estimate> {
    match stat {
        Stat::Mean => bootstrap::mean(values, blocks, SEED),
        Stat::Percentile(p) => quantile::estimates(values, &[p / 100.0], blocks).into_iter().next(),
        Stat::Whole => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_spread_and_none_of_it_is_lost() {
        let mut slices = Slices::new(4);
        slices.add((0.5, 2.5), 8.0);
        assert_eq!(slices.0, [2.0, 4.0, 2.0, 0.0]);
        slices.add((3.25, 3.25), 1.0);
        slices.add((-1.0, -1.0), 1.0);
        slices.add((9.0, 9.0), 1.0);
        assert_eq!(slices.0, [3.0, 4.0, 2.0, 2.0]);
        slices.add((2.0, 6.0), 4.0);
        assert!((slices.0.iter().sum::<f64>() - 15.0).abs() < 1e-12, "{:?}", slices.0);
    }
}
