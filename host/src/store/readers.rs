//! Reading: a few read-only connections that never wait for the writer.
//!
//! Each read runs on a blocking thread and sees the last commit. Deliberately not here: caching.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{Error, Result};

/// Reads at once. Lists are short; more would only keep the write-ahead log from being reset.
pub(super) const READS_MAX: usize = 4;
/// Prepared statements kept by each connection: more than there are.
pub(super) const STATEMENTS_MAX: usize = 128;

/// The pool.
pub(super) struct Readers {
    database: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    /// A pool over a database that exists.
    pub(super) fn new(database: PathBuf) -> Readers {
        Readers { database, idle: Arc::default(), turns: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Runs a read inside one transaction, so that several statements see the same state.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Error::Closed)?;
        let (idle, database) = (Arc::clone(&self.idle), self.database.clone());
        let read = move || {
            let _turn = turn;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| connect(&database), Ok)?;
            let transaction = connection.unchecked_transaction()?;
            let result = work(&transaction);
            transaction.finish()?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::Defect(format!("a read panicked: {error}")))?
    }
}

/// A connection that cannot write.
pub(super) fn connect(database: &std::path::Path) -> Result<Connection> {
    let connection =
        Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}
