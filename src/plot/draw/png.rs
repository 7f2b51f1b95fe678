//! SVG to PNG with the embedded font alone, so that a figure is the same on every machine. This
//! file must not know what is drawn.

use anyhow::Context;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::plot::theme;

/// The SVG as a PNG file's bytes, [`theme::PNG_SCALE`] pixels per pixel.
pub fn from_svg(svg: &str) -> anyhow::Result<Vec<u8>> {
    let mut options = Options { font_family: theme::FONT_NAME.to_owned(), ..Options::default() };
    for font in theme::FONTS {
        options.fontdb_mut().load_font_data(font.to_vec());
    }
    let tree = Tree::from_str(svg, &options).context("could not read the figure's SVG back")?;
    let size = tree.size().to_int_size().scale_by(theme::PNG_SCALE).context("the figure has no size")?;
    let mut pixmap = Pixmap::new(size.width(), size.height()).context("no memory for the figure's pixels")?;
    let scale = Transform::from_scale(theme::PNG_SCALE, theme::PNG_SCALE);
    resvg::render(&tree, scale, &mut pixmap.as_mut());
    pixmap.encode_png().context("could not encode the PNG")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plot::draw::canvas::{self, Ink};

    /// How many pixels of a PNG are darker than paper.
    fn dark_pixels(png: &[u8]) -> usize {
        let pixmap = Pixmap::decode_png(png).unwrap();
        pixmap.pixels().iter().filter(|p| p.red() < 128).count()
    }

    #[test]
    fn text_is_drawn_with_the_embedded_fonts() {
        let draw = |bold: bool| {
            let svg = canvas::svg((200.0, 40.0), "text", |canvas| {
                let ink = Ink { bold, ..Ink::new(24.0, theme::INK) };
                canvas.text("1,234 µs − ≥ Δ √", (4.0, 20.0), ink)
            })
            .unwrap();
            from_svg(&svg).unwrap()
        };
        let (plain, bold) = (draw(false), draw(true));
        assert_eq!(&plain[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!(Pixmap::decode_png(&plain).unwrap().width(), 400);
        assert!(dark_pixels(&plain) > 500);
        assert!(dark_pixels(&bold) > dark_pixels(&plain));
    }

    #[test]
    fn every_sign_that_figures_use_is_in_the_subset() {
        for font in theme::FONTS {
            let mut database = resvg::usvg::fontdb::Database::new();
            database.load_font_data(font.to_vec());
            let face = database.faces().next().unwrap();
            assert_eq!(face.families[0].0, theme::FONT_NAME);
        }
        for sign in "–—−×·µ≤≥±→ΔΣ√…|%µ".chars() {
            let svg = canvas::svg((40.0, 40.0), "sign", |canvas| {
                canvas.text(&sign.to_string(), (10.0, 20.0), Ink::new(32.0, theme::INK))
            })
            .unwrap();
            assert!(dark_pixels(&from_svg(&svg).unwrap()) > 0, "{sign} is not drawn");
        }
    }

    #[test]
    fn what_is_no_svg_is_an_error() {
        let error = from_svg("<html>").unwrap_err();
        assert!(error.to_string().contains("SVG"));
    }
}
