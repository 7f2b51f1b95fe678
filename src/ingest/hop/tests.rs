//! Lines of gateways, and the rows and counts that become of them.

use super::*;

fn read(kind: Option<&str>, text: &str) -> (Vec<HopRow>, HopReader) {
    let mut reader = HopReader::new("edge", kind, "access.log", Notes::default());
    reader.look_at(text);
    let line = |text| Line { text, lossy: false, cut: false };
    let rows =
        text.lines().filter_map(|text| reader.line(&line(text.into()), UnixNs(7), Freshness::Old)).collect();
    (rows, reader)
}

const NGINX: &str = "msec=1795531667.762 t=2026-11-24T14:47:47+00:00 rid=warm-c-0000 nrid=ea26d0d6a5ceabc08bf27b7bf4d4a9d6 tp=00-4a68fc4d1e8d4e0e8d4e0e8d4e0e8d4e-9fb4b52c6cd191de-01 conn=2 creq=1 raddr=127.0.0.1:42120 m=POST uri=/v1/chat/completions st=200 rt=0.201 ua=127.0.0.1:21000 ust=200 uct=0.000 uht=0.000 urt=0.200 rl=423 bs=7234 bbs=7029 ubr=7163 ubs=412 rc=OK";

#[test]
fn a_line_of_nginx_becomes_a_passage_with_its_doubt() {
    let (rows, reader) = read(None, &format!("{NGINX}\n\nhello\n{NGINX}"));
    let row = &rows[0];
    assert_eq!((rows.len(), row.hop.as_str(), row.product.as_str()), (2, "edge", "nginx"));
    assert_eq!(row.request_id.as_deref(), Some("warm-c-0000"));
    assert_eq!(row.client.as_deref(), Some("127.0.0.1:42120"));
    assert_eq!(row.end_unix_ns, Some(UnixNs(1_795_531_667_762_000_000)));
    assert_eq!((row.end_resolution_ns, row.total_s), (Some(1_000_000), Some(0.201)));
    assert!(row.start_slack_ns > Some(0), "nginx stamps with the time of its last turn");
    assert_eq!(row.upstream_first_body_s, None, "a head is no token");
    let LogCounts { seen, parsed, bad, blank, .. } = reader.counts();
    assert_eq!((seen, parsed, bad, blank), (4, 2, 1, 1));
    assert!(reader.verdict().unwrap().what.starts_with(
        "1 of 3 lines of the log access.log of the hop `edge` could not be read; the first is line 3: "
    ));
}

#[test]
fn a_line_that_a_container_run_time_cut_is_one_line() {
    let at = "2026-11-24T14:47:47.762123456Z";
    let (head, rest) = NGINX.split_at(100);
    let (middle, tail) = rest.split_at(200);
    let text = format!(
        "{at} stdout P {head}\n{at} stderr F 2026/11/24 14:47:47 [warn] a warning\n{at} stdout P {middle}\n{at} stdout F {tail}\n{at} stdout F {NGINX}"
    );
    let (rows, reader) = read(None, &text);
    assert_eq!(rows.len(), 2, "{:?}", reader.verdict());
    assert_eq!((rows[0].line_no, rows[1].line_no), (4, 5));
    assert_eq!(HopRow { line_no: 5, ..rows[0].clone() }, rows[1]);
    let LogCounts { seen, parsed, other, bad, unparsed, blank, .. } = reader.counts();
    assert_eq!((seen, parsed, other + bad + unparsed + blank), (5, 2, 3));
}

#[test]
fn a_line_of_the_tap_has_tokens_and_says_that_it_is_its() {
    let (rows, _) =
        read(None, include_str!("../../../parsers/tests/samples/tare_tap/streams-and-others.jsonl"));
    let row = &rows[0];
    assert_eq!((rows.len(), row.product.as_str(), row.told_by), (12, "tare_tap", ToldBy::Tap));
    assert_eq!(row.outgoing.as_deref(), Some("127.0.0.1:42762"));
    // `first_token` − `request_first`, by the file's stamps.
    assert_eq!((row.first_token_in_s, row.first_token_out_s), (Some(0.021_741_046), Some(0.021_809_529)));
    assert_eq!(row.stated, [("last_token_early_by_at_most".to_owned(), 0.008_195_985)]);
}

#[test]
fn a_log_without_timers_or_of_nothing_known_is_refused_with_what_to_do() {
    let combined = r#"127.0.0.1 - - [24/Nov/2026:14:47:47 +0000] "POST /v1/chat/completions HTTP/1.1" 200 7029 "-" "mwclient/1""#;
    let (rows, reader) = read(Some("nginx"), combined);
    assert!(rows.is_empty());
    insta::assert_snapshot!(reader.verdict().unwrap().note(), @"none of the 1 lines read from the log access.log of the hop `edge` could be read as `nginx`; line 1: nginx: expected timers and an id (turn on: a `log_format` with `$msec $request_time $upstream_header_time $upstream_response_time $http_x_request_id`) at column 1, found \"127.0.0.1 - - [24/Nov/2026:14:47:47 +000…\" (hint: give the gateway's access log with timers and ids: `tare audit --print-config PRODUCT` shows what turns it on)");
    let (rows, reader) = read(None, "hello\nworld");
    assert!(rows.is_empty());
    insta::assert_snapshot!(reader.verdict().unwrap().note(), @"none of the 2 lines read from the log access.log of the hop `edge` is in a gateway's format that is known; line 1: `hello` (hint: give the gateway's access log with timers and ids: `tare audit --print-config PRODUCT` shows what turns it on)");
}

#[test]
fn a_log_of_another_product_is_named() {
    let haproxy = include_str!("../../../tests/samples/mw/haproxy/log-fail.log");
    let (rows, reader) = read(Some("nginx"), haproxy);
    assert!(rows.is_empty());
    let hint = reader.verdict().unwrap().hint.unwrap();
    assert_eq!(hint, "it looks like `haproxy`: name that kind, or none");
}

#[test]
fn what_is_repeated_of_a_line_holds_no_credentials() {
    let (_, reader) = read(None, "hello Bearer abcdef123456789\nworld");
    assert!(!reader.verdict().unwrap().note().contains("abcdef"));
    let (_, reader) = read(Some("nginx"), "msec=x-api-key:abcdef123456 st=200 rt=0.1 rc=OK");
    assert!(!reader.verdict().unwrap().note().contains("abcdef"));
    let failed = r#"{"litellm_call_id":"c","status":"failure","startTime":1795532124.9,"endTime":1795532126.3,"error_str":"Incorrect API key provided: sk-live-abcdef123456"}"#;
    let (rows, _) = read(Some("litellm"), failed);
    assert_eq!(rows[0].end_reason.as_deref(), Some("Incorrect API key provided: [redacted]"));
}
