//! Which stamps a run has: what was asked for, what this system gives, and the capture if there is
//! one. Said before the first request. This file must not know how a stamp is taken.

use std::net::SocketAddr;

use serde_json::json;

use super::progress::eprintln_line;
use crate::config::Stamps;
use crate::error::usage;
use crate::load::resolve::Resolver;
use crate::net::{self, Armed, Packets};
use crate::record::{Finished, Sink, StampSource};
use crate::store::Manifest;

/// The stamps that a run will have.
pub(super) struct Chosen {
    asked: Stamps,
    source: StampSource,
    packets: Option<Packets>,
    armed: Option<Armed>,
}

impl Chosen {
    /// Sets up what was asked for, as far as this system has it.
    pub(super) fn new(asked: Stamps, server: SocketAddr, quiet: bool) -> anyhow::Result<Self> {
        let armed = if asked == Stamps::User { None } else { net::arm() };
        let packets = if asked == Stamps::Packet { Some(Packets::open(server)?) } else { None };
        let source = match (asked, &armed) {
            (Stamps::Kernel | Stamps::Packet, None) => {
                return Err(usage("this system gives no kernel stamps (SO_TIMESTAMPNS)")
                    .hint("use --stamps user: every time then contains the client's own lag")
                    .into());
            }
            (Stamps::Packet, Some(_)) => StampSource::Packet,
            (Stamps::Auto | Stamps::Kernel, Some(_)) => StampSource::Kernel,
            (Stamps::Auto | Stamps::User, None) | (Stamps::User, Some(_)) => StampSource::User,
        };
        if asked == Stamps::Auto && source == StampSource::User && !quiet {
            eprintln_line(
                "note: this system gives no kernel stamps: every time contains the client's own lag",
            );
        }
        Ok(Self { asked, source, packets, armed })
    }

    pub(super) fn source(&self) -> StampSource {
        self.source
    }

    /// Where finished requests go, on their way to `sink`.
    pub(super) fn begin(self, sink: Sink<Finished>) -> anyhow::Result<(Sink<Finished>, Stamping)> {
        let Self { asked, source, packets, armed } = self;
        let (resolver, sink) = match packets {
            Some(packets) => Resolver::start(packets, sink).map(|(resolver, sink)| (Some(resolver), sink))?,
            None => (None, sink),
        };
        Ok((sink, Stamping { asked, source, resolver, _armed: armed }))
    }
}

/// The stamps of a run that goes on.
pub(super) struct Stamping {
    asked: Stamps,
    source: StampSource,
    resolver: Option<Resolver>,
    _armed: Option<Armed>,
}

impl Stamping {
    /// The load has ended: waits until its requests are dated, and notes how.
    pub(super) fn end(self, manifest: &mut Manifest) {
        let mut facts = json!({ "asked": self.asked, "used": self.source });
        match self.resolver.map(Resolver::end) {
            None => {}
            Some(Ok(resolved)) => {
                let counts = resolved.packets;
                if counts.dropped > 0 {
                    manifest.warn(format!(
                        "{} packets found no room in the capture's queue ({} bytes): {} events have the socket's stamps instead",
                        counts.dropped, counts.queue_bytes, resolved.missing
                    ));
                }
                if let (Some(facts), Ok(resolved)) = (facts.as_object_mut(), serde_json::to_value(resolved)) {
                    facts.insert("capture".to_owned(), resolved);
                }
            }
            Some(Err(error)) => {
                manifest.warn(format!("{error:#}: from there on events have the socket's stamps"));
            }
        }
        manifest.extra.insert("stamps".to_owned(), facts);
    }
}
