//! Alertmanager as a source and as silencer, the real one: missed alerts, silences before and during a run, and what is
//! told when alerts are about Sandbook itself or stop arriving.

use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::monitoring::{Alertmanager, Files, Ports};
use sandbook_tests::package::{Asks, Package};
use sandbook_tests::process::free_port;
use sandbook_tests::relay::{Inbox, open_way};
use sandbook_tests::wait;
use serde_json::{Value, json};

/// Fetching comes first at the start; then a guest starts in a debug build.
const FETCHED_WITHIN: Duration = Duration::from_secs(60);
/// Group wait is 1 s and group interval 5 s here; a delivery that failed is tried again within that.
const DELIVERED_WITHIN: Duration = Duration::from_secs(90);
/// Silences are fetched every 15 s.
const SILENCE_SEEN_WITHIN: Duration = Duration::from_secs(45);
/// The watchdog's patience is 15 s here.
const SILENT_WITHIN: Duration = Duration::from_secs(60);

const SENDER_TOKEN: &str = "a-sender-token-that-only-this-test-knows-0001";
const ALL: &str = "permit (principal, action in Action::\"mutate\", resource);";

/// A daemon that is not started yet, an Alertmanager that posts to `ports.daemon`, and their ports.
fn pair(docker: Option<&Dockerd>, more: &str, posts_to_daemon: bool) -> (Daemon, Alertmanager, Files, Ports) {
    let alertmanager = free_port();
    let config = format!(
        "[alertmanager]\nurl = \"http://127.0.0.1:{alertmanager}\"\n{more}\n[policy]\ndirs = [\"./policy\"]\n\
         [auth.tokens.am]\nrole = \"sender\"\ntoken_file = \"./secrets/am\"\n"
    );
    let mut setup = Setup::with(&config).file("secrets/am", SENDER_TOKEN).file("policy/all.cedar", ALL);
    if let Some(docker) = docker {
        setup = setup.docker(&docker.endpoint());
    }
    let daemon = Daemon::prepare(setup);
    let posts_to = if posts_to_daemon { daemon.port() } else { free_port() };
    let ports = Ports { daemon: posts_to, prometheus: free_port(), alertmanager };
    let files = Files::for_test(ports, "unused", SENDER_TOKEN);
    let alertmanager = Alertmanager::start(&files, ports);
    (daemon, alertmanager, files, ports)
}

/// As Prometheus posts it to Alertmanager.
fn fire(alertmanager: &Alertmanager, labels: &Value) {
    let alert = json!([{"labels": labels, "annotations": {"summary": "posted by a test"}}]);
    alertmanager.api().post("/api/v2/alerts", &alert).expect(200);
}

/// Creates a silence for an hour; returns its id.
fn silence(alertmanager: &Alertmanager, name: &str) -> String {
    let now = jiff::Timestamp::now();
    let until = now + jiff::SignedDuration::from_hours(1);
    let silence = json!({
        "matchers": [{"name": "name", "value": format!("{name}|other"), "isRegex": true, "isEqual": true}],
        "startsAt": now.to_string(), "endsAt": until.to_string(), "createdBy": "dana", "comment": "deploy",
    });
    let answer = alertmanager.api().post("/api/v2/silences", &silence).expect(200).json();
    answer["silenceID"].as_str().expect("a silence has an id").to_owned()
}

/// Restarts `web-1`, after a while.
fn restarts(name: &str, sleep_ms: u64) -> Package {
    let script = format!(
        "fn run(input) {{ clock::sleep({sleep_ms}); docker::restart_container(\"web-1\", #{{ grace_ms: 0 }}); \
         fixed(\"restarted\") }}"
    );
    let effects = &["clock.sleep", "docker.restart-container"];
    let more = "[[trigger]]\nalert = [\"WebBroken\"]\n";
    Package::rhai(name, Asks { effects, more, ..Asks::default() }, &script)
}

fn broken() -> Value {
    json!({"alertname": "WebBroken", "name": "web-1", "severity": "critical"})
}

fn first_run(daemon: &Daemon, runbook: &str, within: Duration) -> String {
    wait::until(
        "a run to be there",
        within,
        || daemon.log_tail(),
        || {
            let runs = daemon.runs(&format!("runbook={runbook}"));
            let run = runs.first().and_then(|run| run["run"].as_str()).map(str::to_owned);
            run.ok_or_else(|| format!("{:?}", daemon.episodes()))
        },
    )
}

