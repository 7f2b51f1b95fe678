//! Whether prompts had as many tokens at the server as they were counted to have before. This file must
//! not know who counted them.

use crate::record::{Endpoint, RequestRow};
use crate::stats::moments;
use crate::units::count;

/// Differences of a chat template are the same for all; more than this between them is another tokenizer.
const MOST_SPREAD: i64 = 2;

/// What the counts say.
#[derive(Clone, Debug, PartialEq)]
pub struct Lengths {
    pub said: String,
    /// The tokenizer is not the server's.
    pub is_wrong: bool,
}

/// Of the requests whose prompts were counted before and by the server; `None` when there are none.
pub fn of<'a>(rows: impl Iterator<Item = &'a RequestRow>) -> Option<Lengths> {
    let mut by_chat = false;
    let differences: Vec<i64> = rows
        .filter_map(|row| {
            let (asked, counted) = row.asked_input_tokens.zip(row.input_tokens)?;
            by_chat |= row.endpoint != Endpoint::Completions;
            Some(i64::from(counted) - i64::from(asked))
        })
        .collect();
    let (least, most) = (*differences.iter().min()?, *differences.iter().max()?);
    let mean = moments::mean(&differences.iter().map(|&d| d as f64).collect::<Vec<_>>())?;
    let n = count(differences.len() as u64);
    let is_wrong = if by_chat { most - least > MOST_SPREAD || least < 0 } else { least != 0 || most != 0 };
    let difference = if least == most {
        format!("{least:+} tokens in each of {n} prompts")
    } else {
        format!("{mean:+.2} tokens on average, {least:+} to {most:+}, over {n} prompts")
    };
    let why = match (is_wrong, by_chat) {
        (true, _) => ": the tokenizer used is not the server's",
        (false, true) => ": its chat template, which is not counted before",
        (false, false) => "",
    };
    let said = if differences.iter().all(|&d| d == 0) {
        format!(
            "Every one of {n} prompts had at the server as many tokens as it was built or counted to have."
        )
    } else {
        format!(
            "Prompts had another number of tokens at the server (`usage.prompt_tokens`) than they were counted to have: {difference}{why}."
        )
    };
    Some(Lengths { said, is_wrong })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture;

    fn said(endpoint: Endpoint, counts: &[(u32, u32)]) -> Lengths {
        let row = |&(asked, counted): &(u32, u32)| RequestRow {
            endpoint,
            asked_input_tokens: Some(asked),
            input_tokens: Some(counted),
            ..fixture::request(0)
        };
        of(counts.iter().map(row).collect::<Vec<_>>().iter()).unwrap()
    }

    #[test]
    fn a_template_is_the_same_for_all_and_another_tokenizer_is_not() {
        assert!(!said(Endpoint::Completions, &[(5, 5), (9, 9)]).is_wrong);
        assert!(said(Endpoint::Completions, &[(5, 5), (9, 10)]).is_wrong);
        let chat = said(Endpoint::Chat, &[(5, 19), (90, 104)]);
        assert!(!chat.is_wrong && chat.said.contains("+14 tokens in each of 2 prompts"), "{}", chat.said);
        let other = said(Endpoint::Chat, &[(5, 19), (90, 124)]);
        assert!(
            other.is_wrong && other.said.contains("+24.00 tokens on average, +14 to +34"),
            "{}",
            other.said
        );
        assert_eq!(of([fixture::request(0)].iter()), None);
    }
}
