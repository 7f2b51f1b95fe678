//! An exchange that is over, and how: the row it becomes once its last bytes have been read. This
//! file must not know sockets or files.

use super::exchange::{End, Exchange, Side, Unread};
use super::response::Response;
use super::tokens::Tokens;

/// What became of the connection while the exchange was open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub(super) closed_first: Option<Side>,
    /// The upstream closed its way, in the usual manner.
    pub(super) upstream_closed: bool,
    pub(super) reset: bool,
    pub(super) unread: Option<Unread>,
    /// The tap was stopped.
    pub(super) stopped: bool,
}

/// An exchange that is over.
pub(super) struct Ending {
    pub(super) row: Exchange,
    pub(super) response: Option<Response>,
    pub(super) fate: Fate,
}

impl Ending {
    /// The row; `tokens` is what earlier batches of its stream have said.
    pub(super) fn into_row(self, tokens: Tokens) -> Exchange {
        let Self { mut row, response, fate } = self;
        let by_itself = fate.upstream_closed && !fate.reset;
        let whole = response.is_some_and(|response| response.conclude(by_itself, tokens, &mut row));
        row.end = match fate {
            Fate { unread: Some(_), .. } => End::Unread,
            _ if whole => End::Complete,
            Fate { stopped: true, .. } | Fate { closed_first: None, .. } => End::InFlight,
            Fate { closed_first: Some(Side::Client), .. } => End::AbortedByClient,
            Fate { closed_first: Some(Side::Upstream), .. } => End::CutByUpstream,
        };
        (row.closed_first, row.reset, row.unread) = (fate.closed_first, fate.reset, fate.unread);
        row
    }
}
