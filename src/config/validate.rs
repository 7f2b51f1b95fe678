//! From what was written to what the program uses: every default filled in, every value checked,
//! every problem reported with the field's name and a way out. Opens no file, sends nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::{Check, Limits, Origins};
use super::file::{ArrivalName, DatasetName, File, Metrics, OtlpChoice, Rate};
use super::url::HttpUrl;
use super::{Arrival, Config, Dataset, Embedded, Load, Observe, Otlp, Target, Workload, embedded, overlay};
use crate::cli::RunArgs;
use crate::error::Failure;
use crate::record::Endpoint;

/// Servers whose metrics and logs are understood.
pub const SERVERS: [&str; 1] = [USUAL_SERVER];
const USUAL_SERVER: &str = "vllm";
/// As `vllm bench serve --num-prompts`.
const DEFAULT_REQUESTS: u64 = 1000;
const MAX_USERS: u32 = 100_000;
const MONTH_S: f64 = 30.0 * 86_400.0;
const SPAN: Limits = Limits::from(0.0, MONTH_S, "seconds");
const POSITIVE_SPAN: Limits = Limits::above(0.0, MONTH_S, "seconds");
/// Random text is held in memory: about 2 GiB at most.
const MAX_RANDOM_TOKENS: f64 = 4e8;

/// Lays the flags over the file and resolves everything. `env` looks up environment variables.
pub fn resolve(
    mut file: File,
    source: Option<&Path>,
    flags: &RunArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Failure> {
    let mut origins = Origins::new(source);
    overlay::lay(flags, &mut file, &mut origins);
    let mut check = Check::new(&origins);
    overlay::texts(flags, &mut file, &mut check);

    let seed = file.seed.unwrap_or(0);
    let load = load(&file, &mut check);
    let workload = workload(&mut file, load.requests, &mut check);
    let mut embedded = embedded::from_file(&file, seed, &mut check);
    let observe = observe(&file, &mut embedded, &mut check);
    let config = Config {
        name: name(&file, source, &mut check),
        target: target(&mut file, embedded, env, &mut check),
        workload,
        load,
        observe,
        seed,
        metadata: std::mem::take(&mut file.metadata),
        label: file.label,
        output: output(file.output, &mut check),
        overwrite: file.overwrite.unwrap_or(false),
    };
    check.finish()?;
    Ok(config)
}

/// The name given, else the configuration file's.
fn name(file: &File, source: Option<&Path>, check: &mut Check<'_>) -> String {
    let fits = |name: &str| {
        !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
    };
    if let Some(name) = &file.name {
        if !fits(name) {
            let message = format!("expected letters, digits, `.`, `_` and `-`, found `{name}`");
            check.problem("name", message, "the name becomes part of the run folder's name");
        }
        return name.clone();
    }
    let stem = source.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    stem.filter(|stem| fits(stem)).unwrap_or_else(|| "run".to_owned())
}

fn output(output: Option<PathBuf>, check: &mut Check<'_>) -> Option<PathBuf> {
    if output.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        check.problem("output", "expected a folder, found nothing", "left out, it is output/NAME-TIME");
    }
    output
}

