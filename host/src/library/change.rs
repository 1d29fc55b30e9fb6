//! Changing the library: uploads, stages and rolling back. Each is audited, durable when answered, and visible at once.
//!
//! Deliberately not here: who may do it. The API asks for a role first.

use sandbook_core::problem::Problem;
use sandbook_core::run::{Origin, Stage};
use serde::Serialize;
use serde_json::json;

use super::{Error, Library, Package, Result, Standing, Upload, builtin, now_ms};
use crate::config::Trusted;
use crate::store::{self, Source, StageRow};
use crate::trust::Signed;

/// What an upload led to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Uploaded {
    pub name: String,
    pub version: String,
    pub digest: String,
    /// Effective.
    pub stage: Stage,
    /// Effects the manifest asks for.
    pub requests: Vec<String>,
    pub warnings: Vec<Problem>,
    /// False: the same bytes were there.
    #[serde(skip)]
    pub created: bool,
    /// Its scenarios and pages took the place of those that came with the same code before.
    pub replaced: bool,
}

/// Why an upload is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum UploadError {
    #[error("the package has {} problem(s), the first: {}", .0.iter().filter(|p| !p.warning).count(), .0.iter().find(|p| !p.warning).map(Problem::to_string).unwrap_or_default())]
    Problems(Vec<Problem>),
    #[error("{name} {version} was uploaded with other bytes ({digest}); raise `version` in the manifest")]
    VersionTaken { name: String, version: String, digest: String },
    #[error("an upload cannot be {0} at once; upload it in shadow, look at what it would do, then `sandbook promote`")]
    StageTooHigh(Stage),
    #[error(transparent)]
    Signature(crate::trust::Broken),
    #[error(
        "{name} is {signed}, and `require_signature = \"always\"` under [runbooks] takes only packages with a signature that counts"
    )]
    Unsigned { name: String, signed: Box<Signed> },
    #[error(transparent)]
    Store(store::Error),
}

impl From<store::Error> for UploadError {
    fn from(error: store::Error) -> UploadError {
        UploadError::Store(error)
    }
}

impl From<Error> for UploadError {
    fn from(error: Error) -> UploadError {
        match error {
            Error::Store(error) => UploadError::Store(error),
            other => UploadError::Store(store::Error::Invalid(other.to_string())),
        }
    }
}

/// A stage to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StageChange {
    pub stage: Stage,
    pub reason: String,
    pub by: String,
    /// Whoever says so is a person, or acts for one.
    pub person: bool,
}

/// A stage that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct StageSet {
    pub name: String,
    pub version: String,
    pub digest: String,
    /// Before, effectively.
    pub from: Stage,
    /// What was asked for.
    pub set: Stage,
    /// Now, effectively: lower than `set` when the configuration says less.
    pub stage: Stage,
}

impl Library {
    /// Takes a package that a person or program uploads. Shadow, unless `stage` or the configuration says less, and draft
    /// where its manifest says that a model drafted it; the same bytes again change nothing.
    pub async fn upload(
        &self,
        bytes: &[u8],
        content_type: Option<&str>,
        by: &str,
        stage: Option<Stage>,
    ) -> std::result::Result<Uploaded, UploadError> {
        self.take(bytes, content_type, by, stage, false).await
    }

    /// Takes what a model drafted: a draft until a person promotes it.
    pub async fn upload_draft(&self, bytes: &[u8], by: &str) -> std::result::Result<Uploaded, UploadError> {
        self.take(bytes, None, by, Some(Stage::Draft), true).await
    }

