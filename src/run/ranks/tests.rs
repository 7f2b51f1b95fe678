//! Ranks that meet in one folder, each on a thread of its own.

use std::sync::Arc;

use super::other::Other;
use super::words::Stage;
use super::*;
use crate::record::share::Share;

fn answer(rank: u32, world: u32, config: serde_json::Value) -> Answer {
    Answer { number: u64::from(rank) + 77, rank, world, config, ..Answer::default() }
}

fn first(folder: &Path, run_id: &str, world: u32, patience: Duration) -> First {
    First::call(folder.to_owned(), run_id.to_owned(), world, serde_json::json!({"seed": 1}), patience)
        .unwrap()
}

const PATIENCE: Duration = Duration::from_mins(1);

/// What an earlier run left in the folder: a call with a start, and answers of ranks that were ready.
fn leave_an_earlier_run(folder: &Path) {
    let stop = CancellationToken::new();
    let world = 3;
    let mut earlier = first(folder, "00000000000000aa", world, PATIENCE);
    std::thread::scope(|scope| {
        for rank in 1..world {
            let (folder, stop) = (folder.to_owned(), stop.clone());
            scope.spawn(move || {
                let answer = Answer { number: 5, ..answer(rank, world, serde_json::json!({"seed": 1})) };
                let mut other = Other::answer(folder, answer, PATIENCE, &stop).unwrap();
                other.ready().unwrap();
                other.await_start(&stop).unwrap();
                other.ended(Counts { sent: 1000, ok: 1000, ..Counts::default() }).unwrap();
            });
        }
        earlier.all_ready(&stop).unwrap();
        earlier.name_start(&stop).unwrap();
        earlier.all_ended(Counts::default(), &stop);
    });
}

#[test]
fn ranks_meet_whatever_an_earlier_run_left_and_start_at_one_time() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    leave_an_earlier_run(&folder);
    let stop = CancellationToken::new();
    let world = 3;
    let heard: Vec<(UnixNs, String, Ahead)> = std::thread::scope(|scope| {
        // They are there first, and find only the earlier run.
        let others: Vec<_> = (1..world)
            .map(|rank| {
                let (folder, stop) = (folder.clone(), stop.clone());
                scope.spawn(move || {
                    let answer = answer(rank, world, serde_json::json!({"seed": 1}));
                    let mut other = Other::answer(folder, answer, PATIENCE, &stop).unwrap();
                    other.ready().unwrap();
                    let start = other.await_start(&stop).unwrap();
                    other.ended(Counts { sent: 10, ok: u64::from(rank), ..Counts::default() }).unwrap();
                    (start, other.run_id().to_owned(), other.ahead().unwrap())
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        assert!(others.iter().all(|other| !other.is_finished()), "they took an earlier run for this one");
        let mut first = first(&folder, "00000000000000bb", world, PATIENCE);
        first.all_ready(&stop).unwrap();
        let start = first.name_start(&stop).unwrap();
        assert!(start > UnixNs::now());
        let (all, silent) = first.all_ended(Counts { sent: 10, ..Counts::default() }, &stop);
        assert_eq!((all.sent, all.ok, silent.len()), (30, 3, 0));
        let heard: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
        assert!(heard.iter().all(|(at, ..)| *at == start));
        heard
    });
    for (_, run_id, ahead) in heard {
        assert_eq!(run_id, "00000000000000bb");
        // One process, one clock: what each read of the other holds the truth.
        assert!(ahead.at_least_ns <= 0 && ahead.at_most_ns >= 0, "{ahead:?}");
    }
}

#[test]
fn a_rank_that_was_given_another_run_is_named_and_all_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Arc::new(dir.path().to_owned());
    let stop = CancellationToken::new();
    std::thread::scope(|scope| {
        let others: Vec<_> = [(1, 1), (2, 9)]
            .map(|(rank, seed)| {
                let (folder, stop) = (Arc::clone(&folder), stop.clone());
                scope.spawn(move || {
                    let answer = answer(rank, 3, serde_json::json!({"seed": seed}));
                    let mut other = Other::answer(folder.to_path_buf(), answer, PATIENCE, &stop)?;
                    other.ready()?;
                    other.await_start(&stop)
                })
            })
            .into();
        let mut first = first(&folder, "00000000000000cc", 3, PATIENCE);
        let refused = first.all_ready(&stop).unwrap_err();
        assert_eq!(error::exit(&refused), error::Exit::Usage);
        let said = refused.to_string();
        assert!(said.starts_with("rank 2") && said.contains("seed is 1 on rank 0, 9 there"), "{said}");
        for other in others {
            let told = other.join().unwrap().unwrap_err().to_string();
            assert!(told.contains("seed is 1 on rank 0, 9 there"), "{told}");
        }
    });
}

#[test]
fn ranks_that_do_not_come_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let soon = Duration::from_millis(100);
    let missing = first(dir.path(), "00000000000000dd", 3, soon).all_ready(&stop).unwrap_err().to_string();
    assert_eq!(missing, "ranks 1, 2 of 3 did not come within 0 s");
    let alone = tempfile::tempdir().unwrap();
    let answer = answer(1, 2, serde_json::Value::Null);
    let uncalled = Other::answer(alone.path().to_owned(), answer, soon, &stop).err().unwrap().to_string();
    assert_eq!(uncalled, "rank 0 did not call within 0 s");
}

#[test]
fn a_start_is_set_right_only_where_clocks_surely_differ() {
    let ahead = |at_least_ns, at_most_ns| Some(Ahead { at_least_ns, at_most_ns });
    assert_eq!(surely_ahead_ns(None), 0);
    assert_eq!(surely_ahead_ns(ahead(-30, 20)), 0);
    assert_eq!(surely_ahead_ns(ahead(100, 200)), 100);
    assert_eq!(surely_ahead_ns(ahead(-200, -100)), -100);
    assert_eq!(Stage::default(), Stage::Here);
    assert_eq!(
        shard_folder(Path::new("out"), Share { rank: 12, world: 20 }.rank),
        Path::new("out/shard-0012")
    );
}
