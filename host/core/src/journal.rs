//! What is recorded of a run, and which records may follow which.
//!
//! A journal is a list of [`Record`]s: the header, then what happened to each slot, notes between them, and the end.
//! One effect takes one slot. [`Journal::append`] is the only way to grow one, and [`next`] is the whole law of what
//! may follow what; anything else is [`Error`].
//!
//! Deliberately not here: storing (the host's store) and deciding ([`crate::gate`]). Recorded values are data: no
//! secrets, no handles, no error types of ours.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error;
use crate::run::{Certainty, Decision, Outcome, State};
use crate::target::{Resolved, Target};

/// Version of the journal's format; golden files of every released one must still fold.
pub const FORMAT: u32 = 1;

mod header;

pub use header::{Act, AlertInput, Bound, Header, Limits};

/// An effect as asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Name.
    pub effect: String,
    /// In the shapes of the guest contract.
    pub arguments: Value,
}

/// What an effect answered. Serialises as `{"ok": …}` or `{"error": {"kind", "message"}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It worked.
    Ok(Value),
    /// It did not; the guest sees exactly this.
    Error(error::Error),
}

impl From<Result<Value, error::Error>> for Answer {
    fn from(result: Result<Value, error::Error>) -> Answer {
        match result {
            Ok(value) => Answer::Ok(value),
            Err(error) => Answer::Error(error),
        }
    }
}

impl From<Answer> for Result<Value, error::Error> {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Ok(value) => Ok(value),
            Answer::Error(error) => Err(error),
        }
    }
}

/// One record. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Record {
    /// The header; always first.
    Begun { header: Box<Header> },
    /// A note of the runbook; takes no slot.
    Note { effect: String, data: Value, at: u64 },
    /// A person was asked.
    Asked {
        slot: u32,
        request: Request,
        resolved: Option<Box<Resolved>>,
        reason: String,
        policy: Vec<String>,
        /// Over effect, arguments and instance: what the answer is for. Empty in journals of before there was one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        digest: String,
        expires_at: u64,
        at: u64,
    },
    /// A person answered.
    Answered {
        slot: u32,
        approved: bool,
        by: String,
        reason: String,
        /// Which option, where there were some.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
        /// Nobody said so: the reason to ask went away.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        withdrawn: bool,
        at: u64,
    },
    /// The run waits for a time.
    Waiting { slot: u32, request: Request, until: u64, at: u64 },
    /// About to change the world. Durable before it does.
    Intended {
        slot: u32,
        request: Request,
        resolved: Option<Box<Resolved>>,
        attempt: u32,
        policy: Vec<String>,
        /// When it is certain that nothing of it can still happen.
        horizon_at: u64,
        at: u64,
        /// The same moment on the boot clock, which never jumps: the horizon has passed on both clocks or not at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_ms: Option<u64>,
    },
    /// A sub-step inside a slot: what recovery needs to know.
    Step { slot: u32, data: Value, at: u64 },
    /// The slot's answer. Carries the request when no earlier record of the slot does.
    Settled {
        slot: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Target>,
        decision: Decision,
        certainty: Certainty,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policy: Vec<String>,
        answer: Answer,
        at: u64,
    },
    /// The run's end; always last.
    Ended { state: State, outcome: Option<Outcome>, sentence: String, at: u64 },
}

impl Record {
    /// The word of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Record::Begun { .. } => "begun",
            Record::Note { .. } => "note",
            Record::Asked { .. } => "asked",
            Record::Answered { .. } => "answered",
            Record::Waiting { .. } => "waiting",
            Record::Intended { .. } => "intended",
            Record::Step { .. } => "step",
            Record::Settled { .. } => "settled",
            Record::Ended { .. } => "ended",
        }
    }

    /// The slot it is about.
    pub fn slot(&self) -> Option<u32> {
        match self {
            Record::Begun { .. } | Record::Note { .. } | Record::Ended { .. } => None,
            Record::Asked { slot, .. }
            | Record::Answered { slot, .. }
            | Record::Waiting { slot, .. }
            | Record::Intended { slot, .. }
            | Record::Step { slot, .. }
            | Record::Settled { slot, .. } => Some(*slot),
        }
    }

    /// Near enough to its bytes on disk: the parts that can grow, and a constant for the rest.
    pub fn bytes(&self) -> u64 {
        let request = |request: &Request| value_bytes(&request.arguments);
        256 + match self {
            Record::Note { data, .. } | Record::Step { data, .. } => value_bytes(data),
            Record::Asked { request: asked, .. }
            | Record::Waiting { request: asked, .. }
            | Record::Intended { request: asked, .. } => request(asked),
            Record::Settled { request: asked, answer, .. } => {
                let answer = match answer {
                    Answer::Ok(value) => value_bytes(value),
                    Answer::Error(error) => error.message.len() as u64,
                };
                answer + asked.as_ref().map_or(0, request)
            }
            Record::Begun { .. } | Record::Answered { .. } | Record::Ended { .. } => 0,
        }
    }

    /// When, in milliseconds since 1970.
    pub fn at(&self) -> u64 {
        match self {
            Record::Begun { header } => header.at,
            Record::Note { at, .. }
            | Record::Asked { at, .. }
            | Record::Answered { at, .. }
            | Record::Waiting { at, .. }
            | Record::Intended { at, .. }
            | Record::Step { at, .. }
            | Record::Settled { at, .. }
            | Record::Ended { at, .. } => *at,
        }
    }
}

