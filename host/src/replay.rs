//! Replays: a recorded run executed again from its journal alone, and what another version would have done in it.
//!
//! The same version must ask for the same and end the same, on any machine: no Docker, no policy, no clock is asked
//! ([`crate::runner::replay`]). Another version may differ; from there on it goes on over a simulated world made of what
//! the journal says of the real one ([`other`]). A journal leaves the daemon as one file with its package ([`export`]).
//!
//! Deliberately not here: HTTP, and how a replay looks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sandbook_core::journal::{self, Header, Record, Request};
use sandbook_core::run::{Mode, Outcome};
use sandbook_core::world::World;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::clock::Virtual;
use crate::guest::Sandbox;
use crate::library::Package;
use crate::plan::EffectView;
use crate::policy::{Policy, load::Source};
use crate::runner::drivers::Simulated;
use crate::runner::replay::{Again, Recording};
use crate::runner::{Brakes, Parts};
use crate::store::Sqlite;

pub mod export;
mod other;
pub mod past;

/// How long a replay may take: somebody waits for it, and a request is answered within half a minute.
pub const WITHIN: Duration = Duration::from_secs(25);
/// Replays at once: each holds a guest's memory.
pub const AT_ONCE_MAX: usize = 4;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// Why nothing can be replayed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("nothing is recorded of it: it ended before its runbook began")]
    Nothing,
    #[error("its journal cannot be read: {0}")]
    Journal(#[from] journal::Error),
    #[error("the replay is not done within {} s", WITHIN.as_secs())]
    TookTooLong,
}

/// What a replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The same effects, the same end.
    Equal,
    /// The same as far as it is recorded; the run is not over, or was ended from outside.
    EqualSoFar,
    /// Something else from a slot on.
    Diverges,
}

/// A version of a runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ReplayVersion)]
pub struct Version {
    pub runbook: String,
    pub version: String,
    pub digest: String,
}

/// An effect as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Asked {
    pub effect: String,
    /// In the shapes of the guest contract.
    #[schema(value_type = Object)]
    pub arguments: Value,
}

/// Where it differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Differs {
    /// From this slot on.
    pub slot: u32,
    /// What is recorded there; absent where the run asked for nothing more.
    pub recorded: Option<Asked>,
    /// What the replay asks for; absent where it ends.
    pub asked: Option<Asked>,
    /// In a sentence.
    pub why: String,
}

/// A replay as everybody sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replay {
    /// The run.
    pub run: String,
    /// What was recorded.
    pub recorded: Version,
    /// What was executed.
    pub with: Version,
    pub verdict: Verdict,
    /// How many recorded answers it got.
    pub slots: u32,
    /// What it came to; absent when the record ends first.
    pub outcome: Option<String>,
    /// In its own words.
    pub sentence: Option<String>,
    /// Absent when it is equal.
    pub diverges: Option<Differs>,
    /// What another version would have done from there on: its changes and messages, over a simulated world.
    pub would: Vec<EffectView>,
    /// Answers from there on that are assumed, because nothing of the kind is recorded.
    pub assumed: u32,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

fn version(header: &Header) -> Version {
    Version { runbook: header.runbook.clone(), version: header.version.clone(), digest: header.digest.clone() }
}

impl From<Request> for Asked {
    fn from(request: Request) -> Asked {
        Asked { effect: request.effect, arguments: request.arguments }
    }
}

/// Executes a package over a run's records.
///
/// # Errors
/// When nothing is recorded, the records are no journal, or it takes too long.
pub async fn replay(parts: &Parts, package: &Package, records: Vec<Record>) -> Result<Replay, Error> {
    if records.is_empty() {
        return Err(Error::Nothing);
    }
    let recording = Recording::of(records)?;
    let replayed = async {
        // The semaphore is never closed; without a place there would be no bound.
        let _place = PLACES.acquire().await;
        replayed(parts, package, &recording).await
    };
    tokio::time::timeout(WITHIN, replayed).await.map_err(|_| Error::TookTooLong)
}

