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
    /// Of those that have rows.
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
    /// Notes that a request begins. Just before it starts, so that its note is only moved: it was made with it.
    pub(super) fn begin(&self, request: &mut Prepared) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let Some(note) = request.note.take() else { return };
        let note = Begun { begun_unix_ns: UnixNs::now(), ..note };
        if let Ok(mut begun) = self.begun.lock()
            && let Some(begun) = begun.as_mut()
        {
            begun.push(note);
        }
    }

    /// What was begun since this was last asked; kept from the first time on that it is asked. There is room again for
    /// as many, made here and not by who begins the next.
    pub fn begun(&self) -> Vec<Begun> {
        let room = self.begun.lock().map_or(0, |kept| kept.as_ref().map_or(0, Vec::capacity));
        let empty = Vec::with_capacity(room);
        self.begun.lock().map(|mut kept| kept.replace(empty).unwrap_or_default()).unwrap_or_default()
    }

    /// Notes that a request has ended, however it did; what it came to is [`Self::count`]ed once its row is made.
    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, row: &RequestRow) {
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
        // In this order: what is sent between the two would otherwise be in flight beside what ended before it.
        let sent = self.sent.load(Ordering::Acquire);
        sent.saturating_sub(self.ended.load(Ordering::Relaxed))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(index: u64) -> Prepared {
        let note = Begun { request_id: format!("r-{index}"), index, user: Some(3), begun_unix_ns: UnixNs(0) };
        Prepared { note: Some(note), ..Prepared::default() }
    }

    #[test]
    fn what_begins_is_told_once_with_its_moment() {
        let (live, before) = (Live::default(), UnixNs::now());
        live.begin(&mut request(0));
        assert_eq!(live.begun(), [], "nobody had asked");
        for index in 1..4 {
            live.begin(&mut request(index));
        }
        let told = live.begun();
        let ids: Vec<&str> = told.iter().map(|begun| begun.request_id.as_str()).collect();
        assert_eq!(ids, ["r-1", "r-2", "r-3"]);
        assert!(told.is_sorted_by_key(|begun| begun.begun_unix_ns) && told[0].begun_unix_ns >= before);
        assert_eq!((live.begun().len(), live.sent.into_inner()), (0, 4));
    }

    /// Rows are made later, so that an answer which has come is in flight no more before it has one.
    #[test]
    fn a_request_is_in_flight_until_it_ends_and_not_until_it_has_a_row() {
        let live = Live::default();
        (0..3).for_each(|index| live.begin(&mut request(index)));
        live.end();
        assert_eq!((live.in_flight(), live.ok.load(Ordering::Relaxed)), (2, 0));
        live.count(&crate::record::fixture::request(0));
        assert_eq!((live.in_flight(), live.ok.load(Ordering::Relaxed)), (2, 1));
    }

    /// Who begins a request waits for no room as long as no more begin between two askings than before.
    #[test]
    fn there_is_room_for_as_many_as_last_time() {
        let live = Live::default();
        drop(live.begun());
        (0..100).for_each(|index| live.begin(&mut request(index)));
        assert_eq!(live.begun().len(), 100);
        assert!(live.begun.lock().unwrap().as_ref().unwrap().capacity() >= 100);
    }
}
