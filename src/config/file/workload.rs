//! The parts of `workload:` that only some datasets have, exactly as they are written. What a missing
//! key means is said in `validate`.

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::super::law::Law;
use crate::record::History;

/// `workload.prefix_repetition`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefixRepetition {
    pub prefix_len: Option<u32>,
    pub suffix_len: Option<u32>,
    pub num_prefixes: Option<u32>,
    pub output_len: Option<u32>,
}

/// `workload.sonnet`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sonnet {
    pub input_len: Option<u32>,
    pub output_len: Option<u32>,
    pub prefix_len: Option<u32>,
}

/// `workload.columns`: those of a CSV or Parquet file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    pub prompt: Option<String>,
    pub output: Option<String>,
    pub messages: Option<String>,
}

/// `workload.multi_turn`: `false`, `true`, or how.
#[derive(Clone, Debug, PartialEq)]
pub enum MultiTurnChoice {
    Off,
    On(MultiTurn),
}

/// `workload.multi_turn` in full.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiTurn {
    pub history: Option<History>,
    pub think_time_s: Option<Law>,
    pub min_turns: Option<u32>,
    pub max_turns: Option<u32>,
    pub turn_input_len: Option<Law>,
}

impl<'de> Deserialize<'de> for MultiTurnChoice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = MultiTurnChoice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`true`, `false` or the keys `history`, `think_time_s`, `min_turns`, `max_turns`, `turn_input_len`")
            }

            fn visit_bool<E>(self, on: bool) -> Result<MultiTurnChoice, E> {
                Ok(if on { MultiTurnChoice::On(MultiTurn::default()) } else { MultiTurnChoice::Off })
            }

            fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<MultiTurnChoice, A::Error> {
                MultiTurn::deserialize(de::value::MapAccessDeserializer::new(keys)).map(MultiTurnChoice::On)
            }
        }
        from.deserialize_any(Choice)
    }
}
