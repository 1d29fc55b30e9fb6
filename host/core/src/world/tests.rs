//! What the world answers, as tables: a state, an effect, and what must come of it.

use serde_json::{Value, json};

use super::*;
use crate::effect::Scope;
use crate::effect::docker::{Health, Status};
use crate::error::Error;
use crate::target::Kind;

mod upkeep;

/// A world for the tables: one container a state, a project with two replicas, and dependents.
const WORLD: &str = r#"
now_ms = "2026-03-01T12:00:00Z"
[hosts.local.containers.web]
image = "nginx:1.27"
health = "unhealthy"
health_log = [{ started_at = "-30s", exit_code = 1, output = "HTTP 500" }]
logs = [
  { at = "-2h", line = "old error" }, { at = "-10m", line = "error one" }, "fine", { at = "-1m", line = "error two" },
]
lives = [{ healthy_after_ms = 4000, logs = ["up"] }]
labels = { "com.docker.compose.project" = "shop", "com.docker.compose.service" = "web" }
limits = { memory_bytes = 100_000_000, memory_swap_bytes = 200_000_000 }
programs = [{ argv = ["echo"], stdout = "hi" }, { argv = ["slow"], takes_ms = 20_000 }]
[hosts.local.containers.stubborn]
stopping = { ignores_term = true }
stop_grace_ms = 7_000
[hosts.local.containers.stuck]
stopping = { cannot_be_killed = true }
[hosts.local.containers.gone]
status = "exited"
exit_code = 3
[hosts.local.containers.ice]
status = "paused"
[hosts.local.containers.new]
status = "created"
[hosts.local.containers.port]
status = "exited"
lives = [{ start_error = "port is already allocated" }]
[hosts.local.containers.loop]
restart_policy = "always"
lives = [{ exit_after_ms = 0, exit_code = 127 }]
due = [{ at = "+1s", what = "exit", code = 127 }]
[hosts.local.containers.vpn-user]
network_mode = "container:gone"
status = "exited"
[hosts.local.containers.a]
[hosts.local.containers.a.labels]
"com.docker.compose.project" = "shop"
"com.docker.compose.service" = "worker"
"com.docker.compose.depends_on" = "web:service_healthy:false"
[hosts.local.containers.b]
labels = { "com.docker.compose.project" = "shop", "com.docker.compose.service" = "worker" }
volumes_from = ["web:ro"]
network_mode = "container:web"
[hosts.far.containers.web]
[[endpoints]]
at = "http://web:8080/health"
container = "web"
body = "all well"
[[endpoints]]
at = "db:5432"
latency_ms = 9_000
[[metrics]]
promql = "up"
samples = [{ labels = { job = "web" }, value = 1 }]
[[metrics]]
promql = "up"
from = "-1m"
samples = [{ labels = { job = "web" }, value = 0 }]
"#;

fn world() -> World {
    World::from_toml(WORLD, "world.toml").expect("the world of these tests")
}

fn perform(world: &mut World, name: &str, arguments: Value) -> Result<Value, Error> {
    let effect = Effect::from_arguments(name, arguments).expect("a known effect");
    let resolved = world.resolve("local", &effect.scope())?;
    let value = world.perform(&effect, Some(&resolved))?;
    Effect::check_output(name, &value).expect("the output's shape");
    Ok(value)
}

/// Whether every field of `wanted` is in `found`.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| holds(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

fn state(status: &str, exit_code: Option<i32>) -> Value {
    match exit_code {
        Some(code) => json!({"changed": true, "state": {"status": status, "exit_code": code}}),
        None => json!({"changed": true, "state": {"status": status}}),
    }
}

