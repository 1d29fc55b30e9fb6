//! Whose signature counts: ed25519 in minisign's format, over a package's digest, by keys the operator trusts.
//!
//! What is signed is the line with the digest, so a signature covers exactly what a run is pinned to, whatever form the
//! package travels in; `minisign -S` over a file with that line makes the same. A signature that does not hold is an error
//! wherever it is met. One by an unknown key is kept and does not count.
//!
//! A key that expired makes no new signature count; what was accepted before stays accepted until the key is removed.
//! Deliberately not here: what an unsigned package may do; the library decides.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minisign::{PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};
use serde::Serialize;

use crate::config::Config;

#[cfg(test)]
mod tests;

/// A required signature is missing, or does not count.
pub const UNSIGNED: &str = "SB0240";
/// A signature is none.
pub const UNREADABLE: &str = "SB0241";
/// Its key is not trusted.
pub const UNKNOWN_KEY: &str = "SB0242";
/// Its key expired.
pub const EXPIRED: &str = "SB0243";
/// It is of another package.
pub const OTHER_DIGEST: &str = "SB0244";
/// It does not hold.
pub const TAMPERED: &str = "SB0245";

/// Bytes of a signature or key file at the most: minisign's have some 300.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// Bytes of a signature itself, with algorithm and key.
const SIGNATURE_BYTES: usize = 74;
/// Bytes of the signature over signature and comment.
const GLOBAL_BYTES: usize = 64;
/// Where a digest begins in a comment.
const DIGEST_PREFIX: &str = "sha256:";

/// The keys that count.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    name: String,
    id: String,
    public: PublicKey,
    /// In milliseconds.
    expires: Option<u64>,
}

/// What a signature is worth now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Signed {
    /// Nobody signed it.
    Unsigned,
    /// By a key that counts.
    Trusted {
        /// Its name in the configuration.
        key: String,
        /// 16 hex digits.
        key_id: String,
    },
    /// By a key nobody here knows.
    UnknownKey {
        /// 16 hex digits.
        key_id: String,
    },
    /// By a key that had expired when it came.
    Expired {
        /// Its name in the configuration.
        key: String,
        /// 16 hex digits.
        key_id: String,
    },
}

impl Signed {
    /// Whether it counts.
    pub fn is_trusted(&self) -> bool {
        matches!(self, Signed::Trusted { .. })
    }

    /// Why it does not count.
    pub fn code(&self) -> &'static str {
        match self {
            Signed::Unsigned | Signed::Trusted { .. } => UNSIGNED,
            Signed::UnknownKey { .. } => UNKNOWN_KEY,
            Signed::Expired { .. } => EXPIRED,
        }
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signed::Unsigned => f.write_str("not signed"),
            Signed::Trusted { key, key_id } => write!(f, "signed by {key} (key {key_id}), who is trusted"),
            Signed::UnknownKey { key_id } => write!(f, "signed by key {key_id}, which is not under [trust.keys]"),
            Signed::Expired { key, key_id } => write!(f, "signed by {key} (key {key_id}), whose key had expired"),
        }
    }
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is not in the format.
    #[error("the signature cannot be read: {0}")]
    Unreadable(String),
    /// It says itself that it is of something else.
    #[error("the signature is of {signed}, and the package is {digest}")]
    OtherDigest {
        /// What it is of.
        signed: String,
        /// What it came with.
        digest: String,
    },
    /// It was altered, or made over something else or with another key of the same number.
    #[error("the signature by {0} does not hold: it was altered, or is of something else")]
    Tampered(String),
}

impl Broken {
    /// Its page.
    pub fn code(&self) -> &'static str {
        match self {
            Broken::Unreadable(_) => UNREADABLE,
            Broken::OtherDigest { .. } => OTHER_DIGEST,
            Broken::Tampered(_) => TAMPERED,
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Broken::Unreadable(_) => "sandbook sign PATH --key FILE makes one; the file is what minisign writes",
            Broken::OtherDigest { .. } => "sign the package as it is now: sandbook sign PATH --key FILE",
            Broken::Tampered(_) => "do not use the package before whoever signed it was asked; then sign it again",
        }
    }
}

/// What is signed: the digest as a line.
pub fn message(digest: &str) -> String {
    format!("{digest}\n")
}

