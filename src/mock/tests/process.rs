//! The look-alike as a process: this test binary started again, as its own child.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::mock::ServeOptions;

use super::client::post_bytes;
use super::harness::{chat_body, fast, with_faults};

const FAULTS: &str = "TARE_TEST_MOCK_FAULTS";
const PARENT: &str = "TARE_TEST_MOCK_PARENT";
const STARTER: &str = "TARE_TEST_MOCK_STARTER";

/// Not a test: the child's side, which serves only when a test started it for that.
#[test]
#[ignore = "started by the tests of this file"]
fn child() {
    let Ok(faults) = std::env::var(FAULTS) else {
        return;
    };
    let faults: Vec<&str> = faults.split(';').filter(|f| !f.is_empty()).collect();
    let parent_pid = std::env::var(PARENT).ok().map(|pid| pid.parse().unwrap());
    let embedded = if faults.is_empty() { fast() } else { with_faults(&faults) };
    crate::mock::run(ServeOptions { embedded, parent_pid, ..ServeOptions::default() }).unwrap();
}

/// Not a test: starts a child and dies, with the child's output going where its own goes.
#[test]
#[ignore = "started by the tests of this file"]
fn starter() {
    if std::env::var(STARTER).is_err() {
        return;
    }
    // Not waited for: it is to outlive this process.
    #[allow(clippy::zombie_processes)]
    let _child =
        command("child").env(FAULTS, "").env(PARENT, std::process::id().to_string()).spawn().unwrap();
    std::io::stdin().read_exact(&mut [0]).unwrap();
}

fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("mock::tests::process::{test}");
    command.args(["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// A child that serves, and its output from the line that tells its address on.
fn serving(faults: &str) -> (Child, String, BufReader<impl Read>) {
    let mut child = command("child").env(FAULTS, faults).stdout(Stdio::piped()).spawn().unwrap();
    let (address, output) = wait_for_address(child.stdout.take().unwrap());
    (child, address, output)
}

fn wait_for_address<R: Read>(output: R) -> (String, BufReader<R>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended before it served");
        if let Some((_, address)) = line.split_once("Starting vLLM server on http://") {
            return (address.trim().to_owned(), output);
        }
    }
}

fn chat(address: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = post_bytes("/v1/chat/completions", &[("connection", "close")], &chat_body("hello", 3));
    stream.write_all(&request).unwrap();
    let mut answer = Vec::new();
    // A killed server may reset the connection.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn it_serves_until_it_is_told_to_stop() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut child, address, mut output) = serving("");
        let answer = chat(&address);
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"[DONE]\n\n\r\n0\r\n\r\n"));
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{signal}: {status}");
        let mut log = String::new();
        output.read_to_string(&mut log).unwrap();
        assert!(log.contains("\nINFO:     Application shutdown complete.\n"), "{log}");
    }
}

#[test]
fn it_dies_when_the_script_says_so() {
    let (mut child, address, _output) = serving("die at_request=2");
    assert!(chat(&address).ends_with(b"[DONE]\n\n\r\n0\r\n\r\n"));
    assert!(chat(&address).is_empty());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn it_ends_with_its_parent() {
    let mut starter =
        command("starter").env(STARTER, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (address, mut output) = wait_for_address(starter.stdout.take().unwrap());
    assert!(!chat(&address).is_empty());
    starter.kill().unwrap();
    starter.wait().unwrap();
    // The pipe's end comes when the orphan, who holds it too, has gone.
    let mut log = String::new();
    output.read_to_string(&mut log).unwrap();
    assert!(log.contains("[shutdown] API server: shutdown triggered"), "{log}");
}
