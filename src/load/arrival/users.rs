//! When the users of a closed loop come and go: pure. This file must not know clocks or requests.

use crate::config::UserStage;

/// When user `user` of `users` starts, ramped linearly over `ramp_s`: the first at once, the last at
/// `ramp_s · (users − 1) / users`.
pub fn user_start_s(user: u32, users: u32, ramp_s: f64) -> f64 {
    ramp_s * f64::from(user) / f64::from(users.max(1))
}

/// A stay of one user: it sends from one moment on, and begins no request after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    pub from_s: f64,
    pub until_s: f64,
}

/// The stays of user `user` in stages one after another. Going up, users start as in [`user_start_s`]; going
/// down they stop as in its mirror image: who came last leaves first.
pub fn shifts(stages: &[UserStage], user: u32) -> Vec<Shift> {
    let mut shifts: Vec<Shift> = Vec::new();
    let (mut begin_s, mut before) = (0.0, 0_u32);
    let mut came_s: Option<f64> = None;
    for stage in stages {
        let (was, is) = (user < before, user < stage.users);
        if is && !was {
            let of = stage.users - before;
            came_s = Some(begin_s + user_start_s(user - before, of, stage.ramp_s));
        }
        if was && !is {
            let of = before - stage.users;
            let until_s = begin_s + stage.ramp_s - user_start_s(user - stage.users, of, stage.ramp_s);
            shifts.extend(came_s.take().map(|from_s| Shift { from_s, until_s }));
        }
        begin_s += stage.duration_s;
        before = stage.users;
    }
    // Until the end of the load, which ends sending anyway.
    shifts.extend(came_s.map(|from_s| Shift { from_s, until_s: begin_s }));
    shifts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stage(users: u32, duration_s: f64, ramp_s: f64) -> UserStage {
        UserStage { users, duration_s, ramp_s }
    }

    /// Users that are there at a time.
    fn there(stages: &[UserStage], at_s: f64) -> usize {
        let most = stages.iter().map(|s| s.users).max().unwrap_or(0);
        let is_there = |shift: &Shift| (shift.from_s..shift.until_s).contains(&at_s);
        (0..most).filter(|&user| shifts(stages, user).iter().any(is_there)).count()
    }

    #[test]
    fn the_ramp_is_linear() {
        let starts: Vec<f64> = (0..50).map(|u| user_start_s(u, 50, 20.0)).collect();
        assert!(
            (starts[0]).abs() < 1e-12 && (starts[1] - 0.4).abs() < 1e-12 && (starts[49] - 19.6).abs() < 1e-9
        );
    }

    #[test]
    fn a_ramp_down_mirrors_the_ramp_up() {
        // Five users over 2 s, for 10 s, gone over the last 2 s of 12.
        let stages = [stage(5, 10.0, 2.0), stage(0, 2.0, 2.0)];
        for user in 0..5 {
            let all = shifts(&stages, user);
            assert_eq!(all.len(), 1);
            assert!((all[0].from_s - 0.4 * f64::from(user)).abs() < 1e-12);
            assert!((all[0].until_s - (12.0 - 0.4 * f64::from(user))).abs() < 1e-12);
        }
    }

    #[test]
    fn who_leaves_may_come_again() {
        let stages = [stage(3, 5.0, 0.0), stage(1, 5.0, 0.0), stage(3, 5.0, 1.0)];
        let of = |user| shifts(&stages, user).iter().map(|s| (s.from_s, s.until_s)).collect::<Vec<_>>();
        assert_eq!(of(0), [(0.0, 15.0)]);
        assert_eq!(of(1), [(0.0, 5.0), (10.0, 15.0)]);
        assert_eq!(of(2), [(0.0, 5.0), (10.5, 15.0)]);
        assert_eq!(of(3), []);
    }

    proptest! {
        /// Whatever the stages: after its ramp each has its number of users, and within it the number lies
        /// between and is never more than one off the straight line.
        #[test]
        fn every_stage_has_its_users(
            plan in proptest::collection::vec((0_u32..40, 0.5_f64..20.0, 0.0_f64..1.0), 1..6), share in 0.0_f64..1.0,
        ) {
            let stages: Vec<UserStage> = plan.iter().map(|&(u, d, r)| stage(u, d, d * r * 0.9)).collect();
            let (mut begin_s, mut before) = (0.0, 0.0);
            for s in &stages {
                let level_s = begin_s + s.ramp_s + share * (s.duration_s - s.ramp_s) * 0.99 + 1e-9;
                prop_assert_eq!(there(&stages, level_s), s.users as usize);
                let line = before + (f64::from(s.users) - before) * share;
                let in_ramp = there(&stages, begin_s + s.ramp_s * share) as f64;
                prop_assert!(s.ramp_s < 1e-6 || (in_ramp - line).abs() <= 1.0 + 1e-6, "{} {}", in_ramp, line);
                begin_s += s.duration_s;
                before = f64::from(s.users);
            }
        }
    }
}
