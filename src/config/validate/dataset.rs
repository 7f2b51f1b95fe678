//! Checks which dataset is meant, and what belongs to it. No dataset is opened here.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::trace;
use crate::config::check::{Check, Limits};
use crate::config::file::{self, DatasetName, File};
use crate::config::law::{FORMS, Law};
use crate::config::{Columns, Dataset};

const MAX_LEN: u32 = 10_000_000;

pub fn dataset(file: &mut File, check: &mut Check<'_>) -> Dataset {
    let name = which(&file.workload, check);
    of_another_dataset(&file.workload, name, check);
    length_of_another_dataset(name, check);
    let given = &mut file.workload;
    if !name.is_read() {
        if given.path.is_some() {
            check.problem(
                "workload.path",
                format!("{} prompts are read from no file", name.as_str()),
                "leave it out, or say what the file holds: --dataset-name sharegpt, custom, csv or parquet",
            );
        }
        return match name {
            DatasetName::PrefixRepetition => prefix_repetition(given, check),
            DatasetName::Sonnet => sonnet(given, check),
            _ => random(given, check),
        };
    }
    let path = given.path.take().unwrap_or_else(|| {
        check.problem(
            "workload.path",
            "missing: this dataset is read from a file",
            "for example `--dataset-path requests/demo.jsonl`",
        );
        PathBuf::new()
    });
    if let Some(format) = trace::format(name) {
        return Dataset::Trace(trace::trace(given, format, path, check));
    }
    match name {
        DatasetName::Sharegpt => Dataset::Sharegpt { path },
        DatasetName::Csv => Dataset::Csv { path, columns: columns(given) },
        DatasetName::Parquet => Dataset::Parquet { path, columns: columns(given) },
        _ => Dataset::Jsonl { path },
    }
}

/// By its name, else by its file's ending.
fn which(given: &file::Workload, check: &mut Check<'_>) -> DatasetName {
    let ending = given.path.as_ref().and_then(|path| path.extension()).map(OsStr::to_ascii_lowercase);
    let by_ending = ending.as_ref().and_then(|ending| DatasetName::by_ending(ending.to_str()?));
    if given.dataset.is_none() && given.path.is_some() && by_ending.is_none() {
        check.problem(
            "workload.path",
            "the file's ending does not say what it holds",
            "say it with --dataset-name sharegpt, custom, csv or parquet",
        );
    }
    let usual = if given.path.is_some() { DatasetName::Jsonl } else { DatasetName::Random };
    given.dataset.or(by_ending).unwrap_or(usual)
}

/// What is given and belongs to another dataset: silently ignoring it would mislead.
fn of_another_dataset(given: &file::Workload, name: DatasetName, check: &mut Check<'_>) {
    let random: &[DatasetName] = &[DatasetName::Random];
    // `--input-len` is the length of whatever prompts are made.
    let input = if check.name("workload.random_input_len") == "`--input-len`" {
        &[DatasetName::Random, DatasetName::Sonnet]
    } else {
        random
    };
    let (repeated, sonnet) = (&given.prefix_repetition, &given.sonnet);
    let repetition: &[DatasetName] = &[DatasetName::PrefixRepetition];
    let sonnets: &[DatasetName] = &[DatasetName::Sonnet];
    let tables: &[DatasetName] = &[DatasetName::Csv, DatasetName::Parquet];
    for (field, is_given, of) in [
        ("workload.random_input_len", given.random_input_len.is_some(), input),
        ("workload.random_output_len", given.random_output_len.is_some(), random),
        ("workload.range_ratio", given.range_ratio.is_some(), random),
        ("workload.random_input_law", given.random_input_law.is_some(), random),
        ("workload.random_output_law", given.random_output_law.is_some(), random),
        ("workload.random_prefix_len", given.random_prefix_len.is_some(), random),
        ("workload.prefix_repetition.prefix_len", repeated.prefix_len.is_some(), repetition),
        ("workload.prefix_repetition.suffix_len", repeated.suffix_len.is_some(), repetition),
        ("workload.prefix_repetition.num_prefixes", repeated.num_prefixes.is_some(), repetition),
        ("workload.prefix_repetition.output_len", repeated.output_len.is_some(), repetition),
        ("workload.sonnet.input_len", sonnet.input_len.is_some(), sonnets),
        ("workload.sonnet.output_len", sonnet.output_len.is_some(), sonnets),
        ("workload.sonnet.prefix_len", sonnet.prefix_len.is_some(), sonnets),
        ("workload.columns.prompt", given.columns.prompt.is_some(), tables),
        ("workload.columns.output", given.columns.output.is_some(), tables),
        ("workload.columns.messages", given.columns.messages.is_some(), tables),
    ] {
        if is_given && !of.contains(&name) {
            let names: Vec<&str> = of.iter().map(|name| name.as_str()).collect();
            let found = if name.is_read() && !of.iter().any(|of| of.is_read()) {
                "a file".to_owned()
            } else {
                name.as_str().to_owned()
            };
            check.problem(
                field,
                format!("this is for {} prompts, and the dataset is {found}", names.join(" or ")),
                format!("leave it out, or choose --dataset-name {}", names.join(" or ")),
            );
        }
    }
}

