//! Tare weighs LLM requests on both sides, client (gross) and server (net), request by request, and
//! says where every millisecond of the difference went.
//!
//! The modules in reading order, along the way the data flows:
//!
//! - [`record`]: the rows that flow between the stages; [`metric`]: the dictionary of what is
//!   measured; [`clock`] and [`units`]: instants, and numbers with units; [`plain`] and [`secrets`]: texts made harmless
//! - [`config`]: YAML and flags become one resolved configuration
//! - [`workload`]: what to send
//! - [`load`]: when and how; over [`net`], sockets and stamps
//! - [`watch`]: this process itself, meanwhile: was it late, what did it wait for
//! - [`tap`]: a hop of our own that only stamps, between client and server
//! - [`expose`] and [`export`]: the client's metrics and spans, for those who look elsewhere
//! - [`ingest`]: what the server says while the load runs: scrapes, log, spans
//! - [`import`]: what other tools recorded of both sides
//! - [`store`]: rows to append-only streams and Parquet, and back
//! - [`correlate`]: both sides become one table
//! - [`stats`]: plain numbers in, estimates with intervals out
//! - [`report`] and [`plot`]: tables, files and figures
//! - [`sweep`]: which load is run next, and what its figures say
//! - [`server`]: what differs between inference servers, as data; [`gateway_config`]: what turns on a gateway's log
//! - [`mock`]: the embedded vLLM look-alike with a known truth
//! - [`run`]: the pipeline, the only file that sees all stages; [`calibrate`]: runs against the mock,
//!   compared with its truth; [`doctor`]: what a server can prove; [`verbs`]: one file per verb; [`cli`]: the command line;
//!   [`error`]: errors, hints, exit codes

pub mod calibrate;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod correlate;
pub mod doctor;
pub mod error;
pub mod export;
pub mod expose;
pub mod gateway_config;
pub mod import;
pub mod ingest;
pub mod load;
pub mod metric;
pub mod mock;
pub mod net;
pub mod plain;
pub mod plot;
pub mod record;
pub mod report;
pub mod run;
pub mod secrets;
pub mod server;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod tap;
pub mod units;
pub mod verbs;
pub mod watch;
pub mod workload;
