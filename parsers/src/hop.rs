//! One request's passage through a gateway, the same for every product: ids, instants, how far the
//! answer had come when, the tries at upstreams, and how it ended. What a product does not say is
//! `None`, never 0. It must not know how any product writes its log.

use std::borrow::Cow;

use crate::time::LogTime;

/// A request that a gateway has finished with, by its access log.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop<'a> {
    pub product: Product,
    /// The client's `X-Request-Id` as the gateway got it; one that the gateway put there instead,
    /// where it is told to (Envoy's `use_remote_address`).
    pub request_id: Option<Cow<'a, str>>,
    /// The gateway's own name for the request.
    pub own_id: Option<Cow<'a, str>>,
    /// `id` of the answer's body.
    pub response_id: Option<Cow<'a, str>>,
    /// 32 hexadecimal digits, out of `traceparent`.
    pub trace_id: Option<&'a str>,
    /// `address:port` of the client, an IPv6 address in brackets; some products log no port.
    pub client: Option<Cow<'a, str>>,
    /// `address:port` from which the hop asked its upstream.
    pub outgoing: Option<Cow<'a, str>>,
    /// Without its query, which may hold a key.
    pub path: Option<Cow<'a, str>>,
    /// When the request began by the product's account, and when it was over. The formats' files say
    /// where an account begins late (LiteLLM).
    pub start: Option<HopTime>,
    pub end: Option<HopTime>,
    pub phases: Phases,
    /// What each of the product's timers is cut down to; a sum of several is early by as many of
    /// these at most. Where only the total is coarser, `end` has its resolution.
    pub timer_resolution_ns: Option<i64>,
    /// Seconds that the hop states without placing them; the formats' files say what each is.
    pub stated: Vec<(&'static str, f64)>,
    /// The upstreams that were asked, in order, as far as the log names them.
    pub tries: Vec<Try<'a>>,
    /// How often an upstream was asked.
    pub attempts: Option<u32>,
    /// The status that the client got.
    pub status: Option<u16>,
    pub completeness: Completeness,
    /// How it ended, in the product's words.
    pub end_reason: Option<Cow<'a, str>>,
    /// Bytes from and to the client, as the product counts them: with heads (nginx, HAProxy) or
    /// bodies alone (Envoy, Caddy, Traefik).
    pub received_bytes: Option<u64>,
    pub sent_bytes: Option<u64>,
}

/// An instant by the gateway's clock: it lies from `slack_ns` before the stamp to `slack_ns` after
/// the end of its resolution.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HopTime {
    pub time: LogTime,
    /// How wrong the product's stamps were seen to be, beyond their resolution: an event loop that
    /// reads the clock once a turn stamps with an old time. 0: none was seen out of causal order.
    pub slack_ns: i64,
}

/// Seconds from the hop's start until … . Response *heads* are never first tokens: servers send them
/// before the first token is made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phases {
    /// … the request's head was there.
    pub request_head_s: Option<f64>,
    /// … all of the request was there.
    pub request_received_s: Option<f64>,
    /// … it left the gateway's queue.
    pub queue_s: Option<f64>,
    /// … there was a connection to the upstream, and the request began to be sent.
    pub connected_s: Option<f64>,
    /// … all of the request was sent to the upstream.
    pub upstream_sent_s: Option<f64>,
    /// … the head of the upstream's answer came.
    pub upstream_head_s: Option<f64>,
    /// … the first byte of its body came.
    pub upstream_first_body_s: Option<f64>,
    /// … its first token came, and had gone on to the client.
    pub first_token_in_s: Option<f64>,
    pub first_token_out_s: Option<f64>,
    /// … its last token came, and had gone on.
    pub last_token_in_s: Option<f64>,
    pub last_token_out_s: Option<f64>,
    /// … its last byte came.
    pub upstream_end_s: Option<f64>,
    /// … the answer's head went to the client.
    pub head_sent_s: Option<f64>,
    /// … the hop was over.
    pub total_s: Option<f64>,
}

