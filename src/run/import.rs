//! Records of other tools become an ordinary run folder, which is then reported like any: read
//! everything, number the requests, give pages of metrics their place in time, write. This file must
//! not know any format.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::hop_file::{self, refused};
use super::{Recomputed, recompute};
use crate::clock::UnixNs;
use crate::config::Hop;
use crate::error::Explain;
use crate::import::{self, Imported, Of, PageAt};
use crate::ingest::reader::HOP_LOG;
use crate::ingest::scrape::Scrape;
use crate::ingest::{self, SourceReport};
use crate::record::{Finished, HopRow, LogEvent, LogRow, ScrapePhase, ScrapeRow, SpanRow, StatRow};
use crate::secrets::Secrets;
use crate::server::Server;
use crate::store::manifest::{RunState, SourceFacts, StageCounts, TargetFacts};
use crate::store::{Manifest, RunFolder, RunWriter};

/// What `scrapes.jsonl` calls the endpoint whose pages came in files.
const METRICS_SOURCE: &str = "files";

/// The files to join, and what is to be known about them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Import {
    pub client: PathBuf,
    /// Formats by name, where they are not to be found by looking.
    pub client_format: Option<String>,
    pub server_logs: Vec<PathBuf>,
    pub metrics_before: Option<PathBuf>,
    pub metrics_after: Option<PathBuf>,
    pub metrics: Option<PathBuf>,
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

/// Imports into a run folder and reports it; gives the folder back.
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
        same_host: given.same_host,
        ..TargetFacts::default()
    };
    gathered.write(&folder).or_usage("the output folder cannot be written to")?;
    gathered.describe(&mut manifest);
    manifest.write(&folder)?;
    let recomputed = recompute(&path)?;
    Ok((path, recomputed))
}

/// Everything read, before anything is written.
#[derive(Default)]
struct Gathered {
    requests: Vec<Finished>,
    begin: UnixNs,
    end: UnixNs,
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
        let client = import::read(&given.client, Of::Client, given.client_format.as_deref(), server)?;
        all.take_requests(client, &given.client);
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
        if requests.iter().all(|f| f.row.scheduled_unix_ns == f.row.started_unix_ns) {
            self.notes.push("the client's records tell of no schedule: each request counts as scheduled when it was started".to_owned());
        }
        self.requests = requests;
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
        let mut timed: Vec<((UnixNs, UnixNs), PageAt)> = Vec::new();
        if let Some(file) = &given.metrics {
            let mut read = import::read(file, Of::Pages, None, server)?;
            let pages = std::mem::take(&mut read.rows.pages);
            timed.extend(pages.into_iter().filter_map(|page| page.at.map(|at| (at, page))));
            self.note(read, file);
        }
        timed.sort_by_key(|(at, _)| *at);
        let last_before = timed.iter().rposition(|((_, recv), _)| *recv <= self.begin);
        let first_after = timed.iter().position(|((send, _), _)| *send >= self.end);
        for (i, (at, page)) in timed.into_iter().enumerate() {
            let phase = if before.is_none() && last_before == Some(i) {
                ScrapePhase::Before
            } else if after.is_none() && first_after == Some(i) {
                ScrapePhase::After
            } else {
                ScrapePhase::During
            };
            self.scrapes.push(scrape(at, page, phase));
        }
        let (begin, end) = (self.begin, self.end);
        self.scrapes.extend(before.map(|page| scrape((begin, begin), page, ScrapePhase::Before)));
        self.scrapes.extend(after.map(|page| scrape((end, end), page, ScrapePhase::After)));
        Ok(())
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

    fn write(&self, folder: &RunFolder) -> anyhow::Result<()> {
        let mut writer = RunWriter::create(folder, &Secrets::default())?;
        writer.finished(&self.requests)?;
        self.scrapes.iter().try_for_each(|row| writer.scrape(row))?;
        self.log.iter().try_for_each(|row| writer.log(row))?;
        self.spans.iter().try_for_each(|row| writer.span(row))?;
        self.stats.iter().try_for_each(|row| writer.stat(row))?;
        self.hops.iter().try_for_each(|row| writer.hop(row))?;
        writer.end().map(drop)
    }

    fn describe(self, manifest: &mut Manifest) {
        manifest.end(RunState::Finished);
        manifest.created_unix_ns = self.begin;
        manifest.ended_unix_ns = Some(self.end);
        manifest.sources = self.sources;
        manifest.counts.extend(self.counts);
        let n = self.requests.len() as u64;
        manifest.counts.insert("requests".to_owned(), StageCounts { rows_in: n, rows_out: n, bad: 0 });
        self.notes.into_iter().for_each(|note| manifest.note(note));
    }
}

fn scrape((send, recv): (UnixNs, UnixNs), page: PageAt, phase: ScrapePhase) -> ScrapeRow {
    let scrape = Scrape {
        source: METRICS_SOURCE.to_owned(),
        send_unix_ns: send,
        recv_unix_ns: recv,
        page: Ok(page.page),
    };
    scrape.row(phase)
}
