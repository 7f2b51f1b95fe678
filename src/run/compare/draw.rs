//! The figures of a comparison: what is drawn of which run. This file must not know how it is drawn.

use crate::compare::Run;
use crate::metric::{Metric, Unit};
use crate::plot::{self, Compared, PlotData};
use crate::record::measure::{Measure, Quantity};
use crate::store::RunFolder;
use crate::store::folder::PLOTS;

/// What figures show, each in a few words.
const DRAWN: [(Measure, Metric, &str); 6] = [
    (Measure::Ttft, Metric::Ttft, "start to first token"),
    (Measure::Tpot, Metric::Tpot, "mean gap within each request"),
    (Measure::Itl, Metric::Itl, "gaps between tokens, pooled"),
    (Measure::E2e, Metric::E2e, "start to last token"),
    (Measure::UserThroughput, Metric::Throughput, "output tokens / duration"),
    (Measure::ServerTtft, Metric::Ttft, "at the server"),
];

/// Draws them into the folder; caption and file of each.
pub(super) fn figures(folder: &RunFolder, runs: &[Run]) -> anyhow::Result<Vec<(String, String)>> {
    let written = plot::write(&folder.plots()?, &data(runs))?;
    let drawn = written.iter().filter(|figure| figure.skipped.is_none());
    Ok(drawn.map(|figure| (figure.caption.to_owned(), format!("{PLOTS}/{}.svg", figure.name))).collect())
}

/// What they are drawn from.
pub(super) fn data(runs: &[Run]) -> PlotData {
    let compared = DRAWN.iter().filter_map(|drawn| compared(*drawn, runs)).collect();
    let (n_ok, n_ended) = runs.iter().map(Run::ended).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let names: Vec<&str> = runs.iter().map(Run::name).collect();
    PlotData { run: names.join(", "), n_ok, n_ended, compared, ..PlotData::default() }
}

fn compared((measure, metric, about): (Measure, Metric, &str), runs: &[Run]) -> Option<Compared> {
    let unit = match measure.about().quantity {
        Quantity::Seconds => Unit::Seconds,
        Quantity::TokensPerSecond => Unit::TokensPerSecond,
        _ => return None,
    };
    let values = |(i, run): (usize, &Run)| Some((i, run.name().to_owned(), run.values(measure)?.to_vec()));
    let runs: Vec<_> = runs.iter().enumerate().filter_map(values).collect();
    let title = measure.about().title.to_owned();
    (!runs.is_empty()).then(|| Compared { metric, title, about: about.to_owned(), unit, runs })
}
