//! The law of a load that several ranks send: their parts together are exactly what one process sends, to
//! the nanosecond of each arrival and to the byte of each request.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use proptest::prelude::*;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use super::arrival::{Offsets, shifts, user_start_s};
use super::connections::Counters;
use super::connections::tests::load;
use super::ended::{Finisher, Tellings};
use super::openai::BodyOptions;
use super::pace::Due as _;
use super::*;
use crate::config::{Arrival, Change, Gaps, Over, RateStage, Times, UserStage};
use crate::net::HttpUrl;
use crate::record::{Endpoint, History, Prompt, PromptKind};

/// What is sent: when, and every byte of it, which holds its id, its trace and its prompt.
type Sent = (u64, u64, u32, Vec<u8>);

fn plan(load: Load, seed: u64, share: Share, history: Option<History>) -> Plan {
    let prompts: Vec<Prompt> = (0..7)
        .map(|n| Prompt {
            kind: PromptKind::Text(format!("prompt {n}")),
            max_tokens: Some(n + 1),
            ..Prompt::default()
        })
        .collect();
    Plan {
        moves: None,
        address: "127.0.0.1:1".parse().unwrap(),
        requests: Arc::new(Requests {
            prompts: prompts.into(),
            options: BodyOptions {
                endpoint: Endpoint::Completions,
                model: "tiny".to_owned(),
                stream: true,
                temperature: None,
                top_p: None,
                ignore_eos: false,
                extra_body: Map::new(),
            },
            target: HttpUrl::parse("http://127.0.0.1:1").unwrap(),
            path: "/v1/completions".to_owned(),
            headers: Vec::new(),
            api_key: None,
            id_prefix: "tare-".to_owned(),
            nonce: 99,
            continuous_usage: AtomicBool::new(false),
            bodies: Bodies::default(),
            leg: None,
            history,
        }),
        load,
        seed,
        tls: None,
        stamps: StampSource::User,
        leg: None,
        share,
        start: None,
    }
}

fn shared_of(plan: &Plan) -> Arc<Shared> {
    let (sink, _) = channel();
    let tellings =
        Tellings { live: Arc::default(), counters: Arc::new(Counters::default()), sink: sink.into() };
    let finisher = Finisher::start(tellings.clone()).unwrap();
    let shared = Arc::new(legs::shared(plan, &finisher, &tellings, &CancellationToken::new()).unwrap());
    drop(tellings);
    shared
}

/// Everything that a rank of an open loop would send.
fn sends(plan: &Plan) -> Vec<Sent> {
    let offsets = Offsets::new(&plan.load.arrival, plan.seed).unwrap();
    let mut source = open_loop::source(plan, offsets, &shared_of(plan));
    let mut all = Vec::new();
    while let Some(offset_s) = source.next_s() {
        let left = source.left();
        let Some(request) = source.request() else { break };
        assert_eq!(source.left(), left - 1);
        all.push((request.index, offset_s.to_bits(), request.prompt_index, request.bytes));
    }
    all
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let gaps = prop_oneof![
        Just(Gaps::Constant),
        Just(Gaps::Poisson),
        (0.2_f64..4.0).prop_map(|burstiness| Gaps::Gamma { burstiness })
    ];
    let change = prop_oneof![Just(Change::Linear), Just(Change::Exponential)];
    let over = prop_oneof![(1_u64..200).prop_map(Over::Requests), (1.0_f64..20.0).prop_map(Over::Seconds)];
    let rates = (0.5_f64..50.0, 0.5_f64..50.0);
    prop_oneof![
        Just(Arrival::Burst),
        (0.5_f64..50.0).prop_map(|rate_rps| Arrival::Constant { rate_rps }),
        (0.5_f64..50.0).prop_map(|rate_rps| Arrival::Poisson { rate_rps }),
        (0.5_f64..50.0, 0.2_f64..4.0)
            .prop_map(|(rate_rps, burstiness)| Arrival::Gamma { rate_rps, burstiness }),
        (gaps.clone(), change.clone(), rates.clone(), over).prop_map(
            |(gaps, change, (from_rps, to_rps), over)| Arrival::RateRamp {
                gaps,
                change,
                from_rps,
                to_rps,
                over
            }
        ),
        prop::collection::vec((gaps, change, rates, 0.5_f64..5.0), 1..4).prop_map(|stages| {
            let stage = |(gaps, change, (from_rps, to_rps), duration_s)| RateStage {
                gaps,
                from_rps,
                to_rps,
                change,
                duration_s,
            };
            Arrival::RateStages { stages: stages.into_iter().map(stage).collect() }
        }),
        prop::collection::vec(0.0_f64..20.0, 1..100).prop_map(|mut times| {
            times.sort_by(f64::total_cmp);
            Arrival::Trace { speed: 1.0, times: Times(times.into()) }
        }),
    ]
}

