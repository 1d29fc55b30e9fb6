//! The overlay: whatever a runbook asks for, nothing that changes reaches the real driver, and every answer has the shape
//! that the guest contract promises.

use futures::future::BoxFuture;
use sandbook_core::effect::docker::ContainerDetails;
use sandbook_core::effect::{Class, Effect, Scope};
use sandbook_core::error::Error;
use sandbook_core::gate::Permit;
use sandbook_core::journal::{Answer, Journal};
use sandbook_core::run::{Certainty, Decision};
use sandbook_core::target::{Resolved, Target};

use super::*;
use crate::driver::Steps;
use crate::driver::docker::ExecState;
use crate::runner::drivers::Driver;
use crate::runner::ledger::Rehearsed;
use crate::runner::overlay::{Assumption, Overlay};
use crate::runner::rehearse::{self, rehearse};

/// A driver that remembers what it was asked to do.
struct Watched {
    world: Simulated,
    driven: Mutex<Vec<&'static str>>,
}

impl Driver for Watched {
    fn resolve<'a>(&'a self, own_host: &'a str, scope: &'a Scope<'a>) -> BoxFuture<'a, Result<Resolved, Error>> {
        self.world.resolve(own_host, scope)
    }
    fn members<'a>(&'a self, host: &'a str, service: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.world.members(host, service)
    }
    fn population<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<u32>> {
        self.world.population(host)
    }
    fn details<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<ContainerDetails, Error>> {
        self.world.details(target)
    }
    fn exec_state<'a>(&'a self, host: &'a str, exec: &'a str) -> BoxFuture<'a, Result<ExecState, Error>> {
        self.world.exec_state(host, exec)
    }
    fn dependents_of<'a>(&'a self, host: &'a str, id: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.world.dependents_of(host, id)
    }
    fn is_own<'a>(&'a self, host: &'a str, name: &'a str) -> BoxFuture<'a, bool> {
        self.world.is_own(host, name)
    }
    fn drive<'a>(&'a self, permit: &'a Permit, steps: &'a dyn Steps) -> BoxFuture<'a, Result<Value, Error>> {
        self.driven.lock().expect("one at a time").push(permit.effect().name());
        self.world.drive(permit, steps)
    }
}

