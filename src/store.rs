//! Records to append-only streams and Parquet, and back: the files of a run folder and every schema
//! in them. Streams are readable up to their last whole record after a kill; Parquet is made from
//! them and can always be made again. This module must not know what the numbers mean.
//!
//! - [`folder`]: which files there are, and the rule for overwriting
//! - [`append`]: the writers, used by one thread while the load runs
//! - [`read`]: the streams back as rows; torn ends and bad lines counted
//! - [`events`]: token events, columnar, since there are millions of them; `event_stream`, [`events_parquet`]: their
//!   files; [`run_events`]: those of a whole run, which stay in theirs
//! - [`table`]: the other Parquet tables and their columns
//! - [`columns`]: a Parquet file of someone else's
//! - [`manifest`]: the run's description, rewritten whole

pub mod append;
pub mod columns;
mod event_message;
mod event_stream;
pub mod events;
pub mod events_parquet;
pub mod folder;
mod guard;
pub mod manifest;
mod parquet;
pub mod read;
pub mod run_events;
pub mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use append::RunWriter;
pub use events::Events;
pub use folder::{FolderError, RunFolder};
pub use manifest::Manifest;
pub use read::{Lines, RunData};
pub use run_events::RunEvents;
