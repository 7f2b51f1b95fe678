//! The seed's table: logged by tool | logged by server | tare, for TTFT, token throughput,
//! inter-token latency and request duration. Both sides by the same estimator: means with means,
//! ratios of sums with ratios of sums, over the same requests wherever requests are joined; tare is
//! then the paired difference. This file must not know how a number is printed.

use super::aggregate_join::finished_well;
use crate::metric::Metric;
use crate::record::clocks::Clocks;
use crate::record::correlated::{Aggregate, Evidence, HeadlineRow};
use crate::record::{JoinedRow, Source, Status};
use crate::stats::Estimate;
use crate::stats::blocks::Blocks;
use crate::stats::bootstrap::{self, BothSides};
use crate::stats::rounds::{Rounds, Start};

/// The four rows, from requests in time order.
pub fn headline(rows: &[JoinedRow], aggregate: &Aggregate, rounds: &Rounds, seed: u64) -> Vec<HeadlineRow> {
    let ok: Vec<&JoinedRow> = rows.iter().filter(|r| r.client.status == Status::Ok).collect();
    let recipes = [ttft(), throughput(), itl(), duration()];
    let draw = |i| Draw { rounds, seed: seed.wrapping_add(i) };
    recipes.iter().zip(1..).map(|(recipe, i)| recipe.estimate(&ok, aggregate, &draw(i))).collect()
}

/// Says where a figure of the endpoint holds the step of a clock: durations are differences of the
/// server's wall clock, and its sums cannot be taken apart.
pub fn tell_of_steps(rows: &mut [HeadlineRow], clocks: &Clocks) {
    let of_the_wall_clock = |row: &&mut HeadlineRow| {
        row.source == Evidence::Metrics && row.metric != Metric::ItlMean && clocks.stretches.len() > 1
    };
    for row in rows.iter_mut().filter(of_the_wall_clock) {
        let said = "a clock was stepped while requests were under way: the server's figure holds the step";
        row.note = Some(row.note.take().map_or_else(|| said.to_owned(), |note| format!("{said}; {note}")));
    }
}

/// The rounds of the requests, where their users moved in lockstep; the legs of an audit.
pub fn rounds(rows: &[JoinedRow]) -> Rounds {
    if rows.iter().any(|r| r.client.arm.is_some()) {
        return super::audit::legs(rows);
    }
    let Some(first) = rows.iter().map(|r| r.client.started_unix_ns).min() else {
        return Rounds::default();
    };
    Rounds::find(rows.iter().map(|r| Start {
        index: r.client.index,
        user: r.client.user,
        start_s: r.client.started_unix_ns.seconds_since(first),
    }))
}

/// How intervals are drawn.
struct Draw<'a> {
    rounds: &'a Rounds,
    seed: u64,
}

/// A ratio's parts: numerator and denominator. A mean has the denominator 1.
type Ratio = (f64, f64);

/// How one row is made.
struct Recipe {
    metric: Metric,
    estimator: &'static str,
    /// The client's side of one request; `None`: the request says nothing to this row.
    client: fn(&JoinedRow) -> Option<Ratio>,
    /// The server's side, the best evidence first.
    server: Vec<Candidate>,
    /// The server's side over the window, from the metrics endpoint.
    metrics: fn(&Aggregate) -> Option<Window>,
    /// The same from the log's stats lines.
    log_stats: fn(&Aggregate) -> Option<f64>,
}

/// A join that covers less of the requests than this speaks for none of them: what it lacks may be
/// lacking because it was slow.
const COVERAGE: f64 = 0.9;

/// One way to the server's side.
enum Candidate {
    PerRequest(PerRequest),
    /// The metrics endpoint's figure over the window.
    Endpoint,
}

/// One request's side, which source told it, and what it really is where it is not the metric itself.
struct PerRequest {
    side: fn(&JoinedRow) -> Option<Ratio>,
    told_by: fn(&JoinedRow) -> Option<Source>,
    really: Option<&'static str>,
}

fn itself(side: fn(&JoinedRow) -> Option<Ratio>, told_by: fn(&JoinedRow) -> Option<Source>) -> Candidate {
    Candidate::PerRequest(PerRequest { side, told_by, really: None })
}

/// Made of the engine's times alone.
fn of_the_engine(side: fn(&JoinedRow) -> Option<Ratio>, really: &'static str) -> Candidate {
    Candidate::PerRequest(PerRequest { side, told_by: |r| r.engine_source, really: Some(really) })
}

/// A figure over the window and the number of requests it rests on.
struct Window {
    value: f64,
    count: f64,
}

fn ttft() -> Recipe {
    Recipe {
        metric: Metric::Ttft,
        estimator: "mean",
        client: |r| Some((r.client.ttft_s?, 1.0)),
        server: vec![
            itself(|r| Some((r.server_ttft_s?, 1.0)), |r| r.ttft_source),
            Candidate::Endpoint,
            of_the_engine(|r| Some((r.server_queue_s? + r.server_prefill_s?, 1.0)), "queue + prefill"),
            of_the_engine(|r| Some((r.server_prefill_s?, 1.0)), "prefill, without the queue"),
        ],
        metrics: |a| mean_of(a, Metric::Ttft),
        log_stats: |_| None,
    }
}

