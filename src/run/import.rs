//! Records of other tools become an ordinary run folder, which is then reported like any: read
//! everything, number the requests, give pages of metrics their place in time, write. This file must
//! not know any format.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::hop_file::{self, refused};
use super::recompute::{Recomputed, recompute_in};
use crate::clock::UnixNs;
use crate::config::Hop;
use crate::error::{Explain, Failure, usage};
use crate::import::{self, Choice, Imported, Of, PageAt};
use crate::ingest::reader::HOP_LOG;
use crate::ingest::scrape::Scrape;
use crate::ingest::{self, SourceReport};
use crate::record::client_totals::{self, ClientTotals};
use crate::record::selection::Selection;
use crate::record::{Finished, HopRow, LogEvent, LogRow, ScrapePhase, ScrapeRow, SpanRow, StatRow};
use crate::secrets::Secrets;
use crate::server::Server;
use crate::store::append::ROWS_AT_ONCE;
use crate::store::manifest::{RunState, SourceFacts, StageCounts, TargetFacts};
use crate::store::{Manifest, RunFolder, RunWriter};

/// What `scrapes.jsonl` calls the endpoint whose pages came in files.
const METRICS_SOURCE: &str = "files";

/// A page of metrics with when it was asked for and had come.
type Timed = ((UnixNs, UnixNs), PageAt);

/// The files to join, and what is to be known about them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Import {
    pub client: PathBuf,
    /// Formats by name, where they are not to be found by looking.
    pub client_format: Option<String>,
    /// Which of several benchmarks in the client's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_part: Option<String>,
    /// What the ids began with that its requests were sent with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id_prefix: Option<String>,
    pub server_logs: Vec<PathBuf>,
    pub metrics_before: Option<PathBuf>,
    pub metrics_after: Option<PathBuf>,
    /// Files of pages with their times, or folders of such files.
    pub metrics: Vec<PathBuf>,
    pub spans: Vec<PathBuf>,
    pub spans_format: Option<String>,
    pub stat_logs: Vec<PathBuf>,
    pub stat_log_format: Option<String>,
    /// What lay between client and server, in the order a request passed it.
    pub hops: Vec<Hop>,
    /// Name in the table of servers.
    pub server: String,
    /// Client and server read one clock.
    pub same_host: bool,
    pub name: String,
    #[serde(skip)]
    pub output: Option<PathBuf>,
    #[serde(skip)]
    pub overwrite: bool,
}

/// Imports into a run folder and reports it; gives the folder back. What of the report cannot be written is told by
/// [`Recomputed::unwritten_in`]: it can be shown all the same.
pub fn import(given: &Import) -> anyhow::Result<(PathBuf, Recomputed)> {
    let server = super::target::known(&given.server)?;
    let gathered = Gathered::read(given, server)?;
    let path = given.output.clone().unwrap_or_else(|| {
        let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
        PathBuf::from("output").join(format!("{}-{now}", given.name))
    });
    let folder = RunFolder::create(&path, given.overwrite).map_err(super::unusable)?;
    let mut manifest = Manifest::new(&given.name, serde_json::json!({ "import": given }));
    manifest.target = TargetFacts {
        server: server.name.to_owned(),
        server_version: gathered.version(),
        same_host: given.same_host && !gathered.loose,
        ..TargetFacts::default()
    };
    if let Err(error) = gathered.write_all(&folder, manifest) {
        // What was given is still where it was; the next try can have the folder's name.
        folder.discard();
        return Err(error).or_usage("the output folder cannot be written to");
    }
    let recomputed = recompute_in(&folder, Selection::All)?;
    Ok((path, recomputed))
}

/// Everything read, before anything is written.
#[derive(Default)]
struct Gathered {
    requests: Vec<Finished>,
    /// The tool's own summary, where there are no requests.
    totals: Option<ClientTotals>,
    begin: UnixNs,
    end: UnixNs,
    /// The client's stamps are not of the wall clock, but were placed on it to within so much.
    loose: bool,
    slack_s: f64,
    /// Nothing tells when the requests were.
    adrift: bool,
    scrapes: Vec<ScrapeRow>,
    log: Vec<LogRow>,
    spans: Vec<SpanRow>,
    stats: Vec<StatRow>,
    hops: Vec<HopRow>,
    sources: Vec<SourceFacts>,
    counts: Vec<(String, StageCounts)>,
    notes: Vec<String>,
}

