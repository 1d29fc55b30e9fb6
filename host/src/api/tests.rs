//! The API over a whole daemon: in-memory store, simulated world, real routes.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use sandbook_core::journal::{FORMAT, Header, Limits, Record, Request as Asked};
use sandbook_core::run::{Mode, Origin, Stage};
use sandbook_core::target::{Kind, Target};
use sandbook_core::world::World;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::app::Stage as Surroundings;
use crate::config::Config;
use crate::guest::Compiler;
use crate::state::App;
use crate::store::{NewRun, Sqlite};

mod act;
mod admit;
mod agents;
mod approvals;
mod brakes;
mod console;
mod document;
mod drafts;
mod limits;
mod look;
mod plans;
mod schedules;
mod stream;

const ROLES: [&str; 5] = ["sender", "viewer", "author", "operator", "admin"];

/// A daemon with a token for each role, named `ROLE-token-of-a-test`.
struct Daemon {
    app: Arc<App>,
    router: Router,
    dir: tempfile::TempDir,
    world: Arc<Mutex<World>>,
}

fn token(role: &str) -> String {
    format!("{role}-token-of-a-test")
}

async fn daemon() -> Daemon {
    daemon_with("").await
}

async fn daemon_with(more: &str) -> Daemon {
    daemon_over(more, World::invent_demo()).await
}

async fn daemon_over(more: &str, world: World) -> Daemon {
    let dir = tempfile::tempdir().expect("a directory");
    let mut text = format!("data_dir = {:?}\n{more}\n", dir.path().join("data"));
    for role in ROLES {
        let file = dir.path().join(role);
        std::fs::write(&file, token(role)).expect("written");
        text.push_str(&format!(
            "[auth.tokens.the-{role}]\nrole = \"{role}\"\nperson = \"{role}\"\ntoken_file = {file:?}\n"
        ));
    }
    let world = Arc::new(Mutex::new(world));
    let store = Arc::new(Sqlite::in_memory().expect("a store"));
    let app = app(&text, &world, store).await;
    let router = super::router(app.clone());
    Daemon { app, router, dir, world }
}

async fn app(text: &str, world: &Arc<Mutex<World>>, store: Arc<Sqlite>) -> Arc<App> {
    let config = Config::from_text(text, None, std::iter::empty()).expect("a sound configuration");
    let stage = Surroundings::Simulated(world.clone());
    let app = App::build(config, stage, store, Compiler::InProcess).await.expect("a daemon");
    app.library.start().await.expect("the built-in runbooks");
    app
}

impl Daemon {
    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (
            status,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned())),
        )
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(request("GET", path, Some("viewer"), None)).await
    }

    /// As admin.
    async fn act(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.send(request(method, path, Some("admin"), body)).await
    }

    /// What the audit says was done, newest first.
    async fn audited(&self) -> Vec<(String, String)> {
        let (_, audit) = self.get("/v1/audit").await;
        assert_eq!(audit["check"]["broken"], Value::Null);
        let lines = audit["audit"].as_array().expect("lines");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        lines.iter().map(|line| (text(&line["who"]), text(&line["what"]))).collect()
    }
}

fn request(method: &str, path: &str, role: Option<&str>, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(role) = role {
        request = request.header("authorization", format!("Bearer {}", token(role)));
    }
    match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    }
    .expect("a request")
}

/// The code of an error, whose shape is checked.
fn code(answer: &Value) -> &str {
    let error = answer["error"].as_object().unwrap_or_else(|| panic!("no error: {answer}"));
    let keys: Vec<&str> = error.keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "message", "fix", "details"], "{answer}");
    assert!(!error["message"].as_str().expect("a text").is_empty());
    let code = error["code"].as_str().expect("a text");
    assert!(sandbook_core::code::find(code).is_some(), "{code} has no page");
    code
}

fn new_run(id: &str) -> NewRun {
    NewRun {
        id: id.to_owned(),
        runbook: "restart-unhealthy".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:00".to_owned(),
        mode: Mode::Simulate,
        stage: Stage::Live,
        origin: Origin::BuiltIn,
        trigger: "manual".to_owned(),
        episode: None,
        parameters: json!({}),
        target_hint: json!({}),
        priority: 0,
        at: 1_000,
    }
}

fn begun(run: &str) -> Record {
    let header = Header {
        format: FORMAT,
        run: run.to_owned(),
        runbook: "restart-unhealthy".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:00".to_owned(),
        interpreter: None,
        abi: "sandbook:runbook@1.0.0".to_owned(),
        mode: Mode::Simulate,
        stage: Stage::Live,
        origin: Origin::BuiltIn,
        trigger: "manual".to_owned(),
        episode: None,
        alert: None,
        target: Some(web()),
        subject: Some("local/shop-web-1".to_owned()),
        host: "local".to_owned(),
        parameters: indexmap::IndexMap::new(),
        requests: vec!["docker.restart-container".to_owned()],
        limits: Limits::default(),
        seed: 1,
        bound: None,
        at: 1_000,
    };
    Record::Begun { header: Box::new(header) }
}

fn note(at: u64) -> Record {
    Record::Note { effect: "log.log".to_owned(), data: json!({"message": "hello"}), at }
}

fn web() -> Target {
    Target { host: "local".to_owned(), kind: Kind::Container, name: "shop-web-1".to_owned(), id: None }
}

fn restart() -> Asked {
    Asked {
        effect: "docker.restart-container".to_owned(),
        arguments: json!({"container": "shop-web-1", "options": {}}),
    }
}