#[test]
fn an_alert_missed_while_the_daemon_was_down_acts_once_though_it_is_delivered_again() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let (mut daemon, alertmanager, _files, ports) = pair(Some(&docker), "", false);
    daemon.restart();
    daemon.push_live(&restarts("missed", 0));
    assert_eq!(daemon.stop(), Some(0));

    fire(&alertmanager, &broken());
    wait::until(
        "Alertmanager to have the alert processed",
        DELIVERED_WITHIN,
        || alertmanager.log_tail(),
        || {
            let alerts = alertmanager.api().get("/api/v2/alerts").json();
            if alerts[0]["status"]["state"] == "active" { Ok(()) } else { Err(alerts.to_string()) }
        },
    );
    daemon.restart();
    let run = daemon.ended(&first_run(&daemon, "missed", FETCHED_WITHIN));
    assert_eq!(run["outcome"], "fixed", "{run}\n{}", daemon.log_tail());
    let episode = daemon.episodes()[0].clone();
    assert_eq!(episode["source"], "alertmanager-api", "{episode}");
    let status = daemon.api().get("/status").json();
    assert_eq!(status["alertmanager"]["missed"], 1, "{status}");
    assert_eq!(status["alertmanager"]["status"], "up", "{status}");

    // The way opens: Alertmanager delivers the same alert by its webhook.
    open_way(ports.daemon, daemon.port());
    let heard = wait::until(
        "the webhook to bring it as well",
        DELIVERED_WITHIN,
        || format!("{}\n{}", daemon.log_tail(), alertmanager.log_tail()),
        || {
            let episodes = daemon.episodes();
            let count = episodes.first().and_then(|episode| episode["count"].as_u64()).unwrap_or(0);
            if count >= 2 { Ok(episodes) } else { Err(format!("{episodes:?}")) }
        },
    );
    assert_eq!(heard.len(), 1, "the same episode: {heard:?}");
    assert_eq!(heard[0]["starts_at"], episode["starts_at"], "the webhook's start is the API's");
    assert_eq!(daemon.runs("runbook=missed").len(), 1, "one fault, one run");
    assert_eq!(docker.events(web.name(), "restart"), 1, "once, and not again");
    let metrics = daemon.api().get("/metrics").text();
    assert!(metrics.contains("sandbook_missed_alerts_total 1"), "{metrics}");
}

#[test]
fn an_alert_that_goes_elsewhere_in_alertmanager_is_not_fetched() {
    let (mut daemon, alertmanager, _files, _) = pair(None, "receiver = \"nobody\"", false);
    fire(&alertmanager, &broken());
    daemon.restart();
    let status = wait::until(
        "the wrong name to be told",
        FETCHED_WITHIN,
        || daemon.log_tail(),
        || {
            let status = daemon.api().get("/status").json();
            let told = status["alertmanager"]["error"].as_str().unwrap_or_default().contains("no receiver `nobody`");
            if told { Ok(status) } else { Err(status.to_string()) }
        },
    );
    assert!(status["alertmanager"]["error"].as_str().unwrap_or_default().contains("sandbook"), "names those there are");
    assert!(daemon.episodes().is_empty(), "{:?}", daemon.episodes());
}

