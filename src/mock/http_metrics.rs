//! What the HTTP layer counts, as the instrumentation library of vLLM's server does: by handler, over
//! the whole exchange from the request's head to the last byte of the answer. The only numbers of
//! the page that include body parsing, socket writes and rejected requests.
//! This file must not know the engine.

use crate::clock::UnixNs;

use super::registry::Histogram;

/// What the HTTP layer counts: by handler, in the order in which handlers were first asked.
#[derive(Debug)]
pub struct Http {
    pub requests: Vec<HttpRequests>,
    pub handlers: Vec<HttpHandler>,
    pub durations: Vec<HttpDurations>,
    pub all_durations: Histogram,
}

/// Requests of one handler, method and class of status.
#[derive(Debug)]
pub struct HttpRequests {
    pub handler: &'static str,
    pub method: String,
    pub status: &'static str,
    pub count: u64,
    pub created: UnixNs,
}

/// Bytes of one handler.
#[derive(Debug)]
pub struct HttpHandler {
    pub handler: &'static str,
    pub count: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub created: UnixNs,
}

/// Durations of one handler and method.
#[derive(Debug)]
pub struct HttpDurations {
    pub handler: &'static str,
    pub method: String,
    pub histogram: Histogram,
    pub created: UnixNs,
}

/// One finished HTTP exchange.
#[derive(Clone, Copy, Debug)]
pub struct HttpExchange<'a> {
    pub handler: &'static str,
    pub method: &'a str,
    pub status: u16,
    /// As their content-length headers say; a chunked body has none and counts as zero.
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub duration_s: f64,
}

impl Http {
    pub fn new() -> Self {
        Self {
            requests: Vec::new(),
            handlers: Vec::new(),
            durations: Vec::new(),
            all_durations: Histogram::new(HTTP_ALL.to_vec()),
        }
    }

    /// Counts an exchange; series that begin with it are `created` now, by the server's own clock.
    pub fn observe(&mut self, exchange: &HttpExchange, created: UnixNs) {
        let HttpExchange { handler, method, .. } = *exchange;
        let status = status_class(exchange.status);
        change(
            &mut self.requests,
            |r| r.handler == handler && r.method == method && r.status == status,
            || HttpRequests { handler, method: method.to_owned(), status, count: 0, created },
            |r| r.count += 1,
        );
        change(
            &mut self.handlers,
            |h| h.handler == handler,
            || HttpHandler { handler, count: 0, request_bytes: 0, response_bytes: 0, created },
            |h| {
                h.count += 1;
                h.request_bytes += exchange.request_bytes;
                h.response_bytes += exchange.response_bytes;
            },
        );
        let by_handler = || Histogram::new(HTTP_BY_HANDLER.to_vec());
        change(
            &mut self.durations,
            |d| d.handler == handler && d.method == method,
            || HttpDurations { handler, method: method.to_owned(), histogram: by_handler(), created },
            |d| d.histogram.observe(exchange.duration_s),
        );
        self.all_durations.observe(exchange.duration_s);
    }
}

/// Changes the element that matches, made at the end if there is none.
fn change<T>(
    list: &mut Vec<T>,
    matches: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
    change: impl FnOnce(&mut T),
) {
    if !list.iter().any(&matches) {
        list.push(make());
    }
    if let Some(element) = list.iter_mut().find(|element| matches(element)) {
        change(element);
    }
}

fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

const HTTP_ALL: [f64; 21] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 7.5, 10.0,
    30.0, 60.0,
];
const HTTP_BY_HANDLER: [f64; 3] = [0.1, 0.5, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_series_keep_the_order_of_their_first_request() {
        let mut http = Http::new();
        let exchange = |handler, status| HttpExchange {
            handler,
            method: "POST",
            status,
            request_bytes: 10,
            response_bytes: 0,
            duration_s: 0.2,
        };
        for (handler, status) in [("/b", 200), ("/a", 404), ("/b", 200), ("/a", 200)] {
            http.observe(&exchange(handler, status), UnixNs(1));
        }
        let requests: Vec<_> = http.requests.iter().map(|r| (r.handler, r.status, r.count)).collect();
        assert_eq!(requests, [("/b", "2xx", 2), ("/a", "4xx", 1), ("/a", "2xx", 1)]);
        assert_eq!(http.handlers.len(), 2);
        assert_eq!(http.all_durations.count(), 4);
    }
}
