//! The model at run time: what it may answer, what happens when it does not, what it may take, and that its key is
//! nowhere. The real binary, a fake server at the wire.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::fake_openai::{FakeOpenAi, Say};
use sandbook_tests::package::{Asks, Package};
use serde_json::{Value, json};

/// The key. Whatever shows it has leaked it.
const CANARY: &str = "canary-31c7e2-of-the-model";
const ASKS: [&str; 3] = ["llm.choose", "llm.summarize", "llm.extract"];
const CHOOSE: &str = r#"fn run(input) {
    let choice = llm::choose("what now?", "12:00 out of memory\npassword=hunter2-hunter2", ["wait", "restart"], "escalate");
    done(choice.option + " | " + choice.fallback + " | " + choice.reason + " | " + choice.quote)
}"#;

fn setup(docker: &FakeDocker, server: &FakeOpenAi, more: &str) -> Setup {
    let text = format!(
        "[llm]\nbase_url = \"{}\"\nmodel = \"m\"\napi_key_file = \"./key\"\nattempts = 2\ntimeout = \"12s\"\n\
         [llm.prices.m]\ninput = 2.0\noutput = 10.0\n{more}\n",
        server.base_url()
    );
    Setup::with(&text).docker(&docker.endpoint()).file("key", CANARY)
}

fn choice(option: u32, quote: &str, confidence: f64) -> Say {
    Say::json(&json!({"quote": quote, "option": option, "confidence": confidence, "reason": "it says so"}))
}

