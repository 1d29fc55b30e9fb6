//! Certificates made for one test: a CA, and what it signs.
//!
//! Deliberately not here: anything that outlives its test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// A CA and the folder its files are in.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Ca {
    /// A new one; its own certificate is [`Ca::file`].
    #[track_caller]
    pub fn new(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("random numbers");
        let folder = TempDir::with_prefix("sandbook-certs-").expect("a temporary folder");
        let cert = params.self_signed(&key).expect("sound parameters");
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).expect("a writable folder");
        Ca { issuer: Issuer::new(params, key), folder }
    }

    /// Its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for those names and addresses, for servers and clients alike.
    #[track_caller]
    pub fn pair(&self, name: &str, names: &[&str]) -> Pair {
        self.issue(name, names, false)
    }

    /// The same, whose time was over in 2021.
    #[track_caller]
    pub fn expired(&self, name: &str, names: &[&str]) -> Pair {
        self.issue(name, names, true)
    }

    #[track_caller]
    fn issue(&self, name: &str, names: &[&str], expired: bool) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names and addresses");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("random numbers");
        let cert = params.signed_by(&key, &self.issuer).expect("sound parameters");
        let write = |suffix: &str, text: String| {
            let path: &Path = self.folder.path();
            let path = path.join(format!("{name}.{suffix}"));
            std::fs::write(&path, text).expect("a writable folder");
            path
        };
        Pair { cert: write("pem", cert.pem()), key: write("key", key.serialize_pem()) }
    }
}
