//! From a YAML file to [`File`], and from what the YAML reader says about a bad one to an error
//! that names the field, shows the line, and says what to write instead. This file must not know
//! which values make sense: that is `validate`'s business.

use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_saphyr::Error as Yaml;

use super::file::{Audit, Embedded, File, Hop, Load, Observe, Otlp, Stage, Target, TimedTrace, Workload};
use super::suggest::nearest;
use super::sweep::Sweep;
use crate::error::{Failure, usage};
use crate::record::slo::Slo;

/// Reads a configuration file.
pub fn read(path: &Path) -> Result<File, Failure> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        usage(format!("cannot read the configuration `{name}`"))
            .caused_by(error)
            .hint("paths are relative to the current directory; `configs/` holds examples")
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        usage(format!("`{name}` is not a text file: byte {} is not UTF-8", error.utf8_error().valid_up_to()))
            .hint("a configuration is YAML; see `configs/demo.yaml`")
    })?;
    parse(&name.to_string(), &text)
}

/// Reads a configuration from text; `name` is what errors call it.
pub fn parse(name: &str, text: &str) -> Result<File, Failure> {
    let mut field = String::new();
    serde_saphyr::with_deserializer_from_str(text, |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            field = error.path().to_string();
            error.into_inner()
        })
    })
    .map_err(|error| explain(name, text, &field, error.without_snippet()))
}

