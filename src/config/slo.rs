//! The objectives of requests: `slo:` in the file, in seconds; `--goodput ttft:200` on the command line, in
//! milliseconds as in `vllm bench serve`. This file must not know what is concluded from them.

use super::check::{Check, Limits, Origins};
use super::suggest::nearest;
use crate::cli::SloArgs;
use crate::record::slo::Slo;

/// The flag's names, each with the file's field.
const NAMES: [(&str, &str); 3] = [("ttft", "slo.ttft_s"), ("tpot", "slo.tpot_s"), ("e2el", "slo.e2e_s")];

/// Notes which fields came from the flag.
pub fn origins(flags: &SloArgs, origins: &mut Origins) {
    for (name, field) in NAMES {
        if flags.goodput.iter().any(|text| text.split(':').next() == Some(name)) {
            origins.came_from(field, "--goodput");
        }
    }
}

/// The flag's objectives take the place of all of the file's, since goodput is of all together.
pub fn lay(flags: &SloArgs, slo: &mut Slo, check: &mut Check<'_>) {
    if !flags.goodput.is_empty() {
        *slo = Slo::default();
    }
    for text in &flags.goodput {
        let (name, limit) = text.split_once(':').unwrap_or((text, ""));
        let Ok(limit_ms) = limit.parse::<f64>() else {
            let hint =
                "for example `--goodput ttft:200 tpot:50`; a configuration file stands before the flag";
            check.problem("--goodput", format!("expected NAME:MILLISECONDS, found `{text}`"), hint);
            continue;
        };
        let place = match name {
            "ttft" => &mut slo.ttft_s,
            "tpot" => &mut slo.tpot_s,
            "e2el" => &mut slo.e2e_s,
            other => {
                let hint = match (other, nearest(other, NAMES.iter().map(|(name, _)| *name))) {
                    ("itl", _) => "`tpot` is the mean of a request's gaps between tokens".to_owned(),
                    (_, Some(word)) => format!("did you mean `{word}`?"),
                    (_, None) => "e2el is the whole request".to_owned(),
                };
                check.problem("--goodput", format!("expected ttft, tpot or e2el, found `{other}`"), hint);
                continue;
            }
        };
        if place.replace(limit_ms / 1e3).is_some() {
            check.problem("--goodput", format!("`{name}` is there twice"), "one limit for each");
        }
    }
}

/// Checks the limits.
pub fn resolve(given: Slo, check: &mut Check<'_>) -> Slo {
    let limits = Limits::above(0.0, 86_400.0, "seconds");
    let hint = "left out, it is no objective; `--goodput` counts in milliseconds, `slo` in seconds";
    Slo {
        ttft_s: check.real_or_none("slo.ttft_s", given.ttft_s, limits, hint),
        tpot_s: check.real_or_none("slo.tpot_s", given.tpot_s, limits, hint),
        e2e_s: check.real_or_none("slo.e2e_s", given.e2e_s, limits, hint),
    }
}
