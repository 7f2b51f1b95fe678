//! A format is one file and one line in the table; forgetting either fails here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tare_parsers::{FORMATS, detect};

use crate::files;

#[test]
fn every_file_with_a_format_is_in_the_table_and_has_samples() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: BTreeSet<String> = fs::read_dir(source)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // A folder holds parts of a parser, never a format.
        .filter(|path| path.is_file())
        .filter(|path| fs::read_to_string(path).unwrap().contains("\npub fn recognises("))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let table: BTreeSet<String> = FORMATS.iter().map(|format| format.name.to_owned()).collect();
    assert_eq!(files, table);
    for format in FORMATS {
        assert!(!files::of(format.name).is_empty());
    }
}

#[test]
fn each_sample_is_detected_as_its_own_format() {
    for format in FORMATS {
        for sample in files::of(format.name) {
            let detected = detect(files::lines(sample.text())).map(|format| format.name);
            assert_eq!(detected, Some(format.name), "{}", sample.name);
        }
    }
}

#[test]
fn text_of_no_format_is_not_detected() {
    assert!(detect(["", "hello", "{\"a\": 1}"].into_iter()).is_none());
}