#[test]
fn docker_rules_hold_in_every_state() {
    let unchanged = json!({"changed": false});
    let kill = |signal: &str| json!({"options": {"signal": signal}});
    let memory = |bytes: u64| json!({"resources": {"memory_bytes": bytes}});
    let argv = |words: &[&str]| json!({"argv": words});
    let none = || json!({});
    let cases: Vec<(&str, &str, Value, Result<Value, ErrorKind>)> = vec![
        ("start-container", "web", none(), Ok(unchanged.clone())),
        ("start-container", "gone", none(), Ok(state("running", None))),
        ("start-container", "new", none(), Ok(state("running", None))),
        ("start-container", "ice", none(), Err(ErrorKind::Conflict)),
        ("start-container", "port", none(), Err(ErrorKind::Failed)),
        ("start-container", "vpn-user", none(), Err(ErrorKind::Conflict)),
        ("stop-container", "web", none(), Ok(state("exited", Some(143)))),
        ("stop-container", "gone", none(), Ok(unchanged.clone())),
        ("stop-container", "ice", none(), Ok(state("exited", Some(143)))),
        ("stop-container", "stubborn", none(), Ok(state("exited", Some(137)))),
        ("stop-container", "web", json!({"options": {"grace_ms": 0}}), Ok(state("exited", Some(137)))),
        ("stop-container", "stuck", none(), Err(ErrorKind::Failed)),
        (
            "restart-container",
            "web",
            none(),
            Ok(json!({"changed": true, "state": {"health": "starting", "restart_count": 0}})),
        ),
        ("restart-container", "gone", none(), Ok(state("running", None))),
        ("restart-container", "vpn-user", none(), Err(ErrorKind::Failed)),
        ("kill-container", "web", none(), Ok(state("exited", Some(137)))),
        ("kill-container", "web", kill("SIGHUP"), Ok(state("running", None))),
        ("kill-container", "web", kill("NONSENSE"), Err(ErrorKind::Invalid)),
        ("kill-container", "gone", none(), Err(ErrorKind::Conflict)),
        ("pause-container", "web", none(), Ok(state("paused", None))),
        ("pause-container", "ice", none(), Ok(unchanged.clone())),
        ("pause-container", "gone", none(), Err(ErrorKind::Conflict)),
        ("unpause-container", "ice", none(), Ok(state("running", None))),
        ("unpause-container", "web", none(), Ok(unchanged.clone())),
        ("unpause-container", "gone", none(), Err(ErrorKind::Failed)),
        ("exec", "web", argv(&["echo", "x"]), Ok(json!({"exit_code": 0, "stdout": "hi"}))),
        ("exec", "web", argv(&["nope"]), Ok(json!({"exit_code": 126}))),
        ("exec", "web", argv(&["slow"]), Err(ErrorKind::Timeout)),
        ("exec", "gone", argv(&["echo"]), Err(ErrorKind::Conflict)),
        ("exec", "ice", argv(&["echo"]), Err(ErrorKind::Conflict)),
        ("container-stats", "web", none(), Ok(json!({"memory_limit_bytes": 100_000_000, "pids": 1}))),
        ("container-stats", "gone", none(), Err(ErrorKind::Conflict)),
        ("container-processes", "gone", none(), Err(ErrorKind::Conflict)),
        ("update-resources", "web", memory(150_000_000), Ok(state("running", None))),
        ("update-resources", "web", memory(100_000_000), Ok(unchanged)),
        ("update-resources", "web", memory(300_000_000), Err(ErrorKind::Conflict)),
        ("update-resources", "a", memory(300_000_000), Err(ErrorKind::Conflict)),
        ("inspect-container", "nobody", none(), Err(ErrorKind::NotFound)),
    ];
    for (effect, container, mut arguments, wanted) in cases {
        let case = format!("{effect} {container} {arguments}");
        arguments["container"] = json!(container);
        let found = perform(&mut world(), &format!("docker.{effect}"), arguments);
        match (&found, &wanted) {
            (Ok(value), Ok(wanted)) => assert!(holds(value, wanted), "{case}: {value}"),
            (Err(error), Err(kind)) => assert_eq!(error.kind, *kind, "{case}: {error}"),
            (found, wanted) => panic!("{case}: {found:?}, wanted {wanted:?}"),
        }
    }
}

#[test]
fn events_have_dockers_words_and_order() {
    let cases: &[(&str, &str, u64, &[&str])] = &[
        ("docker.stop-container", "web", 0, &["kill", "die", "stop"]),
        ("docker.stop-container", "stubborn", 0, &["kill", "kill", "die", "stop"]),
        ("docker.restart-container", "gone", 0, &["start", "restart"]),
        (
            "docker.restart-container",
            "web",
            4_000,
            &["kill", "die", "stop", "start", "restart", "health_status: healthy"],
        ),
        ("docker.kill-container", "web", 60_000, &["kill", "die"]),
        ("docker.unpause-container", "ice", 0, &["unpause"]),
    ];
    for (effect, container, wait, wanted) in cases {
        let mut world = world();
        perform(&mut world, effect, json!({"container": container})).expect(effect);
        world.advance(*wait);
        let events = perform(&mut world, "docker.recent-events", json!({"filter": {"container": container}}));
        let events = events.expect("events");
        let words: Vec<&str> =
            events.as_array().into_iter().flatten().filter_map(|event| event["action"].as_str()).collect();
        assert_eq!(words, *wanted, "{effect} {container}");
    }
}

