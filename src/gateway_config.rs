//! What turns on, in each gateway, the log that tare reads best: the files of `assets/gateways`, as they
//! are. A new product is one file there and one line in [`PRODUCTS`]. This file must not know who asks,
//! nor how such a log is read.

use crate::error::{Failure, usage};

/// Every gateway with a snippet, in the order in which errors and help list them.
pub static PRODUCTS: &[Product] = &[
    product("nginx", "nginx", "nginx.conf", include_str!("../assets/gateways/nginx.conf")),
    product("haproxy", "haproxy", "haproxy.cfg", include_str!("../assets/gateways/haproxy.cfg")),
    product("envoy", "envoy", "envoy.yaml", include_str!("../assets/gateways/envoy.yaml")),
    product("caddy", "caddy", "caddy.caddyfile", include_str!("../assets/gateways/caddy.caddyfile")),
    product("traefik", "traefik", "traefik.yml", include_str!("../assets/gateways/traefik.yml")),
    product("litellm", "litellm", "litellm.py", include_str!("../assets/gateways/litellm.py")),
    // It runs on nginx, and writes nginx's log.
    product("kong", "nginx", "kong.conf", include_str!("../assets/gateways/kong.conf")),
];

const fn product(
    name: &'static str,
    format: &'static str,
    file: &'static str,
    snippet: &'static str,
) -> Product {
    Product { name, format, file, snippet }
}

/// A gateway whose log can be turned on.
#[derive(Debug)]
pub struct Product {
    /// As `--print-config` takes it.
    pub name: &'static str,
    /// As the format of its log is called.
    pub format: &'static str,
    /// In `assets/gateways`.
    pub file: &'static str,
    /// Its first lines say where it goes. Lines with `#` and no blank after it are settings that mend
    /// streaming, to be turned on.
    pub snippet: &'static str,
}

