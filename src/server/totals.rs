//! From one metrics page to what it says in all: histograms, counters and gauges under tare's own
//! names, added up over engines and other labels. Pure; this file must not know which server it
//! reads (names come from the table) nor where the samples came from.

use std::collections::{BTreeMap, BTreeSet};

use super::{Metrics, Reason, Server};
use crate::record::SampleRow;

/// What a metrics page says in all. `None`: the page has no such series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    pub ttft: Option<Hist>,
    pub itl: Option<Hist>,
    pub tpot: Option<Hist>,
    pub e2e: Option<Hist>,
    pub queue: Option<Hist>,
    pub prefill: Option<Hist>,
    pub decode: Option<Hist>,
    pub prompt_tokens: Option<f64>,
    pub generation_tokens: Option<f64>,
    /// Seconds of decoding of all requests together, by servers without a histogram of it.
    pub decode_seconds: Option<f64>,
    /// Requests that ended, by reason; empty when the server does not count them.
    pub finished: BTreeMap<String, f64>,
    pub running: Option<f64>,
    pub waiting: Option<f64>,
    /// Mean over the engines.
    pub kv_cache_usage: Option<f64>,
    /// Values of the labels `engine` and `model_name` seen on the server's own series.
    pub engines: BTreeSet<String>,
    pub models: BTreeSet<String>,
}

/// A histogram's state: exact sum and count, and cumulative counts by upper bound (ascending, the
/// last one `+Inf`; empty when the page was stored without buckets).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hist {
    pub sum: f64,
    pub count: f64,
    pub buckets: Vec<(f64, f64)>,
}

impl Hist {
    /// The exact mean; `None` without observations.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    /// What was observed between `earlier` and `self`. Bounds that only one of them has are left out.
    #[must_use]
    pub fn since(&self, earlier: &Hist) -> Hist {
        let before: BTreeMap<u64, f64> = earlier.buckets.iter().map(|(le, n)| (le.to_bits(), *n)).collect();
        let buckets =
            self.buckets.iter().filter_map(|(le, n)| before.get(&le.to_bits()).map(|m| (*le, n - m)));
        Hist { sum: self.sum - earlier.sum, count: self.count - earlier.count, buckets: buckets.collect() }
    }
}

impl Totals {
    /// All requests that ended, whatever the reason; `None` when the server does not count them.
    pub fn finished_all(&self) -> Option<f64> {
        (!self.finished.is_empty()).then(|| self.finished.values().sum())
    }

    /// Requests that ended well: all but the aborted and the failed.
    pub fn finished_well(&self) -> Option<f64> {
        let well = |reason: &str| !matches!(reason, "abort" | "error");
        (!self.finished.is_empty())
            .then(|| self.finished.iter().filter(|(reason, _)| well(reason)).map(|(_, n)| n).sum())
    }

    /// What happened between `earlier` and `self`: histograms and counters as differences, gauges as
    /// they are now. A series that was not there earlier began at zero: servers make a labelled
    /// series at its first event. Differences are not clamped: a negative one tells of a reset.
    #[must_use]
    pub fn since(&self, earlier: &Totals) -> Totals {
        let hist = |now: &Option<Hist>, then: &Option<Hist>| {
            now.as_ref().map(|now| then.as_ref().map_or_else(|| now.clone(), |then| now.since(then)))
        };
        let counter = |now: Option<f64>, then: Option<f64>| now.map(|now| now - then.unwrap_or(0.0));
        let finished = self
            .finished
            .iter()
            .map(|(reason, n)| (reason.clone(), n - earlier.finished.get(reason).copied().unwrap_or(0.0)));
        Totals {
            ttft: hist(&self.ttft, &earlier.ttft),
            itl: hist(&self.itl, &earlier.itl),
            tpot: hist(&self.tpot, &earlier.tpot),
            e2e: hist(&self.e2e, &earlier.e2e),
            queue: hist(&self.queue, &earlier.queue),
            prefill: hist(&self.prefill, &earlier.prefill),
            decode: hist(&self.decode, &earlier.decode),
            prompt_tokens: counter(self.prompt_tokens, earlier.prompt_tokens),
            generation_tokens: counter(self.generation_tokens, earlier.generation_tokens),
            decode_seconds: counter(self.decode_seconds, earlier.decode_seconds),
            finished: finished.collect(),
            running: self.running,
            waiting: self.waiting,
            kv_cache_usage: self.kv_cache_usage,
            engines: self.engines.union(&earlier.engines).cloned().collect(),
            models: self.models.union(&earlier.models).cloned().collect(),
        }
    }

