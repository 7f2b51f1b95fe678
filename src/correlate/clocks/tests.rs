//! Pairs with a known offset, drift and step: what the map says must hold the truth every time.

use proptest::prelude::*;

use super::*;

const BEGIN: i64 = 1_795_533_160_000_000_000;

/// What the server's clock shows at `t` seconds of the client's.
#[derive(Clone, Copy, Debug)]
struct Server {
    offset_s: f64,
    drift_ppm: f64,
    /// At `.0` seconds the clock jumps by `.1`.
    step: Option<(f64, f64)>,
}

impl Server {
    fn shows(self, t: f64) -> UnixNs {
        let stepped = self.step.filter(|(at, _)| t >= *at).map_or(0.0, |(_, by)| by);
        let drifted = t * self.drift_ppm * 1e-6;
        UnixNs(BEGIN + ((t + self.offset_s + drifted + stepped) * 1e9).round() as i64)
    }
}

fn client(t: f64) -> UnixNs {
    UnixNs(BEGIN + (t * 1e9).round() as i64)
}

/// A hundred requests over 100 s: 0.2–2.2 ms out, first token after 50 ms, last after 400 ms, back in
/// 0.1–1.1 ms.
fn pairs(server: Server) -> Pairs {
    let mut pairs = Pairs::default();
    for i in 0..100_u32 {
        let sent = f64::from(i);
        let out = 0.000_2 + 0.000_02 * f64::from(i * 37 % 100);
        let back = 0.000_1 + 0.000_01 * f64::from(i * 53 % 100);
        pairs.out(client(sent), server.shows(sent + out));
        pairs.back(server.shows(sent + 0.05), client(sent + 0.05 + back));
        pairs.back(server.shows(sent + 0.4), client(sent + 0.4 + back));
    }
    pairs
}

fn steady(offset_s: f64, drift_ppm: f64) -> Server {
    Server { offset_s, drift_ppm, step: None }
}

#[test]
fn an_offset_and_a_drift_are_bounded_by_the_quickest_pairs() {
    let server = steady(0.1234, 50.0);
    let (map, clocks) = align(&pairs(server), false, None);
    assert_eq!(clocks.relation, ClockRelation::Bounded);
    assert_eq!((clocks.pairs_out, clocks.pairs_back, clocks.stretches.len()), (100, 200, 1));
    let s = clocks.stretches[0];
    // In the middle, 50.2 s on, the drift has added 2.5 ms.
    assert!(s.offset_lo_s < 0.1259 && 0.1259 < s.offset_hi_s, "{s:?}");
    assert!(s.reach_s() < 0.000_6, "{s:?}");
    assert!(s.drift_lo_ppm < 50.0 && 50.0 < s.drift_hi_ppm && s.drift_hi_ppm - s.drift_lo_ppm < 20.0);
    for t in [0.0, 33.3, 99.0] {
        let here = map.anywhere(server.shows(t)).unwrap();
        assert!(here.lo_unix_ns <= client(t) && client(t) <= here.hi_unix_ns, "{t}: {here:?}");
    }
}

#[test]
fn one_host_is_one_clock_as_long_as_the_pairs_agree() {
    let (map, clocks) = align(&pairs(steady(0.0, 0.0)), true, None);
    assert!(matches!(map, Map::One));
    assert_eq!((clocks.relation, clocks.against_one_clock), (ClockRelation::OneClock, 0));
    // The server reads a clock that is 123.4 ms ahead, whatever its address says.
    let (map, clocks) = align(&pairs(steady(0.1234, 0.0)), true, None);
    assert!(matches!(map, Map::Two(_)));
    assert_eq!((clocks.relation, clocks.against_one_clock), (ClockRelation::Bounded, 200));
    assert!(clocks.stretches[0].offset_lo_s < 0.1234 && 0.1234 < clocks.stretches[0].offset_hi_s);
}

#[test]
fn a_step_is_found_and_each_side_of_it_bounded() {
    let server = Server { step: Some((42.3, -0.250)), ..steady(0.1234, 20.0) };
    let (map, clocks) = align(&pairs(server), false, None);
    assert_eq!((clocks.relation, clocks.stretches.len()), (ClockRelation::Bounded, 2));
    let [before, after] = [clocks.stretches[0], clocks.stretches[1]];
    assert!(before.end_unix_ns <= client(42.3) && client(42.3) <= after.begin_unix_ns);
    assert!(after.begin_unix_ns.seconds_since(before.end_unix_ns) < 1.0);
    let by = after.step_before.unwrap();
    assert!(by.lo_s < -0.250 && -0.250 < by.hi_s && by.width_s() < 0.005, "{by:?}");
    for t in [5.0, 41.0, 42.35, 60.0] {
        let here = map.within(server.shows(t), client(t - 0.5), client(t + 0.5)).unwrap();
        assert!(here.lo_unix_ns <= client(t) && client(t) <= here.hi_unix_ns, "{t}: {here:?}");
    }
}