async fn replayed(parts: &Parts, package: &Package, recording: &Recording) -> Replay {
    let began = Instant::now();
    let recorded = recording.header();
    let same = recorded.digest == package.digest;
    let header = if same { recorded.clone() } else { other::header(parts, package, &recorded) };
    let again = recording.again(&parts.sandbox, package, header.clone()).await;
    let mut replay = view(&recorded, &header, recording, &again);
    if let (Some(differs), false) = (&again.divergence, same) {
        let on = other::go_on(parts, package, recording, header, differs.slot).await;
        (replay.outcome, replay.sentence) = (Some(on.outcome.name().to_owned()), Some(on.sentence));
        (replay.would, replay.assumed) = (on.would, on.assumed);
    }
    replay.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    replay
}

fn view(recorded: &Header, with: &Header, recording: &Recording, again: &Again) -> Replay {
    let verdict = match (&again.divergence, &again.ended, &recording.end) {
        (Some(_), _, _) => Verdict::Diverges,
        (None, Some(_), Some(_)) => Verdict::Equal,
        // What a person, a time or the gate ended is over, and equal up to its last record.
        (None, None, Some(_)) => Verdict::Equal,
        (None, Some(_) | None, None) => Verdict::EqualSoFar,
    };
    let end = recording.end.as_ref();
    let ended = again.ended.clone().map(|(outcome, sentence)| (Some(outcome), sentence));
    let ended = ended.or_else(|| {
        let end = end.filter(|_| again.divergence.is_none())?;
        Some((end.outcome, end.sentence.clone()))
    });
    let (outcome, sentence) = ended.map_or((None, None), |(outcome, sentence)| (outcome, Some(sentence)));
    Replay {
        run: recorded.run.clone(),
        recorded: version(recorded),
        with: version(with),
        verdict,
        slots: again.slots,
        outcome: outcome.map(|outcome: Outcome| outcome.name().to_owned()),
        sentence,
        diverges: again.divergence.clone().map(|differs| Differs {
            slot: differs.slot,
            recorded: differs.recorded.map(Asked::from),
            asked: differs.asked.map(Asked::from),
            why: reason(differs.why, recorded, with),
        }),
        would: Vec::new(),
        assumed: 0,
        took_ms: 0,
    }
}

/// The same code in another interpreter may do something else, and that is worth knowing.
fn reason(why: String, recorded: &Header, with: &Header) -> String {
    let here = with.interpreter.as_ref().map(|_| crate::runner::execute::interpreter_digest());
    match (&recorded.interpreter, here) {
        (Some(then), Some(now)) if *then != now => {
            format!("{why} (it was recorded with the interpreter {then}, and this is {now})")
        }
        (_, _) => why,
    }
}

/// The parts of a replay without a daemon: everything is permitted, nothing is real and nothing is kept.
///
/// # Errors
/// When no temporary folder can be made.
pub fn alone(sandbox: Arc<Sandbox>) -> anyhow::Result<Arc<Parts>> {
    let source = Source { file: "replay".to_owned(), text: EVERYTHING.to_owned() };
    let policy = Policy::from_sources(&[source], false)
        .map_err(|problems| anyhow::anyhow!("the policy of a replay is none: {problems:?}"))?
        .with_egress(Box::new(|_, _| true));
    let world = Arc::new(Mutex::new(World::new(0)));
    Ok(Parts::new(
        Arc::new(Sqlite::in_memory()?),
        sandbox,
        Arc::new(Simulated(world.clone())),
        Arc::new(Virtual(world)),
        Arc::default(),
        Mode::Simulate,
        crate::config::Limits::default(),
        Brakes::default(),
        policy,
    ))
}

/// Without a daemon nobody knows what its operator permits.
const EVERYTHING: &str = "@id(\"replay\") permit (principal, action in Action::\"mutate\", resource);";
