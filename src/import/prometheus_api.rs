//! What the Prometheus server's own API answers: `/api/v1/query_range` (or `/api/v1/query` with a range
//! such as `{job="vllm"}[10m]`), one JSON document or several after each other. Series with their values
//! over time become pages, one an endpoint and moment. It must not know what a series means.
//!
//! A range query repeats at each of its steps what the last scrape before it saw: its moments are the
//! query's, up to a scrape interval too late. A query with a range in brackets has the moments of the
//! scrapes themselves. Which it was, an answer does not say, so a page counts as up to a step old; where
//! its counters stand still for several steps between changes, as up to so many steps and one more.
//! Endpoints are told apart by the label `instance`, which, as `job`, is Prometheus's own and not the
//! server's. Documents may overlap. A moment at which a counter is missing that was there before and is
//! again after, or that lies outside of what a document with such counters covers, is left out: what
//! lacks there is not zero.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::rc::Rc;

use serde::Deserialize;

use super::input::Reading;
use super::{Format, Of, PageAt, Reads, instants};
use crate::clock::UnixNs;
use crate::error::usage;
use crate::ingest::scrape::{Wanted, read_page};

pub(super) const FORMAT: Format = Format {
    name: "prometheus_api",
    of: Of::Pages,
    description: "answers of Prometheus's /api/v1/query_range, or /api/v1/query with a range",
    reads: Reads::Text {
        recognises: |text| {
            let begins = text.trim_start().starts_with('{');
            begins && (text.contains("\"resultType\"") || text.contains("\"errorType\""))
        },
        read,
    },
};

#[derive(Deserialize)]
struct Answer {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Option<Vec<(f64, String)>>,
    value: Option<(f64, String)>,
}

/// The samples of an endpoint at a moment: each series with its value.
type Samples = BTreeMap<Rc<str>, String>;
/// Moments in nanoseconds since 1970.
type Pages = BTreeMap<i64, Samples>;

/// What is known of one endpoint.
#[derive(Default)]
struct Endpoint {
    pages: Pages,
    /// Which job a series was scraped for.
    jobs: BTreeMap<Rc<str>, String>,
    /// Of each metric, the moments between which a document with it tells.
    told: BTreeMap<String, (i64, i64)>,
}

fn read(text: &str, reading: &mut Reading<'_>) {
    let mut endpoints: BTreeMap<String, Endpoint> = BTreeMap::new();
    for (document, n) in serde_json::Deserializer::from_str(text).into_iter::<Answer>().zip(1..) {
        let series = document.map_err(|error| error.to_string()).and_then(series);
        match series {
            Err(error) => {
                reading.count(&format!("answer {n}"), Err(error));
                // After broken JSON nothing can be found again.
                break;
            }
            Ok(all) => {
                let mut of_one: BTreeMap<String, Endpoint> = BTreeMap::new();
                for (series, i) in all.into_iter().zip(1..) {
                    let taken = Series::deserialize(series)
                        .map_err(|error| error.to_string())
                        .and_then(|series| series.add_to(&mut of_one));
                    reading.count(&format!("answer {n}, series {i}"), taken);
                }
                for (instance, new) in of_one {
                    let clash = endpoints.entry(instance).or_default().join(new);
                    if let Err(error) = clash {
                        reading.count(&format!("answer {n}"), Err(error));
                    }
                }
            }
        }
    }
    let shown = reading.path.display().to_string();
    let (mut n, mut left_out) = (0_usize, 0_usize);
    for (instance, mut endpoint) in endpoints {
        let all = endpoint.pages.len();
        endpoint.leave_out_gaps();
        left_out += all - endpoint.pages.len();
        n += endpoint.pages.len();
        let lag_ns = lag_ns(&endpoint.pages);
        for (at, samples) in endpoint.pages {
            let page = page(&samples);
            // Every line was made here of a name, labels and a number.
            if let Ok(page) = read_page(&page, "", Wanted::All) {
                let source = (!instance.is_empty()).then(|| instance.clone());
                let at = Some((UnixNs(at.saturating_sub(lag_ns)), UnixNs(at)));
                reading.rows.pages.push(PageAt { at, source, page });
            }
        }
    }
    if n == 0 && left_out > 0 {
        let what = format!("{shown}: at none of its {left_out} moments is every counter told");
        reading
            .refuse(usage(what).hint("ask for all series in one query, such as `{__name__=~\"vllm:.*\"}`"));
    }
    if n > 0 {
        reading.notes.push(format!(
            "{shown}: {n} moments of Prometheus's: those of a range query are its steps, up to a scrape interval after the scrape; `/api/v1/query` with `[10m]` behind the selector gives the scrapes' own"
        ));
    }
    if n > 0 && left_out > 0 {
        reading.notes.push(format!(
            "{shown}: {left_out} further moments lack counters that others have (a gap, or queries of other ranges or steps): they are left out"
        ));
    }
}

impl Endpoint {
    /// Adds what another document tells, which may be in part the same.
    fn join(&mut self, other: Endpoint) -> Result<(), String> {
        let mut clash = None;
        for (series, job) in other.jobs {
            let known = self.jobs.entry(Rc::clone(&series)).or_insert_with(|| job.clone());
            if *known != job {
                clash.get_or_insert(twice(&series, known, &job));
            }
        }
        if let Some(clash) = clash {
            return Err(clash);
        }
        for (metric, (from, to)) in other.told {
            let told = self.told.entry(metric).or_insert((from, to));
            *told = (told.0.min(from), told.1.max(to));
        }
        for (at, samples) in other.pages {
            self.pages.entry(at).or_default().extend(samples);
        }
        Ok(())
    }

