//! Who names itself in the answer's headers, and what was done to its body.

use super::Told;
use crate::doctor::seen::Seen;
use crate::record::diagnosis::Sure;
use crate::server::ask::Asked;

/// Who it is, the header (`*` at its end: any that begins so), and a word of its value.
const PRODUCTS: [(&str, &str, &str); 19] = [
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

pub fn sign(seen: &Seen<'_>, told: &mut Told) {
    let Some(asked) = seen.asked else { return };
    let mut named: Vec<&str> = Vec::new();
    for (product, header, word) in PRODUCTS {
        if let Some((name, value)) = found(asked, header, word)
            && !named.contains(&product)
        {
            named.push(product);
            told.gateway(Sure::Certain, format!("{product} names itself: `{name}: {}`", cut(value)));
        }
    }
    if named.is_empty()
        && let Some(via) = asked.header("via")
    {
        told.gateway(Sure::Certain, format!("a proxy names itself: `via: {}`", cut(via)));
    } else if named.is_empty() {
        told.clear(match asked.header("server") {
            Some(server) => format!("no gateway names itself in the headers (`server: {}`)", cut(server)),
            None => "no gateway names itself in the headers".to_owned(),
        });
    }
    if let Some(coding) = asked.header("content-encoding") {
        told.gateway(
            Sure::Likely,
            format!(
                "the answer is compressed though that was not asked for (`content-encoding: {}`)",
                cut(coding)
            ),
        );
    }
}

fn found<'a>(asked: &'a Asked, header: &str, word: &str) -> Option<(&'a str, &'a str)> {
    let is = |name: &str| match header.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == header,
    };
    let mut headers = asked.headers.iter();
    let (name, value) = headers.find(|(name, v)| is(name) && v.to_ascii_lowercase().contains(word))?;
    Some((name, value))
}

fn cut(value: &str) -> String {
    value.chars().take(60).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Asked {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Asked { status: 200, headers, body: String::new() }
    }

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
        for (product, name, value) in cases {
            let asked = asked(&[("content-type", "application/json"), (name, value)]);
            let by: Vec<&str> = PRODUCTS
                .iter()
                .filter(|(_, header, word)| found(&asked, header, word).is_some())
                .map(|(product, ..)| *product)
                .collect();
            assert_eq!(by, [product], "{name}: {value}");
        }
        let uvicorn = asked(&[("server", "uvicorn"), ("content-length", "5")]);
        assert!(PRODUCTS.iter().all(|(_, header, word)| found(&uvicorn, header, word).is_none()));
    }
}
