//! Names of requests and traces: how vLLM builds its ids from `X-Request-Id`, and where random ones
//! come from. Ids differ between servers with the same seed, or two runs could not be told apart.
//! This file must not know what is named.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::body::Api;

/// A source of random ids.
pub struct Ids(ChaCha8Rng);

/// The three names of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestIds {
    /// What the client is told.
    pub response: String,
    /// What the log's `Received` line and spans say.
    pub external: String,
    /// What the engine and the log's `Added` and `Aborted` lines say.
    pub internal: String,
}

impl Ids {
    pub fn new() -> Self {
        // The standard hasher's keys are the operating system's randomness.
        let mut seed = [0_u8; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Names for a request; `given` is its own id, from the header or the body (responses: the body alone).
    pub fn request(&mut self, api: Api, given: Option<&str>) -> RequestIds {
        let base = given.map_or_else(|| self.hex(16), str::to_owned);
        let (response, external) = match api {
            Api::Chat => (format!("chatcmpl-{base}"), format!("chatcmpl-{base}")),
            // The engine side counts the prompts of one text completion.
            Api::Completions => (format!("cmpl-{base}"), format!("cmpl-{base}-0")),
            // A given one is the whole name; the engine side counts the turns of one response.
            Api::Responses => {
                let response = if given.is_some() { base } else { format!("resp_{base}") };
                (response.clone(), format!("{response}_0"))
            }
        };
        let internal = format!("{external}-{}", self.hex(8));
        RequestIds { response, external, internal }
    }

    /// So many hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut out = String::with_capacity(digits + 16);
        while out.len() < digits {
            let _ = write!(out, "{:016x}", self.0.next_u64());
        }
        out.truncate(digits);
        out
    }

    /// So many random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_built_as_vllm_builds_them() {
        let mut ids = Ids::new();
        let chat = ids.request(Api::Chat, Some("x-1"));
        assert_eq!((chat.response.as_str(), chat.external.as_str()), ("chatcmpl-x-1", "chatcmpl-x-1"));
        let suffix = chat.internal.strip_prefix("chatcmpl-x-1-").unwrap_or_default();
        assert!(suffix.len() == 8 && suffix.bytes().all(|b| b.is_ascii_hexdigit()));
        let text = ids.request(Api::Completions, Some("x-1"));
        assert_eq!((text.response.as_str(), text.external.as_str()), ("cmpl-x-1", "cmpl-x-1-0"));
        assert!(text.internal.starts_with("cmpl-x-1-0-"));
        let own = ids.request(Api::Chat, None);
        assert_eq!(own.response.len(), "chatcmpl-".len() + 16);
    }

    #[test]
    fn two_sources_do_not_repeat_each_other() {
        assert_ne!(Ids::new().hex(32), Ids::new().hex(32));
        assert_ne!(Ids::new().bytes::<16>(), Ids::new().bytes::<16>());
    }
}
