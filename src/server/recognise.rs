//! Which server is it? By what it says of itself before any load: the owner of its models and the headers
//! of that answer, the names on its page of metrics, the paths that only it has. Pure: `probe` asks. This
//! file must not know any one server.

use serde_json::Value;

use super::{SERVERS, Server};
use crate::plain::line;

/// By what a server is told from others, in the answer to `/v1/models`.
#[derive(Debug)]
pub struct Signs {
    /// Values of `owned_by`. Gateways that serve several servers write their own.
    pub owned_by: &'static [&'static str],
    /// Headers: name, and how the value begins.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Signs {
    /// It says nothing that is its own.
    pub const NONE: Signs = Signs { owned_by: &[], headers: &[] };
}

/// Where a server tells its version: a path, and the key of a JSON object there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version {
    pub path: &'static str,
    pub key: &'static str,
    /// No other server answers this path so: that it does tells which one it is.
    pub only_here: bool,
}

/// A server, and by what it was told from others.
#[derive(Clone, Debug)]
pub struct Recognised {
    pub server: &'static Server,
    /// Such as ``owned_by `llamacpp` in /v1/models``.
    pub by: String,
}

impl PartialEq for Recognised {
    fn eq(&self, other: &Self) -> bool {
        self.server.name == other.server.name && self.by == other.by
    }
}

impl Eq for Recognised {}

/// By the answer to `/v1/models`: its headers, and what it says of its models.
pub fn by_models(headers: &[(String, String)], models: &Value) -> Option<Recognised> {
    let owners = || models.get("data").and_then(Value::as_array).into_iter().flatten();
    let owners = || owners().filter_map(|model| model.get("owned_by")?.as_str());
    let by_owner = SERVERS.iter().find_map(|server| {
        let owner = owners().find(|owner| server.signs.owned_by.contains(owner))?;
        Some(Recognised { server, by: format!("`owned_by: {owner}` in /v1/models") })
    });
    by_owner.or_else(|| by_headers(headers))
}

/// By the headers of any answer.
pub fn by_headers(headers: &[(String, String)]) -> Option<Recognised> {
    SERVERS.iter().find_map(|server| {
        let (name, value) = headers.iter().find(|(name, value)| {
            server.signs.headers.iter().any(|(n, begin)| name == n && value.starts_with(begin))
        })?;
        Some(Recognised { server, by: format!("the header `{name}: {}`", line(value, 100)) })
    })
}

/// By a page of metrics: the server whose names it has the most of, if it has any.
pub fn by_metrics<'a>(names: &(impl Iterator<Item = &'a str> + Clone)) -> Option<&'static Server> {
    let known = |server: &Server| names.clone().filter(|name| server.metrics.knows(name)).count();
    SERVERS
        .iter()
        .copied()
        .map(|server| (known(server), server))
        .filter(|(n, _)| *n > 0)
        .max_by_key(|(n, _)| *n)
        .map(|(_, server)| server)
}

/// The names of a page's samples.
pub fn names(page: &str) -> impl Iterator<Item = &str> + Clone {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next())
}

/// The paths of all pages of metrics, each once.
pub fn metrics_paths() -> impl Iterator<Item = &'static str> {
    let paths = || SERVERS.iter().filter_map(|server| server.metrics_path);
    paths().enumerate().filter(move |(i, path)| paths().take(*i).all(|p| p != *path)).map(|(_, path)| path)
}

impl Version {
    /// The version in what was answered at its path.
    pub fn read(&self, body: &str) -> Option<String> {
        let value: Value = serde_json::from_str(body).ok()?;
        value.get(self.key)?.as_str().filter(|version| !version.is_empty()).map(|version| line(version, 100))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    /// The answers of a vLLM 0.32 and a llama.cpp that were run, shortened.
    #[test]
    fn real_answers_are_recognised_by_the_owner_of_their_models() {
        let vllm = serde_json::json!({"object": "list", "data": [{"id": "tiny", "owned_by": "vllm"}]});
        let found = by_models(&headers(&[("server", "uvicorn")]), &vllm).unwrap();
        assert_eq!((found.server.name, found.by.as_str()), ("vllm", "`owned_by: vllm` in /v1/models"));
        let llama = serde_json::json!({"data": [{"id": "tiny", "owned_by": "llamacpp"}]});
        let found = by_models(&headers(&[("server", "llama.cpp")]), &llama).unwrap();
        assert_eq!(found.server.name, "llama_cpp");
    }

    #[test]
    fn a_header_tells_where_the_owner_does_not() {
        let models = serde_json::json!({"data": [{"id": "m", "owned_by": "me"}]});
        let found = by_models(&headers(&[("server", "llama.cpp")]), &models).unwrap();
        assert_eq!((found.server.name, found.by.as_str()), ("llama_cpp", "the header `server: llama.cpp`"));
        assert_eq!(by_models(&headers(&[("server", "uvicorn")]), &models), None);
        assert_eq!(by_models(&[], &serde_json::json!([1])), None);
    }

    #[test]
    fn a_page_is_recognised_by_its_names() {
        let page = "# HELP sglang:x x\npython_info{a=\"b\"} 1\nsglang:num_running_reqs 0.0\n\
            sglang:e2e_request_latency_seconds_sum{model_name=\"m\"} 1.5\n";
        assert_eq!(by_metrics(&names(page)).unwrap().name, "sglang");
        assert!(by_metrics(&names("go_goroutines 5\nup 1\n")).is_none());
    }

    #[test]
    fn every_page_is_asked_for_once() {
        assert_eq!(metrics_paths().collect::<Vec<_>>(), ["/metrics", "/prometheus/metrics"]);
    }

    #[test]
    fn a_version_is_a_text_that_is_not_empty() {
        let version = Version { path: "/version", key: "version", only_here: false };
        assert_eq!(version.read(r#"{"version":"0.32.0"}"#).unwrap(), "0.32.0");
        for other in [r#"{"version":""}"#, r#"{"version":1}"#, "not found", "[]"] {
            assert_eq!(version.read(other), None, "{other}");
        }
    }
}
