//! tare as a client: `tare run` in a process of its own, with everything recorded that a run against
//! a real server records: events, requests, scrapes of `/metrics`, the server's log.

use std::path::Path;
use std::process::{Command, Stdio};

use tare::store::{RunData, RunFolder};

use crate::reference::{Answer, INPUT_TOKENS, Load, OUTPUT_TOKENS, RAMP_S, SAMPLES};
use crate::server::Server;

/// What a client of the usual kind does, is done on these: sending, reading, taking answers apart.
pub const LOAD_THREADS: &[&str] = &["tare-load", "tare-rows"];

pub fn command(load: Load, server: &Server, dir: &Path) -> Command {
    let Load { streams, seconds, tokens_per_second, .. } = load;
    // Time for the longest answer, many times over: no request is given up.
    let grace_s = 10.0 + 5.0 * f64::from(OUTPUT_TOKENS) / tokens_per_second;
    let line = format!(
        "run -q --base-url http://{} --users {streams} --ramp-s {RAMP_S} --duration {seconds} --grace-period {grace_s} \
         --random-input-len {INPUT_TOKENS} --random-output-len {OUTPUT_TOKENS} --ignore-eos --samples {SAMPLES}",
        server.authority
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    command.args(line.split_whitespace()).arg("--server-log").arg(&server.log);
    command.arg("--output").arg(dir.join("run")).stdout(Stdio::null());
    command
}

/// What the run folder says of each request.
pub fn answers(dir: &Path) -> anyhow::Result<Vec<Answer>> {
    let data = RunData::read(&RunFolder::open(&dir.join("run"))?)?;
    let events = data.events.whole()?;
    let event = |i: usize| {
        let (lo, hi) = (events.stamp_lo_unix_ns.get(i)?, events.stamp_hi_unix_ns.get(i)?);
        Some((Some(*hi), *events.user_unix_ns.get(i)?, lo == hi))
    };
    let rows = data.requests.rows.iter().map(|row| Answer {
        id: row.request_id.clone(),
        started_unix_ns: row.started_unix_ns.0,
        events: events.of(&row.request_id).unwrap_or_default().filter_map(event).collect(),
    });
    Ok(rows.collect())
}
