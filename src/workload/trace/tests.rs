//! Traces of each format as they are published, and those that are refused.

#![allow(clippy::unwrap_used, clippy::float_cmp)]

use std::io::Write;

use super::*;
use crate::config::TraceFields;
use crate::workload::tokens::{Rule, Tokens};

fn file(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

fn trace(file: &tempfile::NamedTempFile, format: TraceFormat) -> Trace {
    Trace {
        path: file.path().to_owned(),
        format,
        start_s: 0.0,
        end_s: None,
        sec_multiplier: 1.0,
        block_tokens: if format == TraceFormat::TimedTrace { 16 } else { 512 },
        fields: TraceFields::default(),
    }
}

fn rows(text: impl AsRef<[u8]>, format: TraceFormat) -> Rows {
    let file = file(text);
    read(&trace(&file, format), None).unwrap()
}

/// The refusal, the file called FILE.
fn refusal(text: &str, format: TraceFormat) -> String {
    let file = file(text);
    let error = read(&trace(&file, format), None).unwrap_err();
    let mut said = Vec::new();
    crate::error::print(&mut said, &error.into()).unwrap();
    String::from_utf8(said).unwrap().replace(&file.path().display().to_string(), "FILE")
}

fn times(rows: &Rows) -> Vec<f64> {
    rows.rows.iter().map(|row| row.offset_s).collect()
}

const MOONCAKE: &str = r#"{"timestamp": 27482, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]}
{"timestamp": 27482, "input_length": 700, "output_length": 3, "hash_ids": [46, 9]}

{"timestamp": 30535, "input_length": 6, "output_length": 26, "hash_ids": [0]}
"#;
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
    2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:51.2224670,879,0\n\
    2023-11-17 00:00:00.0000000,1,1\n";
const BURSTGPT: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
    5,ChatGPT,472,18,490,Conversation log\n45.5,ChatGPT,1087,230,1317,Conversation log\n118,GPT-4,417,0,417,API log\n";

#[test]
fn mooncake_counts_milliseconds_and_names_blocks() {
    let rows = rows(MOONCAKE, TraceFormat::Mooncake);
    let expected = [0.0, 0.0, 3.053];
    assert!(times(&rows).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9));
    assert_eq!((rows.rows[0].input_tokens, rows.rows[0].output_tokens), (1100, 52));
    assert_eq!(rows.rows[1].hash_ids, [46, 9]);
}

