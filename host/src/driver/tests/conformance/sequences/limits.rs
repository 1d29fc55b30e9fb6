//! Programs inside, limits, and containers that need others.
//!
//! Deliberately not here: how they are asked and compared.

use super::*;

pub(super) fn all() -> Vec<Sequence> {
    [programs(), limits(), limits_at_rest(), shared()].into_iter().flatten().collect()
}

fn programs() -> Vec<Sequence> {
    let inside = |container: &mut Container, _| {
        let program = |argv: &[&str]| Program {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            ..Program::default()
        };
        container.stopping.exit_code = 0;
        container.programs = vec![
            Program { stdout: "out\n".to_owned(), stderr: "err\n".to_owned(), exit_code: 3, ..program(&["sh"]) },
            Program { takes_ms: 60_000, ..program(&["sleep"]) },
            program(&["true"]),
        ];
    };
    vec![sequence(
        "exec",
        vec![obeys("web").known(inside)],
        vec![
            exec("web", &["true"]),
            exec("web", &["sh", "-c", "echo out; echo err >&2; exit 3"]),
            exec("web", &["/nowhere", "x"]).but("stdout", "the engine's words"),
            with("docker.exec", "web", json!({"argv": ["sleep", "60"], "options": {"timeout_ms": 300}})),
            inspect("web"),
            events("web"),
        ],
    )]
}

fn mib(mib: u64) -> u64 {
    mib << 20
}

fn limits() -> Vec<Sequence> {
    vec![sequence(
        "update",
        vec![obeys("web").host(json!({"Memory": mib(32)}))],
        vec![
            update("web", json!({"memory_bytes": mib(48)})),
            inspect("web"),
            update("web", json!({"memory_bytes": mib(48)})),
            update("web", json!({"memory_bytes": mib(128)})),
            update("web", json!({"memory_swap_bytes": mib(16)})),
            inspect("web"),
            update("web", json!({"memory_bytes": mib(128), "memory_swap_bytes": mib(256)})),
            update("web", json!({"memory_bytes": mib(64), "memory_swap_bytes": mib(32)})),
            inspect("web"),
            update("web", json!({"memory_swap_bytes": -1})),
            inspect("web"),
            update("web", json!({"memory_bytes": mib(64)})),
            update("web", json!({"cpus": 0.5, "pids": 50})),
            inspect("web"),
            update("web", json!({"cpus": 1.25})),
            update("web", json!({"pids": -1})),
            inspect("web"),
            on("docker.container-stats", "web"),
            restart("web", 5_000),
            inspect("web"),
            events("web"),
        ],
    )]
}

fn limits_at_rest() -> Vec<Sequence> {
    vec![
        sequence(
            "update-exited",
            vec![obeys("web").host(json!({"Memory": mib(32), "MemorySwap": mib(32)}))],
            vec![
                stop("web", 5_000),
                update("web", json!({"memory_bytes": mib(64)})),
                update("web", json!({"memory_bytes": mib(64), "memory_swap_bytes": mib(64)})),
                update("web", json!({"memory_bytes": mib(16)})),
                inspect("web"),
                start("web"),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "update-unlimited",
            vec![obeys("web")],
            vec![
                update("web", json!({"memory_swap_bytes": mib(64)})),
                update("web", json!({"memory_bytes": mib(64)})),
                update("web", json!({"memory_bytes": mib(64), "memory_swap_bytes": -1})),
                inspect("web"),
                update("web", json!({"memory_bytes": mib(32)})),
                inspect("web"),
            ],
        ),
        sequence(
            "out-of-memory",
            vec![
                given("web", "sleep 0.5; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done", |container, _| {
                    container.lives =
                        vec![Life { oom_after_ms: Some(600), oom_needs_bytes: Some(1 << 40), ..Life::default() }];
                })
                .created()
                .host(json!({"Memory": mib(16), "MemorySwap": mib(16)})),
            ],
            vec![
                start("web"),
                until("web", "/state/status", json!("exited")),
                // The kernel's word of it races with the end of the process.
                inspect("web").but("oom_killed", "fails to notice"),
                Step::Resolve("$web"),
                events("web").but("events", "an `oom` that comes after its `die`"),
            ],
        ),
    ]
}

fn shared() -> Vec<Sequence> {
    let sharer = |name| obeys(name).host(json!({"NetworkMode": "container:$vpn"}));
    let labels = |service: &str, depends_on: &str| {
        json!({"Labels": {
            "com.docker.compose.project": "shop", "com.docker.compose.service": service,
            "com.docker.compose.depends_on": depends_on,
        }})
    };
    vec![
        sequence(
            "shared-network",
            vec![obeys("vpn"), sharer("user")],
            vec![
                on("docker.dependents", "vpn"),
                on("docker.dependents", "user"),
                restart("vpn", 5_000),
                inspect("user"),
                settles(),
                stop("vpn", 5_000),
                on("docker.dependents", "vpn"),
                inspect("user"),
                stop("user", 5_000),
                start("user"),
                inspect("user"),
                restart("user", 5_000),
                start("vpn"),
                start("user"),
                inspect("user"),
                settles(),
                pause("vpn"),
                restart("user", 5_000),
                events("vpn"),
                events("user"),
            ],
        ),
        sequence(
            "sharer-of-the-paused",
            vec![obeys("vpn"), sharer("user").created()],
            vec![pause("vpn"), start("user"), inspect("user"), events("user")],
        ),
        sequence(
            "depended-on",
            vec![
                obeys("db").with(labels("db", "")),
                obeys("web").with(labels("web", "db:service_started:false")),
                obeys("copy").host(json!({"VolumesFrom": ["$db"]})).known(|container, _| {
                    container.stopping.exit_code = 0;
                    container.volumes_from = vec!["$db".to_owned()];
                }),
            ],
            vec![
                on("docker.dependents", "db"),
                on("docker.dependents", "web"),
                stop("copy", 5_000),
                on("docker.dependents", "db"),
                restart("db", 5_000),
                inspect("web"),
            ],
        ),
    ]
}
