//! Reads: logs, names, listings and events.
//!
//! Deliberately not here: how they are asked and compared.

use super::*;

pub(super) fn all() -> Vec<Sequence> {
    [logs(), names()].into_iter().flatten().collect()
}

/// Labels as compose writes them, and one more.
fn member(project: &str, service: &str, number: u32) -> Value {
    json!({"Labels": {
        "com.docker.compose.project": project, "com.docker.compose.service": service,
        "com.docker.compose.container-number": number.to_string(), "tier": "front",
    }})
}

fn logs() -> Vec<Sequence> {
    let script = "for i in 1 2 3 4 5; do echo early $i; done; sleep 4; for i in 1 2 3 4 5; do echo late $i; done; exec sleep 1000";
    let inside = |container: &mut Container, now_ms: u64| {
        let line = |when: &str, at: u64, number: u64| LogLine { at: Moment::At(at), line: format!("{when} {number}") };
        container.logs = (1..=5).map(|number| line("early", now_ms - 4_000, number)).collect();
        container.logs.extend((1..=5).map(|number| line("late", now_ms, number)));
    };
    let tail = |options: Value| with("logs.tail-container", "web", json!({"options": options}));
    let search = |pattern: &str, options: Value| {
        with("logs.search-container", "web", json!({"pattern": pattern, "options": options}))
    };
    vec![sequence(
        "logs",
        vec![Given { ready: "late 5", ..given("web", script, inside) }],
        vec![
            tail(json!({})),
            tail(json!({"lines": 3})),
            tail(json!({"since_ms": 2_500})),
            tail(json!({"since_ms": 2_500, "lines": 2})),
            search("early", json!({})),
            search("[24]$", json!({"context": 1})),
            search("5", json!({"limit": 1})),
            search("late", json!({"since_ms": 2_500})),
            search("nothing", json!({})),
            search("(", json!({})),
            search("late", json!({"cursor": "no such cursor"})),
            Step::Pages { on: "web", pattern: "a", options: json!({"limit": 3}) },
            Step::Pages { on: "web", pattern: "3|4", options: json!({"limit": 2, "context": 1}) },
            stop("web", 0),
            tail(json!({"lines": 1})),
        ],
    )]
}

fn names() -> Vec<Sequence> {
    vec![
        sequence(
            "names",
            vec![
                obeys("web").with(member("names-shop", "names-web", 1)),
                obeys("one").with(member("names-shop", "names-worker", 1)),
                obeys("two").with(member("names-shop", "names-worker", 2)).created(),
            ],
            vec![
                Step::Resolve("$web"),
                Step::Resolve("/$web"),
                Step::Resolve("local/$web"),
                Step::Resolve("$web#64"),
                Step::Resolve("$web#12"),
                Step::Resolve("$web#11"),
                Step::Resolve("$web#5"),
                Step::Resolve("local/$web#12"),
                Step::Resolve("names-web"),
                Step::Resolve("names-shop/names-web"),
                Step::Resolve("local/names-shop/names-web"),
                Step::Resolve("names-worker"),
                Step::Resolve("names-shop/names-worker"),
                Step::Resolve("names-shop/nobody"),
                Step::Resolve("other/$web"),
                Step::Resolve("nobody"),
                Step::Resolve("no name"),
                Step::Resolve("a/b/c/d"),
                Step::Resolve(""),
            ],
        ),
        sequence(
            "lists",
            vec![
                obeys("web").with(member("lists-shop", "web", 1)),
                obeys("db").with(member("lists-shop", "db", 1)).created(),
                obeys("api").with(member("lists-other", "web", 1)),
                obeys("end"),
            ],
            vec![
                stop("end", 5_000),
                pause("api"),
                list(json!({"name": "lists.*"})),
                list(json!({"name": "lists.*", "all": true})),
                list(json!({"name": "lists.?b", "all": true})),
                list(json!({"project": "lists-shop", "all": true})),
                list(json!({"project": "lists-shop"})),
                list(json!({"project": "lists-shop", "service": "web"})),
                list(json!({"service": "web", "name": "lists.*"})),
                list(json!({"labels": ["tier"], "name": "lists.*", "all": true})),
                list(json!({"labels": ["tier=front", "com.docker.compose.project=lists-other"]})),
                list(json!({"labels": ["tier=back"]})),
                list(json!({"name": "lists.["})),
            ],
        ),
        sequence(
            "events",
            vec![obeys("web")],
            vec![
                restart("web", 5_000),
                settles(),
                stop("web", 5_000),
                start("web"),
                events("web"),
                with("docker.recent-events", "web", json!({"filter": {"container": "$web", "limit": 3}})),
                with("docker.recent-events", "web", json!({"filter": {"container": "$web", "since_ms": 60_000}})),
                Step::Pass(1_100),
                with("docker.recent-events", "web", json!({"filter": {"container": "$web", "since_ms": 1_000}})),
            ],
        ),
    ]
}
