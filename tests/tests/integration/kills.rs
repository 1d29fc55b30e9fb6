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
use sandbook_tests::dice::{Dice, SEED};
use sandbook_tests::docker::{Container, Dockerd};
use sandbook_tests::event_log::EventLog;
use sandbook_tests::package::Package;
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

/// As many as the promise names: `kill -9` at any moment.
const KILLS: usize = 100;
/// A container falls ill again only when its last episode is over, because a trigger joins the open run of its target;
/// and an intent that a kill left open is over after 16 s. So many that there are always some to fall ill.
const CONTAINERS: usize = 16;
/// A restart is 0.3 s here, and an intent's horizon 16 s.
const HANDLED_WITHIN: Duration = Duration::from_secs(150);
/// Dockerd finishes what a lost client asked for: a second restart would be seen within this.
const AFTERMATH: Duration = Duration::from_secs(3);

/// Sixteen containers are checked every 2 s, and a check is a process of 0.1 s and more.
const WELL_WITHIN: Duration = Duration::from_secs(120);

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
storm = { min = 10000, share = 1.0, window = "10m" }
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
//! settle = "1ms"
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
    /// Runs a person settled, and whether as done.
    settled: BTreeMap<String, bool>,
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
                self.fall_ill(6);
                let fuse = self.fuse(0..40);
                self.send();
                fuse.join().expect("it only sleeps and kills");
            }
            // At any time after.
            _ => {
                self.daemon.restart();
                self.fall_ill(3);
                let fuse = self.fuse(40..1_500);
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

    /// New episodes at some of the containers that have none.
    fn fall_ill(&mut self, at_most: u64) {
        let runs = self.daemon.runs("runbook=once&limit=1000");
        let is_open = |run: &&Value| !has_ended(run);
        let mut busy: BTreeSet<String> = runs.iter().filter(is_open).map(|run| self.container_of(run)).collect();
        let unheard = self.episodes.iter().filter(|episode| !episode.acknowledged);
        busy.extend(unheard.map(|episode| self.names[episode.container].clone()));
        let mut idle: Vec<usize> = (0..CONTAINERS).filter(|number| !busy.contains(&self.names[*number])).collect();
        for _ in 0..self.dice.pick(1..at_most + 1).min(idle.len() as u64) {
            let container = idle.swap_remove(self.dice.pick(0..idle.len() as u64) as usize);
            let number = self.episodes.len();
            let patience = if self.dice.pick(0..2) == 0 { "some" } else { "none" };
            let alert = Alert::firing("FallenIll").label("name", &self.names[container]);
            let alert = alert.label("patience", patience).fingerprint(&format!("{number:016x}"));
            self.episodes.push(Episode { container, alert, acknowledged: false });
        }
    }

    /// Which container a run is about, also before it has found it: by the alert of its episode.
    fn container_of(&self, run: &Value) -> String {
        if let Some(name) = run["target"]["name"].as_str() {
            return name.to_owned();
        }
        let episodes = self.daemon.api().get("/v1/alerts?limit=1000").expect(200).json();
        let list = episodes["alerts"].as_array().expect("a list of episodes");
        let episode = list.iter().find(|episode| episode["episode"] == run["episode"]);
        let name = episode.and_then(|episode| episode["labels"]["name"].as_str());
        name.unwrap_or_else(|| panic!("the episode of {run} is not in {episodes}")).to_owned()
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

    /// Every run, once all of them have ended. What needs attention is settled as a person would: by what Docker tells.
    fn all_ended(&mut self) -> Vec<Value> {
        let until = Instant::now() + HANDLED_WITHIN;
        loop {
            let runs = self.daemon.runs("runbook=once&limit=1000");
            let open: Vec<&Value> = runs.iter().filter(|run| !has_ended(run)).collect();
            if open.is_empty() {
                return runs;
            }
            assert!(Instant::now() < until, "{} runs are open: {open:?}\n{}", open.len(), self.daemon.log_tail());
            match open.iter().find(|run| run["state"] == "needs-attention") {
                Some(run) => self.settle(run, &runs),
                None => std::thread::sleep(wait::POLL),
            }
        }
    }

    /// Nothing but three kills in the same run may ask for a person, and it says so. Whether its restart happened shows in
    /// Docker's count: those of the container beyond its other runs.
    fn settle(&mut self, run: &Value, runs: &[Value]) {
        let why = run["error"].as_str().unwrap_or_default();
        assert!(why.contains("stopped 3 times"), "no run needs attention for any other reason: {run}");
        let container = self.container_of(run);
        let others = runs.iter().filter(|other| other["outcome"] == "fixed" && other["target"]["name"] == container);
        std::thread::sleep(AFTERMATH);
        let done = self.events.count(&container, "restart") > others.count();
        let id = run["run"].as_str().expect("a run has an id");
        let word = if done { "done" } else { "not-done" };
        let request = json!({"as": word, "reason": "as Docker's events tell"});
        self.daemon.api().post(&format!("/v1/runs/{id}/resume"), &request).expect(200);
        self.settled.insert(id.to_owned(), done);
    }

    /// Restarts of each container as Docker told of them.
    fn restarts(&self) -> Vec<usize> {
        self.names.iter().map(|name| self.events.count(name, "restart")).collect()
    }

    /// Episodes of each container, without those whose change a person said was not made.
    fn meant(&self, runs: &[Value]) -> Vec<usize> {
        let not_done = |run: &Value| run["run"].as_str().and_then(|run| self.settled.get(run)) == Some(&false);
        let spared = |name: &str| {
            let of = |run: &&Value| run["target"]["name"] == name && run["outcome"] == "failed" && not_done(run);
            runs.iter().filter(of).count()
        };
        let episodes = |number| self.episodes.iter().filter(|episode| episode.container == number).count();
        self.names.iter().enumerate().map(|(number, name)| episodes(number) - spared(name)).collect()
    }
}

fn has_ended(run: &Value) -> bool {
    matches!(run["state"].as_str(), Some("succeeded" | "failed" | "cancelled"))
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

/// Containers that fell ill, their health checked rarely enough that it costs nothing; made side by side.
fn ill_containers(docker: &Dockerd) -> Vec<Container<'_>> {
    let rarely = json!({"Healthcheck": {"Interval": 2_000_000_000_u64, "Retries": 1}});
    let make = &|number: usize| {
        let container = docker.create(&format!("web-{number}"), &rarely);
        container.exec(&["rm", "-f", "/ok"]);
        container.await_health_within("unhealthy", WELL_WITHIN);
        container
    };
    std::thread::scope(|scope| {
        let making: Vec<_> = (0..CONTAINERS).map(|number| scope.spawn(move || make(number))).collect();
        making.into_iter().map(|one| one.join().expect("a container")).collect()
    })
}

#[test]
fn a_hundred_kills_lose_nothing_and_repeat_nothing() {
    let began = Instant::now();
    let dice = Dice::new();
    announce(&format!("kills: {SEED}={}", dice.seed()));
    let docker = Dockerd::start();
    let containers = ill_containers(&docker);
    let events = EventLog::listen(docker.socket(), &["restart", "start"]);
    let setup = Setup::with(CONFIG).docker(&docker.endpoint()).file("policy/once.cedar", POLICY);
    let mut daemon = Daemon::start(setup);
    daemon.push_live(&Package::rhai_file("once", RUNBOOK));
    daemon.kill();

    let names = containers.iter().map(|container| container.name().to_owned()).collect();
    let mut ordeal =
        Ordeal { daemon, names, events: &events, dice, episodes: Vec::new(), repeated: 0, settled: BTreeMap::new() };
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
        container.await_health_within("healthy", WELL_WITHIN);
    }
    announce(&format!(
        "kills: {KILLS} survived in {:.0} s; {} episodes, {} acknowledged alerts repeated, {} restarts by Docker's count, \
         {} runs settled by a person; the rest was done {:.0} s after the last start; {:.0} s in all",
        killing.as_secs_f64(),
        runs.len(),
        ordeal.repeated,
        ordeal.restarts().iter().sum::<usize>(),
        ordeal.settled.len(),
        settling.elapsed().as_secs_f64(),
        began.elapsed().as_secs_f64()
    ));
}

