//! The client against a server at the wire that does everything servers do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sandbook_tests::fake_openai::{FakeOpenAi, Say};
use serde_json::{Value, json};

use super::*;
use crate::store::Sqlite;

/// The key; whatever shows it has leaked it.
const CANARY: &str = "canary-7f3a91-key";

struct Bench {
    server: FakeOpenAi,
    model: Model,
    metrics: Arc<Metrics>,
    secrets: Secrets,
    _folder: tempfile::TempDir,
}

fn settings(server: &FakeOpenAi, key_file: Option<std::path::PathBuf>) -> Settings {
    Settings {
        base_url: server.base_url(),
        model: "m".to_owned(),
        models: BTreeMap::new(),
        api_key_file: key_file,
        timeout: Duration::from_secs(20),
        attempts: 3,
        evidence_bytes_max: 4_096,
        confidence_min: 0.6,
        redact: vec!["ACME-[0-9]+".to_owned()],
        redact_emails: true,
        prices: BTreeMap::from([("m".to_owned(), Price { input: 2.0, output: 10.0 })]),
        per_hour: Ceiling::default(),
        per_day: Ceiling::default(),
        per_run: Ceiling::default(),
    }
}

fn bench_with(change: impl FnOnce(&mut Settings)) -> Bench {
    let server = FakeOpenAi::start();
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, format!("{CANARY}\n")).expect("written");
    let mut settings = settings(&server, Some(key));
    change(&mut settings);
    let (metrics, secrets) = (Arc::new(Metrics::default()), Secrets::default());
    let store = Arc::new(Sqlite::in_memory().expect("a store"));
    let model = Model::new(settings, store, metrics.clone(), secrets.clone()).expect("valid settings");
    Bench { server, model, metrics, secrets, _folder: folder }
}

fn bench() -> Bench {
    bench_with(|_| {})
}

fn request() -> Request {
    Request { answer_tokens_max: 100, ..Request::new(Purpose::Choose, vec![Message::system("s"), Message::user("u")]) }
}

fn shaped() -> Request {
    let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
    Request { schema: Some(Schema { name: "n".to_owned(), schema, strict: false }), ..request() }
}

impl Bench {
    async fn fault(&self, request: Request) -> Fault {
        let fault = self.model.complete(request).await.expect_err("no answer");
        assert!(!fault.message.contains(CANARY), "{fault}");
        fault
    }
}

#[tokio::test]
async fn answers_are_streamed_counted_and_paid_for() {
    let bench = bench();
    bench.server.say(Say::Text("restart it, it leaks".to_owned()));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let progress: OnProgress = Arc::new(move |progress| hears.lock().expect("heard").push(progress));
    let answer = bench.model.complete(Request { progress: Some(progress), ..request() }).await.expect("an answer");
    assert_eq!((answer.text.as_str(), answer.json.clone(), answer.cut), ("restart it, it leaks", None, false));
    let counted = bench.server.counted();
    assert_eq!(
        (answer.usage.calls, answer.usage.tokens_in, answer.usage.tokens_out),
        (1, counted.tokens_in, counted.tokens_out)
    );
    assert_eq!(answer.usage.cost_nanos, counted.tokens_in * 2_000 + counted.tokens_out * 10_000);
    assert_eq!(bench.model.spent(0).await.expect("read"), answer.usage);
    let heard = heard.lock().expect("heard").clone();
    assert_eq!(heard.first(), Some(&Progress::Asked(1)));
    assert!(heard.contains(&Progress::Receiving(answer.text.len())), "{heard:?}");
    assert_eq!(bench.server.asked()[0].authorization, format!("Bearer {CANARY}"));
    let text = bench.metrics.encode();
    assert!(text.contains("sandbook_llm_answers_total{purpose=\"choose\",result=\"ok\"} 1"), "{text}");
    let tokens = format!("sandbook_llm_tokens_total{{direction=\"out\",purpose=\"choose\"}} {}", counted.tokens_out);
    assert!(text.contains(&tokens), "{text}");
}

