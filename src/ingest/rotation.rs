//! What a rotation leaves beside a log: the files that were the log for a while, found by what they are and not
//! by their names alone, so that none is missed when several rotations come between two looks, and none is read
//! twice when it is packed or copied. This file must not know what a line says.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::read::MultiGzDecoder;

/// So many first bytes tell one log from another: lines begin with the time.
const HEAD_BYTES: usize = 256;
/// A folder is listed until twice the same files were found, so many times at most: a rotation that goes on while it
/// is listed hides some.
const MOST_LISTINGS: usize = 16;
/// Where a number is missing, it is looked for so many times more, with a pause before each.
const HOLE_LOOKS: usize = 10;
const HOLE_PAUSE: Duration = Duration::from_millis(2);
/// Of a packed file no more is unpacked.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
/// Between a log's name and what a rotation adds to it.
const SEPARATORS: [char; 3] = ['.', '-', '_'];

/// Which file it is, whatever it is called. An inode's number is given again to another file, which was made later.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Identity {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), born: meta.created().ok() }
    }
}

/// A file beside the log, with a name like its own. It is held open from the moment it was found: a rotation that
/// goes on meanwhile gives its name to another.
#[derive(Debug)]
pub(super) struct Neighbour {
    file: File,
    path: PathBuf,
    identity: Identity,
    changed: SystemTime,
    /// Of `NAME.7`.
    number: Option<u32>,
    packed: bool,
}

/// The files beside a log that are known: old ones, and those that were read.
#[derive(Debug, Default)]
pub(super) struct Beside {
    known: HashSet<Identity>,
    /// How the files began that were read.
    heads: HashSet<Vec<u8>>,
}

/// What was found where the log was rotated.
#[derive(Debug, Default)]
pub(super) struct Between {
    /// To be read, oldest first.
    pub(super) files: Vec<Neighbour>,
    /// Numbers of the row that are missing: files that came between and are gone.
    pub(super) lost: u64,
    /// The file that was read has been deleted though others came after it: how many is not known.
    pub(super) unsure: bool,
}

impl Beside {
    /// Everything that is there now belongs to the past.
    pub(super) fn look(log: &Path) -> Self {
        let known = neighbours(log).into_iter().map(|file| file.identity).collect();
        Self { known, heads: HashSet::new() }
    }

    /// Notes a file that is read here, by how it begins.
    pub(super) fn note_read(&mut self, file: &File) {
        self.heads.insert(head(file));
    }

    /// Files that came since the last look and are neither `held` nor at the log's own place.
    pub(super) fn between(&mut self, log: &Path, held: Option<(&File, Identity)>) -> Between {
        if let Some((file, identity)) = held {
            self.note_read(file);
            self.known.insert(identity);
        }
        let mut found = Between::default();
        let mut all = neighbours(log);
        if let Some((file, identity)) = held {
            found.lost = missing(&all, identity);
            // A rotation moves one file after the other: only a hole that stays is one.
            for _ in 0..HOLE_LOOKS {
                if found.lost == 0 {
                    break;
                }
                std::thread::sleep(HOLE_PAUSE);
                let seen = std::mem::replace(&mut all, neighbours(log));
                let now: HashSet<Identity> = all.iter().map(|file| file.identity).collect();
                all.extend(seen.into_iter().filter(|file| !now.contains(&file.identity)));
                found.lost = missing(&all, identity);
            }
            let is_there = all.iter().any(|file| file.identity == identity);
            found.unsure = !is_there && file.metadata().is_ok_and(|meta| meta.nlink() == 0);
        }
        let plain: HashSet<PathBuf> =
            all.iter().filter(|file| !file.packed).map(|file| file.path.clone()).collect();
        let mut new: Vec<Neighbour> =
            all.into_iter().filter(|file| self.known.insert(file.identity)).collect();
        // While it is packed both are there; the one that is not packed is whole.
        new.retain(|file| !(file.packed && plain.contains(&file.path.with_extension(""))));
        // It may have been packed, and moved on, between two listings: then its name does not tell.
        for file in new.iter().filter(|file| !file.packed) {
            self.note_read(&file.file);
        }
        let n_found = new.len();
        new.retain(|file| !(file.packed && self.was_read(file)));
        // Deleted, and there all the same: packed.
        found.unsure &= new.len() == n_found;
        // Of those changed within one tick of the clock, the higher number is the older.
        new.sort_by(|a, b| {
            a.changed.cmp(&b.changed).then_with(|| b.number.cmp(&a.number)).then_with(|| a.path.cmp(&b.path))
        });
        found.unsure &= !new.is_empty();
        found.files = new;
        found
    }

