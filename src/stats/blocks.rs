//! Which neighbouring rows are one unit when a series in time order is resampled or tested for
//! dependence. This file must not know what the rows measure, nor how they are resampled.
//!
//! A unit (a *cell*) is a single row, or all the rows of a block that the caller knows: in a closed
//! loop whose users move in lockstep the requests of one round share everything. A long series is
//! condensed: above [`MAX_CELLS`] units, neighbours are put together evenly. Sums over cells are sums
//! over rows, so a mean and its variance stay the same; what happens inside a cell, however
//! entangled, counts exactly, and dependence can be followed over as many times more rows.

/// The most units that a series is taken apart into.
pub const MAX_CELLS: usize = 4_000;

/// What the caller knows about rows that belong together.
#[derive(Clone, Copy, Debug, Default)]
pub enum Blocks<'a> {
    /// Nothing: how far rows depend on each other is found out.
    #[default]
    Rows,
    /// One label for each row; neighbours with the same label are one block. Labels that are not as
    /// many as the rows say nothing.
    Labelled(&'a [u32]),
}

impl<'a> Blocks<'a> {
    /// These labels, if there are any.
    pub fn known(labels: Option<&'a [u32]>) -> Self {
        labels.map_or(Self::Rows, Self::Labelled)
    }
}

/// The rows of a series, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// Where each cell ends, exclusive; the first begins at 0, each next one where the last ended.
    ends: Vec<usize>,
}

impl Cells {
    /// Takes `n` rows apart.
    pub fn new(n: usize, blocks: Blocks<'_>) -> Self {
        let ends: Vec<usize> = match blocks {
            Blocks::Labelled(labels) if labels.len() == n => {
                let changes = labels.windows(2).zip(1..).filter(|(w, _)| matches!(w, [a, b] if a != b));
                changes.map(|(_, end)| end).chain((n > 0).then_some(n)).collect()
            }
            _ => (1..=n).collect(),
        };
        let count = ends.len();
        if count <= MAX_CELLS {
            return Self { ends };
        }
        let last_of = |cell: usize| ((cell + 1) * count / MAX_CELLS).saturating_sub(1);
        Self { ends: (0..MAX_CELLS).filter_map(|cell| ends.get(last_of(cell)).copied()).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each cell's part of `rows`, in order.
    pub fn of<'r, T>(&self, rows: &'r [T]) -> impl Iterator<Item = &'r [T]> {
        let mut begin = 0;
        self.ends.iter().map(move |&end| {
            let cell = rows.get(begin..end).unwrap_or_default();
            begin = end;
            cell
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(n: usize, blocks: Blocks<'_>) -> Vec<Vec<usize>> {
        let rows: Vec<usize> = (0..n).collect();
        Cells::new(n, blocks).of(&rows).map(<[usize]>::to_vec).collect()
    }

    #[test]
    fn rows_stand_alone_and_labels_put_them_together() {
        assert_eq!(parts(3, Blocks::Rows), [vec![0], vec![1], vec![2]]);
        assert_eq!(parts(5, Blocks::Labelled(&[7, 7, 2, 7, 7])), [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(parts(2, Blocks::Labelled(&[7, 7, 2])), [vec![0], vec![1]], "labels of other rows");
        assert!(parts(0, Blocks::Labelled(&[])).is_empty());
    }

    #[test]
    fn a_long_series_is_condensed_evenly() {
        let cells = Cells::new(10_001, Blocks::Rows);
        assert_eq!(cells.len(), MAX_CELLS);
        let rows = vec![0_u8; 10_001];
        assert!(cells.of(&rows).all(|cell| cell.len() == 2 || cell.len() == 3));
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_cell(n in 0..20_000_usize) {
            let rows: Vec<usize> = (0..n).collect();
            let all: Vec<usize> = Cells::new(n, Blocks::Rows).of(&rows).flatten().copied().collect();
            prop_assert_eq!(all, rows);
        }
    }
}
