//! The console in a real Chromium: what a person at three in the morning sees, clicks, tabs through and reads.
//!
//! An alert to a healed container by clicking; the same kind of question answered by keyboard alone; texts of strangers
//! that stay texts; pages without barriers for screen readers and keyboards, light and dark, at a desk and on a phone;
//! reading without scripts; and forged requests at the wire. What each form does stands beside the API.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbook_tests::alert::Alert;
use sandbook_tests::browser::{Browser, Look};
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::{Asks, Package};
use sandbook_tests::process::free_port;
use sandbook_tests::receiver::Receiver;
use sandbook_tests::wait;
use serde_json::{Value, json};

/// A question is put, a run ends: seconds, and more on a loaded machine.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// Everything that changes asks a person first.
pub(super) const ASK: &str =
    "@id(\"ask-first\") @approval(\"ask\") permit (principal, action in Action::\"mutate\", resource);";
/// A viewer, for what only looks.
const VIEWER: &str = "[policy]\ndirs = [\"./policy\"]\n[auth.tokens.eve]\nrole = \"viewer\"\nperson = \"eve\"\ntoken_file = \"./secrets/eve\"\n";
/// A policy whose reason wants to be markup, about a runbook that is not there.
const REASON: &str = "@id(\"words\") @reason(\"<script>window.owned = 1</script>\") forbid (principal == Runbook::\"nobody\", action, resource);";
const VIEWER_TOKEN: &str = "a-viewer-token-that-only-this-test-knows-0002";
/// Texts that want to be markup, one for each way out of a text, an attribute, a style, an address or a script.
const HOSTILE: [&str; 8] = [
    "<script>window.owned = 1</script>",
    "\"><img src=x onerror=\"window.owned = 2\">",
    "' onmouseover='window.owned = 3' autofocus onfocus='window.owned = 3'",
    "</pre></details></table><svg onload=\"window.owned = 4\">",
    "javascript:window.owned=5",
    "{{constructor.constructor('window.owned = 6')()}}",
    "<iframe srcdoc=\"<script>parent.owned = 7</script>\"></iframe>",
    "</title></style></textarea><style>*{display:none}</style><base href=//evil.example>",
];

fn daemon(docker: Option<&Dockerd>) -> Daemon {
    daemon_with("", docker)
}

fn daemon_with(more: &str, docker: Option<&Dockerd>) -> Daemon {
    let setup = Setup::with(&format!("{VIEWER}{more}"))
        .file("policy/ask.cedar", ASK)
        .file("policy/reason.cedar", REASON)
        .file("secrets/eve", VIEWER_TOKEN);
    Daemon::start(match docker {
        Some(docker) => setup.docker(&docker.endpoint()),
        None => setup,
    })
}

/// The case of a runbook that asks a person.
fn asking() -> Package {
    let script = "fn run(input) { log::attach_evidence(\"df\", \"/var 97 %\"); \
                  let said = human::ask(\"The disk is full. Move the volume?\", [\"move it\", \"leave it\"]); \
                  nothing_to_do(said.option) }";
    Package::rhai("asks-a-person", Asks::default(), script)
}

pub(super) fn log_in(browser: &Browser, token: &str) {
    browser.go("/");
    browser.write("#token", token.trim());
    browser.press("Log in");
    browser.await_text("Log out");
}

pub(super) fn question(daemon: &Daemon) -> Value {
    wait::until(
        "a question",
        SOON,
        || daemon.log_tail(),
        || {
            let open = daemon.api().get("/v1/approvals").json();
            open["approvals"].as_array().and_then(|open| open.first()).cloned().ok_or_else(|| open.to_string())
        },
    )
}

