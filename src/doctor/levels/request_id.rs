//! Whether the id that was sent is the one the server uses.

use crate::correlate::ids::candidates;
use crate::doctor::seen::Seen;
use crate::record::JoinedRow;
use crate::record::diagnosis::{Level, State};

pub fn level(seen: &Seen<'_>) -> Level {
    let (n, of) = seen.share(is_honoured);
    let other = seen.ok.iter().find(|s| !is_honoured(s.row)).map(|s| &s.row.client);
    let (state, said) = match other.map(|client| &client.response_id) {
        None => (State::On, format!("the id sent is in the id of {of} answers")),
        Some(Some(id)) => {
            (State::Off, format!("the id sent is in the id of {of} answers; another is `{}`", short(id)))
        }
        Some(None) => (State::Off, format!("the id sent is in the id of {of} answers; others have none")),
    };
    let state = if n > 0 && state == State::Off { State::Unknown } else { state };
    Level {
        name: "X-Request-Id",
        state,
        seen: said,
        adds: "the key by which log lines, stat log and spans are joined; without it the answer's own id and the trace id are",
        unlock: seen
            .vllm("vLLM honours it: let the gateway pass the header on (LiteLLM: `forward_client_headers_to_llm_api: true`; Envoy: `preserve_external_request_id: true`)")
            .filter(|_| state != State::On),
        advice: None,
        give: None,
    }
}

/// Whether the answer's id is made of the one that was sent.
pub fn is_honoured(row: &JoinedRow) -> bool {
    let answered = row.client.response_id.as_deref().unwrap_or_default();
    candidates(answered).contains(&row.client.request_id.as_str())
}

fn short(id: &str) -> String {
    const LONGEST: usize = 48;
    if id.chars().count() > LONGEST {
        id.chars().take(LONGEST).chain(['…']).collect()
    } else {
        id.to_owned()
    }
}
