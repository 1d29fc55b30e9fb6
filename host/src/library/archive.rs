//! Unpacking what was uploaded: a tar, plain or gzip, into names and bytes in memory. Nothing touches the disk.
//!
//! An archive comes from outside, so it is refused rather than repaired: absolute paths, `..`, links, devices and the
//! same path twice are errors. Deliberately not here: what the files mean.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path};

use sandbook_core::problem::Problem;

use super::{ARCHIVE, TOO_LARGE, problem};

/// Bytes of an upload at the most.
pub const PACKED_BYTES_MAX: usize = 48 << 20;
/// Bytes of all files at the most: a Python guest with its interpreter has 18 MB.
pub const UNPACKED_BYTES_MAX: u64 = 64 << 20;
/// Files at the most.
pub const FILES_MAX: usize = 200;
/// Entries of any kind at the most: folders and headers of other programs besides the files.
const ENTRIES_MAX: usize = 1_000;

/// Files by path, in order.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The files of a tar. One folder around everything is taken off.
pub(super) fn unpack(bytes: &[u8], file: &str) -> Result<Files, Vec<Problem>> {
    if bytes.len() > PACKED_BYTES_MAX {
        return Err(too_large(
            file,
            format!("the package has {} bytes, at most {PACKED_BYTES_MAX} are accepted", bytes.len()),
        ));
    }
    let files = if bytes.starts_with(&[0x1f, 0x8b]) {
        read(flate2::read::GzDecoder::new(bytes), file)
    } else {
        read(bytes, file)
    };
    files.map(without_top_folder)
}

fn too_large(file: &str, message: String) -> Vec<Problem> {
    vec![problem(TOO_LARGE, file, message, "pack only runbook.toml, main.*, README.md and scenarios")]
}

fn read(source: impl Read, file: &str) -> Result<Files, Vec<Problem>> {
    let bad = |message: String| {
        vec![problem(ARCHIVE, file, message, "pack the folder itself: tar czf package.tar.gz -C DIR .")]
    };
    let broken = |error: std::io::Error| bad(format!("the archive cannot be read: {error}"));
    // One more than allowed, and room for headers and padding: whatever is cut off here is too large.
    let limit = UNPACKED_BYTES_MAX + 1 + 1024 * ENTRIES_MAX as u64;
    let mut archive = tar::Archive::new(source.take(limit));
    let mut files = Files::new();
    let mut unpacked = 0u64;
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count >= ENTRIES_MAX {
            return Err(too_large(file, format!("the archive has more than {ENTRIES_MAX} entries")));
        }
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let name = plain_path(&shown).map_err(|why| bad(format!("the archive holds {shown:?}, {why}")))?;
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(bad(format!(
                "the archive holds {shown:?}, which is a link or a device; only plain files are accepted"
            )));
        }
        if name.rsplit('/').next().is_some_and(|last| last.starts_with("._")) {
            // What macOS adds to tars.
            continue;
        }
        unpacked = unpacked.saturating_add(entry.size());
        if unpacked > UNPACKED_BYTES_MAX {
            return Err(too_large(file, format!("the package unpacks to more than {UNPACKED_BYTES_MAX} bytes")));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if files.insert(name, content).is_some() {
            return Err(bad(format!("the archive holds {shown:?} twice")));
        }
        if files.len() > FILES_MAX {
            return Err(too_large(file, format!("the package has more than {FILES_MAX} files")));
        }
    }
    if files.is_empty() {
        return Err(bad("the archive holds no files".to_owned()));
    }
    Ok(files)
}

/// A relative path of plain names, or why it is none.
fn plain_path(text: &str) -> Result<String, &'static str> {
    let mut names = Vec::new();
    for component in Path::new(text).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or("whose name is not UTF-8")?),
            Component::ParentDir => return Err("which leaves the package"),
            Component::RootDir | Component::Prefix(_) => return Err("which is an absolute path"),
        }
    }
    if text.contains(['\0', '\\', '\u{fffd}']) { Err("whose name is not plain") } else { Ok(names.join("/")) }
}

fn without_top_folder(files: Files) -> Files {
    let top = files.keys().next().and_then(|name| name.split_once('/')).map(|(top, _)| format!("{top}/"));
    match top {
        Some(top) if files.keys().all(|name| name.starts_with(&top)) => {
            files.into_iter().map(|(name, content)| (name[top.len()..].to_owned(), content)).collect()
        }
        Some(_) | None => files,
    }
}

/// The canonical tar: sorted, without times and owners, so that the same files are the same bytes.
pub(crate) fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort();
    for (name, content) in sorted {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        // Writing into memory cannot fail, and every name was a plain relative path when it was read.
        let _ = builder.append_data(&mut header, name, content.as_slice());
    }
    builder.into_inner().unwrap_or_default()
}
