//! What packages are called and carry: the names that scripts/package makes are those that `cargo binstall`, the GitHub
//! Action and the container look for. Making them is not tested here: scripts/try-packages does that with real ones.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

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

/// The script of a step of the workflow that makes releases.
fn step(name: &str) -> String {
    let workflow: Value = serde_saphyr::from_str(&text(".github/workflows/release.yml")).unwrap();
    let jobs = workflow["jobs"].as_object().unwrap();
    let mut steps = jobs.values().flat_map(|job| job["steps"].as_array().unwrap());
    let step = steps.find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step `{name}`"));
    step["run"].as_str().unwrap().to_owned()
}

/// Runs it as GitHub does, with what it would be given.
fn run(script: &str, folder: &Path, env: &[(&str, &str)]) -> Output {
    let shell = ["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script];
    Command::new("bash").args(shell).current_dir(folder).envs(env.iter().copied()).output().unwrap()
}

#[test]
fn a_tag_of_another_version_or_repository_is_no_release() {
    let (version, repository) = (env!("CARGO_PKG_VERSION"), cargo_toml("repository"));
    let script = step("Cargo.toml names this version and this repository");
    let said = |tag: &str, here: &str| {
        let done = run(&script, root(), &[("TAG", tag), ("HERE", here)]);
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(said(&format!("v{version}"), &repository), (0, String::new()));
    let (code, error) = said("v99.0.0", &repository);
    assert!(code == 1 && error.contains("::error::the tag is v99.0.0"), "{error}");
    let (code, error) = said(&format!("v{version}"), "https://elsewhere.invalid/tare");
    assert!(code == 1 && error.contains("::error::this is https://elsewhere.invalid/tare"), "{error}");
}

/// What the workflow makes of each runner is what `cargo binstall` and the action ask a release for.
#[test]
fn a_release_holds_each_archive_once_with_its_sum() {
    let version = env!("CARGO_PKG_VERSION");
    let packages = step("Packages");
    assert_eq!(
        packages.lines().collect::<Vec<_>>(),
        ["scripts/package --glibc 2.17", "scripts/package --target \"$(uname -m)-unknown-linux-musl\" tar"]
    );
    let workflow: Value = serde_saphyr::from_str(&text(".github/workflows/release.yml")).unwrap();
    let runners = workflow["jobs"]["package"]["strategy"]["matrix"]["runner"].as_array().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut made = BTreeSet::new();
    for runner in runners.iter().map(|runner| runner.as_str().unwrap()) {
        let arch = if runner.ends_with("-arm") { "aarch64" } else { "x86_64" };
        let folder = dir.path().join("made").join(runner);
        std::fs::create_dir_all(&folder).unwrap();
        // Each runner's own sums are not those of the release.
        std::fs::write(folder.join("SHA256SUMS"), "other\n").unwrap();
        for libc in ["gnu", "musl"] {
            let name = format!("tare-{version}-{arch}-unknown-linux-{libc}.tar.gz");
            std::fs::write(folder.join(&name), format!("{arch} {libc}")).unwrap();
            made.insert(name);
        }
        let deb = format!("tare_{version}-1_{}.deb", if arch == "x86_64" { "amd64" } else { "arm64" });
        std::fs::write(folder.join(&deb), arch).unwrap();
        made.insert(deb);
    }
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    std::fs::write(dir.path().join("bin/gh"), "#!/bin/sh\nprintf '%s\\n' \"$@\" >../gh\n").unwrap();
    run("chmod +x bin/gh", dir.path(), &[]);
    let path = format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH").unwrap());
    let tag = format!("v{version}");
    let done = run(&step("Release"), dir.path(), &[("TAG", &tag), ("PATH", &path)]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let asked = std::fs::read_to_string(dir.path().join("gh")).unwrap();
    let (options, files) = asked.split_once("\n--\n").unwrap();
    assert!(options.starts_with(&format!("release\ncreate\n{tag}\n--verify-tag\n")), "{options}");
    let given: BTreeSet<String> = files.lines().map(str::to_owned).collect();
    assert_eq!(given, &made | &BTreeSet::from(["SHA256SUMS".to_owned()]));
    let dist = dir.path().join("dist");
    assert!(run("sha256sum --check --strict SHA256SUMS", &dist, &[]).status.success());
    let sums = std::fs::read_to_string(dist.join("SHA256SUMS")).unwrap();
    let summed: BTreeSet<String> =
        sums.lines().map(|line| line.split_once("  ").unwrap().1.to_owned()).collect();
    assert_eq!(summed, made);

    for target in ["x86_64", "aarch64"]
        .iter()
        .flat_map(|arch| ["gnu", "musl"].map(|libc| format!("{arch}-unknown-linux-{libc}")))
    {
        let url = filled(&cargo_toml("pkg-url"), &target);
        let (release, archive) = url.rsplit_once('/').unwrap();
        assert!(release.ends_with(&format!("/releases/download/{tag}")) && made.contains(archive), "{url}");
    }
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
