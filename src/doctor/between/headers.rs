//! Who names itself in the answer's headers, and what was done to its body.

use super::Told;
use crate::correlate::diagnosis::products::{cut, in_headers};
use crate::doctor::seen::Seen;
use crate::record::diagnosis::Sure;

pub fn sign(seen: &Seen<'_>, told: &mut Told) {
    let Some(asked) = seen.asked else { return };
    let named = in_headers(&asked.headers);
    for (product, name, value) in &named {
        told.gateway(Sure::Certain, format!("{product} names itself: `{name}: {}`", cut(value)));
    }
    if named.is_empty()
        && let Some(via) = asked.header("via")
    {
        told.gateway(Sure::Certain, format!("a proxy names itself: `via: {}`", cut(via)));
    } else if named.is_empty() {
        told.clear(match asked.header("server") {
            Some(server) => format!("no gateway names itself in the headers (`server: {}`)", cut(server)),
            None => "no gateway names itself in the headers".to_owned(),
        });
    }
    if let Some(coding) = asked.header("content-encoding") {
        told.gateway(
            Sure::Likely,
            format!(
                "the answer is compressed though that was not asked for (`content-encoding: {}`)",
                cut(coding)
            ),
        );
    }
}
