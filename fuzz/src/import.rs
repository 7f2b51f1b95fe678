//! Files that other tools wrote.

use tare::import::{Choice, FORMATS, Of, read_chosen};
use tare::server::SERVERS;

use super::scratch::with_file;
use super::{says_something, survives};

const KINDS: [Of; 5] = [Of::Client, Of::Page, Of::Pages, Of::Spans, Of::StatLog];

/// Any bytes as a file of another tool. The first byte says of what it is, the second which format; 0: it is found.
/// Every record was taken or is bad, and every row can be written into a run folder and read from there.
pub fn import(data: &[u8]) {
    let [of, format, file @ ..] = data else { return };
    let (mut of, part) = (KINDS[usize::from(of & 7) % KINDS.len()], of >> 7);
    let format = FORMATS.get(usize::from(*format).wrapping_sub(1));
    if let Some(format) = format {
        of = format.of;
    }
    let choice = Choice { part: (part == 1).then(|| "1".to_owned()), id_prefix: Some("bench-".to_owned()) };
    let server = SERVERS[0];
    let read =
        with_file(file, |path| read_chosen(path, of, format.map(|format| format.name), server, &choice));
    let imported = match read {
        Ok(imported) => imported,
        Err(failure) => return says_something(&failure.into()),
    };
    assert_eq!(imported.seen, imported.taken + imported.bad);
    assert!(imported.bad == 0 || !imported.notes.is_empty());
    let rows = &imported.rows;
    rows.requests.iter().for_each(|finished| survives(&finished.row));
    rows.spans.iter().for_each(survives);
    rows.stats.iter().for_each(survives);
    for page in &rows.pages {
        assert!(page.page.samples.iter().all(|sample| sample.value.is_finite()));
        let _ = server.totals(&page.page.samples);
    }
}
