//! What gateways say in the headers of their answers: their own ids and durations, an entry a product.
//! It must not know who got the answer, nor what a reader makes of them.
//!
//! The headers of a streamed answer are sent before its first token: none of these durations can hold a
//! time to first token, nor anything that a gateway does to tokens on their way back.
//!
//! | header | seconds of |
//! |---|---|
//! | `x-litellm-overhead-duration-ms` | `overhead`: LiteLLM's own work, from the request until its answer's head was made |
//! | `x-litellm-response-duration-ms` | `response_duration`: the call, until that head; not the stream |
//! | `x-litellm-callback-duration-ms` | `callback_duration`: callbacks up to there |
//! | `x-litellm-timing-*-ms` | `timing_*`: parts of the above; `timing_llm_api` is to the upstream's head |
//! | `x-envoy-upstream-service-time` | `upstream_service_time`: Envoy's request sent → the upstream's head, whole ms |
//! | `x-kong-proxy-latency` | `proxy_latency`: Kong's own work before the upstream, failed tries included, whole ms |
//! | `x-kong-upstream-latency` | `upstream_latency`: until the upstream's head, whole ms |
//! | `server-timing` | each metric by its name, whatever its sender means by it (<https://www.w3.org/TR/server-timing/>) |

use std::borrow::Cow;

use crate::hop_text::{MILLISECONDS, given, ns, seconds};

/// The headers that are read or tell of a gateway, in lower case; no other is worth keeping, and none
/// of these holds a secret once [`kept`] has seen it.
pub const NAMES: [&str; 26] = [
    "cf-ray",
    "content-encoding",
    "llm_provider-x-request-id",
    "server",
    "server-timing",
    "via",
    "x-amz-cf-id",
    "x-azure-ref",
    "x-envoy-attempt-count",
    "x-envoy-upstream-service-time",
    "x-kong-proxy-latency",
    "x-kong-request-id",
    "x-kong-upstream-latency",
    "x-litellm-attempted-fallbacks",
    "x-litellm-attempted-retries",
    "x-litellm-call-id",
    "x-litellm-callback-duration-ms",
    "x-litellm-model-api-base",
    "x-litellm-overhead-duration-ms",
    "x-litellm-response-duration-ms",
    "x-litellm-timing-llm-api-ms",
    "x-litellm-timing-message-copy-ms",
    "x-litellm-timing-post-processing-ms",
    "x-litellm-timing-pre-processing-ms",
    "x-portkey-trace-id",
    "x-served-by",
];
/// Also kept: the id under which the server, or a gateway, answered.
pub const REQUEST_ID: &str = "x-request-id";

/// Of a kept value: what is longer is cut.
const LONGEST_CHARS: usize = 256;

/// What is kept of a header: nothing of one that is not among the known, of a URL its host and port
/// alone (its path or query may hold a key), else its value, cut.
pub fn kept(name: &str, value: &str) -> Option<String> {
    if name != REQUEST_ID && !NAMES.contains(&name) {
        return None;
    }
    let value = if name == "x-litellm-model-api-base" { host_of(value) } else { value };
    let text: String = value.chars().filter(|c| !c.is_control()).take(LONGEST_CHARS).collect();
    given(text.trim()).map(str::to_owned)
}

/// What one product said of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told<'a> {
    /// `litellm`, `envoy`, `kong`; `server_timing` of whoever sends that.
    pub product: &'static str,
    /// The product's own name for the request.
    pub own_id: Option<&'a str>,
    /// The request id in the upstream's answer, where the product hands it on under another name.
    pub upstream_request_id: Option<&'a str>,
    /// `host:port` of the upstream that answered.
    pub upstream: Option<&'a str>,
    /// How often an upstream was asked.
    pub attempts: Option<u32>,
    /// Seconds, by the names of the table above.
    pub stated: Vec<(Cow<'a, str>, f64)>,
}

/// A value that could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unread<'a> {
    pub header: &'a str,
    pub value: &'a str,
    pub expected: &'static str,
}

/// Reads headers (names in lower case), an entry for each product that spoke.
pub fn read<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> (Vec<Told<'a>>, Vec<Unread<'a>>) {
    let mut found = Found::default();
    for (header, value) in headers {
        // What is not known, LiteLLM writes as Python does.
        let Some(value) = given(value.trim()).filter(|value| *value != "None") else { continue };
        if let Err(expected) = found.take(header, value) {
            found.unread.push(Unread { header, value, expected });
        }
    }
    found.finish()
}

const MS: &str = "milliseconds, 0 or more";
const NUMBER: &str = "a whole number";

#[derive(Default)]
struct Found<'a> {
    litellm: Told<'a>,
    envoy: Told<'a>,
    kong: Told<'a>,
    timings: Told<'a>,
    request_id: Option<&'a str>,
    retries: Option<u32>,
    fallbacks: Option<u32>,
    unread: Vec<Unread<'a>>,
}

