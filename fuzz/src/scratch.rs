//! A file for readers that open one: the same each time, one a thread. Set `TMPDIR=/dev/shm` and it costs no disc.

use std::path::{Path, PathBuf};

/// Hands a file with these bytes to `read`.
pub(crate) fn with_file<T>(bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: Folder = Folder::new();
    }
    FOLDER.with(|folder| {
        let path = folder.0.join("input");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    })
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let name = format!("tare-fuzz-{}-{thread}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
