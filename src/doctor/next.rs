//! The one thing to do next: the best evidence that is not there and can be turned on. With spans there
//! is nothing that would add a part. This file must not know how a level is recognised.

use super::levels::SPANS;
use super::seen::Seen;
use crate::record::diagnosis::{Level, State};

/// One line; `None` where nothing is to be gained.
pub fn step(seen: &Seen<'_>, levels: &[Level]) -> Option<String> {
    if levels.iter().any(|level| level.name == SPANS && level.state == State::On) {
        return None;
    }
    let level = levels.iter().find(|level| level.state != State::On && level.unlock.is_some())?;
    let url = seen.config.target.base_url.as_deref().unwrap_or_default();
    let unlock = level.unlock.as_deref()?;
    let again = match &level.give {
        Some(give) => format!("; then `tare doctor {url} {give}`"),
        None => String::new(),
    };
    Some(format!("{}: {unlock}{again}", level.name))
}
