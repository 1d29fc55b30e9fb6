//! What keeps a host in order: containers made anew, services scaled, networks, images and logs, and what stands around Docker.

use super::*;

fn upkeep() -> World {
    let text = r#"
[hosts.local]
images = [{ tags = ["shop/web:1"], size_bytes = 50 }, { tags = ["shop/web:2"], size_bytes = 60 }, { size_bytes = 7 }]
networks = ["back"]
build_cache_bytes = 100
services = { swarm = 2 }
[hosts.local.containers.shop-web-1]
image = "shop/web:2"
health = "unhealthy"
labels = { "com.docker.compose.project" = "shop", "com.docker.compose.service" = "web", "com.docker.compose.container-number" = "1" }
lives = [{ healthy_after_ms = 500 }, { exit_after_ms = 100 }]
logs = ["one", "two"]
[[alerts]]
labels = { alertname = "Down", host = "web1" }
[[loki]]
logql = "{app=\"web\"}"
lines = ["first", "second"]
[[model]]
about = "disk full"
option = "prune"
quote = "no space left"
[[incidents]]
episode = "e1"
score = 0.5
[[incidents]]
episode = "e2"
score = 0.9
"#;
    World::from_toml(text, "upkeep.toml").expect("a world")
}

fn ask(world: &mut World, name: &str, arguments: serde_json::Value) -> Result<serde_json::Value, Error> {
    let effect = Effect::from_arguments(name, arguments).expect("arguments");
    effect.validate()?;
    let resolved = world.resolve("local", &effect.scope())?;
    let answer = world.perform(&effect, Some(&resolved))?;
    Effect::check_output(name, &answer).expect("the output's shape");
    Ok(answer)
}

#[test]
fn a_recreation_gives_a_new_instance_or_brings_the_old_one_back() {
    let mut world = upkeep();
    let old = world.container("local", "shop-web-1").expect("there").clone();
    let with = |image: &str| json!({"container": "shop-web-1", "options": {"image": image, "environment": {"A": "b"}}});
    assert_eq!(
        ask(&mut world, "docker.recreate-container", with("shop/web:9")).expect_err("no image").kind,
        ErrorKind::NotFound
    );
    let anew = ask(&mut world, "docker.recreate-container", with("shop/web:1")).expect("made anew");
    assert_eq!((&anew["old_id"], &anew["state"]["health"]), (&json!(old.id), &json!("healthy")));
    let new = world.container("local", "shop-web-1").expect("there").clone();
    assert!(new.id != old.id && new.image == "shop/web:1" && new.environment_names == ["A"]);
    // Its next life ends at once.
    let error = ask(&mut world, "docker.recreate-container", with("shop/web:2")).expect_err("it ends");
    assert!(error.message.contains("the old container is back"), "{error}");
    assert_eq!(world.container("local", "shop-web-1").expect("there").id, new.id);
}

#[test]
fn services_networks_and_disks_are_kept_in_order() {
    let mut world = upkeep();
    let up = ask(&mut world, "docker.scale-service", json!({"service": "shop/web", "replicas": 2})).expect("scaled");
    assert_eq!((&up["created"], &up["changed"]), (&json!(["shop-web-2"]), &json!(true)));
    let down = ask(&mut world, "docker.scale-service", json!({"service": "web", "replicas": 1})).expect("scaled");
    assert_eq!(down["removed"], json!(["shop-web-2"]));
    let swarm = ask(&mut world, "docker.scale-service", json!({"service": "swarm", "replicas": 5})).expect("scaled");
    assert_eq!((&swarm["before"], &swarm["after"]), (&json!(2), &json!(5)));
    let joined = ask(&mut world, "docker.connect-network", json!({"container": "shop-web-1", "network": "back"}));
    assert_eq!(joined.expect("joined")["networks"], json!(["back", "bridge"]));
    let usage = ask(&mut world, "docker.disk-usage", json!({})).expect("usage");
    assert_eq!((&usage["images"]["reclaimable_bytes"], &usage["build_cache"]["size_bytes"]), (&json!(57), &json!(100)));
    let pruned = ask(&mut world, "docker.prune-images", json!({})).expect("pruned");
    assert_eq!(pruned, json!({"deleted": 1, "freed_bytes": 7}));
    let age = json!({"options": {"unused": true, "older_than_ms": 86_400_000}});
    assert_eq!(ask(&mut world, "docker.prune-images", age).expect("pruned")["freed_bytes"], 50);
    let cache = ask(&mut world, "docker.prune-build-cache", json!({"options": {"keep_bytes": 30}})).expect("pruned");
    assert_eq!(cache["freed_bytes"], 70);
    ask(&mut world, "logs.truncate-container-log", json!({"container": "shop-web-1"})).expect("emptied");
    let tail = ask(&mut world, "logs.tail-container", json!({"container": "shop-web-1"})).expect("a page");
    assert_eq!(tail["lines"], 0);
    let runs = ask(&mut world, "docker.remove-container", json!({"container": "shop-web-1"})).expect_err("it runs");
    assert_eq!(runs.kind, ErrorKind::Conflict);
    let force = json!({"container": "shop-web-1", "options": {"force": true}});
    ask(&mut world, "docker.remove-container", force).expect("removed");
    assert!(world.container("local", "shop-web-1").is_none());
}

#[test]
fn what_stands_around_docker_answers_from_its_tables() {
    let mut world = upkeep();
    let silence = json!({"silence": {"matchers": ["host=~\"web.*\""], "duration_ms": 60_000, "comment": "deploy"}});
    let made = ask(&mut world, "alertmanager.create-silence", silence).expect("made");
    let held = ask(&mut world, "alertmanager.list-alerts", json!({"filter": {"silenced": true}})).expect("alerts");
    assert_eq!((&held[0]["name"], &held[0]["silenced_by"][0]), (&json!("Down"), &made["id"]));
    let ended = ask(&mut world, "alertmanager.expire-silence", json!({"id": made["id"]})).expect("ended");
    assert_eq!(ended["changed"], true);
    assert_eq!(ask(&mut world, "alertmanager.list-silences", json!({})).expect("none"), json!([]));
    let lines = ask(&mut world, "logs.query-loki", json!({"logql": "{app=\"web\"} "})).expect("lines");
    assert_eq!(lines["lines"][1]["line"], "second");
    let choose = |evidence: &str, options: serde_json::Value| json!({"question": "what now?", "evidence": evidence, "options": options, "fallback": "wait"});
    let said = ask(&mut world, "llm.choose", choose("disk full", json!(["prune", "wait"]))).expect("a choice");
    assert_eq!((&said["option"], &said["fallback"]), (&json!("prune"), &json!(false)));
    // What the runbook does not offer is not chosen, whatever the model says.
    for (evidence, options) in [("disk full", json!(["stop", "wait"])), ("all well", json!(["prune", "wait"]))] {
        let said = ask(&mut world, "llm.choose", choose(evidence, options)).expect("a choice");
        assert_eq!((&said["option"], &said["fallback"]), (&json!("wait"), &json!(true)));
    }
    let similar = ask(&mut world, "incidents.similar", json!({"limit": 1})).expect("one");
    assert_eq!(similar[0]["episode"], "e2");
}
