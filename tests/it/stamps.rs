//! Stamps held against the server's own record of when it wrote: by segment, by read and by the
//! program, over plain TCP and under TLS. Only order is asserted, never how far stamps lie apart.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tare::error::Exit;
use tare::net::Packets;
use tare::record::{Connection, RequestRow, StampSource, Status};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::program::{LookAlike, Place};
use crate::runs::{QUICK, Run, SHORT, run};
use crate::support::closed_port;

/// Of two processes' readings of one clock.
const READING_NS: i64 = 20_000;

/// Each event lies in its bounds, and the bounds hold the moment at which it was written.
fn agrees_with_truth(run: &Run) -> usize {
    let truth = run.truth_by_id();
    let mut compared = 0;
    for row in run.ok() {
        let written: Vec<i64> = truth[row.request_id.as_str()]
            .events
            .iter()
            .filter(|(_, tokens, _)| *tokens > 0)
            .map(|(at, ..)| at.0)
            .collect();
        let events = run.events_of(row);
        assert_eq!(events.len(), written.len(), "{row:?}");
        for (i, written) in events.zip(written) {
            let (lo, hi) = (run.events.stamp_lo_unix_ns[i], run.events.stamp_hi_unix_ns[i]);
            let user = run.events.user_unix_ns[i];
            assert!(lo <= hi && hi <= user, "{lo} {hi} {user}");
            assert!(written <= hi + READING_NS, "dated before it was written: {written} {hi}");
            // What was seen arriving after `lo` may have been written before; but nothing is exact
            // that was read with something later.
            compared += 1;
        }
    }
    compared
}

#[cfg_attr(not(target_os = "linux"), ignore = "only Linux stamps what a TCP socket receives")]
#[test]
fn the_kernel_dates_events_by_reads() {
    let run = run(QUICK, &format!("{SHORT} --users 8 --num-prompts 60 --stamps kernel"));
    assert_eq!((run.exit, run.ok().count()), (Exit::Finished, 60));
    assert!(run.rows.iter().all(|row| row.stamps == StampSource::Kernel));
    assert!(agrees_with_truth(&run) > 60);
}

#[test]
fn the_program_can_date_events_itself_and_says_so() {
    let run = run(QUICK, &format!("{SHORT} --users 4 --num-prompts 20 --stamps user"));
    assert!(run.rows.iter().all(|row| row.stamps == StampSource::User && row.n_exact_events == 0));
    assert!(agrees_with_truth(&run) > 20);
    let report = run.file("report.md");
    assert!(report.contains("every time is a user stamp"), "{report}");
    // How late it was is not known: no row says that it was not.
    assert!(report.contains("| connect |") && !report.contains("| client lag |"), "{report}");
}

/// Where this is not allowed, that is what is said; elsewhere every event has its segment's stamp.
#[cfg_attr(not(target_os = "linux"), ignore = "only Linux captures packets")]
#[test]
fn a_capture_dates_every_event_by_its_segment() {
    if Packets::open(closed_port()).is_err() {
        let place = Place::new();
        let said = place.tare("run --users 1 --num-prompts 1 --stamps packet");
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains("packets cannot be captured here"), "{}", said.err);
        assert!(said.err.contains("hint: it takes the right to open raw sockets"), "{}", said.err);
        return;
    }
    let run = run(QUICK, &format!("{SHORT} --users 8 --num-prompts 60 --stamps packet"));
    assert_eq!((run.exit, run.ok().count()), (Exit::Finished, 60));
    let capture = &run.manifest.extra["stamps"]["capture"];
    assert_eq!((capture["missing"].as_u64(), capture["packets"]["dropped"].as_u64()), (Some(0), Some(0)));
    // On loopback a segment is captured as it is sent. Where the client looked between that and its arrival,
    // and found the socket empty, the segment lies before the event's interval, which then stays.
    let count = |what: &str| capture[what].as_u64().unwrap();
    assert_eq!(count("dated") + count("outside"), run.events.len() as u64, "{capture}");
    assert!(count("outside") * 100 <= run.events.len() as u64, "{capture}");
    let exact: u64 = run.ok().map(|row| u64::from(row.n_exact_events)).sum();
    assert!(exact >= count("dated"), "{exact} exact, {capture}");
    for row in run.ok() {
        assert_eq!(row.stamps, StampSource::Packet);
        let ttft = row.first_token_unix_ns.unwrap().seconds_since(row.started_unix_ns);
        assert_eq!(row.ttft_s, Some(ttft));
    }
    assert!(agrees_with_truth(&run) > 60);
}

/// A TLS terminator in front of `upstream`.
pub struct Terminator {
    port: u16,
    _runtime: tokio::runtime::Runtime,
}

const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/certs/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("certs/server.pem");
const KEY: &[u8] = include_bytes!("certs/server.key");

