//! Everything that one examination saw, and what several questions need of it. This file must not know
//! what is concluded.

use serde_json::Value;

use crate::config::Config;
use crate::metric::Metric;
use crate::record::{EventRow, JoinedRow, Status};
use crate::run::ReadBack;
use crate::server::Server;
use crate::server::ask::Asked;
use crate::stats::quantile;

/// What was seen.
pub struct Seen<'a> {
    pub config: &'a Config,
    pub kind: &'static Server,
    pub read: &'a ReadBack,
    /// The answer that was not streamed, the id sent with it, and its body.
    pub asked: Option<&'a Asked>,
    pub asked_id: &'a str,
    pub body: Value,
    /// The streamed requests that ended well, each with its events.
    pub ok: Vec<Streamed<'a>>,
}

/// One streamed request.
pub struct Streamed<'a> {
    pub row: &'a JoinedRow,
    pub events: Vec<EventRow>,
}

impl<'a> Seen<'a> {
    pub fn new(
        config: &'a Config,
        kind: &'static Server,
        read: &'a ReadBack,
        asked: Option<&'a Asked>,
        asked_id: &'a str,
    ) -> anyhow::Result<Self> {
        let ok = read.correlated.rows.iter().filter(|row| row.client.status == Status::Ok);
        let streamed = |row| Ok(Streamed { row, events: read.events.of(&row.client.request_id)?.rows() });
        Ok(Self {
            config,
            kind,
            read,
            asked,
            asked_id,
            body: asked.and_then(|a| serde_json::from_str(&a.body).ok()).unwrap_or(Value::Null),
            ok: ok.map(streamed).collect::<anyhow::Result<_>>()?,
        })
    }

    /// How many of the streamed requests `is` true of, as `4 of 5`.
    pub fn share(&self, is: impl Fn(&JoinedRow) -> bool) -> (usize, String) {
        let n = self.ok.iter().filter(|s| is(s.row)).count();
        (n, format!("{n} of {}", self.ok.len()))
    }

    /// A text of the unstreamed answer's body.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key)?.as_str()
    }

    pub fn fingerprint(&self) -> Option<String> {
        self.text("system_fingerprint").filter(|f| !f.is_empty()).map(str::to_owned)
    }

    /// Time from token to token at the server: of these requests, else of all in the window.
    pub fn server_itl_s(&self) -> Option<f64> {
        let own = self.ok.iter().filter_map(|s| {
            let gaps = s.row.client.output_tokens.filter(|n| *n > 1)? - 1;
            Some((s.row.server_decode_s?, f64::from(gaps)))
        });
        let (decode, gaps) = own.fold((0.0, 0.0), |(a, b), (decode, gaps)| (a + decode, b + gaps));
        if gaps > 0.0 {
            return Some(decode / gaps);
        }
        self.read.correlated.aggregate.of(Metric::Itl)?.mean
    }

    /// Whether the server is vLLM, whose settings are known to this module.
    pub fn is_vllm(&self) -> bool {
        self.kind.name == "vllm"
    }

    /// A setting, where it is vLLM's.
    pub fn vllm(&self, setting: &str) -> Option<String> {
        self.is_vllm().then(|| setting.to_owned())
    }

    /// This machine, as the server would call it.
    pub fn this_host(&self) -> &'static str {
        if self.read.manifest.target.same_host { "127.0.0.1" } else { "THIS_HOST" }
    }

    /// What the run noted; of metrics only what is no news of a level.
    pub fn notes(&self) -> Vec<String> {
        let m = &self.read.manifest;
        let of_levels = |note: &&String| {
            !note.starts_with("no metrics from") && !note.contains("there is nothing to compare")
        };
        m.warnings.iter().chain(m.notes.iter().filter(of_levels)).cloned().collect()
    }
}

/// The middle one of some values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    quantile::quantile(&quantile::sorted(&values), 0.5)
}
