//! Captures whose truth is known: two requests through a real `HAProxy`, with the client's and the
//! server's own stamps; and conversations made here, packet by packet.

use std::io::Write as _;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::record::hop::Completeness;
use crate::record::{HopRow, ToldBy};

/// `tcpdump -i lo` (Ethernet, ns) of two streams of 32 tokens, 5 ms apart, through `HAProxy` 2.6 as it
/// comes: client → :21201 → :21000, one connection of each kept.
const SAMPLE: &[u8] = include_bytes!("../../../parsers/tests/samples/pcap/haproxy-2.6.pcap");

/// What client (before its send, after its receipt of first and last token) and server (at its arrival,
/// before its first and last write) wrote down of them, ns since 1970.
const TRUTH: [(&str, [i64; 3], [i64; 3]); 2] = [
    (
        "pcap-haproxy-c-0000",
        [1_795_532_879_423_890_001, 1_795_532_879_592_069_431, 1_795_532_879_666_956_209],
        [1_795_532_879_429_755_884, 1_795_532_879_512_232_759, 1_795_532_879_666_749_541],
    ),
    (
        "pcap-haproxy-c-0007",
        [1_795_532_879_667_333_677, 1_795_532_879_835_506_105, 1_795_532_879_910_093_620],
        [1_795_532_879_667_534_293, 1_795_532_879_755_121_795, 1_795_532_879_909_791_573],
    ),
];

fn read_bytes(bytes: &[u8]) -> (Vec<HopRow>, Counts) {
    of_bytes(bytes, "edge", "a.pcap").unwrap()
}

#[test]
fn six_parts_of_a_real_passage_sum_to_what_was_added() {
    let (rows, counts) = read_bytes(SAMPLE);
    assert_eq!((rows.len(), counts.passages, counts.inner, counts.exchanges), (2, 2, 2, 4));
    assert_eq!((counts.streams.gaps, counts.torn_bytes, counts.skipped_bytes), (0, 0, 0));
    for (row, (id, [sent, first, last], [arrived, server_first, server_last])) in rows.iter().zip(TRUTH) {
        assert_eq!((row.request_id.as_deref(), row.told_by), (Some(id), ToldBy::Packets));
        assert_eq!(row.response_id.as_deref(), Some(format!("chatcmpl-{id}").as_str()));
        let start = row.start_unix_ns.unwrap();
        let ns = |s: Option<f64>| start.plus_seconds(s.unwrap()).0;
        let parts = [
            ns(row.request_received_s) - sent,
            ns(row.upstream_sent_s) - ns(row.request_received_s),
            arrived - ns(row.upstream_sent_s),
            ns(row.first_token_in_s) - server_first,
            ns(row.first_token_out_s) - ns(row.first_token_in_s),
            first - ns(row.first_token_out_s),
        ];
        // One clock: causes come before their effects, by each of the instants.
        assert!(parts.iter().all(|part| *part > 0), "{parts:?}");
        let added = (first - sent) - (server_first - arrived);
        assert_eq!(parts.iter().sum::<i64>(), added);
        // It corks: it held the first token for 80 ms, and no other way took 6 ms.
        assert!((74_000_000..81_000_000).contains(&parts[4]), "{parts:?}");
        assert!(parts[..4].iter().all(|part| *part < 6_000_000), "{parts:?}");
        // The last token was not held.
        assert!(ns(row.last_token_in_s) > server_last && ns(row.last_token_out_s) < last);
        assert!(row.last_token_out_s.unwrap() - row.last_token_in_s.unwrap() < 0.000_5);
        // The head is no token: the server sent it at once.
        assert!(row.upstream_head_s.unwrap() < 0.01 && row.first_token_in_s.unwrap() > 0.08);
        assert_eq!(
            (row.status, row.completeness, row.attempts),
            (Some(200), Completeness::Complete, Some(1))
        );
        assert_eq!(
            (row.client.as_deref(), row.outgoing.as_deref()),
            (Some("127.0.0.1:55074"), Some("127.0.0.1:46660"))
        );
    }
}

