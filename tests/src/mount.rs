//! A small file system of its own, for disks that are full or cannot be written.
//!
//! Deliberately not here: anything but tmpfs, which needs no device.

use std::path::Path;
use std::process::Command;

use crate::process;

/// A mounted tmpfs, unmounted on drop.
#[derive(Debug)]
pub struct Mount<'a> {
    at: &'a Path,
}

impl<'a> Mount<'a> {
    /// Mounts one with options such as `size=12m` on a folder, which is made.
    #[track_caller]
    pub fn tmpfs(at: &'a Path, options: &str) -> Mount<'a> {
        std::fs::create_dir_all(at).expect("writable");
        let at_text = at.to_str().expect("temporary paths are text");
        as_root(&["mount", "-t", "tmpfs", "-o", &format!("{options},mode=0777"), "tmpfs", at_text]);
        Mount { at }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let at = self.at.to_str().expect("temporary paths are text");
        let _ = Command::new(process::root_prefix()[0])
            .args(&process::root_prefix()[1..])
            .args(["umount", "-l", at])
            .status();
    }
}

#[track_caller]
fn as_root(command: &[&str]) {
    let ran = Command::new(process::root_prefix()[0])
        .args(&process::root_prefix()[1..])
        .args(command)
        .output()
        .expect("it starts");
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
