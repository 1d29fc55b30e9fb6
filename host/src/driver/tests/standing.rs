//! What a real engine shows of its containers beside their state: whose network is shared, who was stopped on request,
//! what this process needs. One engine for all of it, started for the test and gone with it.

use sandbook_core::target::{OWN, Stop};
use sandbook_tests::docker::Dockerd;

use super::*;
use crate::watcher::Watcher;

fn host(engine: &Dockerd) -> Host {
    let mut settings = docker::Settings::new(&engine.endpoint()).expect("an endpoint");
    settings.read_timeout = Duration::from_secs(10);
    Host::new("local", settings)
}

/// Drivers that know nothing of the past: a daemon that was just started.
fn fresh(engine: &Dockerd) -> Live {
    over(engine, host(engine))
}

fn over(engine: &Dockerd, host: Host) -> Live {
    let mut live = live(&engine.endpoint(), &[]);
    live.hosts = Arc::new(Hosts::from([("local".to_owned(), Arc::new(host))]));
    live
}

fn facts(live: &Live, name: &str) -> sandbook_core::target::Facts {
    let resolved =
        wait(live.resolve("local", &Scope::Container(name))).unwrap_or_else(|error| panic!("{name}: {error}"));
    resolved.facts.expect("a container has facts")
}

fn stop_of(live: &Live, name: &str) -> Option<Stop> {
    facts(live, name).stop
}

fn plain(changes: Value) -> Value {
    let mut all = json!({"Healthcheck": {"Test": ["NONE"]}});
    all.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    all
}

fn composed(service: &str, needs: &str, network: &str) -> Value {
    plain(json!({
        "Labels": {
            "com.docker.compose.project": "shop", "com.docker.compose.service": service,
            "com.docker.compose.container-number": "1", "com.docker.compose.depends_on": needs,
        },
        "HostConfig": {"NetworkMode": network},
    }))
}

#[test]
fn what_an_engine_shows_beside_states() {
    let engine = Dockerd::start();
    what_the_engine_needs_is_shielded(&engine);
    a_stop_on_request_is_told_from_a_crash(&engine);
    sharers_of_a_network_that_is_gone_are_dependents(&engine);
}

/// The fixtures block, so drivers are waited for from outside their runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    let build = || tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    RUNTIME.get_or_init(build).block_on(future)
}

fn what_the_engine_needs_is_shielded(engine: &Dockerd) {
    let vpn = engine.create("vpn", &plain(json!({})));
    let db = engine.create("shop-db-1", &composed("db", "", "none"));
    let own = engine.create("shop-sandbook-1", &composed("sandbook", "db:service_started:false", "container:vpn"));
    let other = engine.create("other", &plain(json!({})));

    let outside = fresh(engine);
    for name in ["vpn", "shop-db-1", "shop-sandbook-1", "other"] {
        assert_eq!(facts(&outside, name).shield, None, "{name}: nothing of this process runs there");
    }
    assert!(!wait(outside.is_own("local", "shop-sandbook-1")));

    let inside = over(engine, host(engine).running_in(own.id()));
    assert_eq!(facts(&inside, "shop-sandbook-1").shield.as_deref(), Some(OWN));
    for (name, how) in [("vpn", "uses its network"), ("shop-db-1", "depends on it, says compose")] {
        let shield = facts(&inside, name).shield.unwrap_or_else(|| panic!("{name} is shielded"));
        assert!(shield.contains("shop-sandbook-1, in which this engine runs") && shield.contains(how), "{shield}");
    }
    assert_eq!(facts(&inside, "other").shield, None);
    for name in ["shop-sandbook-1", "/shop-sandbook-1", "shop/sandbook", "sandbook", &own.id()[..12]] {
        assert!(wait(inside.is_own("local", name)), "{name}");
    }
    for name in ["other", "vpn", "shop-db-1", "no-such"] {
        assert!(!wait(inside.is_own("local", name)), "{name}");
    }

    own.remove();
    let labels = json!({"Labels": {"sandbook.self": "true"}, "HostConfig": {"NetworkMode": "container:vpn"}});
    let labelled = engine.create("labelled", &plain(labels));
    let by_label = fresh(engine);
    assert_eq!(facts(&by_label, "labelled").shield.as_deref(), Some(OWN));
    assert!(facts(&by_label, "vpn").shield.is_some_and(|why| why.contains("labelled")));
    assert_eq!(facts(&by_label, "shop-db-1").shield, None);
    assert!(wait(by_label.is_own("local", "labelled")));
    for one in [labelled, other, db, vpn] {
        one.remove();
    }
}