#[test]
fn time_passes_as_docker_lets_it() {
    let mut slow = world();
    perform(&mut slow, "docker.stop-container", json!({"container": "stubborn"})).expect("stopped");
    assert!(slow.now_ms - world().now_ms >= 7_000, "it takes its whole grace");

    let mut world = world();
    let before = world.container("local", "web").and_then(|web| web.started_at.clone());
    perform(&mut world, "docker.restart-container", json!({"container": "web"})).expect("restarted");
    let web = world.container("local", "web").expect("web");
    assert_ne!(web.started_at, before);
    assert_eq!(web.health, Health::Starting);
    world.advance(3_999);
    assert_eq!(world.container("local", "web").map(|web| web.health), Some(Health::Starting));
    world.advance(1);
    assert_eq!(world.container("local", "web").map(|web| web.health), Some(Health::Healthy));
}

#[test]
fn a_crash_loop_doubles_its_delay_up_to_a_minute() {
    let mut world = world();
    let start = world.now_ms;
    world.advance(10 * 60_000);
    let starts: Vec<u64> = world.hosts["local"]
        .events
        .iter()
        .filter(|event| event.container == "loop" && event.action == "start")
        .map(|event| event.at.ms(0) - start - 1_000)
        .collect();
    // An hour of life, then ever shorter ones: 100 ms, then twice as long each time.
    assert_eq!(starts[..5], [100, 300, 700, 1_500, 3_100]);
    let gaps: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.last(), Some(&60_000));
    let looping = world.container("local", "loop").expect("loop");
    assert_eq!((looping.status, looping.exit_code), (Status::Restarting, Some(127)));
    assert_eq!(looping.restart_count as usize, starts.len() + 1);
    let stopped = perform(&mut world, "docker.stop-container", json!({"container": "loop"})).expect("stopped");
    assert_eq!(stopped["state"]["status"], "exited");
    world.advance(600_000);
    assert_eq!(world.container("local", "loop").map(|c| c.status), Some(Status::Exited));
}

#[test]
fn restart_policies_and_memory_decide_what_follows() {
    let life = |policy: &str| {
        format!(
            "[hosts.h.containers.c]\nrestart_policy = \"{policy}\"\nlives = [{{ exit_after_ms = 1, exit_code = 0 }}]\n"
        )
    };
    let oom = |needs: u64| {
        format!("due = [{{ at = \"+1s\", what = \"oom\", needs_bytes = {needs} }}]\nlimits = {{ memory_bytes = 50 }}\n")
    };
    let exit = |code: i32| format!("due = [{{ at = \"+1s\", what = \"exit\", code = {code} }}]\n");
    let cases = [
        (life("no") + &exit(0), Status::Exited, Some(0), 0, false),
        (life("no") + &exit(9), Status::Exited, Some(9), 0, false),
        (life("on-failure") + &exit(0), Status::Exited, Some(0), 0, false),
        (life("on-failure:5") + &exit(2), Status::Exited, Some(0), 1, false),
        (life("no") + &oom(100), Status::Exited, Some(137), 0, true),
        (life("no") + &oom(50), Status::Running, None, 0, false),
    ];
    for (text, status, exit_code, restarts, oom_killed) in cases {
        let mut world = World::from_toml(&text, "w").expect(&text);
        world.advance(60_000);
        let c = world.container("h", "c").expect("c");
        assert_eq!(
            (c.status, c.exit_code, c.restart_count, c.oom_killed),
            (status, exit_code, restarts, oom_killed),
            "{text}"
        );
    }
}

