//! A figure on a page of 16 by 9, as large as it fits. This file must not know what is drawn.

use anyhow::Context as _;

use crate::plot::theme;

const WIDTH: f64 = 1_280.0;
const HEIGHT: f64 = 720.0;

/// The figure, in the middle of a page.
pub fn slide(svg: &str) -> anyhow::Result<String> {
    let body = svg.find("<svg").and_then(|at| svg.get(at..)).context("expected an SVG")?;
    let size = |name: &str| -> anyhow::Result<f64> {
        let (_, rest) =
            body.split_once(&format!("{name}=\"")).with_context(|| format!("an SVG without {name}"))?;
        let (number, _) = rest.split_once('"').context("expected the end of an attribute")?;
        number.parse().with_context(|| format!("{name} is no number: {number}"))
    };
    let (width, height) = (size("width")?, size("height")?);
    let scale = (WIDTH / width).min(HEIGHT / height);
    let (wide, high) = (width * scale, height * scale);
    let theme::Colour(red, green, blue) = theme::PAPER;
    let placed = body
        .replacen(
            &format!("width=\"{width}\""),
            &format!("x=\"{}\" width=\"{wide}\"", (WIDTH - wide) / 2.0),
            1,
        )
        .replacen(
            &format!("height=\"{height}\""),
            &format!("y=\"{}\" height=\"{high}\"", (HEIGHT - high) / 2.0),
            1,
        );
    Ok(format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         fill=\"rgb({red},{green},{blue})\"/>\n{placed}</svg>\n"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plot::draw::canvas::{self, Ink};

    #[test]
    fn a_figure_is_as_large_as_the_page_allows() {
        let figure = canvas::svg((920.0, 440.5), "t", |canvas| {
            canvas.text("text", (10.0, 10.0), Ink::new(11.0, theme::INK))
        })
        .unwrap();
        let slide = slide(&figure).unwrap();
        assert!(slide.contains("<svg x=\"0\" width=\"1280\" y=\"53.56"), "{slide}");
        assert!(slide.contains("viewBox=\"0 0 9200 4405\""), "what is drawn is as it was");
        assert!(crate::plot::draw::png::from_svg(&slide).is_ok());
    }
}
