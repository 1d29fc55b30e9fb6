//! What follows by itself: restart policies and health checks.
//!
//! Deliberately not here: how they are asked and compared.

use super::*;

pub(super) fn all() -> Vec<Sequence> {
    [policies(), loops(), health()].into_iter().flatten().collect()
}

fn twice() -> Value {
    json!({"Name": "on-failure", "MaximumRetryCount": 2})
}

fn policies() -> Vec<Sequence> {
    vec![
        sequence(
            "crash-once",
            vec![crashes("web", json!({"Name": "no"}))],
            vec![
                start("web"),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                Step::Resolve("$web"),
                events("web"),
            ],
        ),
        sequence(
            "crash-twice",
            vec![crashes("web", twice())],
            vec![
                start("web"),
                until("web", "/state/restart_count", json!(2)),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                Step::Resolve("$web"),
                events("web"),
                start("web"),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "crash-restarted",
            vec![crashes("web", twice())],
            vec![
                start("web"),
                until("web", "/state/restart_count", json!(2)),
                until("web", "/state/status", json!("exited")),
                restart("web", 1_000),
                inspect("web"),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "well-under-on-failure",
            vec![
                given("web", "sleep 0.3", |container, _| {
                    container.lives = vec![Life { exit_after_ms: Some(300), exit_code: 0, ..Life::default() }];
                })
                .created()
                .host(json!({"RestartPolicy": twice()})),
            ],
            vec![start("web"), until("web", "/state/status", json!("exited")), inspect("web"), events("web")],
        ),
    ]
}

fn loops() -> Vec<Sequence> {
    vec![
        sequence(
            "loop-under-always",
            vec![crashes("web", json!({"Name": "always"}))],
            vec![
                start("web"),
                until("web", "/state/restart_count", json!(5)),
                until("web", "/state/status", json!("restarting")),
                inspect("web"),
                list(json!({"name": "loop-under-always.*"})),
                stop("web", 1_000),
                Step::Pass(1_000),
                inspect("web"),
                Step::Resolve("$web"),
                events("web"),
            ],
        ),
        sequence(
            "asked-between-restarts",
            vec![crashes("web", json!({"Name": "always"})), crashes("killed", json!({"Name": "always"}))],
            vec![
                start("web"),
                until("web", "/state/restart_count", json!(5)),
                until("web", "/state/status", json!("restarting")),
                start("web"),
                pause("web"),
                exec("web", &["true"]),
                start("killed"),
                until("killed", "/state/restart_count", json!(5)),
                until("killed", "/state/status", json!("restarting")),
                kill("killed", "KILL"),
                Step::Pass(1_000),
                inspect("killed"),
                events("killed"),
            ],
        ),
        sequence(
            "restart-between-restarts",
            vec![crashes("web", json!({"Name": "always"}))],
            vec![
                start("web"),
                until("web", "/state/restart_count", json!(5)),
                until("web", "/state/status", json!("restarting")),
                restart("web", 1_000),
                // Counted anew: the fifth delay is long enough to meet it there on a busy machine.
                until("web", "/state/restart_count", json!(5)),
                until("web", "/state/status", json!("restarting")),
                stop("web", 1_000),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "unless-stopped",
            vec![
                given(
                    "web",
                    &format!("if [ ! -e /ran ]; then touch /ran; sleep 0.3; exit 1; fi; {OBEYS}"),
                    |container, _| {
                        let once = Life { exit_after_ms: Some(300), exit_code: 1, ..Life::default() };
                        container.lives = vec![once, Life::default()];
                        container.stopping.exit_code = 0;
                    },
                )
                .created()
                .host(json!({"RestartPolicy": {"Name": "unless-stopped"}})),
            ],
            vec![
                start("web"),
                until("web", "/state/restart_count", json!(1)),
                until("web", "/state/status", json!("running")),
                // Its program is up by then, and listens.
                Step::Pass(500),
                inspect("web"),
                stop("web", 5_000),
                Step::Pass(1_000),
                inspect("web"),
                Step::Resolve("$web"),
                start("web"),
                inspect("web"),
                events("web"),
            ],
        ),
    ]
}

fn health() -> Vec<Sequence> {
    vec![
        sequence(
            "falls-ill",
            vec![checked("web")],
            vec![
                inspect("web"),
                Step::Meanwhile(&["exec", "$web", "rm", "/ok"], |world, prefix| {
                    happens(world, &format!("{prefix}web"), What::Unhealthy, 1, "gone\n");
                }),
                until("web", "/state/health", json!("unhealthy")),
                inspect("web"),
                list(json!({"name": "falls-ill.*"})),
                restart("web", 5_000),
                until("web", "/state/health", json!("healthy")),
                inspect("web"),
                events("web"),
            ],
        ),
        sequence(
            "checked-from-the-start",
            vec![checked("web").created()],
            vec![
                inspect("web"),
                start("web"),
                until("web", "/state/health", json!("healthy")),
                inspect("web"),
                stop("web", 5_000),
                inspect("web"),
                start("web"),
                until("web", "/state/health", json!("healthy")),
                kill("web", "KILL"),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                events("web"),
            ],
        ),
    ]
}
