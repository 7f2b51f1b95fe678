//! `tare correlate` on what other load tools really wrote: their own figures must come out again, their
//! failures must be told apart, and whatever has ids must be joined request by request.

mod figures;
mod joined;
mod pages;
mod tables;

use std::path::PathBuf;

use serde_json::Value;
use tare::error::{Failure, print};
use tare::import::{Choice, Imported, Of, read, read_chosen};
use tare::record::{JoinedRow, RequestRow, Source, Status};
use tare::run::recompute;
use tare::server::vllm::VLLM;
use tare::stats::quantile;

use crate::program::{Place, Said};
use crate::source::root;

const CSV: &str =
    "\u{feff}request_id,started_unix_ms,ttft_ms,latency_s,output_tokens,prompt_tokens,status,Weather\r
a-1,1795724143000,250,1.25,11,5,ok,rain\r
a-2,1795724143500.5,,,,5,error,\r
\"a-3\",1795724144000,300,0.2,3,5,ok,\r
a-4,2026-11-26,300,1,3,5,ok,\r
a-5,1795724145000,300,1,3,5,ok\r
a-6,1795724145000,300,1,2.5,5,ok,\r
a-7,1795724145,300,1,3,5,ok,\r
a-8,1795724146000,120,0.52,5,5,maybe,\r
";

fn sample(name: &str) -> PathBuf {
    root().join("tests/samples/import/tools").join(name)
}

