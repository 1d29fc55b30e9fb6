//! The model: one client over any OpenAI-compatible endpoint, for `llm` effects and for drafts.
//!
//! [`Model::complete`] is the whole of it. What goes out is free of secrets, what comes back is bounded and, where a
//! schema was given, fits it; every request to the server is counted against the budgets before it is sent and corrected
//! by what the server counted. A refused dialect (structured answers, streaming, a parameter) is given up for a plainer
//! one and remembered. Retries, waits and the one repair all happen inside one deadline.
//!
//! The protocol's types are those of `async-openai`; the wire is our own, because a whole answer must never be in
//! memory before its size is known, nor a server's words (which can repeat the key) in the log.
//!
//! Deliberately not here: what is asked and what an answer may lead to. An answer is data: nothing in this module, and
//! nothing it returns, can permit anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandbook_core::error::Error;
use serde_json::{Value, json};
use tokio::time::Instant;

mod budget;
mod dialect;
mod fault;
pub mod hygiene;
mod settings;
mod shape;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub use budget::Usage;
pub use fault::{Fault, Reason};
pub use settings::{Ceiling, Price, Settings};

use crate::driver::redact::Secrets;
use crate::metrics::Metrics;
use crate::store::Store;
use budget::{Budget, Spending};
use dialect::Dialect;
use hygiene::Hygiene;
use wire::{Trouble, Wire};

/// Bytes of one answer's text when a request names no other bound: what a page of prose or a whole script needs.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Tokens of one answer when a request names no other bound.
pub const ANSWER_TOKENS_MAX: u32 = 2_048;
/// Bytes of an unusable answer shown to the model again for its one repair.
const REPAIR_BYTES_MAX: usize = 8 * 1024;
/// The first wait before a request is sent again; it doubles.
const BACKOFF_MS: u64 = 500;
/// The longest wait that the server did not ask for.
const BACKOFF_MS_MAX: u64 = 8_000;
/// How often observers are told while an answer comes.
const TOLD_EVERY: Duration = Duration::from_millis(250);
/// Plainer dialects tried for one request at the most: there are six things to give up.
const REFUSALS_MAX: u32 = 6;

/// What the model is asked for; a metric label, the name of an own model in `[llm.models]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// `llm.choose`.
    Choose,
    /// `llm.summarize`.
    Summarize,
    /// `llm.extract`.
    Extract,
    /// A draft of a runbook.
    Generate,
    /// A draft of a one-off command.
    Ask,
    /// An incident told in prose.
    Explain,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 6] =
        [Purpose::Choose, Purpose::Summarize, Purpose::Extract, Purpose::Generate, Purpose::Ask, Purpose::Explain];

    /// The word everywhere outside.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Choose => "choose",
            Purpose::Summarize => "summarize",
            Purpose::Extract => "extract",
            Purpose::Generate => "generate",
            Purpose::Ask => "ask",
            Purpose::Explain => "explain",
        }
    }
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The engine, about what is wanted.
    System,
    /// The engine, with the matter at hand.
    User,
    /// The model, earlier.
    Assistant,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: String,
}

impl Message {
    /// What is wanted.
    pub fn system(text: impl Into<String>) -> Message {
        Message { role: Role::System, text: text.into() }
    }
    /// The matter at hand.
    pub fn user(text: impl Into<String>) -> Message {
        Message { role: Role::User, text: text.into() }
    }
    /// What the model said earlier.
    pub fn assistant(text: impl Into<String>) -> Message {
        Message { role: Role::Assistant, text: text.into() }
    }
}

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// JSON Schema. Nothing outside it is ever fetched.
    pub schema: Value,
    /// It stays within what servers enforce strictly: every property required, none additional.
    pub strict: bool,
}

/// How far a request has come. Told often; only the latest matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It was sent, for the how many-th time (from 1).
    Asked(u32),
    /// It is sent again after that many milliseconds, and why.
    Waits(u64, String),
    /// So many bytes of the answer are here.
    Receiving(usize),
    /// The answer cannot be used as it is; the model is shown why, once.
    Repairs(String),
}

