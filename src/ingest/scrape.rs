//! Asks a metrics endpoint once: the answer whole, stamped before and after, or what was found in
//! its place. The only file of this folder that speaks HTTP as a client. It must not know when to
//! ask, nor what a sample means.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tare_parsers::exposition::{self, MetricType};

use super::problem::{Problem, excerpt};
use super::trouble::Trouble;
use crate::clock::UnixNs;
use crate::record::{SampleRow, ScrapePhase, ScrapeRow};
use crate::server::trust::Trust;

/// A page may be so long; vLLM's is about 50 kB per engine.
pub const MAX_PAGE_BYTES: usize = 16 << 20;
/// And have so many lines: in memory, a line of two characters takes a hundred times its length.
pub const MAX_PAGE_LINES: usize = 200_000;
/// Under load an answer waits for the server's event loop, but not for ever.
pub const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_REDIRECTS: usize = 5;

/// Asks one endpoint.
#[derive(Clone, Debug)]
pub struct Scraper {
    client: Client,
    url: Url,
    max_page_bytes: usize,
    timeout: Duration,
}

/// How much of a page is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    All,
    /// All but the buckets of histograms: they are most of a page, and while the load runs nobody asks for them.
    WithoutBuckets,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Scrape {
    pub source: String,
    pub send_unix_ns: UnixNs,
    /// When the whole answer was there: the state it tells of lies between the two.
    pub recv_unix_ns: UnixNs,
    pub page: Result<Page, Trouble>,
}

/// A page that held samples.
#[derive(Clone, Debug)]
pub struct Page {
    pub samples: Vec<SampleRow>,
    /// Of each sample, in the same order.
    pub kinds: Vec<Kind>,
    pub bad_lines: u32,
    /// Samples without a finite value (an empty summary's quantiles, say); they are left out,
    /// since no later stage can count with them.
    pub n_not_finite: u32,
}

/// What a sample is for, as far as keeping and watching it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Never falls while its process lives.
    Counter,
    /// A histogram's bucket; never falls either.
    Bucket,
    /// When the series was made.
    Created,
    Other,
}

