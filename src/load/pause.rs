//! How long a user of a closed loop waits after a failure: a server that is gone, or that refuses
//! everything at once, must not be asked a thousand times a second. This file must not know clocks.

use std::time::Duration;

use crate::record::Status;

/// After a failed connection; doubled from failure to failure until the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// One user's failures in a row.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    /// The pause before the next request, after one that ended so. A single refusal is the request's
    /// own affair and costs no time; from the second in a row on, it is the server's.
    pub(super) fn after(&mut self, status: Status) -> Option<Duration> {
        if !status.is_failure() {
            self.failures = 0;
            return None;
        }
        let before = self.failures;
        self.failures = self.failures.saturating_add(1);
        match status {
            Status::ConnectError => Some((FIRST * 2_u32.pow(before.min(8))).min(LONGEST)),
            _ => (before > 0).then_some(FIRST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_connections_are_tried_ever_more_slowly() {
        let mut pause = Pause::default();
        let waits: Vec<u128> =
            (0..7).filter_map(|_| pause.after(Status::ConnectError)).map(|d| d.as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pause.after(Status::Ok), None);
        assert_eq!(pause.after(Status::ConnectError), Some(FIRST));
    }

    #[test]
    fn one_refusal_costs_nothing_and_many_are_slowed() {
        let mut pause = Pause::default();
        assert_eq!(pause.after(Status::HttpError), None);
        assert_eq!(pause.after(Status::Ok), None);
        assert_eq!(pause.after(Status::HttpError), None);
        assert_eq!(pause.after(Status::StreamError), Some(FIRST));
        assert_eq!(pause.after(Status::HttpError), Some(FIRST));
    }
}
