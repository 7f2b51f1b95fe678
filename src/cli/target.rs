//! Where requests go: clap types only, as written.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// Where requests go.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// The server's URL; without one the embedded server is started
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The server's host, instead of --base-url [default with --port: 127.0.0.1]
    #[arg(long, conflicts_with = "base_url")]
    pub host: Option<String>,
    /// The server's port, instead of --base-url [default with --host: 8000]
    #[arg(long, conflicts_with = "base_url")]
    pub port: Option<u16>,
    /// The API, and which server, where it names one [default: openai-chat, or what --endpoint says]
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// Path of the API below the base URL [default: the API's own, such as /v1/chat/completions]
    #[arg(long, value_name = "PATH")]
    pub endpoint: Option<String>,
    /// Whose metrics, log and spans to expect: vllm, sglang, tgi, llama.cpp … [default: as recognised]
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// The model's name [default: the first that /v1/models lists]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The model's name in the API, where it differs from --model
    #[arg(long, value_name = "NAME")]
    pub served_model_name: Option<String>,
    /// Header to send with each request; values are never written to files
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., action = ArgAction::Append)]
    pub header: Vec<String>,
    /// Environment variable that holds the API key [default: OPENAI_API_KEY, when set]
    #[arg(long, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// PEM file of an https server's certificate or its authorities [default: the system's authorities]
    #[arg(long, value_name = "PATH")]
    pub ca_cert: Option<PathBuf>,
    /// Take an https server's certificate without checking it
    #[arg(long, conflicts_with = "ca_cert")]
    pub insecure: bool,
    /// Wait this long for the server to answer before the run; 0: one try [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub ready_check_timeout_sec: Option<f64>,
}

/// `--backend`, in the words of `vllm bench serve`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Backend {
    // Chat completions
    #[value(name = "openai-chat")]
    OpenaiChat,
    // Text completions
    Openai,
    // Text completions
    Vllm,
    // Responses
    #[value(name = "openai-responses")]
    OpenaiResponses,
    // Text completions of SGLang
    Sglang,
    // Text completions of LMDeploy
    Lmdeploy,
    // Text completions of llama.cpp's server
    #[value(name = "llama.cpp", alias = "llama-cpp")]
    LlamaCpp,
    // Chat completions of Text Generation Inference
    Tgi,
    // Chat completions of TensorRT-LLM's trtllm-serve
    #[value(name = "tensorrt-llm", alias = "trtllm")]
    TensorrtLlm,
    // Chat completions of Ollama
    Ollama,
}

impl Backend {
    /// The server that it names, by its name in the table of servers; `None`: whichever it is.
    pub fn server(self) -> Option<&'static str> {
        match self {
            Backend::OpenaiChat | Backend::Openai | Backend::OpenaiResponses => None,
            Backend::Vllm => Some("vllm"),
            Backend::Sglang => Some("sglang"),
            Backend::Lmdeploy => Some("lmdeploy"),
            Backend::LlamaCpp => Some("llama_cpp"),
            Backend::Tgi => Some("tgi"),
            Backend::TensorrtLlm => Some("tensorrt_llm"),
            Backend::Ollama => Some("ollama"),
        }
    }
}