/// One run an episode, one restart a run, by Docker's own count; and the brakes counted what was attempted.
fn assert_each_once(ordeal: &Ordeal<'_>, runs: &[Value]) {
    std::thread::sleep(AFTERMATH);
    let daemon = &ordeal.daemon;
    let (told, meant) = (ordeal.restarts(), ordeal.meant(runs));
    let summary = format!(
        "{SEED}={}: restarts {told:?}, meant {meant:?}, {} runs, settled by a person {:?}",
        ordeal.dice.seed(),
        runs.len(),
        ordeal.settled
    );
    let settled = |run: &&Value| run["run"].as_str().is_some_and(|run| ordeal.settled.contains_key(run));
    let bad: Vec<&Value> = runs.iter().filter(|run| run["outcome"] != "fixed" && !settled(run)).collect();
    assert_eq!(bad, Vec::<&Value>::new(), "{summary}");
    let episodes: BTreeSet<&str> = runs.iter().filter_map(|run| run["episode"].as_str()).collect();
    assert_eq!((runs.len(), episodes.len()), (ordeal.episodes.len(), ordeal.episodes.len()), "{summary}");
    assert_eq!(told, meant, "restarts by Docker's count are the episodes; {summary}\n{}", daemon.log_tail());

    let intents: usize = runs.iter().map(|run| assert_journal(daemon, run)).sum();
    let brakes = daemon.api().get("/v1/brakes").expect(200).json();
    let manifest = |brake: &&Value| brake["label"].as_str().is_some_and(|label| label.starts_with("manifest"));
    let list = brakes["brakes"].as_array().expect("a list of brakes");
    let counted: u64 = list.iter().filter(manifest).filter_map(|brake| brake["attempts"].as_u64()).sum();
    announce(&format!("kills: {} runs, {intents} intents, {counted} attempts counted by the brakes", runs.len()));
    assert_eq!(
        counted as usize,
        runs.len(),
        "an attempt is counted once a slot, however often it is driven; {summary}"
    );
}
