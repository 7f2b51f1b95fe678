//! Rows to a file or to standard output, each in one write by a thread of its own, which reads
//! what events say as well: what was written before a kill is whole lines. This file must not know what the rows mean.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use anyhow::Context;

use super::ending::Ending;
use super::exchange::Exchange;
use super::summary::{Added, Summary};
use super::tokens::{Batch, Tokens};
use crate::error::Explain;
use crate::store::append::JsonLines;

/// What connections tell the writer.
pub(super) enum Message {
    /// Events of an exchange that goes on, by its number.
    Events {
        of: (u64, u64),
        batch: Batch,
    },
    Ending(Box<Ending>),
    /// One is over, and what the tap added to its reads.
    Connection {
        up: Added,
        down: Added,
    },
    Refused,
}

/// What the events of exchanges that go on have said.
#[derive(Default)]
pub(super) struct Unended(HashMap<(u64, u64), Tokens>);

impl Unended {
    /// The row, if the message is that of an end.
    pub(super) fn take(&mut self, message: Message) -> Option<Exchange> {
        match message {
            Message::Events { of, batch } => {
                self.0.entry(of).or_default().read(&batch);
                None
            }
            Message::Ending(ending) => {
                let tokens = self.0.remove(&ending.row.number()).unwrap_or_default();
                Some(ending.into_row(tokens))
            }
            Message::Connection { .. } | Message::Refused => None,
        }
    }
}

enum Sink {
    File(JsonLines),
    Stdout,
}

impl Sink {
    fn append(&mut self, row: &Exchange) -> anyhow::Result<()> {
        match self {
            Self::File(lines) => lines.append(row),
            Self::Stdout => {
                let mut line = serde_json::to_vec(row)?;
                line.push(b'\n');
                let mut out = std::io::stdout().lock();
                out.write_all(&line)?;
                Ok(out.flush()?)
            }
        }
    }
}

/// Opens the file, to which rows are appended, and starts the thread. It ends when the last sender is
/// gone. A row that cannot be written is counted, and the first such is said: the traffic goes on.
pub(super) fn start(path: Option<&Path>, messages: Receiver<Message>) -> anyhow::Result<JoinHandle<Summary>> {
    let mut sink = match path {
        None => Sink::Stdout,
        Some(path) => Sink::File(
            JsonLines::extend(path)
                .or_usage("the exchanges cannot be written")
                .hint("--output names a file in a folder that exists and can be written to")?,
        ),
    };
    let thread = std::thread::Builder::new().name("tare-tap-rows".to_owned()).spawn(move || {
        let mut summary = Summary::default();
        let mut unended = Unended::default();
        for message in messages {
            match &message {
                Message::Connection { up, down } => summary.connection(up, down),
                Message::Refused => summary.refused += 1,
                Message::Events { .. } | Message::Ending(_) => {}
            }
            let Some(row) = unended.take(message) else { continue };
            summary.count(&row);
            if let Err(error) = sink.append(&row) {
                summary.unwritten += 1;
                if summary.unwritten == 1 {
                    super::warn(&format!("rows are lost, the traffic goes on: {error:#}"));
                }
            }
        }
        summary
    });
    thread.context("could not start the tap's writing thread")
}
