//! Who names itself on the way: in headers of the answer, in headers of the request as the server got
//! it, or by a log that the run was given. As data; this file must not know what a product does wrong.

use super::Route;
use crate::record::{HopRow, RequestRow};

/// Who it is, the header (`*` at its end: any that begins so), and a word of its value.
pub const PRODUCTS: [(&str, &str, &str); 19] = [
    ("nginx", "server", "nginx"),
    ("Envoy", "server", "envoy"),
    ("Envoy", "x-envoy-*", ""),
    ("Caddy", "server", "caddy"),
    ("Caddy", "via", "caddy"),
    ("Apache", "server", "apache"),
    ("LiteLLM", "x-litellm-*", ""),
    ("Kong", "x-kong-*", ""),
    ("Kong", "server", "kong"),
    ("Kong", "via", "kong"),
    ("Portkey", "x-portkey-*", ""),
    ("Cloudflare", "cf-ray", ""),
    ("Cloudflare", "server", "cloudflare"),
    ("AWS load balancer", "server", "awselb"),
    ("AWS CloudFront", "x-amz-cf-id", ""),
    ("Azure Front Door", "x-azure-ref", ""),
    ("Google front end", "via", "google"),
    ("Fastly", "x-served-by", "cache-"),
    ("HAProxy", "server", "haproxy"),
];

/// As hops' rows name it, and what the product is called.
const LOGS: [(&str, &str); 8] = [
    ("nginx", "nginx"),
    ("haproxy", "HAProxy"),
    ("envoy", "Envoy"),
    ("caddy", "Caddy"),
    ("traefik", "Traefik"),
    ("litellm", "LiteLLM"),
    ("kong", "Kong"),
    ("sglang_router", "SGLang router"),
];

/// A product and where it names itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub product: &'static str,
    pub by: String,
}

/// The headers by which products are known, in one answer: product, header, value.
pub fn in_headers(headers: &[(String, String)]) -> Vec<(&'static str, &str, &str)> {
    let mut out: Vec<(&'static str, &str, &str)> = Vec::new();
    for (product, header, word) in PRODUCTS {
        let is = |name: &str| match header.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == header,
        };
        let mut given = headers.iter();
        if let Some((name, value)) =
            given.find(|(name, value)| is(name) && value.to_ascii_lowercase().contains(word))
            && out.iter().all(|(known, ..)| *known != product)
        {
            out.push((product, name, value));
        }
    }
    out
}

/// Everyone who names itself on a route. Hops that the user named come first.
pub fn named(route: &Route<'_>) -> Vec<Named> {
    let mut out: Vec<Named> = Vec::new();
    let mut add = |product: &'static str, by: String| {
        if out.iter().all(|named| named.product != product) {
            out.push(Named { product, by });
        }
    };
    for passage in &route.passages {
        for hop in &passage.hops {
            let product = LOGS.iter().find(|(log, _)| hop.product.eq_ignore_ascii_case(log));
            let product =
                if is_kongs(hop, &passage.row.client) { Some("Kong") } else { product.map(|(_, p)| *p) };
            if let Some(product) = product {
                add(product, format!("hop `{}`", hop.hop));
            }
        }
    }
    for passage in &route.passages {
        for (product, name, value) in in_headers(&passage.row.client.answer_headers) {
            add(product, format!("`{name}: {}` of the answers", cut(value)));
        }
    }
    out
}

/// Kong runs on nginx, and its log is nginx's: with the id that its answers bear.
fn is_kongs(hop: &HopRow, client: &RequestRow) -> bool {
    let kongs = client.answer_headers.iter().find(|(name, _)| name == "x-kong-request-id");
    hop.own_id.as_deref().zip(kongs).is_some_and(|(own, (_, kongs))| own == kongs)
}

/// A header's value, fit to be printed.
pub fn cut(value: &str) -> String {
    value.chars().take(60).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as the products send them.
    #[test]
    fn products_are_known_by_their_headers() {
        let cases = [
            ("nginx", "server", "nginx/1.22.1"),
            ("Envoy", "x-envoy-upstream-service-time", "0"),
            ("Envoy", "server", "istio-envoy"),
            ("Caddy", "via", "1.1 Caddy"),
            ("LiteLLM", "x-litellm-call-id", "0f3c"),
            ("Kong", "via", "1.1 kong/3.9"),
        ];
        let answer = |name: &str, value: &str| {
            [("content-type", "application/json"), (name, value)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        for (product, name, value) in cases {
            let headers = answer(name, value);
            assert_eq!(in_headers(&headers), [(product, name, value)], "{name}: {value}");
        }
        assert!(in_headers(&answer("server", "uvicorn")).is_empty());
    }
}
