//! A network that loses three of ten packets each way and takes 200 ms there and back: no request is lost
//! uncounted, no stamp says more than is known, and the report names the network. `scripts/lossy-link` makes it of
//! two network namespaces; where that is not permitted the test says so and is passed over.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tare::mock::truth::TruthRow;
use tare::record::own::{KEY, OwnLag};
use tare::store::{RunData, RunFolder};

use crate::program::Place;

/// Each way.
const DELAY_MS: i64 = 100;
/// Two processes' readings of one clock may differ by so much.
const READING_NS: i64 = 20_000;
/// The script's exit code where a namespace or a TUN device is not permitted.
const NOT_PERMITTED: i32 = 77;
/// A token every 20 ms, so that several are under way at any time.
const SERVER: &str = "serve --host 10.77.0.2 --port 25100 --decode-base-ms 20 --jitter 0 --truth truth.jsonl";
const LOAD: &str = "run --base-url http://10.77.0.2:25100 --users 4 --num-prompts 10 --random-input-len 12 --random-output-len 40 --ignore-eos --no-server-metrics";

/// A link that is up until this is dropped.
struct Link {
    script: Child,
    up: Value,
    counts: PathBuf,
}

impl Link {
    fn new(place: &Place, options: &str) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lossy-link");
        let counts = place.path("counts.json");
        let mut command = Command::new("python3");
        command.arg(script).args(options.split_whitespace()).arg("--counts").arg(&counts);
        let Ok(mut script) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            say("there is no python3");
            return None;
        };
        let mut line = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            assert_eq!(script.wait().unwrap().code(), Some(NOT_PERMITTED));
            say("no network namespaces with TUN devices can be made here (the reason stands above)");
            return None;
        }
        Some(Self { script, up: serde_json::from_str(&line).unwrap(), counts })
    }

    /// A command at one end.
    fn at(&self, end: &str, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.up[end]));
        inside.arg(command.get_program()).args(command.get_args());
        inside.current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
        inside.stdin(Stdio::null());
        inside
    }

    /// A counter of TCP at one end.
    fn counter(&self, end: &str, name: &str) -> u64 {
        let mut cat = Command::new("cat");
        cat.arg("/proc/net/snmp");
        let text = String::from_utf8(self.at(end, &cat).output().unwrap().stdout).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let at = names.split(' ').position(|found| found == name).unwrap();
        values.split(' ').nth(at).unwrap().parse().unwrap()
    }

    /// Takes the link down; what the script has counted.
    fn end(mut self) -> Value {
        drop(self.script.stdin.take());
        self.script.wait().unwrap();
        serde_json::from_slice(&std::fs::read(&self.counts).unwrap()).unwrap()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Past the test's own capture of what is printed: that a check was left out is to be seen.
fn say(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: a lossy network: {why}");
}

/// Every event of every request, as the client has it and as the server wrote it.
fn check_stamps(data: &RunData, truth: &[TruthRow], what: &str) -> (usize, usize) {
    let (mut events, mut exact) = (0, 0);
    for row in &data.requests.rows {
        let own = data.events.of(&row.request_id).unwrap();
        let seen: Vec<usize> = (0..own.len()).collect();
        // A request that was sent a second time has two rows there.
        let told = truth.iter().filter(|told| told.x_request_id.as_deref() == Some(&row.request_id));
        let written = told.map(|told| -> Vec<i64> {
            told.events.iter().filter(|event| event.1 > 0).map(|event| event.0.0).collect()
        });
        let Some(written) = written.max_by_key(Vec::len).filter(|written| written.len() >= seen.len()) else {
            panic!("{what}: more was seen than was written: {row:?}");
        };
        for (at, written) in seen.into_iter().zip(written) {
            let (lo, hi) = (own.stamp_lo_unix_ns[at], own.stamp_hi_unix_ns[at]);
            let user = own.user_unix_ns[at];
            let arrives = written + DELAY_MS * 1_000_000;
            assert!(lo <= hi && hi <= user, "{what}");
            // No byte is quicker than its way: an upper bound below that would be a wrong one.
            assert!(hi + READING_NS >= arrives, "{what}: {} ns before it could be there", arrives - hi);
            events += 1;
            exact += usize::from(lo == hi);
        }
    }
    (events, exact)
}

#[test]
fn a_network_that_loses_packets_is_named_and_loses_no_request() {
    let place = Place::new();
    let Some(link) = Link::new(&place, &format!("--loss 30 --delay {DELAY_MS} --seed 7")) else { return };
    let mut server = link.at("far_pid", &place.command(SERVER)).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("Application startup complete")));
    let drained = std::thread::spawn(move || lines.for_each(drop));
    let mut runs = Vec::new();
    for stamps in ["kernel", "packet"] {
        let args = format!("{LOAD} --stamps {stamps} --output {stamps}");
        let before = link.counter("near_pid", "RetransSegs");
        let said = link.at("near_pid", &place.command(&args)).output().unwrap();
        let after = link.counter("near_pid", "RetransSegs");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(0), "{text}");
        runs.push((stamps, after - before));
    }
    let far = link.counter("far_pid", "RetransSegs");
    server.kill().unwrap();
    server.wait().unwrap();
    drained.join().unwrap();
    let near = link.counter("near_pid", "RetransSegs");
    let counts = link.end();
    // What the kernels say that they sent again is what came by here again: the link itself can be believed.
    let again = |way: &str| counts[way]["sent_again"].as_u64().unwrap();
    assert!(near <= again("to_far") && far <= again("to_near") && far > 0, "{near} {far} {counts}");

    let truth = std::fs::read_to_string(place.path("truth.jsonl")).unwrap();
    let truth: Vec<TruthRow> = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (stamps, sent_again) in runs {
        let folder = RunFolder::open(&place.path(stamps)).unwrap();
        let data = RunData::read(&folder).unwrap();
        assert_eq!((data.requests.rows.len(), data.without_row().len()), (10, 0), "{stamps}");
        assert_eq!(data.complaints(), Vec::<String>::new(), "{stamps}");
        let (events, exact) = check_stamps(&data, &truth, stamps);
        let own: OwnLag = serde_json::from_value(data.manifest.extra[KEY].clone()).unwrap();
        assert!(own.waited_segments() > 0, "{stamps}: {own:?}");
        let counted = own.counted("RetransSegs").unwrap();
        assert!(counted <= sent_again, "{stamps}: {counted} of {sent_again}");
        let trip = own.network.unwrap().round_trip;
        assert!(trip.min_s >= 2.0 * DELAY_MS as f64 / 1e3 && trip.n > 0, "{stamps}: {trip:?}");
        let summary: Value =
            serde_json::from_slice(&std::fs::read(place.path(&format!("{stamps}/summary.json"))).unwrap())
                .unwrap();
        let warnings: Vec<&str> =
            summary["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(
            warnings.iter().any(|w| w.starts_with("the network lost or held up") && w.contains("round trip")),
            "{stamps}: {warnings:?}"
        );
        let of_stamps = &summary["summary"]["stamps"];
        // What waited behind a lost segment is the network's time: taken for the client's it was half a round trip
        // and more, in the mean.
        let lag_s = of_stamps["client_lag"]["mean_s"].as_f64().unwrap_or(0.0);
        assert!(lag_s < DELAY_MS as f64 / 2e3, "{stamps}: {}", of_stamps["client_lag"]);
        if stamps == "packet" {
            let capture = &data.manifest.extra["stamps"]["capture"];
            assert!(capture["packets"]["retransmitted"].as_u64().unwrap() > 0, "{capture}");
            if capture["packets"]["dropped"] == 0 && capture["missing"] == 0 {
                assert_eq!(exact, events, "{capture}");
            }
        } else {
            assert!(of_stamps["inexact"]["behind_lost"].as_u64().unwrap() > 0, "{of_stamps}");
            assert!(exact < events);
        }
    }
}
