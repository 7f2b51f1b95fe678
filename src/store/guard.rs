//! Bytes of others read by polars, whose readers of Parquet and of Arrow panic at some that are broken: that becomes an
//! error, and is said as one. This file must not know what is read.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};

/// Reads that are going on.
static READS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Those of this thread.
    static OWN: Cell<usize> = const { Cell::new(0) };
}

/// What `read` gives; an error where it panics. Nothing that it had begun is used afterwards.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = panic::take_hook();
        // Its threads panic too, and their panics reach the caller: one error is enough.
        panic::set_hook(Box::new(move |info| {
            if READS.load(Ordering::Relaxed) == 0 || !is_of_polars(info) {
                before(info);
            }
        }));
    });
    READS.fetch_add(1, Ordering::Relaxed);
    OWN.set(OWN.get() + 1);
    let outcome = panic::catch_unwind(AssertUnwindSafe(read));
    OWN.set(OWN.get() - 1);
    READS.fetch_sub(1, Ordering::Relaxed);
    outcome.unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it is broken");
        Err(anyhow!("the file is damaged: {said}"))
    })
}

/// In its files, or in the standard library on one of its threads or in a read of this one: a length that no memory
/// holds is known to be wrong there only.
fn is_of_polars(info: &PanicHookInfo<'_>) -> bool {
    let file = info.location().map(panic::Location::file).unwrap_or_default();
    let is_its_thread =
        OWN.get() > 0 || std::thread::current().name().is_some_and(|name| name.starts_with("polars"));
    file.contains("polars") || is_its_thread && file.contains("/library/")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!(guarded(|| Ok(7)).unwrap(), 7);
        assert_eq!(guarded::<u8>(|| Err(anyhow!("no"))).unwrap_err().to_string(), "no");
        let broken: Vec<u8> = Vec::new();
        let error = guarded(|| Ok(broken[3])).unwrap_err().to_string();
        assert_eq!(error, "the file is damaged: index out of bounds: the len is 0 but the index is 3");
        assert_eq!(READS.load(Ordering::Relaxed), 0);
    }
}