#[tokio::test]
async fn json_is_found_in_prose_and_mended_once() {
    let bench = bench();
    bench.server.say(Say::Text("Sure:\n```json\n{\"n\": 7}\n```".to_owned()));
    assert_eq!(bench.model.complete(shaped()).await.expect("an answer").json, Some(json!({"n": 7})));
    bench.server.say(Say::Text("{\"n\": \"seven\"}".to_owned())).say(Say::Text("{\"n\": 8}".to_owned()));
    let answer = bench.model.complete(shaped()).await.expect("a mended answer");
    assert_eq!((answer.json, answer.usage.calls), (Some(json!({"n": 8})), 2));
    assert!(bench.server.asked()[2].text().contains("/n"), "it is told what was wrong");
    bench.server.say(Say::Text("no".to_owned())).say(Say::Text("still no".to_owned()));
    assert_eq!(bench.fault(shaped()).await.reason, Reason::Answer);
    assert_eq!(bench.server.counted().requests, 5, "one repair, not two");
}

#[tokio::test]
async fn a_server_that_refuses_a_part_of_the_protocol_is_asked_without_it_from_then_on() {
    for refused in ["json_schema", "response_format", "stream_options", "temperature", "max_tokens", "stream"] {
        let bench = bench();
        bench.server.always(Say::Without(refused, "{\"n\": 1}".to_owned()));
        let answer = bench.model.complete(shaped()).await.unwrap_or_else(|fault| panic!("{refused}: {fault}"));
        assert_eq!(answer.json, Some(json!({"n": 1})), "{refused}");
        let asked = bench.server.asked().len();
        bench.model.complete(shaped()).await.expect("an answer");
        assert_eq!(bench.server.asked().len(), asked + 1, "{refused}: it is remembered");
    }
    let bench = bench();
    bench.server.always(Say::Status(400, "no".to_owned(), None));
    assert_eq!(bench.fault(shaped()).await.reason, Reason::Refused);
    assert_eq!(bench.server.counted().requests, 5, "each part is given up once");
}

#[tokio::test]
async fn overload_and_failures_are_waited_out_within_the_deadline() {
    let bench = bench();
    bench.server.say(Say::Status(429, "slow down".to_owned(), Some("1".to_owned()))).say(Say::Text("ok".to_owned()));
    let began = Instant::now();
    assert_eq!(bench.model.complete(request()).await.expect("an answer").usage.calls, 2);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    bench.server.say(Say::status(429)).say(Say::status(503)).say(Say::Text("ok".to_owned()));
    bench.model.complete(request()).await.expect("an answer after two failures");
    bench.server.say(Say::Close).say(Say::Torn("it has fai".to_owned())).say(Say::Text("ok".to_owned()));
    assert_eq!(bench.model.complete(request()).await.expect("an answer after two breaks").text, "ok");
    let began = Instant::now();
    bench.server.say(Say::Status(429, "tomorrow".to_owned(), Some("3600".to_owned())));
    let fault = bench.fault(request()).await;
    assert_eq!(fault.reason, Reason::Overloaded);
    assert!(began.elapsed() < Duration::from_secs(5) && fault.message.contains("3600"), "{fault}");
    bench.server.say(Say::status(500)).say(Say::status(500)).say(Say::status(500));
    assert_eq!(bench.fault(request()).await.reason, Reason::Server);
}

#[tokio::test]
async fn what_never_ends_is_cut_off() {
    let short = || Request { deadline: Some(Duration::from_secs(2)), ..request() };
    let bench = bench();
    bench.server.say(Say::Hang);
    assert_eq!(bench.fault(short()).await.reason, Reason::Timeout);
    bench.server.say(Say::Slowly("word ".repeat(100), Duration::from_millis(100)));
    assert_eq!(bench.fault(short()).await.reason, Reason::Timeout);
    for _ in 0..2 {
        bench.server.say(Say::Huge(10 << 20));
        let fault = bench.fault(request()).await;
        assert_eq!(fault.reason, Reason::TooLong);
        assert!(fault.message.len() < 200, "{fault}");
    }
    // Of what never came back the books keep the most it could have taken.
    let spent = bench.model.spent(0).await.expect("read");
    assert!(spent.calls == 4 && spent.tokens_in > 0, "{spent:?}");
    bench.server.always(Say::Nonsense("<html>captive portal</html>".to_owned()));
    assert_eq!(bench.fault(request()).await.reason, Reason::Server);
}