fn target(file: &mut File, embedded: Embedded, env: &dyn Fn(&str) -> Option<String>, check: &mut Check<'_>) -> Target {
    let given = &mut file.target;
    let base_url = given.base_url.take().and_then(|url| match HttpUrl::parse(&url) {
        Ok(url) => Some(url),
        Err(failure) => {
            check.failure("target.base_url", failure);
            None
        }
    });
    if let (Some(url), None) = (&base_url, &given.path)
        && url.path.ends_with("/v1")
    {
        let without = url.path.trim_end_matches("/v1");
        let message = format!("expected the URL without the API's own path, found one that ends in `{}`", url.path);
        check.problem("target.base_url", message, format!("did you mean `{}`?", HttpUrl { path: without.to_owned(), ..url.clone() }));
    }
    let server = given.server.take().unwrap_or_else(|| USUAL_SERVER.to_owned());
    if !SERVERS.contains(&server.as_str()) {
        check.problem("target.server", format!("expected `{}`, found `{server}`", SERVERS.join("`, `")), "it says whose metrics and logs to expect");
    }
    if let Some(path) = &given.path
        && !(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()))
    {
        check.problem("target.path", format!("expected a path that begins with `/`, found `{}`", path.escape_debug()), "for example `/v1/chat/completions`");
    }
    if given.model.as_ref().is_some_and(String::is_empty) {
        check.problem("target.model", "expected a name, found nothing", "left out, it is the first model the server lists");
    }
    let headers = headers(std::mem::take(&mut given.headers), check);
    let authorised = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let (api_key, api_key_env) = match given.api_key_env.take() {
        Some(_) if authorised => {
            check.problem("target.api_key_env", "there is an Authorization header as well", "give one of them");
            (None, None)
        }
        Some(variable) => (api_key(&variable, env, check), Some(variable)),
        // The embedded server asks for no key, and an own header says more than a variable that
        // happens to be set.
        None if base_url.is_none() || authorised || env(USUAL_KEY).is_none_or(|key| key.trim().is_empty()) => (None, None),
        None => (api_key(USUAL_KEY, env, check), Some(USUAL_KEY.to_owned())),
    };
    Target {
        base_url: base_url.map(|url| url.to_string()),
        server,
        endpoint: given.endpoint.unwrap_or(Endpoint::Chat),
        path: given.path.take(),
        model: given.model.take(),
        headers,
        api_key,
        api_key_env,
        ready_timeout_s: check.real("target.ready_timeout_s", given.ready_timeout_s, 0.0, SPAN),
        embedded,
    }
}

const USUAL_KEY: &str = "OPENAI_API_KEY";

/// The key in an environment variable; messages never show it.
fn api_key(variable: &str, env: &dyn Fn(&str) -> Option<String>, check: &mut Check<'_>) -> Option<String> {
    let key = env(variable).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    match key {
        None => check.problem(
            "target.api_key_env",
            format!("the environment variable `{variable}` is not set"),
            format!("`export {variable}=…` before the run; the variable's name is given here, never the key"),
        ),
        Some(ref key) if !key.bytes().all(|b| b.is_ascii_graphic()) => check.problem(
            "target.api_key_env",
            format!("the key in `{variable}` has characters that cannot be sent in a header"),
            "expected printable ASCII without spaces",
        ),
        Some(_) => return key,
    }
    None
}

/// Headers that the run itself needs to set.
const OWN_HEADERS: [&str; 7] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "x-request-id", "traceparent"];

fn headers(given: BTreeMap<String, String>, check: &mut Check<'_>) -> Vec<(String, String)> {
    for (name, value) in &given {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || !name.bytes().all(is_token) {
            check.problem("target.headers", format!("`{}` is not a header's name", name.escape_debug()), "for example `X-Team`");
        } else if OWN_HEADERS.contains(&lower.as_str()) {
            let hint = if lower == "x-request-id" { "--request-id-prefix sets how the ids begin" } else { "leave it out" };
            check.problem("target.headers", format!("`{name}` is set by tare itself"), hint);
        } else if !value.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)) {
            check.problem("target.headers", format!("the value of `{name}` cannot be sent in a header"), "expected printable ASCII");
        }
    }
    given.into_iter().collect()
}

