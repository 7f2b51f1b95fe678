//! Checks `observe`: where the server's metrics, log, stat log and spans come from. What the embedded server
//! offers is found without being named.

use std::net::SocketAddr;

use super::SPAN;
use crate::config::check::{Check, Limits};
use crate::config::file::{self, File, Metrics, OtlpChoice};
use crate::config::{Embedded, Observe, Otlp, export};
use crate::net::HttpUrl;

pub fn observe(
    file: &File,
    embedded: &mut Embedded,
    env: &dyn Fn(&str) -> Option<String>,
    check: &mut Check<'_>,
) -> Observe {
    let given = &file.observe;
    let starts_embedded = file.target.base_url.is_none();
    let metrics_urls = match &given.metrics {
        Some(Metrics::At(urls)) => urls.clone(),
        _ => Vec::new(),
    };
    for url in &metrics_urls {
        if let Err(failure) = HttpUrl::parse(url) {
            check.failure("observe.metrics", failure);
        }
    }
    if starts_embedded {
        let hint = "say which server to use with --base-url, or leave it out";
        if !metrics_urls.is_empty() {
            check.problem("observe.metrics", "the embedded server's metrics are found without a URL", hint);
        }
        if given.server_log.is_some() {
            check.problem("observe.server_log", "the embedded server's log is read without a path", hint);
        }
        if given.stat_log.is_some() {
            check.problem("observe.stat_log", "the embedded server's stat log is read without a path", hint);
        }
    }
    if given.server_log.as_ref().is_some_and(String::is_empty) {
        check.problem(
            "observe.server_log",
            "expected a path or `-`, found nothing",
            "`-` reads standard input",
        );
    }
    if given.stat_log.as_ref().is_some_and(|path| path.is_empty() || path == "-") {
        let found = if given.stat_log.as_deref() == Some("-") { "`-`" } else { "nothing" };
        let hint = "the file that the server's TARE_STAT_LOG names";
        check.problem("observe.stat_log", format!("expected a path, found {found}"), hint);
    }
    let otlp = otlp(file, starts_embedded, embedded, check);
    // Spans that nobody receives need not be made.
    embedded.spans = embedded.spans && otlp.is_some();
    Observe {
        metrics_urls,
        no_metrics: given.metrics == Some(Metrics::Off),
        scrape_interval_s: check.real(
            "observe.scrape_interval_s",
            given.scrape_interval_s,
            1.0,
            Limits::from(0.05, 3600.0, "seconds"),
        ),
        server_log: given.server_log.clone(),
        stat_log: given.stat_log.clone(),
        otlp,
        listen_metrics: listen_metrics(file, check),
        export_spans: export::resolve(given.export_spans.as_deref(), &given.export_spans_headers, env, check),
        span_wait_s: check.real("observe.span_wait_s", given.span_wait_s, 10.0, SPAN),
        clock_bound_s: given.clock_bound_s.map(|bound| {
            check.real("observe.clock_bound_s", Some(bound), bound, Limits::from(1e-6, 3600.0, "seconds"))
        }),
    }
}

/// `PORT`, or `ADDRESS:PORT`; without an address this machine alone is served.
fn listen_metrics(file: &File, check: &mut Check<'_>) -> Option<SocketAddr> {
    let text = file.observe.listen_metrics.as_ref()?.trim();
    let full = match text.rsplit_once(':') {
        None => format!("127.0.0.1:{text}"),
        Some(("" | "localhost", port)) => format!("127.0.0.1:{port}"),
        Some(_) => text.to_owned(),
    };
    let address = full.parse().ok();
    if address.is_none() {
        let message = format!("expected a port, or an address with one, found `{}`", text.escape_debug());
        check.problem("observe.listen_metrics", message, "such as 9464, 127.0.0.1:9464 or 0.0.0.0:9464");
    }
    address
}

/// The receiver. The embedded server is told its ports, so any free ones do; another server was
/// configured for the usual ones.
fn otlp(file: &File, starts_embedded: bool, embedded: &Embedded, check: &mut Check<'_>) -> Option<Otlp> {
    let asked = match &file.observe.otlp {
        Some(OtlpChoice::On(otlp)) => otlp.clone(),
        None if starts_embedded && embedded.spans => file::Otlp::default(),
        Some(OtlpChoice::Off) | None => return None,
    };
    let usual = if starts_embedded { [0, 0] } else { [4317, 4318] };
    let otlp = Otlp {
        host: asked.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        grpc_port: asked.grpc_port.unwrap_or(usual[0]),
        http_port: asked.http_port.unwrap_or(usual[1]),
    };
    if otlp.host.is_empty() || !otlp.host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b)) {
        let message = format!("expected a host to listen on, found `{}`", otlp.host.escape_debug());
        check.problem("observe.otlp.host", message, "`127.0.0.1` for this machine alone, `0.0.0.0` for all");
    }
    if otlp.grpc_port == otlp.http_port && otlp.grpc_port != 0 {
        let message = format!("{} is the port for gRPC as well", otlp.http_port);
        check.problem("observe.otlp.http_port", message, "the usual ports are 4317 (gRPC) and 4318 (HTTP)");
    }
    Some(otlp)
}
