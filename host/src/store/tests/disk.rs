//! Crashes, locks, full and read-only disks, old files, and many writes in one commit.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;

#[tokio::test]
async fn many_writers_share_commits() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Arc::new(open(&dir));
    let accepts = (0..1_000).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.accept(vec![incoming(Status::Firing, &format!("f{n}"), T, T)]).await })
    });
    for accept in futures::future::join_all(accepts).await {
        assert_eq!(accept.expect("joined").expect("accepted")[0].kind, AcceptedKind::New);
    }
    let stats = store.stats();
    assert_eq!((stats.writes, stats.queued), (1_000, 0));
    assert!(stats.commits < 300, "{} commits", stats.commits);
    assert_eq!(stats.commit_ms.iter().sum::<u64>(), stats.commits);
}

#[tokio::test]
async fn a_write_that_fails_or_panics_spares_its_neighbours() {
    let store = Arc::new(memory());
    let mut events = store.subscribe();
    // The first write keeps the writer busy until all others are in the queue.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let busy = store.write(move |_| wait.recv().map_err(|_| Error::Closed));
    let one = store.create_run(new_run("r_1"));
    let torn = store.write(|tx| {
        runs::create(tx, &new_run("r_torn"))?;
        runs::create(tx, &new_run("r_torn"))
    });
    let panicking = store.write(|tx| -> Result<()> {
        runs::create(tx, &new_run("r_panicked"))?;
        panic!("on purpose")
    });
    let two = store.create_run(new_run("r_2"));
    let commits = store.stats().commits;
    let release = async {
        tokio::task::yield_now().await;
        go.send(()).expect("the writer waits");
    };
    let (busy, one, torn, panicking, two, ()) = tokio::join!(busy, one, torn, panicking, two, release);
    assert!(busy.is_ok() && one.is_ok() && two.is_ok());
    assert!(matches!(torn, Err(Error::Database(_))));
    assert!(matches!(panicking, Err(Error::Defect(_))));
    assert!(store.stats().commits - commits <= 2);
    let ids: Vec<String> = store.queued(9).await.expect("listed").into_iter().map(|run| run.id).collect();
    assert_eq!(ids, ["r_1", "r_2"]);
    let heard: Vec<String> = std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.run).collect();
    assert_eq!(heard, ["r_1", "r_2"]);
    // Alone in a commit as well.
    assert!(store.create_run(new_run("r_1")).await.is_err());
    store.create_run(new_run("r_3")).await.expect("created");
    assert_eq!(store.health(), Health { ok: true, last_error: None, queued: 0 });
}

#[tokio::test]
async fn what_was_answered_survives_a_crash_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = tempfile::tempdir().expect("a directory");
    let store = open(&dir);
    store.create_run(new_run("r")).await.expect("created");
    store.append("r", vec![note("durable")], true).await.expect("appended");
    store.append("r", vec![note("held")], false).await.expect("held");
    // What a power cut would leave: the files as they are now, the log included.
    for file in ["sandbook.db", "sandbook.db-wal"] {
        std::fs::copy(dir.path().join(file), copy.path().join(file)).expect("copied");
    }
    let crashed = open(&copy);
    assert_eq!(crashed.records("r").await.expect("read"), [note("durable")]);
    drop(store);
    assert_eq!(open(&dir).records("r").await.expect("read"), [note("durable")]);
}

#[tokio::test]
async fn a_log_cut_anywhere_leaves_a_beginning() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir);
    store.create_run(new_run("r")).await.expect("created");
    for n in 0..20 {
        store.append("r", vec![note(&format!("{n} a")), note(&format!("{n} b"))], true).await.expect("appended");
    }
    let log = std::fs::read(dir.path().join("sandbook.db-wal")).expect("a log");
    let mut lengths = std::collections::BTreeSet::new();
    for cut in (0..log.len()).rev().step_by(2_500).take(60) {
        let copy = tempfile::tempdir().expect("a directory");
        std::fs::copy(dir.path().join("sandbook.db"), copy.path().join("sandbook.db")).expect("copied");
        std::fs::write(copy.path().join("sandbook.db-wal"), &log[..cut]).expect("written");
        let records = open(&copy).records_after("r", None).await.expect("read");
        assert_eq!(records.len() % 2, 0, "half of a write is there");
        assert!(records.iter().enumerate().all(|(n, (seq, _))| n as u64 == *seq));
        lengths.insert(records.len());
    }
    assert!(lengths.len() > 3, "{lengths:?}");
}

#[tokio::test]
async fn a_directory_is_private_and_belongs_to_one_daemon() {
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("a/b");
    let store = Sqlite::open(&dir).expect("opens");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("sandbook.db"))), (0o700, 0o600));
    let error = Sqlite::open(&dir).err().expect("locked");
    let text = error.to_string();
    assert!(text.contains(&format!("pid {}", std::process::id())) && text.contains("another sandbook"), "{text}");
    drop(store);
    Sqlite::open(&dir).expect("opens again");
    std::fs::write(dir.join("sandbook.db"), "no database at all, but long enough to look at it twice")
        .expect("written");
    assert!(matches!(Sqlite::open(&dir).err(), Some(Error::Damaged(_))));
}

