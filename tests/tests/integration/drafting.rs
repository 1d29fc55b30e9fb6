//! A sentence from the command line to a real container, with a model at the wire; and what a run is told as afterwards.
//!
//! Deliberately not here: the corpus of sentences, which the daemon's own tests show over a simulated world.

use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::fake_openai::{FakeOpenAi, Say};
use sandbook_tests::package::Package;
use sandbook_tests::sshd::Sshd;
use serde_json::{Value, json};

const SCRIPT: &str = "fn run(input) {
    if docker::inspect_container(input.target).state.health != \"unhealthy\" { return nothing_to_do(\"it is well\"); }
    log::attach_evidence(\"log\", logs::tail_container(input.target, #{ lines: 5 }).text);
    docker::restart_container(input.target);
    fixed(\"restarted\")
}";

#[test]
fn a_sentence_heals_a_real_container_after_a_person_said_so() {
    let docker = Dockerd::start();
    let web = docker.service("market-predictor");
    let fake = FakeOpenAi::start();
    fake.always(Say::json(
        &json!({"kind": "plan", "say": "safe", "target": "local/market-predictor", "script": SCRIPT}),
    ));
    let config = format!(
        "[llm]\nbase_url = \"{}\"\nmodel = \"fake\"\n[auth.tokens.dana]\nrole = \"operator\"\nperson = \"dana\"\n\
         token_file = \"./dana\"\n",
        fake.base_url()
    );
    let token = "danas-own-token-of-this-test";
    let daemon = Daemon::start(Setup::with(&config).docker(&docker.endpoint()).file("dana", token));
    web.sicken();
    let asked = daemon.cli(&["ask", "restart the market predictor if it is unhealthy"]).expect(0);
    let asked = asked.says("draft of a model").says("docker.restart-container: restarts");
    let asked =
        asked.says("+fn run(input)").says("~ restart container local/market-predictor").says("sandbook apply p_");
    let plan = plan_in(&asked.out);
    daemon.cli(&["apply", plan]).expect(3).says("SB0812");
    let run = daemon.cli(&["--token", token, "apply", plan, "--watch"]).expect(0);
    assert!(!run.out.contains('\x1b'), "{run}");
    daemon
        .cli(&["explain", "run", "last"])
        .expect(0)
        .says("applying plan")
        .says("it did restart container")
        .says("[record ");
    let report = daemon.cli(&["report", "last"]).expect(0).says("## What it changed").says("written by: llm");
    assert!(report.out.starts_with("# asked on local/market-predictor: fixed"), "{report}");
    daemon.cli(&["ask", "clean everything up"]).expect(5).says("which container is meant");
    daemon.cli(&["ask", "delete market-predictor"]).expect(3).says("cannot be taken back");
    assert_eq!(fake.asked().len(), 1, "those two never reached the model");
}

#[test]
fn without_a_model_both_commands_say_what_to_configure_and_how_by_hand() {
    let docker = FakeDocker::start();
    let daemon = Daemon::start(Setup::without_file().docker(&docker.endpoint()));
    daemon.cli(&["ask", "restart web-1"]).expect(1).says("SB0801").says("[llm]").says("sandbook plan");
    daemon.cli(&["generate", "restart the worker"]).expect(1).says("SB0801").says("sandbook new");
    daemon.cli(&["explain", "run"]).expect(2).says("sandbook explain run last");
    daemon.cli(&["explain", "SB0812"]).expect(0).says("a draft of a model is trusted by a person");
}

/// The id of the plan that a command says can be applied.
fn plan_in(out: &str) -> &str {
    out.split("sandbook apply ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a plan")
}

#[test]
fn a_sentence_reaches_an_engine_behind_ssh_and_asks_which_of_two_is_meant() {
    let (here, there, sshd, fake) = (Dockerd::start(), Dockerd::start(), Sshd::start(), FakeOpenAi::start());
    let (_near, far) = (here.service("worker"), there.service("worker"));
    let config = format!(
        "[llm]\nbase_url = \"{}\"\nmodel = \"fake\"\n[auth.tokens.dana]\nrole = \"operator\"\nperson = \"dana\"\n\
         token_file = \"./dana\"\n[docker.hosts.ssh]\nendpoint = \"{}\"\nkey_file = {:?}\nknown_hosts_file = {:?}\n",
        fake.base_url(),
        sshd.endpoint(there.socket()),
        sshd.path("client"),
        sshd.path("known_hosts"),
    );
    let token = "danas-own-token-of-this-test";
    let daemon = Daemon::start(Setup::with(&config).docker(&here.endpoint()).file("dana", token));
    let script = "fn run(input) { docker::restart_container(input.target); done(\"did it\") }";
    fake.always(Say::json(&json!({"kind": "plan", "say": "", "target": "ssh/worker", "script": script})));
    let asked = daemon.cli(&["ask", "restart the worker"]).expect(5);
    asked.says("which one is meant").says("local/worker").says("ssh/worker");
    let before = far.started_at();
    let asked = daemon.cli(&["ask", "restart ssh/worker"]).expect(0).says("~ restart container ssh/worker");
    daemon.cli(&["--token", token, "apply", plan_in(&asked.out), "--watch"]).expect(0);
    assert_ne!(far.started_at(), before, "it was restarted, behind ssh");
    assert_eq!((here.events("worker", "restart"), there.events("worker", "restart")), (0, 1));
    // The model does not decide which: one that takes the other is asked about, not followed.
    fake.always(Say::json(&json!({"kind": "plan", "say": "", "target": "local/worker", "script": script})));
    daemon.cli(&["ask", "restart ssh/worker"]).expect(5).says("local/worker");
}

/// The key. Whatever shows it has leaked it.
const CANARY: &str = "canary-90af31-of-whoever-asks";

/// A daemon with a key, prices, little patience, and a log of everything.
fn watched(docker: &FakeDocker, fake: &FakeOpenAi) -> Daemon {
    let config = format!(
        "[llm]\nbase_url = \"{}\"\nmodel = \"m\"\napi_key_file = \"./key\"\nattempts = 2\ntimeout = \"12s\"\n\
         [llm.prices.m]\ninput = 2.0\noutput = 10.0\n\
         [log]\nlevel = \"debug,sandbook=trace,reqwest=trace,hyper=trace,hyper_util=trace\"\n",
        fake.base_url()
    );
    Daemon::start(Setup::with(&config).docker(&docker.endpoint()).file("key", CANARY))
}

/// A plan that looks and changes nothing.
fn looks() -> Value {
    let script = "fn run(input) { done(docker::inspect_container(input.target).state.health) }";
    json!({"kind": "plan", "say": "", "target": "local/web-1", "script": script})
}

#[test]
fn each_fault_of_a_model_is_an_error_with_a_reason_for_whoever_asks() {
    let (docker, fake) = (FakeDocker::start(), FakeOpenAi::start());
    docker.container("web-1", "healthy");
    let daemon = watched(&docker, &fake);
    let (sentence, good) = (["ask", "is web-1 running?"], looks().to_string());
    let wrong = || Say::json(&json!({"kind": "perhaps", "say": CANARY}));
    let refused = |code: u16, again: Option<&str>| Say::Status(code, format!("no, {CANARY}"), again.map(str::to_owned));
    // What can be made good is.
    let mended: Vec<(&str, Vec<Say>)> = vec![
        ("prose around it", vec![Say::Text(format!("Sure! Here it is:\n```json\n{good}\n```\nAnything else?"))]),
        ("repaired", vec![wrong(), Say::Text(good.clone())]),
        ("torn once", vec![Say::Torn(good.clone()), Say::Text(good.clone())]),
        ("429 without a time", vec![refused(429, None), Say::Text(good.clone())]),
        ("429 with a time", vec![refused(429, Some("1")), Say::Text(good.clone())]),
        ("500 once", vec![refused(500, None), Say::Text(good.clone())]),
        ("no streaming", vec![Say::Without("stream", good.clone()), Say::Text(good.clone())]),
    ];
    for (what, script) in mended {
        let (before, wanted) = (fake.asked().len(), script.len());
        for say in script {
            fake.say(say);
        }
        daemon.cli(&sentence).expect(0).says("draft of a model");
        assert_eq!(fake.asked().len() - before, wanted, "{what}");
        let times: Vec<_> = fake.asked()[before..].iter().map(|asked| asked.at).collect();
        if what == "429 with a time" {
            assert!(times[1] - times[0] >= Duration::from_millis(950), "it is asked again when the server says");
        }
    }
    let errors: Vec<(&str, Vec<Say>, &str)> = vec![
        ("wrong schema twice", vec![wrong(), wrong()], "something else than was asked for"),
        ("torn twice", vec![Say::Torn(good.clone()), Say::Torn(good.clone())], "SB08"),
        ("401", vec![refused(401, None)], "key"),
        ("402", vec![refused(402, None)], "402"),
        ("429 for long", vec![refused(429, Some("60"))], "429"),
        ("500 twice", vec![refused(500, None), refused(500, None)], "500"),
        ("a hang", vec![Say::Hang], "no whole answer within"),
        ("10 MB", vec![Say::Huge(10 << 20)], "bytes"),
        ("no answer", vec![Say::Nonsense(format!("<html>{CANARY}")), Say::Nonsense("<html>".to_owned())], "SB08"),
    ];
    for (what, script, said) in errors {
        let before = fake.asked().len();
        let wanted = script.len();
        for say in script {
            fake.say(say);
        }
        let ran = daemon.cli(&sentence).expect(1).says(said).says("sandbook plan RUNBOOK CONTAINER");
        assert!(!ran.err.contains(CANARY) && !ran.out.contains(CANARY), "{what}: {ran}");
        assert!(fake.asked().len() - before <= wanted, "{what}: asked more often than scripted");
        fake.forget_script();
    }
    let shown = [
        ("log", daemon.log_text()),
        ("metrics", daemon.api().get("/metrics").text()),
        ("status", daemon.api().get("/status").text()),
        ("audit", daemon.api().get("/v1/audit").text()),
        ("plans", daemon.api().get("/v1/plans").text()),
        ("versions", daemon.api().get("/v1/runbooks/asked/versions").text()),
    ];
    for (what, text) in shown {
        assert!(text.len() > 10 && !text.contains(CANARY), "{what} shows the key, or nothing");
    }
}

#[test]
fn what_a_sentence_took_is_in_the_metrics_as_the_server_counted() {
    let (docker, fake) = (FakeDocker::start(), FakeOpenAi::start());
    docker.container("web-1", "healthy");
    let daemon = watched(&docker, &fake);
    fake.say(Say::json(&json!({"kind": "perhaps"}))).say(Say::json(&looks()));
    daemon.cli(&["ask", "is web-1 running?"]).expect(0);
    fake.say(Say::status(401));
    daemon.cli(&["ask", "is web-1 running?"]).expect(1);
    let (metrics, counted) = (daemon.api().get("/metrics").text(), fake.counted());
    assert_eq!(counted.requests, 3);
    let cost = (counted.tokens_in as f64 * 2.0 + counted.tokens_out as f64 * 10.0) / 1e6;
    for (series, value) in [
        ("sandbook_llm_requests_total{purpose=\"ask\"}", counted.requests as f64),
        ("sandbook_llm_tokens_total{direction=\"in\",purpose=\"ask\"}", counted.tokens_in as f64),
        ("sandbook_llm_tokens_total{direction=\"out\",purpose=\"ask\"}", counted.tokens_out as f64),
        ("sandbook_llm_cost_total{purpose=\"ask\"}", cost),
        ("sandbook_llm_answers_total{purpose=\"ask\",result=\"ok\"}", 1.0),
        ("sandbook_llm_answers_total{purpose=\"ask\",result=\"key\"}", 1.0),
        ("sandbook_llm_answer_duration_seconds_count{purpose=\"ask\"}", 2.0),
    ] {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series}"));
        let found: f64 = line.trim().parse().expect("a number");
        assert!((found - value).abs() < 1e-9, "{series} is {found}, the server counted {value}");
    }
}