/// A packed sample's text.
fn unpacked(name: &str) -> String {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(sample(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn json(name: &str) -> Value {
    serde_json::from_str(&unpacked(name)).unwrap()
}

fn client(name: &str) -> Imported {
    read(&sample(name), Of::Client, None, &VLLM).unwrap_or_else(|failure| panic!("{failure}"))
}

fn chosen(name: &str, part: &str) -> Result<Imported, Failure> {
    let choice = Choice { part: Some(part.to_owned()), ..Choice::default() };
    read_chosen(&sample(name), Of::Client, None, &VLLM, &choice)
}

fn shown(failure: Failure) -> String {
    let mut out = Vec::new();
    print(&mut out, &failure.into()).unwrap();
    String::from_utf8(out).unwrap().replace(&root().display().to_string(), "ROOT")
}

/// What went well, of one column.
fn ok(got: &Imported, field: fn(&RequestRow) -> Option<f64>) -> Vec<f64> {
    let rows = got.rows.requests.iter().map(|finished| &finished.row);
    rows.filter(|row| row.status == Status::Ok).map(|row| field(row).unwrap()).collect()
}

/// Gaps between the events of what went well.
fn gaps(got: &Imported) -> Vec<f64> {
    let of_one = got.rows.requests.iter().filter(|finished| finished.row.status == Status::Ok);
    of_one
        .flat_map(|finished| {
            finished.events.windows(2).map(|e| e[1].stamp_hi_unix_ns.seconds_since(e[0].stamp_hi_unix_ns))
        })
        .collect()
}

/// Mean and quantiles (numpy's, as all of these tools make them) are the tool's, to its own rounding of
/// stamps: `grain` seconds.
#[track_caller]
fn agrees(values: &[f64], theirs: &[(&str, Option<f64>, f64)], grain: f64) {
    let sorted = quantile::sorted(values);
    for (name, expected, scale) in theirs {
        let expected = expected.unwrap_or_else(|| panic!("{name} is not in the sample")) * scale;
        let ours = match *name {
            "mean" => values.iter().sum::<f64>() / values.len() as f64,
            "p50" => quantile::quantile(&sorted, 0.5).unwrap(),
            "p99" => quantile::quantile(&sorted, 0.99).unwrap(),
            other => panic!("no such figure: {other}"),
        };
        assert!((ours - expected).abs() <= grain, "{name}: ours {ours}, theirs {expected}");
    }
}

/// How many ended how.
fn ends(got: &Imported) -> Vec<(Status, Option<u16>, Option<String>)> {
    let rows = got.rows.requests.iter().map(|finished| &finished.row);
    rows.filter(|row| row.status != Status::Ok)
        .map(|row| (row.status, row.http_status, row.error.clone()))
        .collect()
}

/// A few rows as people would look at them: times from the first start, in milliseconds.
fn table(got: &Imported, n: usize) -> String {
    let mut rows: Vec<&RequestRow> = got.rows.requests.iter().map(|finished| &finished.row).collect();
    rows.sort_by_key(|row| row.started_unix_ns);
    let first = rows[0].started_unix_ns;
    let ms = |seconds: Option<f64>| seconds.map_or("–".to_owned(), |s| format!("{:.3}", s * 1e3));
    let count = |n: Option<u32>| n.map_or("–".to_owned(), |n| n.to_string());
    let line = |row: &&RequestRow| {
        format!(
            "{} {} at {:.3} after {:.3}, TTFT {}, E2E {}, ITL {}, {} → {} tokens, {} events",
            row.request_id,
            row.status.as_str(),
            row.started_unix_ns.seconds_since(first) * 1e3,
            row.started_unix_ns.seconds_since(row.scheduled_unix_ns) * 1e3,
            ms(row.ttft_s),
            ms(row.e2e_s),
            ms(row.itl_mean_s),
            count(row.input_tokens),
            count(row.output_tokens),
            row.n_events,
        )
    };
    rows.iter().take(n).map(line).collect::<Vec<_>>().join("\n")
}

fn correlate(place: &Place, args: &str) -> Said {
    place.tare(&format!("correlate {args} --output run"))
}

fn copied(names: &[&str]) -> Place {
    let place = Place::new();
    for name in names {
        std::fs::copy(sample(name), place.path(name)).unwrap();
    }
    place
}

fn joined(place: &Place) -> Vec<JoinedRow> {
    recompute(&place.path("run")).unwrap().correlated.rows
}

/// Each request that went well has its line of the stat log, and the server's duration is shorter.
fn joined_by_id(place: &Place, n: usize) -> Vec<JoinedRow> {
    let rows = joined(place);
    let well: Vec<&JoinedRow> = rows.iter().filter(|row| row.client.status == Status::Ok).collect();
    assert_eq!(well.len(), n);
    for row in well {
        assert_eq!(row.e2e_source, Some(Source::StatLog), "{}: {:?}", row.client.request_id, row.unmatched);
        assert!(row.server_e2e_s.unwrap() < row.client.e2e_s.unwrap(), "{}", row.client.request_id);
        assert_eq!(row.server_output_tokens, row.client.output_tokens);
    }
    rows
}

#[test]
fn broken_records_survive_and_are_counted() {
    let place = Place::new();
    let whole = unpacked("aiperf-0.13.jsonl.gz");
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    lines[1] = lines[1].chars().take(300).collect();
    lines[2] = lines[2].replacen("\"unit\":\"ms\"", "\"unit\":\"parsec\"", 1);
    lines[3] = lines[3].replacen("\"request_start_ns\":1795", "\"request_start_ns\":1", 1);
    place.file("a.jsonl", lines.join("\r\n"));
    let got = read(&place.path("a.jsonl"), Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.seen, got.taken, got.bad), (24, 21, 3));
    let note = got.notes.last().unwrap().split_once(": ").unwrap().1.replace("; ", "\n");
    insta::assert_snapshot!(note, @r"
    3 of 24 records could not be read
    line 2: EOF while parsing a string at column 300
    line 3: `request_latency`: expected a unit of time (s, ms, us or ns), found `parsec`
    line 4: expected an instant since 1970, found 1725323284491505, which is not between 2001 and 2200: is it in another unit?
    ");
}

#[test]
fn what_packs_too_well_is_not_unpacked() {
    use std::io::Write;
    let place = Place::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..80).for_each(|_| gzip.write_all(&zeros).unwrap());
    place.file("bomb.gz", gzip.finish().unwrap());
    let failed =
        shown(read(&place.path("bomb.gz"), Of::Client, None, &VLLM).map(|read| read.taken).unwrap_err());
    assert!(
        failed.contains("become more than 67108864 unpacked ones") && failed.contains("gunzip"),
        "{failed}"
    );
}

#[test]
fn a_byte_order_mark_and_carriage_returns_spoil_nothing() {
    let place = Place::new();
    let whole = unpacked("aiperf-0.13.jsonl.gz");
    place.file("bom.jsonl", format!("\u{feff}{}", whole.replace('\n', "\r\n")));
    let got = read(&place.path("bom.jsonl"), Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.seen, got.bad), (24, 0));
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(whole.bytes().flat_map(|byte| [byte, 0])).collect();
    place.file("wide.jsonl", utf16);
    let failed =
        shown(read(&place.path("wide.jsonl"), Of::Client, None, &VLLM).map(|r| r.taken).unwrap_err());
    assert!(failed.contains("is UTF-16: expected UTF-8") && failed.contains("iconv"), "{failed}");
}

#[test]
fn no_bytes_break_an_import_of_another_tool() {
    let place = Place::new();
    let names = [
        "vllm-bench-0.32.json.gz",
        "aiperf-0.13.jsonl.gz",
        "aiperf-server-metrics-0.13.jsonl.gz",
        "inference-perf-0.7.json.gz",
        "inference-perf-0.7-summary.json.gz",
        "aiperf-0.13-summary.json.gz",
        "prometheus-2.42-range.json.gz",
    ];
    let mut wholes: Vec<Vec<u8>> = names.into_iter().map(|name| unpacked(name).into_bytes()).collect();
    wholes.push(CSV.as_bytes().to_vec());
    let parquet = place.path("r.parquet");
    let rows: Vec<RequestRow> =
        client("aiperf-0.13.jsonl.gz").rows.requests.into_iter().map(|f| f.row).collect();
    tare::store::table::write_results(&parquet, &rows).unwrap();
    wholes.push(std::fs::read(parquet).unwrap());
    for whole in wholes {
        for (cut, flip) in (1..=20).zip((0..20).rev()) {
            let mut bytes = whole[..whole.len() * cut / 20].to_vec();
            let at = bytes.len() * flip / 21;
            bytes[at] ^= 0x15;
            place.file("damaged", &bytes);
            for of in [Of::Client, Of::Page, Of::Pages] {
                if let Ok(got) = read(&place.path("damaged"), of, None, &VLLM) {
                    assert_eq!(got.seen, got.taken + got.bad);
                }
            }
        }
    }
}
