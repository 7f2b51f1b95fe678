//! Traces of requests.

use tare::config::{Trace, TraceFields, TraceFormat};

use super::says_something;
use super::scratch::with_file;

const FORMATS: [TraceFormat; 4] =
    [TraceFormat::Mooncake, TraceFormat::TimedTrace, TraceFormat::Azure, TraceFormat::Burstgpt];

/// Any bytes as a trace, in the format that the first byte chooses: every line has its place in the counts, and times
/// are numbers that do not go back.
pub fn trace(data: &[u8]) {
    let [which, file @ ..] = data else { return };
    with_file(file, |path| {
        let trace = Trace {
            path: path.to_owned(),
            format: FORMATS[usize::from(which & 3)],
            start_s: f64::from(which >> 6),
            end_s: (which & 8 != 0).then_some(20.0),
            sec_multiplier: if which & 16 == 0 { 1.0 } else { 0.001 },
            block_tokens: 512,
            fields: TraceFields::default(),
        };
        let most = (which & 4 != 0).then_some(3);
        match tare::workload::trace::read(&trace, most) {
            Ok(rows) => {
                let kept = rows.rows.len() as u64;
                assert_eq!(rows.entries, kept + rows.broken.count + rows.pruned.count + rows.outside);
                assert!(kept > 0 && most.is_none_or(|most| kept <= most as u64));
                assert!(rows.rows.iter().all(|row| row.offset_s.is_finite() && row.offset_s >= 0.0));
                assert!(rows.rows.is_sorted_by(|a, b| a.offset_s <= b.offset_s));
                assert!(rows.rows.iter().all(|row| row.input_tokens > 0 && row.output_tokens > 0));
            }
            Err(error) => says_something(&error.into()),
        }
    });
}