impl Progress {
    /// For observers. No word of the answer: that is shown when it is whole and was checked.
    fn told(&self) -> Value {
        match self {
            Progress::Asked(nth) => json!({"state": "asked", "request": nth}),
            Progress::Waits(ms, why) => json!({"state": "waits", "ms": ms, "why": why}),
            Progress::Receiving(bytes) => json!({"state": "receiving", "bytes": bytes}),
            Progress::Repairs(_) => json!({"state": "repairs"}),
        }
    }
}

/// Hears of progress. Called from the request's own task: quick, and no waiting.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// What is asked.
#[derive(Clone)]
pub struct Request {
    /// What for.
    pub purpose: Purpose,
    /// The run whose budget it counts for as well.
    pub run: Option<String>,
    /// In order; secrets are taken out of all of them before they leave.
    pub messages: Vec<Message>,
    /// What the answer must look like; absent: any text.
    pub schema: Option<Schema>,
    /// Tokens of the answer at the most.
    pub answer_tokens_max: u32,
    /// Bytes of the answer's text at the most.
    pub answer_bytes_max: usize,
    /// For all of it, waits and repair included; absent: the configured one.
    pub deadline: Option<Duration>,
    /// Who hears of progress.
    pub progress: Option<OnProgress>,
}

impl Request {
    /// A request with the usual bounds.
    pub fn new(purpose: Purpose, messages: Vec<Message>) -> Request {
        Request {
            purpose,
            run: None,
            messages,
            schema: None,
            answer_tokens_max: ANSWER_TOKENS_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
            deadline: None,
            progress: None,
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text as it came, without what reasoning models think aloud first.
    pub text: String,
    /// What it says in JSON; there exactly when a schema was given, and it fits that.
    pub json: Option<Value>,
    /// The model stopped because it had no more tokens.
    pub cut: bool,
    /// What it took, repairs and retries included.
    pub usage: Usage,
    /// Which model.
    pub model: String,
}

/// The configured model. Cheap to clone.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    settings: Settings,
    wire: Wire,
    budget: Budget,
    hygiene: Hygiene,
    metrics: Arc<Metrics>,
    secrets: Secrets,
    /// What each model's server turned out to accept.
    dialects: Mutex<BTreeMap<String, Dialect>>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Model {
    /// Connects to nothing yet. Errors: `invalid` for a URL or a pattern that is none.
    pub fn new(
        settings: Settings,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        secrets: Secrets,
    ) -> Result<Model, Error> {
        let wire = Wire::new(&settings, secrets.clone())?;
        let hygiene = Hygiene::new(&settings.redact, settings.redact_emails)?;
        let budget = Budget::new(&settings, store);
        let dialects = Mutex::default();
        Ok(Model(Arc::new(Inner { settings, wire, budget, hygiene, metrics, secrets, dialects })))
    }

    /// What is configured.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The model asked for that purpose.
    pub fn name(&self, purpose: Purpose) -> &str {
        self.0.settings.model_for(purpose)
    }

    /// Takes out of a text what must not leave, and selects what of it is worth its bytes.
    pub fn hygiene(&self) -> &Hygiene {
        &self.0.hygiene
    }

    /// What was spent since then, in milliseconds since 1970. Errors: `failed` when the store cannot be read.
    pub async fn spent(&self, since_ms: u64) -> Result<Usage, Error> {
        self.0.budget.spent(since_ms).await
    }

    /// Who tells the run's observers how far an answer has come: with every step, and some times a second while it comes.
    pub fn announcer(&self, run: &str, slot: u32, purpose: Purpose) -> OnProgress {
        let (inner, run) = (self.0.clone(), run.to_owned());
        let last: Mutex<Option<Instant>> = Mutex::default();
        Arc::new(move |progress| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let often = matches!(progress, Progress::Receiving(_));
            if often && last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
                return;
            }
            *last = Some(Instant::now());
            let mut told = progress.told();
            told["slot"] = slot.into();
            told["llm"] = purpose.name().into();
            inner.budget.announce(&run, told);
        })
    }

