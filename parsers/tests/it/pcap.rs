//! Captures: the real one among the samples in every kind of file and below every kind of header, and
//! what must hold of TCP streams put together. The files are written here, by the formats' documents.

use std::fmt::Write;

use proptest::prelude::*;
use proptest::sample::Index;
use tare_parsers::pcap::segment::{NoSegment, Segment, segment};
use tare_parsers::pcap::streams::{What, connections};
use tare_parsers::pcap::{self, NoCapture, Packet};

use crate::files;

fn sample() -> Vec<u8> {
    files::of("pcap").remove(0).bytes
}

/// Numbers in one order.
struct Out {
    bytes: Vec<u8>,
    big: bool,
}

impl Out {
    fn u16(&mut self, n: u16) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    fn u32(&mut self, n: u32) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    /// A block of pcapng: its length stands at both ends.
    fn block(&mut self, kind: u32, fill: impl FnOnce(&mut Self)) {
        let begin = self.bytes.len();
        self.u32(kind);
        self.u32(0);
        fill(self);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let length = (self.bytes.len() - begin + 4) as u32;
        self.u32(length);
        let text = if self.big { length.to_be_bytes() } else { length.to_le_bytes() };
        self.bytes[begin + 4..begin + 8].copy_from_slice(&text);
    }
}

