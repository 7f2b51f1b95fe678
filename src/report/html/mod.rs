//! `report.html`: the whole report as one page that needs nothing else: no network, no script to be read.
//! Its text, its tables and its figures are made here; the script only points, filters and folds. The page
//! is laid out by the files of `assets/report`. This module must not know how anything was measured.

mod any_request;
mod breakdown;
mod chart;
mod errors;
mod evidence;
mod packed;
mod page;
mod settings;
mod shares;
mod svg;
mod tare;
#[cfg(test)]
mod tests;
mod timeline;
mod top;
mod violins;
mod waterfalls;
mod way;
mod words;

use serde::Serialize;

use self::page::{Page, Section};
use super::{Artifact, Report};
use crate::plain::plain;

pub(super) const ARTIFACT: Artifact =
    Artifact { file: "report.html", what: "the report as one page, with figures to point at", write };

/// Makes one part of the page.
type Make = fn(&mut Page<'_>) -> anyhow::Result<Option<Section>>;

/// The parts of the page below its top, in order. One that has nothing to say is left out.
const SECTIONS: &[Make] = &[
    breakdown::section,
    way::section,
    violins::section,
    tare::section,
    shares::section,
    timeline::section,
    waterfalls::section,
    errors::section,
    evidence::section,
    settings::section,
    words::section,
];

const CSS: &str = include_str!("../../../assets/report/report.css");
const JS: &str = include_str!("../../../assets/report/report.js");

fn write(report: &Report<'_>) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Whole<'a> {
        css: &'static str,
        js: &'static str,
        top: top::Top,
        sections: &'a [Section],
        island: String,
    }
    let mut page = Page::new(report)?;
    let top = top::top(&page)?;
    let mut sections = Vec::new();
    for section in SECTIONS {
        sections.extend(section(&mut page)?);
    }
    let whole = Whole { css: CSS, js: JS, top, sections: &sections, island: page.island()? };
    // As on a terminal: what others say turns no text that stands beside it.
    Ok(plain(&page.render("page.html", whole)?).into_owned())
}
