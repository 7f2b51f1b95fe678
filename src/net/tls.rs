//! TLS between a TCP connection's bytes and the program's, sans-IO. Records are taken apart here, one
//! by one, so that every decrypted byte is still known by the place of its record in the TCP stream:
//! only thus does a stamp of the kernel's mean something under TLS. This file must not know sockets
//! or what is sent.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::error::{Failure, usage};

/// Content type, version, length: what precedes a record's content.
const RECORD_HEAD_BYTES: usize = 5;

/// What sessions with one server have in common.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// For the server `host` (a name, or an address), believed as [`config`] says.
    pub fn new(host: &str, ca_cert: Option<&Path>, insecure: bool) -> Result<Self, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| usage(format!("expected a host name or an address for TLS, found `{host}`")))?;
        let mut config = config(ca_cert, insecure)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), name })
    }

    /// A new session, its handshake not begun.
    pub(super) fn session(&self) -> io::Result<Tls> {
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(other)?;
        connection.set_buffer_limit(None);
        Ok(Tls { connection, partial: Vec::new(), plain: Vec::new(), records: Vec::new() })
    }
}

/// A server's certificate must be in the PEM file `ca_cert`, or vouched for by an authority in it; without the file, by one
/// of the system's authorities; if `insecure`, by nobody.
///
/// # Errors
/// When the file holds no certificates, or the system has none.
pub fn config(ca_cert: Option<&Path>, insecure: bool) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let unusable = |error: &dyn std::fmt::Display| usage(format!("TLS cannot be used: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let named = ca_cert.map(certificates).transpose()?.unwrap_or_default();
    let authorities = match ca_cert {
        _ if insecure => None,
        None => Some(of_the_system()?),
        Some(path) => Some(of_the_file(path, &named)?),
    };
    let authorities = authorities.map(|roots| {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()
    });
    let authorities = authorities.transpose().map_err(|error| unusable(&error))?;
    let believed = Arc::new(Believed { provider, authorities, named });
    Ok(builder.dangerous().with_custom_certificate_verifier(believed).with_no_client_auth())
}

fn of_the_file(path: &Path, named: &[CertificateDer<'static>]) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in named {
        roots.add(certificate.clone()).map_err(|error| {
            usage(format!("a certificate in {} cannot be used", path.display())).caused_by(error)
        })?;
    }
    Ok(roots)
}

fn of_the_system() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(usage("this system has no certificates of authorities to check the server's with").hint(
            "give one with --ca-cert FILE, install the system's (ca-certificates), or do without the check: --insecure",
        ));
    }
    Ok(roots)
}

/// The certificates in a PEM file: one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let unreadable = |error| {
        usage(format!("expected PEM certificates in {} (--ca-cert)", path.display())).caused_by(error)
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found = found.map_err(unreadable)?;
    if found.is_empty() {
        return Err(usage(format!(
            "expected PEM certificates in {} (--ca-cert), found none",
            path.display()
        )));
    }
    Ok(found)
}

/// One session.
pub(super) struct Tls {
    connection: ClientConnection,
    /// The beginning of a record whose rest has not come.
    partial: Vec<u8>,
    /// What the last read's records said, and where each of them ended, here and in the TCP stream.
    plain: Vec<u8>,
    records: Vec<(usize, u64)>,
}

/// The decrypted content of one read.
pub(super) struct Opened<'a> {
    pub(super) bytes: &'a [u8],
    /// For each record with content: its end in `bytes`, and in the TCP stream.
    pub(super) records: &'a [(usize, u64)],
    /// The read ended where a record with content did.
    pub(super) whole: bool,
    /// The peer has said that nothing more will come.
    pub(super) closed: bool,
}

impl Tls {
    /// Whether the handshake is over.
    pub(super) fn is_ready(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// What is to be written now: handshake, alerts, what was sealed.
    pub(super) fn outgoing(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut out)?;
        }
        Ok(out)
    }

    /// `bytes` as records to be written.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.connection.writer().write_all(bytes)?;
        self.outgoing()
    }

    /// Takes what was read from the TCP stream, from offset `begin` on.
    pub(super) fn take(&mut self, raw: &[u8], begin: u64) -> io::Result<Opened<'_>> {
        self.plain.clear();
        self.records.clear();
        let kept = std::mem::take(&mut self.partial);
        let mut offset = begin - kept.len() as u64;
        let joined = if kept.is_empty() { Vec::new() } else { [kept.as_slice(), raw].concat() };
        let mut rest = if kept.is_empty() { raw } else { joined.as_slice() };
        let (mut whole, mut closed) = (false, false);
        while let Some(record) = first_record(rest) {
            let before = self.plain.len();
            closed |= self.open(record)?;
            offset += record.len() as u64;
            whole = self.plain.len() > before;
            if whole {
                self.records.push((self.plain.len(), offset));
            }
            rest = rest.get(record.len()..).unwrap_or_default();
        }
        self.partial.extend_from_slice(rest);
        whole &= rest.is_empty();
        Ok(Opened { bytes: &self.plain, records: &self.records, whole, closed })
    }

    /// One record; whether the peer has closed by now.
    fn open(&mut self, mut record: &[u8]) -> io::Result<bool> {
        let mut closed = false;
        while !record.is_empty() {
            self.connection.read_tls(&mut record)?;
            let state = self.connection.process_new_packets().map_err(other)?;
            closed |= state.peer_has_closed();
            let begin = self.plain.len();
            self.plain.resize(begin + state.plaintext_bytes_to_read(), 0);
            if let Some(room) = self.plain.get_mut(begin..).filter(|room| !room.is_empty()) {
                self.connection.reader().read_exact(room)?;
            }
        }
        Ok(closed)
    }
}

/// The first record of `bytes`, if it is all there.
fn first_record(bytes: &[u8]) -> Option<&[u8]> {
    let (high, low) = (bytes.get(3)?, bytes.get(4)?);
    bytes.get(..RECORD_HEAD_BYTES + usize::from(u16::from_be_bytes([*high, *low])))
}

fn other(error: rustls::Error) -> io::Error {
    io::Error::other(error)
}

/// Believes those that the authorities vouch for, and the named certificates themselves: one that is made for a server by
/// `openssl req -x509` is an authority's as well, which webpki takes from nobody. Without authorities (`--insecure`)
/// anybody, who still has to hold the key that is shown.
#[derive(Debug)]
struct Believed {
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        match authorities.verify_server_cert(shown, between, name, ocsp, now) {
            // Not that it has expired, nor that it is for another name: only that it is an authority's, or of one that
            // is not named.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Other(_) | CertificateError::UnknownIssuer,
            )) if self.named.contains(shown) => {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            found => found,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