/// One try at an upstream. Times count from its own beginning, which most logs do not place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Try<'a> {
    /// The upstream as the product names it: `address:port`, a URL, HAProxy's `backend/server`.
    pub address: Option<Cow<'a, str>>,
    pub status: Option<u16>,
    pub connect_s: Option<f64>,
    /// To the answer's head.
    pub head_s: Option<f64>,
    pub end_s: Option<f64>,
}

/// Whether the client got all of the answer, by the product's own signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Completeness {
    /// HTTP ended as it should. Whether a stream had all its tokens only its content tells.
    Complete,
    /// It ended early: by the upstream, or the product does not say by whom.
    Cut,
    /// The client left.
    Aborted,
    /// The product gives no sign, or gives the same one to cut answers.
    Unknown,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Product {
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
    Traefik,
    Litellm,
    SglangRouter,
    TareTap,
}

impl Product {
    pub const ALL: [Product; 8] = [
        Product::Nginx,
        Product::Haproxy,
        Product::Envoy,
        Product::Caddy,
        Product::Traefik,
        Product::Litellm,
        Product::SglangRouter,
        Product::TareTap,
    ];

    /// The name of its log format.
    pub const fn name(self) -> &'static str {
        match self {
            Product::Nginx => "nginx",
            Product::Haproxy => "haproxy",
            Product::Envoy => "envoy",
            Product::Caddy => "caddy",
            Product::Traefik => "traefik",
            Product::Litellm => "litellm",
            Product::SglangRouter => "sglang_router",
            Product::TareTap => "tare_tap",
        }
    }

    /// What makes the product log timers and ids: for errors about logs that lack them.
    pub const fn turn_on(self) -> &'static str {
        match self {
            Product::Nginx => {
                "timers and an id (turn on: a `log_format` with `$msec $request_time $upstream_header_time $upstream_response_time $http_x_request_id`)"
            }
            Product::Haproxy => {
                "timers and an id (turn on: `option httplog` and `capture request header X-Request-Id len 128`)"
            }
            Product::Envoy => {
                "timers and an id (turn on: a JSON access log with `%START_TIME(%s.%9f)%`, `%REQ(X-REQUEST-ID)%` and `%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:us)%`)"
            }
            Product::Caddy => {
                "timers and an id (turn on: `log_append up_latency_ms {http.reverse_proxy.upstream.latency_ms}` and its like, `time_format unix_seconds_float`, `duration_format seconds`)"
            }
            Product::Traefik => {
                "timers and an id (turn on: `accessLog.format: json` and `accessLog.fields.headers.names.X-Request-Id: keep`)"
            }
            Product::Litellm => {
                "timers and an id (turn on: a callback that writes each `standard_logging_object`, one JSON object a line)"
            }
            Product::SglangRouter => {
                "a request id and a latency (turn on: log level `info`, `--request-id-headers x-request-id`)"
            }
            Product::TareTap => "`exchange` and `accepted_unix_ns`, as `tare tap` writes them",
        }
    }
}

impl Hop<'_> {
    pub(crate) fn new(product: Product) -> Self {
        Self {
            product,
            request_id: None,
            own_id: None,
            response_id: None,
            trace_id: None,
            client: None,
            outgoing: None,
            path: None,
            start: None,
            end: None,
            phases: Phases::default(),
            timer_resolution_ns: None,
            stated: Vec::new(),
            tries: Vec::new(),
            attempts: None,
            status: None,
            completeness: Completeness::Unknown,
            end_reason: None,
            received_bytes: None,
            sent_bytes: None,
        }
    }

    /// Seconds of the hop that no try accounts for: before, between and after them. `None` unless the
    /// total and the end of every try are known.
    pub fn outside_tries_s(&self) -> Option<f64> {
        let total = self.phases.total_s.filter(|_| !self.tries.is_empty())?;
        self.tries.iter().try_fold(total, |rest, one| one.end_s.map(|end| rest - end))
    }
}
