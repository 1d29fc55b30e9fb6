//! Effective stages, and what alerts may start: computed from the store and the configuration, published as a whole.
//!
//! Deliberately not here: changing a stage; see [`super::change`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use sandbook_core::run::{Origin, Stage};
use serde_json::json;

use super::{Active, CONFIGURED, ENGINE, Library, Package, Published, Result, SHADOWS_MAX, Standing, Work, now_ms};
use crate::store::{PutVersion, Source, StageRow, VersionRow};
use crate::trust::Signed;

/// Characters of the digest that tell two contents of one version apart.
const SUFFIX_DIGITS: usize = 8;

impl Library {
    /// Stores a package. The answer is the version it is stored under, and whether it is new. A version that has other
    /// bytes: `None` when that is a mistake, else it is stored as `version+digest`.
    pub(super) async fn put(&self, package: &Package, by: &str, suffix: bool) -> Result<Option<(String, bool)>> {
        if let Some(known) = self.store.version(&package.name, &package.digest).await? {
            return Ok(Some((known.version, false)));
        }
        let mut row = VersionRow {
            name: package.name.clone(),
            version: package.version.clone(),
            digest: package.digest.clone(),
            origin: package.origin,
            source: package.source,
            manifest_json: serde_json::to_string(&package.manifest).map_err(crate::store::Error::from)?,
            package: package.to_tar(),
            at: now_ms(),
            by: by.to_owned(),
        };
        if self.store.put_version(row.clone()).await? == PutVersion::Stored {
            return Ok(Some((row.version, true)));
        }
        if !suffix {
            return Ok(None);
        }
        let joint = if row.version.contains('+') { '.' } else { '+' };
        let digits: String = row.digest["sha256:".len()..].chars().take(SUFFIX_DIGITS).collect();
        row.version = format!("{}{joint}{digits}", row.version);
        let version = row.version.clone();
        let new = self.store.put_version(row).await? == PutVersion::Stored;
        Ok(Some((version, new)))
    }

    /// Computes everything anew and publishes it.
    pub(super) async fn refresh(&self, work: &mut Work) -> Result<()> {
        let rows = self.store.all_versions().await?;
        self.verify_signatures(work).await?;
        let staged: BTreeSet<String> = self.store.stages().await?.into_iter().map(|row| row.name).collect();
        let mut by_name: BTreeMap<&str, Vec<&VersionRow>> = BTreeMap::new();
        for row in &rows {
            by_name.entry(&row.name).or_default().push(row);
        }
        let (mut actives, mut standings) = (Vec::new(), Vec::new());
        for (name, versions) in by_name {
            let mut history = if staged.contains(name) { self.store.stage_history(name).await? } else { Vec::new() };
            if self.record_configured(work, &versions, &history).await? {
                history = self.store.stage_history(name).await?;
            }
            let mut ranked: Vec<Standing> = versions.iter().map(|row| self.standing(work, row, &history)).collect();
            self.choose(&mut ranked, &versions, &history, &mut actives).await?;
            standings.append(&mut ranked);
        }
        let broken = Arc::new(work.broken.clone());
        let published = Published { actives: Arc::new(actives), standings: Arc::new(standings), broken };
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = published;
        Ok(())
    }

    /// Puts what the configuration says into the history, when it is news: rolling back finds it there, and the audit
    /// tells which content of a watched folder was live and since when.
    async fn record_configured(&self, work: &Work, versions: &[&VersionRow], history: &[StageRow]) -> Result<bool> {
        let last = history.iter().find(|row| row.by == CONFIGURED);
        let mut recorded = false;
        for row in versions {
            let Some(stage) = self.configured(work, row) else { continue };
            // What its signature does not allow never was its stage.
            let stage = stage.min(self.ceiling(row.source, &signed(work, row)));
            if last.is_some_and(|last| last.digest == row.digest && last.stage == stage) {
                continue;
            }
            let at = now_ms();
            self.store.set_stage(&row.name, &row.digest, stage, "the configuration says so", CONFIGURED, at).await?;
            let folder = work
                .folders
                .iter()
                .find(|(_, (_, digest))| *digest == row.digest)
                .map(|(folder, _)| folder.display().to_string());
            let details = json!({"digest": row.digest, "version": row.version, "stage": stage, "source": row.source, "folder": folder});
            self.store.audit(CONFIGURED, "stage", &row.name, details, at).await?;
            recorded = true;
        }
        Ok(recorded)
    }

