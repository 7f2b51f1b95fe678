//! What gateways state of one request in the head of its answer. This file must not know what any of it covers.

use tare_parsers::hop_headers;

use crate::record::RequestRow;
use crate::record::waterfall::InHead;

/// Every duration, in the order of products and of their headers; what cannot be read is left out.
pub fn of(client: &RequestRow) -> Vec<InHead> {
    let (told, _) = hop_headers::read(client.headers());
    let all = told.into_iter().flat_map(|told| {
        let whole_ms = hop_headers::WHOLE_MILLISECONDS.contains(&told.product);
        told.stated.into_iter().map(move |(what, seconds)| InHead {
            by: told.product.to_owned(),
            what: what.into_owned(),
            seconds,
            whole_ms,
        })
    });
    all.collect()
}