impl Gathered {
    fn read(given: &Import, server: &'static Server) -> anyhow::Result<Self> {
        let mut all = Self::default();
        let choice = Choice { part: given.client_part.clone(), id_prefix: given.client_id_prefix.clone() };
        let format = given.client_format.as_deref();
        let client = import::read_chosen(&given.client, Of::Client, format, server, &choice)?;
        all.take_requests(client, &given.client);
        if all.loose && given.same_host {
            all.notes.push(format!(
                "--same-host says that both clocks are one, but the stamps of {} are not of the wall clock: it is set aside",
                given.client.display()
            ));
        }
        for file in &given.spans {
            let mut read = import::read(file, Of::Spans, given.spans_format.as_deref(), server)?;
            all.spans.append(&mut read.rows.spans);
            all.note(read, file);
        }
        for file in &given.stat_logs {
            let mut read = import::read(file, Of::StatLog, given.stat_log_format.as_deref(), server)?;
            all.stats.append(&mut read.rows.stats);
            all.note(read, file);
        }
        all.take_metrics(given, server)?;
        for file in &given.server_logs {
            // Civil times lack the year: the requests' own is taken, whenever the file was copied.
            let near = Some(all.end);
            let rows = &mut all.log;
            let (report, notes) =
                ingest::read_log_near(file, server, near, |row| rows.push(row)).map_err(refused)?;
            all.note_log(&report, notes);
        }
        for hop in &given.hops {
            let (mut rows, report, notes) = hop_file::read(hop, Some(all.end))?;
            all.hops.append(&mut rows);
            all.note_log(&report, notes);
        }
        Ok(all)
    }

    /// Numbers the requests by their start. Of ids that were used twice the events cannot be told
    /// apart by id, as the run folder keeps them.
    fn take_requests(&mut self, mut read: Imported, file: &Path) {
        self.totals = read.rows.totals.take();
        let mut requests = std::mem::take(&mut read.rows.requests);
        requests.sort_by_key(|finished| finished.row.started_unix_ns);
        let mut uses: HashMap<String, usize> = HashMap::new();
        for finished in &requests {
            *uses.entry(finished.row.request_id.clone()).or_default() += 1;
        }
        let mut shared = 0;
        for (index, finished) in (0_u64..).zip(&mut requests) {
            let row = &mut finished.row;
            row.index = index;
            if read.format.name != "tare" {
                // Which prompt it was is not known; none is taken for another's.
                row.prompt_index = index as u32;
            }
            if uses.get(&row.request_id).is_some_and(|n| *n > 1) && row.n_events > 0 {
                shared += 1;
                (row.n_events, row.n_exact_events) = (0, 0);
                finished.events.clear();
            }
        }
        self.begin = requests.iter().map(|f| f.row.started_unix_ns).min().unwrap_or_default();
        self.end = requests.iter().map(|f| f.row.done_unix_ns).max().unwrap_or_default();
        if shared > 0 {
            self.notes.push(format!(
                "{shared} requests share their id with another: their single events are left out (gaps between events lack them), their rows are not"
            ));
        }
        if !requests.is_empty() && requests.iter().all(|f| f.row.scheduled_unix_ns == f.row.started_unix_ns) {
            self.notes.push("the client's records tell of no schedule: each request counts as scheduled when it was started".to_owned());
        }
        self.requests = requests;
        (self.loose, self.slack_s) =
            (read.loose.is_some(), read.loose.and_then(|l| l.slack_s).unwrap_or(0.0));
        self.adrift = read.loose.is_some_and(|loose| loose.slack_s.is_none());
        self.note(read, file);
    }

