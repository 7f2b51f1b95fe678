//! A server's name that leads elsewhere in the middle of a run: new connections go there, and it is said. The name is
//! in a hosts file that only the program's own mount namespace has; where there can be none, the test says so.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tare::mock::truth::TruthRow;
use tare::record::Status;
use tare::store::{RunData, RunFolder};

use crate::program::{LookAlike, Place};
use crate::support::{free_port, wait_until};

const NAME: &str = "inference.example";

fn truth(path: &Path) -> Vec<TruthRow> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be half written.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_name_that_leads_elsewhere_is_followed() {
    let place = Place::new();
    let hosts = place.path("hosts");
    let write = |address: &str| {
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{address} {NAME}\n")).unwrap();
    };
    write("127.0.0.1");
    let mount = format!("mount --bind {} /etc/hosts", hosts.display());
    let can = Command::new("unshare").args(["--mount", "sh", "-c", &mount]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: a name that moves: no mount namespace can be made here");
        return;
    }
    let port = free_port().port();
    let (at_first, later) = (place.path("first.jsonl"), place.path("later.jsonl"));
    let first = LookAlike::start_at(port, &["--truth", at_first.to_str().unwrap()]);
    let second = LookAlike::start_at(port, &["--host", "127.0.0.2", "--truth", later.to_str().unwrap()]);
    let args = format!(
        "run --base-url http://{NAME}:{port} --output run --users 4 --random-input-len 12 --random-output-len 20 --ignore-eos --duration 3600 --connections per-request --no-server-metrics"
    );
    let tare = place.command(&args);
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]);
    inside.arg(tare.get_program()).args(tare.get_args()).current_dir(place.path("."));
    let mut run = inside.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("eight requests were answered at the first address", || truth(&at_first).len() >= 8);
    assert_eq!(truth(&later).len(), 0);
    write("127.0.0.2");
    wait_until("eight were at the second", || truth(&later).len() >= 8);
    let pid = nix::unistd::Pid::from_raw(run.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    run.wait().unwrap();
    drop((first, second));

    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    assert!(data.without_row().is_empty() && data.complaints().is_empty());
    let lost = data.requests.rows.iter().filter(|row| !matches!(row.status, Status::Ok | Status::InFlight));
    assert_eq!(lost.count(), 0, "the move costs no request");
    let addresses = data.manifest.extra["addresses"]["addresses"].as_array().unwrap();
    let led: Vec<&str> = addresses.iter().map(|since| since["address"].as_str().unwrap()).collect();
    assert_eq!(led, [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")]);
    // Connections opened after it go there, and only there.
    let moved = addresses[1]["since_unix_ns"].as_i64().unwrap();
    let there: Vec<Option<String>> = truth(&later).into_iter().map(|row| row.x_request_id).collect();
    for row in &data.requests.rows {
        let opened = row.connect_begin_unix_ns.unwrap_or(row.started_unix_ns).0;
        let is_there = there.contains(&Some(row.request_id.clone()));
        assert!(row.status == Status::InFlight || is_there == (opened >= moved), "{moved} {row:?}");
    }
    let notes = &data.manifest.notes;
    assert!(notes.iter().any(|note| note.contains("the server's name led to 127.0.0.2")), "{notes:?}");
}
