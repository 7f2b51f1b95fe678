//! Signs of something between client and server: one file each, one line in [`SIGNS`]. Each says what it
//! found, how sure that is, or that it looked and found nothing. This module must not know what a level
//! of evidence is.

mod bursts;
mod connections;
mod head;
mod headers;
mod ids;

use super::seen::Seen;
use crate::record::diagnosis::{Between, Finding, Sure};

/// What one sign tells.
#[derive(Default)]
pub struct Told {
    pub findings: Vec<Finding>,
    pub clear: Vec<String>,
}

impl Told {
    /// Something that speaks for a gateway.
    pub fn gateway(&mut self, sure: Sure, what: String) {
        self.findings.push(Finding { what, sure, gateway: true });
    }

    /// Something worth knowing that the server may do as well.
    pub fn either(&mut self, sure: Sure, what: String) {
        self.findings.push(Finding { what, sure, gateway: false });
    }

    pub fn clear(&mut self, what: String) {
        self.clear.push(what);
    }
}

/// Every sign, in the order of printing.
pub const SIGNS: [fn(&Seen<'_>, &mut Told); 5] =
    [headers::sign, ids::sign, connections::sign, head::sign, bursts::sign];

/// All of them, of one examination.
pub fn of(seen: &Seen<'_>) -> Between {
    let mut told = Told::default();
    for sign in SIGNS {
        sign(seen, &mut told);
    }
    Between {
        gateway: told.findings.iter().filter(|f| f.gateway).map(|f| f.sure).max(),
        findings: told.findings,
        clear: told.clear,
    }
}
