//! What the page's files promise of each other.

use std::path::Path;

use super::{CSS, JS};
use crate::plot::theme::{self, Colour};

/// The value of a variable in the first block of the style sheet: the light one.
fn light(name: &str) -> String {
    let block = CSS.split('}').next().unwrap_or_default();
    let (_, rest) = block.split_once(&format!("--{name}: ")).unwrap_or_else(|| panic!("no --{name}"));
    rest.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn the_light_colours_are_those_of_the_figures() {
    let of_figures = [
        ("client", theme::CLIENT),
        ("server", theme::SERVER),
        ("server-text", theme::SERVER_TEXT),
        ("tare", theme::TARE),
        ("note", theme::NOTE),
        ("ink", theme::INK),
        ("quiet", theme::QUIET),
        ("grid", theme::GRID),
        ("axis", theme::AXIS),
        ("paper", theme::PAPER),
    ];
    for (name, Colour(r, g, b)) in of_figures {
        assert_eq!(light(name), format!("#{r:02x}{g:02x}{b:02x}"), "--{name}");
    }
}

/// Relative luminance, WCAG 2.2: <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>.
fn luminance(hex: &str) -> f64 {
    let channel = |n: usize| {
        let value = u8::from_str_radix(hex.get(n..n + 2).unwrap_or_default(), 16).unwrap_or_default();
        let c = f64::from(value) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

/// Text needs 4.5 : 1 against what is behind it, a shape 3 : 1 (WCAG 2.2, 1.4.3 and 1.4.11). The server's
/// orange on white has less: it is never alone, its shapes have an outline, a name and a place.
#[test]
fn text_and_shapes_stand_out_in_both_themes() {
    let dark = CSS
        .split("[data-theme=\"dark\"] {")
        .nth(1)
        .and_then(|rest| rest.split('}').next())
        .unwrap_or_default();
    let of_dark = |name: &str| {
        let rest = dark.split_once(&format!("--{name}: ")).map(|(_, rest)| rest).unwrap_or_default();
        rest.split(';').next().unwrap_or_default().to_owned()
    };
    let contrast = |a: &str, b: &str| {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    };
    for (theme, of) in [("light", &light as &dyn Fn(&str) -> String), ("dark", &of_dark)] {
        for name in ["ink", "quiet", "client-text", "server-text", "tare-text", "note"] {
            for behind in ["paper", "raised"] {
                let ratio = contrast(&of(name), &of(behind));
                assert!(ratio >= 4.5, "{theme}: --{name} on --{behind}: {ratio:.2}");
            }
        }
        for (text, behind) in [("on-client", "client"), ("on-server", "server"), ("on-tare", "tare")] {
            let ratio = contrast(&of(text), &of(behind));
            assert!(ratio >= 4.5, "{theme}: --{text} on --{behind}: {ratio:.2}");
        }
        for shape in ["client", "tare"] {
            let ratio = contrast(&of(shape), &of("paper"));
            assert!(ratio >= 3.0, "{theme}: --{shape}: {ratio:.2}");
        }
    }
}

#[test]
fn both_dark_blocks_say_the_same() {
    let blocks: Vec<String> = CSS
        .split("--paper: #15181b;")
        .skip(1)
        .map(|rest| {
            rest.split("--shade").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(blocks.len(), 2, "one for the system's wish, one for the reader's");
    assert_eq!(blocks.first(), blocks.get(1));
}

#[test]
fn nothing_is_asked_of_any_other_place() {
    for (name, text) in [("report.css", CSS), ("report.js", JS)] {
        for far in [
            "http:",
            "https:",
            "url(",
            "@import",
            "import ",
            "fetch(",
            "XMLHttpRequest",
            "WebSocket",
            "</script",
            "</style",
        ] {
            assert!(!text.contains(far), "{name} has `{far}`");
        }
    }
}

#[test]
fn every_file_of_the_page_is_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/report");
    let mut here: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    here.sort();
    let used = [
        "bars.html",
        "chart.html",
        "figure.html",
        "page.html",
        "report.css",
        "report.js",
        "table.html",
        "waterfall.html",
    ];
    assert_eq!(here, used);
}
