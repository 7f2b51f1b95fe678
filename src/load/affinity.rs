//! Binding the load's threads to CPUs. How a thread is bound is each system's own: `affinity/sched.rs` on
//! Linux, elsewhere none is (`affinity/unbound.rs`). This file must not know what the threads do.

#[cfg_attr(target_os = "linux", path = "affinity/sched.rs")]
#[cfg_attr(not(target_os = "linux"), path = "affinity/unbound.rs")]
mod system;

pub(super) use self::system::available;
use self::system::{BINDS, bind};
use crate::config::CpuList;
use crate::error::{Failure, usage};

/// Refuses CPUs that are not there, or not for this process, and any where threads cannot be bound.
pub(super) fn check(asked: &CpuList, available: Option<&CpuList>) -> Result<(), Failure> {
    if !BINDS {
        return Err(usage("`load.affinity` (`--affinity`): this system binds no thread to CPUs")
            .hint("leave it out; `--threads` says how many threads the load has"));
    }
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
    if !bind(cpus) {
        tracing::warn!("a thread of the load could not be bound to the CPUs {cpus}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(asked: &str, available: Option<&CpuList>) -> String {
        let error = check(&asked.parse().unwrap(), available).unwrap_err();
        let mut out = Vec::new();
        crate::error::print(&mut out, &error.into()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "no thread is bound to CPUs here")]
    #[test]
    fn cpus_that_are_not_there_are_refused_by_number() {
        let four: CpuList = "0-3".parse().unwrap();
        assert!(check(&"0,2-3".parse().unwrap(), Some(&four)).is_ok());
        assert!(check(&"900".parse().unwrap(), None).is_ok());
        insta::assert_snapshot!(refused("2-5,9", Some(&four)), @r"
        error: `load.affinity` (`--affinity`): expected CPUs that this process may run on, found 4-5,9
        hint: it may run on 0-3
        ");
    }

    #[cfg_attr(target_os = "linux", ignore = "threads are bound to CPUs here")]
    #[test]
    fn where_no_thread_is_bound_all_cpus_are_refused() {
        insta::assert_snapshot!(refused("0", None), @r"
        error: `load.affinity` (`--affinity`): this system binds no thread to CPUs
        hint: leave it out; `--threads` says how many threads the load has
        ");
    }
}
