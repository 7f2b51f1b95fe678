//! Raw pages of a metrics endpoint, as `curl` saves them, whose times are told by something: a comment
//! before each of several pages in one file, the samples' own stamps, the file's name, or at last when
//! the file was written. Which it was, is said. It must not know what a series means.
//!
//! A comment with a time is any comment line but `# HELP` and `# TYPE` that holds seconds,
//! milliseconds, microseconds or nanoseconds since 1970, or an ISO time with its zone:
//! `# 1795724143.354`, `# scraped at 2026-11-26T20:15:43Z`. A page goes from its comment to the next; one
//! before the first such comment has no time, and counts as unreadable.

use std::time::UNIX_EPOCH;

use super::input::Reading;
use super::{Format, Of, PageAt, Reads, instants, prometheus};
use crate::clock::UnixNs;

pub(super) const FORMAT: Format = Format {
    name: "prometheus_pages",
    of: Of::Pages,
    description: "pages of metrics as text, timed by comments, stamps, the file's name or its last change",
    reads: Reads::Text { recognises: prometheus::recognises, read },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let timed = parts(text);
    if timed.is_empty() {
        return alone(text, reading);
    }
    let n = timed.len();
    let lead = text.lines().take_while(|line| time_of(line).is_none());
    if let Some(line_no) = lead.zip(1..).find(|(line, _)| is_sample(line)).map(|(_, n)| n) {
        reading.count(
            &format!("the page at line {line_no}"),
            Err("expected a comment with its time before it, as the others have, found none"),
        );
    }
    for (line_no, at, page) in timed {
        let taken = prometheus::whole(page).map(|page| push(at, page, reading));
        reading.count(&format!("the page at line {line_no}"), taken);
    }
    reading
        .notes
        .push(format!("{}: {n} pages, each at the time of the comment before it", reading.path.display()));
}

/// The pages that begin with a comment that tells the time: its line, the time, the text.
fn parts(text: &str) -> Vec<(usize, UnixNs, &str)> {
    let mut begins = Vec::new();
    let mut offset = 0;
    for (line, line_no) in text.split_inclusive('\n').zip(1..) {
        if let Some(at) = time_of(line) {
            begins.push((line_no, at, offset, offset + line.len()));
        }
        offset += line.len();
    }
    let ends = begins.iter().skip(1).map(|(_, _, begin, _)| *begin).chain([text.len()]);
    let pages = begins.iter().zip(ends).filter_map(|((line_no, at, _, from), to)| {
        let page = text.get(*from..to)?;
        Some((*line_no, *at, page))
    });
    // Two comments in a row are of one page.
    pages.filter(|(_, _, page)| page.lines().any(is_sample)).collect()
}

fn is_sample(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn time_of(line: &str) -> Option<UnixNs> {
    let comment = line.strip_prefix('#')?.trim();
    let is_of_the_format = ["HELP ", "TYPE ", "UNIT ", "EOF"].iter().any(|word| comment.starts_with(word));
    (!is_of_the_format).then(|| instants::in_text(comment)).flatten()
}

/// One page.
fn alone(text: &str, reading: &mut Reading<'_>) {
    let page = match prometheus::whole(text) {
        Ok(page) => page,
        Err(trouble) => return reading.count("the page", Err(trouble)),
    };
    let shown = reading.path.display().to_string();
    let stamps =
        tare_parsers::exposition::parse(text).samples.into_iter().filter_map(|sample| sample.timestamp_ms);
    let stamp = stamps.max().and_then(|ms| ms.checked_mul(1_000_000)).map(UnixNs);
    let name = reading.path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let named = reading
        .path
        .file_name()
        .and_then(|name| instants::in_text(&name.to_string_lossy()))
        .or_else(|| instants::in_text(&name));
    let written = || {
        let changed = std::fs::metadata(reading.path).and_then(|meta| meta.modified()).ok()?;
        let since = changed.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_nanos()).ok().map(UnixNs)
    };
    let told = stamp
        .map(|at| (at, "its samples' own stamps"))
        .or_else(|| named.map(|at| (at, "the file's name")))
        .or_else(|| {
            written().map(|at| (at, "when the file was last changed, which copying it may have moved"))
        });
    let Some((at, by)) = told else {
        return reading.count("the page", Err("nothing tells its time"));
    };
    reading.count("the page", Ok::<(), &str>(()));
    push(at, page, reading);
    reading.notes.push(format!("{shown}: one page, its time by {by}"));
}

fn push(at: UnixNs, page: crate::ingest::scrape::Page, reading: &mut Reading<'_>) {
    reading.rows.pages.push(PageAt { at: Some((at, at)), source: None, page });
}
