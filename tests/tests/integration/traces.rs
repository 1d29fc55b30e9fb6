//! Traces of runs: one trace a run with a span for each step, whatever a collector or a crash does. And what strangers send
//! makes neither the figures nor the log of the daemon grow.
//!
//! The collector is a fake at the wire, because no real one hangs on request; it decodes what it is sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sandbook_tests::alert::{Alert, message};
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::fake_otlp::{FakeOtlp, Mood, Seen};
use sandbook_tests::package::Package;
use sandbook_tests::wait;
use serde_json::json;

const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
const POLICY: &str = "@id(\"ask\") @approval(\"ask\") permit (principal, action in Action::\"mutate\", resource);\n";
const PERMIT: &str = "@id(\"all\")\npermit (principal, action in Action::\"mutate\", resource);\n";
const CONFIG: &str = "[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n[brakes]\nper_host = []\n\
     storm = { min = 1000, share = 1.0, window = \"10m\" }\n";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// OpenTelemetry's own.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// What must not be seen outside: it is an argument and an answer of the guest's own.
const PRIVATE: &str = "not-for-collectors";

/// Looks, restarts, and keeps something to itself.
fn heals() -> Package {
    Package::rhai_file(
        "heals",
        &format!(
            "//! name = \"heals\"\n//! version = \"1.0.0\"\n//! summary = \"Made by a test.\"\n\
             //! [[trigger]]\n//! alert = [\"Down\"]\n\
             //! [target]\n//! kind = \"container\"\n//! container_from = [\"name\"]\n\
             //! [requests]\n//! effects = [\"docker.restart-container\", \"docker.inspect-container\"]\n\
             //! [brake]\n//! attempts = [\"99/1h\"]\n//! settle = \"1ms\"\n\
             //! [verify]\n//! condition = \"running\"\n//! within = \"5s\"\n\
             fn run(input) {{\n    docker::inspect_container(input.target);\n    state::put(\"k\", \"{PRIVATE}\");\n\
                 docker::restart_container(input.target, #{{ grace_ms: 0 }});\n    fixed(\"restarted\")\n}}\n"
        ),
    )
}

/// A daemon over a fake engine, sending traces as configured.
fn daemon(fake: &FakeDocker, policy: &str, otel: &str) -> Daemon {
    let setup = Setup::with(&format!("{CONFIG}{otel}")).docker(&fake.endpoint());
    let daemon = Daemon::start(setup.file("policy/one.cedar", policy).file("otel-headers", "x-team: night shift\n"));
    daemon.push_live(&heals());
    daemon
}

fn down(name: &str) -> Alert {
    Alert::firing("Down").label("name", name)
}

/// Spans of a run by name, once all of these are there.
fn arrived(collector: &FakeOtlp, daemon: &Daemon, trace: &str, names: &[&str]) -> BTreeMap<String, Seen> {
    wait::until(
        &format!("spans {names:?}"),
        ARRIVES_WITHIN,
        || daemon.log_tail(),
        || {
            let of_it = collector.spans().into_iter().filter(|span| span.trace == trace);
            let found: Vec<Seen> = of_it.collect();
            let by_name: BTreeMap<String, Seen> = found.iter().map(|span| (span.name.clone(), span.clone())).collect();
            assert_eq!(by_name.len(), found.len(), "a span came twice: {found:#?}");
            if names.iter().all(|name| by_name.contains_key(*name)) { Ok(by_name) } else { Err(format!("{found:#?}")) }
        },
    )
}

