//! Whose certificates are believed, in control calls to an `https` server. This file must not know
//! what is asked.

use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder};

use crate::error::{Failure, usage};

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
        let Some(path) = &self.ca_cert else {
            return Ok(builder.danger_accept_invalid_certs(self.insecure));
        };
        let unusable = || usage(format!("expected PEM certificates in {} (--ca-cert)", path.display()));
        let pem = std::fs::read(path).map_err(|error| unusable().caused_by(error))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unusable().caused_by(error))?;
        let builder = builder.tls_built_in_root_certs(false);
        Ok(certificates.into_iter().fold(builder, ClientBuilder::add_root_certificate))
    }
}
