//! `kill -9` a hundred times: every acknowledged alert is handled, and each restarts its container exactly once.
//!
//! The real binary with a real Docker engine. While episodes come in, wait, act and end, the daemon is killed at random
//! moments: while it starts, while it takes a message, at any time after. A message without a 202 is sent again, and some
//! with one are too, as Alertmanager does. In the end Docker's own events are counted, heard as they happened.
//!
//! `SANDBOOK_TEST_SEED` repeats containers and moments of a run, as far as two processes can; the seed is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sandbook_tests::alert::{Alert, message};
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::dice::Dice;
use sandbook_tests::docker::{Container, Dockerd};
use sandbook_tests::event_log::EventLog;
use sandbook_tests::package::Package;
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

/// What the issue of a machine that may restart containers at night asks for.
const KILLS: usize = 100;
/// Enough that several runs act at once, few enough that runs also queue for one container.
const CONTAINERS: usize = 6;
/// A restart is 0.3 s here, an intent's horizon 16 s, and what queued up for one container is done one by one.
const HANDLED_WITHIN: Duration = Duration::from_secs(150);
/// Dockerd finishes what a lost client asked for: a second restart would be seen within this.
const AFTERMATH: Duration = Duration::from_secs(3);

/// Brakes wide open: what is proved here is that nothing is repeated, not that it is held back.
const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[brakes]
per_runbook_target = ["100000/1d"]
per_host = ["100000/1d"]
settle = "0s"
storm = { min = 100000, share = 1.0, window = "10m" }
"#;
const POLICY: &str = "permit (principal == Runbook::\"once\", action == Action::\"docker.restart-container\", \
                      resource is Container);\n";
/// Acts once, between two reads and after a wait that outlives the guest.
const RUNBOOK: &str = r#"//! name = "once"
//! version = "1.0.0"
//! summary = "Restarts its container once."
//! [[trigger]]
//! alert = ["FallenIll"]
//! [target]
//! kind = "container"
//! container_from = ["name"]
//! [requests]
//! effects = ["docker.inspect-container", "docker.restart-container"]
//! [brake]
//! attempts = ["100000/1d"]
//! settle = "0s"
fn run(input) {
    let before = docker::inspect_container(input.target);
    if input.alert.labels.patience == "some" { clock::sleep(1200); }
    docker::restart_container(input.target, #{ grace_ms: 1000 });
    let after = docker::inspect_container(input.target);
    if after.state.started_at == before.state.started_at { return escalate("it was not restarted"); }
    fixed("restarted")
}
"#;

/// One alert, and whether it was acknowledged.
struct Episode {
    container: usize,
    alert: Alert,
    acknowledged: bool,
}

struct Ordeal<'a> {
    daemon: Daemon,
    names: Vec<String>,
    events: &'a EventLog,
    dice: Dice,
    episodes: Vec<Episode>,
    repeated: usize,
}