impl Scraper {
    /// For the endpoint at `url`; no proxy, whatever the environment says, and no other host.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, Problem> {
        let problem = |what: String| {
            Problem::new(what).hint("write it as http://HOST:PORT/metrics, with `--server-metrics`")
        };
        let no_url =
            |why: &str| problem(format!("`{}` is no URL of a metrics endpoint: {why}", excerpt(url, 200)));
        let parsed = Url::parse(url).map_err(|error| no_url(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(no_url("it does not begin with http:// or https://"));
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(same_host())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        let client = trust
            .applied(parsed.as_str(), client)
            .map_err(|failure| Problem::new(failure.to_string()))?
            .build();
        let client = client.map_err(|error| {
            Problem::new(format!("no HTTP client for the metrics endpoint: {}", root_cause(&error)))
        })?;
        Ok(Self { client, url: parsed, max_page_bytes: MAX_PAGE_BYTES, timeout: TIMEOUT })
    }

    /// With other bounds than the usual ones.
    #[must_use]
    pub fn bounded(mut self, max_page_bytes: usize, timeout: Duration) -> Self {
        self.max_page_bytes = max_page_bytes;
        self.timeout = timeout;
        self
    }

    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Asks once, for so much of the page. Never fails: what went wrong is in the answer.
    pub async fn scrape(&self, wanted: Wanted) -> Scrape {
        let send_unix_ns = UnixNs::now();
        let body = self.fetch().await;
        let recv_unix_ns = UnixNs::now();
        let page = body.and_then(|(bytes, content_type)| {
            read_page(&String::from_utf8_lossy(&bytes), &content_type, wanted)
        });
        Scrape { source: self.url.to_string(), send_unix_ns, recv_unix_ns, page }
    }

    async fn fetch(&self) -> Result<(Vec<u8>, String), Trouble> {
        // OpenMetrics would do as well, but the plain format is what every server has.
        let request = self
            .client
            .get(self.url.clone())
            .header(ACCEPT, "text/plain;version=0.0.4, */*;q=0.1")
            .timeout(self.timeout);
        let mut response = request.send().await.map_err(|error| self.trouble(&error))?;
        let status = response.status();
        let header = |response: &Response, name| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let content_type = header(&response, CONTENT_TYPE);
        if status.is_redirection() {
            return Err(Trouble::Redirect { to: header(&response, LOCATION) });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.trouble(&error))? {
            if body.len() + chunk.len() > self.max_page_bytes {
                return Err(Trouble::TooLarge(self.max_page_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(Trouble::Status {
                status: status.as_u16(),
                found: found(&String::from_utf8_lossy(&body), &content_type),
            });
        }
        Ok((body, content_type))
    }

    fn trouble(&self, error: &reqwest::Error) -> Trouble {
        if error.is_timeout() {
            Trouble::Timeout(self.timeout)
        } else if error.is_connect() {
            Trouble::Connect(root_cause(error))
        } else {
            Trouble::Broken(root_cause(error))
        }
    }
}

impl Scrape {
    /// The row to keep. Series' birth times are left out always, buckets while the load runs: they
    /// are most of a page, and only the difference from the first to the last snapshot is used.
    pub fn into_row(self, phase: ScrapePhase) -> ScrapeRow {
        let kept =
            |kind: Kind| kind != Kind::Created && (kind != Kind::Bucket || phase != ScrapePhase::During);
        let (samples, bad_lines, error) = match self.page {
            Ok(Page { samples, kinds, bad_lines, .. }) => {
                let samples = samples.into_iter().zip(kinds).filter(|(_, kind)| kept(*kind));
                (samples.map(|(sample, _)| sample).collect(), bad_lines, None)
            }
            Err(trouble) => (Vec::new(), 0, Some(trouble.to_string())),
        };
        let Self { source, send_unix_ns, recv_unix_ns, .. } = self;
        ScrapeRow { source, phase, send_unix_ns, recv_unix_ns, error, bad_lines, samples }
    }
}

impl Page {
    /// The samples, each with its kind.
    pub fn samples_of_kind(&self) -> impl Iterator<Item = (&SampleRow, Kind)> {
        self.samples.iter().zip(self.kinds.iter().copied())
    }
}

/// Follows redirects on the same host and port only: a metrics page elsewhere is another server's.
fn same_host() -> Policy {
    Policy::custom(|attempt| {
        let from = attempt.previous().last();
        let same = from.is_some_and(|from| {
            from.host_str() == attempt.url().host_str()
                && from.port_or_known_default() == attempt.url().port_or_known_default()
        });
        if same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
    })
}

/// The samples of a page that came as `content_type` (empty: not known), or what it is instead.
pub fn read_page(text: &str, content_type: &str, wanted: Wanted) -> Result<Page, Trouble> {
    if text.bytes().filter(|byte| *byte == b'\n').count() > MAX_PAGE_LINES {
        return Err(Trouble::TooManyLines(MAX_PAGE_LINES));
    }
    let scrape = exposition::parse_wanted(text, |line| wanted == Wanted::All || !is_bucket(line));
    if scrape.samples.is_empty() && scrape.left_out == 0 {
        let start = text.trim_start();
        let blank_or_comments = start.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
        let json = start.starts_with(['{', '[']);
        return Err(if blank_or_comments {
            Trouble::Empty
        } else {
            Trouble::NotMetrics { found: found(text, content_type), json }
        });
    }
    let types: HashMap<&str, MetricType> = scrape.types.iter().copied().collect();
    let mut page = Page {
        samples: Vec::with_capacity(scrape.samples.len()),
        kinds: Vec::with_capacity(scrape.samples.len()),
        bad_lines: scrape.errors.len() as u32,
        n_not_finite: 0,
    };
    // Without its end the page was cut by the server: the last line may be half a number.
    page.bad_lines += u32::from(!scrape.complete);
    for sample in scrape.samples {
        if !sample.value.is_finite() {
            page.n_not_finite += 1;
            continue;
        }
        let kind = kind(sample.name, sample.labels.iter().any(|(key, _)| *key == "le"), &types);
        let labels =
            sample.labels.into_iter().map(|(key, value)| (key.to_owned(), value.into_owned())).collect();
        page.samples.push(SampleRow { name: sample.name.to_owned(), labels, value: sample.value });
        page.kinds.push(kind);
    }
    Ok(page)
}

/// `name_bucket{…,le="…"} …`; one that is written otherwise is read, and no worse for it.
fn is_bucket(line: &str) -> bool {
    line.split_once('{').is_some_and(|(name, labels)| {
        let has_le = labels.trim_ascii_start().starts_with("le=\"") || labels.contains(",le=\"");
        !name.starts_with('#') && name.trim_ascii_end().ends_with("_bucket") && has_le
    })
}

/// By the type that the page declares for the sample's family; by the name's ending where none is.
fn kind(name: &str, has_le: bool, types: &HashMap<&str, MetricType>) -> Kind {
    let ends = |suffix: &str| name.strip_suffix(suffix);
    if ends("_created").is_some() {
        return Kind::Created;
    }
    let declared = |stem: Option<&str>| stem.and_then(|stem| types.get(stem).copied());
    let of_many = |stem| matches!(declared(stem), None | Some(MetricType::Histogram | MetricType::Summary));
    if has_le && ends("_bucket").is_some() {
        return Kind::Bucket;
    }
    match declared(Some(name)).or_else(|| declared(ends("_total"))) {
        Some(MetricType::Counter) => return Kind::Counter,
        Some(MetricType::Gauge) => return Kind::Other,
        _ => {}
    }
    if (ends("_count").is_some() && of_many(ends("_count"))) || ends("_total").is_some() {
        Kind::Counter
    } else {
        Kind::Other
    }
}

fn found(text: &str, content_type: &str) -> String {
    let kind = if content_type.is_empty() { "no content type" } else { content_type };
    if text.trim().is_empty() {
        format!("an empty body ({kind})")
    } else {
        format!("`{}` ({kind})", excerpt(text.trim_start(), 80))
    }
}

/// The last cause in the chain: what the system said.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
