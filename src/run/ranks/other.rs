//! Every other rank's part of the meeting: it answers rank 0's call, says how far it has come, and starts
//! when rank 0 says so. This file must not know what is sent.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::board::{self, Board};
use super::signs::Signs;
use super::words::{Answer, Call, Counts, Stage};
use super::{CALL, LOOK_EVERY, answer_of, stopped};
use crate::clock::UnixNs;
use crate::error::broken;
use crate::record::shard::Ahead;

/// A rank that is not the first.
pub(super) struct Other {
    board: Board<Answer>,
    folder: PathBuf,
    number: u64,
    patience: Duration,
    call: Call,
    /// Rank 0's clock is behind this one by no more.
    at_most_ns: i64,
    signs: Signs,
}

impl Other {
    /// Answers, and waits until rank 0 has heard it.
    pub(super) fn answer(
        folder: PathBuf,
        answer: Answer,
        patience: Duration,
        interrupt: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let number = answer.number;
        let board = Board::new(folder.join(answer_of(answer.rank)), answer)?;
        let (call, begun) = (Call::default(), Instant::now());
        let signs = Signs::new(begun);
        let mut other = Self { board, folder, number, patience, call, at_most_ns: i64::MAX, signs };
        loop {
            if let Some((call, _)) = board::read::<Call>(&other.folder.join(CALL))? {
                if call.run_id != other.call.run_id {
                    // Of an earlier run, perhaps: it is answered, and not believed.
                    other.board.post(|answer| answer.run_id.clone_from(&call.run_id))?;
                }
                other.call = call;
            }
            if other.is_heard() {
                break;
            }
            if begun.elapsed() > other.patience {
                return Err(broken(format!("rank 0 did not call within {} s", other.patience.as_secs()))
                    .hint(format!(
                        "is {} one folder for all ranks? Was rank 0 started?",
                        other.folder.display()
                    ))
                    .hint("--start-timeout waits longer")
                    .into());
            }
            other.pause(interrupt)?;
        }
        other.signs.look_again(Instant::now());
        other.look()?;
        Ok(other)
    }

    pub(super) fn run_id(&self) -> &str {
        &self.call.run_id
    }

    pub(super) fn ready(&self) -> anyhow::Result<()> {
        self.board.post(|answer| answer.stage = Stage::Ready)
    }

    /// Waits for the start: as it was named, on rank 0's clock.
    pub(super) fn await_start(&mut self, interrupt: &CancellationToken) -> anyhow::Result<UnixNs> {
        let mut signed = 0;
        loop {
            self.look()?;
            if let Some(start) = self.call.start_unix_ns {
                return Ok(start);
            }
            if self.call.sign > signed {
                signed = self.call.sign;
                self.board.post(|answer| answer.sign = signed)?;
            }
            self.pause(interrupt)?;
        }
    }

    /// This clock minus rank 0's, as far as their readings show.
    pub(super) fn ahead(&self) -> Option<Ahead> {
        let heard = self.call.heard.values().find(|heard| heard.number == self.number)?;
        let ahead = Ahead { at_least_ns: heard.ahead_at_least_ns, at_most_ns: self.at_most_ns };
        (ahead.at_least_ns <= ahead.at_most_ns).then_some(ahead)
    }

    pub(super) fn ended(&self, counts: Counts) -> anyhow::Result<()> {
        self.board.post(|answer| (answer.stage, answer.counts) = (Stage::Ended, counts))
    }

    pub(super) fn fail(&self, why: &str) {
        let _ = self.board.post(|answer| answer.failed = Some(why.to_owned()));
    }

    fn is_heard(&self) -> bool {
        self.call.heard.values().any(|heard| heard.number == self.number)
    }

    /// Reads what rank 0 says.
    fn look(&mut self) -> anyhow::Result<()> {
        if let Some((call, read)) = board::read::<Call>(&self.folder.join(CALL))?
            && call.run_id == self.call.run_id
        {
            self.signs.seen(call.said, Instant::now());
            self.at_most_ns = self.at_most_ns.min(read.0.saturating_sub(call.said_unix_ns.0));
            self.call = call;
        }
        if let Some(why) = &self.call.refused {
            return Err(broken(format!("rank 0 ended the run before its start: {why}")).into());
        }
        if let Some(silence) = self.signs.silent(self.patience, Instant::now()) {
            return Err(broken(format!("rank 0 has given no sign for {} s", silence.as_secs()))
                .hint("look at what it printed; was it killed?")
                .into());
        }
        Ok(())
    }

    fn pause(&self, interrupt: &CancellationToken) -> anyhow::Result<()> {
        if interrupt.is_cancelled() {
            self.fail("it was stopped");
            return Err(stopped());
        }
        std::thread::sleep(LOOK_EVERY);
        Ok(())
    }
}
