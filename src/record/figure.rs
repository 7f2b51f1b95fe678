//! One figure, as a person asks for it: which, of which metrics, beside what, in which size. This file must not know
//! how a figure is drawn.

use std::fmt;
use std::str::FromStr;

use crate::metric::Metric;

/// Defines an enum of words: what is written, what it stands for, and the error that names them all.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($(#[$each:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name { $($(#[$each])* $variant),+ }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("expected {}, found `{text}`", [$($word),+].join(", "))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// Which figure.
    Kind:
    Violin = "violin",
    Ecdf = "ecdf",
    /// Where the time went.
    Breakdown = "breakdown",
    /// Client minus server, request by request.
    Tare = "tare",
    /// The run over time, both sides on one axis.
    Timeline = "timeline",
    /// Single requests, with every stamp of both sides.
    Waterfall = "waterfall",
}

words! {
    /// What is shown beside the client's values.
    By:
    Server = "server",
    Hop = "hop",
    Run = "run",
}

words! {
    /// Of which metric.
    Of:
    Ttft = "ttft",
    Itl = "itl",
    E2e = "e2e",
    Throughput = "throughput",
}

words! {
    /// For what it is made.
    Size:
    /// As wide as a README shows.
    Readme = "readme",
    /// 16 by 9.
    Slide = "slide",
}

impl Of {
    /// Whether this is a metric of what was asked for.
    pub fn has(self, metric: Metric) -> bool {
        match self {
            Self::Ttft => matches!(metric, Metric::Ttft | Metric::QueuePrefill),
            Self::Itl => matches!(metric, Metric::Itl | Metric::ItlMean | Metric::Tpot),
            Self::E2e => metric == Metric::E2e,
            Self::Throughput => metric == Metric::Throughput,
        }
    }
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub kind: Kind,
    /// Empty: all that it has.
    pub of: Vec<Of>,
    pub by: Option<By>,
    pub size: Size,
    /// Of a waterfall: which request, by id or number.
    pub request: Option<String>,
}

impl Asked {
    /// Its file's name without an ending: `violin-ttft-itl-by-server`.
    pub fn stem(&self) -> String {
        let mut stem = self.kind.to_string();
        for of in &self.of {
            stem = format!("{stem}-{of}");
        }
        if let Some(request) = &self.request {
            // An id may be anything; a file's name may not.
            let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
            stem = format!("{stem}-{}", request.chars().map(plain).take(80).collect::<String>());
        }
        if let Some(by) = self.by {
            stem = format!("{stem}-by-{by}");
        }
        if self.size == Size::Slide { format!("{stem}-slide") } else { stem }
    }

    /// Whether it shows this metric.
    pub fn has(&self, metric: Metric) -> bool {
        self.of.is_empty() || self.of.iter().any(|of| of.has(metric))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_others_refused_with_all_there_are() {
        assert_eq!("breakdown".parse::<Kind>().unwrap(), Kind::Breakdown);
        assert_eq!(
            "pie".parse::<Kind>().unwrap_err(),
            "expected violin, ecdf, breakdown, tare, timeline, waterfall, found `pie`"
        );
        let asked = Asked {
            kind: Kind::Violin,
            of: vec![Of::Ttft, Of::Itl],
            by: Some(By::Server),
            size: Size::Slide,
            request: None,
        };
        assert_eq!(asked.stem(), "violin-ttft-itl-by-server-slide");
        assert!(asked.has(Metric::QueuePrefill) && asked.has(Metric::ItlMean) && !asked.has(Metric::E2e));
    }
}