    /// What the configuration says of a version: pinned to it, or about a watched folder that has it now.
    fn configured(&self, work: &Work, row: &VersionRow) -> Option<Stage> {
        let pin = self.config.runbooks.stages.get(&row.name)?;
        let counts = if pin.digest.is_some() { pin.pins(&row.digest) } else { in_folder(work, row) };
        counts.then_some(pin.stage)
    }

    fn standing(&self, work: &Work, row: &VersionRow, history: &[StageRow]) -> Standing {
        let set = history.iter().find(|set| set.digest == row.digest && set.by != CONFIGURED);
        let newest = history.iter().find(|set| set.digest == row.digest);
        let configured = self.configured(work, row);
        let unsaid = if row.origin == Origin::Llm { Stage::Draft } else { Stage::Shadow };
        let mut stage = match (configured, set.map(|set| set.stage)) {
            (Some(one), Some(other)) => one.min(other),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => unsaid,
        };
        // A name without a digest only ever lowers what is not in a watched folder.
        if let Some(pin) = self.config.runbooks.stages.get(&row.name)
            && pin.digest.is_none()
        {
            stage = stage.min(pin.stage);
        }
        let signed = signed(work, row);
        let ceiling = self.ceiling(row.source, &signed);
        stage = stage.min(ceiling);
        let there = in_folder(work, row)
            || row.source == Source::Upload
            || work.built_in.get(&row.name).is_some_and(|digest| *digest == row.digest);
        Standing {
            name: row.name.clone(),
            version: row.version.clone(),
            digest: row.digest.clone(),
            origin: row.origin,
            source: row.source,
            stage,
            configured,
            set: set.map(|set| set.stage),
            reason: set.map(|set| set.reason.clone()),
            demoted: set.is_some_and(|set| set.by == ENGINE),
            current: false,
            present: there || configured.is_some() || set.is_some_and(|set| set.stage >= Stage::Ask),
            signed,
            ceiling,
            since: newest.map_or(row.at, |set| set.at.max(row.at)),
            at: row.at,
            by: row.by.clone(),
        }
    }

    /// Marks the version that runs (highest stage, then given it last), and adds it and its newer shadows to what alerts
    /// may start. `standings` come newest first.
    async fn choose(
        &self,
        standings: &mut [Standing],
        rows: &[&VersionRow],
        history: &[StageRow],
        actives: &mut Vec<Active>,
    ) -> Result<()> {
        let order = |index: usize, standing: &Standing| {
            let set = history.iter().position(|set| set.digest == standing.digest).unwrap_or(usize::MAX);
            (standing.stage, standing.since, Reverse(set), Reverse(index))
        };
        let runnable =
            standings.iter().enumerate().filter(|(_, standing)| standing.present && standing.stage > Stage::Draft);
        let Some((current, _)) = runnable.max_by_key(|(index, standing)| order(*index, standing)) else {
            return Ok(());
        };
        standings[current].current = true;
        let chosen = standings[current].clone();
        let acts = chosen.stage >= Stage::Ask;
        let newer = |index: &usize| acts && standings[*index].present && standings[*index].stage == Stage::Shadow;
        let shadows = (0..current).filter(newer).take(SHADOWS_MAX);
        for (standing, row) in std::iter::once(current).chain(shadows).map(|index| (&standings[index], rows[index])) {
            match self.load(row).await {
                Ok(Some(package)) => {
                    let shadow = standing.digest != chosen.digest;
                    actives.push(Active { package, stage: standing.stage, shadow });
                }
                Ok(None) => {
                    tracing::error!(runbook = %standing.name, digest = %standing.digest, "its package is not stored")
                }
                // One damaged package must not take the others away.
                Err(error) => tracing::error!(runbook = %standing.name, "cannot be loaded: {error}"),
            }
        }
        Ok(())
    }
}

fn in_folder(work: &Work, row: &VersionRow) -> bool {
    work.folders.values().any(|(name, digest)| *name == row.name && *digest == row.digest)
}

fn signed(work: &Work, row: &VersionRow) -> Signed {
    work.signed.get(&row.digest).cloned().unwrap_or(Signed::Unsigned)
}
