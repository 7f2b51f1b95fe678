//! What must hold of every hop that the parsers of gateways' logs read, whatever the product: checked
//! over the real lines among the samples, whose request ids say what was done to each request.

use std::collections::BTreeMap;

use tare_parsers::{Completeness, Event, FORMATS, Hop, LogTime, Parsed};

use crate::files;

/// Every hop of the samples whose name has `of` in it, as a copy of its own, with its request id.
fn hops(of: &str, mut look: impl FnMut(&str, &Hop<'_>)) {
    let mut seen = 0;
    for format in FORMATS {
        for sample in files::of(format.name).iter().filter(|sample| sample.name.contains(of)) {
            for line in files::lines(sample.text()) {
                if let Parsed::Line(parsed) = (format.parse)(line, &mut String::new())
                    && let Event::Hop(hop) = &parsed.event
                {
                    seen += 1;
                    assert_eq!(hop.product.name(), format.name);
                    look(hop.request_id.as_deref().unwrap_or_default(), hop);
                }
            }
        }
    }
    assert!(seen > 4, "{of}: {seen}");
}

#[test]
fn moments_come_in_their_order() {
    hops("", |id, hop| {
        let p = hop.phases;
        let chains = [
            vec![p.request_head_s, p.queue_s, p.connected_s, p.upstream_head_s, p.total_s],
            vec![
                p.connected_s,
                p.upstream_sent_s,
                p.upstream_head_s,
                p.upstream_first_body_s,
                p.first_token_in_s,
                p.last_token_in_s,
                p.upstream_end_s,
                p.total_s,
            ],
            vec![p.head_sent_s, p.first_token_out_s, p.last_token_out_s, p.total_s],
            vec![p.first_token_in_s, p.first_token_out_s],
            vec![p.last_token_in_s, p.last_token_out_s],
            vec![p.request_received_s, p.upstream_sent_s],
            vec![p.upstream_head_s, p.head_sent_s, p.total_s],
        ];
        for chain in chains {
            let known: Vec<f64> = chain.into_iter().flatten().collect();
            // HAProxy adds up timers that it cut down to milliseconds one by one.
            assert!(known.windows(2).all(|pair| pair[0] <= pair[1] + 0.002), "{id}: {hop:?}");
            assert!(known.iter().all(|s| (0.0..3600.0).contains(s)), "{id}: {hop:?}");
        }
        for one in &hop.tries {
            assert!(one.head_s.zip(one.end_s).is_none_or(|(head, end)| head <= end), "{id}: {hop:?}");
        }
    });
}

#[test]
fn start_and_total_make_the_end() {
    hops("", |id, hop| {
        let (Some(start), Some(end), Some(total_s)) = (hop.start, hop.end, hop.phases.total_s) else {
            return;
        };
        let (
            LogTime::Unix { unix_ns: start_ns, resolution_ns },
            LogTime::Unix { unix_ns: end_ns, resolution_ns: end_resolution_ns },
        ) = (start.time, end.time)
        else {
            return;
        };
        let off_ns = (end_ns - start_ns) as f64 - total_s * 1e9;
        let may_be_off_ns = resolution_ns + end_resolution_ns + start.slack_ns + end.slack_ns;
        assert!(off_ns.abs() <= may_be_off_ns as f64, "{id}: {off_ns} ns");
    });
}

/// What the server behind the gateways wrote down as cut by itself, of the requests in the samples.
const CUT: [&str; 10] = [
    "caddy-f-0006",
    "envoy-f-0006",
    "haproxy-f-0005",
    "haproxy-nodelay-f-0006",
    "nginx-off-f-0007",
    "nginx-on-f-0006",
    "sgl-router-f-0004",
    "tap-f-0000",
    "tap-f-0001",
    "traefik-head3-f-0006",
];

#[test]
fn a_cut_stream_is_never_called_complete() {
    let mut cut = BTreeMap::new();
    hops("", |id, hop| {
        // LiteLLM hands no id on: of its requests the client knows the id of the cut answer.
        if CUT.contains(&id) || id == "litellm-f-0006" {
            cut.entry(hop.product.name()).or_insert_with(Vec::new).push(hop.completeness);
        }
    });
    let products: Vec<&str> = cut.keys().copied().collect();
    assert_eq!(
        products,
        ["caddy", "envoy", "haproxy", "litellm", "nginx", "sglang_router", "tare_tap", "traefik"]
    );
    for (product, found) in cut {
        let expected = match product {
            "nginx" | "sglang_router" => Completeness::Unknown,
            _ => Completeness::Cut,
        };
        assert!(found.iter().all(|one| *one == expected), "{product}: {found:?}");
    }
}

#[test]
fn a_client_that_left_is_seen_where_the_product_says_so() {
    for (product, expected) in [
        ("nginx/", Completeness::Aborted),
        ("envoy/", Completeness::Aborted),
        ("litellm/", Completeness::Aborted),
        // They do not say who ended it.
        ("caddy/access", Completeness::Cut),
        ("traefik/json", Completeness::Cut),
    ] {
        let mut seen = 0;
        hops(product, |id, hop| {
            if id.contains("abort") {
                seen += 1;
                assert_eq!(hop.completeness, expected, "{id}");
            }
        });
        assert!(seen > 0, "{product}");
    }
}

#[test]
fn what_a_product_leaves_out_is_not_zero() {
    hops("caddy/access", |id, hop| {
        let is_whole = hop.completeness != Completeness::Cut;
        assert_eq!((hop.phases.total_s.is_some(), hop.start.is_some()), (is_whole, is_whole), "{id}");
        assert!(hop.phases.total_s != Some(0.0));
    });
    hops("traefik/json", |id, hop| {
        // With the origin's time it is its overhead, 0.1 to 4 ms here; without, there is none.
        let outside_s = hop.outside_tries_s();
        assert_eq!(outside_s.is_some(), hop.completeness != Completeness::Cut, "{id}");
        assert!(outside_s.is_none_or(|s| s > 0.0 && s < 0.005), "{id}: {outside_s:?}");
    });
    hops("haproxy/", |_, hop| {
        let timers = [hop.phases.request_head_s, hop.phases.queue_s, hop.phases.connected_s];
        assert!(timers.into_iter().flatten().all(|s| s >= 0.0));
        assert!(hop.phases.upstream_first_body_s.is_none());
    });
}

#[test]
fn only_products_that_stamp_the_body_say_when_it_began() {
    hops("", |id, hop| {
        let stamps_bodies = matches!(hop.product.name(), "envoy" | "litellm" | "tare_tap");
        assert!(stamps_bodies || hop.phases.upstream_first_body_s.is_none(), "{id}");
        let reads_them = hop.product.name() == "tare_tap";
        assert!(reads_them || hop.phases.first_token_in_s.is_none(), "{id}");
    });
    let mut seen = 0;
    hops("envoy/json", |id, hop| {
        if let Some((head, body)) = hop.phases.upstream_head_s.zip(hop.phases.upstream_first_body_s)
            && hop.status == Some(200)
            && !id.contains("-ns-")
        {
            seen += 1;
            assert!(body - head > 0.01, "{id}: the server made its first token after 30 ms and more");
        }
    });
    assert!(seen > 4);
}
