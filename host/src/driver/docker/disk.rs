//! What takes a host's disk: images, caches, usage, logs.
//!
//! Docker's API cannot empty a log. The file is emptied where it lies, which needs an engine on this machine and its
//! files within reach. Deliberately not here: volumes, which nothing removes.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bollard::query_parameters::ListImagesOptions;
use hyper::Method;
use sandbook_core::effect::docker::{
    DiskUse, FILE_CHANGES_MAX, FileChange, FileChangeKind, FileChanges, IMAGES_MAX, Image, ImageFilter, LOGS_MAX,
    LogFile, PruneCacheOptions, PruneImagesOptions, Pruned, UseOfDisk,
};
use sandbook_core::effect::logs::Truncated;
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::gate::Recovered;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Host;
use super::fault::Trouble;
use crate::driver::{Settled, Steps};

/// What stands for a missing tag.
const UNTAGGED: &str = "<none>:<none>";
/// What an engine says that computes the use of its disk for somebody else.
const ALREADY_COMPUTED: &str = "a disk usage operation is already running";
/// How often it is asked then, and the pause between: 20 s at the most, within the effect's deadline. Computing takes
/// seconds where there are many layers.
const USAGE_TRIES_MAX: u32 = 80;
const USAGE_PAUSE: Duration = Duration::from_millis(250);
/// Of a log, enough to tell it from another: its first line ends with a time in nanoseconds, and the engine cuts lines at
/// 16 KiB, which are six times that at most when all of it is escaped.
const LOG_BEGINNING_BYTES: u64 = 128 << 10;