#[test]
fn references_resolve_to_one_container_or_to_an_error() {
    let world = world();
    let id = world.container("local", "web").map(|web| web.id.clone()).expect("web");
    let cases: Vec<(String, Result<&str, ErrorKind>)> = vec![
        ("web".into(), Ok("local/web")),
        ("/web".into(), Ok("local/web")),
        ("local/web".into(), Ok("local/web")),
        ("far/web".into(), Ok("far/web")),
        ("shop/web".into(), Ok("local/web")),
        ("local/shop/web".into(), Ok("local/web")),
        (id.clone(), Ok("local/web")),
        (id[..12].to_owned(), Ok("local/web")),
        (id[..11].to_owned(), Err(ErrorKind::NotFound)),
        ("worker".into(), Err(ErrorKind::Invalid)),
        ("shop/worker".into(), Err(ErrorKind::Invalid)),
        ("a/b/c/d".into(), Err(ErrorKind::Invalid)),
        ("far/shop/web".into(), Err(ErrorKind::NotFound)),
        ("".into(), Err(ErrorKind::Invalid)),
        ("no name".into(), Err(ErrorKind::Invalid)),
    ];
    for (text, wanted) in cases {
        let found = world.resolve("local", &Scope::Container(&text));
        match (found, wanted) {
            (Ok(found), Ok(handle)) => {
                assert_eq!(found.target.handle(), handle, "{text}");
                assert!(found.facts.is_some() && found.before.is_some() && found.target.id.is_some(), "{text}");
            }
            (Err(error), Err(kind)) => assert_eq!(error.kind, kind, "{text}: {error}"),
            (found, wanted) => panic!("{text}: {found:?}, wanted {wanted:?}"),
        }
    }
    let several = world.resolve("local", &Scope::Container("shop/worker")).expect_err("two");
    assert!(several.message.contains("local/a") && several.message.contains("local/b"), "{several}");
    let web = world.resolve("local", &Scope::Container("web")).expect("web");
    assert_eq!(web.subject, "local/shop/web/1");
    let others = [
        (Scope::Host, "local", Kind::Host),
        (Scope::Url("https://api.example.org:8443/x?y"), "api.example.org:8443", Kind::None),
        (Scope::Url("http://Web/x"), "web", Kind::None),
        (Scope::Net("db", Some(5432)), "db:5432", Kind::None),
        (Scope::Channel(None), "escalation", Kind::None),
        (Scope::Memory, "memory", Kind::None),
    ];
    for (scope, name, kind) in others {
        let found = world.resolve("local", &scope).expect(name);
        assert_eq!((found.target.name.as_str(), found.target.kind, found.facts), (name, kind, None));
    }
    for url in ["ftp://x", "http://", "http://a b/", "http://good.org@evil.org/", "http://x:99999/", "x"] {
        assert_eq!(world.resolve("local", &Scope::Url(url)).expect_err(url).kind, ErrorKind::Invalid);
    }
}

#[test]
fn reads_honour_their_options() {
    let tail = |options: Value| ("logs.tail-container", json!({"container": "web", "options": options}));
    let search =
        |options: Value| ("logs.search-container", json!({"container": "web", "pattern": "error", "options": options}));
    let list = |filter: Value| ("docker.list-containers", json!({"filter": filter}));
    let cases: Vec<((&str, Value), Value)> = vec![
        (tail(json!({"lines": 2})), json!({"text": "error two\nfine", "lines": 2, "truncated": false})),
        (tail(json!({"since_ms": 300_000})), json!({"text": "error two\nfine", "lines": 2})),
        (search(json!({})), json!({"found": [{"line": "error one"}, {"line": "error two"}], "scanned": 3})),
        (search(json!({"limit": 1})), json!({"found": [{"line": "error one"}], "cursor": "line:2", "scanned": 1})),
        (search(json!({"cursor": "line:2"})), json!({"found": [{"line": "error two"}]})),
        (search(json!({"since_ms": 100_000, "context": 1})), json!({"found": [{"context": ["error one", "fine"]}]})),
        (list(json!({"name": "w*"})), json!([{"name": "web", "status_text": "Up About an hour (unhealthy)"}])),
        (list(json!({"project": "shop", "service": "worker"})), json!([{"name": "a"}, {"name": "b"}])),
        (list(json!({"all": true, "name": "gone"})), json!([{"status_text": "Exited (3) About a minute ago"}])),
        (list(json!({"labels": ["com.docker.compose.service=web"]})), json!([{"name": "web"}])),
        (
            ("docker.dependents", json!({"container": "web"})),
            json!([
                {"name": "a", "why": "depends-on"},
                {"name": "b", "why": "shares-network"},
                {"name": "b", "why": "volumes-from"}
            ]),
        ),
        (("metrics.query", json!({"promql": "up"})), json!([{"labels": {"job": "web"}, "value": 0.0}])),
        (("metrics.query", json!({"promql": "down"})), json!([])),
        (
            ("metrics.query-range", json!({"promql": "up", "range": {"since_ms": 120_000, "step_ms": 60_000}})),
            json!([{"points": [[1_772_366_280.0, 1.0], [1_772_366_340.0, 0.0], [1_772_366_400.0, 0.0]]}]),
        ),
        (("net.http-probe", json!({"url": "http://web:8080/health"})), json!({"ok": false, "status": 503})),
        (("net.http-probe", json!({"url": "http://nowhere/"})), json!({"ok": false})),
        (("net.tcp-check", json!({"host": "web", "port": 8080})), json!({"open": true})),
        (("net.tcp-check", json!({"host": "db", "port": 5432})), json!({"open": false, "duration_ms": 3_000})),
        (("net.dns-lookup", json!({"name": "db"})), json!({"addresses": ["10.0.0.2"]})),
        (("http.get", json!({"url": "http://web:8080/health"})), json!({"status": 503, "body": "all well"})),
    ];
    for ((name, arguments), wanted) in cases {
        let case = format!("{name} {arguments}");
        let found = perform(&mut world(), name, arguments).expect(&case);
        assert!(holds(&found, &wanted), "{case}: {found}");
    }
}