/// A key's number as minisign shows it.
pub fn id_of(number: &[u8]) -> String {
    number.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

impl Trust {
    /// Reads the configured keys.
    ///
    /// # Errors
    /// A file that cannot be read or is no public key, and a key that is there twice.
    pub fn load(config: &Config) -> Result<Trust> {
        let mut trust = Trust::default();
        for (name, key) in &config.trust.keys {
            let place = || format!("[trust.keys.{name}] file {}", key.file.display());
            let expires = key.expires.as_deref().map(expiry).transpose().with_context(place)?;
            trust.add(name, public_key(&key.file).with_context(place)?, expires)?;
        }
        Ok(trust)
    }

    /// One more key.
    ///
    /// # Errors
    /// When there is one of that number.
    pub fn add(&mut self, name: &str, public: PublicKey, expires: Option<u64>) -> Result<()> {
        let id = id_of(public.keynum());
        if let Some(other) = self.keys.iter().find(|key| key.id == id) {
            bail!("the keys `{}` and `{name}` under [trust.keys] are the same ({id}); remove one", other.name);
        }
        self.keys.push(Key { name: name.to_owned(), id, public, expires });
        Ok(())
    }

    /// What a signature of a digest is worth, accepted at that time in milliseconds.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn check(&self, text: &str, digest: &str, accepted_at: u64) -> Result<Signed, Broken> {
        let signature = read(text)?;
        let key_id = id_of(signature.keynum());
        let comment = signature.trusted_comment().unwrap_or_default();
        let named = comment.split_whitespace().find(|word| word.starts_with(DIGEST_PREFIX));
        if let Some(signed) = named.filter(|named| *named != digest) {
            return Err(Broken::OtherDigest { signed: signed.to_owned(), digest: digest.to_owned() });
        }
        let Some(key) = self.keys.iter().find(|key| key.id == key_id) else {
            return Ok(Signed::UnknownKey { key_id });
        };
        // Whoever signed with minisign may have left out the end of the line.
        let holds = |text: &str| {
            minisign::verify(&key.public, &signature, std::io::Cursor::new(text), true, false, false).is_ok()
        };
        if !holds(&message(digest)) && !holds(digest) {
            return Err(Broken::Tampered(format!("{} (key {key_id})", key.name)));
        }
        let name = key.name.clone();
        match key.expires.is_some_and(|expires| accepted_at >= expires) {
            true => Ok(Signed::Expired { key: name, key_id }),
            false => Ok(Signed::Trusted { key: name, key_id }),
        }
    }
}

/// A signature in minisign's format; lengths are checked first, which the parser does not do.
fn read(text: &str) -> Result<SignatureBox, Broken> {
    let unreadable = |why: String| Broken::Unreadable(why);
    if text.len() > TEXT_BYTES_MAX {
        return Err(unreadable(format!("it has {} bytes, at most {TEXT_BYTES_MAX} are accepted", text.len())));
    }
    let lines: Vec<&str> = text.lines().collect();
    for (index, bytes) in [(1, SIGNATURE_BYTES), (3, GLOBAL_BYTES)] {
        let line = lines.get(index).copied().unwrap_or_default().trim();
        let found = STANDARD.decode(line).map_or(0, |decoded| decoded.len());
        if found != bytes {
            return Err(unreadable(format!("line {} is no signature of {bytes} bytes", index + 1)));
        }
    }
    SignatureBox::from_string(text).map_err(|error| unreadable(error.to_string()))
}

/// The number of the key that a signature is by.
///
/// # Errors
/// When it is none.
pub fn key_id(text: &str) -> Result<String, Broken> {
    read(text).map(|signature| id_of(signature.keynum()))
}

/// A day or a moment after which a key makes nothing count, in milliseconds.
///
/// # Errors
/// When it is neither.
pub fn expiry(text: &str) -> Result<u64> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "2027-01-31".len());
    let moment = match day {
        Some(day) => day.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC)?.timestamp(),
        None => text.parse::<Timestamp>().map_err(|_| anyhow::anyhow!("{text:?} is no day like 2027-01-31"))?,
    };
    Ok(u64::try_from(moment.as_millisecond()).unwrap_or(0))
}

fn read_file(file: &Path) -> Result<String> {
    let length = std::fs::metadata(file).context("it cannot be read")?.len();
    if length > TEXT_BYTES_MAX as u64 {
        bail!("it has {length} bytes, which is no key");
    }
    std::fs::read_to_string(file).context("it cannot be read")
}

/// A public key as minisign writes it; the line with the key alone will do.
///
/// # Errors
/// When the file is none.
pub fn public_key(file: &Path) -> Result<PublicKey> {
    let text = read_file(file)?;
    let key = match text.trim().lines().count() {
        1 => PublicKey::from_base64(text.trim()),
        _ => PublicKeyBox::from_string(text.trim()).and_then(PublicKeyBox::into_public_key),
    };
    key.map_err(|error| anyhow::anyhow!("it is no public key of minisign: {error}"))
}

/// A secret key as minisign writes it.
///
/// # Errors
/// When the file is none, or the password is missing or wrong.
pub fn secret_key(file: &Path, password: Option<String>) -> Result<SecretKey> {
    let text = read_file(file)?;
    let boxed = || SecretKeyBox::from_string(&text).map_err(|error| anyhow::anyhow!("{error}"));
    match password {
        Some(password) => boxed()?
            .into_secret_key(Some(password))
            .map_err(|error| anyhow::anyhow!("the secret key cannot be opened with that password: {error}")),
        None => boxed()?
            .into_unencrypted_secret_key()
            .map_err(|error| anyhow::anyhow!("the secret key cannot be opened without a password: {error}")),
    }
}

/// A signature of a digest; what it is of stands in its trusted comment as well.
///
/// # Errors
/// When the key cannot sign.
pub fn sign(key: &SecretKey, name: &str, version: &str, digest: &str) -> Result<String> {
    let comment = format!("runbook {name} {version} {digest}");
    let untrusted = format!("signature of runbook {name} {version}");
    let message = std::io::Cursor::new(message(digest));
    let signature = minisign::sign(None, key, message, Some(&comment), Some(&untrusted));
    Ok(signature.map_err(|error| anyhow::anyhow!("the key cannot sign: {error}"))?.into_string())
}
