//! The look-alike as a process of its own: binds the socket, runs until it is told to stop by a
//! signal or by the end of its parent. This file must not know what is served.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use super::ServeOptions;

/// Connections that may wait to be accepted, as with uvicorn.
const BACKLOG: u32 = 2048;

/// Serves as these options say, with the log on stdout; returns when stopped by SIGTERM, SIGINT, or
/// the end of the parent named in the options.
pub fn run(options: ServeOptions) -> Result<()> {
    raise_file_limit();
    // Usually one thread for all connections, as one event loop serves all of the real server's: what
    // it adds to a latency is seen in the front end's own stamps.
    let mut builder = if options.embedded.api_server_count == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(options.embedded.api_server_count.into());
        builder
    };
    let runtime = builder.enable_all().build().context("cannot start the async runtime")?;
    let served = runtime.block_on(async {
        let listener = bind(&options.host, options.port)?;
        let stop = stop_request(options.parent_pid)?;
        super::serve(options, listener, stop).await
    });
    // Whatever is still waiting for a thread by now waits for somebody outside.
    runtime.shutdown_background();
    served
}

fn bind(host: &str, port: u16) -> Result<TcpListener> {
    let addresses: Vec<SocketAddr> =
        (host, port).to_socket_addrs().with_context(|| format!("cannot resolve host `{host}`"))?.collect();
    let address = *addresses.first().with_context(|| format!("host `{host}` has no address"))?;
    listen(address).with_context(|| {
        format!("cannot listen on {address}; is the port taken? (port 0 takes any free one)")
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Ready when the process is to stop.
fn stop_request(parent: Option<u32>) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = orphaned(parent) => {}
        }
    })
}

/// Ready when the parent has gone. It is asked for and not announced by the kernel, since the kernel
/// would announce the end of the parent's *thread* that started this process.
async fn orphaned(parent: Option<u32>) {
    let Some(parent) = parent else {
        return std::future::pending().await;
    };
    while u32::try_from(nix::unistd::getppid().as_raw()) == Ok(parent) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A thousand streams are a thousand descriptors. Where it cannot be raised, accepting will say so.
fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // macOS calls its hard limit unlimited and does not take it for a soft one: then half of it, and so on.
        let mut wanted = hard;
        while wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err() {
            wanted /= 2;
        }
    }
}