pub(super) fn id<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[test]
fn an_alert_is_approved_by_clicking_and_the_container_heals() {
    let docker = Dockerd::start();
    let web = docker.service("web-1");
    let daemon = daemon(Some(&docker));
    let browser = Browser::start(&daemon.url(), Look::DESK);
    log_in(&browser, &daemon.token("admin-token"));
    assert_eq!(browser.path(), "/");
    browser.await_text("No alert is firing, nothing waits for you");
    daemon.cli(&["promote", "restart-unhealthy", "live", "--reason", "it heals in this test"]).expect(0);
    web.sicken();
    web.await_health("unhealthy");
    daemon.alert(&[Alert::unhealthy("web-1").label("severity", "critical")]);
    let asked = question(&daemon);
    // Nobody reloads: the news come by themselves.
    browser.await_text("Needs a person");
    browser.press("restart container local/web-1");
    browser.await_text("why it asks");
    browser.write("textarea[name=reason]", "the health check fails since a minute");
    browser.press("Approve");
    browser.await_text("This is over: approved by admin");
    let ended = daemon.ended(id(&asked, "run"));
    assert_eq!(ended["outcome"], "fixed", "{ended}");
    web.await_health("healthy");
    browser.go(&format!("/runs/{}", id(&asked, "run")));
    let text = browser.text();
    for said in [
        "What happened",
        "docker.restart-container",
        "Before",
        "After",
        "ask-first",
        "by admin: the health check fails since a minute",
    ] {
        assert!(text.contains(said), "the run does not say {said}:\n{text}");
    }
    let differs = browser
        .script("return [...document.querySelectorAll('.before-after .differs th')].map(th => th.textContent)", vec![]);
    assert!(differs.as_array().is_some_and(|keys| keys.contains(&json!("started at"))), "{differs}");
    browser.go("/audit");
    assert!(browser.text().contains("the health check fails since a minute"), "{}", browser.text());
    browser.go("/targets");
    assert!(browser.text().contains("local/web-1"), "{}", browser.text());
    browser.press("Log out");
    browser.await_text("Your token");
    browser.go("/runs");
    assert_eq!(browser.count("#token"), 1, "out is out");
}

#[test]
fn a_keyboard_alone_logs_in_and_answers() {
    let daemon = daemon(None);
    daemon.push_live(&asking());
    let run = daemon.run("asks-a-person", &json!({}));
    let asked = question(&daemon);
    let browser = Browser::start(&daemon.url(), Look::DESK);
    browser.go(&format!("/approvals/{}", id(&asked, "id")));
    // The field has the focus already.
    browser.keys(daemon.token("admin-token").trim());
    browser.keys("\u{e007}");
    browser.await_text("The disk is full. Move the volume?");
    browser.tab_to("Skip to the content");
    browser.keys("\u{e007}");
    browser.tab_to("Why (stands in the run and in the audit)");
    let outline = browser.script("return getComputedStyle(document.activeElement).outlineStyle", vec![]);
    assert_eq!(outline, "solid", "where the focus is can be seen");
    browser.keys("there is room elsewhere");
    assert_eq!(browser.tab_to("move it"), 1, "the answer is next");
    browser.keys("\u{e007}");
    browser.await_text("This is over: approved by admin");
    assert_eq!(daemon.ended(&run)["sentence"], "move it");
}

/// A daemon in which everything that comes from outside wants to be markup, and the pages that show it.
fn hostile(docker: &Dockerd) -> (Daemon, Vec<String>) {
    let all = HOSTILE.join(" ");
    let container = json!({
        "Labels": {"com.docker.compose.project": all, "com.docker.compose.service": HOSTILE[1], "note": all},
        "Cmd": ["sh", "-c", format!("printf '%s\\n' '{}'; touch /ok; sleep 600", all.replace('\'', ""))],
    });
    docker.create("evil", &container);
    let route = "[[notify.routes]]\non = [\"approval\"]\nchannel = \"away\"\n";
    let channel =
        format!("[notify.channels.away]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/\"\n{route}", free_port());
    let daemon = daemon_with(&channel, Some(docker));
    daemon.api().post("/v1/notify/away/test", &json!({})).expect(424);
    let restart = json!({"runbook": "restart-unhealthy", "effect": "docker.restart-container", "container": "web-*"});
    daemon.api().post("/v1/grants", &restart).expect(201);
    let script = format!(
        "fn run(input) {{ let x = {text}; let y = {short}; let tail = logs::tail_container(\"evil\", #{{ lines: 50 }}); \
         log::attach_evidence(y, tail.text + x); print(x); log::progress(y, 50); \
         let said = human::ask(x, [y, \"no\"]); fixed(x) }}",
        text = json!(all),
        short = json!(HOSTILE[1])
    );
    let manifest = format!(
        "name = \"evil-words\"\nversion = \"1.0.0\"\nsummary = {}\n[[trigger]]\nschedule = \"0 0 29 2 *\"\n[target]\nkind = \"none\"\n[requests]\neffects = [\"logs.tail-container\"]\n",
        json!(format!("{} {}", HOSTILE[1], HOSTILE[3]))
    );
    daemon.push_live(&Package::tar(
        "evil-words",
        &[("runbook.toml", manifest.as_bytes()), ("main.rhai", script.as_bytes())],
    ));
    let mut alert = Alert::firing(&all).label("severity", HOSTILE[2]).label("container", "evil");
    for (number, text) in HOSTILE.iter().enumerate() {
        alert = alert.label(&format!("l{number}"), text);
    }
    let mut value = alert.value();
    value["annotations"] = json!({"summary": all, "description": all});
    daemon.sender().post("/webhook/alerts", &sandbook_tests::alert::message_of(vec![value])).expect(202);
    let ended = daemon.run("evil-words", &json!({}));
    let answer = json!({"decision": "approve", "answer": "no", "reason": all});
    daemon.api().post(&format!("/v1/approvals/{}", id(&question(&daemon), "id")), &answer).expect(200);
    daemon.ended(&ended);
    let run = daemon.run("evil-words", &json!({}));
    let asked = question(&daemon);
    let pause = json!({"selector": {"target": HOSTILE[1]}, "for": "5m", "reason": all});
    daemon.api().post("/v1/pauses", &pause).expect(201);
    let episode = daemon.episodes()[0]["episode"].as_str().expect("an id").to_owned();
    let pages = [
        "/",
        "/alerts",
        "/runs",
        "/runs/new?runbook=evil-draft",
        "/approvals",
        "/runbooks",
        "/runbooks/evil-words",
        "/runbooks/evil-words/diff",
        "/runbooks/evil-draft/review",
        "/drafts",
        "/grants",
        "/brakes",
        "/targets",
        "/audit",
    ];
    let mut pages: Vec<String> = pages.map(str::to_owned).into();
    pages.extend([
        format!("/alerts/{episode}"),
        format!("/runs/{run}"),
        format!("/runs/{ended}"),
        format!("/approvals/{}", id(&asked, "id")),
        format!("/backtests/{}", backtest_of_a_draft(&daemon, &all)),
    ]);
    (daemon, pages)
}

