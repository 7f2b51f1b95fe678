//! What the progress line shows of the load, updated once per request and never between two reads.
//! This file must not know terminals or files.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::client::Prepared;
use crate::clock::UnixNs;
use crate::record::begun::Begun;
use crate::record::{RequestRow, Status};
use crate::stats::log_histogram::LogHistogram;

/// Counts of a running load.
#[derive(Debug, Default)]
pub struct Live {
    pub sent: AtomicU64,
    pub ended: AtomicU64,
    pub ok: AtomicU64,
    /// Those that went the way on which the hops lie: ended, and ended well.
    pub ended_by_hops: AtomicU64,
    pub ok_by_hops: AtomicU64,
    pub failed: AtomicU64,
    pub output_tokens: AtomicU64,
    pub users: AtomicU64,
    ttft: Mutex<LogHistogram>,
    /// Of TTFT, and of the gaps between tokens: seconds, and how many.
    sums: Mutex<[(f64, f64); 2]>,
    /// Whether anyone asks for [`Self::first_tokens`].
    followed: AtomicBool,
    first_tokens: Mutex<Vec<(UnixNs, f64)>>,
    /// `None` until anyone asks for [`Self::begun`].
    begun: Mutex<Option<Vec<Begun>>>,
}

impl Live {
    pub(super) fn begin(&self, request: &Prepared) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut begun) = self.begun.lock()
            && let Some(begun) = begun.as_mut()
        {
            begun.push(Begun {
                request_id: request.request_id.clone(),
                index: request.index,
                user: request.user,
                begun_unix_ns: UnixNs::now(),
            });
        }
    }

    /// What was begun since this was last asked; kept from the first time on that it is asked.
    pub fn begun(&self) -> Vec<Begun> {
        self.begun.lock().map(|mut kept| kept.replace(Vec::new()).unwrap_or_default()).unwrap_or_default()
    }

    pub(super) fn end(&self, row: &RequestRow) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if row.passes_hops() {
            self.ended_by_hops.fetch_add(1, Ordering::Relaxed);
            self.ok_by_hops.fetch_add(u64::from(row.status == Status::Ok), Ordering::Relaxed);
        }
        if row.status == Status::Ok {
            self.ok.fetch_add(1, Ordering::Relaxed);
        } else if row.status.is_failure() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.output_tokens.fetch_add(u64::from(row.output_tokens.unwrap_or(0)), Ordering::Relaxed);
        if let Ok(mut sums) = self.sums.lock() {
            let gaps = row.output_tokens.map_or(0.0, |tokens| f64::from(tokens) - 1.0);
            let of = [(row.ttft_s, 1.0), (row.itl_mean_s, gaps)];
            for ((sum, n), (mean, more)) in sums.iter_mut().zip(of) {
                if let Some(mean) = mean {
                    *sum += mean * more;
                    *n += more;
                }
            }
        }
        if let (Some(ttft), Ok(mut histogram)) = (row.ttft_s, self.ttft.lock()) {
            histogram.record(ttft);
        }
        if let Some(ttft) = row.ttft_s.filter(|_| self.followed.load(Ordering::Relaxed))
            && let Ok(mut kept) = self.first_tokens.lock()
        {
            kept.push((row.started_unix_ns, ttft));
        }
    }

    /// The TTFT of each request that ended since this was last asked, with the start of the request; kept from the first
    /// time on that it is asked.
    pub fn first_tokens(&self) -> Vec<(UnixNs, f64)> {
        self.followed.store(true, Ordering::Relaxed);
        self.first_tokens.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default()
    }

    /// Requests sent and not yet ended.
    pub fn in_flight(&self) -> u64 {
        let ended = self.ended.load(Ordering::Relaxed);
        self.sent.load(Ordering::Relaxed).saturating_sub(ended)
    }

    /// Sum in seconds and count of TTFT, and of the gaps between tokens.
    pub fn sums(&self) -> ((f64, f64), (f64, f64)) {
        self.sums.lock().map(|sums| (sums[0], sums[1])).unwrap_or_default()
    }

    /// TTFT so far at quantile `q`, within 2.5 %, in seconds.
    pub fn ttft_s(&self, q: f64) -> Option<f64> {
        self.ttft.lock().ok().and_then(|h| h.quantile(q))
    }
}
