//! What is noted of a request as it begins, for a program that is killed before the request has ended. This
//! file must not know how it is kept.

use serde::{Deserialize, Serialize};

use crate::clock::UnixNs;

/// A request that was begun. Its row, if there is one, says everything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    pub request_id: String,
    /// Its number in the run.
    pub index: u64,
    pub user: Option<u32>,
    /// Just before work on it began.
    pub begun_unix_ns: UnixNs,
}
