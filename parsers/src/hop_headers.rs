//! What gateways say in the headers of their answers: their own ids and durations, an entry a product.
//! It must not know who got the answer, nor what a reader makes of them.
//!
//! The headers of a streamed answer are sent before its first token: none of these durations is a time to first
//! token, or holds anything that a gateway does to tokens after it. Where a gateway takes the whole answer before it
//! sends the head (a plugin of Kong's with a `response` phase), a time until the upstream's head is the whole answer's.
//!
//! | header | seconds of |
//! |---|---|
//! | `x-litellm-overhead-duration-ms` | `overhead`: LiteLLM's own work, from the request until its answer's head was made |
//! | `x-litellm-response-duration-ms` | `response_duration`: the call, until that head; not the stream |
//! | `x-litellm-callback-duration-ms` | `callback_duration`: callbacks up to there |
//! | `x-litellm-timing-*-ms` | `timing_*`: parts of the above; `timing_llm_api` is to the upstream's head |
//! | `x-envoy-upstream-service-time` | `upstream_service_time`: Envoy's request sent → the upstream's head, whole ms |
//! | `x-kong-proxy-latency` | `proxy_latency`: from the request's first byte until the upstream is asked, failed tries and the client's sending included, whole ms |
//! | `x-kong-upstream-latency` | `upstream_latency`: from there until the upstream's head, connecting included, whole ms; also in a 502 of Kong's own, without any head |
//! | `x-kong-response-latency` | `response_latency`: Kong's own work on an answer that it made itself: no upstream was asked, ms |
//! | `x-kong-total-latency`, `-third-party-`, `-client-` | `total_latency`, …: Kong Gateway's with `headers = advanced_latency_tokens`, up to the head at most, ms |
//! | `server-timing` | each metric by its name, whatever its sender means by it: [`crate::server_timing`] |
//!
//! Kong 3.x sets them in `kong/runloop/handler.lua` (`header_filter.after`), and works them out in
//! `kong/init.lua`: `KONG_PROXY_LATENCY` is the end of the last balancer phase − the request's begin, so a try
//! that failed is in it; `KONG_WAITING_TIME` is the upstream's head − the end of that phase, in which no
//! connection is open yet; `KONG_RESPONSE_LATENCY` is the head − the request's begin, where nothing was proxied.

use std::borrow::Cow;

use crate::hop_text::{MILLISECONDS, given, ns, seconds};
use crate::server_timing;

/// Whether an answer of this status was made by a gateway in the server's place, as far as its headers (names in lower
/// case) tell. Kong says how long its own answers took it; its 502 has `Server: kong/…`, where what it hands on has the
/// upstream's.
pub fn is_gateways_own<'a>(
    status: Option<u16>,
    mut headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> bool {
    let failed = status.is_some_and(|status| status >= 500);
    headers.any(|(name, value)| match name {
        "x-kong-response-latency" => true,
        "server" => failed && value.starts_with("kong/"),
        _ => false,
    })
}

/// The headers that are read or tell of a gateway, in lower case; no other is worth keeping, and none
/// of these holds a secret once [`kept`] has seen it.
pub const NAMES: [&str; 30] = [
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
    "x-kong-client-latency",
    "x-kong-proxy-latency",
    "x-kong-request-id",
    "x-kong-response-latency",
    "x-kong-third-party-latency",
    "x-kong-total-latency",
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
/// Products whose durations are whole milliseconds: each is good to one, either way.
pub const WHOLE_MILLISECONDS: [&str; 2] = ["envoy", "kong"];
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
    let value = if name == "server-timing" { server_timing::cut(value) } else { value };
    let longest = if name == "server-timing" { server_timing::LONGEST_BYTES } else { LONGEST_CHARS };
    let text: String = value.chars().filter(|c| !c.is_control()).take(longest).collect();
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

/// Durations by `Server-Timing` in one answer's heads; what is beyond is unread.
pub const MOST_TIMINGS: usize = 64;
const FEWER: &str = "64 metrics with a duration in an answer at most";
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
            "x-kong-response-latency" => ("kong", "response_latency"),
            "x-kong-total-latency" => ("kong", "total_latency"),
            "x-kong-third-party-latency" => ("kong", "third_party_latency"),
            "x-kong-client-latency" => ("kong", "client_latency"),
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

    /// A metric that cannot be read costs itself only.
    fn take_timings(&mut self, value: &'a str) -> Result<(), &'static str> {
        let mut result = Ok(());
        for metric in server_timing::metrics(value) {
            match metric {
                Ok(metric) => {
                    let Some(seconds) = metric.took_s else { continue };
                    let stated = &mut self.timings.stated;
                    if stated.len() >= MOST_TIMINGS {
                        return Err(FEWER);
                    }
                    let name = metric.label();
                    // Two proxies of one kind in a row say the same name: each is a duration of its own.
                    let same = stated.iter().filter(|(other, _)| is_same(other, &name)).count();
                    let name = if same == 0 { name } else { format!("{name} #{}", same + 1).into() };
                    stated.push((name, seconds));
                }
                Err(expected) => result = Err(expected),
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

/// Whether a name that was taken is this one, or this one told again.
fn is_same(other: &str, name: &str) -> bool {
    other.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(" #"))
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
    fn several_server_timings_of_one_name_stay_apart() {
        // Two proxies in a row, each with a header of its own.
        let (all, unread) = told(&[
            ("server-timing", "proxy;dur=3, proxy;desc=b;dur=1"),
            ("server-timing", "proxy;dur=2;x=1, miss"),
        ]);
        assert_eq!((all.len(), unread.len(), all[0].product), (1, 0, "server_timing"));
        let expected = [("proxy", 0.003), ("proxy (b)", 0.001), ("proxy #2", 0.002)];
        assert_eq!(all[0].stated, expected.map(|(name, s)| (name.into(), s)));
    }

    /// As published answers of Kong Gateway 3.7 and 3.10 have them, of one that was proxied and one that an
    /// authentication plugin refused; those of `advanced_latency_tokens` are made up by its documentation.
    #[test]
    fn kong_3_tells_of_what_it_proxied_and_of_what_it_answered_itself() {
        let (all, _) = told(&[
            ("server", "uvicorn"),
            ("via", "1.1 kong/3.7.1"),
            ("x-kong-upstream-latency", "26"),
            ("x-kong-proxy-latency", "2"),
            ("x-kong-request-id", "363c830a7c03543008c0681103227f4c"),
        ]);
        assert_eq!((all.len(), all[0].product), (1, "kong"));
        assert_eq!(all[0].own_id, Some("363c830a7c03543008c0681103227f4c"));
        let expected = [("upstream_latency", 0.026), ("proxy_latency", 0.002)];
        assert_eq!(all[0].stated, expected.map(|(name, s)| (name.into(), s)));

        let (all, _) = told(&[
            ("x-kong-response-latency", "4"),
            ("server", "kong/3.10.0.16-enterprise-edition"),
            ("x-kong-request-id", "da02e8552baa4a0f020f5761b6401524"),
        ]);
        assert_eq!(all[0].stated, [("response_latency".into(), 0.004)]);

        let (all, unread) = told(&[
            ("x-kong-total-latency", "29"),
            ("x-kong-third-party-latency", "0"),
            ("x-kong-client-latency", "1"),
        ]);
        let expected = [("total_latency", 0.029), ("third_party_latency", 0.0), ("client_latency", 0.001)];
        assert_eq!((all[0].stated.clone(), unread.len()), (expected.map(|(n, s)| (n.into(), s)).to_vec(), 0));
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
