//! What mends what, in which product, and where its documentation says so: one table. This file must not
//! know how an ailment is found.

use crate::record::verdicts::Remedy;

/// What is to be mended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ailment {
    /// Tokens are kept until a buffer is full, a timer runs out or the answer ends.
    Held,
    /// Nagle's algorithm against delayed acknowledgements.
    Nagle,
    Compressed,
    HeadHeld,
    Waiting,
    Retried,
    Reconnecting,
    IdLost,
    CutUnlogged,
}

use Ailment::{Compressed, CutUnlogged, HeadHeld, Held, IdLost, Nagle, Reconnecting, Retried, Waiting};

/// Product, ailment, setting, section of the documentation.
pub const REMEDIES: [(&str, Ailment, &str, &str); 43] = [
    ("HAProxy", Held, "option http-no-delay", "HAProxy Configuration Manual, 4.2 `option http-no-delay`"),
    ("nginx", Held, "proxy_buffering off;", "nginx.org, ngx_http_proxy_module, `proxy_buffering`"),
    (
        "nginx",
        Held,
        "proxy_http_version 1.1; proxy_set_header Connection \"\";",
        "nginx.org, ngx_http_proxy_module, `proxy_http_version`",
    ),
    (
        "any server behind nginx",
        Held,
        "answer header X-Accel-Buffering: no",
        "nginx.org, ngx_http_proxy_module, `proxy_buffering`",
    ),
    ("Caddy", Held, "reverse_proxy { flush_interval -1 }", "caddyserver.com, reverse_proxy, Streaming"),
    ("Traefik", Held, "no `buffering` middleware on this router", "doc.traefik.io, Middlewares, Buffering"),
    ("Apache", Held, "ProxyPass … flushpackets=on", "httpd.apache.org, mod_proxy, `flushpackets`"),
    (
        "Kong",
        Held,
        "response_buffering: false on the route",
        "developer.konghq.com, Route, `response_buffering`",
    ),
    (
        "Kong",
        Held,
        "no plugin on it that takes answers whole (a `response` phase, `enable_buffering`, ai-*)",
        "developer.konghq.com, PDK, `kong.service.request.enable_buffering`",
    ),
    (
        "Cloudflare",
        Held,
        "answer header Cache-Control: no-transform",
        "developers.cloudflare.com, Speed, Compression",
    ),
    (
        "a proxy of your own",
        Held,
        "flush after each write, TCP_NODELAY on both sides",
        "tcp(7), TCP_CORK and TCP_NODELAY",
    ),
    ("HAProxy", Nagle, "option http-no-delay", "HAProxy Configuration Manual, 4.2 `option http-no-delay`"),
    ("nginx", Nagle, "tcp_nodelay on;", "nginx.org, ngx_http_core_module, `tcp_nodelay`"),
    ("a proxy of your own", Nagle, "TCP_NODELAY on the sockets that send", "tcp(7), TCP_NODELAY"),
    (
        "nginx",
        Compressed,
        "gzip off; or no text/event-stream in gzip_types",
        "nginx.org, ngx_http_gzip_module, `gzip_types`",
    ),
    (
        "HAProxy",
        Compressed,
        "no text/event-stream in `compression type`",
        "HAProxy Configuration Manual, `compression type`",
    ),
    (
        "Caddy",
        Compressed,
        "no text/event-stream in the `match` of encode",
        "caddyserver.com, encode, `match`",
    ),
    (
        "Traefik",
        Compressed,
        "compress.excludedContentTypes: text/event-stream",
        "doc.traefik.io, Middlewares, Compress",
    ),
    (
        "Envoy",
        Compressed,
        "no text/event-stream in the compressor's content_type",
        "envoyproxy.io, HTTP filters, Compressor",
    ),
    ("Apache", Compressed, "SetEnv no-gzip 1 for this location", "httpd.apache.org, mod_deflate"),
    (
        "Cloudflare",
        Compressed,
        "answer header Cache-Control: no-transform",
        "developers.cloudflare.com, Speed, Compression",
    ),
    ("the client", Compressed, "no Accept-Encoding in the request", "RFC 9110, 12.5.3"),
    ("nginx", HeadHeld, "proxy_buffering off;", "nginx.org, ngx_http_proxy_module, `proxy_buffering`"),
    (
        "Kong",
        HeadHeld,
        "response_buffering: false on the route",
        "developer.konghq.com, Route, `response_buffering`",
    ),
    (
        "LiteLLM",
        HeadHeld,
        "none is known: it asks for the first chunk before it sends the head",
        "seen with LiteLLM 1.108.7",
    ),
    (
        "LiteLLM",
        Waiting,
        "litellm --num_workers N, one for each core, and more instances",
        "docs.litellm.ai, Production, Workers",
    ),
    (
        "HAProxy",
        Waiting,
        "maxconn of the server line, nbthread",
        "HAProxy Configuration Manual, 5.2 `maxconn`",
    ),
    ("nginx", Waiting, "worker_processes auto;", "nginx.org, Core functionality, `worker_processes`"),
    (
        "Kong",
        Waiting,
        "nginx_worker_processes = auto; fewer plugins on the route, or quicker ones",
        "developer.konghq.com, kong.conf, `nginx_worker_processes`",
    ),
    (
        "a Python gateway",
        Waiting,
        "more worker processes: one has one core",
        "uvicorn.org, Settings, `--workers`",
    ),
    ("nginx", Retried, "proxy_next_upstream off;", "nginx.org, ngx_http_proxy_module, `proxy_next_upstream`"),
    ("HAProxy", Retried, "retries 0, retry-on none", "HAProxy Configuration Manual, 4.2 `retry-on`"),
    ("LiteLLM", Retried, "router_settings: num_retries: 0", "docs.litellm.ai, Reliability"),
    (
        "Kong",
        Retried,
        "retries: 0 on the service, a shorter connect_timeout",
        "developer.konghq.com, Service, `retries` and `connect_timeout`",
    ),
    ("SGLang router", Retried, "--disable-retries", "docs.sglang.ai, Router, Fault tolerance"),
    (
        "nginx",
        Reconnecting,
        "keepalive 64; in upstream, proxy_http_version 1.1; proxy_set_header Connection \"\";",
        "nginx.org, ngx_http_upstream_module, `keepalive`",
    ),
    (
        "HAProxy",
        Reconnecting,
        "http-reuse safe, no `option httpclose`",
        "HAProxy Configuration Manual, 4.2 `http-reuse`",
    ),
    (
        "LiteLLM",
        IdLost,
        "general_settings: forward_client_headers_to_llm_api: true",
        "docs.litellm.ai, Forward client headers",
    ),
    (
        "nginx",
        CutUnlogged,
        "error_log … error; its lines `upstream prematurely closed connection` tell",
        "nginx.org, Core functionality, `error_log`",
    ),
    ("HAProxy", CutUnlogged, "%tsc in log-format: `SD--` is a cut", "HAProxy Configuration Manual, 8.5"),
    (
        "Envoy",
        CutUnlogged,
        "%RESPONSE_FLAGS% and %RESPONSE_CODE_DETAILS% in the access log",
        "envoyproxy.io, Access logging",
    ),
    ("Caddy", CutUnlogged, "its lines `aborting with incomplete response` tell", "caddyserver.com, log"),
    (
        "Envoy",
        IdLost,
        "preserve_external_request_id: true",
        "envoyproxy.io, HTTP connection manager, `preserve_external_request_id`",
    ),
];

