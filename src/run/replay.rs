//! The times of a trace, put into the load: they are known only when the dataset has been read. This file
//! must not know how requests are sent.

use std::sync::Arc;

use crate::config::{Arrival, Config, Dataset, Times};
use crate::error::usage;
use crate::workload::Workload;

/// A run should end some day.
const LONGEST_S: f64 = 30.0 * 86_400.0;

/// The configuration with what only the dataset can say: a trace's times, at the speed asked for, and how
/// many requests it has where nothing else ends the run.
pub fn completed(config: &Config, workload: &Workload) -> anyhow::Result<Config> {
    let mut config = config.clone();
    let is_timed = matches!(config.load.arrival, Arrival::Trace { .. });
    if !matches!(config.workload.dataset, Dataset::Trace(_)) && !is_timed {
        return Ok(config);
    }
    if is_timed && workload.times_s.is_none() {
        return Err(usage("the rows of the dataset have no times, or none in order")
            .hint("`--self-timed` needs `at_s` in every row, as `tare prepare` writes it of a trace")
            .into());
    }
    let load = &mut config.load;
    if let (Arrival::Trace { speed, times }, Some(known)) = (&mut load.arrival, &workload.times_s) {
        let at_speed: Arc<[f64]> = known.iter().map(|s| s / *speed).collect();
        let last_s = at_speed.last().copied().unwrap_or(0.0);
        if last_s > LONGEST_S && load.duration_s.is_none() {
            let days = last_s / 86_400.0;
            let message = if days < 1e6 {
                format!("the trace lasts {days:.0} days")
            } else {
                "the trace lasts over a million days".to_owned()
            };
            return Err(usage(message)
                .hint("`--trace-end SECONDS` or `--num-prompts N` sends its begin, `--trace-speed` sends it faster; or its times are in another unit")
                .into());
        }
        *times = Times(at_speed);
        // Each of its requests has one time, and is sent once.
        load.requests = load.requests.map(|n| n.min(known.len() as u64));
    }
    if load.duration_s.is_none() {
        load.requests.get_or_insert(workload.prompts.len() as u64);
    }
    Ok(config)
}
