//! Whether segments of one connection came out of order, by the kernel's own count of them (`tcpi_rcv_ooopack`): only
//! then can bytes have waited in the kernel behind earlier ones. Without this the network's delay would be shown as
//! this program's lateness, or its lateness as the network's. Asked on suspicion only. This file must not know how
//! the kernel is asked, nor how bytes are read.

use crate::clock::UnixNs;

/// What the kernel has told of a connection.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: UnixNs,
    out_of_order: u32,
}

/// What is known of one connection.
#[derive(Debug)]
pub(super) struct Reordering {
    /// The latest that was told before those bytes came about which was last asked.
    before: Told,
    latest: Told,
}

impl Reordering {
    /// Of a connection into which nothing had come at `empty_at`.
    pub(super) fn new(empty_at: UnixNs) -> Self {
        let told = Told { at: empty_at, out_of_order: 0 };
        Self { before: told, latest: told }
    }

    /// Whether segments have come out of order since what was told before bytes stamped `stamped` came; `ask` has the
    /// kernel's count. Several reads may have waited behind one gap, so what was told after they came is no answer
    /// about them. Where the kernel does not tell, nothing is claimed.
    pub(super) fn since(&mut self, stamped: UnixNs, read: UnixNs, ask: impl FnOnce() -> Option<u32>) -> bool {
        let Some(out_of_order) = ask() else { return false };
        if self.latest.at <= stamped {
            self.before = self.latest;
        }
        self.latest = Told { at: read, out_of_order };
        out_of_order > self.before.out_of_order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_out_of_order_had_waited() {
        let mut known = Reordering::new(UnixNs(0));
        assert!(!known.since(UnixNs(10), UnixNs(15), || Some(0)), "nothing did");
        assert!(known.since(UnixNs(20), UnixNs(30), || Some(3)), "three did meanwhile");
        // They lay behind two gaps: what is read later came before the kernel was asked.
        assert!(known.since(UnixNs(25), UnixNs(40), || Some(3)));
        assert!(known.since(UnixNs(29), UnixNs(45), || Some(3)));
        // What came afterwards had not waited.
        assert!(!known.since(UnixNs(46), UnixNs(60), || Some(3)));
        assert!(known.since(UnixNs(61), UnixNs(70), || Some(4)));
    }

    #[test]
    fn of_what_the_kernel_does_not_tell_nothing_is_claimed() {
        let mut known = Reordering::new(UnixNs(0));
        assert!(!known.since(UnixNs(10), UnixNs(15), || None));
        assert!(known.since(UnixNs(20), UnixNs(25), || Some(1)), "asked again, it may");
    }
}
