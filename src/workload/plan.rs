//! What a run will do, for `--dry-run`: the resolved configuration and the plan in words. Keys and
//! header values never appear: the configuration does not serialise them.

use std::fmt::{self, Write};

use super::{Skipped, Workload, histogram};
use crate::config::{Arrival, Audit, Config, Connections};
use crate::record::{Endpoint, History, Prompt};
use crate::units::count;

/// The configuration as YAML, then the plan.
pub fn plan_text(config: &Config, workload: &Workload) -> anyhow::Result<String> {
    let yaml = serde_saphyr::to_string(config)?;
    let mut text = format!("# the resolved configuration\n{}\n\n# the plan\n", yaml.trim_end());
    plan(&mut text, config, workload)?;
    Ok(text)
}

/// What a request set holds, for `tare prepare`.
pub fn prepared_text(config: &Config, workload: &Workload) -> Result<String, fmt::Error> {
    let mut text = format!("prompts   {}\n", prompts(workload));
    kept_back(&mut text, workload)?;
    if let Some(history) = workload.history {
        writeln!(text, "turns     {}", turns(config, workload, history))?;
    }
    lengths(&mut text, workload)?;
    first(&mut text, config, workload)?;
    text.push('\n');
    Ok(text)
}

/// Entries that are not sent, or not as asked for.
fn kept_back(out: &mut String, workload: &Workload) -> fmt::Result {
    for (skipped, why) in [(&workload.broken, "broken"), (&workload.pruned, "left out for their length")] {
        if skipped.count > 0 {
            writeln!(out, "          {}", skipped_text(skipped, why))?;
        }
    }
    if workload.not_exact > 0 {
        let n = count(workload.not_exact);
        writeln!(out, "          {n} could not be built to the length asked for; theirs is the nearest")?;
    }
    Ok(())
}

fn plan(out: &mut String, config: &Config, workload: &Workload) -> fmt::Result {
    let mut row = |title: &str, text: String| writeln!(out, "{title:<9} {text}");
    row("server", server(config))?;
    row("request", request(config))?;
    let audit = config.audit.as_ref();
    if audit.is_none_or(|audit| audit.prompt_tokens.is_empty()) {
        row("prompts", prompts(workload))?;
    }
    kept_back(out, workload)?;
    let mut row = |title: &str, text: String| writeln!(out, "{title:<9} {text}");
    if let Some(history) = workload.history {
        row("turns", turns(config, workload, history))?;
    }
    if workload.duplicates > 0 {
        row("", format!("{} more have the text of another", count(workload.duplicates)))?;
    }
    let asked = config.workload.samples.unwrap_or_default();
    if asked > workload.prompts.len() {
        row("", format!("{} different ones were asked for; the dataset has fewer", count(asked as u64)))?;
    }
    if let Some(audit) = audit {
        row("through", audit.through.clone())?;
        row("cells", cells(audit))?;
        row("rounds", rounds(audit))?;
    } else {
        row("load", load(config, workload))?;
        row("", end(config, workload))?;
    }
    if let Some(sweep) = &config.sweep {
        row("sweep", sweep.words())?;
    }
    row("observe", observe(config))?;
    let output = config.output.as_ref().map(|path| path.display().to_string());
    row("output", output.unwrap_or_else(|| format!("output/{}-TIME", config.name)))?;
    if audit.is_none_or(|audit| audit.prompt_tokens.is_empty()) {
        lengths(out, workload)?;
        first(out, config, workload)?;
    }
    Ok(())
}

/// How the conversations go on.
fn turns(config: &Config, workload: &Workload, history: History) -> String {
    let n = workload.prompts.len() as u64;
    let all = workload.requests(n);
    let whose = match history {
        History::Answers => "the server's own answers",
        History::Dataset => "the dataset's answers",
    };
    let turns: Vec<u64> = workload.prompts.iter().map(Prompt::requests).collect();
    let (least, most) = (turns.iter().min().unwrap_or(&1), turns.iter().max().unwrap_or(&1));
    let law = config.workload.multi_turn.as_ref().and_then(|turns| turns.think_time_s.as_ref());
    let think: f64 = workload.prompts.iter().flat_map(|p| &p.turns).map(|turn| turn.think_s).sum();
    let pause = match (law, think > 0.0) {
        (Some(law), true) => format!("; {law} s between an answer and the next turn"),
        (None, true) => format!("; {:.3} s between them on average", think / (all - n).max(1) as f64),
        _ => String::new(),
    };
    format!(
        "{} conversations of {least} to {most} turns, {} requests in all, carried on with {whose}{pause}",
        count(n),
        count(all)
    )
}

