//! Runbooks of the catalogue against a real engine, each with its fault really produced: processes killed for memory, commands
//! that are not there, ports that are taken, networks that are gone.
//!
//! One engine and one daemon for all of them. The faults are produced one after the other, then every alert is posted at once
//! and each run is followed to its end, so that the whole takes as long as the slowest. Deliberately not here: what a runbook
//! does in every other case, which its scenarios tell without an engine (`every_scenario_of_the_catalogue_passes`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup, binary};
use sandbook_tests::docker::{Container, Dockerd};
use sandbook_tests::{announce, repository, wait};
use serde_json::{Value, json};

/// The longest of them waits ten seconds on purpose; debug builds on a loaded machine are slow.
const ENDED_WITHIN: Duration = Duration::from_secs(120);
/// A condition that holds is seen within a second.
const VERIFIED_WITHIN: Duration = Duration::from_secs(60);
/// A fault that takes its course: an out-of-memory kill, a few turns of a crash loop.
const FAULT_WITHIN: Duration = Duration::from_secs(60);

/// Brakes stay out of the way: what holds back is tested elsewhere. Parameters come by routes, as an operator gives them.
const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[brakes]
per_host = ["1000/10m"]
storm = { min = 1000, share = 1.0, window = "10m" }
[[routes]]
match = ['alertname="ContainerThrottled"']
runbook = "relieve-throttling"
parameters = { ceiling_cpus = "0.4", window = "2s" }
[[routes]]
match = ['alertname="HostRebooted"']
runbook = "start-after-reboot"
parameters = { settle = "1s", patience = "10s" }
[[routes]]
match = ['alertname="ContainerDiskUseHigh"']
runbook = "truncate-log"
parameters = { limit_mib = "1" }
[[routes]]
match = ['alertname="HostDiskAlmostFull"']
runbook = "prune-images"
parameters = { target_gib = "0.0001" }
"#;

/// Every line that a runbook's page tells to type, but for any container.
fn policy(runbooks: &[&str]) -> String {
    let permit = |name: &&str| {
        let (id, head) = (format!("@id(\"{name}\")"), format!("permit (principal == Runbook::\"{name}\","));
        format!("{id} {head} action in Action::\"mutate\", resource);\n")
    };
    let named = "permit (principal, action == Action::\"logs.truncate-container-log\", resource is Container) \
                 when { resource.name == \"chatty\" };\n";
    runbooks.iter().map(permit).collect::<String>() + named
}

/// A fault, what it is told as, and what must come of it.
struct Case {
    runbook: &'static str,
    alert: &'static str,
    name: &'static str,
    outcome: &'static str,
    sentence: &'static str,
}

const fn case(
    runbook: &'static str,
    alert: &'static str,
    name: &'static str,
    outcome: &'static str,
    sentence: &'static str,
) -> Case {
    Case { runbook, alert, name, outcome, sentence }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("recover-oom", "ContainerOomKilled", "hungry", "fixed", "was killed for memory; started"),
    case("stop-crash-loop", "ContainerRestarting", "looping", "escalate", "exit code 127, its command was not found"),
    case("report-missing-config", "ContainerMisconfigured", "unset", "escalate", "its log asks for DATABASE_URL"),
    case("restart-unhealthy", "ContainerUnhealthy", "no-probe", "escalate", "the health check of no-probe cannot run"),
    case("start-when-port-free", "ContainerStartFailed", "second", "fixed", "the port of second was free at try"),
    case("reattach-network", "ContainerNetworkOrphaned", "sharer", "fixed", "is in the network of owner again"),
    case("reap-zombies", "ContainerProcessesHigh", "zombies", "fixed", "run it with an init"),
    case("restart-on-log-errors", "SiteProbeFailing", "resets", "fixed", "known errors within 10 minutes"),
    case("heal-dns", "ContainerDnsFailing", "lost", "fixed", "no failed lookup since"),
    case("explain-stop", "ContainerStopped", "rested", "nothing-to-do", "was ended on request"),
    case("heal-dependency", "ContainerDependencyDown", "db", "fixed", "started db; what depends on it recovered"),
    case("relieve-throttling", "ContainerThrottled", "busy", "fixed", "from 0.2 to 0.3 cores"),
    case("report-heartbeat-lost", "JobHeartbeatLost", "backup", "escalate", "ended with exit code 2"),
    case("truncate-log", "ContainerDiskUseHigh", "chatty", "fixed", "emptied the log of chatty"),
    case("prune-images", "HostDiskAlmostFull", "", "done", "which gave back"),
    case("roll-back-deploy", "DeployFailing", "deployed", "fixed", "deployed is back at shop:1"),
    case("start-after-reboot", "HostRebooted", "", "done", "started after the reboot: root, leaf; all are well"),
];

