//! Prometheus text format 0.0.4 and 1.0.0, and OpenMetrics text: a page in, samples and errors out.
//! It must not know which metrics matter, nor what a histogram is.

use std::borrow::Cow;

use nom::Parser;

use crate::error::ParseError;
use crate::exposition_sample::{blanks, sample, type_name, word};
use crate::line::{Expected, Wanted, expect, expected_of, fail};

/// A page, read as far as it could be: good lines survive bad ones, and both are here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape<'a> {
    pub samples: Vec<Sample<'a>>,
    /// The `# TYPE` lines, names as written there (OpenMetrics leaves `_total` out).
    pub types: Vec<(&'a str, MetricType)>,
    pub errors: Vec<LineError>,
    /// Lines with samples that were not wanted, and so not read.
    pub left_out: usize,
    /// Whether the page came to its end: `# EOF`, or a last line feed.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// As written: `_bucket`, `_sum`, `_count`, `_total`, `_created` kept.
    pub name: &'a str,
    /// In the page's order, values unescaped.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    pub value: f64,
    pub timestamp_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    /// `untyped` in the older format, `unknown` in OpenMetrics.
    Unknown,
}

/// A line that could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line_no}: {error}")]
pub struct LineError {
    /// From 1.
    pub line_no: usize,
    pub error: ParseError,
}

/// Reads a page. The page says itself which of the two formats it is: OpenMetrics ends with `# EOF`,
/// and there a timestamp is in seconds; in Prometheus's own format it is in whole milliseconds.
pub fn parse(text: &str) -> Scrape<'_> {
    parse_wanted(text, |_| true)
}

/// The same, but of the lines with samples only those that are `wanted`: the others are neither read nor checked.
pub fn parse_wanted(text: &str, wanted: impl Fn(&str) -> bool) -> Scrape<'_> {
    let mut page = Page { timestamps_in_seconds: text.trim_ascii_end().ends_with("# EOF"), ended: false };
    let mut scrape = Scrape {
        // A vLLM page has 90 to 130 bytes a sample; too small a guess costs copies, too large a
        // one memory that is given back with the page.
        samples: Vec::with_capacity(text.len() / 96),
        complete: text.ends_with('\n'),
        ..Scrape::default()
    };
    let mut rest = text;
    let mut line_no = 0;
    while !rest.is_empty() {
        line_no += 1;
        let (line, is_whole) = match memchr::memchr(b'\n', rest.as_bytes()) {
            Some(end) => {
                let line = rest.get(..end).unwrap_or_default();
                rest = rest.get(end + 1..).unwrap_or_default();
                (line, true)
            }
            None => (std::mem::take(&mut rest), false),
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if is_whole && !page.ended && !wanted(line) {
            scrape.left_out += 1;
            continue;
        }
        if let Err(expected) = page.read(line, is_whole, &mut scrape) {
            let error = expected.into_error(FORMAT, line);
            scrape.errors.push(LineError { line_no, error });
        }
    }
    scrape.complete |= page.ended;
    scrape
}

const FORMAT: &str = "prometheus text";

/// What earlier lines of the page say about later ones.
struct Page {
    timestamps_in_seconds: bool,
    ended: bool,
}

