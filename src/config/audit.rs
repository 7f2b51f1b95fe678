//! The flags and the file's section of an audit, turned into what a usual run takes: the direct arm is the
//! target, the cells are the load. This file must not know what an audit does.

use super::check::{Check, Limits, Origins};
use super::file::{self, File, OneOrMore};
use super::{Audit, Connections, Target, validate};
use crate::cli::{AuditArgs, LoadArgs, RunArgs, WarmthName, WorkloadArgs};
use crate::error::{Failure, usage};
use crate::net::HttpUrl;
use crate::record::audit::Warmth;

const MAX_LEVELS: usize = 16;
const MAX_CONCURRENCY: u32 = 10_000;
/// As many requests as a prompt's number can count.
const MAX_REQUESTS: u64 = 1_000_000_000;
const ROUNDS: u32 = 20;
const OUTPUT_TOKENS: u32 = 64;

/// What a usual run would be given for the same.
pub fn as_run(args: &AuditArgs) -> RunArgs {
    let cells = &args.cells;
    RunArgs {
        config: args.config.clone(),
        target: args.target.clone(),
        workload: WorkloadArgs {
            dataset_path: cells.dataset_path.clone(),
            temperature: cells.temperature,
            extra_body: cells.extra_body.clone(),
            seed: cells.seed,
            ..WorkloadArgs::default()
        },
        load: LoadArgs {
            num_warmups: cells.num_warmups,
            timeout: cells.timeout,
            connect_timeout: cells.connect_timeout,
            stamps: cells.stamps,
            threads: cells.threads,
            affinity: cells.affinity.clone(),
            request_id_prefix: cells.request_id_prefix.clone(),
            ..LoadArgs::default()
        },
        observe: args.observe.clone(),
        output: args.output.clone(),
        ..RunArgs::default()
    }
}

/// Lays the audit's own flags over the file's section; a file without one has an empty one now.
pub fn lay(args: &AuditArgs, file: &mut File, origins: &mut Origins) {
    let into = file.audit.get_or_insert_default();
    let (arms, cells) = (&args.arms, &args.cells);
    origins.set("audit.direct", "--direct", arms.direct.clone(), &mut into.direct);
    origins.set("audit.through", "--through", arms.through.clone(), &mut into.through);
    origins.set(
        "audit.through_model",
        "--through-model",
        arms.through_model.clone(),
        &mut into.through_model,
    );
    let key = arms.through_api_key_env.clone();
    origins.set("audit.through_api_key_env", "--through-api-key-env", key, &mut into.through_api_key_env);
    let some = |list: &[u32]| (!list.is_empty()).then(|| OneOrMore(list.to_vec()));
    origins.set("audit.concurrency", "--concurrency", some(&cells.concurrency), &mut into.concurrency);
    origins.set(
        "audit.prompt_tokens",
        "--prompt-tokens",
        some(&cells.prompt_tokens),
        &mut into.prompt_tokens,
    );
    let connections: Vec<Warmth> = cells
        .connections
        .iter()
        .map(|name| match name {
            WarmthName::Warm => Warmth::Warm,
            WarmthName::Cold => Warmth::Cold,
        })
        .collect();
    let connections = (!connections.is_empty()).then_some(OneOrMore(connections));
    origins.set("audit.connections", "--connections", connections, &mut into.connections);
    origins.set("audit.output_tokens", "--output-tokens", cells.output_tokens, &mut into.output_tokens);
    if cells.duration.is_some() && cells.rounds.is_none() {
        into.rounds = None;
    }
    origins.set("audit.rounds", "--rounds", cells.rounds, &mut into.rounds);
    origins.set("audit.duration_s", "--duration", cells.duration, &mut into.duration_s);
    let each = cells.requests_per_user;
    origins.set("audit.requests_per_user", "--requests-per-user", each, &mut into.requests_per_user);
    origins.set("audit.spread_s", "--spread", cells.spread, &mut into.spread_s);
    origins.set("audit.salt", "--salt", cells.salt.then_some(true), &mut into.salt);
    let eos = cells.stop_at_eos.then_some(true);
    origins.set("audit.stop_at_eos", "--stop-at-eos", eos, &mut into.stop_at_eos);
    if cells.dataset_path.is_some() && cells.prompt_tokens.is_empty() {
        into.prompt_tokens = None;
    }
}

