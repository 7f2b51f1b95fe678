//! Files that are rotated, emptied, copied or written over while they are followed.

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, SystemTime};

use tare::ingest::tail::Begin;
use tempfile::TempDir;

use super::{append, follow, id, ids, log_details, next, received};

#[test]
fn rotation_loses_no_line() {
    let dir = TempDir::new().unwrap();
    let (path, rotated) = (dir.path().join("server.log"), dir.path().join("server.log.1"));
    append(&path, &received("old"));
    let (collector, rows) = follow(&path, Begin::End);
    append(&path, &received("a"));
    assert_eq!(id(&next(&rows)), "a");
    fs::rename(&path, &rotated).unwrap();
    File::create(&path).unwrap();
    // The writer has not changed over yet.
    append(&rotated, &received("b"));
    assert_eq!(id(&next(&rows)), "b");
    append(&rotated, &received("c"));
    append(&path, &received("d"));
    assert_eq!(id(&next(&rows)), "c");
    assert_eq!(id(&next(&rows)), "d");
    // And once more, with the end right after it.
    fs::rename(&path, &rotated).unwrap();
    append(&rotated, &received("e"));
    append(&path, &received("f"));
    let report = collector.stop();
    assert_eq!(ids(&rows), ["e", "f"]);
    assert_eq!(log_details(&report, "events"), 6);
}

/// The writer goes on with the old file for a line each time; the next rotation comes as soon as the last was seen.
#[test]
fn a_log_that_is_rotated_again_and_again_loses_no_line() {
    let dir = TempDir::new().unwrap();
    let (path, rotated) = (dir.path().join("server.log"), dir.path().join("server.log.1"));
    append(&path, &received("old"));
    let (collector, rows) = follow(&path, Begin::End);
    for n in 0..30 {
        fs::rename(&path, &rotated).unwrap();
        append(&rotated, &received(&format!("late-{n}")));
        append(&path, &received(&format!("new-{n}")));
        assert_eq!(id(&next(&rows)), format!("late-{n}"));
        assert_eq!(id(&next(&rows)), format!("new-{n}"));
    }
    assert_eq!(log_details(&collector.stop(), "events"), 60);
}

/// Three rotations and more between two looks, by numbers, by dates, and packed at once: what came between is read
/// from where it was put.
#[test]
fn a_log_that_is_rotated_many_times_between_two_looks_loses_no_line() {
    for way in ["numbers", "dates", "packed"] {
        let dir = TempDir::new().unwrap();
        let at = |name: String| dir.path().join(name);
        let path = at("server.log".to_owned());
        append(&at("server.log.1".to_owned()), &received("before-the-run"));
        append(&path, &received("old"));
        let (collector, rows) = follow(&path, Begin::End);
        append(&path, &received("first"));
        assert_eq!(id(&next(&rows)), "first");
        let mut expected = Vec::new();
        for n in 0..40 {
            let (line, last) = (format!("{way}-{n}"), format!("{way}-{n}-last"));
            append(&path, &(received(&line) + &received(&last)));
            expected.extend([line, last]);
            if way == "dates" {
                fs::rename(&path, at(format!("server.log-20261127-{n:03}"))).unwrap();
            } else {
                for k in (1..60).rev() {
                    for end in ["", ".gz"] {
                        let to = at(format!("server.log.{}{end}", k + 1));
                        let _ = fs::rename(at(format!("server.log.{k}{end}")), to);
                    }
                }
                let rotated = at("server.log.1".to_owned());
                fs::rename(&path, &rotated).unwrap();
                if way == "packed" {
                    let packed = File::create(at("server.log.1.gz".to_owned())).unwrap();
                    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
                    packed.write_all(&fs::read(&rotated).unwrap()).unwrap();
                    packed.finish().unwrap();
                    fs::remove_file(&rotated).unwrap();
                }
            }
            // Sometimes one is looked at, mostly several go by.
            if n % 10 == 9 {
                append(&path, &received(&format!("{way}-{n}-seen")));
                expected.push(format!("{way}-{n}-seen"));
                let mut got = Vec::new();
                while got.len() < expected.len() {
                    got.push(id(&next(&rows)).to_owned());
                }
                got.sort_unstable();
                expected.sort_unstable();
                assert_eq!(got, expected, "each line once");
                expected.clear();
            }
        }
        let report = collector.stop();
        assert_eq!(ids(&rows), Vec::<String>::new(), "{way}: nothing twice");
        assert!(log_details(&report, "files_between") > 4, "{way}: {:?}", report.sources);
        // Between a rename and the next line there is no file, and a look may fall into that. What is packed is
        // deleted: where it was being read, what came between is looked for by guess, and that is said.
        let told = |note: &&String| {
            note.contains("waiting for a new one") || way == "packed" && note.contains("is not known")
        };
        let mut notes = report.notes.iter().filter(|note| !told(note));
        assert_eq!(notes.next(), None, "{way}");
    }
}

