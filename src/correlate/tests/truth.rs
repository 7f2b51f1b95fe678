//! Runs on virtual time with every part known: requests through a queue, a server whose clock is off
//! and drifts, spans and log lines that are lost. What is printed as an interval must cover the truth
//! as often as it says; what is printed as a bound must hold it every time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Run;
use crate::clock::UnixNs;
use crate::record::clocks::ClockRelation;
use crate::record::correlated::{Bounds, Correlated, PartRow};
use crate::record::fixture::{BEGIN, log, request, span};
use crate::record::{Connection, LogEvent};

const OFFSET_S: f64 = 0.1234;
const DRIFT: f64 = 50e-6;
const LOST: f64 = 0.05;
/// Requests before the first that counts, so that the queue is in its steady state.
const BURN_IN: usize = 200;

// Mean seconds of each part; what is random in it is exponential.
const ARRIVALS_S: f64 = 0.040;
const OUT_S: (f64, f64) = (0.000_15, 0.000_40);
const FRONT_END_S: (f64, f64) = (0.001, 0.001);
const PREFILL_S: (f64, f64) = (0.005, 0.015);
const BACK_S: (f64, f64) = (0.000_1, 0.000_3);
const SEND_S: f64 = 0.000_03;
const DECODE_S: f64 = 0.100;

/// What really happened to a request, on the client's clock.
#[derive(Clone, Copy, Default)]
struct Truth {
    started: f64,
    out: f64,
    front_end: f64,
    queue: f64,
    prefill: f64,
    back: f64,
    last_back: f64,
    received_after_arrival: f64,
}

impl Truth {
    fn sent(&self) -> f64 {
        self.started + SEND_S
    }

    fn arrival(&self) -> f64 {
        self.sent() + self.out
    }

    fn first(&self) -> f64 {
        self.arrival() + self.front_end + self.queue + self.prefill
    }
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }

    fn part(&mut self, (least, more): (f64, f64)) -> f64 {
        least + self.exponential(more)
    }
}

/// Poisson arrivals to one engine that prefills one request after another.
fn truths(n: usize, draw: &mut Draw) -> Vec<Truth> {
    let mut at = 0.0;
    let mut all: Vec<Truth> = (0..BURN_IN + n)
        .map(|_| {
            at += draw.exponential(ARRIVALS_S);
            Truth {
                started: at,
                out: draw.part(OUT_S),
                front_end: draw.part(FRONT_END_S),
                prefill: draw.part(PREFILL_S),
                back: draw.part(BACK_S),
                last_back: draw.part(BACK_S),
                received_after_arrival: draw.exponential(0.000_5),
                queue: 0.0,
            }
        })
        .collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    let queued = |t: &Truth| t.arrival() + t.front_end;
    order.sort_by(|a, b| queued(&all[*a]).total_cmp(&queued(&all[*b])));
    let mut free = 0.0_f64;
    for i in order {
        let since = queued(&all[i]);
        all[i].queue = (free - since).max(0.0);
        free = free.max(since) + all[i].prefill;
    }
    all.split_off(BURN_IN)
}

/// A run as both sides record it. `two_clocks`: the server's is off and drifts.
fn world(n: usize, seed: u64, two_clocks: bool, log_resolution_ns: i64) -> (Run, Vec<Truth>) {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    let truths = truths(n, &mut draw);
    let client = |t: f64| BEGIN.plus_seconds(t);
    let (offset, drift) = if two_clocks { (OFFSET_S, DRIFT) } else { (0.0, 0.0) };
    let server = |t: f64| BEGIN.plus_seconds(t + offset + drift * t);
    let grain = |t: UnixNs| UnixNs(t.0.div_euclid(256) * 256);
    let mut run = Run { two_hosts: two_clocks, ..Run::default() };
    for (i, t) in truths.iter().enumerate() {
        let mut r = request(i as u64);
        let (first, last) = (t.first() + t.back, t.first() + DECODE_S + t.last_back);
        r.connection = Connection::Warm;
        (r.connect_begin_unix_ns, r.connect_end_unix_ns) = (None, None);
        (r.scheduled_unix_ns, r.started_unix_ns) = (client(t.started), client(t.started));
        r.send_begin_unix_ns = Some(client(t.started));
        r.sent_unix_ns = Some(client(t.sent()));
        (r.first_token_unix_ns, r.first_token_lo_unix_ns) = (Some(client(first)), Some(client(first)));
        (r.last_token_unix_ns, r.last_token_lo_unix_ns) = (Some(client(last)), Some(client(last)));
        r.done_unix_ns = client(last + 0.000_1);
        r.ttft_s = Some(client(first).seconds_since(client(t.started)));
        r.e2e_s = Some(client(last).seconds_since(client(t.started)));
        if draw.share() >= LOST {
            let mut s = span(&r);
            let arrival = grain(server(t.arrival()));
            s.start_unix_ns = arrival;
            s.ttft_s = Some(grain(server(t.first())).seconds_since(arrival));
            s.e2e_s = Some(grain(server(t.first() + DECODE_S)).seconds_since(arrival));
            s.end_unix_ns = server(t.first() + DECODE_S + 0.000_5);
            s.recv_unix_ns = client(last + 5.0);
            (s.queue_s, s.prefill_s, s.decode_s) = (Some(t.queue), Some(t.prefill), Some(DECODE_S));
            run.spans.push(s);
        }
        if draw.share() >= LOST {
            let id = format!("chatcmpl-{}", r.request_id);
            let mut line = log(&r, 0.0, LogEvent::Received { request_id: id });
            let written = server(t.arrival() + t.received_after_arrival.min(t.front_end));
            line.time_unix_ns = Some(UnixNs(written.0.div_euclid(log_resolution_ns) * log_resolution_ns));
            line.time_resolution_ns = Some(log_resolution_ns);
            run.log.push(line);
        }
        run.requests.push(r);
    }
    (run, truths)
}

