//! Conversations: the next turn is sent when the answer has come and been thought about, with what was
//! said before in front of it. What an answer says is read where rows are made, after it has ended, and
//! only for conversations: the measured path is the same as ever. This file must not know sockets or
//! what started a conversation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::alarm::Alarm;
use super::client::Prepared;
use super::{Plan, Shared};
use crate::clock::UnixNs;
use crate::config::Connections;
use crate::record::share::Share;
use crate::record::{History, Message, Prompt, PromptKind, Status};

/// Where in a conversation a request stands.
#[derive(Clone, Debug)]
pub(super) struct InSession {
    /// From 0.
    pub(super) session: u64,
    /// From 1.
    pub(super) turn: u32,
    /// The conversation as it is sent, up to this turn.
    pub(super) prompt: Arc<Prompt>,
    /// Who is told what the answer says. Dropped without a word: the request failed.
    pub(super) waiting: Option<UnboundedSender<String>>,
}

impl InSession {
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.is_some()
    }
}

/// What the conversations of a load share.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Who ends the times to think; none where there are no conversations.
    alarm: Option<Alarm>,
    share: Share,
    /// Requests of all conversations, in the order in which they were made ready.
    requests: AtomicU64,
    after_failure: AtomicU64,
    at_the_end: AtomicU64,
}

/// Later turns of conversations that were begun, and why they were not sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TurnsUnsent {
    /// A turn before them failed.
    pub after_failure: u64,
    /// The run ended first.
    pub at_the_end: u64,
}

impl TurnsUnsent {
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            after_failure: self.after_failure + other.after_failure,
            at_the_end: self.at_the_end + other.at_the_end,
        }
    }
}

impl Sessions {
    pub(super) fn of(plan: &Plan) -> anyhow::Result<Self> {
        let alarm = plan.requests.history.map(|_| Alarm::start(plan.load.affinity.clone())).transpose()?;
        Ok(Self { alarm, share: plan.share, ..Self::default() })
    }

    /// Returns when the time has come.
    async fn until(&self, time: UnixNs) {
        if let Some(alarm) = &self.alarm {
            alarm.at(time).await;
        }
    }

    pub(super) fn turns_unsent(&self) -> TurnsUnsent {
        TurnsUnsent {
            after_failure: self.after_failure.load(Ordering::Relaxed),
            at_the_end: self.at_the_end.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// The first request of conversation number `session`.
    pub(super) fn begin_session(&self, session: u64, user: Option<u32>, close: bool) -> Option<Prepared> {
        let at = session.checked_rem(self.requests.prompts.len() as u64)?;
        let begin = self.requests.prompts.get(at as usize)?;
        // Later turns are looked up where they are; the request itself needs its own words only.
        let prompt = Arc::new(Prompt { turns: Vec::new(), ..begin.clone() });
        self.turn(InSession { session, turn: 1, prompt, waiting: None }, user, close)
    }

    /// Counts a request that will not be sent any more.
    pub(super) fn not_sent(&self, request: &Prepared) {
        match &request.in_session {
            Some(turn) if turn.turn > 1 => {
                self.broken_off(&self.sessions.at_the_end, turn.session, turn.turn - 1);
            }
            _ => drop(self.unsent.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn turn(&self, turn: InSession, user: Option<u32>, close: bool) -> Option<Prepared> {
        // Turns are numbered as they come; each rank has every N-th of these numbers.
        let own = self.sessions.requests.fetch_add(1, Ordering::Relaxed);
        let index = self.sessions.share.numbers(None).nth(own)?;
        self.requests.prepare_turn(turn, index, user, close).ok()
    }

    /// Counts the turns that come after the first `sent`.
    fn broken_off(&self, why: &AtomicU64, session: u64, sent: u32) {
        let begin = session.checked_rem(self.requests.prompts.len() as u64);
        let begin = begin.and_then(|at| self.requests.prompts.get(at as usize));
        let left = begin.map_or(0, |begin| begin.requests().saturating_sub(sent.into()));
        why.fetch_add(left, Ordering::Relaxed);
    }
}

/// The turn after one that is about to be sent.
pub(super) struct NextTurn {
    last: InSession,
    user: Option<u32>,
    answer: UnboundedReceiver<String>,
}

impl Prepared {
    /// What comes after its answer, where it is part of a conversation: asked for before it is sent.
    pub(super) fn next_turn(&mut self) -> Option<NextTurn> {
        let turn = self.in_session.as_mut()?;
        let last = turn.clone();
        let (waiting, answer) = unbounded_channel();
        turn.waiting = Some(waiting);
        Some(NextTurn { last, user: self.user, answer })
    }
}

impl NextTurn {
    /// Waits for the answer, which had come at `done`, and for the time to think: the next request, and
    /// when it is due. `None` when the conversation is over, or cannot go on. `status`: how the last request
    /// ended, as far as that is known.
    pub(super) async fn begin(
        mut self,
        shared: &Shared,
        status: Status,
        done: UnixNs,
    ) -> Option<(Prepared, UnixNs)> {
        let InSession { session, turn: sent, prompt, .. } = self.last;
        let requests = &shared.requests;
        let begin = requests.prompts.get(session.checked_rem(requests.prompts.len() as u64)? as usize)?;
        let next = begin.turns.get((sent as usize).checked_sub(1)?)?;
        // Sent when the row of the request is made; closed when that says that it failed.
        let Some(answer) = self.answer.recv().await else {
            // Cut short by the end of the run, it did not fail.
            let why = match status {
                Status::InFlight => &shared.sessions.at_the_end,
                _ => &shared.sessions.after_failure,
            };
            shared.broken_off(why, session, sent);
            return None;
        };
        let said = match requests.history? {
            History::Answers => answer,
            History::Dataset => next.answer.clone().unwrap_or(answer),
        };
        let mut messages = prompt.messages().into_owned();
        messages.push(Message::new("assistant", said));
        messages.extend(next.messages.iter().cloned());
        let chars = messages.iter().map(|message| message.content.chars().count() as u32).sum();
        let prompt = Prompt {
            kind: PromptKind::Chat(messages),
            max_tokens: next.max_tokens,
            chars,
            extra: prompt.extra.clone(),
            ..Prompt::default()
        };
        let due = done.plus_seconds(next.think_s);
        let close = shared.connections == Connections::PerRequest;
        let turn = InSession { session, turn: sent + 1, prompt: Arc::new(prompt), waiting: None };
        // Made ready while there is time.
        let request = shared.turn(turn, self.user, close)?;
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => {
                shared.broken_off(&shared.sessions.at_the_end, session, sent);
                None
            }
            () = shared.sessions.until(due) => Some((request, due)),
        }
    }
}
