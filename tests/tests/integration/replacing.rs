//! Containers that are made anew, and the daemon killed at every step of it, also of the way back: in the end there is
//! exactly one, and it is well.
//!
//! The real binary with a real Docker engine. A socket between both counts the calls that change something and ends the
//! daemon at one of them, before the engine hears of it or after it has answered. Deliberately not here: what a new
//! container keeps of the old one, see the driver's own tests.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::Package;
use sandbook_tests::{announce, wait};
use serde_json::{Value, json};

/// What the recreation under test meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The new container gets well.
    Forward,
    /// It is connected to further networks first.
    Networks,
    /// The new one never gets healthy: the old one comes back.
    Back,
}

/// Further networks, beside the one that its container begins with.
const FIRST: &str = "front";
const FURTHER: [&str; 2] = ["middle", "rear"];

impl Way {
    /// Calls that change something, in their order: what they are, and what stands in their request.
    fn calls(self) -> &'static [(&'static str, &'static str)] {
        const CREATE: (&str, &str) = ("create", "/containers/create?");
        const CONNECT: (&str, &str) = ("connect", "/connect");
        const UPDATE: (&str, &str) = ("update", "/update");
        const STOP: (&str, &str) = ("stop", "/stop");
        const ASIDE: (&str, &str) = ("rename aside", ".old-");
        const RENAME: (&str, &str) = ("rename", "/rename");
        const START: (&str, &str) = ("start", "/start");
        const REMOVE: (&str, &str) = ("remove", "DELETE ");
        match self {
            Way::Forward => &[CREATE, UPDATE, STOP, ASIDE, RENAME, START, REMOVE],
            Way::Networks => &[CREATE, CONNECT, CONNECT, UPDATE, STOP, ASIDE, RENAME, START, REMOVE],
            Way::Back => &[CREATE, UPDATE, STOP, ASIDE, RENAME, START, REMOVE, RENAME, UPDATE, START],
        }
    }

    /// At which of them the daemon is killed: those that another way does not have, and of the connections the last, before
    /// which the new container is on some of its networks.
    fn struck(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Way::Forward => 1..=self.calls().len(),
            Way::Networks => 1 + FURTHER.len()..=1 + FURTHER.len(),
            Way::Back => 7..=self.calls().len(),
        }
    }

    /// The container that is made anew. Where it comes back, its restart policy does too.
    fn container<'a>(self, engine: &'a Dockerd, name: &str) -> sandbook_tests::docker::Container<'a> {
        match self {
            Way::Forward => engine.service(name),
            Way::Networks => {
                let container = engine.create(name, &json!({"HostConfig": {"NetworkMode": FIRST}}));
                for network in FURTHER {
                    let body = json!({"Container": name});
                    engine.api().post(&format!("/networks/{network}/connect"), &body).expect(200);
                }
                container
            }
            Way::Back => engine.create(name, &json!({"HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}})),
        }
    }

    fn runbook(self) -> String {
        let command = if self == Way::Back { "command: [\"sleep\", \"1000\"]," } else { "" };
        RUNBOOK.replace("COMMAND", command)
    }
}

/// Recreations under way at once: most of their time is waiting.
const AT_ONCE: usize = 7;
/// A cut call is waited for 5 s, and the second attempt takes as long as the first.
const ENDED_WITHIN: Duration = Duration::from_secs(120);

const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[brakes]
settle = "0s"
storm = { min = 10000, share = 1.0, window = "10m" }
"#;
const POLICY: &str = "permit (principal == Runbook::\"anew\", action == Action::\"docker.recreate-container\", resource is Container);\n";
const RUNBOOK: &str = r#"//! name = "anew"
//! version = "1.0.0"
//! summary = "Makes its container anew."
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.recreate-container"]
//! [brake]
//! attempts = ["100/1d"]
//! settle = "1ms"
fn run(input) {
    let made = docker::recreate_container(input.target, #{
        labels: #{ "made": "anew" }, COMMAND grace_ms: 1000, healthy_within_ms: 60000,
    });
    fixed("made " + made.id)
}
"#;

/// Between a daemon and its engine: ends the daemon at the n-th call that changes something.
struct Between {
    socket: PathBuf,
    seen: Arc<Mutex<Vec<String>>>,
    /// Process to kill; 0 until it is known.
    pid: Arc<AtomicI32>,
}

impl Between {
    fn start(folder: &Path, engine: &Path, at: usize, heard: bool) -> Between {
        let socket = folder.join("between.sock");
        let listener = UnixListener::bind(&socket).expect("a free path");
        let (engine, seen, pid) = (engine.to_owned(), Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicI32::new(0)));
        let counted = Arc::new(AtomicUsize::new(0));
        let between = Between { socket, seen: seen.clone(), pid: pid.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let (engine, seen, pid, counted) = (engine.clone(), seen.clone(), pid.clone(), counted.clone());
                std::thread::spawn(move || {
                    let end = |pid: i32| {
                        let pid = rustix::process::Pid::from_raw(pid).expect("a daemon runs");
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    };
                    let _ = pass(client, &engine, |line| {
                        seen.lock().expect("unpoisoned").push(line.to_owned());
                        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                        (number == at).then(|| (heard, end, pid.load(Ordering::SeqCst)))
                    });
                });
            }
        });
        between
    }
}

