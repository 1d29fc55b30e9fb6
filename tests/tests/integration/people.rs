//! Questions to people through the real binary: a runbook's own question over `kill -9`, in Rhai and in Rust; the page that a
//! message links to; leave for a container that is another one by then; and the end of the alert.
//!
//! That a policy's question outlives the daemon stands with `effects`.

use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::http::Answer;
use sandbook_tests::package::{Asks, Package};
use sandbook_tests::wait;
use serde_json::{Value, json};

use super::brakes::Received;

/// A question is put as soon as the effect is reached.
const ASKED_WITHIN: Duration = Duration::from_secs(30);

/// The open question, other than one known already.
fn question(daemon: &Daemon, but: &str) -> Value {
    wait::until(
        "a question to a person",
        ASKED_WITHIN,
        || daemon.log_tail(),
        || {
            let open = daemon.api().get("/v1/approvals").json();
            let found = open["approvals"].as_array().and_then(|open| open.iter().find(|one| one["id"] != but)).cloned();
            found.ok_or_else(|| open.to_string())
        },
    )
}

fn id(question: &Value) -> String {
    question["id"].as_str().expect("an id").to_owned()
}

/// The case `ask` in one of its languages.
fn asking(code: &str) -> Package {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/ask");
    let name = format!("ask-{}", code.rsplit('.').next().unwrap_or_default());
    let manifest = std::fs::read_to_string(folder.join("runbook.toml")).expect("a manifest");
    let manifest = manifest.replace("name = \"ask\"", &format!("name = \"{name}\""));
    let bytes = std::fs::read(folder.join(code)).expect("the case's code");
    Package::tar(&name, &[("runbook.toml", manifest.as_bytes()), (code, &bytes)])
}

#[test]
fn a_runbooks_question_outlives_kills_in_both_languages() {
    let received = Received::default();
    let notify = format!(
        "[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{}\"\n[[notify.routes]]\non = [\"approval\"]\nchannel = \"ops\"\n",
        received.listen()
    );
    let mut daemon = Daemon::start(Setup::with(&format!("public_url = \"https://sandbook.test/\"\n{notify}")));
    for code in ["main.rhai", "main.wasm"] {
        let package = asking(code);
        daemon.push_live(&package);
        let run = daemon.run(&package.name, &json!({}));
        let asked = question(&daemon, "");
        assert_eq!(
            (&asked["kind"], &asked["sentence"], &asked["options"]),
            (&json!("question"), &json!("The disk is full. Move the volume?"), &json!(["move it", "leave it"])),
            "{code}: {asked}"
        );
        for _ in 0..2 {
            daemon.kill();
            daemon.restart();
            assert_eq!(question(&daemon, ""), asked, "{code}: the same question after a kill");
        }
        let whole = daemon.api().get(&format!("/v1/approvals/{}", id(&asked))).json();
        let texts: Vec<&Value> =
            whole["evidence"].as_array().expect("evidence").iter().map(|one| &one["text"]).collect();
        assert_eq!(texts, [&json!("/var is 97 % full <b>now</b>"), &json!("it takes 5 min")], "{code}");
        daemon.cli(&["approve", &id(&asked)]).expect(1).says("answer with one of");
        daemon.cli(&["approvals"]).expect(0).says("move it | leave it");
        daemon.cli(&["approve", &id(&asked), "--answer", "move it", "--reason", "there is room"]).expect(0);
        let ended = daemon.ended(&run);
        assert_eq!(ended["sentence"], "move it, says admin", "{code}: {ended}");
        let journal = daemon.journal(&run);
        let kinds: Vec<&str> = journal.iter().filter_map(|record| record["kind"].as_str()).collect();
        assert_eq!(
            kinds,
            ["begun", "note", "asked", "answered", "settled", "ended"],
            "{code}: asked once, answered once"
        );
        let told = wait::until(
            "a message with the way to answer",
            ASKED_WITHIN,
            || daemon.log_tail(),
            || {
                let all = received.all();
                let about = |message: &&Value| message["text"].as_str().is_some_and(|text| text.contains(&id(&asked)));
                all.iter().find(about).cloned().ok_or_else(|| format!("{all:?}"))
            },
        );
        let text = told["text"].as_str().unwrap_or_default();
        assert!(text.contains("The disk is full. Move the volume?"), "{code}: {text}");
        assert!(text.contains(&format!("https://sandbook.test/approvals/{}\n", id(&asked))), "{code}: {text}");
    }
    let audit = daemon.api().get("/v1/audit").json();
    let lines = audit["audit"].as_array().expect("lines").iter().filter(|line| line["what"] == "approve").count();
    assert_eq!(lines, 2, "{audit}");
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let found = answer.headers.iter().find(|(known, _)| known == name);
    found.map_or_else(|| panic!("no {name}: {}", answer.text()), |(_, value)| value.as_str())
}

