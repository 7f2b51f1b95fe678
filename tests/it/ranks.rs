//! Several processes that send one load to one server: their shards merged are the run that one process
//! makes, a host's clock that is wrong is set right within the bound that is stated, and what is missing is
//! named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;

use serde_json::{Value, json};
use tare::clock::UnixNs;
use tare::mock::truth::TruthRow;
use tare::record::{EventRow, Finished, RequestRow, Status};
use tare::secrets::Secrets;
use tare::store::{Manifest, RunData, RunFolder, RunWriter};

use crate::program::{LookAlike, Place, Said};
use crate::support::{free_port, wait_until};

const REQUESTS: usize = 60;
const LOAD: &str = "--dataset-name random --num-prompts 60 --request-rate 40 --random-input-len 40 \
                    --random-output-len 6 --ignore-eos --seed 5 --num-warmups 4";

struct Ranks {
    place: Place,
    _server: LookAlike,
    url: String,
}

impl Ranks {
    /// The ranks' shards are in `out`, their server's truth in `truth.jsonl`.
    fn run(world: u32, load: &str) -> Self {
        let (ranks, children) = Self::begin(world, load);
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        ranks
    }

    fn begin(world: u32, load: &str) -> (Self, Vec<Child>) {
        let place = Place::new();
        let otlp = free_port().port();
        let endpoint = format!("http://127.0.0.1:{otlp}");
        let truth = place.path("truth.jsonl");
        let server = LookAlike::start(&["--truth", truth.to_str().unwrap(), "--otlp-endpoint", &endpoint]);
        let url = server.url.clone();
        let ranks = Self { place, _server: server, url };
        let children: Vec<Child> = (0..world)
            .map(|rank| {
                // One command for all: only the first listens.
                let args = format!(
                    "--quiet run --base-url {} {load} --output out --rank {rank} --world {world} \
                     --otlp --otlp-http-port {otlp} --otlp-grpc-port 0",
                    ranks.url
                );
                ranks.place.command(&args).stdout(std::process::Stdio::null()).spawn().unwrap()
            })
            .collect();
        (ranks, children)
    }

    fn shard(&self, rank: u32) -> PathBuf {
        self.place.path(&format!("out/shard-{rank:04}"))
    }

    fn merged(&self, shards: &[&str], to: &str) -> Said {
        let shards = shards.join(" ");
        self.place.tare(&format!("--quiet correlate {shards} --output {to}"))
    }

    fn summary(&self, run: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.place.path(run).join("summary.json")).unwrap()).unwrap()
    }

    fn data(&self, run: &str) -> RunData {
        RunData::read(&RunFolder::open(&self.place.path(run)).unwrap()).unwrap()
    }

    /// Of requests that are counted, by the id that was sent.
    fn truth(&self) -> BTreeMap<String, TruthRow> {
        let text = std::fs::read_to_string(self.place.path("truth.jsonl")).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<TruthRow>(line).unwrap());
        let named = rows.filter_map(|row| Some((row.x_request_id.clone()?, row)));
        named.filter(|(id, _)| !id.contains("warmup")).collect()
    }
}

/// What is sent, and when after the start: nothing of it may depend on how many send it.
fn schedule(rows: &[RequestRow], start: UnixNs) -> Vec<(u64, u32, i64)> {
    let of = |row: &RequestRow| (row.index, row.prompt_index, row.scheduled_unix_ns.0 - start.0);
    let mut all: Vec<_> = rows.iter().map(of).collect();
    all.sort_unstable();
    all
}

const ALL: [&str; 3] = ["out/shard-0000", "out/shard-0001", "out/shard-0002"];

