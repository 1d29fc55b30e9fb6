//! Who stops working with whom, and with that: what this engine itself needs to live.
//!
//! A container depends on another by sharing its network, by taking its volumes, or because compose says so. Pure: the
//! real and the simulated world describe their containers as [`Node`]s and ask the same questions. Deliberately not here:
//! finding containers, and what a shield means (policy).

use std::collections::BTreeMap;

use crate::effect::docker::Dependency;
use crate::target::{self, LABEL_PROJECT, LABEL_SERVICE, OWN};

/// Shortest beginning of an id that counts as one: what Docker prints.
const ID_PREFIX_MIN: usize = 12;

/// A container as far as dependence goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Full id.
    pub id: String,
    /// Without Docker's leading `/`.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Such as `bridge` or `container:vpn`.
    pub network_mode: String,
    /// Containers whose volumes it takes, by name or id, each with an optional `:ro`.
    pub volumes_from: Vec<String>,
    /// Services or containers it depends on, beside what compose's label says.
    pub depends_on: Vec<String>,
}

impl Node {
    /// The container whose network it shares, as written: a name or an id.
    pub fn shares(&self) -> Option<&str> {
        self.network_mode.strip_prefix("container:")
    }

    fn is_named(&self, reference: &str) -> bool {
        reference == self.name || (reference.len() >= ID_PREFIX_MIN && self.id.starts_with(reference))
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A service's name means a container of the same project only.
    fn is_service_of(&self, other: &Node, service: &str) -> bool {
        let project = self.label(LABEL_PROJECT);
        project.is_some() && project == other.label(LABEL_PROJECT) && self.label(LABEL_SERVICE) == Some(service)
    }

    /// Why `other` stops working with this one. `former` says whether an id is one that this container had before it was
    /// recreated: a sharer of that network is an orphan, and still its dependent.
    pub fn needed_by(&self, other: &Node, former: impl Fn(&str) -> bool) -> Vec<Dependency> {
        let network = other.shares().is_some_and(|of| self.is_named(of) || former(of));
        let depends = target::depends_on(&other.labels).any(|name| self.is_service_of(other, name))
            || other.depends_on.iter().any(|name| self.is_named(name) || self.is_service_of(other, name));
        let volumes = other.volumes_from.iter().any(|from| self.is_named(from.split(':').next().unwrap_or(from)));
        [
            network.then_some(Dependency::SharesNetwork),
            depends.then_some(Dependency::DependsOn),
            volumes.then_some(Dependency::VolumesFrom),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// By id, why nothing may change a container: it is this engine's own, or what that one depends on, however far away.
/// `own` says which nodes the engine runs in.
pub fn shields(nodes: &[Node], own: impl Fn(&Node) -> bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open: Vec<&Node> = nodes.iter().filter(|node| own(node)).collect();
    found.extend(open.iter().map(|node| (node.id.clone(), OWN.to_owned())));
    while let Some(dependent) = open.pop() {
        for node in nodes {
            let Some(why) = node.needed_by(dependent, |_| false).first().copied() else { continue };
            if found.contains_key(&node.id) {
                continue;
            }
            let how = match why {
                Dependency::SharesNetwork => "uses its network",
                Dependency::DependsOn => "depends on it, says compose",
                Dependency::VolumesFrom => "takes its volumes",
            };
            let whose = if own(dependent) { ", in which this engine runs," } else { ", which this engine needs," };
            found.insert(node.id.clone(), format!("{}{whose} {how}", dependent.name));
            open.push(node);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::LABEL_DEPENDS_ON;

    fn node(name: &str) -> Node {
        Node { id: format!("{name:0>64}"), name: name.to_owned(), ..Node::default() }
    }

    fn composed(service: &str, needs: &str) -> Node {
        let labels = [(LABEL_PROJECT, "shop"), (LABEL_SERVICE, service), (LABEL_DEPENDS_ON, needs)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Node { labels, ..node(&format!("shop-{service}-1")) }
    }

    #[test]
    fn dependence_is_network_compose_and_volumes() {
        let vpn = composed("vpn", "");
        let by_name = Node { network_mode: "container:shop-vpn-1".to_owned(), ..node("a") };
        let by_id = Node { network_mode: format!("container:{}", vpn.id), ..node("b") };
        let orphan = Node { network_mode: "container:0123456789ab".to_owned(), ..node("c") };
        let volumes = Node { volumes_from: vec!["shop-vpn-1:ro".to_owned()], ..node("d") };
        let compose = composed("app", "db:service_started:false,vpn:service_healthy:true");
        let elsewhere = Node { labels: BTreeMap::new(), ..composed("app", "vpn:service_started:false") };
        let why = |other: &Node| vpn.needed_by(other, |id| id == "0123456789ab");
        assert_eq!(why(&by_name), [Dependency::SharesNetwork]);
        assert_eq!(why(&by_id), [Dependency::SharesNetwork]);
        assert_eq!(why(&orphan), [Dependency::SharesNetwork]);
        assert_eq!(vpn.needed_by(&orphan, |_| false), []);
        assert_eq!(why(&volumes), [Dependency::VolumesFrom]);
        assert_eq!(why(&compose), [Dependency::DependsOn]);
        assert_eq!(why(&elsewhere), []);
        assert_eq!(why(&composed("app", "vp:service_started:false")), [], "a part of a name is no name");
    }

    #[test]
    fn what_the_engine_needs_is_shielded_however_far_away() {
        let own = Node { network_mode: "container:vpn".to_owned(), ..composed("sandbook", "db:service_started:false") };
        let nodes =
            [own.clone(), node("vpn"), composed("db", "disk:service_started:false"), composed("disk", ""), node("web")];
        let found = shields(&nodes, |node| node.id == own.id);
        assert_eq!(found.get(&own.id).map(String::as_str), Some(OWN));
        assert!(found[&node("vpn").id].contains("uses its network"), "{found:?}");
        assert!(found[&composed("db", "").id].contains("in which this engine runs"), "{found:?}");
        assert!(found[&composed("disk", "").id].contains("which this engine needs"), "{found:?}");
        assert_eq!(found.get(&node("web").id), None);
        assert!(shields(&nodes, |_| false).is_empty());
    }

    #[test]
    fn circles_end() {
        let nodes = [composed("a", "b:service_started:false"), composed("b", "a:service_started:false")];
        assert_eq!(shields(&nodes, |node| node.name == "shop-a-1").len(), 2);
    }
}
