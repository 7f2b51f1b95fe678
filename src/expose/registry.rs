//! What the client has measured so far, under the field's names: vLLM's, with `tare_client_` before them, and with vLLM's
//! buckets, so that a quantile of either side is off by the same. This file must not know how it is served.

use std::fmt::Write as _;

use super::histogram::Histogram;
use crate::record::{EventRow, RequestRow, StampSource, Status};

/// Bucket bounds of vLLM 0.32 (`vllm/v1/metrics/loggers.py`).
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
];
const PER_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
const WHOLE: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
];
/// What the tool itself adds is smaller.
const OWN: &[f64] = &[0.000_01, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0];

/// What is so at the moment of a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub in_flight: u64,
    pub users: u64,
    pub sent: u64,
}

/// A histogram and what it is called.
struct Series {
    name: &'static str,
    help: &'static str,
    histogram: Histogram,
}

/// All that is counted.
pub struct Registry {
    /// `model_name="…"`, escaped.
    labels: String,
    /// TTFT, ITL, TPOT, E2E of successful requests.
    ttft: Series,
    itl: Series,
    tpot: Series,
    e2e: Series,
    /// Of all requests: started − scheduled, and of all events: user stamp − kernel stamp.
    lateness: Series,
    lag: Series,
    by_status: [u64; Status::ALL.len()],
    prompt_tokens: u64,
    generation_tokens: u64,
}

impl Registry {
    /// With nothing counted.
    pub fn new(model: &str) -> Self {
        let of = |name, help, bounds| Series { name, help, histogram: Histogram::new(bounds) };
        Self {
            labels: format!("model_name=\"{}\"", escaped(model)),
            ttft: of(
                "tare_client_time_to_first_token_seconds",
                "Start of a request to its first token, successful requests, at the client.",
                FIRST_TOKEN,
            ),
            itl: of(
                "tare_client_inter_token_latency_seconds",
                "Gaps between token-bearing events, successful requests, at the client.",
                PER_TOKEN,
            ),
            tpot: of(
                "tare_client_request_time_per_output_token_seconds",
                "(Duration - TTFT) / (output tokens - 1), successful requests, at the client.",
                PER_TOKEN,
            ),
            e2e: of(
                "tare_client_e2e_request_latency_seconds",
                "Start of a request to its last token, successful requests, at the client.",
                WHOLE,
            ),
            lateness: of(
                "tare_client_schedule_lateness_seconds",
                "By how much a request was started after the moment it was due; the tool's own.",
                OWN,
            ),
            lag: of(
                "tare_client_lag_seconds",
                "From the kernel's stamp of an event until the program had it; the tool's own.",
                OWN,
            ),
            by_status: [0; Status::ALL.len()],
            prompt_tokens: 0,
            generation_tokens: 0,
        }
    }

    /// Counts a request that ended.
    pub fn count(&mut self, row: &RequestRow, events: &[EventRow]) {
        let at = Status::ALL.iter().position(|status| *status == row.status);
        if let Some(count) = at.and_then(|at| self.by_status.get_mut(at)) {
            *count += 1;
        }
        self.lateness.histogram.observe(row.started_unix_ns.seconds_since(row.scheduled_unix_ns));
        // Where no kernel dates them, how late they were is not known: it is not nothing.
        for event in events.iter().filter(|_| row.stamps > StampSource::User) {
            self.lag.histogram.observe(event.user_unix_ns.seconds_since(event.stamp_hi_unix_ns));
        }
        if row.status != Status::Ok {
            return;
        }
        for (series, value) in
            [(&mut self.ttft, row.ttft_s), (&mut self.tpot, row.tpot_s), (&mut self.e2e, row.e2e_s)]
        {
            if let Some(value) = value {
                series.histogram.observe(value);
            }
        }
        for pair in events.windows(2) {
            if let [before, after] = pair {
                self.itl.histogram.observe(after.stamp_hi_unix_ns.seconds_since(before.stamp_hi_unix_ns));
            }
        }
        self.prompt_tokens += u64::from(row.input_tokens.unwrap_or(0));
        self.generation_tokens += u64::from(row.output_tokens.unwrap_or(0));
    }

