//! Watches one endpoint's counters from scrape to scrape: they fall only when their process was
//! restarted, and then a difference over that moment means nothing. Pure; this file must not know
//! where pages come from nor what their series mean.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::scrape::{Kind, Page};
use crate::clock::UnixNs;
use crate::record::SampleRow;

/// The gauge in which a Prometheus client tells when its process began.
const PROCESS_START: &str = "process_start_time_seconds";

/// A moment by which counters had begun anew.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// The endpoint's URL.
    pub source: String,
    /// When the first page after it was asked for and had come.
    pub send_unix_ns: UnixNs,
    pub recv_unix_ns: UnixNs,
    /// What showed it.
    pub evidence: String,
    /// The page is like one seen before the last change: two processes take turns behind this URL.
    pub alternating: bool,
}

/// What the last page said, as far as resets go.
#[derive(Debug, Default)]
pub struct ResetWatch {
    last: HashMap<String, f64>,
    buckets: HashMap<String, f64>,
    born: HashMap<String, f64>,
    process_starts: Vec<f64>,
    /// Room for a series' key: a page has hundreds, every second.
    key: String,
}

impl ResetWatch {
    /// Takes the next page and tells what in it, if anything, shows a reset since the last one; and
    /// whether the process is one seen earlier.
    pub fn next(&mut self, page: &Page) -> Option<(String, bool)> {
        let mut evidence = None;
        let mut alternating = false;
        let mut has_buckets = false;
        let Self { last, buckets, born, process_starts, key } = self;
        for (sample, kind) in page.samples_of_kind() {
            if sample.name == PROCESS_START && sample.labels.is_empty() {
                let known = process_starts.iter().position(|start| start.to_bits() == sample.value.to_bits());
                let last = process_starts.last().copied();
                if let Some(last) = last.filter(|last| last.to_bits() != sample.value.to_bits()) {
                    evidence
                        .get_or_insert(format!("{PROCESS_START} changed from {last} to {}", sample.value));
                    alternating = known.is_some();
                }
                if let Some(known) = known {
                    process_starts.remove(known);
                }
                process_starts.push(sample.value);
                continue;
            }
            has_buckets |= kind == Kind::Bucket;
            let seen = match kind {
                Kind::Counter => &mut *last,
                Kind::Bucket => &mut *buckets,
                Kind::Created => &mut *born,
                Kind::Other => continue,
            };
            write_series(sample, key);
            let Some(known) = seen.get_mut(key.as_str()) else {
                seen.insert(key.clone(), sample.value);
                continue;
            };
            let before = std::mem::replace(known, sample.value);
            let changed = match kind {
                Kind::Created => before.to_bits() != sample.value.to_bits(),
                _ => sample.value < before,
            };
            if changed && evidence.is_none() {
                let verb = if kind == Kind::Created { "changed" } else { "fell" };
                evidence = Some(format!("{key} {verb} from {before} to {}", sample.value));
            }
        }
        // Most pages are read without them: what they were before is no measure of what comes after.
        if evidence.is_some() && !has_buckets {
            buckets.clear();
        }
        evidence.map(|evidence| (evidence, alternating))
    }
}

/// Name and labels as one key. The order of labels is the page's, which does not change.
fn write_series(sample: &SampleRow, key: &mut String) {
    key.clear();
    key.push_str(&sample.name);
    for (i, (name, value)) in sample.labels.iter().enumerate() {
        key.push(if i == 0 { '{' } else { ',' });
        key.push_str(name);
        key.push('=');
        key.push_str(value);
    }
    if !sample.labels.is_empty() {
        key.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(samples: &[(&str, f64, Kind)]) -> Page {
        let row = |(name, value, _): &(&str, f64, Kind)| SampleRow {
            name: (*name).to_owned(),
            labels: Vec::new(),
            value: *value,
        };
        Page {
            samples: samples.iter().map(row).collect(),
            kinds: samples.iter().map(|(.., kind)| *kind).collect(),
            bad_lines: 0,
            n_not_finite: 0,
        }
    }

    fn watch(pages: &[&[(&str, f64, Kind)]]) -> Vec<Option<(String, bool)>> {
        let mut watch = ResetWatch::default();
        pages.iter().map(|samples| watch.next(&page(samples))).collect()
    }

    #[test]
    fn counters_that_only_rise_and_gauges_are_no_reset() {
        let got = watch(&[
            &[("a_total", 1.0, Kind::Counter), ("g", 5.0, Kind::Other)],
            &[("a_total", 1.0, Kind::Counter), ("g", 2.0, Kind::Other), ("new_total", 3.0, Kind::Counter)],
        ]);
        assert_eq!(got, [None, None]);
    }

    #[test]
    fn a_falling_counter_is_a_reset_once() {
        let got = watch(&[
            &[("a_total", 7.0, Kind::Counter)],
            &[("a_total", 2.0, Kind::Counter)],
            &[("a_total", 3.0, Kind::Counter)],
        ]);
        assert_eq!(got, [None, Some(("a_total fell from 7 to 2".to_owned(), false)), None]);
    }

    #[test]
    fn a_reset_that_was_told_is_not_told_again_by_buckets_that_were_not_read_meanwhile() {
        let whole = |n: f64| [("a_count", n, Kind::Counter), ("a_bucket", n, Kind::Bucket)];
        let got = watch(&[&whole(500.0), &[("a_count", 3.0, Kind::Counter)], &whole(20.0), &whole(4.0)]);
        let fell = |from: u32, to: u32| Some((format!("a_count fell from {from} to {to}"), false));
        assert_eq!(got, [None, fell(500, 3), None, fell(20, 4)]);
    }

    #[test]
    fn a_new_birth_time_shows_a_reset_that_counters_hide() {
        let got = watch(&[
            &[("a_total", 1.0, Kind::Counter), ("a_created", 100.0, Kind::Created)],
            &[("a_total", 9.0, Kind::Counter), ("a_created", 200.0, Kind::Created)],
        ]);
        assert_eq!(got[1], Some(("a_created changed from 100 to 200".to_owned(), false)));
    }

    #[test]
    fn processes_taking_turns_are_told_from_a_restart() {
        let pages: Vec<Vec<(&str, f64, Kind)>> =
            [1.0, 2.0, 1.0].iter().map(|start| vec![(PROCESS_START, *start, Kind::Other)]).collect();
        let got = watch(&pages.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(got[1], Some(("process_start_time_seconds changed from 1 to 2".to_owned(), false)));
        assert_eq!(got[2], Some(("process_start_time_seconds changed from 2 to 1".to_owned(), true)));
    }
}