fn throughput() -> Recipe {
    Recipe {
        metric: Metric::Throughput,
        estimator: "sum of output tokens / sum of durations",
        client: |r| Some((client_tokens(r)?, r.client.e2e_s.filter(|s| *s > 0.0)?)),
        server: vec![
            itself(|r| Some((server_tokens(r)?, r.server_e2e_s.filter(|s| *s > 0.0)?)), |r| r.e2e_source),
            Candidate::Endpoint,
            of_the_engine(
                |r| Some((server_tokens(r)?, in_engine(r).filter(|s| *s > 0.0)?)),
                "tokens / (queue + prefill + decode)",
            ),
            of_the_engine(
                |r| Some((server_tokens(r)?, inference(r).filter(|s| *s > 0.0)?)),
                "tokens / (prefill + decode), without the queue",
            ),
        ],
        metrics: |a| {
            let durations = a.of(Metric::E2e)?;
            Some(Window { value: a.generation_tokens? / durations.sum, count: durations.count })
        },
        log_stats: |a| a.log_stats.as_ref()?.user_throughput_tps(),
    }
}

fn itl() -> Recipe {
    const DECODE: fn(f64, f64) -> Option<Ratio> =
        |decode, tokens| (tokens > 1.0).then_some((decode, tokens - 1.0));
    Recipe {
        metric: Metric::ItlMean,
        estimator: "sum of (last - first token) / sum of (output tokens - 1)",
        client: |r| {
            let stamped = r.client.last_token_unix_ns?.seconds_since(r.client.first_token_unix_ns?);
            DECODE(stamped, client_tokens(r)?)
        },
        server: vec![
            itself(|r| DECODE(r.server_decode_s?, server_tokens(r)?), |r| r.engine_source),
            Candidate::Endpoint,
        ],
        metrics: |a| {
            let decode = a.of(Metric::Decode)?;
            let gaps = a.generation_tokens? - decode.count;
            (gaps > 0.0).then(|| Window { value: decode.sum / gaps, count: decode.count })
        },
        log_stats: |a| Some(1.0 / a.log_stats.as_ref()?.user_throughput_tps().filter(|t| *t > 0.0)?),
    }
}

fn duration() -> Recipe {
    Recipe {
        metric: Metric::E2e,
        estimator: "mean",
        client: |r| Some((r.client.e2e_s?, 1.0)),
        server: vec![
            itself(|r| Some((r.server_e2e_s?, 1.0)), |r| r.e2e_source),
            Candidate::Endpoint,
            of_the_engine(|r| Some((in_engine(r)?, 1.0)), "queue + prefill + decode"),
            of_the_engine(|r| Some((inference(r)?, 1.0)), "prefill + decode, without the queue"),
        ],
        metrics: |a| mean_of(a, Metric::E2e),
        log_stats: |_| None,
    }
}

fn mean_of(aggregate: &Aggregate, metric: Metric) -> Option<Window> {
    let hist = aggregate.of(metric)?;
    Some(Window { value: hist.mean?, count: hist.count })
}

/// Each side's own count of tokens; the other's where it has none.
fn client_tokens(r: &JoinedRow) -> Option<f64> {
    r.client.output_tokens.or(r.server_output_tokens).map(f64::from)
}

fn server_tokens(r: &JoinedRow) -> Option<f64> {
    r.server_output_tokens.or(r.client.output_tokens).map(f64::from)
}

fn in_engine(r: &JoinedRow) -> Option<f64> {
    Some(r.server_queue_s? + inference(r)?)
}

fn inference(r: &JoinedRow) -> Option<f64> {
    Some(r.server_prefill_s? + r.server_decode_s?)
}

impl Recipe {
    fn estimate(&self, ok: &[&JoinedRow], aggregate: &Aggregate, draw: &Draw<'_>) -> HeadlineRow {
        let eligible: Vec<(&JoinedRow, Ratio)> =
            ok.iter().filter_map(|r| (self.client)(r).map(|c| (*r, c))).collect();
        let counted = aggregate.unusable.is_none().then(|| (self.metrics)(aggregate)).flatten();
        let counted = counted.filter(|w| w.value.is_finite());
        let mut refused = None;
        let mut row = None;
        for candidate in &self.server {
            row = match candidate {
                Candidate::Endpoint => counted.as_ref().map(|w| self.counted(w, &eligible, aggregate, draw)),
                Candidate::PerRequest(of) => {
                    let pairs = pairs(&eligible, of.side);
                    // Where several sources tell one thing they tell the same.
                    let evidence = Evidence::of_most(pairs.rows.iter().copied().filter_map(of.told_by));
                    let n = pairs.sides.len();
                    let enough = n as f64 >= COVERAGE * eligible.len() as f64;
                    if n > 0 && !enough {
                        refused.get_or_insert((evidence, n));
                    }
                    (n > 0 && enough).then(|| self.paired(of, evidence, &pairs, eligible.len(), draw))
                }
            };
            if row.is_some() {
                break;
            }
        }
        let mut row = row.unwrap_or_else(|| self.estimated(&eligible, aggregate, draw));
        if let Some((evidence, n)) = refused {
            let said = format!(
                "{} tell of {n} of {} requests, less than {:.0} %: not used here, for what is lacking may not be like the rest",
                evidence.name(),
                eligible.len(),
                COVERAGE * 100.0
            );
            row.note = Some(row.note.map_or_else(|| said.clone(), |note| format!("{said}; {note}")));
        }
        row
    }

