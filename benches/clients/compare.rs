//! A client's answers beside the server's truth: how far stamps and TTFT are off.

use std::collections::HashMap;
use std::fmt;

use tare::mock::truth::TruthRow;
use tare::stats::{moments, quantile};

use crate::reference::Answer;

/// What the comparison gives; times in seconds, client − server.
#[derive(Default)]
pub struct Found {
    pub requests: usize,
    /// The server has no record of it, or one of another number of events.
    pub left_out: usize,
    pub events: usize,
    pub exact: usize,
    pub errors: Vec<(&'static str, Errors)>,
}

/// One kind of error in short.
pub struct Errors {
    n: usize,
    mean_s: f64,
    p50_s: f64,
    p99_s: f64,
    max_s: f64,
}

impl Found {
    pub fn compare(answers: &[Answer], truth: &[TruthRow]) -> Self {
        let truth: HashMap<&str, &TruthRow> =
            truth.iter().filter_map(|row| Some((row.x_request_id.as_deref()?, row))).collect();
        let mut found = Self { requests: answers.len(), ..Self::default() };
        let [mut kernel, mut user, mut ttft_kernel, mut ttft_user] = [const { Vec::new() }; 4];
        for answer in answers {
            let row = truth.get(answer.id.as_str());
            let written: Vec<i64> = row
                .map(|row| {
                    row.events.iter().filter(|(_, tokens, _)| *tokens > 0).map(|(at, ..)| at.0).collect()
                })
                .unwrap_or_default();
            let Some(row) = row.filter(|_| !written.is_empty() && written.len() == answer.events.len())
            else {
                found.left_out += 1;
                continue;
            };
            found.events += written.len();
            for ((kernel_stamp, user_stamp, exact), write) in answer.events.iter().zip(&written) {
                kernel.extend(kernel_stamp.map(|stamp| seconds(*write, stamp)));
                user.push(seconds(*write, *user_stamp));
                found.exact += usize::from(*exact);
            }
            // Client: start to first event; server: request read to first write.
            if let (Some((kernel_stamp, user_stamp, _)), Some(write)) =
                (answer.events.first(), written.first())
            {
                let error =
                    |stamp: i64| seconds(answer.started_unix_ns, stamp) - seconds(row.read_unix_ns.0, *write);
                ttft_kernel.extend(kernel_stamp.map(error));
                ttft_user.push(error(*user_stamp));
            }
        }
        let all = [
            ("event stamp, kernel", kernel),
            ("event stamp, user", user),
            ("TTFT error, kernel", ttft_kernel),
            ("TTFT error, user", ttft_user),
        ];
        found.errors =
            all.into_iter().filter_map(|(what, errors)| Some((what, Errors::of(&errors)?))).collect();
        found
    }
}

impl Errors {
    fn of(errors_s: &[f64]) -> Option<Self> {
        let sorted = quantile::sorted(errors_s);
        Some(Self {
            n: sorted.len(),
            mean_s: moments::mean(errors_s)?,
            p50_s: quantile::quantile(&sorted, 0.5)?,
            p99_s: quantile::quantile(&sorted, 0.99)?,
            max_s: *sorted.last()?,
        })
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, mean_s, p50_s, p99_s, max_s } = self;
        let [mean, p50, p99, max] = [mean_s, p50_s, p99_s, max_s].map(|s| s * 1e3);
        write!(f, "n {n:>8}  mean {mean:>9.3}  p50 {p50:>9.3}  p99 {p99:>9.3}  max {max:>9.3} ms")
    }
}

fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    (to_ns - from_ns) as f64 / 1e9
}