/// `--custom-output-len` with ShareGPT and the like.
fn length_of_another_dataset(name: DatasetName, check: &mut Check<'_>) {
    let given = check.name("workload.max_tokens");
    let belongs = match given.as_str() {
        "`--custom-output-len`" => {
            matches!(name, DatasetName::Jsonl | DatasetName::Csv | DatasetName::Parquet)
        }
        "`--sharegpt-output-len`" => name == DatasetName::Sharegpt,
        _ => true,
    };
    if !belongs {
        check.problem(
            "workload.max_tokens",
            "this is for another dataset",
            "--output-len sets the length limit whatever the dataset",
        );
    }
}

fn columns(given: &mut file::Workload) -> Columns {
    let file::Columns { prompt, output, messages } = std::mem::take(&mut given.columns);
    Columns { prompt, output, messages }
}

fn random(given: &mut file::Workload, check: &mut Check<'_>) -> Dataset {
    let both = |a: Option<u32>, law: &Option<Law>| a.is_some() && law.is_some();
    for (field, conflict) in [
        ("workload.random_input_law", both(given.random_input_len, &given.random_input_law)),
        ("workload.random_output_law", both(given.random_output_len, &given.random_output_law)),
    ] {
        if conflict {
            let len = check.name(&field.replace("_law", "_len"));
            check.problem(field, format!("{len} says the length already"), "give one of them");
        }
    }
    if given.range_ratio.is_some() && given.random_input_law.is_some() && given.random_output_law.is_some() {
        check.problem(
            "workload.range_ratio",
            "both lengths have laws of their own",
            "leave it out; `ratio:512,0.2` is the law of this name",
        );
    }
    if let (Some(random), Some(most)) = (given.random_output_len, given.max_tokens)
        && random != most
    {
        let message = format!("{most} contradicts {} ({random})", check.name("workload.random_output_len"));
        check.problem(
            "workload.max_tokens",
            message,
            "for random prompts, `random_output_len` is the answer's length limit",
        );
    }
    let ratio = check.real("workload.range_ratio", given.range_ratio, 0.0, Limits::from(0.0, 0.999, ""));
    let len = 1..=MAX_LEN;
    let around = |mean: u32| match ratio {
        0.0 => Law::Fixed(mean.into()),
        ratio => Law::Around { mean: mean.into(), ratio },
    };
    let input = check.whole("workload.random_input_len", given.random_input_len, 1024, len.clone());
    let output = given.random_output_len.or(given.max_tokens.filter(|&n| n > 0));
    let output = check.whole("workload.random_output_len", output, 128, len);
    let mut law = |field: &str, law: Option<Law>, mean: u32| match law {
        None => around(mean),
        Some(law) => {
            length_law(field, &law, check);
            law
        }
    };
    Dataset::Random {
        input_len: law("workload.random_input_law", given.random_input_law.take(), input),
        output_len: law("workload.random_output_law", given.random_output_law.take(), output),
        prefix_len: check.whole("workload.random_prefix_len", given.random_prefix_len, 0, 0..=MAX_LEN),
    }
}

/// A law of lengths: whole numbers of 1 or more.
pub fn length_law(field: &str, law: &Law, check: &mut Check<'_>) {
    let most = law.most().or(law.mean());
    let in_range = |value: f64| (1.0..=f64::from(MAX_LEN)).contains(&value);
    if most.is_some_and(|most| !in_range(most)) || law.mean().is_some_and(|mean| !in_range(mean)) {
        let message = format!("expected lengths from 1 to {MAX_LEN}, found `{law}`");
        check.problem(field, message, FORMS);
    }
}

fn prefix_repetition(given: &mut file::Workload, check: &mut Check<'_>) -> Dataset {
    let it = given.prefix_repetition.clone();
    let len = 1..=MAX_LEN;
    let at = |key: &str| format!("workload.prefix_repetition.{key}");
    Dataset::PrefixRepetition {
        prefix_len: check.whole(&at("prefix_len"), it.prefix_len, 256, len.clone()),
        suffix_len: check.whole(&at("suffix_len"), it.suffix_len, 256, len.clone()),
        num_prefixes: check.whole(&at("num_prefixes"), it.num_prefixes, 10, 1..=1_000_000),
        output_len: check.whole(&at("output_len"), it.output_len.or(given.max_tokens), 128, len),
    }
}

fn sonnet(given: &mut file::Workload, check: &mut Check<'_>) -> Dataset {
    let it = given.sonnet.clone();
    let len = 1..=MAX_LEN;
    let input_len = it.input_len.or(given.random_input_len);
    let input_len = check.whole("workload.sonnet.input_len", input_len, 550, len.clone());
    let output_len = it.output_len.or(given.max_tokens);
    let output_len = check.whole("workload.sonnet.output_len", output_len, 150, len);
    let usual = 200.min(input_len.saturating_sub(1));
    let prefix_len = check.whole("workload.sonnet.prefix_len", it.prefix_len, usual, 0..=MAX_LEN);
    if prefix_len >= input_len {
        let message = format!("{prefix_len} leaves nothing of the {input_len} tokens of a prompt");
        check.problem("workload.sonnet.prefix_len", message, "the prefix is part of the prompt's length");
    }
    Dataset::Sonnet { input_len, output_len, prefix_len }
}

#[cfg(test)]
mod tests {
    use crate::record::DATASETS;

    /// The hints name them.
    #[test]
    fn every_dataset_that_is_known_by_its_ending_is_named_in_the_hint() {
        let read: Vec<&str> = DATASETS.iter().filter(|k| !k.endings.is_empty()).map(|k| k.name).collect();
        assert_eq!(read, ["sharegpt", "custom", "csv", "parquet"]);
    }
}