/// Who does not name itself in answers, and may stand beside those who do.
const SILENT: [&str; 6] =
    ["a proxy of your own", "a Python gateway", "the client", "HAProxy", "SGLang router", "Traefik"];

/// What the products that name themselves can do about it; if none of them is in the table, what those can who do not
/// name themselves, and where nobody does, all there is.
pub fn of(ailment: Ailment, products: &[String]) -> Vec<Remedy> {
    let all = || REMEDIES.iter().filter(|(_, of, ..)| *of == ailment);
    let remedy = |(product, _, setting, doc): &(&'static str, Ailment, &'static str, &'static str)| Remedy {
        product,
        setting,
        doc,
    };
    let theirs: Vec<Remedy> =
        all().filter(|(p, ..)| products.iter().any(|own| own == p)).map(remedy).collect();
    match theirs.is_empty() {
        false => theirs,
        true if products.is_empty() => all().map(remedy).collect(),
        // That is about the log of one who is known.
        true if ailment == CutUnlogged => Vec::new(),
        true => all().filter(|(product, ..)| SILENT.contains(product)).map(remedy).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_those_who_can_mend_nothing_the_silent_ones_are_listed() {
        let of = |ailment, products: &[&str]| -> Vec<&str> {
            let products: Vec<String> = products.iter().map(|&product| product.to_owned()).collect();
            super::of(ailment, &products).iter().map(|remedy| remedy.product).collect()
        };
        assert_eq!(of(HeadHeld, &["Kong", "Cloudflare"]), ["Kong"]);
        assert_eq!(of(Nagle, &["Cloudflare"]), ["HAProxy", "a proxy of your own"]);
        assert_eq!(of(Nagle, &[]), ["HAProxy", "nginx", "a proxy of your own"]);
        assert_eq!(of(CutUnlogged, &["Kong"]), [""; 0], "another's log tells nothing");
    }
}
