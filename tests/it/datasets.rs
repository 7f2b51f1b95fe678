//! Prompts of exact lengths, conversations and request sets, end to end: against servers that write down
//! what they were asked, and against the embedded server and its truth.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tare::record::Status;

use crate::end_to_end::agrees_with_truth;
use crate::program::{LookAlike, Place};
use crate::runs::{QUICK, run};
use crate::source::root;
use crate::wire::read_request;

/// A server that answers each request with three events of text of its own, and keeps what it was asked.
fn talkative() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                while let Some(request) = read_request(&mut stream) {
                    let get = request.starts_with("GET");
                    let n = {
                        let mut seen = seen.lock().unwrap();
                        if !get {
                            seen.push(request);
                        }
                        seen.len()
                    };
                    let chunk = |delta: &str| {
                        format!(
                            "data: {{\"id\":\"r{n}\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}}}}]}}\n\n"
                        )
                    };
                    let (kind, body) = if get {
                        ("application/json", r#"{"data":[{"id":"m"}]}"#.to_owned())
                    } else {
                        let reasoning = chunk("\"reasoning_content\":\"no part of it\"");
                        let words = format!(
                            "{}{}",
                            chunk(&format!("\"content\":\"answer \\\"{n}\\\"\"")),
                            chunk("\"content\":\", \u{e9}nd\"")
                        );
                        let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
                        ("text/event-stream", format!("{reasoning}{words}{end}"))
                    };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (format!("http://{address}"), asked)
}

/// Two conversations of three turns and one turn.
const TALKS: &str = r#"[
{"conversations": [{"from": "human", "value": "What is the first of all things?"}, {"from": "gpt", "value": "It is the one before."}, {"from": "human", "value": "And the second?"}, {"from": "gpt", "value": "The one after that."}, {"from": "human", "value": "Thank you."}, {"from": "gpt", "value": "Not at all, dear."}]},
{"conversations": [{"role": "user", "content": "Name three rivers of Asia."}, {"role": "assistant", "content": "Ob, Lena, and Amur."}]}
]"#;

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn messages(request: &str) -> Vec<(String, String)> {
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    body["messages"].as_array().unwrap().iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect()
}

/// Every turn carries the server's own words on, byte for byte, under one `X-Session-ID`.
#[test]
fn a_conversation_is_carried_on_with_the_servers_answers() {
    let place = Place::new();
    place.file("talks.json", TALKS);
    let (url, asked) = talkative();
    let said = place.tare(&format!(
        "run --base-url {url} --dataset-name sharegpt --dataset-path talks.json --multi-turn --users 1 --num-prompts 2 --no-server-metrics --output out"
    ));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4);
    let long: Vec<&String> = asked
        .iter()
        .filter(|r| header(r, "X-Session-ID") == header(longest(&asked), "X-Session-ID"))
        .collect();
    assert_eq!(long.len(), 3);
    let numbers: Vec<usize> = long.iter().map(|r| 1 + asked.iter().position(|a| a == *r).unwrap()).collect();
    let user = |text: &str| ("user".to_owned(), text.to_owned());
    let answer = |i: usize| ("assistant".to_owned(), format!("answer \"{}\", \u{e9}nd", numbers[i]));
    let last = messages(long[2]);
    assert_eq!(
        last,
        [
            user("What is the first of all things?"),
            answer(0),
            user("And the second?"),
            answer(1),
            user("Thank you.")
        ]
    );
    // Each turn begins with all of the one before.
    for two in long.windows(2) {
        let (before, after) = (messages(two[0]), messages(two[1]));
        assert_eq!(after[..before.len()], before[..]);
    }
    assert!(said.out.contains("By turn of the conversation"), "{}", said.out);
}

fn longest(asked: &[String]) -> &str {
    asked.iter().max_by_key(|request| request.len()).unwrap()
}