    /// Totals of several endpoints (replicas) together.
    #[must_use]
    pub fn plus(&self, other: &Totals) -> Totals {
        let add = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(a + b.unwrap_or(0.0)));
        let hist = |a: &Option<Hist>, b: &Option<Hist>| match (a, b) {
            (Some(a), Some(b)) => {
                let theirs: BTreeMap<u64, f64> = b.buckets.iter().map(|(le, n)| (le.to_bits(), *n)).collect();
                let buckets =
                    a.buckets.iter().filter_map(|(le, n)| theirs.get(&le.to_bits()).map(|m| (*le, n + m)));
                Some(Hist { sum: a.sum + b.sum, count: a.count + b.count, buckets: buckets.collect() })
            }
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        let mut finished = self.finished.clone();
        for (reason, n) in &other.finished {
            *finished.entry(reason.clone()).or_default() += n;
        }
        Totals {
            ttft: hist(&self.ttft, &other.ttft),
            itl: hist(&self.itl, &other.itl),
            tpot: hist(&self.tpot, &other.tpot),
            e2e: hist(&self.e2e, &other.e2e),
            queue: hist(&self.queue, &other.queue),
            prefill: hist(&self.prefill, &other.prefill),
            decode: hist(&self.decode, &other.decode),
            prompt_tokens: add(self.prompt_tokens, other.prompt_tokens),
            generation_tokens: add(self.generation_tokens, other.generation_tokens),
            decode_seconds: add(self.decode_seconds, other.decode_seconds),
            finished,
            running: add(self.running, other.running),
            waiting: add(self.waiting, other.waiting),
            // A share cannot be added; the fuller endpoint is the one that limits.
            kv_cache_usage: match (self.kv_cache_usage, other.kv_cache_usage) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            },
            engines: self.engines.union(&other.engines).cloned().collect(),
            models: self.models.union(&other.models).cloned().collect(),
        }
    }
}

impl Server {
    /// What `samples`, one metrics page, says in all.
    pub fn totals(&self, samples: &[SampleRow]) -> Totals {
        let page = Page::new(samples);
        let names = &self.metrics;
        let own = || samples.iter().filter(|sample| names.knows(&sample.name));
        let values = |key: &str| own().filter_map(|sample| sample.label(key)).map(str::to_owned).collect();
        Totals {
            ttft: page.hist(names.ttft),
            itl: page.hist(names.itl),
            tpot: page.hist(names.tpot),
            e2e: page.hist(names.e2e),
            queue: page.hist(names.queue),
            prefill: page.hist(names.prefill),
            decode: page.hist(names.decode),
            prompt_tokens: page
                .sum(names.prompt_tokens)
                .map(|counted| counted + page.sum(names.prompt_tokens_left_out).unwrap_or(0.0)),
            generation_tokens: page.sum(names.generation_tokens),
            decode_seconds: page.sum(names.decode_seconds),
            finished: page.finished(names.finished),
            running: page.sum(names.running),
            waiting: page.sum(names.waiting),
            kv_cache_usage: page.mean(names.kv_cache_usage),
            engines: values("engine"),
            models: values("model_name"),
        }
    }
}

impl Metrics {
    /// Whether a sample called `name` belongs to one of these series.
    pub(super) fn knows(&self, name: &str) -> bool {
        let part_of = |base: &str| {
            name.strip_prefix(base).is_some_and(|rest| matches!(rest, "_sum" | "_count" | "_bucket"))
        };
        let is = |base: &str| name.strip_prefix(base).is_some_and(|rest| matches!(rest, "" | "_total"));
        self.hists().any(part_of) || self.plain().any(is)
    }

    /// Whether a sample called `name` never falls while its process lives.
    pub fn counts(&self, name: &str) -> bool {
        let gauges = [self.running, self.waiting, self.kv_cache_usage];
        let is = |base: &&str| name.strip_prefix(*base).is_some_and(|rest| matches!(rest, "" | "_total"));
        self.knows(name) && !gauges.into_iter().flatten().any(is)
    }

