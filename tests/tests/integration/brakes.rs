//! Brakes through the real binary: what is done often enough is not done again until a person has looked.
//!
//! Docker is the fake at the wire, which counts what was really asked of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::package::Package;
use sandbook_tests::wait;
use serde_json::{Value, json};

/// An alert joins the run before it for as long as that one settles and is verified: two seconds here, and a guest is
/// started in a debug build.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
/// A notification goes out when its run ends.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

const POLICY: &str = r#"
@id("restarts")
permit (principal == Runbook::"keeps-restarting", action == Action::"docker.restart-container", resource is Container);
"#;

/// Restarts whatever it is pointed at. Nothing but brakes holds it back for longer than a second.
const RUNBOOK: &str = r#"//! name = "keeps-restarting"
//! version = "1.0.0"
//! summary = "Made by a test."
//! [[trigger]]
//! alert = ["WebDown"]
//! [target]
//! kind = "container"
//! container_from = ["name"]
//! [requests]
//! effects = ["docker.restart-container"]
//! [brake]
//! attempts = ["3/1h"]
//! settle = "1s"
//! [verify]
//! condition = "running"
//! within = "1s"
//! resolved_within = "1s"
//! no_refire = "1s"
fn run(input) {
    docker::restart_container(input.target, #{ grace_ms: 0 });
    fixed("restarted")
}
"#;

/// What a channel of kind webhook received.
#[derive(Clone, Default)]
pub(super) struct Received(Arc<Mutex<Vec<Value>>>);

impl Received {
    /// Listens until the test ends; returns the URL.
    pub(super) fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let body = receive(stream).expect("the daemon speaks HTTP");
                received.0.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            }
        });
        format!("http://{address}/")
    }

    pub(super) fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn receive(stream: TcpStream) -> std::io::Result<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    Ok(serde_json::from_slice(&body)?)
}

fn daemon(fake: &FakeDocker, more: &str) -> Daemon {
    let config = format!("[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n{more}");
    let setup = Setup::with(&config).docker(&fake.endpoint()).file("policy/restarts.cedar", POLICY);
    let daemon = Daemon::start(setup);
    daemon.push_live(&Package::rhai_file("keeps-restarting", RUNBOOK));
    daemon
}

/// Sends further alerts about `web-1` until one starts a run of its own; returns that run, ended.
fn alert(daemon: &Daemon, serial: &mut u32) -> Value {
    let run = wait::until(
        "an alert to start a run",
        STARTED_WITHIN,
        || daemon.log_tail(),
        || {
            *serial += 1;
            let alert = Alert::firing("WebDown").label("name", "web-1").label("serial", &serial.to_string());
            let answer = daemon.alert(&[alert]);
            answer["runs"][0]["run"].as_str().map(str::to_owned).ok_or_else(|| answer.to_string())
        },
    );
    daemon.ended(&run)
}

fn restarts(fake: &FakeDocker) -> usize {
    fake.seen("POST", "/restart").len()
}

#[test]
fn the_fourth_alert_is_held_back_until_a_person_re_arms() {
    let fake = FakeDocker::start();
    fake.container("web-1", "none");
    let received = Received::default();
    let url = received.listen();
    let mut daemon = daemon(
        &fake,
        &format!(
            "[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{url}\"\n\
             [[notify.routes]]\non = [\"tripped\"]\nchannel = \"ops\"\n"
        ),
    );
    let mut serial = 0;
    for done in 1..=3 {
        assert_eq!(alert(&daemon, &mut serial)["outcome"], "fixed");
        assert_eq!(restarts(&fake), done);
    }
    let fourth = alert(&daemon, &mut serial);
    assert_eq!((&fourth["state"], &fourth["outcome"]), (&json!("failed"), &json!("limited")), "{fourth}");
    let brakes = daemon.api().get("/v1/brakes").expect(200).json();
    let tripped = brakes["brakes"][0].clone();
    let id = tripped["id"].as_str().expect("an id").to_owned();
    assert_eq!((&tripped["state"], &tripped["run"]), (&json!("tripped"), &fourth["run"]), "{brakes}");
    let line = format!("sandbook rearm {id} --reason");
    daemon.cli(&["show", fourth["run"].as_str().expect("an id")]).expect(0).says(&line);
    daemon.cli(&["brakes"]).expect(0).says("keeps-restarting on local/web-1").says("3 of 3 attempts in 1h").says(&line);
    daemon.cli(&["status"]).expect(0).says("tripped");

    let told = wait::until(
        "a notification",
        TOLD_WITHIN,
        || daemon.log_tail(),
        || received.all().first().cloned().ok_or_else(|| "none".to_owned()),
    );
    assert!(told["text"].as_str().is_some_and(|text| text.contains(&line) && text.contains("3 attempts")), "{told}");

    // Held back again, also by a daemon that was killed; of that nobody is told twice.
    assert_eq!(alert(&daemon, &mut serial)["outcome"], "limited");
    daemon.kill();
    daemon.restart();
    assert_eq!(alert(&daemon, &mut serial)["outcome"], "limited");
    assert_eq!((restarts(&fake), received.all().len()), (3, 1), "{:?}", received.all());

    daemon.cli(&["rearm", &id, "--reason", "the disk was full"]).expect(0).says("may go on");
    assert_eq!(alert(&daemon, &mut serial)["outcome"], "fixed");
    assert_eq!(restarts(&fake), 4);
    daemon.cli(&["audit"]).expect(0).says("re-arm").says("the disk was full");
    assert_eq!(received.all().len(), 1, "{:?}", received.all());
}

#[test]
fn a_storm_is_a_share_of_the_hosts_containers() {
    let fake = FakeDocker::start();
    for number in 0..20 {
        fake.container(&format!("web-{number}"), "none");
    }
    let daemon = daemon(&fake, "");
    let run = |number: usize| {
        let run = daemon.run("keeps-restarting", &json!({"target": format!("web-{number}")}));
        daemon.ended(&run)
    };
    // A quarter of twenty.
    for number in 0..5 {
        assert_eq!(run(number)["outcome"], "fixed");
    }
    let sixth = run(5);
    assert_eq!(sixth["outcome"], "limited");
    let why = sixth["sentence"].as_str().unwrap_or_default();
    assert!(why.contains("5 containers of host local touched within 10m, at most 5 may be"), "{why}");
    assert_eq!(run(0)["outcome"], "limited", "the cause is elsewhere");
    assert_eq!(restarts(&fake), 5);
}