/// A container that runs a script and has no health check.
fn script(docker: &Dockerd, name: &str, script: &str, host: &Value) {
    docker.create(name, &plain(script, host));
}

fn plain(script: &str, host: &Value) -> Value {
    // A first process hears no TERM that it did not ask for.
    json!({"Cmd": ["sh", "-c", script], "Healthcheck": {"Test": ["NONE"]}, "StopTimeout": 1, "HostConfig": host})
}

fn labels(service: &str, depends_on: &str) -> Value {
    json!({
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": service,
        "com.docker.compose.depends_on": depends_on,
    })
}

#[track_caller]
fn await_that(docker: &Dockerd, name: &str, what: &str, holds: impl Fn(&Value) -> bool) {
    wait::until(&format!("{name}: {what}"), FAULT_WITHIN, String::new, || {
        let seen = docker.api().get(&format!("/containers/{name}/json")).expect(200).json();
        if holds(&seen) { Ok(()) } else { Err(seen["State"].to_string()) }
    });
}

/// Faults of a program: each is well in its second life, so that bringing it back helps.
fn programs_fail(docker: &Dockerd) {
    // The second time it leaves memory alone.
    let hungry = "[ -e /once ] && exec sleep 1000; touch /once; exec tail /dev/zero";
    script(docker, "hungry", hungry, &json!({"Memory": 16 << 20, "MemorySwap": 16 << 20}));
    script(docker, "looping", "nosuch", &json!({"RestartPolicy": {"Name": "always"}}));
    script(docker, "unset", "echo 'fatal: DATABASE_URL is not set' >&2; exit 78", &json!({}));
    script(
        docker,
        "segfault",
        "[ -e /once ] && exec sleep 1000; touch /once; sh -c 'kill -SEGV $$'; exit 139",
        &json!({}),
    );
    script(
        docker,
        "zombies",
        "[ -e /once ] && exec sleep 1000; touch /once; for i in $(seq 30); do sleep 0.3 & done; exec sleep 1000",
        &json!({}),
    );
    script(
        docker,
        "resets",
        "[ -e /once ] && exec sleep 1000; touch /once; for i in $(seq 8); do echo 'read: ECONNRESET'; done; exec sleep 1000",
        &json!({}),
    );
    script(
        docker,
        "lost",
        "[ -e /once ] && exec sleep 1000; touch /once; wget http://db.internal/; exec sleep 1000",
        &json!({}),
    );
    script(docker, "busy", "while :; do :; done", &json!({"NanoCpus": 200_000_000}));
    script(docker, "backup", "echo 'cannot reach the store' >&2; exit 2", &json!({}));
    script(docker, "chatty", "yes 'GET / 200' | head -c 3000000; exec sleep 1000", &json!({}));
    await_that(docker, "hungry", "killed for memory", |seen| seen["State"]["OOMKilled"] == true);
    await_that(docker, "looping", "restarted twice", |seen| seen["RestartCount"].as_u64() >= Some(2));
    for name in ["unset", "segfault", "backup"] {
        await_that(docker, name, "over", |seen| seen["State"]["Status"] == "exited");
    }
}

