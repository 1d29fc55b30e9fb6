//! Faults of the daemon's own machine: a full disk, a locked database, a clock that jumps, a process that stands still.
//!
//! Runs are under way while it happens: some are about to act, some have acted and cannot record it. In the end each of
//! them is handled, and the engine (a fake one, which counts) has done each change once. Nobody restarts the daemon.
//!
//! Deliberately not here: kills, see `kills`; an engine that misbehaves, see `faults`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sandbook_tests::alert::{Alert, message};
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::dice::{Dice, SEED};
use sandbook_tests::fake_docker::{FakeDocker, Fault};
use sandbook_tests::mount::Mount;
use sandbook_tests::package::Package;
use sandbook_tests::process::require;
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

/// An intent's horizon, a retry or two, and the answers of a database that was away.
const HANDLED_WITHIN: Duration = Duration::from_secs(90);
/// What a jump of the clock or the end of some trouble brings about by itself.
const SOON: Duration = Duration::from_secs(45);
/// How long the disk stays full and the database locked: longer than SQLite waits by itself (5 s), twice.
const TROUBLE: Duration = Duration::from_secs(12);
/// Longer than a permit for a restart without grace is good for (15 s), and its intent's horizon.
const STANDSTILL: Duration = Duration::from_millis(16_500);
/// Room for the database and a few alerts.
const SMALL_DISK: &str = "size=12m";
/// Runs of each kind.
const EACH: usize = 4;

