//! The container this process runs in, and everything it needs: nothing may change them, whatever policy says.
//!
//! Ids are unique, so an id that the kernel tells this process is looked for on every host and can be found on one at the
//! most. Where the kernel tells nothing (another cgroup layout, a host network) the label `sandbook.self` does. What the
//! container depends on follows from [`sandbook_core::depend`]. Deliberately not here: refusing, which is policy's.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sandbook_core::depend::{self, Node};
use sandbook_core::error::{Error, ErrorKind};
use sandbook_core::target::{LABEL_SELF, OWN, labelled};

use super::fault::Trouble;
use super::{Found, Host, convert};

/// How long what was found holds: containers made or removed meanwhile are heard of through events, which make it void.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Bytes of a file of the kernel read at the most: a mount table has a few KiB.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Digits of a full id, and of the short one that Docker gives as host name.
const ID_DIGITS: usize = 64;
const SHORT_DIGITS: usize = 12;

/// Ids this process may run under, longest first.
static OWN_IDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let read = |path: &str| {
        let mut text = std::fs::read_to_string(path).unwrap_or_default();
        sandbook_core::error::truncate_at_char(&mut text, FILE_BYTES_MAX);
        text
    };
    candidates(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), &read("/etc/hostname"))
});

/// Ids of containers that the kernel's view of this process names. None outside a container: then the files name no id,
/// or none that an engine knows.
fn candidates(cgroup: &str, mountinfo: &str, hostname: &str) -> Vec<String> {
    // Docker's cgroups end with the id or with `docker-<id>.scope`.
    let of_cgroup = cgroup.lines().filter_map(|line| {
        let last = line.rsplit('/').next()?;
        let last = last.strip_suffix(".scope").unwrap_or(last);
        Some(last.rsplit('-').next().unwrap_or(last))
    });
    // It mounts `/etc/hostname` from a folder of its own: `…/containers/<id>/hostname`.
    let of_mounts = mountinfo.lines().filter(|line| line.contains("/etc/hostname")).flat_map(|line| {
        let (_, rest) = line.split_once("/containers/")?;
        rest.split('/').next()
    });
    let mut found: Vec<String> = of_cgroup
        .chain(of_mounts)
        .filter(|id| id.len() == ID_DIGITS && is_hex(id))
        .chain(Some(hostname.trim()).filter(|id| id.len() == SHORT_DIGITS && is_hex(id)))
        .map(str::to_owned)
        .collect();
    found.sort_by_key(|id| std::cmp::Reverse(id.len()));
    found.dedup();
    found
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What is known of the engine's own containers on one host.
#[derive(Debug)]
pub(super) struct Known {
    at: Instant,
    /// By id.
    shields: BTreeMap<String, String>,
    /// What the engine's own containers are called: name, id, `project/service`, service.
    names: Vec<String>,
}

impl Host {
    /// Why nothing may change a container. Errors: `failed` when the engine cannot say what it runs.
    pub(in crate::driver) async fn shield(&self, found: &Found) -> Result<Option<String>, Error> {
        if self.runs_us(&found.id) {
            return Ok(Some(OWN.to_owned()));
        }
        Ok(self.known().await?.shields.get(&found.id).cloned().or(found.facts.shield.clone()))
    }

    /// Whether a name of an alert or event means a container this engine runs in. False where nobody can tell.
    pub async fn is_own(&self, name: &str) -> bool {
        let name = name.trim_start_matches('/');
        self.known().await.is_ok_and(|known| known.names.iter().any(|own| own == name))
    }

    /// Events that make what is known void.
    pub(super) fn forget_known(known: &std::sync::Mutex<Option<Arc<Known>>>, action: &str) {
        if matches!(action, "create" | "destroy" | "rename") {
            *known.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        }
    }

    fn runs_us(&self, id: &str) -> bool {
        self.own_ids.iter().any(|own| id.starts_with(own.as_str()))
    }

    async fn known(&self) -> Result<Arc<Known>, Error> {
        let lock = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = lock().as_ref().filter(|known| known.at.elapsed() < KNOWN_FOR) {
            return Ok(known.clone());
        }
        let known = Arc::new(self.find_own().await?);
        *lock() = Some(known.clone());
        Ok(known)
    }

    async fn find_own(&self) -> Result<Known, Error> {
        let at = Instant::now();
        let labelled_ones =
            self.summaries(true, vec![LABEL_SELF.to_owned()]).await.map_err(Trouble::into_read_error)?;
        let is_labelled = |node: &Node| labelled(&node.labels, LABEL_SELF);
        let mut any = labelled_ones.iter().any(|one| labelled(&convert::sorted(one.labels.as_ref()), LABEL_SELF));
        for id in self.own_ids.iter() {
            match self.inspect(id).await {
                Ok(found) => any |= found.id.is_some_and(|found| found.starts_with(id.as_str())),
                Err(Trouble::Told(error)) if error.kind == ErrorKind::NotFound => {}
                Err(trouble) => return Err(trouble.into_read_error()),
            }
        }
        if !any {
            return Ok(Known { at, shields: BTreeMap::new(), names: Vec::new() });
        }
        let all = self.summaries(true, Vec::new()).await.map_err(Trouble::into_read_error)?;
        let nodes: Vec<Node> = self.nodes(all).await.into_iter().map(|(_, node)| node).collect();
        let shields = depend::shields(&nodes, |node| is_labelled(node) || self.runs_us(&node.id));
        let own = nodes.iter().filter(|node| shields.get(&node.id).is_some_and(|why| why == OWN));
        Ok(Known { at, names: own.flat_map(names).collect(), shields })
    }
}

/// What alerts may call a container.
fn names(node: &Node) -> Vec<String> {
    let facts = sandbook_core::target::Facts::from_labels(String::new(), String::new(), node.labels.clone());
    let mut names = vec![node.name.clone(), node.id.clone(), node.id.chars().take(SHORT_DIGITS).collect()];
    if let Some((project, service)) = facts.project.zip(facts.service) {
        names.push(format!("{project}/{service}"));
        names.push(service);
    }
    names
}

/// Ids to look for, as the kernel tells them.
pub(super) fn own_ids() -> Vec<String> {
    OWN_IDS.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn ids_come_from_every_layout_the_kernel_shows() {
        for cgroup in [
            format!("12:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}"),
            format!("0::/system.slice/docker-{ID}.scope"),
            format!("0::/docker/{ID}"),
        ] {
            assert_eq!(candidates(&cgroup, "", "web1"), [ID], "{cgroup}");
        }
        let mounts = format!(
            "612 600 8:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n\
             613 600 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw"
        );
        assert_eq!(candidates("0::/", &mounts, &format!("{}\n", &ID[..12])), [ID, &ID[..12]]);
    }

    #[test]
    fn outside_a_container_there_is_none() {
        let cgroup = "0::/user.slice/user-1000.slice/session-2.scope";
        let mounts = "29 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw";
        for hostname in ["web1", "deadbeef", "feedfacecafe0", "web-01.example"] {
            assert_eq!(candidates(cgroup, mounts, hostname), Vec::<String>::new(), "{hostname}");
        }
    }
}
