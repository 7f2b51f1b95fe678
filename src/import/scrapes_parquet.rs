//! Samples of a metrics endpoint as a Parquet table, a row a sample: `name`, `value`, optionally `labels`
//! (a JSON object as text, or `key="value",…`) and `source`, and when: `recv_unix_ns` (and `send_unix_ns`) as in
//! `scrapes.parquet` of a run folder, or `timestamp`, a column of timestamps. It must not know what a
//! series means.

use std::collections::BTreeMap;

use super::input::Reading;
use super::prometheus_api::{escaped, page};
use super::{Format, Of, PageAt, Reads, instants};
use crate::clock::UnixNs;
use crate::ingest::scrape::{Wanted, read_page};
use crate::store::columns::{Cell, Columns};

pub(super) const FORMAT: Format = Format {
    name: "scrapes_parquet",
    of: Of::Pages,
    description: "Parquet with a row a sample: name, labels, value, recv_unix_ns or timestamp",
    reads: Reads::Columns {
        recognises: |names| {
            let has = |name: &str| names.contains(&name);
            has("name") && has("value") && (has("recv_unix_ns") || has("timestamp"))
        },
        read,
    },
};

/// A page's samples, series and value, by endpoint and by when it was asked for and had come.
type Pages = BTreeMap<(String, UnixNs, UnixNs), BTreeMap<String, f64>>;

fn read(table: &Columns, reading: &mut Reading<'_>) {
    let of = |name: &str| table.cells(name).unwrap_or_default();
    let (names, values, labels, sources) = (of("name"), of("value"), of("labels"), of("source"));
    let came = table.cells("recv_unix_ns").or_else(|| table.cells("timestamp")).unwrap_or_default();
    let asked = of("send_unix_ns");
    let mut pages = Pages::new();
    for i in 0..table.height() {
        let sample = Sample {
            name: names.get(i),
            value: values.get(i),
            labels: labels.get(i),
            source: sources.get(i),
            asked: asked.get(i),
            came: came.get(i),
        };
        let taken = sample.add_to(&mut pages);
        reading.count(&format!("row {}", i + 1), taken);
    }
    for ((source, send, recv), samples) in pages {
        let page = page(&samples);
        // Every line was read alone before.
        if let Ok(page) = read_page(&page, "", Wanted::All) {
            let source = (!source.is_empty()).then_some(source);
            reading.rows.pages.push(PageAt { at: Some((send, recv)), source, page });
        }
    }
}

struct Sample<'a> {
    name: Option<&'a Cell>,
    value: Option<&'a Cell>,
    labels: Option<&'a Cell>,
    source: Option<&'a Cell>,
    asked: Option<&'a Cell>,
    came: Option<&'a Cell>,
}

impl Sample<'_> {
    fn add_to(self, pages: &mut Pages) -> Result<(), String> {
        let Some(came) = instant(self.came)? else { return Err("it has no time".to_owned()) };
        let asked = instant(self.asked)?.unwrap_or(came);
        let name = match self.name {
            Some(Cell::Text(name)) => name,
            // A scrape that failed has no samples.
            Some(Cell::Null) | None => return Ok(()),
            Some(other) => return Err(format!("expected a name, found {other:?}")),
        };
        let value = match self.value {
            Some(Cell::Float(value)) => *value,
            Some(Cell::Int(value)) => *value as f64,
            other => return Err(format!("expected a number, found {other:?}")),
        };
        let labels = match self.labels {
            Some(Cell::Text(text)) if text.trim_start().starts_with('{') => {
                let labels: BTreeMap<String, String> = serde_json::from_str(text)
                    .map_err(|error| format!("expected labels as a JSON object, found `{text}`: {error}"))?;
                let pairs = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
            Some(Cell::Text(text)) if !text.trim().is_empty() => format!("{{{text}}}"),
            Some(Cell::Text(_) | Cell::Null) | None => String::new(),
            Some(other) => return Err(format!("expected labels as text, found {other:?}")),
        };
        let source = match self.source {
            Some(Cell::Text(source)) => source.clone(),
            _ => String::new(),
        };
        let series = format!("{name}{labels}");
        let line = format!("{series} {value}\n");
        let parsed = tare_parsers::exposition::parse(&line);
        if parsed.samples.len() != 1 || !parsed.errors.is_empty() {
            return Err(format!(
                "expected a name and labels as a page of metrics has them, found `{series}`"
            ));
        }
        let page = pages.entry((source, asked, came)).or_default();
        match page.insert(series.clone(), value) {
            Some(other) if other.to_bits() != value.to_bits() => {
                Err(format!("`{series}` has two values at one moment, {other} and {value}"))
            }
            _ => Ok(()),
        }
    }
}

fn instant(cell: Option<&Cell>) -> Result<Option<UnixNs>, String> {
    match cell {
        Some(Cell::Int(ns) | Cell::Instant(ns)) => instants::unix_ns(*ns).map(Some),
        Some(Cell::Null) | None => Ok(None),
        Some(other) => Err(format!("expected a time, found {other:?}")),
    }
}