/// About how many bytes a value has as JSON.
pub fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() as u64 + 2,
        Value::Array(items) => items.iter().map(|item| value_bytes(item) + 1).sum::<u64>() + 2,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() as u64 + 4 + value_bytes(value)).sum::<u64>() + 2,
    }
}

/// Where a slot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum SlotState {
    Vacant,
    Asked,
    Answered,
    Waiting,
    Intended,
    Step,
    Settled,
}

/// The whole law: where a slot stands after a record, or that the record may not come now.
pub fn next(state: SlotState, record: &Record) -> Result<SlotState, Error> {
    use SlotState::{Answered, Asked, Intended, Settled, Step, Vacant, Waiting};
    let illegal = || Err(Error::Illegal { kind: record.kind(), slot: record.slot(), after: state });
    match (state, record) {
        (Vacant | Answered, Record::Asked { .. }) => Ok(Asked),
        (Asked, Record::Answered { .. }) => Ok(Answered),
        (Vacant | Waiting, Record::Waiting { .. }) => Ok(Waiting),
        // A second intent is a further attempt after a look proved that the first did nothing.
        (Vacant | Answered | Intended | Step, Record::Intended { .. }) => Ok(Intended),
        (Intended | Step, Record::Step { .. }) => Ok(Step),
        (Vacant | Asked | Answered | Waiting | Intended | Step, Record::Settled { .. }) => Ok(Settled),
        (Asked | Waiting | Intended | Step | Settled, Record::Asked { .. })
        | (Vacant | Answered | Waiting | Intended | Step | Settled, Record::Answered { .. })
        | (Asked | Answered | Intended | Step | Settled, Record::Waiting { .. })
        | (Asked | Waiting | Settled, Record::Intended { .. })
        | (Vacant | Asked | Answered | Waiting | Settled, Record::Step { .. })
        | (Settled, Record::Settled { .. })
        | (
            Vacant | Asked | Answered | Waiting | Intended | Step | Settled,
            Record::Begun { .. } | Record::Note { .. } | Record::Ended { .. },
        ) => illegal(),
    }
}

/// Why a record may not come now: a damaged journal or a bug, never a runbook's doing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("a record `{kind}` for slot {slot:?} may not follow {after:?}")]
    Illegal { kind: &'static str, slot: Option<u32>, after: SlotState },
    #[error("a journal begins with its header, found `{0}`")]
    NoHeader(&'static str),
    #[error("a second header")]
    SecondHeader,
    #[error("`{0}` after the end")]
    AfterEnd(&'static str),
    #[error("slot {found} where slot {expected} comes next")]
    Gap { found: u32, expected: u32 },
    #[error("slot {0} is settled without a request")]
    NoRequest(u32),
    #[error("format {found} is newer than {FORMAT}, the newest this version reads")]
    Format { found: u32 },
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Said {
    pub approved: bool,
    pub by: String,
    pub reason: String,
    /// Which option, where there were some.
    pub answer: Option<String>,
    pub withdrawn: bool,
}

/// One slot, folded.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Slot {
    pub state: SlotState,
    pub request: Request,
    pub resolved: Option<Box<Resolved>>,
    pub target: Option<Target>,
    pub decision: Option<Decision>,
    pub certainty: Option<Certainty>,
    pub policy: Vec<String>,
    pub reason: String,
    pub digest: String,
    pub said: Option<Said>,
    pub until: Option<u64>,
    pub expires_at: Option<u64>,
    pub horizon_at: Option<u64>,
    /// When its last attempt was intended, on both clocks.
    pub intended: Option<(u64, Option<u64>)>,
    pub attempt: u32,
    pub steps: Vec<Value>,
    pub answer: Option<Answer>,
    /// When its first record was written.
    pub began_at: u64,
    /// When its last record was written.
    pub at: u64,
}

/// A run's records, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// What it began with.
    pub header: Header,
    /// By number.
    pub slots: Vec<Slot>,
    /// How many notes are recorded: a replay emits the same ones again and skips that many.
    pub notes: u32,
    /// About how many bytes those notes have.
    pub notes_bytes: u64,
    /// About how many bytes all records have on disk.
    pub bytes: u64,
    /// Time of the last record: what WASI clocks show.
    pub now: u64,
    /// The end, once there is one.
    pub end: Option<(State, Option<Outcome>, String)>,
}

impl Journal {
    /// A journal of only its header.
    pub fn new(header: Header) -> Journal {
        let now = header.at;
        Journal { header, slots: Vec::new(), notes: 0, notes_bytes: 0, bytes: 0, now, end: None }
    }

    /// Folds records from the first on.
    pub fn fold(records: impl IntoIterator<Item = Record>) -> Result<Journal, Error> {
        let mut records = records.into_iter();
        let mut journal = match records.next() {
            Some(Record::Begun { header }) if header.format > FORMAT => {
                return Err(Error::Format { found: header.format });
            }
            Some(Record::Begun { header }) => Journal::new(*header),
            Some(other) => return Err(Error::NoHeader(other.kind())),
            None => return Err(Error::NoHeader("nothing")),
        };
        for record in records {
            journal.append(&record)?;
        }
        Ok(journal)
    }

    /// Takes one more record, if the law allows it.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        if self.end.is_some() {
            return Err(Error::AfterEnd(record.kind()));
        }
        match record {
            Record::Begun { .. } => return Err(Error::SecondHeader),
            Record::Note { data, .. } => {
                self.notes += 1;
                self.notes_bytes += value_bytes(data);
            }
            Record::Ended { state, outcome, sentence, .. } => self.end = Some((*state, *outcome, sentence.clone())),
            Record::Asked { slot, .. }
            | Record::Answered { slot, .. }
            | Record::Waiting { slot, .. }
            | Record::Intended { slot, .. }
            | Record::Step { slot, .. }
            | Record::Settled { slot, .. } => self.append_slot(*slot, record)?,
        }
        self.bytes += record.bytes();
        self.now = self.now.max(record.at());
        Ok(())
    }

    fn append_slot(&mut self, number: u32, record: &Record) -> Result<(), Error> {
        let expected = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        if number > expected {
            return Err(Error::Gap { found: number, expected });
        }
        let current = self.slots.get(number as usize).map_or(SlotState::Vacant, |slot| slot.state);
        let state = next(current, record)?;
        if number == expected {
            let request = request_of(record).ok_or(Error::NoRequest(number))?;
            self.slots.push(Slot::vacant(request.clone(), record.at()));
        }
        self.slots[number as usize].take(state, record);
        Ok(())
    }
}

