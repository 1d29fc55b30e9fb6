//! Everything a person can do in the console, done by clicking: one daemon, one real Docker, one real Chromium.
//!
//! Each step looks at what the page says afterwards and at what the API, the audit or the container says of it. An alert
//! that is approved and heals is beside this, in `console`; so are keyboards, phones and pages without scripts.

use std::time::Duration;

use sandbook_tests::browser::{Browser, Look};
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::Package;
use sandbook_tests::receiver::Receiver;
use sandbook_tests::wait;
use serde_json::{Value, json};

use super::console::{ASK, id, log_in, question};

const DANA: &str = "danas-own-token-that-only-this-test-knows";
const ROBOT: &str = "a-robots-token-that-only-this-test-knows";
const CONFIG: &str = "[policy]\ndirs = [\"./policy\"]\n\
    [auth.tokens.dana]\nrole = \"admin\"\nperson = \"dana\"\ntoken_file = \"./secrets/dana\"\n\
    [auth.tokens.robot]\nrole = \"author\"\nagent = true\ntoken_file = \"./secrets/robot\"\n";
/// People hear of everything.
const TOLD: &str = "[[notify.routes]]\nchannel = \"ops\"\n";
/// What a model wrote: it looks, and asks for nothing that changes.
const DRAFT: &str = "//! name = \"looks-around\"\n//! version = \"0.1.0\"\n//! summary = \"Looks at a container.\"\n\
    //! [target]\n//! kind = \"container\"\n//! [requests]\n//! effects = [\"docker.inspect-container\"]\n\
    fn run(input) {\n    let seen = docker::inspect_container(input.target);\n    done(seen.state.status)\n}\n";

/// Restarts what it is told to, twice an hour at the most.
fn heals(version: &str) -> Package {
    let manifest = format!(
        "name = \"heals\"\nversion = \"{version}\"\nsummary = \"Restarts what it is told to.\"\n\
         [[trigger]]\nalert = [\"NeedsHelp\"]\n[target]\nkind = \"container\"\n\
         [parameters.mood]\ntype = \"choice\"\nchoices = [\"calm\", \"urgent\"]\ndefault = \"calm\"\nsummary = \"How it says it\"\n\
         [parameters.grace]\ntype = \"duration\"\ndefault = \"1s\"\nmax = \"1m\"\n\
         [requests]\neffects = [\"docker.restart-container\"]\n[brake]\nattempts = [\"2/1h\"]\n"
    );
    let script = "fn run(input) { docker::restart_container(input.target, #{ grace_ms: input.parameters.grace }); \
                  fixed(`restarted, ${input.parameters.mood}`) }";
    Package::tar("heals", &[("runbook.toml", manifest.as_bytes()), ("main.rhai", script.as_bytes())])
}

/// A person at a desk.
struct Desk {
    daemon: Daemon,
    browser: Browser,
}

impl Desk {
    fn get(&self, path: &str) -> Value {
        self.daemon.api().get(path).expect(200).json()
    }

    /// The stage of the version that runs, and which that is.
    fn stands(&self, runbook: &str) -> (String, String) {
        let found = self.get(&format!("/v1/runbooks/{runbook}"));
        (id(&found, "version").to_owned(), id(&found, "stage").to_owned())
    }

    /// Starts a run without a plan; returns its id.
    fn at_once(&self) -> String {
        self.browser.go("/runs/new?runbook=heals&target=web-1");
        self.browser.press("Start it at once");
        self.browser.write("#reason", "it hangs");
        self.browser.press("Start it now");
        self.browser.await_path("/runs/r_");
        self.browser.path().trim_start_matches("/runs/").to_owned()
    }

    fn decide(&self, button: &str, why: &str) {
        let asked = question(&self.daemon);
        self.browser.go("/approvals");
        self.browser.press(id(&asked, "sentence"));
        self.browser.await_path("/approvals/a_");
        self.browser.write("#reason", why);
        self.browser.press(button);
        self.browser.await_text("This is over:");
    }

    fn promotes_and_rolls_back(&self) {
        let old = id(&self.daemon.push(&heals("1.0.0")).json(), "digest").to_owned();
        self.browser.go("/runbooks");
        self.browser.press("heals");
        self.browser.choose("#digest", &old);
        self.browser.choose("#stage", "ask");
        self.browser.write("#promote-reason", "watched it for a week");
        self.browser.press("Set the stage");
        self.browser.await_text("watched it for a week");
        assert_eq!(self.stands("heals"), ("1.0.0".to_owned(), "ask".to_owned()));
        let new = id(&self.daemon.push(&heals("1.1.0")).json(), "digest").to_owned();
        self.browser.go("/runbooks/heals");
        self.browser.choose("#digest", &new);
        self.browser.choose("#stage", "live");
        self.browser.write("#promote-reason", "bolder");
        self.browser.press("Set the stage");
        self.browser.await_text("bolder");
        assert_eq!(self.stands("heals"), ("1.1.0".to_owned(), "live".to_owned()));
        self.browser.press("Roll back to the version that acted before");
        self.browser.write("form[action$='/rollback'] textarea", "too bold");
        self.browser.click("form[action$='/rollback'] button");
        self.browser.await_text("too bold");
        assert_eq!(self.stands("heals"), ("1.0.0".to_owned(), "ask".to_owned()));
    }

