//! Writes a metrics page in the Prometheus text format exactly as the Python client does: `# HELP`,
//! `# TYPE`, samples, and a `_created` family after each counter and histogram; label names sorted,
//! numbers as Python prints them. This file must not know which families there are.

use std::fmt::Write as _;

use super::python;
use super::registry::Histogram;

/// The content type that goes with the page.
pub const CONTENT_TYPE: &str = "text/plain; version=1.0.0; charset=utf-8";

/// A page being written, family by family.
pub struct Page {
    /// What has been written of the family that is being written.
    text: String,
    kind: &'static str,
    /// Of one process: everything, in its order. Of several, merged: the counters, before the families
    /// of other kinds.
    first: String,
    histograms: String,
    gauges: String,
    summaries: String,
    /// Merged from several processes: sorted by kind, sums before buckets, no `_created`.
    merged: bool,
}

/// Labels in the order in which they are to be written (sorted by name, `le` among them).
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// `merged`: as the client writes what several processes have counted.
    pub fn new(merged: bool) -> Self {
        Self {
            text: String::with_capacity(4 * 1024),
            kind: "",
            // A page is about 50 kB.
            first: String::with_capacity(64 * 1024),
            histograms: String::new(),
            gauges: String::new(),
            summaries: String::new(),
            merged,
        }
    }

    pub fn is_merged(&self) -> bool {
        self.merged
    }

    pub fn into_text(mut self) -> String {
        self.end_family();
        for later in [&self.histograms, &self.gauges, &self.summaries] {
            self.first.push_str(later);
        }
        self.first
    }

    fn end_family(&mut self) {
        let to = match self.kind {
            "histogram" if self.merged => &mut self.histograms,
            "gauge" if self.merged => &mut self.gauges,
            "summary" if self.merged => &mut self.summaries,
            _ => &mut self.first,
        };
        to.push_str(&self.text);
        self.text.clear();
    }

    /// The two comment lines above a family.
    pub fn head(&mut self, name: &str, help: &str, kind: &'static str) {
        self.end_family();
        self.kind = kind;
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    pub fn sample(&mut self, name: &str, labels: Labels, value: f64) {
        self.text.push_str(name);
        self.labels(labels.iter().copied());
        self.value(value);
    }

    pub fn gauge(&mut self, name: &str, help: &str, series: &[(Labels, f64)]) {
        self.head(name, help, "gauge");
        for (labels, value) in series {
            self.sample(name, labels, *value);
        }
    }

    /// A counter: `name_total`, then `name_created`.
    pub fn counter(&mut self, name: &str, help: &str, created_s: f64, series: &[(Labels, u64)]) {
        let total = format!("{name}_total");
        self.head(&total, help, "counter");
        for (labels, value) in series {
            self.sample(&total, labels, *value as f64);
        }
        let created: Vec<(Labels, f64)> = series.iter().map(|(labels, _)| (*labels, created_s)).collect();
        self.created(name, help, &created);
    }

    /// A histogram, then its `_created`.
    pub fn histogram(&mut self, name: &str, help: &str, created_s: f64, series: &[(Labels, &Histogram)]) {
        self.head(name, help, "histogram");
        for (labels, histogram) in series {
            self.histogram_samples(name, labels, histogram);
        }
        let created: Vec<(Labels, f64)> = series.iter().map(|(labels, _)| (*labels, created_s)).collect();
        self.created(name, help, &created);
    }

    /// The samples of one label set of a histogram.
    pub fn histogram_samples(&mut self, name: &str, labels: Labels, histogram: &Histogram) {
        if self.merged {
            self.sample(&format!("{name}_sum"), labels, histogram.sum);
        }
        let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
        let mut cumulated = 0;
        for (bound, count) in bounds.zip(&histogram.counts) {
            cumulated += count;
            let bound = python::sample(bound);
            self.text.push_str(name);
            self.text.push_str("_bucket");
            let before = labels.iter().copied().filter(|(name, _)| *name < "le");
            let after = labels.iter().copied().filter(|(name, _)| *name > "le");
            self.labels(before.chain([("le", bound.as_str())]).chain(after));
            self.value(cumulated as f64);
        }
        self.sample(&format!("{name}_count"), labels, cumulated as f64);
        if !self.merged {
            self.sample(&format!("{name}_sum"), labels, histogram.sum);
        }
    }

    /// A `_created` family; left out when it has no series, or is not known of several processes.
    pub fn created(&mut self, name: &str, help: &str, series: &[(Labels, f64)]) {
        if !series.is_empty() && !self.merged {
            self.gauge(&format!("{name}_created"), help, series);
        }
    }

    fn labels<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut open = false;
        for (name, value) in labels {
            self.text.push(if open { ',' } else { '{' });
            open = true;
            self.text.push_str(name);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if open {
            self.text.push('}');
        }
    }

    fn value(&mut self, value: f64) {
        let _ = writeln!(self.text, " {}", python::sample(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulated_and_its_labels_stay_sorted() {
        let mut histogram = Histogram::new(vec![0.5, 1.0]);
        histogram.observe(0.25);
        histogram.observe(2.0);
        let mut page = Page::new(false);
        let labels: Labels = &[("engine", "0"), ("model_name", "m")];
        page.histogram("t", "Time.", 1.5, &[(labels, &histogram)]);
        let expected = "# HELP t Time.\n# TYPE t histogram\n\
            t_bucket{engine=\"0\",le=\"0.5\",model_name=\"m\"} 1.0\n\
            t_bucket{engine=\"0\",le=\"1.0\",model_name=\"m\"} 1.0\n\
            t_bucket{engine=\"0\",le=\"+Inf\",model_name=\"m\"} 2.0\n\
            t_count{engine=\"0\",model_name=\"m\"} 2.0\nt_sum{engine=\"0\",model_name=\"m\"} 2.25\n\
            # HELP t_created Time.\n# TYPE t_created gauge\nt_created{engine=\"0\",model_name=\"m\"} 1.5\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn a_merged_page_is_sorted_by_kind_and_knows_no_creation() {
        let mut page = Page::new(true);
        page.gauge("g", "G.", &[(&[], 1.0)]);
        page.counter("c", "C.", 1.5, &[(&[], 2)]);
        page.histogram("h", "H.", 1.5, &[(&[], &Histogram::new(Vec::new()))]);
        page.counter("d", "D.", 1.5, &[(&[], 3)]);
        let expected = "# HELP c_total C.\n# TYPE c_total counter\nc_total 2.0\n\
            # HELP d_total D.\n# TYPE d_total counter\nd_total 3.0\n\
            # HELP h H.\n# TYPE h histogram\nh_sum 0.0\nh_bucket{le=\"+Inf\"} 0.0\nh_count 0.0\n\
            # HELP g G.\n# TYPE g gauge\ng 1.0\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn label_values_are_escaped_and_no_labels_means_no_braces() {
        let mut page = Page::new(false);
        page.sample("a", &[("m", "x\"y\\z\n")], 1.0);
        page.sample("b", &[], 2_000_000.0);
        assert_eq!(page.into_text(), "a{m=\"x\\\"y\\\\z\\n\"} 1.0\nb 2e+06\n");
    }

    #[test]
    fn a_counter_comes_with_its_creation() {
        let mut page = Page::new(false);
        page.counter("c", "C.", 1_795_533_077.5, &[(&[("reason", "stop")], 3)]);
        let expected = "# HELP c_total C.\n# TYPE c_total counter\nc_total{reason=\"stop\"} 3.0\n\
            # HELP c_created C.\n# TYPE c_created gauge\nc_created{reason=\"stop\"} 1.7955330775e+09\n";
        assert_eq!(page.into_text(), expected);
    }
}
