//! The headers of an answer, as the client kept them → a row for each gateway that spoke in them. This
//! file must not know how headers are read, nor how rows are joined.

use tare_parsers::hop_headers::{Told, read};

use crate::record::{HopRow, HopTry, RequestRow, ToldBy};

/// What the rows call their source.
pub const SOURCE: &str = "headers";

/// The rows of one request, and what could not be read: header, value, what was expected.
///
/// The hop's name is its product's. There are no instants in it: a head is sent before the first token,
/// and what it says are durations up to there.
pub fn rows(request: &RequestRow) -> (Vec<HopRow>, Vec<String>) {
    let (told, unread) = read(request.headers());
    let bad = unread.into_iter().map(|one| {
        format!("request {}: {}: expected {}, found `{}`", request.index, one.header, one.expected, one.value)
    });
    (told.into_iter().map(|told| row(request, told)).collect(), bad.collect())
}

fn row(request: &RequestRow, told: Told<'_>) -> HopRow {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let address = owned(told.upstream);
    HopRow {
        hop: told.product.to_owned(),
        product: told.product.to_owned(),
        told_by: ToldBy::Headers,
        source: SOURCE.to_owned(),
        line_no: request.index + 1,
        read_unix_ns: request.head_unix_ns,
        request_id: some(&request.request_id),
        own_id: owned(told.own_id.filter(|id| *id != request.request_id)),
        upstream_request_id: owned(told.upstream_request_id),
        response_id: request.response_id.clone(),
        trace_id: some(&request.trace_id),
        stated: told.stated.into_iter().map(|(name, seconds)| (name.into_owned(), seconds)).collect(),
        tries: address
            .map(|address| HopTry { address: Some(address), ..HopTry::default() })
            .into_iter()
            .collect(),
        attempts: told.attempts,
        status: request.http_status,
        ..HopRow::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> RequestRow {
        RequestRow {
            request_id: "r-7".to_owned(),
            trace_id: "4a68fc4d1e8d4e0e8d4e0e8d4e0e8d4e".to_owned(),
            index: 7,
            http_status: Some(200),
            answer_headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            ..RequestRow::default()
        }
    }

    #[test]
    fn a_gateway_in_front_of_another_gives_two_rows_that_join_by_the_id_sent() {
        let (rows, bad) = rows(&request(&[
            ("x-request-id", "r-7"),
            ("x-envoy-upstream-service-time", "48"),
            ("x-litellm-call-id", "0e5e"),
            ("x-litellm-overhead-duration-ms", "47.8029"),
            ("llm_provider-x-request-id", "up-1"),
            ("x-litellm-attempted-retries", "many"),
        ]));
        assert_eq!(bad, ["request 7: x-litellm-attempted-retries: expected a whole number, found `many`"]);
        let products: Vec<&str> = rows.iter().map(|row| row.product.as_str()).collect();
        assert_eq!(products, ["litellm", "envoy"]);
        for row in &rows {
            assert_eq!(
                (row.request_id.as_deref(), row.line_no, row.told_by),
                (Some("r-7"), 8, ToldBy::Headers)
            );
            // A head's times are no instants, and never those of a token.
            assert_eq!(
                (row.start_unix_ns, row.upstream_head_s, row.upstream_first_body_s),
                (None, None, None)
            );
        }
        assert_eq!(rows[0].stated, [("overhead".to_owned(), 0.047_802_9)]);
        assert_eq!(rows[0].own_id.as_deref(), Some("0e5e"));
        assert_eq!(rows[0].upstream_request_id.as_deref(), Some("up-1"));
        // The client's id came back: no name of Envoy's own.
        assert_eq!(
            (rows[1].own_id.as_deref(), &*rows[1].stated),
            (None, &[("upstream_service_time".to_owned(), 0.048)][..])
        );
    }

    #[test]
    fn an_answer_without_gateways_gives_none() {
        let (rows, bad) = rows(&request(&[("server", "uvicorn"), ("via", "1.1 Caddy")]));
        assert!(rows.is_empty() && bad.is_empty());
    }
}