impl Host {
    pub(in crate::driver) async fn images(&self, filter: &ImageFilter) -> Result<Vec<Image>, Error> {
        let pattern = match &filter.tag {
            Some(tag) => Some(
                globset::Glob::new(tag)
                    .map_err(|error| Error::invalid(format!("tag: `{tag}` is no pattern: {}", error.kind())))?
                    .compile_matcher(),
            ),
            None => None,
        };
        let listed = self.read(self.docker.list_images(None::<ListImagesOptions>)).await;
        let listed = listed.map_err(Trouble::into_read_error)?;
        let containers = self.summaries(true, Vec::new()).await.map_err(Trouble::into_read_error)?;
        let mut uses: BTreeMap<String, u32> = BTreeMap::new();
        for id in containers.into_iter().filter_map(|container| container.image_id) {
            *uses.entry(id).or_default() += 1;
        }
        let mut images: Vec<Image> = listed
            .into_iter()
            .map(|image| Image {
                containers: uses.get(&image.id).copied().unwrap_or(0),
                tags: image.repo_tags.into_iter().filter(|tag| tag != UNTAGGED).collect(),
                size_bytes: u64::try_from(image.size).unwrap_or(0),
                created_at: jiff::Timestamp::from_second(image.created).map(|at| at.to_string()).unwrap_or_default(),
                id: image.id,
            })
            .filter(|image| {
                filter.dangling.is_none_or(|dangling| image.tags.is_empty() == dangling)
                    && filter.unused.is_none_or(|unused| (image.containers == 0) == unused)
                    && pattern.as_ref().is_none_or(|pattern| image.tags.iter().any(|tag| pattern.is_match(tag)))
            })
            .collect();
        images.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.id.cmp(&b.id)));
        images.truncate(IMAGES_MAX);
        Ok(images)
    }

    pub(in crate::driver) async fn disk_usage(&self) -> Result<DiskUse, Error> {
        let mut tries = 1;
        let used = loop {
            let answer = self.wire.json(Method::GET, "/system/df", None).await;
            match answer.map_err(|fault| Trouble::from_fault(fault).into_read_error()) {
                Ok(used) => break used,
                // An engine before 23.0 computes it for one caller at a time, and two runbooks may want it at once.
                Err(error) if error.message.contains(ALREADY_COMPUTED) && tries < USAGE_TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(USAGE_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        Ok(DiskUse { logs: self.largest_logs().await?, ..usage(&used) })
    }

    async fn largest_logs(&self) -> Result<Vec<LogFile>, Error> {
        if !self.is_local() {
            return Ok(Vec::new());
        }
        let mut logs = Vec::new();
        for container in self.summaries(true, Vec::new()).await.map_err(Trouble::into_read_error)? {
            let Some(id) = container.id else { continue };
            let Ok(found) = self.raw(&id).await else { continue };
            let Some(path) = log_path(&found, &id) else { continue };
            let Ok(file) = std::fs::symlink_metadata(&path) else { continue };
            let name = found["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
            if file.len() == 0 {
                continue;
            }
            logs.push(LogFile { container: name, size_bytes: file.len() });
        }
        logs.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.container.cmp(&b.container)));
        logs.truncate(LOGS_MAX);
        Ok(logs)
    }

    pub(in crate::driver) async fn prune_images(&self, options: &PruneImagesOptions) -> Result<Pruned, Error> {
        let dangling = options.unused != Some(true);
        let mut filters = HashMap::from([("dangling", vec![dangling.to_string()])]);
        filters.extend(options.older_than_ms.map(|ms| ("until", vec![format!("{}s", ms.div_ceil(1_000))])));
        let path = format!("/images/prune?{}", filtered(&filters)?);
        let images = self.read(self.docker.list_images(None::<ListImagesOptions>)).await;
        let images = images.map_err(Trouble::into_read_error)?;
        let pruned = self.act(Method::POST, &path, None).await?;
        // Docker names every tag and layer that went, too: those that were listed are images.
        let gone = pruned["ImagesDeleted"].as_array().into_iter().flatten().filter_map(|one| one["Deleted"].as_str());
        let deleted = gone.filter(|id| images.iter().any(|image| image.id == **id)).count();
        Ok(pruned_of(deleted, &pruned))
    }

    pub(in crate::driver) async fn prune_build_cache(&self, options: &PruneCacheOptions) -> Result<Pruned, Error> {
        let mut path = "/build/prune?all=true".to_owned();
        if let Some(keep) = options.keep_bytes {
            // One name until 1.47, another from then on; each engine passes over the one it does not know.
            path.push_str(&format!("&keep-storage={keep}&reserved-space={keep}"));
        }
        if let Some(ms) = options.older_than_ms {
            let filters = HashMap::from([("until", vec![format!("{}s", ms.div_ceil(1_000))])]);
            path.push_str(&format!("&{}", filtered(&filters)?));
        }
        let pruned = self.act(Method::POST, &path, None).await?;
        Ok(pruned_of(pruned["CachesDeleted"].as_array().map_or(0, Vec::len), &pruned))
    }

    pub(in crate::driver) async fn file_changes(&self, id: &str) -> Result<FileChanges, Error> {
        let path = format!("/containers/{id}/changes");
        let found = self.wire.json(Method::GET, &path, None).await;
        let found = found.map_err(|fault| Trouble::from_fault(fault).into_read_error())?;
        let mut changes: Vec<FileChange> = found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|change| {
                let kind = match change["Kind"].as_u64()? {
                    0 => FileChangeKind::Changed,
                    1 => FileChangeKind::Added,
                    _ => FileChangeKind::Deleted,
                };
                Some(FileChange { path: change["Path"].as_str()?.to_owned(), kind })
            })
            .collect();
        let truncated = changes.len() > FILE_CHANGES_MAX;
        changes.truncate(FILE_CHANGES_MAX);
        Ok(FileChanges { changes, truncated })
    }

    pub(in crate::driver) async fn truncate_log(&self, id: &str, steps: &dyn Steps) -> Result<Truncated, Error> {
        let path = self.log_file(id).await?;
        let file = open(&path)?;
        let before = file.metadata().map_err(|error| out_of_reach(&path, &error))?.len();
        steps.step(json!({"log_bytes": before, "log_begins": beginning(&file, before, &path)?})).await?;
        // The engine appends, so what it writes next begins the file.
        file.set_len(0).map_err(|error| out_of_reach(&path, &error))?;
        Ok(Truncated { freed_bytes: before })
    }

    /// Whether a log was emptied: it is smaller than it was, or begins with another line; each has its own nanosecond.
    /// Emptying happens here and is over with this process.
    pub(in crate::driver) async fn settle_truncation(&self, id: &str, last: Option<&Value>) -> Result<Settled, Error> {
        let known = last.and_then(|step| Some((step["log_bytes"].as_u64()?, &step["log_begins"])));
        let Some((before, begins)) = known else {
            return Ok(Settled::Is(Recovered::NotDone));
        };
        let path = match self.log_file(id).await {
            Ok(path) => path,
            Err(error) if error.kind == ErrorKind::NotFound => {
                return Ok(Settled::Is(Recovered::Unknown("the container is gone".to_owned())));
            }
            Err(error) => return Err(error),
        };
        let file = open(&path)?;
        let now = file.metadata().map_err(|error| out_of_reach(&path, &error))?.len();
        // A journal of an older version tells the size alone.
        let is_another = begins.is_string() && *begins != beginning(&file, before, &path)?;
        if now < before || is_another {
            let value = serde_json::to_value(Truncated { freed_bytes: before });
            return Ok(Settled::Is(Recovered::Done(value.map_err(|error| Error::failed(error.to_string()))?)));
        }
        Ok(Settled::Is(Recovered::NotDone))
    }

    async fn log_file(&self, id: &str) -> Result<PathBuf, Error> {
        let found = self.raw(id).await?;
        let driver = found["HostConfig"]["LogConfig"]["Type"].as_str().unwrap_or_default();
        let name = found["Name"].as_str().unwrap_or_default().trim_start_matches('/');
        if driver != "json-file" {
            return Err(Error::conflict(format!(
                "container `{name}` logs with `{driver}`, only json-file can be emptied"
            )));
        }
        if !self.is_local() {
            let why = "its engine is on another machine; run a daemon there, or bound its logs with max-size";
            return Err(Error::failed(format!("the log of `{name}` is out of reach: {why}")));
        }
        log_path(&found, id).ok_or_else(|| Error::failed(format!("docker does not say where the log of `{name}` is")))
    }

    fn is_local(&self) -> bool {
        matches!(self.wire.endpoint(), super::Endpoint::Unix(_))
    }
}

