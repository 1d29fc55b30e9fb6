//! A sentence becomes a plan, a question or a refusal.
//!
//! The order is the point: the sentence is judged before a model sees it; the model's script is checked and what it can
//! ask for compared with the sentence; then it is planned, and what it would change compared again. Only what passed all
//! of it is kept, as a version of origin `llm`; an apply runs it bounded by its plan. A model's own word can make a
//! question or a refusal out of a plan, never a plan out of those.
//!
//! Deliberately not here: applying. The plan is applied like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbook_core::effect::{Class, Effect};
use sandbook_core::run::{Outcome, Stage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::guard::{self, Stop};
use super::sentence::{Named, Sentence, Verdict};
use super::{Desk, Draft, Error, Seen, package, prompt};
use crate::library::Package;
use crate::library::difference::of_new;
use crate::llm::{Purpose, Request, Schema};
use crate::plan::{self, Plan};
use crate::runner::aim::Hint;

/// Characters of what a model says to a person.
const SAID_CHARS_MAX: usize = 500;
/// Tokens of an answer: a script of a page.
const ANSWER_TOKENS_MAX: u32 = 3_000;

/// What came of a sentence.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Asked {
    /// It can be reviewed and applied.
    Plan {
        /// The draft with its plan.
        draft: Box<Draft>,
    },
    /// The person should say more.
    Question {
        /// What.
        question: String,
        /// Containers that may be meant.
        candidates: Vec<String>,
        /// Who asks: `engine` or `model`.
        by: &'static str,
    },
    /// It is not done.
    Refusal {
        /// Why.
        reason: String,
        /// Who refuses: `engine` or `model`.
        by: &'static str,
    },
}

#[derive(Deserialize)]
struct Said {
    kind: Kind,
    say: String,
    target: String,
    script: String,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Plan,
    Question,
    Refusal,
}

/// What a round came to.
enum Round {
    Over(Asked),
    /// The model is told, and tries again.
    Again(Vec<String>),
}