/// A file that came between and is deleted before anyone looked cannot be read: that is said, and counted.
#[test]
fn a_rotated_file_that_is_gone_is_counted() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let path = at("server.log");
    append(&path, &received("old"));
    let (collector, rows) = follow(&path, Begin::End);
    append(&path, &received("first"));
    assert_eq!(id(&next(&rows)), "first");
    // Made beside it, so that the program never sees the steps between.
    for (name, line) in [("new.1", "between"), ("new", "now")] {
        append(&at(name), &received(line));
    }
    fs::rename(&path, at("server.log.3")).unwrap();
    fs::rename(at("new.1"), at("server.log.1")).unwrap();
    fs::rename(at("new"), &path).unwrap();
    assert_eq!([next(&rows), next(&rows)].map(|row| id(&row).to_owned()), ["between", "now"]);
    let report = collector.stop();
    assert_eq!((log_details(&report, "files_between"), log_details(&report, "files_lost")), (1, 1));
    assert!(
        report.notes[0].contains("a file that came between is gone: its lines are lost"),
        "{:?}",
        report.notes
    );
}

/// Copied and then emptied: what had not been read yet is in the copy; and a file that is as long as before by the next
/// look, or longer, is noticed as well.
#[test]
fn a_log_that_is_copied_and_emptied_loses_no_line() {
    let dir = TempDir::new().unwrap();
    let at = |name: String| dir.path().join(name);
    let path = at("server.log".to_owned());
    append(&path, &received("old"));
    let (collector, rows) = follow(&path, Begin::End);
    for n in 0..8 {
        append(&path, &received(&format!("unread-{n}")));
        for k in (1..10).rev() {
            let _ = fs::rename(at(format!("server.log.{k}")), at(format!("server.log.{}", k + 1)));
        }
        fs::copy(&path, at("server.log.1".to_owned())).unwrap();
        File::options().write(true).truncate(true).open(&path).unwrap();
        let after: String = (0..=n % 4).map(|i| received(&format!("after-{n}-{i}"))).collect();
        append(&path, &after);
        assert_eq!(id(&next(&rows)), format!("unread-{n}"));
        for i in 0..=n % 4 {
            assert_eq!(id(&next(&rows)), format!("after-{n}-{i}"));
        }
    }
    let report = collector.stop();
    assert_eq!(ids(&rows), Vec::<String>::new(), "nothing twice");
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn a_truncated_file_is_read_on_from_its_start() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("server.log");
    append(&path, &(received("old-1") + &received("old-2")));
    let (collector, rows) = follow(&path, Begin::End);
    append(&path, &received("a"));
    assert_eq!(id(&next(&rows)), "a");
    File::options().write(true).truncate(true).open(&path).unwrap();
    append(&path, &received("b"));
    assert_eq!(id(&next(&rows)), "b");
    let report = collector.stop();
    assert!(report.notes[0].contains("was truncated"), "{:?}", report.notes);
}

/// `HAProxy`, restarted with `log stdout` and `>> server.log`: it takes `O_APPEND` from what it is given.
#[test]
fn a_file_whose_beginning_is_written_over_is_said_to_be_so() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("server.log");
    append(&path, &(0..20).map(|n| received(&format!("old-{n}"))).collect::<String>());
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
    let (collector, rows) = follow(&path, Begin::End);
    (&file).write_all(received("new").as_bytes()).unwrap();
    let report = collector.stop();
    assert_eq!(rows.try_iter().count(), 0);
    let said = "was changed while it was followed, but did not grow: does whoever writes it append?";
    assert!(report.notes.len() == 1 && report.notes[0].contains(said), "{:?}", report.notes);
}
