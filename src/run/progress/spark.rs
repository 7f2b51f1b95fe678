//! A row of bars, one character each. This file must not know what they show.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar for each value, from zero to the largest; a space where there is none.
pub(super) fn spark(values: impl Iterator<Item = Option<f64>> + Clone) -> String {
    let most = values.clone().flatten().fold(0.0, f64::max);
    let bar = |value: Option<f64>| {
        let share = value.filter(|v| *v >= 0.0)? / most.max(f64::MIN_POSITIVE);
        BARS.get(((share * BARS.len() as f64).ceil() as usize).clamp(1, BARS.len()) - 1).copied()
    };
    values.map(|value| bar(value).unwrap_or(' ')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_at_zero_and_gaps_stay_gaps() {
        let of = |values: &[Option<f64>]| spark(values.iter().copied());
        assert_eq!(of(&[Some(0.0), Some(4.0), None, Some(8.0)]), "▁▄ █");
        assert_eq!(of(&[Some(7.9), Some(8.0)]), "██");
        assert_eq!(of(&[Some(0.0), Some(f64::NAN)]), "▁ ");
        assert_eq!(of(&[]), "");
    }
}