    async fn take(
        &self,
        bytes: &[u8],
        content_type: Option<&str>,
        by: &str,
        stage: Option<Stage>,
        drafted: bool,
    ) -> std::result::Result<Uploaded, UploadError> {
        if let Some(stage) = stage.filter(|stage| *stage > Stage::Shadow) {
            return Err(UploadError::StageTooHigh(stage));
        }
        let (mut package, warnings) = self.read(bytes, content_type).await?;
        if drafted {
            package.origin = Origin::Llm;
        }
        let origin = package.origin;
        // More than a draft is for a person who names its digest, and an upload is not that.
        let stage = if origin == Origin::Llm { Some(Stage::Draft) } else { stage };
        self.signed_upload(&package, origin, by).await?;
        let mut work = self.work.lock().await;
        let Some((version, created)) = self.put(&package, by, false).await? else {
            let versions = self.store.versions(&package.name).await?;
            let taken = versions.into_iter().find(|row| row.version == package.version);
            let digest = taken.map(|row| row.digest).unwrap_or_default();
            return Err(UploadError::VersionTaken { name: package.name, version: package.version, digest });
        };
        let replaced = !created && origin == Origin::Person && self.replace_beside(&package, &version, by).await?;
        self.keep_signature(&package, by).await?;
        let Package { name, digest, manifest, .. } = package;
        if created {
            let at = now_ms();
            let details = json!({"version": version, "digest": digest, "origin": origin, "stage": stage});
            self.store.audit(by, "upload", &name, details, at).await?;
            if let Some(stage) = stage {
                self.store.set_stage(&name, &digest, stage, "uploaded", by, at).await?;
            }
        }
        self.refresh(&mut work).await?;
        let stage = self.standing_of(&name, &digest).map_or(Stage::Draft, |standing| standing.stage);
        Ok(Uploaded { name, version, digest, stage, requests: manifest.requests, warnings, created, replaced })
    }

