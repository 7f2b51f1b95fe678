//! A file that is there is registered, and what is registered has its file: one variant, one file,
//! one line in its table.

use crate::source::modules;

#[test]
fn every_log_format_is_in_its_table() {
    let not_a_format = [
        "error",
        "event",
        "exposition",
        "exposition_sample",
        "haproxy_pairs",
        "head",
        "hop",
        "hop_headers",
        "hop_text",
        "json_line",
        "lib",
        "line",
        "pcap",
        "read",
        "server_timing",
        "sse",
        "syslog_frame",
        "time",
        "tracing_line",
        "vllm_stats",
        "wrapped",
    ];
    let files: Vec<String> =
        modules("parsers/src").into_iter().filter(|m| !not_a_format.contains(&m.as_str())).collect();
    let mut table: Vec<String> = tare_parsers::FORMATS.iter().map(|f| f.name.to_owned()).collect();
    table.sort();
    assert_eq!(files, table);
}

#[test]
fn every_server_is_in_its_table() {
    let not_a_server = ["ask", "prefix_cache", "probe", "recognise", "tokenize", "totals", "trust"];
    let files: Vec<String> =
        modules("src/server").into_iter().filter(|m| !not_a_server.contains(&m.as_str())).collect();
    let mut table: Vec<String> = tare::server::SERVERS.iter().map(|s| s.name.to_owned()).collect();
    table.sort();
    assert_eq!(files, table);
}

#[test]
fn every_plot_is_in_its_table() {
    let not_a_plot = ["theme", "draw", "snapshots", "sweep", "data", "tests"];
    let files: Vec<String> =
        modules("src/plot").into_iter().filter(|m| !not_a_plot.contains(&m.as_str())).collect();
    assert_eq!(files.len(), tare::plot::PLOTS.len(), "{files:?}");
    let files: Vec<String> = modules("src/plot/sweep").into_iter().filter(|m| m != "xy").collect();
    assert_eq!(files.len(), tare::plot::sweep::SWEEP_PLOTS.len(), "{files:?}");
}

#[test]
fn every_writer_of_the_report_is_in_its_table() {
    let files = modules("src/report");
    for artifact in tare::report::ARTIFACTS {
        let writer = match artifact.file.rsplit_once('.').map(|(_, extension)| extension) {
            Some("md") => "markdown",
            Some(extension) => extension,
            None => artifact.file,
        };
        assert!(files.contains(&writer.to_owned()), "{} has no file {writer}.rs", artifact.file);
    }
    assert!(tare::report::ARTIFACTS.len() >= 2);
}
