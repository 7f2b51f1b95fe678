//! The sample files: `tests/samples/<format>/<name>`.

use std::fs;
use std::path::{Path, PathBuf};

pub struct Sample {
    /// `<format>/<name>`
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Sample {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("samples of text formats are UTF-8")
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

/// The samples of one format, by name.
pub fn of(format: &str) -> Vec<Sample> {
    let mut samples: Vec<Sample> = fs::read_dir(folder().join(format))
        .unwrap_or_else(|error| panic!("samples of {format}: {error}"))
        .map(|entry| entry.unwrap().path())
        .map(|path| Sample {
            name: format!("{format}/{}", path.file_name().unwrap().to_string_lossy()),
            bytes: fs::read(&path).unwrap(),
        })
        .collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!samples.is_empty(), "{format} has no samples");
    samples
}

/// The samples of every log format.
pub fn of_logs() -> Vec<Sample> {
    tare_parsers::FORMATS.iter().flat_map(|format| of(format.name)).collect()
}

/// Lines as a tailer hands them out: without `\n`, everything else kept.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_terminator('\n')
}
