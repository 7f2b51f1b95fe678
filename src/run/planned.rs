//! From a workload and a server to a load that can be sent: prompts that fit, the address, the stamps, and the other
//! processes that send with this one. This file must not know what is made of a request that was sent.

use std::sync::Arc;
use std::time::Duration;

use super::ranks::{self, Session};
use super::server_side::ServerSide;
use super::under_way::UnderWay;
use super::{audit, facts, stamps, target, tokens};
use crate::error::Explain;
use crate::load::{self, Requests};
use crate::net::Following;
use crate::workload::Workload;

pub(super) struct Planned {
    pub plan: load::Plan,
    /// The arm of an audit that goes through the gateway.
    pub through: Option<load::Plan>,
    pub stamps: stamps::Chosen,
    pub following: Following,
    /// How many requests are sent here, where that is known.
    pub count: Option<u64>,
}

impl Planned {
    pub(super) fn make(
        run: &mut UnderWay<'_>,
        server: &ServerSide,
        mut workload: Workload,
    ) -> anyhow::Result<Self> {
        let config = run.config;
        let ServerSide { kind, target, model, .. } = server;
        if config.audit.is_none() {
            tokens::check(config, kind, target, model, run.manifest)?;
            tokens::fit(config, &server.probe, model, &mut workload, run.manifest)?;
            workload.write(&run.folder.request_set())?;
        }
        facts::note_workload(run.manifest, &workload);
        let history = workload.history;
        let own_load = load::share::own(&config.load, run.share());
        let count = own_load.requests.map(|n| if history.is_some() { workload.requests(n) } else { n });

        let address = target
            .reachable(Duration::from_secs_f64(config.load.connect_timeout_s))
            .or_broken(format!("no connection to {}", target.authority()))?;
        let following = Following::begin(target, address);
        let stamps = stamps::Chosen::new(config.load.stamps, address, run.options.quiet)?;
        if let Some(ranks) = &run.options.ranks {
            // Only now: the others wait for who cannot go on.
            run.beside.session = Some(Session::meet(ranks, config, &workload, &run.options.interrupt)?);
        }
        let mut bodies = target::requests(config, kind, workload.prompts, target.clone(), model.clone());
        if let Some(session) = &run.beside.session {
            bodies.nonce = session.nonce();
            run.manifest.note(ranks::who_observes(run.observes()));
            run.save_shard()?;
        }
        let plan = load::Plan {
            address,
            moves: Some(Arc::clone(following.whereabouts())),
            tls: server.tls.clone(),
            stamps: stamps.source(),
            requests: Arc::new(Requests { history, ..bodies }),
            load: config.load.clone(),
            seed: config.seed,
            leg: None,
            share: run.share(),
            start: None,
        };
        let through = config.audit.as_ref().map(|a| audit::through(config, a, kind, &plan)).transpose()?;
        for short in load::needs::reach(&own_load, address)? {
            run.manifest.warn(short);
        }
        Ok(Self { plan, through, stamps, following, count })
    }
}
