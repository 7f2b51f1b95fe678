//! What runs are compared by: each measure's key, name, quantity, and which way is better. Keys are those
//! of `vllm bench serve` where it has the figure. This file must not know how one is computed.

use serde::{Serialize, Serializer};

/// A measure of a run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Ttft,
    Itl,
    Tpot,
    E2e,
    UserThroughput,
    RequestThroughput,
    OutputThroughput,
    TotalThroughput,
    Goodput,
    Failed,
    ServerTtft,
    ServerQueue,
    ServerPrefill,
    ServerDecode,
    TareTtft,
    InputTokens,
    OutputTokens,
}

/// What a measure is a number of; files have seconds, gates milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quantity {
    Seconds,
    TokensPerSecond,
    RequestsPerSecond,
    Percent,
    Tokens,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Better {
    Less,
    More,
    /// It is a condition of the run, or neither.
    Neither,
}

/// What is known of a measure beforehand.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub measure: Measure,
    /// As gates name it, without statistic and unit.
    pub key: &'static str,
    /// Other spellings of the same.
    pub alias: Option<&'static str>,
    pub title: &'static str,
    pub quantity: Quantity,
    pub better: Better,
    /// One value per request (or gap): it has a mean and percentiles. Else it is one figure of the run.
    pub distributed: bool,
    pub definition: &'static str,
}

/// Every measure, in the order of tables.
pub const MEASURES: &[About] = &[
    *FIRST,
    times(Measure::Itl, "itl", "ITL, pooled gaps", "gaps between token-bearing events, all requests pooled"),
    times(
        Measure::Tpot,
        "tpot",
        "TPOT",
        "per request: (duration − TTFT) / (output tokens − 1), which is its mean Inter-Token Latency",
    ),
    About {
        alias: Some("e2e"),
        ..times(Measure::E2e, "e2el", "Request Duration", "last token − the request's start")
    },
    About {
        quantity: Quantity::TokensPerSecond,
        better: Better::More,
        ..times(
            Measure::UserThroughput,
            "user_throughput",
            "Token Throughput",
            "per request: output tokens / duration",
        )
    },
    whole(
        Measure::RequestThroughput,
        "request_throughput",
        "Requests/s",
        Quantity::RequestsPerSecond,
        "successful requests / time from the first start to the last end",
    ),
    whole(
        Measure::OutputThroughput,
        "output_throughput",
        "Output tokens/s",
        Quantity::TokensPerSecond,
        "output tokens of successful requests / the same time",
    ),
    whole(
        Measure::TotalThroughput,
        "total_token_throughput",
        "All tokens/s",
        Quantity::TokensPerSecond,
        "input and output tokens of successful requests / the same time",
    ),
    About {
        alias: Some("goodput"),
        ..whole(
            Measure::Goodput,
            "request_goodput",
            "Goodput",
            Quantity::RequestsPerSecond,
            "requests that met every objective of `--goodput` / the same time; a failed request misses",
        )
    },
    About {
        better: Better::Less,
        ..whole(
            Measure::Failed,
            "failed_percent",
            "Failed requests",
            Quantity::Percent,
            "failed / ended requests",
        )
    },
    times(
        Measure::ServerTtft,
        "server_ttft",
        "Server: TTFT",
        "arrival at the server's front end → first token there",
    ),
    times(Measure::ServerQueue, "server_queue", "Server: queue", "waiting for the scheduler"),
    times(
        Measure::ServerPrefill,
        "server_prefill",
        "Server: prefill",
        "scheduled → first token in the engine",
    ),
    times(Measure::ServerDecode, "server_decode", "Server: decode", "first → last token in the engine"),
    times(Measure::TareTtft, "tare_ttft", "Tare of TTFT", "per request: client's TTFT − the server's"),
    of_the_load(
        Measure::InputTokens,
        "input_tokens",
        "Input tokens",
        "per request, as the server counts them",
    ),
    of_the_load(
        Measure::OutputTokens,
        "output_tokens",
        "Output tokens",
        "per request, as the server counts them",
    ),
];

const FIRST: &About =
    &times(Measure::Ttft, "ttft", "TTFT", "first event that bears an output token − the request's start");

const fn times(measure: Measure, key: &'static str, title: &'static str, definition: &'static str) -> About {
    About {
        measure,
        key,
        alias: None,
        title,
        quantity: Quantity::Seconds,
        better: Better::Less,
        distributed: true,
        definition,
    }
}

const fn whole(
    measure: Measure,
    key: &'static str,
    title: &'static str,
    quantity: Quantity,
    definition: &'static str,
) -> About {
    About { measure, key, alias: None, title, quantity, better: Better::More, distributed: false, definition }
}

const fn of_the_load(
    measure: Measure,
    key: &'static str,
    title: &'static str,
    definition: &'static str,
) -> About {
    About {
        measure,
        key,
        alias: None,
        title,
        quantity: Quantity::Tokens,
        better: Better::Neither,
        distributed: true,
        definition,
    }
}

impl Measure {
    /// What is known of it.
    pub fn about(self) -> &'static About {
        // Every variant has its line (a test says so); the first stands in for the impossible.
        MEASURES.iter().find(|about| about.measure == self).unwrap_or(FIRST)
    }
}

