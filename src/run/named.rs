//! One request of a run, as a person names it: by an id, or by its number. This file must not know what is asked of it.

use std::fmt::Write as _;

use crate::error::usage;
use crate::record::JoinedRow;
use crate::{config, units};

/// So many ids are named as examples.
const EXAMPLES: usize = 3;

/// The request of an id: of the one sent first, then of the answer's, then of the trace's; else of a number.
pub fn named<'a>(id: &str, rows: &'a [JoinedRow]) -> anyhow::Result<&'a JoinedRow> {
    let kinds: [fn(&JoinedRow) -> Option<&str>; 3] = [
        |row| Some(&row.client.request_id),
        |row| row.client.response_id.as_deref(),
        |row| Some(&row.client.trace_id),
    ];
    for kind in kinds {
        if let Some(row) = rows.iter().find(|row| kind(row) == Some(id)) {
            return Ok(row);
        }
    }
    if let Some(row) = id.parse().ok().and_then(|n: u64| rows.iter().find(|row| row.client.index == n)) {
        return Ok(row);
    }
    let failure = usage(format!("no request of this run has the id or number `{id}`"));
    Err(failure.hint(like(id, rows)).into())
}

/// Ids that were perhaps meant: such as hold what was given, else the nearest, else some.
fn like(id: &str, rows: &[JoinedRow]) -> String {
    let sent = || rows.iter().map(|row| row.client.request_id.as_str());
    let holding: Vec<&str> = sent().filter(|known| !id.is_empty() && known.contains(id)).collect();
    let listed = |ids: &[&str]| {
        let mut text = String::new();
        for known in ids.iter().take(EXAMPLES) {
            let _ = write!(text, "{}`{known}`", if text.is_empty() { "" } else { ", " });
        }
        match ids.len().saturating_sub(EXAMPLES) {
            0 => text,
            more => format!("{text} and {} more", units::count(more as u64)),
        }
    };
    if !holding.is_empty() {
        return format!("these hold it: {}", listed(&holding));
    }
    match config::nearest(id, sent()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", listed(&sent().collect::<Vec<_>>())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn a_request_is_found_by_its_ids_and_then_by_its_number() {
        let mut rows: Vec<JoinedRow> = (0..5).map(|i| JoinedRow::of(fixture::request(i))).collect();
        rows[1].client.request_id = "3".to_owned();
        rows[2].client.response_id = Some("chatcmpl-x".to_owned());
        let index = |id: &str| named(id, &rows).map(|row| row.client.index);
        assert_eq!(index("chatcmpl-x").unwrap(), 2);
        assert_eq!(index("4").unwrap(), 4);
        assert_eq!(index("3").unwrap(), 1, "an id comes before a number");
        let error = index("99").unwrap_err();
        assert!(
            format!("{error:?}").contains("no request of this run has the id or number `99`"),
            "{error:?}"
        );
    }
}