/// Runs `each` on so many seeds, on all CPUs.
fn on_seeds<T: Send>(n: u64, each: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let each = &each;
        let workers: Vec<_> = (0..threads)
            .map(|t| scope.spawn(move || (t..n).step_by(threads as usize).map(each).collect::<Vec<T>>()))
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    })
}

fn holds(bounds: Bounds, truth: f64) -> bool {
    // Stamps are whole nanoseconds, each end of a part has one.
    bounds.lo_s - 3e-9 <= truth && truth <= bounds.hi_s + 3e-9
}

#[test]
fn bounds_hold_the_truth_every_time() {
    let runs = on_seeds(60, |seed| {
        let (mut run, truths) = world(120, seed, true, 1_000);
        let out = run.correlate();
        assert_eq!(out.clocks.relation, ClockRelation::Bounded, "{:?}", out.clocks);
        let stretch = out.clocks.stretches[0];
        let middle = UnixNs(stretch.begin_unix_ns.0.midpoint(stretch.end_unix_ns.0)).seconds_since(BEGIN);
        let offset = OFFSET_S + DRIFT * middle;
        assert!(stretch.offset_lo_s <= offset && offset <= stretch.offset_hi_s, "{stretch:?}: {offset}");
        assert!(stretch.drift_lo_ppm <= DRIFT * 1e6 && DRIFT * 1e6 <= stretch.drift_hi_ppm, "{stretch:?}");
        let mut checked = 0;
        for (row, truth) in out.rows.iter().zip(&truths) {
            if let Some(bounds) = row.parts.path_out_bounds {
                assert!(holds(bounds, truth.out), "seed {seed}: {} not in {bounds:?}", truth.out);
                checked += 1;
            }
            if let Some(bounds) = row.parts.path_back_bounds {
                assert!(holds(bounds, truth.back), "seed {seed}: {} not in {bounds:?}", truth.back);
            }
        }
        assert!(checked > 90, "{checked} of 120 requests have bounds");
        // The log alone, to the microsecond and to the second.
        run.spans.clear();
        for resolution in [1_000, 1_000_000_000] {
            let (coarse, truths) = world(120, seed, true, resolution);
            run.log = coarse.log;
            for (row, truth) in run.correlate().rows.iter().zip(&truths) {
                let written = truth.out + truth.received_after_arrival.min(truth.front_end);
                if let Some(bounds) = row.parts.received_bounds {
                    assert!(holds(bounds, written), "{resolution}: {written} not in {bounds:?}");
                }
            }
        }
        stretch.reach_s()
    });
    // A wide bound proves nothing: half of the quickest way out plus the quickest way back is 0.13 ms.
    let mut reaches = runs;
    reaches.sort_by(f64::total_cmp);
    let median = reaches[reaches.len() / 2];
    println!("offset known to ±{:.3} ms (median of {} runs)", median * 1e3, reaches.len());
    assert!(median < 0.001, "{median}");
}

/// How often an interval held the truth, and how wide it was.
#[derive(Default)]
struct Coverage {
    held: usize,
    half_widths: Vec<f64>,
}