/// The file of a json-file log, if it is where such files are: nothing else is ever opened.
fn log_path(container: &Value, id: &str) -> Option<PathBuf> {
    let path = Path::new(container["LogPath"].as_str()?);
    let named = path.file_name()?.to_str()? == format!("{id}-json.log");
    let placed = path.parent()?.file_name()?.to_str()? == id;
    (path.is_absolute() && named && placed).then(|| path.to_owned())
}

/// Fingerprint of how a log of so many bytes begins.
fn beginning(file: &std::fs::File, bytes: u64, path: &Path) -> Result<String, Error> {
    let mut begins = Vec::new();
    let read = file.take(bytes.min(LOG_BEGINNING_BYTES)).read_to_end(&mut begins);
    read.map_err(|error| out_of_reach(path, &error))?;
    Ok(BASE64_STANDARD.encode(Sha256::digest(&begins)))
}

fn open(path: &Path) -> Result<std::fs::File, Error> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    file.map_err(|error| out_of_reach(path, &error))
}

fn out_of_reach(path: &Path, error: &std::io::Error) -> Error {
    let help = "the daemon needs root there, and in a container that directory mounted";
    Error::failed(format!("log {} cannot be emptied: {error}; {help}", path.display()))
}

fn filtered(filters: &HashMap<&str, Vec<String>>) -> Result<String, Error> {
    let json = serde_json::to_string(filters).map_err(|error| Error::failed(error.to_string()))?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    Ok(query.append_pair("filters", &json).finish())
}

fn pruned_of(deleted: usize, answer: &Value) -> Pruned {
    Pruned {
        deleted: u32::try_from(deleted).unwrap_or(u32::MAX),
        freed_bytes: answer["SpaceReclaimed"].as_u64().unwrap_or(0),
    }
}