    fn plans_by_hand_and_applies(&self) -> String {
        self.browser.go("/runs");
        self.browser.press("Start a run by hand");
        self.browser.choose("#which", "heals");
        self.browser.press("Choose");
        self.browser.await_text("Restarts what it is told to.");
        self.browser.write("#target", "web-1");
        self.browser.choose("select[name='parameter.mood']", "urgent");
        self.browser.press("Plan it first");
        self.browser.await_path("/plans/p_");
        self.browser.await_text("restart container local/web-1");
        self.browser.press("Apply this plan");
        self.browser.await_path("/runs/r_");
        self.browser.await_text("restarted, urgent");
        let run = self.browser.path().trim_start_matches("/runs/").to_owned();
        let ended = self.daemon.ended(&run);
        assert_eq!((&ended["outcome"], &ended["parameters"]["mood"]), (&json!("fixed"), &json!({"text": "urgent"})));
        run
    }

    fn replays(&self, run: &str) {
        self.browser.go(&format!("/runs/{run}"));
        self.browser.press("Replay it from its journal");
        self.browser.click("form[action$='/replay'] button");
        self.browser.await_text("executed again with heals 1.0.0");
        assert!(self.browser.text().contains("equal"), "{}", self.browser.text());
    }

    fn denies_and_approves(&self) {
        let run = self.at_once();
        self.decide("Deny", "not now");
        let ended = self.daemon.ended(&run);
        assert!(ended["outcome"] != "fixed" && self.get("/v1/audit").to_string().contains("not now"), "{ended}");
        let run = self.at_once();
        self.decide("Approve", "go on");
        assert_eq!(self.daemon.ended(&run)["outcome"], "fixed");
        let run = self.at_once();
        question(&self.daemon);
        self.browser.go(&format!("/runs/{run}"));
        self.browser.press("Cancel this run");
        self.browser.write("#cancel-reason", "changed my mind");
        self.browser.press("Cancel before its next effect");
        self.browser.await_text("cancelled");
        assert_eq!(self.daemon.ended(&run)["state"], "cancelled");
    }

    fn rearms_a_brake(&self) {
        let run = self.at_once();
        self.decide("Approve", "once more");
        let held = self.daemon.ended(&run);
        assert_ne!(held["outcome"], "fixed", "two an hour: {held}");
        self.browser.go("/");
        self.browser.press("has to be re-armed");
        self.browser.write("textarea[id^='why-']", "the volume was full");
        self.browser.press("Re-arm");
        self.browser.await_text("No brake is tripped.");
        assert_eq!(self.get("/status")["trips"], json!([]));
    }

    fn pauses_and_stops(&self) {
        self.browser.go("/brakes");
        self.browser.press("Pause something for maintenance");
        self.browser.write("#pause-target", "web-*");
        self.browser.write("#pause-reason", "new disks");
        self.browser.click("form[action='/pauses'] button");
        self.browser.await_text("new disks");
        assert_eq!(self.get("/status")["pauses"][0]["selector"]["target"], "web-*");
        self.browser.press("End it now");
        self.browser.await_text("Nothing is paused.");
        self.browser.press("Stop everything");
        self.browser.await_text("Stop everything?");
        self.browser.write("#reason", "the wrong host");
        self.browser.click("input[name=sure]");
        self.browser.click("form[action='/stop'] button");
        self.browser.await_text("Everything is stopped");
        assert_eq!(self.get("/status")["stop"]["reason"], "the wrong host");
        self.browser.press("Release: runbooks may act again");
        self.browser.await_text("Runbooks may act as policy and stages say.");
        assert_eq!(self.get("/status")["stop"], Value::Null);
    }