    /// Keeps a known version's package with the scenarios and pages of this upload. What comes without any leaves those
    /// that are there, as a single file does.
    async fn replace_beside(&self, package: &Package, version: &str, by: &str) -> Result<bool> {
        let Some(known) = self.package_by_digest(&package.digest).await? else { return Ok(false) };
        let (before, after) = (known.beside(), package.beside());
        if after.is_empty() || before == after {
            return Ok(false);
        }
        let Some(row) = self.store.version(&package.name, &package.digest).await? else { return Ok(false) };
        self.store.put_version(store::VersionRow { package: package.to_tar(), ..row }).await?;
        self.forget(&package.digest);
        let names = |files: &[&(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let details = json!({
            "version": version, "digest": package.digest, "before": names(&before), "after": names(&after),
        });
        self.store.audit(by, "scenarios", &package.name, details, now_ms()).await?;
        Ok(true)
    }

    /// Reads, compiles and checks a package, a tar, that is to be kept nowhere.
    pub async fn examine(&self, bytes: Vec<u8>) -> std::result::Result<Package, UploadError> {
        let (package, _) = self.read(&bytes, None).await?;
        Ok(package)
    }

    async fn read(
        &self,
        bytes: &[u8],
        content_type: Option<&str>,
    ) -> std::result::Result<(Package, Vec<Problem>), UploadError> {
        let (bytes, content_type) = (bytes.to_vec(), content_type.map(str::to_owned));
        let read = tokio::task::spawn_blocking(move || {
            Package::read(Upload::Bytes { bytes: &bytes, content_type: content_type.as_deref() })
        });
        let read = read.await.map_err(|_| store::Error::Closed)?;
        let (mut package, mut warnings) = read.map_err(UploadError::Problems)?;
        package.source = Source::Upload;
        warnings.extend(self.check(&package).await);
        if warnings.iter().any(|problem| !problem.warning) {
            return Err(UploadError::Problems(warnings));
        }
        Ok((package, warnings))
    }

    /// Sets how far a version is trusted. `digest` may be the unique beginning of one; empty means the newest version
    /// when it is to act, else the one that runs.
    pub async fn set_stage(&self, name: &str, digest: &str, change: StageChange) -> Result<StageSet> {
        let mut work = self.work.lock().await;
        let before = match digest {
            "" if change.stage >= Stage::Ask => self.newest(name)?,
            digest => self.find(name, Some(digest))?,
        };
        self.trusted_by_a_person(&before, digest, &change)?;
        self.apply(&mut work, &[(before, change)]).await
    }

    /// What a model drafted is trusted with more by a person who names that very version, unless the operator decided
    /// otherwise.
    fn trusted_by_a_person(&self, before: &Standing, digest: &str, change: &StageChange) -> Result<()> {
        let needs = |why| {
            let (name, version, digest) = (before.name.clone(), before.version.clone(), before.digest.clone());
            Err(Error::NeedsPerson { name, version, digest, why })
        };
        match (before.origin, self.config.drafts.trusted_by) {
            (Origin::BuiltIn | Origin::Person, _) | (Origin::Llm, Trusted::Anybody) => Ok(()),
            (Origin::Llm, Trusted::Person) if change.stage <= before.stage => Ok(()),
            (Origin::Llm, Trusted::Person) if !change.person => needs("this token belongs to nobody"),
            (Origin::Llm, Trusted::Person) if digest.is_empty() => needs("the version is not named by its digest"),
            (Origin::Llm, Trusted::Person) => Ok(()),
        }
    }

    /// Lets the version act again that acted before the one that runs, and that one only watch.
    pub async fn rollback(&self, name: &str, by: &str, reason: &str) -> Result<StageSet> {
        let mut work = self.work.lock().await;
        let current = self.find(name, None)?;
        let history = self.store.stage_history(&current.name).await?;
        let previous = history.iter().find(|row| row.stage >= Stage::Ask && row.digest != current.digest);
        let previous = previous.ok_or_else(|| Error::NothingBefore(current.name.clone()))?;
        let target = self.find(&current.name, Some(&previous.digest))?;
        // Before anything changes: half a rollback would leave nothing that acts.
        self.signed_for(&target, previous.stage, by).await?;
        // Whatever acted before was trusted then.
        let change = |stage| StageChange { stage, reason: reason.to_owned(), by: by.to_owned(), person: true };
        let mut changes = Vec::new();
        if current.stage >= Stage::Ask {
            changes.push((current, change(Stage::Shadow)));
        }
        changes.push((target, change(previous.stage)));
        self.apply(&mut work, &changes).await
    }

    /// Applies them, all or none, and answers with the last.
    async fn apply(&self, work: &mut super::Work, changes: &[(Standing, StageChange)]) -> Result<StageSet> {
        let at = now_ms();
        let mut rows = Vec::with_capacity(changes.len());
        for (before, StageChange { stage, reason, by, person: _ }) in changes {
            self.signed_for(before, *stage, by).await?;
            let details = json!({
                "version": before.version, "digest": before.digest, "from": before.stage, "stage": stage, "reason": reason,
            });
            let (name, digest) = (before.name.clone(), before.digest.clone());
            rows.push((StageRow { name, digest, stage: *stage, reason: reason.clone(), by: by.clone(), at }, details));
        }
        let stored = self.store.set_stages(rows).await?;
        let Some((before, StageChange { stage, .. })) = changes.last().filter(|_| stored) else {
            let (name, digest) =
                changes.first().map(|(one, _)| (one.name.clone(), one.digest.clone())).unwrap_or_default();
            return Err(Error::UnknownVersion { name, digest });
        };
        self.refresh(work).await?;
        let now = self.standing_of(&before.name, &before.digest).map_or(*stage, |standing| standing.stage);
        Ok(StageSet {
            name: before.name.clone(),
            version: before.version.clone(),
            digest: before.digest.clone(),
            from: before.stage,
            set: *stage,
            stage: now,
        })
    }

    /// The version that a promotion without a digest means: the newest that is there.
    pub fn newest(&self, name: &str) -> Result<Standing> {
        let name = self.name_of(name)?;
        let standings = self.standings();
        let newest = standings.iter().find(|standing| standing.name == name && standing.present);
        newest.cloned().map_or_else(|| self.find(&name, None), Ok)
    }

    pub(super) fn standing_of(&self, name: &str, digest: &str) -> Option<Standing> {
        self.standings().iter().find(|standing| standing.name == name && standing.digest == digest).cloned()
    }

    /// Stores what is embedded. What does not read is a defect of this program, and costs only itself.
    pub(super) async fn register_built_in(&self, work: &mut super::Work) -> Result<()> {
        for (name, files) in builtin::ALL {
            match built_in(files) {
                Ok(package) => {
                    let digest = package.digest.clone();
                    self.put(&package, super::ENGINE, true).await?;
                    work.built_in.insert(package.name, digest);
                }
                Err(problems) => {
                    let why = problems.first().map(Problem::to_string).unwrap_or_default();
                    tracing::error!(runbook = name, "defect: this built-in runbook does not read: {why}");
                }
            }
        }
        Ok(())
    }
}

/// An embedded package.
pub(super) fn built_in(files: &[(&str, &[u8])]) -> std::result::Result<Package, Vec<Problem>> {
    let files: Vec<(String, Vec<u8>)> =
        files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    let tar = super::archive::pack(&files);
    let (mut package, _) = Package::read(Upload::Bytes { bytes: &tar, content_type: Some("application/x-tar") })?;
    (package.origin, package.source) = (Origin::BuiltIn, Source::BuiltIn);
    Ok(package)
}

/// Whether a digest is that of a package embedded in this program.
pub fn is_built_in(digest: &str) -> bool {
    builtin::ALL.iter().any(|(_, files)| built_in(files).is_ok_and(|package| package.digest == digest))
}
