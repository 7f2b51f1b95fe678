//! What an answer is made of, token by token: reasoning, then text, then the call of a tool; and the events
//! that tell it, put together before any is sent. This file must not know how an event is written.

/// A stretch of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    Reasoning,
    Text,
    /// Its first tokens name the function, the others are its arguments.
    Tool,
}

/// Where the stretches lie.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Parts {
    /// So many tokens of reasoning come first.
    pub reasoning: u32,
    /// What comes after so many tokens is a call, and no text.
    pub tool_after: Option<u32>,
}

impl Parts {
    /// The stretch of the answer's token of this number, from 0.
    pub fn at(self, token: u32) -> Part {
        if token < self.reasoning {
            Part::Reasoning
        } else if self.tool_after.is_some_and(|after| token >= after) {
            Part::Tool
        } else {
            Part::Text
        }
    }
}

/// What a whole answer says.
#[derive(Debug, Default)]
pub struct Said {
    pub reasoning: String,
    pub text: String,
    pub tool: Option<String>,
}

impl Said {
    pub fn part(&mut self, part: Part) -> &mut String {
        match part {
            Part::Reasoning => &mut self.reasoning,
            Part::Text => &mut self.text,
            Part::Tool => self.tool.get_or_insert_default(),
        }
    }
}

/// Events that are ready to be sent.
#[derive(Default)]
pub struct Told {
    pub bytes: Vec<u8>,
    pub events: Vec<Ready>,
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Ready {
    /// Where its bytes end.
    pub end: usize,
    /// Tokens that it carries.
    pub tokens: u32,
    /// A reader sees its text.
    pub visible: bool,
}

impl Told {
    /// What was just written to `bytes` is an event, unless it is nothing.
    pub fn event(&mut self, tokens: u32, visible: bool) {
        let end = self.bytes.len();
        if self.events.last().is_none_or(|last| last.end < end) && end > 0 {
            self.events.push(Ready { end, tokens, visible });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stretches_follow_each_other() {
        use Part::{Reasoning, Text, Tool};
        let parts = Parts { reasoning: 2, tool_after: Some(4) };
        let all: Vec<Part> = (0..6).map(|token| parts.at(token)).collect();
        assert_eq!(all, [Reasoning, Reasoning, Text, Text, Tool, Tool]);
        assert_eq!(Parts::default().at(0), Text);
    }
}
