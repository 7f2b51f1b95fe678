//! What every figure of violins has around its columns: title, line below it, legend. This file
//! must not know which metrics are shown.

use super::body::diamond;
use super::canvas::{self, Align, Canvas, Ink};
use crate::plot::theme;

/// Four columns fill a figure.
pub const COLUMN: f64 = (theme::WIDTH - 2.0 * theme::MARGIN) / 4.0;
/// A figure is at least this wide, so that its title fits.
pub const NARROWEST: f64 = 680.0;
/// Where columns begin.
pub const TOP: f64 = 68.0;
/// Narrower than this the first note of a legend has a row of its own.
const WIDE: f64 = 760.0;
const ROW: f64 = 18.0;
/// The note on how a body's width came about.
pub const DENSITY: &str =
    "width: density (Gaussian kernel, improved Sheather–Jones), within the data's range";

/// Height of the legend of a figure of this width.
pub fn legend_height(width: f64, notes: &[&str]) -> f64 {
    let rows = if width < WIDE { 1 + notes.len() } else { notes.len().max(1) };
    16.0 + ROW * rows as f64
}

/// Title and the line below it, shortened to the figure's width.
pub fn header(canvas: &Canvas, width: f64, title: &str, subtitle: &str) -> anyhow::Result<()> {
    let ink = Ink::new(theme::TITLE, theme::INK).bold();
    let title = canvas::fit(title, theme::TITLE, width - 2.0 * theme::MARGIN);
    canvas.text(&title, (theme::MARGIN, 24.0), ink)?;
    let ink = Ink::new(theme::BODY, theme::QUIET);
    let subtitle = canvas::fit(subtitle, theme::BODY, width - 2.0 * theme::MARGIN);
    canvas.text(&subtitle, (theme::MARGIN, 45.0), ink)
}

/// What the marks of a violin mean, and notes, at the foot of a figure of this size.
pub fn legend(canvas: &Canvas, (width, height): (f64, f64), notes: &[&str]) -> anyhow::Result<()> {
    let quiet = Ink::new(theme::SMALL, theme::QUIET);
    let mut y = height - legend_height(width, notes) + 12.0;
    let mut x = theme::MARGIN;
    let mut name = |text: &str, mark_width: f64| -> anyhow::Result<f64> {
        let at = x;
        canvas.text(text, (x + mark_width + 6.0, y), quiet)?;
        x += mark_width + 22.0 + canvas::width_of(text, theme::SMALL);
        Ok(at)
    };
    let at = name("quartiles", 8.0)?;
    canvas.rect((at, y - 6.0), (at + 8.0, y + 6.0), theme::INK, 0.85)?;
    let at = name("median", 18.0)?;
    canvas.line(&[(at, y), (at + 18.0, y)], theme::INK, 1.0, 2.0)?;
    let at = name("mean", 10.0)?;
    diamond(canvas, (at + 5.0, y))?;
    for (i, note) in notes.iter().enumerate() {
        if i == 0 && width >= WIDE {
            let right = quiet.align(Align::Right);
            canvas.text(note, (width - theme::MARGIN, y), right)?;
        } else {
            y += ROW;
            canvas.text(note, (theme::MARGIN, y), quiet)?;
        }
    }
    Ok(())
}