    /// A fallback was taken instead of an answer of the model.
    pub fn fell_back(&self, purpose: Purpose, reason: Reason) {
        self.0.metrics.llm.fell_back(purpose.name(), reason.name());
    }

    /// Asks the model. Errors: see [`Reason`]; messages hold no secret and no part of an answer.
    pub async fn complete(&self, request: Request) -> Result<Answer, Fault> {
        let began = Instant::now();
        let purpose = request.purpose;
        let deadline = request.deadline.unwrap_or(self.0.settings.timeout).min(self.0.settings.timeout);
        let mut call = Call::new(&self.0, request, began + deadline);
        let answer = match tokio::time::timeout_at(call.until, Box::pin(call.run())).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = format!("{} gave no whole answer within {deadline:?}", self.0.wire.place());
                Err(Fault::new(Reason::Timeout, message))
            }
        };
        let answer = answer.map_err(|fault| self.0.clean(fault));
        let word = answer.as_ref().err().map_or("ok", |fault| fault.reason.name());
        self.0.metrics.llm.called(purpose.name(), word, began.elapsed());
        answer
    }
}

impl Inner {
    fn dialect(&self, model: &str) -> Dialect {
        let dialects = self.dialects.lock().unwrap_or_else(PoisonError::into_inner);
        dialects.get(model).copied().unwrap_or_default()
    }

    /// Remembers what a refusal taught.
    fn learn(&self, model: &str, dialect: Dialect) {
        self.dialects.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned(), dialect);
    }

    /// Without what is known to be a secret, then without what looks like one.
    fn without_secrets(&self, mut text: String) -> String {
        crate::driver::redact::redact_text(&mut text, &self.secrets.all());
        self.hygiene.redact(&text)
    }

    fn clean(&self, fault: Fault) -> Fault {
        Fault { message: self.without_secrets(fault.message), ..fault }
    }
}

/// One request on its way, with what it took so far.
struct Call<'a> {
    inner: &'a Inner,
    request: Request,
    model: String,
    until: Instant,
    usage: Usage,
    asked: u32,
}

