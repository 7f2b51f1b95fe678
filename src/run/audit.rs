//! An audit's load: the legs of two arms in turn, over the load's own client, and what the manifest says of
//! them. This file must not know what is computed of the pairs.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use self::schedule::Schedule;
use crate::clock::UnixNs;
use crate::config::{Arrival, Audit, Config, Load};
use crate::error::Explain;
use crate::load::{self, LegUsers, Requests, Sent};
use crate::net::{HttpUrl, tls};
use crate::record::Prompt;
use crate::record::audit::{self, Cell, Leg, LegTold};
use crate::server::Server;
use crate::store::Manifest;
use crate::workload::draw::Draw;
use crate::workload::rounds::{Rounds, salted};

/// Streams of chance.
const SALT: u64 = 0x7361_6c74;

/// How the arm through the gateway is sent, where `direct` is how the other is; its first prompts are
/// those of the warm-ups.
pub(super) fn through(
    config: &Config,
    audit: &Audit,
    kind: &Server,
    direct: &load::Plan,
) -> anyhow::Result<load::Plan> {
    let target = HttpUrl::parse(&audit.through)?;
    let address = target
        .reachable(Duration::from_secs_f64(config.load.connect_timeout_s))
        .or_broken(format!("no connection to {}, through which the audit goes", target.authority()))?;
    let tls = target
        .tls
        .then(|| tls::Client::new(&target.host, config.target.ca_cert.as_deref(), config.target.insecure))
        .transpose()?;
    let by_that_way = Config { target: audit.target(&config.target), ..config.clone() };
    let model = audit.through_model.clone().unwrap_or_else(|| direct.requests.options.model.clone());
    let prompts = Arc::clone(&direct.requests.prompts);
    let requests = super::target::requests(&by_that_way, kind, prompts, target, model);
    let requests = Requests { nonce: direct.requests.nonce, ..requests };
    Ok(load::Plan { address, moves: None, tls, requests: Arc::new(requests), ..direct.clone() })
}

/// The cells of an audit: every combination of its factors' levels.
pub(super) fn cells(audit: &Audit) -> Vec<Cell> {
    let sizes: Vec<Option<u32>> = match audit.prompt_tokens.as_slice() {
        [] => vec![None],
        sizes => sizes.iter().copied().map(Some).collect(),
    };
    let mut cells = Vec::new();
    for connections in &audit.connections {
        for prompt_tokens in &sizes {
            for concurrency in &audit.concurrency {
                let (prompt_tokens, connections) = (*prompt_tokens, *connections);
                cells.push(Cell { concurrency: *concurrency, prompt_tokens, connections });
            }
        }
    }
    cells
}

/// The legs, one after another.
pub(super) struct Legs<'a> {
    audit: &'a Audit,
    /// How each arm is sent; its requests are those of its last leg.
    arms: [load::Plan; 2],
    cells: Vec<Cell>,
    schedule: Schedule,
    prompts: Rounds,
    salt: Option<Draw>,
    /// When the first leg began.
    begun: Option<UnixNs>,
    /// The round under way: the leg still to be sent, and what both send.
    second: Option<Leg>,
    round_prompts: Arc<[Prompt]>,
    now: Option<Leg>,
    told: Vec<LegTold>,
    pairs: u64,
}

impl<'a> Legs<'a> {
    pub(super) fn new(config: &Config, audit: &'a Audit, direct: &load::Plan, through: load::Plan) -> Self {
        let prompts = match audit.prompt_tokens.as_slice() {
            [] => Rounds::Of(Arc::clone(&direct.requests.prompts)),
            _ => Rounds::Made { output_tokens: audit.output_tokens.unwrap_or(1), seed: config.seed },
        };
        let cells = cells(audit);
        Self {
            audit,
            schedule: Schedule::new(cells.clone(), audit.requests_per_user, prompts.in_all(), config.seed),
            cells,
            prompts,
            // No two runs have the same salt: caches outlive runs.
            salt: audit.salt.then(|| Draw::new(direct.requests.nonce, SALT)),
            arms: [direct.clone(), through],
            begun: None,
            second: None,
            round_prompts: Arc::new([]),
            now: None,
            told: Vec::new(),
            pairs: 0,
        }
    }

    /// The next leg's load; `last` is when the one before was sent. `None`: all rounds were sent, or the
    /// time for them is over, which is looked at between rounds.
    pub(super) fn next(&mut self, last: Option<Sent>) -> Option<load::Plan> {
        if let (Some(leg), Some(Sent { begun_unix_ns, ended_unix_ns, .. })) = (self.now.take(), last) {
            self.told.push(LegTold { leg, begun_unix_ns, ended_unix_ns });
        }
        let leg = match self.second.take() {
            Some(leg) => leg,
            None => self.next_round()?,
        };
        self.now = Some(leg);
        let cell = *self.cells.get(leg.cell as usize)?;
        let prompts = match &mut self.salt {
            Some(draw) => salted(&self.round_prompts, draw),
            None => Arc::clone(&self.round_prompts),
        };
        let plan = self.arms.get_mut(leg.arm.number())?;
        plan.requests = Arc::new(plan.requests.of_leg(prompts, leg));
        plan.leg = Some(LegUsers {
            requests_each: self.audit.requests_per_user,
            starts_s: self.schedule.starts_s(&leg, self.audit.spread_s),
        });
        plan.load = Load {
            arrival: Arrival::Closed { users: cell.concurrency, ramp_s: 0.0 },
            connections: cell.connections.into(),
            requests: None,
            duration_s: None,
            ..plan.load.clone()
        };
        Some(plan.clone())
    }

    fn next_round(&mut self) -> Option<Leg> {
        let begun = *self.begun.get_or_insert_with(UnixNs::now);
        if self.audit.duration_s.is_some_and(|s| UnixNs::now().seconds_since(begun) >= s) {
            return None;
        }
        let [first, second] = self.schedule.next()?;
        if self.audit.rounds.is_some_and(|rounds| first.round >= rounds) {
            return None;
        }
        let tokens = self.cells.get(first.cell as usize)?.prompt_tokens.unwrap_or(0);
        let place = (first.cell, first.round);
        self.round_prompts = self.prompts.prompts(place, tokens, first.first_pair, first.requests);
        self.second = Some(second);
        self.pairs = first.first_pair + first.requests;
        Some(first)
    }

    /// What the manifest says of the audit: before it, and of the legs sent after it.
    pub(super) fn note(&self, config: &Config, manifest: &mut Manifest) {
        let plan = audit::Plan {
            direct: config.target.base_url.clone().unwrap_or_default(),
            through: self.audit.through.clone(),
            cells: self.cells.clone(),
            requests_per_user: self.audit.requests_per_user,
            spread_s: self.audit.spread_s,
            salted: self.audit.salt,
            own_prompts: self.prompts.in_all().is_none_or(|n| self.pairs <= n),
            legs: self.told.clone(),
        };
        manifest.extra.insert(audit::KEY.to_owned(), json!(plan));
    }
}
