//! `generate` with a model at the wire: from a sentence, from prose, from a recorded incident, as the next version of a
//! runbook; what is wrong with a draft goes back to the model, and only a person trusts what comes of it.
//!
//! Deliberately not here: sentences that become plans, see `drafting`.

use sandbook_tests::alert::Alert;
use sandbook_tests::daemon::{Daemon, Ran, Setup};
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::fake_openai::{FakeOpenAi, Say};
use sandbook_tests::package::Package;
use serde_json::{Value, json};

const SCRIPT: &str = "fn run(input) {
    if docker::inspect_container(input.target).state.health != \"unhealthy\" { return nothing_to_do(\"it is well\"); }
    docker::restart_container(input.target);
    fixed(\"restarted\")
}
";
const HEALS: &str = r#"summary = "It is stuck, and restarted"
[alert]
labels = { alertname = "WorkerStuck", name = "worker" }
[world.hosts.local.containers.worker]
image = "worker:1"
health = "unhealthy"
has_healthcheck = true
[expect]
outcome = "fixed"
effects = [{ effect = "docker.restart-container", target = "local/worker" }]
"#;
/// What a person, an automation and an agent show.
const PERSON: &str = "danas-own-token-of-this-test";
const MACHINE: &str = "the-token-of-an-automation-here";
const AGENT: &str = "the-token-of-an-agent-in-this-test";

fn manifest(name: &str, version: &str, effects: &[&str]) -> String {
    format!(
        "name = {name:?}\nversion = {version:?}\nsummary = \"Restart the worker when its queue stops moving.\"\n\
         [[trigger]]\nalert = [\"WorkerStuck\"]\n[target]\nkind = \"container\"\ncontainer_from = [\"name\"]\n\
         [requests]\neffects = {effects:?}\n[brake]\nattempts = [\"3/1h\"]\n"
    )
}

const POLICY: &str = "@id(\"all\") permit (principal, action in Action::\"mutate\", resource);";
const USED: [&str; 2] = ["docker.inspect-container", "docker.restart-container"];

/// A whole answer of the model.
fn answer(manifest: &str, script: &str, scenario: &str) -> Say {
    Say::json(&json!({"manifest": manifest, "script": script, "scenarios": [{"name": "heals", "text": scenario}]}))
}

fn sound(name: &str) -> Say {
    answer(&manifest(name, "0.1.0", &USED), SCRIPT, HEALS)
}

fn daemon(docker: &FakeDocker, fake: &FakeOpenAi) -> Daemon {
    let token = |name: &str, more: &str| {
        format!("[auth.tokens.{name}]\nrole = \"operator\"\ntoken_file = \"./{name}\"\n{more}\n")
    };
    let config = format!(
        "[llm]\nbase_url = \"{}\"\nmodel = \"fake\"\n{}{}{}[policy]\ndirs = [\"./policy\"]\n",
        fake.base_url(),
        token("dana", "person = \"dana\""),
        token("machine", ""),
        token("agent", "agent = true"),
    );
    let setup = Setup::with(&config).docker(&docker.endpoint());
    Daemon::start(
        setup.file("dana", PERSON).file("machine", MACHINE).file("agent", AGENT).file("policy/all.cedar", POLICY),
    )
}

/// What differs between any two drafts.
fn alike(mut draft: Value) -> Value {
    for key in ["runbook", "digest", "files", "difference"] {
        assert!(draft[key].take() != Value::Null, "{key}");
    }
    for key in ["plan", "runbook", "digest", "at", "expires_at", "by"] {
        draft["plan"][key].take();
    }
    draft
}

/// The digest in what a command says to do next.
fn digest(ran: &Ran, name: &str) -> String {
    let next = ran.out.split(&format!("promote {name}@")).nth(1).unwrap_or_else(|| panic!("no next step in {ran}"));
    next.split_whitespace().next().expect("a digest").to_owned()
}

