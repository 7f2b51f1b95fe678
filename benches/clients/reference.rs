//! What the reference clients have in common: the load, the requests' bodies, what is kept of an
//! answer, and the program around them. How a request is sent and read is theirs.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tare::clock::UnixNs;
use tare::config::law::Law;
use tare::config::{Dataset, Embedded, Workload};
use tare::load::openai::BodyOptions;
use tare::net::limits::{Demand, raise_files};
use tare::record::Endpoint;
use tokio::task::JoinSet;

use crate::{hyper_client, reqwest_client};

/// Makes the bench run as a client: `--client NAME AUTHORITY STREAMS TOKENS_PER_SECOND SECONDS FILE`.
pub const FLAG: &str = "--client";
/// Of each prompt and each answer; the same for tare.
pub const INPUT_TOKENS: u32 = 32;
pub const OUTPUT_TOKENS: u32 = 100;
/// Distinct prompts; the same for tare.
pub const SAMPLES: u32 = 64;
/// Streams begin evenly over this time; the same for tare.
pub const RAMP_S: f64 = 1.0;

/// So many streams at once, each sends again when its answer has ended, for so long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub streams: u32,
    pub tokens_per_second: f64,
    pub seconds: f64,
    /// The server holds each first token back by up to so much; the clients do not know.
    pub late_first_ms: u32,
}

impl Load {
    /// As arguments.
    pub fn words(self) -> [String; 3] {
        let word = |value: &dyn Display| value.to_string();
        [word(&self.streams), word(&self.tokens_per_second), word(&self.seconds)]
    }
}

/// One answer: its request's id, its start, and the stamps of its token events.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub id: String,
    /// Before connecting and sending.
    pub started_unix_ns: i64,
    /// The kernel's stamp where there is one, the program's own, and whether the former is exact.
    pub events: Vec<(Option<i64>, i64, bool)>,
}

/// What every stream of a client shares.
pub struct Task {
    pub authority: String,
    /// Bodies to be sent in turn.
    bodies: Vec<Bytes>,
    next: AtomicU64,
    end: UnixNs,
}

impl Task {
    /// The next request's id and body; `None` when the time is over.
    pub fn next(&self) -> Option<(String, Bytes)> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let body = self.bodies.get(n as usize % self.bodies.len().max(1))?.clone();
        (self.end.remaining() > Duration::ZERO).then(|| (format!("reference-{n}"), body))
    }

    pub fn url(&self) -> String {
        format!("http://{}{}", self.authority, Endpoint::Chat.path())
    }
}

impl Answer {
    pub fn begin(id: &str) -> Self {
        Self { id: id.to_owned(), started_unix_ns: UnixNs::now().0, events: Vec::new() }
    }
}

/// Takes a stream of server-sent events apart as its bytes come, and stamps each event as it is seen.
#[derive(Default)]
pub struct Sse {
    rest: Vec<u8>,
    /// Of the answer so far.
    tokens: u32,
}

impl Sse {
    /// Adds the token events in `bytes` to the answer.
    pub fn push(&mut self, bytes: &[u8], answer: &mut Answer) {
        self.rest.extend_from_slice(bytes);
        let mut taken = 0;
        while let Some(end) = find(self.rest.get(taken..).unwrap_or_default()) {
            let stamp = UnixNs::now().0;
            let event = self.rest.get(taken..taken + end).unwrap_or_default();
            taken += end + 2;
            let data = event.strip_prefix(b"data: ").unwrap_or_default();
            let tokens = serde_json::from_slice::<Chunk>(data).ok().and_then(|chunk| chunk.usage);
            let tokens = tokens.map_or(0, |usage| usage.completion_tokens);
            if tokens > self.tokens {
                answer.events.push((None, stamp, false));
                self.tokens = tokens;
            }
        }
        self.rest.drain(..taken);
    }
}

/// Where an event ends.
fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\n\n")
}

/// Of a chunk, how many tokens the answer has by now; the server tells it with each.
#[derive(Deserialize)]
struct Chunk {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: u32,
}

/// Runs a reference client to its end and writes what it kept.
pub fn run(args: &[String]) -> anyhow::Result<()> {
    let [client, authority, streams, tokens_per_second, seconds, file] = args else {
        bail!("expected {FLAG} NAME AUTHORITY STREAMS TOKENS_PER_SECOND SECONDS FILE")
    };
    let load = Load {
        streams: streams.parse()?,
        tokens_per_second: tokens_per_second.parse()?,
        seconds: seconds.parse()?,
        late_first_ms: 0,
    };
    raise_files(Demand { at_once: u64::from(load.streams), certain: true })?;
    let bodies = bodies()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let answers = runtime.block_on(async {
        let begun = UnixNs::now();
        let task = Arc::new(Task {
            authority: authority.clone(),
            bodies,
            next: AtomicU64::new(0),
            end: begun.plus_seconds(load.seconds),
        });
        let pool = reqwest_client::pool()?;
        let mut streams = JoinSet::new();
        for n in 0..load.streams {
            let start = begun.plus_seconds(RAMP_S * f64::from(n) / f64::from(load.streams));
            let (task, pool, client) = (Arc::clone(&task), pool.clone(), client.clone());
            streams.spawn(async move {
                tokio::time::sleep(start.remaining()).await;
                match client.as_str() {
                    reqwest_client::NAME => reqwest_client::stream(&task, &pool).await,
                    hyper_client::NAME => hyper_client::stream(&task).await,
                    other => bail!("there is no client {other}"),
                }
            });
        }
        let mut answers = Vec::new();
        while let Some(ended) = streams.join_next().await {
            answers.extend(ended??);
        }
        anyhow::Ok(answers)
    })?;
    let file = std::io::BufWriter::new(std::fs::File::create(file)?);
    Ok(serde_json::to_writer(file, &answers)?)
}

/// Where a reference client's answers are written.
pub fn file(dir: &Path) -> PathBuf {
    dir.join("answers.json")
}

/// What a reference client wrote.
pub fn answers(dir: &Path) -> anyhow::Result<Vec<Answer>> {
    let text = std::fs::read(file(dir)).context("the client left no answers")?;
    Ok(serde_json::from_slice(&text)?)
}

/// The bodies that tare sends, byte for byte.
fn bodies() -> anyhow::Result<Vec<Bytes>> {
    let workload = Workload {
        dataset: Dataset::Random {
            input_len: Law::Fixed(INPUT_TOKENS.into()),
            output_len: Law::Fixed(OUTPUT_TOKENS.into()),
            prefix_len: 0,
        },
        samples: Some(SAMPLES as usize),
        max_tokens: None,
        tokenizer: None,
        allow_tokenizer_mismatch: false,
        multi_turn: None,
        temperature: None,
        top_p: None,
        ignore_eos: true,
        stream: true,
        extra_body: serde_json::Map::new(),
    };
    let options = BodyOptions {
        endpoint: Endpoint::Chat,
        model: Embedded::default().model,
        stream: true,
        temperature: None,
        top_p: None,
        ignore_eos: true,
        extra_body: serde_json::Map::new(),
    };
    let prompts = tare::workload::load(&workload, 0)?.prompts;
    prompts.iter().map(|prompt| Ok(options.body(prompt, true)?.into())).collect()
}