/// Both shapes of the answer: lists of everything, and since 1.52 sums.
fn usage(used: &Value) -> DiskUse {
    let sums = |key: &str| {
        let part = &used[key];
        let number = |key: &str| part[key].as_u64().unwrap_or(0);
        part.is_object().then(|| UseOfDisk {
            count: number("TotalCount"),
            in_use: number("ActiveCount"),
            size_bytes: number("TotalSize"),
            reclaimable_bytes: number("Reclaimable"),
        })
    };
    let listed = |key: &str, size: fn(&Value) -> i64, active: fn(&Value) -> bool| {
        let mut part = UseOfDisk::default();
        for one in used[key].as_array().into_iter().flatten() {
            let bytes = u64::try_from(size(one)).unwrap_or(0);
            part.count += 1;
            part.size_bytes += bytes;
            if active(one) {
                part.in_use += 1;
            } else {
                part.reclaimable_bytes += bytes;
            }
        }
        part
    };
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let mut images = sums("ImageUsage").unwrap_or_else(|| {
        let own = |one: &Value| one["Size"].as_i64().unwrap_or(0) - one["SharedSize"].as_i64().unwrap_or(0).max(0);
        listed("Images", own, |one| one["Containers"].as_i64().unwrap_or(0) > 0)
    });
    if number(&used["LayersSize"]) > 0 {
        // What layers share counts once.
        images.size_bytes = used["LayersSize"].as_u64().unwrap_or(0);
    }
    DiskUse {
        images,
        containers: sums("ContainerUsage").unwrap_or_else(|| {
            listed("Containers", |one| one["SizeRw"].as_i64().unwrap_or(0), |one| one["State"] == "running")
        }),
        volumes: sums("VolumeUsage").unwrap_or_else(|| {
            let size = |one: &Value| one["UsageData"]["Size"].as_i64().unwrap_or(0);
            listed("Volumes", size, |one| one["UsageData"]["RefCount"].as_i64().unwrap_or(0) > 0)
        }),
        build_cache: sums("BuildCacheUsage").unwrap_or_else(|| {
            listed("BuildCache", |one| one["Size"].as_i64().unwrap_or(0), |one| one["InUse"] == true)
        }),
        logs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_logs_own_file_is_opened() {
        let at = |path: &str| log_path(&json!({"LogPath": path}), "cafe");
        assert!(at("/var/lib/docker/containers/cafe/cafe-json.log").is_some());
        for path in
            ["", "/etc/passwd", "containers/cafe/cafe-json.log", "/x/beef/cafe-json.log", "/x/cafe/beef-json.log"]
        {
            assert_eq!(at(path), None, "{path}");
        }
    }

    #[test]
    fn usage_is_read_in_both_shapes() {
        let old = usage(&json!({
            "LayersSize": 90,
            "Images": [{"Size": 60, "SharedSize": 10, "Containers": 1}, {"Size": 50, "SharedSize": 10, "Containers": 0}],
            "Containers": [{"SizeRw": 5, "State": "exited"}, {"State": "running"}],
            "Volumes": [{"UsageData": {"Size": 7, "RefCount": 1}}, {"UsageData": {"Size": 3, "RefCount": 0}}],
            "BuildCache": [{"Size": 4, "InUse": false}],
        }));
        let part =
            |count, in_use, size_bytes, reclaimable_bytes| UseOfDisk { count, in_use, size_bytes, reclaimable_bytes };
        assert_eq!(old.images, part(2, 1, 90, 40));
        assert_eq!(
            (old.containers, old.volumes, old.build_cache),
            (part(2, 1, 5, 5), part(2, 1, 10, 3), part(1, 0, 4, 4))
        );
        let new =
            usage(&json!({"ImageUsage": {"TotalCount": 2, "ActiveCount": 1, "TotalSize": 90, "Reclaimable": 40}}));
        assert_eq!(new.images, part(2, 1, 90, 40));
    }
}
