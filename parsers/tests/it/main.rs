//! The parsers as their users see them: sample files against reviewed snapshots, properties, another
//! parser as oracle, and the bodies of the fuzz targets over the samples.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../fuzz/src/lib.rs"]
mod bodies;
mod files;
mod fuzz_bodies;
mod hops;
mod oracle;
mod pcap;
mod properties;
mod registration;
mod samples;
mod server_timing;
