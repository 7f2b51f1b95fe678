//! The page while it is put together: its templates, the window its figures are of, and the island of numbers
//! that pointing at a figure reads. This file must not know what is on the page.

use anyhow::Context as _;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::Report;
use super::super::tables::Table;
use crate::units;

const TEMPLATES: [(&str, &str); 6] = [
    ("page.html", include_str!("../../../assets/report/page.html")),
    ("table.html", include_str!("../../../assets/report/table.html")),
    ("chart.html", include_str!("../../../assets/report/chart.html")),
    ("figure.html", include_str!("../../../assets/report/figure.html")),
    ("bars.html", include_str!("../../../assets/report/bars.html")),
    ("waterfall.html", include_str!("../../../assets/report/waterfall.html")),
];

/// A page in the making.
pub struct Page<'a> {
    pub report: &'a Report<'a>,
    templates: Environment<'static>,
    island: Map<String, Value>,
}

/// A part of the page.
#[derive(Debug, Serialize)]
pub struct Section {
    pub id: &'static str,
    /// Its name where there is little room.
    pub short: &'static str,
    pub title: String,
    /// One or two sentences below the title.
    pub lead: String,
    /// HTML.
    pub body: String,
}

/// A figure with all that it must say.
#[derive(Debug, Default, Serialize)]
pub struct Figure {
    pub id: String,
    pub class: &'static str,
    pub title: String,
    pub about: String,
    /// HTML.
    pub body: String,
    /// What pointing at it shows before anything is pointed at; empty: it cannot be pointed at.
    pub hint: &'static str,
    /// What n is.
    pub n: String,
    pub window: String,
    pub links: Vec<Link>,
}

/// A file of the run folder.
#[derive(Debug, Serialize)]
pub struct Link {
    pub href: &'static str,
    pub text: &'static str,
}

/// A table, and how each of its columns stands.
#[derive(Serialize)]
struct Columns<'a> {
    table: &'a Table,
    kinds: Vec<&'static str>,
}

impl<'a> Page<'a> {
    pub fn new(report: &'a Report<'a>) -> anyhow::Result<Self> {
        let mut templates = Environment::new();
        // Every name, message and prompt is text.
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        templates.add_filter("said", said);
        for (name, text) in TEMPLATES {
            templates.add_template(name, text).with_context(|| format!("the template {name} is broken"))?;
        }
        Ok(Self { report, templates, island: Map::new() })
    }

    /// A template, filled in.
    pub fn render(&self, name: &str, context: impl Serialize) -> anyhow::Result<String> {
        let template = self.templates.get_template(name)?;
        template.render(Serde(context)).with_context(|| format!("could not fill in {name}"))
    }

    /// Numbers for pointing at a figure.
    pub fn add_data(&mut self, key: &str, value: Value) {
        self.island.insert(key.to_owned(), value);
    }

    /// The island as text that no `</script>` ends.
    pub fn island(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(&self.island)?.replace('<', "\\u003c"))
    }

    /// A figure as HTML.
    pub fn figure(&self, figure: Figure) -> anyhow::Result<String> {
        let window = if figure.window.is_empty() { self.window() } else { figure.window.clone() };
        self.render("figure.html", Figure { window, ..figure })
    }

    /// A table as HTML.
    pub fn table(&self, table: &Table) -> anyhow::Result<String> {
        let kinds: Vec<&str> = (0..table.head.len()).map(|n| kind(table, n)).collect();
        let columns = Columns { table, kinds };
        self.render("table.html", columns)
    }

    /// Which requests the figures are of, in a few words.
    pub fn window(&self) -> String {
        let w = &self.report.summary.window;
        if w.is_cut() {
            format!("window {}: {:.1} s to {:.1} s since the first start", w.choice, w.begin_s, w.end_s)
        } else {
            format!("whole run, {}", units::seconds(w.end_s - w.begin_s))
        }
    }

    /// `1,493 of 1,500 requests`.
    pub fn n_ok(&self, n: usize) -> String {
        let counts = &self.report.summary.counts;
        format!("{} of {} requests", units::count(n as u64), units::count(counts.total as u64))
    }
}

/// A sentence as HTML: what stands between two backticks is code.
fn said(text: &str) -> minijinja::Value {
    let mut out = String::with_capacity(text.len());
    let mut pieces = text.split('`').peekable();
    let mut is_code = false;
    while let Some(piece) = pieces.next() {
        // A backtick without a second one is only that.
        let closes = pieces.peek().is_some();
        match (is_code, closes) {
            (true, true) => out.push_str("<code>"),
            (true, false) => out.push('`'),
            (false, _) => {}
        }
        escape(&mut out, piece);
        if is_code && closes {
            out.push_str("</code>");
        }
        is_code = !is_code;
    }
    minijinja::Value::from_safe_string(out)
}

/// Adds text as text.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// Numbers stand to the right, words to the left.
fn kind(table: &Table, column: usize) -> &'static str {
    /// A cell with more characters is prose.
    const PROSE: usize = 44;
    let cells: Vec<&str> = table.rows.iter().filter_map(|row| row.get(column)).map(String::as_str).collect();
    let is_number = |text: &&&str| {
        let text = text.trim_start_matches(['-', '≥']);
        text.starts_with(|c: char| c.is_ascii_digit()) || text == "–" || text.is_empty()
    };
    let numbers = cells.iter().filter(is_number).count();
    let is_prose = cells.iter().any(|cell| cell.chars().count() > PROSE);
    let numeric = column > 0 && numbers * 2 > cells.len() && !is_prose;
    // A side's own column has its colour.
    match (numeric, table.head.get(column).map(String::as_str)) {
        (true, Some("logged by tool" | "client" | "direct")) => "num client",
        (true, Some("logged by server" | "server")) => "num server",
        (true, Some("tare" | "added")) => "num tare",
        (true, _) => "num",
        (false, _) if is_prose => "prose",
        (false, _) => "text",
    }
}

/// A number for the island: six digits are more than a page can show.
pub fn short(value: f64) -> Value {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    serde_json::Number::from_f64(rounded).map_or(Value::Null, Value::Number)
}

/// The same of what may not be there.
pub fn short_or_null(value: Option<f64>) -> Value {
    value.map_or(Value::Null, short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code_and_all_of_it_is_text() {
        let shown = |text: &str| said(text).to_string();
        assert_eq!(shown("use `--a <b>` & go"), "use <code>--a &lt;b&gt;</code> &amp; go");
        assert_eq!(shown("one ` alone"), "one ` alone");
        assert_eq!(shown("`a``b`"), "<code>a</code><code>b</code>");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let table = Table {
            head: row(["", "logged by tool", "n", "detail"]),
            rows: vec![
                row([
                    "TTFT",
                    "817.1 ms (≥ 790.2 ms; n too small)",
                    "90 (eff. 12)",
                    "12 requests = 11 joined + 1 not joined, without a span",
                ]),
                row(["E2E", "–", "-3", "equal"]),
            ],
            ..Table::default()
        };
        let kinds: Vec<&str> = (0..4).map(|n| kind(&table, n)).collect();
        assert_eq!(kinds, ["text", "num client", "num", "prose"]);
    }

    #[test]
    fn numbers_of_the_island_are_short_and_never_nan() {
        assert_eq!(short(0.123_456_789), serde_json::json!(0.123_457));
        assert_eq!(short(f64::NAN), Value::Null);
        assert_eq!(short_or_null(None), Value::Null);
    }
}