#[test]
fn three_ranks_are_one_run() {
    let ranks = Ranks::run(3, LOAD);
    let said = ranks.merged(&ALL, "merged");
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let (summary, data, truth) = (ranks.summary("merged"), ranks.data("merged"), ranks.truth());

    // Every request of the server's truth, once, by the rank whose number it is.
    assert_eq!((data.requests.rows.len(), truth.len()), (REQUESTS, REQUESTS));
    for (n, row) in data.requests.rows.iter().enumerate() {
        assert_eq!((row.index, row.status), (n as u64, Status::Ok));
        assert_eq!(row.rank.map(u64::from), Some(row.index % 3));
        assert!(truth.contains_key(&row.request_id), "{}", row.request_id);
        assert!(row.request_id.ends_with(&format!("-{n}")));
    }
    assert_eq!(data.complaints(), [""; 0]);

    // The schedule of one process, to the nanosecond.
    let alone = ranks.place.tare(&format!("--quiet run --base-url {} {LOAD} --output alone", ranks.url));
    assert_eq!(alone.code, Some(0), "{}", alone.shown());
    let one = ranks.data("alone");
    let start = |data: &RunData| UnixNs(data.manifest.extra["load"]["begun_unix_ns"].as_i64().unwrap());
    let shards: Vec<RunData> = ALL.iter().map(|shard| ranks.data(shard)).collect();
    let mut union = Vec::new();
    for shard in &shards {
        union.extend(schedule(&shard.requests.rows, start(shard)));
    }
    union.sort_unstable();
    assert_eq!(union, schedule(&one.requests.rows, start(&one)));

    // Both sides agree about all of them, and the parts are the whole.
    for check in summary["reconciliation"].as_array().unwrap() {
        assert_ne!(check["verdict"], "differ", "{check}");
    }
    assert_eq!(summary["coverage"]["joined"], REQUESTS);
    assert_eq!(summary["coverage"]["by_source"]["span"], REQUESTS);
    let ttft = |row: &TruthRow| row.ttft_s.unwrap();
    let mean = truth.values().map(ttft).sum::<f64>() / truth.len() as f64;
    let headline =
        summary["headline"].as_array().unwrap().iter().find(|row| row["metric"] == "ttft").unwrap();
    let server = headline["server"]["value"].as_f64().unwrap();
    assert!((server - mean).abs() < 1e-6, "{server} {mean}");
    let own = data.requests.rows.iter().map(|row| row.ttft_s.unwrap()).sum::<f64>() / REQUESTS as f64;
    assert!((headline["tool"]["value"].as_f64().unwrap() - own).abs() < 1e-9);

    // One row a host, on one clock.
    let hosts = summary["ranks"]["hosts"].as_array().unwrap();
    assert_eq!((hosts.len(), &summary["ranks"]["missing"]), (3, &json!([])));
    for (rank, host) in hosts.iter().enumerate() {
        assert_eq!((host["rank"].as_u64(), host["requests"].as_u64()), (Some(rank as u64), Some(20)));
        assert_eq!(host["aligned_by"], if rank == 0 { "reference" } else { "one_host" });
        // As exact as each process has read the two clocks beside one another.
        assert!(host["start_skew_s"].as_f64().unwrap() > -0.1, "{host}");
    }
    // Each part says what it is, on top.
    for (rank, shard) in ALL.iter().enumerate() {
        let of_shard = ranks.summary(shard);
        assert_eq!(of_shard["ranks"]["rank"], rank);
        let first = of_shard["warnings"][0].as_str().unwrap();
        assert!(first.contains(&format!("the part of rank {rank} of 3, not the run")), "{first}");
    }
    assert!(shards[0].scrapes.rows.len() >= 2 && shards[1].scrapes.rows.is_empty());

    wrong_shards(&ranks);
    a_clock_that_is_wrong(&ranks);
}