    /// Pages without a time stand where they must have been taken: before the first request, after
    /// the last. Of those with times, the last before and the first after do where no others are given.
    fn take_metrics(&mut self, given: &Import, server: &'static Server) -> anyhow::Result<()> {
        let mut ends: [Option<PageAt>; 2] = [None, None];
        let files = [&given.metrics_before, &given.metrics_after];
        for (slot, file) in ends.iter_mut().zip(files) {
            if let Some(file) = file {
                let mut read = import::read(file, Of::Page, None, server)?;
                *slot = read.rows.pages.pop();
                self.note(read, file);
            }
        }
        let [before, after] = ends;
        if before.is_some() || after.is_some() {
            self.notes.push("a page of metrics in a file carries no time: --metrics-before is taken as read just before the first request, --metrics-after just after the last".to_owned());
        }
        let mut timed: BTreeMap<String, Vec<Timed>> = BTreeMap::new();
        for file in &given.metrics {
            let mut read = pages_of(file, server)?;
            let pages = std::mem::take(&mut read.rows.pages);
            for page in pages {
                let source = page.source.clone().unwrap_or_else(|| METRICS_SOURCE.to_owned());
                timed.entry(source).or_default().extend(page.at.map(|at| (at, page)));
            }
            self.note(read, file);
        }
        if self.requests.is_empty() {
            let all = || timed.values().flatten().map(|((_, recv), _)| *recv);
            (self.begin, self.end) = (all().min().unwrap_or_default(), all().max().unwrap_or_default());
        }
        if self.adrift && !timed.is_empty() && (before.is_none() || after.is_none()) {
            self.notes.push(
                "nothing tells when the requests were: what the first and the last page of metrics have between them is taken for theirs"
                    .to_owned(),
            );
        }
        for (source, mut pages) in timed {
            pages.sort_by_key(|(at, _)| *at);
            let (begin, end) = self.ends_among(&pages);
            for (i, (at, page)) in pages.into_iter().enumerate() {
                let phase = if before.is_none() && begin == Some(i) {
                    ScrapePhase::Before
                } else if after.is_none() && end == Some(i) {
                    ScrapePhase::After
                } else {
                    ScrapePhase::During
                };
                self.scrapes.push(scrape(&source, at, page, phase));
            }
        }
        let (begin, end) = (self.begin, self.end);
        self.scrapes
            .extend(before.map(|page| scrape(METRICS_SOURCE, (begin, begin), page, ScrapePhase::Before)));
        self.scrapes.extend(after.map(|page| scrape(METRICS_SOURCE, (end, end), page, ScrapePhase::After)));
        Ok(())
    }

    /// The last page from before the first request, and the first from after the last. Where requests are
    /// placed loosely, or pages may be older than the load's end, earlier and later ones are taken, as far as there are any.
    fn ends_among(&self, pages: &[Timed]) -> (Option<usize>, Option<usize>) {
        if self.requests.is_empty() || self.adrift {
            // Nothing tells when the load was: all that the pages saw is taken.
            return (Some(0), pages.len().checked_sub(1).filter(|last| *last > 0));
        }
        let last_before = |at: UnixNs| pages.iter().rposition(|((_, recv), _)| *recv <= at);
        let first_after = |at: UnixNs| pages.iter().position(|((send, _), _)| *send >= at);
        let before = last_before(self.begin.plus_seconds(-self.slack_s));
        let after = first_after(self.end.plus_seconds(self.slack_s));
        let earliest = || last_before(self.begin).map(|_| 0);
        let latest = || {
            pages
                .len()
                .checked_sub(1)
                .filter(|i| pages.get(*i).is_some_and(|((_, recv), _)| *recv >= self.end))
        };
        (before.or_else(earliest), after.or_else(latest))
    }

    fn note(&mut self, read: Imported, file: &Path) {
        let Imported { format, seen, taken, bad, notes, .. } = read;
        self.add(
            format.of.kind(),
            file.display().to_string(),
            taken,
            Some(format!("read as `{}`", format.name)),
        );
        let counts = StageCounts { rows_in: seen, rows_out: taken, bad };
        self.counts.push((format!("{} {}", format.of.kind(), file.display()), counts));
        self.notes.extend(notes);
    }

