//! What packages are called and carry: the names that scripts/package makes are those that `cargo binstall`, the GitHub
//! Action and the container look for. Making them is not tested here: scripts/try-packages does that with real ones.

use std::process::Command;

use crate::source::root;

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A key of `Cargo.toml` whose value is a string.
fn cargo_toml(key: &str) -> String {
    let line =
        text("Cargo.toml").lines().find(|line| line.starts_with(&format!("{key} = \""))).unwrap().to_owned();
    line.split('"').nth(1).unwrap().to_owned()
}

fn filled(template: &str, target: &str) -> String {
    let repository = cargo_toml("repository");
    [
        ("repo", repository.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("name", env!("CARGO_PKG_NAME")),
        ("target", target),
        ("bin", "tare"),
        ("binary-ext", ""),
    ]
    .iter()
    .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{ {name} }}"), value))
}

#[test]
fn binstall_looks_for_what_the_script_makes_where_the_action_looks() {
    let version = env!("CARGO_PKG_VERSION");
    for target in ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"] {
        let name = format!("tare-{version}-{target}");
        assert_eq!(
            filled(&cargo_toml("pkg-url"), target),
            format!("{}/releases/download/v{version}/{name}.tar.gz", cargo_toml("repository"))
        );
        assert_eq!(filled(&cargo_toml("bin-dir"), target), format!("{name}/tare"));
    }
    assert_eq!(cargo_toml("pkg-fmt"), "tgz");
    let script = text("scripts/package");
    assert!(script.contains("\nname=tare-$version-$triple\n") && script.contains("\"$out/$name.tar.gz\""));
    let action = text("action/install.sh");
    assert!(action.contains("name=tare-$version-$target\n"));
    assert!(action.contains("from=$GITHUB_SERVER_URL/$REPOSITORY/releases/download/v$version\n"));
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        assert!(action.contains(&format!("target={target} ")), "{target}");
    }
    assert!(text("packaging/Containerfile").contains("ADD dist/tare-*-linux-gnu.tar.gz "));
}

#[test]
fn the_wheel_has_the_crates_name_words_and_profile() {
    let wheel = text("pyproject.toml");
    assert!(wheel.contains(&format!("\nname = \"{}\"\n", env!("CARGO_PKG_NAME"))));
    assert!(wheel.contains(&format!("description = \"{}\"", cargo_toml("description"))));
    for line in ["bindings = \"bin\"", "profile = \"dist\"", "locked = true", "dynamic = [\"version\"]"] {
        assert!(wheel.contains(line), "{line}");
    }
    assert!(wheel.contains(&format!("license = \"{}\"", cargo_toml("license"))));
}

#[test]
fn every_crate_that_is_shipped_has_a_licence_that_is_allowed() {
    let checked = Command::new(root().join("scripts/licences")).arg("--check").output().unwrap();
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.contains("all there, all allowed"), "{said}");
}

/// The expressions of crates, read as SPDX has them, and the old way with `/`.
#[test]
fn a_licence_is_allowed_if_its_expression_is() {
    let cases = [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("Unlicense/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("GPL-3.0 OR MIT AND GPL-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("", false),
        ("MIT OR", false),
        ("(MIT", false),
        ("MIT MIT", false),
    ];
    let asked: Vec<&str> = cases.iter().map(|case| case.0).collect();
    let python = "import importlib.machinery, importlib.util, json, sys\n\
                  loader = importlib.machinery.SourceFileLoader('licences', sys.argv[1])\n\
                  sys.dont_write_bytecode = True\n\
                  module = importlib.util.module_from_spec(importlib.util.spec_from_loader('licences', loader))\n\
                  loader.exec_module(module)\n\
                  allowed = {'MIT', 'ISC', 'Apache-2.0 WITH LLVM-exception'}\n\
                  print(json.dumps([module.allows(text, allowed) for text in json.loads(sys.argv[2])]))";
    let said = Command::new("python3")
        .args(["-c", python])
        .arg(root().join("scripts/licences"))
        .arg(serde_json::to_string(&asked).unwrap())
        .output()
        .unwrap();
    let allowed: Vec<bool> = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&said.stderr)));
    let wanted: Vec<bool> = cases.iter().map(|case| case.1).collect();
    assert_eq!(allowed, wanted);
}
