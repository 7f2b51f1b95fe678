//! Requests made ready to send: ids, headers and body in one buffer, before their time comes.
//! This file must not know when a request is sent or what is answered.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bodies::Bodies;
use super::client::Prepared;
use super::openai::BodyOptions;
use super::sessions::InSession;
use crate::clock::UnixNs;
use crate::net::HttpUrl;
use crate::record::audit::Leg;
use crate::record::begun::Begun;
use crate::record::{History, Prompt, TraceIds};

/// The source of a run's requests: request `index` sends prompt `index mod n`.
#[derive(Debug)]
pub struct Requests {
    pub prompts: Arc<[Prompt]>,
    pub options: BodyOptions,
    pub target: HttpUrl,
    /// Path below the target's prefix.
    pub path: String,
    /// Extra headers; they replace ours of the same name.
    pub headers: Vec<(String, String)>,
    pub api_key: Option<String>,
    pub id_prefix: String,
    /// Makes ids of different runs different, where servers' logs and traces outlive a run.
    pub nonce: u64,
    /// Usage on every chunk is asked for until a server refuses it.
    pub continuous_usage: AtomicBool,
    /// Bodies made before; empty to begin with.
    pub bodies: Bodies,
    /// Which part of an audit these are; then numbers go on from its first, and its n-th request sends
    /// prompt n.
    pub leg: Option<Leg>,
    /// Of conversations: whose answers they are carried on with. Then request numbers and prompts have
    /// nothing to do with each other: session s holds prompt s mod n.
    pub history: Option<History>,
}

impl Requests {
    pub(super) fn ask_no_continuous_usage(&self) {
        self.continuous_usage.store(false, Ordering::Relaxed);
    }

    /// Those of another leg, asked for as these were by now: a server that refused to count usage on every
    /// chunk is not asked again.
    #[must_use]
    pub fn of_leg(&self, prompts: Arc<[Prompt]>, leg: Leg) -> Self {
        Self {
            prompts,
            options: self.options.clone(),
            target: self.target.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            api_key: self.api_key.clone(),
            id_prefix: self.id_prefix.clone(),
            nonce: self.nonce,
            continuous_usage: AtomicBool::new(self.continuous_usage.load(Ordering::Relaxed)),
            bodies: Bodies::default(),
            leg: Some(leg),
            history: None,
        }
    }

    /// `close`: the server is told to close the connection after its answer.
    pub(super) fn prepare(&self, index: u64, user: Option<u32>, close: bool) -> anyhow::Result<Prepared> {
        self.make(self.id(index), index, user, close, None)
    }

    /// One turn of a conversation, the `index`-th request of all.
    pub(super) fn prepare_turn(
        &self,
        turn: InSession,
        index: u64,
        user: Option<u32>,
        close: bool,
    ) -> anyhow::Result<Prepared> {
        self.make(self.id(index), index, user, close, Some(turn))
    }

    fn id(&self, index: u64) -> String {
        format!("{}{:08x}-{index}", self.id_prefix, self.nonce as u32)
    }

    /// A warm-up's id is marked, so that its traces on the server's side are known for what they are.
    pub(super) fn prepare_warmup(&self, n: u64) -> anyhow::Result<Prepared> {
        let id = format!("{}{:08x}-warmup-{n}", self.id_prefix, self.nonce as u32);
        // From the end of the prompts: the first measured requests should not find theirs cached.
        let index = (self.prompts.len() as u64).saturating_sub(1 + n % self.prompts.len().max(1) as u64);
        self.make(id, index, None, false, None)
    }

    /// The same request once more, as it is asked for by now.
    pub(super) fn again(&self, request: &Prepared) -> anyhow::Result<Prepared> {
        let turn = request.in_session.clone();
        self.make(request.request_id.clone(), request.index, request.user, request.close, turn)
    }

    fn make(
        &self,
        request_id: String,
        index: u64,
        user: Option<u32>,
        close: bool,
        in_session: Option<InSession>,
    ) -> anyhow::Result<Prepared> {
        let first = self.leg.map_or(0, |leg| leg.first_index);
        let number = in_session.as_ref().map_or_else(|| index.saturating_sub(first), |s| s.session);
        let at = (number % self.prompts.len().max(1) as u64) as usize;
        let prompt = match &in_session {
            Some(turn) => &turn.prompt,
            None => self.prompts.get(at).ok_or_else(|| anyhow::anyhow!("the workload has no prompts"))?,
        };
        let of_the_run = |leg: Leg| leg.pair(index).checked_rem(leg.prompts.unwrap_or(u64::MAX));
        let prompt_index = self.leg.and_then(of_the_run).unwrap_or(at as u64) as u32;
        let continuous_usage = self.options.can_count() && self.continuous_usage.load(Ordering::Relaxed);
        // Two for each prompt: usage on every chunk may be asked for at first, and no more later.
        let kept_at = 2 * at + usize::from(continuous_usage);
        let body = match &in_session {
            // No other request says the same.
            Some(_) => self.options.body(prompt, continuous_usage)?.into(),
            None => self
                .bodies
                .get(kept_at, 2 * self.prompts.len(), || self.options.body(prompt, continuous_usage))?,
        };
        let session_id = in_session.as_ref().map(|turn| self.session_id(turn.session));
        let TraceIds { trace_id, span_id } = TraceIds::of(self.nonce, &request_id);
        let traceparent = format!("00-{trace_id}-{span_id:016x}-01");
        Ok(Prepared {
            bytes: self.head_and_body(&request_id, &traceparent, session_id.as_deref(), close, &body)?,
            note: Some(Begun {
                request_id: request_id.clone(),
                index,
                user,
                begun_unix_ns: UnixNs::default(),
            }),
            request_id,
            trace_id,
            index,
            prompt_index,
            user,
            max_tokens: prompt.max_tokens,
            prompt_chars: prompt.chars,
            continuous_usage,
            close,
            leg: self.leg,
            exact_tokens: prompt.exact_tokens,
            in_session,
        })
    }