impl Coverage {
    fn add(&mut self, interval: (f64, f64), truth: f64) {
        self.held += usize::from(interval.0 <= truth && truth <= interval.1);
        self.half_widths.push((interval.1 - interval.0) / 2.0);
    }

    fn share(&self) -> f64 {
        self.held as f64 / self.half_widths.len() as f64
    }

    fn say(&mut self, what: &str, truth: f64) {
        self.half_widths.sort_by(f64::total_cmp);
        let median = self.half_widths[self.half_widths.len() / 2];
        println!(
            "{what}: truth {:.4} ms, covered {:.1} % of {} runs, median half width {:.4} ms",
            truth * 1e3,
            self.share() * 100.0,
            self.half_widths.len(),
            median * 1e3
        );
    }
}

fn mean_of(out: &Correlated, row: PartRow) -> (f64, f64) {
    let part = out.breakdown.columns[0].parts.iter().find(|p| p.row == row).unwrap();
    part.interval.map(|i| (i.lo_s, i.hi_s)).unwrap()
}

/// Seeded runs of so many requests, and how often each part's interval held its truth.
fn covered(runs: u64, requests: usize) -> [(&'static str, Coverage); 6] {
    let mean = |(least, more): (f64, f64)| least + more;
    // Pollaczek and Khinchine: the mean wait is E[S²] / (2 E[A] (1 − ρ)).
    let (least, more) = PREFILL_S;
    let square = least * least + 2.0 * least * more + 2.0 * more * more;
    let wait = square / (2.0 * ARRIVALS_S * (1.0 - mean(PREFILL_S) / ARRIVALS_S));
    let tare = SEND_S + mean(OUT_S) + mean(BACK_S);
    let truth = [
        ("tare of TTFT", tare),
        ("path out", mean(OUT_S)),
        ("front end", mean(FRONT_END_S)),
        ("queue", wait),
        ("prefill", mean(PREFILL_S)),
        ("path back", mean(BACK_S)),
    ];
    // Every other run on two clocks, of which the server's is off and drifts: there the path's two parts
    // are bounds, which must hold each request's truth.
    let runs = on_seeds(runs, |seed| {
        let two_clocks = seed % 2 == 1;
        let (run, truths) = world(requests, 1_000 + seed, two_clocks, 1_000);
        let out = run.correlate();
        for (row, truth) in out.rows.iter().zip(&truths) {
            for (bounds, truth) in
                [(row.parts.path_out_bounds, truth.out), (row.parts.path_back_bounds, truth.back)]
            {
                assert!(bounds.is_none_or(|b| holds(b, truth)), "seed {seed}: {truth} not in {bounds:?}");
            }
        }
        let headline = out.headline[0].tare.unwrap();
        let path = |row| (!two_clocks).then(|| mean_of(&out, row));
        [
            Some((headline.lo, headline.hi)),
            path(PartRow::PathOut),
            Some(mean_of(&out, PartRow::FrontEnd)),
            Some(mean_of(&out, PartRow::Queue)),
            Some(mean_of(&out, PartRow::Prefill)),
            path(PartRow::PathBack),
        ]
    });
    let mut covered: [Coverage; 6] = Default::default();
    for run in runs {
        for ((coverage, interval), (_, truth)) in covered.iter_mut().zip(run).zip(truth) {
            if let Some(interval) = interval {
                coverage.add(interval, truth);
            }
        }
    }
    for (coverage, (what, truth)) in covered.iter_mut().zip(truth) {
        coverage.say(what, truth);
    }
    let mut parts = truth.iter();
    covered.map(|coverage| (parts.next().map_or("", |(what, _)| what), coverage))
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    for (what, coverage) in covered(2_000, 300) {
        // Three standard errors of 2,000 runs around what is claimed. A queue's waits are alike for so
        // long that 300 requests are worth about 30, and the busy periods that make its mean are rare: no
        // interval knows of those that a run did not see. There it is too narrow, by so much.
        let least = if what == "queue" { 0.90 } else { 0.935 };
        assert!((least..=0.965).contains(&coverage.share()), "{what}: {}", coverage.share());
    }
}

/// Measured: 95.0, 95.2, 94.7, 94.0, 95.3, 95.0 % in the order of the parts; six and a half minutes in optimised code.
#[test]
#[ignore = "takes ten minutes"]
fn in_longer_runs_they_do_so_of_the_queue_too() {
    for (what, coverage) in covered(2_000, 1_500) {
        assert!((0.935..=0.965).contains(&coverage.share()), "{what}: {}", coverage.share());
    }
}
