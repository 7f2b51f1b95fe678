//! The pacing thread of an open loop: wakes at each scheduled time with the precision of the
//! kernel's timer, not of a runtime's wheel, and hands the request over. This file must not know
//! what a request does.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::affinity;
use super::client::Prepared;
use crate::clock::UnixNs;
use crate::config::CpuList;

/// The longest sleep between two looks at `closing`.
const LONGEST_SLEEP_NS: i64 = 100_000_000;

/// Starts the thread, on the load's CPUs. Each item comes with its scheduled time, at (never before) that time; late
/// ones are not dropped and not moved: their lateness shows as `started − scheduled`.
pub(super) fn start(
    offsets: impl Iterator<Item = f64> + Send + 'static,
    begun: UnixNs,
    cpus: Option<CpuList>,
    closing: CancellationToken,
    mut next: impl FnMut() -> Option<Prepared> + Send + 'static,
) -> anyhow::Result<UnboundedReceiver<(Prepared, UnixNs)>> {
    let (sender, receiver) = unbounded_channel();
    std::thread::Builder::new()
        .name("tare-pace".to_owned())
        .spawn(move || {
            affinity::pin(cpus.as_ref());
            for offset in offsets {
                let scheduled = begun.plus_seconds(offset);
                // Made ready before its time, so that its time is the network's.
                let Some(request) = next() else { return };
                if !sleep_until(scheduled, &closing) || sender.send((request, scheduled)).is_err() {
                    return;
                }
            }
        })
        .context("could not start the pacing thread")?;
    Ok(receiver)
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
