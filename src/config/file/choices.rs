//! Values that can be written in several ways: as one or as a list, as a switch or in full. This file must not know
//! what they are for.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Metrics, OneOrMore, Otlp, OtlpChoice, Rate, Scalar};

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // YAML writes infinity `.inf`, `vllm bench` writes it `inf`: asked for as text, both come
        // through, and quoted numbers with them.
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("requests per second or `inf`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                let number = text.trim_start_matches(['.', '+']);
                let number = if number.eq_ignore_ascii_case("inf") { number } else { text };
                let plain = number.replace('_', "");
                plain.parse().map(Rate).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Words)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Asked for as text, a number comes through as it is written.
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
        }
        from.deserialize_str(Words)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Levels<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Levels<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one level or a list of them")
            }

            fn visit_u64<E: de::Error>(self, level: u64) -> Result<OneOrMore<T>, E> {
                T::deserialize(de::value::U64Deserializer::new(level)).map(|level| OneOrMore(vec![level]))
            }

            fn visit_str<E: de::Error>(self, level: &str) -> Result<OneOrMore<T>, E> {
                T::deserialize(de::value::StrDeserializer::new(level)).map(|level| OneOrMore(vec![level]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut levels: A) -> Result<OneOrMore<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(level) = levels.next_element()? {
                    all.push(level);
                }
                Ok(OneOrMore(all))
            }
        }
        from.deserialize_any(Levels(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = Metrics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, a list of URLs, `true` or `false`")
            }

            fn visit_bool<E>(self, on: bool) -> Result<Metrics, E> {
                Ok(if on { Metrics::Found } else { Metrics::Off })
            }

            fn visit_str<E>(self, url: &str) -> Result<Metrics, E> {
                Ok(Metrics::At(vec![url.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut urls: A) -> Result<Metrics, A::Error> {
                let mut all = Vec::new();
                while let Some(url) = urls.next_element()? {
                    all.push(url);
                }
                Ok(Metrics::At(all))
            }
        }
        from.deserialize_any(Choice)
    }
}

impl<'de> Deserialize<'de> for OtlpChoice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = OtlpChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or the keys `host`, `grpc_port`, `http_port`")
            }

            fn visit_bool<E>(self, on: bool) -> Result<OtlpChoice, E> {
                Ok(if on { OtlpChoice::On(Otlp::default()) } else { OtlpChoice::Off })
            }

            fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<OtlpChoice, A::Error> {
                Otlp::deserialize(de::value::MapAccessDeserializer::new(keys)).map(OtlpChoice::On)
            }
        }
        from.deserialize_any(Choice)
    }
}
