//! Operator policy: whether a runbook's effect is allowed, asked or denied, and what would allow it.
//!
//! Policies are Cedar, validated against a schema generated from the effect catalogue. What stands outside Cedar is
//! few and fixed: the class decides what is needed at all, a shielded container (labelled `sandbook.protect`, or needed
//! by the engine itself to live) is kept from every change, the stage of a version says whether it may act, egress and
//! tell need the operator's lists besides.
//!
//! - without a policy nothing mutates, and without a list nothing leaves
//! - a forbid wins over every permit, label grant and list; a policy that errors while evaluated denies
//! - of all permits that apply, any `@approval("ask")` asks and every `@limit` holds
//! - a denial says the exact line that would allow it
//!
//! Cedar reads every policy it is given at each decision, so a decision sees only the slice that can matter for this
//! runbook and this effect. Deliberately not here: the manifest's request, counting limits, resolving names (the
//! gate), and people, whose roles are no policy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Effect as Kind, EntityUid, PolicyId, PolicySet,
    PrincipalConstraint, Request as Question,
};
use sandbook_core::effect::{Class, Effect, Part, Scope};
use sandbook_core::gate::{PolicyLimit, Verdict};
use sandbook_core::problem::Problem;
use sandbook_core::run::{Decision, Origin, Stage};
use sandbook_core::target::Resolved;

mod entity;
#[cfg(test)]
mod file_tests;
mod fix;
pub mod grant;
pub mod list;
pub mod load;
pub mod revoke;
pub mod schema;
#[cfg(test)]
mod tests;

use load::{Rule, Source};

/// A container's label that stands in for a grant when `label_grants` is on: `restart,start`, or whole effect names.
pub const LABEL_ALLOW: &str = "sandbook.allow";

/// A character that no name of a container has.
const OTHER: char = '~';

/// Slices kept at the most: runbooks times effects of a large installation. A full store is emptied.
const SLICES_MAX: usize = 10_000;

/// Whether the operator lists a host, with a port where there is one.
pub type Egress = Box<dyn Fn(&str, Option<u16>) -> bool + Send + Sync>;

/// When an effect is asked for, in the daemon's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// From 0 to 1439.
    pub minute_of_day: u16,
    /// From 1, Monday, to 7, Sunday.
    pub weekday: u8,
}

impl From<&jiff::Zoned> for Moment {
    fn from(now: &jiff::Zoned) -> Moment {
        let minute_of_day = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        Moment { minute_of_day, weekday: now.weekday().to_monday_one_offset().unsigned_abs() }
    }
}

/// Who asks for what, on what, and when.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Name of the runbook.
    pub runbook: &'a str,
    /// Of its version.
    pub digest: &'a str,
    /// The version's effective stage. A plan that shows what promotion would do gives the stage it asks about.
    pub stage: Stage,
    /// Who wrote it.
    pub origin: Origin,
    /// What.
    pub effect: &'a Effect,
    /// On what. Without facts the name is unknown, and is judged as written.
    pub resolved: &'a Resolved,
    /// Of the alert the run started with; empty without one.
    pub alert_labels: &'a BTreeMap<String, String>,
    /// Attempts so far of this runbook on this subject.
    pub attempts: u64,
    /// When.
    pub now: Moment,
    /// Who applies a plan they reviewed, and so permits what it says; forbids and protection hold all the same.
    pub applied_by: Option<&'a str>,
}

