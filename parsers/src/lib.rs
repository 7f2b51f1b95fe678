//! Parsers for what inference servers and gateways say of themselves: lines and bytes in, typed
//! events out. No I/O, no async, no clock, no tables; never a panic on any input. A parser returns
//! what it understood *and* what it did not, so that both can be counted.
//!
//! ```
//! use tare_parsers::{Event, Parsed, vllm};
//!
//! let mut scratch = String::new();
//! let line = "(APIServer pid=1) INFO 11-24 15:11:29 [async_llm.py:578] Added request chatcmpl-7.";
//! let Parsed::Line(line) = vllm::parse(line, &mut scratch) else {
//!     panic!("a line of vLLM's");
//! };
//! assert_eq!(line.process, Some("APIServer"));
//! assert_eq!(line.event, Event::Added { request_id: "chatcmpl-7" });
//! ```

pub mod caddy;
pub mod envoy;
pub mod error;
pub mod event;
pub mod exposition;
mod exposition_sample;
pub mod haproxy;
mod haproxy_pairs;
mod head;
pub mod hop;
pub mod hop_headers;
mod hop_text;
mod json_line;
mod line;
pub mod litellm;
pub mod llama_cpp;
pub mod nginx;
pub mod pcap;
mod read;
pub mod server_timing;
pub mod sglang;
pub mod sglang_router;
pub mod sse;
mod syslog_frame;
pub mod tare_stat_log;
pub mod tare_tap;
pub mod tgi;
pub mod time;
mod tracing_line;
pub mod traefik;
pub mod uvicorn;
pub mod vllm;
mod vllm_stats;
mod wrapped;

pub use error::ParseError;
pub use event::{Event, GeneratedPhase, LogLine, Parsed, TimingOf, split_ids};
pub use hop::{Completeness, Hop, HopTime, Phases, Product, Try};
pub use tare_stat_log::RequestStats;
pub use time::LogTime;
pub use wrapped::{RunTimeLine, docker_line, run_time_line};

/// A log format: one file of this crate and one line in [`FORMATS`].
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub name: &'static str,
    pub description: &'static str,
    /// Whether the line's head is this format's.
    pub recognises: fn(&str) -> bool,
    /// Reads one line, given without or with its line end. The second argument is a buffer for the
    /// lines that must be decoded first (colours, JSON escapes), so that no line allocates.
    pub parse: for<'a> fn(&'a str, &'a mut String) -> Parsed<'a>,
}

/// Every log format. One that reads all lines of another stands before it: see [`detect`].
pub static FORMATS: &[Format] = &[
    Format {
        name: "vllm",
        description: "vLLM server log, 0.2 and later: plain, coloured, JSON, microsecond stamps, Rust front end; with uvicorn's lines in it",
        recognises: vllm::recognises,
        parse: vllm::parse,
    },
    Format {
        name: "uvicorn",
        description: "uvicorn access and server lines",
        recognises: uvicorn::recognises,
        parse: uvicorn::parse,
    },
    Format {
        name: "tare_stat_log",
        description: "finished requests by tare's own stat logger for vLLM, one JSON object a line",
        recognises: tare_stat_log::recognises,
        parse: tare_stat_log::parse,
    },
    Format {
        name: "sglang",
        description: "SGLang: the records of --export-metrics-to-file, and the log of --log-requests as JSON or text",
        recognises: sglang::recognises,
        parse: sglang::parse,
    },
    Format {
        name: "tgi",
        description: "Text Generation Inference's router, text or --json-output: durations of finished requests",
        recognises: tgi::recognises,
        parse: tgi::parse,
    },
    Format {
        name: "llama_cpp",
        description: "llama.cpp's server: timings of each finished task",
        recognises: llama_cpp::recognises,
        parse: llama_cpp::parse,
    },
    Format {
        name: "nginx",
        description: "nginx access log with timers and ids, as key=value pairs or JSON",
        recognises: nginx::recognises,
        parse: nginx::parse,
    },
    Format {
        name: "haproxy",
        description: "HAProxy HTTP log: httplog with captures, or key=value pairs; bare or in syslog's framings",
        recognises: haproxy::recognises,
        parse: haproxy::parse,
    },
    Format {
        name: "envoy",
        description: "Envoy access log: the default text, or JSON with every moment of a request",
        recognises: envoy::recognises,
        parse: envoy::parse,
    },
    Format {
        name: "caddy",
        description: "Caddy JSON log, access lines with log_append",
        recognises: caddy::recognises,
        parse: caddy::parse,
    },
    Format {
        name: "traefik",
        description: "Traefik access log, JSON or its common log format",
        recognises: traefik::recognises,
        parse: traefik::parse,
    },
    Format {
        name: "litellm",
        description: "LiteLLM's standard logging payload, one JSON object a line",
        recognises: litellm::recognises,
        parse: litellm::parse,
    },
    Format {
        name: "sglang_router",
        description: "SGLang's router (smg): when each answer began",
        recognises: sglang_router::recognises,
        parse: sglang_router::parse,
    },
    Format {
        name: "tare_tap",
        description: "exchanges that passed `tare tap`, one JSON object a line",
        recognises: tare_tap::recognises,
        parse: tare_tap::parse,
    },
];

/// The format that recognises the most of the lines given; the last, that is the narrowest, of
/// several that recognise equally many, and none if no line is recognised.
pub fn detect<'a>(lines: impl Iterator<Item = &'a str>) -> Option<&'static Format> {
    let mut counts = vec![0_usize; FORMATS.len()];
    for line in lines {
        for (count, format) in counts.iter_mut().zip(FORMATS) {
            *count += usize::from((format.recognises)(line));
        }
    }
    counts
        .into_iter()
        .zip(FORMATS)
        .filter(|(count, _)| *count > 0)
        .max_by_key(|(count, _)| *count)
        .map(|(_, format)| format)
}