    /// The file was found too early, and is to be found again.
    pub(super) fn forget(&mut self, file: &Neighbour) {
        self.known.remove(&file.identity);
    }

    fn was_read(&self, file: &Neighbour) -> bool {
        let Ok(mut reader) = file.open() else { return false };
        let mut start = Vec::new();
        let _ = reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut start);
        !start.is_empty() && self.heads.iter().any(|head| !head.is_empty() && start.starts_with(head))
    }
}

impl Neighbour {
    /// Its text, unpacked.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = self.file.try_clone()?;
        // Clones share their place in the file.
        file.rewind()?;
        Ok(if self.packed {
            Box::new(MultiGzDecoder::new(file).take(MAX_UNPACKED_BYTES))
        } else {
            Box::new(file)
        })
    }

    /// Whether it begins as `file` does, as far as both go: a copy of it that is being made, or was just made.
    pub(super) fn begins_as(&self, file: &File) -> bool {
        let (mine, other) = (head(&self.file), head(file));
        let shorter = mine.len().min(other.len());
        shorter > 0 && mine.get(..shorter) == other.get(..shorter)
    }

    /// Whether it has these bytes before byte `end`, as the file had that was copied and then emptied.
    pub(super) fn holds(&self, bytes: &[u8], end: u64) -> bool {
        let Ok(mut reader) = self.open() else { return false };
        let before = end.saturating_sub(bytes.len() as u64);
        let mut there = vec![0; bytes.len()];
        !bytes.is_empty()
            && io::copy(&mut reader.by_ref().take(before), &mut io::sink()).is_ok_and(|n| n == before)
            && reader.read_exact(&mut there).is_ok()
            && there == bytes
    }
}

/// How many numbers below that of a file have none.
fn missing(all: &[Neighbour], identity: Identity) -> u64 {
    let Some(number) = all.iter().find(|file| file.identity == identity).and_then(|file| file.number) else {
        return 0;
    };
    let newer = all.iter().filter_map(|file| file.number).filter(|n| (1..number).contains(n));
    let there = newer.collect::<HashSet<u32>>().len() as u64;
    u64::from(number.saturating_sub(1)).saturating_sub(there)
}

/// How a file begins.
fn head(file: &File) -> Vec<u8> {
    let mut start = vec![0; HEAD_BYTES];
    let length = file.read_at(&mut start, 0).unwrap_or(0);
    start.truncate(length);
    start
}

/// Files beside the log whose names are its own with something added: `server.log.1`, `server.log-20261127.gz`,
/// `server.2026-11-27.log`.
fn neighbours(log: &Path) -> Vec<Neighbour> {
    let mut all: HashMap<Identity, Neighbour> = HashMap::new();
    for _ in 0..MOST_LISTINGS {
        let before = all.len();
        for found in listed(log) {
            all.insert(found.identity, found);
        }
        // Twice the same: nothing was hidden, or nothing is there.
        if all.len() == before {
            break;
        }
    }
    all.into_values().collect()
}

fn listed(log: &Path) -> Vec<Neighbour> {
    let (Some(name), Some(folder)) = (log.file_name().and_then(|n| n.to_str()), log.parent()) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        let added = added(path.file_name()?.to_str()?, name)?.to_owned();
        // A pipe would be waited for.
        entry.file_type().ok().filter(std::fs::FileType::is_file)?;
        let file = File::open(&path).ok()?;
        let meta = file.metadata().ok().filter(Metadata::is_file)?;
        let packed = path.extension().is_some_and(|end| end == "gz");
        let number = added.strip_suffix(".gz").unwrap_or(&added).parse().ok();
        let (identity, changed) = (Identity::of(&meta), meta.modified().ok()?);
        Some(Neighbour { file, path, identity, changed, number, packed })
    });
    found.collect()
}

