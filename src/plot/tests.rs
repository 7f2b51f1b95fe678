//! Every figure from made-up data: the same bytes for the same data, nothing lost unsaid, nothing undrawable.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::metric::{Metric, Unit};
use crate::record::Whose;
use crate::record::breakdown::{Bounds, PartRow};
use crate::record::correlated::Evidence;
use crate::record::timeline::{AtServer, Bin, Firsts};
use crate::record::waterfall::{By, DrawnPart, Extent, Stamp};
use crate::stats::Estimate;

const ALL: [Metric; 4] = [Metric::Ttft, Metric::Throughput, Metric::ItlMean, Metric::E2e];

fn both_sides(values: &[f64]) -> PlotData {
    let samples = ALL
        .into_iter()
        .flat_map(|metric| [Side::Client, Side::Server].map(|side| (metric, side)))
        .map(|(metric, side)| Sample { metric, side, values: values.to_vec(), source: "spans".to_owned() })
        .collect();
    let difference = crate::stats::bootstrap::mean(values, crate::stats::blocks::Blocks::Rows, 1);
    PlotData {
        run: "a test".to_owned(),
        n_ok: values.len(),
        n_ended: values.len(),
        samples,
        arms: vec![Arms {
            metric: Metric::Ttft,
            about: "concurrency 8".to_owned(),
            direct: values.to_vec(),
            through: values.iter().map(|v| v + 0.25).collect(),
            added: difference,
        }],
        differences: difference.map(|e| (Metric::Ttft, e)).into_iter().collect(),
        hops: vec![AtHop {
            hop: "edge".to_owned(),
            metric: Metric::Ttft,
            client: values.to_vec(),
            seen: values.to_vec(),
            difference: None,
        }],
        compared: vec![Compared {
            metric: Metric::Ttft,
            title: "TTFT".to_owned(),
            about: "start to first token".to_owned(),
            unit: Unit::Seconds,
            runs: vec![
                (0, "first".to_owned(), values.to_vec()),
                (1, "second".to_owned(), values.iter().map(|v| v + 0.25).collect()),
            ],
        }],
        paired: vec![Paired { metric: Metric::Ttft, values: values.to_vec() }],
        bars: vec![Bars {
            metric: Metric::Ttft,
            finding: "TTFT: queue is most".to_owned(),
            by_hop: false,
            bars: vec![Bar {
                at: "mean".to_owned(),
                n: values.len(),
                total_s: 1.0,
                parts: [("send", Whose::Client), ("queue", Whose::Server), ("path back", Whose::Tare)]
                    .into_iter()
                    .zip([0.1, 0.7, 0.2])
                    .map(|((name, whose), mean_s)| BarPart { name: name.to_owned(), whose, mean_s })
                    .collect(),
            }],
        }],
        over_time: over_time(values),
        falls: vec![fall(values)],
    }
}

/// A request a second, the quickest first; the server was asked every other second.
fn over_time(values: &[f64]) -> Option<OverTime> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let stretch = |i: usize| (i as f64, i as f64 + 1.0);
    let bins = values.iter().enumerate().map(|(i, value)| {
        let (begin_s, end_s) = stretch(i);
        Bin { begin_s, end_s, in_flight: *value, output_tps: Some(10.0 * value), ..Bin::default() }
    });
    let firsts = values.iter().enumerate().map(|(i, value)| {
        let (begin_s, end_s) = stretch(i);
        let band_s = (i % 2 == 0).then_some((value / 2.0, value * 2.0));
        Firsts { begin_s, end_s, n: 7, p50_s: *value, band_s, server_p50_s: Some(value / 3.0) }
    });
    let server = values.iter().enumerate().step_by(2).map(|(i, value)| AtServer {
        at_s: i as f64,
        running: Some(*value),
        waiting: Some(1.0),
        kv_cache_usage: Some(0.25),
        output_tps: Some(*value),
    });
    (!values.is_empty()).then(|| OverTime {
        finding: "Median TTFT: 1 ms for the first quarter of requests, 2 ms for the last".to_owned(),
        n: values.len(),
        length_s: values.len() as f64,
        bin_s: 1.0,
        bins: bins.collect(),
        firsts: firsts.collect(),
        server: server.collect(),
        server_source: Some(Evidence::Metrics),
        failed_s: vec![0.5],
        marked: Some(("steady state".to_owned(), 1.0, 2.0)),
        unmarked: String::new(),
        warm_up: true,
    })
}

