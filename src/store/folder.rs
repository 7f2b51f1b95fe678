//! The run folder: which files there are, and when an existing folder may be written into. This
//! file must not know what is in the files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

pub const MANIFEST: &str = "manifest.json";
pub const REQUEST_SET: &str = "requests.jsonl";
/// Room kept for the last words of a run whose disc is full; only there while the run goes on.
const ROOM: &str = "room";
const ROOM_BYTES: usize = 256 << 10;
/// What was begun: with the results, it says what was in flight when the program was killed.
pub const BEGUN_STREAM: &str = "begun.jsonl";
pub const RESULTS_STREAM: &str = "results.jsonl";
pub const EVENTS_STREAM: &str = "events.arrows";
pub const SCRAPES_STREAM: &str = "scrapes.jsonl";
pub const LOG_STREAM: &str = "server_log.jsonl";
pub const SPANS_STREAM: &str = "spans.jsonl";
pub const STAT_LOG_STREAM: &str = "stat_log.jsonl";
pub const HOPS_STREAM: &str = "hops.jsonl";
pub const RESULTS: &str = "results.parquet";
pub const EVENTS: &str = "events.parquet";
pub const SCRAPES: &str = "scrapes.parquet";
pub const LOG: &str = "server_log.parquet";
pub const SPANS: &str = "spans.parquet";
pub const STAT_LOG: &str = "stat_log.parquet";
pub const HOPS: &str = "hops.parquet";
pub const JOINED: &str = "joined.parquet";
/// What the embedded server wrote as the stat-logger plugin does.
pub const EMBEDDED_STAT_LOG: &str = "embedded_stat_log.jsonl";
pub const SUMMARY: &str = "summary.json";
pub const REPORT_MD: &str = "report.md";
pub const REPORT_HTML: &str = "report.html";
pub const PLOTS: &str = "plots";
/// Of runs side by side, in a folder of their own.
pub const COMPARE_MD: &str = "compare.md";
pub const COMPARE_JSON: &str = "compare.json";
/// Of the folder of a sweep, which holds run folders.
pub const SWEEP: &str = "sweep.json";
pub const SWEEP_MD: &str = "sweep.md";
/// Tables of numbers beside the page that draws them.
pub const DATA: &str = "data";

/// Every file that tare writes at the top of a run folder: what `overwrite` may remove.
const OWN_FILES: [&str; 27] = [
    MANIFEST,
    REQUEST_SET,
    ROOM,
    BEGUN_STREAM,
    RESULTS_STREAM,
    EVENTS_STREAM,
    SCRAPES_STREAM,
    LOG_STREAM,
    SPANS_STREAM,
    EMBEDDED_STAT_LOG,
    STAT_LOG_STREAM,
    HOPS_STREAM,
    RESULTS,
    EVENTS,
    SCRAPES,
    LOG,
    SPANS,
    STAT_LOG,
    HOPS,
    JOINED,
    SUMMARY,
    REPORT_MD,
    REPORT_HTML,
    COMPARE_MD,
    COMPARE_JSON,
    SWEEP,
    SWEEP_MD,
];

/// Why a run folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    #[error("the output folder {} is not empty (it holds {found})", path.display())]
    NotEmpty { path: PathBuf, found: String },
    #[error("another tare is writing into {}", path.display())]
    InUse { path: PathBuf },
    #[error("the output path {} is a file, not a folder", path.display())]
    NotAFolder { path: PathBuf },
    #[error("{} is no run folder: it holds no {MANIFEST}", path.display())]
    NoRun { path: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl FolderError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            FolderError::NotEmpty { .. } => {
                Some("name another folder with --output, or give --overwrite to replace the run in it")
            }
            FolderError::InUse { .. } => {
                Some("wait until it has ended, or name another folder; `tare explain` only looks")
            }
            FolderError::NotAFolder { .. } => Some("name a folder with --output"),
            FolderError::NoRun { .. } => Some("name a folder that `tare run` wrote"),
            FolderError::Io { .. } => Some("name another folder with --output"),
        }
    }
}

/// A folder that holds one run. One that is written into is locked until the last clone is dropped or the
/// program ends, however it ends; the system gives the lock back.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// It was not there before.
    made: bool,
    _lock: Option<Arc<fs::File>>,
}