/// A release that works, one that does not, and an image that lost its tag.
fn images_fail(docker: &Dockerd) {
    docker.import("scrap", "1", &["old"]);
    docker.import("scrap", "1", &["new"]);
    // Docker tells the age of an image to the second; the one before was made first of all.
    docker.import("shop", "2", &["bad"]);
    let mut request = plain("[ -e /good ] && exec sleep 1000; exit 1", &json!({}));
    request["Image"] = json!("shop:2");
    docker.create("deployed", &request);
    await_that(docker, "deployed", "over", |seen| seen["State"]["Status"] == "exited");
}

/// Faults of what lies between containers.
fn neighbours_fail(docker: &Dockerd) -> Container<'_> {
    docker.create("owner", &plain("exec sleep 1000", &json!({})));
    docker.create("sharer", &plain("exec sleep 1000", &json!({"NetworkMode": "container:owner"})));
    docker.api().post("/containers/owner/restart?t=0", &json!({})).expect(204);
    docker.service("rested").stop();
    let once = "[ -e /once ] && exec sleep 1000; touch /once; exit 1";
    docker.create(
        "db",
        &json!({"Cmd": ["sh", "-c", once], "Healthcheck": {"Test": ["NONE"]}, "Labels": labels("db", "")}),
    );
    let web = json!({"Healthcheck": {"Test": ["NONE"]}, "Labels": labels("web", "db:service_started:false")});
    docker.create("web", &web);
    // As a boot leaves them: what the second needs was not there yet, and both gave up.
    for (name, needs) in [("leaf", "root:service_started:false"), ("root", "")] {
        let twice = "[ -e /twice ] && exec sleep 1000; [ -e /once ] && touch /twice; touch /once; exit 1";
        let policy = json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}});
        let mut request = plain(twice, &policy);
        request["Labels"] = labels(name, needs);
        docker.create(name, &request);
    }
    for name in ["db", "root", "leaf"] {
        await_that(docker, name, "over", |seen| seen["State"]["Status"] == "exited");
    }
    ports_collide(docker)
}

