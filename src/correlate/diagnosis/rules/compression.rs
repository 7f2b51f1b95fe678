//! Streams that are compressed on the way: a coder gathers until it has enough, mostly until the end.
//! This file must not know how a client reads them.

use super::super::LEAST_REQUESTS;
use super::super::case::{Case, median, share};
use super::super::products::cut;
use super::super::remedies::Ailment;
use super::{Ground, Rule};
use crate::metric::Metric;
use crate::record::RequestRow;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "compression",
    about: "streams that are compressed",
    ground: Ground::Records,
    judge,
    explains: None,
};

/// `none` and `identity`, unlawful and common, compress nothing.
const CODINGS: [&str; 6] = ["gzip", "deflate", "br", "zstd", "compress", "x-gzip"];
/// A head that comes in the last part of an answer's time came with its end.
const WITH_END: f64 = 0.05;

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let answers: Vec<&RequestRow> = case.route.passages.iter().map(|p| &p.row.client).collect();
    let streams = answers.iter().filter(|c| c.streamed && c.http_status.is_some_and(|s| s < 300)).count();
    let compressed: Vec<(&RequestRow, &str)> =
        answers.iter().filter(|c| c.streamed).filter_map(|c| Some((*c, coding(c)?))).collect();
    let straight = case.route.direct.iter().filter(|p| coding(&p.row.client).is_some()).count();
    let (_, coding) = compressed.first()?;
    if straight * 2 > case.route.direct.len() && straight > 0 {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Work, Some(Ailment::Compressed));
    (verdict.n, verdict.of) = (compressed.len(), streams);
    verdict.what = format!("streams are compressed (`content-encoding: {}`)", cut(coding));
    verdict.certainty = Sure::Certain;
    // From sending to the head, and to the end.
    let times: Vec<(f64, f64)> = compressed
        .iter()
        .filter_map(|(c, _)| {
            let sent = c.send_begin_unix_ns?;
            Some((c.head_unix_ns?.seconds_since(sent), c.done_unix_ns.seconds_since(sent)))
        })
        .collect();
    let with_end = times.iter().filter(|(head, end)| end - head < WITH_END * end).count();
    if times.len() >= LEAST_REQUESTS && share(with_end, times.len()) > 0.5 {
        verdict.kind = Kind::Hold;
        verdict.what += ", and come as a whole";
        verdict.evidence.push(format!(
            "the head came {} after sending and the end {} (medians): {with_end} of {} answers came at once",
            median(times.iter().map(|t| t.0)).map_or_else(String::new, units::seconds),
            median(times.iter().map(|t| t.1)).map_or_else(String::new, units::seconds),
            times.len()
        ));
        verdict.at_stake = at_stake(case);
        verdict.evidence.extend(verdict.at_stake.map(|_| {
            "at stake is the least: no token can be read before the head, and the server had written its first long before"
                .to_owned()
        }));
    }
    verdict.evidence.push(format!(
        "{} of {streams} streamed answers carry the header{}",
        compressed.len(),
        if straight == 0 && !case.route.direct.is_empty() {
            "; straight from the server none does"
        } else {
            ""
        }
    ));
    Some(verdict)
}

/// The head's lateness against the server's first token.
fn at_stake(case: &Case<'_>) -> Option<crate::record::verdicts::Stake> {
    let costs: Vec<f64> = case
        .route
        .passages
        .iter()
        .filter(|p| coding(&p.row.client).is_some())
        .filter_map(|p| {
            let client = &p.row.client;
            let head = client.head_unix_ns?.seconds_since(client.send_begin_unix_ns?);
            Some(head - p.row.server_ttft_s?)
        })
        .collect();
    case.stake(Metric::Ttft, &costs)
}

fn coding(client: &RequestRow) -> Option<&str> {
    let (_, value) = client.answer_headers.iter().find(|(name, _)| name == "content-encoding")?;
    let value = value.as_str();
    let lower = value.to_ascii_lowercase();
    CODINGS.iter().any(|coding| lower.split(',').any(|part| part.trim() == *coding)).then_some(value)
}
