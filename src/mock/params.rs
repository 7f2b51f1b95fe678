//! How an answer is to be sampled, as far as limits, spans and the log's `Received request` line
//! need it. This file must not know where the values come from.

use super::python;
use super::reject::Reject;

/// Sampling parameters with vLLM's defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    pub n: i64,
    pub presence_penalty: f64,
    pub frequency_penalty: f64,
    pub repetition_penalty: f64,
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: i64,
    pub min_p: f64,
    pub seed: Option<i64>,
    pub ignore_eos: bool,
    pub max_tokens: i64,
    pub min_tokens: i64,
}

impl Params {
    /// Refuses what vLLM refuses, in its words; and `n` other than 1, which this server cannot do.
    pub fn check(&self) -> Result<(), Reject> {
        if self.n != 1 {
            return Err(Reject::value(&format!("n must be 1, got {}.", self.n), "n", &self.n.to_string()));
        }
        let temperature = python::repr(self.temperature);
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            let what = format!("temperature must be non-negative, got {temperature}.");
            return Err(Reject::value(&what, "temperature", &temperature));
        }
        if self.temperature > 2.0 {
            let what = format!("temperature must be in [0, 2], got {temperature}.");
            return Err(Reject::value(&what, "temperature", &temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            let top_p = python::repr(self.top_p);
            return Err(Reject::value(&format!("top_p must be in (0, 1], got {top_p}."), "top_p", &top_p));
        }
        if self.max_tokens < 1 {
            let what = format!("max_tokens must be at least 1, got {}.", self.max_tokens);
            return Err(Reject::value(&what, "max_tokens", &self.max_tokens.to_string()));
        }
        if self.min_tokens < 0 || self.min_tokens > self.max_tokens {
            let what = format!(
                "min_tokens must be between 0 and max_tokens={}, got {}.",
                self.max_tokens, self.min_tokens
            );
            return Err(Reject::value(&what, "min_tokens", &self.min_tokens.to_string()));
        }
        Ok(())
    }

    /// As Python prints the object into the log.
    pub fn repr(&self) -> String {
        format!(
            "SamplingParams(n={}, presence_penalty={}, frequency_penalty={}, repetition_penalty={}, temperature={}, \
             watermarking=None, top_p={}, top_k={}, min_p={}, seed={}, stop=[], stop_token_ids=[], bad_words=[], \
             thinking_token_budget=None, include_stop_str_in_output=False, ignore_eos={}, max_tokens={}, \
             min_tokens={}, logprobs=None, prompt_logprobs=None, skip_special_tokens=True, \
             spaces_between_special_tokens=True, structured_outputs=None, extra_args=None)",
            self.n,
            python::repr(self.presence_penalty),
            python::repr(self.frequency_penalty),
            python::repr(self.repetition_penalty),
            python::repr(self.temperature),
            python::repr(self.top_p),
            self.top_k,
            python::repr(self.min_p),
            python::optional(self.seed),
            python::boolean(self.ignore_eos),
            self.max_tokens,
            self.min_tokens,
        )
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn params() -> Params {
        Params {
            n: 1,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            temperature: 0.8,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            seed: Some(3),
            ignore_eos: true,
            max_tokens: 52,
            min_tokens: 0,
        }
    }

    #[test]
    fn the_repr_is_the_captured_one() {
        assert_eq!(
            params().repr(),
            "SamplingParams(n=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, temperature=0.8, \
             watermarking=None, top_p=1.0, top_k=0, min_p=0.0, seed=3, stop=[], stop_token_ids=[], bad_words=[], \
             thinking_token_budget=None, include_stop_str_in_output=False, ignore_eos=True, max_tokens=52, \
             min_tokens=0, logprobs=None, prompt_logprobs=None, skip_special_tokens=True, \
             spaces_between_special_tokens=True, structured_outputs=None, extra_args=None)"
        );
    }

    #[test]
    fn impossible_values_are_refused_in_vllms_words() {
        let message = |params: Params| params.check().err().map(|r| r.message).unwrap_or_default();
        assert_eq!(message(params()), "");
        assert_eq!(
            message(Params { temperature: -3.0, ..params() }),
            "temperature must be non-negative, got -3.0. (parameter=temperature, value=-3.0)"
        );
        assert_eq!(
            message(Params { max_tokens: 0, ..params() }),
            "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"
        );
        assert!(message(Params { n: 2, ..params() }).starts_with("n must be 1, got 2."));
        assert!(message(Params { top_p: 0.0, ..params() }).starts_with("top_p must be in (0, 1], got 0.0."));
        assert!(message(Params { min_tokens: 60, ..params() }).starts_with("min_tokens"));
        assert!(message(Params { temperature: 2.5, ..params() }).contains("[0, 2]"));
    }
}