fn classic(packets: &[(i64, Vec<u8>)], link: u32, big: bool, unit_ns: i64) -> Vec<u8> {
    let mut out = Out { bytes: Vec::new(), big };
    out.u32(if unit_ns == 1 { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
    out.u16(2);
    out.u16(4);
    for word in [0, 0, 262_144, link] {
        out.u32(word);
    }
    for (at, bytes) in packets {
        out.u32((at / 1_000_000_000) as u32);
        out.u32((at % 1_000_000_000 / unit_ns) as u32);
        out.u32(bytes.len() as u32);
        out.u32(bytes.len() as u32);
        out.bytes.extend(bytes);
    }
    out.bytes
}

/// Two interfaces, the packets on the second; a block of names between, as tools write them.
fn ng(packets: &[(i64, Vec<u8>)], link: u32, big: bool, exponent: u8) -> Vec<u8> {
    let units_ns = 1_000_000_000 / 10_i64.pow(u32::from(exponent));
    let mut out = Out { bytes: Vec::new(), big };
    out.block(0x0a0d_0d0a, |out| {
        out.u32(0x1a2b_3c4d);
        out.u16(1);
        out.u16(0);
        out.bytes.extend([0xff; 8]);
    });
    for (link, exponent) in [(147, None), (link, Some(exponent))] {
        out.block(1, |out| {
            out.u16(link as u16);
            out.u16(0);
            out.u32(0);
            // A name, then the unit of stamps.
            out.u16(2);
            out.u16(2);
            out.bytes.extend(b"lo\0\0");
            if let Some(exponent) = exponent {
                out.u16(9);
                out.u16(1);
                out.bytes.extend([exponent, 0, 0, 0]);
            }
            out.u32(0);
        });
    }
    out.block(4, |out| out.u32(0));
    for (at, bytes) in packets {
        let stamp = (at / units_ns) as u64;
        out.block(6, |out| {
            out.u32(1);
            out.u32((stamp >> 32) as u32);
            out.u32(stamp as u32);
            out.u32(bytes.len() as u32);
            out.u32(bytes.len() as u32);
            out.bytes.extend(bytes);
        });
    }
    out.bytes
}

/// The sample's packets from IP on.
fn ip_packets() -> Vec<(i64, Vec<u8>)> {
    let bytes = sample();
    let capture = pcap::read(&bytes).unwrap();
    assert_eq!((capture.packets.len(), capture.torn_bytes, capture.resolution_ns), (160, 0, 1));
    capture.packets.iter().map(|packet| (packet.unix_ns, packet.bytes[14..].to_vec())).collect()
}

fn below(header: &[u8], packets: &[(i64, Vec<u8>)]) -> Vec<(i64, Vec<u8>)> {
    packets.iter().map(|(at, ip)| (*at, [header, ip].concat())).collect()
}

/// What matters of each segment, the stamp cut to `unit_ns`.
fn segments(file: &[u8], unit_ns: i64) -> Vec<(i64, String, u32, Vec<u8>)> {
    let capture = pcap::read(file).unwrap();
    assert_eq!((capture.torn_bytes, capture.unstamped, capture.unplaced), (0, 0, 0));
    let read = capture.packets.iter().map(|packet| segment(packet).unwrap());
    read.map(|s| {
        assert_eq!(s.payload.len(), s.wire_len);
        (s.unix_ns / unit_ns * unit_ns, format!("{} {}", s.from, s.to), s.sequence, s.payload.to_vec())
    })
    .collect()
}

#[test]
fn every_kind_of_file_and_of_header_gives_the_same_segments() {
    let ip = ip_packets();
    let whole = segments(&sample(), 1);
    let headers: [(u32, Vec<u8>); 11] = [
        (1, [&[0; 12][..], &[0x08, 0x00]].concat()),
        // Two VLAN tags.
        (1, [&[0; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 7, 0x08, 0x00]].concat()),
        (113, [&[0; 14][..], &[0x08, 0x00]].concat()),
        (276, [&[0x08, 0x00][..], &[0; 18]].concat()),
        (0, vec![2, 0, 0, 0]),
        (0, vec![0, 0, 0, 2]),
        (108, vec![0, 0, 0, 2]),
        (101, vec![]),
        (12, vec![]),
        (14, vec![]),
        (228, vec![]),
    ];
    for (link, header) in headers {
        let packets = below(&header, &ip);
        for big in [false, true] {
            assert_eq!(segments(&classic(&packets, link, big, 1), 1), whole, "link type {link}, big {big}");
            assert_eq!(
                segments(&ng(&packets, link, big, 9), 1),
                whole,
                "pcapng, link type {link}, big {big}"
            );
        }
    }
    let to_us: Vec<_> = whole.into_iter().map(|(at, a, s, p)| (at / 1000 * 1000, a, s, p)).collect();
    for big in [false, true] {
        let file = classic(&ip, 101, big, 1000);
        assert_eq!(pcap::read(&file).unwrap().resolution_ns, 1000);
        assert_eq!(segments(&file, 1), to_us);
        let file = ng(&ip, 101, big, 6);
        assert_eq!(pcap::read(&file).unwrap().resolution_ns, 1000);
        assert_eq!(segments(&file, 1), to_us);
    }
}

/// IPv6 with a header of options before TCP.
#[test]
fn ipv6_gives_the_same_bytes() {
    let v6: Vec<_> = ip_packets()
        .into_iter()
        .map(|(at, ip)| {
            let tcp = &ip[20..];
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((tcp.len() as u16 + 8).to_be_bytes());
            packet.extend([0, 64]);
            packet.extend([[0; 15].as_slice(), &[1]].concat().repeat(2));
            packet.extend([6, 0, 1, 4, 0, 0, 0, 0]);
            packet.extend(tcp);
            (at, packet)
        })
        .collect();
    let read = segments(&classic(&v6, 229, false, 1), 1);
    for ((at, addresses, sequence, payload), (at4, _, sequence4, payload4)) in
        read.iter().zip(segments(&sample(), 1))
    {
        assert!(addresses.starts_with("[::1]:"), "{addresses}");
        assert_eq!((*at, *sequence, payload), (at4, sequence4, &payload4));
    }
}

#[test]
fn what_is_no_segment_says_why() {
    let ip = ip_packets().remove(3).1;
    let of = |link, bytes: &[u8]| {
        segment(&Packet { unix_ns: 0, link, bytes, wire_len: bytes.len() as u32 }).map(|s| s.wire_len)
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = ip.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(of(101, &ip).is_ok());
    assert_eq!(of(147, &ip), Err(NoSegment::Link(147)));
    assert_eq!(of(101, &changed(9, 17)), Err(NoSegment::Other));
    assert_eq!(of(101, &changed(6, 0x20)), Err(NoSegment::Fragment));
    assert_eq!(of(101, &changed(0, 0x44)), Err(NoSegment::Headers));
    assert_eq!(of(101, &ip[..30]), Err(NoSegment::Headers));
    // An ARP frame.
    assert_eq!(of(1, &[[0; 12].as_slice(), &[0x08, 0x06], &[0; 28]].concat()), Err(NoSegment::Other));
    // Left to the card to cut: no length in the IP header; what follows it in the frame is padding else.
    let mut uncut = ip.clone();
    uncut[2..4].fill(0);
    assert_eq!(of(101, &uncut), of(101, &ip));
    assert_eq!(of(101, &[&ip[..], &[0; 6]].concat()), of(101, &ip));
}

#[test]
fn what_is_no_capture_says_so() {
    assert_eq!(pcap::read(b"msec=1").unwrap_err(), NoCapture::Magic("6d 73 65 63 3d 31".to_owned()));
    assert_eq!(pcap::read(&sample()[..20]).unwrap_err(), NoCapture::Short);
    let mut old = sample();
    old[4] = 3;
    assert_eq!(pcap::read(&old).unwrap_err(), NoCapture::Version(3, 4));
    let mut section = ng(&[], 1, false, 9);
    section[8] = 0;
    assert_eq!(pcap::read(&section).unwrap_err(), NoCapture::ByteOrder(0x003c_2b1a));
}

#[test]
fn the_streams_of_a_real_capture() {
    let bytes = sample();
    let capture = pcap::read(&bytes).unwrap();
    let (connections, counts) = connections(capture.packets.iter().map(|p| segment(p).unwrap()).collect());
    let mut out = format!("{counts:?}\n");
    let begin = capture.packets[0].unix_ns;
    for connection in &connections {
        writeln!(
            out,
            "{} → {}, from the start: {}",
            connection.client, connection.server, connection.from_the_start
        )
        .unwrap();
        for moment in connection.moments.iter().filter(|moment| !is_token(moment.what)) {
            let side = if moment.by_client { "client" } else { "server" };
            let what = match moment.what {
                What::Data(bytes) => {
                    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
                    format!("{} bytes {text:?}", bytes.len())
                }
                what => format!("{what:?}"),
            };
            writeln!(out, "{:9} µs {side} {what}", (moment.unix_ns - begin) / 1000).unwrap();
        }
    }
    insta::with_settings!({
        snapshot_path => files::folder().join("snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!("pcap__haproxy-2.6.pcap", out);
    });
}

/// One event in its chunk.
fn is_token(what: What<'_>) -> bool {
    matches!(what, What::Data(bytes) if bytes.len() < 260 && bytes.windows(6).any(|w| w == b"data: "))
}

/// What each side sent, whole, and the instant of each byte.
fn sent(segments: Vec<Segment<'_>>) -> Vec<(Vec<u8>, Vec<i64>)> {
    let (connections, _) = connections(segments);
    let mut all = Vec::new();
    for by_client in [true, false] {
        let moments = connections.iter().flat_map(|c| &c.moments).filter(|m| m.by_client == by_client);
        let (mut bytes, mut instants) = (Vec::new(), Vec::new());
        for moment in moments {
            if let What::Data(data) = moment.what {
                bytes.extend(data);
                instants.extend(std::iter::repeat_n(moment.unix_ns, data.len()));
            }
        }
        all.push((bytes, instants));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_stop_the_reading(bytes in any::<Vec<u8>>(), kind in 0..3_usize, link in 0..300_u32) {
        let head: [&[u8]; 3] = [&[], &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0], &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a]];
        let _ = pcap::read(&[head[kind], &bytes].concat());
        let _ = segment(&Packet { unix_ns: 0, link, bytes: &bytes, wire_len: 70_000 });
    }

    #[test]
    fn a_cut_capture_gives_the_first_packets(at in any::<Index>(), is_ng in any::<bool>(), big in any::<bool>()) {
        let ip = ip_packets();
        let file = if is_ng { ng(&ip, 101, big, 9) } else { classic(&ip, 101, big, 1) };
        let cut = &file[..at.index(file.len() + 1)];
        if let Ok(capture) = pcap::read(cut) {
            let whole = pcap::read(&file).unwrap();
            prop_assert_eq!(&capture.packets[..], &whole.packets[..capture.packets.len()]);
            prop_assert!(capture.packets.len() == whole.packets.len() || cut.len() < file.len());
            prop_assert_eq!(capture.unplaced + capture.unstamped, 0);
        } else {
            prop_assert!(cut.len() < 24);
        }
    }

    /// However a stream is cut into segments, in whatever order they come, how often and how much they
    /// overlap: the bytes are the stream's, and each is there when all before it are.
    #[test]
    fn any_segments_that_cover_a_stream_give_it(
        text in proptest::collection::vec(any::<u8>(), 1..200),
        cuts in proptest::collection::vec((any::<Index>(), 1..60_usize), 0..30),
        order in proptest::collection::vec(any::<u32>(), 400),
        first in any::<u32>(),
    ) {
        // A cover of it, and pieces more; a stamp for each by its place in a random order.
        let n = text.len();
        let mut spans: Vec<(usize, usize)> = (0..n).step_by(7).map(|at| (at, (at + 7).min(n))).collect();
        spans.extend(cuts.iter().map(|(at, length)| { let at = at.index(n); (at, (at + length).min(n)) }));
        let mut stamped: Vec<(u32, (usize, usize))> = order.iter().copied().zip(spans).collect();
        stamped.sort_unstable();
        let address = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let base = Segment {
            unix_ns: 0, from: address(9), to: address(5), sequence: first, syn: true, ack: false, fin: false,
            rst: false, payload: &[], wire_len: 0,
        };
        let segments: Vec<Segment<'_>> = std::iter::once(base)
            .chain((1..).zip(&stamped).map(|(at, (_, (from, to)))| Segment {
                unix_ns: at, syn: false, ack: true, sequence: first.wrapping_add(1 + *from as u32),
                payload: &text[*from..*to], wire_len: to - from, ..base
            }))
            .collect();
        // By the definition, byte for byte.
        let mut there = 0;
        let expected: Vec<i64> = (0..n).map(|byte| {
            let copy = (1..).zip(&stamped).find(|(_, (_, (from, to)))| (*from..*to).contains(&byte)).unwrap().0;
            there = there.max(copy);
            there
        }).collect();
        let found = sent(segments.clone());
        prop_assert_eq!(&found[0].0, &text);
        // An instant is that of the piece that brought a byte; another copy of it may have been earlier,
        // but never than the bytes before it.
        prop_assert!(found[0].1.iter().zip(&expected).all(|(found, expected)| found >= expected));
        let mut backwards = segments;
        backwards.reverse();
        prop_assert_eq!(sent(backwards), found);
    }
}
