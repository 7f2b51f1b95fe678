//! In place of `sched` where a thread runs on whichever CPU the system likes: says so. This file must not
//! know anything else.

use crate::config::CpuList;

/// Whether this system binds threads to CPUs at all.
pub(super) const BINDS: bool = false;

/// The CPUs that this thread may run on: not told.
pub(in crate::load) fn available() -> Option<CpuList> {
    None
}

/// Binds nothing.
pub(super) fn bind(_: &CpuList) -> bool {
    false
}