impl<'a> Found<'a> {
    fn take(&mut self, header: &'a str, value: &'a str) -> Result<(), &'static str> {
        let (product, name) = match header {
            "x-litellm-call-id" => {
                self.of("litellm").own_id = Some(value);
                return Ok(());
            }
            "llm_provider-x-request-id" => {
                self.of("litellm").upstream_request_id = Some(value);
                return Ok(());
            }
            "x-litellm-model-api-base" => {
                self.of("litellm").upstream = given(host_of(value));
                return Ok(());
            }
            "x-litellm-attempted-retries" => return number(value).map(|n| self.retries = Some(n)),
            "x-litellm-attempted-fallbacks" => return number(value).map(|n| self.fallbacks = Some(n)),
            "x-envoy-attempt-count" => return number(value).map(|n| self.of("envoy").attempts = Some(n)),
            "x-kong-request-id" => {
                self.of("kong").own_id = Some(value);
                return Ok(());
            }
            REQUEST_ID => {
                self.request_id = Some(value);
                return Ok(());
            }
            "server-timing" => return self.take_timings(value),
            "x-litellm-overhead-duration-ms" => ("litellm", "overhead"),
            "x-litellm-response-duration-ms" => ("litellm", "response_duration"),
            "x-litellm-callback-duration-ms" => ("litellm", "callback_duration"),
            "x-litellm-timing-pre-processing-ms" => ("litellm", "timing_pre_processing"),
            "x-litellm-timing-llm-api-ms" => ("litellm", "timing_llm_api"),
            "x-litellm-timing-post-processing-ms" => ("litellm", "timing_post_processing"),
            "x-litellm-timing-message-copy-ms" => ("litellm", "timing_message_copy"),
            "x-envoy-upstream-service-time" => ("envoy", "upstream_service_time"),
            "x-kong-proxy-latency" => ("kong", "proxy_latency"),
            "x-kong-upstream-latency" => ("kong", "upstream_latency"),
            _ => return Ok(()),
        };
        let seconds = duration(value)?;
        self.of(product).stated.push((name.into(), seconds));
        Ok(())
    }

    fn of(&mut self, product: &'static str) -> &mut Told<'a> {
        match product {
            "litellm" => &mut self.litellm,
            "envoy" => &mut self.envoy,
            "kong" => &mut self.kong,
            _ => &mut self.timings,
        }
    }

    /// `cache;desc="Cache Read";dur=23.2, app;dur=47`; a metric without `dur` states no duration. One
    /// that cannot be read costs itself only.
    fn take_timings(&mut self, value: &'a str) -> Result<(), &'static str> {
        let mut result = Ok(());
        for metric in split(value, b',') {
            let mut parts = split(metric, b';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let mut description = None;
            let mut took = None;
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                let value = value.trim();
                match &*key.trim().to_ascii_lowercase() {
                    "dur" if took.is_none() => took = Some(value.trim_matches('"')),
                    "desc" if description.is_none() => description = given(value.trim_matches('"')),
                    _ => {}
                }
            }
            if name.is_empty() && took.is_none() {
                continue;
            }
            match took.map(duration) {
                _ if name.is_empty() || !name.bytes().all(is_token) => {
                    result = Err("metrics such as `app;dur=47.2`");
                }
                Some(Ok(seconds)) => {
                    let name = description.map_or(name.into(), |text| format!("{name} ({text})").into());
                    self.of("server_timing").stated.push((name, seconds));
                }
                Some(Err(_)) => result = Err("milliseconds, 0 or more, at `dur`"),
                None => {}
            }
        }
        result
    }

    fn finish(self) -> (Vec<Told<'a>>, Vec<Unread<'a>>) {
        let Self { mut litellm, envoy, kong, timings, request_id, retries, fallbacks, unread } = self;
        // How often another model was asked in its turn is not said.
        litellm.attempts = retries.filter(|_| fallbacks == Some(0)).and_then(|n| n.checked_add(1));
        let all = [("litellm", litellm), ("envoy", envoy), ("kong", kong), ("server_timing", timings)];
        let spoke = all.into_iter().filter(|(_, told)| *told != Told::default());
        let told = spoke.map(|(product, told)| {
            // The id that Envoy puts in the place of the client's comes back in the answer.
            let own_id = told.own_id.or(request_id.filter(|_| product == "envoy"));
            Told { product, own_id, ..told }
        });
        (told.collect(), unread)
    }
}

fn duration(text: &str) -> Result<f64, &'static str> {
    ns::<MILLISECONDS>(text).filter(|ns| *ns >= 0).map(seconds).ok_or(MS)
}

fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| NUMBER)
}

/// A token's bytes (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The pieces between `separator`s that stand outside of quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let from = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = from.bytes().position(|byte| {
            let ends = byte == separator && !quoted;
            quoted ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && quoted && !escaped;
            ends
        });
        let (piece, after) = match end {
            Some(at) => (from.get(..at), from.get(at + 1..)),
            None => (Some(from), None),
        };
        rest = after;
        piece
    })
}

