//! Figures, printed: `cargo test --release -p sandbook --lib store::tests::measure -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

/// How long each figure is taken.
const FOR: Duration = Duration::from_secs(3);

async fn measure(name: &str, writers: usize, runs: bool) {
    let dir = tempfile::tempdir_in(".").expect("a directory on the disk of the working directory");
    let store = Arc::new(open(&dir));
    let began = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let run = format!("r_{writer}");
            store.create_run(new_run(&run)).await.expect("created");
            let mut took = Vec::new();
            while began.elapsed() < FOR {
                let start = Instant::now();
                if runs {
                    store.accept(vec![incoming(Status::Firing, &id::new("f"), T, T)]).await.expect("accepted");
                } else {
                    store.append(&run, vec![note(&"x".repeat(200))], true).await.expect("appended");
                }
                took.push(start.elapsed());
            }
            took
        })
    });
    let mut took: Vec<Duration> =
        futures::future::join_all(tasks).await.into_iter().flat_map(|task| task.expect("joined")).collect();
    let seconds = began.elapsed().as_secs_f64();
    took.sort();
    let stats = store.stats();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{name}, {writers} writers: {:.0} writes/s, {:.0} rows/s, {:.1} writes a commit, p50 {:.2} ms, p99 {:.2} ms",
        took.len() as f64 / seconds,
        stats.rows as f64 / seconds,
        stats.writes as f64 / stats.commits as f64,
        at(0.5),
        at(0.99),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn group_commit() {
    for writers in [1, 8, 64, 512] {
        measure("durable append of a 300-byte record", writers, false).await;
        measure("accept of a new alert with one run", writers, true).await;
    }
}
