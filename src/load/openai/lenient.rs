//! Values of whatever type: another server may give a field another shape, which is then taken for
//! absent. It must not make a good answer a bad one. This file must not know which fields there are.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Text that is not empty, where there is some; a whole number is its digits.
#[derive(Default)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

/// Whether there is anything: text, a list or an object that is not empty. What it says is never
/// looked at, so it is not copied either.
#[derive(Clone, Copy, Default)]
pub(super) struct Filled(pub(super) bool);

/// A count that can be one.
#[derive(Clone, Copy, Default)]
pub(super) struct Count(pub(super) Option<u32>);

/// A count of tokens. A negative one, or one of more than [`MAX_TOKENS`], is an error: what would be made of
/// it would be wrong, and the server that tells it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Tokens(pub(super) Option<u32>);

/// A time in milliseconds. One of more than [`MAX_MS`] either way is an error.
#[derive(Clone, Copy, Default)]
pub(super) struct Ms(pub(super) Option<f64>);

/// A hundred times the longest contexts there are.
const MAX_TOKENS: u32 = 100_000_000;
/// 30 days, the longest that a request may take (`load.timeout_s`).
const MAX_MS: f64 = 30.0 * 86_400e3;

/// In a visitor: values of these kinds are taken for `$value`.
macro_rules! absent {
    ($value:expr; $($kind:ident)*) => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("any value")
        }
        $($crate::load::openai::lenient::absent_kind!($kind $value);)*
    };
}

macro_rules! absent_kind {
    (scalars $value:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
    (str $value:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
    (seq $value:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    (map $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

pub(super) use {absent, absent_kind};

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text((!text.is_empty()).then_some(Cow::Borrowed(text))))
    }
    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text((!text.is_empty()).then(|| Cow::Owned(text.to_owned()))))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }
    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
    absent_kind!(seq Text(None));
    absent_kind!(map Text(None));
}

struct FilledVisitor;

impl<'de> Visitor<'de> for FilledVisitor {
    type Value = Filled;

    absent!(Filled(false); scalars);

    fn visit_str<E>(self, text: &str) -> Result<Filled, E> {
        Ok(Filled(!text.is_empty()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Filled, A::Error> {
        let mut filled = false;
        while items.next_element::<IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(Filled(filled))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Filled, A::Error> {
        let mut filled = false;
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(Filled(filled))
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    absent!(Count(None); str seq map);

    fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
        Ok(Count(u32::try_from(number).ok()))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
        Ok(Count(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Count, E> {
        Ok(Count(None))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }
    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }
}

struct TokensVisitor;

impl<'de> Visitor<'de> for TokensVisitor {
    type Value = Tokens;

    absent!(Tokens(None); str seq map);

    fn visit_u64<E: Error>(self, number: u64) -> Result<Tokens, E> {
        match u32::try_from(number) {
            Ok(number) if number <= MAX_TOKENS => Ok(Tokens(Some(number))),
            _ => Err(no_count(&number)),
        }
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Tokens, E> {
        Err(no_count(&number))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<Tokens, E> {
        if (0.0..=f64::from(MAX_TOKENS)).contains(&number) {
            Ok(Tokens(None))
        } else {
            Err(no_count(&number))
        }
    }
    fn visit_bool<E>(self, _: bool) -> Result<Tokens, E> {
        Ok(Tokens(None))
    }
    fn visit_unit<E>(self) -> Result<Tokens, E> {
        Ok(Tokens(None))
    }
}

fn no_count<E: Error>(found: &dyn fmt::Display) -> E {
    E::custom(format_args!("expected a count of tokens from 0 to {MAX_TOKENS}, found {found:.0}"))
}

struct MsVisitor;

impl<'de> Visitor<'de> for MsVisitor {
    type Value = Ms;

    absent!(Ms(None); str seq map);

    fn visit_f64<E: Error>(self, number: f64) -> Result<Ms, E> {
        if number.abs() <= MAX_MS {
            return Ok(Ms(Some(number)));
        }
        Err(E::custom(format_args!("expected a time of at most 30 days in milliseconds, found {number:e}")))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Ms, E> {
        self.visit_f64(number as f64)
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Ms, E> {
        self.visit_f64(number as f64)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Ms, E> {
        Ok(Ms(None))
    }
    fn visit_unit<E>(self) -> Result<Ms, E> {
        Ok(Ms(None))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FilledVisitor)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TokensVisitor)
    }
}

impl<'de> Deserialize<'de> for Ms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MsVisitor)
    }
}