fn workload(file: &mut File, requests: Option<u64>, check: &mut Check<'_>) -> Workload {
    let dataset = dataset(file, check);
    let given = &mut file.workload;
    let mut samples = check.whole_or_none("workload.samples", given.samples, 1..=usize::MAX, "left out, all prompts are used, in order");
    let mut max_tokens = check.whole_or_none("workload.max_tokens", given.max_tokens, 1..=u32::MAX, "left out, the dataset says it");
    if let Dataset::Random { input_len, range_ratio, .. } = dataset {
        // Its answers' lengths are drawn with the prompts.
        max_tokens = None;
        let wanted = requests.unwrap_or(DEFAULT_REQUESTS);
        let n = *samples.get_or_insert(usize::try_from(wanted).unwrap_or(usize::MAX));
        if n as f64 * f64::from(input_len) * (1.0 + range_ratio) > MAX_RANDOM_TOKENS {
            let message = format!("{n} random prompts of {input_len} tokens do not fit in memory");
            check.problem("workload.samples", message, "ask for fewer distinct prompts with --samples; they are then repeated");
        }
    }
    for key in ["messages", "prompt", "stream", "stream_options"] {
        if given.extra_body.contains_key(key) {
            let hint = if key == "stream" { "`workload.stream: false` or --no-stream asks for whole answers" } else { "leave it out" };
            check.problem("workload.extra_body", format!("`{key}` is set by tare itself"), hint);
        }
    }
    let server = "left out, the server decides";
    Workload {
        dataset,
        samples,
        max_tokens,
        temperature: check.real_or_none("workload.temperature", given.temperature, Limits::from(0.0, 10.0, ""), server),
        top_p: check.real_or_none("workload.top_p", given.top_p, Limits::above(0.0, 1.0, ""), server),
        ignore_eos: given.ignore_eos.unwrap_or(false),
        stream: given.stream.unwrap_or(true),
        extra_body: std::mem::take(&mut given.extra_body),
    }
}

fn dataset(file: &mut File, check: &mut Check<'_>) -> Dataset {
    let given = &mut file.workload;
    let ending = given.path.as_ref().and_then(|path| path.extension()).map(|ending| ending.to_ascii_lowercase());
    let by_ending = match ending.as_ref().and_then(|ending| ending.to_str()) {
        Some("jsonl" | "ndjson") => Some(DatasetName::Jsonl),
        Some("json") => Some(DatasetName::Sharegpt),
        _ => None,
    };
    if given.dataset.is_none() && given.path.is_some() && by_ending.is_none() {
        check.problem("workload.path", "the file's ending does not say what it holds", "say it with --dataset-name sharegpt or custom");
    }
    let usual = if given.path.is_some() { DatasetName::Jsonl } else { DatasetName::Random };
    let name = given.dataset.or(by_ending).unwrap_or(usual);
    if name == DatasetName::Random {
        return random(file, check);
    }
    for (field, is_given) in [
        ("workload.random_input_len", given.random_input_len.is_some()),
        ("workload.random_output_len", given.random_output_len.is_some()),
        ("workload.range_ratio", given.range_ratio.is_some()),
    ] {
        if is_given {
            check.problem(field, "this is for random prompts, and the dataset is a file", "leave it out, or choose --dataset-name random");
        }
    }
    let misplaced = match name {
        DatasetName::Sharegpt => "`--custom-output-len`",
        _ => "`--sharegpt-output-len`",
    };
    refuse_length_of_another(misplaced, check);
    let path = given.path.take().unwrap_or_else(|| {
        check.problem("workload.path", "missing: this dataset is read from a file", "for example `--dataset-path requests/demo.jsonl`");
        PathBuf::new()
    });
    if name == DatasetName::Sharegpt { Dataset::Sharegpt { path } } else { Dataset::Jsonl { path } }
}

fn random(file: &mut File, check: &mut Check<'_>) -> Dataset {
    let given = &mut file.workload;
    if given.path.is_some() {
        check.problem("workload.path", "random prompts are read from no file", "leave it out, or say --dataset-name sharegpt or custom");
    }
    for misplaced in ["`--custom-output-len`", "`--sharegpt-output-len`"] {
        refuse_length_of_another(misplaced, check);
    }
    if let (Some(random), Some(most)) = (given.random_output_len, given.max_tokens)
        && random != most
    {
        let message = format!("{most} contradicts {} ({random})", check.name("workload.random_output_len"));
        check.problem("workload.max_tokens", message, "for random prompts, `random_output_len` is the answer's length limit");
    }
    let len = 1..=10_000_000;
    Dataset::Random {
        input_len: check.whole("workload.random_input_len", given.random_input_len, 1024, len.clone()),
        output_len: check.whole("workload.random_output_len", given.random_output_len.or(given.max_tokens.filter(|&n| n > 0)), 128, len),
        range_ratio: check.real("workload.range_ratio", given.range_ratio, 0.0, Limits::from(0.0, 0.999, "")),
    }
}

