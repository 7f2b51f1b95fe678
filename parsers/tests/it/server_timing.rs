//! `Server-Timing` as real proxies sent it (`samples/server_timing`: heads of answers, as curl wrote them
//! down, of configurations as their users write them): what is read of each answer, against a reviewed snapshot.

use std::fmt::Write;

use tare_parsers::hop_headers;

use crate::files;

#[test]
fn heads_of_real_proxies() {
    let mut out = String::new();
    for sample in files::of("server_timing") {
        writeln!(out, "{}", sample.name).unwrap();
        for head in sample.text().split("\n\n").filter(|head| !head.trim().is_empty()) {
            let kept: Vec<(String, String)> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .filter_map(|(name, value)| {
                    let name = name.to_ascii_lowercase();
                    let value = hop_headers::kept(&name, value)?;
                    Some((name, value))
                })
                .filter(|(name, _)| name == "server-timing")
                .collect();
            let (told, unread) = hop_headers::read(kept.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            for told in told {
                let stated = told.stated.iter().map(|(name, s)| format!("{name} = {s} s"));
                writeln!(out, "  {}", stated.collect::<Vec<_>>().join(", ")).unwrap();
            }
            for one in unread {
                writeln!(out, "  not read, expected {}", one.expected).unwrap();
            }
        }
    }
    insta::assert_snapshot!(out, @r"
    server_timing/apache-2.4.head
      apache = 0.011873 s
      apache = 0.005963 s
    server_timing/caddy-2.11.head
      caddy = 0.002488922 s, plain = 0.002490415 s, up = 0.002323215 s, lat = 0.002323215 s
      not read, expected milliseconds, 0 or more, at `dur`
      caddy = 0.002539744 s, plain = 0.002541356 s, up = 0.002363089 s, lat = 0.002363089 s
      not read, expected milliseconds, 0 or more, at `dur`
    server_timing/haproxy-2.6.head
      total = 0 s, connect = 0 s, response = 0.002 s, active = 0 s, queue = 0 s, idle = 0 s, req (Tr+Tq 0) = 0 s
      total = 0 s, connect = 0 s, response = 0.003 s, queue = 0 s, idle = 0.001 s, req (Tr+Tq 0) = 0.001 s
    server_timing/nginx-1.22.head
      nginx = 0.000005 s, upstream (127.0.0.1:24300) = 0.000005 s, connect = 0 s, head (by a map) = 0.005 s
      nginx = 0.000002 s, upstream (127.0.0.1:24300) = 0.000002 s, connect = 0 s, head (by a map) = 0.002 s
    server_timing/varnish-7.1.head
      varnish = 0.000005 s, s = 0.000005 s
      varnish = 0.000009 s, s = 0.000009 s
    ");
}

/// A head of 64 KiB has room for ten thousand.
#[test]
fn an_answer_tells_of_so_many_durations_at_most() {
    let value = (0..70).map(|n| format!("m{n};dur=1")).collect::<Vec<_>>().join(", ");
    let (told, unread) = hop_headers::read([("server-timing", value.as_str())].into_iter());
    assert_eq!(told[0].stated.len(), hop_headers::MOST_TIMINGS);
    assert_eq!(unread[0].expected, "64 metrics with a duration in an answer at most");
}
