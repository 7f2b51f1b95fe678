//! One file per verb: what it reads, calls and writes. Nothing is computed here.

pub mod serve;
