//! What the headers of an answer tell of its request's times, as Text Generation Inference writes them on
//! answers that are not streamed (`router/src/server.rs`): whole milliseconds, cut down. This file must not
//! know when an answer came.

/// The times told, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct AnswerTimes {
    /// `x-queue-time`: validated until taken into a batch.
    pub(super) queue_s: Option<f64>,
    /// `x-inference-time`: from there to the last token.
    pub(super) inference_s: Option<f64>,
    /// `x-total-time`: from the handler's start to the last token.
    pub(super) e2e_s: Option<f64>,
}

/// Of headers with lower-case names. One of these times alone may be anybody's: all three, or nothing.
pub(super) fn of(headers: &[(String, String)]) -> AnswerTimes {
    let told = |name: &str| {
        let (_, value) = headers.iter().find(|(n, _)| n == name)?;
        let ms: u32 = value.trim().parse().ok()?;
        Some(f64::from(ms) / 1e3)
    };
    let all = (told("x-queue-time"), told("x-inference-time"), told("x-total-time"));
    match all {
        (Some(queue), Some(inference), Some(e2e)) => {
            AnswerTimes { queue_s: Some(queue), inference_s: Some(inference), e2e_s: Some(e2e) }
        }
        _ => AnswerTimes::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_headers_of_tgi_are_read_as_milliseconds() {
        let told = of(&headers(&[
            ("x-compute-type", "1-nvidia-a10g"),
            ("x-compute-time", "1.245"),
            ("x-total-time", "1245"),
            ("x-validation-time", "0"),
            ("x-queue-time", "12"),
            ("x-inference-time", "1232"),
            ("x-time-per-token", "61"),
        ]));
        let expected = AnswerTimes { queue_s: Some(0.012), inference_s: Some(1.232), e2e_s: Some(1.245) };
        assert_eq!(told, expected);
    }

    #[test]
    fn one_of_them_alone_or_something_else_says_nothing() {
        let all = [("x-queue-time", "12"), ("x-inference-time", "3"), ("x-total-time", "15")];
        assert_eq!(of(&headers(&all[..2])), AnswerTimes::default());
        for other in ["-1", "1.5", "soon", ""] {
            assert_eq!(of(&headers(&[all[0], all[1], ("x-total-time", other)])), AnswerTimes::default());
        }
        assert_eq!(of(&[]), AnswerTimes::default());
    }
}
