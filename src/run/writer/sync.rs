//! Forces what was written to the platter now and then, on a thread of its own: what a machine that loses its
//! power has lost is then some seconds, and neither the load nor the thread that writes waits for a disc. This file
//! must not know what is written.

use std::fs::File;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::run::progress::eprintln_line;

/// From one time to the next.
const EVERY: Duration = Duration::from_secs(5);

/// The thread; it ends, after a last time, with [`Syncing::end`].
pub(super) struct Syncing {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Syncing {
    /// For these files; `None` where no thread can be had, and the system writes when it likes.
    pub(super) fn start(files: Vec<File>) -> Option<Self> {
        let (stop, stopped) = channel::<()>();
        let work = move || {
            let mut known = vec![0; files.len()];
            let mut told = false;
            loop {
                let ended = stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
                for (file, known) in files.iter().zip(&mut known) {
                    if let Err(error) = sync(file, known)
                        && !std::mem::replace(&mut told, true)
                    {
                        eprintln_line(&format!(
                            "warning: the run folder's files cannot be forced to the disc ({error}): what the machine loses with its power may be more than some seconds"
                        ));
                    }
                }
                if ended {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("tare-sync".to_owned()).spawn(work).ok()?;
        Some(Self { thread, stop })
    }

    /// Once more, and waits for it.
    pub(super) fn end(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// If the file has another length than when it was last forced.
fn sync(file: &File, known: &mut u64) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    if length == *known {
        return Ok(());
    }
    match file.sync_data() {
        Ok(()) => {
            *known = length;
            Ok(())
        }
        // A pipe, a device: nothing to force.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[cfg_attr(not(target_os = "linux"), ignore = "only Linux has /dev/full")]
    #[test]
    fn only_what_has_grown_is_forced() {
        let mut file = tempfile::tempfile().unwrap();
        let mut known = 0;
        sync(&file, &mut known).unwrap();
        assert_eq!(known, 0);
        file.write_all(b"record\n").unwrap();
        sync(&file, &mut known).unwrap();
        assert_eq!(known, 7);
        sync(&File::options().write(true).open("/dev/full").unwrap(), &mut 1).unwrap();
        Syncing::start(vec![file]).unwrap().end();
    }
}
