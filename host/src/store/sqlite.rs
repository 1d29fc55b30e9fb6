//! The embedded store: SQLite with a write-ahead log, one writer that commits many writes at once, a few readers.
//!
//! Invariant: a write is taken from the caller only together with its place in the queue, so a caller that stops
//! waiting has either written nothing or all. Deliberately not here: what each call does; see the modules beside.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc};

use super::dir::DataDir;
use super::journal::{Held, HeldRun};
use super::readers::{Readers, STATEMENTS_MAX};
use super::schema::{MIGRATIONS, migrate};
use super::writer::{Gauge, Tx, WRITES_QUEUED_MAX, Write, Writer, write};
use super::{Error, Event, Result};

/// Events kept for a slow observer. A record can have a megabyte, so few; who misses some reads them from disk.
pub const EVENTS_MAX: usize = 256;
/// Pages of the write-ahead log (4 KiB each) before it is copied back. A page that is written again and again is copied
/// once: measured, eight times SQLite's default saves a tenth of the writer's time, and 32 MiB are read in 50 ms.
const CHECKPOINT_PAGES: u32 = 8_000;
/// Pages the writer keeps in memory, in KiB: the ends of every index of a busy day.
const CACHE_KIB: i32 = 8_192;
/// How large the write-ahead log stays after it was copied back.
const WAL_BYTES_MAX: u32 = 64 << 20;

/// SQLite in a data directory.
pub struct Sqlite {
    /// Gone only while it is dropped.
    queue: Option<mpsc::Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
    pub(super) readers: Readers,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) gauge: Arc<Gauge>,
    pub(super) held: Held,
    pub(super) audited: Arc<super::audit::Known>,
    /// Declared last of what uses it: unlocked when all else is gone.
    pub(super) dir: DataDir,
    _temporary: Option<tempfile::TempDir>,
}

/// How hard a commit is pushed to the disk.
#[derive(Clone, Copy)]
enum Sync {
    Full,
    Off,
}

impl Sqlite {
    /// Opens the store in a directory, which is created (0700) if missing and locked until this is dropped. Files of
    /// older versions are brought up to date.
    ///
    /// # Errors
    /// [`Error::Locked`] when another daemon has it, [`Error::Newer`], [`Error::ReadOnly`], [`Error::Full`],
    /// [`Error::Damaged`].
    pub fn open(dir: &Path) -> Result<Sqlite> {
        Self::start(DataDir::open(dir)?, Sync::Full, None)
    }

    /// A store that is gone when dropped, for tests and benches: the same code over a temporary directory, without
    /// waiting for a disk.
    ///
    /// # Errors
    /// When no temporary directory can be made.
    pub fn in_memory() -> Result<Sqlite> {
        let temporary = tempfile::tempdir().map_err(|error| Error::io(&std::env::temp_dir(), &error))?;
        Self::start(DataDir::open(temporary.path())?, Sync::Off, Some(temporary))
    }

    fn start(dir: DataDir, sync: Sync, temporary: Option<tempfile::TempDir>) -> Result<Sqlite> {
        let sql = connect(&dir.database, sync)?;
        let (queue, waiting) = mpsc::channel(WRITES_QUEUED_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let gauge = Arc::new(Gauge::default());
        let writer = Writer { sql, queue: waiting, events: events.clone(), gauge: Arc::clone(&gauge) };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::io(&dir.database, &error))?;
        Ok(Sqlite {
            queue: Some(queue),
            thread: Some(thread),
            readers: Readers::new(dir.database.clone()),
            events,
            gauge,
            held: Held::default(),
            audited: Arc::default(),
            dir,
            _temporary: temporary,
        })
    }

    fn queue(&self) -> Result<&mpsc::Sender<Box<dyn Write>>> {
        self.queue.as_ref().ok_or(Error::Closed)
    }

    /// Writes that wait.
    pub(super) fn writes_queued(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| (queue.max_capacity() - queue.capacity()) as u64)
    }

    /// Does a write and waits until it is on disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.queue()?.reserve().await.map_err(|_| Error::Closed)?;
        let (call, answer) = write(work);
        place.send(call);
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Does a write about a run, after whatever was held back of its journal.
    pub(super) async fn write_run<T: Send + 'static>(
        &self,
        run: String,
        work: impl FnOnce(&mut Tx<'_>, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let after = move |tx: &mut Tx<'_>, run: &str, held: Option<HeldRun>| {
            if let Some(held) = held {
                held.write(tx, run)?;
            }
            work(tx, run)
        };
        self.write_held(run, after).await
    }

    /// The same for work that writes what was held back itself, first of all.
    pub(super) async fn write_held<T: Send + 'static>(
        &self,
        run: String,
        work: impl FnOnce(&mut Tx<'_>, &str, Option<HeldRun>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.queue()?.reserve().await.map_err(|_| Error::Closed)?;
        let key = run.clone();
        let (held, answer) = self.held.release(&key, |held| {
            let some = held.is_some();
            let (call, answer) = write(move |tx| work(tx, &run, held));
            place.send(call);
            (some, answer)
        });
        let answer = answer.await.map_err(|_| Error::Closed)?;
        if held && answer.is_err() {
            self.held.lose(&key);
        }
        answer
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The writer ends when the queue has no sender; writes in it are still done, so this waits for a commit or two.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// The writer's connection.
fn connect(database: &Path, sync: Sync) -> Result<Connection> {
    let mut sql = Connection::open(database)?;
    let mode: String = sql.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::ReadOnly(format!("{}: no write-ahead log, journal mode {mode}", database.display())));
    }
    let synchronous = match sync {
        Sync::Full => "FULL",
        Sync::Off => "OFF",
    };
    sql.pragma_update(None, "synchronous", synchronous)?;
    sql.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    sql.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
    sql.pragma_update(None, "cache_size", -CACHE_KIB)?;
    sql.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    migrate(&mut sql, MIGRATIONS)?;
    Ok(sql)
}