/// What `other` has that `name` has not.
fn added<'a>(other: &'a str, name: &str) -> Option<&'a str> {
    let after = |rest: &'a str| rest.strip_prefix(SEPARATORS).filter(|added| !added.is_empty());
    if let Some(rest) = other.strip_prefix(name) {
        return after(rest);
    }
    let (stem, end) = name.rsplit_once('.')?;
    let middle = other.strip_suffix(".gz").unwrap_or(other).strip_suffix(end)?.strip_suffix('.')?;
    after(middle.strip_prefix(stem)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_rotations_add_to_a_name() {
        for (other, expected) in [
            ("server.log.1", Some("1")),
            ("server.log.12.gz", Some("12.gz")),
            ("server.log-20261127", Some("20261127")),
            ("server.2026-11-27_10-00.log", Some("2026-11-27_10-00")),
            ("server.2026-11-27.log.gz", Some("2026-11-27")),
            ("server.log", None),
            ("server.log.", None),
            ("server.logs", None),
            ("other.log.1", None),
            ("server2.log", None),
        ] {
            assert_eq!(added(other, "server.log"), expected, "{other}");
        }
    }

    /// Three rotations between two looks: the held file is third in the row, and those before it are read in order.
    #[test]
    fn files_that_came_between_are_found_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let log = at("server.log");
        fs::write(at("server.log.1"), "old").unwrap();
        fs::write(&log, "held").unwrap();
        let mut beside = Beside::look(&log);
        let held = File::open(&log).unwrap();
        let identity = Identity::of(&held.metadata().unwrap());
        for n in ["a", "b", "c"] {
            for k in (1..5).rev() {
                let _ = fs::rename(at(&format!("server.log.{k}")), at(&format!("server.log.{}", k + 1)));
            }
            fs::rename(&log, at("server.log.1")).unwrap();
            fs::write(&log, n).unwrap();
        }
        let between = beside.between(&log, Some((&held, identity)));
        let names: Vec<String> =
            between.files.iter().map(|f| io::read_to_string(f.open().unwrap()).unwrap()).collect();
        assert_eq!((names, between.lost, between.unsure), (vec!["a".to_owned(), "b".to_owned()], 0, false));
        assert!(beside.between(&log, Some((&held, identity))).files.is_empty(), "each once");

        // One of the row is deleted: that it is missing shows in the numbers.
        let mut again = Beside::look(&at("nothing"));
        again.known.insert(identity);
        fs::remove_file(at("server.log.2")).unwrap();
        assert_eq!(again.between(&log, Some((&held, identity))).lost, 1);
        // The held one itself is: nobody knows.
        fs::remove_file(at("server.log.3")).unwrap();
        let mut again = Beside::look(&at("nothing"));
        assert!(again.between(&log, Some((&held, identity))).unsure);
    }

    #[test]
    fn a_packed_file_is_known_by_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let pack = |name: &str, text: &str| {
            let mut packed =
                flate2::write::GzEncoder::new(File::create(at(name)).unwrap(), flate2::Compression::fast());
            io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
            packed.finish().unwrap();
        };
        let log = at("server.log");
        fs::write(&log, "12:00 held\n").unwrap();
        let mut beside = Beside::look(&log);
        let held = File::open(&log).unwrap();
        let identity = Identity::of(&held.metadata().unwrap());
        pack("server.log.2.gz", "12:00 held\n12:01 the rest of it\n");
        pack("server.log.1.gz", "12:02 between\n");
        fs::remove_file(&log).unwrap();
        fs::write(&log, "12:03 now\n").unwrap();
        let between = beside.between(&log, Some((&held, identity)));
        assert_eq!(between.files.len(), 1, "{between:?}");
        let mut text = String::new();
        between.files[0].open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "12:02 between\n");
    }
}
