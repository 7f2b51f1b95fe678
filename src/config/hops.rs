//! The hops between client and server, as they are written: in the file a list of keys, on the command
//! line `[NAME=][KIND:]FILE`. This file must not know what a log says.

use std::path::PathBuf;

use super::check::{Check, Origins};
use super::suggest::nearest;
use super::{Hop, file};
use crate::error::Failure;

/// The hop of a command line, checked.
pub fn hop_of(text: &str) -> Result<Hop, Failure> {
    let mut origins = Origins::default();
    origins.came_from("hops", "--hop");
    let mut check = Check::new(&origins);
    let hop = hops(&[written(text)], &mut check).pop();
    check.finish()?;
    Ok(hop.unwrap_or_else(|| Hop { name: String::new(), kind: None, log: PathBuf::from(text) }))
}

/// `[NAME=][KIND:]FILE` taken apart: what stands before `:` is a kind only if one is called so, and what
/// stands before `=` is a name only if it looks like one, for paths hold both.
pub(super) fn written(text: &str) -> file::Hop {
    let (name, rest) = match text.split_once('=') {
        Some((name, rest)) if is_name(name) => (Some(name.to_owned()), rest),
        _ => (None, text),
    };
    let (kind, log) = match rest.split_once(':') {
        Some((kind, log)) if kinds().any(|known| known == kind) || is_word(kind) => (Some(kind), log),
        _ => (None, rest),
    };
    file::Hop { name, kind: kind.map(str::to_owned), log: Some(PathBuf::from(log)) }
}

/// Fills in names and checks everything.
pub(super) fn hops(given: &[file::Hop], check: &mut Check<'_>) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    for (i, hop) in given.iter().enumerate() {
        let kind = hop.kind.as_ref().filter(|kind| *kind != "auto").map(|kind| {
            if !kinds().any(|known| known == kind.as_str()) {
                let known: Vec<&str> = kinds().collect();
                let hint = match nearest(kind, kinds()) {
                    Some(word) => format!("did you mean `{word}`?"),
                    None => format!("one of {}, or leave it out", known.join(", ")),
                };
                check.problem(
                    "hops",
                    format!("hop {}: `{kind}` is no kind of gateway that is known", i + 1),
                    hint,
                );
            }
            kind.clone()
        });
        let Some(log) = hop.log.clone().filter(|log| !log.as_os_str().is_empty()) else {
            check.problem(
                "hops",
                format!("hop {}: expected a log, found none", i + 1),
                "`log` is the path of its access log",
            );
            continue;
        };
        let name = hop.name.clone().or_else(|| kind.clone()).unwrap_or_else(|| {
            let stem = log.file_name().map(|name| name.to_string_lossy().into_owned());
            stem.filter(|stem| is_name(stem)).unwrap_or_else(|| format!("hop {}", i + 1))
        });
        if hop.name.as_ref().is_some_and(|name| !is_name(name)) {
            check.problem(
                "hops",
                format!(
                    "hop {}: expected letters, digits, `.`, `_` and `-` as its name, found `{name}`",
                    i + 1
                ),
                "for example `edge`",
            );
        }
        if hops.iter().any(|other| other.name == name) {
            check.problem("hops", format!("two hops are called `{name}`"), "give each a `name` of its own");
        }
        hops.push(Hop { name, kind, log });
    }
    hops
}

/// The log formats of gateways.
fn kinds() -> impl Iterator<Item = &'static str> {
    tare_parsers::Product::ALL.into_iter().map(tare_parsers::Product::name)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
}

/// A word before a colon is meant as a kind; a path has more than that.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_on_the_command_line_is_a_path_with_what_is_known_of_it() {
        let show = |text: &str| match hop_of(text) {
            Ok(Hop { name, kind, log }) => {
                format!("{name} | {} | {}", kind.as_deref().unwrap_or("?"), log.display())
            }
            Err(error) => format!("{error}"),
        };
        let shown: Vec<String> = [
            "/var/log/nginx/access.log",
            "nginx:/var/log/nginx/access.log",
            "edge=nginx:access.log",
            "edge=access.log",
            "/logs/day=3/a:b.log",
            "ngnix:access.log",
            "nginx:",
        ]
        .iter()
        .map(|text| show(text))
        .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        access.log | ? | /var/log/nginx/access.log
        nginx | nginx | /var/log/nginx/access.log
        edge | nginx | access.log
        edge | ? | access.log
        hop 1 | ? | /logs/day=3/a:b.log
        `--hop`: hop 1: `ngnix` is no kind of gateway that is known
        `--hop`: hop 1: expected a log, found none
        ");
    }
}
