//! The client's own metrics, served while a run goes on: where, and from what. This file must not know what is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::progress::eprintln_line;
use super::writer::Writer;
use crate::error::usage;
use crate::expose::{Bound, Exposed, Now};
use crate::load::Live;

/// Listens, before anything is sent.
pub(super) fn bind(address: SocketAddr) -> anyhow::Result<Bound> {
    Bound::at(address).map_err(|error| {
        usage(format!("cannot serve the client's metrics at {address}"))
            .caused_by(error)
            .hint("`--listen-metrics` takes another port, 0 any free one")
            .into()
    })
}

/// Serves what the writer gets to see, until what it gives back is dropped.
pub(super) fn serve(
    page: Bound,
    model: &str,
    live: &Arc<Live>,
    writer: &Writer,
    quiet: bool,
) -> anyhow::Result<Exposed> {
    let live = Arc::clone(live);
    let now = move || Now {
        in_flight: live.in_flight(),
        users: live.users.load(Ordering::Relaxed),
        sent: live.sent.load(Ordering::Relaxed),
    };
    let exposed = page.serve(model, now)?;
    writer.count_with(exposed.counter());
    let address = exposed.address();
    if !quiet {
        let open = if address.ip().is_loopback() { "" } else { ", to whoever can reach this host" };
        eprintln_line(&format!("the client's metrics are served at http://{address}/metrics{open}"));
    }
    Ok(exposed)
}
