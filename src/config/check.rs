//! Checking values one by one: each problem is kept with the name under which the user gave the
//! value, and checking goes on. This file must not know the fields.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::error::{Failure, usage};

/// Which flag gave a field its value; fields not named here came from the file or a default.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    flags: BTreeMap<&'static str, &'static str>,
    file: Option<PathBuf>,
}

impl Origins {
    pub fn new(file: Option<&Path>) -> Self {
        Self { flags: BTreeMap::new(), file: file.map(Path::to_path_buf) }
    }

    /// Lays a flag over a field, if it was given.
    pub fn set<T>(
        &mut self,
        field: &'static str,
        flag: &'static str,
        given: Option<T>,
        into: &mut Option<T>,
    ) {
        if given.is_some() {
            *into = given;
            self.came_from(field, flag);
        }
    }

    pub fn came_from(&mut self, field: &'static str, flag: &'static str) {
        self.flags.insert(field, flag);
    }

    /// Whether a flag gave the field its value.
    pub fn is_flag(&self, field: &str) -> bool {
        self.flags.contains_key(field)
    }

    /// A field as the user knows it: the flag, or the key of the file.
    pub fn name(&self, field: &str) -> String {
        format!("`{}`", self.flags.get(field).copied().unwrap_or(field))
    }

    /// Where to look, before the name: only a file needs saying.
    fn place(&self, field: &str) -> String {
        match &self.file {
            Some(file) if !self.flags.contains_key(field) && !field.starts_with("--") => {
                format!("{}: ", file.display())
            }
            _ => String::new(),
        }
    }
}

/// Numbers that make sense for a field.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    least: f64,
    most: f64,
    /// `least` itself is not allowed.
    above: bool,
    unit: &'static str,
}

impl Limits {
    pub const fn from(least: f64, most: f64, unit: &'static str) -> Self {
        Self { least, most, above: false, unit }
    }

    pub const fn above(least: f64, most: f64, unit: &'static str) -> Self {
        Self { least, most, above: true, unit }
    }

    /// Whether a number makes sense.
    pub fn hold(&self, value: f64) -> bool {
        // NaN fails both comparisons.
        (if self.above { value > self.least } else { value >= self.least }) && value <= self.most
    }

    /// What does, for "expected …".
    pub fn words(&self) -> String {
        let Self { least, most, above, unit } = self;
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        if *above {
            format!("a number above {least}, at most {most}{unit}")
        } else {
            format!("a number from {least} to {most}{unit}")
        }
    }
}

/// Collects every problem.
#[derive(Debug)]
pub struct Check<'a> {
    origins: &'a Origins,
    problems: Vec<Failure>,
}

impl<'a> Check<'a> {
    pub fn new(origins: &'a Origins) -> Self {
        Self { origins, problems: Vec::new() }
    }

    /// A field as the user knows it.
    pub fn name(&self, field: &str) -> String {
        self.origins.name(field)
    }

    /// Notes that `field` is wrong.
    pub fn problem(&mut self, field: &str, message: impl Display, hint: impl Display) {
        let failure = usage(format!("{}{}: {message}", self.origins.place(field), self.name(field)));
        self.problems.push(failure.hint(hint));
    }

    /// The same, of a failure found by someone who did not know the field's name.
    pub fn failure(&mut self, field: &str, failure: Failure) {
        let prefix = format!("{}{}: ", self.origins.place(field), self.name(field));
        self.problems.push(failure.prefixed(&prefix));
    }

    /// A real number within limits; the default where it is not given or wrong.
    pub fn real(&mut self, field: &str, value: Option<f64>, default: f64, limits: Limits) -> f64 {
        self.real_or_none(field, value, limits, &left_out(default)).unwrap_or(default)
    }

    /// A real number within limits, if given and right.
    pub fn real_or_none(
        &mut self,
        field: &str,
        value: Option<f64>,
        limits: Limits,
        hint: &str,
    ) -> Option<f64> {
        let value = value?;
        if limits.hold(value) {
            return Some(value);
        }
        self.problem(field, format!("expected {}, found {value}", limits.words()), hint);
        None
    }

    /// A whole number within a range; the default where it is not given or wrong.
    pub fn whole<T>(&mut self, field: &str, value: Option<T>, default: T, range: RangeInclusive<T>) -> T
    where
        T: Copy + Display + PartialOrd,
    {
        self.whole_or_none(field, value, range, &left_out(default)).unwrap_or(default)
    }

    /// A whole number within a range, if given and right.
    pub fn whole_or_none<T>(
        &mut self,
        field: &str,
        value: Option<T>,
        range: RangeInclusive<T>,
        hint: &str,
    ) -> Option<T>
    where
        T: Copy + Display + PartialOrd,
    {
        let value = value?;
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (range.start(), range.end());
        self.problem(field, format!("expected a whole number from {least} to {most}, found {value}"), hint);
        None
    }

    /// Everything that was wrong, as one error.
    pub fn finish(self) -> Result<(), Failure> {
        Failure::all(self.problems).map_or(Ok(()), Err)
    }
}

fn left_out(default: impl Display) -> String {
    format!("left out, it is {default}")
}