#[test]
fn azure_writes_dates() {
    let rows = rows(AZURE, TraceFormat::Azure);
    let expected = [0.0, 4.314_579, 20_653.319_41];
    assert!(times(&rows).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{:?}", times(&rows));
    assert_eq!(
        (rows.entries, rows.pruned.reasons),
        (4, vec!["line 4: GeneratedTokens: 0 tokens".to_owned()])
    );
    let zoned = "ContextTokens,GeneratedTokens,TIMESTAMP\n7,8,2024-05-10 00:00:00.009930+00:00\n7,9,2024-05-10 00:00:01+00:00\n";
    let rows = self::rows(zoned, TraceFormat::Azure);
    assert!((times(&rows)[1] - 0.990_07).abs() < 1e-6 && rows.rows[1].output_tokens == 9);
}

#[test]
fn burstgpt_counts_seconds_and_keeps_failures_of_which_nothing_was_answered_out() {
    let rows = rows(BURSTGPT, TraceFormat::Burstgpt);
    assert_eq!((times(&rows), rows.pruned.count), (vec![0.0, 40.5], 1));
    let sessions = "Timestamp,Session ID,Model,Request tokens,Response tokens\n1,a7,GPT-4,4,5\n";
    assert_eq!(
        self::rows(sessions, TraceFormat::Burstgpt).rows[0].input_tokens,
        4,
        "columns more change nothing"
    );
}

#[test]
fn a_timed_trace_is_read_as_it_is_described() {
    let file =
        file("{\"t\": 2, \"in\": 20, \"out\": 3, \"h\": [1, 2]}\n{\"t\": 5, \"in\": 20, \"out\": 3}\n");
    let fields = TraceFields {
        timestamp: "t".to_owned(),
        input_length: "in".to_owned(),
        output_length: "out".to_owned(),
        hash_ids: "h".to_owned(),
    };
    let trace = Trace { sec_multiplier: 0.5, fields, ..trace(&file, TraceFormat::TimedTrace) };
    let rows = read(&trace, None).unwrap();
    assert_eq!((times(&rows), rows.rows[0].hash_ids.len()), (vec![0.0, 1.5], 2));
}

#[test]
fn a_part_of_a_trace_keeps_its_own_gaps() {
    let file = file(BURSTGPT.replace(",0,417", ",9,417").as_str());
    let whole = trace(&file, TraceFormat::Burstgpt);
    let part = Trace { start_s: 10.0, end_s: Some(113.0), ..whole.clone() };
    let rows = read(&part, None).unwrap();
    assert_eq!((times(&rows), rows.outside), (vec![30.5], 2));
    assert_eq!(times(&read(&whole, Some(2)).unwrap()), [0.0, 40.5]);
    let none = Trace { start_s: 1000.0, ..whole };
    assert!(read(&none, None).unwrap_err().to_string().contains("lies within the times asked for"));
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_the_others_sent() {
    let text =
        format!("{{\"timestamp\": 0, \"input_length\": -1}}\nno JSON\n{MOONCAKE}{{\"timestamp\": \"4\"}}\n");
    let rows = rows(&text, TraceFormat::Mooncake);
    assert_eq!((rows.rows.len(), rows.entries), (3, 6));
    insta::assert_snapshot!(rows.broken.reasons.join("\n"), @r"
    line 1: input_length: expected a number of tokens, found -1
    line 2: column 2: not JSON: expected ident
    line 7: timestamp: expected a number, found text
    ");
}

/// A byte order mark, CRLF, and a line that is no text: of all that, only the last costs a line.
#[test]
fn files_from_elsewhere_lose_no_good_line() {
    let crlf = MOONCAKE.replace('\n', "\r\n");
    let mooncake = [b"\xef\xbb\xbf".as_slice(), crlf.as_bytes(), b"{\"timestamp\": 3\xff\r\n"].concat();
    let rows = self::rows(mooncake, TraceFormat::Mooncake);
    assert_eq!((rows.rows.len(), rows.broken.count), (3, 1));
    assert!(rows.broken.reasons[0].starts_with("line 5: column 16: not JSON"), "{:?}", rows.broken.reasons);
    let azure = [b"\xef\xbb\xbf".as_slice(), AZURE.as_bytes(), b"2023-11-18 00:00:\xff,1,1\n"].concat();
    let rows = self::rows(azure, TraceFormat::Azure);
    assert_eq!((rows.rows.len(), rows.broken.reasons), (3, vec!["line 6: not UTF-8".to_owned()]));
}

#[test]
fn a_time_without_end_is_no_time() {
    let text = format!("{{\"timestamp\": 1e308, \"input_length\": 9, \"output_length\": 1}}\n{MOONCAKE}");
    let file = file(text);
    let timed = Trace { sec_multiplier: 1e6, block_tokens: 512, ..trace(&file, TraceFormat::TimedTrace) };
    let rows = read(&timed, None).unwrap();
    assert_eq!((rows.rows.len(), rows.broken.reasons.len()), (3, 1));
    assert!(rows.broken.reasons[0].ends_with("is no time"), "{:?}", rows.broken.reasons);
}

#[test]
fn times_that_go_back_or_are_negative_are_refused() {
    let back = MOONCAKE.replace("30535", "27000");
    insta::assert_snapshot!(refusal(&back, TraceFormat::Mooncake), @r"
    error: FILE:4: `timestamp`: the time goes back by 0.482 s from that of line 2
    hint: a trace is in the order of its times: sort it by them
    ");
    insta::assert_snapshot!(refusal(&MOONCAKE.replace("27482", "-5"), TraceFormat::Mooncake), @r"
    error: FILE:1: `timestamp`: the time is negative: -5
    hint: times count from the trace's begin, which is not before 0
    ");
    insta::assert_snapshot!(refusal(&BURSTGPT.replace("\n5,", "\n-5,"), TraceFormat::Burstgpt), @r"
    error: FILE:2: `Timestamp`: the time is negative: -5
    hint: times count from the trace's begin, which is not before 0
    ");
    insta::assert_snapshot!(refusal(&AZURE.replace("18:15:50", "18:14:50"), TraceFormat::Azure), @r"
    error: FILE:3: `TIMESTAMP`: the time goes back by 55.685 s from that of line 2
    hint: a trace is in the order of its times: sort it by them
    ");
}

#[test]
fn units_that_are_mixed_up_are_refused() {
    // Mooncake's own lines, in seconds.
    insta::assert_snapshot!(refusal(&MOONCAKE.replace("27482", "27.482"), TraceFormat::Mooncake), @r"
    error: FILE:1: `timestamp`: the time is in milliseconds, which are whole numbers: found 27.482
    hint: for times in seconds: `--dataset-name timed-trace --timed-trace-chunk-hash-size 512`
    ");
    let line = |i: u32| format!("{{\"timestamp\": {}, \"input_length\": 9, \"output_length\": 1}}\n", i / 3);
    let seconds: String = (0..600).map(line).collect();
    insta::assert_snapshot!(refusal(&seconds, TraceFormat::Mooncake), @r"
    error: `FILE`: 600 requests within 0.199 s would be 3015 a second: its times seem to be in another unit than milliseconds
    hint: for times in seconds: `--dataset-name timed-trace --timed-trace-chunk-hash-size 512`
    ");
    // Mooncake's own lines as another tool's.
    insta::assert_snapshot!(refusal(MOONCAKE, TraceFormat::TimedTrace), @r"
    error: FILE:1: `hash_ids`: 3 ids of 16 tokens each are 48 tokens, and `input_length` is 1100
    hint: `--timed-trace-chunk-hash-size` says how many tokens an id is; Mooncake's are 512, and in milliseconds: `--dataset-name mooncake`
    ");
    insta::assert_snapshot!(refusal(&AZURE.replace("2023-11-16 18:15:", "").replace("2023-11-17 00:00:", ""), TraceFormat::Azure), @r"
    error: none of the 4 lines of `FILE` can be sent
      line 2: TIMESTAMP: expected a date such as 2023-11-16 18:15:46.6805900, found `46.6805900`
      line 3: TIMESTAMP: expected a date such as 2023-11-16 18:15:46.6805900, found `50.9951690`
      line 4: TIMESTAMP: expected a date such as 2023-11-16 18:15:46.6805900, found `51.2224670`
      line 5: TIMESTAMP: expected a date such as 2023-11-16 18:15:46.6805900, found `00.0000000`
    hint: columns TIMESTAMP,ContextTokens,GeneratedTokens; a time such as 2023-11-16 18:15:46.6805900
    ");
    insta::assert_snapshot!(refusal(AZURE, TraceFormat::Burstgpt), @r"
    error: FILE:1: there is no column `Timestamp`
    hint: expected `Timestamp`, `Request tokens`, `Response tokens`, found `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`
    ");
}

fn texts(rows: &[Row], tokens: &dyn Tokens) -> Vec<Vec<String>> {
    let made = prompts(rows, 512, None, 7, tokens).unwrap();
    assert_eq!(made.not_exact, 0);
    made.prompts.iter().map(|p| p.text().split(' ').map(str::to_owned).collect()).collect()
}

#[test]
fn prompts_share_what_their_blocks_share() {
    let rows = rows(MOONCAKE, TraceFormat::Mooncake);
    let texts = self::texts(&rows.rows, &Rule);
    assert_eq!([0, 1, 2].map(|i| texts[i].len()), [1100, 700, 6]);
    assert_eq!(texts[0][..512], texts[1][..512]);
    assert_ne!(texts[0][512..520], texts[1][512..520]);
    let of = |limit| prompts(&rows.rows, 512, limit, 7, &Rule).unwrap().prompts;
    assert_eq!((of(None)[0].max_tokens, of(Some(4))[0].max_tokens), (Some(52), Some(4)));
    // Made then, made again.
    assert_eq!(of(None)[2].text(), "order many sense pay after above");
    // Without ids each is its own.
    let bare: Vec<Row> = rows.rows.iter().map(|r| Row { hash_ids: Vec::new(), ..r.clone() }).collect();
    let made = prompts(&bare, 512, None, 7, &Rule).unwrap().prompts;
    assert_ne!(made[0].text()[..40], made[1].text()[..40]);
    assert_eq!(made, prompts(&bare, 512, None, 7, &Rule).unwrap().prompts);
}

/// By a tokenizer, too, as many tokens are shared as the trace says, where its words are not one token each.
#[test]
fn blocks_have_their_tokens_by_a_tokenizer() {
    struct Halves(Vec<String>);
    impl Tokens for Halves {
        fn count(&self, text: &str) -> anyhow::Result<u32> {
            Ok(text.split_ascii_whitespace().map(|word| word.len().div_ceil(3) as u32).sum())
        }
        fn special(&self) -> anyhow::Result<u32> {
            Ok(0)
        }
        fn words(&self) -> &[String] {
            &self.0
        }
        fn name(&self) -> Option<&str> {
            Some("a token for three letters")
        }
    }
    let tokens = Halves(["a", "table", "together", "the"].map(str::to_owned).to_vec());
    let rows = rows(MOONCAKE, TraceFormat::Mooncake);
    let texts = self::texts(&rows.rows, &tokens);
    let lengths = [0, 1, 2].map(|i| tokens.count(&texts[i].join(" ")).unwrap());
    assert_eq!(lengths, [1100, 700, 6]);
    let shared: Vec<&str> =
        texts[0].iter().zip(&texts[1]).take_while(|(a, b)| a == b).map(|(a, _)| a.as_str()).collect();
    // The first words after the block may happen to be the same.
    let shared = tokens.count(&shared.join(" ")).unwrap();
    assert!((512..530).contains(&shared), "{shared}");
}
