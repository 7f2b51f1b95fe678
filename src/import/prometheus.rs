//! One page of a metrics endpoint, as `curl` saves it. It must not know whether it is of before or
//! after a load, nor what its series mean.

use super::input::{Reading, first_lines};
use super::{Format, Of, PageAt, Reads};
use crate::ingest::scrape::read_page;

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
    match read_page(text, "") {
        Err(trouble) => reading.count("the page", Err(trouble)),
        Ok(page) => {
            let bad = page.bad_lines;
            for _ in &page.samples {
                reading.count("the page", Ok::<(), &str>(()));
            }
            for error in tare_parsers::exposition::parse(text).errors.iter().take(bad as usize) {
                reading.count(&format!("line {}", error.line_no), Err(error));
            }
            reading.rows.pages.push(PageAt { at: None, lag_s: 0.0, source: None, page });
        }
    }
}
