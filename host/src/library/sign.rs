//! Signatures of versions: kept with them, checked anew whenever stages are computed, and what an unsigned version may be.
//!
//! What is built in came with this program and needs none. Deliberately not here: whether a signature holds; see
//! [`crate::trust`].

use sandbook_core::problem::Problem;
use sandbook_core::run::{Origin, Stage};
use serde_json::json;

use super::{Error, Library, Package, Result, SIGNATURE_FILE, Standing, UploadError, Work, now_ms, problem};
use crate::config::RequireSignature;
use crate::store::{SignatureRow, Source};
use crate::trust::{self, Broken, Signed, Trust};

impl Library {
    /// From now on those keys count. The first stay.
    pub fn trust(&self, trust: Trust) {
        drop(self.trust.set(trust));
    }

    fn trusted(&self, text: &str, digest: &str, accepted_at: u64) -> std::result::Result<Signed, Broken> {
        self.trust.get_or_init(Trust::default).check(text, digest, accepted_at)
    }

    /// How far a version may be trusted with that signature.
    pub(super) fn ceiling(&self, source: Source, signed: &Signed) -> Stage {
        match self.config.runbooks.require_signature {
            RequireSignature::Never => Stage::Live,
            RequireSignature::Live | RequireSignature::Always if source == Source::BuiltIn || signed.is_trusted() => {
                Stage::Live
            }
            RequireSignature::Live => Stage::Ask,
            RequireSignature::Always => Stage::Draft,
        }
    }

    /// What the stored signatures are worth now: of several of a version, the one that counts most.
    pub(super) async fn verify_signatures(&self, work: &mut Work) -> Result<()> {
        let rank = |signed: &Signed| match signed {
            Signed::Trusted { .. } => 3,
            Signed::Expired { .. } => 2,
            Signed::UnknownKey { .. } => 1,
            Signed::Unsigned => 0,
        };
        work.signed.clear();
        for row in self.store.signatures().await? {
            // One that held and no longer does is a damaged file, and counts for nothing.
            let Ok(signed) = self.trusted(&row.text, &row.digest, row.at) else { continue };
            let best = work.signed.entry(row.digest).or_insert(Signed::Unsigned);
            if rank(&signed) > rank(best) {
                *best = signed;
            }
        }
        Ok(())
    }

    /// What a package's own signature is worth, from when it was first accepted.
    async fn judge(&self, package: &Package) -> Result<std::result::Result<Signed, Broken>> {
        let Some(text) = package.signature() else { return Ok(Ok(Signed::Unsigned)) };
        let key_id = match trust::key_id(&text) {
            Ok(key_id) => key_id,
            Err(broken) => return Ok(Err(broken)),
        };
        let known = self.store.signatures().await?;
        let known = known.iter().find(|row| row.digest == package.digest && row.key_id == key_id);
        Ok(self.trusted(&text, &package.digest, known.map_or_else(now_ms, |row| row.at)))
    }

    /// Refuses an upload whose signature does not hold, or is missing where every package needs one. What a model drafted
    /// never acts before a person promotes it, and that needs the signature.
    pub(super) async fn signed_upload(
        &self,
        package: &Package,
        origin: Origin,
        by: &str,
    ) -> std::result::Result<(), UploadError> {
        let signed = match self.judge(package).await? {
            Ok(signed) => signed,
            Err(broken) => {
                self.refused(&package.name, &package.digest, by, broken.code(), &broken.to_string()).await?;
                return Err(UploadError::Signature(broken));
            }
        };
        let always = self.config.runbooks.require_signature == RequireSignature::Always;
        if !always || signed.is_trusted() || origin != Origin::Person {
            return Ok(());
        }
        // The same bytes may have been signed before.
        if self.standing_of(&package.name, &package.digest).is_some_and(|known| known.signed.is_trusted()) {
            return Ok(());
        }
        self.refused(&package.name, &package.digest, by, signed.code(), &signed.to_string()).await?;
        Err(UploadError::Unsigned { name: package.name.clone(), signed: Box::new(signed) })
    }

