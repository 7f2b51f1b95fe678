//! What the progress line shows of the load, updated once per request and never between two reads.
//! This file must not know terminals or files.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::{RequestRow, Status};

/// Counts of a running load.
#[derive(Debug, Default)]
pub struct Live {
    pub sent: AtomicU64,
    pub ended: AtomicU64,
    pub ok: AtomicU64,
    pub failed: AtomicU64,
    pub output_tokens: AtomicU64,
    pub users: AtomicU64,
    ttft: Mutex<LogHistogram>,
}

impl Live {
    pub(super) fn begin(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, row: &RequestRow) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if row.status == Status::Ok {
            self.ok.fetch_add(1, Ordering::Relaxed);
        } else if row.status.is_failure() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.output_tokens.fetch_add(u64::from(row.output_tokens.unwrap_or(0)), Ordering::Relaxed);
        if let (Some(ttft), Ok(mut histogram)) = (row.ttft_s, self.ttft.lock()) {
            histogram.record(ttft);
        }
    }

    /// Requests sent and not yet ended.
    pub fn in_flight(&self) -> u64 {
        let ended = self.ended.load(Ordering::Relaxed);
        self.sent.load(Ordering::Relaxed).saturating_sub(ended)
    }

    /// TTFT so far at quantile `q`, within 2.5 %, in seconds.
    pub fn ttft_s(&self, q: f64) -> Option<f64> {
        self.ttft.lock().ok().and_then(|h| h.quantile(q))
    }
}

/// Counts in buckets that grow by 5 %: enough for a line that is looked at for a second.
#[derive(Debug, Default)]
struct LogHistogram {
    counts: Vec<u64>,
    total: u64,
}

const SMALLEST_S: f64 = 1e-6;
const GROWTH: f64 = 1.05;

impl LogHistogram {
    fn record(&mut self, value_s: f64) {
        let bucket = (value_s.max(SMALLEST_S) / SMALLEST_S).log(GROWTH) as usize;
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.total += 1;
        }
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (self.total > 0 && seen >= rank).then(|| SMALLEST_S * GROWTH.powf(bucket as f64 + 0.5))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn live_quantiles_are_within_their_promise() {
        let mut histogram = LogHistogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1000).for_each(|ms| histogram.record(f64::from(ms) / 1e3));
        assert!((histogram.quantile(0.5).unwrap() / 0.5 - 1.0).abs() < 0.026);
        assert!((histogram.quantile(0.99).unwrap() / 0.99 - 1.0).abs() < 0.026);
    }
}
