//! Follows a file that the server writes while it is written, through rotation and truncation; or
//! reads a whole one given afterwards. This file must not know formats. A log that is missing or is no
//! text is a note while a load runs.

use std::fs::File as StdFile;
use std::io::{self, Read, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Ingested;
use super::follower::{CHUNK_BYTES, DRAIN, Follower, SNIFF_BYTES};
use super::lines::{Line, Lines, MAX_LINE_BYTES, not_text};
use super::log::{Freshness, LogCounts};
use super::problem::Problem;
use super::reader::{Kind, LineReader};
use super::rotation::{Beside, Between, Identity};
use crate::clock::UnixNs;

/// How often a file is looked at: also how much later than its writing a line may be read. To wake up costs more than
/// to read what came.
const POLL: Duration = Duration::from_millis(200);
/// How often it is looked whether a file that still grows is the one at its path.
const LOOK: Duration = Duration::from_secs(1);

/// So many of the bytes read last are looked at again: that they still stand there shows that the file was not
/// emptied and filled anew.
const TRACE_BYTES: usize = 128;

/// Where in a file to begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begin {
    /// What was written before the run does not belong to it.
    End,
    Start,
}

/// Reads a whole log that was given afterwards, oldest line first. Civil times without a year are
/// taken as nearest to `near`, else to the file's last change.
pub fn read_whole(
    path: &Path,
    reader: &mut dyn LineReader,
    near: Option<UnixNs>,
    mut sink: impl FnMut(Ingested),
) -> Result<(LogCounts, Option<Problem>), Problem> {
    let kind = reader.kind();
    let mut file = StdFile::open(path).map_err(|error| kind.unreadable(path, &error))?;
    let meta = file.metadata().map_err(|error| kind.unreadable(path, &error))?;
    if meta.is_dir() {
        return Err(kind.directory(path));
    }
    let changed = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    let near = near.unwrap_or(UnixNs(changed));
    let mut lines = Lines::new(MAX_LINE_BYTES);
    let mut buffer = vec![0; CHUNK_BYTES * 4];
    let mut first = true;
    loop {
        let n = file.read(&mut buffer).map_err(|error| kind.unreadable(path, &error))?;
        let chunk = buffer.get(..n).unwrap_or_default();
        if std::mem::take(&mut first) {
            if let Some(kind) = not_text(chunk.get(..SNIFF_BYTES).unwrap_or(chunk)) {
                return Err(reader.kind().not_text(&path.display().to_string(), kind));
            }
            reader.look_at(&String::from_utf8_lossy(chunk));
        }
        let mut row_of = |line: Line<'_>| {
            if let (Some(row), _) = reader.take(&line, near, Freshness::Old) {
                sink(row);
            }
        };
        if n == 0 {
            lines.finish(&mut row_of);
            break;
        }
        lines.push(chunk, &mut row_of);
    }
    let problem = if reader.counts().seen == 0 { Some(kind.empty(path)) } else { reader.verdict() };
    Ok((reader.counts(), problem))
}

