//! The server of a run: asked who it is, started if it is the embedded one, and observed until the last of what it
//! says has come. This file must not know what is sent to it, nor how anything it says is read.

use super::under_way::UnderWay;
use super::{embedded, facts, ranks, target};
use crate::error::{Explain, broken};
use crate::ingest::tail::Begin;
use crate::ingest::{self, Collector};
use crate::net::{HttpUrl, tls};
use crate::server::Server;
use crate::server::probe::Probe;
use crate::store::Manifest;
use crate::store::folder::EMBEDDED_STAT_LOG;
use crate::store::manifest::TargetFacts;

pub(super) struct ServerSide {
    child: Option<embedded::Server>,
    pub kind: &'static Server,
    pub target: HttpUrl,
    pub tls: Option<tls::Client>,
    /// What it said of itself.
    pub probe: Probe,
    /// The one that is asked.
    pub model: String,
    pub collector: Collector,
}

impl ServerSide {
    /// Asks, starts and listens; what is known of the server is then in the manifest's file.
    pub(super) fn begin(run: &mut UnderWay<'_>) -> anyhow::Result<Self> {
        let config = run.config;
        let given = config.target.base_url.as_deref().map(HttpUrl::parse).transpose()?;
        let tls = given
            .as_ref()
            .filter(|url| url.tls)
            .map(|url| tls::Client::new(&url.host, config.target.ca_cert.as_deref(), config.target.insecure));
        let tls = tls.transpose()?;
        // A server that is there is asked before anything is listened for: which one it is says to what.
        let ask = |url: &HttpUrl| target::ask_server(config, url, &run.options.interrupt);
        let probed = given.as_ref().map(ask).transpose()?;
        let (kind, kind_from) = target::kind(config, probed.as_ref())?;
        run.manifest.notes.extend(target::contradiction(kind, probed.as_ref()));
        let mut collector = listen(run, kind)?;
        let (child, target) = if let Some(url) = given {
            (None, url)
        } else {
            let (child, url) = embedded::start(config, run.options, run.folder, &mut collector)?;
            (Some(child), HttpUrl::parse(&url)?)
        };
        collector.set_base_url(&target.to_string());
        if target.tls && config.target.insecure {
            let doubt =
                "the server's certificate was taken unchecked (--insecure): who answered is not known";
            run.manifest.warn(doubt);
        }
        let probe = probed.map_or_else(|| ask(&target), Ok)?;
        let model = target::choose_model(config, &probe)?;
        run.manifest.target = TargetFacts {
            base_url: Some(target.to_string()),
            server: kind.name.to_owned(),
            server_version: probe.version.clone(),
            server_from: Some(kind_from),
            model: Some(model.clone()),
            embedded: child.is_some(),
            same_host: target.is_this_host(),
        };
        // Written before the first request: a report after a kill needs to know the server's kind and
        // whose clock it reads.
        run.save()?;
        Ok(Self { child, kind, target, tls, probe, model, collector })
    }

    /// Reads what is still there to read, and says what came.
    pub(super) fn end(mut self, manifest: &mut Manifest) {
        if let Some(last_words) = self.child.as_mut().and_then(embedded::Server::stop) {
            manifest.warn(last_words);
        }
        facts::note_ingested(manifest, &self.collector.stop());
    }
}

/// Listens for what the server says, as far as it is recorded here.
fn listen(run: &UnderWay<'_>, kind: &'static Server) -> anyhow::Result<Collector> {
    let config = run.config;
    let observes = run.observes();
    let mut observe = ranks::observed_by(config, observes);
    if config.target.base_url.is_none() && config.target.embedded.stat_log {
        let path = run.folder.file(EMBEDDED_STAT_LOG);
        // There before it is looked for: that it is still empty is no finding.
        std::fs::File::create(&path).or_broken("the run folder could not be written")?;
        observe.stat_log = Some(path.to_string_lossy().into_owned());
    }
    let plan = ingest::Plan {
        server: kind,
        observe,
        hops: if observes { config.hops.clone() } else { Vec::new() },
        base_url: config.target.base_url.clone(),
        trust: target::trust(config),
        log_begin: Begin::End,
    };
    Collector::start(plan, run.writer.ingested()).map_err(|problem| {
        let (what, hint) = (broken(&problem), problem.hint);
        match hint {
            Some(hint) => what.hint(hint).into(),
            None => what.into(),
        }
    })
}
