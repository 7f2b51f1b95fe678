//! What the tap adds: the same streams to the same server, each request in turn straight to it and
//! through a tap, in one run. Prints what lies outside the server by both ways and the paired
//! difference, and what the tap says of itself. Asserts nothing; say with the numbers what else the
//! machine was doing.
//!
//! `cargo bench --bench tap [-- STREAMS TOKENS_PER_SECOND ROUNDS [LATE_FIRST_MS [THREADS]] [apart] [haproxy]]`
//!
//! `LATE_FIRST_MS`: the server holds each first token back by up to so much, so that it does not come in one
//! burst with the other streams' tokens. `THREADS`: the tap's.
//! `apart`: the server has the first CPU for itself, the hop the second, as if on hosts of their own; the client is
//! where there is room. Without it the server's threads write a burst on all CPUs at once, and on few the hop waits
//! until one of them has ended.
//! `haproxy`: that program in the tap's place, passing on at once what comes, to say what any hop costs here.
//!
//! Outside the server: TTFT by kernel stamps − (first write − request read), by the server's own truth.
//! The TTFTs themselves would not tell: an engine works in steps, and a request that comes a little
//! later waits for the same one.
//!
//! A round of a stream is a request each way, in turn first; the difference is that of a round. Nearly
//! all streams go the same way at a time. Server and tap are processes of their own, and where that is
//! allowed they run before the client, as they would on hosts of their own.

#[path = "clients/server.rs"]
mod server;

/// What the server's file wants of the bench that it is used in.
mod reference {
    #[derive(Clone, Copy, Debug)]
    pub struct Load {
        pub tokens_per_second: f64,
        pub late_first_ms: u32,
    }
}

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare::clock::UnixNs;
use tare::load::http1::ResponseDecoder;
use tare::load::openai;
use tare::mock::truth::TruthRow;
use tare::net::{StampedStream, arm};
use tare::stats::blocks::Blocks;
use tare::stats::{bootstrap, quantile};
use tare_parsers::sse::SseDecoder;
use tokio::task::JoinSet;

use self::reference::Load;
use self::server::{Server, before_others};

const OUTPUT_TOKENS: u32 = 20;
/// Streams begin evenly over this time.
const RAMP_S: f64 = 1.0;
/// Of each stream, not counted.
const WARMUP_ROUNDS: u32 = 1;
const LIMIT: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<f64>().ok());
    let streams = numbers.next().unwrap_or(50.0) as u32;
    let tokens_per_second = numbers.next().unwrap_or(20.0);
    let rounds = numbers.next().unwrap_or(10.0) as u32;
    let late_first_ms = numbers.next().unwrap_or(0.0) as u32;
    let threads = numbers.next().map(|n| n as u16);
    println!(
        "{streams} streams, {tokens_per_second} tokens/s each, {rounds} rounds of {OUTPUT_TOKENS} tokens each way, first tokens held back by 0 to {late_first_ms} ms; {} CPUs",
        std::thread::available_parallelism()?
    );
    let apart = std::env::args().any(|arg| arg == "apart");
    if apart {
        println!("the server on CPU 0, the hop on CPU 1");
    }
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), Load { tokens_per_second, late_first_ms }, apart.then_some(0))?;
    let by_haproxy = std::env::args().any(|arg| arg == "haproxy");
    let start = if by_haproxy { Hop::haproxy } else { Hop::tap };
    let hop = start(dir.path(), &server.authority, threads, apart.then_some(1))?;
    let direct: SocketAddr = server.authority.parse()?;
    let ways = [direct, hop.address];
    let _armed = arm().context("no kernel stamps here")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let pairs = runtime.block_on(async {
        let begun = UnixNs::now();
        let mut all = JoinSet::new();
        for n in 0..streams {
            let start = begun.plus_seconds(RAMP_S * f64::from(n) / f64::from(streams));
            all.spawn(async move {
                tokio::time::sleep(start.remaining()).await;
                stream(n, ways, rounds + WARMUP_ROUNDS).await
            });
        }
        let mut pairs = Vec::new();
        while let Some(ended) = all.join_next().await {
            pairs.extend(ended??);
        }
        // What a round's streams share, they share at the same time.
        pairs.sort_by_key(|round: &Round| round.number);
        anyhow::Ok(pairs)
    })?;
    let said = hop.stop()?;
    let rows = server.stop()?;
    let truth = rows.iter().filter_map(|row| Some((row.x_request_id.as_deref()?, row))).collect();
    let outside = |round: Round| {
        let Round { number, straight, tapped } = round;
        Ok(Round { number, straight: straight.without(&truth)?, tapped: tapped.without(&truth)? })
    };
    let pairs = pairs.into_iter().map(outside).collect::<anyhow::Result<Vec<_>>>()?;
    show("first token", &pairs, |timing| timing.first_s);
    show("last token", &pairs, |timing| timing.last_s);
    print!("{said}");
    Ok(())
}

