//! A connection that something else recorded → the rows that a tap in its place would have written.
//! This file must not know what recorded it.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use super::connection::{Connection, Facts};
use super::exchange::{Exchange, Side};
use super::piece::Piece;
use super::writer::{Message, Unended};
use crate::clock::UnixNs;
use crate::net::ReadStamp;

/// One connection between `client` and `server`, its bytes handed over in the order of time.
pub struct Recorded {
    connection: Connection,
    messages: Receiver<Message>,
}

impl Recorded {
    /// `number` is what the rows call the connection; `asked` and `opened` are when the client asked
    /// for it and when it had it.
    pub fn new(number: u64, client: SocketAddr, server: SocketAddr, asked: UnixNs, opened: UnixNs) -> Self {
        let (sender, messages) = channel();
        let facts = Facts {
            connection: number,
            client,
            outgoing: Some(client),
            upstream: server,
            accepted: asked,
            connected: opened,
        };
        Self { connection: Connection::new(facts, sender), messages }
    }

    /// Bytes that `sender` sent, all of which passed at `at`.
    pub fn passed(&mut self, sender: Side, bytes: &[u8], at: UnixNs) {
        let stamp = ReadStamp { kernel: Some(at), user: at, drained: true, empty_before: at };
        self.connection
            .passed(sender, Piece { bytes, stamp, held_up: false, ends_the_read: true, written: at });
    }

    /// A side has closed its way, or broke the connection (`reset`).
    pub fn closed(&mut self, side: Side, reset: bool) {
        self.connection.closed(side, reset);
    }

    /// What passed, an exchange a row, in their order. What had not ended is in flight.
    pub fn finish(self) -> Vec<Exchange> {
        let Self { connection, messages } = self;
        connection.finish(false);
        let mut unended = Unended::default();
        messages.into_iter().filter_map(|message| unended.take(message)).collect()
    }
}
