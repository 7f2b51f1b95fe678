//! Series for tests, each from its seed: what is known about them is said with them. Not compiled
//! outside tests.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::normal;

/// Uniform in (0, 1).
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0
}

/// Independent exponential values of mean 1: skewed, as latencies are.
pub(super) fn exponential(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| -uniform(&mut rng).ln()).collect()
}

/// A stationary autoregressive series x(i) = φ x(i − 1) + normal, of mean 0 and variance
/// 1 / (1 − φ²). Its long-run variance is 1 / (1 − φ)².
pub(super) fn autoregressive(n: usize, phi: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || normal::inverse_cdf(uniform(&mut rng));
    let mut x = normal() / (1.0 - phi * phi).sqrt();
    (0..n)
        .map(|_| {
            x = phi * x + normal();
            x
        })
        .collect()
}

/// Waiting times of successive customers of an M/M/1 queue (Lindley's recursion) whose server is
/// busy for the share `load` of the time, in units of the mean time between arrivals, once the queue
/// has settled: half of them or more are 0, the others exponential; the mean is load² / (1 − load).
pub(super) fn queue(n: usize, load: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut exponential = || -uniform(&mut rng).ln();
    let mut wait: f64 = 0.0;
    let mut next = || {
        wait = (wait + load * exponential() - exponential()).max(0.0);
        wait
    };
    for _ in 0..1_000 {
        next();
    }
    (0..n).map(|_| next()).collect()
}

/// The series of the Python references: autoregressive, over C's old generator.
///
/// ```python
/// def series(n, phi, seed):
///     s, y, out = seed, 0.0, []
///     for _ in range(n):
///         s = (1103515245 * s + 12345) % 2**31
///         y = phi * y + s / 2**31 - 0.5
///         out.append(y)
///     return np.array(out)
/// ```
pub(super) fn of_the_reference(n: usize, phi: f64, seed: u64) -> Vec<f64> {
    let (mut s, mut y) = (seed, 0.0);
    (0..n)
        .map(|_| {
            s = (1_103_515_245 * s + 12_345) % (1 << 31);
            y = phi * y + s as f64 / f64::from(1_u32 << 31) - 0.5;
            y
        })
        .collect()
}
