//! How requests come by their connections: opened ahead, on the clock, one each; from which addresses
//! and on which threads; and what is said when the machine does not have them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};

use std::io::Write;

use insta::assert_snapshot;
use tare::config::{Arrival, Connections};
use tare::record::{Connection, LogEvent, RequestRow, Status};

use crate::end_to_end::agrees_with_truth;
use crate::program::{LookAlike, Place, filters};
use crate::runs::{QUICK, Run, SHORT, run};
use crate::support::closed_port;
use crate::wire::{self, Step, good, plan, read_request};

/// Each user's first request.
fn firsts(run: &Run) -> Vec<&RequestRow> {
    let mut firsts: BTreeMap<u32, &RequestRow> = BTreeMap::new();
    for row in &run.rows {
        let first = firsts.entry(row.user.unwrap()).or_insert(row);
        if row.started_unix_ns < first.started_unix_ns {
            *first = row;
        }
    }
    firsts.into_values().collect()
}

fn count(run: &Run, connection: Connection) -> u64 {
    run.rows.iter().filter(|row| row.connection == connection).count() as u64
}

/// Stamps of connecting are there exactly where a request waited for it, and the counts of the
/// manifest are those of the rows.
fn counts_agree(run: &Run) {
    for row in &run.rows {
        let on_the_clock = matches!(row.connection, Connection::New | Connection::Retried);
        assert_eq!(
            (row.connect_begin_unix_ns.is_some(), row.connect_end_unix_ns.is_some()),
            (on_the_clock, on_the_clock),
            "{row:?}"
        );
    }
    let counts = &run.manifest.extra["load"]["connections"];
    for connection in [Connection::New, Connection::Warm, Connection::Reused, Connection::Retried] {
        assert_eq!(counts[connection.as_str()].as_u64(), Some(count(run, connection)), "{counts}");
    }
    assert!(counts["opened_ahead"].as_u64() >= Some(count(run, Connection::Warm)));
}

fn noted(run: &Run, words: &str) -> bool {
    run.manifest.notes.iter().any(|note| note.contains(words))
}

#[test]
fn warm_users_find_their_connection_open() {
    let run = run(QUICK, &format!("{SHORT} --users 4 --ramp-s 3 --duration 4"));
    agrees_with_truth(&run);
    counts_agree(&run);
    let truth = run.truth_by_id();
    let firsts = firsts(&run);
    assert_eq!(firsts.len(), 4);
    for row in &firsts {
        assert_eq!((row.connection, row.connect_begin_unix_ns), (Connection::Warm, None));
        assert_eq!(truth[row.request_id.as_str()].connection_request, 1);
    }
    // A connection that its request opens is never accepted before the request has started. How soon
    // the server gets to accepting one is its own affair; of four, one is enough of a proof.
    assert!(firsts.iter().any(|row| truth[row.request_id.as_str()].accepted_unix_ns < row.started_unix_ns));
    assert_eq!(count(&run, Connection::New), 0);
    assert!(count(&run, Connection::Reused) > 0 && !noted(&run, "on the clock"));
    // The breakdown knows that connecting cost nothing.
    assert!(run.correlated.rows.iter().all(|row| row.parts.connect_s == Some(0.0)));
}

#[test]
fn a_warm_open_loop_has_connections_to_spare() {
    let run = run(QUICK, &format!("{SHORT} --request-rate 40 --arrival constant --num-prompts 60"));
    agrees_with_truth(&run);
    counts_agree(&run);
    assert_eq!(run.ok().count(), 60);
    // Twenty were there before the first request.
    assert_eq!(run.rows[0].connection, Connection::Warm);
    assert!(run.manifest.extra["load"]["connections"]["opened_ahead"].as_u64() >= Some(20));
    // Where the pool was empty for once, the request says so, and so does the report.
    assert_eq!(noted(&run, "found no open connection"), count(&run, Connection::New) > 0);
}

#[test]
fn cold_connections_are_opened_on_the_clock_and_kept() {
    for load in ["--users 3 --num-prompts 20", "--request-rate 60 --num-prompts 20"] {
        let run = run(QUICK, &format!("{SHORT} {load} --connections cold"));
        agrees_with_truth(&run);
        counts_agree(&run);
        assert_eq!((run.ok().count(), count(&run, Connection::Warm)), (20, 0), "{load}");
        assert_eq!(run.rows[0].connection, Connection::New);
        assert!(!noted(&run, "on the clock"), "that is what was asked for");
        assert_eq!(run.manifest.extra["load"]["connections"]["opened_ahead"], 0);
    }
}