const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[brakes]
per_host = ["1000/1d"]
settle = "0s"
storm = { min = 1000, share = 1.0, window = "10m" }
"#;
const WIDE: &str = "per_runbook_target = [\"1000/1d\"]\n";
const POLICY: &str = r#"
permit (principal == Runbook::"patient", action == Action::"docker.restart-container", resource is Container)
when { resource.name like "web-*" };
@approval("ask")
permit (principal == Runbook::"patient", action == Action::"docker.restart-container", resource is Container)
when { resource.name like "asked-*" };
"#;
/// Waits as long as the alert says, then acts once.
const RUNBOOK: &str = r#"//! name = "patient"
//! version = "1.0.0"
//! summary = "Waits, then restarts."
//! [[trigger]]
//! alert = ["FallenIll"]
//! [target]
//! kind = "container"
//! container_from = ["name"]
//! [requests]
//! effects = ["docker.restart-container"]
//! [brake]
//! attempts = ["1000/1d"]
//! settle = "1ms"
fn run(input) {
    clock::sleep(parse_int(input.alert.labels.wait_ms));
    docker::restart_container(input.target, #{ grace_ms: 0 });
    fixed("restarted")
}
"#;

fn setup(fake: &FakeDocker, brakes: &str) -> Setup {
    Setup::with(&format!("{CONFIG}{brakes}")).docker(&fake.endpoint()).file("policy/patient.cedar", POLICY)
}

fn ill(container: &str, wait_ms: u64, number: usize) -> Alert {
    let alert = Alert::firing("FallenIll").label("name", container).label("wait_ms", &wait_ms.to_string());
    alert.fingerprint(&format!("{number:016x}"))
}

/// Sends one alert and returns its run.
#[track_caller]
fn started(daemon: &Daemon, alert: Alert) -> String {
    let answer = daemon.alert(&[alert]);
    answer["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("a run was started: {answer}")).to_owned()
}

#[track_caller]
fn await_state(daemon: &Daemon, run: &str, state: &str) -> Value {
    wait::until(
        &format!("run {run} to be {state}"),
        SOON,
        || daemon.log_tail(),
        || {
            let found = daemon.api().get(&format!("/v1/runs/{run}")).expect(200).json();
            if found["state"] == state { Ok(found) } else { Err(found.to_string()) }
        },
    )
}

/// Runs about to act, and runs whose change is under way and will be done while the trouble lasts.
struct Caught {
    runs: Vec<(String, String)>,
}

impl Caught {
    #[track_caller]
    fn some(fake: &FakeDocker, daemon: &Daemon) -> Caught {
        let mut runs = Vec::new();
        // Those that act come first, so that nobody else has asked by the time they are counted.
        for number in 0..EACH {
            let name = format!("web-{number}");
            let id = fake.container(&name, "unhealthy");
            fake.script("POST", &format!("/{id}/restart"), Fault::Delay(TROUBLE * 3 / 4), 1);
            runs.push((name.clone(), started(daemon, ill(&name, 0, number))));
        }
        wait::until(
            "the changes to be under way",
            SOON,
            || daemon.log_tail(),
            || {
                let asked = fake.seen("POST", "/restart").len();
                if asked == EACH { Ok(()) } else { Err(format!("{asked} asked")) }
            },
        );
        let wait_ms = u64::try_from(TROUBLE.as_millis() * 2 / 3).unwrap_or(0);
        for number in EACH..2 * EACH {
            let name = format!("web-{number}");
            fake.container(&name, "unhealthy");
            let run = started(daemon, ill(&name, wait_ms, number));
            await_state(daemon, &run, "waiting");
            runs.push((name, run));
        }
        Caught { runs }
    }

    #[track_caller]
    fn assert_each_once(&self, fake: &FakeDocker, daemon: &Daemon) {
        for (name, run) in &self.runs {
            let ended = daemon.ended_within(run, HANDLED_WITHIN);
            assert_eq!(ended["outcome"], "fixed", "{name}: {ended}\n{}", daemon.log_tail());
            assert_eq!(fake.changes(name), 1, "{name} was restarted once: {ended}\n{}", daemon.log_tail());
        }
        assert_eq!(fake.seen("POST", "/restart").len(), self.runs.len(), "nothing was asked twice");
    }
}

/// Sends new alerts until one is not taken; returns that one and the runs of those that were, by container.
#[track_caller]
fn refused(daemon: &Daemon, fake: &FakeDocker) -> (Alert, Vec<(String, String)>) {
    let mut taken = Vec::new();
    let refused = wait::until(
        "a new alert to be refused",
        SOON,
        || daemon.log_tail(),
        || {
            let name = format!("web-late-{}", taken.len());
            fake.container(&name, "unhealthy");
            let alert = ill(&name, 0, 1_000 + taken.len()).label("padding", &"p".repeat(2_000));
            let answer = daemon.sender().post("/webhook/alerts", &message(std::slice::from_ref(&alert)));
            if answer.status != 202 {
                assert_eq!(answer.status, 503, "only 503 is sent again: {}", answer.text());
                return Ok(alert);
            }
            taken.push((name, answer.json()["runs"][0]["run"].as_str().unwrap_or_default().to_owned()));
            Err(format!("{} were taken", taken.len()))
        },
    );
    (refused, taken)
}

/// Sends it again, as Alertmanager does, until it is taken.
#[track_caller]
fn sent_again(daemon: &Daemon, alert: &Alert) -> (String, String) {
    let answer = wait::until(
        "the alert to be taken after all",
        SOON,
        || daemon.log_tail(),
        || {
            let answer = daemon.sender().post("/webhook/alerts", &message(std::slice::from_ref(alert)));
            if answer.status == 202 { Ok(answer.json()) } else { Err(answer.text()) }
        },
    );
    let name = alert.value()["labels"]["name"].as_str().expect("it has one").to_owned();
    (name, answer["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("a run was started: {answer}")).to_owned())
}

#[test]
fn a_full_disk_holds_runs_up_and_loses_and_repeats_nothing() {
    let began = Instant::now();
    let fake = FakeDocker::start();
    let mut daemon = Daemon::prepare(setup(&fake, WIDE));
    let data = daemon.data("");
    let _mount = Mount::tmpfs(&data, SMALL_DISK);
    daemon.restart();
    daemon.push_live(&Package::rhai_file("patient", RUNBOOK));
    let mut caught = Caught::some(&fake, &daemon);

    let trouble = Instant::now();
    let filler = data.join("filler");
    assert!(std::fs::write(&filler, vec![0; 64 << 20]).is_err(), "the small disk is full now");
    let (late, taken) = refused(&daemon, &fake);
    std::thread::sleep(TROUBLE.saturating_sub(trouble.elapsed()));
    std::fs::remove_file(&filler).expect("removing needs no space");

    caught.runs.push(sent_again(&daemon, &late));
    caught.runs.extend(taken);
    caught.assert_each_once(&fake, &daemon);
    announce(&format!("machine: full disk, {} runs, {:.0} s", caught.runs.len(), began.elapsed().as_secs_f64()));
}

/// Another process that holds the database's write lock until it is dropped.
struct Locked(Child);

impl Locked {
    #[track_caller]
    fn hold(database: &Path) -> Locked {
        require("sqlite3", "sqlite3");
        let mut child = Command::new("sqlite3");
        let child = child.arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().expect("sqlite3 starts");
        let input = child.stdin.as_mut().expect("it is piped");
        input.write_all(b".timeout 5000\nBEGIN EXCLUSIVE;\nSELECT 'locked';\n").expect("it reads");
        input.flush().expect("it reads");
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.as_mut().expect("it is piped"));
        while said.trim() != "locked" {
            said.clear();
            assert_ne!(output.read_line(&mut said).expect("it writes"), 0, "sqlite3 did not get the lock");
        }
        Locked(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_locked_by_another_process_holds_runs_up_and_loses_and_repeats_nothing() {
    let began = Instant::now();
    let fake = FakeDocker::start();
    let daemon = Daemon::start(setup(&fake, WIDE));
    daemon.push_live(&Package::rhai_file("patient", RUNBOOK));
    let mut caught = Caught::some(&fake, &daemon);
    let database = std::fs::read_dir(daemon.data("")).expect("it is there").flatten().map(|entry| entry.path());
    let database = database.into_iter().find(|path| path.extension().is_some_and(|end| end == "db"));

    let trouble = Instant::now();
    let locked = Locked::hold(&database.expect("the data folder has a database"));
    let (late, taken) = refused(&daemon, &fake);
    std::thread::sleep(TROUBLE.saturating_sub(trouble.elapsed()));
    drop(locked);

    caught.runs.push(sent_again(&daemon, &late));
    caught.runs.extend(taken);
    caught.assert_each_once(&fake, &daemon);
    announce(&format!("machine: locked database, {} runs, {:.0} s", caught.runs.len(), began.elapsed().as_secs_f64()));
}

/// The wall clock of a daemon, set by a file. Its other clocks stay as they are, as they do when a real one is set.
pub(crate) struct WallClock {
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl WallClock {
    #[track_caller]
    pub(crate) fn of(setup: Setup) -> (WallClock, Setup) {
        let installed = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
        let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
        let library = folders.map(installed).find(|path| path.is_file());
        let library = library.expect("libfaketime is not installed: apt-get install faketime (`./dev test` does it)");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = WallClock { file: folder.path().join("offset"), _folder: folder };
        clock.set("+0s");
        let text = |path: &Path| path.to_str().expect("plain paths").to_owned();
        let setup = setup.environment("LD_PRELOAD", &text(&library));
        let setup = setup.environment("FAKETIME_TIMESTAMP_FILE", &text(&clock.file));
        let setup = setup.environment("FAKETIME_NO_CACHE", "1").environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        (clock, setup)
    }

    /// Sets it to the true time and an offset, such as `+1h`, at once.
    #[track_caller]
    pub(crate) fn set(&self, offset: &str) {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, offset).expect("writable");
        std::fs::rename(beside, &self.file).expect("writable");
    }
}

#[track_caller]
fn approval_of(daemon: &Daemon, run: &str) -> String {
    wait::until(
        "a person to be asked",
        SOON,
        || daemon.log_tail(),
        || {
            let open = daemon.api().get("/v1/approvals").expect(200).json();
            let list = open["approvals"].as_array().cloned().unwrap_or_default();
            let id = list.iter().find(|approval| approval["run"] == run).and_then(|approval| approval["id"].as_str());
            id.map(str::to_owned).ok_or_else(|| open.to_string())
        },
    )
}

/// A daemon whose clock can be set, and an engine with containers to restart.
#[track_caller]
fn under_clock(brakes: &str) -> (FakeDocker, WallClock, Daemon) {
    let fake = FakeDocker::start();
    for name in ["web-0", "web-1", "web-2", "asked-0"] {
        fake.container(name, "unhealthy");
    }
    let (clock, setup) = WallClock::of(setup(&fake, brakes));
    let daemon = Daemon::start(setup);
    daemon.push_live(&Package::rhai_file("patient", RUNBOOK));
    (fake, clock, daemon)
}

#[test]
fn a_clock_set_forward_and_back_repeats_nothing_and_opens_no_brake() {
    let began = Instant::now();
    let (fake, clock, daemon) = under_clock("per_runbook = [\"2/1h\"]\n");
    let waiting = started(&daemon, ill("web-0", 600_000, 1));
    let asked = started(&daemon, ill("asked-0", 0, 2));
    await_state(&daemon, &waiting, "waiting");
    approval_of(&daemon, &asked);

    // An hour forward: a wait is over at once, a question has expired.
    clock.set("+1h");
    assert_eq!(daemon.ended_within(&waiting, SOON)["outcome"], "fixed", "{}", daemon.log_tail());
    assert_eq!(daemon.ended_within(&asked, SOON)["outcome"], "refused", "{}", daemon.log_tail());
    let second = started(&daemon, ill("web-1", 0, 3));
    assert_eq!(daemon.ended_within(&second, SOON)["outcome"], "fixed", "{}", daemon.log_tail());

    // Back again: both attempts lie in the future, and count.
    clock.set("+0s");
    let third = started(&daemon, ill("web-2", 0, 4));
    assert_eq!(daemon.ended_within(&third, SOON)["outcome"], "limited", "{}", daemon.log_tail());
    let changes = ["web-0", "web-1", "web-2", "asked-0"].map(|name| fake.changes(name));
    assert_eq!((changes, fake.seen("POST", "/restart").len()), ([1, 1, 0, 0], 2));
    announce(&format!("machine: clock 1 h forward and back, {:.0} s", began.elapsed().as_secs_f64()));
}

/// Longer than a stalled machine needs to set the clock meanwhile.
const WAITS_MS: u64 = 10_000;

#[test]
fn a_clock_set_back_and_put_right_repeats_nothing_and_ends_every_wait() {
    let began = Instant::now();
    let (fake, clock, daemon) = under_clock(WIDE);
    let asked = started(&daemon, ill("asked-0", 0, 6));
    let approval = approval_of(&daemon, &asked);
    let began_to_wait = Instant::now();
    let waiting = started(&daemon, ill("web-1", WAITS_MS, 5));
    await_state(&daemon, &waiting, "waiting");

    // An hour back: what waits goes on waiting, a question stays open and its answer counts.
    clock.set("-1h");
    std::thread::sleep(Duration::from_millis(WAITS_MS + 2_000).saturating_sub(began_to_wait.elapsed()));
    await_state(&daemon, &waiting, "waiting");
    let decision = json!({"decision": "approve", "reason": "a test"});
    let answer = daemon.api().post(&format!("/v1/approvals/{approval}"), &decision);
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    assert_eq!(daemon.ended_within(&asked, SOON)["outcome"], "fixed", "{}", daemon.log_tail());

    // The true time ends the wait.
    clock.set("+0s");
    assert_eq!(daemon.ended_within(&waiting, SOON)["outcome"], "fixed", "{}", daemon.log_tail());
    let changes = ["web-1", "asked-0"].map(|name| fake.changes(name));
    assert_eq!((changes, fake.seen("POST", "/restart").len()), ([1, 1], 2));
    announce(&format!("machine: clock 1 h back and put right, {:.0} s", began.elapsed().as_secs_f64()));
}

#[test]
fn a_daemon_that_stood_still_past_its_permits_looks_before_it_acts() {
    const RUNS: usize = 40;
    let began = Instant::now();
    let mut dice = Dice::new();
    let fake = FakeDocker::start();
    let daemon = Daemon::start(setup(&fake, WIDE));
    daemon.push_live(&Package::rhai_file("patient", RUNBOOK));
    for number in 0..RUNS {
        let id = fake.container(&format!("web-{number}"), "unhealthy");
        // One is never answered, so that its intent is surely open; the others take their time.
        let fault = if number == 0 { Fault::Hang } else { Fault::Delay(dice.pick_ms(0..800)) };
        fake.script("POST", &format!("/{id}/restart"), fault, 1);
    }
    let hung = started(&daemon, ill("web-0", 0, 0));
    wait::until(
        "the intent to be on disk",
        SOON,
        || daemon.log_tail(),
        || {
            let journal = daemon.journal(&hung);
            let intended = journal.iter().any(|record| record["kind"] == "intended");
            if intended { Ok(()) } else { Err(format!("{journal:?}")) }
        },
    );
    let alerts: Vec<Alert> = (1..RUNS).map(|number| ill(&format!("web-{number}"), 0, number)).collect();
    let answer = daemon.alert(&alerts);
    std::thread::sleep(dice.pick_ms(0..250));
    daemon.signal(Signal::STOP);
    let asked = fake.seen("POST", "/restart").len();
    std::thread::sleep(STANDSTILL);
    daemon.signal(Signal::CONT);

    let mut runs = vec![hung];
    let others = answer["runs"].as_array().expect("runs were started").iter();
    runs.extend(others.filter_map(|run| run["run"].as_str().map(str::to_owned)));
    let mut failed = 0;
    for (number, run) in runs.iter().enumerate() {
        let ended = daemon.ended_within(run, HANDLED_WITHIN);
        let again = format!("{SEED}={}: {ended}\n{}", dice.seed(), daemon.log_tail());
        // A read that was under way has had its time too: the runbook is told, and nothing was done.
        let told =
            ended["outcome"] == "failed" && ended["error"].as_str().is_some_and(|error| error.contains("within"));
        assert!(told || ended["outcome"] == "fixed", "{again}");
        assert_eq!(fake.changes(&format!("web-{number}")), usize::from(!told), "restarted once if ever; {again}");
        failed += usize::from(told);
    }
    assert!(failed < RUNS / 2, "most runs were beyond their reads: {failed} of {RUNS} failed");
    assert_eq!(runs.len(), RUNS, "{answer}");
    announce(&format!(
        "machine: stood still for {:.1} s with {asked} of {RUNS} restarts asked for, {failed} reads too late \
         ({SEED}={}), {:.0} s",
        STANDSTILL.as_secs_f64(),
        dice.seed(),
        began.elapsed().as_secs_f64()
    ));
}