/// `--custom-output-len` with ShareGPT and the like: silently ignoring it would mislead.
fn refuse_length_of_another(flag: &str, check: &mut Check<'_>) {
    if check.name("workload.max_tokens") == flag {
        check.problem("workload.max_tokens", "this is for another dataset", "--output-len sets the length limit whatever the dataset");
    }
}

fn load(file: &File, check: &mut Check<'_>) -> Load {
    let given = &file.load;
    let duration_s = check.real_or_none("load.duration_s", given.duration_s, POSITIVE_SPAN, "left out, the number of requests ends the run");
    let mut requests = check.whole_or_none("load.requests", given.requests, 1..=1_000_000_000, "left out, the duration ends the run");
    if given.requests.is_none() && given.duration_s.is_none() {
        requests = Some(DEFAULT_REQUESTS);
    }
    let timeout_s = check.real("load.timeout_s", given.timeout_s, 3600.0, POSITIVE_SPAN);
    // With a duration, the run should end soon after it. Without, it ends when the last request did,
    // and a burst's last request is sent at the very start.
    let grace_s = if duration_s.is_some() { 30.0 } else { timeout_s };
    let prefix = given.request_id_prefix.clone().unwrap_or_else(|| "tare-".to_owned());
    if prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
        check.problem(
            "load.request_id_prefix",
            format!("expected at most 64 letters, digits, `-`, `_`, `.` or `:`, found `{}`", prefix.escape_debug()),
            "it stands at the beginning of a header and of ids in logs",
        );
    }
    Load {
        arrival: arrival(file, requests, duration_s, check),
        requests,
        duration_s,
        grace_period_s: check.real("load.grace_period_s", given.grace_period_s, grace_s, SPAN),
        timeout_s,
        connect_timeout_s: check.real("load.connect_timeout_s", given.connect_timeout_s, 30.0, POSITIVE_SPAN),
        warmups: check.whole("load.warmups", given.warmups, 0, 0..=100_000),
        max_concurrency: given.max_concurrency.filter(|_| given.request_rate.is_some_and(|rate| rate.0.is_finite())),
        request_id_prefix: prefix,
    }
}

/// The law of arrivals: users, else a rate, else what `vllm bench serve` does without a rate: all
/// at once, or as many at once as `max_concurrency` lets, which is a closed loop.
fn arrival(file: &File, requests: Option<u64>, duration_s: Option<f64>, check: &mut Check<'_>) -> Arrival {
    let given = &file.load;
    let rate = given.request_rate.map_or(f64::INFINITY, |Rate(rate)| rate);
    let cap = check.whole_or_none("load.max_concurrency", given.max_concurrency, 1..=MAX_USERS, "left out, there is no limit");
    let asked = check.whole_or_none("load.users", given.users, 1..=MAX_USERS, "left out, the rate or --max-concurrency says how to send");
    let users = given.users.or(given.max_concurrency.filter(|_| rate == f64::INFINITY));
    if given.users.is_some() {
        let name = check.name("load.users");
        if given.request_rate.is_some() {
            let message = format!("a rate is for an open loop, {name} for a closed one");
            check.problem("load.request_rate", message, "give one of them");
        }
        if given.max_concurrency.is_some() {
            check.problem("load.max_concurrency", format!("{name} already says how many at once"), "give one of them");
        }
    }
    if given.arrival.is_some() && (given.users.is_some() || rate == f64::INFINITY) {
        check.problem("load.arrival", "only a rate has gaps to draw", "give a rate with --request-rate, or leave it out");
    }
    let ramp_s = check.real("load.ramp_s", given.ramp_s, 0.0, SPAN);
    if given.ramp_s.is_some() && users.is_none() {
        check.problem("load.ramp_s", "only users are ramped", "say how many with --users, or leave it out");
    }
    if let Some(duration_s) = duration_s
        && ramp_s > duration_s
    {
        let message = format!("{ramp_s} s is longer than {} ({duration_s} s)", check.name("load.duration_s"));
        check.problem("load.ramp_s", message, "a ramp ends before the run does");
    }
    if users.is_some() {
        return Arrival::Closed { users: asked.or(cap).unwrap_or(1), ramp_s };
    }
    if rate != f64::INFINITY {
        let limits = Limits::above(0.0, 1e6, "requests per second");
        let rate_rps = check.real_or_none("load.request_rate", Some(rate), limits, "`inf` sends all at once").unwrap_or(1.0);
        return match given.arrival.unwrap_or(ArrivalName::Poisson) {
            ArrivalName::Poisson => Arrival::Poisson { rate_rps },
            ArrivalName::Constant => Arrival::Constant { rate_rps },
        };
    }
    let burst = requests.map(u32::try_from);
    match burst {
        Some(Ok(users)) if users <= MAX_USERS => return Arrival::Closed { users, ramp_s: 0.0 },
        Some(_) => check.problem(
            "load.requests",
            format!("without users or a rate all are sent at once, {MAX_USERS} at most"),
            "give --users, --max-concurrency or --request-rate",
        ),
        None if given.requests.is_none() => {
            check.problem("load.users", "missing: a duration alone does not say how to send", "give --users or --request-rate");
        }
        None => {}
    }
    Arrival::Closed { users: 1, ramp_s: 0.0 }
}

