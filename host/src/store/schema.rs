//! The tables, as a list of migrations that only ever grows.
//!
//! A file's `user_version` says how many of them it has; opening applies the rest, each in one transaction. A released
//! migration is never edited: a test holds the hash of each. Records are keyed by (run, number) in one tree, so that
//! reading a journal is one walk. Deliberately not here: foreign keys between what is pruned separately.

use rusqlite::Connection;

use super::{Error, Result};

/// All migrations, oldest first.
pub(super) const MIGRATIONS: &[&str] =
    &[RUNS, OPERATORS, BRAKES, VERIFICATION, QUESTIONS, DRIFT, PLANS, BACKTESTS, LLM, SCHEDULES, TRACES, OUTBOX];

/// Alerts, runs, journals, brakes and memory.
const RUNS: &str = "
CREATE TABLE episodes (
    seq INTEGER PRIMARY KEY,         -- order of beginning, whatever the clock did
    id TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    starts_at INTEGER NOT NULL,      -- earliest start it was heard with
    starts_latest INTEGER NOT NULL,  -- latest start it was heard with
    heard_firing INTEGER NOT NULL,   -- last heard firing while it was open
    first_heard INTEGER NOT NULL,
    last_heard INTEGER NOT NULL,
    count INTEGER NOT NULL,
    resolved_at INTEGER,
    ends_at INTEGER,                 -- as the sender says
    superseded INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL,
    matched TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    outcome TEXT
) STRICT;
CREATE INDEX episodes_fingerprint ON episodes (fingerprint, seq);
CREATE INDEX episodes_heard ON episodes (first_heard, id);
CREATE INDEX episodes_open ON episodes (first_heard, id) WHERE resolved_at IS NULL;
CREATE INDEX episodes_resolved ON episodes (resolved_at) WHERE resolved_at IS NOT NULL;