/// Lengths of prompts and answers, as they are known.
fn lengths(out: &mut String, workload: &Workload) -> fmt::Result {
    let inputs: Vec<u32> = workload.prompts.iter().map(Prompt::tokens).collect();
    let first = if workload.history.is_some() { " of first turns" } else { "" };
    let how = match &workload.tokenizer {
        Some(name) => format!("counted by {name}, special tokens included, chat template not"),
        None => "estimated: --tokenizer counts them".to_owned(),
    };
    writeln!(out, "\n# lengths in tokens")?;
    histogram::write(out, &format!("input{first} ({how})"), &inputs)?;
    let outputs: Vec<u32> = workload.prompts.iter().filter_map(|prompt| prompt.max_tokens).collect();
    let later = workload.prompts.iter().flat_map(|prompt| &prompt.turns).filter_map(|turn| turn.max_tokens);
    let outputs: Vec<u32> = outputs.into_iter().chain(later).collect();
    if outputs.is_empty() {
        return writeln!(out, "output: no limit, the server decides");
    }
    histogram::write(out, "output (limits of the answers)", &outputs)
}

/// The first requests, as much of them as tells what they are.
fn first(out: &mut String, config: &Config, workload: &Workload) -> fmt::Result {
    const SHOWN: usize = 3;
    const CHARS: usize = 100;
    writeln!(out, "\n# the first requests")?;
    for (i, prompt) in workload.prompts.iter().take(SHOWN).enumerate() {
        let limit = prompt.max_tokens.map_or_else(|| "no limit".to_owned(), |n| format!("at most {n}"));
        let turns = if prompt.turns.is_empty() {
            String::new()
        } else {
            format!(", {} more turns", prompt.turns.len())
        };
        let sign = if prompt.exact_tokens.is_some() { "" } else { "about " };
        let at = prompt.at_s.map(|s| format!(" at {s} s")).unwrap_or_default();
        let text = match config.target.endpoint {
            Endpoint::Completions => prompt.text().into_owned(),
            _ => prompt
                .messages()
                .iter()
                .map(|m| format!("[{}] {}", m.role, m.content))
                .collect::<Vec<_>>()
                .join(" "),
        };
        let mut text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.chars().count() > CHARS {
            text = text.chars().take(CHARS).chain(['…']).collect();
        }
        writeln!(out, "{i}{at}: {sign}{} tokens, {limit}{turns}: {}", prompt.tokens(), text.escape_debug())?;
    }
    Ok(())
}

fn server(config: &Config) -> String {
    let target = &config.target;
    match &target.base_url {
        Some(url) => {
            let model = target
                .model
                .as_ref()
                .map_or_else(|| "the first model it lists".to_owned(), |model| format!("model `{model}`"));
            let server = target.server.as_deref().unwrap_or("the server");
            format!("{server} at {url}, {model}")
        }
        None => format!("the embedded look-alike, started on a free port, model `{}`", target.embedded.model),
    }
}

fn request(config: &Config) -> String {
    let target = &config.target;
    let path = target.path.as_deref().unwrap_or(target.endpoint.path());
    let mut parts = vec![format!("POST {path}")];
    parts.push(if config.workload.stream { "streamed" } else { "not streamed: no TTFT" }.to_owned());
    parts.extend(target.api_key_env.as_ref().map(|variable| format!("key from {variable}")));
    if !target.headers.is_empty() {
        let names: Vec<&str> = target.headers.iter().map(|(name, _)| name.as_str()).collect();
        parts.push(format!("with {}", names.join(", ")));
    }
    parts.join(", ")
}

fn prompts(workload: &Workload) -> String {
    let mut tokens: Vec<u32> = workload.prompts.iter().map(Prompt::tokens).collect();
    tokens.sort_unstable();
    let least = tokens.first().copied().unwrap_or_default();
    let middle = tokens.get(tokens.len() / 2).copied().unwrap_or_default();
    let most = tokens.last().copied().unwrap_or_default();
    let about = if workload.tokenizer.is_some() { "" } else { "about " };
    let lengths = if least == most {
        format!("{about}{least} tokens each")
    } else {
        format!("{about}{least} to {most} tokens each, median {middle}")
    };
    let (n, source, seed) = (count(tokens.len() as u64), &workload.source, workload.seed);
    format!("{n} from {source}, seed {seed}; {lengths}")
}

