//! Whether connections are kept, and whether the server sees those of this client.

use super::Told;
use crate::correlate::access_join::{FOREIGN, UNCLEAR};
use crate::doctor::seen::Seen;
use crate::record::Connection;
use crate::record::diagnosis::Sure;

pub fn sign(seen: &Seen<'_>, told: &mut Told) {
    // The first request finds one that was opened for it; each later one should find its own again.
    let later = || seen.ok.iter().filter(|s| s.row.client.index > 0);
    let kept = later().filter(|s| s.row.client.connection == Connection::Reused).count();
    let all = later().count();
    if all > 0 && kept == all {
        told.clear(format!("connections are kept ({kept} of {all})"));
    } else if all > 0 {
        told.either(
            Sure::Certain,
            format!("the connection was closed after an answer ({} of {all}): a client that keeps none pays for a new one in each TTFT", all - kept),
        );
    }
    let coverage = &seen.read.correlated.coverage;
    let left = |reason: &str| coverage.access_leftovers.get(reason).copied().unwrap_or(0);
    let foreign = left(FOREIGN);
    if coverage.access_lines > 0 {
        told.clear(format!("the server's access lines name this client's ports ({})", coverage.access_lines));
    } else if foreign > 0 && left(UNCLEAR) == 0 {
        told.gateway(
            Sure::Likely,
            format!("{foreign} access lines came meanwhile and none names a port of this client: the server's connections are another's (or addresses are translated)"),
        );
    }
}