#[test]
fn a_capture_of_one_side_gives_points_on_the_path() {
    let (both, _) = read_bytes(SAMPLE);
    for port in [21201, 21000] {
        let (rows, counts) = read_bytes(&only(SAMPLE, port));
        assert_eq!((rows.len(), counts.points, counts.passages), (2, 2, 0));
        for (row, whole) in rows.iter().zip(&both) {
            assert_eq!(
                (row.first_token_in_s, row.attempts, &row.outgoing),
                (row.first_token_out_s, None, &None)
            );
            assert_eq!(row.request_received_s, row.upstream_sent_s);
            let token = |row: &HopRow, s: Option<f64>| row.start_unix_ns.unwrap().plus_seconds(s.unwrap());
            let (here, there) = match port {
                21201 => (token(row, row.first_token_out_s), token(whole, whole.first_token_out_s)),
                _ => (token(row, row.first_token_in_s), token(whole, whole.first_token_in_s)),
            };
            assert_eq!(here, there);
        }
    }
}

#[test]
fn a_missing_packet_costs_its_own_request_only() {
    let capture = pcap::read(SAMPLE).unwrap();
    // A token of the second answer, on the server's side.
    let is_token =
        |bytes: &[u8]| bytes.windows(7).any(|w| w == b"tok 20 ") || bytes.windows(6).any(|w| w == b"tok20 ");
    let lost = capture
        .packets
        .iter()
        .rposition(|packet| is_token(packet.bytes) || (packet.bytes.len() > 200 && packet.bytes.len() < 320))
        .unwrap();
    let rest: Vec<_> =
        capture.packets.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, p)| *p).collect();
    let (whole, _) = read_bytes(SAMPLE);
    let bytes = pcap_of(&rest);
    let (rows, counts) = read_bytes(&bytes);
    assert_eq!((rows.len(), counts.streams.gaps), (2, 1));
    assert_eq!(rows[0], whole[0]);
    assert_eq!(rows[1].upstream_end_s, None);
    assert_eq!(rows[1].first_token_in_s, whole[1].first_token_in_s);
    assert!(counts.notes()[0].contains("bytes are missing in 1 places"), "{:?}", counts.notes());
}

#[test]
fn a_file_that_tells_nothing_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = anyhow::Error::from(read(&path, "edge").unwrap_err());
        let mut out = Vec::new();
        crate::error::print(&mut out, &error).unwrap();
        String::from_utf8(out).unwrap().replace(&*folder.path().to_string_lossy(), "DIR")
    };
    let tls =
        Wire::default().open(C, G, 0).client(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 10).file();
    let short: Vec<_> = pcap::read(SAMPLE).unwrap().packets;
    let short: Vec<_> =
        short.iter().map(|p| pcap::Packet { bytes: &p.bytes[..p.bytes.len().min(70)], ..*p }).collect();
    insta::assert_snapshot!([
        refused("log.txt", b"2026/11/24 nothing"),
        refused("empty.pcap", &SAMPLE[..24]),
        refused("tls.pcap", &tls),
        refused("short.pcap", &pcap_of(&short)),
    ].concat(), @"
    error: DIR/log.txt: expected a packet capture (pcap or pcapng), found bytes that begin with 32 30 32 36 2f 31 31 2f
    hint: `tcpdump --time-stamp-precision=nano -s 0 -w FILE port A or port B` captures both sides of a gateway
    error: DIR/empty.pcap: the capture holds no packet
    hint: was there traffic while it was made?
    error: DIR/tls.pcap: its connections are under TLS
    hint: capture where the traffic is plain: between a gateway that ends TLS and its server
    error: DIR/short.pcap: 80 packets were cut to their beginnings
    hint: `tcpdump -s 0` takes packets whole
    ");
    let path = folder.path().join("a.pcap.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(SAMPLE).unwrap();
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    assert_eq!(read(&path, "edge").unwrap().0.len(), 2);
}

/// Over a capture of one's own: a folder with `cap.pcap`, and `client.jsonl` and `truth.jsonl` of the
/// client's and the server's instants by `rid` and `x_request_id`.
/// `TARE_CAPTURE=DIR cargo test --release --lib own_capture -- --ignored --nocapture`
#[test]
#[ignore = "needs a capture"]
fn six_parts_of_an_own_capture() {
    let folder = std::path::PathBuf::from(std::env::var("TARE_CAPTURE").unwrap());
    let lines = |name: &str, id: &str| -> std::collections::HashMap<String, serde_json::Value> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.filter_map(|row| Some((row[id].as_str()?.to_owned(), row))).collect()
    };
    let (clients, truths) = (lines("client.jsonl", "rid"), lines("truth.jsonl", "x_request_id"));
    let (rows, counts) = read(&folder.join("cap.pcap"), "edge").unwrap();
    let mut parts: [Vec<i64>; 7] = Default::default();
    for row in &rows {
        let id = row.request_id.as_deref().unwrap();
        let (Some(client), Some(truth)) = (clients.get(id), truths.get(id)) else { continue };
        let ns = |row: &serde_json::Value, key: &str| row[key].as_i64().unwrap();
        let (sent, first) = (ns(client, "t_send"), ns(client, "t_first_token"));
        let (arrived, server_first) = (ns(truth, "arrival_unix_ns"), ns(truth, "first_unix_ns"));
        let at = |s: Option<f64>| row.start_unix_ns.unwrap().plus_seconds(s.unwrap()).0;
        let one = [
            at(row.request_received_s) - sent,
            at(row.upstream_sent_s) - at(row.request_received_s),
            arrived - at(row.upstream_sent_s),
            at(row.first_token_in_s) - server_first,
            at(row.first_token_out_s) - at(row.first_token_in_s),
            first - at(row.first_token_out_s),
        ];
        let added = (first - sent) - (server_first - arrived);
        assert_eq!(one.iter().sum::<i64>(), added, "{id}");
        one.into_iter().chain([added]).zip(&mut parts).for_each(|(part, all)| all.push(part));
    }
    println!("{} rows of {}; {counts:?}", parts[0].len(), clients.len());
    let names =
        ["client→wire", "hop, request", "wire→server", "server→wire", "hop, answer", "wire→client", "added"];
    for (name, mut all) in names.into_iter().zip(parts) {
        all.sort_unstable();
        println!(
            "{name:14} min {:8} median {:9} max {:9} ns",
            all[0],
            all[all.len() / 2],
            all[all.len() - 1]
        );
    }
}