/// `host:port` of a URL: neither user and password nor path and query.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told<'a>(headers: &[(&'a str, &'a str)]) -> (Vec<Told<'a>>, Vec<Unread<'a>>) {
        read(headers.iter().copied())
    }

    #[test]
    fn litellm_1_108_tells_its_parts_up_to_the_head() {
        let (all, unread) = told(&[
            ("x-litellm-call-id", "0e5e05bf-b7ee-4d4f-bd3b-37bc13053fb9"),
            ("x-litellm-model-api-base", "http://user:secret@127.0.0.1:21000/v1?key=secret"),
            ("x-litellm-response-duration-ms", "53.050994873046875"),
            ("x-litellm-overhead-duration-ms", "47.8029"),
            ("x-litellm-callback-duration-ms", "None"),
            ("x-litellm-timing-llm-api-ms", "5.248"),
            ("llm_provider-x-request-id", "chatcmpl-t000000000010"),
            ("x-litellm-attempted-retries", "1"),
            ("x-litellm-attempted-fallbacks", "0"),
        ]);
        assert_eq!((all.len(), unread.len()), (1, 0));
        let litellm = &all[0];
        assert_eq!((litellm.product, litellm.attempts), ("litellm", Some(2)));
        assert_eq!(litellm.own_id, Some("0e5e05bf-b7ee-4d4f-bd3b-37bc13053fb9"));
        assert_eq!(litellm.upstream_request_id, Some("chatcmpl-t000000000010"));
        assert_eq!(litellm.upstream, Some("127.0.0.1:21000"));
        let expected =
            [("response_duration", 0.053_050_995), ("overhead", 0.047_802_9), ("timing_llm_api", 0.005_248)];
        assert_eq!(litellm.stated, expected.map(|(name, s)| (name.into(), s)));
    }

    #[test]
    fn each_product_that_spoke_has_its_entry() {
        let (all, unread) = told(&[
            ("x-request-id", "8a0c"),
            ("x-envoy-upstream-service-time", "0"),
            ("x-envoy-attempt-count", "2"),
            ("x-kong-proxy-latency", "7"),
            ("x-kong-upstream-latency", "soon"),
            ("server", "envoy"),
        ]);
        assert_eq!(all.iter().map(|told| told.product).collect::<Vec<_>>(), ["envoy", "kong"]);
        assert_eq!((all[0].own_id, all[0].attempts), (Some("8a0c"), Some(2)));
        assert_eq!(all[0].stated, [("upstream_service_time".into(), 0.0)]);
        assert_eq!(all[1].stated, [("proxy_latency".into(), 0.007)]);
        let bad = Unread { header: "x-kong-upstream-latency", value: "soon", expected: MS };
        assert_eq!(unread, [bad]);
        assert_eq!(told(&[("server", "uvicorn"), ("x-request-id", "a")]).0, []);
    }

    #[test]
    fn server_timing_has_several_metrics_some_without_a_duration() {
        // The examples of the specification, and what is wrong in one way each.
        let all = |value| {
            let (told, unread) = told(&[("server-timing", value)]);
            let stated = told.first().map(|told| told.stated.clone()).unwrap_or_default();
            (stated.into_iter().map(|(name, s)| (name.into_owned(), s)).collect::<Vec<_>>(), unread.len())
        };
        let metric = |name: &str, s: f64| (name.to_owned(), s);
        assert_eq!(
            all("miss, db;dur=53, app;dur=47.2"),
            (vec![metric("db", 0.053), metric("app", 0.0472)], 0)
        );
        assert_eq!(
            all("cache;desc=\"Cache, a; b\";dur=23.2"),
            (vec![metric("cache (Cache, a; b)", 0.0232)], 0)
        );
        assert_eq!(all("dc;desc=atl ; DUR = 1 ;dur=9"), (vec![metric("dc (atl)", 0.001)], 0));
        assert_eq!(all("a;dur=x, b;dur=-1, c;dur=2"), (vec![metric("c", 0.002)], 1));
        assert_eq!(all(";dur=1, a b;dur=1"), (vec![], 1));
    }

    #[test]
    fn only_known_headers_are_kept_and_no_keys_in_them() {
        assert_eq!(kept("set-cookie", "a=b"), None);
        assert_eq!(kept("authorization", "Bearer x"), None);
        assert_eq!(kept("x-litellm-model-api-base", "https://k:s@h:1/v1?key=s").as_deref(), Some("h:1"));
        assert_eq!(kept("server", " a\u{7}b ").as_deref(), Some("ab"));
        assert_eq!(kept("via", &"x".repeat(999)).unwrap().len(), LONGEST_CHARS);
        assert_eq!(kept("via", ""), None);
        assert!(NAMES.is_sorted());
    }
}
