//! `sweep_pareto`: what all users together get over what each of them gets, and which levels no other one betters in both. This
//! file must not know how levels were chosen.

use super::xy::{Place, Xy, axis};
use super::{Level, SweepData, SweepPlot};
use crate::metric::Unit;
use crate::plot::draw::canvas::{self, Ink};
use crate::plot::draw::page;
use crate::plot::{Drawn, theme};
use crate::stats::Estimate;

const HEIGHT: f64 = 400.0;

/// The figure.
pub struct Pareto;

impl SweepPlot for Pareto {
    fn name(&self) -> &'static str {
        "sweep_pareto"
    }

    fn caption(&self) -> &'static str {
        "Output tokens per second of all users together over those of each, level by level; joined: levels that no other betters in both"
    }

    fn draw(&self, data: &SweepData) -> anyhow::Result<Drawn> {
        let points: Vec<(&Level, Estimate, Estimate)> =
            data.levels.iter().filter_map(|l| Some((l, l.per_user_tps?, l.output_tps?))).collect();
        let x = axis(points.iter().flat_map(|(_, x, _)| [0.0, x.value]), Unit::TokensPerSecond, None);
        let y = axis(points.iter().flat_map(|(_, _, y)| [0.0, y.value]), Unit::TokensPerSecond, None);
        let (Some(x), Some(y)) = (x, y) else {
            return Ok(Drawn::Nothing("no level has a throughput in tokens".to_owned()));
        };
        let place =
            Place { left: 76.0, right: theme::WIDTH - theme::MARGIN - 40.0, top: 96.0, bottom: 326.0 };
        let xy = Xy { place, x, y };
        let title = "Throughput of all over throughput of each";
        let svg = canvas::svg((theme::WIDTH, HEIGHT), title, |canvas| {
            page::header(canvas, theme::WIDTH, title, &data.subtitle())?;
            xy.frame(canvas, "All users together", "each user: output tokens/s")?;
            // What grows as long as it lasts is no level's figure.
            let steady = points.iter().filter(|(level, ..)| !level.ended_early);
            let mut front = best(&steady.map(|(_, x, y)| (x.value, y.value)).collect::<Vec<_>>());
            front.sort_by(|a, b| a.0.total_cmp(&b.0));
            let joined: Vec<(f64, f64)> = front.iter().map(|at| xy.at(*at)).collect();
            if joined.len() > 1 {
                canvas.line(&joined, theme::CLIENT, 0.7, 1.6)?;
            }
            for (level, x, y) in &points {
                let (left, top) = xy.at((x.value, y.value));
                let marked = data.marked.is_some_and(|marked| marked.to_bits() == level.level.to_bits());
                let ink = match (marked, level.ended_early) {
                    (true, _) => theme::NOTE,
                    (_, true) => theme::QUIET,
                    _ => theme::CLIENT,
                };
                canvas.dot((left, top), 4.0, ink, 1.0)?;
                let text = Ink::new(theme::SMALL, if marked { theme::NOTE } else { theme::INK });
                canvas.text(&level.label, (left + 8.0, top - 6.0), text)?;
            }
            let note = format!(
                "numbers: {} · joined: no other level betters these in both; grey: over-saturated, not joined",
                data.axis
            );
            canvas.text(&note, (theme::MARGIN, HEIGHT - 18.0), Ink::new(theme::SMALL, theme::QUIET))
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// The points that no other is at least as good as in both, and better in one.
fn best(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let bettered =
        |p: &(f64, f64)| points.iter().any(|q| q.0 >= p.0 && q.1 >= p.1 && (q.0 > p.0 || q.1 > p.1));
    points.iter().copied().filter(|p| !bettered(p)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_betters() {
        let points = [(10.0, 1.0), (5.0, 5.0), (4.0, 5.0), (1.0, 10.0), (1.0, 9.0)];
        assert_eq!(best(&points), [(10.0, 1.0), (5.0, 5.0), (1.0, 10.0)]);
        assert_eq!(best(&[]), []);
    }
}
