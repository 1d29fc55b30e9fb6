//! The library: every runbook version the daemon knows, how far each is trusted, and which of them alerts may start.
//!
//! Packages come from three places: embedded in the binary, watched folders, uploads. All of them are stored by digest,
//! so that a run can always go on with the code it began with. Readers get a [`Library::snapshot`], a pointer that is
//! replaced as a whole; they never wait for a reload.
//!
//! The effective stage of a version is the lowest of what the configuration says (for a watched folder's current
//! content, or a pinned digest) and the last word given through the API or by a demotion; when nobody says anything it
//! is shadow, and draft for what a model wrote. An unpinned stage can lower built-in and uploaded versions, never raise.
//!
//! Deliberately not here: choosing a runbook for an alert, running it, and telling whether it helped.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sandbook_core::effect::closest;
use sandbook_core::problem::Problem;
use sandbook_core::run::{Origin, Stage};
use serde::Serialize;

use crate::clock::{Clock as _, System};
use crate::config::Config;
use crate::guest::Sandbox;
use crate::store::{self, Source, Store, VersionRow};
use crate::trust::{Broken as BrokenSignature, Signed, Trust};

mod archive;
pub(crate) mod builtin;
mod change;
mod demotion;
pub mod difference;
mod export;
mod folders;
mod inspect;
mod package;
pub mod power;
mod sign;
mod sources;
mod standing;

pub(crate) use archive::pack as tar;
pub use archive::{FILES_MAX, PACKED_BYTES_MAX, UNPACKED_BYTES_MAX};
pub use change::{StageChange, StageSet, UploadError, Uploaded, is_built_in};
pub use demotion::Demoted;
pub use inspect::calls_unrequested;
pub use package::{
    MANIFEST_FILE, MANIFEST_SECTION, Package, SCRIPT_BYTES_MAX, SCRIPT_FILE, SIGNATURE_FILE, Upload, WASM_FILE,
};

/// The content type of an upload is none of a package.
pub const MEDIA_TYPE: &str = "SB0109";
/// An archive is refused.
pub const ARCHIVE: &str = "SB0211";
/// Manifest or code is missing, or there twice.
pub const INCOMPLETE: &str = "SB0212";
/// A package or one of its files is too large.
pub const TOO_LARGE: &str = "SB0213";
/// The code does not compile.
pub const CODE: &str = "SB0214";
/// The code uses an effect that is not requested.
pub const UNREQUESTED: &str = "SB0215";
/// A requested effect is never used.
pub const UNUSED: &str = "SB0216";
/// A package's sources are not built yet.
pub const NOT_BUILT: &str = "SB0250";
/// A component was built from something else than what lies beside it.
pub const OTHER_BUILD: &str = "SB0251";
/// A trigger contradicts itself.
pub const NEVER: &str = "SB0217";
/// Two folders have the same runbook.
pub const SAME_NAME: &str = "SB0218";
/// A folder cannot be read, or its package not kept.
pub const UNREADABLE: &str = "SB0219";

/// A schedule's time zone does not exist.
pub const TIMEZONE: &str = "SB0246";

/// Who says what the configuration says; no token can be called that.
pub const CONFIGURED: &str = "[configuration]";
/// Who registers what is built in, and demotes.
pub const ENGINE: &str = "[sandbook]";
/// Newer versions of one runbook that watch beside the one that acts, at the most: each costs a plan an alert.
pub const SHADOWS_MAX: usize = 3;
/// Packages kept in memory; a full cache is emptied.
const PACKAGES_MAX: usize = 256;

/// A version that alerts may start.
#[derive(Debug, Clone)]
pub struct Active {
    /// What.
    pub package: Arc<Package>,
    /// How far it is trusted, effectively. Never draft.
    pub stage: Stage,
    /// It only watches beside another version of the runbook, which acts.
    pub shadow: bool,
}

/// What is known of one version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Standing {
    pub name: String,
    pub version: String,
    pub digest: String,
    pub origin: Origin,
    pub source: Source,
    /// Effective: the lowest of what counts.
    pub stage: Stage,
    /// What the configuration says of this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<Stage>,
    /// The last word of the API or of a demotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<Stage>,
    /// Of that word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// That word is the engine's: too many of its runs did not help.
    pub demoted: bool,
    /// It is the version of its runbook that runs.
    pub current: bool,
    /// It is there: embedded, in a watched folder, uploaded, or given a stage.
    pub present: bool,
    /// What its signature is worth.
    pub signed: Signed,
    /// The highest stage that allows.
    pub ceiling: Stage,
    /// When it got its stage, else when it came.
    pub since: u64,
    /// When it came.
    pub at: u64,
    pub by: String,
}

