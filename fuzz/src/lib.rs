//! What each fuzz target checks of one input, whatever it is: no panic, an error that says something for what is
//! refused, counts that add up, and rows that come through a file as they went in. The main crate's tests run the
//! same over a corpus (`tests/it/fuzz_bodies.rs`). Nothing here knows libFuzzer.

mod answer;
mod columns;
mod config;
mod dataset;
mod events;
mod flags;
mod import;
mod lines;
mod metrics;
mod otlp;
mod packets;
mod run_folder;
mod scratch;
mod trace;

pub use self::answer::answer;
pub use self::columns::columns;
pub use self::config::config;
pub use self::dataset::dataset;
pub use self::events::events;
pub use self::flags::flags;
pub use self::import::import;
pub use self::lines::lines;
pub use self::metrics::metrics;
pub use self::otlp::otlp;
pub use self::packets::packets;
pub use self::run_folder::run_folder;
pub use self::trace::trace;

/// A target's name, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 13] = [
    ("answer", answer),
    ("columns", columns),
    ("config", config),
    ("dataset", dataset),
    ("events", events),
    ("flags", flags),
    ("import", import),
    ("lines", lines),
    ("metrics", metrics),
    ("otlp", otlp),
    ("packets", packets),
    ("run_folder", run_folder),
    ("trace", trace),
];

/// An error as people see it: it says something, and not without end.
fn says_something(error: &anyhow::Error) {
    let mut said = Vec::new();
    tare::error::print(&mut said, error).unwrap();
    assert!((20..100_000).contains(&said.len()), "{}", String::from_utf8_lossy(&said));
}

/// A row that is written into a run folder is read back as it was.
fn survives<T: serde::Serialize + serde::de::DeserializeOwned>(row: &T) {
    let line = serde_json::to_string(row).unwrap();
    match serde_json::from_str::<T>(&line) {
        Ok(back) => assert_eq!(line, serde_json::to_string(&back).unwrap()),
        Err(error) => panic!("{error}: {line}"),
    }
}
