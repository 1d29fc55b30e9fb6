//! Whatever is asked for in whatever order: the world stays a possible Docker world, and the same again is the same.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::effect::docker::{ContainerDetails, ContainerState, Health, HealthProbe, Limits, Mount, Status};
use crate::error::Error;
use crate::target::{LABEL_PROJECT, LABEL_SERVICE};

/// Containers with every kind of future.
const WORLD: &str = r#"
seed = 7
[hosts.local.containers.plain]
logs = ["a", "b error", "c"]
programs = [{ argv = ["true"], takes_ms = 700 }]
[hosts.local.containers.checked]
health = "healthy"
restart_policy = "unless-stopped"
lives = [{ unhealthy_after_ms = 900 }, { healthy_after_ms = 500, oom_after_ms = 2_500, oom_needs_bytes = 90_000_000 }]
limits = { memory_bytes = 80_000_000, memory_swap_bytes = 160_000_000 }
[hosts.local.containers.loop]
restart_policy = "on-failure:6"
lives = [{ exit_after_ms = 30 }, { start_error = "no" }, { exit_after_ms = 11_000 }]
due = [{ at = "+50ms", what = "exit", code = 1 }]
[hosts.local.containers.slow]
stopping = { takes_ms = 3_000, exit_code = 0 }
network_mode = "container:plain"
[hosts.local.containers.stuck]
stopping = { cannot_be_killed = true }
restart_policy = "always"
[hosts.far.containers.plain]
status = "created"
has_healthcheck = true
[hosts.local.containers.shop-web-1]
labels = { "com.docker.compose.project" = "shop", "com.docker.compose.service" = "web", "com.docker.compose.container-number" = "1" }
lives = [{ healthy_after_ms = 100 }]
[hosts.local]
networks = ["front"]
build_cache_bytes = 5_000
volumes_bytes = 700
[[hosts.local.images]]
tags = ["plain:latest"]
size_bytes = 90
[[hosts.local.images]]
tags = ["plain:2"]
size_bytes = 80
[[hosts.local.images]]
size_bytes = 70
[[endpoints]]
at = "http://plain/"
container = "plain"
[[faults]]
effect = "docker.restart-container"
call = 2
error = "timeout"
happened = true
"#;

#[derive(Debug, Clone)]
enum Step {
    Effect(Effect),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let container =
        prop::sample::select(vec!["plain", "checked", "loop", "slow", "stuck", "shop-web-1", "far/plain", "nobody"]);
    let on_container = prop::sample::select(vec![
        ("docker.inspect-container", json!({})),
        ("docker.container-stats", json!({})),
        ("docker.container-processes", json!({})),
        ("docker.dependents", json!({})),
        ("docker.start-container", json!({})),
        ("docker.stop-container", json!({"options": {"grace_ms": 1_000}})),
        ("docker.stop-container", json!({})),
        ("docker.restart-container", json!({"options": {"grace_ms": 0}})),
        ("docker.restart-container", json!({})),
        ("docker.kill-container", json!({})),
        ("docker.kill-container", json!({"options": {"signal": "TERM"}})),
        ("docker.kill-container", json!({"options": {"signal": "HUP"}})),
        ("docker.pause-container", json!({})),
        ("docker.unpause-container", json!({})),
        ("docker.exec", json!({"argv": ["true"]})),
        ("docker.update-resources", json!({"resources": {"memory_bytes": 95_000_000}})),
        ("docker.update-resources", json!({"resources": {"memory_bytes": 999_000_000, "memory_swap_bytes": -1}})),
        ("docker.container-changes", json!({})),
        ("docker.recreate-container", json!({})),
        (
            "docker.recreate-container",
            json!({"options": {"image": "plain:2", "grace_ms": 0, "healthy_within_ms": 2_000}}),
        ),
        ("docker.remove-container", json!({})),
        ("docker.remove-container", json!({"options": {"force": true}})),
        ("docker.connect-network", json!({"network": "front"})),
        ("docker.connect-network", json!({"network": "none"})),
        ("docker.disconnect-network", json!({"network": "bridge"})),
        ("logs.truncate-container-log", json!({})),
        ("logs.tail-container", json!({"options": {"lines": 1}})),
        ("logs.search-container", json!({"pattern": "e", "options": {"context": 20, "limit": 1}})),
    ]);
    let alone = prop::sample::select(vec![
        ("docker.list-containers", json!({"filter": {"all": true}})),
        ("docker.recent-events", json!({"filter": {"limit": 3}})),
        ("docker.scale-service", json!({"service": "shop/web", "replicas": 3})),
        ("docker.scale-service", json!({"service": "web", "replicas": 1, "options": {"grace_ms": 0}})),
        ("docker.list-images", json!({})),
        ("docker.disk-usage", json!({})),
        ("docker.prune-images", json!({})),
        ("docker.prune-images", json!({"options": {"unused": true, "older_than_ms": 3_600_000}})),
        ("docker.prune-build-cache", json!({"options": {"keep_bytes": 100}})),
        ("metrics.query", json!({"promql": "up"})),
        ("net.http-probe", json!({"url": "http://plain/"})),
        ("net.tcp-check", json!({"host": "plain", "port": 80})),
        ("net.dns-lookup", json!({"name": "plain"})),
        ("http.request", json!({"method": "post", "url": "http://plain/"})),
        ("notify.send", json!({"message": {"title": "t", "text": "x"}})),
        ("state.put", json!({"key": "k", "value": "v"})),
        ("clock.now", json!({})),
        ("random.random-u64", json!({})),
    ]);
    let parse = |name: &str, arguments: Value| Effect::from_arguments(name, arguments).expect("a sample");
    prop_oneof![
        5 => (on_container, container).prop_map(move |((name, mut arguments), container)| {
            arguments["container"] = json!(container);
            Step::Effect(parse(name, arguments))
        }),
        1 => alone.prop_map(move |(name, arguments)| Step::Effect(parse(name, arguments))),
        1 => (0_u64..20_000).prop_map(|ms| Step::Effect(crate::effect::engine::Sleep { duration_ms: ms }.into())),
        2 => prop_oneof![0_u64..5_000, 0_u64..600_000].prop_map(Step::Advance),
    ]
}

