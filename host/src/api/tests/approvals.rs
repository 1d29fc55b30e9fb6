//! Questions to people: answered once, by whoever may, through the API and through the page, which no other site and no
//! markup can make answer.

use axum::http::HeaderMap;
use sandbook_core::run::State;
use sandbook_core::target::{Facts, Resolved};

use super::*;
use crate::store::{Approval, ApprovalKind, Checkpoint, RunPatch};

pub(super) const MARKUP: &str = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>";

fn question(kind: ApprovalKind, expires_at: u64, at: u64) -> Approval {
    let options = match kind {
        ApprovalKind::Approval => Vec::new(),
        ApprovalKind::Question => vec!["move it".to_owned(), format!("leave {MARKUP}")],
    };
    Approval {
        id: "a_1".to_owned(),
        run: "r_1".to_owned(),
        slot: 0,
        kind,
        runbook: "restart-unhealthy".to_owned(),
        effect: "docker.restart-container".to_owned(),
        arguments: json!({"container": MARKUP, "options": {}}),
        target: Some(web()),
        sentence: format!("restart container local/shop-web-1 (id 3f, {MARKUP})"),
        otherwise: format!("it is not done {MARKUP}"),
        digest: "sha256:00".to_owned(),
        options,
        reason: format!("policy asks {MARKUP}"),
        at,
        expires_at,
        decision: None,
    }
}

/// A run that waits for a person, with everything hostile that a container, an alert or a runbook can put there.
pub(super) async fn waiting(daemon: &Daemon, kind: ApprovalKind, for_ms: u64) {
    let store = &daemon.app.store;
    store.create_run(new_run("r_1")).await.expect("stored");
    let now = daemon.app.now_ms();
    let mut header = begun("r_1");
    if let Record::Begun { header } = &mut header {
        header.version = MARKUP.to_owned();
        let labels = [("team".to_owned(), MARKUP.to_owned())].into();
        let (starts_at, fingerprint, annotations) = (String::new(), String::new(), Default::default());
        header.alert = Some(sandbook_core::journal::AlertInput {
            name: MARKUP.to_owned(),
            labels,
            annotations,
            starts_at,
            fingerprint,
        });
    }
    let evidence = json!({"name": format!("log {MARKUP}"), "text": format!("</pre>{MARKUP}")});
    let note = Record::Note { effect: "log.attach-evidence".to_owned(), data: evidence, at: now };
    let resolved = Resolved {
        target: web(),
        subject: "local/shop-web-1".to_owned(),
        facts: Some(Facts { image: MARKUP.to_owned(), ..Facts::default() }),
        before: Some(json!({"status": "running", MARKUP: MARKUP, "error": ""})),
    };
    let asked = Record::Asked {
        slot: 0,
        request: restart(),
        resolved: Some(Box::new(resolved)),
        reason: "policy asks".to_owned(),
        policy: vec![format!("p1 {MARKUP}")],
        digest: "sha256:00".to_owned(),
        expires_at: now + for_ms,
        at: now,
    };
    let patch = RunPatch { state: Some(State::Waiting), ..RunPatch::default() };
    let approval = Some(question(kind, now + for_ms, now));
    let checkpoint = Checkpoint { records: vec![header, note, asked], patch, approval };
    assert!(store.checkpoint("r_1", checkpoint).await.expect("stored"));
}

/// What a browser gets.
pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    fn cookie(&self) -> String {
        let cookie = self.headers["set-cookie"].to_str().expect("text");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().expect("a pair").to_owned()
    }

    pub(super) fn word(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().expect("quoted").to_owned()
    }
}

impl Daemon {
    pub(super) async fn browse(&self, method: &str, path: &str, cookie: &str, form: &[(&str, &str)]) -> Seen {
        self.browse_from(method, path, cookie, form, "http://127.0.0.1:7070").await
    }

