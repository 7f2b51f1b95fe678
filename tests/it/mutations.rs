//! Files and answers that somebody has tampered with: good ones, changed at random (the same in every run), read
//! by the readers of configurations, traces, datasets and answers. None may panic, none may take what is broken
//! for good, and every refusal says something. `TARE_MUTATIONS=N` changes each N times as often.

use std::path::{Path, PathBuf};

use tare::cli::RunArgs;
use tare::config::{Trace, TraceFields, TraceFormat};
use tare::load::http1::ResponseDecoder;
use tare::load::openai;
use tare::workload::{Want, jsonl, sharegpt, trace};

const USUAL: u64 = 400;
/// What breaks readers, more often than random bytes do.
const NASTY: [&[u8]; 22] = [
    b"-1",
    b"1e400",
    b"9223372036854775808",
    b"NaN",
    b"null",
    b"\"",
    b"\0",
    b"\xff\xfe",
    b"\xc3",
    b"\r\n",
    b"\n",
    b":",
    b",",
    b"{\"a\":",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"}",
    b"]",
    b"&a",
    b"*a",
    b"!!binary ",
    b"ffffffffffffffff",
    b"\\ud800",
];

/// A generator of its own: what is tampered with must not change when a library does.
struct Dice(u64);

impl Dice {
    /// Below `n`, which is not 0 (splitmix64).
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// One to four changes.
    fn tamper(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(4) {
            let from = self.below(bytes.len() + 1);
            let to = (from + self.below(40)).min(bytes.len());
            match self.below(6) {
                0 => drop(bytes.splice(from..to, [])),
                1 => drop(bytes.splice(from..from, NASTY[self.below(NASTY.len())].iter().copied())),
                2 => drop(bytes.splice(from..to, NASTY[self.below(NASTY.len())].iter().copied())),
                3 if from < bytes.len() => bytes[from] ^= 1 << self.below(8),
                4 => {
                    let again = bytes[from..to].repeat(1 + self.below(300));
                    drop(bytes.splice(to..to, again));
                }
                _ => bytes.truncate(from.max(bytes.len() / 2)),
            }
        }
        bytes
    }
}

/// Tampers with each of `good` and hands it to `read`; says what was being read when that panics.
fn tampered(name: &str, good: &[Vec<u8>], mut read: impl FnMut(&[u8])) {
    let times = std::env::var("TARE_MUTATIONS").ok().and_then(|n| n.parse::<u64>().ok()).unwrap_or(1);
    for seed in 0..USUAL * times {
        let mut dice = Dice(seed);
        let bytes = dice.tamper(&good[seed as usize % good.len()]);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&bytes)));
        assert!(outcome.is_ok(), "{name}, seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A file to write what was tampered with to.
fn scratch(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("tampered")
}

#[test]
fn configurations() {
    let folder = tempfile::tempdir().unwrap();
    let path = scratch(&folder);
    let good = ["demo", "seed-vllm-sharegpt", "stages", "vllm-cpu"]
        .map(|name| file(&format!("configs/{name}.yaml")));
    let (mut refused, mut taken) = (0, 0);
    tampered("configuration", &good, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match tare::config::load(Some(&path), &RunArgs::default()) {
            Ok(_) => taken += 1,
            Err(error) => {
                let mut said = Vec::new();
                tare::error::print(&mut said, &error).unwrap();
                assert!(said.len() > 20);
                refused += 1;
            }
        }
    });
    assert!(refused > 20 && taken > 20, "{refused} refused, {taken} taken");
}