/// A request whose queue lies somewhere, and that failed where there is no value.
fn fall(values: &[f64]) -> Fall {
    let ttft_s = values.iter().copied().filter(|v| v.is_finite()).reduce(f64::max);
    let end = ttft_s.unwrap_or(1.0);
    let part = |part, from: f64, to: f64, open: f64| DrawnPart {
        part,
        ttft_s: Some(to - from),
        e2e_s: None,
        bounds: (open > 0.0).then_some(Bounds { lo_s: to - from - open, hi_s: to - from + open }),
        measured: true,
        extents: vec![Extent {
            begin_lo_s: from - open,
            begin_hi_s: from,
            end_lo_s: to,
            end_hi_s: to + open,
        }],
    };
    let stamp = |what: &str, by, lo_s, hi_s| Stamp { what: what.to_owned(), by, lo_s, hi_s, note: None };
    Fall {
        why: "slowest TTFT".to_owned(),
        request_id: "tare-7".to_owned(),
        index: 7,
        status: "ok",
        ttft_s,
        e2e_s: ttft_s.map(|t| 2.0 * t),
        parts: vec![
            part(PartRow::Send, 0.0, 0.1 * end, 0.0),
            part(PartRow::Queue, 0.1 * end, 0.9 * end, 0.05 * end),
        ],
        stamps: vec![
            stamp("sent", By::User, 0.1 * end, 0.1 * end),
            stamp("arrival at the front end", By::Span, 0.1 * end, 0.2 * end),
            stamp("last token", By::Kernel, 2.0 * end, 2.0 * end),
        ],
        decode: None,
    }
}

fn svg(plot: &dyn Plot, data: &PlotData) -> String {
    match plot.draw(data).unwrap() {
        Drawn::Svg(svg) => svg,
        Drawn::Nothing(why) => panic!("{} drew nothing: {why}", plot.name()),
    }
}

#[test]
fn every_file_of_a_figure_is_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plot");
    let figures: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|stem| !["mod", "theme", "sweep", "data", "tests"].contains(&stem.as_str()))
        .collect();
    assert_eq!(figures.len(), PLOTS.len(), "{figures:?}");
    for stem in figures {
        assert!(PLOTS.iter().any(|p| p.name().ends_with(&stem)), "{stem}.rs is not in PLOTS");
    }
}

#[test]
fn files_are_written_and_outdated_ones_removed() {
    let dir = tempfile::tempdir().unwrap();
    let plots = dir.path().join("plots");
    let written = write(&plots, &both_sides(&[0.1, 0.2, 0.3, 0.2, 0.4, 0.9])).unwrap();
    assert_eq!(written.len(), PLOTS.len());
    assert!(written.iter().all(|w| w.files.len() == 2 && w.skipped.is_none()));
    assert!(written.iter().flat_map(|w| &w.files).all(|f| f.exists()));

    let written = write(&plots, &PlotData::default()).unwrap();
    assert!(written.iter().all(|w| w.files.is_empty() && w.skipped.is_some()));
    assert_eq!(fs::read_dir(&plots).unwrap().count(), 0);
}

