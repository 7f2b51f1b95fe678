//! Rank 0's part of the meeting: it calls, waits for every answer, holds them against its own configuration,
//! names the start, and waits for every end. This file must not know what is sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::board::{self, Board};
use super::signs::Signs;
use super::words::{Answer, Call, Counts, Heard, Stage};
use super::{CALL, LOOK_EVERY, answer_of, same, stopped};
use crate::clock::UnixNs;
use crate::error::{Failure, broken, usage};

/// From the naming of the start until it, at least: connections are opened a second before it …
const LEAD_S: f64 = 2.0;
/// … and each rank must have read it by then, however slow the folder is: so many times as long as the
/// slowest took to give a sign.
const SIGNS_AHEAD: f64 = 4.0;
/// There will be no run; those who come so soon afterwards are told why.
const LATECOMERS: Duration = Duration::from_secs(5);
/// When this run is stopped, the others are too, and say so soon.
const STOPPED: Duration = Duration::from_secs(10);

/// Rank 0.
pub(super) struct First {
    board: Board<Call>,
    folder: PathBuf,
    run_id: String,
    world: u32,
    config: Value,
    patience: Duration,
    answers: BTreeMap<u32, Answer>,
    heard: BTreeMap<u32, Heard>,
    signs: BTreeMap<u32, Signs>,
}

impl First {
    pub(super) fn call(
        folder: PathBuf,
        run_id: String,
        world: u32,
        config: Value,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let call = Call { run_id: run_id.clone(), ..Call::default() };
        let board = Board::new(folder.join(CALL), call)?;
        let (answers, heard, signs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { board, folder, run_id, world, config, patience, answers, heard, signs })
    }