/// Checks the section and fills in what a usual run needs of it: target, workload and load.
pub fn resolve(
    given: &file::Audit,
    file: &mut File,
    env: &dyn Fn(&str) -> Option<String>,
    check: &mut Check<'_>,
) -> Audit {
    misplaced(file, check);
    let levels =
        |field: &str, list: &Option<OneOrMore<u32>>, usual: &[u32], most: u32, check: &mut Check<'_>| {
            let list = list.as_ref().map_or_else(|| usual.to_vec(), |list| list.0.clone());
            ascending(field, list, |n| (1..=most).contains(n), &format!("from 1 to {most}"), check)
        };
    let concurrency = levels("audit.concurrency", &given.concurrency, &[1, 8], MAX_CONCURRENCY, check);
    let from_file = file.workload.path.is_some();
    if from_file && given.prompt_tokens.is_some() {
        let hint = "leave one of the two out";
        check.problem("audit.prompt_tokens", "the prompts come from a file and have its lengths", hint);
    }
    let prompt_tokens = if from_file {
        Vec::new()
    } else {
        levels("audit.prompt_tokens", &given.prompt_tokens, &[50], 1_000_000, check)
    };
    let connections = given.connections.as_ref().map_or_else(|| vec![Warmth::Warm], |list| list.0.clone());
    let connections = ascending("audit.connections", connections, |_| true, "warm or cold", check);
    let output_tokens =
        check.whole("audit.output_tokens", given.output_tokens, OUTPUT_TOKENS, 1..=10_000_000);
    let duration_s = check.real_or_none(
        "audit.duration_s",
        given.duration_s,
        validate::POSITIVE_SPAN,
        "left out, the number of rounds ends the audit",
    );
    let rounds = given.rounds.or_else(|| duration_s.is_none().then_some(ROUNDS));
    let rounds = check.whole_or_none(
        "audit.rounds",
        rounds,
        1..=1_000_000,
        "left out, there are 20, or as many as the duration lets",
    );
    let requests_per_user = check.whole("audit.requests_per_user", given.requests_per_user, 3, 1..=10_000);
    let audit = Audit {
        through: through(given, check),
        through_model: given.through_model.clone(),
        through_api_key: given
            .through_api_key_env
            .as_ref()
            .and_then(|name| validate::api_key("audit.through_api_key_env", name, env, check)),
        through_api_key_env: given.through_api_key_env.clone(),
        output_tokens: (!from_file || given.output_tokens.is_some()).then_some(output_tokens),
        rounds,
        duration_s,
        requests_per_user,
        spread_s: check.real("audit.spread_s", given.spread_s, 0.1, Limits::from(0.0, 60.0, "seconds")),
        salt: given.salt.unwrap_or(false),
        concurrency,
        prompt_tokens,
        connections,
    };
    as_a_load(&audit, given, file, check);
    audit
}

