//! Follows a server's log: a file that is being written, a pipe, or a stream handed over; or reads
//! a whole file given afterwards. Finds the lines; `log` says what they mean. This file must not
//! know formats. A log that is missing or is no text is a note while a load runs.

use std::fs::File as StdFile;
use std::io::{self, Read, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Ingested;
use super::lines::{Line, Lines, MAX_LINE_BYTES, not_text};
use super::log::{Freshness, LogCounts, LogReader, Sign};
use super::problem::{Notes, Problem};
use crate::clock::UnixNs;
use crate::record::LogRow;

/// How often a file is looked at: also how much later than its writing a line may be read.
const POLL: Duration = Duration::from_millis(50);
/// After the end was asked for, what is still coming is read for so long at most, …
const DRAIN: Duration = Duration::from_secs(2);
/// … and a stream that says nothing for so long has nothing more to say.
const QUIET: Duration = Duration::from_millis(300);
const CHUNK_BYTES: usize = 64 << 10;
/// Whether a file is text is judged by its first bytes.
const SNIFF_BYTES: usize = 8 << 10;

/// Where in a file to begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begin {
    /// What was written before the run does not belong to it.
    End,
    Start,
}

/// What an attached server has said about itself so far.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// The URL it serves on, as it wrote it.
    pub url: Option<String>,
    /// It has said that it takes requests.
    pub started: bool,
    /// Its log has ended; the last lines of it.
    pub ended: Option<Vec<String>>,
}

/// One log being followed: lines in, rows to the sink.
pub struct Follower {
    reader: LogReader,
    lines: Lines,
    sink: Sender<Ingested>,
    notes: Notes,
    signs: Option<watch::Sender<Signs>>,
}

impl Follower {
    pub fn new(reader: LogReader, sink: Sender<Ingested>, notes: Notes) -> Self {
        Self { reader, lines: Lines::new(MAX_LINE_BYTES), sink, notes, signs: None }
    }

    /// Tells what the log says about the server as a whole while it is read.
    #[must_use]
    pub fn with_signs(mut self, signs: watch::Sender<Signs>) -> Self {
        self.signs = Some(signs);
        self
    }

    fn push(&mut self, bytes: &[u8], read: UnixNs, freshness: Freshness) {
        let Self { reader, lines, sink, signs, .. } = self;
        lines.push(bytes, |line| take(reader, sink, signs.as_ref(), &line, read, freshness));
    }

    fn finish_line(&mut self, freshness: Freshness) {
        let Self { reader, lines, sink, signs, .. } = self;
        lines.finish(|line| take(reader, sink, signs.as_ref(), &line, UnixNs::now(), freshness));
    }

    fn end(self) -> LogCounts {
        if let Some(problem) = self.reader.verdict() {
            self.notes.add(problem.note());
        }
        if let Some(signs) = self.signs {
            let recent = self.reader.recent().map(str::to_owned).collect();
            signs.send_modify(|signs| signs.ended = Some(recent));
        }
        self.reader.counts()
    }

    fn refuse(&self, kind: &str) {
        self.notes.add(not_a_log(self.reader.source(), kind).note());
    }
}

fn take(reader: &mut LogReader, sink: &Sender<Ingested>, signs: Option<&watch::Sender<Signs>>, line: &Line<'_>, read: UnixNs, freshness: Freshness) {
    let (row, sign) = reader.line(line, read, freshness);
    if let Some(row) = row {
        // The writer is gone only when the program ends; there is nobody left to tell.
        let _ = sink.send(Ingested::Log(row));
    }
    if let (Some(sign), Some(signs)) = (sign, signs) {
        signs.send_modify(|signs| match sign {
            Sign::Serving(url) => signs.url = Some(url),
            Sign::Started => signs.started = true,
        });
    }
}

