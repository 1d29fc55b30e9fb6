//! Services: the containers of a compose service as one thing, or a swarm service.
//!
//! Pure: what the containers of a host make of a service's name, and what scaling has to do. Deliberately not here:
//! looking at an engine and doing it (the host's driver), and behaving like one ([`crate::world`]).

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::target::{Facts, Kind, Resolved, Target};

/// Compose's label of a container that `compose run` made: it is no replica.
const LABEL_ONEOFF: &str = "com.docker.compose.oneoff";

/// A container of a compose service.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its instance.
    pub id: String,
    /// Compose's number.
    pub number: u32,
    /// What is known of it.
    pub facts: Facts,
}

impl Member {
    /// A container as a member of its service; `None` when it is no replica of one.
    pub fn new(name: &str, id: &str, facts: Facts) -> Option<Member> {
        let oneoff = facts.labels.get(LABEL_ONEOFF).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if oneoff || facts.project.is_none() || facts.service.is_none() {
            return None;
        }
        let number = facts.number.as_deref().map_or(Some(1), |text| text.parse().ok())?;
        Some(Member { name: name.to_owned(), id: id.to_owned(), number, facts })
    }

    fn project(&self) -> &str {
        self.facts.project.as_deref().unwrap_or_default()
    }

    fn service(&self) -> &str {
        self.facts.service.as_deref().unwrap_or_default()
    }
}

/// One service as it stands: what a scaling starts from and recovery compares with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// `project/service`, or a swarm service's name.
    pub name: String,
    /// Id of the swarm service; absent for compose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<String>,
    /// How many it has, or a swarm service is to have.
    pub replicas: u32,
    /// Names of its containers by number.
    pub members: Vec<String>,
    /// Subjects of its containers: whoever scales it holds them, too.
    pub subjects: Vec<String>,
    /// What policy sees, from its first container.
    #[serde(skip)]
    pub facts: Facts,
}

impl Standing {
    /// A swarm service.
    pub fn swarm(name: &str, id: Option<&str>, replicas: u32) -> Standing {
        Standing {
            name: name.to_owned(),
            swarm: Some(id.unwrap_or(name).to_owned()),
            replicas,
            members: Vec::new(),
            subjects: Vec::new(),
            facts: Facts { service: Some(name.to_owned()), ..Facts::default() },
        }
    }

    /// What resolving its name found. Errors: `failed`, when it cannot be written.
    pub fn resolved(self, host: &str) -> Result<Resolved, Error> {
        let before = serde_json::to_value(&self).map_err(|error| Error::failed(error.to_string()))?;
        let (name, id) = (self.name.clone(), self.swarm.clone());
        let target = Target { host: host.to_owned(), kind: Kind::Service, name, id };
        Ok(Resolved { subject: target.to_string(), target, facts: Some(self.facts), before: Some(before) })
    }

    /// What resolving found, read back.
    pub fn of(resolved: &Resolved) -> Option<Standing> {
        serde_json::from_value(resolved.before.clone()?).ok()
    }
}

/// The compose service that `project/service` or `service` means among these containers. Errors: `invalid` when
/// several projects have it, naming them.
pub fn named(members: &[Member], name: &str) -> Result<Option<Standing>, Error> {
    let (project, service) = match name.split_once('/') {
        Some((project, service)) => (Some(project), service),
        None => (None, name),
    };
    let fits = |member: &&Member| member.service() == service && project.is_none_or(|it| it == member.project());
    let mut found: Vec<&Member> = members.iter().filter(fits).collect();
    let Some(first) = found.first().copied() else { return Ok(None) };
    if found.iter().any(|member| member.project() != first.project()) {
        let mut projects: Vec<&str> = found.iter().map(|member| member.project()).collect();
        projects.sort_unstable();
        projects.dedup();
        let list: Vec<String> = projects.iter().map(|project| format!("{project}/{service}")).collect();
        return Err(Error::invalid(format!("`{name}` means several services, name one: {}", list.join(", "))));
    }
    found.sort_by_key(|member| (member.number, member.name.clone()));
    let first = found[0];
    let shield = found.iter().find_map(|member| {
        let why = member.facts.shield.as_deref()?;
        Some(format!("of its container {}, {why}", member.name))
    });
    let name = format!("{}/{service}", first.project());
    Ok(Some(Standing {
        swarm: None,
        replicas: u32::try_from(found.len()).unwrap_or(u32::MAX),
        members: found.iter().map(|member| member.name.clone()).collect(),
        subjects: found.iter().map(|member| member.facts.subject("", &member.name)).collect(),
        facts: Facts { number: None, stop: None, shield, ..first.facts.clone() },
        name,
    }))
}