    async fn browse_from(&self, method: &str, path: &str, cookie: &str, form: &[(&str, &str)], origin: &str) -> Seen {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:7070");
        request = request.header("origin", origin).header("cookie", cookie);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(body));
        let response = self.router.clone().oneshot(request.expect("a request")).await.expect("infallible");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        Seen { status, headers, body: String::from_utf8(bytes.to_vec()).expect("UTF-8") }
    }

    pub(super) async fn log_in(&self, role: &str) -> String {
        let fields = [("token", token(role)), ("next", "/approvals/a_1".to_owned())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let seen = self.browse("POST", "/login", "", &fields).await;
        assert_eq!((seen.status, seen.headers["location"].as_bytes()), (StatusCode::SEE_OTHER, &b"/approvals/a_1"[..]));
        seen.cookie()
    }

    async fn open(&self) -> bool {
        self.app.store.approval("a_1").await.expect("read").expect("there").decision.is_none()
    }
}

#[tokio::test]
async fn one_answer_counts_and_the_run_goes_on_with_it() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Approval, 60_000).await;
    let (_, open) = daemon.get("/v1/approvals").await;
    assert_eq!((&open["approvals"][0]["id"], &open["approvals"][0]["decision"]), (&json!("a_1"), &Value::Null));
    let (_, details) = daemon.get("/v1/approvals/a_1").await;
    assert_eq!(
        (&details["kind"], &details["stage"], &details["state"]["status"], &details["evidence"][0]["name"]),
        (&json!("approval"), &json!("live"), &json!("running"), &json!(format!("log {MARKUP}"))),
        "{details}"
    );
    let answer = json!({"decision": "deny", "reason": "not today"});
    let (status, _) = daemon.send(request("POST", "/v1/approvals/a_", Some("operator"), Some(answer.clone()))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "a beginning of an id decides nothing");
    let (status, denied) =
        daemon.send(request("POST", "/v1/approvals/a_1", Some("operator"), Some(answer.clone()))).await;
    assert_eq!(
        (status, &denied["decision"]["kind"], &denied["decision"]["by"]),
        (StatusCode::OK, &json!("denied"), &json!("operator"))
    );
    let (status, late) = daemon.act("POST", "/v1/approvals/a_1", Some(answer)).await;
    assert_eq!((status, code(&late)), (StatusCode::CONFLICT, "SB0113"));
    let message = late["error"]["message"].as_str().expect("text");
    assert!(message.contains("denied by operator") && message.contains("not today"), "{message}");
    let records = daemon.app.store.records_after("r_1", Some(2)).await.expect("read");
    assert!(
        matches!(&records[0].1, Record::Answered { slot: 0, approved: false, by, .. } if by == "operator"),
        "{records:?}"
    );
    assert_eq!(daemon.get("/v1/approvals").await.1["approvals"], json!([]));
    assert_eq!(daemon.get("/v1/approvals?all=true").await.1["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(daemon.audited().await.first(), Some(&("operator".to_owned(), "deny".to_owned())));
}

#[tokio::test]
async fn a_question_with_options_wants_one_of_them() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Question, 60_000).await;
    for wrong in [
        json!({"decision": "approve"}),
        json!({"decision": "approve", "answer": "maybe"}),
        json!({"decision": "deny", "answer": "move it"}),
        json!({"decision": "approve", "answer": "move it", "reason": "x".repeat(2_001)}),
    ] {
        let (status, answer) = daemon.act("POST", "/v1/approvals/a_1", Some(wrong)).await;
        assert_eq!((status, code(&answer)), (StatusCode::UNPROCESSABLE_ENTITY, "SB0112"), "{answer}");
        assert!(daemon.open().await);
    }
    let said = json!({"decision": "approve", "answer": "move it", "reason": "there is room"});
    let (status, answer) = daemon.act("POST", "/v1/approvals/a_1", Some(said)).await;
    assert_eq!((status, &answer["decision"]["answer"]), (StatusCode::OK, &json!("move it")), "{answer}");
    let (_, journal) = daemon.get("/v1/runs/r_1/journal").await;
    let answered = journal["records"].as_array().expect("records").iter().find(|record| record["kind"] == "answered");
    assert_eq!(answered.expect("recorded")["answer"], "move it");
    let (_, audit) = daemon.get("/v1/audit").await;
    let details = &audit["audit"][0]["details"];
    assert_eq!((&details["answer"], &details["reason"]), (&json!("move it"), &json!("there is room")));
}

