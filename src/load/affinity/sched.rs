//! Linux's way of binding a thread to CPUs. This file must not know whose thread it is.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::config::CpuList;

/// Whether this system binds threads to CPUs at all.
pub(super) const BINDS: bool = true;
/// In calls about affinity: the thread that calls.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The CPUs that this thread may run on; `None` where the system does not say.
pub(in crate::load) fn available() -> Option<CpuList> {
    let set = sched_getaffinity(THIS_THREAD).ok()?;
    CpuList::of((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)))
}

/// Binds the thread that calls to these CPUs; whether it could be.
pub(super) fn bind(cpus: &CpuList) -> bool {
    let mut set = CpuSet::new();
    cpus.numbers().iter().all(|&cpu| set.set(cpu).is_ok()) && sched_setaffinity(THIS_THREAD, &set).is_ok()
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
            assert!(bind(&bound));
            available()
        });
        assert_eq!(seen.join().unwrap(), Some(one));
        assert_eq!(available(), Some(all));
    }
}
