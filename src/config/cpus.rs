//! A list of CPUs as `taskset -c` and the kernel write it: `0,2-3`. This file must not know which
//! CPUs there are, or what runs on them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kernel's mask that threads are bound with has so many bits.
const MOST: usize = 1024;

/// CPUs by number: ascending, each once, at least one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuList(Vec<usize>);

impl CpuList {
    /// Of these numbers, in any order; `None` of none.
    pub fn of(numbers: impl IntoIterator<Item = usize>) -> Option<Self> {
        let mut cpus: Vec<usize> = numbers.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        (!cpus.is_empty()).then_some(Self(cpus))
    }

    pub fn numbers(&self) -> &[usize] {
        &self.0
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |part: &str| {
            let part =
                if part.is_empty() { "nothing".to_owned() } else { format!("`{}`", part.escape_debug()) };
            format!("expected CPU numbers and ranges between commas, found {part}")
        };
        let number = |digits: &str, part: &str| match digits.parse::<usize>() {
            Ok(n) if digits.bytes().all(|b| b.is_ascii_digit()) && n < MOST => Ok(n),
            Ok(n) if n >= MOST => Err(format!("expected CPU numbers below {MOST}, found {n}")),
            _ => Err(wrong(part)),
        };
        let mut cpus = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first, part)?, number(last, part)?);
            if first > last {
                return Err(format!("expected a range from the lower to the higher CPU, found `{part}`"));
            }
            cpus.extend(first..=last);
        }
        Self::of(cpus).ok_or_else(|| wrong(text))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a + 1 == *b);
        let text: Vec<String> = runs
            .filter_map(|run| match (run.first()?, run.last()?) {
                (first, last) if first == last => Some(first.to_string()),
                (first, last) => Some(format!("{first}-{last}")),
            })
            .collect();
        f.write_str(&text.join(","))
    }
}

impl TryFrom<String> for CpuList {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CpuList> for String {
    fn from(cpus: CpuList) -> Self {
        cpus.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_read_as_it_is_written(cpus in proptest::collection::btree_set(0_usize..MOST, 1..50)) {
            let list = CpuList::of(cpus.iter().copied()).unwrap();
            let back: CpuList = list.to_string().parse().unwrap();
            prop_assert_eq!(back.numbers().iter().copied().collect::<BTreeSet<_>>(), cpus);
            prop_assert_eq!(back, list);
        }

        #[test]
        fn any_text_is_a_list_or_an_error(text in "[0-9,\\- x]{0,12}") {
            if let Ok(list) = text.parse::<CpuList>() {
                prop_assert!(list.numbers().windows(2).all(|w| w[0] < w[1]));
                prop_assert!(list.numbers().iter().all(|n| *n < MOST));
            }
        }
    }

    #[test]
    fn ranges_and_repetitions_become_one_list() {
        let list: CpuList = "3, 0-1,1-2,7".parse().unwrap();
        assert_eq!((list.numbers(), list.to_string().as_str()), ([0, 1, 2, 3, 7].as_slice(), "0-3,7"));
    }

    #[test]
    fn mistakes_are_named() {
        let said = |text: &str| text.parse::<CpuList>().unwrap_err();
        assert_eq!(said(""), "expected CPU numbers and ranges between commas, found nothing");
        assert_eq!(said("0,,1"), "expected CPU numbers and ranges between commas, found nothing");
        assert_eq!(said("0,b"), "expected CPU numbers and ranges between commas, found `b`");
        assert_eq!(said("+1"), "expected CPU numbers and ranges between commas, found `+1`");
        assert_eq!(said("1-2-3"), "expected CPU numbers and ranges between commas, found `1-2-3`");
        assert_eq!(said("3-1"), "expected a range from the lower to the higher CPU, found `3-1`");
        assert_eq!(said("0-4096"), "expected CPU numbers below 1024, found 4096");
    }
}