    /// Waits until all are ready; who is missing, or not of this run, is an error, of all.
    pub(super) fn all_ready(&mut self, interrupt: &CancellationToken) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut refused = None;
        loop {
            self.look()?;
            if let Some(refusal) = self.refusal() {
                // Who is heard only now is told as well, in place of waiting for a call.
                let since = *refused.get_or_insert_with(Instant::now);
                if self.answers.len() + 1 == self.world as usize || since.elapsed() > LATECOMERS {
                    return self.refuse(refusal);
                }
                self.pause(interrupt)?;
                continue;
            }
            let at = |stage: Stage| self.answers.values().filter(move |answer| answer.stage >= stage).count();
            if at(Stage::Ready) + 1 == self.world as usize {
                return Ok(());
            }
            let missing: Vec<u32> = (1..self.world).filter(|r| !self.answers.contains_key(r)).collect();
            if !missing.is_empty() && begun.elapsed() > self.patience {
                let refusal = broken(format!(
                    "{} of {} did not come within {} s",
                    ranks(&missing),
                    self.world,
                    self.patience.as_secs()
                ))
                .hint(format!(
                    "is {} one folder for all of them? Are they started at all?",
                    self.folder.display()
                ))
                .hint("--start-timeout waits longer");
                return self.refuse(refusal);
            }
            if let Some(refusal) = self.dead(|answer| answer.stage < Stage::Ready, "is not ready") {
                return self.refuse(refusal);
            }
            self.pause(interrupt)?;
        }
    }

    /// Names the start, so far ahead that each rank reads it in time.
    pub(super) fn name_start(&mut self, interrupt: &CancellationToken) -> anyhow::Result<UnixNs> {
        let asked = Instant::now();
        self.board.post(|call| call.sign = 1)?;
        while self.answers.values().any(|answer| answer.sign == 0) {
            self.look()?;
            if let Some(failed) = self.refusal() {
                return self.refuse(failed);
            }
            if let Some(refusal) = self.dead(|answer| answer.sign == 0, "cannot be told the start") {
                return self.refuse(refusal);
            }
            if asked.elapsed() > self.patience {
                return self.refuse(broken("not all ranks gave a sign before the start"));
            }
            self.pause(interrupt)?;
        }
        let lead_s = LEAD_S + SIGNS_AHEAD * asked.elapsed().as_secs_f64();
        let start = UnixNs::now().plus_seconds(lead_s);
        self.board.post(|call| call.start_unix_ns = Some(start))?;
        Ok(start)
    }

    /// Waits until all have ended, but not for those that are taken for dead. What they sent together, and who never
    /// said that it ended, and why.
    pub(super) fn all_ended(&mut self, own: Counts, interrupt: &CancellationToken) -> (Counts, Vec<String>) {
        let mut stopped: Option<Instant> = None;
        // Nobody looked while the load ran.
        let now = Instant::now();
        self.signs.values_mut().for_each(|signs| signs.look_again(now));
        let without = loop {
            // A folder that cannot be read now may be read later, or is silent.
            let _ = self.look();
            // Who said that it cannot go on says nothing more.
            let going_on = |answer: &&Answer| answer.stage < Stage::Ended && answer.failed.is_none();
            if interrupt.is_cancelled() {
                stopped.get_or_insert_with(Instant::now);
            }
            let over =
                self.answers.values().filter(going_on).all(|answer| self.silence(answer.rank).is_some());
            if over || stopped.is_some_and(|at| at.elapsed() > STOPPED) {
                let without = self.answers.values().filter(|answer| answer.stage < Stage::Ended);
                break without.map(|answer| self.without_end(answer)).collect();
            }
            std::thread::sleep(LOOK_EVERY);
        };
        let mut all = own;
        self.answers.values().for_each(|answer| all.add(answer.counts));
        (all, without)
    }

    /// Who never said that it ended, and what is known of it.
    fn without_end(&self, answer: &Answer) -> String {
        let who = answer.who();
        match (&answer.failed, self.silence(answer.rank)) {
            (Some(why), _) => format!("{who} could not go on ({why}) and never said that it ended"),
            (None, Some(silence)) => format!(
                "{who} gave no sign for {} s, was taken for dead, and never said that it ended",
                silence.as_secs()
            ),
            (None, None) => format!("{who} never said that it ended"),
        }
    }

    /// Nothing comes of this run.
    pub(super) fn fail(&self, why: &str) {
        let _ = self.board.post(|call| {
            // The first reason is the cause.
            if call.refused.is_none() {
                call.refused = Some(why.to_owned());
            }
        });
    }

    /// Reads every answer to this call.
    fn look(&mut self) -> anyhow::Result<()> {
        let mut is_news = false;
        for rank in 1..self.world {
            let Some((answer, read)) = board::read::<Answer>(&self.folder.join(answer_of(rank)))? else {
                continue;
            };
            if answer.run_id != self.run_id || answer.rank != rank {
                continue;
            }
            let at_least = answer.said_unix_ns.0.saturating_sub(read.0);
            let known = self.heard.get(&rank).filter(|heard| heard.number == answer.number);
            let best = known.map_or(at_least, |heard| heard.ahead_at_least_ns.max(at_least));
            // Told where it is news, or much surer than before: each telling is a write.
            let surer = known.is_none_or(|heard| best - heard.ahead_at_least_ns > 1_000_000);
            if surer {
                let heard = Heard { number: answer.number, ahead_at_least_ns: best };
                self.heard.insert(rank, heard);
                is_news = true;
            }
            let now = Instant::now();
            self.signs.entry(rank).or_insert_with(|| Signs::new(now)).seen(answer.said, now);
            self.answers.insert(rank, answer);
        }
        if is_news {
            let heard = self.heard.clone();
            self.board.post(|call| call.heard = heard)?;
        }
        Ok(())
    }

    /// Why there can be no run, if an answer says so.
    fn refusal(&self) -> Option<Failure> {
        let answers = self.answers.values();
        for answer in answers {
            let who = answer.who();
            if answer.world != self.world {
                return Some(
                    usage(format!("{who} is one of {}, and rank 0 one of {}", answer.world, self.world))
                        .hint("start all ranks with the same --world"),
                );
            }
            if let Some(why) = &answer.failed {
                return Some(broken(format!("{who} cannot go on: {why}")));
            }
            let found = same::differences(&self.config, &answer.config);
            if !found.is_empty() {
                return Some(
                    usage(format!("{who} was given another run: {}", found.join("; ")))
                        .hint("give all ranks the same configuration, flags and dataset"),
                );
            }
        }
        None
    }

    fn refuse<T>(&self, refusal: Failure) -> anyhow::Result<T> {
        self.fail(&refusal.to_string());
        Err(refusal.into())
    }

    /// That one of those who are waited for is taken for dead, and what that means.
    fn dead(&self, is_waited_for: impl Fn(&Answer) -> bool, and: &str) -> Option<Failure> {
        let mut waited_for = self.answers.values().filter(|answer| is_waited_for(answer));
        let (who, silence) =
            waited_for.find_map(|answer| Some((answer.who(), self.silence(answer.rank)?)))?;
        Some(
            broken(format!("{who} has given no sign for {} s, and {and}", silence.as_secs()))
                .hint("look at what it printed; was it killed?"),
        )
    }

    fn silence(&self, rank: u32) -> Option<Duration> {
        self.signs.get(&rank)?.silent(self.patience, Instant::now())
    }

    fn pause(&self, interrupt: &CancellationToken) -> anyhow::Result<()> {
        if interrupt.is_cancelled() {
            self.fail("rank 0 was stopped");
            return Err(stopped());
        }
        std::thread::sleep(LOOK_EVERY);
        Ok(())
    }
}

fn ranks(missing: &[u32]) -> String {
    let list: Vec<String> = missing.iter().map(u32::to_string).collect();
    format!("{} {}", if missing.len() == 1 { "rank" } else { "ranks" }, list.join(", "))
}