#[test]
fn a_connection_per_request_is_new_and_carries_no_other() {
    for load in ["--users 3 --num-prompts 20", "--request-rate 60 --num-prompts 20"] {
        let run = run(QUICK, &format!("{SHORT} {load} --connections per-request"));
        agrees_with_truth(&run);
        counts_agree(&run);
        assert_eq!((run.ok().count(), count(&run, Connection::New)), (20, 20), "{load}");
        assert!(run.truth.iter().all(|truth| truth.connection_request == 1));
    }
    // The server is told, so that it need not wait for another request.
    let server = wire::serve(vec![vec![Step::Read, Step::Send(good()), Step::Hold]]);
    let mut plan = plan(server.address);
    (plan.load.connections, plan.load.requests) = (Connections::PerRequest, Some(2));
    let (rows, _) = wire::run(&plan);
    assert!(rows.iter().all(|f| f.row.status == Status::Ok && f.row.connection == Connection::New));
    assert!(server.requests.lock().unwrap().iter().all(|r| r.contains("\r\nConnection: close\r\n")));
}

/// Every connection is closed 50 ms after its last answer, and the next request comes 125 ms later.
#[test]
fn a_server_that_closes_idle_connections_costs_no_request() {
    let server = LookAlike::start(&["--keep-alive-s", "0.05"]);
    for connections in ["warm", "cold"] {
        let load =
            format!("--request-rate 8 --arrival constant --num-prompts 12 --connections {connections}");
        let run = run("", &format!("{SHORT} --base-url {} {load}", server.url));
        assert_eq!((run.ok().count(), run.rows.len()), (12, 12), "{connections}");
        counts_agree(&run);
    }
}