#[test]
fn a_silenced_alert_is_stored_and_starts_nothing_until_the_silence_ends() {
    let (mut daemon, alertmanager, _files, _) = pair(None, "", false);
    let id = silence(&alertmanager, "web-1");
    daemon.restart();
    let more = "[[trigger]]\nalert = [\"WebBroken\"]\n";
    let package = Package::rhai("looks", Asks { more, ..Asks::default() }, "fn run(input) { done(\"seen\") }");
    daemon.push_live(&package);
    wait::until(
        "the silence to be known",
        SILENCE_SEEN_WITHIN,
        || daemon.log_tail(),
        || {
            let status = daemon.api().get("/status").json();
            if status["alertmanager"]["silences"] == 1 { Ok(()) } else { Err(status.to_string()) }
        },
    );
    let alert = Alert::firing("WebBroken").label("name", "web-1");
    let answer = daemon.alert(std::slice::from_ref(&alert));
    assert_eq!((answer["suppressed"].as_u64(), answer["unmatched"].as_u64()), (Some(1), Some(0)), "{answer}");
    assert!(daemon.runs("").is_empty(), "{answer}");
    let outcome = daemon.episodes()[0]["outcome"].as_str().unwrap_or_default().to_owned();
    assert!(outcome.starts_with("silenced by dana until") && outcome.contains(&id), "{outcome}");
    // Grafana's alerts as well, and nothing but what it names.
    let grafana = sandbook_tests::alert::message(&[alert.clone().fingerprint("from-grafana")]);
    let answer = daemon.sender().post("/webhook/grafana", &grafana).expect(202).json();
    assert_eq!(answer["suppressed"], 1, "{answer}");
    let answer = daemon.alert(&[Alert::firing("WebBroken").label("name", "web-11")]);
    assert_eq!(
        (answer["suppressed"].as_u64(), answer["runs"].as_array().map(Vec::len)),
        (Some(0), Some(1)),
        "{answer}"
    );

    let path = format!("/api/v2/silence/{id}");
    alertmanager.api().send("DELETE", &path, &[], "").expect("an answer").expect(200);
    wait::until(
        "the next message to start the run",
        SILENCE_SEEN_WITHIN,
        || daemon.log_tail(),
        || {
            let answer = daemon.alert(std::slice::from_ref(&alert));
            if answer["runs"].as_array().is_some_and(|runs| runs.len() == 1) { Ok(()) } else { Err(answer.to_string()) }
        },
    );
    let answer = daemon.alert(std::slice::from_ref(&alert));
    assert_eq!(answer["runs"], json!([]), "and once: {answer}");
}

#[test]
fn a_silence_that_comes_while_a_run_waits_keeps_it_from_acting() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let (mut daemon, alertmanager, _files, _) = pair(Some(&docker), "", false);
    daemon.restart();
    daemon.push_live(&restarts("waits", 12_000));
    let answer = daemon.alert(&[Alert::firing("WebBroken").label("name", "web-1")]);
    let run = answer["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("it starts: {answer}")).to_owned();
    wait::until(
        "the run to wait",
        FETCHED_WITHIN,
        || daemon.log_tail(),
        || {
            let run = daemon.api().get(&format!("/v1/runs/{run}")).json();
            if run["state"] == "waiting" { Ok(()) } else { Err(run.to_string()) }
        },
    );
    let id = silence(&alertmanager, "web-1");
    let ended = daemon.ended(&run);
    assert_eq!(ended["outcome"], "limited", "{ended}\n{}", daemon.log_tail());
    let sentence = ended["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("silenced by dana until") && sentence.contains(&id), "{sentence}");
    assert_eq!(docker.events(web.name(), "restart"), 0, "nothing was touched");
    // A person who starts it by hand knows of the silence.
    let by_hand = daemon.ended(&daemon.run("waits", &json!({})));
    assert_eq!(by_hand["outcome"], "fixed", "{by_hand}");
    assert_eq!(docker.events(web.name(), "restart"), 1);
}

#[test]
fn alerts_about_sandbook_and_their_absence_are_told_to_its_own_channel() {
    let inbox = Inbox::open();
    let more = format!(
        "watchdog = \"15s\"\n[notify]\nself = \"ops\"\n[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{}\"\n",
        inbox.url()
    );
    let (mut daemon, alertmanager, _files, _) = pair(None, &more, true);
    daemon.restart();
    fire(&alertmanager, &json!({"alertname": "SandbookWatchdog", "sandbook": "watchdog"}));
    let down = Alert::firing("SandbookDockerDown").label("sandbook", "self").label("severity", "critical");
    daemon.alert(std::slice::from_ref(&down));
    daemon.alert(std::slice::from_ref(&down));
    daemon.alert(&[down.resolved()]);
    wait::until(
        "the watchdog to be heard",
        DELIVERED_WITHIN,
        || format!("{}\n{}", daemon.log_tail(), alertmanager.log_tail()),
        || {
            let status = daemon.api().get("/status").json();
            let watchdog = &status["watchdog"];
            let heard = watchdog["status"] == "heard" && !watchdog["last_heard"].is_null();
            if heard { Ok(()) } else { Err(status.to_string()) }
        },
    );
    assert!(daemon.runs("").is_empty(), "neither starts a runbook");
    // Notices leave on their own, and a slow Alertmanager may have been missed meanwhile, which is told as well.
    let of_docker = || inbox.bodies().into_iter().filter(|body| body.contains("SandbookDockerDown"));
    wait::until(
        "the firing and its end to be told",
        DELIVERED_WITHIN,
        || daemon.log_tail(),
        || {
            if of_docker().any(|body| body.contains("resolved: ")) {
                Ok(())
            } else {
                Err(format!("{:?}", inbox.bodies()))
            }
        },
    );
    let told: Vec<String> = of_docker().collect();
    assert_eq!(told.len(), 2, "once for the firing, once for its end: {told:?}");
    assert!(told[0].contains("sent by a test") && told[0].contains("critical"), "{}", told[0]);
    assert!(told[1].contains("resolved: "), "{}", told[1]);

    // Alertmanager goes away: nobody else is left to say so.
    let (log, before) = (alertmanager.log_tail(), inbox.bodies().len());
    drop(alertmanager);
    wait::until(
        "its absence to be told",
        SILENT_WITHIN,
        || format!("{}\n{log}", daemon.log_tail()),
        || {
            let told = inbox.bodies();
            if told.iter().skip(before).any(|body| body.contains("hears no alerts any more")) {
                Ok(())
            } else {
                Err(format!("{told:?}"))
            }
        },
    );
    let ready = daemon.api().get("/ready").expect(503).text();
    assert!(ready.contains("the alert that always fires was not heard since"), "{ready}");
    let metrics = daemon.api().get("/metrics").text();
    assert!(metrics.contains("sandbook_watchdog_up 0"), "{metrics}");
}

/// Lists, silences, ends its silence. Between making and ending it waits to be looked at.
const HUSH: &str = r#"fn run(input) {
    let mine = #{ matchers: ["alertname=\"WebBroken\""] };
    let held = alertmanager::list_alerts(mine);
    if held.len() != 1 { return escalate("there are " + held.len()); }
    let made = alertmanager::create_silence(#{
        matchers: ["alertname=\"WebBroken\"", "name=~\"web.*\""], duration_ms: 120000, comment: "deploy",
    });
    clock::sleep(input.parameters.wait);
    let mine = alertmanager::list_silences(#{ matchers: ["name=~\"web.*\""] });
    let ended = alertmanager::expire_silence(made.id);
    let again = alertmanager::expire_silence(made.id);
    done(`${mine.len()} ${mine[0].state} ${ended.changed} ${again.changed}`)
}"#;

