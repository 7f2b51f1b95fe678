//! Tokens counted with a `tokenizer.json`, as Hugging Face's libraries write them. This file must not
//! know what is counted, nor any server.

use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

use super::tokens::{COMMON, Tokens};
use crate::error::{Failure, usage};

/// As many words are enough to draw from.
const MOST_WORDS: usize = 20_000;
/// With fewer of its own, common words are drawn.
const FEWEST_WORDS: usize = 200;
const LONGEST_WORD: usize = 12;

/// A tokenizer on this machine.
pub struct Local {
    tokenizer: Tokenizer,
    name: String,
    special: u32,
    words: Vec<String>,
}

impl Local {
    /// Reads the file, or the one in the folder.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
        if !file.exists() {
            return Err(missing(path).into());
        }
        let mut tokenizer = Tokenizer::from_file(&file).map_err(|error| {
            usage(format!("`{}` is no tokenizer: {error}", file.display())).hint(
                "expected a `tokenizer.json` of Hugging Face's format, as it lies beside a model's weights",
            )
        })?;
        // Both would make long and short texts count alike.
        tokenizer.with_truncation(None).map_err(|error| anyhow::anyhow!("{error}"))?.with_padding(None);
        let special = counted(&tokenizer, "", true)?;
        let vocabulary = tokenizer.get_vocab_size(true);
        let name = format!("{} ({} tokens)", shown(&file), crate::units::count(vocabulary as u64));
        let words = words(&tokenizer)?;
        Ok(Self { tokenizer, name, special, words })
    }
}

/// Where it lies, or its folder's name and its own: enough to know it by.
fn shown(file: &Path) -> String {
    let parts: Vec<_> = file.components().rev().take(2).collect();
    parts.into_iter().rev().collect::<PathBuf>().display().to_string()
}

fn missing(path: &Path) -> Failure {
    let hint = "expected a path of a tokenizer.json or of the folder it is in; models' names are not looked up. \
                `--tokenizer server` asks the server instead";
    let shown = path.display();
    if path.is_dir() {
        usage(format!("the folder `{shown}` has no tokenizer.json")).hint(hint)
    } else {
        usage(format!("there is no tokenizer `{shown}`")).hint(hint)
    }
}

impl Tokens for Local {
    fn count(&self, text: &str) -> anyhow::Result<u32> {
        counted(&self.tokenizer, text, true)
    }

    fn special(&self) -> anyhow::Result<u32> {
        Ok(self.special)
    }

    fn words(&self) -> &[String] {
        &self.words
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

fn counted(tokenizer: &Tokenizer, text: &str, special: bool) -> anyhow::Result<u32> {
    let encoding = tokenizer
        .encode_fast(text, special)
        .map_err(|error| anyhow::anyhow!("the tokenizer cannot read a text: {error}"))?;
    Ok(encoding.len() as u32)
}

/// Words of its vocabulary that are one token after another word, in the vocabulary's order.
fn words(tokenizer: &Tokenizer) -> anyhow::Result<Vec<String>> {
    let mut vocabulary: Vec<(u32, String)> =
        tokenizer.get_vocab(false).into_iter().map(|(token, id)| (id, token)).collect();
    vocabulary.sort_unstable();
    let before = counted(tokenizer, "the", false)?;
    let mut words = Vec::new();
    for (_, token) in vocabulary {
        // As byte-level and as sentencepiece vocabularies write a space.
        let Some(word) = token.strip_prefix(['Ġ', '▁']) else { continue };
        let is_word =
            (2..=LONGEST_WORD).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic());
        if is_word && counted(tokenizer, &format!("the {word}"), false)? == before + 1 {
            words.push(word.to_owned());
        }
        if words.len() == MOST_WORDS {
            break;
        }
    }
    Ok(if words.len() < FEWEST_WORDS { COMMON.clone() } else { words })
}
