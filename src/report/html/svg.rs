//! Shapes as SVG text, in a square of 1,000 by 1,000 that the page stretches to whatever room there is. Looks
//! are classes of the style sheet. This file must not know what is drawn.

use std::fmt::Write as _;

/// The side of the square.
pub const SIDE: f64 = 1_000.0;

/// A line through points.
pub fn line(class: &str, points: &[(f64, f64)]) -> String {
    shape(class, &path(points))
}

/// A closed shape.
pub fn area(class: &str, points: &[(f64, f64)]) -> String {
    if points.is_empty() { String::new() } else { shape(class, &(path(points) + "Z")) }
}

/// Points as round dots, whose size is the stroke's width.
pub fn dots(class: &str, points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    for (x, y) in points {
        let _ = write!(d, "M{} {}h0", number(x), number(y));
    }
    shape(class, &d)
}

/// Strokes from top to bottom at these places.
pub fn verticals(class: &str, xs: impl Iterator<Item = f64>, (top, bottom): (f64, f64)) -> String {
    let mut d = String::new();
    for x in xs {
        let _ = write!(d, "M{} {}V{}", number(x), number(top), number(bottom));
    }
    shape(class, &d)
}

/// A rectangle between two corners.
pub fn rect(class: &str, (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> String {
    format!(
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
        number(x0.min(x1)),
        number(y0.min(y1)),
        number((x1 - x0).abs()),
        number((y1 - y0).abs())
    )
}

/// Steps: each value holds from one place to the next; a value that is not there breaks the line.
pub fn steps(class: &str, stretches: impl Iterator<Item = (f64, f64, Option<f64>)>) -> String {
    let mut d = String::new();
    let mut at_end = None;
    for (from, to, value) in stretches {
        match value {
            Some(y) => {
                let joins = at_end == Some(number(from));
                let _ = write!(d, "{}{} {}", if joins { "L" } else { "M" }, number(from), number(y));
                let _ = write!(d, "H{}", number(to));
                at_end = Some(number(to));
            }
            None => at_end = None,
        }
    }
    shape(class, &d)
}

fn shape(class: &str, d: &str) -> String {
    if d.is_empty() { String::new() } else { format!("<path class=\"{class}\" d=\"{d}\"/>") }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    for (n, (x, y)) in points.iter().enumerate() {
        let _ = write!(d, "{}{} {}", if n == 0 { "M" } else { "L" }, number(*x), number(*y));
    }
    d
}

/// To a hundredth, without zeros at its end.
pub fn number(value: f64) -> String {
    let text = format!("{:.2}", value.clamp(-1e6, 1e6));
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 0.25, -0.001, 12.345, 1e9].map(number), ["1", "0.25", "0", "12.35", "1000000"]);
    }

    #[test]
    fn steps_break_where_nothing_is_known() {
        let shown = steps(
            "c",
            [(0.0, 1.0, Some(5.0)), (1.0, 2.0, Some(6.0)), (2.0, 3.0, None), (3.0, 4.0, Some(7.0))]
                .into_iter(),
        );
        assert_eq!(shown, "<path class=\"c\" d=\"M0 5H1L1 6H2M3 7H4\"/>");
        assert_eq!(steps("c", [(0.0, 1.0, None)].into_iter()), "");
    }
}
