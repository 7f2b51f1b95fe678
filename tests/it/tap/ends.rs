//! How connections and the tap itself end, and what it refuses. It must not know how exact a stamp is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use insta::assert_snapshot;
use nix::sys::signal::Signal;
use tare::tap::exchange::{End, Side};

use super::{ASK, Tap, before, reset, tap_filters};
use crate::program::{LookAlike, Place};
use crate::support::{closed_port, wait_until};
use crate::wire::{Step, good, read_request};

#[test]
fn a_client_that_leaves_is_told_to_the_server() {
    for abrupt in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = Tap::start(&listener.local_addr().unwrap().to_string());
        let mut client = tap.connect();
        client.write_all(ASK).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        read_request(&mut server).unwrap();
        server.write_all(&good()[..200]).unwrap();
        client.read_exact(&mut [0; 200]).unwrap();
        if abrupt {
            reset(client);
        } else {
            drop(client);
        }
        let ended = server.read(&mut [0]);
        if abrupt {
            assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        } else {
            assert_eq!(ended.unwrap(), 0, "its end was passed on");
            // Nobody reads any more: the server is told so when it writes on.
            wait_until("the server's writes fail", || server.write_all(b"more").is_err());
        }
        let row = tap.wait_for(1).remove(0);
        assert_eq!((row.end, row.closed_first), (End::AbortedByClient, Some(Side::Client)), "{row:?}");
        assert!(row.reset, "{row:?}");
    }
}

#[test]
fn a_server_that_cuts_is_told_to_the_client() {
    for abrupt in [false, true] {
        let cut = Step::Send(good()[..250].to_vec());
        let end = if abrupt { vec![Step::Pause, Step::Reset] } else { vec![] };
        let tap = before(&[vec![Step::Read, cut], end].concat());
        let mut client = tap.connect();
        client.write_all(ASK).unwrap();
        let mut got = Vec::new();
        let ended = client.read_to_end(&mut got);
        assert_eq!(got, good()[..250]);
        assert_eq!(ended.is_err(), abrupt);
        drop(client);
        let row = tap.wait_for(1).remove(0);
        assert_eq!((row.end, row.closed_first), (End::CutByUpstream, Some(Side::Upstream)), "{row:?}");
        assert_eq!((row.reset, row.response_bytes), (abrupt, 250));
    }
}