/// A draft whose every word wants to be markup, and what it would have done about the alert: its backtest.
fn backtest_of_a_draft(daemon: &Daemon, all: &str) -> String {
    let words = json!(format!("{} {}", HOSTILE[1], HOSTILE[3]));
    let manifest = format!(
        "name = \"evil-draft\"\nversion = \"1.0.0\"\nsummary = {words}\n[[trigger]]\nalert = [{}]\n[target]\nkind = \"none\"\n\
         [parameters.x]\ntype = \"text\"\ndefault = {words}\nsummary = {words}\n",
        json!(all)
    );
    let script = format!("fn run(input) {{ fixed({words}) }}");
    let draft = Package::tar("evil-draft", &[("runbook.toml", manifest.as_bytes()), ("main.rhai", script.as_bytes())]);
    let headers = [("content-type", draft.content_type)];
    let sent = daemon.api().send("POST", "/v1/runbooks?stage=draft", &headers, draft.bytes).expect("an answer");
    sent.expect(201);
    let told = daemon.api().post("/v1/backtests", &json!({"runbook": "evil-draft"})).expect(200).text();
    let last: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["backtest"]["totals"]["matched"], 1, "{last}");
    id(&last["backtest"], "backtest").to_owned()
}

#[test]
fn what_strangers_wrote_stays_text() {
    let docker = Dockerd::start();
    let (daemon, pages) = hostile(&docker);
    let browser = Browser::start(&daemon.url(), Look::DESK);
    log_in(&browser, &daemon.token("admin-token"));
    for page in &pages {
        browser.go(page);
        let seen = browser.script(
            "return {owned: String(window.owned), \
             strange: document.querySelectorAll('img, iframe, svg, object, embed, base, video, style ~ style, body style').length, \
             scripts: [...document.scripts].filter(s => !s.src.includes('/console.js') || !s.integrity || s.textContent).length, \
             handlers: [...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length, \
             links: [...document.links].filter(a => a.protocol !== 'http:' || a.host !== location.host).length}",
            vec![],
        );
        assert_eq!(
            seen,
            json!({"owned": "undefined", "strange": 0, "scripts": 0, "handlers": 0, "links": 0}),
            "{page}"
        );
        assert!(browser.text().contains("window.owned"), "{page} shows it as text:\n{}", browser.text());
    }
    // Were markup to slip through, the policy would still not execute it.
    let blocked = browser.script(
        "const s = document.createElement('script'); s.textContent = 'window.owned = 9'; document.head.append(s); \
         const d = document.createElement('div'); d.innerHTML = '<img src=x onerror=\"window.owned = 9\">'; document.body.append(d); \
         return String(window.owned)",
        vec![],
    );
    assert_eq!(blocked, "undefined");
}