#[tokio::test]
async fn a_person_decides_on_the_page_and_opening_it_decides_nothing() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Approval, 60_000).await;
    let nobody = daemon.browse("GET", "/approvals/a_1", "", &[]).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert!(!nobody.body.contains("shop-web-1") && nobody.body.contains("value=\"/approvals/a_1\""), "{}", nobody.body);
    let cookie = daemon.log_in("operator").await;
    let page = daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in ["restart container local/shop-web-1", "it is not done", "p1 ", "expires", "status", "stage live"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    assert!(daemon.browse("GET", "/approvals", &cookie, &[]).await.body.contains("href=\"/approvals/a_1\""));
    assert!(daemon.open().await, "looking decides nothing");
    let word = page.word();
    let fields = [("csrf", word.as_str()), ("decision", "approve"), ("reason", "go <on>")];
    let decided = daemon.browse("POST", "/approvals/a_1", &cookie, &fields).await;
    assert_eq!(
        (decided.status, decided.headers["location"].as_bytes()),
        (StatusCode::SEE_OTHER, &b"/approvals/a_1"[..])
    );
    let page = daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await;
    assert!(page.body.contains("approved by operator") && page.body.contains("(go &lt;on&gt;)"), "{}", page.body);
    assert!(!page.body.contains("name=\"decision\""), "it is over");
    let again = daemon.browse("POST", "/approvals/a_1", &cookie, &fields).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("answered before, approved by operator"), "{}", again.body);
    assert_eq!(daemon.audited().await.first(), Some(&("operator".to_owned(), "approve".to_owned())));
    let records = daemon.app.store.records_after("r_1", Some(2)).await.expect("read");
    assert!(
        matches!(&records[0].1, Record::Answered { approved: true, by, reason, .. } if by == "operator" && reason == "go <on>")
    );
    let unknown = daemon.browse("GET", "/approvals/a_9", &cookie, &[]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.body.contains("there is no question a_9"));
}

