//! `report.html` as a file: whole, by itself, well formed, with text from outside as text, of a bounded size;
//! and the tables of numbers beside it. How it behaves in a browser is checked by `scripts/report/check.sh`.

use std::collections::BTreeMap;

use serde_json::Value;
use tare::clock::UnixNs;
use tare::record::{EventRow, Finished, RequestRow, SpanRow, StampSource, Status};
use tare::secrets::Secrets;
use tare::store::manifest::RunState;
use tare::store::{Manifest, RunData, RunFolder, RunWriter};

use crate::program::Place;
use crate::runs::QUICK;

/// Elements that have no end.
const VOID: [&str; 6] = ["meta", "link", "br", "input", "img", "hr"];

/// A tag of the page: its name and its attributes as they are written.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Every tag in order. Fails where one does not end, a quote is missing, or ends do not nest.
fn tags(html: &str) -> Vec<Tag> {
    let mut rest = html;
    let (mut found, mut open) = (Vec::new(), Vec::<String>::new());
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with('!') {
            continue;
        }
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                *c == '>' && !quoted
            })
            .unwrap_or_else(|| panic!("a tag does not end: {rest:.80}"))
            .0;
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "ends do not nest before: {rest:.80}");
            continue;
        }
        let closed = inside.ends_with('/');
        let inside = inside.trim_end_matches('/');
        let (name, written) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "no tag: <{inside}>");
        let tag = Tag { name: name.to_owned(), attributes: attributes(written) };
        // What is in these is no markup.
        if name == "script" || name == "style" {
            let end = format!("</{name}>");
            rest = &rest[rest.find(&end).unwrap_or_else(|| panic!("no {end}")) + end.len()..];
        } else if !closed && !VOID.contains(&name) {
            open.push(name.to_owned());
        }
        found.push(tag);
    }
    assert!(open.is_empty(), "not ended: {open:?}");
    found
}

fn attributes(written: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = written.trim();
    while !rest.is_empty() {
        let name_end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        rest = after;
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let end = quoted.find('"').unwrap_or_else(|| panic!("no end of a value: {quoted:.60}"));
            quoted[..end].clone_into(&mut value);
            rest = &quoted[end + 1..];
        } else {
            assert!(!rest.starts_with('='), "a value without quotes: {written:.80}");
        }
        all.push((name.to_owned(), value));
        rest = rest.trim_start();
    }
    all
}

/// What holds of every page.
fn sound(html: &str) -> Vec<Tag> {
    let tags = tags(html);
    for tag in &tags {
        assert!(tag.get("src").is_none(), "{tag:?} reads something");
        let far = |value: &str| value.contains("//");
        match (tag.name.as_str(), tag.get("href")) {
            ("a", Some(href)) => assert!(!far(href), "{tag:?} leads away"),
            (_, Some(href)) => assert_eq!(href, "data:,", "{tag:?} reads something"),
            _ => {}
        }
        assert!(!tag.attributes.iter().any(|(name, _)| name.starts_with("on")), "{tag:?} runs something");
        if tag.name == "svg" {
            assert!(tag.get("aria-label").is_some_and(|said| !said.is_empty()), "a drawing without words");
        }
        if tag.name == "th" {
            assert!(tag.get("scope").is_some(), "a head cell without a scope");
        }
        let numbers = ["d", "viewBox", "x", "y", "width", "height", "style"];
        let broken =
            |(name, value): &(String, String)| numbers.contains(&name.as_str()) && value.contains("NaN");
        assert!(!tag.attributes.iter().any(broken), "{tag:?}");
    }
    let mut ids: Vec<&str> = tags.iter().filter_map(|tag| tag.get("id")).collect();
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n, "ids are unique");
    for tag in tags.iter().filter(|tag| tag.name == "a") {
        if let Some(id) = tag.get("href").and_then(|href| href.strip_prefix('#')) {
            assert!(ids.binary_search(&id).is_ok(), "#{id} leads nowhere");
        }
    }
    tags
}

/// The numbers that the page carries for pointing.
fn island(html: &str) -> Value {
    let (_, rest) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split("</script>").next().unwrap()).unwrap()
}