    /// Both sides from the same requests.
    fn paired(
        &self,
        of: &PerRequest,
        source: Evidence,
        pairs: &Pairs<'_>,
        eligible: usize,
        draw: &Draw<'_>,
    ) -> HeadlineRow {
        let side = |of: fn(&BothSides) -> Ratio| pairs.sides.iter().map(of).collect::<Vec<Ratio>>();
        let missing = eligible - pairs.sides.len();
        let labels = draw.rounds.labels(pairs.rows.iter().map(|r| r.client.index));
        let blocks = Blocks::known(labels.as_deref());
        HeadlineRow {
            tool: bootstrap::ratio_of_sums(&side(|p| p.client), blocks, draw.seed),
            server: bootstrap::ratio_of_sums(&side(|p| p.server), blocks, draw.seed),
            tare: bootstrap::ratio_difference(&pairs.sides, blocks, draw.seed),
            source,
            title: of.really.map_or_else(|| self.title(), |really| format!("{} | {really}", self.title())),
            note: (missing > 0).then(|| {
                format!("{missing} of {eligible} requests lack the server's figure and are left out of both")
            }),
            ..self.empty()
        }
    }

    /// The server's figure over the window against all of the client's requests.
    fn counted(
        &self,
        window: &Window,
        eligible: &[(&JoinedRow, Ratio)],
        aggregate: &Aggregate,
        draw: &Draw<'_>,
    ) -> HeadlineRow {
        let tool = clients(eligible, draw);
        let server = Estimate::unbounded(window.value, window.count as usize);
        let finished = finished_well(&aggregate.finished).unwrap_or(window.count);
        let exact = "the server's figure is exact for the window; not paired, so the interval is the tool's";
        let ours = eligible.len();
        let note = if window.count as usize == ours {
            exact.to_owned()
        } else {
            format!(
                "{exact}; it is of {} requests ({finished} finished well), the tool's of {ours}: see the table of the window for what that leaves open",
                window.count
            )
        };
        HeadlineRow {
            tare: tool.map(|t| minus(&t, window.value)),
            tool,
            server: Some(server),
            source: Evidence::Metrics,
            note: Some(note),
            ..self.empty()
        }
    }

    /// Nothing but the log's stats lines, or nothing at all.
    fn estimated(
        &self,
        eligible: &[(&JoinedRow, Ratio)],
        aggregate: &Aggregate,
        draw: &Draw<'_>,
    ) -> HeadlineRow {
        let tool = clients(eligible, draw);
        let Some(value) = (self.log_stats)(aggregate) else {
            return HeadlineRow { tool, ..self.empty() };
        };
        let lines = aggregate.log_stats.map_or(0, |s| s.lines);
        HeadlineRow {
            tare: tool.map(|t| minus(&t, value)),
            tool,
            server: Some(Estimate::unbounded(value, lines)),
            source: Evidence::LogStats,
            note: Some(format!(
                "estimated from the log's stats lines ({lines}): throughput over running requests"
            )),
            ..self.empty()
        }
    }

    fn title(&self) -> String {
        self.metric.name().to_owned()
    }

    fn empty(&self) -> HeadlineRow {
        HeadlineRow {
            metric: self.metric,
            title: self.title(),
            tool: None,
            server: None,
            tare: None,
            source: Evidence::None,
            estimator: self.estimator,
            note: None,
            whole_run: false,
        }
    }
}

/// The requests that have both sides, and these.
struct Pairs<'a> {
    rows: Vec<&'a JoinedRow>,
    sides: Vec<BothSides>,
}

fn pairs<'a>(eligible: &[(&'a JoinedRow, Ratio)], side: fn(&JoinedRow) -> Option<Ratio>) -> Pairs<'a> {
    let both =
        eligible.iter().filter_map(|(r, client)| Some((*r, BothSides { client: *client, server: side(r)? })));
    let (rows, sides) = both.unzip();
    Pairs { rows, sides }
}

/// The client's side alone. A mean is the ratio whose denominators are 1.
fn clients(eligible: &[(&JoinedRow, Ratio)], draw: &Draw<'_>) -> Option<Estimate> {
    let ratios: Vec<Ratio> = eligible.iter().map(|(_, client)| *client).collect();
    let labels = draw.rounds.labels(eligible.iter().map(|(r, _)| r.client.index));
    bootstrap::ratio_of_sums(&ratios, Blocks::known(labels.as_deref()), draw.seed)
}

/// The same estimate after an exact number was taken off.
fn minus(estimate: &Estimate, exact: f64) -> Estimate {
    Estimate { value: estimate.value - exact, lo: estimate.lo - exact, hi: estimate.hi - exact, ..*estimate }
}
