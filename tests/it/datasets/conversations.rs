//! Conversations turn by turn, against a server that talks and against the look-alike's truth.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tare::record::Status;

use crate::end_to_end::agrees_with_truth;
use crate::program::Place;
use crate::runs::{QUICK, run};
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
