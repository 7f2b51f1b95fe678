//! Starts a look-alike in the test's own process and hands back everything it wrote at the end.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Embedded;
use crate::mock::log::tests::Captured;
use crate::mock::truth::TruthRow;
use crate::mock::{ServeOptions, serve_with_log};

use super::client::{Client, Response};

/// A running look-alike.
pub struct Mock {
    pub address: SocketAddr,
    pub log: Captured,
    folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// A model that answers fast, with the captured server's names.
pub fn fast() -> Embedded {
    Embedded {
        model: "tiny".to_owned(),
        max_model_len: 2048,
        decode_base_ms: 1.0,
        decode_per_seq_ms: 0.0,
        prefill_us_per_token: 1.0,
        frontend_ms: 0.3,
        frontend_us_per_token: 0.1,
        mean_output_tokens: 12.0,
        ..Embedded::default()
    }
}

/// As `fast`, with a fault script.
pub fn with_faults(faults: &[&str]) -> Embedded {
    Embedded { faults: faults.iter().map(|f| (*f).to_owned()).collect(), ..fast() }
}

impl Mock {
    pub async fn start(embedded: Embedded) -> Self {
        Self::with_options(ServeOptions { embedded, ..ServeOptions::default() }).await
    }

    pub async fn with_options(options: ServeOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ServeOptions { truth: Some(folder.path().join("truth.jsonl")), ..options };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Captured::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve_with_log(options, listener, Box::new(log.clone()), shutdown));
        Self { address, log, folder, stop, task }
    }

    /// One request on a connection of its own.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        Client::connect(self.address).await.post(path, headers, body).await
    }

    pub async fn get(&self, path: &str) -> Response {
        Client::connect(self.address).await.get(path).await
    }

    /// A streamed chat answer of so many tokens.
    pub async fn chat(&self, id: &str, words: &str, max_tokens: u32) -> Response {
        self.post("/v1/chat/completions", &[("x-request-id", id)], &chat_body(words, max_tokens)).await
    }

    /// The value of a sample, by its name and labels as written.
    pub async fn metric(&self, series: &str) -> f64 {
        metric(&self.get("/metrics").await.text(), series)
    }

    /// Waits until a sample has a value.
    pub async fn until_metric(&self, series: &str, value: f64) {
        while (self.metric(series).await - value).abs() > 1e-9 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Stops it; returns its truth in the order of the requests.
    pub async fn stop(self) -> Vec<TruthRow> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        let text = std::fs::read_to_string(self.folder.path().join("truth.jsonl")).unwrap();
        let mut rows: Vec<TruthRow> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        rows.sort_by_key(|r| r.n);
        rows
    }
}

pub fn chat_body(words: &str, max_tokens: u32) -> String {
    serde_json::json!({
        "model": "tiny",
        "messages": [{"role": "user", "content": words}],
        "max_tokens": max_tokens,
        "ignore_eos": true,
        "stream": true,
        "stream_options": {"include_usage": true},
    })
    .to_string()
}

/// The value of a sample on a page.
pub fn metric(page: &str, series: &str) -> f64 {
    let value = page.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}

/// A series of the engine's.
pub fn engine_series(name: &str) -> String {
    format!("vllm:{name}{{engine=\"0\",model_name=\"tiny\"}}")
}
