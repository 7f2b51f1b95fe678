//! A hop that only stamps: between client and gateway, or gateway and server, it passes every byte on
//! as it came and writes down when each exchange's request, head, tokens and end passed. Bytes are
//! passed on first and looked at afterwards; nothing waits for what they mean. This module must not
//! know loads, runs or reports.
//!
//! - [`exchange`]: the rows
//! - `relay`: bytes from one side to the other; `piece`: what passed, and when
//! - `connection`: which answer belongs to which request; `request` and `response`: what they say
//! - [`recorded`]: the same of a connection that something else recorded
//! - [`summary`]: counts, and what the tap itself added; `writer`: the file

mod connection;
mod ending;
pub mod exchange;
mod piece;
pub mod recorded;
mod relay;
mod request;
mod response;
pub mod summary;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod tokens;
mod writer;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::connection::{Connection, Facts};
use self::relay::Outcome;
use self::summary::Summary;
use self::writer::Message;
use crate::clock::UnixNs;
use crate::error::usage;
use crate::net::limits::{Demand, raise_files};
use crate::net::{ADDRESSES_LISTED_BY, StampedListener, StampedStream, arm};

/// One thread passes on the tokens of thousands of streams; a few more go on when one is held up.
const MOST_THREADS: usize = 4;
/// An upstream that does not take a connection within this has refused it.
const CONNECT_LIMIT: Duration = Duration::from_mins(1);
/// Until the next try when no connection could be accepted (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Open files are raised for so many connections, as far as the hard limit lets them.
const CONNECTIONS: u64 = 65_536;

/// What to tap.
#[derive(Clone, Debug)]
pub struct Options {
    pub listen: SocketAddr,
    /// Tried in turn for each connection.
    pub upstream: Vec<SocketAddr>,
    /// Where rows are appended; to standard output without one.
    pub output: Option<PathBuf>,
    /// That pass bytes on; one per CPU, within reason, if it is not said.
    pub threads: Option<u16>,
}

/// What a tap says when it is ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub listens: SocketAddr,
    /// The kernel stamps what comes in here.
    pub kernel_stamps: bool,
}

/// What every connection of a tap shares.
struct Shared {
    upstream: Vec<SocketAddr>,
    messages: Sender<Message>,
    stop: CancellationToken,
    connections: AtomicU64,
    refusal_said: AtomicBool,
}

/// Taps until `stop`; `ready` is called once connections are taken.
pub fn run(
    options: &Options,
    stop: &CancellationToken,
    ready: impl FnOnce(Ready) -> std::io::Result<()>,
) -> anyhow::Result<Summary> {
    not_itself(options.listen, options)?;
    // As far as it goes: where it does not suffice, accepting will say so.
    let _ = raise_files(Demand { at_once: 2 * CONNECTIONS, certain: false });
    let armed = arm();
    let cpus = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS);
    let threads = options.threads.map_or_else(cpus, usize::from).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("tare-tap")
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let listener = {
        let _inside = runtime.enter();
        StampedListener::bind(options.listen).map_err(|error| cannot_listen(options.listen, error))?
    };
    // Of any free port the system may have given the one at which the server is thought to be.
    not_itself(listener.local(), options)?;
    let (messages, received) = channel();
    let writer = writer::start(options.output.as_deref(), received)?;
    ready(Ready { listens: listener.local(), kernel_stamps: armed.is_some() })?;
    let shared = Arc::new(Shared {
        upstream: options.upstream.clone(),
        messages,
        stop: stop.clone(),
        connections: AtomicU64::new(0),
        refusal_said: AtomicBool::new(false),
    });
    let served = runtime.block_on(runtime.spawn(serve(listener, shared)));
    served.map_err(|_| anyhow!("the tap's listening task ended with a panic"))?;
    writer.join().map_err(|_| anyhow!("the tap's writing thread ended with a panic"))
}

/// A tap that is its own upstream would connect to itself without end.
fn not_itself(listens: SocketAddr, options: &Options) -> anyhow::Result<()> {
    let is_here = |address: &&SocketAddr| {
        let (here, there) = (reached_at(listens.ip()), reached_at(address.ip()));
        let everywhere = listens.ip().is_unspecified();
        listens.port() != 0
            && address.port() == listens.port()
            && (here == there || everywhere && UdpSocket::bind((there, 0)).is_ok())
    };
    let Some(found) = options.upstream.iter().find(is_here) else { return Ok(()) };
    let hint = if options.listen.port() == 0 {
        "the system gave the tap this port, so no server listens there: start that first, or name the tap's port with --listen"
    } else {
        "--listen is where clients connect, --upstream where the server listens"
    };
    Err(usage(format!("expected an upstream other than the tap itself, found {found}")).hint(hint).into())
}

/// What a connection to this address comes to: the system takes an unspecified one for loopback.
fn reached_at(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn cannot_listen(address: SocketAddr, error: std::io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there; port 0 takes any free one",
        std::io::ErrorKind::AddrNotAvailable => ADDRESSES_LISTED_BY,
        std::io::ErrorKind::PermissionDenied => "ports below 1024 need the right to take them",
        _ => "port 0 takes any free one",
    };
    usage(format!("cannot listen on {address}")).caused_by(error).hint(hint).into()
}

/// Takes connections until the end, then waits for the rows of those still open.
async fn serve(mut listener: StampedListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    let mut said = false;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    open.spawn(tap(stream, peer, Arc::clone(&shared)));
                    tokio::task::coop::consume_budget().await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        warn(&format!("a connection could not be accepted, others will be tried: {error}"));
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = open.join_next() => {}
            () = shared.stop.cancelled() => break,
        }
    }
    while open.join_next().await.is_some() {}
}

/// One connection, from its acceptance to its end.
async fn tap(mut client: StampedStream, peer: SocketAddr, shared: Arc<Shared>) {
    let accepted = UnixNs::now();
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let connected = tokio::select! {
        connected = connect(&shared.upstream) => connected,
        () = shared.stop.cancelled() => return,
    };
    let (mut upstream, address) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            if !shared.refusal_said.swap(true, Ordering::Relaxed) {
                warn(&format!("the upstream takes no connection, so the client's is closed: {error}"));
            }
            let _ = shared.messages.send(Message::Refused);
            client.reset();
            return;
        }
    };
    let facts = Facts {
        connection: number,
        client: peer,
        outgoing: upstream.local(),
        upstream: address,
        accepted,
        connected: UnixNs::now(),
    };
    let state = std::sync::Mutex::new(Connection::new(facts, shared.messages.clone()));
    let outcome = relay::run(&mut client, &mut upstream, &state, &shared.stop).await;
    let state = state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if outcome == Outcome::Reset {
        client.reset();
        upstream.reset();
    }
    state.finish(outcome == Outcome::Stopped);
}

/// Said once, while all goes on. A closed terminal changes nothing about that.
fn warn(text: &str) {
    let _ = writeln!(crate::plain::stderr(), "warning: {text}");
}

/// The first address that takes a connection; the last one's error.
async fn connect(upstream: &[SocketAddr]) -> std::io::Result<(StampedStream, SocketAddr)> {
    let mut last = std::io::Error::other("it has no address");
    for &address in upstream {
        match StampedStream::connect(address, None, true, CONNECT_LIMIT).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => last = std::io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}