/// The operator's policy: rules, lists and switches.
pub struct Policy {
    rules: Vec<Rule>,
    places: HashMap<PolicyId, usize>,
    warnings: Vec<Problem>,
    label_grants: bool,
    egress: Egress,
    channels: BTreeSet<String>,
    default_channel: Option<String>,
    authorizer: Authorizer,
    slices: RwLock<HashMap<(String, &'static str), Arc<Slice>>>,
    cache: entity::Cache,
}

/// The rules that can matter for one runbook and one effect.
#[derive(Debug, Default)]
struct Slice {
    set: PolicySet,
    /// Whether a rule looks at the alert's labels, which are costly to put before Cedar.
    alert: bool,
    /// Whether a rule looks at the attempts so far, which have to be counted.
    attempts: bool,
}

/// What Cedar said.
#[derive(Debug, Default)]
struct Answer<'a> {
    permits: Vec<&'a Rule>,
    forbids: Vec<&'a Rule>,
    error: Option<(Option<&'a Rule>, String)>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::assemble(load::Loaded::default(), false)
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

impl Policy {
    /// Reads every `*.cedar` file of the directories. All problems are reported at once, and none is loaded then.
    pub fn load(dirs: &[PathBuf], label_grants: bool) -> Result<Policy, Vec<Problem>> {
        Policy::from_sources(&load::read(dirs)?, label_grants)
    }

    /// The same from texts at hand.
    pub fn from_sources(sources: &[Source], label_grants: bool) -> Result<Policy, Vec<Problem>> {
        Ok(Policy::assemble(load::rules(sources)?, label_grants))
    }

    fn assemble(loaded: load::Loaded, label_grants: bool) -> Policy {
        let places = loaded.rules.iter().enumerate().map(|(index, rule)| (rule.cedar.id().clone(), index)).collect();
        Policy {
            rules: loaded.rules,
            places,
            warnings: loaded.warnings,
            label_grants,
            egress: Box::new(|_, _| false),
            channels: BTreeSet::new(),
            default_channel: None,
            authorizer: Authorizer::new(),
            slices: RwLock::default(),
            cache: entity::Cache::default(),
        }
    }

    /// What http and net effects may reach. Without it: nothing.
    #[must_use]
    pub fn with_egress(self, egress: Egress) -> Policy {
        Policy { egress, ..self }
    }

    /// The configured channels, and the one that is meant when a message names none. Without it: none.
    #[must_use]
    pub fn with_channels(self, names: impl IntoIterator<Item = String>, default: Option<String>) -> Policy {
        Policy { channels: names.into_iter().collect(), default_channel: default, ..self }
    }

    /// What is valid but probably not what was meant.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Whether there is any policy at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Drops what is kept of a container that is gone.
    pub fn forget(&self, container_id: &str) {
        self.cache.forget(container_id);
    }

    /// Whether a decision about this effect depends on [`Request::attempts`]; otherwise nobody needs to count them.
    pub fn counts_attempts(&self, runbook: &str, effect: &Effect) -> bool {
        effect.class() == Class::Mutate && self.slice(runbook, effect).attempts
    }

    /// Allows, asks or denies.
    pub fn decide(&self, request: &Request<'_>) -> Verdict {
        match request.effect.class() {
            Class::Ambient | Class::Note | Class::State | Class::Wait => allow("it needs no permission"),
            Class::Observe => self.unless_forbidden(request, "a read needs only the manifest's request"),
            // What leaves goes to the one model that the operator configured, or nowhere.
            Class::Egress if request.effect.scope() == Scope::Part(Part::Model) => {
                self.unless_forbidden(request, "the operator's [llm] decides where it goes")
            }
            Class::Egress => match self.unlisted(request.effect) {
                Some((reason, fix)) => deny(Vec::new(), reason, fix),
                None => self.unless_forbidden(request, "the operator lists the host under [egress]"),
            },
            Class::Tell => match self.unconfigured(request.effect) {
                Some((reason, fix)) => deny(Vec::new(), reason, fix),
                None => self.unless_forbidden(request, "the channel is configured"),
            },
            Class::Mutate => self.mutate(request),
        }
    }

    /// Why an egress effect's host is not listed, and the line that lists it.
    fn unlisted(&self, effect: &Effect) -> Option<(String, String)> {
        match entity::destination(effect) {
            Some(Ok(to)) if (self.egress)(&to.host, to.port) => None,
            Some(Ok(to)) => {
                let reason = format!("the operator does not list {} for {}", to.listed, effect.name());
                Some((reason, fix::egress(&to.listed)))
            }
            Some(Err(reason)) => Some((reason, "give a host or an http url".to_owned())),
            None => Some((
                format!("nothing the operator lists covers {}", effect.name()),
                "it cannot be allowed by configuration".to_owned(),
            )),
        }
    }

    /// Why a message has no channel to go to, and how to configure it.
    fn unconfigured(&self, effect: &Effect) -> Option<(String, String)> {
        let named = match effect.scope() {
            Scope::Channel(named) => named,
            Scope::Container(_)
            | Scope::Host
            | Scope::Service(_)
            | Scope::Url(_)
            | Scope::Net(..)
            | Scope::Memory
            | Scope::Metrics
            | Scope::Part(_)
            | Scope::Run => None,
        };
        match named.or(self.default_channel.as_deref()) {
            Some(channel) if self.channels.contains(channel) => None,
            Some(channel) => {
                let known = sandbook_core::effect::closest(channel, self.channels.iter().map(String::as_str));
                Some((format!("there is no channel {channel:?}"), fix::channel(channel, known)))
            }
            None => Some((
                "no channel is named and none is the default".to_owned(),
                "name a channel, or set `self` under [notify] in the configuration".to_owned(),
            )),
        }
    }

    fn unless_forbidden(&self, request: &Request<'_>, reason: &str) -> Verdict {
        let answer = self.ask_cedar(request);
        if let Some(refusal) = refusal(request, &answer) {
            return refusal;
        }
        let verdict = permitted(&answer.permits, reason);
        // A message never parks a run, and a read has nothing to approve.
        let asks = request.effect.class() == Class::Egress && answer.permits.iter().any(|rule| rule.ask);
        if asks { Verdict { decision: Decision::Ask, reason: asking(&answer.permits), ..verdict } } else { verdict }
    }

    /// Of permits that apply, those that name this container: a permit that would still apply were it called otherwise
    /// covers a pattern, a service or everything. A name is varied by one more character at every place, so that a `*`
    /// anywhere in a pattern covers one of the variants.
    fn by_name<'a>(&self, request: &Request<'_>, permits: Vec<&'a Rule>) -> Vec<&'a Rule> {
        let name = &request.resolved.target.name;
        let places = (0..=name.len()).filter(|place| name.is_char_boundary(*place));
        let mut left = permits;
        for place in places {
            if left.is_empty() {
                break;
            }
            let mut resolved = request.resolved.clone();
            resolved.target.name.insert(place, OTHER);
            // Another container has another id, too.
            resolved.target.id = resolved.target.id.map(|id| id.chars().rev().collect());
            let other = self.ask_cedar(&Request { resolved: &resolved, ..*request });
            left.retain(|rule| !other.permits.iter().any(|wide| wide.id == rule.id));
        }
        left
    }

    fn mutate(&self, request: &Request<'_>) -> Verdict {
        let (name, target) = (request.effect.name(), &request.resolved.target);
        if let Some(why) = request.resolved.facts.as_ref().and_then(|facts| facts.shield.as_deref()) {
            let reason = format!("{name} is kept away from {target}, whatever policy says: {why}");
            return deny(Vec::new(), reason, fix::shielded(request));
        }
        let mut answer = self.ask_cedar(request);
        if let Some(refusal) = refusal(request, &answer) {
            return refusal;
        }
        if let Some(person) = request.applied_by {
            let mut verdict = permitted(&answer.permits, "it applies a reviewed plan");
            verdict.policy.push(format!("applied by {person}"));
            return verdict;
        }
        if request.effect.by_name_only() {
            answer.permits = self.by_name(request, answer.permits);
        }
        let by_label = self.label_grants && label_grants(request) && !request.effect.by_name_only();
        let promoted = request.stage >= Stage::Ask;
        if answer.permits.is_empty() && !by_label {
            let reason = format!("no policy permits {name} on {target} for runbook {}", request.runbook);
            let grant = fix::grant(request);
            let fix = if promoted { grant } else { format!("{grant} && {}", fix::promote(request)) };
            return deny(Vec::new(), reason, fix);
        }
        let mut verdict = permitted(&answer.permits, "a policy permits it");
        if by_label {
            verdict.policy.push(format!("label {LABEL_ALLOW}"));
        }
        if !promoted {
            let reason = format!("runbook {} is in stage {}, which never acts", request.runbook, request.stage);
            return deny(verdict.policy, reason, fix::promote(request));
        }
        if answer.permits.iter().any(|rule| rule.ask) {
            return Verdict { decision: Decision::Ask, reason: asking(&answer.permits), ..verdict };
        }
        if request.stage == Stage::Ask {
            let reason = format!("runbook {} is in stage ask: a person approves every change", request.runbook);
            return Verdict { decision: Decision::Ask, reason, ..verdict };
        }
        verdict
    }

    /// Puts the request before the rules that can matter. What cannot be put before them counts as an error.
    fn ask_cedar(&self, request: &Request<'_>) -> Answer<'_> {
        let slice = self.slice(request.runbook, request.effect);
        if slice.set.is_empty() {
            return Answer::default();
        }
        match self.answer(request, &slice) {
            Ok(answer) => answer,
            Err(error) => Answer { error: Some((None, error)), ..Answer::default() },
        }
    }

    fn answer(&self, request: &Request<'_>, slice: &Slice) -> Result<Answer<'_>, String> {
        let resource = self.cache.resource(request.effect, request.resolved, self.default_channel.as_deref())?;
        let (principal, action) = (entity::principal(request)?, entity::action(request.effect)?);
        let (who, what) = (principal.uid(), action.uid());
        let alert = if slice.alert { Some(entity::alert(request)?) } else { None };
        let entities = resource
            .entities
            .add_entities([principal, action].into_iter().chain(alert), None)
            .map_err(|error| error.to_string())?;
        let context = entity::context(request)?;
        let question = Question::new(who, what, resource.uid, context, None).map_err(|error| error.to_string())?;
        let response = self.authorizer.is_authorized(&question, &slice.set, &entities);
        let mut answer = Answer::default();
        for rule in response.diagnostics().reason().filter_map(|id| self.rule(id)) {
            match rule.kind {
                Kind::Permit => answer.permits.push(rule),
                Kind::Forbid => answer.forbids.push(rule),
            }
        }
        // Cedar's sets have no order; people and golden files want one.
        answer.permits.sort_by(|a, b| a.id.cmp(&b.id));
        answer.forbids.sort_by(|a, b| a.id.cmp(&b.id));
        answer.error =
            response.diagnostics().errors().next().map(|AuthorizationError::PolicyEvaluationError(error)| {
                (self.rule(error.policy_id()), error.inner().to_string())
            });
        Ok(answer)
    }

    fn rule(&self, id: &PolicyId) -> Option<&Rule> {
        self.places.get(id).and_then(|index| self.rules.get(*index))
    }

    fn slice(&self, runbook: &str, effect: &Effect) -> Arc<Slice> {
        if self.rules.is_empty() {
            return Arc::default();
        }
        let key = (runbook.to_owned(), effect.name());
        if let Some(slice) = self.slices.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(slice);
        }
        let slice = Arc::new(self.cut(runbook, effect));
        let mut slices = self.slices.write().unwrap_or_else(PoisonError::into_inner);
        if slices.len() >= SLICES_MAX {
            slices.clear();
        }
        slices.insert(key, Arc::clone(&slice));
        slice
    }

    fn cut(&self, runbook: &str, effect: &Effect) -> Slice {
        let who = entity::uid("Runbook", runbook);
        let what = [entity::uid("Action", effect.name()), entity::uid("Action", effect.class().name())];
        let rules = self.rules.iter().filter(|rule| concerns(rule, &who, &what));
        let mut slice = Slice::default();
        for rule in rules {
            let text = rule.text();
            // A name can also be written with escapes.
            let mentions = |name: &str| text.contains(name) || text.contains('\\');
            slice.alert |= mentions("alert");
            slice.attempts |= mentions("attempts");
            // Ids are unique: loading refuses two policies with the same one.
            let added = slice.set.add(rule.cedar.clone());
            debug_assert!(added.is_ok(), "{added:?}");
        }
        slice
    }
}

/// Whether a rule's scope can hold for this runbook and effect. Runbooks are members of nothing but themselves.
fn concerns(rule: &Rule, who: &EntityUid, what: &[EntityUid; 2]) -> bool {
    let principal = match rule.cedar.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Is(kind) => kind == *who.type_name(),
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) => uid == *who,
        PrincipalConstraint::IsIn(kind, uid) => kind == *who.type_name() && uid == *who,
    };
    let action = match rule.cedar.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == what[0],
        ActionConstraint::In(uids) => uids.iter().any(|uid| what.contains(uid)),
    };
    principal && action
}

