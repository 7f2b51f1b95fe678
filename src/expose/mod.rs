//! The client's own measurements in Prometheus text while the run goes on, so that both sides stand in one Grafana. Fed
//! with requests that have ended, on the writer's thread: nothing here is on the measured path. This module must not know
//! how anything was measured, nor the server's side.

mod histogram;
mod registry;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::registry::{Now, Registry};
use crate::record::Finished;

/// As Prometheus names its text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics that is served until this is dropped.
pub struct Exposed {
    page: Page,
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What is counted, and what is asked at the moment of a scrape.
#[derive(Clone)]
struct Page {
    registry: Arc<Mutex<Registry>>,
    now: Arc<dyn Fn() -> Now + Send + Sync>,
}

/// A place that is listened at, before anything is known that could be said there.
pub struct Bound(StdListener);

impl Bound {
    /// Listens there.
    pub fn at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Serves `/metrics` on a thread of its own; `now` is asked at each scrape.
    pub fn serve(
        self,
        model: &str,
        now: impl Fn() -> Now + Send + Sync + 'static,
    ) -> anyhow::Result<Exposed> {
        let address = self.0.local_addr().context("the address of the client's metrics is unknown")?;
        let page = Page { registry: Arc::new(Mutex::new(Registry::new(model))), now: Arc::new(now) };
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (served, ended) = (page.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("tare-expose".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(self.0) else { return };
                let router = Router::new().route("/metrics", get(page_text)).with_state(served);
                tokio::select! {
                    _ = async { serve(listener, router).await } => {}
                    () = ended.cancelled() => {}
                }
            });
        })?;
        Ok(Exposed { page, address, stop, thread: Some(thread) })
    }
}

impl Exposed {
    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What requests that end are counted with.
    pub fn counter(&self) -> Counter {
        Counter(Arc::clone(&self.page.registry))
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Counts requests that ended.
#[derive(Clone)]
pub struct Counter(Arc<Mutex<Registry>>);

impl Counter {
    /// Counts one.
    pub fn count(&self, one: &Finished) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count(&one.row, &one.events);
    }
}

async fn page_text(State(page): State<Page>) -> impl IntoResponse {
    let now = (page.now)();
    let text = page.registry.lock().unwrap_or_else(PoisonError::into_inner).text(now);
    ([(CONTENT_TYPE, TEXT)], text)
}
