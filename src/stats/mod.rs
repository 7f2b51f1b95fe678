//! Plain numbers in, estimates out: means, quantiles, ratios of sums and differences with their
//! 95 % intervals; densities, bucket bounds, goodput. Nothing here does I/O, panics, or knows what
//! a number measures. What cannot be computed is `None`, never NaN.
//!
//! - [`estimate`]: a value with its interval and n
//! - [`moments`] and [`quantile`]: point values, and the exact interval of a quantile
//! - `normal`: the standard normal law, for the corrections of intervals
//! - [`bootstrap`]: intervals of everything that is a function of sums
//! - [`histogram`]: what cumulative buckets say about quantiles; counter resets
//! - [`log_histogram`]: quantiles of values that are not kept
//! - [`goodput`]: requests per second that met every objective
//! - [`hull`]: all lines between two clouds of points
//! - [`kde`], with [`bandwidth`]: the density that violins draw

pub mod bandwidth;
pub mod bootstrap;
pub mod estimate;
pub mod goodput;
pub mod histogram;
pub mod hull;
pub mod kde;
pub mod log_histogram;
pub mod moments;
mod normal;
pub mod quantile;

pub use estimate::{Estimate, LEVEL};
