//! Prompts of exact lengths, conversations and request sets, end to end: against servers that write down
//! what they were asked, and against the embedded server and its truth.

mod conversations;

use serde_json::Value;

use crate::program::{LookAlike, Place};
use crate::source::root;

/// Built by the server's own count, every prompt has exactly what was asked for.
#[test]
fn prompts_are_exact_by_the_servers_own_tokenizer() {
    let place = Place::new();
    let server = LookAlike::start(&[]);
    let url = &server.url;
    let said = place.tare(&format!(
        "run --base-url {url} --backend openai --tokenizer server --random-input-law 20..90 --random-output-len 4 --num-prompts 12 --users 3 --output out"
    ));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let rows = std::fs::read_to_string(place.path("out/results.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 12);
    for row in &rows {
        assert_eq!(row["asked_input_tokens"], row["input_tokens"], "{row}");
        assert!((20..=90).contains(&row["input_tokens"].as_u64().unwrap()));
    }
    assert!(said.out.contains("Every one of 12 prompts had at the server as many tokens"), "{}", said.out);
}

#[test]
fn a_tokenizer_that_is_not_the_servers_is_found_out_before_anything_is_sent() {
    let place = Place::new();
    let server = LookAlike::start(&[]);
    let url = &server.url;
    let tokenizer = root().join("tests/samples/tokenizers/bpe.json");
    let flags = format!(
        "run --base-url {url} --backend openai --tokenizer {} --random-input-len 30 --random-output-len 4 --num-prompts 3 --users 1",
        tokenizer.display()
    );
    let refused = place.tare(&format!("{flags} --output refused"));
    let allowed = place.tare(&format!("{flags} --allow-tokenizer-mismatch --output allowed"));
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(
        refused
            .err
            .contains("the tokenizer does not match the server's: tokenizers/bpe.json (1,500 tokens) counts"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("--allow-tokenizer-mismatch"), "{}", refused.err);
    assert!(!place.path("refused/results.jsonl").exists());
    assert_eq!(allowed.code, Some(0), "{}", allowed.err);
    assert!(allowed.out.contains("the tokenizer used is not the server's"), "{}", allowed.out);
}

/// A set is the same wherever it is made, and a run of it sends just that.
#[test]
fn a_prepared_set_can_be_made_and_sent_again() {
    let place = Place::new();
    let tokenizer = root().join("tests/samples/tokenizers/bpe_bos.json");
    let flags = format!(
        "prepare --tokenizer {} --dataset-name prefix_repetition --prefix-repetition-prefix-len 24 --prefix-repetition-suffix-len 8 --prefix-repetition-num-prefixes 2 --num-prompts 6 --seed 9",
        tokenizer.display()
    );
    for name in ["a.jsonl", "b.jsonl"] {
        assert_eq!(place.tare(&format!("{flags} --out {name}")).code, Some(0));
    }
    let set = std::fs::read_to_string(place.path("a.jsonl")).unwrap();
    assert_eq!(set, std::fs::read_to_string(place.path("b.jsonl")).unwrap());
    let rows: Vec<Value> = set.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        rows.len() == 6 && rows.iter().all(|row| row["input_tokens"] == 32 && row["output_tokens"] == 128)
    );
    let about = &rows[0]["about"];
    assert_eq!(
        (&about["seed"], &about["tokenizer"]),
        (&9.into(), &"tokenizers/bpe_bos.json (1,500 tokens)".into())
    );
    // It is not written over unasked.
    let again = place.tare(&format!("{flags} --out a.jsonl"));
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("`a.jsonl` is there already"), "{}", again.err);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let place = Place::new();
    place.file("rows.csv", "question,answer\nwhy?,so\n");
    place.file("list.txt", "[{\"conversations\": []}]");
    let refused = |args: &str| {
        let said = place.tare(&format!("run --dry-run --users 1 {args}"));
        assert_eq!(said.code, Some(2), "{args}: {}", said.err);
        said.err.replace(&place.path("").display().to_string(), "")
    };
    let all = [
        "--dataset-path rows.csv",
        "--dataset-path rows.csv --prompt-column questoin",
        "--dataset-name parquet --dataset-path rows.csv",
        "--dataset-name custom --dataset-path list.txt",
        "--random-input-law normal:0,1",
        "--random-input-law 9..3",
        "--random-input-law 5..9 --random-input-len 7",
        "--input-len 5 --random-input-len 7",
        "--sonnet-input-len 100",
        "--dataset-name sonnet --sonnet-input-len 100 --sonnet-prefix-len 100",
        "--think-time 2",
        "--multi-turn --multi-turn-min-turns 5 --multi-turn-max-turns 2",
        "--multi-turn --multi-turn-delay-ms=-5",
        "--multi-turn --multi-turn-delay-ms NaN",
        "--multi-turn --dataset-name sonnet",
        "--tokenizer meta-llama/Llama-3.1-8B",
        "--tokenizer server",
        "--allow-tokenizer-mismatch",
        "--dataset-name sharegtp --dataset-path x",
    ];
    let said: Vec<String> = all.iter().map(|args| format!("$ {args}\n{}", refused(args))).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    $ --dataset-path rows.csv
    error: `rows.csv` has no column `prompt` or `messages`
    hint: its columns: `question`, `answer`; choose with --prompt-column or --messages-column

    $ --dataset-path rows.csv --prompt-column questoin
    error: `rows.csv` has no column `questoin`
    hint: its columns: `question`, `answer`; choose with --prompt-column

    $ --dataset-name parquet --dataset-path rows.csv
    error: `rows.csv` cannot be read as Parquet
    caused by: it does not begin as Parquet files do
    hint: it looks like CSV with a header: choose --dataset-name csv

    $ --dataset-name custom --dataset-path list.txt
    error: none of the 1 entries of `list.txt` can be sent
      line 1: expected an object, found a list
    hint: it looks like one JSON list: choose --dataset-name sharegpt

    $ --random-input-law normal:0,1
    error: `--random-input-law`: expected lengths from 1 to 10000000, found `normal:0,1`
    hint: for example 512, 256..768, ratio:512,0.2, normal:512,128, lognormal:512,256,16,4096 (mean, standard deviation, and bounds if wanted), exponential:512 or file:PATH

    $ --random-input-law 9..3
    error: `--random-input-law`: expected LEAST..MOST, the smaller one first, found `9..3`
    hint: for example 512, 256..768, ratio:512,0.2, normal:512,128, lognormal:512,256,16,4096 (mean, standard deviation, and bounds if wanted), exponential:512 or file:PATH

    $ --random-input-law 5..9 --random-input-len 7
    error: `--random-input-law`: `--random-input-len` says the length already
    hint: give one of them

    $ --input-len 5 --random-input-len 7
    error: `--input-len`: 5 contradicts `--random-input-len` (7)
    hint: give one of them

    $ --sonnet-input-len 100
    error: `--sonnet-input-len`: this is for sonnet prompts, and the dataset is random
    hint: leave it out, or choose --dataset-name sonnet

    $ --dataset-name sonnet --sonnet-input-len 100 --sonnet-prefix-len 100
    error: `--sonnet-prefix-len`: 100 leaves nothing of the 100 tokens of a prompt
    hint: the prefix is part of the prompt's length

    $ --think-time 2
    error: `--think-time`: this is for conversations
    hint: hold them with --multi-turn, or leave it out

    $ --multi-turn --multi-turn-min-turns 5 --multi-turn-max-turns 2
    error: `--multi-turn-max-turns`: 2 is less than `--multi-turn-min-turns` (5)
    hint: a conversation cannot have both

    $ --multi-turn --multi-turn-delay-ms=-5
    error: `--multi-turn-delay-ms`: expected seconds, from 0 to those of a day, found `-0.005`
    hint: in seconds, for example 2, 1..5, normal:2,0.5, lognormal:5,4 (mean, standard deviation) or exponential:2

    $ --multi-turn --multi-turn-delay-ms NaN
    error: `--multi-turn-delay-ms`: expected seconds, from 0 to those of a day, found `NaN`
    hint: in seconds, for example 2, 1..5, normal:2,0.5, lognormal:5,4 (mean, standard deviation) or exponential:2

    $ --multi-turn --dataset-name sonnet
    error: `--multi-turn`: this dataset has no conversations
    hint: conversations are in sharegpt, custom, csv, parquet, and can be made: random

    $ --tokenizer meta-llama/Llama-3.1-8B
    error: there is no tokenizer `meta-llama/Llama-3.1-8B`
    hint: expected a path of a tokenizer.json or of the folder it is in; models' names are not looked up. `--tokenizer server` asks the server instead

    $ --tokenizer server
    error: the embedded server is not there yet when prompts are made
    hint: start one with `tare serve` and name it with --base-url, or name a tokenizer.json

    $ --allow-tokenizer-mismatch
    error: `--allow-tokenizer-mismatch`: there is no tokenizer
    hint: say which with --tokenizer, or leave it out

    $ --dataset-name sharegtp --dataset-path x
    error: invalid value 'sharegtp' for '--dataset-name <NAME>'
      [possible values: sharegpt, custom, csv, parquet, random, prefix_repetition, sonnet, mooncake, timed-trace, azure, burstgpt]

      tip: a similar value exists: 'sharegpt'

    For more information, try '--help'.
    ");
}

#[test]
fn a_dry_run_shows_lengths_and_first_requests() {
    let place = Place::new();
    let tokenizer = root().join("tests/samples/tokenizers/bpe.json");
    let said = place.tare(&format!(
        "run --dry-run --tokenizer {} --random-input-law normal:60,20 --random-output-law 5..9 --num-prompts 200 --users 2 --seed 4",
        tokenizer.display()
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let (_, plan) = said.out.split_once("# lengths in tokens").unwrap();
    insta::assert_snapshot!(plan, @r"
    input (counted by tokenizers/bpe.json (1,500 tokens), special tokens included, chat template not): n 200, mean 59.7, min 12, quartiles 47 | 58.5 | 71.25, max 108
       12 to  21       4  ####
       22 to  31       9  #########
       32 to  41      18  ##################
       42 to  51      41  ########################################
       52 to  61      38  ######################################
       62 to  71      40  ########################################
       72 to  81      23  #######################
       82 to  91      19  ###################
       92 to 101       6  ######
      102 to 108       2  ##
    output (limits of the answers): n 200, mean 7.3, min 5, quartiles 6 | 7 | 9, max 9
      5 to 5      24  ###################
      6 to 6      37  ############################
      7 to 7      53  ########################################
      8 to 8      34  ##########################
      9 to 9      52  ########################################

    # the first requests
    0: 50 tokens, at most 6: [user] too text after prin config them come busy St connections second te users head model how CPU i…
    1: 83 tokens, at most 8: [user] this come queue ro place was has new empt numb pack request parts nam go engine bounds some t…
    2: 64 tokens, at most 7: [user] ar go part er tool kind ex decode last source turn reques tare tr sp join about against times…
    ");
}
