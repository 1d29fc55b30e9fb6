//! Choosing runbooks: every route and trigger is looked at, ranked, and explained.
//!
//! Deliberately not here: what a matcher is, and what is done with the choice.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Candidate, Choice, Chosen, Considered, Matcher, Op, Route, Via};
use crate::{alert::Alert, effect::closest, manifest::Manifest, manifest::Trigger, problem::quote};

/// How good a match is; larger is better. The fields are compared in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: i32,
    named: bool,
    matchers: usize,
    equalities: usize,
}

/// A trigger that matched.
struct Match<'a> {
    rank: Rank,
    name: &'a str,
    index: usize,
    continue_: bool,
    why: String,
}

/// The runbooks for an alert: routes first, then the manifests' triggers, best first.
pub fn choose(alert: &Alert, routes: &[Route], candidates: &[Candidate<'_>]) -> Choice {
    let mut choice = Choice::default();
    let decided = choose_routes(alert, routes, candidates, &mut choice);
    choose_triggers(candidates, decided, &mut choice, |trigger| match_alert(alert, trigger));
    choice
}

/// The runbooks for a Docker event, by its action such as `die` or `health_status: unhealthy`. `labels` are the container's
/// with `name` and `host` added; routes are about alerts and have no say.
pub fn choose_event(action: &str, labels: &BTreeMap<String, String>, candidates: &[Candidate<'_>]) -> Choice {
    let mut choice = Choice::default();
    choose_triggers(candidates, None, &mut choice, |trigger| match_event(action, labels, trigger));
    choice
}

/// Goes through the routes; what is answered names the route that ended the search.
fn choose_routes(alert: &Alert, routes: &[Route], candidates: &[Candidate<'_>], choice: &mut Choice) -> Option<String> {
    let mut order: Vec<(usize, &Route)> = routes.iter().enumerate().collect();
    order.sort_by_key(|(_, route)| Reverse(route.priority));
    let mut decided: Option<String> = None;
    for (index, route) in order {
        let (matched, why) = match match_matchers(&route.matchers, &alert.labels) {
            Err(why) => (false, why),
            Ok(_) if candidates.iter().all(|candidate| candidate.name != route.runbook) => {
                let hint = closest(&route.runbook, candidates.iter().map(|candidate| candidate.name))
                    .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                (true, format!("there is no runbook `{}`{hint}", route.runbook))
            }
            Ok(_) if decided.is_some() => (true, format!("{} comes first", decided.as_deref().unwrap_or_default())),
            Ok(_) if choice.chosen.iter().any(|chosen| chosen.runbook == route.runbook) => {
                decided = (!route.continue_).then(|| describe(index));
                (true, format!("{} is already chosen", route.runbook))
            }
            Ok(holds) => {
                decided = (!route.continue_).then(|| describe(index));
                let why = format!("{}: {holds}", describe(index));
                choice.chosen.push(Chosen { runbook: route.runbook.clone(), via: Via::Route(index), why });
                continue;
            }
        };
        choice.considered.push(Considered { runbook: route.runbook.clone(), via: Via::Route(index), matched, why });
    }
    decided
}

/// People count from 1.
fn describe(route: usize) -> String {
    format!("the operator's route {}", route + 1)
}

/// Ranks the triggers that match and takes the best; `decided` names the route that already ended the search.
fn choose_triggers(
    candidates: &[Candidate<'_>],
    decided: Option<String>,
    choice: &mut Choice,
    test: impl Fn(&Trigger) -> Result<(Rank, String), String>,
) {
    let mut matches = Vec::new();
    for candidate in candidates {
        for (index, trigger) in candidate.manifest.triggers.iter().enumerate() {
            match test(trigger) {
                Ok((rank, why)) => {
                    let continue_ = trigger.continue_;
                    matches.push(Match { rank, name: candidate.name, index, continue_, why });
                }
                Err(why) => choice.considered.push(considered(candidate.name, index, false, why)),
            }
        }
    }
    matches.sort_by(|a, b| (Reverse(a.rank), a.name, a.index).cmp(&(Reverse(b.rank), b.name, b.index)));
    let mut winner: Option<usize> = None;
    for (at, found) in matches.iter().enumerate() {
        let why = match (&decided, winner.and_then(|winner| matches.get(winner))) {
            _ if choice.chosen.iter().any(|chosen| chosen.runbook == found.name) => {
                format!("{} is already chosen", found.name)
            }
            (Some(route), _) => format!("{route} wins over triggers"),
            (None, Some(winner)) => compare(found, winner),
            (None, None) => {
                winner = (!found.continue_).then_some(at);
                let (runbook, why) = (found.name.to_owned(), found.why.clone());
                choice.chosen.push(Chosen { runbook, via: Via::Trigger(found.index), why });
                continue;
            }
        };
        choice.considered.push(considered(found.name, found.index, true, why));
    }
}

fn considered(name: &str, index: usize, matched: bool, why: String) -> Considered {
    Considered { runbook: name.to_owned(), via: Via::Trigger(index), matched, why }
}

/// Why a match lost.
fn compare(loser: &Match<'_>, winner: &Match<'_>) -> String {
    if loser.rank.priority != winner.rank.priority {
        return format!("priority {} is lower than {} of {}", loser.rank.priority, winner.rank.priority, winner.name);
    }
    if loser.rank == winner.rank {
        return format!("as specific as {}, which comes first by name", winner.name);
    }
    format!("less specific than {}", winner.name)
}

fn match_alert(alert: &Alert, trigger: &Trigger) -> Result<(Rank, String), String> {
    if !trigger.listens_to_alerts() {
        let source = if trigger.schedule.is_some() { "a schedule" } else { "docker events" };
        return Err(format!("this trigger listens to {source}, not to alerts"));
    }
    let named = !trigger.alert.is_empty();
    if named && !trigger.alert.iter().any(|name| name == alert.name()) {
        return Err(format!("alertname={} is not {}", quote(alert.name()), any_of(&trigger.alert)));
    }
    let rank = rank(trigger, named);
    match match_matchers(&trigger.matchers, &alert.labels) {
        Ok(holds) if named => Ok((rank, format!("it names the alert {}, and {holds}", alert.name()))),
        Ok(holds) => Ok((rank, holds)),
        Err(_) if named && trigger.matchers.is_empty() => Ok((rank, format!("it names the alert {}", alert.name()))),
        Err(why) => Err(why),
    }
}

/// Whether an alert matches a trigger of a manifest: what [`choose`] finds, without its sentences.
pub fn fits(alert: &Alert, manifest: &Manifest) -> bool {
    manifest.triggers.iter().any(|trigger| {
        let named = trigger.alert.iter().any(|name| name == alert.name());
        let holds = || trigger.matchers.iter().all(|matcher| matcher.matches(&alert.labels));
        trigger.listens_to_alerts()
            && (named || trigger.alert.is_empty())
            && if trigger.matchers.is_empty() { named } else { holds() }
    })
}

fn match_event(action: &str, labels: &BTreeMap<String, String>, trigger: &Trigger) -> Result<(Rank, String), String> {
    if trigger.docker_event.is_empty() {
        let source = if trigger.schedule.is_some() { "a schedule" } else { "alerts" };
        return Err(format!("this trigger listens to {source}, not to docker events"));
    }
    // `health_status` stands for `health_status: healthy` and the like; `exec_start: sh` is no `exec`.
    let covers = |event: &String| {
        action.strip_prefix(event.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    if !trigger.docker_event.iter().any(covers) {
        return Err(format!("the event {} is not {}", quote(action), any_of(&trigger.docker_event)));
    }
    let rank = rank(trigger, trigger.docker_event.iter().any(|event| event == action));
    match match_matchers(&trigger.matchers, labels) {
        Ok(holds) => Ok((rank, format!("it listens to {action}, and {holds}"))),
        Err(_) if trigger.matchers.is_empty() => Ok((rank, format!("it listens to {action}"))),
        Err(why) => Err(why),
    }
}

fn rank(trigger: &Trigger, named: bool) -> Rank {
    let equalities = trigger.matchers.iter().filter(|matcher| matcher.op() == Op::Equal).count();
    Rank { priority: trigger.priority, named, matchers: trigger.matchers.len(), equalities }
}

/// What holds, or the first that does not. None at all never hold: a forgotten line must not match everything.
fn match_matchers(matchers: &[Matcher], labels: &BTreeMap<String, String>) -> Result<String, String> {
    if matchers.is_empty() {
        return Err("without matchers nothing matches; alertname=~\".+\" would be every alert".to_owned());
    }
    if let Some(why) = matchers.iter().find_map(|matcher| matcher.mismatch(labels)) {
        return Err(why);
    }
    let shown: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    Ok(format!("{} {}", shown.join(" and "), if shown.len() == 1 { "holds" } else { "hold" }))
}

fn any_of(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    quoted.join(" or ")
}
