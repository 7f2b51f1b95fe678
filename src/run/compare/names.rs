//! What runs are called: as asked for, else as they were run, else by their folders. This file must not know
//! what is done with them.

use std::path::{Path, PathBuf};

use crate::config;
use crate::error::{Failure, usage};

/// A name for each run; two of one name are refused.
pub(super) fn names(folders: &[PathBuf], as_run: &[&str], given: &[String]) -> Result<Vec<String>, Failure> {
    let as_run: Vec<String> = as_run.iter().map(|&name| name.to_owned()).collect();
    let by_folder: Vec<String> = folders.iter().map(|folder| last_part(folder)).collect();
    let mut names = if twice(&as_run).is_none() { as_run } else { by_folder };
    for text in given {
        let Some((which_run, name)) = text.split_once('=').filter(|(_, name)| !name.trim().is_empty()) else {
            return Err(usage(format!("`--name {text}`: expected WHICH=NAME, such as A=before")));
        };
        let i = which("--name", which_run, &names, folders)?;
        if let Some(slot) = names.get_mut(i) {
            name.trim().clone_into(slot);
        }
    }
    match twice(&names) {
        Some(name) => Err(usage(format!("two runs are called `{name}`"))
            .hint("name them: --name A=before --name B=after; A is the first folder, B the second")),
        None => Ok(names),
    }
}

/// The number of a run by its letter, its name or its folder.
pub(super) fn which(flag: &str, text: &str, names: &[String], folders: &[PathBuf]) -> Result<usize, Failure> {
    let letter = text.bytes().next().filter(|_| text.len() == 1).filter(u8::is_ascii_uppercase);
    let by_letter = letter.map(|letter| usize::from(letter - b'A')).filter(|i| *i < folders.len());
    let by_name = || names.iter().position(|name| name == text);
    let by_folder =
        || folders.iter().position(|folder| folder == Path::new(text) || last_part(folder) == text);
    by_name().or(by_letter).or_else(by_folder).ok_or_else(|| {
        let failure = usage(format!("`{flag}`: no run is `{text}`"));
        match config::nearest(text, names.iter().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("there are {}, or A, B, … in their order", listed(names))),
        }
    })
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn last_part(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A file's name without its ending.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| last_part(path), |stem| stem.to_string_lossy().into_owned())
}

/// A name that is there more than once.
fn twice(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find_map(|(i, name)| names.iter().skip(i + 1).find(|other| *other == name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn named(runs: [&str; 2], folders: [&str; 2], given: &[&str]) -> Result<Vec<String>, String> {
        let given: Vec<String> = given.iter().map(|&text| text.to_owned()).collect();
        names(&folders.map(PathBuf::from), &runs, &given).map_err(|e| e.to_string())
    }

    #[test]
    fn runs_are_called_as_they_were_run_or_by_their_folders() {
        assert_eq!(named(["vllm", "sglang"], ["out/1", "out/2"], &[]).unwrap(), ["vllm", "sglang"]);
        assert_eq!(
            named(["demo", "demo"], ["out/demo-1", "out/demo-2/"], &[]).unwrap(),
            ["demo-1", "demo-2"]
        );
        assert_eq!(
            named(["demo", "demo"], ["a", "b"], &["A=before", "b=after"]).unwrap(),
            ["before", "after"]
        );
        assert_eq!(named(["demo", "demo"], ["out/a", "out/a"], &[]).unwrap_err(), "two runs are called `a`");
        assert_eq!(named(["x", "y"], ["a", "b"], &["A=y"]).unwrap_err(), "two runs are called `y`");
        assert_eq!(named(["x", "y"], ["a", "b"], &["C=z"]).unwrap_err(), "`--name`: no run is `C`");
        assert_eq!(
            named(["x", "y"], ["a", "b"], &["before"]).unwrap_err(),
            "`--name before`: expected WHICH=NAME, such as A=before"
        );
    }
}
