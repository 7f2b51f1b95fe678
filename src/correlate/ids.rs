//! Request ids as servers decorate them: which client id may be inside a server's id. This file
//! must not know which ids exist.
//!
//! vLLM, for an `X-Request-Id` X (other servers use X as it is, or these forms):
//!
//! | where | form |
//! |---|---|
//! | answer and engine, chat | `chatcmpl-X`, one of several conversations `chatcmpl-X_1` |
//! | answer, completions | `cmpl-X` |
//! | engine, completions | `cmpl-X-0`: always with the prompt's number (the Rust front end: without) |
//! | engine internally, since 0.14 | any of these + `-` + 8 hex digits |
//! | one of n > 1 choices | `0_` before any of these |

/// What stands before the client's id, by endpoint.
const PREFIXES: [&str; 8] =
    ["chatcmpl-", "cmpl-", "resp_", "embd-", "pool-", "rerank-", "score-", "classify-"];

/// The completions endpoint numbers its prompts behind the id.
const NUMBERED_PREFIX: &str = "cmpl-";

/// Every client id that `id` may be made of, the likeliest first; `id` itself is among them.
pub fn candidates(id: &str) -> Vec<&str> {
    let mut out = vec![id];
    for base in [Some(id), without_choice(id)].into_iter().flatten() {
        let prefix = PREFIXES.iter().find(|prefix| base.starts_with(**prefix));
        let bare = prefix.and_then(|prefix| base.strip_prefix(prefix));
        let numbered = prefix.is_none_or(|prefix| *prefix == NUMBERED_PREFIX);
        for whole in bare.into_iter().chain([base]) {
            let plain = without_suffix(whole);
            let forms = [plain.and_then(without_number), without_number(whole), plain, Some(whole)];
            // Of a completion's id the number is stripped first, since it is always there; of any
            // other id the least is stripped first, since a client's own ids end in numbers too.
            if numbered && prefix.is_some() {
                out.extend(forms.into_iter().flatten());
            } else {
                out.extend(forms.into_iter().rev().flatten());
            }
        }
    }
    unique(out)
}

/// The id as the front end knows it, from the one that the engine logs: without the choice's number
/// and the random suffix.
pub fn external(engine_id: &str) -> &str {
    let whole = without_choice(engine_id).unwrap_or(engine_id);
    without_suffix(whole).unwrap_or(whole)
}

/// Keeps the first of equal ids, and no empty one.
fn unique(ids: Vec<&str>) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::with_capacity(ids.len());
    for id in ids {
        if !id.is_empty() && !out.contains(&id) {
            out.push(id);
        }
    }
    out
}

/// `1_rest` → `rest`.
fn without_choice(id: &str) -> Option<&str> {
    let (number, rest) = id.split_once('_')?;
    is_number(number).then_some(rest)
}

/// `rest-0123abcd` → `rest`.
fn without_suffix(id: &str) -> Option<&str> {
    let (rest, suffix) = id.rsplit_once('-')?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (suffix.len() == 8 && suffix.bytes().all(hex)).then_some(rest)
}

/// `rest-0` and `rest_0` → `rest`.
fn without_number(id: &str) -> Option<&str> {
    let (rest, number) = id.rsplit_once(['-', '_'])?;
    is_number(number).then_some(rest)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_as_vllm_writes_them_hold_the_clients() {
        let cases = [
            ("chatcmpl-bench-chat-0000", "bench-chat-0000"),
            ("cmpl-bench-comp-0000-0", "bench-comp-0000"),
            ("cmpl-bench-comp-0000", "bench-comp-0000"),
            ("chatcmpl-bench-chat-0003-bff93208", "bench-chat-0003"),
            ("cmpl-bench-multiprompt-1-901ede8e", "bench-multiprompt"),
            ("1_chatcmpl-bench-n2-8c41e5aa", "bench-n2"),
            ("0_cmpl-x-0-8c41e5aa", "x"),
            ("chatcmpl-x_1", "x"),
            ("resp_x", "x"),
            ("plain-id", "plain-id"),
        ];
        for (server, client) in cases {
            assert!(candidates(server).contains(&client), "{server}: {:?}", candidates(server));
        }
    }

    #[test]
    fn an_engine_id_is_brought_back_to_the_front_ends() {
        assert_eq!(external("1_chatcmpl-n2-8c41e5aa"), "chatcmpl-n2");
        assert_eq!(external("cmpl-x-0-901ede8e"), "cmpl-x-0");
        assert_eq!(external("chatcmpl-x"), "chatcmpl-x");
    }

    #[test]
    fn the_likeliest_comes_first() {
        let position = |id: &str, wanted: &str| candidates(id).iter().position(|c| *c == wanted);
        assert!(position("cmpl-run-7-0", "run-7") < position("cmpl-run-7-0", "run-7-0"));
        assert!(position("chatcmpl-run-7", "run-7") < position("chatcmpl-run-7", "run"));
        assert_eq!(position("run-7", "run-7"), Some(0));
    }

    /// Ids as clients choose them, also such that look decorated.
    fn client_id() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-zA-Z0-9._-]{1,40}",
            "[0-9]{1,3}_[a-z]{1,8}(-[0-9a-f]{8})?",
            "(chatcmpl|cmpl)-[a-z0-9]{1,8}-[0-9]{1,3}",
        ]
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_every_candidate_is_part_of_the_id(id in "\\PC{0,60}") {
            for candidate in candidates(&id) {
                prop_assert!(id.contains(candidate) && !candidate.is_empty());
            }
        }

        #[test]
        fn any_decoration_is_undone(
            id in client_id(),
            chat in any::<bool>(),
            rust in any::<bool>(),
            choice in proptest::option::of(0_u8..20),
            prompt in 0_u8..20,
            suffix in proptest::option::of("[0-9a-f]{8}"),
        ) {
            let mut server = if chat { format!("chatcmpl-{id}") } else { format!("cmpl-{id}") };
            if !chat && !rust {
                server = format!("{server}-{prompt}");
            }
            if let Some(suffix) = suffix {
                server = format!("{server}-{suffix}");
            }
            if let Some(choice) = choice {
                server = format!("{choice}_{server}");
            }
            prop_assert!(candidates(&server).contains(&id.as_str()), "{server}: {:?}", candidates(&server));
        }

        #[test]
        fn bringing_back_twice_is_bringing_back_once(id in "(chatcmpl|cmpl)-[g-z]{1,9}(-[0-9])?", suffix in "[0-9a-f]{8}") {
            let engine = format!("{id}-{suffix}");
            prop_assert_eq!(external(&engine), id.as_str());
            prop_assert_eq!(external(external(&engine)), id.as_str());
        }

        #[test]
        fn an_undecorated_id_is_its_only_candidate(id in "[a-z]{1,12}(\\.[a-z0-9]{1,5})?") {
            prop_assert_eq!(candidates(&id), [id.as_str()]);
        }

        #[test]
        fn nothing_is_found_twice_and_again_nothing_new_first(id in client_id()) {
            let found = candidates(&id);
            for (i, candidate) in found.iter().enumerate() {
                prop_assert!(!found[..i].contains(candidate));
                prop_assert_eq!(candidates(candidate)[0], *candidate);
            }
        }
    }
}
