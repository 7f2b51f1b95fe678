//! Watches an open loop while it runs, and ends it when its requests pile up for good. When that is so is
//! `sweep::saturation`'s to say; this file only counts, asks and stops.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock::UnixNs;
use crate::config::Config;
use crate::load::Live;
use crate::store::Manifest;
use crate::sweep::saturation::{Saturated, Watch};

/// The manifest's key.
pub(super) const KEY: &str = "over_saturated";
/// Requests in flight are counted so often.
const COUNT: Duration = Duration::from_millis(100);
/// And looked at each time this many were counted.
const COUNTS_A_LOOK: u32 = 5;

/// The thread that watches, if there is one.
pub(super) struct Guard {
    ends: CancellationToken,
    watching: Option<(JoinHandle<()>, Sender<()>)>,
    found: Receiver<Saturated>,
}

impl Guard {
    /// Watches the load of `live`, if the configuration asks for it and the load is an open loop.
    pub(super) fn start(config: &Config, live: &Arc<Live>, halt: &CancellationToken) -> anyhow::Result<Self> {
        let (tell, found) = channel();
        let ends = halt.child_token();
        let rate = config.load.arrival.steady().filter(|_| config.stop_over_saturated);
        let rate_rps = rate.map(|(rate_rps, _)| rate_rps);
        let watching = rate_rps.map(|rate_rps| {
            // Closed by the end of the load.
            let (goes_on, over) = channel::<()>();
            let (live, ends) = (Arc::clone(live), ends.clone());
            let watch = move || {
                if let Some(saturated) = watch(&live, rate_rps, &over) {
                    let _ = tell.send(saturated);
                    ends.cancel();
                }
            };
            let thread = std::thread::Builder::new().name("tare-saturation".to_owned()).spawn(watch);
            thread.map(|thread| (thread, goes_on)).context("could not start the thread that watches the load")
        });
        Ok(Self { ends, watching: watching.transpose()?, found })
    }

    /// Cancelled when the load should end.
    pub(super) fn ends(&self) -> CancellationToken {
        self.ends.clone()
    }

    /// The load has ended: says in the manifest whether it was for its requests piling up, and returns that.
    pub(super) fn note(self, manifest: &mut Manifest) -> bool {
        if let Some((thread, goes_on)) = self.watching {
            drop(goes_on);
            let _ = thread.join();
        }
        let found = self.found.try_recv().ok();
        if let Some(saturated) = found {
            manifest.warn(format!("{}; the rest was not sent", saturated.words()));
            manifest.extra.insert(KEY.to_owned(), serde_json::json!(saturated));
        }
        found.is_some()
    }
}

/// Counts and looks until the load is over, or has outgrown its server.
fn watch(live: &Live, rate_rps: f64, over: &Receiver<()>) -> Option<Saturated> {
    // Asked once, so that TTFTs are kept from now on.
    drop(live.first_tokens());
    let (begun, zero) = (Instant::now(), UnixNs::now());
    let mut watch = Watch::default();
    for counts in 1_u32.. {
        // Nothing is ever sent: it waits for the time or for the end.
        if over.recv_timeout(COUNT) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            return None;
        }
        for (started, ttft_s) in live.first_tokens() {
            watch.first_token(started.seconds_since(zero), ttft_s);
        }
        let at_s = begun.elapsed().as_secs_f64();
        watch.count(at_s, live.in_flight());
        if counts.is_multiple_of(COUNTS_A_LOOK)
            && let Some(saturated) = watch.look(at_s, rate_rps)
        {
            return Some(saturated);
        }
    }
    None
}