#[test]
fn faults_lose_the_answer_the_effect_or_both() {
    let fault = |rest: &str| format!("{WORLD}\n[[faults]]\neffect = \"docker.restart-container\"\n{rest}\n");
    let cases = [
        ("", ErrorKind::Failed, false, false),
        ("container = \"web\"\nerror = \"conflict\"", ErrorKind::Conflict, false, false),
        ("error = \"timeout\"", ErrorKind::Timeout, false, true),
        ("error = \"timeout\"\nhappened = true", ErrorKind::Timeout, true, true),
    ];
    for (rest, kind, happened, waited) in cases {
        let mut world = World::from_toml(&fault(rest), "w").expect(rest);
        let before = (world.now_ms, world.container("local", "web").and_then(|web| web.started_at.clone()));
        let arguments = json!({"container": "web", "options": {"grace_ms": 1_000}});
        let error = perform(&mut world, "docker.restart-container", arguments.clone()).expect_err(rest);
        assert_eq!(error.kind, kind, "{rest}");
        let after = world.container("local", "web").and_then(|web| web.started_at.clone());
        assert_eq!((after != before.1, world.now_ms - before.0 >= 11_000), (happened, waited), "{rest}");
        perform(&mut world, "docker.restart-container", arguments).expect("the second call works");
    }
    let mut world = World::from_toml(&fault("container = \"local/gone\"\ncall = 2"), "w").expect("a world");
    let restart =
        |world: &mut World, name: &str| perform(world, "docker.restart-container", json!({"container": name})).is_ok();
    let calls = ["web", "gone", "web", "gone", "gone"].map(|name| restart(&mut world, name));
    assert_eq!(calls, [true, true, true, false, true]);
}

#[test]
fn the_engines_own_effects_answer_from_the_world() {
    let mut world = world();
    let start = world.now_ms;
    let steps = [
        ("state.get", json!({"key": "k"}), json!(null)),
        ("state.compare-and-put", json!({"key": "k", "value": "1"}), json!(true)),
        ("state.compare-and-put", json!({"key": "k", "value": "2"}), json!(false)),
        ("state.put", json!({"key": "k", "value": "3"}), json!(null)),
        ("state.get", json!({"key": "k"}), json!("3")),
        ("clock.sleep", json!({"duration_ms": 1_500}), json!(null)),
        ("clock.now", json!({}), json!(start + 1_500)),
        ("random.random-u64", json!({}), json!(16_294_208_416_658_607_535_u64)),
        ("log.log", json!({"level": "info", "message": "m"}), json!(null)),
        (
            "notify.send",
            json!({"message": {"title": "t", "text": "x", "dedup_key": "d"}}),
            json!({"channel": "escalation", "dedup_key": "d"}),
        ),
        (
            "http.request",
            json!({"method": "post", "url": "http://web:8080/health", "options": {"body": "b"}}),
            json!({"status": 503, "headers": {}, "body": "all well", "truncated": false}),
        ),
    ];
    for (name, arguments, wanted) in steps {
        assert_eq!(perform(&mut world, name, arguments).expect(name), wanted, "{name}");
    }
    assert_eq!((world.notifications.len(), world.requests.len()), (1, 1));
    assert_eq!(world.requests[0].method, "POST");
}