#[test]
fn a_person_answers_on_the_page_with_nothing_but_a_browser() {
    let daemon = Daemon::start(Setup::with(""));
    let package = asking("main.rhai");
    daemon.push_live(&package);
    let run = daemon.run(&package.name, &json!({}));
    let asked = question(&daemon, "");
    let path = format!("/approvals/{}", id(&asked));
    let browser = daemon.anonymous();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let shut = browser.get(&path).expect(401);
    assert!(!shut.text().contains("disk"), "without a session it shows nothing: {}", shut.text());
    let token = daemon.token("admin-token");
    let body = format!("token={}&next={path}", token.trim());
    let entered = browser.send("POST", "/login", &form, body).expect("an answer").expect(303);
    assert_eq!(header(&entered, "location"), path);
    let cookie = header(&entered, "set-cookie").split(';').next().unwrap_or_default().to_owned();
    let page = browser.send("GET", &path, &[("cookie", &cookie)], "").expect("an answer").expect(200).text();
    assert!(page.contains("Move the volume?") && page.contains("97 % full &lt;b&gt;now&lt;/b&gt;"), "{page}");
    let word = page.split_once("name=\"csrf\" value=\"").and_then(|(_, rest)| rest.split('"').next()).expect("a form");
    let headers = [form[0], ("cookie", &cookie)];
    browser.send("POST", &path, &headers, "answer=leave+it").expect("an answer").expect(403);
    let body = format!("csrf={word}&answer=leave+it&reason=later");
    browser.send("POST", &path, &headers, body.clone()).expect("an answer").expect(303);
    assert_eq!(daemon.ended(&run)["sentence"], "leave it, says admin");
    browser.send("POST", &path, &headers, body).expect("an answer").expect(409);
    let page = browser.send("GET", &path, &[("cookie", &cookie)], "").expect("an answer").expect(200).text();
    assert!(page.contains("approved by admin") && page.contains("later"), "{page}");
}

#[test]
fn leave_for_a_container_that_is_another_one_by_then_is_asked_for_again() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let policy = "@id(\"ask\") @approval(\"ask\") permit (principal, action in Action::\"mutate\", resource);";
    let setup =
        Setup::with("[policy]\ndirs = [\"./policy\"]\n").docker(&docker.endpoint()).file("policy/ask.cedar", policy);
    let daemon = Daemon::start(setup);
    let script = "fn run(input) { docker::restart_container(\"web-1\", #{ grace_ms: 2000 }); fixed(\"restarted\") }";
    let asks = Asks { effects: &["docker.restart-container"], ..Asks::default() };
    daemon.push_live(&Package::rhai("asks-again", asks, script));
    let run = daemon.run("asks-again", &json!({}));
    let first = question(&daemon, "");
    let sentence = first["sentence"].as_str().unwrap_or_default();
    let instance: String = web.id().chars().take(12).collect();
    assert!(sentence.starts_with(&format!("restart container local/web-1 (id {instance}, ")), "{sentence}");
    assert!(sentence.ends_with(") with grace 2 s"), "{sentence}");
    web.remove();
    let web = docker.service("web-1");
    daemon.cli(&["approve", &id(&first), "--reason", "for the first one"]).expect(0);
    let second = question(&daemon, &id(&first));
    let reason = second["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("admin approved it for another instance, which is gone"), "{reason}");
    assert_ne!(second["digest"], first["digest"]);
    assert_eq!(docker.events(web.name(), "restart"), 0, "leave for one is no leave for the other");
    daemon.cli(&["approve", &id(&second)]).expect(0);
    assert_eq!(daemon.ended(&run)["outcome"], "fixed");
    assert_eq!(docker.events(web.name(), "restart"), 1);
}

const WAITS: &str = r#"//! name = "asks-about-disks"
//! version = "1.0.0"
//! summary = "Made by a test."
//! [[trigger]]
//! alert = ["DiskFull"]
//! [target]
//! kind = "none"
fn run(input) {
    try { human::ask("Move the volume?", ["yes", "no"]); } catch (e) { return nothing_to_do(`${e.kind}: ${e.message}`); }
    done("answered")
}
"#;

#[test]
fn the_end_of_the_alert_withdraws_what_its_runs_ask() {
    let mut daemon = Daemon::start(Setup::with(""));
    daemon.push_live(&Package::rhai_file("asks-about-disks", WAITS));
    let alert = Alert::firing("DiskFull");
    daemon.alert(std::slice::from_ref(&alert));
    let asked = question(&daemon, "");
    let run = asked["run"].as_str().expect("a run").to_owned();
    daemon.kill();
    daemon.restart();
    daemon.alert(&[alert.resolved()]);
    let ended = daemon.ended(&run);
    assert_eq!(
        (&ended["outcome"], &ended["sentence"]),
        (&json!("nothing-to-do"), &json!("denied: withdrawn: the alert resolved")),
        "{ended}"
    );
    let late = daemon.cli(&["approve", &id(&asked), "--answer", "yes"]);
    late.expect(1).says("withdrawn by the alert");
    let audit = daemon.api().get("/v1/audit").json();
    let line = &audit["audit"][0];
    assert_eq!((&line["who"], &line["what"]), (&json!("the alert"), &json!("withdraw")), "{audit}");
    let journal = daemon.journal(&run);
    let answered = journal.iter().find(|record| record["kind"] == "answered").expect("recorded");
    assert_eq!((&answered["by"], &answered["approved"]), (&json!("the alert"), &json!(false)));
}
