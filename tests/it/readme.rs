//! The README's lists are the tables', and its commands are those that CI runs.

use crate::source::root;

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The names in back-quotes that begin the rows of the table below `heading`.
fn listed(heading: &str) -> Vec<String> {
    let text = readme();
    let section =
        text.split(&format!("{heading}\n")).nth(1).unwrap_or_else(|| panic!("README.md has no `{heading}`"));
    let section = section.split("\n#").next().unwrap();
    let mut names: Vec<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn the_readme_lists_the_log_formats() {
    assert_eq!(listed("### Log formats"), sorted(tare_parsers::FORMATS.iter().map(|f| f.name.to_owned())));
}

#[test]
fn the_readme_lists_the_servers() {
    assert_eq!(listed("### Servers"), sorted(tare::server::SERVERS.iter().map(|s| s.name.to_owned())));
}

/// How what is said of a server is known, in its row.
#[test]
fn the_readme_says_how_each_server_is_known() {
    let text = readme();
    for server in tare::server::SERVERS {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{}` |", server.name))).unwrap();
        let seen = format!("| {}, {} |", server.seen.as_str(), server.seen.of());
        assert!(row.contains(&seen), "expected `{seen}` in {row}");
        if server.metrics_path.is_some_and(|path| path != "/metrics") {
            assert!(row.contains(server.metrics_path.unwrap()), "{row}");
        }
    }
}

#[test]
fn the_readme_lists_the_datasets() {
    let names = tare::record::DATASETS.iter().map(|kind| kind.name.to_owned());
    assert_eq!(listed("### Datasets"), sorted(names));
}

#[test]
fn the_readme_lists_the_formats_for_correlate() {
    let formats = tare::import::FORMATS.iter().map(|format| format.name.to_owned());
    assert_eq!(listed("### Formats for correlate"), sorted(formats));
}

#[test]
fn the_readme_lists_the_files_of_a_run() {
    let text = readme();
    let section = text.split("### The run folder\n").nth(1).unwrap().split("\n#").next().unwrap();
    for artifact in tare::report::ARTIFACTS {
        let in_a_row = |line: &str| line.starts_with("| ") && line.contains(&format!("`{}`", artifact.file));
        assert!(section.lines().any(in_a_row), "README.md does not list {}", artifact.file);
    }
}

#[test]
fn ci_runs_the_readmes_test_command() {
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let command = readme().lines().find(|l| l.starts_with("cargo test")).unwrap().to_owned();
    assert!(
        ci.contains("grep -m1 '^cargo test' README.md"),
        ".ci/run must take the command from the README: {command}"
    );
}
