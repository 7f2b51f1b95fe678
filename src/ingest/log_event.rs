//! A parser's event, which borrows the line, → the event kept in a row, which owns its text.

use tare_parsers::{Event, GeneratedPhase, split_ids};

use crate::record::LogEvent;
use crate::secrets::without_credentials;

/// The event to keep.
pub fn log_event(event: &Event<'_>) -> LogEvent {
    let owned = |text: &str| text.to_owned();
    match event {
        Event::Received { request_id } => LogEvent::Received { request_id: owned(request_id) },
        Event::Added { request_id } => LogEvent::Added { request_id: owned(request_id) },
        Event::Generated { request_id, phase, finish_reason } => LogEvent::Generated {
            request_id: owned(request_id),
            phase: owned(match phase {
                GeneratedPhase::Delta => "delta",
                GeneratedPhase::Complete => "complete",
                GeneratedPhase::Whole => "whole",
            }),
            finish_reason: finish_reason.map(owned),
        },
        Event::Finished { request_id, input_tokens, output_tokens, finish_reason } => LogEvent::Finished {
            request_id: owned(request_id),
            input_tokens: *input_tokens,
            output_tokens: *output_tokens,
            finish_reason: finish_reason.map(owned),
        },
        Event::RequestStats(stats) => match stats.request_id {
            Some(request_id) => LogEvent::Finished {
                request_id: owned(request_id),
                input_tokens: stats.input_tokens,
                output_tokens: stats.output_tokens,
                finish_reason: stats.finish_reason.map(owned),
            },
            None => LogEvent::Served {
                trace_id: stats.trace_id.map(owned),
                e2e_s: stats.e2e_s,
                queue_s: stats.queue_s,
                inference_s: stats.inference_s,
            },
        },
        Event::Timing { task, of, elapsed_s, tokens } => {
            LogEvent::Timing { task: *task, of: owned(of.as_str()), elapsed_s: *elapsed_s, tokens: *tokens }
        }
        Event::Aborted { request_ids } => {
            LogEvent::Aborted { request_ids: split_ids(request_ids).map(owned).collect() }
        }
        Event::Failed { request_id, reason } => LogEvent::Failed {
            request_id: request_id.map(owned),
            reason: without_credentials(reason).into_owned(),
        },
        Event::Access { client, port, method, path, status } => LogEvent::Access {
            client: owned(client),
            port: *port,
            method: owned(method),
            // A query may hold a key.
            path: owned(path.split('?').next().unwrap_or_default()),
            status: *status,
        },
        Event::Stats {
            engine,
            prompt_throughput_tps,
            generation_throughput_tps,
            running,
            waiting,
            kv_cache_usage,
            prefix_cache_hit_rate,
        } => LogEvent::Stats {
            engine: engine.map(owned),
            prompt_throughput_tps: *prompt_throughput_tps,
            generation_throughput_tps: *generation_throughput_tps,
            running: *running,
            waiting: *waiting,
            kv_cache_usage: *kv_cache_usage,
            prefix_cache_hit_rate: *prefix_cache_hit_rate,
        },
        Event::Iteration {
            number,
            context_requests,
            context_tokens,
            generation_requests,
            generation_tokens,
            elapsed_s,
            ..
        } => LogEvent::Iteration {
            number: *number,
            context_requests: *context_requests,
            context_tokens: *context_tokens,
            generation_requests: *generation_requests,
            generation_tokens: *generation_tokens,
            elapsed_s: *elapsed_s,
        },
        Event::Version { version } => LogEvent::Version { version: owned(version) },
        // A gateway's line in a server's log says nothing of the server.
        Event::Hop(_) | Event::Serving { .. } | Event::Other => LogEvent::Other,
    }
}