/// Why something about a runbook cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("there is no runbook `{name}`{hint}")]
    UnknownRunbook { name: String, hint: String },
    #[error("runbook {name} has no version {digest}; `sandbook runbooks {name}` lists them")]
    UnknownVersion { name: String, digest: String },
    #[error("`{0}` is the beginning of several; write more of it")]
    Ambiguous(String),
    #[error("runbook {0} has no version that acted before this one")]
    NothingBefore(String),
    #[error(
        "{name} {version} may be {ceiling} at the most: it is {signed}, and `require_signature` under [runbooks] wants a signature that counts"
    )]
    Unsigned { name: String, version: String, ceiling: Stage, signed: Box<Signed> },
    #[error(transparent)]
    Signature(BrokenSignature),
    #[error("{name} {version} was drafted by a model, and only a person may trust it with more: {why}")]
    NeedsPerson { name: String, version: String, digest: String, why: &'static str },
    #[error(transparent)]
    Store(store::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match error {
            store::Error::Ambiguous(prefix) => Error::Ambiguous(prefix),
            other => Error::Store(other),
        }
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Folders with a broken package, and what is wrong with each. The version before stays in use.
pub type Broken = Vec<(PathBuf, Vec<Problem>)>;

/// What readers see; replaced as a whole.
#[derive(Debug, Clone, Default)]
struct Published {
    actives: Arc<Vec<Active>>,
    standings: Arc<Vec<Standing>>,
    broken: Arc<Broken>,
}

/// What only the one who changes something looks at.
#[derive(Debug, Default)]
struct Work {
    /// Name and digest of what is embedded.
    built_in: BTreeMap<String, String>,
    /// Name and digest by folder.
    folders: BTreeMap<PathBuf, (String, String)>,
    broken: Broken,
    /// Of the folders' files when they were last read.
    seen: Vec<folders::Seen>,
    /// By digest; computed anew when a signature comes.
    signed: BTreeMap<String, Signed>,
}

/// The library. See the module.
pub struct Library {
    store: Arc<dyn Store>,
    sandbox: Arc<Sandbox>,
    config: Arc<Config>,
    work: tokio::sync::Mutex<Work>,
    published: RwLock<Published>,
    packages: RwLock<HashMap<String, Arc<Package>>>,
    trust: OnceLock<Trust>,
}

impl Library {
    /// An empty library; [`Library::start`] fills it.
    pub fn new(store: Arc<dyn Store>, sandbox: Arc<Sandbox>, config: Arc<Config>) -> Arc<Library> {
        Arc::new(Library {
            store,
            sandbox,
            config,
            work: tokio::sync::Mutex::default(),
            published: RwLock::default(),
            packages: RwLock::default(),
            trust: OnceLock::new(),
        })
    }

    /// Registers the built-in runbooks, reads the watched folders, and goes on watching them for as long as the library
    /// lives. Broken packages are no error: see [`Library::broken`].
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        {
            let mut work = self.work.lock().await;
            self.register_built_in(&mut work).await?;
            self.read_folders(&mut work).await?;
            self.refresh(&mut work).await?;
            self.warn_of_idle_stages(&work);
        }
        if !self.config.runbooks.dirs.is_empty() {
            tokio::spawn(folders::watch(Arc::downgrade(self), self.config.runbooks.dirs.clone()));
        }
        Ok(())
    }

    /// Reads the list of versions again, because some were removed.
    pub async fn read_again(&self) -> Result<()> {
        let mut work = self.work.lock().await;
        self.refresh(&mut work).await
    }

    /// Stages in the configuration that raise nothing, which is easily taken for acting.
    fn warn_of_idle_stages(&self, work: &Work) {
        let standings = self.standings();
        let pins = self.config.runbooks.stages.iter().filter(|(_, pin)| pin.stage >= Stage::Ask);
        for (name, pin) in pins.filter(|(name, _)| work.folders.values().all(|(known, _)| known != *name)) {
            let newest = standings.iter().find(|standing| standing.name == *name);
            let pinned = standings.iter().any(|standing| standing.name == *name && pin.pins(&standing.digest));
            match newest {
                _ if pinned => {}
                Some(newest) => tracing::warn!(
                    code = crate::config::SUSPECT,
                    "[runbooks.stages] {name} = \"{pin}\" raises no version; built-in and uploaded ones are pinned: \"{}@{}\"",
                    pin.stage,
                    newest.digest
                ),
                None => tracing::warn!(
                    code = crate::config::SUSPECT,
                    "[runbooks.stages] names {name}, which does not exist"
                ),
            }
        }
    }

    /// The versions alerts may start: of each runbook the one that runs, then newer ones that only watch. By name.
    pub fn snapshot(&self) -> Arc<Vec<Active>> {
        self.published().actives
    }

    /// Every version that is known, by name, newest first.
    pub fn standings(&self) -> Arc<Vec<Standing>> {
        self.published().standings
    }

    /// Folders whose packages cannot be used, and doubts about the others.
    pub fn broken(&self) -> Arc<Broken> {
        self.published().broken
    }

    fn published(&self) -> Published {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The whole name of a runbook from its name or the unique beginning of it.
    pub fn name_of(&self, name: &str) -> Result<String> {
        let standings = self.standings();
        let mut names: Vec<&str> = standings.iter().map(|standing| standing.name.as_str()).collect();
        names.dedup();
        if names.contains(&name) {
            return Ok(name.to_owned());
        }
        let begin: Vec<&&str> = names.iter().filter(|known| !name.is_empty() && known.starts_with(name)).collect();
        match begin[..] {
            [one] => Ok((*one).to_owned()),
            [] => {
                let hint = closest(name, names.iter().copied())
                    .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                Err(Error::UnknownRunbook { name: name.to_owned(), hint })
            }
            _ => Err(Error::Ambiguous(name.to_owned())),
        }
    }

    /// What is known of a version, by the unique beginnings of name and digest; absent: the one that runs.
    pub fn find(&self, name: &str, digest: Option<&str>) -> Result<Standing> {
        let name = self.name_of(name)?;
        let standings = self.standings();
        let mut versions = standings.iter().filter(|standing| standing.name == name);
        let unknown = |digest: &str| Error::UnknownVersion { name: name.clone(), digest: digest.to_owned() };
        let Some(digest) = digest.filter(|digest| !digest.is_empty()) else {
            // Where nothing runs (only drafts, or a folder that is gone) the newest is meant.
            let current = versions.clone().find(|standing| standing.current);
            return current.or_else(|| versions.next()).cloned().ok_or_else(|| unknown("at all"));
        };
        let bare = digest.strip_prefix("sha256:").unwrap_or(digest);
        let fits =
            |standing: &&Standing| standing.digest["sha256:".len()..].starts_with(bare) || standing.version == digest;
        let mut found: Vec<&Standing> = versions.filter(fits).collect();
        found.dedup_by(|a, b| a.digest == b.digest);
        match found[..] {
            [one] => Ok(one.clone()),
            [] => Err(unknown(digest)),
            _ => Err(Error::Ambiguous(digest.to_owned())),
        }
    }

    /// A version's package, by the unique beginnings of name and digest; absent: the one that runs.
    pub async fn get(&self, name: &str, digest: Option<&str>) -> Result<Option<Arc<Package>>> {
        match self.find(name, digest) {
            Ok(standing) => self.package_by_digest(&standing.digest).await,
            Err(Error::UnknownRunbook { .. } | Error::UnknownVersion { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The package of a whole digest: what a run is pinned to. From memory, else from the store.
    pub async fn package_by_digest(&self, digest: &str) -> Result<Option<Arc<Package>>> {
        if let Some(package) = self.kept(digest) {
            return Ok(Some(package));
        }
        let rows = self.store.all_versions().await?;
        match rows.iter().find(|row| row.digest == digest) {
            Some(row) => self.load(row).await,
            None => Ok(None),
        }
    }

    /// The package of a stored version, with what only the store knows of it.
    async fn load(&self, row: &VersionRow) -> Result<Option<Arc<Package>>> {
        if let Some(package) = self.kept(&row.digest) {
            return Ok(Some(package));
        }
        let Some(bytes) = self.store.package(&row.digest).await? else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || {
            Package::read(Upload::Bytes { bytes: &bytes, content_type: Some("application/x-tar") })
        });
        let damaged = |why: String| Error::Store(store::Error::Damaged(format!("package {} {why}", row.digest)));
        let mut package = match read.await {
            Ok(Ok((package, _))) => package,
            Ok(Err(problems)) => {
                let why = problems.first().map(Problem::to_string).unwrap_or_default();
                return Err(damaged(format!("is no longer readable: {why}")));
            }
            Err(_) => return Err(Error::Store(store::Error::Closed)),
        };
        if package.digest != row.digest {
            return Err(damaged(format!("is stored with the bytes of {}", package.digest)));
        }
        package.version.clone_from(&row.version);
        (package.origin, package.source) = (row.origin, row.source);
        let package = Arc::new(package);
        let mut packages = self.packages.write().unwrap_or_else(PoisonError::into_inner);
        if packages.len() >= PACKAGES_MAX {
            packages.clear();
        }
        packages.insert(row.digest.clone(), package.clone());
        Ok(Some(package))
    }

    fn forget(&self, digest: &str) {
        self.packages.write().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    fn kept(&self, digest: &str) -> Option<Arc<Package>> {
        self.packages.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Checks a package's code; what it can ask for is in the report.
    pub async fn check(&self, package: &Package) -> Vec<Problem> {
        package.check(&self.sandbox).await
    }
}

fn now_ms() -> u64 {
    System.now().unix_ms
}

/// An error about a file as a whole.
fn problem(code: &'static str, file: &str, message: String, help: &str) -> Problem {
    Problem { code, file: file.to_owned(), line: 1, column: 1, message, help: help.to_owned(), warning: false }
}

#[cfg(test)]
mod tests;