#[test]
fn a_few_pairs_of_something_else_are_left_out_and_counted() {
    let mut odd = pairs(steady(0.1234, 0.0));
    // One span of another request: an hour off.
    odd.out(client(50.0), steady(-3600.0, 0.0).shows(50.0));
    let (_, clocks) = align(&odd, false, None);
    assert_eq!((clocks.relation, clocks.strays), (ClockRelation::Bounded, 1));
    assert!(clocks.stretches[0].offset_lo_s < 0.1234 && 0.1234 < clocks.stretches[0].offset_hi_s);
}

#[test]
fn many_pairs_of_something_else_leave_nothing_to_be_believed() {
    let mut odd = pairs(steady(0.1234, 0.0));
    for i in 0..20 {
        odd.out(client(f64::from(i) * 5.0 + 0.01), steady(-3600.0, 0.0).shows(f64::from(i) * 5.0));
    }
    let (map, clocks) = align(&odd, false, None);
    assert!(matches!(map, Map::Unknown));
    assert_eq!(clocks.relation, ClockRelation::Contradict);
}

#[test]
fn a_stated_bound_narrows_the_answer_or_is_refused() {
    let server = steady(0.000_3, 0.0);
    let (_, free) = align(&pairs(server), false, None);
    let (_, bound) = align(&pairs(server), false, Some(0.000_301));
    assert_eq!(bound.stated_bound_fits, Some(true));
    assert!(bound.stretches[0].reach_s() < free.stretches[0].reach_s());
    let (_, wrong) = align(&pairs(steady(0.1234, 0.0)), false, Some(0.001));
    assert_eq!(wrong.stated_bound_fits, Some(false));
    assert_eq!(wrong.relation, ClockRelation::Bounded);
}

#[test]
fn without_pairs_on_both_sides_nothing_is_known() {
    let mut one_sided = Pairs::default();
    one_sided.out(client(1.0), client(2.0));
    let (map, clocks) = align(&one_sided, false, None);
    assert!(matches!(map, Map::Unknown) && clocks.relation == ClockRelation::Unknown);
    assert!(matches!(align(&Pairs::default(), true, None).0, Map::One));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_truth_lies_within_every_time(
        offset_s in -5.0..5.0_f64,
        drift_ppm in -100.0..100.0_f64,
        step in prop::option::of((10.0..90.0_f64, prop_oneof![-2.0..-0.01_f64, 0.01..2.0_f64])),
        at in prop::collection::vec(0.0..100.0_f64, 1..20),
    ) {
        let server = Server { offset_s, drift_ppm, step };
        let (map, clocks) = align(&pairs(server), false, None);
        prop_assert_eq!(clocks.relation, ClockRelation::Bounded);
        prop_assert_eq!(clocks.stretches.len(), 1 + usize::from(step.is_some()));
        for t in at {
            let here = map.within(server.shows(t), client(t - 0.5), client(t + 0.5)).unwrap();
            prop_assert!(here.lo_unix_ns <= client(t) && client(t) <= here.hi_unix_ns, "{} not in {:?}", t, here);
        }
    }

    /// Two hosts, each with a clock of its own, and a server with a third, which may be stepped.
    #[test]
    fn two_hosts_clocks_are_bounded_by_one_servers_records(
        offset_s in -5.0..5.0_f64,
        drift_ppm in -100.0..100.0_f64,
        step in prop::option::of((10.0..90.0_f64, prop_oneof![-2.0..-0.01_f64, 0.01..2.0_f64])),
        ahead_s in -3.0..3.0_f64,
        apart_ppm in -50.0..50.0_f64,
    ) {
        let server = Server { offset_s, drift_ppm, step };
        let host = Server { offset_s: ahead_s, drift_ppm: apart_ppm, step: None };
        let mut of_host = Pairs::default();
        for i in 0..100_u32 {
            let sent = f64::from(i) + 0.3;
            let out = 0.000_2 + 0.000_02 * f64::from(i * 41 % 100);
            let back = 0.000_1 + 0.000_01 * f64::from(i * 59 % 100);
            of_host.out(host.shows(sent), server.shows(sent + out));
            of_host.back(server.shows(sent + 0.05), host.shows(sent + 0.05 + back));
        }
        let found = ahead(&pairs(server), &of_host).unwrap();
        for t in [0.3, 20.0, 50.0, 80.0, 99.3] {
            let truth = host.shows(t).0 - client(t).0;
            prop_assert!(found.at_least_ns <= truth && truth <= found.at_most_ns, "{truth} not in {found:?}");
        }
        // What drifts apart within the run, and the quickest ways there and back.
        prop_assert!(found.reach_s() < 0.004 + 100.0 * apart_ppm.abs() * 1e-6, "{found:?}");
    }
}