/// One request's, from just before it was sent to the kernel's stamp; what the server's truth says of
/// the same is taken off later.
#[derive(Clone)]
struct Timing {
    id: String,
    first_s: f64,
    last_s: f64,
}

impl Timing {
    /// Leaves what lies outside the server: its own time is from the request's last byte read to the
    /// event's write.
    fn without(self, truth: &HashMap<&str, &TruthRow>) -> anyhow::Result<Self> {
        let row = truth.get(self.id.as_str()).context("a request is not in the server's truth")?;
        let written = |event: Option<&(UnixNs, u32, u32)>| event.map(|event| event.0).context("no event");
        let bears = |event: &&(UnixNs, u32, u32)| event.1 > 0;
        let first = written(row.events.iter().find(bears))?;
        let last = written(row.events.iter().rev().find(bears))?;
        Ok(Self {
            first_s: self.first_s - first.seconds_since(row.read_unix_ns),
            last_s: self.last_s - last.seconds_since(row.read_unix_ns),
            id: self.id,
        })
    }
}

/// A stream's round: straight, and through the tap.
#[derive(Clone)]
struct Round {
    number: u32,
    straight: Timing,
    tapped: Timing,
}

/// All rounds of one stream.
async fn stream(n: u32, ways: [SocketAddr; 2], rounds: u32) -> anyhow::Result<Vec<Round>> {
    let mut open = Vec::new();
    for way in ways {
        open.push(StampedStream::connect(way, None, true, LIMIT).await?);
    }
    let mut pairs = Vec::new();
    for round in 0..rounds {
        let mut pair = [None, None];
        let first = (round % 2) as usize;
        for way in [first, 1 - first] {
            let id = format!("bench-{n}-{round}-{way}");
            let connection = open.get_mut(way).context("a connection for each way")?;
            if let Some(timing) = pair.get_mut(way) {
                *timing = Some(request(connection, &id).await?);
            }
        }
        if let ([Some(straight), Some(tapped)], true) = (pair, round >= WARMUP_ROUNDS) {
            pairs.push(Round { number: round, straight, tapped });
        }
    }
    Ok(pairs)
}

async fn request(connection: &mut StampedStream, id: &str) -> anyhow::Result<Timing> {
    let body = format!(
        r#"{{"model":"tare-mock","messages":[{{"role":"user","content":"one two three"}}],"stream":true,"ignore_eos":true,"max_tokens":{OUTPUT_TOKENS}}}"#
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nX-Request-Id: {id}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head, body].concat();
    let begun = UnixNs::now();
    connection.write_all(request.as_bytes()).await?;
    let (mut decoder, mut sse) = (ResponseDecoder::default(), SseDecoder::new());
    let (mut first, mut last) = (None, None);
    while !decoder.is_done() {
        let read = connection.read(|received| {
            ensure!(!received.bytes.is_empty(), "the connection was closed");
            decoder.push(received.bytes, |_, part| {
                sse.push(part, |event| {
                    if openai::parse_any(event.data).is_ok_and(|chunk| chunk.has_text) {
                        first.get_or_insert(received.stamp.best());
                        last = Some(received.stamp.best());
                    }
                });
            })?;
            Ok(())
        });
        read.await??;
    }
    let (Some(first), Some(last)) = (first, last) else { bail!("an answer without a token") };
    let (first_s, last_s) = (first.seconds_since(begun), last.seconds_since(begun));
    Ok(Timing { id: id.to_owned(), first_s, last_s })
}