/// Everything there is to ask for, first before a change and then after it.
const EVERYTHING_ASKED: &str = r#"
fn ask(what) { try { what.call(); } catch (problem) { print(problem.message); } }
fn look(c) {
    ask(|| docker::inspect_container(c));
    ask(|| docker::list_containers(#{ all: true }));
    ask(|| docker::container_stats(c));
    ask(|| docker::container_processes(c));
    ask(|| docker::dependents(c));
    ask(|| docker::recent_events(#{ container: c }));
    ask(|| docker::recent_events(#{ limit: 5 }));
    ask(|| logs::tail_container(c, #{ lines: 5 }));
    ask(|| logs::search_container(c, "ERROR"));
    ask(|| metrics::query("up"));
    ask(|| net::http_probe("http://web:8080/"));
    ask(|| net::tcp_check("web", 8080));
    ask(|| net::dns_lookup("web"));
    ask(|| http::get("http://web:8080/"));
}
fn run(input) {
    let c = input.target;
    look(c);
    ask(|| docker::restart_container(c));
    look(c);
    ask(|| docker::exec(c, ["true"]));
    ask(|| docker::update_resources(c, #{ memory_bytes: 536870912 }));
    ask(|| docker::pause_container(c));
    ask(|| docker::unpause_container(c));
    ask(|| docker::stop_container(c));
    ask(|| docker::start_container(c));
    ask(|| docker::kill_container(c));
    ask(|| docker::recreate_container(c, #{ labels: #{ a: "b" } }));
    look(c);
    ask(|| docker::scale_service("shop/web", 2));
    ask(|| docker::connect_network(c, "back"));
    ask(|| docker::disconnect_network(c, "back"));
    ask(|| docker::container_changes(c));
    ask(|| docker::list_images());
    ask(|| docker::disk_usage());
    ask(|| docker::prune_images());
    ask(|| docker::prune_build_cache());
    ask(|| logs::truncate_container_log(c));
    ask(|| logs::query_loki("{app=\"web\"}"));
    ask(|| alertmanager::list_alerts());
    ask(|| alertmanager::list_silences());
    ask(|| alertmanager::create_silence(#{ matchers: ["a=\"b\""], duration_ms: 60000, comment: "c" }));
    ask(|| alertmanager::expire_silence("5c"));
    ask(|| llm::choose("what now?", "evidence", ["wait", "escalate"], "wait"));
    ask(|| llm::summarize("evidence", #{}, "nothing"));
    ask(|| llm::extract("evidence", "{}", "{}"));
    ask(|| incidents::similar(3));
    ask(|| docker::remove_container(c, #{ force: true }));
    ask(|| http::request("POST", "http://web:8080/"));
    ask(|| notify::send(#{ title: "x", text: "y" }));
    ask(|| human::ask("Well?", ["yes", "no"]));
    ask(|| clock::sleep(600000));
    ask(|| state::put("a", "b"));
    done("asked")
}
"#;

/// A plan may really send what it says, when whoever plans asks for it, and still does nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_only_when_that_is_asked_for() {
    let body = "fn run(input) { notify::send(#{ title: \"x\", text: \"y\" }); \
                docker::restart_container(input.target); done(\"said\") }";
    let package = script("tells", &["notify.send", "docker.restart-container"], body);
    for wanted in [false, true] {
        let bench = bench(EVERYTHING);
        let before = bench.world.lock().expect("one at a time").clone();
        let real = Arc::new(Simulated(bench.world.clone()));
        let overlay = Arc::new(Overlay::new(real, before.now_ms, Vec::new()).telling(wanted));
        let target = overlay.resolve("local", &Scope::Container("local/shop-web-1")).await.expect("it is there");
        let header = sandbook_core::journal::Header {
            target: Some(target.target),
            host: "local".to_owned(),
            stage: Stage::Live,
            ..execute::pinned(&package)
        };
        let clock = Arc::new(Virtual(overlay.world()));
        let kept = Rehearsed::over(bench.store.clone());
        let stage = rehearse::Stage { driver: overlay, clock, policy: None, kept };
        let rehearsal = rehearse(bench.runner.parts(), &package, Journal::new(header), stage).await;
        assert_eq!(rehearsal.outcome, Outcome::Done, "{}", rehearsal.sentence);
        let after = bench.world.lock().expect("one at a time").clone();
        assert_eq!(after.notifications.len(), usize::from(wanted));
        assert!(after.hosts == before.hosts, "no container has changed");
        let expected = if wanted { Certainty::Real } else { Certainty::Modelled };
        assert_eq!(rehearsal.journal.slots[0].certainty, Some(expected));
    }
}

async fn rehearsed(assumptions: Vec<Assumption>) -> (rehearse::Rehearsal, Vec<&'static str>) {
    let bench = bench(EVERYTHING);
    let asked: Vec<&str> = Effect::ALL
        .iter()
        .map(|info| info.name)
        .filter(|name| Effect::find(name).is_some_and(|info| info.class.needs_request()))
        .collect();
    let package = script("everything", &asked, EVERYTHING_ASKED);
    let watched = Arc::new(Watched { world: Simulated(bench.world.clone()), driven: Mutex::default() });
    let before = bench.world.lock().expect("one at a time").clone();
    let overlay = Arc::new(Overlay::new(watched.clone(), before.now_ms, assumptions));
    let reference = "local/shop-web-1";
    let target = overlay.resolve("local", &Scope::Container(reference)).await.expect("it is there");
    let header = sandbook_core::journal::Header {
        target: Some(target.target),
        subject: Some(target.subject),
        host: "local".to_owned(),
        mode: Mode::Plan,
        stage: Stage::Live,
        ..execute::pinned(&package)
    };
    let clock = Arc::new(Virtual(overlay.world()));
    let kept = Rehearsed::over(bench.store.clone());
    let stage = rehearse::Stage { driver: overlay, clock, policy: None, kept };
    let rehearsal = rehearse(bench.runner.parts(), &package, Journal::new(header), stage).await;
    // A probe of the simulated world takes a moment and is remembered there; nothing else may be.
    let after = bench.world.lock().expect("one at a time").clone();
    assert!(after.hosts == before.hosts, "no container has changed");
    assert!(after.notifications.is_empty() && after.execs.is_empty() && after.memory.is_empty(), "nothing was done");
    assert!(after.requests.iter().all(|made| made.method == "GET"), "{:?}", after.requests);
    assert_eq!(bench.store.memory_get("everything", "a").await.expect("read"), None, "nor of the memory");
    let driven = watched.driven.lock().expect("one at a time").clone();
    (rehearsal, driven)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_changes_reaches_the_real_driver() {
    let (rehearsal, driven) = rehearsed(Vec::new()).await;
    assert_eq!(rehearsal.outcome, Outcome::Done, "{}", rehearsal.sentence);
    assert!(driven.contains(&"docker.inspect-container") && driven.contains(&"net.http-probe"), "{driven:?}");
    for name in driven {
        let info = Effect::find(name).expect("known");
        assert!(matches!(info.class, Class::Observe | Class::Egress) && name != "http.request", "{name}");
    }
    let mut changed = false;
    for slot in &rehearsal.journal.slots {
        let (name, Some(answer)) = (&slot.request.effect, &slot.answer) else { panic!("{slot:?}") };
        if let Answer::Ok(value) = answer {
            Effect::check_output(name, value).unwrap_or_else(|why| panic!("{name} answered {value}: {why}"));
        }
        let probes = name.starts_with("net.") || name.starts_with("http.") || name.starts_with("metrics.");
        if changed && probes {
            assert_eq!(slot.certainty, Some(Certainty::Assumed), "{name}");
        }
        // A permit for everything names no container, which this one wants.
        let by_name = name == "logs.truncate-container-log";
        assert_eq!(matches!(slot.decision, Some(Decision::Deny)), by_name, "{name}: {answer:?}");
        changed |= name == "docker.restart-container";
    }
    let asked: std::collections::BTreeSet<&str> =
        rehearsal.journal.slots.iter().map(|slot| slot.request.effect.as_str()).collect();
    let forgotten = |info: &&sandbook_core::effect::Info| !asked.contains(info.name) && info.class == Class::Mutate;
    let forgotten: Vec<&str> = Effect::ALL.iter().filter(forgotten).map(|info| info.name).collect();
    assert!(forgotten.is_empty(), "a change that this test does not ask for: {forgotten:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_assumed_is_answered_and_said() {
    let fails = json!({"ok": false, "status": 500, "duration_ms": 0, "reason": "x"});
    let assumptions = vec![
        Assumption { effect: "net.http-probe".to_owned(), answer: Ok(fails.clone()) },
        Assumption { effect: "docker.exec".to_owned(), answer: Err(Error::timeout("too slow")) },
    ];
    let (rehearsal, _) = rehearsed(assumptions).await;
    let of = |name: &str| rehearsal.journal.slots.iter().filter(|slot| slot.request.effect == name).collect::<Vec<_>>();
    for slot in of("net.http-probe") {
        assert_eq!((slot.answer.clone(), slot.certainty), (Some(Answer::Ok(fails.clone())), Some(Certainty::Assumed)));
    }
    assert!(matches!(&of("docker.exec")[0].answer, Some(Answer::Error(error)) if error.message == "too slow"));
}
