//! One's own request: which requests the page can show one by one when it is asked for them, and the box that asks. This
//! file must not know how they are packed, or drawn.

use std::collections::BTreeSet;

use super::packed::Packed;
use super::page::Page;
use super::timeline::DOTS;
use crate::record::{JoinedRow, Status};
use crate::units;

/// Of more requests a part is at hand.
const AT_HAND: usize = 10_000;
/// Of these parts so many are failed ones, and so many the slowest by each measure.
const FAILED: usize = 1_000;
const SLOWEST: usize = 500;

/// The box, and the requests in the page's island; empty where there is none.
pub fn tools(page: &mut Page<'_>) -> anyhow::Result<String> {
    let report = page.report;
    let rows = &report.correlated.rows;
    let Some(line) = report.timeline else { return Ok(String::new()) };
    let chosen: BTreeSet<u64> = report.chosen.iter().map(|one| one.waterfall.row.client.index).collect();
    let at_hand = at_hand(rows, &chosen);
    let mut packed = Packed::default();
    for n in &at_hand {
        let Some(row) = rows.get(*n) else { continue };
        let start_s = row.client.started_unix_ns.seconds_since(line.begin_unix_ns);
        packed.add(row, start_s, &(report.outline)(row));
    }
    page.add_data("requests", packed.island()?);
    let all = if at_hand.len() == rows.len() {
        format!("All {} requests are in this page.", units::count(rows.len() as u64))
    } else {
        format!(
            "{} of {} requests are in this page: the dots of the timeline, failed ones, the slowest, and evenly through the ranks of TTFT.",
            units::count(at_hand.len() as u64),
            units::count(rows.len() as u64)
        )
    };
    Ok(format!(
        "<div class=\"own js\" data-own>\
         <div class=\"tools\"><label>Any request, by number or id <input type=\"search\" data-own-search size=\"26\" autocomplete=\"off\" spellcheck=\"false\" placeholder=\"17\"></label> \
         <output aria-live=\"polite\" data-own-said>{all} A dot of the timeline can be clicked as well.</output></div>\
         <ul class=\"found\" data-own-found></ul>\
         <div data-own-shown tabindex=\"-1\" role=\"region\" aria-label=\"The request that was asked for\" hidden></div></div>"
    ))
}

/// Which rows are at hand, ascending; the `chosen` among them, by their numbers.
fn at_hand(rows: &[JoinedRow], chosen: &BTreeSet<u64>) -> Vec<usize> {
    if rows.len() <= AT_HAND {
        return (0..rows.len()).collect();
    }
    let is_chosen = |n: &usize| rows.get(*n).is_some_and(|row| chosen.contains(&row.client.index));
    let mut kept: BTreeSet<usize> = (0..rows.len()).filter(is_chosen).collect();
    // As the timeline draws them.
    let mut by_start: Vec<usize> = (0..rows.len()).collect();
    by_start.sort_by_key(|n| rows.get(*n).map(|row| (row.client.started_unix_ns, row.client.index)));
    kept.extend(by_start.iter().step_by(rows.len().div_ceil(DOTS).max(1)));
    let failed = (0..rows.len()).filter(|n| rows.get(*n).is_some_and(|row| row.client.status != Status::Ok));
    kept.extend(evenly(&failed.collect::<Vec<_>>(), FAILED));
    let measures: [fn(&JoinedRow) -> Option<f64>; 4] = [
        |row| row.client.ttft_s,
        |row| Some(row.client.ttft_s? - row.server_ttft_s?),
        |row| row.client.e2e_s,
        |row| row.client.itl_mean_s,
    ];
    for measure in measures {
        kept.extend(ranked(rows, measure).into_iter().take(SLOWEST));
    }
    let rest: Vec<usize> =
        ranked(rows, |row| row.client.ttft_s).into_iter().filter(|n| !kept.contains(n)).collect();
    let room = AT_HAND.saturating_sub(kept.len());
    kept.extend(evenly(&rest, room));
    kept.into_iter().collect()
}

/// Rows that have a value, from the largest on.
fn ranked(rows: &[JoinedRow], value: fn(&JoinedRow) -> Option<f64>) -> Vec<usize> {
    let with_value = |(n, row)| Some((value(row).filter(|v| v.is_finite())?, n));
    let mut all: Vec<(f64, usize)> = rows.iter().enumerate().filter_map(with_value).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(_, n)| n).collect()
}

/// At most so many of them, at even distances.
fn evenly(all: &[usize], most: usize) -> Vec<usize> {
    if all.len() <= most {
        return all.to_vec();
    }
    (0..most).filter_map(|i| all.get(i * all.len() / most).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn of_many_requests_the_slowest_the_failed_and_even_ones_are_at_hand() {
        let rows: Vec<JoinedRow> = (0..30_000)
            .map(|i| {
                let mut row = fixture::request(i);
                row.ttft_s = Some(0.1 + (i * 7_919 % 30_000) as f64 / 1e4);
                if i == 12_345 {
                    (row.status, row.ttft_s) = (Status::Cut, None);
                }
                JoinedRow::of(row)
            })
            .collect();
        let kept = at_hand(&rows, &BTreeSet::from([3, 29_999]));
        assert_eq!(kept.len(), AT_HAND);
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(kept.contains(&12_345), "the only failed one");
        assert!(kept.contains(&3) && kept.contains(&29_999), "what is drawn anyway");
        let slowest = ranked(&rows, |row| row.client.ttft_s);
        assert!(slowest[..SLOWEST].iter().all(|n| kept.contains(n)));
        assert!((0..30_000).step_by(10).all(|n| kept.contains(&n)), "what the timeline draws");
        assert_eq!(at_hand(&rows[..AT_HAND], &BTreeSet::new()).len(), AT_HAND);
    }
}