/// What is not there is named wherever the run is looked at; what does not belong is refused.
fn wrong_shards(ranks: &Ranks) {
    let said = ranks.merged(&[ALL[0], ALL[2]], "two");
    assert_eq!(said.code, Some(3));
    assert!(said.err.contains("the shard of rank 1 (of 3 ranks) is MISSING"), "{}", said.err);
    let two = ranks.summary("two");
    assert_eq!(two["ranks"]["missing"], json!([1]));
    assert!(two["warnings"][0].as_str().unwrap().contains("rank 1 (of 3 ranks) is MISSING"));
    let report = std::fs::read_to_string(ranks.place.path("two/report.md")).unwrap();
    assert!(report.lines().find(|line| line.starts_with('>')).unwrap().contains("is MISSING"));
    // Made again, it still says so.
    assert_eq!(ranks.place.tare("--quiet report two").code, Some(0));
    assert!(ranks.summary("two")["warnings"][0].as_str().unwrap().contains("is MISSING"));

    let twice = ranks.merged(&[ALL[0], ALL[0], ALL[1]], "twice");
    assert_eq!(
        (twice.code, twice.err.contains("out/shard-0000 is given twice")),
        (Some(2), true),
        "{}",
        twice.err
    );
    copy(&ranks.shard(1), &ranks.place.path("copy"));
    let copied = ranks.merged(&[ALL[1], "copy"], "twice");
    assert!(copied.err.contains("are both of rank 1"), "{}", copied.err);
    let not_one = ranks.merged(&[ALL[0], "alone"], "twice");
    assert!(not_one.err.contains("alone is no shard"), "{}", not_one.err);
    edit(&ranks.place.path("copy"), |manifest| {
        manifest.extra["shard"]["run_id"] = json!("0123456789abcdef");
    });
    let foreign = ranks.merged(&[ALL[0], "copy"], "twice");
    assert!(foreign.err.contains("copy of the run 0123456789abcdef"), "{}", foreign.err);

    // A shard that was killed, its last record torn: what is there counts, and it is said.
    copy(&ranks.shard(2), &ranks.place.path("killed"));
    edit(&ranks.place.path("killed"), |manifest| manifest.state = tare::store::manifest::RunState::Running);
    let results = ranks.place.path("killed/results.jsonl");
    let text = std::fs::read_to_string(&results).unwrap();
    std::fs::write(&results, &text[..text.len() - 30]).unwrap();
    let killed = ranks.merged(&[ALL[0], ALL[1], "killed"], "torn");
    assert_eq!(killed.code, Some(3));
    assert!(killed.err.contains("was killed"), "{}", killed.err);
    let torn = ranks.summary("torn");
    assert_eq!(torn["ranks"]["hosts"][2]["requests"], 19);
    let said = format!("{}{}", torn["warnings"], torn["notes"]);
    assert!(
        said.contains("1 requests were in flight when the run was killed") && said.contains("is cut"),
        "{said}"
    );
}

/// Rank 1's host has a clock that is 123.4 ms ahead, and nothing but the server's records tells.
fn a_clock_that_is_wrong(ranks: &Ranks) {
    const AHEAD_NS: i64 = 123_400_000;
    let to = ranks.place.path("ahead");
    copy(&ranks.shard(1), &to);
    set_ahead(&ranks.shard(1), &to, AHEAD_NS);
    let other_host = |manifest: &mut Manifest| {
        manifest.extra["shard"]["boot"] = json!("another host");
        let start = manifest.extra["shard"]["own_start_unix_ns"].as_i64().unwrap();
        manifest.extra["shard"]["own_start_unix_ns"] = json!(start + AHEAD_NS);
        manifest.extra["shard"]["ahead"] = json!(null);
        manifest.target.same_host = false;
    };
    edit(&to, other_host);
    let said = ranks.merged(&[ALL[0], "ahead", ALL[2]], "aligned");
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let summary = ranks.summary("aligned");
    let host = &summary["ranks"]["hosts"][1];
    assert_eq!(host["aligned_by"], "server");
    let [offset_s, bound_s] = ["offset_s", "offset_bound_s"].map(|key| host[key].as_f64().unwrap());
    assert!((offset_s - 0.1234).abs() <= bound_s, "{host}");
    // It surely tells that the clocks are not one.
    assert!(bound_s < 0.12, "{host}");
    assert!((host["start_skew_s"].as_f64().unwrap()).abs() <= bound_s + 1.0);
    // All its requests are joined, in time as well, and each instant of the server's lies where it can.
    assert_eq!(summary["coverage"]["joined"], REQUESTS);
    assert_eq!(summary["coverage"]["disagree_in_time"], 0);

    // Without any record of the server: the folder's readings, or nothing, and both are said.
    for (ahead, by) in [
        (json!({"at_least_ns": AHEAD_NS - 9_000_000, "at_most_ns": AHEAD_NS + 1_000_000}), "folder"),
        (json!(null), "nothing"),
    ] {
        let first = ranks.place.path(&format!("first-{by}"));
        copy(&ranks.shard(0), &first);
        for stream in ["spans.jsonl", "server_log.jsonl", "stat_log.jsonl"] {
            std::fs::write(first.join(stream), "").unwrap();
        }
        edit(&to, |manifest| manifest.extra["shard"]["ahead"] = ahead.clone());
        let first = first.file_name().unwrap().to_str().unwrap();
        let said = ranks.merged(&[first, "ahead", ALL[2]], &format!("by-{by}"));
        assert_eq!(said.code, Some(0), "{}", said.shown());
        let summary = ranks.summary(&format!("by-{by}"));
        let host = &summary["ranks"]["hosts"][1];
        assert_eq!(host["aligned_by"], by);
        let texts = format!("{}{}", summary["warnings"], summary["notes"]);
        if by == "folder" {
            assert_eq!(
                (host["offset_s"].as_f64(), host["offset_bound_s"].as_f64()),
                (Some(0.1194), Some(0.005))
            );
            assert!(texts.contains("to within ± 5.0"), "{texts}");
        } else {
            assert_eq!((host["offset_s"].as_f64(), host["offset_bound_s"].as_f64()), (Some(0.0), None));
            assert!(texts.contains("nothing bounds its clock"), "{texts}");
        }
    }
}