/// Which figure of a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stat {
    Mean,
    /// In percent, linear interpolation.
    Percentile(f64),
    /// The run's only figure of it.
    Whole,
}

/// One figure of a run, as gates and files name it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    pub measure: Measure,
    pub stat: Stat,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = self.measure.about();
        match self.stat {
            Stat::Mean => write!(f, "mean_")?,
            Stat::Percentile(50.0) => write!(f, "median_")?,
            Stat::Percentile(p) => write!(f, "p{p}_")?,
            Stat::Whole => {}
        }
        let unit = if about.quantity == Quantity::Seconds { "_ms" } else { "" };
        write!(f, "{}{unit}", about.key)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Key {
    /// The figure of this name; `None` where there is none. A name may say `_s` for `_ms`: it is the same
    /// figure, whose thresholds are then seconds.
    pub fn parse(name: &str) -> Option<Self> {
        let found = |stat: Stat, rest: &str| {
            MEASURES.iter().find_map(|about| {
                let spelt = |key: &str| match about.quantity {
                    Quantity::Seconds => {
                        rest.strip_prefix(key).is_some_and(|unit| unit == "_ms" || unit == "_s")
                    }
                    _ => rest == key,
                };
                let named = spelt(about.key) || about.alias.is_some_and(spelt);
                let fits = about.distributed == (stat != Stat::Whole);
                (named && fits).then_some(Self { measure: about.measure, stat })
            })
        };
        if let Some(key) = found(Stat::Whole, name) {
            return Some(key);
        }
        let (stat, rest) = name.split_once('_')?;
        let stat = match stat {
            "mean" => Stat::Mean,
            "median" => Stat::Percentile(50.0),
            _ => {
                let digits =
                    stat.strip_prefix('p').filter(|d| d.starts_with(|c: char| c.is_ascii_digit()))?;
                let percent =
                    digits.parse().ok().filter(|percent| (0.0..100.0).contains(percent) && *percent > 0.0)?;
                Stat::Percentile(percent)
            }
        };
        found(stat, rest)
    }

    /// Names of usual figures, to find what a misspelt one was meant to be.
    pub fn usual() -> Vec<String> {
        let stats = [
            Stat::Mean,
            Stat::Percentile(50.0),
            Stat::Percentile(90.0),
            Stat::Percentile(95.0),
            Stat::Percentile(99.0),
        ];
        MEASURES
            .iter()
            .flat_map(|about| {
                let stats: &[Stat] = if about.distributed { &stats } else { &[Stat::Whole] };
                stats
                    .iter()
                    .map(|stat| Self { measure: about.measure, stat: *stat }.to_string())
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_measure_has_its_line_and_its_own_key() {
        let all = [
            Measure::Ttft,
            Measure::Itl,
            Measure::Tpot,
            Measure::E2e,
            Measure::UserThroughput,
            Measure::RequestThroughput,
            Measure::OutputThroughput,
            Measure::TotalThroughput,
            Measure::Goodput,
            Measure::Failed,
            Measure::ServerTtft,
            Measure::ServerQueue,
            Measure::ServerPrefill,
            Measure::ServerDecode,
            Measure::TareTtft,
            Measure::InputTokens,
            Measure::OutputTokens,
        ];
        assert_eq!(all.len(), MEASURES.len());
        assert!(all.iter().all(|measure| measure.about().measure == *measure));
        let keys: std::collections::BTreeSet<&str> = MEASURES.iter().map(|about| about.key).collect();
        assert_eq!(keys.len(), MEASURES.len());
    }

    #[test]
    fn names_are_those_of_the_result_files() {
        let figure = |name: &str| Key::parse(name).map(|key| key.to_string());
        for name in [
            "mean_ttft_ms",
            "median_tpot_ms",
            "p99_itl_ms",
            "p99.9_e2el_ms",
            "request_throughput",
            "output_throughput",
        ] {
            assert_eq!(figure(name).as_deref(), Some(name));
        }
        assert_eq!(figure("p50_ttft_ms").as_deref(), Some("median_ttft_ms"));
        assert_eq!(figure("p99_e2e_ms").as_deref(), Some("p99_e2el_ms"));
        assert_eq!(figure("goodput").as_deref(), Some("request_goodput"));
        assert_eq!(figure("mean_ttft_s").as_deref(), Some("mean_ttft_ms"));
        for name in [
            "ttft_ms",
            "p99_ttft",
            "p_ttft_ms",
            "p101_ttft_ms",
            "p0_ttft_ms",
            "std_ttft_ms",
            "mean_request_throughput",
            "pnan_ttft_ms",
            "",
        ] {
            assert_eq!(figure(name), None, "{name}");
        }
    }

    #[test]
    fn every_usual_name_is_understood() {
        for name in Key::usual() {
            assert_eq!(Key::parse(&name).map(|key| key.to_string()), Some(name));
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(name in "[a-z0-9_.é]{0,24}") {
            if let Some(key) = Key::parse(&name) {
                prop_assert_eq!(Key::parse(&key.to_string()), Some(key));
            }
        }
    }
}