/// Two want one port; the second cannot be started. Returns who holds it.
fn ports_collide(docker: &Dockerd) -> Container<'_> {
    let network = docker.network("catalogue");
    let port = sandbook_tests::process::free_port().to_string();
    let publish =
        json!({"NetworkMode": network, "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}});
    let mut request = plain("exec sleep 1000", &publish);
    request["ExposedPorts"] = json!({"80/tcp": {}});
    let holder = docker.create("first", &request);
    let refused = docker.create_stopped("second", &request).start();
    assert!(refused.contains("port is already allocated"), "{refused}");
    holder
}

/// The run that an alert, or an event just before it, started on a container; ended.
fn run_of(daemon: &Daemon, case: &Case) -> Value {
    let about = |run: &Value| run["mode"] == "live" && (case.name.is_empty() || run["target"]["name"] == case.name);
    let found = wait::until(
        &format!("a live run of {} on {}", case.runbook, case.name),
        ENDED_WITHIN,
        || daemon.log_tail(),
        || daemon.runs(&format!("runbook={}", case.runbook)).into_iter().find(about).ok_or("none yet".to_owned()),
    );
    daemon.ended_within(found["run"].as_str().expect("a run has an id"), ENDED_WITHIN)
}

fn assert_confirmed(daemon: &Daemon, run: &Value) {
    let id = run["run"].as_str().expect("a run has an id");
    let verified = wait::until(
        &format!("{} to be verified", run["runbook"]),
        VERIFIED_WITHIN,
        || daemon.log_tail(),
        || {
            let run = daemon.api().get(&format!("/v1/runs/{id}")).expect(200).json();
            if run["verification"] == "pending" { Err(run.to_string()) } else { Ok(run) }
        },
    );
    assert_eq!(verified["verification"], "confirmed", "{verified}\n{}", daemon.log_tail());
}

#[test]
fn faults_really_produced_are_healed_or_told() {
    let docker = Dockerd::start();
    docker.import("shop", "1", &["good"]);
    programs_fail(&docker);
    images_fail(&docker);
    let holder = neighbours_fail(&docker);
    let runbooks: Vec<&str> = CASES.iter().map(|case| case.runbook).chain(["restart-exited"]).collect();
    let setup = Setup::with(CONFIG).docker(&docker.endpoint()).file("policy/catalogue.cedar", &policy(&runbooks));
    let daemon = Daemon::start(setup);
    for case in CASES {
        daemon.cli(&["promote", case.runbook, "live", "--reason", "its fault is produced in this test"]).expect(0);
    }
    // Only now, so that the engine's own event finds it live; the alert joins that run.
    let broken = json!({"Healthcheck": {"Test": ["CMD", "nosuch"], "Retries": 1}});
    let probed = docker.create_stopped("no-probe", &broken);
    assert_eq!(probed.start(), "");
    probed.await_health("unhealthy");

    let posted = Instant::now();
    for case in CASES {
        let alert = Alert::firing(case.alert).fingerprint(case.alert);
        daemon.alert(&[if case.name.is_empty() { alert } else { alert.label("name", case.name) }]);
    }
    holder.remove();
    for case in CASES {
        assert_comes_to(&daemon, case, posted);
    }
    // It listens to every death, so it comes last.
    let crash = case("restart-exited", "ContainerExited", "segfault", "fixed", "died with exit code 139; started");
    daemon.cli(&["promote", crash.runbook, "live", "--reason", "its fault is produced in this test"]).expect(0);
    let posted = Instant::now();
    daemon.alert(&[Alert::firing(crash.alert).fingerprint(crash.alert).label("name", crash.name)]);
    assert_comes_to(&daemon, &crash, posted);
}

/// Follows the run of a case to its end, and where it healed something to its confirmation.
fn assert_comes_to(daemon: &Daemon, case: &Case, posted: Instant) {
    let run = run_of(daemon, case);
    let id = run["run"].as_str().expect("a run has an id");
    let story = || format!("{:?}\n{}", daemon.cli(&["show", id]), daemon.log_tail());
    assert_eq!(run["outcome"], case.outcome, "{} on {}: {run}\n{}", case.runbook, case.name, story());
    let sentence = run["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains(case.sentence), "{} on {}: {sentence}\n{}", case.runbook, case.name, story());
    announce(&format!("{}: alert → {}: {:.1} s", case.runbook, case.outcome, posted.elapsed().as_secs_f64()));
    // A container that was made anew is another instance, whose health the change itself waited for.
    if case.outcome == "fixed" && case.runbook != "roll-back-deploy" {
        assert_confirmed(daemon, &run);
    }
}

/// Plays the scenarios of every runbook, as an author does.
#[test]
fn every_scenario_of_the_catalogue_passes() {
    let folder = repository().join("runbooks");
    let mut packages: Vec<_> = folder.read_dir().expect("the catalogue").flatten().map(|entry| entry.path()).collect();
    packages.retain(|path| path.join("runbook.toml").is_file());
    // What carries an interpreter of its own is built and played by `languages`.
    packages.retain(|path| ["main.py", "main.js", "main.ts"].iter().all(|code| !path.join(code).is_file()));
    packages.sort();
    assert!(packages.len() >= 25, "{} runbooks", packages.len());
    packages.iter().for_each(|package| plays_every_scenario(package));
}

/// Its scenarios pass, are enough, and leave nothing out that it asks for or can do.
#[track_caller]
pub(crate) fn plays_every_scenario(package: &Path) {
    let report = tested(package);
    let scenarios = report["scenarios"].as_array().map_or(0, Vec::len);
    assert!(scenarios >= 4, "{} has {scenarios} scenarios", package.display());
    for (never, what) in [("unused_effects", "requested and never used"), ("unreached", "never reached")] {
        let found = report["coverage"][never].as_array().cloned().unwrap_or_default();
        assert_eq!(found, Vec::<Value>::new(), "{}: {what}", package.display());
    }
}

fn tested(package: &Path) -> Value {
    let ran = Command::new(binary()).args(["test", "--json"]).arg(package).output().expect("the binary starts");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{}: {text}{}", package.display(), String::from_utf8_lossy(&ran.stderr));
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", package.display()));
    report["packages"][0].clone()
}