impl Ordeal<'_> {
    /// Starts the daemon, lets it work for a moment of that many milliseconds, kills it.
    fn round(&mut self) {
        match self.dice.pick(0..4) {
            // While it starts and brings back what it finds.
            0 => {
                self.daemon.spawn();
                std::thread::sleep(self.dice.pick_ms(0..250));
            }
            // While it takes messages.
            1 => {
                self.daemon.restart();
                let fuse = self.fuse(0..40);
                self.fall_ill(3);
                self.send();
                fuse.join().expect("it only sleeps and kills");
            }
            // At any time after.
            _ => {
                self.daemon.restart();
                let fuse = self.fuse(40..1_500);
                self.fall_ill(2);
                self.send();
                fuse.join().expect("it only sleeps and kills");
            }
        }
        self.daemon.kill();
    }

    fn fuse(&mut self, ms: std::ops::Range<u64>) -> JoinHandle<()> {
        let (pid, delay) = (self.daemon.pid(), self.dice.pick_ms(ms));
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            // A child that was not waited for keeps its number, so this is nobody else.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        })
    }

    /// New episodes at some containers.
    fn fall_ill(&mut self, at_most: u64) {
        for _ in 0..self.dice.pick(1..at_most + 1) {
            let (container, number) = (self.dice.pick(0..CONTAINERS as u64) as usize, self.episodes.len());
            let patience = if self.dice.pick(0..2) == 0 { "some" } else { "none" };
            let alert = Alert::firing("FallenIll").label("name", &self.names[container]);
            let alert = alert.label("patience", patience).fingerprint(&format!("{number:016x}"));
            self.episodes.push(Episode { container, alert, acknowledged: false });
        }
    }

    /// Sends what is not acknowledged, and now and then something that is. Whether the daemon lives to answer is chance.
    fn send(&mut self) {
        let mut message_of: BTreeSet<usize> =
            (0..self.episodes.len()).filter(|number| !self.episodes[*number].acknowledged).collect();
        if self.dice.pick(0..3) == 0 {
            self.repeated += 1;
            message_of.insert(self.dice.pick(0..self.episodes.len() as u64) as usize);
        }
        let alerts: Vec<Alert> = message_of.iter().map(|number| self.episodes[*number].alert.clone()).collect();
        let headers = [("content-type", "application/json")];
        let answer = self.daemon.sender().send("POST", "/webhook/alerts", &headers, message(&alerts).to_string());
        let Ok(answer) = answer else { return };
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(answer.json()["rejected"], json!([]), "{}", answer.text());
        for number in message_of {
            self.episodes[number].acknowledged = true;
        }
    }

    /// Every run, once all of them have ended.
    fn all_ended(&self) -> Vec<Value> {
        wait::until(
            "every run to end",
            HANDLED_WITHIN,
            || self.daemon.log_tail(),
            || {
                let runs = self.daemon.runs("limit=1000");
                let open = |run: &&Value| !matches!(run["state"].as_str(), Some("succeeded" | "failed" | "cancelled"));
                let stuck = |run: &&Value| run["state"] == "needs-attention";
                let open: Vec<&Value> = runs.iter().filter(open).collect();
                if open.iter().all(stuck) { Ok(runs.clone()) } else { Err(format!("{} open: {:?}", open.len(), open)) }
            },
        )
    }

    /// Restarts of each container as Docker told of them, and as they should be.
    fn restarts(&self) -> (Vec<usize>, Vec<usize>) {
        let told = self.names.iter().map(|name| self.events.count(name, "restart")).collect();
        let meant = |container| self.episodes.iter().filter(|episode| episode.container == container).count();
        (told, (0..CONTAINERS).map(meant).collect())
    }
}

/// The run's journal can be read, is whole, and has one restart. Returns how many intents that took.
#[track_caller]
fn assert_journal(daemon: &Daemon, run: &Value) -> usize {
    let journal = daemon.journal(run["run"].as_str().expect("a run has an id"));
    let kinds: Vec<&str> = journal.iter().filter_map(|record| record["kind"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"begun"), Some(&"ended")), "{journal:?}");
    let of = |kind: &str| {
        let is = |record: &&Value| record["kind"] == kind && record["effect"] == "docker.restart-container";
        journal.iter().filter(is).count()
    };
    assert_eq!(of("settled"), 1, "one restart with one answer: {journal:?}");
    of("intended")
}

/// Containers that fell ill, their health checked rarely enough that it costs nothing.
fn ill_containers(docker: &Dockerd) -> Vec<Container<'_>> {
    let rarely = json!({"Healthcheck": {"Interval": 2_000_000_000_u64, "Retries": 1}});
    let containers: Vec<Container<'_>> =
        (0..CONTAINERS).map(|number| docker.create(&format!("web-{number}"), &rarely)).collect();
    for container in &containers {
        container.exec(&["rm", "-f", "/ok"]);
    }
    for container in &containers {
        container.await_health("unhealthy");
    }
    containers
}

