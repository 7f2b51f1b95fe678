//! What holds for every input: no panic, nothing lost or changed by colours, cuts and chunks.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use tare_parsers::exposition::{self, Sample};
use tare_parsers::{
    Event, FORMATS, Hop, LogTime, Parsed, RequestStats, haproxy, hop_headers, nginx, tare_stat_log, vllm,
};

use crate::{bodies, files};

/// Sample lines of every log format that have no colours of their own.
fn plain_lines() -> Vec<String> {
    let lines: Vec<String> = files::of_logs()
        .iter()
        .flat_map(|sample| files::lines(sample.text()).map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.contains('\u{1b}'))
        .collect();
    assert!(lines.len() > 100);
    lines
}

fn boundary(text: &str, at: Index) -> usize {
    let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    *at.get(&boundaries)
}

/// What of an event joins it to a request: the fields that must never be half of what was written.
fn facts(event: &Event<'_>) -> String {
    let ids: Vec<&str> = event.ids().collect();
    match event {
        Event::Access { client, port, method, path, status } => {
            format!("{client} {port:?} {method} {path} {status}")
        }
        Event::Finished { input_tokens, output_tokens, .. } => {
            format!("{ids:?} {input_tokens:?} {output_tokens:?}")
        }
        Event::Stats {
            engine, prompt_throughput_tps, generation_throughput_tps, running, waiting, ..
        } => {
            format!("{engine:?} {prompt_throughput_tps} {generation_throughput_tps} {running} {waiting}")
        }
        Event::Iteration { .. } => format!("{event:?}"),
        _ => format!("{ids:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_stops_a_log_parser(text in any::<String>()) {
        bodies::log_line(text.as_bytes());
    }

    #[test]
    fn no_bytes_stop_any_parser(bytes in any::<Vec<u8>>()) {
        bodies::log_line(&bytes);
        bodies::exposition(&bytes);
        bodies::sse(&bytes);
    }

    #[test]
    fn no_damaged_line_stops_a_log_parser(
        line in select(plain_lines()), from in any::<Index>(), to in any::<Index>(), new in any::<String>(),
    ) {
        let (a, b) = (boundary(&line, from), boundary(&line, to));
        let damaged = [&line[..a.min(b)], &new, &line[a.max(b)..]].concat();
        bodies::log_line(damaged.as_bytes());
    }

    #[test]
    fn colours_change_nothing(
        line in select(plain_lines()),
        colours in proptest::collection::vec(
            (any::<Index>(), select(vec!["\u{1b}[0m", "\u{1b}[1;36m", "\u{1b}[90m", "\u{1b}[3m", "\u{1b}[38;5;12m", "\u{1b}[m"])),
            0..6,
        ),
    ) {
        let mut coloured = line.clone();
        for (at, colour) in colours {
            let at = boundary(&line, at).min(coloured.len());
            // An earlier colour may have moved the boundary into a character.
            let at = (0..=at).rev().find(|at| coloured.is_char_boundary(*at)).unwrap_or(0);
            if inside_escape(&coloured, at) {
                continue;
            }
            coloured.insert_str(at, colour);
        }
        for format in FORMATS {
            let (mut a, mut b) = (String::new(), String::new());
            prop_assert_eq!((format.parse)(&line, &mut a), (format.parse)(&coloured, &mut b));
        }
    }

    #[test]
    fn a_cut_line_tells_nothing_wrong(line in select(plain_lines()), at in any::<Index>()) {
        let cut = &line[..boundary(&line, at)];
        let (mut a, mut b) = (String::new(), String::new());
        let (Parsed::Line(whole), Parsed::Line(part)) = (vllm::parse(&line, &mut a), vllm::parse(cut, &mut b)) else {
            return Ok(());
        };
        let same_kind = std::mem::discriminant(&whole.event) == std::mem::discriminant(&part.event);
        if same_kind {
            prop_assert_eq!(facts(&whole.event), facts(&part.event));
            // Of a head in a free order, a cut may leave less than whole; of an event it may not.
            prop_assert!(whole.pid == part.pid || part.event == Event::Other);
        } else {
            // A message that is not there yet is not an event yet.
            prop_assert_eq!(part.event, Event::Other);
        }
        prop_assert_eq!(whole.time, part.time);
    }

    #[test]
    fn a_cut_line_gives_no_other_hop(line in select(plain_lines()), at in any::<Index>()) {
        let cut = &line[..boundary(&line, at)];
        for format in FORMATS {
            let (mut a, mut b) = (String::new(), String::new());
            let (Parsed::Line(whole), Parsed::Line(part)) = ((format.parse)(&line, &mut a), (format.parse)(cut, &mut b)) else {
                continue;
            };
            // nginx writes `rc=` and nothing where the client left: there a cut cannot be seen.
            if let (Event::Hop(whole), Event::Hop(part)) = (whole.event, part.event) && !cut.ends_with("rc=") {
                // HAProxy's lines end with the request, which syslog may cut.
                prop_assert_eq!(Hop { path: None, ..*whole }, Hop { path: None, ..*part });
            }
        }
    }

    #[test]
    fn a_written_hop_reads_back(
        start_ms in 1_700_000_000_000..4_000_000_000_000_i64,
        timers_ms in proptest::array::uniform5(proptest::option::of(0..100_000_i64)),
        id in "[a-zA-Z0-9_./:-]{2,40}",
        retries in 0..9_u32,
        bytes in any::<u64>(),
        framing in select(vec!["", "<134>Nov 24 14:50:50 haproxy[7]: ", "<134>1 2026-11-24T14:51:12.643098+00:00 - haproxy 7 - - "]),
    ) {
        let [head, queue, connect, answer, total] = timers_ms.map(|ms| ms.unwrap_or(-1));
        let stamp = format!("{}.{:03}", start_ms / 1000, start_ms % 1000);
        let line = format!(
            "{framing}ts={stamp} ci=[::1]:7 be=b/s Th=0 Ti=0 TR={head} Tw={queue} Tc={connect} Tr={answer} Ta={total} st=200 B={bytes} tsc=---- rc={retries} rid={id} req=\"GET / HTTP/1.1\""
        );
        let mut scratch = String::new();
        let Parsed::Line(read) = haproxy::parse(&line, &mut scratch) else { panic!("{line}") };
        let Event::Hop(hop) = read.event else { panic!("{line}") };
        prop_assert_eq!(hop.request_id.as_deref(), Some(&*id));
        prop_assert_eq!(hop.start.unwrap().time, LogTime::Unix { unix_ns: start_ms * 1_000_000, resolution_ns: 1_000_000 });
        prop_assert_eq!((hop.sent_bytes, hop.attempts), (Some(bytes), Some(retries + 1)));
        let mut so_far = Some(0);
        let expected = timers_ms[..4].iter().map(|ms| {
            so_far = so_far.zip(*ms).map(|(sum, ms)| sum + ms);
            so_far.map(|ms| ms as f64 / 1e3)
        });
        let phases = hop.phases;
        prop_assert_eq!(
            expected.collect::<Vec<_>>(),
            [phases.request_head_s, phases.queue_s, phases.connected_s, phases.upstream_head_s]
        );
        prop_assert_eq!(phases.total_s, timers_ms[4].map(|ms| ms as f64 / 1e3));
    }

    #[test]
    fn nginx_lists_read_back(
        tries in proptest::collection::vec(
            (proptest::array::uniform3(proptest::option::of(0..100_000_u32)), proptest::option::of(100..600_u16), any::<bool>()),
            1..5,
        ),
        escaped in any::<bool>(),
    ) {
        let joined = |text: &dyn Fn(usize) -> String| {
            (0..tries.len()).fold(String::new(), |out, at| {
                let between = if at == 0 { "" } else if tries[at].2 { " : " } else { ", " };
                out + between + &text(at)
            })
        };
        let seconds = |ms: Option<u32>| ms.map_or("-".to_owned(), |ms| format!("{}.{:03}", ms / 1000, ms % 1000));
        let status = |at: usize| tries[at].1.map_or("-".to_owned(), |status| status.to_string());
        let (addresses, statuses) = (joined(&|at| format!("[::1]:{at}")), joined(&status));
        let times = [0, 1, 2].map(|which| joined(&|at| seconds(tries[at].0[which])));
        let line = if escaped {
            format!(
                r#"{{"msec":1795531667.762,"status":200,"request_time":9.000,"upstream_addr":"{addresses}","upstream_status":"{statuses}","upstream_connect_time":"{}","upstream_header_time":"{}","upstream_response_time":"{}","completion":"OK"}}"#,
                times[0], times[1], times[2],
            )
        } else {
            format!("msec=1795531667.762 st=200 rt=9.000 ua={addresses} ust={statuses} uct={} uht={} urt={} rc=OK", times[0], times[1], times[2])
        };
        let mut scratch = String::new();
        let Parsed::Line(read) = nginx::parse(&line, &mut scratch) else { panic!("{line}") };
        let Event::Hop(hop) = read.event else { panic!("{line}") };
        prop_assert_eq!(hop.tries.len(), tries.len());
        for (at, (one, (times_ms, status, _))) in hop.tries.iter().zip(&tries).enumerate() {
            prop_assert_eq!(one.address.as_deref(), Some(&*format!("[::1]:{at}")));
            prop_assert_eq!(one.status, *status);
            let expected = times_ms.map(|ms| ms.map(|ms| f64::from(ms) / 1e3));
            prop_assert_eq!([one.connect_s, one.head_s, one.end_s], expected);
        }
    }

    #[test]
    fn no_header_stops_the_reading_of_the_others(
        values in proptest::collection::vec((select(hop_headers::NAMES.to_vec()), any::<String>()), 0..8),
        ms in 0..1_000_000_u32,
    ) {
        let known = ("x-kong-proxy-latency", ms.to_string());
        let mut headers: Vec<(&str, String)> = values.into_iter().filter(|(name, _)| *name != known.0).collect();
        headers.insert(headers.len() / 2, known);
        for (name, value) in &headers {
            let kept = hop_headers::kept(name, value);
            prop_assert!(kept.is_none_or(|kept| !kept.is_empty() && kept.chars().count() <= 256));
        }
        let (told, _) = hop_headers::read(headers.iter().map(|(name, value)| (*name, value.as_str())));
        prop_assert!(told.iter().flat_map(|told| &told.stated).all(|(_, s)| s.is_finite() && *s >= 0.0));
        let kong = told.iter().find(|told| told.product == "kong").unwrap();
        prop_assert!(kong.stated.contains(&("proxy_latency".into(), f64::from(ms) / 1e3)));
    }

    #[test]
    fn a_written_stat_line_reads_back(
        id in proptest::option::of("[a-zA-Z0-9_./ é-]{1,20}"),
        times in proptest::array::uniform5(proptest::option::of(any::<f64>().prop_filter("JSON has no word for it", |s| s.is_finite()))),
        counts in proptest::array::uniform7(proptest::option::of(any::<u32>())),
        at in proptest::option::of(any::<i64>()),
        shuffle in any::<Index>(),
    ) {
        let text = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
        let quoted = |value: &Option<String>| text(value.as_ref().map(|value| format!("\"{value}\"")));
        let mut fields = vec![
            "\"v\": 1".to_owned(),
            format!("\"request_id\":{}", quoted(&id)),
            format!("\"finish_reason\": {}", quoted(&id)),
            format!("\"iteration_unix_ns\":{}", text(at.map(|at| at.to_string()))),
        ];
        let names = ["e2e_s", "queue_s", "prefill_s", "inference_s", "decode_s"];
        fields.extend(names.iter().zip(times).map(|(name, s)| format!("\"{name}\":{}", text(s.map(|s| format!("{s:?}"))))));
        let names = ["pid", "engine", "input_tokens", "output_tokens", "cached_tokens", "preemptions", "max_tokens"];
        fields.extend(names.iter().zip(counts).map(|(name, n)| format!("\"{name}\":{}", text(n.map(|n| n.to_string())))));
        let n = fields.len();
        fields.rotate_left(shuffle.index(n));
        let line = format!("{{{}}}", fields.join(","));
        let [e2e_s, queue_s, prefill_s, inference_s, decode_s] = times;
        let [pid, engine, input_tokens, output_tokens, cached_tokens, preemptions, max_tokens] = counts;
        let (request_id, finish_reason) = (id.as_deref(), id.as_deref());
        let expected = RequestStats {
            pid, engine, request_id, finish_reason, iteration_unix_ns: at, e2e_s, queue_s, prefill_s, inference_s,
            decode_s, input_tokens, output_tokens, cached_tokens, preemptions, max_tokens, ..RequestStats::default()
        };
        let mut scratch = String::new();
        let Parsed::Line(read) = tare_stat_log::parse(&line, &mut scratch) else { panic!("{line}") };
        prop_assert_eq!(read.event, Event::RequestStats(expected));
        prop_assert!(tare_stat_log::recognises(&line));
    }

    #[test]
    fn a_printed_page_reads_back(
        rows in proptest::collection::vec(
            (
                "([a-zA-Z_:][a-zA-Z0-9_:]{0,12}|[a-z. é]{1,8})",
                proptest::collection::vec(("[a-zA-Z_][a-zA-Z0-9_]{0,5}", any::<String>()), 0..4),
                prop_oneof![any::<f64>(), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::NAN)],
                proptest::option::of(any::<i64>()),
            ),
            0..6,
        ),
        damage in any::<Index>(),
    ) {
        let samples: Vec<Sample<'_>> = rows
            .iter()
            .map(|(name, labels, value, timestamp_ms)| Sample {
                name,
                labels: labels.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))).collect(),
                value: *value,
                timestamp_ms: *timestamp_ms,
            })
            .collect();
        let page = bodies::print(&samples);
        let scrape = exposition::parse(&page);
        prop_assert_eq!(&scrape.errors, &[]);
        prop_assert_eq!(format!("{:?}", &scrape.samples), format!("{samples:?}"));
        prop_assert!(scrape.complete || page.is_empty());

        // A bad line among good ones costs itself only.
        let mut lines: Vec<&str> = page.split_inclusive('\n').collect();
        let at = damage.index(lines.len() + 1);
        lines.insert(at, "{ this is no sample\n");
        let damaged = lines.concat();
        let scrape = exposition::parse(&damaged);
        prop_assert_eq!(format!("{:?}", &scrape.samples), format!("{samples:?}"));
        let bad: Vec<usize> = scrape.errors.iter().map(|error| error.line_no).collect();
        prop_assert_eq!(bad, [at + 1]);
    }

    #[test]
    fn chunks_change_no_event(
        words in proptest::collection::vec(select(WORDS.to_vec()), 0..40),
        cuts in proptest::collection::vec(any::<Index>(), 0..12),
        limit in prop_oneof![Just(usize::MAX), 0..40_usize],
    ) {
        let stream = words.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        let whole = bodies::decode(std::iter::once(&stream[..]), limit);
        prop_assert_eq!(bodies::decode(pieces, limit), whole.clone());
        prop_assert_eq!(bodies::decode(stream.chunks(1), limit), whole);
    }
}