/// A page's address with `*` where something of its own is named.
fn pattern(page: &str) -> String {
    let path = page.split('?').next().unwrap_or_default();
    let mut pieces: Vec<&str> = path.split('/').collect();
    if let Some(second) = pieces.get_mut(2).filter(|second| **second != "new") {
        *second = "*";
    }
    pieces.join("/")
}

/// Every page that another leads to is looked at, so that a new one cannot be forgotten: light, dark, on a phone, and with
/// the tabulator.
#[test]
fn no_page_has_a_barrier() {
    let docker = Dockerd::start();
    let (daemon, mut pages) = hostile(&docker);
    daemon.cli(&["promote", "restart-unhealthy", "ask", "--reason", "so that a plan has something to say"]).expect(0);
    let plan = daemon.api().post("/v1/runbooks/restart-unhealthy/plan", &json!({"target": "evil"})).expect(200).json();
    pages.extend(
        [
            "/plans",
            "/runs/new",
            "/runs/new?runbook=restart-unhealthy&target=evil",
            "/backtests",
            "/schedules",
            "/notifications",
            "/stop",
            "/approvals?all=true",
            "/runs?state=failed",
            "/grants?runbook=restart-unhealthy",
            "/runs/r_nobody",
        ]
        .map(str::to_owned),
    );
    pages.push(format!("/plans/{}", id(&plan, "plan")));
    daemon.api().post("/v1/stop", &json!({"reason": "so that its banner is looked at, too"})).expect(200);
    let looked_at: BTreeSet<String> = pages.iter().map(|page| pattern(page)).collect();
    let mut led_to = BTreeSet::new();
    for look in [Look::DESK, Look { dark: true, ..Look::DESK }, Look::PHONE] {
        let browser = Browser::start(&daemon.url(), look);
        browser.go("/");
        assert_eq!(browser.barriers(), Vec::<String>::new(), "logging in, {look:?}");
        log_in(&browser, &daemon.token("admin-token"));
        let dark = browser.script("return matchMedia('(prefers-color-scheme: dark)').matches", vec![]);
        assert_eq!(dark, look.dark);
        for page in &pages {
            browser.go(page);
            assert_eq!(browser.barriers(), Vec::<String>::new(), "{page}, {look:?}");
            let wide = browser
                .script("return document.documentElement.scrollWidth - document.documentElement.clientWidth", vec![]);
            assert_eq!(wide, 0, "{page} is wider than its window, {look:?}");
            led_to.extend(browser.links().iter().map(|link| pattern(link)));
            if !look.dark {
                unfold(&browser);
                assert_eq!(browser.barriers(), Vec::<String>::new(), "{page}, unfolded");
                assert_eq!(browser.unreached(), Vec::<String>::new(), "{page}: a keyboard does not reach it");
            }
        }
    }
    let forgotten: Vec<&String> = led_to.difference(&looked_at).collect();
    assert!(forgotten.is_empty(), "pages that nobody looked at: {forgotten:?}");
}

fn unfold(browser: &Browser) {
    browser.script("document.querySelectorAll('details').forEach(one => { one.open = true; })", vec![]);
}

#[test]
fn a_keyboard_alone_takes_a_grant_away_and_tests_a_channel() {
    let receiver = Receiver::open();
    let channel = format!("[notify.channels.ops]\nkind = \"webhook\"\nurl = \"{}\"\n", receiver.url());
    let daemon = daemon_with(&channel, None);
    let restart = json!({"runbook": "restart-unhealthy", "effect": "docker.restart-container", "container": "web-*"});
    let granted = daemon.api().post("/v1/grants", &restart).expect(201).json();
    let browser = Browser::start(&daemon.url(), Look::DESK);
    browser.go("/");
    browser.keys(daemon.token("admin-token").trim());
    browser.keys("\u{e007}");
    browser.await_text("Log out");
    browser.tab_to("Grants");
    browser.keys("\u{e007}");
    browser.await_path("/grants");
    browser.tab_to(&format!("Take away {}", id(&granted, "id")));
    browser.keys("\u{e007}");
    assert_eq!(browser.tab_to("Take this grant away"), 1, "its button is next");
    browser.keys("\u{e007}");
    wait::until(
        "the grant to be gone",
        SOON,
        || daemon.log_tail(),
        || {
            let left = daemon.api().get("/v1/grants").json().to_string();
            if left.contains(id(&granted, "id")) || !left.contains("ask-first") { Err(left) } else { Ok(()) }
        },
    );
    browser.tab_to("Notifications");
    browser.keys("\u{e007}");
    browser.await_path("/notifications");
    browser.await_text("Nothing was sent yet.");
    browser.tab_to("Send a test to ops");
    browser.keys("\u{e007}");
    browser.await_text("ops took a test message");
    assert_eq!(receiver.posts()[0].json()["kind"], "test");
    browser.tab_to("Back to the channels");
    browser.keys("\u{e007}");
    browser.await_text("Channels");
}