const REMEMBERS: &str = r#"fn run(input) {
    logs::tail_container(input.target, #{ lines: 20 });
    let known = incidents::similar(5);
    let did = if known.is_empty() { "nothing" } else { known[0].changes[0] };
    docker::restart_container(input.target);
    fixed(`knows ${known.len()}, of the first: ${did}`)
}
"#;

#[test]
fn earlier_incidents_are_known_to_runbooks_plans_and_people_also_after_a_restart() {
    let docker = FakeDocker::start();
    docker.container("worker", "unhealthy");
    docker.logs("worker", "ERROR lost connection to queue-7 after 310 ms\n");
    let policy = "@id(\"all\") permit (principal, action in Action::\"mutate\", resource);";
    let remembering = Setup::with("[brakes]\nsettle = \"0s\"\n[policy]\ndirs = [\"./policy\"]");
    let remembering = remembering.file("policy/all.cedar", policy);
    let mut daemon = Daemon::start(remembering.docker(&docker.endpoint()));
    let manifest = "name = \"remembers\"\nversion = \"1.0.0\"\nsummary = \"Says what it knows.\"\n\
                    [[trigger]]\nalert = [\"WorkerStuck\"]\n[target]\nkind = \"container\"\ncontainer_from = [\"name\"]\n\
                    [requests]\neffects = [\"docker.restart-container\", \"incidents.similar\", \"logs.tail-container\"]\n\
                    [brake]\nattempts = [\"100/1h\"]\nsettle = \"1ms\"\n";
    let scenario = "summary = \"It happened before\"\n[alert]\nlabels = { alertname = \"WorkerStuck\", name = \"worker\" }\n\
                    [world.hosts.local.containers.worker]\nimage = \"worker:1\"\n\
                    [[world.incidents]]\nepisode = \"e_1\"\nscore = 0.9\nchanges = [\"restart container local/worker\"]\n\
                    [expect]\noutcome = \"fixed\"\nsentence = \"knows 1, of the first: restart container local/worker\"\n";
    let files = [("runbook.toml", manifest), ("main.rhai", REMEMBERS), ("scenarios/known.toml", scenario)];
    for (name, text) in files {
        daemon.write(&format!("remembers/{name}"), text);
    }
    daemon.cli(&["test", "remembers"]).expect(0);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    daemon.push_live(&Package::tar("remembers", &files));
    let happens = |daemon: &Daemon, fingerprint: &str| {
        let alert = Alert::firing("WorkerStuck").label("name", "worker").fingerprint(fingerprint);
        let taken = daemon.alert(&[alert]);
        let run = taken["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("{taken}")).to_owned();
        let ended = daemon.ended(&run);
        (
            run,
            ended["episode"].as_str().expect("an episode").to_owned(),
            ended["sentence"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let (_, _, said) = happens(&daemon, "f1");
    assert_eq!(said, "knows 0, of the first: nothing");
    daemon.stop();
    daemon.restart();
    let (run, episode, said) = happens(&daemon, "f2");
    assert!(said.starts_with("knows 1, of the first: restart container local/worker"), "{said}");
    daemon.kill();
    daemon.restart();
    let shown = daemon.cli(&["show", &run]).expect(0).says("like it 1 earlier incident");
    shown.says("remembers: restart container local/worker").says("same alert");
    daemon.cli(&["report", &run]).expect(0).says("Earlier incidents like it");
    // A plan is told as well: of an episode what was before it, of an alert now everything.
    daemon.cli(&["plan", "remembers", "--episode", &episode]).expect(0).says("knows 1, of the first: restart");
    let labels = ["plan", "remembers", "alertname=WorkerStuck", "name=worker"];
    daemon.cli(&labels).expect(0).says("knows 2, of the first: restart");
    daemon.cli(&["plan", "remembers", "worker"]).expect(0).says("knows 0");
    assert_eq!(docker.changes("worker"), 2, "plans changed nothing");
    daemon.cli(&["replay", &run]).expect(0);
}