    /// Keeps the moments at which every counter is told that is to be told there.
    fn leave_out_gaps(&mut self) {
        let mut ends: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for (at, samples) in &self.pages {
            for series in samples.keys().filter(|series| counts(series)) {
                ends.entry(series).or_insert((*at, *at)).1 = *at;
            }
        }
        let told = self.told.iter().filter(|(metric, _)| counts(metric));
        let (from, to) =
            told.fold((i64::MIN, i64::MAX), |(from, to), (_, one)| (from.max(one.0), to.min(one.1)));
        let whole = |at: i64, samples: &Samples| {
            let missing = |(series, (first, last)): (&&str, &(i64, i64))| {
                (*first..=*last).contains(&at) && !samples.contains_key(*series)
            };
            (from..=to).contains(&at) && !ends.iter().any(missing)
        };
        let kept: Vec<i64> =
            self.pages.iter().filter(|(at, samples)| whole(**at, samples)).map(|(at, _)| *at).collect();
        self.pages.retain(|at, _| kept.binary_search(at).is_ok());
    }
}

/// Whether a series is a counter or of a histogram, by its name: an answer tells no types.
fn counts(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
}

fn counters(samples: &Samples) -> impl Iterator<Item = (&Rc<str>, &String)> {
    samples.iter().filter(|(series, _)| counts(series))
}

/// How old what a page holds may be at most, ns: the least time between two pages; where counters stood still
/// between changes, the least time between changes and that.
fn lag_ns(pages: &Pages) -> i64 {
    let moments: Vec<i64> = pages.keys().copied().collect();
    let least = |at: &[i64]| at.iter().zip(at.iter().skip(1)).map(|(a, b)| b - a).min();
    // Two moments tell no step: they may be an instant query each.
    let Some(step) = least(&moments).filter(|_| moments.len() > 2) else { return 0 };
    let pairs = pages.iter().zip(pages.iter().skip(1));
    let grew = pairs.filter(|((_, before), (_, now))| !counters(before).eq(counters(now)));
    let changes: Vec<i64> = grew.map(|(_, (at, _))| *at).collect();
    let stood_still = changes.first().zip(changes.last()).is_some_and(|(first, last)| {
        moments.iter().filter(|at| (first..=last).contains(at)).count() > changes.len()
    });
    match least(&changes) {
        Some(between) if stood_still => between.saturating_add(step),
        _ => step,
    }
}

fn series(answer: Answer) -> Result<Vec<serde_json::Value>, String> {
    let Answer { status, error, data } = answer;
    let data = match data {
        Some(data) if status == "success" => data,
        _ => return Err(format!("Prometheus answered `{status}`: {}", error.unwrap_or_default())),
    };
    match (data.kind.as_str(), data.result) {
        ("matrix" | "vector", serde_json::Value::Array(series)) => Ok(series),
        (kind, _) => Err(format!("expected series (`matrix`), found `{kind}`")),
    }
}

impl Series {
    fn add_to(self, endpoints: &mut BTreeMap<String, Endpoint>) -> Result<(), String> {
        let Self { mut metric, values, value } = self;
        let Some(name) = metric.remove("__name__") else {
            return Err("a series without a name: ask for the series themselves, such as `{__name__=~\"vllm:.*\"}`, not for a function of them".to_owned());
        };
        let instance = metric.remove("instance").unwrap_or_default();
        let job = metric.remove("job").unwrap_or_default();
        let labels: Vec<String> =
            metric.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let series: Rc<str> = format!("{name}{labels}").into();
        let mut told: Vec<(i64, String)> = Vec::new();
        for (at, value) in values.into_iter().flatten().chain(value) {
            let at = instants::since_1970(at, 1e9)?.0;
            let number: f64 = value
                .parse()
                .map_err(|_| format!("`{series}`: expected a number as text, found `{value}`"))?;
            // What is no number is not there; of a counter it makes a gap.
            told.extend(number.is_finite().then_some((at, value)));
        }
        let values = told;
        let endpoint = endpoints.entry(instance).or_default();
        if let Some(other) = endpoint.jobs.insert(Rc::clone(&series), job.clone()) {
            return Err(twice(&series, &other, &job));
        }
        // A series may begin later than others of its document: then it was not there before.
        for told in endpoint.told.values_mut() {
            for (at, _) in &values {
                *told = (told.0.min(*at), told.1.max(*at));
            }
        }
        let all = endpoint.pages.keys().copied().chain(values.iter().map(|(at, _)| *at));
        let span = all.fold((i64::MAX, i64::MIN), |(from, to), at| (from.min(at), to.max(at)));
        if !values.is_empty() {
            endpoint.told.insert(name, span);
        }
        for (at, value) in values {
            endpoint.pages.entry(at).or_default().insert(Rc::clone(&series), value);
        }
        Ok(())
    }
}

/// Of one endpoint that was scraped for two jobs: both would be added up.
fn twice(series: &str, one: &str, other: &str) -> String {
    format!(
        "`{series}` is told twice for one `instance`, for the jobs `{one}` and `{other}`: ask for one of them, such as `{{job=\"{one}\"}}`"
    )
}

/// Samples as lines of a page. Writing into text does not fail.
pub(super) fn page<S: Display, V: Display>(samples: &BTreeMap<S, V>) -> String {
    let mut page = String::new();
    for (series, value) in samples {
        let _ = writeln!(page, "{series} {value}");
    }
    page
}

pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