#[tokio::test]
async fn the_key_is_in_no_error_and_a_refused_one_is_not_tried_again() {
    let bench = bench();
    bench.server.say(Say::Status(401, format!("Incorrect API key provided: {CANARY}"), None));
    let fault = bench.fault(request()).await;
    assert_eq!((fault.reason, bench.server.counted().requests), (Reason::Key, 1));
    assert!(bench.secrets.all().contains(&CANARY.to_owned()));
    let missing = bench_with(|settings| settings.api_key_file = Some("/nowhere/key".into()));
    let fault = missing.fault(request()).await;
    assert!(fault.reason == Reason::Key && fault.message.contains("/nowhere/key"), "{fault}");
    assert_eq!(missing.server.counted().requests, 0);
    assert!(!format!("{:?}", bench.model).contains(CANARY));
}

#[tokio::test]
async fn nothing_secret_leaves_whoever_asks() {
    let bench = bench();
    bench.secrets.remember("known-secret-of-a-channel");
    bench.server.always(Say::Text("ok".to_owned()));
    let text = "password=hunter2-hunter2 known-secret-of-a-channel ACME-42 dana@example.org stays";
    bench.model.complete(Request::new(Purpose::Generate, vec![Message::user(text)])).await.expect("an answer");
    let sent = bench.server.asked()[0].text();
    for gone in ["hunter2", "known-secret", "ACME-42", "dana@"] {
        assert!(!sent.contains(gone), "{sent}");
    }
    assert!(sent.contains("stays"), "{sent}");
}

#[tokio::test]
async fn budgets_of_requests_tokens_and_money_hold() {
    type Change = fn(&mut Settings);
    let exhausted: [(&str, Change); 3] = [
        ("requests", |settings| settings.per_hour.calls = Some(2)),
        ("tokens", |settings| settings.per_day.tokens = Some(350)),
        ("money", |settings| settings.per_run.money = Some(0.003)),
    ];
    for (unit, change) in exhausted {
        let bench = bench_with(change);
        bench.server.always(Say::Text("ok ok ok ".repeat(30)));
        let mut answers = 0;
        let fault = loop {
            match bench.model.complete(Request { run: Some("r_1".to_owned()), ..request() }).await {
                Ok(_) => answers += 1,
                Err(fault) => break fault,
            }
            assert!(answers < 50, "{unit} never end");
        };
        assert_eq!(fault.reason, Reason::Budget, "{fault}");
        assert!(fault.message.contains(unit), "{fault}");
        assert!(answers >= 1, "{unit}: {fault}");
        assert_eq!(bench.server.counted().requests, answers, "{unit}: nothing is sent beyond it");
    }
}

#[tokio::test]
async fn a_purpose_has_its_own_model_and_answers_without_counts_are_estimated() {
    let bench = bench_with(|settings| {
        settings.models = BTreeMap::from([("generate".to_owned(), "large".to_owned())]);
    });
    bench.server.always(Say::Uncounted("twelve bytes".to_owned()));
    let answer = bench.model.complete(Request::new(Purpose::Generate, vec![Message::user("u")])).await.expect("ok");
    assert_eq!(answer.model, "large");
    assert_eq!(bench.server.asked()[0].body["model"], Value::from("large"));
    assert!(answer.usage.tokens_in > 0 && answer.usage.tokens_out == 4, "{:?}", answer.usage);
    assert_eq!(answer.usage.cost_nanos, 0, "it has no price");
}