fn run(world: &mut World, steps: &[Step]) -> Vec<Result<Value, Error>> {
    let take = |world: &mut World, step: &Step| match step {
        Step::Advance(ms) => {
            world.advance(*ms);
            Ok(Value::Null)
        }
        Step::Effect(effect) => {
            let resolved = world.resolve("local", &effect.scope())?;
            let value = world.perform(effect, Some(&resolved))?;
            Effect::check_output(effect.name(), &value).expect("the output's shape");
            Ok(value)
        }
    };
    let mut answers = Vec::new();
    for step in steps {
        let before = world.now_ms;
        answers.push(take(world, step));
        assert!(world.now_ms >= before, "time goes forward");
        check(world);
    }
    answers
}

/// What holds in every Docker world at every moment.
fn check(world: &World) {
    let mut ids = BTreeSet::new();
    for (name, host) in &world.hosts {
        assert!(host.events.len() <= EVENTS_KEPT_MAX);
        assert!(host.events.windows(2).all(|pair| pair[0].at.ms(0) <= pair[1].at.ms(0)), "events are in order");
        assert!(host.events.iter().all(|event| event.at.ms(0) <= world.now_ms), "no event from the future");
        let gone = |name: &str| host.events.iter().any(|event| event.container == name && event.action == "destroy");
        let known = |event: &HostEvent| host.containers.contains_key(&event.container) || gone(&event.container);
        assert!(host.events.iter().all(known), "events are of those there are or were");
        assert!(host.volumes_bytes == 700 || name == "far", "nothing removes a volume");
        for (name, c) in &host.containers {
            assert!(ids.insert(&c.id), "{name}: ids are unique");
            assert_eq!(c.name, *name, "a container is found by its name");
            let private = c.networks.iter().any(|network| matches!(network.as_str(), "none" | "host"));
            assert!(!private || c.networks.len() == 1, "{name}: nothing beside network none or host");
            assert!(c.networks.windows(2).all(|pair| pair[0] < pair[1]), "{name}: each network once");
            let started = c.started_at.is_some();
            match c.status {
                Status::Running | Status::Paused => assert!(started, "{name}: running has started"),
                Status::Exited | Status::Restarting | Status::Dead => {
                    assert!(c.exit_code.is_some() && c.finished_at.is_some(), "{name}: exited has an exit");
                    assert!(c.health != Health::Healthy && c.health != Health::Starting, "{name}: nobody probes it");
                }
                Status::Created | Status::Removing => {}
            }
            assert_eq!(c.frozen.is_some(), c.status == Status::Paused, "{name}: frozen is paused");
            let silent = !c.has_healthcheck || c.status == Status::Created;
            assert_eq!(c.health == Health::None, silent, "{name}: health needs a check and a start");
            let restarts = c.due.iter().filter(|due| due.what == What::Restart).count();
            assert_eq!(restarts, usize::from(c.status == Status::Restarting), "{name}: restarting ends");
            assert!(c.backoff_ms <= 60_000);
            let overdue = |due: &Due| due.at.ms(0) < world.now_ms;
            assert!(c.frozen.is_some() || !c.due.iter().any(overdue), "{name}: what was due has happened");
        }
    }
}

