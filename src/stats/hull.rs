//! All straight lines that pass below one cloud of points and above another: what the offset and the
//! drift of two clocks can be, given what must have happened before what. Only the lower hull of the
//! upper cloud and the upper hull of the lower one can touch such a line, so that a run of any length
//! comes down to a few dozen points. This file must not know what a point is.

/// The lines `value = offset + slope · t` that fit, as the corners of a convex polygon in the plane
/// of (offset, slope). Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    corners: Vec<(f64, f64)>,
}

/// The lines that lie at or below every one of `uppers`, at or above every one of `lowers`, with a
/// slope within `slopes`. Points are `(t, value)`, in any order.
///
/// `None` where no line does, where one of the clouds is empty (the band has no end there), or where a
/// number is not finite.
pub fn band(uppers: &[(f64, f64)], lowers: &[(f64, f64)], slopes: (f64, f64)) -> Option<Band> {
    let all = || uppers.iter().chain(lowers);
    if uppers.is_empty() || lowers.is_empty() || all().any(|(t, v)| !t.is_finite() || !v.is_finite()) {
        return None;
    }
    let reach = |of: fn(&(f64, f64)) -> f64| all().map(|p| of(p).abs()).fold(0.0, f64::max);
    let steepest = slopes.0.abs().max(slopes.1.abs());
    let most = reach(|p| p.1) + steepest * reach(|p| p.0) + 1.0;
    let mut corners = vec![(-most, slopes.0), (most, slopes.0), (most, slopes.1), (-most, slopes.1)];
    for (t, value) in lower_hull(uppers) {
        corners = clipped(&corners, |(offset, slope)| value - (offset + slope * t));
    }
    for (t, value) in upper_hull(lowers) {
        corners = clipped(&corners, |(offset, slope)| offset + slope * t - value);
    }
    (!corners.is_empty()).then_some(Band { corners })
}

impl Band {
    /// The least and the greatest of `of(offset, slope)` over the band. Exact for whatever is monotone
    /// along every line in the plane: linear functions, and their quotients.
    pub fn extremes(&self, of: impl Fn(f64, f64) -> f64) -> (f64, f64) {
        self.corners
            .iter()
            .map(|(offset, slope)| of(*offset, *slope))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| {
                (least.min(value), greatest.max(value))
            })
    }

    /// Between which values the lines pass at `t`.
    pub fn at(&self, t: f64) -> (f64, f64) {
        self.extremes(|offset, slope| offset + slope * t)
    }

    /// The least and the greatest slope.
    pub fn slopes(&self) -> (f64, f64) {
        self.extremes(|_, slope| slope)
    }
}

/// What of a convex polygon lies where `inside` is not negative (Sutherland and Hodgman, 1974).
fn clipped(corners: &[(f64, f64)], inside: impl Fn((f64, f64)) -> f64) -> Vec<(f64, f64)> {
    let mut kept = Vec::with_capacity(corners.len() + 1);
    let after = corners.iter().skip(1).chain(corners.first());
    for (here, next) in corners.iter().zip(after) {
        let (a, b) = (inside(*here), inside(*next));
        if a >= 0.0 {
            kept.push(*here);
        }
        if (a > 0.0 && b < 0.0) || (a < 0.0 && b > 0.0) {
            let share = a / (a - b);
            kept.push((here.0 + share * (next.0 - here.0), here.1 + share * (next.1 - here.1)));
        }
    }
    kept
}

/// The points from which the cloud is seen from below (Andrew's monotone chain, 1979).
fn lower_hull(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for p in sorted {
        while let [.., a, b] = hull.as_slice() {
            if (b.0 - a.0) * (p.1 - a.1) > (b.1 - a.1) * (p.0 - a.0) {
                break;
            }
            hull.pop();
        }
        // Of several points above each other only the lowest is seen.
        if hull.last().is_none_or(|last| last.0 < p.0) {
            hull.push(p);
        }
    }
    hull
}

