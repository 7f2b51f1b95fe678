//! `JUnit` XML, as CI systems read it: suites of test cases that passed, failed, broke or were left out. Elements and
//! attributes are those of the schema that Jenkins' xUnit plugin has (`junit-10.xsd`). This file must not know what a
//! case is about.

use std::fmt::Write as _;

/// Cases that belong together.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    pub name: String,
    pub cases: Vec<Case>,
}

/// One test case.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub ended: Ended,
    /// What was found, in a sentence.
    pub said: String,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    Passed,
    Failed,
    /// It could not be decided.
    Broke,
    /// There was nothing to decide.
    LeftOut,
}

/// The document. Times of cases are left 0: none takes any.
pub fn junit(suites: &[Suite]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"tare\">\n");
    for suite in suites {
        // Writing to a String never fails.
        let _ = write_suite(&mut out, suite);
    }
    out + "</testsuites>\n"
}

fn write_suite(out: &mut String, suite: &Suite) -> std::fmt::Result {
    let n = |ended: Ended| suite.cases.iter().filter(|case| case.ended == ended).count();
    let name = attribute(&suite.name);
    writeln!(
        out,
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"0\">",
        suite.cases.len(),
        n(Ended::Failed),
        n(Ended::Broke),
        n(Ended::LeftOut)
    )?;
    for case in &suite.cases {
        let (of, said) = (attribute(&case.name), attribute(&case.said));
        write!(out, "    <testcase name=\"{of}\" classname=\"{name}\" time=\"0\">")?;
        match case.ended {
            Ended::Passed => write!(out, "<system-out>{}</system-out>", text(&case.said))?,
            Ended::Failed => write!(out, "<failure message=\"{said}\" type=\"missed\"/>")?,
            Ended::Broke => write!(out, "<error message=\"{said}\" type=\"not judged\"/>")?,
            Ended::LeftOut => write!(out, "<skipped message=\"{said}\"/>")?,
        }
        writeln!(out, "</testcase>")?;
    }
    writeln!(out, "  </testsuite>")
}

/// As it stands between quotation marks, where a line's end would be read as a blank.
fn attribute(raw: &str) -> String {
    text(raw).replace('"', "&quot;").replace('\n', "&#10;").replace('\t', "&#9;")
}

/// As it stands between tags: characters that XML 1.0 has not (its production 2) are shown as unknown.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn case(name: &str, ended: Ended, said: &str) -> Case {
        Case { name: name.to_owned(), ended, said: said.to_owned() }
    }

    #[test]
    fn suites_are_counted_and_text_stays_text() {
        let gates = Suite {
            name: "gates of \"a & b\"".to_owned(),
            cases: vec![
                case("p99_ttft_ms > 500", Ended::Failed, "missed: 612 ms\nof <a>"),
                case("goodput < 3", Ended::Broke, "no goodput"),
                case("mean_itl_ms > 90", Ended::Passed, "kept: \"52\" ms & less \u{7}"),
            ],
        };
        let checks = Suite {
            name: "reconciliation".to_owned(),
            cases: vec![case("requests", Ended::LeftOut, "not available")],
        };
        insta::assert_snapshot!(junit(&[gates, checks]), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="tare">
          <testsuite name="gates of &quot;a &amp; b&quot;" tests="3" failures="1" errors="1" skipped="0" time="0">
            <testcase name="p99_ttft_ms &gt; 500" classname="gates of &quot;a &amp; b&quot;" time="0"><failure message="missed: 612 ms&#10;of &lt;a&gt;" type="missed"/></testcase>
            <testcase name="goodput &lt; 3" classname="gates of &quot;a &amp; b&quot;" time="0"><error message="no goodput" type="not judged"/></testcase>
            <testcase name="mean_itl_ms &gt; 90" classname="gates of &quot;a &amp; b&quot;" time="0"><system-out>kept: "52" ms &amp; less �</system-out></testcase>
          </testsuite>
          <testsuite name="reconciliation" tests="1" failures="0" errors="0" skipped="1" time="0">
            <testcase name="requests" classname="reconciliation" time="0"><skipped message="not available"/></testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    proptest! {
        #[test]
        fn no_text_breaks_out(raw in any::<String>()) {
            let shown = attribute(&raw);
            prop_assert!(!shown.contains(['<', '>', '"', '\n', '\r', '\0']));
            let unescaped = shown
                .replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#10;", "\n")
                .replace("&#9;", "\t").replace("&#13;", "\r").replace("&amp;", "&");
            let known = |c: char| !matches!(c, '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}') || matches!(c, '\t' | '\n' | '\r');
            let expected: String = raw.chars().map(|c| if known(c) { c } else { '\u{fffd}' }).collect();
            prop_assert_eq!(unescaped, expected);
        }
    }
}
