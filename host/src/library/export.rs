//! A version as a file that another daemon takes: its package with its signature, and what differs between two of them.
//!
//! Deliberately not here: taking it; that is an upload like any other.

use std::sync::Arc;

use super::difference::{Difference, between};
use super::{Error, Library, Package, Result, SIGNATURE_FILE, Standing, archive};

impl Library {
    /// A version's package as a tar, with the signature that counts most.
    pub async fn export(&self, name: &str, digest: Option<&str>) -> Result<(Standing, Vec<u8>)> {
        let (standing, package) = self.stored(name, digest).await?;
        let mut files: Vec<(String, Vec<u8>)> =
            package.files.iter().filter(|(name, _)| name != SIGNATURE_FILE).cloned().collect();
        let signatures = self.store.signatures().await?;
        let own = signatures.into_iter().filter(|row| row.digest == standing.digest);
        let counts = |text: &str, at: u64| {
            self.trust
                .get()
                .is_some_and(|trust| trust.check(text, &standing.digest, at).is_ok_and(|one| one.is_trusted()))
        };
        if let Some(best) = own.max_by_key(|row| (counts(&row.text, row.at), row.at)) {
            files.push((SIGNATURE_FILE.to_owned(), best.text.into_bytes()));
        }
        Ok((standing, archive::pack(&files)))
    }

    /// What differs between two versions of a runbook; absent: the one that runs.
    pub async fn difference(&self, name: &str, from: Option<&str>, to: Option<&str>) -> Result<Difference> {
        let (_, from) = self.stored(name, from).await?;
        let (_, to) = self.stored(name, to).await?;
        Ok(between(&from, &to))
    }

    async fn stored(&self, name: &str, digest: Option<&str>) -> Result<(Standing, Arc<Package>)> {
        let standing = self.find(name, digest)?;
        let package = self.package_by_digest(&standing.digest).await?;
        let unknown = || Error::UnknownVersion { name: standing.name.clone(), digest: standing.digest.clone() };
        let package = package.ok_or_else(unknown)?;
        Ok((standing, package))
    }
}
