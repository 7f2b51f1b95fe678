//! The one look of all figures: colours, sizes, fonts. This file must not know what is drawn.
//!
//! Colours are Okabe and Ito's, which people with any kind of colour blindness can tell apart
//! (*Color Universal Design*, 2008); the client is always blue, the server always orange, and both
//! are also told apart by place and by name.

use crate::record::Whose;

/// An sRGB colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Colour(pub u8, pub u8, pub u8);

/// The client's side.
pub const CLIENT: Colour = Colour(0, 114, 178);
/// The server's side.
pub const SERVER: Colour = Colour(230, 159, 0);
/// The server's side as text: the same hue, dark enough to read on white.
pub const SERVER_TEXT: Colour = Colour(156, 100, 0);
/// What lies between the two sides.
pub const TARE: Colour = Colour(204, 121, 167);
/// What needs a second look.
pub const NOTE: Colour = Colour(178, 72, 0);
pub const INK: Colour = Colour(31, 35, 40);
pub const QUIET: Colour = Colour(89, 99, 110);
pub const GRID: Colour = Colour(229, 232, 236);
pub const AXIS: Colour = Colour(140, 149, 159);
pub const PAPER: Colour = Colour(255, 255, 255);

/// Runs side by side, in turn: those of Okabe and Ito's colours that are neither the client's nor the
/// server's. Each run is told apart by its place and name as well.
pub const RUNS: [Colour; 5] = [
    Colour(0, 158, 115),
    Colour(213, 94, 0),
    Colour(204, 121, 167),
    Colour(86, 180, 233),
    Colour(120, 110, 40),
];

/// The colour of a run.
pub fn run(i: usize) -> Colour {
    RUNS.get(i % RUNS.len()).copied().unwrap_or(INK)
}

/// What is the server's and what lies between, not told apart: between their two colours.
pub const BOTH: Colour = Colour(217, 140, 84);

/// The colour of whose a part is.
pub fn whose(whose: Whose) -> Colour {
    match whose {
        Whose::Client => CLIENT,
        Whose::Server => SERVER,
        Whose::Tare => TARE,
        Whose::Both => BOTH,
        Whose::Unknown => AXIS,
    }
}

/// The i-th of so many shades of a colour, from light to dark.
pub fn shade(base: Colour, i: usize, of: usize) -> Colour {
    // −1 is half way to paper, 1 is some of the way to ink, 0 the colour itself.
    let place = if of < 2 { 0.0 } else { 2.0 * i as f64 / (of - 1) as f64 - 1.0 };
    let (towards, share) = if place < 0.0 { (PAPER, -0.55 * place) } else { (INK, 0.45 * place) };
    let mix = |a: u8, b: u8| (f64::from(a) * (1.0 - share) + f64::from(b) * share).round() as u8;
    Colour(mix(base.0, towards.0), mix(base.1, towards.1), mix(base.2, towards.2))
}

/// Ink or paper, whichever is easier to read on this colour (WCAG 2, relative luminance).
pub fn on(colour: Colour) -> Colour {
    let linear = |c: u8| {
        let c = f64::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2);
    // At this luminance black and white have the same contrast.
    if luminance > 0.179 { INK } else { PAPER }
}

/// How strongly the inside of a violin is filled.
pub const FILL: f64 = 0.32;

/// Width of a figure in pixels: what a README shows.
pub const WIDTH: f64 = 920.0;
/// White space at the edges of a figure.
pub const MARGIN: f64 = 16.0;
/// PNG pixels per figure pixel.
pub const PNG_SCALE: f32 = 2.0;

/// Text sizes in pixels.
pub const TITLE: f64 = 17.0;
pub const HEADING: f64 = 13.0;
pub const BODY: f64 = 12.5;
pub const SMALL: f64 = 11.0;

/// What an SVG names. PNG files are drawn with the first, which is embedded; a browser without it
/// takes the next that it has.
pub const FONT_FAMILY: &str = "Inter, Helvetica, Arial, sans-serif";
/// The embedded font's own name.
pub const FONT_NAME: &str = "Inter";
/// The embedded font: regular, then semi-bold. Source and licence are beside the files.
pub const FONTS: [&[u8]; 2] = [
    include_bytes!("../../assets/fonts/Inter-Regular.otf"),
    include_bytes!("../../assets/fonts/Inter-SemiBold.otf"),
];
