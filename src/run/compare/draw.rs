//! The figures of a comparison: what is drawn of which run. This file must not know how it is drawn.

use crate::compare::Run;
use crate::metric::Unit;
use crate::plot::{self, Compared, PlotData};
use crate::record::measure::{Measure, Quantity};
use crate::store::RunFolder;
use crate::store::folder::PLOTS;

/// What figures show, each in a few words.
const DRAWN: [(Measure, &str); 6] = [
    (Measure::Ttft, "start to first token"),
    (Measure::Tpot, "mean gap within each request"),
    (Measure::Itl, "gaps between tokens, pooled"),
    (Measure::E2e, "start to last token"),
    (Measure::UserThroughput, "output tokens / duration"),
    (Measure::ServerTtft, "at the server"),
];

/// Draws them into the folder; caption and file of each.
pub(super) fn figures(folder: &RunFolder, runs: &[Run]) -> anyhow::Result<Vec<(String, String)>> {
    let compared = DRAWN.iter().filter_map(|(measure, about)| compared(*measure, about, runs)).collect();
    let (n_ok, n_ended) = runs.iter().map(Run::ended).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let names: Vec<&str> = runs.iter().map(Run::name).collect();
    let data = PlotData { run: names.join(", "), n_ok, n_ended, compared, ..PlotData::default() };
    let written = plot::write(&folder.plots()?, &data)?;
    let drawn = written.iter().filter(|figure| figure.skipped.is_none());
    Ok(drawn.map(|figure| (figure.caption.to_owned(), format!("{PLOTS}/{}.svg", figure.name))).collect())
}

fn compared(measure: Measure, about: &str, runs: &[Run]) -> Option<Compared> {
    let unit = match measure.about().quantity {
        Quantity::Seconds => Unit::Seconds,
        Quantity::TokensPerSecond => Unit::TokensPerSecond,
        _ => return None,
    };
    let values = |(i, run): (usize, &Run)| Some((i, run.name().to_owned(), run.values(measure)?.to_vec()));
    let runs: Vec<_> = runs.iter().enumerate().filter_map(values).collect();
    let title = measure.about().title.to_owned();
    (!runs.is_empty()).then(|| Compared { title, about: about.to_owned(), unit, runs })
}
