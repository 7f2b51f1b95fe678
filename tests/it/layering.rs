//! Which module may know which: arrows only go down, and a crate that is confined to a room stays
//! there. Read from the sources, so that a wrong import fails here and not in a review.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source::rust_files;

/// What everything may use.
const GROUND: &[&str] = &["clock", "metric", "record", "units", "error", "secrets", "stats", "plain"];

/// A stage and what it may use beside the ground.
const ALLOWED: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("metric", &[]),
    ("record", &[]),
    ("units", &[]),
    ("secrets", &[]),
    ("error", &[]),
    ("plain", &[]),
    ("stats", &[]),
    ("net", &[]),
    // One way to believe a certificate, for the load and for control calls.
    ("server", &["net", "parsers"]),
    ("gateway_config", &[]),
    ("store", &[]),
    ("cli", &[]),
    // Which kinds of hops there are is the parsers' to say.
    ("config", &["cli", "net", "parsers", "server", "sweep"]),
    // A Parquet file's columns come through the one place that knows polars.
    ("workload", &["config", "store"]),
    ("load", &["config", "net", "parsers"]),
    ("watch", &["net"]),
    ("export", &["config", "server"]),
    ("expose", &[]),
    // It takes apart what it passed on with the code that takes apart what the load receives.
    ("tap", &["load", "net", "parsers", "store"]),
    ("ingest", &["config", "server", "parsers"]),
    // What is read the same way from a file and from a server is read by the same code.
    ("import", &["ingest", "load", "parsers", "server", "store", "tap"]),
    // What the headers of answers state is the parsers' to read.
    ("correlate", &["parsers", "server", "stats", "store"]),
    ("sweep", &[]),
    ("compare", &["store"]),
    // The page is drawn on the axes and in the colours of the figures.
    ("report", &["plot", "server", "stats", "store", "sweep"]),
    ("plot", &["stats"]),
    ("mock", &["config"]),
    (
        "run",
        &[
            "compare",
            "config",
            "correlate",
            "export",
            "expose",
            "import",
            "ingest",
            "load",
            "mock",
            "net",
            "plot",
            "report",
            "server",
            "stats",
            "store",
            "sweep",
            "watch",
            "workload",
        ],
    ),
    ("calibrate", &["config", "mock", "run", "server", "store"]),
    ("doctor", &["config", "correlate", "load", "run", "server"]),
    (
        "verbs",
        &[
            "calibrate",
            "cli",
            "compare",
            "config",
            "doctor",
            "gateway_config",
            "mock",
            "net",
            "report",
            "run",
            "server",
            "sweep",
            "tap",
            "workload",
        ],
    ),
    ("main", &["cli", "tare", "verbs"]),
    ("lib", &[]),
];

/// Crates that stay in their rooms.
const CONFINED: &[(&str, &[&str])] = &[
    ("polars", &["correlate/", "store.rs", "store/"]),
    ("plotters", &["plot/"]),
    ("resvg", &["plot/"]),
    ("clap", &["cli.rs", "cli/"]),
    ("clap_complete", &["cli/shipped.rs"]),
    ("clap_mangen", &["cli/shipped.rs"]),
    ("socket2", &["net/", "mock/"]),
    ("reqwest", &["ingest/scrape.rs", "server/", "mock/", "export/sink.rs"]),
    ("rustls", &["net/"]),
    ("tonic", &["ingest/otlp"]),
    ("tokio::net", &["net/", "mock/", "ingest/otlp", "expose/"]),
    ("comfy_table", &["report/terminal.rs"]),
    ("terminal_size", &["report/terminal.rs"]),
    ("indicatif", &["run/progress/mod.rs"]),
    ("minijinja", &["report/html/"]),
];

/// The mock shares no code with what it tests: a shared bug would cancel out.
const NOT_FOR_THE_MOCK: &[&str] = &["tare_parsers", "crate::load", "crate::net", "crate::ingest"];

#[test]
fn arrows_only_go_down() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        if path.ends_with("tests.rs") {
            // As below: what they need may be from above.
            continue;
        }
        let module = module_of(&path);
        let Some(may) = allowed.get(module.as_str()) else {
            wrong.push(format!(
                "src/{} is in no room of the house: add `{module}` to this test and to ARCHITECTURE.md",
                path.display()
            ));
            continue;
        };
        for used in uses(&without_tests(&text)) {
            if used != module && !GROUND.contains(&used.as_str()) && !may.contains(&used.as_str()) {
                wrong.push(format!("src/{} uses `{used}`, which `{module}` must not know", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_ground_knows_nothing_above_it() {
    for (path, text) in rust_files("src") {
        if GROUND.contains(&module_of(&path).as_str()) {
            let above: Vec<String> =
                uses(&without_tests(&text)).into_iter().filter(|u| !GROUND.contains(&u.as_str())).collect();
            assert!(above.is_empty(), "src/{} uses {above:?}", path.display());
        }
    }
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        let shown = path.to_string_lossy();
        for (name, rooms) in CONFINED {
            let used = code_lines(&text).any(|line| names(line, name));
            if used && !rooms.iter().any(|room| shown.starts_with(room)) {
                wrong.push(format!("src/{shown} uses `{name}`, which belongs to {rooms:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_mock_shares_no_code_with_what_it_tests() {
    for (path, text) in rust_files("src/mock") {
        for name in NOT_FOR_THE_MOCK {
            assert!(
                !code_lines(&text).any(|line| line.contains(name)),
                "src/mock/{} uses `{name}`",
                path.display()
            );
        }
    }
}

#[test]
fn parsers_do_no_io_and_know_no_clock() {
    for (path, text) in rust_files("parsers/src") {
        for name in
            ["std::fs", "std::net", "std::io", "std::time", "tokio", "polars", "std::env", "std::thread"]
        {
            assert!(
                !code_lines(&text).any(|line| line.contains(&format!("{name}::"))),
                "parsers/src/{} uses `{name}`",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["src", "parsers/src", "tests/it"] {
        for (path, text) in rust_files(folder) {
            assert!(text.starts_with("//!"), "{folder}/{} does not open with `//!`", path.display());
        }
    }
}

/// Whether `line` names the crate (or path) `name`, not something else that ends in the same letters.
fn names(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    line.contains(&format!("use {name};")) || line.match_indices(&path).any(|(at, _)| begins(at))
}

fn module_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules that `text` names after `crate::`, and the parsers' crate.
fn uses(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for line in code_lines(text) {
        for rest in line.split("crate::").skip(1) {
            let braced = rest.strip_prefix('{').and_then(|inside| inside.split('}').next());
            for part in braced.map_or(vec![rest], |inside| inside.split(',').collect()) {
                let name: String =
                    part.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !name.is_empty() {
                    used.insert(name);
                }
            }
        }
        if line.contains("tare_parsers::") {
            used.insert("parsers".to_owned());
        }
    }
    used
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
}

/// Unit tests may build what they need from above.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}