#[tokio::test]
async fn only_a_form_of_the_session_itself_decides() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Approval, 60_000).await;
    let cookie = daemon.log_in("operator").await;
    let word = daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await.word();
    let other = daemon.log_in("admin").await;
    let of_another = daemon.browse("GET", "/approvals/a_1", &other, &[]).await.word();
    for (wrong, why) in [("", "none"), ("guess", "guessed"), (of_another.as_str(), "of another session")] {
        let seen = daemon.browse("POST", "/approvals/a_1", &cookie, &[("csrf", wrong), ("decision", "approve")]).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{why}");
    }
    let seen = daemon.browse("POST", "/approvals/a_1", &cookie, &[("decision", "approve")]).await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN, "missing");
    let right = [("csrf", word.as_str()), ("decision", "approve")];
    for origin in ["https://evil.example", "null", "http://127.0.0.1:7071"] {
        let seen = daemon.browse_from("POST", "/approvals/a_1", &cookie, &right, origin).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{origin}");
    }
    let neither = [("csrf", word.as_str())];
    assert_eq!(
        daemon.browse("POST", "/approvals/a_1", &cookie, &neither).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let viewer = daemon.log_in("viewer").await;
    let page = daemon.browse("GET", "/approvals/a_1", &viewer, &[]).await;
    assert!(page.body.contains("needs a token of role operator") && !page.body.contains("name=\"decision\""));
    let word = page.word();
    let seen = daemon.browse("POST", "/approvals/a_1", &viewer, &[("csrf", &word), ("decision", "approve")]).await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN, "a viewer decides nothing");
    assert!(daemon.open().await, "none of it counted");
    let seen = daemon.browse("POST", "/logout", &cookie, &[("csrf", "guess")]).await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN);
    assert_eq!(daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await.status, StatusCode::OK);
    let word = daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await.word();
    assert_eq!(daemon.browse("POST", "/logout", &cookie, &[("csrf", &word)]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn markup_from_labels_names_and_evidence_stays_text() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Question, 60_000).await;
    let cookie = daemon.log_in("operator").await;
    for path in ["/approvals/a_1", "/approvals"] {
        let page = daemon.browse("GET", path, &cookie, &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.body.contains("&lt;script&gt;"), "{path}: it is shown");
        // Every quote inside an attribute is escaped, so that no value ends early: tags are those of the page, and its only
        // script is the console's own.
        let (head, body) = page.body.split_once("</head>").expect("a head");
        let script = head.split_once("<script").expect("the console's script").1;
        assert!(script.starts_with(" src=\"/console.js?") && script.ends_with(" defer></script>"), "{path}: {script}");
        for never in ["<script", "<img", "</pre>&lt;/pre>", "onerror=alert(1)>", "http://", "https://"] {
            assert!(!body.contains(never), "{path} has {never}: {body}");
        }
        let tags =
            body.split('<').skip(1).map(|tag| tag.split([' ', '>']).next().unwrap_or_default().trim_start_matches('/'));
        for tag in tags {
            let own = "body header nav a form input textarea span button main section article details summary p h1 h2 h3 \
                       label div dl dt dd pre ul ol li time code strong table caption thead tbody tr th td html";
            assert!(own.split(' ').any(|known| known == tag), "{path}: <{tag}>");
        }
        let policy = page.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{policy}");
        assert_eq!(page.headers["cache-control"], "no-store");
        assert_eq!(page.headers["referrer-policy"], "same-origin");
    }
    let page = daemon.browse("GET", "/approvals/%3Cscript%3Ealert(1)%3C%2Fscript%3E", &cookie, &[]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(!page.body.contains("<script>"), "{}", page.body);
}

#[tokio::test]
async fn an_option_is_chosen_by_its_button_and_an_expired_question_says_so() {
    let daemon = daemon().await;
    waiting(&daemon, ApprovalKind::Question, 60_000).await;
    let cookie = daemon.log_in("operator").await;
    let word = daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await.word();
    let option = format!("leave {MARKUP}");
    let fields = [("csrf", word.as_str()), ("reason", ""), ("answer", option.as_str())];
    assert_eq!(daemon.browse("POST", "/approvals/a_1", &cookie, &fields).await.status, StatusCode::SEE_OTHER);
    let approval = daemon.app.store.approval("a_1").await.expect("read").expect("there");
    assert_eq!(approval.decision.and_then(|decision| decision.answer).as_deref(), Some(option.as_str()));

    let daemon = super::daemon().await;
    waiting(&daemon, ApprovalKind::Question, 0).await;
    let cookie = daemon.log_in("operator").await;
    let page = daemon.browse("GET", "/approvals/a_1", &cookie, &[]).await;
    assert!(page.body.contains("nobody answered before it expired") && !page.body.contains("name=\"answer\""));
    let word = page.word();
    let late = [("csrf", word.as_str()), ("answer", "move it")];
    let late = daemon.browse("POST", "/approvals/a_1", &cookie, &late).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.body.contains("expired at"), "{}", late.body);
}

#[tokio::test]
async fn without_authentication_the_page_still_wants_its_own_form() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = format!("data_dir = {:?}\n[auth]\nmode = \"off\"\n", dir.path().join("data"));
    let world = Arc::new(Mutex::new(World::invent_demo()));
    let app = app(&text, &world, Arc::new(Sqlite::in_memory().expect("a store"))).await;
    let daemon = Daemon { router: crate::api::router(app.clone()), app, dir, world };
    waiting(&daemon, ApprovalKind::Approval, 60_000).await;
    let page = daemon.browse("GET", "/approvals/a_1", "", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    let seen = daemon.browse("POST", "/approvals/a_1", "", &[("csrf", &page.word()), ("decision", "approve")]).await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN, "without the cookie it is another session");
    let fields = [("csrf", page.word()), ("decision", "approve".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let seen = daemon.browse("POST", "/approvals/a_1", &page.cookie(), &fields).await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER, "{}", seen.body);
}
