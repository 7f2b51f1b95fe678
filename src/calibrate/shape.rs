//! The loads of a calibration as configurations: the one that was asked for, and so many streams at
//! once, each against the embedded server, whatever URL the configuration names. This file must not
//! know how a load is run.

use crate::config::law::Law;
use crate::config::{Arrival, Config, Dataset, Embedded, Over};
use crate::server::vllm::VLLM;
use crate::units;

/// Requests in flight when sending ends may go on so long: a duration is known only of a whole answer.
const GRACE_S: f64 = 20.0;
/// A ramp takes at most this share of a level, so that most of it is at full load.
const RAMP_SHARE: f64 = 0.1;
/// The engine takes two steps to a first token: the rest of the step it comes in, and its own.
const STEPS_TO_FIRST: f64 = 2.0;
/// More than any level needs: the engine is never the limit.
const ENOUGH: u32 = 1_000_000;
/// Tokens of prompt and answer together, as models have them by now.
const CONTEXT: u32 = 131_072;

/// What the levels have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) duration_s: f64,
    /// Of each stream, where the engine's rate is fixed.
    pub(super) tokens_per_second: f64,
    pub(super) ttft_spread: f64,
}

/// One level to run.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) load: String,
    pub(super) streams: Option<u32>,
    /// The fixed rate; `None`: the configuration's own engine.
    pub(super) tokens_per_second: Option<f64>,
    pub(super) ramp_s: f64,
    pub(super) config: Config,
}

/// The load as configured, for the level's time: its arrivals, its workload, and its own engine if it
/// is for the embedded server.
pub(super) fn own(given: &Config, common: Common) -> Shape {
    let mut config = base(given);
    let is_embedded = given.target.base_url.is_none();
    if is_embedded {
        config.observe.clone_from(&given.observe);
    } else {
        config.target.embedded = engine(given, common);
    }
    config.load.duration_s = Some(common.duration_s);
    let (mut streams, mut ramp) = (None, 0.0);
    if let Arrival::Closed { users, ramp_s } = &mut config.load.arrival {
        // As much of the level as it takes of the run.
        let share = given.load.duration_s.map_or(RAMP_SHARE, |whole| *ramp_s / whole);
        *ramp_s = ramp_s.min(common.duration_s * share);
        (streams, ramp) = (Some(*users), *ramp_s);
    }
    squeeze(&mut config.load.arrival, common.duration_s);
    spread(&mut config, common);
    Shape {
        name: "as configured".to_owned(),
        load: in_words(&config, common.duration_s),
        streams,
        tokens_per_second: (!is_embedded).then_some(common.tokens_per_second),
        ramp_s: ramp,
        config,
    }
}

/// A load that changes in time, within the level's time.
fn squeeze(arrival: &mut Arrival, duration_s: f64) {
    match arrival {
        Arrival::UserStages { stages } => {
            let share = duration_s / stages.iter().map(|s| s.duration_s).sum::<f64>();
            for stage in stages {
                stage.duration_s *= share;
                stage.ramp_s *= share;
            }
        }
        Arrival::RateStages { stages } => {
            let share = duration_s / stages.iter().map(|s| s.duration_s).sum::<f64>();
            for stage in stages {
                stage.duration_s *= share;
            }
        }
        Arrival::RateRamp { over, .. } => *over = Over::Seconds(duration_s),
        _ => {}
    }
}

/// A closed loop of so many users with the configuration's prompts and answers, at the fixed rate.
pub(super) fn of_streams(given: &Config, streams: u32, common: Common) -> Shape {
    let mut config = base(given);
    config.target.embedded = engine(given, common);
    config.load.duration_s = Some(common.duration_s);
    config.load.requests = None;
    config.load.warmups = 0;
    config.load.max_concurrency = None;
    let ramp_s = if streams > 1 { common.duration_s * RAMP_SHARE } else { 0.0 };
    config.load.arrival = Arrival::Closed { users: streams, ramp_s };
    spread(&mut config, common);
    let s = if streams == 1 { "" } else { "s" };
    Shape {
        name: format!("{} stream{s}", units::count(u64::from(streams))),
        load: in_words(&config, common.duration_s),
        streams: Some(streams),
        tokens_per_second: Some(common.tokens_per_second),
        ramp_s,
        config,
    }
}

/// The configuration without what is the real server's: its address, its keys, what it tells.
fn base(given: &Config) -> Config {
    let mut config = given.clone();
    let target = &mut config.target;
    (target.base_url, target.path, target.model) = (None, None, None);
    (target.api_key, target.api_key_env) = (None, None);
    (target.ca_cert, target.insecure) = (None, false);
    target.headers = Vec::new();
    target.server = Some(VLLM.name.to_owned());
    config.observe.metrics_urls = Vec::new();
    (config.observe.listen_metrics, config.observe.export_spans) = (None, None);
    (config.observe.server_log, config.observe.stat_log, config.observe.otlp) = (None, None, None);
    // Addresses from which the real server is reached.
    config.load.source_addresses = Vec::new();
    config.load.grace_period_s = GRACE_S;
    (config.output, config.overwrite, config.calibrate) = (None, false, false);
    config
}

