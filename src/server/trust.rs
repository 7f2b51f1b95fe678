//! Whose certificates are believed, in control calls to an `https` server. This file must not know
//! what is asked.

use std::path::PathBuf;

use reqwest::ClientBuilder;

use crate::error::Failure;
use crate::net::tls;

/// Whose certificates are believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// PEM file of authorities, in place of the system's.
    pub ca_cert: Option<PathBuf>,
    /// Anybody's.
    pub insecure: bool,
}

impl Trust {
    /// Applied to a client of `url`.
    pub fn applied(&self, url: &str, builder: ClientBuilder) -> Result<ClientBuilder, Failure> {
        if !url.starts_with("https:") {
            // Not needed, so the system's hundred certificates are not read and parsed.
            return Ok(builder.tls_built_in_root_certs(false));
        }
        Ok(builder.use_preconfigured_tls(tls::config(self.ca_cert.as_deref(), self.insecure)?))
    }
}