/// One connection. `strikes` says of a call that changes something whether the daemon ends at it, and when.
fn pass<End: Fn(i32)>(
    mut client: UnixStream,
    engine: &Path,
    strikes: impl Fn(&str) -> Option<(bool, End, i32)>,
) -> std::io::Result<()> {
    let mut first = Vec::new();
    let mut chunk = [0_u8; 16 * 1024];
    while !first.windows(2).any(|pair| pair == b"\r\n") {
        let read = client.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        first.extend_from_slice(&chunk[..read]);
    }
    let line = String::from_utf8_lossy(&first).lines().next().unwrap_or_default().to_owned();
    let struck = if line.starts_with("GET ") { None } else { strikes(&line) };
    if let Some((false, end, pid)) = &struck {
        end(*pid);
        return Ok(());
    }
    let mut server = UnixStream::connect(engine)?;
    server.write_all(&first)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    if let Some((true, end, pid)) = struck {
        // The engine has done it and says so; nobody hears.
        let _ = server.read(&mut chunk)?;
        end(pid);
        return Ok(());
    }
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}

/// Names and states of the containers whose name begins so.
fn of_name(engine: &Dockerd, name: &str) -> Vec<(String, String, String)> {
    let listed = engine.api().get("/containers/json?all=1").expect(200).json();
    let mut found: Vec<(String, String, String)> = Vec::new();
    for one in listed.as_array().expect("a list") {
        let called = one["Names"][0].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        if called == name || called.starts_with(&format!("{name}.")) {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            found.push((called, text("State"), text("Id")));
        }
    }
    found
}

/// One recreation with the daemon killed at a call. Returns what the run was in the end and how often it was tried.
fn killed_at(engine: &Dockerd, number: usize, (way, at, heard): (Way, usize, bool)) -> String {
    let name = format!("anew-{number}");
    let old = way.container(engine, &name);
    let old_id = old.id().to_owned();
    let folder = tempfile::TempDir::with_prefix("sandbook-between-").expect("a temporary folder");
    let between = Between::start(folder.path(), engine.socket(), at, heard);
    let endpoint = format!("unix://{}", between.socket.display());
    let setup = Setup::with(CONFIG).docker(&endpoint).file("policy/anew.cedar", POLICY);
    let mut daemon = Daemon::start(setup);
    daemon.push_live(&Package::rhai_file("anew", &way.runbook()));
    between.pid.store(daemon.pid().as_raw_nonzero().get(), Ordering::SeqCst);
    let run = daemon.run("anew", &json!({"target": name}));
    let (call, wanted) = way.calls()[at - 1];
    let place = format!("{way:?}, killed at call {at}, {call} ({})", if heard { "done" } else { "not heard" });
    wait::until(
        &place,
        ENDED_WITHIN,
        || daemon.log_tail(),
        || {
            let seen = between.seen.lock().expect("unpoisoned");
            if seen.len() >= at && daemon_is_gone(&daemon) { Ok(()) } else { Err(format!("{seen:?}")) }
        },
    );
    daemon.kill();
    daemon.restart();
    let ended = daemon.ended_within(&run, ENDED_WITHIN);
    let left = of_name(engine, &name);
    let seen = between.seen.lock().expect("unpoisoned").clone();
    let context = format!("{place}: {ended}\n{left:?}\n{seen:#?}\n{}", daemon.log_tail());
    assert!(seen[at - 1].contains(wanted), "{context}");
    let end = if way == Way::Back { "failed" } else { "succeeded" };
    assert!(ended["state"] == end || ended["state"] == "needs-attention", "{context}");
    let [(called, state, id)] = left.as_slice() else { panic!("exactly one is left: {context}") };
    assert_eq!((called.as_str(), state.as_str()), (name.as_str(), "running"), "{context}");
    let inspected = engine.api().get(&format!("/containers/{id}/json")).expect(200).json();
    if way == Way::Back {
        assert_eq!(*id, old_id, "{context}");
        assert_eq!(inspected["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped", "{context}");
    } else if ended["state"] == "succeeded" {
        assert_ne!(*id, old_id, "{context}");
        assert_eq!(inspected["Config"]["Labels"]["made"], "anew", "{context}");
    }
    if way == Way::Networks {
        let networks = inspected["NetworkSettings"]["Networks"].as_object().expect("a map");
        assert!([FIRST].iter().chain(&FURTHER).all(|one| networks.contains_key(*one)), "{networks:?} {context}");
    }
    let journal = daemon.journal(&run);
    let intents = journal.iter().filter(|record| record["kind"] == "intended").count();
    daemon.kill();
    format!("{place}: {}, {intents} attempts", ended["state"].as_str().unwrap_or_default())
}

fn daemon_is_gone(daemon: &Daemon) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid().as_raw_nonzero()));
    status.is_ok_and(|status| status.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

#[test]
fn a_daemon_killed_at_any_step_of_a_recreation_leaves_exactly_one_container() {
    let engine = Dockerd::start();
    for (part, network) in (0..).zip([FIRST].iter().chain(&FURTHER)) {
        engine.network_part(network, part);
    }
    let ways = [Way::Forward, Way::Networks, Way::Back].into_iter();
    let cases: Vec<(Way, usize, bool)> =
        ways.flat_map(|way| way.struck().flat_map(move |at| [(way, at, false), (way, at, true)])).collect();
    let queue = Mutex::new(cases.iter().copied().enumerate().collect::<Vec<_>>());
    let lines = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((number, case)) = { queue.lock().expect("unpoisoned").pop() } {
                    let line = killed_at(&engine, number, case);
                    lines.lock().expect("unpoisoned").insert(line);
                }
            });
        }
    });
    let lines = lines.into_inner().expect("unpoisoned");
    assert_eq!(lines.len(), cases.len());
    for line in lines {
        announce(&format!("recreate: {line}"));
    }
}

