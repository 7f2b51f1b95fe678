//! Where a stage's rows go: a channel, or what stands before one. This file must not know the rows.

use std::sync::Arc;
use std::sync::mpsc::Sender;

/// A place for rows, shared by all who make them.
pub struct Sink<T>(Arc<dyn Fn(T) + Send + Sync>);

impl<T> Sink<T> {
    /// Rows are handed to `take`, on the thread of whoever made them.
    pub fn new(take: impl Fn(T) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Hands a row over; it is dropped if nobody takes any more.
    pub fn send(&self, row: T) {
        (self.0)(row);
    }
}

impl<T> Clone for Sink<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> From<Sender<T>> for Sink<T> {
    fn from(channel: Sender<T>) -> Self {
        Self::new(move |row| drop(channel.send(row)))
    }
}
