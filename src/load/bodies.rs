//! Bodies of requests, made once for each prompt that is sent more than once: while a thread makes the
//! JSON of a long prompt, it reads no stream. This file must not know what a body says.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The bodies that are kept, by number. What is sent once is not kept: it would only take memory.
#[derive(Debug, Default)]
pub struct Bodies(OnceLock<Box<[Slot]>>);

#[derive(Debug, Default)]
struct Slot {
    was_made: AtomicBool,
    body: OnceLock<Box<[u8]>>,
}

impl Bodies {
    /// Body `number` of `count`, from `make` unless it is kept; kept from the second time on.
    pub(super) fn get<E>(
        &self,
        number: usize,
        count: usize,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Cow<'_, [u8]>, E> {
        let slots = self.0.get_or_init(|| std::iter::repeat_with(Slot::default).take(count).collect());
        let slot = slots.get(number);
        if let Some(body) = slot.and_then(|slot| slot.body.get()) {
            return Ok(Cow::Borrowed(body));
        }
        let body = make()?;
        Ok(match slot {
            Some(slot) if slot.was_made.swap(true, Ordering::Relaxed) => {
                Cow::Borrowed(slot.body.get_or_init(|| body.into()))
            }
            _ => Cow::Owned(body),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_made_twice_at_most_and_kept_from_the_second_time_on() {
        let bodies = Bodies::default();
        let made = std::cell::Cell::new(0);
        let get = |number: usize| {
            let body = bodies.get(number, 2, || {
                made.set(made.get() + 1);
                Ok::<_, ()>(vec![number as u8; 3])
            });
            body.unwrap()
        };
        assert!(matches!(get(0), Cow::Owned(body) if body == [0; 3]));
        assert!(matches!(get(1), Cow::Owned(body) if body == [1; 3]));
        for _ in 0..5 {
            assert!(matches!(get(1), Cow::Borrowed([1, 1, 1])));
        }
        assert_eq!(made.get(), 3);
        // A number beyond the count is served all the same.
        assert!(matches!(get(7), Cow::Owned(body) if body == [7; 3]));
    }

    #[test]
    fn a_failure_is_passed_on_and_not_kept() {
        let bodies = Bodies::default();
        assert_eq!(bodies.get(0, 1, || Err("no")), Err("no"));
        assert_eq!(bodies.get(0, 1, || Ok::<_, ()>(vec![1])).unwrap(), vec![1]);
    }
}