/// The others come to their end without it, and say whom they lack.
#[test]
fn a_rank_that_is_killed_is_taken_for_dead_and_named() {
    let load = "--dataset-name random --users 6 --num-prompts 120 --random-input-len 20 --random-output-len 20 \
                --ignore-eos --seed 5";
    let (ranks, mut children) = Ranks::begin(3, load);
    let results = ranks.shard(1).join("results.jsonl");
    wait_until("rank 1 has ended two requests", || {
        std::fs::read_to_string(&results).is_ok_and(|text| text.lines().count() >= 2)
    });
    children[1].kill().unwrap();
    let ended: Vec<Option<i32>> = children.iter_mut().map(|child| child.wait().unwrap().code()).collect();
    assert_eq!(ended, [Some(0), None, Some(0)]);
    let of_first = ranks.summary(ALL[0])["warnings"].to_string();
    let said = of_first.find("was taken for dead, and never said that it ended").expect(&of_first);
    assert!(of_first[..said].contains("rank 1 (") && !of_first.contains("rank 2 ("), "{of_first}");

    // What it had is in the run, and that it is not all.
    let merged = ranks.merged(&ALL, "merged");
    assert_eq!(merged.code, Some(3));
    assert!(merged.err.contains("rank 1 (") && merged.err.contains("was killed"), "{}", merged.err);
    let data = ranks.data("merged");
    let of_rank = |rank| data.requests.rows.iter().filter(|row| row.rank == Some(rank)).count();
    assert_eq!((of_rank(0), of_rank(2)), (40, 40));
    assert!((2..40).contains(&of_rank(1)), "{}", of_rank(1));
    let without = ranks.merged(&[ALL[0], ALL[2]], "without");
    assert_eq!(without.code, Some(3));
    assert!(without.err.contains("the shard of rank 1 (of 3 ranks) is MISSING"), "{}", without.err);
}

/// The users of a closed loop, their think times and ends included: each rank's are its own.
#[test]
fn users_are_shared() {
    let load = "--dataset-name random --users 5 --num-prompts 25 --random-input-len 20 --random-output-len 4 \
                --ignore-eos --seed 5";
    let ranks = Ranks::run(2, load);
    let shards = ["out/shard-0000", "out/shard-0001"];
    let said = ranks.merged(&shards, "merged");
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let data = ranks.data("merged");
    let indices: Vec<u64> = data.requests.rows.iter().map(|row| row.index).collect();
    assert_eq!(indices, (0..25).collect::<Vec<u64>>());
    for row in &data.requests.rows {
        let user = row.user.unwrap();
        assert_eq!(row.rank, Some(user % 2));
        assert_eq!(row.index % 5 % 2, u64::from(user % 2), "numbers go where users are");
    }
    let own = |rank| data.requests.rows.iter().filter(|row| row.rank == Some(rank)).count();
    assert_eq!((own(0), own(1)), (15, 10));
}

