//! The pacing thread: wakes at each scheduled time with the precision of the kernel's timer, not of a
//! runtime's wheel, and hands over the request of an open loop, or starts the user of a closed one.
//! This file must not know what a request does.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::affinity;
use super::client::Prepared;
use crate::clock::UnixNs;
use crate::config::CpuList;

/// The longest sleep between two looks at `closing`.
const LONGEST_SLEEP_NS: i64 = 100_000_000;

/// Starts the thread, on the load's CPUs. Each item comes with its scheduled time, at (never before)
/// that time; late ones are not dropped and not moved: their lateness shows as
/// `started − scheduled`.
pub(super) fn start(
    offsets: impl Iterator<Item = f64> + Send + 'static,
    begun: UnixNs,
    cpus: Option<CpuList>,
    closing: CancellationToken,
    mut next: impl FnMut() -> Option<Prepared> + Send + 'static,
) -> anyhow::Result<UnboundedReceiver<(Prepared, UnixNs)>> {
    let (sender, receiver) = unbounded_channel();
    on_its_thread(cpus, move || {
        for offset in offsets {
            let scheduled = begun.plus_seconds(offset);
            // Made ready before its time, so that its time is the network's.
            let Some(request) = next() else { return };
            if !sleep_until(scheduled, &closing) || sender.send((request, scheduled)).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Tells each of `starts`, which are in order, at its time; those that `closing` comes before are
/// told nothing.
pub(super) fn at_their_times(
    starts: Vec<(UnixNs, oneshot::Sender<()>)>,
    cpus: Option<CpuList>,
    closing: CancellationToken,
) -> anyhow::Result<()> {
    on_its_thread(cpus, move || {
        for (time, start) in starts {
            if !sleep_until(time, &closing) {
                return;
            }
            // Who has no use for it any more is gone.
            let _ = start.send(());
        }
    })
}

fn on_its_thread(cpus: Option<CpuList>, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let pinned = move || {
        affinity::pin(cpus.as_ref());
        work();
    };
    let thread = std::thread::Builder::new().name("tare-pace".to_owned()).spawn(pinned);
    thread.map(drop).context("could not start the pacing thread")
}

/// False when `closing` was cancelled before the time came.
fn sleep_until(time: UnixNs, closing: &CancellationToken) -> bool {
    loop {
        // First, or a schedule that has fallen behind would never hear that it is over.
        if closing.is_cancelled() {
            return false;
        }
        let left = time.0 - UnixNs::now().0;
        if left <= 0 {
            return true;
        }
        // `clock_nanosleep` on Linux: the kernel's timer, awake some 50 µs late.
        std::thread::sleep(Duration::from_nanos(left.min(LONGEST_SLEEP_NS) as u64));
    }
}
