//! Watched folders: each sub-folder is a package, read again when something in it changes, without a restart.
//!
//! Events of the file system only hasten the look; a look every few seconds finds what they miss (network file systems,
//! bind mounts, a folder that was replaced). A package that does not read or check keeps the version before in use.
//! Deliberately not here: stages; see [`super::standing`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecursiveMode, Watcher as _};
use sandbook_core::problem::Problem;
use tokio::sync::mpsc;

use super::{
    Broken, Library, MANIFEST_FILE, Package, Result, SAME_NAME, SCRIPT_FILE, SIGNATURE_FILE, UNREADABLE, Upload,
    WASM_FILE, Work, problem,
};
use crate::store::Source;

/// An editor or a git pull writes several files: the look waits until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(200);
/// How often the folders are looked at without any event.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Packages of one folder at the most.
const PACKAGES_MAX: usize = 1_000;

/// A file as it was: path, length, time of change.
pub(super) type Seen = (PathBuf, u64, Option<SystemTime>);

/// One folder, read.
struct Read {
    folder: PathBuf,
    package: std::result::Result<(Package, Vec<Problem>), Vec<Problem>>,
}

/// Looks again and again, until the library is gone.
pub(super) async fn watch(library: Weak<Library>, dirs: Vec<PathBuf>) {
    let (hint, mut hints) = mpsc::channel::<()>(1);
    let _watchers = listen(&dirs, &hint);
    loop {
        tokio::select! {
            Some(()) = hints.recv() => {
                while tokio::time::timeout(QUIET, hints.recv()).await.is_ok_and(|hint| hint.is_some()) {}
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let Some(library) = library.upgrade() else { return };
        if let Err(error) = library.look_again(&dirs).await {
            tracing::error!("the watched runbooks cannot be read again: {error}");
        }
    }
}

/// Watchers of the file system; where there is none, the regular look remains.
fn listen(dirs: &[PathBuf], hint: &mpsc::Sender<()>) -> Vec<notify::RecommendedWatcher> {
    let mut watchers = Vec::new();
    for dir in dirs {
        let hint = hint.clone();
        let told = move |event: notify::Result<notify::Event>| {
            // Reading is an event as well, and ours.
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                let _ = hint.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(told)
            .and_then(|mut watcher| watcher.watch(dir, RecursiveMode::Recursive).map(|()| watcher));
        match watcher {
            Ok(watcher) => watchers.push(watcher),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), "no file events here, looking every {} s: {error}", LOOK_EVERY.as_secs())
            }
        }
    }
    watchers
}

impl Library {
    /// Reads the folders again if a file of theirs changed.
    async fn look_again(&self, dirs: &[PathBuf]) -> Result<()> {
        let mut work = self.work.lock().await;
        let dirs = dirs.to_vec();
        let seen = tokio::task::spawn_blocking(move || fingerprint(&dirs)).await.unwrap_or_default();
        if seen == work.seen {
            return Ok(());
        }
        self.read_folders(&mut work).await?;
        self.refresh(&mut work).await
    }

    /// Reads every package of the folders. What is broken is kept with its problems, beside the version before.
    pub(super) async fn read_folders(&self, work: &mut Work) -> Result<()> {
        let dirs = self.config.runbooks.dirs.clone();
        let read = tokio::task::spawn_blocking(move || (fingerprint(&dirs), read_all(&dirs))).await;
        let Ok((seen, (packages, mut broken))) = read else { return Ok(()) };
        let mut folders = BTreeMap::new();
        let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
        for Read { folder, package } in packages {
            let before = match work.folders.get(&folder) {
                Some(before) => Some(before.clone()),
                None => self.last_of(&folder).await?,
            };
            match self.accept(&folder, package, before.as_ref(), &mut names).await? {
                Ok((entry, warnings)) => {
                    folders.insert(folder.clone(), entry);
                    if !warnings.is_empty() {
                        broken.push((folder, warnings));
                    }
                }
                Err(problems) => {
                    for problem in problems.iter().filter(|problem| !problem.warning) {
                        tracing::error!(folder = %folder.display(), code = problem.code, "runbook not loaded: {problem}");
                    }
                    folders.extend(before.map(|before| (folder.clone(), before)));
                    broken.push((folder, problems));
                }
            }
        }
        // A directory that cannot be read now (a mount that is away) is no order to forget its runbooks.
        for (folder, entry) in &work.folders {
            if broken.iter().any(|(dir, _)| folder.parent() == Some(dir)) && !folders.contains_key(folder) {
                folders.insert(folder.clone(), entry.clone());
            }
        }
        (work.folders, work.broken, work.seen) = (folders, broken, seen);
        Ok(())
    }