#[test]
fn without_scripts_everything_is_read_and_decided() {
    let daemon = daemon(None);
    daemon.push_live(&asking());
    let run = daemon.run("asks-a-person", &json!({}));
    let asked = question(&daemon);
    let browser = Browser::start(&daemon.url(), Look { scripts: false, ..Look::DESK });
    log_in(&browser, &daemon.token("admin-token"));
    for page in [
        "/",
        "/alerts",
        "/runs",
        "/approvals",
        "/plans",
        "/runbooks",
        "/runbooks/asks-a-person",
        "/runbooks/asks-a-person/review",
        "/runs/new?runbook=asks-a-person",
        "/drafts",
        "/backtests",
        "/schedules",
        "/grants",
        "/brakes",
        "/notifications",
        "/targets",
        "/audit",
    ] {
        browser.go(page);
        assert_eq!(browser.count("main h1"), 1, "{page}");
        assert!(!browser.text().contains("not live"), "{page}: nothing complains");
    }
    browser.go(&format!("/runs/{run}"));
    assert!(browser.text().contains("/var 97 %"), "evidence is unfolded: {}", browser.text());
    browser.go(&format!("/approvals/{}", id(&asked, "id")));
    browser.press("leave it");
    browser.await_text("This is over: approved by admin");
    assert_eq!(daemon.ended(&run)["sentence"], "leave it");
}

#[test]
fn forged_requests_are_refused_at_the_wire() {
    let daemon = daemon(None);
    daemon.push_live(&asking());
    daemon.run("asks-a-person", &json!({}));
    let asked = question(&daemon);
    let path = format!("/approvals/{}", id(&asked, "id"));
    let browser = daemon.anonymous();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let session = |token: &str| {
        let entered =
            browser.send("POST", "/login", &[form], format!("token={}", token.trim())).expect("an answer").expect(303);
        let cookie = entered.headers.iter().find(|(name, _)| name == "set-cookie").expect("a cookie").1.clone();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let page = browser.send("GET", "/", &[("cookie", &cookie)], "").expect("an answer").expect(200).text();
        let word =
            page.split_once("name=\"csrf\" value=\"").and_then(|(_, rest)| rest.split('"').next()).expect("a form");
        (cookie, word.to_owned())
    };
    let (admin, word) = session(&daemon.token("admin-token"));
    let (eve, eves) = session(VIEWER_TOKEN);
    let page = browser.send("GET", &path, &[("cookie", &eve)], "").expect("an answer").expect(200).text();
    assert!(!page.contains("name=\"answer\""), "a viewer sees no button");
    let post = |path: &str, cookie: &str, word: &str, headers: &[(&str, &str)]| {
        let mut all = vec![form, ("cookie", cookie)];
        all.extend(headers);
        browser
            .send("POST", path, &all, format!("csrf={word}&answer=move+it&sure=yes&reason=x"))
            .expect("an answer")
            .status
    };
    for path in [path.as_str(), "/stop"] {
        assert_eq!(post(path, &eve, &eves, &[]), 403, "a viewer's own form");
        assert_eq!(post(path, &admin, &eves, &[]), 403, "another session's word");
        assert_eq!(post(path, &admin, "", &[]), 403, "no word");
        assert_eq!(post(path, &admin, &word, &[("origin", "https://evil.example")]), 403, "another site");
        assert_eq!(post(path, &admin, &word, &[("origin", "null")]), 403, "a sandboxed frame");
        assert_eq!(post(path, "", &word, &[]), 401, "no session");
    }
    assert_eq!(question(&daemon)["id"], asked["id"], "it is still open");
    assert_eq!(daemon.api().get("/status").json()["stop"], Value::Null);
    assert_eq!(post(&path, &admin, &word, &[]), 303, "and the right one counts");
}
