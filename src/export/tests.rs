//! Spans of a request made by hand, as text; and what a full queue does.

use serde_json::Value;

use super::*;
use crate::record::fixture::request;
use crate::record::{Connection, Status, TraceIds};

const NONCE: u64 = 0x1234_5678_9abc_def0;

/// The fixture's request as tare would have sent it.
fn sent(index: u64) -> RequestRow {
    let mut row = request(index);
    row.request_id = format!("tare-9abcdef0-{index}");
    row.trace_id = TraceIds::of(NONCE, &row.request_id).trace_id;
    row
}

fn facts() -> Facts {
    Facts {
        run_id: "demo-20260102-030405".to_owned(),
        name: "demo".to_owned(),
        model: Some("tiny".to_owned()),
        server: "vllm".to_owned(),
        addresses: [Some(("gpu".to_owned(), 8000)), Some(("gateway".to_owned(), 80))],
        temperature: Some(0.5),
        ..Facts::default()
    }
}

/// The spans of one request, as a line of a file has them.
fn lines(row: &RequestRow) -> Vec<Value> {
    let spans = span::spans(row, &facts(), &Secrets::default()).unwrap();
    let export = json::export(&span::resource_spans(&facts(), spans));
    export["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}

/// Name, begin and end in ms after the request's begin, of its parts.
fn parts(row: &RequestRow) -> Vec<String> {
    let ms = |span: &Value, key: &str| {
        let ns: i64 = span[key].as_str().unwrap().parse().unwrap();
        (ns - row.started_unix_ns.0) as f64 / 1e6
    };
    let of_parts = lines(row).into_iter().skip(1);
    of_parts
        .map(|span| {
            format!(
                "{}: {} to {}",
                span["name"].as_str().unwrap(),
                ms(&span, "startTimeUnixNano"),
                ms(&span, "endTimeUnixNano")
            )
        })
        .collect()
}

fn attribute(span: &Value, key: &str) -> Value {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|pair| pair["key"] == key).map_or(Value::Null, |pair| pair["value"].clone())
}

#[test]
fn a_request_is_a_client_span_with_the_ids_that_were_sent() {
    let spans = span::spans(&sent(4), &facts(), &Secrets::default()).unwrap();
    let export = json::export(&span::resource_spans(&facts(), spans));
    let resource = &export["resourceSpans"][0]["resource"];
    insta::assert_snapshot!(resource, @r#"{"attributes":[{"key":"service.name","value":{"stringValue":"tare"}},{"key":"service.version","value":{"stringValue":"0.1.0"}},{"key":"tare.run.id","value":{"stringValue":"demo-20260102-030405"}},{"key":"tare.run.name","value":{"stringValue":"demo"}}]}"#);
    let request = &export["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    insta::assert_snapshot!(serde_json::to_string_pretty(request).unwrap(), @r#"
    {
      "attributes": [
        {
          "key": "gen_ai.operation.name",
          "value": {
            "stringValue": "chat"
          }
        },
        {
          "key": "gen_ai.provider.name",
          "value": {
            "stringValue": "vllm"
          }
        },
        {
          "key": "gen_ai.request.model",
          "value": {
            "stringValue": "tiny"
          }
        },
        {
          "key": "gen_ai.request.stream",
          "value": {
            "boolValue": true
          }
        },
        {
          "key": "gen_ai.request.max_tokens",
          "value": {
            "intValue": "11"
          }
        },
        {
          "key": "gen_ai.request.temperature",
          "value": {
            "doubleValue": 0.5
          }
        },
        {
          "key": "gen_ai.response.id",
          "value": {
            "stringValue": "chatcmpl-r-0004"
          }
        },
        {
          "key": "gen_ai.response.finish_reasons",
          "value": {
            "arrayValue": {
              "values": [
                {
                  "stringValue": "length"
                }
              ]
            }
          }
        },
        {
          "key": "gen_ai.usage.input_tokens",
          "value": {
            "intValue": "20"
          }
        },
        {
          "key": "gen_ai.usage.output_tokens",
          "value": {
            "intValue": "11"
          }
        },
        {
          "key": "server.address",
          "value": {
            "stringValue": "gpu"
          }
        },
        {
          "key": "server.port",
          "value": {
            "intValue": "8000"
          }
        },
        {
          "key": "network.local.port",
          "value": {
            "intValue": "40000"
          }
        },
        {
          "key": "http.response.status_code",
          "value": {
            "intValue": "200"
          }
        },
        {
          "key": "tare.request_id",
          "value": {
            "stringValue": "tare-9abcdef0-4"
          }
        },
        {
          "key": "tare.status",
          "value": {
            "stringValue": "ok"
          }
        },
        {
          "key": "tare.request.index",
          "value": {
            "intValue": "4"
          }
        },
        {
          "key": "tare.prompt.index",
          "value": {
            "intValue": "4"
          }
        },
        {
          "key": "tare.connection",
          "value": {
            "stringValue": "new"
          }
        },
        {
          "key": "tare.schedule_s",
          "value": {
            "doubleValue": 0.001
          }
        },
        {
          "key": "tare.ttft_s",
          "value": {
            "doubleValue": 0.1
          }
        },
        {
          "key": "tare.ttft_user_s",
          "value": {
            "doubleValue": 0.1001
          }
        },
        {
          "key": "tare.ttft_scheduled_s",
          "value": {
            "doubleValue": 0.101
          }
        },
        {
          "key": "tare.ttft_content_s",
          "value": {
            "doubleValue": 0.1
          }
        },
        {
          "key": "tare.itl_mean_s",
          "value": {
            "doubleValue": 0.01
          }
        },
        {
          "key": "tare.tpot_s",
          "value": {
            "doubleValue": 0.01
          }
        },
        {
          "key": "tare.e2e_s",
          "value": {
            "doubleValue": 0.2
          }
        },
        {
          "key": "tare.user_throughput_tps",
          "value": {
            "doubleValue": 55.0
          }
        },
        {
          "key": "tare.stamps",
          "value": {
            "stringValue": "kernel"
          }
        },
        {
          "key": "tare.events",
          "value": {
            "intValue": "11"
          }
        },
        {
          "key": "tare.exact_events",
          "value": {
            "intValue": "11"
          }
        }
      ],
      "endTimeUnixNano": "1795533164201000000",
      "events": [
        {
          "name": "response head",
          "timeUnixNano": "1795533164010000000"
        },
        {
          "name": "first token",
          "timeUnixNano": "1795533164100000000"
        },
        {
          "name": "last token",
          "timeUnixNano": "1795533164200000000"
        }
      ],
      "flags": 257,
      "kind": 3,
      "name": "chat tiny",
      "spanId": "c40bc69250ab0bb0",
      "startTimeUnixNano": "1795533164000000000",
      "status": {},
      "traceId": "123456789abcdef0e9f234597a136ef4"
    }
    "#);
}

#[test]
fn the_parts_of_a_request_follow_each_other() {
    let row = sent(4);
    insta::assert_snapshot!(parts(&row).join("\n"), @r"
    connect: 0 to 1
    send: 1 to 2
    wait for first token: 2 to 100
    stream: 100 to 200
    ");
    let all = lines(&row);
    let parent = all[0]["spanId"].clone();
    for part in &all[1..] {
        assert_eq!((&part["parentSpanId"], &part["traceId"]), (&parent, &all[0]["traceId"]));
        assert_eq!(part["kind"], 1);
    }
}

#[test]
fn what_was_not_stamped_has_no_part() {
    // On a connection that was open, with a stamp of sending later than the first token.
    let mut row = sent(4);
    row.connection = Connection::Reused;
    (row.connect_begin_unix_ns, row.connect_end_unix_ns) = (None, None);
    row.sent_unix_ns = Some(row.started_unix_ns.plus_seconds(0.101));
    assert_eq!(parts(&row), ["send: 1 to 101", "stream: 100 to 200"]);
    // No connection came about.
    row.connect_begin_unix_ns = Some(row.started_unix_ns);
    (row.send_begin_unix_ns, row.sent_unix_ns, row.head_unix_ns) = (None, None, None);
    (row.first_token_unix_ns, row.last_token_unix_ns) = (None, None);
    row.status = Status::ConnectError;
    assert_eq!(parts(&row), ["connect: 0 to 201"]);
}

#[test]
fn a_whole_answer_is_waited_for_and_a_token_that_never_came_until_the_end() {
    let mut row = sent(4);
    row.streamed = false;
    (row.first_token_unix_ns, row.first_content_unix_ns) = (None, None);
    assert_eq!(parts(&row)[2..], ["wait for the answer: 2 to 200"]);
    row.streamed = true;
    (row.last_token_unix_ns, row.status) = (None, Status::Timeout);
    assert_eq!(parts(&row)[2..], ["wait for first token: 2 to 201"]);
    (row.status, row.http_status) = (Status::HttpError, Some(429));
    assert_eq!(parts(&row)[2..], ["wait for the answer: 2 to 10"]);
}

#[test]
fn a_failure_has_its_reason_without_secrets_and_what_is_in_flight_is_none() {
    let mut row = sent(4);
    row.status = Status::HttpError;
    row.http_status = Some(401);
    row.error = Some("401: sk-planted-4f9c2e7ab1d05836 may not".to_owned());
    let secrets = Secrets::new(Some("sk-planted-4f9c2e7ab1d05836"), []);
    let spans = span::spans(&row, &facts(), &secrets).unwrap();
    let status = spans[0].status.clone().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "401: [redacted] may not"));
    assert_eq!(attribute(&lines(&row)[0], "error.type")["stringValue"], "401");
    row.status = Status::Cut;
    assert_eq!(attribute(&lines(&row)[0], "error.type")["stringValue"], "cut");
    row.status = Status::InFlight;
    assert_eq!(
        (&lines(&row)[0]["status"], attribute(&lines(&row)[0], "error.type")),
        (&Value::from(serde_json::Map::new()), Value::Null)
    );
}

#[test]
fn each_arm_of_an_audit_has_its_address_and_a_conversation_its_id() {
    let mut row = sent(4);
    row.arm = Some(crate::record::Arm::Through);
    (row.session, row.turn) = (Some(7), Some(2));
    let request = &lines(&row)[0];
    assert_eq!(attribute(request, "server.address")["stringValue"], "gateway");
    assert_eq!(attribute(request, "gen_ai.conversation.id")["stringValue"], "tare-9abcdef0-s7");
    assert_eq!(attribute(request, "tare.turn")["intValue"], "2");
}

#[test]
fn an_interval_says_how_much_earlier_the_token_may_have_come() {
    let mut row = sent(4);
    row.first_token_lo_unix_ns = Some(row.started_unix_ns.plus_seconds(0.098));
    let request = &lines(&row)[0];
    let events = request["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["response head", "first token", "last token"]);
    let earlier = attribute(&events[1], "tare.not_before_s")["doubleValue"].as_f64().unwrap();
    assert!((earlier + 0.002).abs() < 1e-9, "{earlier}");
    assert!(events[2].get("attributes").is_none());
}

/// Told again, whenever, a request has the same spans: none is there twice under two ids.
#[test]
fn what_another_tool_sent_is_left_out() {
    assert_eq!(lines(&sent(4)), lines(&sent(4)));
    assert!(span::spans(&request(4), &facts(), &Secrets::default()).is_none());
}

#[test]
fn a_full_queue_counts_and_does_not_wait() {
    let (items, received) = sync_channel(2);
    let feed = Feed { items, overflowed: Arc::default(), unpassed: Arc::default() };
    (0..5).for_each(|index| feed.offer(&sent(index)));
    feed.pass_on(span::resource_spans(
        &facts(),
        span::spans(&sent(9), &facts(), &Secrets::default()).unwrap(),
    ));
    let counts = || [&feed.overflowed, &feed.unpassed].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts(), [3, 5]);
    let kept: Vec<u64> = received
        .try_iter()
        .map(|item| match item {
            Item::Request(row) => row.index,
            Item::Others(..) => 99,
        })
        .collect();
    assert_eq!(kept, [0, 1]);
    drop(received);
    feed.offer(&sent(5));
    assert_eq!(counts(), [3, 5]);
}

#[test]
fn what_is_lacking_is_said_with_its_reason() {
    let exported = Exported {
        to: "http://c:4318/v1/traces".to_owned(),
        requests: 10,
        spans: 40,
        warmups: 2,
        passed_on: 12,
        unpassed: 6,
        rejected_spans: 3,
        overflowed: 2,
        unsent: 5,
        foreign: 1,
        reason: Some("it answers 503".to_owned()),
    };
    insta::assert_snapshot!(exported.arrived(), @r"client spans went to http://c:4318/v1/traces: 10 requests and 2 warm-ups, 40 spans; 12 spans that came here from others were passed on");
    insta::assert_snapshot!(exported.lacking().unwrap(), @r"client spans are lacking at http://c:4318/v1/traces: those of 5 requests could not be sent (it answers 503); those of 2 requests found no room: requests ended faster than their spans could be sent; 6 spans that came from others could not be passed on; 3 spans were refused; 1 requests were sent by another tool, with ids of its own");
    let none = Exported { requests: 10, spans: 40, ..Exported::default() };
    assert_eq!(none.lacking(), None);
}
