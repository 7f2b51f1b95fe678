//! Whose a part of a request's time is: one answer for text, page and figures. This file must not know how any of
//! them shows it.

use super::breakdown::PartRow;
use super::hops::{HopPart, HopSide};
use super::waterfall::By;

/// Whose a part of the time is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Whose {
    Client,
    /// What lies between client and server.
    Tare,
    Server,
    /// The server's and what lies between, not told apart.
    Both,
    Unknown,
}

impl Whose {
    /// Its word, which is also its class on the page.
    pub fn name(self) -> &'static str {
        match self {
            Whose::Client => "client",
            Whose::Tare => "tare",
            Whose::Server => "server",
            Whose::Both => "mixed",
            Whose::Unknown => "unknown",
        }
    }
}

impl PartRow {
    /// Whose it is.
    pub fn whose(self) -> Whose {
        match self {
            PartRow::Schedule | PartRow::Connect | PartRow::Send | PartRow::ClientLag => Whose::Client,
            PartRow::FrontEnd | PartRow::Queue | PartRow::Prefill | PartRow::Decode | PartRow::Inference => {
                Whose::Server
            }
            PartRow::PathOut | PartRow::PathBack | PartRow::Path => Whose::Tare,
            PartRow::PathOutAndReceipt
            | PartRow::ServerAndPathBack
            | PartRow::FrontEndAndPathBack
            | PartRow::PathAndFrontEnd
            | PartRow::PathAndQueue
            | PartRow::PathAndServer => Whose::Both,
            PartRow::Unexplained => Whose::Unknown,
        }
    }
}

impl HopPart {
    /// Whose it is: where nothing parts the server from the way to it, or from it, both's.
    pub fn whose(&self) -> Whose {
        match self.side {
            HopSide::Client => Whose::Client,
            HopSide::Server if !self.hops.is_empty() => Whose::Both,
            HopSide::Server => Whose::Server,
            HopSide::Request | HopSide::Response => Whose::Tare,
        }
    }
}

impl By {
    /// On whose side it was dated.
    pub fn whose(self) -> Whose {
        match self {
            By::Schedule | By::User | By::Kernel | By::Packet => Whose::Client,
            By::Span | By::StatLog | By::LogLine | By::AccessLine => Whose::Server,
            By::Hop => Whose::Tare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part whose name joins the way with the server's work is neither's alone.
    #[test]
    fn a_part_that_joins_two_sides_is_both_sides() {
        for row in PartRow::ALL {
            let name = row.name();
            let joins = name.contains(" + ") && name.contains("path");
            assert_eq!(row.whose() == Whose::Both, joins, "{name}");
        }
        assert_eq!(PartRow::Inference.whose(), Whose::Server);
    }
}