fn terminate(upstream: &str, certificate: &[u8], key: &[u8]) -> Terminator {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    let (acceptor, upstream) = (TlsAcceptor::from(Arc::new(config)), upstream.to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut to = TcpStream::connect(upstream).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    Terminator { port, _runtime: runtime }
}

/// An `https` server: the look-alike behind a terminator.
pub fn https() -> (LookAlike, Terminator, String) {
    https_as(CERTIFICATE, KEY)
}

fn https_as(certificate: &[u8], key: &[u8]) -> (LookAlike, Terminator, String) {
    let server = LookAlike::start(&[]);
    let terminator = terminate(server.url.trim_start_matches("http://"), certificate, key);
    let url = format!("https://localhost:{}", terminator.port);
    (server, terminator, url)
}

fn rows(place: &Place) -> Vec<RequestRow> {
    let text = std::fs::read_to_string(place.path("run/results.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn under_tls_every_stage_has_its_stamp() {
    let (_server, _terminator, url) = https();
    let place = Place::new();
    let load = format!("--users 4 --num-prompts 24 {SHORT} --connections cold");
    let said = place.tare(&format!("run --base-url {url} --ca-cert {AUTHORITY} --output run {load}"));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let rows = rows(&place);
    assert_eq!(rows.len(), 24);
    assert!(rows.iter().any(|row| row.tls_end_unix_ns.is_some()));
    for row in &rows {
        assert_eq!((row.status, row.stamps), (Status::Ok, StampSource::Kernel), "{row:?}");
        assert!(row.first_token_lo_unix_ns <= row.first_token_unix_ns);
        assert!(row.first_token_unix_ns <= row.first_token_user_unix_ns);
        let stages = [row.connect_begin_unix_ns, row.connect_end_unix_ns, row.tls_end_unix_ns];
        let there: Vec<_> = stages.into_iter().flatten().collect();
        assert!(there.len() == 3 || there.is_empty(), "{row:?}");
        assert!(there.is_sorted() && there.last() <= row.send_begin_unix_ns.as_ref(), "{row:?}");
    }
    assert!(said.out.contains("agree"), "the metrics came over TLS as well: {}", said.out);
}

/// What the server sends by itself after the handshake (session tickets) makes no connection stale.
#[test]
fn under_tls_connections_are_opened_ahead_as_without() {
    let (_server, _terminator, url) = https();
    let place = Place::new();
    let load = format!("--users 4 --num-prompts 24 {SHORT} --connections warm");
    let said = place.tare(&format!("run --base-url {url} --ca-cert {AUTHORITY} --output run {load}"));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let rows = rows(&place);
    assert_eq!(rows.len(), 24);
    for row in &rows {
        assert!(matches!(row.connection, Connection::Warm | Connection::Reused), "{row:?}");
        assert!(row.status == Status::Ok && row.tls_end_unix_ns.is_none(), "{row:?}");
    }
    let manifest = std::fs::read_to_string(place.path("run/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["load"]["connections"]["opened_ahead"], 4);
}

/// A certificate as `openssl req -x509` makes it: an authority's as well, vouched for by itself.
#[test]
fn a_certificate_that_vouches_for_itself_is_believed_where_it_is_named() {
    let itself = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/certs/self.pem");
    let (_server, _terminator, url) =
        https_as(include_bytes!("certs/self.pem"), include_bytes!("certs/self.key"));
    let place = Place::new();
    let run = |url: &str, ca_cert: &str, output: &str| {
        place.tare(&format!(
            "run --base-url {url} --ca-cert {ca_cert} --output {output} --num-prompts 4 {SHORT}"
        ))
    };
    let said = run(&url, itself, "run");
    assert_eq!(said.code, Some(0), "{}", said.shown());
    assert!(said.out.contains("agree"), "the metrics came over TLS as well: {}", said.out);
    assert_eq!(rows(&place).len(), 4);
    // Not for another name, nor where another is named.
    let said = run(&url.replace("localhost", "127.0.0.1"), itself, "other");
    assert!(said.code == Some(3) && said.err.contains("certificate"), "{}", said.shown());
    let said = run(&url, AUTHORITY, "another");
    assert!(said.code == Some(3) && said.err.contains("certificate"), "{}", said.shown());
    // One that an authority vouches for, which is not named.
    let (_server, _terminator, url) = https();
    let said = run(&url, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/certs/server.pem"), "leaf");
    assert_eq!(said.code, Some(0), "{}", said.shown());
}

#[test]
fn under_tls_a_capture_dates_events_by_their_record() {
    if Packets::open(closed_port()).is_err() {
        return;
    }
    let (_server, _terminator, url) = https();
    let place = Place::new();
    let said = place.tare(&format!(
        "run --base-url {url} --insecure --stamps packet --output run --users 4 --num-prompts 24 {SHORT}"
    ));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    for row in rows(&place) {
        assert_eq!((row.stamps, row.n_exact_events), (StampSource::Packet, row.n_events), "{row:?}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_with_the_remedy() {
    let (_server, _terminator, url) = https();
    let place = Place::new();
    let said = place.tare(&format!("run --base-url {url} --num-prompts 1"));
    assert_eq!(said.code, Some(3), "{}", said.shown());
    assert!(said.err.contains("invalid peer certificate"), "{}", said.err);
    assert!(said.err.contains("--ca-cert") && said.err.contains("--insecure"), "{}", said.err);
    let said = place.tare(&format!("run --base-url {url} --num-prompts 1 --ca-cert nothing.pem"));
    assert_eq!(said.code, Some(2), "{}", said.shown());
    assert!(said.err.contains("nothing.pem"), "{}", said.err);
}

#[test]
fn plain_http_where_tls_was_expected_is_named() {
    let server = LookAlike::start(&[]);
    let url = server.url.replace("http://", "https://");
    let place = Place::new();
    let said = place.tare(&format!("run --base-url {url} --num-prompts 1 --insecure"));
    assert_eq!(said.code, Some(3), "{}", said.shown());
    assert!(said.err.contains("hint: is it `http://"), "{}", said.err);
}
