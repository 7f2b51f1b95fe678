//! Sockets and stamps: addresses, connections, and reads that carry the kernel's receive time.
//! This module must not know HTTP, servers or what a token is.

pub mod limits;
mod source;
mod stream;
mod url;

pub use source::Sources;
pub use stream::{ReadStamp, StampedStream, arm_kernel_stamps};
pub use url::HttpUrl;