fn request_of(record: &Record) -> Option<&Request> {
    match record {
        Record::Asked { request, .. } | Record::Waiting { request, .. } | Record::Intended { request, .. } => {
            Some(request)
        }
        Record::Settled { request, .. } => request.as_ref(),
        Record::Begun { .. }
        | Record::Note { .. }
        | Record::Answered { .. }
        | Record::Step { .. }
        | Record::Ended { .. } => None,
    }
}

impl Slot {
    fn vacant(request: Request, at: u64) -> Slot {
        Slot {
            state: SlotState::Vacant,
            request,
            resolved: None,
            target: None,
            decision: None,
            certainty: None,
            policy: Vec::new(),
            reason: String::new(),
            digest: String::new(),
            said: None,
            until: None,
            expires_at: None,
            horizon_at: None,
            intended: None,
            attempt: 0,
            steps: Vec::new(),
            answer: None,
            began_at: at,
            at,
        }
    }

    fn take(&mut self, state: SlotState, record: &Record) {
        self.state = state;
        self.at = record.at();
        match record {
            Record::Asked { resolved, reason, policy, digest, expires_at, .. } => {
                self.resolved.clone_from(resolved);
                self.target = resolved.as_ref().map(|resolved| resolved.target.clone());
                self.reason.clone_from(reason);
                self.policy.clone_from(policy);
                self.digest.clone_from(digest);
                self.expires_at = Some(*expires_at);
                self.said = None;
            }
            Record::Answered { approved, by, reason, answer, withdrawn, .. } => {
                self.said = Some(Said {
                    approved: *approved,
                    by: by.clone(),
                    reason: reason.clone(),
                    answer: answer.clone(),
                    withdrawn: *withdrawn,
                });
            }
            Record::Waiting { until, .. } => self.until = Some(*until),
            Record::Intended { resolved, attempt, policy, horizon_at, at, boot_ms, .. } => {
                self.intended = Some((*at, *boot_ms));
                // Sub-steps belong to one attempt.
                self.steps.clear();
                self.resolved.clone_from(resolved);
                self.target = resolved.as_ref().map(|resolved| resolved.target.clone());
                self.attempt = *attempt;
                self.policy.clone_from(policy);
                self.horizon_at = Some(*horizon_at);
                self.steps.clear();
            }
            Record::Step { data, .. } => self.steps.push(data.clone()),
            Record::Settled { target, decision, certainty, policy, answer, .. } => {
                if target.is_some() {
                    self.target.clone_from(target);
                }
                if !policy.is_empty() {
                    self.policy.clone_from(policy);
                }
                self.decision = Some(*decision);
                self.certainty = Some(*certainty);
                self.answer = Some(answer.clone());
            }
            Record::Begun { .. } | Record::Note { .. } | Record::Ended { .. } => {}
        }
    }
}
