//! When and how to send, resolved. This file must not know how a request is sent.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Arrival, CpuList};
use crate::units::count;

/// When and how to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    pub arrival: Arrival,
    /// Stop sending after this many requests, and/or after this time, whichever comes first.
    pub requests: Option<u64>,
    pub duration_s: Option<f64>,
    /// How long requests in flight may go on after the last was sent; then they are `in_flight`.
    pub grace_period_s: f64,
    /// One request may take this long.
    pub timeout_s: f64,
    pub connect_timeout_s: f64,
    /// Requests sent first, excluded on both sides.
    pub warmups: u32,
    /// At most so many at once. In an open loop, waiting shows as `started − scheduled`; without a rate it is
    /// a closed loop of as many users.
    pub max_concurrency: Option<u32>,
    pub stamps: Stamps,
    pub connections: Connections,
    /// Connections are bound to these local addresses in turn; empty: the system chooses.
    pub source_addresses: Vec<IpAddr>,
    /// Worker threads of the load; `None`: by the number of CPUs.
    pub threads: Option<u16>,
    /// CPUs that the load's threads are bound to.
    pub affinity: Option<CpuList>,
    pub request_id_prefix: String,
    /// Keep what each answer says with its row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_texts: bool,
}

impl Load {
    /// When requests are sent, in words: as the plan and the report say it. `of`: what the law is of, requests
    /// or conversations.
    pub fn words(&self, of: &str) -> String {
        let law = self.arrival.words().replace("requests", of);
        match self.max_concurrency.map(|n| count(n.into())) {
            None => law,
            Some(n) if self.arrival.is_open() => format!("{law}, at most {n} at once"),
            Some(n) => format!("request rate inf, at most {n} at once: {law}"),
        }
    }
}

/// Who dates the arrival of tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamps {
    /// The kernel, once per read; where it does not, the program.
    #[default]
    Auto,
    /// The kernel, once per segment, by a capture of the run's own packets.
    Packet,
    /// The kernel, once per read.
    Kernel,
    /// The program, when it has read the bytes.
    User,
}

/// How requests come by their connections.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// Opened ahead of their requests, off the clock, then kept: TTFT holds no connecting.
    #[default]
    Warm,
    /// Opened by the request that finds none, on the clock, then kept.
    Cold,
    /// A new one for each request, on the clock, closed after it.
    PerRequest,
}
