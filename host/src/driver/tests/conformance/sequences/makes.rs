//! What effects make and unmake: instances, replicas, connections, images; and what takes the disk.
//!
//! Deliberately not here: a build cache, which an engine without a builder does not have.

use super::*;

pub(super) fn all() -> Vec<Sequence> {
    [recreated(), refused(), removed(), scaled(), connected(), on_disk()].into_iter().flatten().collect()
}

fn recreate(name: &'static str, mut options: Value) -> Step {
    merge(&mut options, &json!({"grace_ms": 2_000, "healthy_within_ms": 20_000}));
    with("docker.recreate-container", name, json!({"options": options}))
}

fn remove(name: &'static str) -> Step {
    on("docker.remove-container", name)
}

fn remove_running(name: &'static str) -> Step {
    with("docker.remove-container", name, json!({"options": {"force": true}}))
}

fn connect(name: &'static str, network: &str) -> Step {
    with("docker.connect-network", name, json!({"network": network}))
}

fn disconnect(name: &'static str, network: &str) -> Step {
    with("docker.disconnect-network", name, json!({"network": network}))
}

fn recreated() -> Vec<Sequence> {
    let again = "[ -e /data/ran ] && exit 4; touch /data/ran; exec sleep 1000";
    vec![
        sequence(
            "recreate",
            vec![checked("web").host(json!({"Memory": 64 << 20})).with(json!({
                "Env": ["KEEP=1", "DROP=1"], "Labels": {"team": "shop", "old": "1"},
            }))],
            vec![
                recreate(
                    "web",
                    json!({
                        "environment": {"MODE": "b", "KEEP": "2"}, "remove_environment": ["DROP"],
                        "labels": {"made": "anew"}, "remove_labels": ["old"], "limits": {"memory_bytes": 32 << 20},
                    }),
                ),
                inspect("web"),
                list(json!({"name": "recreate.*", "all": true})),
                recreate("web", json!({"limits": {"memory_swap_bytes": 16 << 20}})),
                inspect("web"),
                recreate("web", json!({"limits": {"memory_swap_bytes": -1, "cpus": 0.5, "pids": 50}})),
                inspect("web"),
                stop("web", 5_000),
                recreate("web", json!({})),
                inspect("web"),
            ],
        ),
        sequence(
            "recreate-mounts",
            vec![obeys("web").with(json!({"Volumes": {"/data": {}}})).host(json!({"Binds": ["/usr:/host:ro"]}))],
            vec![
                inspect("web"),
                recreate(
                    "web",
                    json!({"mounts": [
                        {"kind": "bind", "source": "/etc", "destination": "/host", "writable": false},
                        {"kind": "volume", "source": "sb-kept", "destination": "/kept"},
                        {"kind": "tmpfs", "destination": "/scratch"},
                    ]}),
                ),
                inspect("web"),
                // What was mounted stays unless something else is put there.
                recreate("web", json!({"mounts": [{"kind": "tmpfs", "destination": "/kept"}]})),
                inspect("web"),
            ],
        ),
        // What is wrong with the new one shows on the volume that goes over, so the old one does not live either.
        sequence(
            "recreate-ends",
            vec![
                given("web", again, |container, _| {
                    container.lives = vec![Life { exit_after_ms: Some(0), exit_code: 4, ..Life::default() }];
                    container.stopping.ignores_term = true;
                })
                .with(json!({"Volumes": {"/data": {}}})),
            ],
            vec![
                recreate("web", json!({"grace_ms": 0})),
                until("web", "/state/status", json!("exited")),
                inspect("web"),
                list(json!({"name": "recreate-ends.*", "all": true})),
            ],
        ),
    ]
}

fn refused() -> Vec<Sequence> {
    let sharer = obeys("user").host(json!({"NetworkMode": "container:$vpn"}));
    vec![
        sequence(
            "recreate-refused",
            vec![obeys("vpn"), obeys("other"), sharer],
            vec![
                recreate("vpn", json!({})),
                inspect("vpn"),
                recreate("other", json!({"network_of": "$vpn"})),
                recreate("user", json!({"network_of": "nobody"})),
                recreate("user", json!({"network_of": "$other"})),
                inspect("user"),
                on("docker.dependents", "other"),
                on("docker.dependents", "vpn"),
            ],
        ),
        sequence(
            "recreate-paused",
            vec![obeys("web")],
            vec![pause("web"), recreate("web", json!({})), inspect("web"), settles(), unpause("web"), inspect("web")],
        ),
    ]
}

fn removed() -> Vec<Sequence> {
    vec![
        sequence(
            "remove",
            vec![obeys("web"), obeys("new").created(), obeys("old")],
            vec![
                remove("web"),
                pause("web"),
                remove("web"),
                inspect("web"),
                remove_running("web"),
                inspect("web"),
                remove("web"),
                start("web"),
                Step::Resolve("$web"),
                remove("new"),
                inspect("new"),
                stop("old", 5_000),
                remove("old"),
                list(json!({"name": "remove.*", "all": true})),
            ],
        ),
        sequence(
            "remove-loop",
            vec![crashes("web", json!({"Name": "always"}))],
            vec![
                start("web"),
                until("web", "/state/restart_count", json!(3)),
                until("web", "/state/status", json!("restarting")),
                remove("web"),
                remove_running("web"),
                inspect("web"),
            ],
        ),
    ]
}

