//! The nearest known word to a misspelt one. This file must not know what the words are for.

/// The candidate that `word` was most likely meant to be; `None` when none is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    let allowed = 1 + word.chars().count() / 4;
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `Max-Tokens`, `maxTokens` and `max_tokens` are one word to whoever types them.
fn folded(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    // The last three rows of the table; row i holds the distances of a's first i characters.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut cost =
                (at(&last, j + 1) + 1).min(at(&row, j) + 1).min(at(&last, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_recognised() {
        let known = ["users", "ramp_s", "request_rate", "max_concurrency", "requests"];
        let found: Vec<_> = ["user", "usres", "ramp-s", "requestRate", "max_concurency", "request"]
            .into_iter()
            .map(|word| nearest(word, known))
            .collect();
        let meant = ["users", "users", "ramp_s", "request_rate", "max_concurrency", "requests"];
        assert_eq!(found, meant.map(Some));
    }

    #[test]
    fn a_word_unlike_all_is_not_guessed() {
        assert_eq!(nearest("colour", ["users", "ramp_s"]), None);
        assert_eq!(nearest("", ["users"]), None);
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        let pairs =
            [("", ""), ("", "abc"), ("kitten", "sitting"), ("ab", "ba"), ("ca", "abc"), ("flaw", "lawn")];
        assert_eq!(pairs.map(|(a, b)| distance(a, b)), [0, 3, 3, 1, 3, 2]);
    }
}