/// Reads a whole log that was given afterwards, oldest line first. Civil times without a year are
/// taken as nearest to the file's last change.
pub fn read_whole(path: &Path, mut reader: LogReader, mut sink: impl FnMut(LogRow)) -> Result<(LogCounts, Option<Problem>), Problem> {
    let mut file = StdFile::open(path).map_err(|error| unreadable(path, &error))?;
    let meta = file.metadata().map_err(|error| unreadable(path, &error))?;
    if meta.is_dir() {
        return Err(directory(path));
    }
    let near = UnixNs(meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()));
    let mut lines = Lines::new(MAX_LINE_BYTES);
    let mut buffer = vec![0; CHUNK_BYTES * 4];
    let mut first = true;
    loop {
        let n = file.read(&mut buffer).map_err(|error| unreadable(path, &error))?;
        let chunk = buffer.get(..n).unwrap_or_default();
        if std::mem::take(&mut first) {
            if let Some(kind) = not_text(chunk.get(..SNIFF_BYTES).unwrap_or(chunk)) {
                return Err(not_a_log(&path.display().to_string(), kind));
            }
            reader.detect(String::from_utf8_lossy(chunk).lines());
        }
        let mut row_of = |line: Line<'_>| {
            if let (Some(row), _) = reader.line(&line, near, Freshness::Old) {
                sink(row);
            }
        };
        if n == 0 {
            lines.finish(&mut row_of);
            break;
        }
        lines.push(chunk, &mut row_of);
    }
    let problem = if reader.counts().seen == 0 { Some(empty(path)) } else { reader.verdict() };
    Ok((reader.counts(), problem))
}

/// Follows the file at `path` until `stop`, through rotation and truncation. `ready` is told once
/// the place to begin at is fixed, so that nothing written later is missed.
pub async fn follow_file(mut follower: Follower, path: PathBuf, begin: Begin, ready: tokio::sync::oneshot::Sender<()>, stop: CancellationToken) -> LogCounts {
    let mut ready = Some(ready);
    let mut begin = begin;
    let mut open: Option<Open> = None;
    let mut seen_once = false;
    let mut deadline: Option<Instant> = None;
    loop {
        if open.is_none() {
            match Open::at(&path, begin, &mut follower).await {
                Ok(Some(file)) => {
                    open = Some(file);
                    seen_once = true;
                }
                Ok(None) => break, // Said why: this is no log.
                Err(error) => follower.notes.add(missing(&path, &error, seen_once).note()),
            }
            // A file that appears, or is put in the place of another, is read from its start.
            begin = Begin::Start;
        }
        if let Some(ready) = ready.take() {
            let _ = ready.send(());
        }
        if let Some(file) = &mut open {
            match file.step(&path, &mut follower, deadline).await {
                Ok(Step::Same) => {}
                Ok(Step::Rotated) => open = None,
                Err(error) => {
                    follower.notes.add(unreadable(&path, &error).note());
                    open = None;
                }
            }
            if open.is_none() {
                follower.finish_line(Freshness::Fresh);
                if deadline.is_none() {
                    continue;
                }
            }
        }
        if deadline.is_some() {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            // One more round reads what was written up to now.
            () = stop.cancelled() => deadline = Some(Instant::now() + DRAIN),
        }
    }
    if let Some(ready) = ready.take() {
        let _ = ready.send(());
    }
    follower.finish_line(Freshness::Fresh);
    follower.end()
}

enum Step {
    Same,
    Rotated,
}

struct Open {
    file: File,
    inode: (u64, u64),
    position: u64,
    freshness: Freshness,
    buffer: Vec<u8>,
}

