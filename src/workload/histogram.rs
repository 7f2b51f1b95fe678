//! Lengths in words and bars, for `--dry-run`. This file must not know what they are lengths of.

use std::fmt::{self, Write};

use crate::stats::quantile;
use crate::units::count;

const BARS: usize = 10;
const WIDTH: f64 = 40.0;

/// A line with n, the least, the quartiles and the largest, then a bar for each tenth of the range;
/// all of one length need no bars.
pub fn write(out: &mut String, title: &str, lengths: &[u32]) -> fmt::Result {
    let values: Vec<f64> = lengths.iter().map(|&length| f64::from(length)).collect();
    let sorted = quantile::sorted(&values);
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return Ok(()) };
    let at = |q: f64| quantile::quantile(&sorted, q).unwrap_or_default();
    let (n, mean) = (count(values.len() as u64), values.iter().sum::<f64>() / values.len() as f64);
    writeln!(
        out,
        "{title}: n {n}, mean {mean:.1}, min {least}, quartiles {} | {} | {}, max {most}",
        at(0.25),
        at(0.5),
        at(0.75)
    )?;
    if most <= least {
        return Ok(());
    }
    // Whole lengths a bar, so that no bar has more of them than another.
    let width = ((most - least + 1.0) / BARS as f64).ceil().max(1.0);
    let bars = ((most - least + 1.0) / width).ceil() as usize;
    let mut counts = vec![0_u32; bars];
    for value in &sorted {
        if let Some(n) = counts.get_mut(((value - least) / width) as usize) {
            *n += 1;
        }
    }
    let tallest = f64::from(counts.iter().copied().max().unwrap_or(1).max(1));
    let digits = most.to_string().len();
    for (i, &n) in counts.iter().enumerate() {
        let begin = least + i as f64 * width;
        let end = (begin + width - 1.0).min(*most);
        let bar = "#".repeat((f64::from(n) / tallest * WIDTH).ceil() as usize);
        let line = format!("  {begin:>digits$} to {end:>digits$}  {:>6}  {bar}", count(n.into()));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(lengths: &[u32]) -> String {
        let mut out = String::new();
        write(&mut out, "input", lengths).unwrap();
        out
    }

    #[test]
    fn lengths_as_bars() {
        let lengths: Vec<u32> = (1..=40).chain([12; 20]).collect();
        insta::assert_snapshot!(shown(&lengths), @r"
        input: n 60, mean 17.7, min 1, quartiles 12 | 12 | 25.25, max 40
           1 to  4       4  #######
           5 to  8       4  #######
           9 to 12      24  ########################################
          13 to 16       4  #######
          17 to 20       4  #######
          21 to 24       4  #######
          25 to 28       4  #######
          29 to 32       4  #######
          33 to 36       4  #######
          37 to 40       4  #######
        ");
        insta::assert_snapshot!(shown(&[7, 7]), @"input: n 2, mean 7.0, min 7, quartiles 7 | 7 | 7, max 7");
        assert_eq!(shown(&[]), "");
    }
}