fn scaled() -> Vec<Sequence> {
    let labels = json!({"Labels": {
        "com.docker.compose.project": "scale-shop", "com.docker.compose.service": "scale-web",
        "com.docker.compose.container-number": "1", "tier": "front",
    }});
    let scale = |service: &str, replicas: u32| {
        let args = json!({"service": service, "replicas": replicas, "options": {"grace_ms": 2_000}});
        with("docker.scale-service", "", args)
    };
    vec![sequence(
        "scale",
        vec![obeys("web-1").with(labels).host(json!({"Memory": 32 << 20}))],
        vec![
            scale("scale-shop/scale-web", 3),
            inspect("web-1"),
            inspect("web-2"),
            inspect("web-3"),
            list(json!({"project": "scale-shop"})),
            scale("scale-web", 3),
            settles(),
            stop("web-2", 5_000),
            scale("local/scale-shop/scale-web", 4),
            list(json!({"project": "scale-shop", "all": true})),
            settles(),
            scale("scale-shop/scale-web", 1),
            inspect("web-2"),
            list(json!({"project": "scale-shop", "all": true})),
            scale("scale-shop/nobody", 2),
        ],
    )]
}

fn connected() -> Vec<Sequence> {
    let mut networks = sequence(
        "networks",
        vec![
            obeys("web").host(json!({"NetworkMode": "sb-front"})),
            obeys("alone"),
            obeys("user").host(json!({"NetworkMode": "container:$web"})),
        ],
        vec![
            inspect("web"),
            connect("web", "sb-back"),
            connect("web", "sb-back"),
            connect("web", "sb-nowhere"),
            inspect("web"),
            disconnect("web", "sb-front"),
            disconnect("web", "sb-front"),
            disconnect("web", "sb-nowhere"),
            inspect("web"),
            connect("alone", "sb-back"),
            connect("web", "none"),
            connect("web", "host"),
            connect("user", "sb-front"),
            inspect("user"),
            stop("user", 5_000),
            stop("web", 5_000),
            connect("web", "sb-front"),
            disconnect("web", "sb-back"),
            start("web"),
            inspect("web"),
            events("web"),
        ],
    );
    networks.networks = vec![("sb-front", 1), ("sb-back", 2)];
    vec![networks]
}

fn on_disk() -> Vec<Sequence> {
    let images = |filter: Value| with("docker.list-images", "", json!({"filter": filter}));
    let usage = || {
        let layers = "writable layers";
        on("docker.disk-usage", "").but("containers size_bytes", layers).but("containers reclaimable_bytes", layers)
    };
    let prune = |options: Value| with("docker.prune-images", "", json!({"options": options}));
    let noisy = OBEYS.replace("echo up", "touch /made; for i in 1 2 3 4 5 6 7 8 9; do echo $i; done; echo up");
    let loud = |container: &mut Container, now_ms: u64| {
        container.stopping = Stopping { exit_code: 0, ..Stopping::default() };
        (1..=9).for_each(|number| container.write_line(now_ms, &number.to_string()));
        container.write_line(now_ms, "up");
    };
    let mut disk = sequence(
        "disk",
        vec![given("web", &noisy, loud).ready("up"), ignores("quiet")],
        vec![
            images(json!({})),
            images(json!({"dangling": true})),
            images(json!({"dangling": false, "unused": true})),
            images(json!({"unused": false})),
            images(json!({"tag": "sb-next:*"})),
            images(json!({"tag": "["})),
            usage(),
            on("docker.container-changes", "web"),
            on("docker.container-changes", "quiet"),
            on("logs.truncate-container-log", "web"),
            on("logs.tail-container", "web"),
            on("logs.truncate-container-log", "web"),
            recreate("web", json!({"image": "sb-nowhere:1"})),
            recreate("web", json!({"image": "sb-next:1", "command": ["sh", "-c", OBEYS]})),
            inspect("web"),
            on("docker.container-changes", "web"),
            images(json!({})),
            prune(json!({})),
            images(json!({})),
            prune(json!({})),
            // What was made just now stays, used or not.
            prune(json!({"unused": true, "older_than_ms": 3_600_000})),
            images(json!({})),
            with("docker.prune-build-cache", "", json!({"options": {"keep_bytes": 0}})),
            remove_running("web"),
            usage(),
            images(json!({"unused": true})),
        ],
    );
    // The first of two by one name has none afterwards.
    disk.images = vec![("sb-next", &["old"]), ("sb-next", &["new", "more"]), ("sb-spare", &["spare"])];
    vec![disk]
}
