//! The one integration test binary: each further one would link polars again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp)]

mod ingest_collector;
mod ingest_log;
mod ingest_otlp;
mod ingest_scrape;
mod ingest_server;
mod layering;
mod readme;
mod registration;
mod source;
mod support;
mod wire;