impl Desk<'_> {
    /// Makes a plan, a question or a refusal of a sentence.
    ///
    /// # Errors
    /// When the sentence is no text, the model gives no answer, its draft is never sound, or Docker does not answer.
    pub async fn ask(&self, text: &str) -> Result<Asked, Error> {
        let sentence = Sentence::read(text).map_err(Error::Invalid)?;
        let containers = self.containers().await?;
        let named = sentence.names(&containers);
        match sentence.verdict() {
            Verdict::Go => {}
            Verdict::Question(question) => return Ok(question_of(question, &named)),
            Verdict::Refusal(reason) => return Ok(Asked::Refusal { reason, by: ENGINE }),
        }
        let shown: Vec<String> = containers.iter().map(|container| self.shown(container)).collect();
        let mut messages = prompt::ask(self.model, text, &shown);
        let mut problems = Vec::new();
        for round in 1..=self.settings.rounds {
            let schema = Schema { name: "asked".to_owned(), schema: prompt::ask_schema(), strict: true };
            let request = Request {
                schema: Some(schema),
                answer_tokens_max: ANSWER_TOKENS_MAX,
                ..Request::new(Purpose::Ask, messages.clone())
            };
            let answer = self.model.complete(request).await?.json.unwrap_or_default();
            match self.round(text, &sentence, &containers, &answer, round).await? {
                Round::Over(asked) => return Ok(asked),
                Round::Again(found) => {
                    messages.extend(prompt::again(self.model, &answer, &found));
                    problems = found;
                }
            }
        }
        Err(Error::Unsound { rounds: self.settings.rounds, problems })
    }

    async fn round(
        &self,
        text: &str,
        sentence: &Sentence,
        containers: &[Seen],
        answer: &Value,
        round: u32,
    ) -> Result<Round, Error> {
        let named = sentence.names(containers);
        let again = |problem: String| Ok(Round::Again(vec![problem]));
        let Ok(said) = serde_json::from_value::<Said>(answer.clone()) else {
            return again("the answer has another form than was asked for".to_owned());
        };
        match said.kind {
            Kind::Question => return Ok(Round::Over(asked_by_model(&said.say, &named))),
            Kind::Refusal => return Ok(Round::Over(Asked::Refusal { reason: bounded(&said.say), by: MODEL })),
            Kind::Plan => {}
        }
        let target = said.target.trim();
        if !target.is_empty() && !containers.iter().any(|seen| is_called(seen, target)) {
            return again(format!("there is no container {target:?}; `target` is one of the list, or empty"));
        }
        if said.script.len() > package::SCRIPT_BYTES_MAX {
            return again(format!("the script has more than {} bytes", package::SCRIPT_BYTES_MAX));
        }
        let package = match self.sound(text, &said.script, !target.is_empty()).await {
            Ok(package) => package,
            Err(problems) => return Ok(Round::Again(problems)),
        };
        if let Some(stop) = guard::of_code(sentence, &package.manifest.requests) {
            return Ok(Round::Over(stopped(stop, &named)));
        }
        if changes(&package) && !named.is_clear() {
            // Whichever the model chose: it is not the model that knows.
            let question = if named.containers.is_empty() {
                NO_NAME.to_owned()
            } else {
                format!("which one is meant: {}?", named.listed())
            };
            return Ok(Round::Over(question_of(question, &named)));
        }
        let package = Arc::new(package);
        let plan = self.planned(&package, target).await?;
        if plan.fault.is_some() || (plan.outcome == Outcome::Failed.name() && plan.place.is_some()) {
            let place = plan.place.as_ref().map(|place| format!("line {}: ", place.line)).unwrap_or_default();
            return again(format!("{place}{}", plan.fault.as_deref().unwrap_or(&plan.sentence)));
        }
        let most = usize::try_from(self.settings.containers).unwrap_or(usize::MAX);
        if let Some(stop) = guard::of_plan(&plan, &named, most) {
            return Ok(Round::Over(stopped(stop, &named)));
        }
        let uploaded = self.library.upload_draft(&package.to_tar(), self.by).await?;
        let draft = Draft {
            runbook: uploaded.name,
            version: uploaded.version,
            digest: uploaded.digest,
            stage: uploaded.stage.name().to_owned(),
            origin: package.origin.name().to_owned(),
            model: self.model.name(Purpose::Ask).to_owned(),
            rounds: round,
            power: super::power_of(&package),
            difference: of_new(&package),
            files: files_of(&package),
            scenarios: Vec::new(),
            plan: Some(plan),
            unplanned: None,
            needs: None,
        };
        Ok(Round::Over(Asked::Plan { draft: Box::new(draft) }))
    }

    /// The script as a package that requests what it uses, or what is wrong with it.
    async fn sound(&self, text: &str, script: &str, about_container: bool) -> Result<Package, Vec<String>> {
        let sandbox = &self.runner.parts().sandbox;
        let mut requests = Vec::new();
        // The first look tells which effects it uses, the second that nothing is wrong with asking for those.
        for _ in 0..2 {
            let files = package::asked(self.model.name(Purpose::Ask), text, script, about_container, &requests);
            let (package, _) = package::of(&files).map_err(|problems| package::told(&problems))?;
            let (problems, report) = package.examine(sandbox).await;
            let (missing, wrong): (Vec<_>, Vec<_>) = problems
                .into_iter()
                .filter(|problem| !problem.warning)
                .partition(|problem| problem.code == crate::library::UNREQUESTED);
            if !wrong.is_empty() {
                return Err(package::told(&wrong));
            }
            if missing.is_empty() {
                return Ok(package);
            }
            let needed = |name: &&String| Effect::find(name).is_some_and(|info| info.class.needs_request());
            requests = report.effects.iter().filter(needed).cloned().collect();
        }
        Err(vec!["what the script uses cannot be told".to_owned()])
    }

    async fn planned(&self, package: &Arc<Package>, target: &str) -> Result<Plan, Error> {
        let request = plan::Request {
            package: package.clone(),
            stage: Stage::Draft,
            hint: Hint { reference: Some(target.to_owned()).filter(|target| !target.is_empty()), ..Hint::default() },
            alert: None,
            episode: None,
            parameters: BTreeMap::new(),
            assumptions: Vec::new(),
            by: self.by.to_owned(),
            notify: false,
            to_apply: true,
        };
        Ok(self.planner.make(request).await?)
    }
}

const ENGINE: &str = "engine";
const MODEL: &str = "model";
const NO_NAME: &str = "the sentence names no container: which one is meant?";

fn changes(package: &Package) -> bool {
    let changes = |name: &String| Effect::find(name).is_none_or(|info| info.class == Class::Mutate);
    package.manifest.requests.iter().any(changes)
}

fn is_called(seen: &Seen, reference: &str) -> bool {
    reference == format!("{}/{}", seen.host, seen.name)
}

fn stopped(stop: Stop, named: &Named<'_>) -> Asked {
    match stop {
        Stop::Question(question) => question_of(question, named),
        Stop::Refusal(reason) => Asked::Refusal { reason, by: ENGINE },
    }
}

fn question_of(question: String, named: &Named<'_>) -> Asked {
    Asked::Question { question, candidates: candidates(named), by: ENGINE }
}

fn asked_by_model(say: &str, named: &Named<'_>) -> Asked {
    Asked::Question { question: bounded(say), candidates: candidates(named), by: MODEL }
}

fn candidates(named: &Named<'_>) -> Vec<String> {
    named.containers.iter().take(10).map(|seen| format!("{}/{}", seen.host, seen.name)).collect()
}

/// A model's words to a person: on one line, and not many.
fn bounded(say: &str) -> String {
    let said: String = say.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect();
    let said = said.trim().to_owned();
    if said.is_empty() { "no reason was given".to_owned() } else { said }
}

/// The files of a package that are text.
pub(super) fn files_of(package: &Package) -> Vec<super::File> {
    let file = |(name, content): &(String, Vec<u8>)| super::File {
        name: name.clone(),
        text: String::from_utf8_lossy(content).into_owned(),
    };
    package.files.iter().map(file).collect()
}