    /// Name and digest under which a folder's package counts from now on; or its problems, and it changes nothing.
    async fn accept(
        &self,
        folder: &Path,
        package: std::result::Result<(Package, Vec<Problem>), Vec<Problem>>,
        before: Option<&(String, String)>,
        names: &mut BTreeMap<String, PathBuf>,
    ) -> Result<std::result::Result<((String, String), Vec<Problem>), Vec<Problem>>> {
        let (mut package, mut problems) = match package {
            Ok(read) => read,
            Err(problems) => return Ok(Err(problems)),
        };
        if let Some(first) = names.get(&package.name) {
            let message = format!("runbook {} is in {} already", package.name, first.display());
            return Ok(Err(vec![problem(SAME_NAME, MANIFEST_FILE, message, "give one of them another name")]));
        }
        names.insert(package.name.clone(), folder.to_path_buf());
        package.source = Source::Dir;
        let entry = (package.name.clone(), package.digest.clone());
        problems.extend(self.check(&package).await);
        problems.extend(self.signature_problems(&package).await?);
        if problems.iter().any(|problem| !problem.warning) {
            return Ok(Err(problems));
        }
        if before != Some(&entry) {
            self.put(&package, &folder.display().to_string(), true).await?;
            tracing::info!(runbook = %package.name, digest = %package.digest, folder = %folder.display(), "runbook loaded");
        }
        self.keep_signature(&package, &folder.display().to_string()).await?;
        Ok(Ok((entry, problems)))
    }

    /// After a restart nothing is known of a broken folder: the newest version that a folder had of the runbook it is
    /// named after.
    async fn last_of(&self, folder: &Path) -> Result<Option<(String, String)>> {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
        let versions = self.store.versions(name).await?;
        Ok(versions.into_iter().find(|row| row.source == Source::Dir).map(|row| (row.name, row.digest)))
    }
}

/// Every package below the directories, and the directories that cannot be read.
fn read_all(dirs: &[PathBuf]) -> (Vec<Read>, Broken) {
    let mut read = Vec::new();
    let mut broken = Broken::new();
    for dir in dirs {
        match packages(dir) {
            Ok(folders) => read.extend(folders.into_iter().map(|folder| {
                let package = Package::read(Upload::Path(&folder));
                Read { folder, package }
            })),
            Err(error) => {
                let shown = dir.display().to_string();
                let message = format!("runbook directory {shown} cannot be read: {error}");
                tracing::error!("{message}");
                let help = "create it, or remove it from `dirs` under [runbooks]";
                broken.push((dir.clone(), vec![problem(UNREADABLE, &shown, message, help)]));
            }
        }
    }
    (read, broken)
}

/// The sub-folders that hold a package, sorted; the directory itself where it is one.
fn packages(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_package = |path: &Path| [MANIFEST_FILE, SCRIPT_FILE, WASM_FILE].iter().any(|name| path.join(name).is_file());
    let mut folders = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.is_dir() && is_package(&path) && folders.len() < PACKAGES_MAX {
            folders.insert(path);
        }
    }
    if is_package(dir) {
        folders.insert(dir.to_path_buf());
    }
    Ok(folders.into_iter().collect())
}

/// What the folders' files look like from outside; sorted.
fn fingerprint(dirs: &[PathBuf]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut look = |path: PathBuf| {
        let metadata = std::fs::metadata(&path).ok();
        let changed = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        seen.push((path, metadata.map_or(0, |metadata| metadata.len()), changed));
    };
    for dir in dirs {
        let folders = packages(dir).unwrap_or_default();
        look(dir.clone());
        for folder in folders {
            for name in [MANIFEST_FILE, SCRIPT_FILE, WASM_FILE, SIGNATURE_FILE, "README.md"] {
                look(folder.join(name));
            }
            let scenarios = std::fs::read_dir(folder.join("scenarios")).into_iter().flatten().flatten();
            scenarios.for_each(|entry| look(entry.path()));
        }
    }
    seen.sort();
    seen
}

#[cfg(test)]
impl Library {
    /// What a look does, without waiting for it.
    pub(super) async fn look_now(&self) -> Result<()> {
        self.look_again(&self.config.runbooks.dirs.clone()).await
    }
}