    /// Every name of it.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.hists().chain(self.plain())
    }

    fn hists(&self) -> impl Iterator<Item = &'static str> {
        [self.ttft, self.itl, self.tpot, self.e2e, self.queue, self.prefill, self.decode]
            .into_iter()
            .flatten()
            .copied()
    }

    fn plain(&self) -> impl Iterator<Item = &'static str> {
        let lists = [
            self.prompt_tokens,
            self.prompt_tokens_left_out,
            self.generation_tokens,
            self.decode_seconds,
            self.running,
            self.waiting,
            self.kv_cache_usage,
        ];
        lists.into_iter().flatten().copied().chain(self.finished.iter().map(|(base, _)| *base))
    }
}

/// The samples of one page by name.
struct Page<'a>(BTreeMap<&'a str, Vec<&'a SampleRow>>);

impl<'a> Page<'a> {
    fn new(samples: &'a [SampleRow]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<&SampleRow>> = BTreeMap::new();
        for sample in samples {
            by_name.entry(&sample.name).or_default().push(sample);
        }
        Self(by_name)
    }

    fn named(&self, name: &str) -> &[&'a SampleRow] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A counter or gauge: with `_total` as Prometheus clients write it, or without.
    fn plain(&self, base: &str) -> &[&'a SampleRow] {
        let with_total = self.named(&format!("{base}_total"));
        if with_total.is_empty() { self.named(base) } else { with_total }
    }

    fn first_of(&self, names: &[&str]) -> Option<&[&'a SampleRow]> {
        names.iter().map(|base| self.plain(base)).find(|samples| !samples.is_empty())
    }

    fn sum(&self, names: &[&str]) -> Option<f64> {
        self.first_of(names).map(|samples| samples.iter().map(|sample| sample.value).sum())
    }

    fn mean(&self, names: &[&str]) -> Option<f64> {
        self.first_of(names)
            .map(|samples| samples.iter().map(|sample| sample.value).sum::<f64>() / samples.len() as f64)
    }

    fn finished(&self, names: &[(&str, Reason)]) -> BTreeMap<String, f64> {
        let mut out = BTreeMap::new();
        for (base, reason) in names {
            for sample in self.plain(base) {
                let key = match reason {
                    Reason::Label(label) => sample.label(label).unwrap_or("unknown"),
                    Reason::Is(word) => word,
                };
                *out.entry(key.to_owned()).or_default() += sample.value;
            }
        }
        out
    }

    fn hist(&self, names: &[&str]) -> Option<Hist> {
        names.iter().find_map(|base| {
            let sums = self.named(&format!("{base}_sum"));
            let counts = self.named(&format!("{base}_count"));
            if sums.is_empty() || counts.is_empty() {
                return None;
            }
            let total = |samples: &[&SampleRow]| samples.iter().map(|sample| sample.value).sum();
            Some(Hist {
                sum: total(sums),
                count: total(counts),
                buckets: merge_buckets(self.named(&format!("{base}_bucket"))),
            })
        })
    }
}

/// Cumulative counts added over all label sets. A bound that one label set lacks cannot be added
/// and is left out, so that what remains stays cumulative.
fn merge_buckets(samples: &[&SampleRow]) -> Vec<(f64, f64)> {
    let mut series: BTreeSet<Vec<(&str, &str)>> = BTreeSet::new();
    let mut bounds: Vec<(f64, f64, usize)> = Vec::new();
    for sample in samples {
        let Some(le) = sample.label("le").and_then(|le| le.parse::<f64>().ok()) else {
            continue;
        };
        let mut labels: Vec<(&str, &str)> = sample
            .labels
            .iter()
            .filter(|(key, _)| key != "le")
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        labels.sort_unstable();
        series.insert(labels);
        match bounds.iter_mut().find(|(bound, ..)| bound.to_bits() == le.to_bits()) {
            Some((_, count, seen)) => {
                *count += sample.value;
                *seen += 1;
            }
            None => bounds.push((le, sample.value, 1)),
        }
    }
    let mut merged: Vec<(f64, f64)> = bounds
        .into_iter()
        .filter(|(.., seen)| *seen == series.len())
        .map(|(le, count, _)| (le, count))
        .collect();
    merged.sort_by(|a, b| a.0.total_cmp(&b.0));
    merged
}