/// A client that does not read holds the server up, as it would without the tap; then all comes.
#[test]
fn a_stalled_client_stalls_the_server_and_nothing_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tap = Tap::start(&listener.local_addr().unwrap().to_string());
    let mut client = tap.connect();
    client.write_all(ASK).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    read_request(&mut server).unwrap();
    let length: u64 = 256 << 20;
    let writer = std::thread::spawn(move || {
        write!(server, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").unwrap();
        server.set_nonblocking(true).unwrap();
        let block = vec![b'x'; 1 << 16];
        let mut sent = 0;
        // Until it has not been taken for a while: all buffers on the way are full.
        let mut refused = 0;
        while refused < 20 {
            if let Ok(n) = server.write(&block) {
                (sent, refused) = (sent + n as u64, 0);
            } else {
                refused += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(sent < length / 2, "everything was taken though nobody reads");
        }
        server.set_nonblocking(false).unwrap();
        while sent < length {
            let n = (length - sent).min(block.len() as u64) as usize;
            server.write_all(&block[..n]).unwrap();
            sent += n as u64;
        }
        server
    });
    std::thread::sleep(Duration::from_secs(1));
    let mut got = 0;
    let mut buffer = vec![0; 1 << 20];
    while got < length {
        got += client.read(&mut buffer).unwrap() as u64;
    }
    drop(writer.join().unwrap());
    let row = tap.wait_for(1).remove(0);
    assert_eq!((row.end, row.streamed), (End::Complete, Some(false)));
    assert!(row.response_bytes > length);
}

#[test]
fn a_kill_leaves_whole_lines_and_the_next_tap_goes_on_behind_them() {
    let server = LookAlike::start(&[]);
    let mut tap = Tap::start(&server.url);
    let url = format!("http://{}", tap.address);
    let mut run = tap.place.command(&format!(
        "run -q --base-url {url} --users 8 --duration 30 --grace-period 0 --random-output-len 8 --ignore-eos"
    ));
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("some rows are there", || {
        std::fs::read_to_string(tap.file()).is_ok_and(|text| text.lines().count() > 21)
    });
    tap.signal(Signal::SIGKILL);
    tap.child.wait().unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    let rows = tap.rows();
    assert!(rows.len() > 20 && rows.iter().all(|row| row.end == End::Complete));
    // Another one, told to write to the same file.
    let mut command =
        tap.place.command(&format!("tap --listen 0 --upstream {} --output {}", server.url, Tap::FILE));
    tap.child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tap.out = BufReader::new(tap.child.stdout.take().unwrap());
    tap.out.read_line(&mut String::new()).unwrap();
    assert!(tap.stop().starts_with("exit code: Some(130)"), "nothing passed");
    assert_eq!(tap.rows(), rows);
}

#[test]
fn what_is_in_flight_at_the_end_is_written() {
    let mut tap = before(&[Step::Read, Step::Send(good()[..250].to_vec()), Step::Hold]);
    let mut client = tap.connect();
    client.write_all(ASK).unwrap();
    client.read_exact(&mut [0; 250]).unwrap();
    let _names = tap_filters();
    assert_snapshot!(tap.stop(), @r"
    exit code: Some(0)
    ----- stdout
    connections 1, not taken by the upstream 0
    exchanges 1: complete 0, cut by the upstream 0, aborted by the client 0, in flight 1, unread 0
    added to the upstream (after the write − the kernel's stamp of the read): p50 TIME, p99 TIME, max TIME (n N reads; N more had no stamp)
    added to the client (after the write − the kernel's stamp of the read): p50 TIME, p99 TIME, max TIME (n N reads; N more had no stamp)
    ----- stderr
    stopping: exchanges in flight are written (again to end at once)
    ");
    let rows = tap.rows();
    assert_eq!((rows.len(), rows[0].end, rows[0].closed_first), (1, End::InFlight, None));
    assert!(rows[0].first_token.is_some(), "{rows:?}");
}

#[test]
fn an_upstream_that_takes_no_connection_is_said_once_and_counted() {
    let mut tap = Tap::start(&closed_port().to_string());
    for _ in 0..3 {
        // Closed at once, by a reset or without a byte.
        let mut client = tap.connect();
        let _ = client.write_all(ASK);
        assert!(!matches!(client.read(&mut [0]), Ok(1..)));
    }
    let _names = tap_filters();
    assert_snapshot!(tap.stop(), @r"
    exit code: Some(3)
    ----- stdout
    connections 0, not taken by the upstream 3
    exchanges 0: complete 0, cut by the upstream 0, aborted by the client 0, in flight 0, unread 0
    added to the upstream: not known, no read had a kernel stamp
    added to the client: not known, no read had a kernel stamp
    ----- stderr
    warning: the upstream takes no connection, so the client's is closed: 127.0.0.1:PORT: Connection refused (os error N)
    stopping: exchanges in flight are written (again to end at once)
    ");
    assert!(tap.rows().is_empty());
}

#[test]
fn wrong_addresses_and_files_are_refused() {
    let _names = tap_filters();
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said: Vec<String> = [
        format!("--listen {port} --upstream 127.0.0.1:1"),
        "--listen 0.0.0.0:0 --upstream 127.0.0.1:1".to_owned(),
        "--listen here --upstream 127.0.0.1:1".to_owned(),
        "--listen 0 --upstream https://127.0.0.1:1".to_owned(),
        "--listen 0 --upstream 127.0.0.1:1/v1".to_owned(),
        "--listen 9 --upstream 127.0.0.1:9".to_owned(),
        "--listen 0 --upstream 127.0.0.1:1 --output nowhere/tap.jsonl".to_owned(),
    ]
    .iter()
    .map(|args| {
        let said = place.tare(&format!("tap {args}"));
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args}");
        said.err
    })
    .collect();
    assert_snapshot!(said.join("\n"), @r"
    error: cannot listen on 127.0.0.1:PORT
    caused by: Address already in use (os error N)
    hint: another program listens there; port 0 takes any free one

    error: --listen: expected a loopback address, found 0.0.0.0:0
    hint: a tap passes on whatever it is sent, whoever connects: --any-host lets other hosts connect

    error: --listen: expected a port or HOST:PORT, found `here`
    caused by: invalid socket address
    hint: such as 9000, 127.0.0.1:PORT or [::1]:9000

    error: --upstream: expected `http://`, found `https://`
    hint: a tap passes bytes on as they are: it belongs where the traffic is plain
    hint: HOST:PORT passes TLS on all the same, without looking into it

    error: --upstream: expected no path, found `/v1`
    hint: a tap changes no request: the client asks for the path

    error: expected an upstream other than the tap itself, found 127.0.0.1:9
    hint: --listen is where clients connect, --upstream where the server listens

    error: the exchanges cannot be written
    caused by: cannot open nowhere/tap.jsonl
    caused by: No such file or directory (os error N)
    hint: --output names a file in a folder that exists and can be written to
    ");
}
