//! Bars and levels made of characters. This file must not know what they are of.

use crate::record::waterfall::Extent;

/// A stretch of time, so many characters wide.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub begin_s: f64,
    pub end_s: f64,
    pub width: usize,
}

impl Axis {
    /// What certainly lies there solid, what perhaps does shaded. A character is drawn by what holds in
    /// its middle; where a part would vanish between two, it is a stroke.
    pub fn bar(&self, extents: &[Extent]) -> String {
        let mut cells = vec![' '; self.width];
        for extent in extents {
            self.draw(&mut cells, extent);
        }
        cells.into_iter().collect()
    }

    fn draw(&self, cells: &mut [char], e: &Extent) {
        if e.end_hi_s < e.begin_lo_s {
            return;
        }
        let mut any = false;
        for (n, cell) in cells.iter_mut().enumerate() {
            let at = self.middle(n);
            if at >= e.begin_hi_s && at < e.end_lo_s {
                *cell = '█';
                any = true;
            } else if at >= e.begin_lo_s && at < e.end_hi_s {
                *cell = '░';
                any = true;
            }
        }
        if !any
            && e.end_hi_s > e.begin_lo_s
            && let Some(cell) =
                self.cell(f64::midpoint(e.begin_lo_s, e.end_hi_s)).and_then(|n| cells.get_mut(n))
        {
            *cell = '▏';
        }
    }

    fn middle(&self, n: usize) -> f64 {
        self.begin_s + (n as f64 + 0.5) / self.width as f64 * (self.end_s - self.begin_s)
    }

    fn cell(&self, at: f64) -> Option<usize> {
        let share = (at - self.begin_s) / (self.end_s - self.begin_s);
        (0.0..=1.0)
            .contains(&share)
            .then(|| ((share * self.width as f64) as usize).min(self.width.saturating_sub(1)))
    }
}

/// A value among others up to `most`, as one of eight heights.
pub fn level(value: f64, most: f64) -> char {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    LEVELS.get((share * 7.0).round() as usize).copied().unwrap_or('▁')
}

/// `values` in order, put into at most `width` groups of one size (the last may be smaller).
pub fn cells<T>(values: &[T], width: usize) -> Vec<&[T]> {
    let size = values.len().div_ceil(width.max(1)).max(1);
    values.chunks(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: Axis = Axis { begin_s: 0.0, end_s: 1.0, width: 10 };

    fn extent(begin_lo_s: f64, begin_hi_s: f64, end_lo_s: f64, end_hi_s: f64) -> Extent {
        Extent { begin_lo_s, begin_hi_s, end_lo_s, end_hi_s }
    }

    #[test]
    fn what_is_certain_is_solid_and_what_may_be_is_shaded() {
        assert_eq!(AXIS.bar(&[extent(0.2, 0.2, 0.5, 0.5)]), "  ███     ");
        assert_eq!(AXIS.bar(&[extent(0.0, 0.2, 0.5, 0.8)]), "░░███░░░  ");
        assert_eq!(AXIS.bar(&[extent(0.1, 0.4, 0.3, 0.6)]), " ░░░░░    ", "no instant is certain");
    }

    #[test]
    fn what_is_shorter_than_a_character_is_a_stroke_and_what_is_negative_nothing() {
        assert_eq!(AXIS.bar(&[extent(0.31, 0.31, 0.32, 0.32)]), "   ▏      ");
        assert_eq!(AXIS.bar(&[extent(1.0, 1.0, 1.0, 1.0)]), "          ");
        assert_eq!(AXIS.bar(&[extent(0.5, 0.5, 0.4, 0.4)]), "          ");
        let nothing = Axis { begin_s: 0.0, end_s: 0.0, width: 3 };
        assert_eq!(nothing.bar(&[extent(0.0, 0.0, 0.0, 0.0)]), "   ");
    }

    #[test]
    fn levels_go_from_the_least_to_the_most() {
        let shown: String = [0.0, 1.0, 4.0, 7.0, 9.0].map(|v| level(v, 7.0)).iter().collect();
        assert_eq!(shown, "▁▂▅██");
        assert_eq!(level(0.0, 0.0), '▁');
    }

    #[test]
    fn values_are_put_into_groups_of_one_size() {
        let sizes = |n: usize| cells(&vec![0; n], 4).iter().map(|c| c.len()).collect::<Vec<_>>();
        assert_eq!(
            [sizes(0), sizes(3), sizes(4), sizes(9)],
            [vec![], vec![1, 1, 1], vec![1; 4], vec![3, 3, 3]]
        );
    }
}