#[test]
fn traces() {
    let folder = tempfile::tempdir().unwrap();
    let path = scratch(&folder);
    let lines =
        |line: &dyn Fn(u32) -> String| (0..30).map(|i| line(i) + "\n").collect::<String>().into_bytes();
    let json = |unit: u32| {
        lines(&|i| {
            format!(
                "{{\"timestamp\":{},\"input_length\":{},\"output_length\":7,\"hash_ids\":[1,{i}]}}",
                i * unit,
                i + 1
            )
        })
    };
    let azure = lines(&|i| format!("2023-11-16 18:15:{:02}.6805900,{},7", i, i + 1));
    let burst = lines(&|i| format!("{i},ChatGPT,{},7,{},Conversation log", i + 1, i + 8));
    let head = |head: &str, rest: Vec<u8>| [head.as_bytes(), &rest].concat();
    for (format, good) in [
        (TraceFormat::Mooncake, json(1000)),
        (TraceFormat::TimedTrace, json(1)),
        (TraceFormat::Azure, head("TIMESTAMP,ContextTokens,GeneratedTokens\n", azure)),
        (
            TraceFormat::Burstgpt,
            head("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n", burst),
        ),
    ] {
        let trace = Trace {
            path: path.clone(),
            format,
            start_s: 0.0,
            end_s: None,
            sec_multiplier: 1.0,
            block_tokens: 512,
            fields: TraceFields::default(),
        };
        std::fs::write(&path, &good).unwrap();
        assert!(trace::read(&trace, None).is_ok(), "{format:?}, as it is");
        let mut refused = 0;
        tampered(&format!("{format:?}"), &[good], |bytes| {
            std::fs::write(&path, bytes).unwrap();
            if let Err(failure) = trace::read(&trace, None) {
                assert!(failure.to_string().len() > 20);
                refused += 1;
            }
        });
        assert!(refused > 0, "{format:?}");
    }
}

#[test]
fn datasets() {
    let count = |text: &str| text.len() as u32 / 4;
    let want = Want { max_tokens: None, turns: true, count: &count };
    let lines = String::from_utf8(file("requests/sharegpt_64.jsonl")).unwrap();
    let few = lines.lines().take(6).collect::<Vec<_>>().join("\n").into_bytes();
    tampered("requests", &[few], |bytes| {
        let read = jsonl::parse(bytes, &want).unwrap();
        assert_eq!(read.broken.count == 0, read.broken.reasons.is_empty());
    });
    let turn = |from: &str| format!("{{\"from\":\"{from}\",\"value\":\"What is é in \\u00e9?\"}}");
    let entry = format!("{{\"id\":\"x\",\"conversations\":[{},{}]}}", turn("human"), turn("gpt"));
    let share = format!("[{}]", vec![entry; 5].join(",\n"));
    tampered("ShareGPT", &[share.into_bytes()], |bytes| {
        let read = sharegpt::parse(bytes, &want);
        assert_eq!(read.broken.count == 0, read.broken.reasons.is_empty());
    });
}

/// However a broken answer is cut into reads, it is as broken.
#[test]
fn answers() {
    let names = ["chat-think", "chat-tool", "comp-logprobs", "resp-think", "resp-nonstream"];
    let good = names.map(|name| file(&format!("tests/samples/openai/{name}.response.raw")));
    let decoded = |bytes: &[u8], size: usize| {
        let (mut decoder, mut body) = (ResponseDecoder::default(), Vec::new());
        let failed = bytes
            .chunks(size)
            .any(|piece| decoder.push(piece, |_, part| body.extend_from_slice(part)).is_err());
        // A head that has not ended may be known for none only when more of it comes.
        let head = decoder.head().map(|head| head.status);
        (failed && head.is_some(), body, head, decoder.is_done())
    };
    tampered("HTTP", &good, |bytes| assert_eq!(decoded(bytes, 7), decoded(bytes, 1000)));
    let chunks: Vec<Vec<u8>> = good
        .iter()
        .flat_map(|answer| String::from_utf8_lossy(answer).lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| line.strip_prefix("data: ").map(|data| data.as_bytes().to_vec()))
        .collect();
    tampered("chunk", &chunks, |bytes| {
        for api in openai::APIS {
            match (api.parse)(bytes) {
                Ok(chunk) => {
                    assert!(chunk.usage.is_none_or(|usage| usage.completion_tokens < Some(100_000_001)));
                }
                Err(error) => assert!(error.starts_with("expected a JSON chunk")),
            }
        }
        assert!(openai::error_message(bytes).chars().count() <= 301);
    });
}
