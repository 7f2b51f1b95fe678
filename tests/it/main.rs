//! The one integration test binary: each further one would link polars again.

mod layering;
mod readme;
mod registration;
mod support;