    fn reads_a_draft_and_promotes_it(&self) {
        let robot = self.daemon.anonymous().with_token(ROBOT);
        let sent = robot.send("POST", "/v1/runbooks", &[("content-type", "text/x-rhai")], DRAFT).expect("an answer");
        let draft = sent.expect(201).json();
        assert_eq!(draft["stage"], "draft", "{draft}");
        self.browser.go("/");
        self.browser.press("Drafts");
        self.browser.press("looks-around");
        self.browser.await_path("/runbooks/looks-around/review");
        let text = self.browser.text();
        for said in ["written by a model", "change anything", "docker.inspect-container: ", "+fn run(input) {"] {
            assert!(text.contains(said), "the review does not say {said}:\n{text}");
        }
        self.browser.write("#plan-target", "web-1");
        self.browser.press("Make a plan");
        self.browser.await_path("/plans/p_");
        self.browser.await_text("inspect");
        self.browser.go("/runbooks/looks-around/review");
        assert!(self.browser.text().contains("Plan: "), "its plan stands beside it: {}", self.browser.text());
        self.browser.choose("#stage", "ask");
        self.browser.write("#why", "read every line");
        self.browser.press("Promote this version");
        self.browser.await_path("/runbooks/looks-around");
        self.browser.await_text("read every line");
        assert_eq!(self.stands("looks-around"), ("0.1.0".to_owned(), "ask".to_owned()));
        let audit = self.get("/v1/audit");
        let line = audit["audit"].as_array().expect("lines").iter().find(|line| line["what"] == "stage");
        assert_eq!(line.expect("a line")["who"], "dana", "{audit}");
    }

    fn backtests_and_grants(&self) {
        let alert = json!([{"labels": {"alertname": "NeedsHelp", "container": "web-1"}}]);
        self.daemon.sender().post("/webhook/alerts", &alert).expect(202);
        self.browser.go("/runbooks/heals");
        self.browser.press("Its backtests");
        self.browser.press("Start a backtest");
        self.browser.await_path("/backtests/t_");
        self.browser.await_text(", 1 would have started it");
        assert!(self.browser.text().contains("NeedsHelp"), "{}", self.browser.text());
        self.browser.go("/grants?runbook=heals");
        self.browser.choose("#effect", "docker.restart-container");
        self.browser.write("#container", "web-*");
        self.browser.write("#limit", "3/1h");
        self.browser.press("Permit it");
        self.browser.await_text("3/1h");
        let grants = self.get("/v1/grants");
        let written = grants["grants"].as_array().expect("a list").iter().find(|grant| grant["runbook"] == "heals");
        assert!(written.is_some_and(|grant| grant["ask"] == true && grant["limit"] == "3/1h"), "{grants}");
        self.browser.press("Take away");
        self.browser.press("Take this grant away");
        let taken = || {
            let grants = self.get("/v1/grants");
            let left = grants["grants"].as_array().expect("a list").iter().any(|grant| grant["runbook"] == "heals");
            if left { Err(grants.to_string()) } else { Ok(()) }
        };
        wait::until("the grant to be gone", Duration::from_secs(60), || self.daemon.log_tail(), taken);
        self.browser.go("/grants?runbook=heals");
        assert!(!self.browser.text().contains("3/1h"), "{}", self.browser.text());
        let grants = self.get("/v1/grants");
        let left = grants["grants"].as_array().expect("a list");
        assert!(left.iter().all(|grant| grant["runbook"] != "heals" && grant["id"] == "ask-first"), "{grants}");
    }

    fn reads_whether_people_can_be_told(&self) {
        self.browser.go("/");
        self.browser.press("Notifications");
        self.browser.await_text("Every channel that was used takes what it gets.");
        self.browser.press("Send a test");
        self.browser.await_text("ops took a test message");
        self.browser.press("Back to the channels");
        self.browser.await_text("taking");
        self.browser.go("/audit");
        self.browser.await_text("each follows from the one before it");
        for said in ["revoke", "test-channel"] {
            assert!(self.browser.text().contains(said), "{said}: {}", self.browser.text());
        }
    }
}

#[test]
fn everything_a_person_does_is_done_by_clicking() {
    let docker = Dockerd::start();
    let _web = docker.service("web-1");
    let people = Receiver::open();
    let told = format!("[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{}\"\n{TOLD}", people.url());
    let setup = Setup::with(&format!("{CONFIG}{told}")).docker(&docker.endpoint());
    let setup = setup.file("policy/ask.cedar", ASK).file("secrets/dana", DANA).file("secrets/robot", ROBOT);
    let daemon = Daemon::start(setup);
    let desk = Desk { browser: Browser::start(&daemon.url(), Look::DESK), daemon };
    log_in(&desk.browser, DANA);
    desk.promotes_and_rolls_back();
    let run = desk.plans_by_hand_and_applies();
    desk.replays(&run);
    desk.denies_and_approves();
    desk.rearms_a_brake();
    desk.pauses_and_stops();
    desk.reads_a_draft_and_promotes_it();
    desk.backtests_and_grants();
    desk.reads_whether_people_can_be_told();
}