    fn note_log(&mut self, report: &SourceReport, notes: Vec<String>) {
        self.add(&report.kind, report.source.clone(), report.parsed, None);
        let counts = StageCounts { rows_in: report.seen, rows_out: report.parsed, bad: report.rejected };
        self.counts.push((format!("{} {}", report.kind, report.source), counts));
        // A hop's reader says itself what it could not read, and keeps nothing of it.
        if report.rejected > 0 && report.kind != HOP_LOG.name {
            self.notes.push(format!(
                "{}: {} of {} lines are in no known format; they are kept",
                report.source, report.rejected, report.seen
            ));
        }
        self.notes.extend(notes);
    }

    fn add(&mut self, kind: &str, location: String, rows: u64, note: Option<String>) {
        self.sources.push(SourceFacts { kind: kind.to_owned(), location, rows, note });
    }

    /// The server's version, if its log tells.
    fn version(&self) -> Option<String> {
        self.log.iter().find_map(|row| match &row.event {
            LogEvent::Version { version } => Some(version.clone()),
            _ => None,
        })
    }

    /// Its rows, and what is to be said of them.
    fn write_all(self, folder: &RunFolder, mut manifest: Manifest) -> anyhow::Result<()> {
        self.write(folder)?;
        self.describe(&mut manifest);
        manifest.write(folder)
    }

    fn write(&self, folder: &RunFolder) -> anyhow::Result<()> {
        let mut writer = RunWriter::create(folder, &Secrets::default())?;
        writer.finished(&self.requests)?;
        self.scrapes.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.scrapes(rows))?;
        self.log.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.logs(rows))?;
        self.spans.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.spans(rows))?;
        self.stats.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.stats(rows))?;
        self.hops.chunks(ROWS_AT_ONCE).try_for_each(|rows| writer.hops(rows))?;
        writer.end().map(drop)
    }

    fn describe(self, manifest: &mut Manifest) {
        manifest.end(RunState::Finished);
        manifest.created_unix_ns = self.begin;
        manifest.ended_unix_ns = Some(self.end);
        manifest.sources = self.sources;
        if let Some(totals) = self.totals.and_then(|totals| serde_json::to_value(totals).ok()) {
            manifest.extra.insert(client_totals::KEY.to_owned(), totals);
        }
        manifest.counts.extend(self.counts);
        let n = self.requests.len() as u64;
        manifest.counts.insert("requests".to_owned(), StageCounts { rows_in: n, rows_out: n, bad: 0 });
        self.notes.into_iter().for_each(|note| manifest.note(note));
    }
}

/// The pages of a file, or of all files of a folder, in the order of their names; what is to be said of
/// single files is said of them together.
fn pages_of(path: &Path, server: &'static Server) -> Result<Imported, Failure> {
    if !path.is_dir() {
        return import::read(path, Of::Pages, None, server);
    }
    let unreadable = |error: std::io::Error| {
        usage(format!("cannot read the folder {}", path.display())).caused_by(error).hint("check the path")
    };
    let entries = std::fs::read_dir(path).map_err(unreadable)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, std::io::Error>>()
        .map_err(unreadable)?;
    files.retain(|file| file.is_file());
    files.sort();
    let mut all: Option<Imported> = None;
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        let mut read = import::read(&file, Of::Pages, None, server)?;
        let shown = format!("{}: ", file.display());
        for note in std::mem::take(&mut read.notes) {
            *said.entry(note.strip_prefix(&shown).unwrap_or(&note).to_owned()).or_default() += 1;
        }
        match &mut all {
            None => all = Some(read),
            Some(all) => {
                all.rows.pages.append(&mut read.rows.pages);
                (all.seen, all.taken, all.bad) =
                    (all.seen + read.seen, all.taken + read.taken, all.bad + read.bad);
            }
        }
    }
    let Some(mut all) = all else {
        return Err(usage(format!("the folder {} holds no files", path.display())).hint("check the path"));
    };
    all.notes = said.into_iter().map(|(note, n)| format!("{}: {n} files: {note}", path.display())).collect();
    Ok(all)
}

fn scrape(source: &str, (send, recv): (UnixNs, UnixNs), page: PageAt, phase: ScrapePhase) -> ScrapeRow {
    let scrape =
        Scrape { source: source.to_owned(), send_unix_ns: send, recv_unix_ns: recv, page: Ok(page.page) };
    scrape.into_row(phase)
}