#[test]
fn a_sentence_becomes_a_runbook_in_rounds_and_a_person_trusts_it_by_its_digest() {
    let (docker, fake) = (FakeDocker::start(), FakeOpenAi::start());
    docker.container("worker", "healthy");
    let daemon = daemon(&docker, &fake);
    let name = "restart-worker";
    // It does not compile; its scenario does not come out; it requests what it does not use; it is sound.
    fake.say(answer(
        &manifest(name, "0.1.0", &USED),
        "fn run(input) { docker::restrat_container(input.target) }",
        HEALS,
    ));
    fake.say(answer(&manifest(name, "0.1.0", &USED), SCRIPT, &HEALS.replace("\"fixed\"", "\"escalate\"")));
    fake.say(answer(&manifest(name, "0.1.0", &[&USED[..], &["docker.exec"]].concat()), SCRIPT, HEALS));
    fake.say(sound(name));
    let ran = daemon.cli(&["generate", "restart the worker when its queue stops moving", "--out", name]).expect(0);
    let ran = ran.says("draft of a model").says("written by fake in 4 rounds");
    let ran = ran.says("docker.restart-container: restarts").says("cannot");
    let ran = ran.says("added main.rhai").says("+fn run(input)").says("added runbook.toml");
    let ran = ran.says("scenario It is stuck, and restarted: fixed").says("it is well");
    assert!(!ran.out.contains('\x1b'), "{ran}");
    let asked = fake.asked();
    assert!(asked[0].text().contains("restart the worker when its queue stops moving"));
    for (round, told) in [
        (1, "restrat_container"),
        (2, "outcome is fixed (restarted), expected escalate"),
        (3, "docker.exec` is requested, but the code never uses it"),
    ] {
        assert!(asked[round].text().contains(told), "{told}: {}", asked[round].text());
    }
    // Its files are a package that passes at the author's desk.
    daemon.cli(&["check", name]).expect(0);
    daemon.cli(&["test", name]).expect(0);
    fake.always(sound(name));
    daemon.cli(&["generate", "the same", "--out", name]).expect(1).says("exists already");
    assert_eq!(fake.asked().len(), 4, "nobody pays for a draft that could not be written");
    // It sees no alert, and who is no person trusts it with nothing.
    assert_eq!(daemon.alert(&[Alert::firing("WorkerStuck").label("name", "worker")])["runs"], json!([]));
    let digest = digest(&ran, name);
    let version = format!("{name}@{digest}");
    for stage in ["shadow", "ask", "live"] {
        for token in [MACHINE, AGENT] {
            let words = ["--token", token, "promote", &version, stage, "--reason", "it looks good"];
            daemon.cli(&words).expect(3);
        }
    }
    let found = daemon.api().get(&format!("/v1/runbooks/{name}")).expect(200).json();
    assert_eq!((found["stage"].as_str(), found["origin"].as_str()), (Some("draft"), Some("llm")), "{found}");
    daemon.cli(&["--token", PERSON, "promote", &version, "live", "--reason", "read it"]).expect(0);
    let audit = daemon.api().get("/v1/audit").text();
    assert!(audit.contains("\"generate\"") && audit.contains(&digest), "{audit}");
}

#[test]
fn rounds_end_and_nothing_is_kept_of_what_is_not_sound() {
    let (docker, fake) = (FakeDocker::start(), FakeOpenAi::start());
    let daemon = daemon(&docker, &fake);
    fake.always(answer(&manifest("restart-worker", "0.1.0", &USED), "fn run(input) { this is no script }", HEALS));
    let ran = daemon.cli(&["generate", "restart the worker", "--out", "restart-worker"]).expect(1);
    ran.says("SB0811").says("not sound after 4 rounds").says("sandbook new");
    assert_eq!(fake.asked().len(), 4, "no more rounds than configured");
    assert!(!daemon.path("restart-worker").exists());
    assert_eq!(daemon.api().get("/v1/runbooks/restart-worker").status, 404);
    fake.always(Say::status(500));
    daemon.cli(&["generate", "restart the worker"]).expect(1).says("SB08").says("sandbook new");
}

