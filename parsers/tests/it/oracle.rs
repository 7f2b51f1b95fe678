//! Another parser of the Prometheus format as oracle. It is only compared where it is right:
//! `prometheus-parse` 0.2.5 does not know `:` in names (it returns no sample, and no error), so `:`
//! is `_` here; it splits labels at every `,` and `=` and knows no escapes, so values with those or
//! with `}` are not generated; it takes what follows a value it understands for a timestamp and
//! ignores the rest, so only well-formed lines are compared; and it folds histograms and summaries
//! into one value in an order of its own, so the `# TYPE` lines are left out and every sample is
//! untyped to it.

use std::collections::BTreeMap;

use prometheus_parse::Value;
use proptest::prelude::*;
use tare_parsers::exposition;

use crate::{bodies, files};

type Row = (String, BTreeMap<String, String>, u64, Option<i64>);

/// NaN is one value here: its sign and payload are not in the text.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN } else { value }.to_bits()
}

fn ours(page: &str) -> Vec<Row> {
    let scrape = exposition::parse(page);
    assert_eq!(scrape.errors, []);
    scrape
        .samples
        .into_iter()
        .map(|sample| {
            let labels = sample
                .labels
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into_owned()))
                .collect();
            (sample.name.to_owned(), labels, bits(sample.value), sample.timestamp_ms)
        })
        .collect()
}

/// The oracle puts the time of the call where a line has no timestamp, so its timestamps are taken
/// only where ours has one.
fn theirs(page: &str, ours: &[Row]) -> Vec<Row> {
    let lines = page.lines().map(|line| Ok(line.to_owned()));
    let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
    scrape
        .samples
        .into_iter()
        .zip(ours)
        .map(|(sample, our)| {
            let Value::Untyped(value) = sample.value else {
                panic!("{sample:?} is typed");
            };
            let labels = sample.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            let at = our.3.map(|_| sample.timestamp.timestamp_millis());
            (sample.metric, labels, bits(value), at)
        })
        .collect()
}

#[test]
fn real_pages_read_the_same() {
    for name in
        ["exposition/vllm-0.32.prom", "exposition/vllm-0.32-two-servers.prom", "exposition/haproxy-nan.prom"]
    {
        let sample = files::of("exposition").into_iter().find(|sample| sample.name == name).expect(name);
        let page: String = sample
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.replace(':', "_") + "\n")
            .collect();
        let ours = ours(&page);
        assert_eq!(ours.len(), page.lines().count());
        assert_eq!(ours, theirs(&page, &ours), "{name}");
    }
}

proptest! {
    #[test]
    fn generated_pages_read_the_same(
        rows in proptest::collection::vec(
            (
                "[a-zA-Z_][a-zA-Z0-9_]{0,12}",
                proptest::collection::btree_map("[a-z][a-z0-9_]{0,5}", "[a-zA-Z0-9 /.+é-]{1,8}", 1..4),
                prop_oneof![any::<f64>(), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::NAN), Just(0.0)],
                proptest::option::of(-1_000_000_000_000..4_000_000_000_000_i64),
            ),
            0..8,
        )
    ) {
        let samples: Vec<exposition::Sample<'_>> = rows
            .iter()
            .map(|(name, labels, value, timestamp_ms)| exposition::Sample {
                name,
                labels: labels.iter().map(|(name, value)| (name.as_str(), value.into())).collect(),
                value: *value,
                timestamp_ms: *timestamp_ms,
            })
            .collect();
        let page = bodies::print(&samples);
        let ours = ours(&page);
        prop_assert_eq!(ours.len(), rows.len());
        prop_assert_eq!(&ours, &theirs(&page, &ours));
    }
}