/// The rest of the file as a usual run would have it: what is left to a leg is put in its place there.
fn as_a_load(audit: &Audit, given: &file::Audit, file: &mut File, check: &mut Check<'_>) {
    file.target.base_url = file.target.base_url.take().or_else(|| given.direct.clone());
    let users = audit.concurrency.last().copied().unwrap_or(1);
    let requests = audit.rounds.map(|rounds| audit.requests_of(rounds));
    if requests.is_some_and(|n| n > MAX_REQUESTS) {
        let message = format!("these are over {MAX_REQUESTS} requests");
        check.problem("audit.rounds", message, "ask for fewer rounds, users or cells");
    }
    file.load.users = Some(users);
    file.load.requests = requests.map(|n| n.min(MAX_REQUESTS));
    file.load.duration_s = audit.duration_s;
    file.load.timeout_s = file.load.timeout_s.or(Some(120.0));
    file.load.grace_period_s = file.load.grace_period_s.or(file.load.timeout_s);
    file.load.warmups = file.load.warmups.or(Some(1));
    let work = &mut file.workload;
    work.ignore_eos = Some(!given.stop_at_eos.unwrap_or(false));
    work.temperature = work.temperature.or(Some(0.0));
    // Answers are drawn alike by both ways.
    if work.temperature != Some(0.0) {
        work.extra_body.entry("seed").or_insert_with(|| file.seed.unwrap_or(0).into());
    }
    if work.path.is_some() {
        work.max_tokens = audit.output_tokens.or(work.max_tokens);
    } else {
        // For the warm-ups; the legs make prompts of their own.
        work.samples = Some(file.load.warmups.unwrap_or(1).max(1) as usize);
        work.random_input_len = audit.prompt_tokens.first().copied();
        work.random_output_len = audit.output_tokens;
    }
}

/// Keys of a usual run that an audit decides by itself.
fn misplaced(file: &File, check: &mut Check<'_>) {
    let (load, work) = (&file.load, &file.workload);
    let by_cells = "the cells of an audit say it: `audit.concurrency`, `audit.rounds`, `audit.connections`";
    for (field, given) in [
        ("load.users", load.users.is_some()),
        ("load.ramp_s", load.ramp_s.is_some()),
        ("load.ramp_down_s", load.ramp_down_s.is_some()),
        ("load.request_rate", load.request_rate.is_some()),
        ("load.burstiness", load.burstiness.is_some()),
        ("load.ramp_up_strategy", load.ramp_up_strategy.is_some()),
        ("load.stages", load.stages.is_some()),
        ("load.self_timed", load.self_timed.is_some()),
        ("load.arrival", load.arrival.is_some()),
        ("load.max_concurrency", load.max_concurrency.is_some()),
        ("load.requests", load.requests.is_some()),
        ("load.duration_s", load.duration_s.is_some()),
        ("load.connections", load.connections.is_some()),
    ] {
        if given {
            check.problem(field, "this is for a run, and the file is for an audit", by_cells);
        }
    }
    let by_sizes = "`audit.prompt_tokens` and `audit.output_tokens` say it";
    for (field, given) in [
        ("workload.random_input_len", work.random_input_len.is_some()),
        ("workload.random_output_len", work.random_output_len.is_some()),
        ("workload.range_ratio", work.range_ratio.is_some()),
        ("workload.random_input_law", work.random_input_law.is_some()),
        ("workload.random_output_law", work.random_output_law.is_some()),
        ("workload.random_prefix_len", work.random_prefix_len.is_some()),
        ("workload.ignore_eos", work.ignore_eos.is_some()),
    ] {
        if given {
            check.problem(field, "this is for a run, and the file is for an audit", by_sizes);
        }
    }
    for (field, given, why) in [
        ("workload.multi_turn", work.multi_turn.is_some(), "an audit sends single requests, in pairs"),
        ("workload.tokenizer", work.tokenizer.is_some(), "the lengths of an audit's prompts are estimates"),
    ] {
        if given {
            check.problem(field, why, "leave it out");
        }
    }
    if work.stream == Some(false) {
        check.problem("workload.stream", "an audit compares streams", "leave it out");
    }
    if file.calibrate == Some(true) {
        check.problem("calibrate", "this is for a run", "`tare calibrate` measures the tool's own error");
    }
    if load.stamps == Some(super::Stamps::Packet) {
        let hint = "`kernel` is exact for nearly all events";
        check.problem("load.stamps", "a capture is of one server, and an audit has two", hint);
    }
    if file.target.base_url.is_some() {
        let hint = "`--direct` and `--through` (`audit.direct`, `audit.through`) are the two servers";
        check.problem("target.base_url", "an audit's servers have names of their own", hint);
    }
}