/// Whether the container's own label permits the effect.
fn label_grants(request: &Request<'_>) -> bool {
    let Some(allowed) = request.resolved.facts.as_ref().and_then(|facts| facts.labels.get(LABEL_ALLOW)) else {
        return false;
    };
    let name = request.effect.name();
    let verb = name.strip_prefix("docker.").unwrap_or(name);
    let short = verb.strip_suffix("-container").unwrap_or(verb);
    matches!(request.effect.scope(), Scope::Container(_))
        && allowed.split(',').map(str::trim).any(|word| word == name || word == verb || word == short)
}

/// A forbid, or a policy that failed: both deny whatever else was said.
fn refusal(request: &Request<'_>, answer: &Answer<'_>) -> Option<Verdict> {
    let (name, target) = (request.effect.name(), &request.resolved.target);
    if let Some(rule) = answer.forbids.first() {
        let because = rule.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
        let reason = format!("policy `{}` forbids {name} on {target}{because}", rule.id);
        let fix = format!("change the forbid at {}:{}, which wins over every grant", rule.file, rule.line);
        return Some(deny(answer.forbids.iter().map(|rule| rule.id.clone()).collect(), reason, fix));
    }
    let (rule, error) = answer.error.as_ref()?;
    let policy = rule.iter().map(|rule| rule.id.clone()).collect();
    let fix = match rule {
        Some(rule) => format!("correct the policy at {}:{}", rule.file, rule.line),
        None => "correct the request".to_owned(),
    };
    Some(deny(policy, format!("policy could not be evaluated for {name} on {target}: {error}"), fix))
}

fn permitted(permits: &[&Rule], reason: &str) -> Verdict {
    let limits = permits.iter().filter_map(|rule| {
        let limit = rule.limit?;
        Some(PolicyLimit { key: rule.id.clone(), count: limit.count, window_ms: limit.window_ms })
    });
    Verdict {
        decision: Decision::Allow,
        policy: permits.iter().map(|rule| rule.id.clone()).collect(),
        limits: limits.collect(),
        reason: reason.to_owned(),
        fix: String::new(),
    }
}

fn asking(permits: &[&Rule]) -> String {
    let rule = permits.iter().find(|rule| rule.ask);
    let because = rule.and_then(|rule| rule.reason.as_deref()).map_or_else(String::new, |why| format!(": {why}"));
    format!("policy `{}` wants a person's approval{because}", rule.map_or("", |rule| rule.id.as_str()))
}

fn allow(reason: &str) -> Verdict {
    permitted(&[], reason)
}

fn deny(policy: Vec<String>, reason: String, fix: String) -> Verdict {
    Verdict { decision: Decision::Deny, policy, limits: Vec::new(), reason, fix }
}