impl RunFolder {
    /// Makes the folder. One that holds anything is refused, unless `overwrite`: then the files
    /// that tare knows as its own are removed, and nothing else.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, FolderError> {
        let io = |action, source| FolderError::Io { action, path: path.to_owned(), source };
        if path.exists() && !path.is_dir() {
            return Err(FolderError::NotAFolder { path: path.to_owned() });
        }
        let made = !path.exists();
        fs::create_dir_all(path).map_err(|e| io("create the output folder", e))?;
        // Before anything in it is looked at or removed: it may be another's.
        let folder = Self { path: path.to_owned(), made, _lock: lock(path)? };
        if overwrite {
            folder.remove_own().map_err(|e| io("remove the earlier run in", e))?;
        } else if let Some(found) = folder.first_entries().map_err(|e| io("read the output folder", e))? {
            return Err(FolderError::NotEmpty { path: path.to_owned(), found });
        }
        Ok(folder)
    }

    /// Takes back what [`create`](Self::create) did, for a run that came to nothing: what tare wrote
    /// goes, and the folder too if it was made for it. What cannot be removed stays.
    pub fn discard(self) {
        drop(self.remove_own());
        if self.made {
            drop(fs::remove_dir(&self.path));
        }
    }

    /// Keeps some room on the disc until [`give_room`](Self::give_room): where a run fills the disc, its folder can
    /// still say so.
    pub fn keep_room(&self) -> io::Result<()> {
        fs::write(self.file(ROOM), vec![0; ROOM_BYTES])
    }

    /// Gives the room back, if there is any.
    pub fn give_room(&self) {
        drop(fs::remove_file(self.file(ROOM)));
    }

    /// Whether a stream has a record.
    pub fn has_rows(&self, stream: &str) -> bool {
        fs::metadata(self.file(stream)).is_ok_and(|file| file.len() > 0)
    }

    /// An existing run folder, to look into.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        if path.join(MANIFEST).is_file() {
            Ok(Self { path: path.to_owned(), made: false, _lock: None })
        } else {
            Err(FolderError::NoRun { path: path.to_owned() })
        }
    }

    /// An existing run folder, to write into; refused while another program does.
    pub fn open_to_write(path: &Path) -> Result<Self, FolderError> {
        let folder = Self::open(path)?;
        Ok(Self { _lock: lock(path)?, ..folder })
    }

    /// Any folder that tare writes into, such as that of a sweep; refused while another program does.
    pub fn hold(path: &Path) -> Result<Self, FolderError> {
        Ok(Self { path: path.to_owned(), made: false, _lock: lock(path)? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it; names are this module's constants.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the request set that was sent is written, to repeat it.
    pub fn request_set(&self) -> PathBuf {
        self.file(REQUEST_SET)
    }

    /// The folder of figures, made when it is not there.
    pub fn plots(&self) -> Result<PathBuf, FolderError> {
        let path = self.file(PLOTS);
        fs::create_dir_all(&path).map_err(|source| FolderError::Io {
            action: "create the folder of plots",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// The first names in the folder, sorted, for the refusal.
    fn first_entries(&self) -> io::Result<Option<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let more = if names.len() > 3 { ", …" } else { "" };
        names.truncate(3);
        Ok((!names.is_empty()).then(|| format!("{}{more}", names.join(", "))))
    }

    fn remove_own(&self) -> io::Result<()> {
        for name in OWN_FILES {
            remove_file(&self.file(name))?;
            remove_file(&self.file(&format!("{name}{TEMPORARY}")))?;
        }
        let made: [(&str, &[&str]); 2] = [(PLOTS, &["svg", "png"]), (DATA, &["csv"])];
        for (name, kinds) in made {
            let inside = self.file(name);
            if !inside.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&inside)? {
                let path = entry?.path();
                if path.extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind)) {
                    remove_file(&path)?;
                }
            }
            // Still there when something else is in it: that is not ours to remove.
            drop(fs::remove_dir(&inside));
        }
        Ok(())
    }
}

/// Locks the folder itself, so that no file tells of a lock that nobody holds any more. Where the file system
/// has no such locks (some network ones), there is none.
fn lock(path: &Path) -> Result<Option<Arc<fs::File>>, FolderError> {
    let folder = fs::File::open(path).map_err(|source| FolderError::Io {
        action: "open the folder",
        path: path.to_owned(),
        source,
    })?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(Arc::new(folder))),
        Err(fs::TryLockError::WouldBlock) => Err(FolderError::InUse { path: path.to_owned() }),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// What a file is called until it is complete.
const TEMPORARY: &str = ".part";

/// Writes a file so that its name never holds half of it: `write` fills a temporary file, which is
/// then renamed.
pub fn replace_file<T>(
    path: &Path,
    write: impl FnOnce(&mut io::BufWriter<fs::File>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    use anyhow::Context as _;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY);
    let temporary = PathBuf::from(temporary);
    let in_context = || format!("cannot write {}", path.display());
    let fill = || {
        let mut file = io::BufWriter::new(fs::File::create(&temporary)?);
        let out = write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&temporary, path)?;
        Ok(out)
    };
    let written: anyhow::Result<T> = fill();
    if written.is_err() {
        drop(fs::remove_file(&temporary)); // the failure is told; half a file helps nobody
    }
    written.with_context(in_context)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_missing_folder_is_taken_and_a_full_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/run");
        RunFolder::create(&path, false).unwrap();
        RunFolder::create(&path, false).unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        let refused = RunFolder::create(&path, false).unwrap_err();
        assert!(refused.to_string().contains("is not empty (it holds notes.txt)"), "{refused}");
        assert!(refused.hint().unwrap().contains("--overwrite"));
    }

    #[test]
    fn overwriting_removes_the_earlier_run_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), false).unwrap();
        for name in OWN_FILES {
            fs::write(folder.file(name), "old").unwrap();
        }
        fs::write(folder.plots().unwrap().join("violin.svg"), "old").unwrap();
        fs::write(folder.file("plots/notes.txt"), "mine").unwrap();
        fs::write(folder.file("notes.txt"), "mine").unwrap();
        drop(folder);

        let folder = RunFolder::create(dir.path(), true).unwrap();
        for name in OWN_FILES {
            assert!(!folder.file(name).exists(), "{name} is left");
        }
        assert!(!folder.file("plots/violin.svg").exists());
        assert_eq!(fs::read_to_string(folder.file("notes.txt")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(folder.file("plots/notes.txt")).unwrap(), "mine");
    }

    #[test]
    fn a_folder_has_one_writer_and_any_number_of_readers() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunFolder::create(dir.path(), false).unwrap();
        fs::write(first.file(MANIFEST), "{}").unwrap();
        fs::write(first.file(RESULTS_STREAM), "row").unwrap();
        for overwrite in [false, true] {
            let refused = RunFolder::create(dir.path(), overwrite).unwrap_err();
            assert!(matches!(refused, FolderError::InUse { .. }), "{refused}");
        }
        assert!(matches!(RunFolder::open_to_write(dir.path()), Err(FolderError::InUse { .. })));
        assert_eq!(fs::read_to_string(first.file(RESULTS_STREAM)).unwrap(), "row");
        RunFolder::open(dir.path()).unwrap();
        // Held by whoever still writes.
        let second = first.clone();
        drop(first);
        assert!(RunFolder::open_to_write(dir.path()).is_err());
        drop(second);
        RunFolder::open_to_write(dir.path()).unwrap();
    }

    #[test]
    fn a_discarded_run_leaves_what_was_there_before() {
        let dir = tempfile::tempdir().unwrap();
        for (name, there) in [("new", false), ("old", true)] {
            let path = dir.path().join(name);
            if there {
                fs::create_dir(&path).unwrap();
            }
            let folder = RunFolder::create(&path, false).unwrap();
            fs::write(folder.file(MANIFEST), "{}").unwrap();
            folder.discard();
            assert_eq!(path.exists(), there);
            assert!(!path.join(MANIFEST).exists());
        }
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_run() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(RunFolder::open(dir.path()), Err(FolderError::NoRun { .. })));
        assert!(matches!(
            RunFolder::create(&dir.path().join("x"), false).map(|f| fs::write(f.file(MANIFEST), "{}")),
            Ok(Ok(()))
        ));
        RunFolder::open(&dir.path().join("x")).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(matches!(RunFolder::create(&path, true), Err(FolderError::NotAFolder { .. })));
    }

    #[test]
    fn a_failed_write_leaves_the_earlier_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary.json");
        fs::write(&path, "old").unwrap();
        let failed = replace_file::<()>(&path, |_| anyhow::bail!("no"));
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}
