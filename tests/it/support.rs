//! Small servers for tests, on free ports of the loopback interface.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use socket2::{Domain, Socket, Type};
use tokio::runtime::{Builder, Runtime};

/// Long enough for anything a test waits for on a slow machine; nothing waits so long when it works.
pub const SOON: Duration = Duration::from_mins(1);

/// An HTTP server that lives as long as this value.
pub struct Served {
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl Served {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Serves `router` on a thread of its own.
pub fn serve(router: Router) -> Served {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await });
    Served { address, _runtime: runtime }
}

/// Answers one connection with exactly these bytes, then closes it.
pub fn serve_bytes(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

/// A port for whoever is told to listen there soon. Nobody does now; that nobody else will is likely.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A port that nobody listens on, and nobody will.
pub fn closed_port() -> SocketAddr {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    // Never given back: it would soon be another's.
    std::mem::forget(bound);
    address
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Waits for something to become true, and fails when it does not.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
