//! Bytes from one side to the other, both ways at once: as they come, no byte held back, none looked at
//! before it has gone. A side that closes its way, closes it at the other; a side that resets, resets
//! the other. This file must not know what passes.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::exchange::Side;
use super::piece::Piece;
use crate::clock::UnixNs;
use crate::net::{Incoming, Outgoing, ReadStamp, StampedStream};

/// What is to be done with both connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Both ways were closed.
    Closed,
    /// One side broke: the other is to be reset.
    Reset,
    /// The tap is stopped.
    Stopped,
}

/// How one way ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    /// The sender closed it, and the receiver was told.
    Closed,
    /// The sender's connection broke.
    SenderBroke,
    /// The receiver's did. What it had sent before can still be read.
    ReceiverBroke,
}

/// What one read led to.
enum Step {
    Passed,
    End,
    Broke,
    /// The receiver had no room for these.
    Rest(Vec<u8>, ReadStamp),
}

/// Passes on until both ways are closed, one side broke or `stop`.
pub(super) async fn run(
    client: &mut StampedStream,
    upstream: &mut StampedStream,
    state: &Mutex<Connection>,
    stop: &CancellationToken,
) -> Outcome {
    let (from_client, to_client) = client.halves();
    let (from_upstream, to_upstream) = upstream.halves();
    let mut up = pin!(pass(Side::Client, from_client, to_upstream, state));
    let mut down = pin!(pass(Side::Upstream, from_upstream, to_client, state));
    let (mut up_end, mut down_end) = (None, None);
    loop {
        let (is_closed, is_open) = (|end| end == Some(Ended::Closed), |end: Option<Ended>| end.is_none());
        tokio::select! {
            biased;
            end = &mut down, if is_open(down_end) => down_end = Some(end),
            end = &mut up, if is_open(up_end) => up_end = Some(end),
            // Nothing is read any more from a side that closed its way; that it broke is seen so.
            () = to_client.broken(), if is_closed(up_end) && is_open(down_end) => {
                lock(state).closed(Side::Client, true);
                return Outcome::Reset;
            }
            () = to_upstream.broken(), if is_closed(down_end) && is_open(up_end) => {
                lock(state).closed(Side::Upstream, true);
                return Outcome::Reset;
            }
            () = stop.cancelled() => return Outcome::Stopped,
        }
        match (up_end, down_end) {
            (Some(Ended::Closed), Some(Ended::Closed)) => return Outcome::Closed,
            // What a receiver that broke had sent before is still read.
            (None | Some(Ended::Closed | Ended::ReceiverBroke), None)
            | (None, Some(Ended::Closed | Ended::ReceiverBroke)) => {}
            _ => return Outcome::Reset,
        }
    }
}

/// One way: what `sender` sends.
async fn pass(sender: Side, mut from: Incoming<'_>, to: Outgoing<'_>, state: &Mutex<Connection>) -> Ended {
    // Until then nothing was read, for the receiver had no room.
    let mut full_until = None;
    let receiver = if sender == Side::Client { Side::Upstream } else { Side::Client };
    loop {
        let step = from.read(|received| {
            let (bytes, stamp) = (received.bytes, received.stamp);
            if bytes.is_empty() {
                return Step::End;
            }
            let Ok(n) = to.write_now(bytes) else { return Step::Broke };
            let written = UnixNs::now();
            let (gone, rest) = bytes.split_at(n.min(bytes.len()));
            let held_up = stamp.kernel.zip(full_until).is_some_and(|(came, until)| came <= until);
            let piece = Piece { bytes: gone, stamp, held_up, ends_the_read: rest.is_empty(), written };
            lock(state).passed(sender, piece);
            if rest.is_empty() { Step::Passed } else { Step::Rest(rest.to_vec(), stamp) }
        });
        let broke = match step.await {
            Ok(Step::Passed) => false,
            Ok(Step::Rest(rest, stamp)) => {
                let wrote = write_rest(&rest, stamp, sender, to, state).await;
                full_until = Some(UnixNs::now());
                !wrote
            }
            Ok(Step::Broke) => true,
            Ok(Step::End) => {
                let mut state = lock(state);
                state.closed(sender, false);
                // A side that broke while the other's last bytes were fetched did not close.
                if !state.is_reset() {
                    // Fails only where there is nobody left to tell.
                    let _ = to.end();
                }
                return Ended::Closed;
            }
            Err(_) => {
                lock(state).closed(sender, true);
                return Ended::SenderBroke;
            }
        };
        if broke {
            lock(state).closed(receiver, true);
            return Ended::ReceiverBroke;
        }
    }
}

/// Writes what had no room, as room comes; nothing more is read meanwhile. Whether it could.
async fn write_rest(
    rest: &[u8],
    stamp: ReadStamp,
    sender: Side,
    to: Outgoing<'_>,
    state: &Mutex<Connection>,
) -> bool {
    let mut left = rest;
    while !left.is_empty() {
        if to.room().await.is_err() {
            return false;
        }
        let Ok(n) = to.write_now(left) else { return false };
        let written = UnixNs::now();
        let (gone, after) = left.split_at(n.min(left.len()));
        left = after;
        if n > 0 {
            let piece = Piece { bytes: gone, stamp, held_up: true, ends_the_read: left.is_empty(), written };
            lock(state).passed(sender, piece);
        }
    }
    true
}

/// Both ways are one task, so nobody ever waits here.
fn lock(state: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