#[test]
fn the_same_data_give_the_same_bytes() {
    let data = both_sides(&[0.31, 0.12, 0.23, 0.52, 0.44, 0.9, 0.13]);
    let shuffled = both_sides(&[0.9, 0.13, 0.44, 0.12, 0.23, 0.52, 0.31]);
    for plot in PLOTS {
        assert_eq!(svg(*plot, &data), svg(*plot, &data));
        // The interval of the mean difference depends on the order of the pairs; bodies do not.
        let mut shuffled = shuffled.clone();
        shuffled.differences.clone_from(&data.differences);
        shuffled.arms.iter_mut().zip(&data.arms).for_each(|(arm, same)| arm.added = same.added);
        assert_eq!(svg(*plot, &data), svg(*plot, &shuffled));
        let png = draw::png::from_svg(&svg(*plot, &data)).unwrap();
        assert_eq!(png, draw::png::from_svg(&svg(*plot, &data)).unwrap());
    }
}

#[test]
fn a_hundred_thousand_requests_make_no_larger_figures_than_a_hundred() {
    let scattered: Vec<f64> = (1..=100_000).map(|i| f64::from(i).sqrt()).collect();
    // Of a made-up server: no density, and yet not a dot for each.
    let alike = vec![0.25; 100_000];
    let nearly_alike: Vec<f64> = (0..100_000).map(|i| if i < 7 { f64::from(i) } else { 0.25 }).collect();
    for values in [scattered, alike, nearly_alike] {
        // The run over time has stretches, as many for any run.
        let data = PlotData { over_time: over_time(&values[..240]), ..both_sides(&values) };
        for plot in PLOTS {
            let bytes = svg(*plot, &data).len();
            assert!(bytes < 500_000, "{}: {bytes} bytes", plot.name());
        }
    }
}

#[test]
fn values_that_are_not_finite_are_left_out_and_counted() {
    let data = both_sides(&[0.1, f64::NAN, 0.3, f64::INFINITY, 0.2, 0.25, 0.31]);
    // These two are not drawn from values, but from instants.
    for plot in PLOTS.iter().filter(|plot| !["timeline", "waterfall"].contains(&plot.name())) {
        assert!(svg(*plot, &data).contains("16 values that are not finite left out"));
    }
}

#[test]
fn queue_and_prefill_is_never_called_ttft_of_the_server() {
    let values = vec![0.1, 0.2, 0.15, 0.4, 0.3];
    let sample =
        |metric, side| Sample { metric, side, values: values.clone(), source: "in-band metrics".to_owned() };
    let data = PlotData {
        samples: vec![sample(Metric::Ttft, Side::Client), sample(Metric::QueuePrefill, Side::Server)],
        ..PlotData::default()
    };
    for plot in [&split_violin::SplitViolin as &dyn Plot, &ecdf::Ecdf] {
        let svg = svg(plot, &data);
        assert!(svg.contains("queue + prefill"), "{}", plot.name());
        assert!(!svg.contains("server TTFT") && !svg.contains(">\nserver\n"), "{}", plot.name());
    }
}

#[test]
fn a_long_tail_is_cut_and_said() {
    let mut values: Vec<f64> = (0..990).map(|i| 0.2 + f64::from(i) / 5_000.0).collect();
    values.extend((0..10).map(|i| 20.0 + f64::from(i)));
    let data = both_sides(&values);
    assert!(svg(&violin::Violin, &data).contains("axis ends at p99: 10 beyond, max 29,000"));
    assert!(svg(&split_violin::SplitViolin, &data).contains("axis ends at p99: 10 | 10 beyond"));
    assert!(svg(&ecdf::Ecdf, &data).contains("axis ends at p99: 10 | 10 beyond"));
}

#[test]
fn few_values_are_points_and_equal_ones_a_line() {
    let shapes = |values: &[f64]| {
        let svg = svg(&violin::Violin, &both_sides(values));
        (svg.matches("<circle").count(), svg.matches("<polygon").count())
    };
    // The legend's mean mark is two polygons.
    assert_eq!(shapes(&[0.1, 0.2, 0.3, 0.4]), (16, 2));
    assert_eq!(shapes(&[0.1; 60]), (0, 2));
    assert_eq!(shapes(&[0.25]), (4, 2));
}

