//! `audit`: the same requests sent direct (left) and through what is audited (right), a split violin for each
//! cell: TTFT first, then the latency between tokens. This file must not know how requests were paired.

use super::draw::canvas;
use super::draw::page::{self, COLUMN, DENSITY, NARROWEST};
use super::split_violin::{COLUMNS_HEIGHT, Pair, column};
use super::{Arms, Drawn, Plot, PlotData, ascending, theme};
use crate::units::Scale;

/// Columns side by side.
const ACROSS: usize = 4;
const ADDED: &str = "Δ mean: through − direct, pair by pair, with its 95 % interval over rounds";
/// Between two rows of columns.
const ROW: f64 = COLUMNS_HEIGHT - page::TOP + 14.0;

/// The figure.
pub struct Audit;

impl Plot for Audit {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn caption(&self) -> &'static str {
        "The same requests sent direct (left) and through what is audited (right), cell by cell, successful requests"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let pairs: Vec<Pair> = data.arms.iter().filter_map(pair).collect();
        // A metric begins a row of its own.
        let rows: Vec<&[Pair]> =
            pairs.chunk_by(|a, b| a.metric == b.metric).flat_map(|of| of.chunks(ACROSS)).collect();
        let Some(across) = rows.iter().map(|row| row.len()).max() else {
            return Ok(Drawn::Nothing(
                "the run is no audit, or no request succeeded by both ways".to_owned(),
            ));
        };
        let title = data.arms.iter().find_map(finding).unwrap_or_else(|| "Direct and through".to_owned());
        let width = (COLUMN * across as f64 + 2.0 * theme::MARGIN).max(NARROWEST);
        let notes = [DENSITY, ADDED];
        let height = COLUMNS_HEIGHT + ROW * (rows.len() - 1) as f64 + page::legend_height(width, &notes);
        let svg = canvas::svg((width, height), &title, |canvas| {
            let about = format!("{} · direct left, through right", data.subtitle());
            page::header(canvas, width, &title, &about)?;
            for (i, row) in rows.iter().enumerate() {
                let top = page::TOP + ROW * i as f64;
                for (j, pair) in row.iter().enumerate() {
                    let left = theme::MARGIN + COLUMN * j as f64;
                    column(canvas, (left, left + COLUMN), top, pair)?;
                }
            }
            page::legend(canvas, (width, height), &notes)
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// `The way through adds 194.2 ms [190.1, 198.0] to TTFT (concurrency 1)`, of the first cell.
fn finding(arms: &Arms) -> Option<String> {
    let e = arms.added?;
    let scale = Scale::of(arms.metric.unit(), e.value.abs());
    let within = if e.is_bounded() {
        format!(" [{}, {}]", scale.number(e.lo), scale.number(e.hi))
    } else {
        String::new()
    };
    Some(format!(
        "The way through adds {}{within} to {} ({})",
        scale.show(e.value),
        arms.metric.name(),
        arms.about
    ))
}

fn pair(arms: &Arms) -> Option<Pair> {
    Some(Pair {
        heading: arms.metric.name().to_owned(),
        about: arms.about.clone(),
        names: ["direct".to_owned(), "through".to_owned()],
        metric: arms.metric,
        left: ascending(&arms.direct)?,
        right: ascending(&arms.through)?,
        difference: arms.added,
    })
}
