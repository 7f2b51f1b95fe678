//! Binding the load's threads to CPUs. This file must not know what the threads do.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::config::CpuList;
use crate::error::{Failure, usage};

/// In calls about affinity: the thread that calls.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The CPUs that this thread may run on; `None` where the system does not say.
pub(super) fn available() -> Option<CpuList> {
    let set = sched_getaffinity(THIS_THREAD).ok()?;
    CpuList::of((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)))
}

/// Refuses CPUs that are not there, or not for this process.
pub(super) fn check(asked: &CpuList, available: Option<&CpuList>) -> Result<(), Failure> {
    let Some(available) = available else { return Ok(()) };
    let lacking = asked.numbers().iter().copied().filter(|cpu| !available.numbers().contains(cpu));
    match CpuList::of(lacking) {
        None => Ok(()),
        Some(lacking) => Err(usage(format!(
            "`load.affinity` (`--affinity`): expected CPUs that this process may run on, found {lacking}"
        ))
        .hint(format!("it may run on {available}"))),
    }
}

/// Binds the thread that calls to these CPUs.
pub(super) fn pin(cpus: Option<&CpuList>) {
    let Some(cpus) = cpus else { return };
    let mut set = CpuSet::new();
    let known = cpus.numbers().iter().all(|&cpu| set.set(cpu).is_ok());
    if !known || sched_setaffinity(THIS_THREAD, &set).is_err() {
        tracing::warn!("a thread of the load could not be bound to the CPUs {cpus}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_where_it_is_bound_and_its_parent_is_not() {
        let all = available().unwrap();
        let one = CpuList::of([*all.numbers().last().unwrap()]).unwrap();
        let bound = one.clone();
        let seen = std::thread::spawn(move || {
            pin(Some(&bound));
            available()
        });
        assert_eq!(seen.join().unwrap(), Some(one));
        assert_eq!(available(), Some(all));
    }

    #[test]
    fn cpus_that_are_not_there_are_refused_by_number() {
        let four: CpuList = "0-3".parse().unwrap();
        assert!(check(&"0,2-3".parse().unwrap(), Some(&four)).is_ok());
        assert!(check(&"900".parse().unwrap(), None).is_ok());
        let error = check(&"2-5,9".parse().unwrap(), Some(&four)).unwrap_err();
        let mut out = Vec::new();
        crate::error::print(&mut out, &error.into()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        error: `load.affinity` (`--affinity`): expected CPUs that this process may run on, found 4-5,9
        hint: it may run on 0-3
        ");
    }
}