fn upper_hull(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mirrored: Vec<(f64, f64)> = points.iter().map(|(t, v)| (*t, -v)).collect();
    lower_hull(&mirrored).into_iter().map(|(t, v)| (t, -v)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FREE: (f64, f64) = (-10.0, 10.0);

    #[test]
    fn two_points_on_each_side_bound_a_line_as_drawn_by_hand() {
        // Below (0, 2) and (10, 2), above (0, 1) and (10, 1).
        let band = band(&[(0.0, 2.0), (10.0, 2.0)], &[(0.0, 1.0), (10.0, 1.0)], FREE).unwrap();
        let close = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 1e-12 && (a.1 - b.1).abs() < 1e-12;
        assert!(close(band.at(0.0), (1.0, 2.0)), "{:?}", band.at(0.0));
        assert!(close(band.at(5.0), (1.0, 2.0)));
        assert!(close(band.slopes(), (-0.1, 0.1)));
        // Beyond the points the lines fan out: from (0, 1) to (10, 2) and on.
        assert!(close(band.at(20.0), (0.0, 3.0)), "{:?}", band.at(20.0));
    }

    #[test]
    fn what_no_line_can_pass_is_none() {
        assert_eq!(band(&[(0.0, 1.0)], &[(0.0, 2.0)], FREE), None);
        // A step: below 0 until 5, above 1 from there on; a slope of a tenth would do, less does not.
        let (uppers, lowers) = ([(0.0, 0.0), (5.0, 0.0)], [(6.0, 1.0), (10.0, 1.0)]);
        assert!(band(&uppers, &lowers, FREE).is_some());
        assert_eq!(band(&uppers, &lowers, (-0.1, 0.1)), None);
    }

    #[test]
    fn one_side_alone_and_odd_numbers_bound_nothing() {
        assert_eq!(band(&[(0.0, 1.0)], &[], FREE), None);
        assert_eq!(band(&[], &[(0.0, 1.0)], FREE), None);
        assert_eq!(band(&[(0.0, f64::NAN)], &[(0.0, 0.0)], FREE), None);
        assert_eq!(band(&[(f64::INFINITY, 0.0)], &[(0.0, 0.0)], FREE), None);
    }

    #[test]
    fn points_above_each_other_are_one() {
        let uppers = [(1.0, 3.0), (1.0, 1.0), (1.0, 2.0), (1.0, 1.0)];
        let band = band(&uppers, &[(1.0, 0.0)], (0.0, 0.0)).unwrap();
        assert_eq!(band.at(1.0), (0.0, 1.0));
    }

    proptest! {
        /// The line the points were made from is always in the band, and no corner crosses a point.
        #[test]
        fn the_truth_lies_within(
            offset in -5.0..5.0_f64,
            slope in -0.5..0.5_f64,
            points in prop::collection::vec((0.0..100.0_f64, 0.0..3.0_f64, any::<bool>()), 2..60),
        ) {
            let truth = |t: f64| offset + slope * t;
            let uppers: Vec<_> = points.iter().filter(|p| p.2).map(|p| (p.0, truth(p.0) + p.1)).collect();
            let lowers: Vec<_> = points.iter().filter(|p| !p.2).map(|p| (p.0, truth(p.0) - p.1)).collect();
            prop_assume!(!uppers.is_empty() && !lowers.is_empty());
            let band = band(&uppers, &lowers, (-1.0, 1.0)).unwrap();
            for t in [0.0, 10.0, 55.0, 100.0] {
                let (lo, hi) = band.at(t);
                prop_assert!(lo <= truth(t) + 1e-9 && truth(t) <= hi + 1e-9);
            }
            for (t, value) in &uppers {
                prop_assert!(band.at(*t).1 <= value + 1e-9);
            }
            for (t, value) in &lowers {
                prop_assert!(band.at(*t).0 >= value - 1e-9);
            }
        }
    }
}
