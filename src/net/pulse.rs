//! A byte's way through the runtime's poller, made to be measured: one end sends the time, the other
//! is a task's, which learns of it as it learns of a token: the poller says that its descriptor can
//! be read, a worker thread takes the task up and reads. This file must not know what is concluded.

use std::io::{self, Write};
use std::os::unix::net::UnixStream as BlockingStream;

use tokio::net::UnixStream;

use super::prompt::PROMPT;
use crate::clock::UnixNs;

/// Pulses that one read takes.
const AT_ONCE: usize = 64;

/// Sends the time; never waits.
pub struct PulseSender(BlockingStream);

/// Has the times, as a task of the runtime.
pub struct PulseReceiver(UnixStream);

/// Two ends, the second of which belongs to the runtime that this is called in.
pub fn pulse() -> io::Result<(PulseSender, PulseReceiver)> {
    let (sender, receiver) = BlockingStream::pair()?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((PulseSender(sender), PulseReceiver(UnixStream::from_std(receiver)?)))
}

impl PulseSender {
    /// Sends `at`. Of a receiver that has stalled for long (hundreds of pulses) no more is asked.
    pub fn send(&self, at: UnixNs) {
        let _ = (&self.0).write(&at.0.to_ne_bytes());
    }
}

impl PulseReceiver {
    /// Waits for pulses and hands over what has come, in order; false when the sender is gone.
    pub async fn next(&self, mut each: impl FnMut(UnixNs)) -> bool {
        let mut buffer = [0; AT_ONCE * size_of::<i64>()];
        loop {
            if self.0.readable().await.is_err() {
                return false;
            }
            match self.0.try_read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let now = UnixNs::now();
                    // Written whole, and the buffer holds a whole number: none is cut in two.
                    for bytes in buffer.get(..length).unwrap_or_default().chunks_exact(size_of::<i64>()) {
                        if let Ok(bytes) = bytes.try_into() {
                            let sent = UnixNs(i64::from_ne_bytes(bytes));
                            PROMPT.note(sent, now);
                            each(sent);
                        }
                    }
                    return true;
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pulses_come_in_order_and_whole_and_then_the_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let heard = runtime.block_on(async {
            let (sender, receiver) = pulse().unwrap();
            (0..150).for_each(|n| sender.send(UnixNs(n << 33)));
            drop(sender);
            let mut heard = Vec::new();
            while receiver.next(|at| heard.push(at)).await {}
            heard
        });
        assert_eq!(heard, (0..150).map(|n| UnixNs(n << 33)).collect::<Vec<_>>());
    }

    #[test]
    fn a_receiver_that_does_not_read_holds_nobody_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sender, receiver) = pulse().unwrap();
            (0..100_000).for_each(|n| sender.send(UnixNs(n)));
            let mut first = None;
            assert!(receiver.next(|at| first = first.or(Some(at))).await);
            assert_eq!(first, Some(UnixNs(0)));
        });
    }
}
