//! Paper and pen: shapes and text at pixel coordinates become SVG. This file must not know what is
//! drawn; it is the only one that calls plotters.
//!
//! plotters' backend has whole-number coordinates, which would turn a violin's outline into
//! stairs. So it draws in tenths of a pixel, and the finished file says that its view box is ten
//! times its size.

use anyhow::{Context, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::plot::theme::{self, Colour};

/// Backend units per pixel.
const UNITS: f64 = 10.0;
/// plotters' SVG backend writes text at its size divided by this.
const TEXT_FACTOR: f64 = 1.24;

/// Where a text's position lies on it, along the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Align {
    Left,
    Centre,
    Right,
}

/// How a text looks. Its position is the middle of its height.
#[derive(Clone, Copy, Debug)]
pub struct Ink {
    pub size: f64,
    pub colour: Colour,
    pub bold: bool,
    pub align: Align,
}

impl Ink {
    /// Plain, left-aligned text.
    pub fn new(size: f64, colour: Colour) -> Self {
        Self { size, colour, bold: false, align: Align::Left }
    }

    #[must_use]
    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    #[must_use]
    pub fn align(self, align: Align) -> Self {
        Self { align, ..self }
    }
}

/// A figure being drawn; all lengths are pixels, y goes down.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a figure of this size and returns it as an SVG file's text, titled for screen readers.
pub fn svg(
    (width, height): (f64, f64),
    title: &str,
    draw: impl FnOnce(&Canvas) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let size = ((width * UNITS) as u32, (height * UNITS) as u32);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&colour(theme::PAPER))?;
        let canvas = Canvas { area };
        draw(&canvas)?;
        canvas.area.present()?;
    }
    let head = format!("<svg width=\"{}\" height=\"{}\" ", size.0, size.1);
    let (_, rest) =
        text.split_once(&head).with_context(|| format!("expected an SVG that begins with `{head}`"))?;
    let (attributes, body) =
        rest.split_once('>').ok_or_else(|| anyhow!("expected the end of the SVG's first tag, found none"))?;
    let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Ok(format!(
        "<svg width=\"{width}\" height=\"{height}\" {attributes} role=\"img\">\n<title>{title}</title>{body}"
    ))
}

impl Canvas<'_> {
    /// A line through all points.
    pub fn line(&self, points: &[(f64, f64)], ink: Colour, opacity: f64, width: f64) -> anyhow::Result<()> {
        let style = colour(ink).mix(opacity).stroke_width((width * UNITS) as u32);
        self.area.draw(&PathElement::new(places(points), style)).context("could not draw a line")
    }

    /// A filled shape.
    pub fn fill(&self, points: &[(f64, f64)], ink: Colour, opacity: f64) -> anyhow::Result<()> {
        self.area
            .draw(&Polygon::new(places(points), colour(ink).mix(opacity)))
            .context("could not draw a shape")
    }

    /// A filled rectangle from one corner to the opposite one.
    pub fn rect(&self, from: (f64, f64), to: (f64, f64), ink: Colour, opacity: f64) -> anyhow::Result<()> {
        let corners =
            [place((from.0.min(to.0), from.1.min(to.1))), place((from.0.max(to.0), from.1.max(to.1)))];
        self.area
            .draw(&Rectangle::new(corners, colour(ink).mix(opacity).filled()))
            .context("could not draw a rectangle")
    }

    /// A filled circle.
    pub fn dot(&self, at: (f64, f64), radius: f64, ink: Colour, opacity: f64) -> anyhow::Result<()> {
        let style = colour(ink).mix(opacity).filled();
        self.area
            .draw(&Circle::new(place(at), (radius * UNITS) as i32, style))
            .context("could not draw a dot")
    }

    /// A line of text.
    pub fn text(&self, text: &str, at: (f64, f64), ink: Ink) -> anyhow::Result<()> {
        let weight = if ink.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font =
            FontDesc::new(FontFamily::Name(theme::FONT_FAMILY), ink.size * UNITS * TEXT_FACTOR, weight);
        let h_pos = match ink.align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = font.color(&colour(ink.colour)).pos(Pos::new(h_pos, VPos::Center));
        self.area.draw_text(text, &style, place(at)).context("could not draw text")
    }
}

/// About how wide a text is in the embedded font, from the usual widths of kinds of characters.
pub fn width_of(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '·' => 0.28,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' | 'I' | '1' => 0.39,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '—' | '…' => 0.88,
        c if c.is_uppercase() => 0.7,
        _ => 0.6,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// The text, cut with an ellipsis where it would be wider than this.
pub fn fit(text: &str, size: f64, width: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let mut kept = text.to_owned();
    while !kept.is_empty() && width_of(&kept, size) + size > width {
        kept.pop();
    }
    format!("{}…", kept.trim_end())
}

fn colour(c: Colour) -> RGBColor {
    RGBColor(c.0, c.1, c.2)
}

fn place((x, y): (f64, f64)) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

fn places(points: &[(f64, f64)]) -> Vec<(i32, i32)> {
    points.iter().copied().map(place).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_its_size_and_title_and_escapes_text() {
        let svg = svg((40.0, 20.5), "p < 1 & more", |canvas| {
            canvas.text("a < b & c", (1.05, 2.0), Ink::new(11.0, theme::INK))
        })
        .unwrap();
        assert!(svg.starts_with("<svg width=\"40\" height=\"20.5\" viewBox=\"0 0 400 205\""));
        assert!(svg.contains("<title>p &lt; 1 &amp; more</title>"));
        assert!(svg.contains("a &lt; b &amp; c"));
        assert!(svg.contains("x=\"11\" y=\"20\""), "{svg}");
        assert!(svg.contains("font-size=\"110\""), "{svg}");
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(fit("short", 12.0, 200.0), "short");
        let cut = fit(&"wide ".repeat(40), 12.0, 100.0);
        assert!(cut.ends_with('…') && width_of(&cut, 12.0) <= 100.0, "{cut}");
        assert_eq!(fit("wide", 12.0, 0.0), "…");
    }
}