/// `sandbook_traces_total` of a result.
fn counted(daemon: &Daemon, result: &str) -> u64 {
    let text = daemon.api().get("/metrics").expect(200).text();
    let start = format!("sandbook_traces_total{{result=\"{result}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// The daemon is killed while a person is asked; what goes on afterwards is the same trace, told once and whole.
#[test]
fn a_run_is_one_trace_from_its_alert_to_its_verification_also_over_a_crash() {
    let (fake, collector) = (FakeDocker::start(), FakeOtlp::start());
    fake.container("web-1", "none");
    let otel = format!(
        "[otel]\nendpoint = \"{}/\"\nheaders_file = \"./otel-headers\"\nservice_name = \"nights\"\n",
        collector.url()
    );
    let mut daemon = daemon(&fake, POLICY, &otel);
    let headers = [("content-type", "application/json"), ("traceparent", PARENT)];
    let body = message(&[down("web-1")]).to_string();
    let answer = daemon.sender().send("POST", "/webhook/alerts", &headers, body).expect("it answers").expect(202);
    let run = answer.json()["runs"][0]["run"].as_str().expect("it starts a run").to_owned();
    let asked =
        |daemon: &Daemon| daemon.api().get("/v1/approvals").json()["approvals"][0]["id"].as_str().map(str::to_owned);
    let question = || asked(&daemon).ok_or_else(|| "nobody was asked".to_owned());
    let question = wait::until("a question", ARRIVES_WITHIN, || daemon.log_tail(), question);
    assert_eq!(collector.requests(), 0, "nothing is told of a run that is not over");
    daemon.kill();
    daemon.restart();
    daemon.cli(&["approve", &question, "--reason", "a test"]).expect(0);
    let ended = daemon.ended(&run);
    assert_eq!(ended["outcome"], "fixed", "{ended}");

    let trace = ended["trace"].as_str().expect("the API names its trace").to_owned();
    daemon.cli(&["show", &run]).expect(0).says(&trace);
    let names = ["heals", "intake", "match", "aim", "run", "docker.inspect-container", "state.put"];
    let changes = ["docker.restart-container", "wait for a person", "verify"];
    let spans = arrived(&collector, &daemon, &trace, &[&names[..], &changes[..]].concat());
    assert_eq!(spans.len(), names.len() + changes.len(), "{spans:#?}");
    let parent = |name: &str| spans.values().find(|span| span.id == spans[name].parent).map(|span| span.name.as_str());
    for (name, above) in
        [("intake", "heals"), ("match", "heals"), ("aim", "heals"), ("run", "heals"), ("verify", "heals")]
    {
        assert_eq!(parent(name), Some(above), "{spans:#?}");
    }
    for effect in ["docker.inspect-container", "state.put", "docker.restart-container"] {
        assert_eq!(parent(effect), Some("run"), "{spans:#?}");
    }
    assert_eq!(parent("wait for a person"), Some("docker.restart-container"));
    assert_eq!((spans["heals"].parent.as_str(), spans["heals"].service.as_str()), ("", "nights"));
    let link = spans["heals"].links.iter().map(|(trace, span)| format!("00-{trace}-{span}-01")).collect::<Vec<_>>();
    assert_eq!(link, [PARENT]);
    for span in spans.values().filter(|span| span.name != "verify") {
        assert!(spans["heals"].times.0 <= span.times.0 && span.times.0 <= span.times.1, "{span:#?}");
        assert!(span.times.1 <= spans["heals"].times.1, "{span:#?}");
    }
    let said = |name: &str, key: &str| spans[name].said.get(&format!("sandbook.{key}")).cloned().unwrap_or_default();
    let restart = ["class", "target", "attempt", "outcome"];
    assert_eq!(restart.map(|key| said("docker.restart-container", key)), ["mutate", "local/web-1", "1", "ok"]);
    let (decision, policy) = (said("docker.restart-container", "decision"), said("docker.restart-container", "policy"));
    assert!(["allow", "ask"].contains(&decision.as_str()) && policy.contains("ask"), "{spans:#?}");
    assert_eq!((said("heals", "outcome"), said("heals", "run")), ("fixed".to_owned(), run));
    assert_eq!((said("intake", "alert"), said("verify", "verification")), ("Down".to_owned(), "confirmed".to_owned()));
    assert_eq!(said("wait for a person", "answer"), "approved");
    assert!(!format!("{spans:?}").contains(PRIVATE), "arguments are not told: {spans:#?}");
    let sent = collector.headers();
    assert!(sent.iter().all(|headers| headers.get("x-team").is_some_and(|team| team == "night shift")), "{sent:?}");
    // The collector has them before the daemon hears that it has.
    let sent = || match counted(&daemon, "sent") {
        sent if sent >= 2 => Ok(()),
        sent => Err(format!("{sent} sent")),
    };
    wait::until("both to be counted", ARRIVES_WITHIN, || daemon.log_tail(), sent);
    assert_eq!(counted(&daemon, "failed"), 0);
}

#[test]
fn a_collector_that_hangs_or_fails_is_in_nobodys_way() {
    let (fake, collector) = (FakeDocker::start(), FakeOtlp::start());
    let names: Vec<String> = (0..12).map(|number| format!("web-{number}")).collect();
    names.iter().for_each(|name| drop(fake.container(name, "none")));
    let otel = format!("[otel]\nendpoint = \"{}\"\ntimeout = \"2s\"\n", collector.url());
    let daemon = daemon(&fake, PERMIT, &otel);
    collector.mood(Mood::Hangs);
    let began = Instant::now();
    for (index, name) in names.iter().enumerate() {
        if index == names.len() / 2 {
            wait::until(
                "a hanging export to be given up",
                ARRIVES_WITHIN,
                || daemon.log_tail(),
                || match counted(&daemon, "failed") {
                    0 => Err("none yet".to_owned()),
                    _ => Ok(()),
                },
            );
            collector.mood(Mood::Status(500));
        }
        let answer = daemon.alert(&[down(name)]);
        let run = answer["runs"][0]["run"].as_str().expect("it starts a run").to_owned();
        assert_eq!(daemon.ended(&run)["outcome"], "fixed");
    }
    // Each run is told of twice: its end and its verification.
    let all = 2 * names.len() as u64;
    wait::until(
        "everything to be counted",
        ARRIVES_WITHIN,
        || daemon.log_tail(),
        || match counted(&daemon, "failed") {
            failed if failed == all => Ok(()),
            failed => Err(format!("{failed} of {all}")),
        },
    );
    assert_eq!((counted(&daemon, "sent"), collector.spans().len()), (0, 0));
    let said = daemon.log_text().matches("traces do not arrive").count();
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).expect("a few");
    assert!(
        (1..=1 + minutes).contains(&said),
        "{said}: a line a minute, however often it fails\n{}",
        daemon.log_tail()
    );
    collector.mood(Mood::Takes);
    let answer = daemon.alert(&[down("web-0").fingerprint("another")]);
    let run = answer["runs"][0]["run"].as_str().expect("it starts a run").to_owned();
    let trace = daemon.ended(&run)["trace"].as_str().expect("it has a trace").to_owned();
    arrived(&collector, &daemon, &trace, &["heals", "run"]);
}

/// Time series of `/metrics`, by name and labels.
fn series(daemon: &Daemon) -> Vec<String> {
    let text = daemon.api().get("/metrics").expect(200).text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name.to_owned())).collect()
}

