//! Where a run's client spans go, and with what: from a flag or the file, and, once that was asked for, from the
//! variables that OpenTelemetry's exporters have in common. Values of headers are used and never shown. This file must
//! not know what a span is.
//!
//! The variables: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{Check, Limits, Origins};
use crate::error::usage;
use crate::net::HttpUrl;

const FIELD: &str = "observe.export_spans";
const HEADERS: &str = "observe.export_spans_headers";
/// Where the variables are to say it.
const ENVIRONMENT: &str = "env";
/// The path at which collectors take traces.
const TRACES: &str = "/v1/traces";
/// As the specification has it.
const TIMEOUT_S: f64 = 10.0;

/// An export of client spans.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpanExport {
    pub to: SpanTarget,
    /// Of requests to a collector; values may be secret and are never serialised.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "super::header_names::write",
        deserialize_with = "super::header_names::read"
    )]
    pub headers: Vec<(String, String)>,
    /// For one batch, and for what is left when the run has ended.
    pub timeout_s: f64,
    pub gzip: bool,
    /// PEM file of the authorities that may vouch for an `https` collector; `None`: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<PathBuf>,
}

/// A collector, or a file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanTarget {
    /// OTLP over HTTP: the whole URL, its path included.
    Url(String),
    /// A line of OTLP JSON for each batch is added to it.
    File(PathBuf),
}

/// The export that a command line asks for outside of a run.
pub fn span_export(to: &str, headers: &[String]) -> anyhow::Result<SpanExport> {
    let mut origins = Origins::default();
    origins.came_from(FIELD, "--export-spans");
    origins.came_from(HEADERS, "--export-spans-header");
    let mut check = Check::new(&origins);
    let mut given = BTreeMap::new();
    lay_headers(headers, &mut given, &mut check);
    let env = |name: &str| std::env::var(name).ok();
    let resolved = resolve(Some(to), &given, &env, &mut check);
    check.finish()?;
    resolved.ok_or_else(|| usage("`--export-spans` names neither a collector nor a file").into())
}

/// Lays `NAME=VALUE` of the command line over what the file says.
pub(super) fn lay_headers(flags: &[String], into: &mut BTreeMap<String, String>, check: &mut Check<'_>) {
    for pair in flags {
        // The text is not shown: it may hold a key.
        match pair.split_once('=') {
            Some((name, value)) => {
                into.retain(|known, _| !known.eq_ignore_ascii_case(name));
                into.insert(name.to_owned(), value.to_owned());
            }
            None => check.problem(
                HEADERS,
                "expected NAME=VALUE, found no `=`",
                "for example `--export-spans-header x-team=blue`",
            ),
        }
    }
}

/// What was asked for; `None` if nothing was: then no variable is looked at.
pub(super) fn resolve(
    given: Option<&str>,
    headers: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
    check: &mut Check<'_>,
) -> Option<SpanExport> {
    let Some(given) = given.map(str::trim) else {
        if !headers.is_empty() {
            check.problem(
                HEADERS,
                "there is no collector to send them to",
                "name it with --export-spans URL",
            );
        }
        return None;
    };
    let variable = Variables(env);
    let to = target(given, &variable, check)?;
    if let SpanTarget::File(_) = to {
        if !headers.is_empty() {
            check.problem(HEADERS, "spans go to a file, which takes no headers", "leave them out");
        }
        return Some(SpanExport {
            to,
            headers: Vec::new(),
            timeout_s: TIMEOUT_S,
            gzip: false,
            ca_cert: None,
        });
    }
    let timeout_ms = variable.get("TIMEOUT").and_then(|(name, text)| {
        let number: Option<f64> = text.parse().ok();
        let limits = Limits::above(0.0, 600_000.0, "milliseconds");
        if number.is_none_or(|ms| !limits.hold(ms)) {
            let message = format!("expected {}, found `{}`", limits.words(), text.escape_debug());
            check.problem(&name, message, "unset it, and it is 10000");
        }
        number
    });
    let gzip = variable.get("COMPRESSION").is_some_and(|(name, text)| match text.as_str() {
        "gzip" => true,
        "none" => false,
        other => {
            let message = format!("expected `gzip` or `none`, found `{}`", other.escape_debug());
            check.problem(&name, message, "unset it, and nothing is compressed");
            false
        }
    });
    Some(SpanExport {
        to,
        headers: all_headers(headers, &variable, check),
        timeout_s: timeout_ms.map_or(TIMEOUT_S, |ms| ms / 1e3),
        gzip,
        ca_cert: variable.get("CERTIFICATE").map(|(_, path)| PathBuf::from(path)),
    })
}