/// The rows of a CSV as maps.
fn csv(place: &Place, path: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(place.path(path)).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn a_page_is_whole_by_itself_and_its_data_lie_beside_it() {
    let place = Place::new();
    let name = "<script>alert('x')</script> \\\"quoted\\\" & more";
    let yaml = format!("label: \"{name}\"\n{QUICK}  faults: [http_500 every=9, cut after=3 every=7]\n");
    place.file("config.yaml", yaml);
    let said = place.tare(
        "run config.yaml --output run --users 3 --num-prompts 40 --random-input-len 12 --random-output-len 12 --ignore-eos",
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let html = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    let tags = sound(&html);
    assert!(!html.contains("<script>alert"), "a label is text");
    assert!(html.contains("&lt;script&gt;alert"), "and it is there");
    let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
    assert_eq!((count("h1"), count("main"), count("nav")), (1, 1, 1));

    // The same numbers as everywhere else.
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    let rows = csv(&place, "run/data/requests.csv");
    assert_eq!(rows.len(), data.requests.rows.len());
    for (row, request) in rows.iter().zip(&data.requests.rows) {
        assert_eq!(row["request_id"], request.request_id);
        assert_eq!(row["status"], request.status.as_str());
        assert_eq!(row["ttft_s"].parse::<f64>().ok(), request.ttft_s, "to the last digit");
    }
    let failed = rows.iter().filter(|row| row["status"] != "ok").count();
    assert!(failed >= 4 && html.contains(&format!("{failed} of 40 requests failed")), "{failed} failed");
    let line = &island(&html)["timeline"];
    assert_eq!(line["requests"]["start"].as_array().unwrap().len(), 40);
    let ok = line["requests"]["ok"].as_array().unwrap();
    assert_eq!(ok.iter().filter(|ok| **ok == 0).count(), failed);

    // Requests under way, summed over the run, are the requests' durations.
    let under_way: f64 = csv(&place, "run/data/timeline_client.csv")
        .iter()
        .map(|row| {
            let number = |name: &str| row[name].parse::<f64>().unwrap();
            number("in_flight") * (number("end_s") - number("begin_s"))
        })
        .sum();
    let lasted: f64 =
        data.requests.rows.iter().map(|r| r.done_unix_ns.seconds_since(r.started_unix_ns)).sum();
    assert!((under_way - lasted).abs() < 1e-6, "{under_way} s against {lasted} s");
    let server = csv(&place, "run/data/timeline_server.csv");
    assert!(server.len() >= 2 && server.iter().all(|row| !row["running"].is_empty()), "{server:?}");

    // Single requests: both kinds of failure are among them, and every stamp lies beside the page.
    let drawn: Vec<&str> = tags.iter().filter_map(|tag| tag.get("data-id")).collect();
    let whys: Vec<&str> = tags.iter().filter_map(|tag| tag.get("data-kinds")).collect();
    for why in ["slowest TTFT", "largest tare", "failed: http_error", "failed: cut", "at the median TTFT"] {
        assert!(whys.iter().any(|whys| whys.split('|').any(|w| w == why)), "{why}: {whys:?}");
    }
    let stamps = csv(&place, "run/data/stamps.csv");
    assert!(
        drawn.iter().all(|id| stamps.iter().any(|row| row["request_id"] == *id && row["what"] == "started"))
    );

    // Parts inside sum to the whole at every place of the distribution.
    let mut sums: BTreeMap<(String, String, String), (f64, f64)> = BTreeMap::new();
    for row in csv(&place, "run/data/breakdown.csv") {
        let key = (row["of"].clone(), row["by"].clone(), row["at"].clone());
        let entry = sums.entry(key).or_insert((row["total_s"].parse().unwrap(), 0.0));
        if row["inside"] == "true" {
            entry.1 += row["mean_s"].parse::<f64>().unwrap();
        }
    }
    assert!(sums.len() >= 8);
    for (at, (total, sum)) in sums {
        assert!((total - sum).abs() < 1e-6, "{at:?}: {total} against {sum}");
    }
}

/// A folder of 10,000 requests without a server's load: every number is round and known.
#[test]
fn ten_thousand_requests_make_a_page_of_less_than_three_megabytes() {
    let place = Place::new();
    let folder = RunFolder::create(&place.path("run"), false).unwrap();
    let mut manifest = Manifest::new("many", Value::Null);
    manifest.target.server = "vllm".to_owned();
    manifest.target.same_host = true;
    let mut writer = RunWriter::create(&folder, &Secrets::default()).unwrap();
    let begin = UnixNs(1_795_533_160_000_000_000);
    for n in 0..10_000_u64 {
        let (finished, span) = request(n, begin.plus_seconds(n as f64 / 100.0));
        writer.finished(&[finished]).unwrap();
        writer.spans(&[span]).unwrap();
    }
    writer.end().unwrap();
    manifest.end(RunState::Finished);
    manifest.write(&folder).unwrap();
    drop(folder);
    let said = place.tare("--quiet report run");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let html = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    sound(&html);
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    assert!(html.contains("Dots: every 4th request by start."), "what is thinned is said");
    let values = &island(&html)["ttft_s"]["q"];
    // From 100 to 199.99 ms in even steps, here and 5 ms less there.
    let close = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-5;
    assert!(
        close(&values[0][0], 0.1) && close(&values[0][400], 0.199_99) && close(&values[1][200], 0.144_995)
    );
    assert_eq!(csv(&place, "run/data/requests.csv").len(), 10_000);
    packed_requests_come_back(&island(&html)["requests"]);
}

/// Every request is at hand, with its number, its id and its TTFT: unpacked as it is described, not as it is done.
fn packed_requests_come_back(packed: &Value) {
    let templates = packed["templates"].as_array().unwrap();
    assert_eq!(templates.len(), 1, "all of these are alike");
    assert_eq!(templates[0][0], 10_000);
    let ids = String::from_utf8(inflated(&packed["ids"])).unwrap();
    let ids: Vec<String> =
        ids.split('\n').map(|rest| format!("{}{rest}", packed["prefix"].as_str().unwrap())).collect();
    assert_eq!((ids.len(), ids[9_999].as_str()), (10_000, "tare-many-9999"));
    let mut numbers = Vec::new();
    let (mut n, mut shift) = (0_u64, 0);
    for byte in inflated(&packed["numbers"]) {
        n |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            numbers.push(n);
            (n, shift) = (0, 0);
        }
    }
    assert_eq!(numbers.len() % 10_000, 0, "column by column");
    // The first column is the number, the fifth the TTFT: signed, plus one.
    let column = |i: usize| &numbers[i * 10_000..(i + 1) * 10_000];
    for (row, index) in column(0).iter().enumerate() {
        assert_eq!(*index, row as u64);
        let ttft_us = 100_000 + (index * 7_919 % 10_000) * 10;
        assert_eq!(column(4)[row], 2 * ttft_us + 1, "request {index}");
    }
}

/// Base64 of a deflated text.
fn inflated(text: &Value) -> Vec<u8> {
    use std::io::Read as _;
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for four in text.as_str().unwrap().trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, c| bits << 6 | value(*c)) << (6 * (4 - four.len()));
        bytes.extend([16, 8, 0].iter().take(four.len() - 1).map(|shift| (bits >> shift) as u8));
    }
    let mut out = Vec::new();
    flate2::read::DeflateDecoder::new(bytes.as_slice()).read_to_end(&mut out).unwrap();
    out
}

