//! The look-alike tested from outside: started in-process on a free port, asked over plain sockets by
//! a client of its own, compared with what a real vLLM answered and with its own truth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounting;
mod client;
mod clock;
mod engines;
mod faults;
mod harness;
mod log_lines;
mod process;
mod protocol;
mod schedule;
mod shapes;
mod spans;
mod stat_log;
