//! Pages of metrics as Prometheus, AIPerf and plain files tell them.

use tare::import::{Of, read};
use tare::run::recompute;
use tare::server::vllm::VLLM;

use super::{copied, correlate, sample, shown};
use crate::program::Place;

#[test]
fn prometheus_and_aiperf_tell_pages_over_time() {
    let place = copied(&[
        "prometheus-run.jsonl.gz",
        "prometheus-2.42-range.json.gz",
        "prometheus-2.42-scrapes.json.gz",
    ]);
    for metrics in ["prometheus-2.42-range.json.gz", "prometheus-2.42-scrapes.json.gz"] {
        let args = format!("--client prometheus-run.jsonl.gz --metrics {metrics} --same-host --overwrite");
        let said = correlate(&place, &args);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let aggregate = recompute(&place.path("run")).unwrap().correlated.aggregate;
        let ttft = &aggregate.histograms.iter().find(|h| h.metric == tare::metric::Metric::Ttft).unwrap();
        assert_eq!((aggregate.unusable.as_deref(), ttft.count), (None, 12.0), "{metrics}");
        assert_eq!(aggregate.generation_tokens, Some(288.0), "{metrics}");
    }
    let pages = |name: &str| read(&sample(name), Of::Pages, None, &VLLM).unwrap().rows.pages;
    let scrapes = pages("prometheus-2.42-scrapes.json.gz");
    let lag = |page: &tare::import::PageAt| page.at.map_or(0.0, |(from, to)| to.seconds_since(from));
    assert!(scrapes.iter().all(|page| page.source.as_deref() == Some("127.0.0.1:25006") && lag(page) > 0.9));
    let aiperf = pages("aiperf-server-metrics-0.13.jsonl.gz");
    assert_eq!(aiperf.len(), 8);
    assert!(aiperf.iter().all(|page| page.at.is_some_and(|(send, recv)| send < recv)));
    let tokens: Vec<f64> =
        aiperf.iter().map(|page| VLLM.totals(&page.page.samples).generation_tokens.unwrap()).collect();
    assert!(tokens.is_sorted() && tokens[7] == 318.0, "{tokens:?}");
    let ttft = VLLM.totals(&aiperf[7].page.samples).ttft.unwrap();
    assert_eq!((ttft.count, ttft.sum), (14.0, 0.278_883_968));
}