#[test]
fn one_small_figure_in_full() {
    let sample = |side, values: &[f64]| Sample {
        metric: Metric::Ttft,
        side,
        values: values.to_vec(),
        source: "OTLP spans".to_owned(),
    };
    let data = PlotData {
        run: "three requests".to_owned(),
        n_ok: 3,
        n_ended: 4,
        samples: vec![sample(Side::Client, &[0.31, 0.25, 0.42]), sample(Side::Server, &[0.30, 0.24, 0.40])],
        arms: Vec::new(),
        differences: vec![(Metric::Ttft, Estimate::unbounded(0.0133, 3))],
        ..PlotData::default()
    };
    insta::assert_snapshot!(svg(&split_violin::SplitViolin, &data));
}

#[test]
fn a_timeline_has_a_lane_for_each_thing_that_is_known() {
    let mut data = both_sides(&[0.1, 0.2, 0.3, 0.4]);
    let lanes = ["Requests", "TTFT (ms)", "Output tokens (tok/s)", "KV cache (%)"];
    let shown = |data: &PlotData| {
        let svg = svg(&timeline::Timeline, data);
        lanes.map(|lane| svg.contains(&format!("{lane}\n</text>")))
    };
    assert_eq!(shown(&data), [true; 4]);
    let line = data.over_time.as_mut().unwrap();
    line.server.clear();
    line.server_source = None;
    line.bins.iter_mut().for_each(|bin| bin.output_tps = None);
    assert_eq!(shown(&data), [true, true, false, false]);
    let said = svg(&timeline::Timeline, &data);
    assert!(said.contains("nothing was scraped") && said.contains("warm-up") && said.contains("1 failed"));
}

/// Stretches are as many for any run; what was scraped, and what failed, is not.
#[test]
fn a_run_of_any_length_is_a_figure_of_the_same_size() {
    let size = |n: usize| {
        let mut data = both_sides(&[0.1; 240]);
        let line = data.over_time.as_mut().unwrap();
        let at = |i: usize| 240.0 * i as f64 / n as f64;
        let point = |i: usize| AtServer {
            at_s: at(i),
            running: Some((i * 7_919 % 50) as f64),
            output_tps: Some((i * 7_919 % 900) as f64),
            ..AtServer::default()
        };
        line.server = (0..n).map(point).collect();
        line.failed_s = (0..n).map(at).collect();
        svg(&timeline::Timeline, &data).len()
    };
    let (few, many) = (size(240), size(200_000));
    assert!(many < 3 * few, "{few} and {many}");
}

#[test]
fn a_waterfall_names_what_most_of_the_time_was_and_each_stamp() {
    let said = svg(&waterfall::Waterfall, &both_sides(&[0.2]));
    assert!(
        said.contains("Request 7 (slowest TTFT): TTFT 200.0 ms, 160.0 ms of it queue (80.0 %)"),
        "{said}"
    );
    // Bounds in full, a stamp within two instants, and one beyond the axis.
    for text in ["150.0 … 170.0", "within bounds", "arrival at the front end", "20.00 … 40.00", "→"] {
        assert!(said.contains(text), "{text}");
    }
    let failed = svg(&waterfall::Waterfall, &PlotData { falls: vec![fall(&[])], ..PlotData::default() });
    assert!(failed.contains("ok, no first token"), "{failed}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_values_give_a_clean_figure(values in prop::collection::vec(prop_oneof![
        -1.0..1e5f64, Just(0.0), Just(0.5), Just(f64::NAN), any::<f64>(),
    ], 0..30)) {
        let data = both_sides(&values);
        for plot in PLOTS {
            if let Drawn::Svg(svg) = plot.draw(&data).unwrap() {
                prop_assert!(!svg.contains("NaN") && !svg.contains(">\ninf"), "{svg}");
            }
        }
    }
}