fn show(what: &str, pairs: &[Round], of: impl Fn(&Timing) -> f64) {
    let straight: Vec<f64> = pairs.iter().map(|round| of(&round.straight)).collect();
    let tapped: Vec<f64> = pairs.iter().map(|round| of(&round.tapped)).collect();
    let labels: Vec<u32> = pairs.iter().map(|round| round.number).collect();
    let added: Vec<f64> = tapped.iter().zip(&straight).map(|(t, s)| t - s).collect();
    println!("\n{what}: outside the server (ms, n {} rounds)", pairs.len());
    for (name, values) in
        [("straight", &straight), ("through the hop", &tapped), ("difference, paired", &added)]
    {
        let sorted = quantile::sorted(values);
        let at = |q| quantile::quantile(&sorted, q).unwrap_or(f64::NAN) * 1e3;
        let mean = bootstrap::mean(values, Blocks::Labelled(&labels), 0);
        let mean = mean.map(|m| format!("{:.3} [{:.3}, {:.3}]", m.value * 1e3, m.lo * 1e3, m.hi * 1e3));
        println!(
            "  {name:<20} p50 {:>8.3}  p90 {:>8.3}  p99 {:>8.3}  mean {}",
            at(0.5),
            at(0.9),
            at(0.99),
            mean.unwrap_or_default()
        );
    }
    let by_quantile = |q| {
        let at = |values: &[f64]| quantile::quantile(&quantile::sorted(values), q).unwrap_or(f64::NAN) * 1e3;
        at(&tapped) - at(&straight)
    };
    println!("  difference of the p50s {:.3}, of the p99s {:.3}", by_quantile(0.5), by_quantile(0.99));
}

/// What stands between, ended when dropped.
struct Hop {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Hop {
    fn tap(dir: &Path, upstream: &str, threads: Option<u16>, cpu: Option<usize>) -> anyhow::Result<Self> {
        let mut command = before_others(env!("CARGO_BIN_EXE_tare"), cpu);
        command.args(["tap", "--listen", "0", "--upstream", upstream, "--output"]).arg(dir.join("tap.jsonl"));
        command.args(threads.map(|n| format!("--threads={n}")));
        let (child, mut out) = spawn(command)?;
        let mut said = String::new();
        out.read_line(&mut said)?;
        let address = said.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        Ok(Self { child, out, address: address.context("the tap does not say where it listens")? })
    }

    fn haproxy(dir: &Path, upstream: &str, threads: Option<u16>, cpu: Option<usize>) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let nbthread = threads.map(|n| format!("nbthread {n}")).unwrap_or_default();
        let config = dir.join("haproxy.cfg");
        let text = format!(
            "global\n {nbthread}\ndefaults\n mode http\n option http-no-delay\n timeout connect 5s\n timeout client 60s\n \
             timeout server 60s\nlisten hop\n bind {address}\n server upstream {upstream}\n"
        );
        std::fs::write(&config, text)?;
        let mut command = before_others("haproxy", cpu);
        command.arg("-db").arg("-f").arg(&config);
        let (child, out) = spawn(command).context("is haproxy installed?")?;
        let begun = UnixNs::now();
        while TcpStream::connect(address).is_err() {
            ensure!(UnixNs::now().seconds_since(begun) < LIMIT.as_secs_f64(), "haproxy does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { child, out, address })
    }

    /// Ends it; what it says of itself.
    fn stop(mut self) -> anyhow::Result<String> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT)?;
        let mut said = String::from("\n");
        self.out.read_to_string(&mut said)?;
        self.child.wait()?;
        Ok(said)
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(mut command: Command) -> anyhow::Result<(Child, BufReader<std::process::ChildStdout>)> {
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let out = BufReader::new(child.stdout.take().context("its output")?);
    Ok((child, out))
}