/// A container as a real engine may describe it.
fn details() -> impl Strategy<Value = ContainerDetails> {
    let status = prop::sample::select(vec![
        Status::Created,
        Status::Running,
        Status::Paused,
        Status::Restarting,
        Status::Removing,
        Status::Exited,
        Status::Dead,
    ]);
    let health = prop::sample::select(vec![Health::Starting, Health::Healthy, Health::Unhealthy]);
    let policy = prop::sample::select(vec!["no", "always", "unless-stopped", "on-failure", "on-failure:3"]);
    let known = (status, health, any::<(bool, bool)>(), 0_i32..256, any::<u32>(), policy);
    let words = prop::collection::btree_map("[a-z.]{1,9}", "\\PC{0,9}", 0..4);
    let compose = prop::option::of(("[a-z]{1,6}", "[a-z]{1,6}"));
    let limits = (0_u64..1 << 40, -1_i64..1 << 40, 0_u32..64, 0_i64..1 << 20);
    let network = prop::sample::select(vec!["bridge", "none", "host", "container:0123456789ab"]);
    let lists = prop::collection::vec("\\PC{0,12}", 0..4);
    (known, words, compose, limits, network, lists).prop_map(|(known, mut labels, compose, limits, network, lists)| {
        let (status, health, (checked, oom_killed), code, restart_count, policy) = known;
        let (ran, runs) = (status != Status::Created, matches!(status, Status::Running | Status::Paused));
        // To the nanosecond, as Docker writes times.
        let at = |second: u32| format!("2026-02-03T04:05:{second:02}.123456789Z");
        let (project, service) = compose.unzip();
        for (key, value) in [(LABEL_PROJECT, &project), (LABEL_SERVICE, &service)] {
            labels.extend(value.clone().map(|value| (key.to_owned(), value)));
        }
        let probe = |second| HealthProbe { started_at: at(second), exit_code: code, output: lists.concat() };
        let mount = |text: &String| Mount {
            kind: "bind".to_owned(),
            source: text.clone(),
            destination: format!("/{text}"),
            writable: oom_killed,
        };
        ContainerDetails {
            name: "web".to_owned(),
            id: format!("{code:064x}"),
            host: "local".to_owned(),
            image: "nginx:1.27".to_owned(),
            image_id: "sha256:0123".to_owned(),
            state: ContainerState {
                status,
                health: if checked && ran { health } else { Health::None },
                exit_code: (ran && !runs).then_some(code),
                oom_killed,
                error: lists.first().cloned().unwrap_or_default(),
                started_at: ran.then(|| at(1)),
                finished_at: (ran && (!runs || restart_count > 0)).then(|| at(2)),
                restart_count,
            },
            health_log: if checked && ran { vec![probe(3), probe(4)] } else { Vec::new() },
            created_at: at(0),
            command: lists.clone(),
            environment_names: lists.clone(),
            labels,
            project,
            service,
            restart_policy: policy.to_owned(),
            network_mode: network.to_owned(),
            networks: vec![network.to_owned()],
            mounts: lists.iter().map(mount).collect(),
            limits: Limits {
                memory_bytes: limits.0,
                memory_swap_bytes: limits.1,
                cpus: f64::from(limits.2) / 4.0,
                pids: limits.3,
            },
            has_healthcheck: checked,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_keeps_the_world_possible_and_repeats(steps in prop::collection::vec(step(), 0..40)) {
        let start = World::from_toml(WORLD, "world.toml").expect("a world");
        let (mut once, mut twice) = (start.clone(), start);
        let answers = run(&mut once, &steps);
        // The second time over the stored world, half way through.
        let half = steps.len() / 2;
        let mut again = run(&mut twice, &steps[..half]);
        let stored = serde_json::to_string(&twice).expect("stored");
        let mut restored: World = serde_json::from_str(&stored).expect("read");
        again.extend(run(&mut restored, &steps[half..]));
        prop_assert_eq!(answers, again);
        prop_assert_eq!(once, restored);
    }

    #[test]
    fn a_copy_of_a_world_answers_as_the_world(
        before in prop::collection::vec(step(), 0..20),
        after in prop::collection::vec(step(), 0..20),
    ) {
        let mut world = World::from_toml(WORLD, "world.toml").expect("a world");
        run(&mut world, &before);
        let (mut one, mut other) = (world.clone(), world.clone());
        // One after the other, not in turns: neither learns from its copy.
        let answers = run(&mut one, &after);
        prop_assert_eq!(answers, run(&mut other, &after));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_is_taken_over_is_described_as_it_was(details in details()) {
        let mut world = World::new(NOW_MS_DEFAULT);
        world.add_container("local", Container::from_details(&details));
        prop_assert_eq!(world.details("local", "web").expect("taken over"), details.clone());
        // And so it is by any other way to read it.
        let filter = json!({"filter": {"all": true}});
        let list = Effect::from_arguments("docker.list-containers", filter).expect("a listing");
        let list = world.perform(&list, None).expect("listed");
        let line = json!({"name": "web", "id": details.id, "status": details.state.status});
        for field in ["name", "id", "status"] {
            prop_assert_eq!(&list[0][field], &line[field]);
        }
        let resolved = world.resolve("local", &crate::effect::Scope::Container("web")).expect("found");
        prop_assert_eq!(resolved.before, serde_json::to_value(&details.state).ok());
        prop_assert_eq!(resolved.facts.map(|facts| (facts.labels, facts.image)), Some((details.labels, details.image)));
    }

    #[test]
    fn any_reference_is_answered(text in "\\PC{0,40}", url in "(http|https|x)://[a-z@:\\[\\]/?# 0-9é]{0,20}") {
        let world = World::invent_demo();
        drop(world.resolve("local", &crate::effect::Scope::Container(&text)));
        drop(world.resolve("local", &crate::effect::Scope::Url(&url)));
    }
}