impl Open {
    /// Opens the file and goes where reading is to begin. `Ok(None)`: it can never be a log.
    async fn at(path: &Path, begin: Begin, follower: &mut Follower) -> io::Result<Option<Self>> {
        let mut file = File::open(path).await?;
        let meta = file.metadata().await?;
        if meta.is_dir() {
            follower.notes.add(directory(path).note());
            return Ok(None);
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        let sniff = file.read(buffer.get_mut(..SNIFF_BYTES).unwrap_or_default()).await?;
        if let Some(kind) = not_text(buffer.get(..sniff).unwrap_or_default()) {
            follower.refuse(kind);
            return Ok(None);
        }
        let mut position = 0;
        let mut freshness = Freshness::Old;
        if begin == Begin::End && meta.len() > 0 {
            position = file.seek(SeekFrom::Start(meta.len() - 1)).await?;
            freshness = Freshness::Fresh;
            let n = file.read(buffer.get_mut(..1).unwrap_or_default()).await?;
            position += n as u64;
            if buffer.first() != Some(&b'\n') {
                follower.lines.skip_partial();
            }
        } else {
            file.seek(SeekFrom::Start(0)).await?;
        }
        Ok(Some(Self { file, inode: (meta.dev(), meta.ino()), position, freshness, buffer }))
    }

    /// Reads what there is, then looks whether the file was truncated or another took its place.
    async fn step(&mut self, path: &Path, follower: &mut Follower, deadline: Option<Instant>) -> io::Result<Step> {
        self.drain(follower, deadline).await?;
        self.freshness = Freshness::Fresh;
        // Gone for now: whoever writes still has it open, and so have we.
        let Ok(meta) = tokio::fs::metadata(path).await else { return Ok(Step::Same) };
        if (meta.dev(), meta.ino()) != self.inode {
            // The writer may go on with the old file for a while; only a line in the new one shows
            // that it has changed over.
            if meta.len() == 0 {
                return Ok(Step::Same);
            }
            self.drain(follower, deadline).await?;
            return Ok(Step::Rotated);
        }
        if meta.len() < self.position {
            follower.notes.add(format!("the log {} was truncated while it was followed; reading went on from its start", path.display()));
            follower.finish_line(Freshness::Fresh);
            self.position = self.file.seek(SeekFrom::Start(0)).await?;
            self.drain(follower, deadline).await?;
        }
        Ok(Step::Same)
    }

    async fn drain(&mut self, follower: &mut Follower, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let n = self.file.read(&mut self.buffer).await?;
            if n == 0 || deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(());
            }
            self.position += n as u64;
            follower.push(self.buffer.get(..n).unwrap_or_default(), UnixNs::now(), self.freshness);
        }
    }
}

/// What came out of a stream, and when.
pub type Chunk = (UnixNs, Vec<u8>);

/// Follows a stream until it ends or, after `stop`, falls silent.
pub async fn follow_stream(mut follower: Follower, mut chunks: mpsc::Receiver<Chunk>, must_be_text: bool, stop: CancellationToken) -> LogCounts {
    let mut first = must_be_text;
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
        follower.push(&bytes, read, Freshness::Fresh);
    }
    follower.finish_line(Freshness::Fresh);
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
pub fn pump_blocking(name: &str, open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static, notes: Notes) -> mpsc::Receiver<Chunk> {
    let (sender, receiver) = mpsc::channel(64);
    let source = name.to_owned();
    let failed = notes.clone();
    let thread = std::thread::Builder::new().name(format!("tare-log {name}")).spawn(move || {
        let mut reader = match open() {
            Ok(reader) => reader,
            Err(error) => return notes.add(unreadable(Path::new(&source), &error).note()),
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
        failed.add(format!("the log {name} is not read: no thread could be started ({error})"));
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

fn missing(path: &Path, error: &io::Error, seen_once: bool) -> Problem {
    if error.kind() != io::ErrorKind::NotFound {
        return unreadable(path, error);
    }
    if seen_once {
        return Problem::new(format!("the log {} went away while it was followed; waiting for a new one", path.display()));
    }
    Problem::new(format!("the server log {} was not there when the run began; it is read from its start once it appears", path.display()))
        .hint("check the path given with `--server-log`; `-` reads standard input")
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("cannot read the server log {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::NotFound => problem.hint("check the path given with `--server-log`"),
        io::ErrorKind::PermissionDenied => problem.hint("tare needs permission to read it"),
        _ => problem,
    }
}

fn directory(path: &Path) -> Problem {
    Problem::new(format!("the server log {} is a directory", path.display())).hint("give the log file itself with `--server-log`")
}

fn empty(path: &Path) -> Problem {
    Problem::new(format!("the server log {} is empty", path.display()))
}

fn not_a_log(source: &str, kind: &str) -> Problem {
    let hint = match kind {
        "gzip data" => "decompress it first, for example `zcat FILE | tare … --server-log -`",
        "zstd data" => "decompress it first, for example `zstdcat FILE | tare … --server-log -`",
        _ => "give the text that the server writes to its standard output",
    };
    Problem::new(format!("the server log {source} is no text log: it begins with {kind}")).hint(hint)
}
