//! Bytes to the client: heads and events, each stamped and put on the record, and the faults that
//! strike a stream on its way out. This file must not know what an event says.

use std::time::Duration;

use super::body::Api;
use super::chunks;
use super::connection::log_access;
use super::exchange::{Exchange, Unfinished};
use super::head::ResponseHead;
use super::parts::Told;
use super::responses;
use super::script::Cut;

impl Exchange<'_> {
    /// Writes the access line, then the head.
    pub(super) async fn send_head(
        &mut self,
        status: u16,
        content_type: &str,
        length: Option<usize>,
    ) -> Result<(), Unfinished> {
        if !self.loses_line("access") {
            log_access(self.client, self.head, status);
        }
        self.row.status = status;
        self.response_bytes = length.unwrap_or(0) as u64;
        let response = ResponseHead {
            status,
            content_type,
            content_length: length,
            request_id: self.head.x_request_id.as_deref().filter(|_| self.shared.request_id_headers),
            allow: None,
            close: self.head.close,
            date: self.shared.clock.date(),
            pose: self.shared.embedded.pose,
        };
        self.row.head_unix_ns = Some(self.wire.write(&response.bytes()).await?);
        Ok(())
    }

    /// Writes the event in `out`, which carries so many tokens, unless a fault has something else.
    pub(super) async fn emit(&mut self, tokens: u32) -> Result<(), Unfinished> {
        if let Some(cut) = self.faults.cut.filter(|cut| self.token_events >= cut.after) {
            return self.cut(cut).await;
        }
        if self.row.stream && self.faults.stream_error.is_some_and(|after| self.token_events >= after) {
            return self.stream_error().await;
        }
        if tokens > 0 {
            self.token_events += 1;
            self.stall().await?;
        }
        if self.faults.keep_alive_comments {
            let mut comment = Vec::new();
            chunks::keep_alive(&mut comment);
            self.wire.write(&comment).await?;
        }
        let at = self.wire.write(&self.out).await?;
        if self.shared.truth.is_some() {
            self.row.events.push((at, tokens, self.out.len() as u32));
        }
        self.out.clear();
        Ok(())
    }

    /// Writes events one after another.
    pub(super) async fn tell(&mut self, told: &mut Told) -> Result<(), Unfinished> {
        let mut begin = 0;
        for event in std::mem::take(&mut told.events) {
            self.out.clear();
            self.out.extend_from_slice(told.bytes.get(begin..event.end).unwrap_or_default());
            begin = event.end;
            self.emit(event.tokens).await?;
            if event.visible {
                let written = self.row.events.last().map(|(at, ..)| *at);
                self.row.first_visible_unix_ns = self.row.first_visible_unix_ns.or(written);
            }
        }
        told.bytes.clear();
        Ok(())
    }

    async fn stall(&mut self) -> Result<(), Unfinished> {
        if let Some(late) = self.faults.late_first.filter(|_| self.token_events == 1) {
            self.applied("late_first");
            self.pause(late).await?;
        }
        let Some(stall) = self.faults.stall.filter(|stall| stall.at == self.token_events) else {
            return Ok(());
        };
        self.applied("stall");
        self.pause(stall.length).await
    }

    async fn pause(&mut self, length: Duration) -> Result<(), Unfinished> {
        tokio::select! {
            () = self.shared.timer.sleep(length) => Ok(()),
            () = self.wire.hung_up() => Err(Unfinished::ClientLeft),
        }
    }

    async fn cut(&mut self, cut: Cut) -> Result<(), Unfinished> {
        self.applied(if cut.clean { "cut_clean" } else { "cut" });
        if cut.clean && self.row.stream {
            self.wire.write(chunks::LAST_CHUNK).await?;
            return Err(Unfinished::Cut { reusable: true });
        }
        let half = self.out.len() / 2;
        self.wire.write(self.out.get(..half).unwrap_or_default()).await?;
        Err(Unfinished::Cut { reusable: false })
    }

    async fn stream_error(&mut self) -> Result<(), Unfinished> {
        self.applied("stream_error");
        self.client.log.error("serving.py:929", "Error in chat completion stream generator.");
        self.out.clear();
        if self.api == Api::Responses {
            responses::stream_error(&mut self.out);
            self.wire.write(&self.out).await?;
        } else {
            chunks::stream_error(&mut self.out);
            self.wire.write(&self.out).await?;
            self.out.clear();
            chunks::done(&mut self.out);
            self.wire.write(&self.out).await?;
        }
        self.wire.write(chunks::LAST_CHUNK).await?;
        Err(Unfinished::Cut { reusable: true })
    }
}