#[test]
fn a_file_that_is_wrong_says_where() {
    let cases = [
        ("[hosts.local.containers.web]\nimagge = \"x\"\n", "w.toml:2: ", "imagge"),
        ("\n\n[hosts.local.containers.web]\nstatus = \"asleep\"\n", "w.toml:4: ", "asleep"),
        ("seed = 1\n[hosts.local.containers.web]\nrestart_policy = \"maybe\"\n", "w.toml:2: ", "maybe"),
        ("seed = 1\n[[faults]]\neffect = \"docker.restart-contaner\"\n", "w.toml:3: ", "docker.restart-container"),
        ("[[faults]]\neffect = \"docker.exec\"\ncontainer = \"nobody\"\n", "w.toml:3: ", "nobody"),
        ("[hosts.local.containers.web]\nstarted_at = \"yesterday\"\n", "w.toml:1: ", "yesterday"),
        ("[hosts.local.containers.web]\nstats = { cpu = 1 }\n", "w.toml:2: ", "cpu"),
        ("now_ms = \"-3m\"\n", "w.toml:1: ", "relative"),
    ];
    for (text, place, about) in cases {
        let problem = World::from_toml(text, "w.toml").expect_err(text);
        assert!(problem.starts_with(place) && problem.contains(about), "{text}: {problem}");
    }
}

#[test]
fn worlds_survive_being_stored() {
    for mut world in [world(), World::invent_demo(), World::default()] {
        world.advance(90_000);
        let text = serde_json::to_string(&world).expect("stored");
        assert_eq!(serde_json::from_str::<World>(&text).expect("read"), world);
    }
}

#[test]
fn a_real_container_keeps_its_facts() {
    let mut world = world();
    let details = perform(&mut world, "docker.inspect-container", json!({"container": "web"})).expect("details");
    let mut details: crate::effect::docker::ContainerDetails = serde_json::from_value(details).expect("details");
    details.state.started_at = Some("2026-03-01T11:00:00.123456789Z".to_owned());
    let mut copy = World::new(world.now_ms);
    copy.add_container("local", Container::from_details(&details));
    let seen = perform(&mut copy, "docker.inspect-container", json!({"container": "web"})).expect("seen");
    assert_eq!(seen, serde_json::to_value(&details).expect("json"));
}

#[test]
fn a_frozen_life_goes_on_where_it_stopped() {
    let mut world = World::new(NOW_MS_DEFAULT);
    let mut container = Container::named("c", "c");
    container.health = Health::Healthy;
    container.due.push(Due { code: 1, ..Due::new(NOW_MS_DEFAULT + 10_000, What::Exit) });
    world.add_container("local", container);
    perform(&mut world, "docker.pause-container", json!({"container": "c"})).expect("paused");
    world.advance(60_000);
    assert_eq!(world.container("local", "c").map(|c| c.status), Some(Status::Paused));
    perform(&mut world, "docker.unpause-container", json!({"container": "c"})).expect("thawed");
    world.advance(6_000);
    assert_eq!(world.container("local", "c").map(|c| (c.status, c.health)), Some((Status::Running, Health::Healthy)));
    world.advance(6_000);
    assert_eq!(world.container("local", "c").map(|c| c.exit_code), Some(Some(1)));
}

#[test]
fn the_demo_is_ill_and_well_after_a_restart() {
    let mut world = World::invent_demo();
    let ask = |world: &mut World| perform(world, "net.http-probe", json!({"url": "http://shop-web-1:8080/health"}));
    assert_eq!(ask(&mut world).expect("probe")["ok"], false);
    let details = perform(&mut world, "docker.inspect-container", json!({"container": "shop/web"})).expect("details");
    assert_eq!(details["health_log"][4]["output"], "HTTP 500: connection pool exhausted");
    let found =
        perform(&mut world, "logs.search-container", json!({"container": "shop-web-1", "pattern": "pool exhausted"}));
    assert!(found.expect("matches")["found"].as_array().is_some_and(|found| found.len() >= 5));
    let events = perform(&mut world, "docker.recent-events", json!({})).expect("events");
    assert_eq!(events[0]["action"], "health_status: unhealthy");
    let dependents = perform(&mut world, "docker.dependents", json!({"container": "shop-db-1"})).expect("dependents");
    assert_eq!(dependents[0]["name"], "shop-web-1");
    perform(&mut world, "docker.restart-container", json!({"container": "shop-web-1"})).expect("restarted");
    world.advance(4_000);
    assert_eq!(ask(&mut world).expect("probe")["ok"], true);
}