fn a_stop_on_request_is_told_from_a_crash(engine: &Dockerd) {
    let policy = |name: &str| plain(json!({"HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": name}}}));
    let stopped = engine.create("stopped", &policy("no"));
    let kept = engine.create("kept", &policy("unless-stopped"));
    let crashed = engine.create("crashed", &policy("no"));
    let followed = fresh(engine);
    let watcher = wait(async { Watcher::start(&followed.hosts) });
    until(|| watcher.connections()["local"].up);
    for one in [&stopped, &kept] {
        one.stop();
        one.await_state("exited");
    }
    crashed.crash();
    crashed.await_state("exited");

    // By what the engine remembers, and by the events heard since they were followed.
    for live in [&fresh(engine), &followed] {
        for name in ["stopped", "kept"] {
            let stop = stop_of(live, name).unwrap_or_else(|| panic!("{name} was stopped on request"));
            assert_eq!(stop.exit_code, Some(0), "{name}");
            assert!(stop.at.is_some_and(|at| at.starts_with("20")), "{name}");
        }
        assert_eq!(stop_of(live, "crashed"), None);
    }
    engine.api().post("/containers/stopped/start", &json!({})).expect(204);
    assert_eq!(stop_of(&followed, "stopped"), None, "it runs again");
    for one in [stopped, kept, crashed] {
        one.remove();
    }
}

fn sharers_of_a_network_that_is_gone_are_dependents(engine: &Dockerd) {
    let old = engine.create("gateway", &plain(json!({})));
    let network = format!("container:{}", old.id());
    let sharer = engine.create("sharer", &plain(json!({"HostConfig": {"NetworkMode": network}})));
    let by_compose = engine
        .create("shop-app-1", &composed("app", "db:service_healthy:true,gateway:service_started:false", &network));
    let reasons = |live: &Live, id: &str| -> Vec<String> {
        let found =
            wait(drive(live, "docker.dependents", json!({"container": "gateway"}), id, None)).expect("dependents");
        let line =
            |one: &Value| format!("{} {}", one["name"].as_str().unwrap_or(""), one["why"].as_str().unwrap_or(""));
        found.as_array().expect("a list").iter().map(line).collect()
    };
    let live = fresh(engine);
    assert_eq!(reasons(&live, old.id()), ["sharer shares-network", "shop-app-1 shares-network"]);
    old.remove();

    let again = engine.create("gateway", &plain(json!({})));
    assert_eq!(reasons(&fresh(engine), again.id()), ["sharer shares-network", "shop-app-1 shares-network"]);
    let subjects = wait(live.dependents_of("local", again.id())).expect("subjects");
    assert_eq!(subjects, ["local/sharer", "local/shop/app/1"]);
    let stranger = engine.create("stranger", &plain(json!({})));
    assert_eq!(reasons(&live, stranger.id()), Vec::<String>::new(), "it never had that id");
    again.remove();
    let service = engine.create("shop-gateway-1", &composed("gateway", "", "none"));
    let found = reasons(&fresh(engine), service.id());
    let wanted = ["sharer shares-network", "shop-app-1 shares-network", "shop-app-1 depends-on"];
    assert_eq!(found, wanted, "compose says of one sharer whose network it was, and with that of all");
    for one in [service, stranger, by_compose, sharer] {
        one.remove();
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..150 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it did not come to be");
}