fn observe(file: &File, embedded: &mut Embedded, check: &mut Check<'_>) -> Observe {
    let given = &file.observe;
    let starts_embedded = file.target.base_url.is_none();
    let metrics_urls = match &given.metrics {
        Some(Metrics::At(urls)) => urls.clone(),
        _ => Vec::new(),
    };
    for url in &metrics_urls {
        if let Err(failure) = HttpUrl::parse(url) {
            check.failure("observe.metrics", failure);
        }
    }
    if starts_embedded {
        let hint = "say which server to use with --base-url, or leave it out";
        if !metrics_urls.is_empty() {
            check.problem("observe.metrics", "the embedded server's metrics are found without a URL", hint);
        }
        if given.server_log.is_some() {
            check.problem("observe.server_log", "the embedded server's log is read without a path", hint);
        }
    }
    if given.server_log.as_ref().is_some_and(String::is_empty) {
        check.problem("observe.server_log", "expected a path or `-`, found nothing", "`-` reads standard input");
    }
    let otlp = otlp(file, starts_embedded, embedded, check);
    // Spans that nobody receives need not be made.
    embedded.spans = embedded.spans && otlp.is_some();
    Observe {
        metrics_urls,
        no_metrics: given.metrics == Some(Metrics::Off),
        scrape_interval_s: check.real("observe.scrape_interval_s", given.scrape_interval_s, 1.0, Limits::from(0.05, 3600.0, "seconds")),
        server_log: given.server_log.clone(),
        otlp,
        span_wait_s: check.real("observe.span_wait_s", given.span_wait_s, 10.0, SPAN),
    }
}

/// The receiver. The embedded server is told its ports, so any free ones do; another server was
/// configured for the usual ones.
fn otlp(file: &File, starts_embedded: bool, embedded: &Embedded, check: &mut Check<'_>) -> Option<Otlp> {
    let asked = match &file.observe.otlp {
        Some(OtlpChoice::On(otlp)) => otlp.clone(),
        None if starts_embedded && embedded.spans => super::file::Otlp::default(),
        Some(OtlpChoice::Off) | None => return None,
    };
    let usual = if starts_embedded { [0, 0] } else { [4317, 4318] };
    let otlp = Otlp {
        host: asked.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        grpc_port: asked.grpc_port.unwrap_or(usual[0]),
        http_port: asked.http_port.unwrap_or(usual[1]),
    };
    if otlp.host.is_empty() || !otlp.host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b)) {
        let message = format!("expected a host to listen on, found `{}`", otlp.host.escape_debug());
        check.problem("observe.otlp.host", message, "`127.0.0.1` for this machine alone, `0.0.0.0` for all");
    }
    if otlp.grpc_port == otlp.http_port && otlp.grpc_port != 0 {
        let message = format!("{} is the port for gRPC as well", otlp.http_port);
        check.problem("observe.otlp.http_port", message, "the usual ports are 4317 (gRPC) and 4318 (HTTP)");
    }
    Some(otlp)
}