impl<'a> Call<'a> {
    fn new(inner: &'a Inner, mut request: Request, until: Instant) -> Call<'a> {
        for message in &mut request.messages {
            message.text = inner.without_secrets(std::mem::take(&mut message.text));
        }
        let model = inner.settings.model_for(request.purpose).to_owned();
        Call { inner, request, model, until, usage: Usage::default(), asked: 0 }
    }

    fn tell(&self, progress: Progress) {
        if let Some(hears) = &self.request.progress {
            hears(progress);
        }
    }

    async fn run(&mut self) -> Result<Answer, Fault> {
        let reply = self.ask().await?;
        let Some(schema) = self.request.schema.clone() else { return Ok(self.answer(reply, None)) };
        let shape = shape::Shape::new(&schema.schema)?;
        let why = match shape.read(&reply.text) {
            Ok(value) => return Ok(self.answer(reply, Some(value))),
            Err(why) if reply.cut => format!("{why}; it ran out of its {} tokens", self.request.answer_tokens_max),
            Err(why) => why,
        };
        self.tell(Progress::Repairs(why.clone()));
        let (mut said, why) = (self.inner.without_secrets(reply.text), self.inner.without_secrets(why));
        sandbook_core::error::truncate_at_char(&mut said, REPAIR_BYTES_MAX);
        self.request.messages.push(Message::assistant(said));
        self.request.messages.push(Message::user(format!(
            "That answer cannot be used: {why}. Answer again with one JSON value that fits the schema, and nothing else."
        )));
        let reply = self.ask().await?;
        match shape.read(&reply.text) {
            Ok(value) => Ok(self.answer(reply, Some(value))),
            Err(again) => {
                let message = format!("{} answered twice with something else than was asked for: {again}", self.model);
                Err(Fault::new(Reason::Answer, message))
            }
        }
    }

    fn answer(&self, reply: wire::Reply, json: Option<Value>) -> Answer {
        Answer { text: reply.text, json, cut: reply.cut, usage: self.usage, model: self.model.clone() }
    }

    /// One answer, however many requests that takes.
    async fn ask(&mut self) -> Result<wire::Reply, Fault> {
        let (mut failures, mut refusals) = (0, 0);
        loop {
            let dialect = self.inner.dialect(&self.model);
            let trouble = match self.send(dialect).await? {
                Ok(reply) => return Ok(reply),
                Err(trouble) => trouble,
            };
            if let Trouble::Status { code: 400 | 404 | 422 | 501, message, .. } = &trouble
                && refusals < REFUSALS_MAX
                && let Some(plainer) = dialect.plainer(message, self.request.schema.is_some())
            {
                refusals += 1;
                self.inner.learn(&self.model, plainer);
                continue;
            }
            failures += 1;
            let Some(wait) = self.wait(&trouble, failures) else { return Err(trouble.fault(self.inner.wire.place())) };
            if Instant::now() + wait >= self.until {
                let mut fault = trouble.fault(self.inner.wire.place());
                fault.message.push_str("; there is no time left to ask again");
                return Err(fault);
            }
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.tell(Progress::Waits(ms, self.inner.clean(trouble.fault(self.inner.wire.place())).message));
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait before the next request; `None`: it makes no sense to send it again, or it was sent often enough.
    fn wait(&self, trouble: &Trouble, failures: u32) -> Option<Duration> {
        let asked_to = match trouble {
            Trouble::Status { code: 429 | 500..=599, retry_after, .. } => *retry_after,
            Trouble::Lost(_) | Trouble::Torn => None,
            Trouble::Status { .. } | Trouble::TooLong(_) | Trouble::Nonsense(_) | Trouble::Key(_) => return None,
        };
        if failures >= self.inner.settings.attempts {
            return None;
        }
        let usual = BACKOFF_MS.saturating_mul(1 << (failures - 1).min(16)).min(BACKOFF_MS_MAX);
        // Many runs that were refused together must not come back together.
        let jitter = getrandom::u64().unwrap_or_default() % (usual / 2);
        Some(asked_to.unwrap_or_else(|| Duration::from_millis(usual / 2 + jitter)))
    }

    /// One request to the server, counted.
    async fn send(&mut self, dialect: Dialect) -> Result<Result<wire::Reply, Trouble>, Fault> {
        let body = dialect.body(&self.model, &self.request)?;
        let reserved = Spending {
            purpose: self.request.purpose,
            run: self.request.run.as_deref(),
            model: &self.model,
            tokens_in: budget::estimate(body.len()),
            tokens_out: u64::from(self.request.answer_tokens_max),
        };
        let place = self.inner.budget.reserve(&reserved).await?;
        self.asked += 1;
        self.tell(Progress::Asked(self.asked));
        let progress = self.request.progress.clone();
        let hears = move |bytes: usize| {
            if let Some(hears) = &progress {
                hears(Progress::Receiving(bytes));
            }
        };
        let reply = self.inner.wire.post(body, self.request.answer_bytes_max, &hears).await;
        // What the server does not count is what was reserved for the question, and a guess of the answer.
        let (tokens_in, tokens_out) = match &reply {
            Ok(reply) => (
                reply.tokens_in.unwrap_or(reserved.tokens_in),
                reply.tokens_out.unwrap_or_else(|| budget::estimate(reply.text.len())),
            ),
            Err(Trouble::Status { .. } | Trouble::Key(_)) => (0, 0),
            Err(Trouble::Lost(_) | Trouble::Torn | Trouble::TooLong(_) | Trouble::Nonsense(_)) => {
                (reserved.tokens_in, 0)
            }
        };
        let usage = place.settle(tokens_in, tokens_out).await?;
        self.usage.add(usage);
        self.inner.metrics.llm.spent(self.request.purpose.name(), usage);
        Ok(reply)
    }
}