/// Lists a model; answers the first completion of each connection, and closes it at the second.
fn serve_once_per_connection() -> SocketAddr {
    fn answer(mut stream: TcpStream) -> Option<()> {
        let mut completions = 0;
        loop {
            let request = read_request(&mut stream)?;
            let answer = match request.split(' ').nth(1)? {
                "/v1/chat/completions" if completions > 0 => return None,
                "/v1/chat/completions" => {
                    completions += 1;
                    good()
                }
                "/v1/models" => {
                    let body = "{\"data\":[{\"id\":\"m\"}]}";
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
                }
                _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
            };
            stream.write_all(&answer).ok()?;
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

#[test]
fn a_request_that_is_sent_twice_says_so_and_the_report_too() {
    let url = format!("http://{}", serve_once_per_connection());
    let run = run("", &format!("{SHORT} --base-url {url} --no-server-metrics --users 1 --num-prompts 5"));
    counts_agree(&run);
    let found: Vec<Connection> = run.rows.iter().map(|row| row.connection).collect();
    // The first on the connection opened ahead; each other is sent over one that is closed under it.
    assert_eq!(found[0], Connection::Warm);
    assert!(found[1..].iter().all(|c| *c == Connection::Retried), "{found:?}");
    assert_eq!(run.ok().count(), 5);
    assert!(noted(&run, "4 of 5 requests were sent a second time"), "{:?}", run.manifest.notes);
    assert!(run.file("report.md").contains("it may have run both"));
}

/// One opened ahead may be closed by the time it is used, as one that was kept; its second try is on
/// a new connection, and is the last.
#[test]
fn what_was_opened_ahead_and_dies_is_sent_again_once() {
    let dies = vec![Step::Read, Step::Reset];
    let answers = vec![Step::Read, Step::Send(good()), Step::Hold];
    let server = wire::serve(vec![dies.clone(), dies.clone(), dies, answers]);
    let mut plan = plan(server.address);
    (plan.load.connections, plan.load.requests) = (Connections::Warm, Some(2));
    let (rows, outcome) = wire::run(&plan);
    let found: Vec<_> = rows.iter().map(|f| (f.row.status, f.row.connection)).collect();
    assert_eq!(found, [(Status::ConnectError, Connection::Retried), (Status::Ok, Connection::Retried)]);
    assert_eq!(server.requests.lock().unwrap().len(), 4);
    let counts = outcome.connections;
    assert_eq!((counts.opened_ahead, counts.retried, counts.new, counts.warm), (2, 2, 0, 0));
}

/// A server that closes after each answer: users wait for their next connection off the clock.
#[test]
fn warm_users_open_the_next_connection_before_they_start() {
    let closes = String::from_utf8(good()).unwrap().replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let server = wire::serve(vec![vec![Step::Read, Step::Send(closes.into_bytes())]]);
    let mut plan = plan(server.address);
    plan.load.connections = Connections::Warm;
    (plan.load.arrival, plan.load.requests) = (Arrival::Closed { users: 2, ramp_s: 0.0 }, Some(8));
    let (rows, outcome) = wire::run(&plan);
    assert_eq!(rows.len(), 8);
    for f in &rows {
        assert_eq!((f.row.status, f.row.connection), (Status::Ok, Connection::Warm));
        assert!(f.row.connect_begin_unix_ns.is_none() && f.row.connect_end_unix_ns.is_none());
    }
    assert_eq!((outcome.connections.warm, outcome.connections.new), (8, 0));
}

#[test]
fn a_server_that_is_gone_is_the_requests_finding() {
    for arrival in [Arrival::Closed { users: 2, ramp_s: 0.0 }, Arrival::Constant { rate_rps: 50.0 }] {
        let mut plan = plan(closed_port());
        plan.load.connections = Connections::Warm;
        (plan.load.arrival, plan.load.requests, plan.load.duration_s) = (arrival.clone(), None, Some(0.5));
        let (rows, outcome) = wire::run(&plan);
        assert!(!rows.is_empty() && rows.len() < 40, "{arrival:?}: {}", rows.len());
        for f in &rows {
            assert_eq!((f.row.status, f.row.connection), (Status::ConnectError, Connection::New));
            assert!(f.row.connect_begin_unix_ns.is_some() && f.row.connect_end_unix_ns.is_none());
        }
        assert_eq!(outcome.connections, tare::load::ConnectionCounts::default());
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "only Linux's loopback interface has all of 127.0.0.0/8")]
#[test]
fn connections_come_from_the_addresses_in_turn() {
    let run = run(QUICK, &format!("{SHORT} --users 4 --num-prompts 12 --source-address 127.0.0.1,127.0.0.3"));
    agrees_with_truth(&run);
    let seen: BTreeSet<&str> = run
        .log
        .iter()
        .filter_map(|row| match &row.event {
            LogEvent::Access { client, path, .. } if path == "/v1/chat/completions" => Some(client.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(seen, BTreeSet::from(["127.0.0.1", "127.0.0.3"]));
}

/// A CPU that this process may run on.
fn a_cpu() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    list.split([',', '-']).next().unwrap().to_owned()
}

#[cfg_attr(not(target_os = "linux"), ignore = "no thread is bound to CPUs here")]
#[test]
fn threads_and_cpus_can_be_chosen() {
    for threads in [1, 3] {
        let load = format!("--users 4 --num-prompts 20 --threads {threads} --affinity {}", a_cpu());
        let run = run(QUICK, &format!("{SHORT} {load}"));
        agrees_with_truth(&run);
        assert_eq!((run.ok().count(), &run.manifest.extra["load"]["threads"]), (20, &threads.into()));
    }
    // With one CPU, one thread, unless more are asked for.
    let run = run(QUICK, &format!("{SHORT} --users 2 --num-prompts 4 --affinity {}", a_cpu()));
    assert_eq!(run.manifest.extra["load"]["threads"], 1);
}

#[test]
fn too_few_files_are_refused_before_the_run() {
    let _names = filters();
    let place = Place::new();
    let said = place.tare_within("ulimit -n 100", "run --users 100 --num-prompts 200 --output run");
    assert_snapshot!(said.shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: expected 164 open files for 100 connections, found a hard limit of 100
    hint: raise the hard limit before the run: `ulimit -n 164` as root, `LimitNOFILE=164` in a systemd unit
    hint: or use fewer users
    ");
    assert!(!place.path("run").exists(), "nothing is made for a run that cannot be");
}

/// What a rate needs is a guess: the run is made, and says it.
#[test]
fn too_few_files_for_a_rate_are_a_warning() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", "embedded:\n  decode_base_ms: 2\n");
    let load = "--request-rate 50 --num-prompts 70 --max-concurrency 60 --random-input-len 5 --random-output-len 2 --ignore-eos --scrape-interval 60";
    let said = place.tare_within("ulimit -n 128", &format!("run config.yaml {load} --output run"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains(
            "warning: up to 85 connections at once need 149 open files, and the hard limit is 128: raise"
        ),
        "{}",
        said.out
    );
}

#[cfg_attr(not(target_os = "linux"), ignore = "in the words for Linux")]
#[test]
fn addresses_and_cpus_that_are_not_there_are_refused() {
    let _names = filters();
    let place = Place::new();
    let few = "--users 1 --num-prompts 2 --output run";
    assert_snapshot!(place.tare(&format!("run {few} --source-address 192.0.2.1")).shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: expected source addresses of this host, found 192.0.2.1
    caused by: Cannot assign requested address (os error N)
    hint: `ip -brief address` lists this host's addresses; all of 127.0.0.0/8 is its own
    ");
    assert!(!place.path("run").exists());
    assert_snapshot!(place.tare(&format!("run {few} --source-address localhost,127.0.0.1,127.0.0.1 --affinity 3-1 --threads 0")).shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--source-address`: expected an address, found `localhost`
    hint: for example `--source-address 127.0.0.1,127.0.0.2`; names are not looked up
    error: `--source-address`: `127.0.0.1` is there twice
    hint: each address gives ports of its own once
    error: `--threads`: expected a whole number from 1 to 256, found 0
    hint: left out, there is one per CPU, at most 4, and one alone for up to 64 users with warm connections
    error: `--affinity`: expected a range from the lower to the higher CPU, found `3-1`
    hint: for example `0,2-3`, as `taskset -c` takes it
    ");
    let said = place.tare(&format!("run {few} --affinity 1023"));
    assert_eq!(said.code, Some(2));
    assert!(said.err.starts_with("error: `load.affinity` (`--affinity`): expected CPUs that this process may run on, found 1023\nhint: it may run on "), "{}", said.err);
    place.file("odd.yaml", "load:\n  users: 2\n  connections: hot\n");
    assert_snapshot!(place.tare("run odd.yaml").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `load.connections`: expected `warm`, `cold` or `per-request`, found `hot`
     --> odd.yaml:3:16
      |
    3 |   connections: hot
      |                ^^^
    ");
}