#[test]
fn a_runbook_silences_and_ends_its_silence_and_a_kill_makes_no_second_one() {
    let (mut daemon, alertmanager, _files, _ports) = pair(None, "", false);
    daemon.restart();
    let effects = &[
        "alertmanager.list-alerts",
        "alertmanager.create-silence",
        "alertmanager.list-silences",
        "alertmanager.expire-silence",
    ];
    let more = "[parameters.wait]\ntype = \"integer\"\ndefault = 2500\n";
    daemon.push_live(&Package::rhai("hush", Asks { effects, more, ..Asks::default() }, HUSH));
    fire(&alertmanager, &broken());
    wait::until(
        "the alert to be held",
        DELIVERED_WITHIN,
        || alertmanager.log_tail(),
        || {
            let alerts = alertmanager.api().get("/api/v2/alerts").json();
            if alerts[0]["status"]["state"] == "active" { Ok(()) } else { Err(alerts.to_string()) }
        },
    );
    let run = daemon.run("hush", &json!({}));
    let silences = || alertmanager.api().get("/api/v2/silences").expect(200).json();
    wait::until(
        "the silence to be made",
        DELIVERED_WITHIN,
        || daemon.log_tail(),
        || {
            if silences().as_array().is_some_and(|all| all.len() == 1) { Ok(()) } else { Err(silences().to_string()) }
        },
    );
    daemon.kill();
    daemon.restart();
    let ended = daemon.ended(&run);
    assert!(ended.to_string().contains("1 active true false"), "{ended}\n{}", daemon.log_tail());
    let made = silences();
    let comment = made[0]["comment"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (made.as_array().map(Vec::len), made[0]["status"]["state"].as_str()),
        (Some(1), Some("expired")),
        "{made}"
    );
    assert!(comment.starts_with("deploy ") && comment.contains(&format!("run {run}")), "{comment}");
}
