//! One process's file in the shared folder: written whole, again and again, so that the others see what it
//! says and that it lives. This file must not know what is said.
//!
//! Folders on a network are asked for their list before a file in them is opened: systems remember for a
//! while that a file is not there, but look the folder itself up anew.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::UnixNs;
use crate::store::folder::replace_file;

/// So often it is written where nothing else is to be said.
const BEAT: Duration = Duration::from_secs(1);

/// What is said.
pub(super) trait Said: Serialize + Send + 'static {
    /// Marks it as said once more, now.
    fn again(&mut self, now: UnixNs);
}

/// What this process says.
pub(super) struct Board<T: Said> {
    said: Arc<Mutex<T>>,
    path: PathBuf,
    over: Arc<AtomicBool>,
    beating: Option<JoinHandle<()>>,
}

impl<T: Said> Board<T> {
    /// Says it, and goes on saying it.
    pub(super) fn new(path: PathBuf, said: T) -> anyhow::Result<Self> {
        let (said, over) = (Arc::new(Mutex::new(said)), Arc::new(AtomicBool::new(false)));
        write(&path, &said)?;
        let beating = {
            let (said, over, path) = (Arc::clone(&said), Arc::clone(&over), path.clone());
            std::thread::Builder::new().name("tare-ranks".to_owned()).spawn(move || {
                loop {
                    std::thread::park_timeout(BEAT);
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // What fails now is tried again, and missed by the others where it goes on failing.
                    let _ = write(&path, &said);
                }
            })?
        };
        Ok(Self { said, path, over, beating: Some(beating) })
    }

    /// Says something else, at once.
    pub(super) fn post(&self, change: impl FnOnce(&mut T)) -> anyhow::Result<()> {
        change(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        write(&self.path, &self.said)
    }
}

impl<T: Said> Drop for Board<T> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(beating) = self.beating.take() {
            beating.thread().unpark();
            let _ = beating.join();
        }
    }
}

/// Under the lock, so that no older word follows a newer one.
fn write<T: Said>(path: &Path, said: &Mutex<T>) -> anyhow::Result<()> {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.again(UnixNs::now());
    let text = serde_json::to_vec(&*said)?;
    replace_file(path, |file| Ok(file.write_all(&text)?))
}

/// What another process says, and when that was read; `None` while it says nothing.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<(T, UnixNs)>> {
    if let Some(folder) = path.parent() {
        drop(std::fs::read_dir(folder).map(Iterator::count));
    }
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // A file that is replaced while it is read is read at the next look (ESTALE of a network file system).
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESTALE as i32) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let read = UnixNs::now();
    // Of another version, or of something else: as if nothing was said.
    Ok(serde_json::from_slice(&text).ok().map(|said| (said, read)))
}
