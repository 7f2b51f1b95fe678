//! Sockets and stamps: addresses, connections, and reads that carry the kernel's receive time.
//! This module must not know HTTP, servers or what a token is.

mod stream;
mod target;

pub use stream::{ReadStamp, StampedStream, arm_kernel_stamps};
pub use target::{Target, TargetError};
