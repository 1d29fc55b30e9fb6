//! Starts, stops, restarts and signals, in every state.
//!
//! Deliberately not here: how they are asked and compared.

use super::*;

pub(super) fn all() -> Vec<Sequence> {
    [lives(), restarts(), beginnings(), signals(), frozen(), ended_while_frozen()].into_iter().flatten().collect()
}

fn lives() -> Vec<Sequence> {
    vec![
        sequence("start-running", vec![obeys("web")], vec![start("web"), inspect("web"), start("web"), events("web")]),
        sequence(
            "stop-obeyed",
            vec![obeys("web")],
            vec![
                stop("web", 5_000),
                inspect("web"),
                Step::Resolve("$web"),
                stop("web", 5_000),
                start("web"),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence("stop-ignored", vec![ignores("web")], vec![stop("web", 1_000), inspect("web"), events("web")]),
        sequence("stop-at-once", vec![ignores("web")], vec![stop("web", 0), inspect("web"), events("web")]),
    ]
}

fn restarts() -> Vec<Sequence> {
    vec![
        sequence(
            "restart-running",
            vec![obeys("web")],
            vec![restart("web", 5_000), inspect("web"), settles(), restart("web", 5_000), events("web")],
        ),
        sequence("restart-stubborn", vec![ignores("web")], vec![restart("web", 1_000), inspect("web"), events("web")]),
        sequence(
            "restart-exited",
            vec![obeys("web")],
            vec![stop("web", 5_000), restart("web", 5_000), inspect("web"), events("web")],
        ),
    ]
}

fn beginnings() -> Vec<Sequence> {
    vec![
        sequence(
            "created",
            vec![obeys("web").created(), obeys("again").created(), obeys("still").created()],
            vec![
                inspect("web"),
                Step::Resolve("$web"),
                stop("web", 1_000),
                kill("web", "KILL"),
                pause("web"),
                unpause("web"),
                exec("web", &["true"]),
                on("docker.container-stats", "web"),
                on("docker.container-processes", "web"),
                on("logs.tail-container", "web"),
                start("web"),
                inspect("web"),
                restart("again", 1_000),
                inspect("again"),
                update("still", json!({"cpus": 0.5})),
                list(json!({"all": true, "name": "created.*"})),
                events("web"),
                events("again"),
            ],
        ),
        sequence(
            "cannot-start",
            vec![
                given("web", "", |container, _| {
                    container.lives = vec![Life { start_error: Some("no such file".to_owned()), ..Life::default() }];
                })
                .created()
                .with(json!({"Cmd": ["/nowhere"]})),
            ],
            vec![
                start("web"),
                inspect("web"),
                restart("web", 1_000),
                inspect("web"),
                stop("web", 1_000),
                Step::Resolve("$web"),
            ],
        ),
        sequence(
            "gone-meanwhile",
            vec![obeys("web"), obeys("other")],
            vec![
                inspect("web"),
                Step::Meanwhile(&["rm", "-f", "$web"], |world, prefix| {
                    let host = world.hosts.get_mut("local").expect("the host");
                    host.containers.remove(&format!("{prefix}web"));
                }),
                inspect("web"),
                start("web"),
                stop("web", 1_000),
                restart("web", 1_000),
                kill("web", "TERM"),
                pause("web"),
                unpause("web"),
                exec("web", &["true"]),
                update("web", json!({"cpus": 0.5})),
                on("docker.dependents", "web"),
                on("docker.container-stats", "web"),
                on("docker.container-processes", "web"),
                on("logs.tail-container", "web"),
                with("logs.search-container", "web", json!({"pattern": "x"})),
                Step::Resolve("$web"),
                Step::Resolve("$other"),
                list(json!({"all": true, "name": "gone-meanwhile.*"})),
            ],
        ),
    ]
}

fn signals() -> Vec<Sequence> {
    let always = json!({"RestartPolicy": {"Name": "always"}});
    vec![
        sequence(
            "kill",
            vec![obeys("web")],
            vec![
                on("docker.kill-container", "web"),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                kill("web", "KILL"),
                kill("web", "TERM"),
                kill("web", "NONSENSE"),
                events("web"),
            ],
        ),
        sequence(
            "term-handled",
            vec![obeys("web")],
            vec![
                soon(kill("web", "TERM")),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "term-ignored",
            vec![ignores("web")],
            vec![
                kill("web", "TERM"),
                kill("web", "SIGINT"),
                kill("web", "NONSENSE"),
                Step::Pass(300),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "hup-handled",
            vec![obeys("web").host(always.clone())],
            vec![
                kill("web", "HUP"),
                Step::Pass(300),
                inspect("web"),
                // Docker's restart policy rests after any signal.
                Step::Meanwhile(&["exec", "$web", "touch", "/crash"], |world, prefix| {
                    happens(world, &format!("{prefix}web"), What::Exit, 1, "");
                }),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "killed-under-always",
            vec![ignores("web").host(always)],
            vec![
                kill("web", "KILL"),
                until("web", "/state/status", json!("exited")),
                Step::Pass(700),
                inspect("web"),
                Step::Resolve("$web"),
                start("web"),
                inspect("web"),
                events("web"),
            ],
        ),
    ]
}

fn frozen() -> Vec<Sequence> {
    vec![
        sequence(
            "pause",
            vec![obeys("web")],
            vec![
                pause("web"),
                inspect("web"),
                pause("web"),
                start("web"),
                exec("web", &["true"]),
                on("docker.container-stats", "web"),
                on("docker.container-processes", "web"),
                update("web", json!({"cpus": 0.5})),
                list(json!({"name": "pause.*"})),
                settles(),
                unpause("web"),
                unpause("web"),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "pause-exited",
            vec![obeys("web")],
            vec![
                stop("web", 5_000),
                pause("web"),
                unpause("web"),
                exec("web", &["true"]),
                on("docker.container-stats", "web"),
                on("docker.container-processes", "web"),
                on("docker.dependents", "web"),
                on("logs.tail-container", "web"),
                events("web"),
            ],
        ),
    ]
}

fn ended_while_frozen() -> Vec<Sequence> {
    vec![
        sequence(
            "stop-paused",
            vec![obeys("web")],
            vec![pause("web"), stop("web", 2_000), inspect("web"), events("web")],
        ),
        sequence(
            "restart-paused",
            vec![obeys("web")],
            vec![pause("web"), restart("web", 2_000), inspect("web"), events("web")],
        ),
        sequence(
            "kill-paused",
            vec![obeys("web")],
            vec![
                pause("web"),
                kill("web", "KILL"),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "term-paused",
            vec![obeys("web")],
            vec![
                pause("web"),
                soon(kill("web", "TERM")),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "pause-checked",
            vec![checked("web")],
            vec![
                pause("web"),
                inspect("web"),
                Step::Pass(700),
                unpause("web"),
                until("web", "/state/health", json!("healthy")),
                inspect("web"),
                events("web"),
            ],
        ),
    ]
}