/// Steps of one length, whatever is in them: every stream gets its tokens at the same rate, at
/// any number of streams.
fn engine(given: &Config, common: Common) -> Embedded {
    let longest = match &given.workload.dataset {
        Dataset::Random { input_len, output_len, prefix_len } => {
            let most = |law: &Law| law.most().or_else(|| law.mean().map(|mean| 8.0 * mean)).unwrap_or(0.0);
            (2.0 * (f64::from(*prefix_len) + most(input_len) + most(output_len))) as u32
        }
        Dataset::PrefixRepetition { prefix_len, suffix_len, output_len, .. } => {
            2 * (prefix_len + suffix_len + output_len)
        }
        Dataset::Sonnet { input_len, output_len, .. } => 2 * (input_len + output_len),
        _ => 0,
    };
    Embedded {
        seed: given.seed,
        max_num_seqs: ENOUGH,
        max_num_batched_tokens: ENOUGH,
        max_model_len: longest.max(CONTEXT),
        prefill_us_per_token: 0.0,
        decode_base_ms: 1e3 / common.tokens_per_second,
        decode_per_seq_ms: 0.0,
        jitter: 0.0,
        frontend_ms: 0.0,
        frontend_us_per_token: 0.0,
        mean_output_tokens: given.target.embedded.mean_output_tokens,
        // A server that reads late would count as the client's error.
        api_server_count: 2,
        enable_log_requests: false,
        spans: false,
        ..Embedded::default()
    }
}

/// Holds first tokens back by up to so much that their TTFT is spread to either side of its mean:
/// with T what the engine takes and w the most they are held back, w / 2 = spread × (T + w / 2).
fn spread(config: &mut Config, common: Common) {
    let f = common.ttft_spread;
    let engine_ms = STEPS_TO_FIRST * config.target.embedded.decode_base_ms;
    let most_ms = (2.0 * f / (1.0 - f) * engine_ms).round();
    if most_ms > 0.0 {
        config.target.embedded.faults.push(format!("late_first up_to_ms={most_ms}"));
    }
}

fn in_words(config: &Config, duration_s: f64) -> String {
    let seconds = |s: f64| format!("{} s", (s * 10.0).round() / 10.0);
    let arrival = match &config.load.arrival {
        &Arrival::Closed { users, ramp_s } => {
            let ramp =
                if ramp_s > 0.0 { format!(", ramped over {}", seconds(ramp_s)) } else { String::new() };
            format!("closed loop of {}{ramp}", units::count(u64::from(users)))
        }
        Arrival::Constant { rate_rps } => format!("constant arrivals, {rate_rps} requests/s"),
        Arrival::Poisson { rate_rps } => format!("Poisson arrivals, {rate_rps} requests/s"),
        other => other.words(),
    };
    let requests = config.load.requests.map_or_else(String::new, |n| format!(" or {n} requests"));
    format!("{arrival}; {}{requests}", seconds(duration_s))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cli::{Cli, Command};

    const COMMON: Common = Common { duration_s: 10.0, tokens_per_second: 20.0, ttft_spread: 0.0 };

    fn config(flags: &str) -> Config {
        let words = format!("tare run {flags}");
        let Command::Run(args) = Cli::try_read(words.split_whitespace().map(Into::into)).unwrap().command
        else {
            panic!("not a run")
        };
        crate::config::load(None, &args).unwrap()
    }

    #[test]
    fn a_real_servers_address_and_secrets_stay_out() {
        let given = config(
            "--base-url https://planted-host:8000 --insecure --header X-Team=planted --server sglang --model m --users 4 \
             --ramp-s 20 --duration 100 --server-log vllm.log --otlp --source-address 10.1.2.3",
        );
        for shape in [own(&given, COMMON), of_streams(&given, 3, COMMON)] {
            let text = serde_json::to_string(&shape.config).unwrap();
            assert!(
                !text.contains("planted-host")
                    && !text.contains("10.1.2.3")
                    && !text.contains("Team")
                    && !text.contains("vllm.log"),
                "{text}"
            );
            assert!(shape.config.target.headers.is_empty() && shape.config.observe.otlp.is_none());
            assert!(!shape.config.target.insecure);
            assert_eq!(shape.config.target.server.as_deref(), Some("vllm"));
            assert!((shape.config.target.embedded.decode_base_ms - 50.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_own_shape_is_the_configured_one_in_less_time() {
        let given = config("--base-url http://gpu:8000 --users 40 --ramp-s 20 --duration 100");
        let shape = own(&given, COMMON);
        // A fifth of the run, a fifth of the level.
        assert_eq!(shape.config.load.arrival, Arrival::Closed { users: 40, ramp_s: 2.0 });
        assert_eq!((shape.config.load.duration_s, shape.streams), (Some(10.0), Some(40)));
        let open = own(&config("--request-rate 7 --arrival constant --duration 60"), COMMON);
        assert_eq!(open.config.load.arrival, Arrival::Constant { rate_rps: 7.0 });
        assert_eq!((open.streams, open.tokens_per_second), (None, None), "the engine is its own");
    }

    #[test]
    fn a_number_of_streams_is_a_closed_loop_without_an_end_but_the_time() {
        let given = config("--request-rate 7 --num-prompts 5 --max-concurrency 2 --num-warmups 3");
        let load = of_streams(&given, 2_000, COMMON).config.load;
        assert_eq!(load.arrival, Arrival::Closed { users: 2_000, ramp_s: 1.0 });
        assert_eq!((load.requests, load.max_concurrency, load.warmups), (None, None, 0));
    }

    #[test]
    fn a_spread_of_the_ttft_is_so_much_of_its_mean() {
        let given = config("--users 1 --duration 1");
        let of = |ttft_spread| {
            of_streams(&given, 1, Common { ttft_spread, ..COMMON }).config.target.embedded.faults
        };
        assert_eq!(of(0.0), [""; 0]);
        // 100 ms of two steps and up to 50 ms: 100 to 150, 20 % around 125.
        assert_eq!(of(0.2), ["late_first up_to_ms=50"]);
    }
}