const C: &str = "10.0.0.1:5000";
const G: &str = "10.0.0.2:80";
const OUT: &str = "10.0.0.2:6000";
const S: &str = "10.0.0.3:8000";
const TOKENS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
    54\r\ndata: {\"id\":\"c-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"x\":\"123456789\"}]}\n\n\r\n\
    e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

fn request(id: Option<&str>) -> Vec<u8> {
    let id = id.map(|id| format!("x-request-id: {id}\r\n")).unwrap_or_default();
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{id}content-length: 2\r\n\r\n{{}}").into_bytes()
}

fn answer(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

#[test]
fn tries_lie_in_one_passage_and_the_last_gave_the_answer() {
    let file = Wire::default()
        .open(C, G, 0)
        .client(&request(Some("r")), 10)
        .open(OUT, S, 20)
        .client(&request(Some("r")), 30)
        .server(&answer(500), 40)
        .open("10.0.0.2:6001", "10.0.0.4:8000", 50)
        .client(&request(Some("r")), 60)
        .server(TOKENS, 70)
        .on(C, G)
        .server(TOKENS, 90)
        .file();
    let (rows, counts) = read_bytes(&file);
    assert_eq!((rows.len(), counts.inner, counts.past, counts.points), (1, 2, 0, 0));
    let row = &rows[0];
    let tries: Vec<_> =
        row.tries.iter().map(|one| (one.address.as_deref().unwrap(), one.status.unwrap())).collect();
    assert_eq!(tries, [(S, 500), ("10.0.0.4:8000", 200)]);
    assert_eq!((row.attempts, row.outgoing.as_deref()), (Some(2), Some("10.0.0.2:6001")));
    let ms = [row.connected_s, row.upstream_sent_s, row.first_token_in_s, row.first_token_out_s]
        .map(|s| (s.unwrap() * 1e3).round() as i64);
    assert_eq!(ms, [41, 50, 60, 80]);
}

#[test]
fn an_id_that_was_replaced_or_dropped_is_found_by_the_answers() {
    let renamed = TOKENS.strip_prefix(b"HTTP/1.1 200 OK\r\n").unwrap();
    let renamed = [b"HTTP/1.1 200 OK\r\nx-request-id: own\r\n", renamed].concat();
    for (inner_id, outer_answer) in [(Some("own"), renamed.as_slice()), (None, TOKENS)] {
        let file = Wire::default()
            .open(C, G, 0)
            .client(&request(Some("r")), 10)
            .open(OUT, S, 20)
            .client(&request(inner_id), 30)
            .server(TOKENS, 40)
            .on(C, G)
            .server(outer_answer, 50)
            .file();
        let (rows, counts) = read_bytes(&file);
        assert_eq!((rows.len(), counts.passages), (1, 1));
        assert_eq!((rows[0].request_id.as_deref(), rows[0].own_id.as_deref()), (Some("r"), inner_id));
    }
}

#[test]
fn what_a_gateway_answers_or_asks_by_itself_is_told_apart() {
    let file = Wire::default()
        .open(C, G, 0)
        .client(&request(Some("r")), 10)
        .open(OUT, S, 20)
        .client(&request(Some("r")), 30)
        .server(TOKENS, 40)
        .client(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", 60)
        .server(&answer(200), 61)
        .on(C, G)
        .server(TOKENS, 50)
        .client(&request(Some("bad")), 70)
        .server(&answer(400), 71)
        .file();
    let (rows, counts) = read_bytes(&file);
    assert_eq!((counts.passages, counts.alone, counts.past, rows.len()), (1, 1, 1, 2));
    assert_eq!((rows[1].status, rows[1].attempts, rows[1].upstream_head_s), (Some(400), None, None));
    assert_eq!(
        counts.notes(),
        ["1 exchanges with the server share no id with a client's: they tell of no passage"]
    );
}

#[test]
fn a_connection_that_was_open_before_is_read_from_its_next_request_on() {
    let file = Wire::default()
        .join(C, G)
        .server(b"f a former answer\r\n0\r\n\r\n", 1)
        .client(&request(Some("r")), 10)
        .server(TOKENS, 20)
        .file();
    let (rows, counts) = read_bytes(&file);
    assert_eq!((rows.len(), counts.points, counts.skipped_bytes), (1, 1, 24));
    assert_eq!((rows[0].request_id.as_deref(), rows[0].completeness), (Some("r"), Completeness::Complete));
    assert_eq!(rows[0].connected_s, None);
}

#[test]
fn a_cut_stream_is_cut_and_a_client_that_left_has_left() {
    let part = &TOKENS[..TOKENS.len() - 30];
    let end = |wire: Wire| read_bytes(&wire.file()).0[0].completeness;
    let begun = || Wire::default().open(C, G, 0).client(&request(Some("r")), 10).server(part, 20);
    assert_eq!(end(begun().close(false, 30)), Completeness::Cut);
    assert_eq!(end(begun().close(true, 30)), Completeness::Aborted);
    assert_eq!(end(begun()), Completeness::Unknown);
    let without_done = [&TOKENS[..TOKENS.len() - 24], b"0\r\n\r\n"].concat();
    let clean = Wire::default().open(C, G, 0).client(&request(Some("r")), 10).server(&without_done, 20);
    assert_eq!(end(clean), Completeness::Cut);
}

/// A conversation, packet by packet (IPv4 without a link layer).
#[derive(Default)]
struct Wire {
    packets: Vec<(i64, Vec<u8>)>,
    /// The connection under way, and what both sides have sent of each.
    at: Option<(&'static str, &'static str)>,
    sent: std::collections::HashMap<(&'static str, &'static str), u32>,
}

impl Wire {
    /// With its three packets, at 0, 1 and 2 ms from `ms`.
    fn open(mut self, client: &'static str, server: &'static str, ms: i64) -> Self {
        self.at = Some((client, server));
        self.packet(client, server, SYN, b"", ms);
        self.packet(server, client, SYN | ACK, b"", ms + 1);
        self
    }

    fn join(mut self, client: &'static str, server: &'static str) -> Self {
        self.at = Some((client, server));
        self
    }

    fn on(self, client: &'static str, server: &'static str) -> Self {
        self.join(client, server)
    }

    fn client(mut self, payload: &[u8], ms: i64) -> Self {
        let (client, server) = self.at.unwrap();
        self.packet(client, server, ACK, payload, ms);
        self
    }

    fn server(mut self, payload: &[u8], ms: i64) -> Self {
        let (client, server) = self.at.unwrap();
        self.packet(server, client, ACK, payload, ms);
        self
    }

    fn close(mut self, by_client: bool, ms: i64) -> Self {
        let (client, server) = self.at.unwrap();
        let (from, to) = if by_client { (client, server) } else { (server, client) };
        self.packet(from, to, FIN | ACK, b"", ms);
        self
    }

    fn packet(&mut self, from: &'static str, to: &'static str, flags: u8, payload: &[u8], ms: i64) {
        let next = self.sent.entry((from, to)).or_insert(u32::MAX - 20);
        let sequence = *next;
        *next = next.wrapping_add(payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0));
        let [from, to] = [from, to].map(|text| text.parse::<std::net::SocketAddrV4>().unwrap());
        let length = (40 + payload.len()) as u16;
        let mut bytes = vec![0x45, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend(from.ip().octets());
        bytes.extend(to.ip().octets());
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(payload);
        self.packets.push((1_795_000_000_000_000_000 + ms * 1_000_000, bytes));
    }

    fn file(self) -> Vec<u8> {
        let packets: Vec<_> = self
            .packets
            .iter()
            .map(|(unix_ns, bytes)| pcap::Packet {
                unix_ns: *unix_ns,
                link: 101,
                bytes,
                wire_len: bytes.len() as u32,
            })
            .collect();
        pcap_of(&packets)
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// A capture of these packets, with nanoseconds.
fn pcap_of(packets: &[pcap::Packet<'_>]) -> Vec<u8> {
    let link = packets.first().map_or(1, |packet| packet.link);
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(u32::to_le_bytes(word));
    }
    for packet in packets {
        let (s, ns) = (packet.unix_ns / 1_000_000_000, packet.unix_ns % 1_000_000_000);
        for word in [s as u32, ns as u32, packet.bytes.len() as u32, packet.wire_len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet.bytes);
    }
    file
}

/// The packets from or to a port.
fn only(file: &[u8], port: u16) -> Vec<u8> {
    let mut packets = pcap::read(file).unwrap().packets;
    packets.retain(|packet| segment(packet).is_ok_and(|s| s.from.port() == port || s.to.port() == port));
    pcap_of(&packets)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_capture_cut_anywhere_gives_the_requests_that_had_ended(at in any::<Index>()) {
        let (whole, _) = read_bytes(SAMPLE);
        let cut = &SAMPLE[..at.index(SAMPLE.len() + 1)];
        let Ok((rows, counts)) = of_bytes(cut, "edge", "a.pcap") else {
            prop_assert!(cut.len() < 24);
            return Ok(());
        };
        prop_assert_eq!(24 + counts.packets * 16 + counts.torn_bytes <= cut.len() as u64, true);
        for (row, whole) in rows.iter().zip(&whole) {
            prop_assert_eq!(&row.request_id, &whole.request_id);
            prop_assert_eq!(row.start_unix_ns, whole.start_unix_ns);
            // What is told is what the whole capture tells, or is not told yet.
            if row.end_unix_ns.is_some() {
                prop_assert_eq!(row, whole);
            }
            if counts.passages > 1 {
                for (part, all) in [(row.first_token_in_s, whole.first_token_in_s), (row.head_sent_s, whole.head_sent_s)] {
                    prop_assert!(part.is_none() || part == all);
                }
            }
        }
    }

    #[test]
    fn packets_in_any_order_give_the_same_rows(keys in proptest::collection::vec(any::<u32>(), 160)) {
        let mut packets: Vec<_> = pcap::read(SAMPLE).unwrap().packets.into_iter().zip(keys).collect();
        packets.sort_by_key(|(_, key)| *key);
        let packets: Vec<_> = packets.into_iter().map(|(packet, _)| packet).collect();
        prop_assert_eq!(packets.len(), 160);
        prop_assert_eq!(read_bytes(&pcap_of(&packets)).0, read_bytes(SAMPLE).0);
    }

    #[test]
    fn segments_sent_again_change_no_instant(which in proptest::collection::vec(any::<Index>(), 1..40), late_us in 1..100_000_i64) {
        let mut packets = pcap::read(SAMPLE).unwrap().packets;
        let again: Vec<_> = which.iter().map(|at| packets[at.index(160)]).collect();
        packets.extend(again.into_iter().map(|packet| pcap::Packet { unix_ns: packet.unix_ns + late_us * 1000, ..packet }));
        let (rows, counts) = read_bytes(&pcap_of(&packets));
        prop_assert_eq!(rows, read_bytes(SAMPLE).0);
        prop_assert_eq!(counts.streams.gaps, 0);
    }

    #[test]
    fn no_damage_stops_the_reading(at in any::<Index>(), bytes in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut damaged = SAMPLE.to_vec();
        let at = at.index(damaged.len() - bytes.len());
        damaged[at..at + bytes.len()].copy_from_slice(&bytes);
        if let Ok((rows, counts)) = of_bytes(&damaged, "edge", "a.pcap") {
            prop_assert_eq!(rows.len() as u64, counts.passages + counts.alone + counts.points);
            let none: u64 = counts.no_segment.values().sum();
            prop_assert_eq!(counts.packets, counts.streams.segments + none);
        }
    }
}