/// The snippet of the product of this name.
///
/// # Errors
///
/// There is none of this name; the error lists those that are there.
pub fn snippet(name: &str) -> Result<&'static str, Failure> {
    let product = PRODUCTS.iter().find(|product| product.name.eq_ignore_ascii_case(name));
    product.map(|product| product.snippet).ok_or_else(|| {
        let names: Vec<&str> = PRODUCTS.iter().map(|product| product.name).collect();
        usage(format!("no configuration for `{name}`")).hint(format!("there are {}", names.join(", ")))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use tare_parsers::{Event, FORMATS, Hop, Parsed, Phases};

    use super::*;

    #[test]
    fn a_product_has_a_log_of_a_known_format() {
        for product in PRODUCTS {
            assert!(FORMATS.iter().any(|format| format.name == product.format), "{product:?}");
            assert!(product.snippet.contains("tare"), "{product:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        assert_eq!(snippet("NGINX").unwrap(), PRODUCTS[0].snippet);
        let error = anyhow::Error::new(snippet("apache").unwrap_err());
        let mut said = Vec::new();
        crate::error::print(&mut said, &error).unwrap();
        insta::assert_snapshot!(String::from_utf8(said).unwrap(), @r"
        error: no configuration for `apache`
        hint: there are nginx, haproxy, envoy, caddy, traefik, litellm, kong
        ");
    }

    /// The line that a product writes whose variables have the values given; the others have none.
    fn filled(line: &str, is_part: fn(char) -> bool, values: &[(&str, &str)]) -> String {
        let values: BTreeMap<&str, &str> = values.iter().copied().collect();
        let mut parts = line.split('$');
        let mut out = parts.next().unwrap().to_owned();
        for part in parts {
            let end = part.find(|c| !is_part(c)).unwrap_or(part.len());
            out += values.get(&part[..end]).unwrap_or_else(|| panic!("no value for {}", &part[..end]));
            out += &part[end..];
        }
        out
    }

    fn read(format: &str, line: &str, look: impl FnOnce(&Hop<'_>)) {
        let format = FORMATS.iter().find(|one| one.name == format).unwrap();
        match (format.parse)(line, &mut String::new()) {
            Parsed::Line(read) => match &read.event {
                Event::Hop(hop) => look(hop),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}: {line}"),
        }
    }

    /// What is logged by the printed format is read, all of it.
    fn nginxs(format: &str, own_id: &str) {
        let line = filled(
            format,
            |c| c.is_ascii_alphanumeric() || c == '_',
            &[
                ("msec", "1795531667.762"),
                ("http_x_request_id", "mine"),
                (own_id, "ea26d0d6a5ceabc08bf27b7bf4d4a9d6"),
                ("http_traceparent", "00-39de6ef741ce667ddeaa292ab8cb8baf-7701c5659a5e7715-01"),
                ("remote_addr", "127.0.0.1"),
                ("remote_port", "42120"),
                ("request_uri", "/v1/chat/completions"),
                ("status", "200"),
                ("request_time", "0.201"),
                ("upstream_addr", "127.0.0.1:1, 127.0.0.1:2"),
                ("upstream_status", "502, 200"),
                ("upstream_connect_time", "-, 0.000"),
                ("upstream_header_time", "-, 0.001"),
                ("upstream_response_time", "0.001, 0.200"),
                ("request_length", "423"),
                ("bytes_sent", "7234"),
                ("request_completion", "OK"),
            ],
        );
        read("nginx", &line, |hop| {
            assert_eq!(hop.request_id.as_deref(), Some("mine"));
            assert_eq!(hop.own_id.as_deref(), Some("ea26d0d6a5ceabc08bf27b7bf4d4a9d6"));
            assert_eq!(hop.trace_id, Some("39de6ef741ce667ddeaa292ab8cb8baf"));
            assert_eq!(hop.client.as_deref(), Some("127.0.0.1:42120"));
            assert_eq!((hop.status, hop.end_reason.as_deref()), (Some(200), Some("OK")));
            assert_eq!((hop.received_bytes, hop.sent_bytes), (Some(423), Some(7234)));
            assert_eq!(hop.phases.total_s, Some(0.201));
            let tries: Vec<_> = hop.tries.iter().map(|one| (one.status, one.head_s, one.end_s)).collect();
            assert_eq!(tries, [(Some(502), None, Some(0.001)), (Some(200), Some(0.001), Some(0.2))]);
        });
    }

    #[test]
    fn nginx_logs_what_is_read() {
        let snippet = snippet("nginx").unwrap();
        let format = snippet.split_once("escape=json ").unwrap().1.split_once(';').unwrap().0;
        nginxs(&format.split('\'').skip(1).step_by(2).collect::<String>(), "request_id");
    }

    #[test]
    fn kong_logs_what_is_read() {
        let snippet = snippet("kong").unwrap();
        let format = snippet.split_once("escape=json '").unwrap().1.split_once("'\n").unwrap().0;
        nginxs(format, "kong_request_id");
    }

    #[test]
    fn envoy_logs_what_is_read() {
        let snippet = snippet("envoy").unwrap();
        let fields = snippet.split_once("json_format:\n").unwrap().1.lines().map_while(|line| {
            let (key, operator) = line.strip_prefix("        ")?.split_once(": ")?;
            Some((key, operator.trim_matches('"')))
        });
        // Durations are told by their operators: the number of a moment in the list of all of them.
        let moments = [
            "DS_RX_BEG",
            "DS_RX_END",
            "US_TX_BEG",
            "US_TX_END",
            "US_RX_BEG",
            "US_RX_BODY_BEG",
            "US_RX_END",
            "DS_TX_BEG",
            "DS_TX_END",
        ];
        let value = |operator: &str| match operator.trim_matches('%') {
            "START_TIME(%s.%9f)" => "\"1795531987.174493000\"".to_owned(),
            "EMIT_TIME(%s.%9f)" => "\"1795531987.381000000\"".to_owned(),
            "REQ(X-REQUEST-ID)" => "\"mine\"".to_owned(),
            "REQ(TRACEPARENT)" => "\"00-39de6ef741ce667ddeaa292ab8cb8baf-7701c5659a5e7715-01\"".to_owned(),
            "STREAM_ID" => "\"own\"".to_owned(),
            "REQ(:PATH)" => "\"/v1/chat/completions\"".to_owned(),
            "RESPONSE_CODE" => "200".to_owned(),
            "RESPONSE_CODE_DETAILS" => "\"via_upstream\"".to_owned(),
            "RESPONSE_FLAGS" => "\"-\"".to_owned(),
            "UPSTREAM_REQUEST_ATTEMPT_COUNT" => "1".to_owned(),
            "DURATION" => "9".to_owned(),
            "BYTES_RECEIVED" => "162".to_owned(),
            "BYTES_SENT" => "6871".to_owned(),
            "UPSTREAM_HOST" => "\"127.0.0.1:1\"".to_owned(),
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => "\"127.0.0.1:42120\"".to_owned(),
            other => {
                let moment = other.strip_prefix("COMMON_DURATION(DS_RX_BEG:").unwrap();
                let moment = moment.strip_suffix(":us)").unwrap();
                moments.iter().position(|one| *one == moment).unwrap().to_string()
            }
        };
        let fields: Vec<String> =
            fields.map(|(key, operator)| format!("\"{key}\":{}", value(operator))).collect();
        let line = format!("{{{}}}", fields.join(","));
        let us = |number: u32| Some(f64::from(number) / 1e6);
        read("envoy", &line, |hop| {
            assert_eq!(hop.request_id.as_deref(), Some("mine"));
            assert_eq!(hop.own_id.as_deref(), Some("own"));
            assert_eq!(hop.trace_id, Some("39de6ef741ce667ddeaa292ab8cb8baf"));
            assert_eq!(hop.client.as_deref(), Some("127.0.0.1:42120"));
            assert_eq!((hop.status, hop.attempts), (Some(200), Some(1)));
            assert_eq!((hop.received_bytes, hop.sent_bytes), (Some(162), Some(6871)));
            let phases = Phases {
                request_received_s: us(1),
                connected_s: us(2),
                upstream_sent_s: us(3),
                upstream_head_s: us(4),
                upstream_first_body_s: us(5),
                upstream_end_s: us(6),
                head_sent_s: us(7),
                total_s: us(8),
                ..Phases::default()
            };
            assert_eq!(hop.phases, phases);
        });
    }
}