#[test]
fn or_with_those_of_the_dataset_also_from_a_prepared_set() {
    let place = Place::new();
    place.file("talks.json", TALKS);
    let prepared = place.tare(
        "prepare --dataset-name sharegpt --dataset-path talks.json --multi-turn --multi-turn-history dataset --multi-turn-min-turns 2 --think-time 0.01 --out set.jsonl",
    );
    assert_eq!(prepared.code, Some(0), "{}", prepared.err);
    assert!(prepared.out.ends_with("set.jsonl: 1 conversations of 3 requests\n"), "{}", prepared.out);
    let (url, asked) = talkative();
    let said =
        place.tare(&format!("run --base-url {url} --dataset-path set.jsonl --users 1 --num-prompts 1 --no-server-metrics --output out"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let asked = asked.lock().unwrap();
    let contents: Vec<String> = messages(longest(&asked)).into_iter().map(|(_, content)| content).collect();
    assert_eq!(
        contents,
        [
            "What is the first of all things?",
            "It is the one before.",
            "And the second?",
            "The one after that.",
            "Thank you."
        ]
    );
    // What a run wrote down is what it was given.
    let written = |path: &str| std::fs::read_to_string(place.path(path)).unwrap();
    let turns =
        |text: &str| serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["turns"].clone();
    assert_eq!(turns(&written("out/requests.jsonl")), turns(&written("set.jsonl")));
}

/// Under both kinds of loop: turns in order, each begun after the last one's answer and its pause, and the
/// server found in its cache what it had been sent before.
#[test]
fn conversations_under_both_loops_agree_with_the_truth() {
    for load in ["--users 4", "--request-rate 40"] {
        let flags = format!(
            "--dataset-name random --random-input-len 64 --random-output-len 8 --ignore-eos --multi-turn --multi-turn-num-turns 4 --think-time 0.02 --num-prompts 6 {load}"
        );
        let run = run(QUICK, &flags);
        agrees_with_truth(&run);
        assert_eq!(run.rows.len(), 24, "{load}");
        let truth = run.truth_by_id();
        for session in 0..6 {
            let mut turns: Vec<_> = run.rows.iter().filter(|row| row.session == Some(session)).collect();
            turns.sort_by_key(|row| row.turn);
            assert_eq!(turns.iter().filter_map(|row| row.turn).collect::<Vec<_>>(), [1, 2, 3, 4]);
            for two in turns.windows(2) {
                let pause = two[1].scheduled_unix_ns.seconds_since(two[0].done_unix_ns);
                assert!((pause - 0.02).abs() < 1e-6, "{load}: {pause}");
                assert!(two[1].started_unix_ns >= two[1].scheduled_unix_ns);
                let of = |i: usize| truth[two[i].request_id.as_str()];
                // 64 words more, and the answer before them.
                assert!(of(1).prompt_tokens >= of(0).prompt_tokens + 64, "{load}");
                // All full blocks of the last prompt are known.
                let blocks = of(0).prompt_tokens / 16 * 16;
                assert!(of(1).cached_tokens + 16 >= blocks, "{load}: {} of {blocks}", of(1).cached_tokens);
            }
        }
    }
}

/// A turn that fails ends its conversation: what would have followed is counted and said.
#[test]
fn a_conversation_whose_turn_fails_is_broken_off() {
    let yaml = format!("{QUICK}  faults: [\"http_500 every=4\"]\n");
    let flags = "--dataset-name random --random-input-len 16 --random-output-len 4 --ignore-eos --multi-turn --multi-turn-num-turns 3 --num-prompts 5 --users 1";
    let run = run(&yaml, flags);
    let failed = run.rows.iter().filter(|row| row.status == Status::HttpError).count();
    assert!(failed > 0 && run.rows.len() < 15, "{} rows, {failed} failed", run.rows.len());
    let unsent: u64 = run
        .rows
        .iter()
        .filter(|r| r.status == Status::HttpError)
        .map(|r| u64::from(3 - r.turn.unwrap()))
        .sum();
    assert_eq!(run.manifest.extra["load"]["turns_unsent"]["after_failure"], unsent);
    assert_eq!(run.rows.len() as u64 + unsent, 15);
    assert!(
        run.manifest.warnings.iter().any(|w| w.contains("were not sent, since a turn before them failed"))
    );
}

/// Arrivals are conversations: later turns are neither wanted by the schedule nor held against it.
#[test]
fn what_was_offered_is_counted_in_conversations() {
    let turns = "--dataset-name random --random-input-len 8 --random-output-len 3 --ignore-eos --multi-turn --multi-turn-num-turns 3";
    let run = run(QUICK, &format!("{turns} --request-rate 20 --arrival constant --num-prompts 5"));
    let summary = std::fs::read_to_string(run.folder.join("summary.json")).unwrap();
    let offered = serde_json::from_str::<Value>(&summary).unwrap()["offered"].clone();
    assert_eq!((&offered["of"], &offered["due"]), (&"conversations".into(), &5.into()), "{offered}");
    assert!((offered["offered_rps"].as_f64().unwrap() - 20.0).abs() < 1e-6, "{offered}");
    assert_eq!(offered["law"], "open loop, 20 conversations/s evenly spaced");
    let report = std::fs::read_to_string(run.folder.join("report.md")).unwrap();
    assert!(
        report.contains("offered: 20.00 conversations/s wanted") && report.contains("for 5 conversations")
    );
}

/// A turn that the end of the run cut short has not failed.
#[test]
fn what_the_end_of_a_run_breaks_off_is_no_failure() {
    let dir = "--dataset-name random --random-input-len 8 --random-output-len 2000 --ignore-eos --multi-turn --multi-turn-num-turns 3";
    for load in ["--users 2", "--request-rate 50 --arrival constant --num-prompts 2"] {
        let run = run(QUICK, &format!("{dir} {load} --duration 0.5 --grace-period 0"));
        assert_eq!(run.rows.iter().map(|r| r.status).collect::<Vec<_>>(), [Status::InFlight; 2], "{load}");
        let unsent = &run.manifest.extra["load"]["turns_unsent"];
        assert_eq!((&unsent["after_failure"], &unsent["at_the_end"]), (&0.into(), &4.into()), "{load}");
        assert!(!run.manifest.warnings.iter().any(|w| w.contains("failed")), "{:?}", run.manifest.warnings);
    }
}

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