fn target(given: &str, variable: &Variables<'_>, check: &mut Check<'_>) -> Option<SpanTarget> {
    if given.is_empty() {
        check.problem(FIELD, "expected a URL or a file, found nothing", "such as http://127.0.0.1:4318");
        return None;
    }
    if given == ENVIRONMENT {
        return from_environment(variable, check);
    }
    if given.contains("://") {
        return url(FIELD, given, true, check);
    }
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((host, port)) = given.rsplit_once(':')
        && is_port(port)
        && !host.contains('/')
    {
        let message = format!("expected a URL or a file, found `{}`", given.escape_debug());
        check.problem(FIELD, message, format!("did you mean `http://{given}`?"));
        return None;
    }
    Some(SpanTarget::File(PathBuf::from(given)))
}

/// The URL that the variables name.
fn from_environment(variable: &Variables<'_>, check: &mut Check<'_>) -> Option<SpanTarget> {
    if let Some((name, protocol)) = variable.get("PROTOCOL").filter(|(_, p)| p != "http/protobuf") {
        let message = format!("expected `http/protobuf`, found `{}`", protocol.escape_debug());
        check.problem(&name, message, "name the collector's HTTP port: --export-spans http://HOST:4318");
        return None;
    }
    // That of traces is the whole URL, the general one what all signals have in common.
    let (of_traces, of_all) = (format!("{OF_TRACES}ENDPOINT"), format!("{OF_ALL}ENDPOINT"));
    if let Some(text) = variable.value(&of_traces) {
        return url(&of_traces, &text, false, check);
    }
    if let Some(text) = variable.value(&of_all) {
        return url(&of_all, &text, true, check);
    }
    let message = format!("neither {of_traces} nor {of_all} is set");
    check.problem(FIELD, message, "name the collector: --export-spans http://HOST:4318");
    None
}

/// A collector's URL; `base`: its path is where all signals go, unless it is that of traces already.
fn url(field: &str, text: &str, base: bool, check: &mut Check<'_>) -> Option<SpanTarget> {
    match HttpUrl::parse(text) {
        Ok(mut url) => {
            if base && !url.path.ends_with(TRACES) {
                url.path.push_str(TRACES);
            }
            Some(SpanTarget::Url(url.to_string()))
        }
        // What is told of credentials there is about the server's.
        Err(_) if text.contains('@') => {
            let hint = "give them in OTEL_EXPORTER_OTLP_HEADERS, or use --export-spans-header";
            check.problem(field, "credentials in a URL are not supported", hint);
            None
        }
        Err(failure) => {
            check.failure(field, failure);
            None
        }
    }
}

/// Those of the environment under those that were named.
fn all_headers(
    given: &BTreeMap<String, String>,
    variable: &Variables<'_>,
    check: &mut Check<'_>,
) -> Vec<(String, String)> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |field: &str, name: &str, value: &str| {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            check.problem(
                field,
                format!("`{}` is not a header's name", name.escape_debug()),
                "for example x-team",
            );
        } else if !value.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)) {
            let message = format!("the value of `{name}` cannot be sent in a header");
            check.problem(field, message, "expected printable ASCII");
        } else {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    };
    if let Some((field, list)) = variable.get("HEADERS") {
        for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) => put(&field, name.trim(), &percent_decoded(value.trim())),
                None => put(&field, "", ""),
            }
        }
    }
    for (name, value) in given {
        put(HEADERS, name, value);
    }
    headers.into_iter().collect()
}

const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_";
const OF_ALL: &str = "OTEL_EXPORTER_OTLP_";

/// The variables that exporters have in common.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// That of traces before that of all signals: its name and its value.
    fn get(&self, what: &str) -> Option<(String, String)> {
        [OF_TRACES, OF_ALL].into_iter().find_map(|prefix| {
            let name = format!("{prefix}{what}");
            self.value(&name).map(|value| (name, value))
        })
    }

    /// An empty one counts as not set.
    fn value(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}

