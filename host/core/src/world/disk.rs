//! What takes a simulated host's disk: images, build cache, logs.
//!
//! Deliberately not here: layers that images share. Every image counts for itself.

use super::moment::rfc3339;
use super::{Container, HostImage, Seat, World, settle};
use crate::effect::docker::{
    DiskUse, IMAGES_MAX, Image, ImageFilter, LOGS_MAX, LogFile, PruneCacheOptions, PruneImagesOptions, Pruned, Status,
    UseOfDisk,
};
use crate::effect::logs::Truncated;
use crate::error::Error;

/// What Docker's json-file format adds to a line, in bytes: its braces, stream and time.
const LINE_OVERHEAD_BYTES: u64 = 71;
/// How old an image is that does not say, in milliseconds: a week.
const IMAGE_AGE_MS: u64 = 7 * 86_400_000;

/// Whether a tag is what a name means: without one, `latest`.
pub(super) fn tagged(tag: &str, name: &str) -> bool {
    tag == name || tag.strip_suffix(":latest") == Some(name)
}

fn log_bytes(container: &Container) -> u64 {
    let lines: u64 = container.logs.iter().map(|line| line.line.len() as u64 + LINE_OVERHEAD_BYTES).sum();
    if container.log_bytes == 0 { lines } else { container.log_bytes }
}

impl World {
    fn made_from(&self, host: &str, image: &HostImage) -> u32 {
        let uses = |container: &&Container| {
            container.image_id == image_id(image) || image.tags.iter().any(|tag| tagged(tag, &container.image))
        };
        let count = self.hosts.get(host).map_or(0, |host| host.containers.values().filter(uses).count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn created_ms(&self, image: &HostImage) -> u64 {
        image.created_at.map_or(self.now_ms.saturating_sub(IMAGE_AGE_MS), |at| at.ms(self.now_ms))
    }

    pub(super) fn images(&self, host: &str, filter: &ImageFilter) -> Result<Vec<Image>, Error> {
        let of = self.hosts.get(host).ok_or_else(|| Error::not_found(format!("there is no Docker host `{host}`")))?;
        let pattern = match &filter.tag {
            Some(tag) => Some(
                globset::Glob::new(tag).map_err(|error| Error::invalid(format!("tag: {error}")))?.compile_matcher(),
            ),
            None => None,
        };
        let listed = of.images.iter().map(|image| Image {
            id: image_id(image),
            tags: image.tags.clone(),
            size_bytes: image.size_bytes,
            created_at: rfc3339(self.created_ms(image)),
            containers: self.made_from(host, image),
        });
        let wanted = |image: &Image| {
            filter.dangling.is_none_or(|dangling| image.tags.is_empty() == dangling)
                && filter.unused.is_none_or(|unused| (image.containers == 0) == unused)
                && pattern.as_ref().is_none_or(|pattern| image.tags.iter().any(|tag| pattern.is_match(tag)))
        };
        let mut images: Vec<Image> = listed.filter(wanted).collect();
        images.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.id.cmp(&b.id)));
        images.truncate(IMAGES_MAX);
        Ok(images)
    }

    pub(super) fn disk_usage(&self, host: &str) -> Result<DiskUse, Error> {
        let of = self.hosts.get(host).ok_or_else(|| Error::not_found(format!("there is no Docker host `{host}`")))?;
        let mut images = UseOfDisk::default();
        for image in self.images(host, &ImageFilter::default())? {
            images.count += 1;
            images.in_use += u64::from(image.containers > 0);
            images.size_bytes += image.size_bytes;
            images.reclaimable_bytes += if image.containers > 0 { 0 } else { image.size_bytes };
        }
        let running = |container: &&Container| container.status == Status::Running;
        let count = of.containers.len() as u64;
        let containers =
            UseOfDisk { count, in_use: of.containers.values().filter(running).count() as u64, ..UseOfDisk::default() };
        let all = |bytes: u64| UseOfDisk {
            count: u64::from(bytes > 0),
            in_use: 0,
            size_bytes: bytes,
            reclaimable_bytes: bytes,
        };
        let mut logs: Vec<LogFile> = of
            .containers
            .values()
            .map(|container| LogFile { container: container.name.clone(), size_bytes: log_bytes(container) })
            .filter(|log| log.size_bytes > 0)
            .collect();
        logs.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.container.cmp(&b.container)));
        logs.truncate(LOGS_MAX);
        Ok(DiskUse { images, containers, volumes: all(of.volumes_bytes), build_cache: all(of.build_cache_bytes), logs })
    }

    pub(super) fn prune_images(&mut self, host: &str, options: &PruneImagesOptions) -> Result<Pruned, Error> {
        let before = self.now_ms.saturating_sub(options.older_than_ms.unwrap_or(0));
        let images = self.hosts.get(host).map(|host| host.images.clone()).unwrap_or_default();
        let goes = |image: &HostImage| {
            let kind = image.tags.is_empty() || options.unused == Some(true);
            kind && self.made_from(host, image) == 0 && self.created_ms(image) <= before
        };
        let (gone, left): (Vec<HostImage>, Vec<HostImage>) = images.into_iter().partition(goes);
        if let Some(host) = self.hosts.get_mut(host) {
            host.images = left;
        }
        let freed_bytes = gone.iter().map(|image| image.size_bytes).sum();
        Ok(Pruned { deleted: u32::try_from(gone.len()).unwrap_or(u32::MAX), freed_bytes })
    }

    pub(super) fn prune_build_cache(&mut self, host: &str, options: &PruneCacheOptions) -> Pruned {
        let Some(host) = self.hosts.get_mut(host) else { return Pruned::default() };
        let keep = options.keep_bytes.unwrap_or(0).min(host.build_cache_bytes);
        let freed_bytes = host.build_cache_bytes - keep;
        host.build_cache_bytes = keep;
        Pruned { deleted: u32::from(freed_bytes > 0), freed_bytes }
    }

    pub(super) fn truncate_log(&mut self, seat: &Seat) -> Result<Truncated, Error> {
        let container = self.seated(seat)?;
        let freed_bytes = log_bytes(container);
        container.logs_forgotten += container.logs.len() as u64;
        container.logs.clear();
        container.log_bytes = 0;
        Ok(Truncated { freed_bytes })
    }
}

pub(super) fn image_id(image: &HostImage) -> String {
    if image.id.is_empty() {
        let what = format!("{}{}", image.tags.join(","), image.size_bytes);
        return format!("sha256:{}", settle::derive_id("image", &what, 0));
    }
    image.id.clone()
}
