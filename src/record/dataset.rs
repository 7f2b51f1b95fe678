//! The datasets that are known, by name: the one table that the command line, its help, the
//! configuration file and the README take them from. This file must not know how one is read or made.

use std::fmt;
use std::sync::LazyLock;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Where prompts come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DatasetName {
    Sharegpt,
    Jsonl,
    Csv,
    Parquet,
    Random,
    PrefixRepetition,
    Sonnet,
    Mooncake,
    TimedTrace,
    Azure,
    Burstgpt,
}

/// One line of the table.
#[derive(Debug)]
pub struct DatasetKind {
    pub which: DatasetName,
    /// As it is written; the first spelling is that of `vllm bench serve`, where it has one.
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// Whether it is read from a file; else it is made.
    pub is_read: bool,
    /// Endings of its files, by which it is known without being named.
    pub endings: &'static [&'static str],
    /// One line of help.
    pub about: &'static str,
}

/// Every dataset.
pub static DATASETS: &[DatasetKind] = &[
    DatasetKind {
        which: DatasetName::Sharegpt,
        name: "sharegpt",
        aliases: &[],
        is_read: true,
        endings: &["json"],
        about: "A JSON list of conversations, with from and value or with role and content",
    },
    DatasetKind {
        which: DatasetName::Jsonl,
        name: "custom",
        aliases: &["jsonl", "openai"],
        is_read: true,
        endings: &["jsonl", "ndjson"],
        about: "JSON Lines with prompt or messages, OpenAI's batch rows, and what tare prepare writes",
    },
    DatasetKind {
        which: DatasetName::Csv,
        name: "csv",
        aliases: &[],
        is_read: true,
        endings: &["csv"],
        about: "A CSV file with a header: a column of prompts, or of messages as JSON",
    },
    DatasetKind {
        which: DatasetName::Parquet,
        name: "parquet",
        aliases: &[],
        is_read: true,
        endings: &["parquet"],
        about: "A Parquet file: a column of prompts, or of messages as JSON",
    },
    DatasetKind {
        which: DatasetName::Random,
        name: "random",
        aliases: &[],
        is_read: false,
        endings: &[],
        about: "Random words to a length drawn by a law; exact with --tokenizer",
    },
    DatasetKind {
        which: DatasetName::PrefixRepetition,
        name: "prefix_repetition",
        aliases: &["prefix-repetition"],
        is_read: false,
        endings: &[],
        about: "Random prompts that share a few prefixes, for prefix caches",
    },
    DatasetKind {
        which: DatasetName::Sonnet,
        name: "sonnet",
        aliases: &[],
        is_read: false,
        endings: &[],
        about: "Lines of Shakespeare's sonnets after a shared beginning",
    },
    DatasetKind {
        which: DatasetName::Mooncake,
        name: "mooncake",
        aliases: &[],
        is_read: true,
        endings: &[],
        about: "A trace: JSON Lines of lengths, hash ids and milliseconds",
    },
    DatasetKind {
        which: DatasetName::TimedTrace,
        name: "timed-trace",
        aliases: &["timed_trace"],
        is_read: true,
        endings: &[],
        about: "A trace: JSON Lines of lengths, hash ids and seconds",
    },
    DatasetKind {
        which: DatasetName::Azure,
        name: "azure",
        aliases: &[],
        is_read: true,
        endings: &[],
        about: "A trace: CSV of lengths and dates",
    },
    DatasetKind {
        which: DatasetName::Burstgpt,
        name: "burstgpt",
        aliases: &[],
        is_read: true,
        endings: &[],
        about: "A trace: CSV of lengths and seconds",
    },
];

impl DatasetName {
    /// Its line of the table.
    pub fn kind(self) -> Option<&'static DatasetKind> {
        DATASETS.iter().find(|kind| kind.which == self)
    }

    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        self.kind().map_or("", |kind| kind.name)
    }

    /// By any of its spellings.
    pub fn named(name: &str) -> Option<Self> {
        let known = |kind: &&DatasetKind| kind.name == name || kind.aliases.contains(&name);
        DATASETS.iter().find(known).map(|kind| kind.which)
    }

    /// By the ending of a file's name.
    pub fn by_ending(ending: &str) -> Option<Self> {
        DATASETS.iter().find(|kind| kind.endings.contains(&ending)).map(|kind| kind.which)
    }

    /// Whether it is read from a file.
    pub fn is_read(self) -> bool {
        self.kind().is_some_and(|kind| kind.is_read)
    }
}

impl<'de> Deserialize<'de> for DatasetName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        static NAMES: LazyLock<Vec<&'static str>> =
            LazyLock::new(|| DATASETS.iter().map(|kind| kind.name).collect());
        struct Name;
        impl Visitor<'_> for Name {
            type Value = DatasetName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a dataset")
            }

            // In here, so that the error knows its place in the file.
            fn visit_str<E: de::Error>(self, name: &str) -> Result<DatasetName, E> {
                DatasetName::named(name).ok_or_else(|| E::unknown_variant(name, &NAMES))
            }
        }
        from.deserialize_str(Name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_names_one_dataset() {
        let all: Vec<&str> =
            DATASETS.iter().flat_map(|kind| kind.aliases.iter().copied().chain([kind.name])).collect();
        assert!(all.iter().all(|name| all.iter().filter(|other| other == &name).count() == 1), "{all:?}");
        for kind in DATASETS {
            assert_eq!(kind.which.as_str(), kind.name);
            assert!(kind.endings.iter().all(|ending| DatasetName::by_ending(ending) == Some(kind.which)));
        }
    }
}