#[test]
fn what_strangers_send_makes_neither_series_nor_a_flood_of_lines() {
    const EACH: usize = 100;
    let daemon = Daemon::start(Setup::with("[auth]\nmode = \"token\""));
    let odd = |number: usize| format!("stranger-{number}");
    let post = |number: usize| {
        let alerts = (0..EACH).map(|alert| Alert::firing(&odd(number * EACH + alert)).label("name", &odd(alert)));
        daemon.sender().post("/webhook/alerts", &message(&alerts.collect::<Vec<_>>())).expect(202);
        for _ in 0..EACH {
            let headers = [("content-type", "application/json")];
            daemon.sender().send("POST", "/webhook/alerts", &headers, "{").expect("it answers").expect(400);
            daemon.anonymous().with_token(&odd(number)).get("/v1/runs").expect(401);
            daemon.anonymous().get(&format!("/{}", odd(number)));
        }
    };
    post(0);
    let (before, lines) = (series(&daemon), daemon.log_text().lines().count());
    post(1);
    let (after, log) = (series(&daemon), daemon.log_text());
    assert_eq!(after, before, "a series for what strangers wrote");
    assert!(!after.iter().any(|series| series.contains("stranger")), "{after:#?}");
    let more = log.lines().count() - lines;
    assert!(more <= EACH / 4, "{more} lines of the log about {} requests\n{}", 3 * EACH + 1, daemon.log_tail());
}

/// What OpenTelemetry's own variable says, where the configuration names no collector.
#[test]
fn the_collector_of_the_machine_gets_the_traces_and_a_wrong_address_is_said_at_the_start() {
    let (fake, collector) = (FakeDocker::start(), FakeOtlp::start());
    fake.container("web-1", "none");
    let setup = || Setup::with(CONFIG).docker(&fake.endpoint()).file("policy/one.cedar", PERMIT);
    let told = setup().environment(ENDPOINT, &collector.url()).environment("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret");
    let daemon = Daemon::start(told);
    daemon.push_live(&heals());
    let run = daemon.run("heals", &json!({"target": "web-1"}));
    let ended = daemon.ended(&run);
    let trace = ended["trace"].as_str().unwrap_or_else(|| panic!("no trace: {ended}")).to_owned();
    arrived(&collector, &daemon, &trace, &["heals", "run", "docker.restart-container"]);
    daemon.cli(&["config", "print"]).expect(0).says(&collector.url());
    let log = daemon.log_text();
    assert!(log.contains("OTEL_EXPORTER_OTLP_HEADERS is not read") && !log.contains("s3cret"), "{log}");
    drop(daemon);

    let mut wrong = Daemon::prepare(setup().environment(ENDPOINT, "collector:4318"));
    wrong.spawn();
    assert_eq!(wrong.ended_by_itself(), Some(2), "{}", wrong.log_tail());
    let said = wrong.log_text();
    assert!(
        said.contains(ENDPOINT) && said.contains("`otel.endpoint` is \"collector:4318\", it must be a url"),
        "{said}"
    );
}

#[test]
fn without_a_collector_and_outside_of_the_share_nothing_is_traced() {
    let (fake, collector) = (FakeDocker::start(), FakeOtlp::start());
    fake.container("web-1", "none");
    for otel in [String::new(), format!("[otel]\nendpoint = \"{}\"\nsample = 0.0\n", collector.url())] {
        let mut daemon = daemon(&fake, PERMIT, &otel);
        let run = daemon.run("heals", &json!({"target": "web-1"}));
        let ended = daemon.ended(&run);
        assert_eq!((&ended["outcome"], ended.get("trace")), (&json!("fixed"), None), "{ended}");
        let text = daemon.api().get("/metrics").expect(200).text();
        assert!(!text.contains("sandbook_traces_total"), "nothing is counted that is not done");
        assert_eq!(daemon.stop(), Some(0), "what waits to be sent is sent before it ends");
    }
    assert_eq!(collector.requests(), 0);
}