/// Request `n` and its span: TTFT 100 ms and a hundredth of a millisecond for each in a scrambled order.
fn request(n: u64, started: UnixNs) -> (Finished, SpanRow) {
    let ttft_s = 0.1 + (n * 7_919 % 10_000) as f64 / 100_000.0;
    let at = |s: f64| Some(started.plus_seconds(s));
    let row = RequestRow {
        request_id: format!("tare-many-{n}"),
        trace_id: format!("{:032x}", n + 1),
        index: n,
        streamed: true,
        scheduled_unix_ns: started,
        started_unix_ns: started,
        send_begin_unix_ns: at(0.000_1),
        sent_unix_ns: at(0.000_2),
        head_unix_ns: at(ttft_s),
        first_token_unix_ns: at(ttft_s),
        first_token_lo_unix_ns: at(ttft_s),
        first_token_user_unix_ns: at(ttft_s + 0.000_1),
        first_content_unix_ns: at(ttft_s),
        last_token_unix_ns: at(ttft_s + 0.1),
        last_token_lo_unix_ns: at(ttft_s + 0.1),
        done_unix_ns: started.plus_seconds(ttft_s + 0.101),
        stamps: StampSource::Kernel,
        status: Status::Ok,
        http_status: Some(200),
        finish_reason: Some("length".to_owned()),
        input_tokens: Some(20),
        output_tokens: Some(11),
        n_events: 11,
        n_exact_events: 11,
        ttft_s: Some(ttft_s),
        itl_mean_s: Some(0.01),
        tpot_s: Some(0.01),
        e2e_s: Some(ttft_s + 0.1),
        user_throughput_tps: Some(11.0 / (ttft_s + 0.1)),
        ..RequestRow::default()
    };
    let events = (0..11)
        .map(|i| {
            let hi = started.plus_seconds(ttft_s + 0.01 * f64::from(i));
            EventRow {
                stamp_lo_unix_ns: hi,
                stamp_hi_unix_ns: hi,
                user_unix_ns: hi.plus_seconds(0.000_1),
                events_in_read: 1,
                tokens: Some(1),
                bytes: 200,
            }
        })
        .collect();
    let span = SpanRow {
        recv_unix_ns: started.plus_seconds(1.0),
        via: "grpc".to_owned(),
        service: Some("vllm".to_owned()),
        name: "llm_request".to_owned(),
        trace_id: row.trace_id.clone(),
        span_id: format!("{:016x}", n + 1),
        parent_span_id: None,
        start_unix_ns: started.plus_seconds(0.003),
        end_unix_ns: started.plus_seconds(ttft_s + 0.099),
        request_id: Some(format!("chatcmpl-{}", row.request_id)),
        ttft_s: Some(ttft_s - 0.005),
        e2e_s: Some(ttft_s + 0.095),
        queue_s: Some(0.02),
        prefill_s: Some(0.06),
        decode_s: Some(0.1),
        inference_s: None,
        input_tokens: Some(20),
        output_tokens: Some(11),
        attributes: BTreeMap::new(),
    };
    (Finished { row, events, place: None }, span)
}
