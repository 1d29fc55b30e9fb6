//! The drivers and the watcher against a real engine, started for them and gone with them.

use super::*;
use crate::watcher::Watcher;

/// Where the engine listens, while the one test that starts it runs.
static ENDPOINT: std::sync::OnceLock<String> = std::sync::OnceLock::new();

fn endpoint() -> String {
    ENDPOINT.get().expect("the engine is started first").clone()
}

#[test]
fn everything_against_a_real_engine() {
    let engine = sandbook_tests::docker::Dockerd::start();
    ENDPOINT.set(engine.endpoint()).expect("one test starts it");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        containers_are_changed_and_say_so().await;
        a_container_is_made_anew_with_what_it_had_or_comes_back().await;
        services_are_scaled().await;
        networks_are_joined_and_left().await;
        disks_are_looked_at_and_tidied().await;
        programs_run_once_and_their_output_is_bounded().await;
        logs_are_read_to_the_line().await;
        the_watcher_sees_deaths_health_and_sharers().await;
    });
}

struct Made(Live, String);

/// Containers are made with the command line client: creating them is no effect of the catalogue yet.
fn docker(args: &[&str]) -> String {
    let endpoint = endpoint();
    let output = std::process::Command::new("docker").args(["-H", &endpoint]).args(args).output().expect("docker runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Made {
    fn new(name: &str, options: &[&str], command: &[&str]) -> Made {
        let endpoint = endpoint();
        let network: &[&str] = if options.contains(&"--network") { &[] } else { &["--network", "none"] };
        let id = docker(
            &[&["run", "-d", "--name", name], network, options, &[sandbook_tests::docker::IMAGE], command].concat(),
        );
        let mut live = live(&endpoint, &[]);
        let mut settings = docker::Settings::new(&endpoint).expect("an endpoint");
        settings.read_timeout = Duration::from_secs(10);
        live.hosts = Arc::new(Hosts::from([("local".to_owned(), Arc::new(Host::new("local", settings)))]));
        Made(live, id)
    }

    async fn drive(&self, name: &str, options: Value) -> Result<Value, Error> {
        let mut args = if name == "docker.recent-events" { json!({}) } else { json!({"container": "x"}) };
        args.as_object_mut().expect("an object").extend(options.as_object().expect("an object").clone());
        drive(&self.0, name, args, &self.1, None).await
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        docker(&["rm", "-f", "-v", &self.1]);
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come to be");
}

async fn containers_are_changed_and_say_so() {
    let made = Made::new(
        "sb-change",
        &["-m", "32m", "-e", "SECRET=hunter22"],
        &["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
    );
    let details = made.drive("docker.inspect-container", json!({})).await.expect("details");
    assert_eq!(
        (details["limits"]["memory_bytes"].clone(), details["state"]["status"].clone()),
        (json!(33_554_432), json!("running"))
    );
    assert!(!details.to_string().contains("hunter22"), "{details}");
    let before = details["state"]["started_at"].clone();
    let change =
        made.drive("docker.restart-container", json!({"options": {"grace_ms": 2_000}})).await.expect("restarted");
    assert_ne!(change["state"]["started_at"], before);
    for (effect, options, changed, status) in [
        ("docker.start-container", json!({}), false, "running"),
        ("docker.pause-container", json!({}), true, "paused"),
        ("docker.pause-container", json!({}), false, "paused"),
        ("docker.unpause-container", json!({}), true, "running"),
        ("docker.unpause-container", json!({}), false, "running"),
        ("docker.stop-container", json!({"options": {"grace_ms": 2_000}}), true, "exited"),
        ("docker.stop-container", json!({"options": {"grace_ms": 2_000}}), false, "exited"),
        ("docker.start-container", json!({}), true, "running"),
        ("docker.kill-container", json!({"options": {"signal": "HUP"}}), true, "running"),
    ] {
        if effect == "docker.unpause-container" && changed {
            // The engine hears of its own pause a little later, and would take that for a second one.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let change = made.drive(effect, options).await.unwrap_or_else(|error| panic!("{effect}: {error}"));
        if effect != "docker.kill-container" {
            assert_eq!(
                (change["changed"].clone(), change["state"]["status"].clone()),
                (json!(changed), json!(status)),
                "{effect}"
            );
        }
    }
    made.drive("docker.start-container", json!({})).await.expect("started");
    let update = made
        .drive(
            "docker.update-resources",
            json!({"resources": {"memory_bytes": 67_108_864, "memory_swap_bytes": 134_217_728, "cpus": 0.5}}),
        )
        .await
        .expect("updated");
    assert_eq!(update["changed"], true);
    let details = made.drive("docker.inspect-container", json!({})).await.expect("details");
    assert_eq!(
        (details["limits"]["memory_bytes"].clone(), details["limits"]["cpus"].clone()),
        (json!(67_108_864), json!(0.5))
    );
    made.drive("docker.stop-container", json!({"options": {"grace_ms": 1_000}})).await.expect("stopped");
    let error = made.drive("docker.kill-container", json!({})).await.expect_err("not running");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
}

async fn programs_run_once_and_their_output_is_bounded() {
    let made = Made::new("sb-exec", &[], &["sleep", "1000"]);
    let result =
        made.drive("docker.exec", json!({"argv": ["sh", "-c", "echo out; echo err >&2; exit 3"]})).await.expect("ran");
    assert_eq!(result, json!({"exit_code": 3, "stdout": "out\n", "stderr": "err\n", "truncated": false}));
    let result = made.drive("docker.exec", json!({"argv": ["sh", "-c", "yes | head -c 300000"]})).await.expect("ran");
    assert_eq!((result["stdout"].as_str().map(str::len), result["truncated"].clone()), (Some(65_536), json!(true)));
    let late = made
        .drive("docker.exec", json!({"argv": ["sleep", "60"], "options": {"timeout_ms": 300}}))
        .await
        .expect_err("late");
    assert_eq!(late.kind, ErrorKind::Timeout);
    let exec = late.message.split("(exec ").nth(1).and_then(|text| text.split(')').next()).expect("an id").to_owned();
    assert_eq!(made.0.exec_state("local", &exec).await.expect("a state"), docker::ExecState::Running);
    assert_eq!(made.0.exec_state("local", "0000").await.expect("a state"), docker::ExecState::Unknown);
    let missing = made.drive("docker.exec", json!({"argv": ["/nowhere"]})).await;
    assert!(
        missing.is_err()
            || missing.as_ref().is_ok_and(|result| result["exit_code"] == 126 || result["exit_code"] == 127),
        "{missing:?}"
    );
    let stats = made.drive("docker.container-stats", json!({})).await.expect("a sample");
    assert!(stats["pids"].as_u64().is_some_and(|pids| pids >= 1) && stats["memory_limit_bytes"] == 0, "{stats}");
    let processes = made.drive("docker.container-processes", json!({})).await.expect("processes");
    assert!(
        processes["rows"].as_array().is_some_and(|rows| !rows.is_empty()) && processes["zombies"] == 0,
        "{processes}"
    );
}

async fn logs_are_read_to_the_line() {
    let script = "i=0; while [ $i -lt 500 ]; do echo \"line $i\"; i=$((i+1)); done; sleep 0.3; echo oops >&2; sleep 0.3; head -c 40000 /dev/zero | tr '\\0' x; echo; sleep 1000";
    for options in [&[][..], &["-t"][..]] {
        let made = Made::new("sb-logs", options, &["sh", "-c", script]);
        let tail = async || made.drive("logs.tail-container", json!({"options": {"lines": 3}})).await.expect("a page");
        let mut page = tail().await;
        for _ in 0..600 {
            if page["text"].as_str().is_some_and(|text| text.contains("xxx")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            page = tail().await;
        }
        let text = page["text"].as_str().expect("text");
        // The two streams are copied by two goroutines: only the pauses keep them in order.
        assert!(text.contains("line 499") && text.contains("xxx"), "{}", &text[..text.len().min(100)]);
        assert_eq!((page["lines"].as_u64(), page["truncated"].clone()), (Some(3), json!(true)));
        let all = made.drive("logs.tail-container", json!({"options": {"lines": 600}})).await.expect("a page");
        assert!(all["text"].as_str().is_some_and(|text| text.contains("line 0\n") && text.contains("oops")), "{all}");
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut search = json!({"limit": 7});
            if let Some(cursor) = cursor {
                search["cursor"] = json!(cursor);
            }
            let page = made
                .drive("logs.search-container", json!({"pattern": "^line ", "options": search}))
                .await
                .expect("a page");
            found.extend(
                page["found"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|item| item["line"].as_str().unwrap_or("").to_owned()),
            );
            cursor = page["cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        let wanted: Vec<String> = (0..500).map(|line| format!("line {line}")).collect();
        assert_eq!(found, wanted, "{options:?}");
    }
}

async fn the_watcher_sees_deaths_health_and_sharers() {
    let label = "com.docker.compose.project=shop";
    let check = ["--label", label, "--health-cmd", "test -f /ok", "--health-interval", "1s", "--health-retries", "1"];
    let made = Made::new("sb-watch", &check, &["sleep", "1000"]);
    let watcher = Watcher::start(&made.0.hosts);
    let mut events = watcher.subscribe();
    eventually("the host is up", || watcher.connections()["local"].up).await;
    let of = |name: &str| watcher.snapshot().into_iter().find(|container| container.name == name);
    eventually("unhealthy", || {
        of("sb-watch").is_some_and(|c| c.state.health == sandbook_core::effect::docker::Health::Unhealthy)
    })
    .await;
    let _sharer =
        Made::new("sb-share", &["--network", "container:sb-watch", "--volumes-from", "sb-watch"], &["sleep", "1000"]);
    let dependents = made.drive("docker.dependents", json!({})).await.expect("dependents");
    let why: Vec<&str> = dependents.as_array().expect("a list").iter().filter_map(|one| one["why"].as_str()).collect();
    assert_eq!(why, ["shares-network", "volumes-from"], "{dependents}");
    let crashing = Made::new("sb-crash", &["--restart", "on-failure:2"], &["sh", "-c", "sleep 0.3; exit 7"]);
    eventually("crashed", || {
        of("sb-crash")
            .is_some_and(|c| c.last_exit_code == Some(7) && c.exited_unexpectedly && c.state.restart_count == 2)
    })
    .await;
    made.drive("docker.stop-container", json!({"options": {"grace_ms": 500}})).await.expect("stopped");
    eventually("stopped", || of("sb-watch").is_some_and(|c| c.last_exit_code == Some(137) && !c.exited_unexpectedly))
        .await;
    let mut text = String::new();
    watcher.write_metrics(&mut text);
    assert!(
        text.contains(
            "sandbook_container_exited_unexpectedly{host=\"local\",name=\"sb-crash\",project=\"\",service=\"\"} 1"
        ),
        "{text}"
    );
    assert!(text.contains("name=\"sb-watch\",project=\"shop\",service=\"\",status=\"unhealthy\""), "{text}");
    let mut actions = Vec::new();
    while let Ok(event) = events.try_recv() {
        actions.push(format!("{} {} {:?}", event.name, event.action, event.exit_code));
    }
    for wanted in ["sb-watch health_status: unhealthy None", "sb-crash die Some(7)", "sb-watch kill None"] {
        assert!(actions.iter().any(|action| action == wanted), "{wanted} in {actions:?}");
    }
    // Seen by now are its second restart and the exit before it; the last death follows.
    let began = std::time::Instant::now();
    loop {
        let recent = crashing.drive("docker.recent-events", json!({"filter": {"container": "sb-crash"}})).await;
        let recent = recent.unwrap_or_else(|error| panic!("{error}"));
        let died = |event: &&Value| event["action"] == "die" && event["exit_code"] == 7;
        let died = recent.as_array().expect("a list").iter().filter(died).count();
        if died == 3 {
            break;
        }
        assert!(died < 3 && began.elapsed() < Duration::from_secs(60), "{died} deaths: {recent}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(crashing);
    eventually("gone", || of("sb-crash").is_none()).await;
}

/// A program that lives until it is told to go.
const LIVES: [&str; 3] = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"];

fn names(beginning: &str) -> Vec<String> {
    let listed = docker(&["ps", "-a", "--format", "{{.Names}}"]);
    let mut names: Vec<String> = listed.lines().filter(|name| name.starts_with(beginning)).map(str::to_owned).collect();
    names.sort();
    names
}

fn inspected(name: &str) -> Value {
    serde_json::from_str::<Value>(&docker(&["inspect", name])).expect("JSON")[0].clone()
}

async fn a_container_is_made_anew_with_what_it_had_or_comes_back() {
    docker(&["network", "create", "--subnet", "10.213.7.0/24", "sb-back"]);
    docker(&["network", "create", "sb-front"]);
    let options = [
        "--network",
        "sb-back",
        "--ip",
        "10.213.7.5",
        "--network-alias",
        "web",
        "-v",
        "/data",
        "-e",
        "KEEP=1",
        "--label",
        "team=shop",
        "--restart",
        "unless-stopped",
        "--memory",
        "64m",
    ];
    let made = Made::new("sb-anew", &options, &LIVES);
    docker(&["network", "connect", "--alias", "www", "sb-front", "sb-anew"]);
    docker(&["exec", "sb-anew", "sh", "-c", "echo kept > /data/file"]);
    let before = inspected("sb-anew");

    // One that ends at once is none: the old one is back, as it was.
    let options = json!({"options": {"command": ["false"], "grace_ms": 1_000, "healthy_within_ms": 5_000}});
    let error = made.drive("docker.recreate-container", options).await.expect_err("it ends");
    assert!(error.kind == ErrorKind::Failed && error.message.contains("the old container is as it was"), "{error}");
    let back = inspected("sb-anew");
    assert_eq!((&back["Id"], &back["State"]["Running"]), (&before["Id"], &json!(true)));
    assert_eq!(back["HostConfig"]["RestartPolicy"], before["HostConfig"]["RestartPolicy"]);
    assert_eq!(names("sb-anew"), ["sb-anew"]);
    // One of an image that is not there changes nothing.
    let error = made.drive("docker.recreate-container", json!({"options": {"image": "sb-nowhere:1"}})).await;
    assert_eq!(error.expect_err("no image").kind, ErrorKind::NotFound);
    assert_eq!(inspected("sb-anew")["State"]["StartedAt"], back["State"]["StartedAt"]);

    // Nor does one with a folder that the host does not have, which the engine alone can know.
    let nowhere = json!({"options": {"mounts": [{"kind": "bind", "source": "/sb-nowhere", "destination": "/x"}]}});
    let error = made.drive("docker.recreate-container", nowhere).await.expect_err("no folder");
    assert!(error.message.contains("/sb-nowhere"), "{error}");
    assert_eq!(names("sb-anew"), ["sb-anew"]);
    assert_eq!(inspected("sb-anew")["State"]["StartedAt"], back["State"]["StartedAt"]);

    let options = json!({"options": {
        "mounts": [
            {"kind": "bind", "source": "/etc", "destination": "/host", "writable": false},
            {"kind": "volume", "source": "sb-anew-kept", "destination": "/kept"},
        ],
        "environment": {"MODE": "b"}, "labels": {"made": "anew"}, "grace_ms": 1_000, "healthy_within_ms": 10_000,
        "limits": {"memory_bytes": 134_217_728},
    }});
    let anew = made.drive("docker.recreate-container", options).await.expect("made anew");
    let after = inspected("sb-anew");
    assert_eq!((&anew["id"], &anew["old_id"]), (&after["Id"], &before["Id"]));
    assert_ne!(after["Id"], before["Id"]);
    assert_eq!(names("sb-anew"), ["sb-anew"]);
    let environment = after["Config"]["Env"].to_string();
    assert!(environment.contains("KEEP=1") && environment.contains("MODE=b"), "{environment}");
    assert_eq!(
        (&after["Config"]["Labels"]["team"], &after["Config"]["Labels"]["made"]),
        (&json!("shop"), &json!("anew"))
    );
    assert_eq!(after["HostConfig"]["Memory"], 134_217_728);
    assert_eq!(after["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!(docker(&["exec", "sb-anew", "cat", "/data/file"]), "kept", "the anonymous volume went over");
    assert_eq!(docker(&["exec", "sb-anew", "sh", "-c", "touch /kept/file && ls /host/passwd"]), "/host/passwd");
    let written = docker(&["exec", "sb-anew", "sh", "-c", "touch /host/file 2>&1 || echo refused"]);
    assert!(written.contains("refused"), "mounted for reading only: {written}");
    let networks = &after["NetworkSettings"]["Networks"];
    assert_eq!(networks["sb-back"]["IPAddress"], "10.213.7.5");
    for (network, alias) in [("sb-back", "web"), ("sb-front", "www")] {
        assert!(networks[network]["Aliases"].to_string().contains(alias), "{networks}");
    }
    docker(&["rm", "-f", "-v", "sb-anew"]);
    docker(&["volume", "rm", "sb-anew-kept"]);
    let lone = Made::new("sb-lone", &["--rm"], &LIVES);
    let error = lone.drive("docker.recreate-container", json!({})).await.expect_err("it removes itself");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    docker(&["network", "rm", "sb-back", "sb-front"]);
    one_that_cannot_start_any_more_is_back_and_said_to_be_down().await;
}

/// The container whose network it was in has gone while it ran, and the new one does not get well either.
async fn one_that_cannot_start_any_more_is_back_and_said_to_be_down() {
    let owner = Made::new("sb-owner", &["--network", "none"], &LIVES);
    let made = Made::new("sb-in-it", &["--network", "container:sb-owner"], &LIVES);
    let _next = Made::new("sb-next", &["--network", "none"], &LIVES);
    let before = inspected("sb-in-it");
    drop(owner);
    assert_eq!(inspected("sb-in-it")["State"]["Running"], true);
    let options = json!({"options": {
        "network_of": "sb-next", "command": ["false"], "grace_ms": 1_000, "healthy_within_ms": 5_000,
    }});
    let error = made.drive("docker.recreate-container", options).await.expect_err("it ends");
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    assert!(error.message.contains("the old container is back, but does not start: "), "{error}");
    let after = inspected("sb-in-it");
    assert_eq!((&after["Id"], &after["State"]["Running"]), (&before["Id"], &json!(false)));
    assert_eq!(names("sb-in-it"), ["sb-in-it"]);
}

async fn services_are_scaled() {
    let labels = |number: &str| {
        let label = |key: &str, value: &str| ["--label".to_owned(), format!("com.docker.compose.{key}={value}")];
        [label("project", "sb"), label("service", "web"), label("container-number", number)].concat()
    };
    let labels = labels("1");
    let options: Vec<&str> = labels.iter().map(String::as_str).collect();
    let made = Made::new("sb-web-1", &options, &LIVES);
    let scale = async |replicas: u32| {
        let args = json!({"service": "sb/web", "replicas": replicas, "options": {"grace_ms": 1_000}});
        drive_as_meant(&made.0, "docker.scale-service", args).await
    };
    let up = scale(3).await.expect("scaled");
    assert_eq!((&up["created"], &up["before"]), (&json!(["sb-web-2", "sb-web-3"]), &json!(1)));
    assert_eq!(names("sb-web"), ["sb-web-1", "sb-web-2", "sb-web-3"]);
    let third = inspected("sb-web-3");
    assert_eq!(
        (&third["State"]["Running"], &third["Config"]["Labels"]["com.docker.compose.container-number"]),
        (&json!(true), &json!("3"))
    );
    assert_eq!(scale(3).await.expect("nothing to do")["changed"], false);
    let down = scale(1).await.expect("scaled");
    assert_eq!(down["removed"], json!(["sb-web-3", "sb-web-2"]));
    assert_eq!(names("sb-web"), ["sb-web-1"]);
    // A fixed port is one container's.
    let unknown = drive_as_meant(&made.0, "docker.scale-service", json!({"service": "sb/db", "replicas": 2})).await;
    assert_eq!(unknown.expect_err("unknown").kind, ErrorKind::NotFound);

    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:24377"]);
    let image = sandbook_tests::docker::IMAGE;
    docker(&[
        "service",
        "create",
        "--detach",
        "--no-resolve-image",
        "--name",
        "sb-swarm",
        "--replicas",
        "1",
        image,
        "sleep",
        "1000",
    ]);
    let args = json!({"service": "sb-swarm", "replicas": 2});
    let scaled = drive_as_meant(&made.0, "docker.scale-service", args).await.expect("scaled");
    assert_eq!((&scaled["before"], &scaled["after"], &scaled["changed"]), (&json!(1), &json!(2), &json!(true)));
    let spec = docker(&["service", "inspect", "sb-swarm", "--format", "{{.Spec.Mode.Replicated.Replicas}}"]);
    assert_eq!(spec, "2");
    docker(&["service", "rm", "sb-swarm"]);
    docker(&["swarm", "leave", "--force"]);
}

async fn networks_are_joined_and_left() {
    docker(&["network", "create", "sb-one"]);
    docker(&["network", "create", "sb-two"]);
    let made = Made::new("sb-net", &["--network", "sb-one"], &LIVES);
    for (effect, network, changed, networks) in [
        ("docker.connect-network", "sb-two", true, json!(["sb-one", "sb-two"])),
        ("docker.connect-network", "sb-two", false, json!(["sb-one", "sb-two"])),
        ("docker.disconnect-network", "sb-one", true, json!(["sb-two"])),
        ("docker.disconnect-network", "sb-one", false, json!(["sb-two"])),
    ] {
        let answer = made.drive(effect, json!({"network": network})).await.expect(effect);
        assert_eq!((&answer["changed"], &answer["networks"]), (&json!(changed), &networks), "{effect}");
    }
    let unknown = made.drive("docker.connect-network", json!({"network": "sb-none"})).await;
    assert_eq!(unknown.expect_err("unknown").kind, ErrorKind::NotFound);
    let refused = made.drive("docker.remove-container", json!({})).await.expect_err("it runs");
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
    let gone = made.drive("docker.remove-container", json!({"options": {"force": true}})).await.expect("removed");
    assert_eq!(gone["id"], json!(made.1));
    assert_eq!(names("sb-net"), Vec::<String>::new());
    std::mem::forget(made);
    docker(&["network", "rm", "sb-one", "sb-two"]);
}

async fn disks_are_looked_at_and_tidied() {
    let noisy = "for i in $(seq 2000); do echo line $i of many; done; touch /made; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let made = Made::new("sb-disk", &[], &["sh", "-c", noisy]);
    // Two commits to one tag: the first has none afterwards.
    docker(&["commit", "--change", "LABEL n=1", "sb-disk", "sb-disk:1"]);
    docker(&["commit", "--change", "LABEL n=2", "sb-disk", "sb-disk:1"]);
    let changes = made.drive("docker.container-changes", json!({})).await.expect("changes");
    assert!(changes["changes"].to_string().contains("\"/made\""), "{changes}");
    let host = async |name: &str, args: Value| drive_as_meant(&made.0, name, args).await.expect(name);
    let dangling = host("docker.list-images", json!({"filter": {"dangling": true}})).await;
    assert_eq!(dangling.as_array().map(Vec::len), Some(1), "{dangling}");
    let used = host("docker.list-images", json!({"filter": {"unused": false}})).await;
    assert_eq!(used[0]["tags"], json!([sandbook_tests::docker::IMAGE]), "{used}");
    let usage = host("docker.disk-usage", json!({})).await;
    assert!(usage["images"]["count"].as_u64() >= Some(2), "{usage}");
    let log = usage["logs"].as_array().and_then(|logs| logs.iter().find(|log| log["container"] == "sb-disk"));
    assert!(log.is_some_and(|log| log["size_bytes"].as_u64() > Some(100_000)), "{usage}");
    let pruned = host("docker.prune-images", json!({})).await;
    assert!(pruned["deleted"].as_u64() >= Some(1), "{pruned}");
    assert_eq!(host("docker.list-images", json!({"filter": {"dangling": true}})).await, json!([]));
    let kept = host("docker.list-images", json!({"filter": {"tag": "sb-disk:*"}})).await;
    assert_eq!(kept.as_array().map(Vec::len), Some(1), "a tagged one stays: {kept}");
    host("docker.prune-build-cache", json!({"options": {"keep_bytes": 0}})).await;

    let freed = made.drive("logs.truncate-container-log", json!({})).await.expect("emptied");
    assert!(freed["freed_bytes"].as_u64() > Some(100_000), "{freed}");
    let tail = made.drive("logs.tail-container", json!({})).await.expect("a page");
    assert_eq!(tail["lines"], 0, "{tail}");
    let other = Made::new("sb-local-log", &["--log-driver", "local"], &LIVES);
    let error = other.drive("logs.truncate-container-log", json!({})).await.expect_err("not json-file");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
}
