//! Effects about what takes a host's disk: images, caches, usage, and what a container wrote into its own layer.
//!
//! Invariant: nothing here removes a volume. Deliberately not here: emptying a container's log, which is an effect on logs.

use serde::{Deserialize, Serialize};

use super::REFERENCE_BYTES_MAX;
use crate::effect::{Class, Op, Recovery, Scope, check_range, check_text};
use crate::error::Error;

/// Images of a listing at the most.
pub const IMAGES_MAX: usize = 500;
/// Changed files of a listing at the most.
pub const FILE_CHANGES_MAX: usize = 1_000;
/// Logs a usage names at the most.
pub const LOGS_MAX: usize = 10;
/// Least age of tagged images that may be pruned, in milliseconds: what was just pulled is about to be used.
pub const UNUSED_FOR_MS_MIN: u64 = 3_600_000;
/// Longest age a prune may ask for, in milliseconds: ten years.
const AGE_MS_MAX: u64 = 10 * 365 * 86_400_000;
/// Docker walks every layer and volume for it.
const USAGE_MS: u64 = 60_000;
/// Removing gigabytes takes its time.
const PRUNE_MS: u64 = 120_000;

/// Which images to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ImageFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dangling: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Image {
    pub id: String,
    pub tags: Vec<String>,
    pub size_bytes: u64,
    pub created_at: String,
    pub containers: u32,
}

/// One kind of thing on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct UseOfDisk {
    pub count: u64,
    pub in_use: u64,
    pub size_bytes: u64,
    pub reclaimable_bytes: u64,
}

/// The log of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LogFile {
    pub container: String,
    pub size_bytes: u64,
}

/// What takes the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DiskUse {
    pub images: UseOfDisk,
    pub containers: UseOfDisk,
    pub volumes: UseOfDisk,
    pub build_cache: UseOfDisk,
    pub logs: Vec<LogFile>,
}

/// Which images go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct PruneImagesOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_ms: Option<u64>,
}

/// What of the build cache goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct PruneCacheOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_bytes: Option<u64>,
}

/// What a prune gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Pruned {
    pub deleted: u32,
    pub freed_bytes: u64,
}

/// How a file differs from the image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum FileChangeKind {
    Changed,
    Added,
    Deleted,
}

/// A file that differs from the image's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FileChange {
    pub path: String,
    pub kind: FileChangeKind,
}

/// What differs from the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FileChanges {
    pub changes: Vec<FileChange>,
    pub truncated: bool,
}

container_op! {
    /// What differs in a container's files from its image.
    ContainerChanges {} -> FileChanges, "docker.container-changes", Observe, Again,
    deadline 30_000, bytes 512 * 1024, |_op| Ok(()), wait |_op| 30_000
}

macro_rules! host_op {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $ty:ty),* } -> $output:ty, $effect:literal, $class:ident, $recovery:ident,
     deadline $deadline:expr, bytes $bytes:expr, |$self_:ident| $validate:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $(#[allow(missing_docs)] #[serde(default)] pub $field: $ty),* }
        impl Op for $name {
            type Output = $output;
            const NAME: &'static str = $effect;
            const CLASS: Class = Class::$class;
            const DEADLINE_MS: u64 = $deadline;
            const OUTPUT_BYTES_MAX: usize = $bytes;
            fn recovery(&self) -> Recovery { Recovery::$recovery }
            fn scope(&self) -> Scope<'_> { Scope::Host }
            fn validate(&self) -> Result<(), Error> { let $self_ = self; $validate }
        }
    };
}

host_op! {
    /// Images of the run's host.
    ListImages { filter: ImageFilter } -> Vec<Image>, "docker.list-images", Observe, Again,
    deadline super::READ_MS, bytes 512 * 1024, |op| check_text("tag", op.filter.tag.as_deref().unwrap_or(""), 255)
}
host_op! {
    /// What takes the disk of the run's host.
    DiskUsage {} -> DiskUse, "docker.disk-usage", Observe, Again, deadline USAGE_MS, bytes super::CHANGE_BYTES, |_op| Ok(())
}
host_op! {
    /// Removes images nothing uses.
    PruneImages { options: PruneImagesOptions } -> Pruned, "docker.prune-images", Mutate, Look,
    deadline PRUNE_MS, bytes super::CHANGE_BYTES, |op| check_prune(&op.options)
}
host_op! {
    /// Removes build cache.
    PruneBuildCache { options: PruneCacheOptions } -> Pruned, "docker.prune-build-cache", Mutate, Look,
    deadline PRUNE_MS, bytes super::CHANGE_BYTES, |op| check_range("older_than_ms", op.options.older_than_ms, 1, AGE_MS_MAX)
}

fn check_prune(options: &PruneImagesOptions) -> Result<(), Error> {
    match (options.unused, options.older_than_ms) {
        (Some(true), None) => {
            Err(Error::invalid("unused images are the last releases, too: say with older_than_ms which of them may go"))
        }
        (Some(true), age) => check_range("older_than_ms", age, UNUSED_FOR_MS_MIN, AGE_MS_MAX),
        (Some(false) | None, age) => check_range("older_than_ms", age, 1, AGE_MS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tagged_images_go_only_by_their_age() {
        let check = |unused, older_than_ms| check_prune(&PruneImagesOptions { unused, older_than_ms });
        assert!(check(None, None).is_ok());
        assert!(check(Some(true), Some(UNUSED_FOR_MS_MIN)).is_ok());
        assert!(check(Some(true), Some(UNUSED_FOR_MS_MIN - 1)).is_err());
        assert!(check(Some(true), None).expect_err("no age").message.contains("older_than_ms"));
    }
}
