//! A Docker engine that hangs: said at once, waited for, and taken up again within half a minute of its return; the other
//! hosts notice nothing.
//!
//! The engines are fakes, because no real one hangs on request.

use std::time::{Duration, Instant};

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::{FakeDocker, Fault};
use sandbook_tests::{announce, wait};
use serde_json::json;

/// Three unanswered calls of two seconds each and what lies between them; a loaded machine is slower.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
/// The promise.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// A run on a host that answers, while the other hangs: it must not wait for the other's timeouts.
const UNHINDERED_WITHIN: Duration = Duration::from_secs(20);

const POLICY: &str = "permit (principal, action in Action::\"mutate\", resource);\n";

#[test]
fn a_host_that_hangs_is_waited_for_and_hinders_no_other() {
    let (silent, other) = (FakeDocker::start(), FakeDocker::start());
    for fake in [&silent, &other] {
        fake.container("web", "unhealthy");
    }
    let config = format!(
        "[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n[docker.hosts.other]\nendpoint = \"{}\"\n",
        other.endpoint()
    );
    // The configuration of a test names the engine `local` after this.
    let setup = Setup::with(&config)
        .docker(&silent.endpoint())
        .environment("SANDBOOK_DOCKER__HOSTS__LOCAL__READ_TIMEOUT", "2s")
        .file("policy/everything.cedar", POLICY);
    let daemon = Daemon::start(setup);
    daemon.cli(&["promote", "restart-unhealthy", "live", "--reason", "it heals in this test"]).expect(0);
    for method in ["GET", "POST", "HEAD"] {
        silent.script(method, "", Fault::Hang, usize::MAX);
    }
    // Somebody has to call: a run does, and waits.
    let waiting = daemon.run("restart-unhealthy", &json!({"target": "local/web"}));
    let metric = "sandbook_docker_breaker_open{host=\"local\"}";
    let shows = |value: &str| {
        let text = daemon.api().get("/metrics").expect(200).text();
        let line = format!("{metric} {value}");
        if text.contains(&line) { Ok(()) } else { Err(format!("no `{line}`")) }
    };
    wait::until("the breaker to open", NOTICED_WITHIN, || daemon.log_tail(), || shows("1"));
    let ready = daemon.api().get("/ready").expect(503).text();
    assert!(ready.contains("docker host local does not answer since 20"), "{ready}");
    assert!(!ready.contains("docker host other"), "{ready}");

    let began = Instant::now();
    let run = daemon.run("restart-unhealthy", &json!({"target": "other/web"}));
    let ended = daemon.ended_within(&run, UNHINDERED_WITHIN);
    assert_eq!(ended["outcome"], "fixed", "{ended}");
    let unhindered = began.elapsed();

    wait::until(
        "the waiting run to say why",
        BACK_WITHIN,
        || daemon.log_tail(),
        || {
            let runs = daemon.runs("");
            let held = runs.iter().find(|run| run["run"] == waiting.as_str()).ok_or("no such run".to_owned())?;
            let why = held["error"].as_str().unwrap_or_default();
            let waits = held["state"] == "waiting" && why.contains("docker host `local` does not answer since 20");
            if waits { Ok(()) } else { Err(held.to_string()) }
        },
    );
    let asked = silent.seen("GET", "").len();
    std::thread::sleep(Duration::from_secs(6));
    let pings = silent.seen("GET", "").len() - asked;
    assert!(pings <= 3, "{pings} calls in six seconds to an engine that is left in peace");

    silent.recover();
    let back = Instant::now();
    let ended = daemon.ended_within(&waiting, BACK_WITHIN);
    assert_eq!(ended["outcome"], "fixed", "{ended}");
    let resumed = back.elapsed();
    wait::until("the breaker to close", BACK_WITHIN, || daemon.log_tail(), || shows("0"));
    daemon.api().get("/ready").expect(200);
    announce(&format!(
        "a silent host: a run elsewhere took {} ms, the waiting one ended {} ms after its return",
        unhindered.as_millis(),
        resumed.as_millis()
    ));
}
