//! `data/requests.csv`: a row per request of the report, both sides beside each other. This file must not
//! know how they were joined.

use super::{cell, table};
use crate::record::JoinedRow;
use crate::report::{Artifact, Report};

pub(in crate::report) const REQUESTS: Artifact = Artifact {
    file: "data/requests.csv",
    what: "each request on both sides: what the violins, the differences and the shares are drawn from",
    write,
};

const HEAD: [&str; 21] = [
    "index",
    "request_id",
    "start_s",
    "arm",
    "cell",
    "status",
    "input_tokens",
    "output_tokens",
    "ttft_s",
    "server_ttft_s",
    "server_queue_s",
    "server_prefill_s",
    "ttft_tare_s",
    "itl_mean_s",
    "server_decode_s",
    "e2e_s",
    "server_e2e_s",
    "e2e_tare_s",
    "user_throughput_tps",
    "client_lag_s",
    "source",
];

fn write(report: &Report<'_>) -> anyhow::Result<String> {
    let begin = report.timeline.map(|t| t.begin_unix_ns);
    let row = |j: &JoinedRow| {
        let c = &j.client;
        let less = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a - b);
        vec![
            c.index.to_string(),
            c.request_id.clone(),
            cell(begin.map(|begin| c.started_unix_ns.seconds_since(begin))),
            cell(c.arm.map(crate::record::Arm::as_str)),
            cell(c.cell),
            c.status.as_str().to_owned(),
            cell(c.input_tokens),
            cell(c.output_tokens),
            cell(c.ttft_s),
            cell(j.server_ttft_s),
            cell(j.server_queue_s),
            cell(j.server_prefill_s),
            cell(less(c.ttft_s, j.server_ttft_s)),
            cell(c.itl_mean_s),
            cell(j.server_decode_s),
            cell(c.e2e_s),
            cell(j.server_e2e_s),
            cell(less(c.e2e_s, j.server_e2e_s)),
            cell(c.user_throughput_tps),
            cell(j.parts.client_lag_s),
            j.source.as_str().to_owned(),
        ]
    };
    table(&HEAD, report.correlated.rows.iter().map(row))
}
