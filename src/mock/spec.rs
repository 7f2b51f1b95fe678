//! The words of one fault's spec: `key=value` pairs, asked for by name, and what is left over refused.
//! This file must not know the faults.

use anyhow::{Context, Result, bail};

/// Which requests a fault strikes, by their number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Always,
    Every(u64),
    At(u64),
}

/// The `key=value` words of one spec that nobody has asked for yet.
pub struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl When {
    pub fn hits(self, n: u64) -> bool {
        match self {
            When::Always => true,
            When::Every(every) => n.is_multiple_of(every),
            When::At(at) => n == at,
        }
    }
}

impl<'a> Parameters<'a> {
    pub fn read(words: impl Iterator<Item = &'a str>) -> Result<Self> {
        let pairs = words.map(|word| {
            word.split_once('=').with_context(|| format!("expected `key=number`, found `{word}`"))
        });
        Ok(Self(pairs.collect::<Result<_>>()?))
    }

    pub fn required<T: TryFrom<u64>>(&mut self, key: &str) -> Result<T> {
        let text = self.take(key).with_context(|| format!("it needs `{key}=N`"))?;
        let number = number(key, text)?;
        T::try_from(number).ok().with_context(|| format!("`{key}={number}` is too large"))
    }

    /// `share=0.05`; all of them when it is not given.
    pub fn share(&mut self) -> Result<f64> {
        let Some(text) = self.take("share") else {
            return Ok(1.0);
        };
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.with_context(|| format!("expected a number from 0 to 1 in `share`, found `{text}`"))
    }

    /// At most one of `every=N` and `at_request=N`.
    pub fn selector(&mut self) -> Result<When> {
        match (self.take("every"), self.take("at_request")) {
            (Some(_), Some(_)) => bail!("`every` and `at_request` exclude each other"),
            (Some(text), None) => Ok(When::Every(at_least_one("every", text)?)),
            (None, Some(text)) => Ok(When::At(at_least_one("at_request", text)?)),
            (None, None) => Ok(When::Always),
        }
    }

    pub fn none_left(&self) -> Result<()> {
        match self.0.first() {
            Some((key, value)) => bail!("it takes no `{key}={value}`"),
            None => Ok(()),
        }
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(k, _)| *k == key)?;
        Some(self.0.remove(at).1)
    }
}

/// A whole number.
pub fn number(key: &str, text: &str) -> Result<u64> {
    text.parse().ok().with_context(|| format!("expected a whole number in `{key}`, found `{text}`"))
}

/// A whole number that is not zero.
pub fn at_least_one(key: &str, text: &str) -> Result<u64> {
    match number(key, text)? {
        0 => bail!("`{key}` counts from 1"),
        number => Ok(number),
    }
}