    async fn refused(&self, name: &str, digest: &str, by: &str, code: &str, why: &str) -> Result<()> {
        let details = json!({"digest": digest, "code": code, "why": why});
        self.store.audit(by, "signature-refused", name, details, now_ms()).await?;
        Ok(())
    }

    /// Refuses a stage that a version's signature does not allow, and says so in the audit.
    pub(super) async fn signed_for(&self, version: &Standing, stage: Stage, by: &str) -> Result<()> {
        if stage <= version.ceiling {
            return Ok(());
        }
        let why = format!("{stage} was asked for, and it is {}", version.signed);
        self.refused(&version.name, &version.digest, by, version.signed.code(), &why).await?;
        Err(Error::Unsigned {
            name: version.name.clone(),
            version: version.version.clone(),
            ceiling: version.ceiling,
            signed: Box::new(version.signed.clone()),
        })
    }

    /// Keeps the signature a package came with; it was judged before.
    pub(super) async fn keep_signature(&self, package: &Package, by: &str) -> Result<()> {
        match package.signature() {
            Some(text) => self.put_signature(&package.name, &package.digest, text, by).await,
            None => Ok(()),
        }
    }

    async fn put_signature(&self, name: &str, digest: &str, text: String, by: &str) -> Result<()> {
        let key_id = trust::key_id(&text).map_err(Error::Signature)?;
        let at = now_ms();
        let row = SignatureRow { digest: digest.to_owned(), key_id: key_id.clone(), text, at, by: by.to_owned() };
        if self.store.put_signature(row).await? {
            let details = json!({"digest": digest, "key": key_id});
            self.store.audit(by, "signature", name, details, at).await?;
        }
        Ok(())
    }

    /// Takes a signature of a version that is there.
    pub async fn add_signature(&self, name: &str, digest: &str, text: &str, by: &str) -> Result<Standing> {
        let mut work = self.work.lock().await;
        let version = self.find(name, Some(digest))?;
        if let Err(broken) = self.trusted(text, &version.digest, now_ms()) {
            self.refused(&version.name, &version.digest, by, broken.code(), &broken.to_string()).await?;
            return Err(Error::Signature(broken));
        }
        self.put_signature(&version.name, &version.digest, text.to_owned(), by).await?;
        self.refresh(&mut work).await?;
        Ok(self.standing_of(&version.name, &version.digest).unwrap_or(version))
    }

    /// What keeps a watched folder's package from being loaded, or from the stage the configuration names.
    pub(super) async fn signature_problems(&self, package: &Package) -> Result<Vec<Problem>> {
        let signed = match self.judge(package).await? {
            Ok(signed) => signed,
            Err(broken) => return Ok(vec![problem(broken.code(), SIGNATURE_FILE, broken.to_string(), broken.fix())]),
        };
        if signed.is_trusted() || self.has_trusted(package) {
            return Ok(Vec::new());
        }
        let wanted = self.config.runbooks.stages.get(&package.name).map_or(Stage::Shadow, |pin| pin.stage);
        let ceiling = self.ceiling(Source::Dir, &signed);
        if wanted <= ceiling {
            return Ok(Vec::new());
        }
        let message = format!("{} is {signed}, so it is {ceiling} at the most", package.name);
        let help = "sandbook sign FOLDER --key FILE, with a key under [trust.keys]";
        let found = problem(signed.code(), SIGNATURE_FILE, message, help);
        // A draft starts nothing: then the version before stays in use, and not this one.
        Ok(vec![Problem { warning: ceiling > Stage::Draft, ..found }])
    }

    fn has_trusted(&self, package: &Package) -> bool {
        self.standing_of(&package.name, &package.digest).is_some_and(|known| known.signed.is_trusted())
    }
}
