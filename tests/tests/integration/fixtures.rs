//! The fixtures themselves, so that a broken one is not mistaken for a broken daemon.

use std::time::Duration;

use sandbook_tests::docker::Dockerd;
use sandbook_tests::fake_docker::{FakeDocker, Fault};
use sandbook_tests::http::Client;
use sandbook_tests::monitoring::{Alertmanager, Files, Ports, Prometheus};
use sandbook_tests::process::free_port;
use sandbook_tests::{package, wait};
use serde_json::json;

#[test]
fn a_container_falls_ill_and_a_restart_heals_it() {
    let docker = Dockerd::start();
    let web = docker.compose_service("shop", "web", 1);
    assert_eq!(web.name(), "shop-web-1");
    assert_eq!(web.inspect()["Config"]["Labels"]["com.docker.compose.service"], "web");
    let before = web.started_at();
    web.sicken();
    assert_eq!(web.started_at(), before, "falling ill is not a restart");
    docker.api().post("/containers/shop-web-1/restart?t=1", &json!({})).expect(204);
    web.await_health("healthy");
    assert_ne!(web.started_at(), before);
    assert_eq!(docker.events("shop-web-1", "restart"), 1);

    web.crash();
    assert_eq!(web.inspect()["State"]["ExitCode"], 3);
    docker.api().post("/containers/shop-web-1/start", &json!({})).expect(204);
    web.await_health("healthy");
}

#[test]
fn memory_limits_kill_for_real() {
    let docker = Dockerd::start();
    let changes = json!({
        "Cmd": ["sh", "-c", "x=$(yes | head -c 200000000); echo survived"],
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {"Memory": 16 << 20, "MemorySwap": 16 << 20},
    });
    let hungry = docker.create("hungry", &changes);
    hungry.await_state("exited");
    assert_eq!(hungry.inspect()["State"]["OOMKilled"], true, "{}", hungry.inspect()["State"]);
}

#[test]
fn prometheus_and_alertmanager_start_with_the_shipped_files() {
    let ports = Ports::beside(free_port());
    let files = Files::for_test(ports, "viewer", "sender");
    let alertmanager = Alertmanager::start(&files, ports);
    let prometheus = Prometheus::start(&files, ports);
    // Nothing listens on the port of the daemon: scraping works and says so, and the rule about it is loaded.
    wait::until(
        "SandbookDown to be pending",
        Duration::from_secs(50),
        || prometheus.log_tail(),
        || {
            let pending = prometheus.query("ALERTS{alertname=\"SandbookDown\", alertstate=\"pending\"}");
            if pending.len() == 1 { Ok(()) } else { Err(format!("{pending:?}, up {:?}", prometheus.query("up"))) }
        },
    );
    assert!(!alertmanager.has("ContainerUnhealthy", "web-1"));
}

#[test]
fn the_fake_engine_answers_counts_and_misbehaves() {
    let fake = FakeDocker::start();
    fake.container("web-1", "unhealthy");
    let socket = fake.endpoint();
    let api = Client::unix(std::path::Path::new(socket.trim_start_matches("unix://")));
    assert_eq!(api.get("/v1.41/containers/web-1/json").expect(200).json()["State"]["Health"]["Status"], "unhealthy");
    fake.script("POST", "/restart", Fault::Status(500, "driver failed"), 1);
    fake.script("POST", "/restart", Fault::Cut { done: false }, 1);
    let restart = "/v1.41/containers/web-1/restart?t=5";
    assert_eq!(api.post(restart, &json!({})).expect(500).json()["message"], "driver failed");
    assert!(api.send("POST", restart, &[], "").is_err(), "a cut connection is no answer");
    api.post(restart, &json!({})).expect(204);
    assert_eq!(fake.seen("POST", "/restart").len(), 3);
    assert_eq!(fake.seen("POST", "/restart")[0].query, "t=5");
    assert_eq!(api.get("/containers/web-1/json").json()["State"]["Health"]["Status"], "healthy");
    api.get("/containers/web-2/json").expect(404);
}

#[test]
fn guests_written_in_wat_are_what_a_toolchain_produces() {
    let asks = package::Asks { effects: &["docker.inspect-container"], ..package::Asks::default() };
    for wat in [package::well(), package::inspecting()] {
        assert_eq!(package::Package::wat("guest", asks, &wat).content_type, "application/x-tar");
    }
}