CREATE TABLE runs (
    id TEXT PRIMARY KEY NOT NULL,
    runbook TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    mode TEXT NOT NULL,
    stage TEXT NOT NULL,
    origin TEXT NOT NULL,
    trigger TEXT NOT NULL,
    episode TEXT,
    parameters TEXT NOT NULL,
    target_hint TEXT NOT NULL,
    target TEXT,
    target_key TEXT,                 -- host/name
    target_name TEXT,
    subject TEXT,
    priority INTEGER NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    outcome TEXT,
    sentence TEXT,
    verification TEXT,
    wake_at INTEGER,
    error TEXT,
    crashes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_at ON runs (at, id);
CREATE INDEX runs_state ON runs (state, at, id);
CREATE INDEX runs_runbook ON runs (runbook, at, id);
CREATE INDEX runs_target_key ON runs (target_key, at, id) WHERE target_key IS NOT NULL;
CREATE INDEX runs_target_name ON runs (target_name, at, id) WHERE target_name IS NOT NULL;
CREATE INDEX runs_episode ON runs (episode, at, id) WHERE episode IS NOT NULL;
CREATE INDEX runs_queued ON runs (priority DESC, at, id) WHERE state = 'queued';
CREATE INDEX runs_wake ON runs (wake_at) WHERE state = 'waiting' AND wake_at IS NOT NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE records (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    runbook TEXT NOT NULL,
    subject TEXT NOT NULL,
    host TEXT NOT NULL,
    effect TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_runbook_subject ON attempts (runbook, subject, at);
CREATE INDEX attempts_subject ON attempts (subject, at);
CREATE INDEX attempts_runbook ON attempts (runbook, at);
CREATE INDEX attempts_host ON attempts (host, at);
CREATE INDEX attempts_at ON attempts (at);
CREATE TABLE attempts_policy (
    policy TEXT NOT NULL,
    at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (policy, at, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_policy_at ON attempts_policy (at);

CREATE TABLE memory (
    runbook TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (runbook, key)
) STRICT, WITHOUT ROWID;
";

/// Versions, stages, questions, pauses, the stop switch and the audit.
const OPERATORS: &str = "
CREATE TABLE versions (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    origin TEXT NOT NULL,
    source TEXT NOT NULL,
    manifest TEXT NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    UNIQUE (name, digest),
    UNIQUE (name, version)
) STRICT;
CREATE TABLE packages (digest TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) STRICT;

CREATE TABLE stages (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    stage TEXT NOT NULL,
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX stages_version ON stages (name, digest, seq);

CREATE TABLE approvals (
    id TEXT PRIMARY KEY NOT NULL,
    run TEXT NOT NULL,
    slot INTEGER NOT NULL,
    runbook TEXT NOT NULL,
    effect TEXT NOT NULL,
    arguments TEXT NOT NULL,
    target TEXT,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decision TEXT,
    decided_by TEXT,
    decided_reason TEXT,
    decided_at INTEGER
) STRICT;
CREATE INDEX approvals_at ON approvals (at, id);
CREATE INDEX approvals_open ON approvals (at, id) WHERE decision IS NULL;
CREATE INDEX approvals_run ON approvals (run);

CREATE TABLE pauses (
    id TEXT PRIMARY KEY NOT NULL,
    selector TEXT NOT NULL,
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX pauses_until ON pauses (until);

CREATE TABLE stop (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at, seq);
";

/// Brakes that tripped, and alerts that joined a run. The queue is in memory, so its index only cost writes.
const BRAKES: &str = "
DROP INDEX runs_queued;

CREATE TABLE trips (
    id TEXT PRIMARY KEY NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,               -- what the scope counts, such as runbook and subject
    label TEXT NOT NULL,
    counted INTEGER NOT NULL,        -- when it tripped
    allowed INTEGER NOT NULL,
    window_ms INTEGER NOT NULL,
    run TEXT NOT NULL,
    runbook TEXT NOT NULL,
    subject TEXT NOT NULL,
    host TEXT NOT NULL,
    at INTEGER NOT NULL,
    rearmed_at INTEGER,
    rearmed_by TEXT,
    rearmed_reason TEXT,
    rearmed_attempt INTEGER          -- attempts up to it no longer count
) STRICT;
CREATE UNIQUE INDEX trips_open ON trips (scope, key) WHERE rearmed_at IS NULL;
CREATE INDEX trips_rearmed ON trips (scope, key, rearmed_attempt) WHERE rearmed_at IS NOT NULL;
CREATE INDEX trips_at ON trips (at, id);

CREATE TABLE joins (
    episode TEXT NOT NULL,
    run TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (episode, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX joins_run ON joins (run);
";

/// What came of acting.
const VERIFICATION: &str = "
ALTER TABLE runs ADD COLUMN acted_at INTEGER;          -- when it first changed the world
ALTER TABLE runs ADD COLUMN needless INTEGER NOT NULL DEFAULT 0; -- what it changed first was well before
ALTER TABLE runs ADD COLUMN verified_at INTEGER;       -- when its verification last changed
ALTER TABLE runs ADD COLUMN verify_until INTEGER;      -- until when it may still change; gone once it cannot
ALTER TABLE runs ADD COLUMN resolve_by INTEGER;        -- when its alert should have resolved
ALTER TABLE runs ADD COLUMN refire_until INTEGER;      -- until when the same alert firing again contradicts
ALTER TABLE runs ADD COLUMN verification_why TEXT;
CREATE INDEX runs_verifying ON runs (verify_until) WHERE verify_until IS NOT NULL;
CREATE INDEX runs_verified ON runs (runbook, finished_at) WHERE verified_at IS NOT NULL;
CREATE INDEX runs_acted ON runs (acted_at) WHERE acted_at IS NOT NULL;
";

/// What a question to a person shows, and what they may answer.
const QUESTIONS: &str = "
ALTER TABLE approvals ADD COLUMN kind TEXT NOT NULL DEFAULT 'approval';
ALTER TABLE approvals ADD COLUMN sentence TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN otherwise TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN options TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approvals ADD COLUMN answer TEXT;
";

/// What differs from the compose file it came from.
const DRIFT: &str = "
CREATE TABLE drifts (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    subject TEXT NOT NULL,
    container TEXT NOT NULL,
    instance TEXT NOT NULL,
    effect TEXT NOT NULL,
    change TEXT NOT NULL,            -- in a sentence
    run TEXT NOT NULL,
    slot INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX drifts_slot ON drifts (run, slot);
CREATE INDEX drifts_subject ON drifts (subject);
";

/// Plans, with the records of their rehearsals.
const PLANS: &str = "
CREATE TABLE plans (
    id TEXT PRIMARY KEY NOT NULL,
    runbook TEXT NOT NULL,
    digest TEXT NOT NULL,
    by TEXT NOT NULL,
    at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    view TEXT NOT NULL,
    records TEXT NOT NULL,
    applied TEXT                     -- the run that applied it
) STRICT;
CREATE INDEX plans_at ON plans (at, id);
";

/// What versions would have done about recorded alerts.
const BACKTESTS: &str = "
CREATE TABLE backtests (
    id TEXT PRIMARY KEY NOT NULL,
    runbook TEXT NOT NULL,
    digest TEXT NOT NULL,
    by TEXT NOT NULL,
    at INTEGER NOT NULL,
    view TEXT NOT NULL
) STRICT;
CREATE INDEX backtests_digest ON backtests (digest, at);
CREATE INDEX backtests_at ON backtests (at, id);
";

/// What the model took, one row a request.
const LLM: &str = "
CREATE TABLE llm_calls (
    id INTEGER PRIMARY KEY,
    run TEXT,
    purpose TEXT NOT NULL,
    at INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,      -- before it is answered the most it can take
    tokens_out INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL      -- billionths of the operator's currency
) STRICT;
CREATE INDEX llm_calls_at ON llm_calls (at);
CREATE INDEX llm_calls_run ON llm_calls (run) WHERE run IS NOT NULL;
";

/// Schedules with their times, and signatures of versions.
const SCHEDULES: &str = "
CREATE TABLE schedules (
    id INTEGER PRIMARY KEY,
    runbook TEXT NOT NULL,
    schedule TEXT NOT NULL,
    timezone TEXT NOT NULL,
    target TEXT NOT NULL,
    seen INTEGER NOT NULL,           -- everything due until then is settled
    UNIQUE (runbook, schedule, timezone, target)
) STRICT;
CREATE TABLE fires (
    schedule INTEGER NOT NULL,
    at INTEGER NOT NULL,             -- when it was due
    noticed INTEGER NOT NULL,
    result TEXT NOT NULL,
    why TEXT NOT NULL,
    run TEXT,
    PRIMARY KEY (schedule, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE signatures (
    digest TEXT NOT NULL,
    key_id TEXT NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,             -- when it was accepted
    by TEXT NOT NULL,
    PRIMARY KEY (digest, key_id)
) STRICT, WITHOUT ROWID;
";

/// What runs saw and did, and how episodes of one alert and of one log pattern are found.
const TRACES: &str = "
CREATE TABLE traces (
    run TEXT PRIMARY KEY NOT NULL,
    episode TEXT NOT NULL,
    at INTEGER NOT NULL,
    changes TEXT NOT NULL,
    logs TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_episode ON traces (episode, at, run);
CREATE TABLE log_patterns (
    pattern TEXT NOT NULL,           -- beginning of its hash
    at INTEGER NOT NULL,
    run TEXT NOT NULL,
    episode TEXT NOT NULL,
    PRIMARY KEY (pattern, at, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX log_patterns_run ON log_patterns (run);
CREATE INDEX episodes_name ON episodes (name, first_heard);
";

/// What people are to be told, and the messages of each channel.
const OUTBOX: &str = "
CREATE TABLE notices (
    id INTEGER PRIMARY KEY,
    once TEXT NOT NULL UNIQUE,
    notice TEXT NOT NULL
) STRICT;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    once TEXT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    event TEXT NOT NULL,
    message TEXT NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,             -- waiting, sent or dropped
    batch INTEGER,                   -- goes out together with that one
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL,            -- not before
    error TEXT,
    done_at INTEGER,
    opens TEXT                       -- the episode whose end ends the incident it opens
) STRICT;
CREATE INDEX outbox_waiting ON outbox (channel, id) WHERE state = 'waiting';
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX outbox_opens ON outbox (opens) WHERE opens IS NOT NULL;
";

/// Brings a file up to date. A crash leaves it at one of the versions in between.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::Newer { found, known });
    }
    let done = usize::try_from(found).map_err(|_| Error::Damaged(format!("schema version {found}")))?;
    for (index, migration) in migrations.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index).unwrap_or(i64::MAX - 1) + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
