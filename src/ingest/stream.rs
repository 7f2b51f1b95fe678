//! Follows a log that comes as a stream: the output of a server started here, standard input, a
//! named pipe. There is no file to look at again: what was read is all there is. This file must
//! not know formats.

use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::follower::{CHUNK_BYTES, DRAIN, Follower, SNIFF_BYTES};
use super::lines::not_text;
use super::log::{Freshness, LogCounts};
use super::problem::Notes;
use super::reader::Kind;
use crate::clock::UnixNs;

/// A stream that says nothing for so long after the end has nothing more to say.
const QUIET: Duration = Duration::from_millis(300);

/// Who writes a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A server started by this program: its log begins with it.
    Child,
    /// Whatever the user put there.
    Pipe,
}

/// What came out of a stream, and when.
pub type Chunk = (UnixNs, Vec<u8>);

/// Follows a stream until it ends or, after `stop`, falls silent.
pub async fn follow_stream(
    mut follower: Follower,
    mut chunks: mpsc::Receiver<Chunk>,
    origin: Origin,
    stop: CancellationToken,
) -> LogCounts {
    let mut first = origin == Origin::Pipe;
    let freshness = if origin == Origin::Pipe { Freshness::Piped } else { Freshness::Fresh };
    let mut deadline: Option<Instant> = None;
    loop {
        let chunk = match deadline {
            None => tokio::select! {
                chunk = chunks.recv() => chunk,
                () = stop.cancelled() => {
                    deadline = Some(Instant::now() + DRAIN);
                    continue;
                }
            },
            Some(deadline) if Instant::now() > deadline => None,
            Some(_) => tokio::time::timeout(QUIET, chunks.recv()).await.ok().flatten(),
        };
        let Some((read, bytes)) = chunk else { break };
        if std::mem::take(&mut first)
            && let Some(kind) = not_text(bytes.get(..SNIFF_BYTES).unwrap_or(&bytes))
        {
            follower.refuse(kind);
            break;
        }
        follower.push(&bytes, read, freshness);
    }
    follower.finish_line(freshness);
    follower.end()
}

/// Reads an asynchronous stream into chunks, on the runtime this is called in.
pub fn pump(mut reader: impl AsyncRead + Unpin + Send + 'static) -> mpsc::Receiver<Chunk> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(n @ 1..) = reader.read(&mut buffer).await {
            let chunk = (UnixNs::now(), buffer.get(..n).unwrap_or_default().to_vec());
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
    });
    receiver
}

/// Reads a blocking stream into chunks, on a thread of its own. The thread cannot be woken from a
/// read; it ends with the stream or the program.
pub fn pump_blocking(
    kind: &'static Kind,
    name: &str,
    open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static,
    notes: Notes,
) -> mpsc::Receiver<Chunk> {
    let (sender, receiver) = mpsc::channel(64);
    let source = name.to_owned();
    let failed = notes.clone();
    let thread = std::thread::Builder::new().name(format!("tare-log {name}")).spawn(move || {
        let mut reader = match open() {
            Ok(reader) => reader,
            Err(error) => return notes.add(kind.unreadable(Path::new(&source), &error).note()),
        };
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            let chunk = (UnixNs::now(), buffer.get(..n).unwrap_or_default().to_vec());
            if sender.blocking_send(chunk).is_err() {
                break;
            }
        }
    });
    if let Err(error) = thread {
        failed.add(format!("the {} {name} is not read: no thread could be started ({error})", kind.short));
    }
    receiver
}

/// Whether `path` is something that has no end to begin at: a named pipe, a terminal, a descriptor
/// made by the shell's `<(…)`.
pub fn is_stream(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| {
        let kind = meta.file_type();
        kind.is_fifo() || kind.is_char_device() || kind.is_socket()
    })
}
