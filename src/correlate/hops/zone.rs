//! A hop's log that was fetched later may be of another time zone: its civil times were read as of ours. The
//! requests themselves tell, for a whole zone is a multiple of a quarter of an hour. This file must not know
//! how a line was read.

use super::join::Found;
use crate::clock::UnixNs;
use crate::record::{HopRow, RequestRow};

const GRID_S: f64 = 15.0 * 60.0;
/// What else clocks may be apart and still count as of another zone.
const SLACK_S: f64 = 120.0;
/// Zones are up to 26 hours apart (UTC−12 and UTC+14).
const WIDEST: f64 = 26.0 * 4.0;

/// How far the hop's starts are ahead of the requests' in the middle, seconds.
fn ahead_s(requests: &[RequestRow], rows: &[HopRow], found: &[Found]) -> Vec<Option<f64>> {
    rows.iter()
        .zip(found)
        .map(|(row, found)| match found {
            Some(Ok((request, _))) => {
                let request = requests.get(*request)?;
                let sent = request.send_begin_unix_ns.unwrap_or(request.started_unix_ns);
                Some(row.start_unix_ns?.seconds_since(sent))
            }
            _ => None,
        })
        .collect()
}

fn median(values: &[Option<f64>]) -> Option<f64> {
    let mut known: Vec<f64> = values.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    known.get(known.len() / 2).copied()
}

/// Of each row whether it is of this run, by how far ahead its request's others are: of a request's id that
/// was used again at another time, the row is not.
pub fn same_run(requests: &[RequestRow], rows: &[HopRow], found: &[Found], within_s: f64) -> Vec<bool> {
    let ahead = ahead_s(requests, rows, found);
    let middle = median(&ahead).unwrap_or(0.0);
    let e2e = |found: &Found| match found {
        Some(Ok((request, _))) => {
            requests.get(*request).map_or(0.0, |r| r.done_unix_ns.seconds_since(r.started_unix_ns))
        }
        _ => 0.0,
    };
    ahead
        .iter()
        .zip(found)
        .map(|(ahead, found)| ahead.is_some_and(|ahead| (ahead - middle).abs() <= within_s + e2e(found)))
        .collect()
}

/// By how many minutes the hop's log is ahead, if that is a whole zone.
pub fn minutes(requests: &[RequestRow], rows: &[HopRow], found: &[Found]) -> Option<i64> {
    let middle = median(&ahead_s(requests, rows, found))?;
    let zones = (middle / GRID_S).round();
    let fits = (middle - zones * GRID_S).abs() <= SLACK_S && zones != 0.0 && zones.abs() <= WIDEST;
    fits.then_some(zones as i64 * 15)
}

/// The row's instants moved back by so many minutes.
pub fn shift(row: &mut HopRow, minutes: i64) {
    let moved = |instant: Option<UnixNs>| {
        instant.map(|t| UnixNs(t.0.saturating_sub(minutes.saturating_mul(60_000_000_000))))
    };
    (row.start_unix_ns, row.end_unix_ns) = (moved(row.start_unix_ns), moved(row.end_unix_ns));
}
