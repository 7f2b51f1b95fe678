//! One page of a metrics endpoint, as `curl` saves it. It must not know whether it is of before or
//! after a load, nor what its series mean.

use super::input::{Reading, first_lines};
use super::{Format, Of, PageAt, Reads};
use crate::ingest::scrape::{Page, Wanted, read_page};

pub(super) const FORMAT: Format = Format {
    name: "prometheus",
    of: Of::Page,
    description: "a page of metrics in Prometheus text format or OpenMetrics",
    reads: Reads::Text { recognises, read },
};

/// Whether the text looks like a page of metrics.
pub(super) fn recognises(text: &str) -> bool {
    let is_sample = |line: &str| {
        let page = tare_parsers::exposition::parse(line);
        page.errors.is_empty() && !page.samples.is_empty()
    };
    // Of other text a line may look like a sample by chance; the comments tell.
    first_lines(text).any(|line| line.starts_with("# TYPE ") || line.starts_with("# HELP "))
        || first_lines(text).all(is_sample)
}

fn read(text: &str, reading: &mut Reading<'_>) {
    match whole(text) {
        Err(trouble) => reading.count("the page", Err(trouble)),
        Ok(page) => {
            for _ in &page.samples {
                reading.count("the page", Ok::<(), &str>(()));
            }
            for error in tare_parsers::exposition::parse(text).errors {
                reading.count(&format!("line {}", error.line_no), Err(error.error));
            }
            reading.rows.pages.push(PageAt { at: None, source: None, page });
        }
    }
}

/// A page that came to its end: of one that is cut, what lacks would count as zero.
pub(super) fn whole(text: &str) -> Result<Page, String> {
    let page = read_page(text, "", Wanted::All).map_err(|trouble| trouble.to_string())?;
    if tare_parsers::exposition::parse(text).complete {
        return Ok(page);
    }
    Err(format!(
        "it is cut: expected a line feed (or `# EOF`) at the end of line {}, found the end of the file; what lacks would count as zero",
        text.lines().count()
    ))
}