/// What scaling does: numbers of containers to make, and names of those to remove, the highest number first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    /// Numbers of new containers.
    pub create: Vec<u32>,
    /// Names of those that go.
    pub remove: Vec<String>,
}

/// From the members there are to that many.
pub fn steps(members: &[Member], replicas: u32) -> Steps {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by_key(|member| (member.number, member.name.clone()));
    let wanted = usize::try_from(replicas).unwrap_or(usize::MAX);
    let next = members.last().map_or(1, |member| member.number.saturating_add(1));
    let missing = u32::try_from(wanted.saturating_sub(members.len())).unwrap_or(u32::MAX);
    Steps {
        create: (next..next.saturating_add(missing)).collect(),
        remove: members.iter().skip(wanted).rev().map(|member| member.name.clone()).collect(),
    }
}

/// The name of a replica made after another: its number in the place of the other's, else compose's own pattern.
pub fn name_of(after: &Member, number: u32) -> String {
    let own = after.number.to_string();
    match after.name.strip_suffix(&own) {
        Some(front) if front.ends_with(['-', '_']) => format!("{front}{number}"),
        Some(_) | None => format!("{}-{}-{number}", after.project(), after.service()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::target::{LABEL_NUMBER, LABEL_PROJECT, LABEL_SERVICE};

    fn member(project: &str, number: u32, more: &[(&str, &str)]) -> Option<Member> {
        let number = number.to_string();
        let own = [(LABEL_PROJECT, project), (LABEL_SERVICE, "web"), (LABEL_NUMBER, number.as_str())];
        let labels: BTreeMap<String, String> =
            own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let name = format!("{project}-web-{number}");
        Member::new(&name, "5c", Facts::from_labels("web:1".to_owned(), "running".to_owned(), labels))
    }

    #[test]
    fn a_service_is_its_containers_without_those_of_compose_run() {
        let members: Vec<Member> = [
            member("shop", 10, &[]),
            member("shop", 2, &[("sandbook.protect", "true")]),
            member("shop", 3, &[(LABEL_ONEOFF, "True")]),
        ]
        .into_iter()
        .flatten()
        .collect();
        let standing = named(&members, "shop/web").expect("one").expect("there");
        assert_eq!((standing.replicas, standing.members), (2, vec!["shop-web-2".to_owned(), "shop-web-10".to_owned()]));
        assert!(standing.facts.shield.expect("one member is protected").contains("shop-web-2"));
        assert_eq!(named(&members, "shop/db").expect("none"), None);
        let twice: Vec<Member> = [member("shop", 1, &[]), member("blog", 1, &[])].into_iter().flatten().collect();
        assert!(named(&twice, "web").expect_err("two").message.contains("blog/web, shop/web"));
    }

    #[test]
    fn scaling_makes_the_next_numbers_and_removes_the_highest() {
        let members: Vec<Member> = [1, 2, 5].into_iter().filter_map(|n| member("shop", n, &[])).collect();
        assert_eq!(steps(&members, 5), Steps { create: vec![6, 7], remove: vec![] });
        let down = Steps { create: vec![], remove: vec!["shop-web-5".to_owned(), "shop-web-2".to_owned()] };
        assert_eq!(steps(&members, 1), down);
        assert_eq!(steps(&members, 3), Steps::default());
        assert_eq!(name_of(&members[2], 6), "shop-web-6");
        assert_eq!(name_of(&Member { name: "front".to_owned(), ..members[0].clone() }, 2), "shop-web-2");
    }
}
