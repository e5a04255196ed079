//! TLS: certificates read from files, and again when they change; connections that are open keep what they began with.
//!
//! Versions 1.2 and 1.3. On the OTLP ports senders may have to show a certificate of `tls_client_ca` (mTLS); the page and the API
//! never ask for one, because a browser has none.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Config, Listener};
use crate::watch::{LOOK, Watched};

/// What a peer may speak inside, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// First byte of every TLS connection: a handshake record.
pub(crate) const FIRST_BYTE: u8 = 0x16;

/// What a peer hears that speaks HTTP/1.1 without TLS.
pub(crate) const PLAIN_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 43\r\n\r\n\
      this port speaks TLS; begin with https://.\n";

/// Certificates in force at one door.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    server: ArcSwap<ServerConfig>,
}

#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    /// Certificates that senders' certificates must be signed by.
    client_ca: Option<PathBuf>,
}

impl Tls {
    /// The certificates of a door; `None` when the settings name none. They are read again whenever a file changes, as long as they
    /// are needed.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn load(config: &Config, listener: Listener) -> Result<Option<Arc<Self>>, String> {
        if config.tls_cert.is_empty() {
            return Ok(None);
        }
        let asks = listener != Listener::Http && !config.tls_client_ca.is_empty();
        let files = Files {
            cert: PathBuf::from(&config.tls_cert),
            key: PathBuf::from(&config.tls_key),
            client_ca: asks.then(|| PathBuf::from(&config.tls_client_ca)),
        };
        let watched = Watched::new(files.paths());
        let tls = Arc::new(Self { server: ArcSwap::from_pointee(files.read()?), files });
        tokio::spawn(reload(Arc::downgrade(&tls), watched));
        Ok(Some(tls))
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// What the peer did not like, or we did not.
    pub(crate) async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.server.load_full()).accept(stream).await
    }
}

/// Looks at the files until the door is gone.
async fn reload(tls: Weak<Tls>, mut watched: Watched) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(tls) = tls.upgrade() else { return };
        match watched.look(|| tls.files.read()) {
            Some((Ok(server), _)) => {
                tracing::info!(cert = %tls.files.cert.display(), "the certificates were read again");
                tls.server.store(Arc::new(server));
            }
            // The certificate may be there and its key not yet.
            Some((Err(error), true)) => {
                tracing::error!(error, "the certificates cannot be read again; those before stay in force");
            }
            Some((Err(_), false)) | None => {}
        }
    }
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().cloned().collect()
    }

    fn read(&self) -> Result<ServerConfig, String> {
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("{} holds no private key in PEM form: {error}", self.key.display()))?;
        let server = match &self.client_ca {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                let verifier = verifier.map_err(|error| format!("{}: {error}", path.display()))?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let (cert, key_file) = (self.cert.display(), self.key.display());
        let mut server = server
            .with_single_cert(chain, key)
            .map_err(|error| format!("{cert} and {key_file} do not work together: {error}"))?;
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(server)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told =
        |error: rustls::pki_types::pem::Error| format!("{} holds no certificates in PEM form: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(told)?.collect::<Result<Vec<_>, _>>().map_err(told)?;
    if found.is_empty() { Err(format!("{} holds no certificate in PEM form", path.display())) } else { Ok(found) }
}