#[test]
fn prose_and_a_recorded_incident_become_runbooks_and_the_api_says_what_the_command_says() {
    let (docker, fake) = (FakeDocker::start(), FakeOpenAi::start());
    docker.container("worker", "healthy");
    docker.container("sick", "unhealthy");
    let daemon = daemon(&docker, &fake);
    let prose =
        "# The worker\n\n1. Look whether the queue moves.\n2. `docker restart worker`, password=hunter2-hunter2\n";
    daemon.write("worker.md", prose);
    fake.say(sound("from-prose"));
    let by_hand = daemon.cli(&["--json", "generate", "--from-file", "worker.md"]).expect(0).json();
    let asked = fake.asked()[0].text();
    assert!(asked.contains("Look whether the queue moves.") && asked.contains("docker restart worker"), "{asked}");
    assert!(!asked.contains("hunter2"), "{asked}");
    fake.say(sound("by-api"));
    let by_api = daemon.api().post("/v1/runbooks/generate", &json!({"prose": prose})).expect(201).json();
    assert_eq!((by_hand["origin"].as_str(), by_hand["stage"].as_str()), (Some("llm"), Some("draft")));
    assert_eq!(by_hand["difference"]["from"], Value::Null, "the first of its name: all of it is added");
    assert!(by_hand["difference"]["files"].as_array().expect("files").iter().all(|file| file["change"] == "added"));
    assert_eq!(by_hand["difference"]["newly"].as_array().map(Vec::len), Some(3), "{}", by_hand["difference"]);
    assert_eq!(alike(by_hand), alike(by_api));

    // An incident, from its run and from its episode.
    let heals = "//! name = \"heals\"\n//! version = \"1.0.0\"\n//! summary = \"Heals.\"\n//! [[trigger]]\n//! alert = [\"Sick\"]\n\
                 //! [target]\n//! kind = \"container\"\n//! container_from = [\"name\"]\n//! [requests]\n\
                 //! effects = [\"docker.inspect-container\", \"docker.restart-container\"]\n";
    daemon.push_live(&Package::rhai_file("heals", &format!("{heals}{SCRIPT}")));
    let taken = daemon.alert(&[Alert::firing("Sick").label("name", "sick").label("queue", "orders-eu")]);
    let run = taken["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("{taken}")).to_owned();
    let episode = daemon.ended(&run)["episode"].as_str().expect("an episode").to_owned();
    for (name, words) in [("from-run", ["--from-run", "last"]), ("from-episode", ["--episode", episode.as_str()])] {
        fake.say(sound(name));
        let before = fake.asked().len();
        daemon.cli(&["generate", words[0], words[1]]).expect(0).says("draft of a model");
        let asked = fake.asked()[before].text();
        for part in ["queue=orders-eu", "what was recorded of an incident", "restart container local/sick"] {
            assert!(asked.contains(part), "{name}: no {part:?} in {asked}");
        }
    }
    // What is not there, is too long or is no text is said before a model is asked.
    let before = fake.asked().len();
    daemon.cli(&["generate", "--from-run", "r_nobody"]).expect(1);
    daemon.cli(&["generate", "--episode", "e_nobody"]).expect(1).says("there is no episode");
    daemon.cli(&["generate", "--from-file", "nothing.md"]).expect(1).says("nothing.md");
    daemon.write("long.md", "x".repeat(70 << 10));
    daemon.cli(&["generate", "--from-file", "long.md"]).expect(1).says("at most 65536 are read");
    daemon.write("bytes.md", [0xff, 0xfe]);
    daemon.cli(&["generate", "--from-file", "bytes.md"]).expect(1).says("UTF-8");
    daemon.cli(&["generate"]).expect(2);
    assert_eq!(fake.asked().len(), before);
}

#[test]
fn the_next_version_of_a_runbook_is_reviewed_as_a_difference() {
    let (docker, fake) = (FakeDocker::start(), FakeOpenAi::start());
    docker.container("worker", "healthy");
    let daemon = daemon(&docker, &fake);
    let files = [("runbook.toml", manifest("worker", "1.0.0", &USED)), ("main.rhai", SCRIPT.to_owned())];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let old = daemon.push_live(&Package::tar("worker", &files));
    let better =
        SCRIPT.replace("    docker::restart", "    print(docker::container_stats(input.target));\n    docker::restart");
    let effects = [&USED[..], &["docker.container-stats"]].concat();
    fake.say(answer(&manifest("another", "1.1.0", &effects), &better, HEALS));
    fake.say(answer(&manifest("worker", "1.0.0", &effects), &better, HEALS));
    fake.say(answer(&manifest("worker", "1.1.0", &effects), &better, HEALS));
    let ran = daemon.cli(&["generate", "say first how much it uses", "--replaces", "work"]).expect(0);
    let ran = ran.says("in the place of worker 1.0.0").says("this version can newly").says("docker.container-stats: ");
    let ran = ran.says("changed main.rhai").says("+    print(docker::container_stats(input.target));");
    let ran = ran.says("-version = \"1.0.0\"").says("+version = \"1.1.0\"").says("added scenarios/heals.toml");
    assert!(!ran.out.contains("+fn run(input)"), "what stays is not shown as new: {ran}");
    let asked = fake.asked();
    assert!(
        asked[0].text().contains("the runbook whose next version this is to be")
            && asked[0].text().contains("it is well")
    );
    assert!(asked[1].text().contains("it is the next version of worker, so that is its name"), "{}", asked[1].text());
    assert!(asked[2].text().contains("there is a version 1.0.0 of worker already"), "{}", asked[2].text());
    // What runs goes on until a person says otherwise.
    let found = daemon.api().get("/v1/runbooks/worker").expect(200).json();
    assert_eq!((found["digest"].as_str(), found["stage"].as_str()), (Some(old.as_str()), Some("live")), "{found}");
    let version = format!("worker@{}", digest(&ran, "worker"));
    daemon
        .cli(&["--token", MACHINE, "promote", &version, "live", "--reason", "it looks good"])
        .expect(3)
        .says("SB0812");
    daemon.cli(&["--token", PERSON, "promote", &version, "live", "--reason", "read the difference"]).expect(0);
    // The API says the same, and knows whom it would replace.
    fake.say(answer(&manifest("worker", "1.2.0", &USED), SCRIPT, HEALS));
    let body = json!({"description": "without that again", "replaces": "worker"});
    let draft = daemon.api().post("/v1/runbooks/generate", &body).expect(201).json();
    assert_eq!(draft["difference"]["from"]["version"], "1.1.0", "{draft}");
    assert_eq!(draft["difference"]["no_longer"].as_array().map(Vec::len), Some(1), "{draft}");
    let before = fake.asked().len();
    daemon.cli(&["generate", "better", "--replaces", "nobody"]).expect(1).says("nobody");
    let alone = json!({"replaces": "worker"});
    assert_eq!(daemon.api().post("/v1/runbooks/generate", &alone).status, 422, "nothing says what is to be better");
    assert_eq!(fake.asked().len(), before);
}