/// Both URLs, which are the audit.
fn through(given: &file::Audit, check: &mut Check<'_>) -> String {
    match (&given.direct, &given.through) {
        (None, None) => check.problem(
            "audit",
            "expected the two ways that are compared, found neither",
            "`tare audit --direct http://127.0.0.1:8000 --through http://127.0.0.1:8080`: the server itself, and what stands before it",
        ),
        (None, Some(_)) => check.problem(
            "audit.direct",
            "missing: what a gateway adds is told by the same requests without it",
            "where the server cannot be reached itself, `tare run --base-url URL` measures through the gateway, and the server's spans or log (`--otlp`, `--server-log`) tell its part",
        ),
        (Some(_), None) => check.problem(
            "audit.through",
            "missing: the URL of what stands before the server",
            "for the server alone there is `tare run --base-url URL`",
        ),
        (Some(direct), Some(through)) if direct.trim_end_matches('/') == through.trim_end_matches('/') => {
            check.problem("audit.through", "both ways are the same", "name the gateway's URL, not the server's");
        }
        _ => {}
    }
    match given.through.as_deref().map(HttpUrl::parse) {
        Some(Ok(url)) if url.path.ends_with("/v1") => {
            let message =
                format!("expected the URL without the API's own path, found one that ends in `{}`", url.path);
            let without = HttpUrl { path: url.path.trim_end_matches("/v1").to_owned(), ..url };
            check.problem("audit.through", message, format!("did you mean `{without}`?"));
            String::new()
        }
        Some(Ok(url)) => url.to_string(),
        Some(Err(failure)) => {
            check.failure("audit.through", failure);
            String::new()
        }
        None => String::new(),
    }
}

/// A factor's levels: in order, each once.
fn ascending<T: Copy + Ord + std::fmt::Debug>(
    field: &str,
    mut list: Vec<T>,
    good: impl Fn(&T) -> bool,
    expected: &str,
    check: &mut Check<'_>,
) -> Vec<T> {
    let n = list.len();
    if let Some(bad) = list.iter().find(|level| !good(level)) {
        check.problem(field, format!("expected numbers {expected}, found {bad:?}"), "for example 1,8,32");
    }
    list.sort_unstable();
    list.dedup();
    if list.len() < n {
        check.problem(field, "a level is there twice", "each makes a cell of its own once");
    }
    if list.is_empty() || n > MAX_LEVELS {
        check.problem(field, format!("expected 1 to {MAX_LEVELS} levels, found {n}"), "for example 1,8,32");
    }
    list
}

/// A configuration of an audit in the hands of a verb that is none.
pub fn refuse(file: &File) -> Result<(), Failure> {
    match file.audit {
        Some(_) => Err(usage("this configuration is for an audit: it has a section `audit`")
            .hint("`tare audit FILE` runs it; for a usual run, leave the section out")),
        None => Ok(()),
    }
}

impl Audit {
    /// Requests that so many rounds of every cell send, both arms together.
    pub fn requests_of(&self, rounds: u32) -> u64 {
        let users: u64 = self.concurrency.iter().map(|n| u64::from(*n)).sum();
        let cells = (self.prompt_tokens.len().max(1) * self.connections.len()) as u64;
        2 * users * cells * u64::from(self.requests_per_user) * u64::from(rounds)
    }

    /// How the arm through the gateway is reached, where `direct` is how the server is.
    pub fn target(&self, direct: &Target) -> Target {
        let own_key = self.through_api_key_env.is_some();
        Target {
            base_url: Some(self.through.clone()),
            model: self.through_model.clone().or_else(|| direct.model.clone()),
            api_key: if own_key { self.through_api_key.clone() } else { direct.api_key.clone() },
            api_key_env: if own_key { self.through_api_key_env.clone() } else { direct.api_key_env.clone() },
            ..direct.clone()
        }
    }
}

impl From<Warmth> for Connections {
    fn from(warmth: Warmth) -> Self {
        match warmth {
            Warmth::Warm => Connections::Warm,
            Warmth::Cold => Connections::PerRequest,
        }
    }
}
