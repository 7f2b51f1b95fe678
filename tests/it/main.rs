//! The one integration test binary: each further one would link polars again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp)]

mod arrivals;
mod audit;
mod bad_input;
mod calibrate;
mod connections;
mod datasets;
mod doctor;
mod embedded_says;
mod end_to_end;
mod evidence;
mod explain;
mod gateways;
mod import;
mod ingest_collector;
mod ingest_log;
mod ingest_otlp;
mod ingest_scrape;
mod ingest_server;
mod ingest_stat_log;
mod layering;
mod own_lag;
mod program;
mod readme;
mod real_vllm;
mod recompute;
mod registration;
mod runs;
mod secrets;
mod source;
mod stamps;
mod support;
mod tap;
mod verdicts;
mod window;
mod wire;