/// Each change with a policy for everything else: none suffices.
const REFUSED: &str = r#"//! name = "refused"
//! version = "1.0.0"
//! summary = "Tries every change it may not make."
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.recreate-container", "docker.remove-container", "docker.scale-service", "docker.connect-network",
//!     "docker.disconnect-network", "docker.prune-images", "docker.prune-build-cache", "logs.truncate-container-log",
//!     "alertmanager.create-silence", "alertmanager.expire-silence"]
fn run(input) {
    let t = input.target;
    let said = "";
    try { docker::recreate_container(t); said += "done "; } catch (e) { said += e.kind + " "; }
    try { docker::remove_container(t, #{ force: true }); said += "done "; } catch (e) { said += e.kind + " "; }
    try { docker::scale_service("shop/web", 2); said += "done "; } catch (e) { said += e.kind + " "; }
    try { docker::connect_network(t, "bridge"); said += "done "; } catch (e) { said += e.kind + " "; }
    try { docker::disconnect_network(t, "none"); said += "done "; } catch (e) { said += e.kind + " "; }
    try { docker::prune_images(); said += "done "; } catch (e) { said += e.kind + " "; }
    try { docker::prune_build_cache(); said += "done "; } catch (e) { said += e.kind + " "; }
    try { logs::truncate_container_log(t); said += "done "; } catch (e) { said += e.kind + " "; }
    try {
        alertmanager::create_silence(#{ matchers: ["a=\"b\""], duration_ms: 60000, comment: "c" });
        said += "done ";
    } catch (e) { said += e.kind + " "; }
    try { alertmanager::expire_silence("5c"); said += "done "; } catch (e) { said += e.kind + " "; }
    done(said)
}
"#;

/// A permit for a pattern, for a service and for any container: enough for most changes, not for emptying a log.
const WIDE: &str = r#"
permit (principal, action == Action::"logs.truncate-container-log", resource is Container) when { resource.name like "shop-*" };
permit (principal, action == Action::"logs.truncate-container-log", resource is Container)
when { resource.project == "shop" && resource.service == "web" };
permit (principal, action == Action::"docker.restart-container", resource is Container);
"#;
const BY_NAME: &str = r#"
permit (principal, action == Action::"logs.truncate-container-log", resource is Container)
when { resource.name == "shop-web-1" };
"#;

#[test]
fn every_change_needs_its_own_permit_and_a_log_is_emptied_only_by_its_name() {
    let engine = Dockerd::start();
    let web = engine.compose_service("shop", "web", 1);
    let setup = Setup::with(CONFIG).docker(&engine.endpoint()).file("policy/wide.cedar", WIDE);
    let mut daemon = Daemon::start(setup);
    daemon.push_live(&Package::rhai_file("refused", REFUSED));
    let run = daemon.run("refused", &json!({"target": web.name()}));
    let ended = daemon.ended(&run);
    let all: Vec<&str> = vec!["denied"; 10];
    assert!(ended.to_string().contains(&all.join(" ")), "{ended}");
    assert_eq!(of_name(&engine, "shop-web-1").len(), 1);
    let refused = daemon.journal(&run);
    let log =
        refused.iter().find(|record| record["effect"] == "logs.truncate-container-log").expect("it was asked for");
    assert!(log.to_string().contains("--container shop-web-1"), "the denial says what would suffice: {log}");

    daemon.write("policy/name.cedar", BY_NAME);
    daemon.kill();
    daemon.restart();
    let run = daemon.run("refused", &json!({"target": web.name()}));
    let ended: Value = daemon.ended(&run);
    let mut but_one = all;
    but_one[7] = "done";
    assert!(ended.to_string().contains(&but_one.join(" ")), "{ended}");
}
