//! Pages of metrics.

use tare::import::{Choice, Of, read_chosen};
use tare::ingest::resets::ResetWatch;
use tare::ingest::scrape::Page;
use tare::server::{SERVERS, Totals};

use super::scratch::with_file;

/// Any bytes as two pages of one endpoint, one after the other, with a null byte between them: what they say in all,
/// in between and together, by every server's table, and whether a counter fell.
pub fn metrics(data: &[u8]) {
    let pages: Vec<Page> = data.splitn(2, |byte| *byte == 0).filter_map(page).collect();
    let mut watch = ResetWatch::default();
    for page in &pages {
        if let Some((evidence, _)) = watch.next(page) {
            assert!(!evidence.is_empty());
        }
    }
    for server in SERVERS {
        let totals: Vec<Totals> = pages.iter().map(|page| server.totals(&page.samples)).collect();
        if let [before, after] = totals.as_slice() {
            let _ = (after.since(before), after.plus(before));
        }
    }
}

fn page(bytes: &[u8]) -> Option<Page> {
    let choice = Choice::default();
    let read = with_file(bytes, |path| read_chosen(path, Of::Page, Some("prometheus"), SERVERS[0], &choice));
    let page = read.ok()?.rows.pages.pop()?.page;
    assert!(page.samples.iter().all(|sample| sample.value.is_finite()));
    assert_eq!(page.samples.len(), page.kinds.len());
    Some(page)
}
