//! Pages of a metrics endpoint over time, one JSON object a page: `t0` and `t1`, the wall-clock
//! nanoseconds at which it was asked for and had come, and either the `page` as text or, in `set`,
//! the series (`name{labels}` → value as text) that changed since the line before; the first line
//! has them all. It must not know what a series means.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::input::{Reading, has_keys, json};
use super::{Format, Of, PageAt, Reads, instants};
use crate::ingest::scrape::{Wanted, read_page};

pub(super) const FORMAT: Format = Format {
    name: "metrics_lines",
    of: Of::Pages,
    description: "one JSON object a page: t0, t1 and page, or set with what changed since the last",
    reads: Reads::Text {
        recognises: |text| has_keys(text, &["t0", "t1", "set"]) || has_keys(text, &["t0", "t1", "page"]),
        read,
    },
};

#[derive(Deserialize)]
struct Given {
    t0: i64,
    t1: i64,
    set: Option<BTreeMap<String, String>>,
    page: Option<String>,
}

fn read(text: &str, reading: &mut Reading<'_>) {
    let mut state: BTreeMap<String, String> = BTreeMap::new();
    // After a line that is missing, what changed in it is not known.
    let mut broken = false;
    reading.each_line(text, |_, line, rows| {
        let given: Result<Given, String> = json(line);
        let given = given.inspect_err(|_| broken = true)?;
        let (send, recv) = (instants::unix_ns(given.t0)?, instants::unix_ns(given.t1)?);
        if recv < send {
            return Err(format!(
                "expected `t1` after `t0`, found it {} ns before",
                given.t0.abs_diff(given.t1)
            ));
        }
        let page = match (given.page, given.set) {
            (Some(page), _) => page,
            (None, Some(_)) if broken => {
                return Err("a line before it could not be read, and this one only tells what changed since"
                    .to_owned());
            }
            (None, Some(set)) => {
                state.extend(set);
                // Without the comments a series is known for what it is by the end of its name.
                let lines: Vec<String> =
                    state.iter().map(|(series, value)| format!("{series} {value}")).collect();
                lines.join("\n") + "\n"
            }
            (None, None) => return Err("expected `page` or `set`, found neither".to_owned()),
        };
        let page = read_page(&page, "", Wanted::All).map_err(|trouble| trouble.to_string())?;
        rows.pages.push(PageAt { at: Some((send, recv)), source: None, page });
        Ok(())
    });
}
