//! All integration tests in one binary: each one links the whole tool.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp)]

mod ingest_collector;
mod ingest_log;
mod ingest_otlp;
mod ingest_scrape;
mod ingest_server;
mod support;