#[test]
fn a_hundred_kills_lose_nothing_and_repeat_nothing() {
    let began = Instant::now();
    let dice = Dice::new();
    announce(&format!("kills: {}={}", sandbook_tests::dice::SEED, dice.seed()));
    let docker = Dockerd::start();
    let containers = ill_containers(&docker);
    let events = EventLog::listen(&docker, &["restart", "start"]);
    let setup = Setup::with(CONFIG).docker(&docker.endpoint()).file("policy/once.cedar", POLICY);
    let mut daemon = Daemon::start(setup);
    daemon.push_live(&Package::rhai_file("once", RUNBOOK));
    daemon.kill();

    let names = containers.iter().map(|container| container.name().to_owned()).collect();
    let mut ordeal = Ordeal { daemon, names, events: &events, dice, episodes: Vec::new(), repeated: 0 };
    let killing = Instant::now();
    for _ in 0..KILLS {
        ordeal.round();
    }
    let killing = killing.elapsed();
    ordeal.daemon.restart();
    ordeal.send();
    let settling = Instant::now();
    let runs = ordeal.all_ended();
    assert!(ordeal.episodes.iter().all(|episode| episode.acknowledged), "the last message was acknowledged");
    assert_each_once(&ordeal, &runs);
    for container in &containers {
        container.await_health("healthy");
    }
    announce(&format!(
        "kills: {KILLS} survived in {:.0} s; {} episodes, {} messages repeated, {} restarts by Docker's count; the rest \
         was done {:.0} s after the last start; {:.0} s in all",
        killing.as_secs_f64(),
        runs.len(),
        ordeal.repeated,
        ordeal.restarts().0.iter().sum::<usize>(),
        settling.elapsed().as_secs_f64(),
        began.elapsed().as_secs_f64()
    ));
}

/// One run an episode, one restart a run, by Docker's own count; and the brakes counted what was attempted.
fn assert_each_once(ordeal: &Ordeal<'_>, runs: &[Value]) {
    let daemon = &ordeal.daemon;
    let mut by_state = BTreeMap::<String, Vec<&Value>>::new();
    for run in runs {
        by_state.entry(format!("{} {}", run["state"], run["outcome"])).or_default().push(run);
    }
    let (told, meant) = ordeal.restarts();
    let states: Vec<(&String, usize)> = by_state.iter().map(|(state, runs)| (state, runs.len())).collect();
    let summary = format!("seed {}: restarts {told:?}, episodes {meant:?}, runs {states:?}", ordeal.dice.seed());
    let bad: Vec<&Value> = runs.iter().filter(|run| run["outcome"] != "fixed").collect();
    assert_eq!(bad, Vec::<&Value>::new(), "{summary}\n{}", daemon.log_tail());
    let episodes: BTreeSet<&str> = runs.iter().filter_map(|run| run["episode"].as_str()).collect();
    assert_eq!((runs.len(), episodes.len()), (ordeal.episodes.len(), ordeal.episodes.len()), "{summary}");
    std::thread::sleep(AFTERMATH);
    let (told, _) = ordeal.restarts();
    assert_eq!(told, meant, "restarts by Docker's count are the episodes; {summary}\n{}", daemon.log_tail());

    let intents: usize = runs.iter().map(|run| assert_journal(daemon, run)).sum();
    let brakes = daemon.api().get("/v1/brakes").expect(200).json();
    let of_runbook = |brake: &&Value| brake["subject"].is_string() && brake["runbook"] == "once";
    let manifest = |brake: &&Value| brake["label"].as_str().is_some_and(|label| label.starts_with("manifest"));
    let list = brakes["brakes"].as_array().expect("a list of brakes");
    let counted: u64 =
        list.iter().filter(of_runbook).filter(manifest).filter_map(|brake| brake["attempts"].as_u64()).sum();
    announce(&format!("kills: {intents} intents, {counted} attempts counted by the brakes"));
    assert_eq!(
        counted as usize,
        runs.len(),
        "an attempt is counted once a slot, however often it was driven: {brakes}"
    );
}