const WORDS: [&[u8]; 16] = [
    b"data",
    b"data: ",
    b"event",
    b": ",
    b":",
    b" ",
    b"\n",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"{\"a\":1}",
    "é😀".as_bytes(),
    b"\xef\xbb\xbf",
    b"\xff\xef\xbb",
];

/// Whether byte `at` lies inside an escape sequence that was put in before.
fn inside_escape(text: &str, at: usize) -> bool {
    text[..at].rfind('\u{1b}').is_some_and(|escape| !text[escape..at].contains('m'))
}

/// The specification's own words for what a stream is, line by line and slowly: what the decoder's
/// shortcuts must agree with.
fn by_the_book(stream: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let (mut events, mut line) = (Vec::new(), Vec::new());
    let (mut data, mut name): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < stream.len() {
        let byte = stream[at];
        at += 1;
        if byte != b'\n' && byte != b'\r' {
            line.push(byte);
            continue;
        }
        if byte == b'\r' && stream.get(at) == Some(&b'\n') {
            at += 1;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if line.is_empty() {
            if !data.is_empty() {
                data.pop();
                events.push((std::mem::take(&mut name), std::mem::take(&mut data)));
            }
            name.clear();
        } else if field == b"data" {
            data.extend_from_slice(value);
            data.push(b'\n');
        } else if field == b"event" {
            name = value.to_vec();
        }
        line.clear();
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn events_are_those_of_the_specification(words in proptest::collection::vec(select(WORDS.to_vec()), 0..40)) {
        let stream = words.concat();
        let events: Vec<_> = bodies::decode(std::iter::once(&stream[..]), usize::MAX)
            .events
            .into_iter()
            .map(|event| (event.name, event.data))
            .collect();
        prop_assert_eq!(events, by_the_book(&stream));
    }

    #[test]
    fn the_bytes_of_a_consistent_stream_are_all_counted(
        events in proptest::collection::vec("(data: [a-z]{0,5}\n){1,3}", 0..5), end in select(vec!["\n", "\r\n", "\r"]),
    ) {
        let stream = events.iter().map(|event| event.clone() + "\n").collect::<String>().replace('\n', end);
        let decoded = bodies::decode(stream.as_bytes().chunks(3), usize::MAX);
        let counted: usize = decoded.events.iter().map(|event| event.wire_bytes).sum();
        prop_assert_eq!(decoded.events.len(), events.len());
        prop_assert_eq!(counted, stream.len());
    }
}