impl Page {
    fn read<'a>(
        &mut self,
        line: &'a str,
        is_whole: bool,
        scrape: &mut Scrape<'a>,
    ) -> Result<(), Expected<'a>> {
        let line = blanks(line);
        if line.is_empty() {
            return Ok(());
        }
        if self.ended {
            return fail(line, "nothing after `# EOF`").map_err(expected_of);
        }
        let result = match line.strip_prefix('#') {
            Some(comment) => self.comment(comment, scrape),
            // The number that such a line ends with may have been cut: it would be a wrong value.
            None if !is_whole => fail("", "a line feed after the last line"),
            None => sample(line, self.timestamps_in_seconds).map(|(_, sample)| {
                scrape.samples.push(sample);
            }),
        };
        result.map_err(expected_of)
    }

    fn comment<'a>(&mut self, comment: &'a str, scrape: &mut Scrape<'a>) -> Wanted<'a, ()> {
        let (rest, keyword) = word(blanks(comment));
        match keyword {
            "EOF" if rest.is_empty() => self.ended = true,
            "TYPE" => {
                let (rest, name) = expect("a metric name", type_name).parse(blanks(rest))?;
                let (end, kind) = word(blanks(rest));
                let Some(kind) = metric_type(kind) else {
                    return fail(blanks(rest), "a metric type");
                };
                if !blanks(end).is_empty() {
                    return fail(blanks(end), "the end of the line");
                }
                scrape.types.push((name, kind));
            }
            // `HELP` and `UNIT` say nothing that is used; anything else is a remark.
            _ => {}
        }
        Ok(())
    }
}

fn metric_type(word: &str) -> Option<MetricType> {
    Some(match word {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "untyped" | "unknown" => MetricType::Unknown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn only(text: &str) -> Sample<'_> {
        let scrape = parse(text);
        assert_eq!(scrape.errors, [], "{text}");
        assert_eq!(scrape.samples.len(), 1, "{text}");
        scrape.samples.into_iter().next().unwrap()
    }

    #[test]
    fn escapes_in_label_values_are_decoded() {
        let sample = only("a{x=\"1\\\"2\\\\3\\n4\\d,=}\"} 1\n");
        assert_eq!(sample.labels, [("x", Cow::Borrowed("1\"2\\3\n4\\d,=}"))]);
    }

    #[test]
    fn blanks_and_a_last_comma_are_allowed_where_the_formats_allow_them() {
        let sample = only(" \tvllm:a \t{ x = \"1\" , y=\"2\" ,}  +Inf  7 \r\n");
        assert_eq!(sample.name, "vllm:a");
        assert_eq!(sample.labels.len(), 2);
        assert_eq!(sample.value.to_bits(), f64::INFINITY.to_bits());
        assert_eq!(sample.timestamp_ms, Some(7));
        assert_eq!(only("a{} NaN\n").labels, []);
    }

    #[test]
    fn a_timestamp_is_read_in_the_unit_of_its_format() {
        assert_eq!(only("a 1 1520879607789\n").timestamp_ms, Some(1_520_879_607_789));
        assert_eq!(only("a 1 1520879607.789\n# EOF\n").timestamp_ms, Some(1_520_879_607_789));
        assert_eq!(only("a 1 1520879607\n# EOF").timestamp_ms, Some(1_520_879_607_000));
        assert_eq!(only("a 1 -1\n").timestamp_ms, Some(-1));
    }

    #[test]
    fn names_in_quotes_stand_inside_the_braces() {
        let sample = only("{\"my.metric\", \"a.b\"=\"c\"} 1\n");
        assert_eq!(sample.name, "my.metric");
        assert_eq!(sample.labels, [("a.b", Cow::Borrowed("c"))]);
    }

    #[test]
    fn a_cut_last_line_is_no_sample() {
        let scrape = parse("a 1\nb 12");
        assert_eq!(scrape.samples.len(), 1);
        assert_eq!(scrape.errors.first().unwrap().line_no, 2);
        assert!(!scrape.complete);
    }

    #[test]
    fn what_is_not_wanted_is_left_out_and_counted() {
        let scrape = parse_wanted("# TYPE a counter\na 1\nb ?\nb 2\nb 3", |line| !line.starts_with('b'));
        assert_eq!((scrape.samples.len(), scrape.types.len(), scrape.left_out), (1, 1, 2));
        // A last line that was cut is told of, whatever it is.
        assert_eq!(scrape.errors.first().unwrap().line_no, 5);
    }

    #[test]
    fn nothing_counts_after_the_end() {
        let scrape = parse("a 1\n# EOF\nb 2\n");
        assert_eq!((scrape.samples.len(), scrape.errors.len()), (1, 1));
        assert!(scrape.complete);
    }
}
