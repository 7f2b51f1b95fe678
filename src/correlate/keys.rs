//! The joins themselves, in polars: rows of one side matched to rows of the other by text keys, with
//! every option said. Keys that name more than one row match nothing and are told apart. This file
//! must not know what the rows are.

use anyhow::Result;
use polars::prelude::{
    Column, DataFrame, IntoLazy as _, JoinArgs, JoinCoalesce, JoinType, JoinValidation, LazyFrame,
    MaintainOrderJoin, NamedFrom as _, Series, SortMultipleOptions, col,
};

/// Rows by their keys; a row may have several.
pub struct Keys {
    /// `key`, `first`, `last`: each key once, with the first and the last row that has it.
    owners: DataFrame,
    shared: Vec<u32>,
}

/// What a lookup found for one row that asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    pub asker: u32,
    /// `None`: the key names more than one row.
    pub row: Option<u32>,
}

impl Keys {
    /// From `(key, row)` pairs; the same pair may come twice, an empty key is none.
    pub fn new<'a>(pairs: impl Iterator<Item = (&'a str, u32)>) -> Result<Self> {
        let (keys, rows): (Vec<&str>, Vec<u32>) = pairs.filter(|(key, _)| !key.is_empty()).unzip();
        let all = frame(vec![Series::new("key".into(), keys), Series::new("row".into(), rows)])?;
        let by_key = [col("row").min().alias("first"), col("row").max().alias("last")];
        let owners = all.clone().lazy().group_by([col("key")]).agg(by_key).collect()?;
        let several = owners.clone().lazy().filter(col("first").neq(col("last")));
        let sharing = join(all.lazy(), several).collect()?;
        let mut shared: Vec<u32> = sharing.column("row")?.u32()?.iter().flatten().collect();
        shared.sort_unstable();
        shared.dedup();
        Ok(Self { owners, shared })
    }

    /// Rows that share a key with another row, ascending.
    pub fn shared(&self) -> &[u32] {
        &self.shared
    }

    /// For each asker what its likeliest key that exists names. `asks` are `(asker, key)` pairs, an
    /// asker's likeliest key first; the answers are sorted by asker.
    pub fn find<'a>(&self, asks: impl Iterator<Item = (u32, &'a str)>) -> Result<Vec<Found>> {
        let (askers, asked): (Vec<u32>, Vec<&str>) = asks.unzip();
        let order: Vec<u32> = (0..).take(askers.len()).collect();
        let asks = frame(vec![
            Series::new("key".into(), asked),
            Series::new("asker".into(), askers),
            Series::new("order".into(), order),
        ])?;
        // Sorted here: the engine promises no order of its own.
        let found = join(asks.lazy(), self.owners.clone().lazy())
            .sort(["asker", "order"], SortMultipleOptions::default())
            .collect()?;
        let column = |name| found.column(name).and_then(|c| c.u32());
        let rows = column("asker")?.iter().zip(column("first")?.iter()).zip(column("last")?.iter());
        let mut out: Vec<Found> = Vec::new();
        for ((asker, first), last) in rows {
            let row = first.filter(|_| first == last);
            if let Some(asker) = asker
                && out.last().is_none_or(|before| before.asker != asker)
            {
                out.push(Found { asker, row });
            }
        }
        Ok(out)
    }
}

/// An inner join on `key`, which the right side has once; nulls match nothing.
fn join(left: LazyFrame, right: LazyFrame) -> LazyFrame {
    let options = JoinArgs {
        validation: JoinValidation::ManyToOne,
        nulls_equal: false,
        coalesce: JoinCoalesce::CoalesceColumns,
        maintain_order: MaintainOrderJoin::Left,
        ..JoinArgs::new(JoinType::Inner)
    };
    left.join(right, [col("key")], [col("key")], options)
}

fn frame(series: Vec<Series>) -> Result<DataFrame> {
    Ok(DataFrame::new_infer_height(series.into_iter().map(Column::from).collect())?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn find(keys: &[(&str, u32)], asks: &[(u32, &str)]) -> Vec<(u32, Option<u32>)> {
        let keys = Keys::new(keys.iter().copied()).unwrap();
        keys.find(asks.iter().copied()).unwrap().iter().map(|f| (f.asker, f.row)).collect()
    }

    #[test]
    fn the_likeliest_key_that_exists_is_taken() {
        let keys = [("a", 0), ("b", 1), ("c", 2)];
        let asks = [(5, "x"), (5, "c"), (5, "a"), (7, "b"), (8, "x")];
        assert_eq!(find(&keys, &asks), [(5, Some(2)), (7, Some(1))]);
    }

    #[test]
    fn askers_may_share_a_row_and_come_back_in_order() {
        let asks = [(9, "a"), (2, "b"), (4, "a")];
        assert_eq!(find(&[("a", 0), ("b", 1)], &asks), [(2, Some(1)), (4, Some(0)), (9, Some(0))]);
    }

    #[test]
    fn a_key_of_two_rows_names_none_of_them() {
        let pairs = [("a", 0), ("dup", 1), ("dup", 3), ("b", 3), ("a", 0)];
        let asks = [(0, "dup"), (1, "a"), (2, "dup"), (2, "b"), (3, "b"), (3, "dup")];
        assert_eq!(find(&pairs, &asks), [(0, None), (1, Some(0)), (2, None), (3, Some(3))]);
        assert_eq!(Keys::new(pairs.into_iter()).unwrap().shared(), [1, 3]);
    }

    #[test]
    fn empty_sides_and_empty_keys_match_nothing() {
        assert_eq!(find(&[], &[(0, "a")]), []);
        assert_eq!(find(&[("a", 0)], &[]), []);
        assert_eq!(find(&[("", 0), ("b", 1)], &[(0, ""), (1, "b")]), [(1, Some(1))]);
        assert!(Keys::new([].into_iter()).unwrap().shared().is_empty());
    }
}
