//! What is recorded of the server's side: clap types only, as written.

use clap::{ArgAction, Args};

/// What to record of the server's side.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server side")]
pub struct ObserveArgs {
    /// Metrics endpoints [default: /metrics of the base URL]
    #[arg(long, value_name = "URL", num_args = 1.., action = ArgAction::Append, conflicts_with = "no_server_metrics")]
    pub server_metrics: Vec<String>,
    /// Scrape no metrics
    #[arg(long)]
    pub no_server_metrics: bool,
    /// Time between scrapes [default: 1]
    #[arg(long, value_name = "SECONDS")]
    pub scrape_interval: Option<f64>,
    /// Server log to follow while it is written; - for standard input
    #[arg(long, value_name = "PATH")]
    pub server_log: Option<String>,
    /// File that vLLM's stat logger of tare (assets/vllm_tare_logger) writes, to follow
    #[arg(long, value_name = "PATH")]
    pub stat_log: Option<String>,
    /// Log of a gateway between client and server, repeatable in the order a request passes them
    #[arg(long, value_name = "[NAME=][KIND:]FILE", action = ArgAction::Append)]
    pub hop: Vec<String>,
    /// Receive OpenTelemetry spans, listening on HOST [default: 127.0.0.1]
    #[arg(long, value_name = "HOST", num_args = 0..=1, require_equals = true)]
    pub otlp: Option<Option<String>>,
    /// Receive no spans
    #[arg(long, conflicts_with_all = ["otlp", "otlp_grpc_port", "otlp_http_port"])]
    pub no_otlp: bool,
    /// Port for spans over gRPC; 0: any free one [default: 4317]
    #[arg(long, value_name = "PORT")]
    pub otlp_grpc_port: Option<u16>,
    /// Port for spans over HTTP; 0: any free one [default: 4318]
    #[arg(long, value_name = "PORT")]
    pub otlp_http_port: Option<u16>,
    /// Serve the client's own metrics to Prometheus while the run goes on, at /metrics of this port
    #[arg(long, value_name = "[HOST:]PORT")]
    pub listen_metrics: Option<String>,
    /// Send a span of each request to this OTLP/HTTP collector, or add it to this file; env: OTEL_* say
    #[arg(long, value_name = "URL|FILE|env")]
    pub export_spans: Option<String>,
    /// Header for that collector, repeatable; OTEL_EXPORTER_OTLP_HEADERS keeps a key out of the command
    #[arg(long, value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub export_spans_header: Vec<String>,
    /// Wait so long for late spans and lines of hops after the last request [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub span_wait: Option<f64>,
    /// By how much the server's clock differs from this one's at most (NTP, PTP: on both hosts)
    #[arg(long, value_name = "SECONDS")]
    pub clock_bound: Option<f64>,
}