#[test]
fn what_prometheus_cannot_be_asked_for_is_refused() {
    let fails = |text: &str| {
        let place = Place::new();
        place.file("p.json", text);
        let failure = read(&place.path("p.json"), Of::Pages, None, &VLLM).map(|read| read.taken).unwrap_err();
        shown(failure).replace(&place.path("").display().to_string(), "")
    };
    insta::assert_snapshot!(fails(r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"engine":"0"},"values":[[1795725796,"81.1"]]}]}}"#), @r#"
    error: none of the 1 records of p.json could be read as `prometheus_api`: answer 1, series 1: a series without a name: ask for the series themselves, such as `{__name__=~"vllm:.*"}`, not for a function of them
    hint: known formats: metrics_lines, aiperf_metrics, prometheus_api, prometheus_pages, scrapes_parquet
    "#);
    insta::assert_snapshot!(fails(r#"{"status":"error","errorType":"bad_data","error":"1:11: parse error: unclosed left parenthesis"}"#), @r"
    error: none of the 1 records of p.json could be read as `prometheus_api`: answer 1: Prometheus answered `error`: 1:11: parse error: unclosed left parenthesis
    hint: known formats: metrics_lines, aiperf_metrics, prometheus_api, prometheus_pages, scrapes_parquet
    ");
    insta::assert_snapshot!(fails(r#"{"status":"success","data":{"resultType":"scalar","result":[1795725796,"1"]}}"#), @r"
    error: none of the 1 records of p.json could be read as `prometheus_api`: answer 1: expected series (`matrix`), found `scalar`
    hint: known formats: metrics_lines, aiperf_metrics, prometheus_api, prometheus_pages, scrapes_parquet
    ");
}

/// Documents may overlap, have gaps, or cover other times: what lacks is not zero, what comes twice counts once.
#[test]
fn moments_of_prometheus_that_lack_something_are_left_out() {
    let place = Place::new();
    let series = |name: &str, labels: &str, values: &str| {
        format!(
            r#"{{"metric":{{"__name__":"{name}","instance":"h:1","job":"vllm"{labels}}},"values":[{values}]}}"#
        )
    };
    let answer = |series: &[String]| {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, series.join(","))
    };
    let told = |documents: &[String]| {
        place.file("p.json", documents.concat());
        read(&place.path("p.json"), Of::Pages, None, &VLLM)
            .map_err(|failure| shown(failure).replace(&place.path("").display().to_string(), ""))
    };
    let pages = |documents: &[String]| {
        let got = told(documents).unwrap();
        let pages: Vec<(i64, Option<f64>, f64)> = got
            .rows
            .pages
            .iter()
            .map(|page| {
                let (from, to) = page.at.unwrap();
                let at = to.0 / 1_000_000_000 - 1_795_725_700;
                (at, VLLM.totals(&page.page.samples).generation_tokens, to.seconds_since(from))
            })
            .collect();
        pages
    };
    let tokens = |values: &str| series("vllm:generation_tokens_total", "", values);
    let at = |at: i64, value: &str| format!(r#"[{},"{value}"]"#, 1_795_725_700 + at);
    let three = [at(0, "1"), at(1, "2"), at(2, "3")].join(",");
    // The second document begins with the end of the first.
    let overlapping = [at(2, "3"), at(3, "4")].join(",");
    assert_eq!(
        pages(&[answer(&[tokens(&three)]), answer(&[tokens(&overlapping)])]),
        [(0, Some(1.0), 1.0), (1, Some(2.0), 1.0), (2, Some(3.0), 1.0), (3, Some(4.0), 1.0)]
    );
    // A second engine has a gap at 1, and NaN at 2; a third comes into being at 3, when it has counted 5.
    let first = [at(0, "1"), at(1, "2"), at(2, "2"), at(3, "4")].join(",");
    let second = [at(0, "10"), at(2, "NaN"), at(3, "20")].join(",");
    let engine =
        |n: u32, values: &str| series("vllm:generation_tokens_total", &format!(r#","engine":"{n}""#), values);
    let gaps = [answer(&[engine(0, &first), engine(1, &second), engine(2, &at(3, "5"))])];
    assert_eq!(pages(&gaps), [(0, Some(11.0), 0.0), (3, Some(29.0), 0.0)]);
    let notes = told(&gaps).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("2 further moments lack counters")), "{notes:?}");
    // What was asked for from 1 on only was not zero at 0.
    let sum = series("vllm:e2e_request_latency_seconds_sum", "", &[at(1, "7"), at(2, "8")].join(","));
    let later = pages(&[answer(&[tokens(&three)]), answer(&[sum])]);
    assert_eq!(later.iter().map(|page| page.0).collect::<Vec<_>>(), [1, 2]);
    // Counters that stand still for three steps of a second: scrapes are at least three seconds apart.
    let slow: Vec<String> = (0..10).map(|i| at(i, &(i / 3).to_string())).collect();
    assert_eq!(pages(&[answer(&[tokens(&slow.join(","))])])[0].2, 4.0);
    // One endpoint scraped for two jobs would count twice.
    let other = tokens(&three).replace(r#""job":"vllm""#, r#""job":"pods""#);
    let clash = told(&[answer(&[tokens(&three), other])]).unwrap();
    assert_eq!((clash.seen, clash.taken), (2, 1));
    assert!(
        clash.notes.iter().any(|note| note.contains("for the jobs `vllm` and `pods`")),
        "{:?}",
        clash.notes
    );
    insta::assert_snapshot!(
        told(&[answer(&[tokens(&at(0, "1"))]), answer(&[tokens(&at(5, "1")).replace("generation", "prompt")])]).unwrap_err(),
        @r#"
    error: p.json: at none of its 2 moments is every counter told
    hint: ask for all series in one query, such as `{__name__=~"vllm:.*"}`
    "#
    );
}

/// Series that are lost with the end of a page would be taken for zero.
#[test]
fn a_page_that_is_cut_is_refused() {
    let place = Place::new();
    place.file(
        "cut.prom",
        "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total 7\nvllm:prompt_tok",
    );
    let failure = read(&place.path("cut.prom"), Of::Page, None, &VLLM).map(|read| read.taken).unwrap_err();
    insta::assert_snapshot!(shown(failure).replace(&place.path("").display().to_string(), ""), @r#"
    error: none of the 1 records of cut.prom could be read as `prometheus`: the page: it is cut: expected a line feed (or `# EOF`) at the end of line 3, found the end of the file; what lacks would count as zero
    hint: known formats: prometheus
    "#);
}

#[test]
fn raw_pages_are_timed_by_what_there_is() {
    let place = Place::new();
    let told = |name: &str, text: &str| {
        place.file("page", text);
        std::fs::rename(place.path("page"), place.path(name)).unwrap();
        let got = read(&place.path(name), Of::Pages, None, &VLLM).unwrap();
        let times: Vec<Option<i64>> =
            got.rows.pages.iter().map(|page| page.at.map(|(send, _)| send.0)).collect();
        (times, got.notes[0].rsplit_once(": ").unwrap().1.to_owned())
    };
    let page = "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total 7\n";
    let at = |seconds: i64| Some(seconds * 1_000_000_000);
    let two = format!("# 1795724143\r\n{page}# scraped at 2026-11-26T20:15:53Z\r\n{page}");
    assert_eq!(
        told("log.prom", &two),
        (
            vec![at(1_795_724_143), at(1_795_724_153)],
            "2 pages, each at the time of the comment before it".to_owned()
        )
    );
    let lead = format!("{page}# 1795724143\n{page}");
    let got = told("lead.prom", &lead);
    assert_eq!(got.0, vec![at(1_795_724_143)]);
    assert_eq!(
        told("m-20261126T201543Z.prom", page),
        (vec![at(1_795_724_143)], "one page, its time by the file's name".to_owned())
    );
    let stamped = page.replace(" 7\n", " 7 1795724143000\n");
    assert_eq!(told("s.prom", &stamped).1, "one page, its time by its samples' own stamps");
    let (times, by) = told("m.prom", page);
    assert!(by.starts_with("one page, its time by when the file was last changed"), "{by}");
    assert!(times[0].unwrap() > 1_700_000_000_000_000_000);
}