fn skipped_text(skipped: &Skipped, why: &str) -> String {
    let more = if skipped.count > skipped.reasons.len() as u64 { "; …" } else { "" };
    format!("{} {why}: {}{more}", count(skipped.count), skipped.reasons.join("; "))
}

/// What a load counts.
fn counted(workload: &Workload) -> &'static str {
    if workload.history.is_some() { "conversations" } else { "requests" }
}

fn load(config: &Config, workload: &Workload) -> String {
    let (load, of) = (&config.load, counted(workload));
    match (&load.arrival, load.requests) {
        (Arrival::Burst, Some(requests)) if load.max_concurrency.is_none() => {
            format!("all {} {of} at once; --users or --request-rate would spread them", count(requests))
        }
        _ => load.words(of),
    }
}

fn cells(audit: &Audit) -> String {
    let list = |levels: &[u32]| levels.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let sizes = match audit.prompt_tokens.as_slice() {
        [] => "prompts of the dataset".to_owned(),
        sizes => format!("{} prompt tokens", list(sizes)),
    };
    let connections: Vec<&str> = audit.connections.iter().map(|c| c.as_str()).collect();
    format!(
        "every combination of {} users at once, {sizes}, {} connections",
        list(&audit.concurrency),
        connections.join(", ")
    )
}

fn rounds(audit: &Audit) -> String {
    let each = audit.requests_per_user;
    let per_round = format!("in each, every user sends {each} requests by each way");
    match (audit.rounds, audit.duration_s) {
        (Some(rounds), duration_s) => {
            let requests = count(audit.requests_of(rounds));
            let or = duration_s.map(|s| format!(", or those begun within {s} s")).unwrap_or_default();
            format!("{rounds} of each cell{or}; {per_round}: {requests} requests in all")
        }
        (None, Some(duration_s)) => format!("those begun within {duration_s} s; {per_round}"),
        (None, None) => per_round,
    }
}

fn end(config: &Config, workload: &Workload) -> String {
    let load = &config.load;
    let what = counted(workload);
    let until = match (load.requests, load.duration_s) {
        (Some(n), Some(duration)) => format!("until {} {what} or {duration} s", count(n)),
        (Some(n), None) => format!("until {} {what}", count(n)),
        (None, Some(duration)) => format!("until {duration} s"),
        (None, None) => "until stopped".to_owned(),
    };
    let mut parts = vec![format!("{until}, then at most {} s for those in flight", load.grace_period_s)];
    if load.warmups > 0 {
        parts.push(format!("{} warm-ups before", count(load.warmups.into())));
    }
    match load.connections {
        Connections::Warm => {}
        Connections::Cold => parts.push("connections opened on the clock and kept".to_owned()),
        Connections::PerRequest => parts.push("a new connection for each request".to_owned()),
    }
    parts.push(match load.requests.map(|requests| workload.repeats(requests)) {
        Some(0) => "no prompt is sent twice".to_owned(),
        Some(repeats) if workload.history.is_none() => {
            format!("{} requests at most repeat a prompt", count(repeats))
        }
        Some(repeats) => format!("{} conversations at most repeat another", count(repeats)),
        None => {
            let (one, next) = (what.trim_end_matches('s'), workload.prompts.len() as u64 + 1);
            format!("prompts repeat from {one} {} on", count(next))
        }
    });
    parts.join("; ")
}

fn observe(config: &Config) -> String {
    let observe = &config.observe;
    let embedded = config.target.base_url.is_none();
    let mut parts = Vec::new();
    if !observe.no_metrics {
        let place = if observe.metrics_urls.is_empty() {
            "/metrics".to_owned()
        } else {
            observe.metrics_urls.join(", ")
        };
        parts.push(format!("{place} every {} s and exactly before and after", observe.scrape_interval_s));
    }
    match &observe.server_log {
        Some(path) if path == "-" => parts.push("the server's log from standard input".to_owned()),
        Some(path) => parts.push(format!("the log {path}")),
        None if embedded => parts.push("its log".to_owned()),
        None => {}
    }
    if let Some(otlp) = &observe.otlp {
        let port = |port: u16| {
            if port == 0 { "a free port".to_owned() } else { port.to_string() }
        };
        parts.push(format!(
            "spans at {} (gRPC on {}, HTTP on {})",
            otlp.host,
            port(otlp.grpc_port),
            port(otlp.http_port)
        ));
    }
    if parts.is_empty() { "nothing of the server's side".to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
