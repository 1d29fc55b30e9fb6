//! Certificates of the daemon's own address, read again when their files change.
//!
//! A renewed certificate is in force within seconds, for new connections; one that cannot be used leaves the old one in
//! force and says so. Deliberately not here: when to look ([`follow`]'s caller starts it), and who may do what: a client's
//! certificate opens the connection, a token says who it is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at: three calls to the system.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What is spoken inside.
const PROTOCOL: &[u8] = b"http/1.1";

/// The files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// CA that clients must have a certificate of.
    pub client_ca: Option<PathBuf>,
}

/// What a file looked like: when it was changed, and how long it is.
type Stamp = Vec<Option<(SystemTime, u64)>>;

/// The certificates in force.
pub struct Certificates {
    files: Files,
    config: RwLock<(Stamp, Arc<ServerConfig>)>,
}

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// What cannot be used, and what to do about it.
    pub fn load(files: Files) -> Result<Certificates> {
        let stamp = files.stamp();
        let config = files.config()?;
        Ok(Certificates { files, config: RwLock::new((stamp, config)) })
    }

    /// Accepts connections with what is in force now.
    pub fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(config.1.clone())
    }

    /// Reads them again if a file changed; whether it did.
    ///
    /// # Errors
    /// What cannot be used. The old ones stay in force, and the same files are not tried again.
    pub fn refresh(&self) -> Result<bool> {
        let stamp = self.files.stamp();
        if self.config.read().unwrap_or_else(PoisonError::into_inner).0 == stamp {
            return Ok(false);
        }
        let config = self.files.config();
        let mut slot = self.config.write().unwrap_or_else(PoisonError::into_inner);
        slot.0 = stamp;
        slot.1 = config?;
        Ok(true)
    }
}

/// Looks for changed files for ever. `failed` is called when they cannot be used.
pub async fn follow(certificates: Arc<Certificates>, failed: impl Fn() + Send) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match certificates.refresh() {
            Ok(true) => tracing::info!("certificates of [tls] reloaded"),
            Ok(false) => {}
            Err(error) => {
                failed();
                tracing::error!("the certificates of [tls] cannot be used, the old ones stay in force: {error:#}");
            }
        }
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        let paths = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        paths.into_iter().flatten().map(stamp).collect()
    }

    fn config(&self) -> Result<Arc<ServerConfig>> {
        let chain = certificates(&self.cert, "cert_file")?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("[tls] key_file {} holds no private key in PEM", self.key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(file, "client_ca_file")? {
                    let place = || format!("[tls] client_ca_file {} holds no CA", file.display());
                    roots.add(certificate).with_context(place)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let place = || {
            format!(
                "[tls] cert_file {} and key_file {} do not belong together",
                self.cert.display(),
                self.key.display()
            )
        };
        let mut config = builder.with_single_cert(chain, key).with_context(place)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let place = || format!("[tls] {key} {} cannot be read as certificates in PEM", file.display());
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.with_context(place)?;
    if found.is_empty() {
        bail!("[tls] {key} {} holds no certificate", file.display());
    }
    Ok(found)
}