/// The failure for what the YAML reader found at `field`.
fn explain(name: &str, text: &str, field: &str, error: &Yaml) -> Failure {
    let spot = Spot::of(text, field, error);
    let found = spot.as_ref().map_or("", |spot| if spot.is_private { "" } else { spot.found });
    let (message, hint) = match error {
        Yaml::SerdeUnknownField { field: key, expected, .. } => {
            (format!("unknown key {}", quoted(field, key)), Some(for_unknown(field, key, expected)))
        }
        Yaml::SerdeUnknownVariant { variant, expected, .. } => (
            format!("`{field}`: expected {}, found `{variant}`", one_of(expected)),
            nearest(variant, expected.iter().copied()).map(|word| format!("did you mean `{word}`?")),
        ),
        Yaml::InvalidScalar { ty, .. } => wrong(field, scalar(ty), found),
        Yaml::Unexpected { expected, .. } => wrong(field, node(expected), found),
        Yaml::SerdeInvalidType { expected, .. } | Yaml::SerdeInvalidValue { expected, .. } => {
            wrong(field, expected, found)
        }
        Yaml::DuplicateMappingKey { key, .. } => (
            format!("the key `{}` is there twice", key.as_deref().unwrap_or(found)),
            Some("keep one of them".to_owned()),
        ),
        Yaml::MultipleDocuments { .. } => (
            "expected one YAML document, found several".to_owned(),
            Some("remove the line `---` between them".to_owned()),
        ),
        other => {
            // The reader's own words, without the place, which is shown below them.
            let said = other.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            (format!("not valid YAML: {said}"), for_syntax(said))
        }
    };
    let failure = match spot {
        Some(spot) => usage(format!("{message}\n{}", spot.show(name))),
        None => usage(format!("{message} in `{name}`")),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn wrong(field: &str, expected: &str, found: &str) -> (String, Option<String>) {
    let found = if found.is_empty() { "something else".to_owned() } else { format!("`{found}`") };
    let hint = match expected {
        MAPPING => Some("write its keys indented on the lines below it".to_owned()),
        LIST => Some("write the values in brackets: `[a, b]`".to_owned()),
        number if number.contains("number") => {
            Some("numbers stand without a unit; the key's ending says it (`_s`: seconds)".to_owned())
        }
        _ => Some("`configs/` holds examples".to_owned()),
    };
    let place = if field == "." { "the file".to_owned() } else { format!("`{field}`") };
    (format!("{place}: expected {expected}, found {found}"), hint)
}

const MAPPING: &str = "keys with values";
const LIST: &str = "a list";
const NUMBER: &str = "a number";
const WHOLE: &str = "a whole number, 0 or more";

/// A Rust type's name in words.
fn scalar(ty: &str) -> &str {
    match ty {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => WHOLE,
        "floating point" | "f64" => NUMBER,
        "boolean" => "`true` or `false`",
        other => other,
    }
}

/// A YAML event's name in words.
fn node(event: &str) -> &str {
    match event {
        "mapping start" => MAPPING,
        "sequence start" => LIST,
        "string scalar" => "one value",
        other => other,
    }
}

fn one_of(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn quoted(field: &str, key: &str) -> String {
    match field.rsplit_once('.') {
        Some((section, _)) => format!("`{key}` in `{section}`"),
        None => format!("`{key}`"),
    }
}

/// The nearest key of this section; else the section the key belongs to; else all the keys.
fn for_unknown(field: &str, key: &str, expected: &[&'static str]) -> String {
    if let Some(word) = nearest(key, expected.iter().copied()) {
        return format!("did you mean `{word}`?");
    }
    let here = field.rsplit_once('.').map_or("", |(section, _)| section);
    let elsewhere = sections().into_iter().filter(|(section, _)| *section != here);
    let mut near =
        elsewhere.filter_map(|(section, keys)| Some((section, nearest(key, keys.iter().copied())?)));
    match near.next() {
        Some(("", word)) => format!("`{word}` stands at the top level, not in a section"),
        Some((section, word)) => format!("`{word}` belongs in `{section}`"),
        None => format!("the keys here are {}", one_of(expected)),
    }
}

fn for_syntax(said: &str) -> Option<String> {
    if said.contains("tabs") {
        Some("indent with spaces".to_owned())
    } else if said.contains("did not find expected key") {
        Some("keys of one section stand exactly below each other".to_owned())
    } else if said.contains("unclosed") {
        Some("close it, or write one key a line".to_owned())
    } else if said.contains("mapping values") {
        Some("put a value that contains `: ` in quotes".to_owned())
    } else {
        None
    }
}

/// Every section with its keys.
fn sections() -> [(&'static str, &'static [&'static str]); 13] {
    [
        ("", keys::<File>()),
        ("target", keys::<Target>()),
        ("embedded", keys::<Embedded>()),
        ("workload", keys::<Workload>()),
        ("workload.timed_trace", keys::<TimedTrace>()),
        ("load", keys::<Load>()),
        ("load.stages", keys::<Stage>()),
        ("observe", keys::<Observe>()),
        ("observe.otlp", keys::<Otlp>()),
        ("hops", keys::<Hop>()),
        ("slo", keys::<Slo>()),
        ("sweep", keys::<Sweep>()),
        ("audit", keys::<Audit>()),
    ]
}

/// The keys of a section, asked from its derived `Deserialize`: they are written once, in `file`.
pub fn keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Ask<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("only asked for its keys"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            keys: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = keys;
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
            unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut keys: &'static [&'static str] = &[];
    // It always fails, having said its keys.
    let _ = T::deserialize(Ask(&mut keys));
    keys
}

/// A place in the text.
struct Spot<'a> {
    line_no: u64,
    column: usize,
    line: &'a str,
    /// What stands there, as far as it stands on that line.
    found: &'a str,
    /// Values of headers stand here, and are not shown: one of them may be a key.
    is_private: bool,
}

impl<'a> Spot<'a> {
    /// Where the error is. The reader points some errors about a value at its key (the last part of
    /// `field`): then the value is meant.
    fn of(text: &'a str, field: &str, error: &Yaml) -> Option<Self> {
        let location = error.location()?;
        let line_no = location.line();
        let line = text.lines().nth(usize::try_from(line_no.checked_sub(1)?).ok()?)?;
        let mut column = usize::try_from(location.column()).ok()?;
        let mut length = usize::try_from(location.span().len()).ok()?;
        let mut rest = from_column(line, column);
        let key = field.rsplit('.').next().unwrap_or_default();
        let word = match error {
            Yaml::SerdeInvalidType { .. } | Yaml::SerdeInvalidValue { .. } => Some(""),
            Yaml::SerdeUnknownVariant { variant, .. } => Some(variant.as_str()),
            _ => None,
        };
        if let Some(value) = rest.strip_prefix(key).and_then(|rest| rest.trim_start().strip_prefix(':'))
            && let Some(word) = word
        {
            let value = value.trim_start();
            // Of a word that is known, no quotes and nothing that follows it.
            let value = value.find(word).and_then(|at| value.get(at..)).unwrap_or(value);
            column += rest.chars().count() - value.chars().count();
            (rest, length) = (value, word.chars().count());
        }
        // A list or section counts one character long; it and what has no length go on to the
        // line's end or a comment.
        let found = match rest.char_indices().nth(length) {
            Some((end, _)) if length > 0 && !(rest.starts_with(['[', '{']) || rest.starts_with("- ")) => {
                rest.get(..end).unwrap_or(rest)
            }
            _ => rest.split(" #").next().unwrap_or_default().trim_end(),
        };
        let is_private = field.contains("headers") || is_in_headers(text, line_no);
        Some(Self { line_no, column, line, found, is_private })
    }

    /// The line with a mark below the place, as compilers show it.
    fn show(&self, name: &str) -> String {
        let Self { line_no, column, line, found, is_private } = self;
        if *is_private {
            return format!(
                " --> {name}:{line_no}:{column} (not shown: the values of headers may be secret)"
            );
        }
        let number = line_no.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(column.saturating_sub(1));
        let mark = "^".repeat(found.chars().count().max(1));
        format!(
            "{margin}--> {name}:{line_no}:{column}\n{margin} |\n{number} | {line}\n{margin} | {indent}{mark}"
        )
    }
}

/// Whether a line belongs to a section `headers`, as far as its indentation tells.
fn is_in_headers(text: &str, line_no: u64) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let above: Vec<&str> = text.lines().take(usize::try_from(line_no).unwrap_or(usize::MAX)).collect();
    let Some((last, before)) = above.split_last() else { return false };
    let Some(at) = above.iter().rposition(|line| line.contains("headers")) else { return false };
    let head = above.get(at).copied().unwrap_or_default();
    let between = before.iter().skip(at + 1).chain(std::iter::once(last));
    at + 1 == above.len()
        || between.filter(|line| !line.trim().is_empty()).all(|line| indent(line) > indent(head))
}

/// The line from a column on; columns count characters from 1.
fn from_column(line: &str, column: usize) -> &str {
    let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    line.get(start..).unwrap_or_default()
}
