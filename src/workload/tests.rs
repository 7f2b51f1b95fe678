//! Whole workloads: drawn, told apart, written and read again.

use std::io::Write;

use super::tokens::{Rule, Tokens};
use super::*;
use crate::config::law::Law;
use crate::config::{Dataset, Workload as Settings};

fn settings(dataset: Dataset, samples: Option<usize>) -> Settings {
    Settings {
        dataset,
        samples,
        max_tokens: None,
        tokenizer: None,
        allow_tokenizer_mismatch: false,
        multi_turn: None,
        temperature: None,
        top_p: None,
        ignore_eos: false,
        stream: true,
        extra_body: serde_json::Map::new(),
    }
}

fn file(lines: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    file
}

fn texts(workload: &Workload) -> Vec<String> {
    workload.prompts.iter().map(|p| p.text().into_owned()).collect()
}

#[test]
fn without_samples_the_file_is_sent_in_order_and_from_the_start_again() {
    let file = file(&[r#"{"prompt":"a"}"#, r#"{"prompt":"b"}"#, r#"{"prompt":"a"}"#]);
    let workload = load(&settings(Dataset::Jsonl { path: file.path().into() }, None), 0).unwrap();
    assert_eq!(texts(&workload), ["a", "b", "a"]);
    assert_eq!(
        workload.at(4).map(|(index, prompt)| (index, prompt.text().into_owned())),
        Some((1, "b".to_owned()))
    );
    assert_eq!([0, 1, 2, 3, 10].map(|requests| workload.repeats(requests)), [0, 0, 0, 1, 8]);
}

#[test]
fn a_sample_is_seeded_distinct_and_no_larger_than_the_file() {
    let lines: Vec<String> = (0..50).map(|i| format!(r#"{{"prompt":"p{}"}}"#, i % 40)).collect();
    let file = file(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let drawn = |samples, seed| {
        load(&settings(Dataset::Jsonl { path: file.path().into() }, Some(samples)), seed).unwrap()
    };
    assert_eq!(texts(&drawn(10, 1)), texts(&drawn(10, 1)));
    assert_ne!(texts(&drawn(10, 1)), texts(&drawn(10, 2)));
    let all = drawn(500, 1);
    assert_eq!((all.prompts.len(), all.duplicates, all.repeats(40), all.repeats(41)), (40, 10, 0, 1));
}

/// Both begin alike and go on differently; the third is the first again.
#[test]
fn conversations_are_told_apart_by_all_that_is_said() {
    let talk = |then: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"go on"}}],"turns":[{{"messages":[{{"role":"user","content":"{then}"}}]}}]}}"#
        )
    };
    let file = file(&[&talk("a"), &talk("b"), &talk("a")]);
    let drawn = load(&settings(Dataset::Jsonl { path: file.path().into() }, Some(3)), 1).unwrap();
    assert_eq!((drawn.prompts.len(), drawn.duplicates, drawn.repeats(2)), (2, 1, 0));
}

/// Who counts two tokens a word has no text of an odd number of them.
#[test]
fn what_cannot_be_built_is_counted_whatever_the_law() {
    struct Pairs;
    impl Tokens for Pairs {
        fn count(&self, text: &str) -> anyhow::Result<u32> {
            Ok(2 * text.split_whitespace().count() as u32)
        }
        fn special(&self) -> anyhow::Result<u32> {
            Ok(0)
        }
        fn words(&self) -> &[String] {
            Rule.words()
        }
        fn name(&self) -> Option<&str> {
            Some("pairs")
        }
    }
    let odd = |input: &str| {
        let (input_len, output_len) = (input.parse().unwrap(), Law::Fixed(1.0));
        let dataset = Dataset::Random { input_len, output_len, prefix_len: 0 };
        load_with(&settings(dataset, Some(40)), 5, &Pairs).unwrap().not_exact
    };
    assert_eq!((odd("8"), odd("9")), (0, 40));
    assert!((1..40).contains(&odd("normal:60,9")), "{}", odd("normal:60,9"));
}

#[test]
fn what_was_drawn_can_be_written_and_sent_again() {
    let law = |mean| Law::Around { mean, ratio: 0.5 };
    let lengths = Dataset::Random { input_len: law(12.0), output_len: law(5.0), prefix_len: 0 };
    let made = load(&settings(lengths, Some(7)), 3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.jsonl");
    made.write(&path).unwrap();
    let again = load(&settings(Dataset::Jsonl { path }, None), 0).unwrap();
    assert_eq!(again.prompts, made.prompts);
    assert!(again.source.ends_with("(random words, about ratio:12,0.5 tokens)"), "{}", again.source);
}

#[test]
fn a_missing_file_and_a_folder_are_refused() {
    for path in ["/nowhere/at/all.jsonl", "/"] {
        let error = load(&settings(Dataset::Jsonl { path: path.into() }, None), 0).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read the dataset `{path}`"));
    }
}
