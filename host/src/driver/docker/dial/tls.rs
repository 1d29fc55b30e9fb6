//! TLS to an engine: its certificate against the operator's CA, ours from files that may be renewed at any time.
//!
//! The files are read for every connection, so a renewed certificate needs no restart. Deliberately not here: the
//! system's own CAs. An engine is the operator's, and so is its CA.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::endpoint::{Identity, Tls};

/// A stream under TLS. Errors say what to do about it.
pub(super) async fn connect(tls: &Tls, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
    let config = config(tls)?;
    let name = ServerName::try_from(tls.name().to_owned())
        .map_err(|_| Error::new(ErrorKind::InvalidInput, format!("`{}` is no name of a machine", tls.name())))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connecting.map_err(|error| Error::new(error.kind(), explain(tls, &error)))
}

fn config(tls: &Tls) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca_file, "ca_file")? {
        roots.add(certificate).map_err(|error| unusable(&tls.ca_file, "ca_file", &error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::other)?
        .with_root_certificates(roots);
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(Identity { cert_file, key_file }) => {
            let chain = certificates(cert_file, "cert_file")?;
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unusable(key_file, "key_file", &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let place = format!("cert_file {} and key_file {}", cert_file.display(), key_file.display());
                Error::new(ErrorKind::InvalidInput, format!("{place} do not belong together: {error}"))
            })
        }
    }
}

fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unusable(file, key, &"it holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(file, key, &error)),
    }
}

fn unusable(file: &Path, key: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{key} {} cannot be used: {why}", file.display()))
}

/// What went wrong in words, and what to do.
pub(super) fn explain(tls: &Tls, error: &Error) -> String {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) else {
        return error.to_string();
    };
    let machine = tls.name();
    match cause {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            format!(
                "its certificate has expired; renew what `dockerd --tlscert` names on {machine} and restart dockerd"
            )
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => format!("its certificate is not valid yet; compare the clocks of {machine} and of this machine"),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("its certificate is not for `{machine}`; write a name the certificate has, or issue one for it"),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            let file = tls.ca_file.display();
            format!("its certificate is not of the CA in {file}; it is another machine, or ca_file is another CA")
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) if tls.identity.is_none() => {
            "it wants a certificate of its clients; set cert_file and key_file".to_owned()
        }
        rustls::Error::AlertReceived(alert) => refused(tls, *alert),
        rustls::Error::InvalidMessage(_) => {
            "what answers there does not speak TLS; start dockerd with --tlsverify, or remove ca_file".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

/// What the engine said about our certificate.
fn refused(tls: &Tls, alert: AlertDescription) -> String {
    let file = match &tls.identity {
        Some(identity) => identity.cert_file.display().to_string(),
        None => return format!("it ended TLS ({alert:?}); it may want a certificate: set cert_file and key_file"),
    };
    match alert {
        AlertDescription::CertificateExpired => {
            format!("it does not take the certificate in {file}, which has expired; renew it, no restart is needed")
        }
        AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            format!(
                "it does not take the certificate in {file}; look whether it has expired (openssl x509 -noout -enddate \
                 -in {file}), and whether it is of the CA that `dockerd --tlscacert` names"
            )
        }
        other => format!("it ended TLS ({other:?}); compare {file} with what `dockerd --tlscacert` names"),
    }
}