proptest! {
    #[test]
    fn the_ranks_of_an_open_loop_send_what_one_process_sends(
        arrival in arrival(),
        world in 1_u32..8,
        seed in any::<u64>(),
        requests in 1_u64..150,
        duration_s in prop::option::of(0.5_f64..10.0),
    ) {
        let load = Load { requests: Some(requests), duration_s, ..load(arrival, Connections::Warm) };
        let whole = sends(&plan(load.clone(), seed, Share::WHOLE, None));
        let mut union = Vec::new();
        for rank in 0..world {
            let share = Share { rank, world };
            let own = sends(&plan(load.clone(), seed, share, None));
            prop_assert!(own.iter().all(|(index, ..)| share.has(*index)));
            union.extend(own);
        }
        union.sort();
        prop_assert_eq!(union, whole);
    }

    /// Their numbers, their stays and their ramps are those of the whole.
    #[test]
    fn the_users_of_a_closed_loop_are_shared_and_keep_their_times(
        users in 1_u32..30,
        world in 1_u32..8,
        requests in 1_u64..150,
        ramp_s in 0.0_f64..10.0,
    ) {
        let stages = vec![
            UserStage { users, duration_s: 10.0, ramp_s },
            UserStage { users: users / 2, duration_s: 5.0, ramp_s: 1.0 },
        ];
        for arrival in [Arrival::Closed { users, ramp_s }, Arrival::UserStages { stages: stages.clone() }] {
            let load = Load { requests: Some(requests), ..load(arrival.clone(), Connections::Warm) };
            let starts = |plan: &Plan| -> Vec<(u32, Vec<u64>)> {
                let own = (0..plan.load.arrival.users().unwrap()).filter(|u| plan.share.has(u64::from(*u)));
                own.map(|user| {
                    let stays = closed_loop::stays_of(plan, user);
                    (user, stays.iter().flat_map(|s| [s.from_s.to_bits(), s.until_s.to_bits()]).collect())
                })
                .collect()
            };
            let (mut numbers, mut all_starts) = (Vec::new(), Vec::new());
            for rank in 0..world {
                let plan = plan(load.clone(), 0, Share { rank, world }, None);
                let own = plan.own_load();
                prop_assert_eq!(own.arrival.users().unwrap() as usize, starts(&plan).len());
                all_starts.extend(starts(&plan));
                let shared = shared_of(&plan);
                let mut sent = 0;
                while shared.has_more(sent) {
                    numbers.push(shared.next(Some((rank, sent))).unwrap().index);
                    sent += 1;
                }
                prop_assert_eq!(u64::from(sent), own.requests.unwrap());
                prop_assert!(shared.next(Some((rank, sent))).is_none());
            }
            numbers.sort_unstable();
            all_starts.sort();
            prop_assert_eq!(numbers, (0..requests).collect::<Vec<_>>());
            let whole = match &arrival {
                Arrival::Closed { .. } => (0..users)
                    .map(|u| (u, vec![user_start_s(u, users, ramp_s).to_bits(), f64::INFINITY.to_bits()]))
                    .collect::<Vec<_>>(),
                _ => (0..users)
                    .map(|u| {
                        let stays = shifts(&stages, u);
                        (u, stays.iter().flat_map(|s| [s.from_s.to_bits(), s.until_s.to_bits()]).collect())
                    })
                    .collect(),
            };
            prop_assert_eq!(all_starts, whole);
        }
    }
}

/// Conversations are shared by number, and no request of two ranks has one id.
#[test]
fn conversations_are_shared_by_number() {
    let (world, sessions) = (3, 20);
    let load =
        Load { requests: Some(sessions), ..load(Arrival::Poisson { rate_rps: 9.0 }, Connections::Warm) };
    let mut found = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for rank in 0..world {
        let plan = plan(load.clone(), 0, Share { rank, world }, Some(History::Answers));
        let shared = shared_of(&plan);
        while let Some(request) = shared.next(None) {
            let turn = request.in_session.as_ref().unwrap();
            assert_eq!(u64::from(request.prompt_index), turn.session % 7);
            found.push(turn.session);
            assert!(ids.insert(request.request_id.clone()) && request.index % 3 == u64::from(rank));
        }
    }
    found.sort_unstable();
    assert_eq!(found, (0..sessions).collect::<Vec<_>>());
}