#[test]
fn what_cannot_be_shared_is_refused_before_anything_is_sent() {
    let place = Place::new();
    let url = "--base-url http://127.0.0.1:9 --output out --rank 0 --world 2";
    for (flags, said) in [
        ("run --output out --rank 0 --world 2", "the embedded server belongs to one process"),
        (&format!("run {url} --find-knee"), "a sweep or search"),
        (&format!("run {url} --calibrate"), "--calibrate"),
        (&format!("run {url} --users 1 --num-prompts 9"), "1 requests or users cannot be shared by 2 ranks"),
        (&format!("run {url} --request-rate 5 --max-concurrency 1"), "at most 1 requests at once"),
        (&format!("run {url} --fail-if ttft_p99=1s"), "`--fail-if` and `--junit` are of one run"),
        ("run --base-url http://127.0.0.1:9 --rank 0 --world 2", "2 ranks need one folder"),
        (&format!("run {url} --start-at 2001-01-01T00:00:00Z"), "--start-at was"),
        ("run --base-url http://127.0.0.1:9 --rank 1", "nothing says of how many"),
    ] {
        let refused = place.tare(flags);
        assert_eq!(refused.code, Some(2), "{flags}: {}", refused.shown());
        assert!(refused.err.contains(said), "{flags}: {}", refused.err);
    }
    assert!(!place.path("out").exists());
}

/// The number of ranks stands in it three times, and its configuration is one that is taken.
#[test]
fn the_job_for_kubernetes_agrees_with_itself() {
    let job = std::fs::read_to_string(crate::source::root().join("scripts/cluster/job.yaml")).unwrap();
    for said in ["completions: 4\n", "parallelism: 4\n", "TARE_WORLD: \"4\"\n", "completionMode: Indexed\n"] {
        assert_eq!(job.matches(said).count(), 1, "{said}");
    }
    let config = job.split("run.yaml: |\n").nth(1).unwrap().split("---").next().unwrap();
    let config: Vec<&str> = config.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    let place = Place::new().env("JOB_COMPLETION_INDEX", "3").env("TARE_WORLD", "4");
    place.file("run.yaml", config.join("\n"));
    let said = place.tare("run run.yaml --output out --dry-run");
    assert_eq!(said.code, Some(0), "{}", said.shown());
    assert!(
        said.err.contains("rank 3 of 4, by JOB_COMPLETION_INDEX and TARE_WORLD (Kubernetes)"),
        "{}",
        said.err
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

fn edit(folder: &Path, change: impl FnOnce(&mut Manifest)) {
    let folder = RunFolder::open(folder).unwrap();
    let mut manifest = Manifest::read(&folder).unwrap();
    change(&mut manifest);
    manifest.write(&folder).unwrap();
}

/// Writes a shard's requests and events anew, as a clock that is ahead would have stamped them.
fn set_ahead(from: &Path, to: &Path, by_ns: i64) {
    let data = RunData::read(&RunFolder::open(from).unwrap()).unwrap();
    let finished: Vec<Finished> = data
        .requests
        .rows
        .iter()
        .map(|row| {
            let mut value = serde_json::to_value(row).unwrap();
            for (key, at) in value.as_object_mut().unwrap() {
                if let Some(ns) = at.as_i64().filter(|_| key.ends_with("_unix_ns")) {
                    *at = json!(ns + by_ns);
                }
            }
            let events = data.events.of(&row.request_id).unwrap();
            let ahead = |at: UnixNs| UnixNs(at.0 + by_ns);
            let events = events.rows().into_iter().map(|event| EventRow {
                stamp_lo_unix_ns: ahead(event.stamp_lo_unix_ns),
                stamp_hi_unix_ns: ahead(event.stamp_hi_unix_ns),
                user_unix_ns: ahead(event.user_unix_ns),
                ..event
            });
            Finished { events: events.collect(), row: serde_json::from_value(value).unwrap(), place: None }
        })
        .collect();
    let mut writer = RunWriter::create(&RunFolder::open(to).unwrap(), &Secrets::default()).unwrap();
    writer.finished(&finished).unwrap();
    writer.end().unwrap();
}
