//! Parsers for what inference servers and gateways say of themselves: lines and bytes in, typed
//! events out. No I/O, no async, no clock, no tables; never a panic on any input. A parser returns
//! what it understood *and* what it did not, so that both can be counted.

pub mod error;
pub mod exposition;
pub mod sse;
pub mod vllm;
