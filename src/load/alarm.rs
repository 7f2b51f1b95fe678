//! Wakes tasks at times of their own, with the precision of the kernel's timer: the runtime's wheel has steps of a
//! millisecond, which would all be lateness. This file must not know what a task waits for.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use tokio::sync::oneshot;

use super::pace;
use crate::clock::UnixNs;
use crate::config::CpuList;

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub(super) struct Alarm(Sender<(UnixNs, oneshot::Sender<()>)>);

impl Alarm {
    /// Starts the thread, on the load's CPUs.
    pub(super) fn start(cpus: Option<CpuList>) -> anyhow::Result<Self> {
        let (way, asked) = channel();
        pace::on_its_thread("tare-alarm", cpus, move || ring(&asked))?;
        Ok(Self(way))
    }

    /// Returns at `time`, never before it; at once where it has passed.
    pub(super) async fn at(&self, time: UnixNs) {
        if time.remaining().is_zero() {
            return;
        }
        let (tell, told) = oneshot::channel();
        // The thread lives as long as this does.
        if self.0.send((time, tell)).is_ok() {
            let _ = told.await;
        }
    }
}

/// Until nobody can ask any more.
fn ring(asked: &Receiver<(UnixNs, oneshot::Sender<()>)>) {
    // By time, then in the order in which they were asked for.
    let mut waiting = BTreeMap::new();
    let mut number: u64 = 0;
    loop {
        let next = match waiting.first_key_value() {
            Some(((time, _), _)) => asked.recv_timeout(UnixNs::remaining(*time)),
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok((time, tell)) => {
                waiting.insert((time, number), tell);
                number += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(first) = waiting.first_entry()
            && first.key().0.remaining().is_zero()
        {
            // Who does not wait any more is gone.
            let _ = first.remove().send(());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::connections::tests::on_a_runtime;

    #[test]
    fn everyone_is_woken_and_nobody_too_early() {
        on_a_runtime(async {
            let alarm = &Alarm::start(None).unwrap();
            let begin = UnixNs::now();
            // Asked for in another order than they are due; two at one time, and one that is over.
            let times = [0.03, 0.01, 0.02, 0.01, -1.0].map(|s| begin.plus_seconds(s));
            let woken = times.map(|time| async move {
                alarm.at(time).await;
                UnixNs::now()
            });
            let [a, b, c, d, over] = woken;
            let (a, b, c, d, over) = tokio::join!(a, b, c, d, over);
            assert!([a, b, c, d].iter().zip(times).all(|(woken, time)| *woken >= time));
            assert!(over < a && b.max(d) < a && c < a);
        });
    }

    #[test]
    fn it_ends_with_those_who_could_ask() {
        let (way, asked) = channel();
        let (tell, mut told) = oneshot::channel();
        way.send((UnixNs::now().plus_seconds(1e6), tell)).unwrap();
        drop(way);
        ring(&asked);
        assert!(told.try_recv().is_err());
    }
}