/// `%20` → a space; what is no such code stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%')
            .then(|| std::str::from_utf8(after.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resolved(to: &str, headers: &[&str], env: &[(&str, &str)]) -> Result<SpanExport, String> {
        let mut origins = Origins::default();
        origins.came_from(FIELD, "--export-spans");
        origins.came_from(HEADERS, "--export-spans-header");
        let mut check = Check::new(&origins);
        let mut given = BTreeMap::new();
        let flags: Vec<String> = headers.iter().map(|&h| h.to_owned()).collect();
        lay_headers(&flags, &mut given, &mut check);
        let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let export = resolve(Some(to), &given, &env, &mut check);
        check.finish().map_err(|failure| {
            let mut out = Vec::new();
            crate::error::print(&mut out, &failure.into()).unwrap();
            String::from_utf8(out).unwrap()
        })?;
        Ok(export.unwrap())
    }

    fn url_of(to: &str, env: &[(&str, &str)]) -> String {
        match resolved(to, &[], env).unwrap().to {
            SpanTarget::Url(url) => url,
            SpanTarget::File(path) => path.display().to_string(),
        }
    }

    #[test]
    fn a_collectors_url_gets_the_path_of_traces() {
        for to in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces", "http://c:4318/v1/traces/"] {
            assert_eq!(url_of(to, &[]), "http://c:4318/v1/traces");
        }
        assert_eq!(url_of("https://c/otlp", &[]), "https://c:443/otlp/v1/traces");
        assert_eq!(url_of("out/spans.jsonl", &[]), "out/spans.jsonl");
    }

    #[test]
    fn the_environment_is_asked_where_it_is_named() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/here");
        assert_eq!(url_of("env", &[general]), "http://all:4318/v1/traces");
        assert_eq!(url_of("env", &[general, of_traces]), "http://traces:4318/here");
        assert_eq!(url_of("http://c:4318", &[general, of_traces]), "http://c:4318/v1/traces");
        let export = resolved(
            "http://c:4318",
            &["X-Team=blue"],
            &[
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x-team=red"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
                ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ],
        )
        .unwrap();
        let headers: Vec<_> = export.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(headers, [("api-key", "a b"), ("x-team", "blue")]);
        assert!((export.timeout_s - 2.5).abs() < 1e-9 && export.gzip);
    }

    #[test]
    fn nothing_asked_for_is_nothing_however_the_environment_is() {
        let origins = Origins::default();
        let mut check = Check::new(&origins);
        let env = |name: &str| panic!("{name} was looked at");
        assert!(resolve(None, &BTreeMap::new(), &env, &mut check).is_none());
        check.finish().unwrap();
    }

    #[test]
    fn values_of_headers_are_shown_nowhere() {
        let export = resolved("http://c:4318", &["authorization=Bearer planted"], &[]).unwrap();
        let text = serde_json::to_string(&export).unwrap();
        assert_eq!(
            text,
            r#"{"to":{"url":"http://c:4318/v1/traces"},"headers":["authorization"],"timeout_s":10.0,"gzip":false}"#
        );
        let bad =
            resolved("http://c:4318", &["planted"], &[("OTEL_EXPORTER_OTLP_HEADERS", "planted,a=plänted")]);
        let said = bad.unwrap_err();
        assert!(!said.contains("planted") && !said.contains("plänted"), "{said}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_way_out() {
        let grpc =
            [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")];
        let said = [
            resolved("localhost:4318", &[], &[]),
            resolved("http://user:secret@c:4318", &[], &[]),
            resolved("env", &[], &[]),
            resolved("env", &[], &grpc),
            resolved("spans.jsonl", &["a=b"], &[]),
            resolved("http://c:4318", &[], &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")]),
        ];
        let said: Vec<String> = said.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(said.concat(), @r"
        error: `--export-spans`: expected a URL or a file, found `localhost:4318`
        hint: did you mean `http://localhost:4318`?
        error: `--export-spans`: credentials in a URL are not supported
        hint: give them in OTEL_EXPORTER_OTLP_HEADERS, or use --export-spans-header
        error: `--export-spans`: neither OTEL_EXPORTER_OTLP_TRACES_ENDPOINT nor OTEL_EXPORTER_OTLP_ENDPOINT is set
        hint: name the collector: --export-spans http://HOST:4318
        error: `OTEL_EXPORTER_OTLP_PROTOCOL`: expected `http/protobuf`, found `grpc`
        hint: name the collector's HTTP port: --export-spans http://HOST:4318
        error: `--export-spans-header`: spans go to a file, which takes no headers
        hint: leave them out
        error: `OTEL_EXPORTER_OTLP_TIMEOUT`: expected a number above 0, at most 600000 (milliseconds), found `10s`
        hint: unset it, and it is 10000
        ");
    }
}