    /// As Prometheus reads it.
    pub fn text(&self, now: Now) -> String {
        let mut out = String::new();
        let labels = &self.labels;
        for series in [&self.ttft, &self.itl, &self.tpot, &self.e2e, &self.lateness, &self.lag] {
            head(&mut out, series.name, "histogram", series.help);
            series.histogram.write(&mut out, series.name, labels);
        }
        let name = "tare_client_requests_total";
        head(&mut out, name, "counter", "Requests that ended, by how.");
        for (status, count) in Status::ALL.iter().zip(self.by_status) {
            let _ = writeln!(out, "{name}{{{labels},status=\"{}\"}} {count}", status.as_str());
        }
        for (name, kind, help, value) in [
            (
                "tare_client_prompt_tokens_total",
                "counter",
                "Prompt tokens of successful requests, as the server counted them.",
                self.prompt_tokens,
            ),
            (
                "tare_client_generation_tokens_total",
                "counter",
                "Output tokens of successful requests.",
                self.generation_tokens,
            ),
            ("tare_client_requests_sent_total", "counter", "Requests that were sent.", now.sent),
            ("tare_client_num_requests_in_flight", "gauge", "Requests sent and not ended.", now.in_flight),
            ("tare_client_num_users", "gauge", "Users of a closed loop.", now.users),
        ] {
            head(&mut out, name, kind, help);
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
        let name = "tare_client_build_info";
        head(&mut out, name, "gauge", "The program.");
        let _ = writeln!(out, "{name}{{{labels},version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value: backslash, quote and line feed are escaped (Prometheus text format 0.0.4).
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixNs;

    fn event(hi_ms: i64, lag_us: i64) -> EventRow {
        let hi = UnixNs(hi_ms * 1_000_000);
        EventRow {
            stamp_lo_unix_ns: hi,
            stamp_hi_unix_ns: hi,
            user_unix_ns: UnixNs(hi.0 + lag_us * 1_000),
            events_in_read: 1,
            tokens: Some(1),
            bytes: 80,
        }
    }

    fn row(status: Status) -> RequestRow {
        RequestRow {
            status,
            stamps: StampSource::Kernel,
            scheduled_unix_ns: UnixNs(0),
            started_unix_ns: UnixNs(2_000_000),
            ttft_s: Some(0.25),
            tpot_s: Some(0.03),
            e2e_s: Some(0.31),
            input_tokens: Some(7),
            output_tokens: Some(3),
            ..RequestRow::default()
        }
    }

    #[test]
    fn what_ended_well_is_measured_and_all_that_ended_is_counted() {
        let mut registry = Registry::new("a \"model\"");
        registry.count(&row(Status::Ok), &[event(252, 50), event(272, 50), event(312, 2_000)]);
        registry.count(&row(Status::Cut), &[event(252, 50)]);
        let text = registry.text(Now { in_flight: 3, users: 4, sent: 5 });
        let shown: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("_bucket") || line.contains("+Inf") || line.contains("le=\"0.25\""))
            .filter(|line| !line.starts_with('#') && !line.contains("build_info"))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        tare_client_time_to_first_token_seconds_bucket{model_name="a \"model\"",le="0.25"} 1
        tare_client_time_to_first_token_seconds_bucket{model_name="a \"model\"",le="+Inf"} 1
        tare_client_time_to_first_token_seconds_count{model_name="a \"model\""} 1
        tare_client_time_to_first_token_seconds_sum{model_name="a \"model\""} 0.25
        tare_client_inter_token_latency_seconds_bucket{model_name="a \"model\"",le="+Inf"} 2
        tare_client_inter_token_latency_seconds_count{model_name="a \"model\""} 2
        tare_client_inter_token_latency_seconds_sum{model_name="a \"model\""} 0.06
        tare_client_request_time_per_output_token_seconds_bucket{model_name="a \"model\"",le="+Inf"} 1
        tare_client_request_time_per_output_token_seconds_count{model_name="a \"model\""} 1
        tare_client_request_time_per_output_token_seconds_sum{model_name="a \"model\""} 0.03
        tare_client_e2e_request_latency_seconds_bucket{model_name="a \"model\"",le="+Inf"} 1
        tare_client_e2e_request_latency_seconds_count{model_name="a \"model\""} 1
        tare_client_e2e_request_latency_seconds_sum{model_name="a \"model\""} 0.31
        tare_client_schedule_lateness_seconds_bucket{model_name="a \"model\"",le="+Inf"} 2
        tare_client_schedule_lateness_seconds_count{model_name="a \"model\""} 2
        tare_client_schedule_lateness_seconds_sum{model_name="a \"model\""} 0.004
        tare_client_lag_seconds_bucket{model_name="a \"model\"",le="+Inf"} 4
        tare_client_lag_seconds_count{model_name="a \"model\""} 4
        tare_client_lag_seconds_sum{model_name="a \"model\""} 0.00215
        tare_client_requests_total{model_name="a \"model\"",status="ok"} 1
        tare_client_requests_total{model_name="a \"model\"",status="http_error"} 0
        tare_client_requests_total{model_name="a \"model\"",status="connect_error"} 0
        tare_client_requests_total{model_name="a \"model\"",status="timeout"} 0
        tare_client_requests_total{model_name="a \"model\"",status="cut"} 1
        tare_client_requests_total{model_name="a \"model\"",status="stream_error"} 0
        tare_client_requests_total{model_name="a \"model\"",status="decode_error"} 0
        tare_client_requests_total{model_name="a \"model\"",status="in_flight"} 0
        tare_client_prompt_tokens_total{model_name="a \"model\""} 7
        tare_client_generation_tokens_total{model_name="a \"model\""} 3
        tare_client_requests_sent_total{model_name="a \"model\""} 5
        tare_client_num_requests_in_flight{model_name="a \"model\""} 3
        tare_client_num_users{model_name="a \"model\""} 4
        "#);
    }

    #[test]
    fn our_own_parser_of_expositions_reads_every_line() {
        let text = Registry::new("m\\\n").text(Now::default());
        let read = tare_parsers::exposition::parse(&text);
        assert!(read.errors.is_empty() && read.samples.len() > 60, "{:?}", read.errors);
    }
}
