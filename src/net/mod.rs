//! Sockets and stamps: addresses, connections, and reads that carry the kernel's receive time.
//! This module must not know HTTP, servers or what a token is.

mod pulse;
mod stream;
mod url;

pub use pulse::{PulseReceiver, PulseSender, pulse};
pub use stream::{ReadStamp, StampedStream, arm_kernel_stamps};
pub use url::HttpUrl;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to what `connections` need, as far as allowed; says what is
/// missing, and how to mend it.
pub fn raise_file_limit(connections: u64) -> Option<String> {
    /// Files, pipes and sockets beside the connections.
    const OTHERS: u64 = 64;
    let wanted = connections + OTHERS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= wanted {
        return None;
    }
    let reached = wanted.min(hard);
    if setrlimit(Resource::RLIMIT_NOFILE, reached, hard).is_ok() && reached == wanted {
        return None;
    }
    Some(format!(
        "the limit of open files ({hard}) is lower than the {wanted} that {connections} connections need: raise it with `ulimit -n {wanted}`"
    ))
}