fn sentence(ended: &Value) -> String {
    ended["sentence"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_choice_is_one_of_those_offered_or_the_fallback_with_its_reason() {
    let (docker, server) = (FakeDocker::start(), FakeOpenAi::start());
    let daemon = Daemon::start(setup(&docker, &server, ""));
    daemon.push_live(&Package::rhai("asks", Asks { effects: &ASKS, ..Asks::default() }, CHOOSE));
    let run = || sentence(&daemon.ended(&daemon.run("asks", &json!({}))));
    server.say(choice(2, "out of memory", 0.9));
    let said = run();
    assert_eq!(said, "restart | false | it says so | out of memory");
    let asked = server.asked()[0].text();
    assert!(asked.contains("12:00 out of memory") && asked.contains("2. restart"), "{asked}");
    assert!(!asked.contains("hunter2"), "{asked}");
    let scripts: Vec<(&str, Vec<Say>)> = vec![
        ("not-offered", vec![choice(3, "out of memory", 1.0)]),
        ("quote", vec![choice(2, "the disk is full", 1.0)]),
        ("unsure", vec![choice(2, "out of memory", 0.3)]),
        ("answer", vec![Say::Text("I would restart it.".to_owned()), Say::json(&json!({"option": "restart"}))]),
        ("server", vec![Say::status(500), Say::status(500)]),
        ("overloaded", vec![Say::Status(429, "no".to_owned(), Some("60".to_owned()))]),
        ("key", vec![Say::Status(401, format!("no such key: {CANARY}"), None)]),
        ("unreachable", vec![Say::Torn("{\"option\": 1".to_owned()), Say::Close]),
        ("too-long", vec![Say::Huge(10 << 20)]),
        ("refused", vec![Say::Status(402, "pay first".to_owned(), None)]),
    ];
    for (reason, script) in scripts {
        let before = server.asked().len();
        let wanted = script.len();
        for say in script {
            server.say(say);
        }
        let said = run();
        assert!(said.starts_with(&format!("escalate | true | {reason}: ")), "{reason}: {said}");
        assert!(!said.contains(CANARY), "{said}");
        assert_eq!(server.asked().len() - before, wanted, "{reason}: {said}");
    }
    server.say(Say::Hang);
    let began = Instant::now();
    let said = run();
    assert!(said.starts_with("escalate | true | timeout: "), "{said}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let metrics = daemon.api().get("/metrics").text();
    for reason in ["not-offered", "quote", "unsure", "answer", "server", "key", "timeout"] {
        let line = format!("sandbook_llm_fallbacks_total{{purpose=\"choose\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[test]
fn the_key_is_nowhere_and_the_books_are_the_servers() {
    let (docker, server) = (FakeDocker::start(), FakeOpenAi::start());
    let daemon = Daemon::start(setup(
        &docker,
        &server,
        "[log]\nlevel = \"debug,sandbook=trace,reqwest=trace,hyper=trace,hyper_util=trace\"",
    ));
    let script = r#"fn run(input) {
        let choice = llm::choose("what now?", "12:00 out of memory", ["wait", "restart"], "wait");
        let summary = llm::summarize("12:00 out of memory", #{ max_words: 5 }, "nothing");
        let schema = `{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}`;
        let facts = llm::extract("12:00 three times out of memory", schema, `{"n": 0}`);
        done(choice.option + " | " + summary.text + " | " + facts.json)
    }"#;
    daemon.push_live(&Package::rhai("asks", Asks { effects: &ASKS, ..Asks::default() }, script));
    server.say(choice(2, "out of memory", 0.9)).say(Say::Text("It ran out of memory at twelve.".to_owned()));
    server.say(Say::Text("Here:\n```json\n{\"n\": 3}\n```".to_owned()));
    let run = daemon.run("asks", &json!({}));
    assert_eq!(sentence(&daemon.ended(&run)), "restart | It ran out of memory… | {\"n\":3}");
    assert!(server.asked().iter().all(|asked| asked.authorization == format!("Bearer {CANARY}")));
    // Replaying asks nobody.
    let before = server.asked().len();
    let replayed = daemon.cli(&["replay", &run]).expect(0);
    assert_eq!(server.asked().len(), before, "{replayed:?}");
    // A plan assumes, and asks nobody either.
    let plan = daemon.api().post("/v1/runbooks/asks/plan", &json!({})).expect(200).json();
    assert_eq!(server.asked().len(), before);
    let assumed: Vec<&Value> = plan["effects"].as_array().expect("effects").iter().collect();
    assert!(assumed.iter().all(|effect| effect["certainty"] != "real"), "{plan}");
    // What the server counted is what the daemon says it took.
    let (counted, metrics) = (server.counted(), daemon.api().get("/metrics").text());
    assert_eq!(total(&metrics, "sandbook_llm_requests_total"), counted.requests as f64);
    let tokens = total(&metrics, "sandbook_llm_tokens_total");
    assert_eq!(tokens, (counted.tokens_in + counted.tokens_out) as f64);
    let cost = (counted.tokens_in as f64 * 2.0 + counted.tokens_out as f64 * 10.0) / 1e6;
    assert!((total(&metrics, "sandbook_llm_cost_total") - cost).abs() < 1e-9, "{cost}");
    let status = daemon.api().get("/status").json();
    assert_eq!(status["llm"]["day"]["tokens"]["used"], json!(counted.tokens_in + counted.tokens_out), "{status}");
    assert_eq!(status["llm"]["hour"]["calls"], json!({"used": counted.requests, "most": 200}));
    // A server that repeats the key, too.
    server.say(Say::Status(401, format!("Incorrect key: {CANARY}"), None));
    server.say(Say::Status(500, format!("Bearer {CANARY}"), None)).say(Say::Nonsense(format!("<html>{CANARY}")));
    server.say(Say::Text(format!("the key is {CANARY}"))).say(Say::Text(CANARY.to_owned()));
    let again = daemon.run("asks", &json!({}));
    daemon.ended(&again);
    let mut seen = vec![
        ("log", daemon.log_text()),
        ("metrics", daemon.api().get("/metrics").text()),
        ("plan", plan.to_string()),
        ("status", daemon.api().get("/status").text()),
        ("audit", daemon.api().get("/v1/audit").text()),
        ("config", daemon.cli(&["config", "print", "--config", "sandbook.toml"]).out),
        ("show", daemon.cli(&["show", &again]).out),
        ("events", daemon.api().get(&format!("/v1/runs/{again}/events")).text()),
    ];
    for id in [&run, &again] {
        seen.push(("journal", json!(daemon.journal(id)).to_string()));
    }
    for (what, text) in &seen {
        assert!(text.len() > 10, "{what} is empty");
        assert!(!text.contains(CANARY), "{what} shows the key");
    }
    search(&daemon.data(""), CANARY);
}

/// Fails when a file below holds the text.
fn search(folder: &Path, text: &str) {
    for entry in folder.read_dir().expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path, text);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{} holds the key", path.display());
        }
    }
}

/// The sum of a metric's series.
fn total(metrics: &str, name: &str) -> f64 {
    let series = metrics.lines().filter(|line| line.starts_with(name));
    series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[test]
fn without_the_request_or_against_a_forbid_nothing_leaves() {
    let (docker, server) = (FakeDocker::start(), FakeOpenAi::start());
    server.always(choice(2, "out of memory", 0.9));
    let policy =
        "@id(\"no-model\") forbid (principal == Runbook::\"forbidden\", action == Action::\"llm.choose\", resource);";
    let setup = setup(&docker, &server, "[policy]\ndirs = [\"./policy\"]").file("policy/no.cedar", policy);
    let daemon = Daemon::start(setup);
    let caught = r#"fn run(input) {
        try { llm::choose("what now?", "out of memory", ["wait", "restart"], "wait"); return done("asked"); }
        catch (e) { return done(e.kind); }
    }"#;
    daemon.push_live(&Package::rhai("forbidden", Asks { effects: &ASKS, ..Asks::default() }, caught));
    assert_eq!(sentence(&daemon.ended(&daemon.run("forbidden", &json!({})))), "denied");
    let unasked = daemon.push(&Package::rhai("unasked", Asks::default(), caught));
    if unasked.status == 201 {
        daemon.push_live(&Package::rhai("unasked", Asks::default(), caught));
        assert_eq!(sentence(&daemon.ended(&daemon.run("unasked", &json!({})))), "denied");
    } else {
        assert_eq!(unasked.status, 422, "the check finds it: {}", unasked.text());
    }
    daemon.push_live(&Package::rhai("asks", Asks { effects: &ASKS, ..Asks::default() }, caught));
    assert_eq!(server.asked().len(), 0, "nothing left");
    assert_eq!(sentence(&daemon.ended(&daemon.run("asks", &json!({})))), "asked");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn budgets_hold_over_a_restart_and_a_crash_asks_again() {
    let (docker, server) = (FakeDocker::start(), FakeOpenAi::start());
    let mut daemon = Daemon::start(setup(&docker, &server, "[llm.budget.hour]\ncalls = 3"));
    daemon.push_live(&Package::rhai("asks", Asks { effects: &ASKS, ..Asks::default() }, CHOOSE));
    server.say(Say::Hang).always(choice(2, "out of memory", 0.9));
    let cut = daemon.run("asks", &json!({}));
    sandbook_tests::wait::until(
        "the question",
        Duration::from_secs(20),
        || daemon.log_tail(),
        || {
            if server.asked().is_empty() { Err("not asked".to_owned()) } else { Ok(()) }
        },
    );
    daemon.kill();
    daemon.restart();
    assert!(sentence(&daemon.ended(&cut)).starts_with("restart | false"), "it is asked again");
    let whole = daemon.run("asks", &json!({}));
    assert!(sentence(&daemon.ended(&whole)).starts_with("restart | false"));
    daemon.stop();
    daemon.restart();
    let said = sentence(&daemon.ended(&daemon.run("asks", &json!({}))));
    assert!(said.starts_with("escalate | true | budget: ") && said.contains("3 requests an hour"), "{said}");
    assert_eq!(server.asked().len(), 3, "nothing is sent beyond the budget");
}

#[test]
fn without_a_model_runbooks_take_their_fallback() {
    let docker = FakeDocker::start();
    let daemon = Daemon::start(Setup::with("").docker(&docker.endpoint()));
    daemon.push_live(&Package::rhai("asks", Asks { effects: &ASKS, ..Asks::default() }, CHOOSE));
    let said = sentence(&daemon.ended(&daemon.run("asks", &json!({}))));
    assert!(said.starts_with("escalate | true | unconfigured: "), "{said}");
    assert_eq!(daemon.api().get("/status").json()["llm"], Value::Null);
    let metrics = daemon.api().get("/metrics").text();
    let line = "sandbook_llm_fallbacks_total{purpose=\"choose\",reason=\"unconfigured\"} 1";
    assert!(metrics.contains(line), "{line}\n{metrics}");
}

#[test]
fn evidence_says_which_containers_log_it_is_from() {
    let (docker, server) = (FakeDocker::start(), FakeOpenAi::start());
    docker.container("web-1", "healthy");
    docker.logs("web-1", "starting\nout of memory\npassword=hunter2-hunter2\n");
    let daemon = Daemon::start(setup(&docker, &server, ""));
    let script = r#"fn run(input) {
        let tail = logs::tail_container("web-1", #{ lines: 20 });
        done(llm::choose("what now?", "the label says: down\n" + tail.text, ["wait", "restart"], "wait").quote)
    }"#;
    let effects = ["llm.choose", "logs.tail-container"];
    daemon.push_live(&Package::rhai("asks", Asks { effects: &effects, ..Asks::default() }, script));
    server.say(choice(1, "out of memory", 0.9));
    assert_eq!(sentence(&daemon.ended(&daemon.run("asks", &json!({})))), "out of memory");
    let asked = server.asked()[0].text();
    assert!(asked.contains("; lines 2-4: log of local/web-1 (call 0), its lines 1-3\""), "{asked}");
    assert!(asked.contains("1| the label says: down\n2| starting\n3| out of memory"), "{asked}");
    assert!(!asked.contains("hunter2"), "{asked}");
}

#[test]
fn the_books_are_the_servers_also_when_repaired_plain_repeated_and_killed() {
    let (docker, server) = (FakeDocker::start(), FakeOpenAi::start());
    let mut daemon = Daemon::start(setup(&docker, &server, ""));
    daemon.push_live(&Package::rhai("asks", Asks { effects: &ASKS, ..Asks::default() }, CHOOSE));
    let good = json!({"quote": "out of memory", "option": 2, "confidence": 0.9, "reason": "it says so"}).to_string();
    let used = |daemon: &Daemon| {
        let day = daemon.api().get("/status").json()["llm"]["day"].clone();
        let number = |key: &str| day[key]["used"].as_f64().unwrap_or_else(|| panic!("no {key} in {day}"));
        (number("calls"), number("tokens"), number("money"))
    };
    let cost = |server: &FakeOpenAi| {
        let counted = server.counted();
        (counted.tokens_in as f64 * 2.0 + counted.tokens_out as f64 * 10.0) / 1e6
    };
    // Streamed; repaired; after a failure; and whole, by a server that does not stream.
    server.say(Say::Text(good.clone()));
    server.say(Say::Text("I would restart it.".to_owned())).say(Say::Text(good.clone()));
    server.say(Say::status(500)).say(Say::Text(good.clone()));
    for _ in 0..5 {
        // It refuses until schema, form, counting and streaming are given up, one after another.
        server.say(Say::Without("stream", good.clone()));
    }
    for way in ["streamed", "repaired", "repeated", "whole"] {
        let said = sentence(&daemon.ended(&daemon.run("asks", &json!({}))));
        assert!(said.starts_with("restart | false"), "{way}: {said}");
        let (counted, (calls, tokens, money)) = (server.counted(), used(&daemon));
        assert_eq!(
            (calls, tokens),
            (counted.requests as f64, (counted.tokens_in + counted.tokens_out) as f64),
            "{way}"
        );
        assert!((money - cost(&server)).abs() < 1e-6, "{way}: {money}, the server counted {}", cost(&server));
    }
    let plain =
        server.asked().last().is_some_and(|asked| asked.body.get("stream").is_none_or(|stream| stream == false));
    assert!(plain, "the last one was asked without streaming");
    // Killed in the middle of an answer: what it may have taken stays in the books, and it is asked again.
    let before = server.asked().len();
    server.say(Say::Hang).always(Say::Text(good));
    let cut = daemon.run("asks", &json!({}));
    let asked = || if server.asked().len() > before { Ok(()) } else { Err("not asked".to_owned()) };
    sandbook_tests::wait::until("the question", Duration::from_secs(20), || daemon.log_tail(), asked);
    daemon.kill();
    daemon.restart();
    assert!(sentence(&daemon.ended(&cut)).starts_with("restart | false"));
    let (calls, tokens, money) = used(&daemon);
    let counted = server.counted();
    assert_eq!(calls, counted.requests as f64, "the one that was cut is counted");
    let more = tokens > (counted.tokens_in + counted.tokens_out) as f64 && money > cost(&server);
    assert!(more, "with the most it can take: {tokens} {money}");
}

#[test]
fn observers_see_an_answer_come() {
    let (docker, server) = (FakeDocker::start(), FakeOpenAi::start());
    let daemon = Daemon::start(setup(&docker, &server, ""));
    daemon.push_live(&Package::rhai("asks", Asks { effects: &ASKS, ..Asks::default() }, CHOOSE));
    let answer = json!({"quote": "out of memory", "option": 2, "confidence": 0.9, "reason": "it leaks"}).to_string();
    server.say(Say::Slowly(answer, Duration::from_millis(500)));
    let run = daemon.run("asks", &json!({}));
    let events = daemon.api().get(&format!("/v1/runs/{run}/events")).text();
    let progress: Vec<&str> = events.split("\n\n").filter(|event| event.contains("event: progress")).collect();
    assert!(progress.iter().any(|event| event.contains("\"receiving\"")), "{events}");
    assert!(progress.iter().all(|event| !event.contains("leaks")), "no word of an answer nobody checked: {events}");
}