/// Follows the file at `path` until `stop`, through rotation and truncation. `ready` is told once
/// the place to begin at is fixed, so that nothing written later is missed.
pub async fn follow_file(
    mut follower: Follower,
    path: PathBuf,
    begin: Begin,
    ready: oneshot::Sender<()>,
    stop: CancellationToken,
) -> LogCounts {
    let mut ready = Some(ready);
    let mut begin = begin;
    let mut open: Option<Open> = None;
    let mut seen_once = false;
    let mut deadline: Option<Instant> = None;
    let mut beside = Beside::look(&path);
    let mut rotated = Rotated::default();
    loop {
        if open.is_none() {
            match Open::at(&path, begin, &mut follower).await {
                Ok(Some(file)) => {
                    if seen_once {
                        // The log may have been rotated again before it was opened.
                        let between = beside.between(&path, Some((&file.std, file.identity)));
                        rotated.read(between, &path, &mut follower, deadline);
                    }
                    open = Some(file);
                    seen_once = true;
                }
                Ok(None) => break, // Said why: this is no log.
                Err(error) => follower.note(&missing(follower.kind(), &path, &error, seen_once)),
            }
            // A file that appears, or is put in the place of another, is read from its start.
            begin = Begin::Start;
        }
        if let Some(ready) = ready.take() {
            let _ = ready.send(());
        }
        if let Some(file) = &mut open {
            match file.step(&path, &mut beside, &mut rotated, &mut follower, deadline).await {
                Ok(Step::Same) => {}
                Ok(Step::Rotated) => {
                    follower.finish_line(Freshness::Fresh);
                    let between = beside.between(&path, Some((&file.std, file.identity)));
                    rotated.read(between, &path, &mut follower, deadline);
                    open = None;
                    // What took its place is read at once, at the end as well.
                    continue;
                }
                Err(error) => {
                    follower.note(&follower.kind().unreadable(&path, &error));
                    open = None;
                    follower.finish_line(Freshness::Fresh);
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
    if open.is_some_and(|file| file.is_written_over()) {
        follower.note(&follower.kind().written_over(&path));
    }
    LogCounts { files_between: rotated.between, files_lost: rotated.lost, ..follower.end() }
}

/// What rotations have brought so far.
#[derive(Default)]
struct Rotated {
    between: u64,
    lost: u64,
}

impl Rotated {
    /// Reads the files that came between, whole. Their number is small: what came within two looks.
    fn read(&mut self, found: Between, log: &Path, follower: &mut Follower, deadline: Option<Instant>) {
        for file in found.files {
            match file.open().and_then(|reader| through(reader, follower, deadline)) {
                Ok(()) => self.between += 1,
                // Deleted meanwhile: it was seen, and is gone.
                Err(_) => self.lost += 1,
            }
        }
        self.lost += found.lost;
        if found.lost > 0 || found.unsure {
            follower.note(&follower.kind().rotated_away(log, found.lost));
        }
    }
}

/// Hands on all of a file that is no longer written.
fn through(mut reader: impl Read, follower: &mut Follower, deadline: Option<Instant>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut first = true;
    loop {
        let n = reader.read(&mut buffer)?;
        let chunk = buffer.get(..n).unwrap_or_default();
        if std::mem::take(&mut first) && not_text(chunk.get(..SNIFF_BYTES).unwrap_or(chunk)).is_some() {
            return Ok(());
        }
        if n == 0 || deadline.is_some_and(|deadline| Instant::now() > deadline) {
            follower.finish_line(Freshness::Fresh);
            return Ok(());
        }
        follower.push(chunk, UnixNs::now(), Freshness::Fresh);
    }
}

enum Step {
    Same,
    Rotated,
}

struct Open {
    file: File,
    /// The same, to look at without moving on.
    std: Arc<StdFile>,
    identity: Identity,
    /// No pipe: it can be read anew.
    is_file: bool,
    position: u64,
    /// The bytes read last.
    trace: Vec<u8>,
    freshness: Freshness,
    buffer: Vec<u8>,
    /// When it was last looked whether this is still the file at its path.
    looked: Instant,
    /// As it was opened: how far it went, and when it was last changed.
    at_first: (u64, Option<SystemTime>),
}

impl Open {
    /// Opens the file and goes where reading is to begin. `Ok(None)`: it can never be a log.
    async fn at(path: &Path, begin: Begin, follower: &mut Follower) -> io::Result<Option<Self>> {
        let mut file = File::open(path).await?;
        let meta = file.metadata().await?;
        if meta.is_dir() {
            follower.note(&follower.kind().directory(path));
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
                follower.skip_partial();
            }
        } else {
            file.seek(SeekFrom::Start(0)).await?;
        }
        let std = Arc::new(file.try_clone().await?.into_std().await);
        let identity = Identity::of(&meta);
        let mut trace = vec![0; TRACE_BYTES.min(usize::try_from(position).unwrap_or(TRACE_BYTES))];
        let before = position.saturating_sub(trace.len() as u64);
        if std.read_exact_at(&mut trace, before).is_err() {
            trace.clear();
        }
        let is_file = meta.is_file();
        let looked = Instant::now();
        let at_first = (position, meta.modified().ok());
        Ok(Some(Self { file, std, identity, is_file, position, trace, freshness, buffer, looked, at_first }))
    }

    /// Whether it was written to, but not behind what was there: no line of that can be told from an old one.
    fn is_written_over(&self) -> bool {
        let (position, changed) = self.at_first;
        let Ok(now) = self.std.metadata() else { return false };
        self.is_file
            && position > 0
            && self.position == position
            && now.len() == position
            && now.modified().ok() > changed
    }

    /// Reads what there is, then looks whether the file was truncated or another took its place.
    async fn step(
        &mut self,
        path: &Path,
        beside: &mut Beside,
        rotated: &mut Rotated,
        follower: &mut Follower,
        deadline: Option<Instant>,
    ) -> io::Result<Step> {
        let before = self.position;
        while !self.drain(follower, deadline).await? {
            self.begin_anew(path, beside, rotated, follower, deadline);
        }
        self.freshness = Freshness::Fresh;
        // What still grows is still written; that another took its place shows when it no longer does, or now and then,
        // for several may write to a log, and not all change over.
        if self.position > before && deadline.is_none() && self.looked.elapsed() < LOOK {
            return Ok(Step::Same);
        }
        self.looked = Instant::now();
        // Gone for now: whoever writes still has it open, and so have we.
        // Asked on this thread: to hand that to another costs more than the answer.
        let Ok(meta) = std::fs::metadata(path) else {
            return Ok(Step::Same);
        };
        if Identity::of(&meta) != self.identity {
            // The writer may go on with the old file for a while; only a line in the new one shows
            // that it has changed over.
            if meta.len() == 0 {
                return Ok(Step::Same);
            }
            self.drain(follower, deadline).await?;
            return Ok(Step::Rotated);
        }
        Ok(Step::Same)
    }

    /// The file was emptied: where it was copied first, what had not been read yet is in the copy.
    fn begin_anew(
        &mut self,
        path: &Path,
        beside: &mut Beside,
        rotated: &mut Rotated,
        follower: &mut Follower,
        deadline: Option<Instant>,
    ) {
        let mut copies = beside.between(path, None);
        let (position, trace) = (self.position, std::mem::take(&mut self.trace));
        let first = copies.files.iter().position(|copy| copy.holds(&trace, position));
        let unread = first.map(|at| {
            let mut reader = copies.files.remove(at).open()?;
            io::copy(&mut reader.by_ref().take(position), &mut io::sink())?;
            through(reader, follower, deadline)
        });
        if let Some(Ok(())) = unread {
            rotated.between += 1;
        } else {
            follower.note(&follower.kind().truncated(path));
            follower.finish_line(Freshness::Fresh);
        }
        // A copy of what stands in the file now is being made for the next time.
        let (early, past): (Vec<_>, Vec<_>) =
            std::mem::take(&mut copies.files).into_iter().partition(|copy| copy.begins_as(&self.std));
        for copy in early {
            beside.forget(&copy);
        }
        rotated.read(Between { files: past, ..copies }, path, follower, deadline);
        self.position = 0;
    }

    /// Reads on to the end; false where what was read last no longer stands there: the file was emptied. The same
    /// call reads both, so that nothing can happen between the look and the reading.
    async fn drain(&mut self, follower: &mut Follower, deadline: Option<Instant>) -> io::Result<bool> {
        loop {
            let known = self.trace.len();
            let n = if self.is_file {
                self.std.read_at(&mut self.buffer, self.position.saturating_sub(known as u64))?
            } else {
                self.file.read(&mut self.buffer).await?
            };
            let read = self.buffer.get(..n).unwrap_or_default();
            let Some(new) = read.strip_prefix(self.trace.as_slice()) else { return Ok(false) };
            if new.is_empty() || deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(true);
            }
            self.position += new.len() as u64;
            follower.push(new, UnixNs::now(), self.freshness);
            if self.is_file {
                // With what was known before: less may have come than is kept.
                self.trace = read.get(n.saturating_sub(TRACE_BYTES)..).unwrap_or_default().to_vec();
            }
            // That was all for now; at the very end it is looked once more.
            if self.is_file && n < self.buffer.len() && deadline.is_none() {
                return Ok(true);
            }
            // Other sources are read on this thread.
            tokio::task::yield_now().await;
        }
    }
}

fn missing(kind: &Kind, path: &Path, error: &io::Error, seen_once: bool) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound if seen_once => kind.gone(path),
        io::ErrorKind::NotFound => kind.missing(path),
        _ => kind.unreadable(path, error),
    }
}