#[tokio::test]
async fn a_full_disk_fails_what_waits_and_later_writes_go_on() {
    let store = memory();
    store.create_run(new_run("r")).await.expect("created");
    let limit = |n: i64| {
        store.write(move |tx| {
            tx.sql
                .query_row(&format!("PRAGMA max_page_count = {n}"), [], |row| row.get::<_, i64>(0))
                .map_err(Error::from)
        })
    };
    limit(1).await.expect("set to what it has");
    let big = note(&"x".repeat(100_000));
    store.append("r", vec![note("held")], false).await.expect("held");
    let (one, two) = tokio::join!(store.append("r", vec![big.clone()], true), store.create_run(new_run("r_2")));
    assert!(matches!(one, Err(Error::Full(_))), "{one:?}");
    assert!(two.is_ok() || matches!(two, Err(Error::Full(_))));
    let text = one.expect_err("full").to_string();
    assert!(text.contains("free space"), "{text}");
    limit(1_000_000).await.expect("set");
    assert_eq!(store.records("r").await.expect("read"), [], "nothing without what was held back before it");
    store.append("r", vec![big], true).await.expect("appended");
    assert!(store.health().ok);
}

/// Mounts a small disk; `None` where that is not allowed.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(options: &str) -> Option<Mount> {
        let mount = Mount(tempfile::tempdir().expect("a directory"));
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(mount.0.path());
        command.output().is_ok_and(|output| output.status.success()).then_some(mount)
    }
    fn again(&self, options: &str) {
        let mut command = std::process::Command::new("mount");
        assert!(command.args(["-o", options]).arg(self.0.path()).status().expect("mount runs").success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l"]).arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_really_full_disk_recovers_when_it_has_room() {
    let Some(mount) = Mount::new("size=1m") else { return eprintln!("mounting is not allowed here: skipped") };
    let store = open(&mount.0);
    store.create_run(new_run("r")).await.expect("created");
    let big = || vec![note(&"x".repeat(60_000))];
    let mut kept = 0;
    let error = loop {
        match store.append("r", big(), true).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    assert!(!store.health().ok && store.health().last_error.is_some());
    mount.again("remount,size=8m");
    store.append("r", big(), true).await.expect("appended");
    assert!(store.health().ok);
    assert_eq!(store.records("r").await.expect("read").len(), kept + 1);
    drop(store);
    assert_eq!(open(&mount.0).records("r").await.expect("read").len(), kept + 1);
}

#[tokio::test]
async fn a_read_only_directory_is_named() {
    let Some(mount) = Mount::new("size=1m") else { return eprintln!("mounting is not allowed here: skipped") };
    drop(open(&mount.0));
    mount.again("remount,ro");
    let error = Sqlite::open(mount.0.path()).err().expect("read-only");
    assert!(matches!(error, Error::ReadOnly(_)), "{error:?}");
    assert!(error.to_string().contains(&mount.0.path().display().to_string()), "{error}");
}

#[test]
fn released_migrations_are_never_edited() {
    use sha2::{Digest, Sha256};
    let golden = [
        "7b50f773bec3eaea",
        "bfc0d15336d1121c",
        "de607b35a6af2cc1",
        "77de4f84d9e5f531",
        "83a4eca691e09edd",
        "57d4497a5a939db4",
        "2525616a016e95d7",
        "41a1c6cde484aaa4",
        "ab9da4eca38b6b95",
        "88bcf16f513bbb24",
        "e8996eafe3e628b0",
        "02db98357ba947fd",
    ];
    let found: Vec<String> = schema::MIGRATIONS
        .iter()
        .map(|sql| Sha256::digest(sql.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect())
        .collect();
    assert_eq!(found, golden, "add a migration instead of changing one");
}

#[tokio::test]
async fn older_files_are_brought_up_to_date_and_newer_ones_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let mut old = rusqlite::Connection::open(dir.path().join("sandbook.db")).expect("opens");
        schema::migrate(&mut old, &schema::MIGRATIONS[..1]).expect("migrates");
        let insert = "INSERT INTO memory (runbook, key, value) VALUES ('book', 'k', 'kept')";
        old.execute(insert, []).expect("inserted");
    }
    let store = open(&dir);
    assert_eq!(store.memory_get("book", "k").await.expect("read").as_deref(), Some("kept"));
    assert_eq!(store.audit("dana", "stop", "", json!({}), T).await, Ok(1));
    store.write(|tx| Ok(tx.sql.pragma_update(None, "user_version", 99)?)).await.expect("set");
    drop(store);
    let error = Sqlite::open(dir.path()).err().expect("newer");
    assert_eq!(error, Error::Newer { found: 99, known: schema::MIGRATIONS.len() as i64 });
}
