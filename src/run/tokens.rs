//! Tokens and the server: who counts them, whether that is the server's way of counting, and whether
//! what is to be sent fits into its context. This file must not know when anything is sent.

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{secrets, target};
use crate::config::{Config, Tokenizer};
use crate::error::{Explain, broken, usage};
use crate::net::HttpUrl;
use crate::record::Prompt;
use crate::server::Server;
use crate::server::probe::Probe;
use crate::server::tokenize::{self, Dialect};
use crate::store::Manifest;
use crate::units::count;
use crate::workload::local::Local;
use crate::workload::tokens::{COMMON, Tokens};
use crate::workload::{self, Workload};

/// Texts on which two tokenizers that differ are likely to differ: words, numbers, code, other scripts.
const PROBES: [&str; 4] = [
    "The quick brown fox jumps over 12345 lazy dogs, doesn't it?",
    "fn main() {\n    println!(\"{:>8.3}\", x_values[0] + 3.14159);\n}\n",
    "Größenordnungsmäßig: naïve café, 北京市, Привет, 😀",
    "internationalisation  of\tcounterrevolutionaries",
];

/// The prompts of a run, read or made, and counted as it says; by the server where that is asked for.
pub fn workload(config: &Config, interrupt: &CancellationToken) -> anyhow::Result<Workload> {
    if config.workload.tokenizer != Some(Tokenizer::Server) {
        return workload::load(&config.workload, config.seed);
    }
    let Some(base_url) = &config.target.base_url else {
        return Err(usage("the embedded server is not there yet when prompts are made")
            .hint("start one with `tare serve` and name it with --base-url, or name a tokenizer.json")
            .into());
    };
    let url = HttpUrl::parse(base_url)?;
    let probe = target::ask_server(config, &url, interrupt)?;
    let (kind, _) = target::kind(config, Some(&probe))?;
    let model = target::choose_model(config, &probe)?;
    let served = Served::new(config, kind, &url, model)?;
    let without = "does the server have /tokenize? Name a tokenizer.json with --tokenizer instead";
    served.count(PROBES[0]).hint(without)?;
    workload::load_with(&config.workload, config.seed, &served)
}

/// The server's tokenizer, waited for.
struct Served {
    asked: tokenize::Tokenizer,
    runtime: Runtime,
    name: String,
    secrets: crate::secrets::Secrets,
}

impl Served {
    fn new(config: &Config, kind: &Server, url: &HttpUrl, model: String) -> anyhow::Result<Self> {
        let mut headers = config.target.headers.clone();
        if let Some(key) = &config.target.api_key {
            headers.push(("Authorization".to_owned(), format!("Bearer {key}")));
        }
        let dialect = if kind.name == "llama_cpp" { Dialect::Content } else { Dialect::Prompt };
        let name = format!("the server's /tokenize, model `{model}`");
        let trust = target::trust(config);
        Ok(Self {
            asked: tokenize::Tokenizer { base_url: url.to_string(), model, headers, trust, dialect },
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            name,
            secrets: secrets(config),
        })
    }
}

impl Tokens for Served {
    fn count(&self, text: &str) -> anyhow::Result<u32> {
        let counted = self.runtime.block_on(self.asked.count(text));
        counted.map_err(|error| broken(self.secrets.clean(&error))).or_broken("the server counts no tokens")
    }

    fn special(&self) -> anyhow::Result<u32> {
        // No server counts an empty text; what a text has once, however often it says the same, is special.
        let (once, twice) = (self.count(" a a")?, self.count(" a a a a")?);
        Ok((2 * once).saturating_sub(twice))
    }

    fn words(&self) -> &[String] {
        &COMMON
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_quick(&self) -> bool {
        false
    }
}

/// Holds the tokenizer of this machine against the server's, where that has one to ask.
pub(super) fn check(
    config: &Config,
    kind: &Server,
    url: &HttpUrl,
    model: &str,
    manifest: &mut Manifest,
) -> anyhow::Result<()> {
    let Some(Tokenizer::File(path)) = &config.workload.tokenizer else { return Ok(()) };
    let (here, there) = (Local::open(path)?, Served::new(config, kind, url, model.to_owned())?);
    for text in PROBES {
        let ours = here.count(text)?;
        let Ok(theirs) = there.count(text) else {
            manifest.note(
                "the server has no /tokenize: whether the tokenizer named is its own shows only in the answers' usage",
            );
            return Ok(());
        };
        if ours != theirs {
            let said = format!(
                "the tokenizer does not match the server's: {} counts {ours} tokens in `{}`, the server {theirs}",
                here.name().unwrap_or_default(),
                text.replace('\n', " ")
            );
            if config.workload.allow_tokenizer_mismatch {
                manifest.warn(said);
                return Ok(());
            }
            return Err(usage(said)
                .hint("name that of the model which is served, or ask the server: --tokenizer server")
                .hint("--allow-tokenizer-mismatch goes on; lengths are then not what the server counts")
                .into());
        }
    }
    manifest.note("the tokenizer counts some texts, of several scripts, as the server does");
    Ok(())
}

/// Cuts conversations to what the server's context holds, and refuses prompts if none fits; those that
/// do not among others that do are only counted, for the server refuses them itself.
pub(super) fn fit(
    config: &Config,
    probe: &Probe,
    model: &str,
    workload: &mut Workload,
    manifest: &mut Manifest,
) -> anyhow::Result<()> {
    let embedded = config.target.base_url.is_none().then_some(config.target.embedded.max_model_len);
    let Some(limit) = embedded.or_else(|| probe.max_model_len.get(model).copied()) else { return Ok(()) };
    let n = workload.prompts.len() as u64;
    if workload.history.is_some() {
        let cut = workload.cut_turns(limit);
        if cut > 0 {
            manifest.note(format!(
                "{} later turns of conversations were left out: with them a conversation could outgrow the model's {} tokens",
                count(cut),
                count(limit.into())
            ));
        }
    }
    // An estimate says nothing of a prompt that nearly fits.
    let surely = |prompt: &&Prompt| {
        let tokens = prompt.exact_tokens.unwrap_or(prompt.approx_tokens / 2);
        u64::from(tokens) + u64::from(prompt.max_tokens.unwrap_or(1)) > u64::from(limit)
    };
    let too_long = workload.prompts.iter().filter(surely).count() as u64;
    if too_long == n {
        let longest = workload.prompts.iter().map(Prompt::tokens).max().unwrap_or_default();
        let answer = workload.prompts.iter().filter_map(|p| p.max_tokens).max().unwrap_or_default();
        return Err(usage(format!(
            "no prompt fits: the model has room for {} tokens, and prompts have up to {} with answers of up to {}",
            count(limit.into()),
            count(longest.into()),
            count(answer.into())
        ))
        .hint("ask for shorter ones, or serve the model with a larger --max-model-len")
        .into());
    }
    if too_long > 0 {
        manifest.warn(format!(
            "{} of {} prompts do not fit into the model's {} tokens with their answers: the server will refuse them",
            count(too_long),
            count(n),
            count(limit.into())
        ));
    }
    Ok(())
}
