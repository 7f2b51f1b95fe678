//! Decisions of sweeps and searches, as plain data in and out: which loads are asked for, which comes next, whether a run's
//! figures say that the server kept up or met its objectives, when a load has piled up for good. Nothing here does I/O,
//! knows a clock, or sends anything; [`crate::run`] does what is decided.
//!
//! - [`asked`]: what is asked for; [`levels`]: lists and ranges as they are written
//! - [`search`]: which level is run next, and when a search is over
//! - [`judge`]: what a level's runs say, on intervals and not on points
//! - [`saturation`]: when a run under way need not go on

pub mod asked;
pub mod judge;
pub mod levels;
pub mod saturation;
pub mod search;
