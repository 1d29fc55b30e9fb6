//! Deterministic simulation: the real intake, runner, gate, guests, library, policy and SQLite store over a simulated
//! world and clock, driven by one number.
//!
//! The machine goes off before and after every write and around every drive; answers of dockerd are lost, and come true
//! later; disks are full, hosts away, clocks set; people answer, stop and forbid in the middle. After each seed the laws
//! (`law`) are held against what was seen from outside. `SANDBOOK_SEEDS=N` plays more of them, `SANDBOOK_SEED=N` one,
//! with its trace.
//!
//! Deliberately not here: real dockerd, real kills, real time; other tests have those.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

mod books;
mod dice;
mod driver;
mod engine;
mod law;
mod play;
mod prefix;
mod sim;
mod store;
mod workload;

use play::{Played, play};
use sim::{Broken, Counts};

/// Seeds of a plain test run.
const SEEDS_DEFAULT: u64 = 2_000;
/// Seeds at once: each needs a thread of its own, and shares nothing.
const THREADS: usize = 2;
/// Lines of a trace that a failure shows.
const LINES_SHOWN: usize = 150;
/// Failing seeds after which no more are played; the first is shown with its trace.
const FAILURES_MAX: usize = 40;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn show(played: &Played, lines: usize) -> String {
    let from = played.trace.len().saturating_sub(lines);
    format!(
        "{}\nseed {} violates:\n  {}\n  again: SANDBOOK_SEED={} cargo test -p sandbook-tests --test simulation seeds -- --nocapture",
        played.trace[from..].join("\n"),
        played.seed,
        played.violations.join("\n  "),
        played.seed,
    )
}

/// Plays seeds on all threads; the figures of all, and the first that violate a law.
fn play_all(seeds: std::ops::Range<u64>) -> (Counts, Vec<Played>) {
    let next = AtomicU64::new(seeds.start);
    let (total, failed) = (Mutex::new(Counts::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let sandbox = engine::sandbox();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().expect("failures").len() >= FAILURES_MAX {
                        return;
                    }
                    let played = play(seed, Broken::Nothing, &sandbox);
                    total.lock().expect("figures").add(played.counts);
                    if !played.violations.is_empty() {
                        failed.lock().expect("failures").push(played);
                    }
                }
            });
        }
    });
    (total.into_inner().expect("figures"), failed.into_inner().expect("failures"))
}

#[test]
fn seeds_obey_every_law() {
    if let Some(seed) = number("SANDBOOK_SEED") {
        let played = play(seed, Broken::Nothing, &engine::sandbox());
        println!("{}\n{:?}", show(&played, usize::MAX), played.counts);
        assert!(played.violations.is_empty(), "seed {seed} violates a law");
        return;
    }
    let began = std::time::Instant::now();
    let (counts, failed) = play_all(0..number("SANDBOOK_SEEDS").unwrap_or(SEEDS_DEFAULT));
    sandbook_tests::announce(&format!(
        "simulation: {} seeds, {} crashes and {} faults injected, {} effects executed in {} runs ({} left to a person), \
         {} checks of laws, in {:.0} s",
        counts.seeds,
        counts.crashes,
        counts.faults,
        counts.executions,
        counts.runs,
        counts.attention,
        counts.checks,
        began.elapsed().as_secs_f64(),
    ));
    let lines = |index| if index == 0 { LINES_SHOWN } else { 0 };
    let shown: Vec<String> = failed.iter().enumerate().map(|(index, played)| show(played, lines(index))).collect();
    assert!(failed.is_empty(), "{}", shown.join("\n\n"));
}

/// Without this no failure could be looked at twice.
#[test]
fn a_seed_plays_the_same_twice() {
    let sandbox = engine::sandbox();
    for seed in 0..24 {
        let (first, second) = (play(seed, Broken::Nothing, &sandbox), play(seed, Broken::Nothing, &sandbox));
        let differs = first.trace.iter().zip(&second.trace).position(|(one, other)| one != other);
        let at = differs.unwrap_or(first.trace.len().min(second.trace.len()));
        assert_eq!(
            first.hash,
            second.hash,
            "seed {seed} differs from line {at} on: {:?} and {:?}",
            first.trace.get(at),
            second.trace.get(at)
        );
        assert!(first.trace.len() > 20, "seed {seed} does nothing");
    }
}

/// A check that cannot fail is none: broken engines are noticed, each for what is broken.
#[test]
fn broken_engines_are_noticed() {
    let sandbox = engine::sandbox();
    let broken = [
        (Broken::DropsIntents, "which is no beginning of"),
        (Broken::DrivesTwice, "happened more than once"),
        (Broken::LosesAlerts, "was acknowledged and is not there"),
        (Broken::ForgetsBrakes, "attempts of"),
        (Broken::IgnoresStop, "although everything is stopped"),
    ];
    for (broken, words) in broken {
        let noticed = (0..400)
            .find(|seed| play(*seed, broken, &sandbox).violations.iter().any(|violation| violation.contains(words)));
        let noticed = noticed.unwrap_or_else(|| panic!("{broken:?} is not noticed in 400 seeds"));
        sandbook_tests::announce(&format!("simulation: {broken:?} is noticed at seed {noticed}"));
    }
}
