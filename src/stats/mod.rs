//! Plain numbers in, estimates out: means, quantiles, ratios of sums and differences with their
//! 95 % intervals; densities, bucket bounds, goodput. Nothing here does I/O, panics, or knows what
//! a number measures. What cannot be computed is `None`, never NaN.
//!
//! - [`estimate`]: a value with its interval and n
//! - [`moments`] and [`quantile`]: point values, and the exact interval of a quantile
//! - [`dependence`]: how much values in time order depend on each other, and how many independent
//!   ones they are worth; [`blocks`]: which of them are one unit; [`rounds`]: the rounds of users that
//!   move in lockstep
//! - [`bootstrap`], with `resample`: intervals of everything that is a function of sums
//! - [`steady`]: the part of a run that is in a steady state
//! - `normal`: the standard normal law; [`student`]: Student's t, and the mean of a few runs
//! - [`trend`]: whether a series in time rises
//! - [`histogram`]: what cumulative buckets say about quantiles; counter resets
//! - [`log_histogram`]: quantiles of values that are not kept; [`many`]: values that are kept while they are few,
//!   and counted finely, with intervals, beyond
//! - [`goodput`]: requests per second that met every objective
//! - [`rates`]: how fast requests came and went while the load was full
//! - [`linear`]: sums and differences of independent estimates; [`two_samples`]: the difference and the
//!   ratio of two runs
//! - [`hull`]: all lines between two clouds of points
//! - [`kde`], with [`bandwidth`]: the density that violins draw

pub mod bandwidth;
pub mod blocks;
pub mod bootstrap;
pub mod dependence;
pub mod estimate;
pub mod goodput;
pub mod histogram;
pub mod hull;
pub mod kde;
pub mod linear;
pub mod log_histogram;
pub mod many;
pub mod moments;
mod normal;
pub mod quantile;
pub mod rates;
mod resample;
pub mod rounds;
#[cfg(test)]
mod series;
pub mod steady;
pub mod student;
pub mod trend;
pub mod two_samples;

pub use estimate::{Estimate, LEVEL};