    /// As gateways take it that keep a conversation's requests on one server.
    fn session_id(&self, session: u64) -> String {
        format!("{}{:08x}-s{session}", self.id_prefix, self.nonce as u32)
    }

    fn head_and_body(
        &self,
        request_id: &str,
        traceparent: &str,
        session_id: Option<&str>,
        close: bool,
        body: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(body.len() + 512);
        write!(
            bytes,
            "POST {}{} HTTP/1.1\r\nHost: {}\r\n",
            self.target.path,
            self.path,
            self.target.authority()
        )?;
        let authorization = self.api_key.as_ref().map(|key| format!("Bearer {key}"));
        let accept = if self.options.stream { "text/event-stream" } else { "application/json" };
        let ours = [
            ("User-Agent", Some(concat!("tare/", env!("CARGO_PKG_VERSION")))),
            ("Content-Type", Some("application/json")),
            ("Accept", Some(accept)),
            ("Authorization", authorization.as_deref()),
            ("X-Request-Id", Some(request_id)),
            ("traceparent", Some(traceparent)),
            ("X-Session-ID", session_id),
            ("Connection", close.then_some("close")),
        ];
        for (name, value) in ours {
            let replaced = self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
            if let (Some(value), false) = (value, replaced) {
                write!(bytes, "{name}: {value}\r\n")?;
            }
        }
        for (name, value) in &self.headers {
            write!(bytes, "{name}: {value}\r\n")?;
        }
        write!(bytes, "Content-Length: {}\r\n\r\n", body.len())?;
        bytes.extend_from_slice(body);
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::record::{Endpoint, PromptKind};

    fn requests(headers: &[(&str, &str)]) -> Requests {
        Requests {
            prompts: vec![
                Prompt {
                    kind: PromptKind::Text("hi".to_owned()),
                    max_tokens: Some(4),
                    chars: 2,
                    approx_tokens: 1,
                    ..Prompt::default()
                };
                3
            ]
            .into(),
            options: BodyOptions {
                endpoint: Endpoint::Completions,
                model: "tiny".to_owned(),
                stream: true,
                temperature: None,
                top_p: None,
                ignore_eos: false,
                extra_body: Map::new(),
            },
            target: HttpUrl::parse("http://127.0.0.1:8000/v").unwrap(),
            path: "/v1/completions".to_owned(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            api_key: Some("sk-1".to_owned()),
            id_prefix: "tare-".to_owned(),
            nonce: 0x1234_5678_9abc_def0,
            continuous_usage: AtomicBool::new(false),
            bodies: Bodies::default(),
            leg: None,
            history: None,
        }
    }

    #[test]
    fn a_request_carries_its_ids_and_its_length() {
        let prepared = requests(&[]).prepare(4, Some(1), false).unwrap();
        insta::assert_snapshot!(String::from_utf8(prepared.bytes).unwrap().replace('\r', ""), @r#"
        POST /v/v1/completions HTTP/1.1
        Host: 127.0.0.1:8000
        User-Agent: tare/0.1.0
        Content-Type: application/json
        Accept: text/event-stream
        Authorization: Bearer sk-1
        X-Request-Id: tare-9abcdef0-4
        traceparent: 00-123456789abcdef0e9f234597a136ef4-c40bc69250ab0bb0-01
        Content-Length: 99

        {"model":"tiny","prompt":"hi","stream":true,"stream_options":{"include_usage":true},"max_tokens":4}
        "#);
        assert_eq!((prepared.prompt_index, prepared.request_id.as_str()), (1, "tare-9abcdef0-4"));
    }

    #[test]
    fn a_users_header_replaces_ours() {
        let bytes = requests(&[("authorization", "Basic x")]).prepare(0, None, false).unwrap().bytes;
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("authorization: Basic x\r\n") && !text.contains("Bearer"));
    }

    #[test]
    fn a_connection_of_its_own_is_closed_by_the_server() {
        let closing = requests(&[]).prepare(0, None, true).unwrap();
        let again = requests(&[]).again(&closing).unwrap();
        for prepared in [&closing, &again] {
            let text = String::from_utf8_lossy(&prepared.bytes);
            assert!(prepared.close && text.contains("\r\nConnection: close\r\n"), "{text}");
        }
        let kept = requests(&[]).prepare(0, None, false).unwrap();
        assert!(!String::from_utf8_lossy(&kept.bytes).contains("Connection:"));
    }

    /// The body is kept; ids and headers are each request's own, and so is what is asked for.
    #[test]
    fn a_prompt_that_is_sent_again_has_the_same_body() {
        let requests = requests(&[]);
        let body = |index| {
            let text = String::from_utf8(requests.prepare(index, None, false).unwrap().bytes).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("X-Request-Id: tare-9abcdef0-{index}\r\n")));
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
            body.to_owned()
        };
        assert!((0..4).map(|round| body(3 * round)).all(|b| b == body(0)));
        requests.continuous_usage.store(true, Ordering::Relaxed);
        let asking = body(0);
        assert!(asking.contains("continuous_usage_stats") && body(3) == asking && body(6) == asking);
        requests.ask_no_continuous_usage();
        assert!(!body(9).contains("continuous_usage_stats"));
    }

    #[test]
    fn trace_ids_of_a_run_are_distinct() {
        let requests = requests(&[]);
        let ids: std::collections::HashSet<String> =
            (0..2000).map(|i| requests.prepare(i, None, false).unwrap().trace_id).collect();
        assert_eq!(ids.len(), 2000);
    }
}
