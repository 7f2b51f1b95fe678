//! The answer of a stream, told in the events of the API that was asked. This file must not know when
//! anything is sent.

use crate::config::Pose;

use super::body::{Api, Job};
use super::chunks::{self, Chunks, Label};
use super::parts::{Part, Parts, Told};
use super::pose::Posed;
use super::registry::Finished;
use super::responses::Responses;

/// Tells one answer.
pub enum Teller {
    Chunks(Chunks),
    Responses(Box<Responses>),
    /// As another server than vLLM tells it.
    Posed(Posed),
}

/// What is told at a time.
#[derive(Clone, Copy)]
pub struct Piece<'a> {
    pub part: Part,
    pub text: &'a str,
    /// Tokens of it, and of the answer up to and with it.
    pub tokens: u32,
    pub so_far: u32,
    /// It is the last one.
    pub done: Option<&'a Finished>,
}

impl Teller {
    pub fn new(job: &Job, label: &Label<'_>, parts: Parts) -> Self {
        match job.api {
            Api::Chat | Api::Completions if label.pose != Pose::Vllm => Self::Posed(Posed::new(job, label)),
            Api::Responses => Self::Responses(Box::new(Responses::new(job, label))),
            Api::Chat | Api::Completions => Self::Chunks(Chunks::new(job, label, parts.reasoning > 0)),
        }
    }

    /// What is told before there is a token.
    pub fn begin(&mut self, told: &mut Told) {
        if let Self::Responses(responses) = self {
            responses.begin(told);
        }
    }

    /// One piece; the first one has the role before it, where an API has that.
    pub fn piece(&mut self, piece: &Piece<'_>, told: &mut Told) {
        match self {
            Self::Chunks(chunks) => {
                if piece.tokens == piece.so_far {
                    chunks.role(&mut told.bytes);
                    told.event(0, false);
                }
                chunks.piece(piece, &mut told.bytes);
                told.event(piece.tokens, piece.part == Part::Text && !piece.text.is_empty());
            }
            Self::Responses(responses) => responses.piece(piece, told),
            Self::Posed(posed) => posed.piece(piece, told),
        }
    }

    /// What is told after the last piece.
    pub fn end(&mut self, done: &Finished, in_band: bool, told: &mut Told) {
        match self {
            Self::Chunks(chunks) => {
                chunks.usage(done, in_band, &mut told.bytes);
                told.event(0, false);
                chunks::done(&mut told.bytes);
                told.event(0, false);
            }
            Self::Responses(responses) => responses.end(done, in_band, told),
            Self::Posed(posed) => posed.end(done, told),
        }
    }
}
