//! What gateways state in the heads of answers: durations, each by its own name. This file must not know
//! what any of them covers: `tare_parsers::hop_headers` says so.

use std::collections::BTreeMap;

use tare_parsers::hop_headers;

use crate::record::JoinedRow;
use crate::record::hops::Stated;
use crate::stats::blocks::Blocks;
use crate::stats::rounds::Rounds;
use crate::stats::{bootstrap, quantile};

/// Every duration that is stated of these requests, by product and name.
pub fn of(rows: &[JoinedRow], rounds: &Rounds, seed: u64) -> Vec<Stated> {
    let mut all: BTreeMap<(String, String), (Vec<u64>, Vec<f64>)> = BTreeMap::new();
    for client in rows.iter().map(|row| &row.client) {
        let headers = client.answer_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for told in hop_headers::read(headers).0 {
            for (what, seconds) in told.stated {
                let (indices, values) = all.entry((told.product.to_owned(), what.into_owned())).or_default();
                indices.push(client.index);
                values.push(seconds);
            }
        }
    }
    let one = |((product, what), (indices, values)): ((String, String), (Vec<u64>, Vec<f64>))| {
        let labels = rounds.labels(indices.into_iter());
        let sorted = quantile::sorted(&values);
        Some(Stated {
            product,
            what,
            mean: bootstrap::mean(&values, Blocks::known(labels.as_deref()), seed)?,
            p50_s: quantile::quantile(&sorted, 0.5)?,
            p99_s: quantile::quantile(&sorted, 0.99)?,
        })
    };
    all.into_iter().filter_map(one).collect()
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
        let stated = of(&rows, &Rounds::default(), 0);
        let shown: Vec<_> = stated.iter().map(|s| (s.product.as_str(), s.what.as_str(), s.mean.n)).collect();
        assert_eq!(shown, [("envoy", "upstream_service_time", 6), ("litellm", "overhead", 11)]);
        assert!((stated[1].mean.value - 0.015).abs() < 1e-12 && (stated[1].p50_s - 0.015).abs() < 1e-12);
        assert_eq!(stated[0].p99_s, 0.003);
    }
}
