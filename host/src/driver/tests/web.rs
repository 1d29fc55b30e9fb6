//! `http`, `net`, `metrics` and `notify` against servers on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Answers each request with what `answer(request text, count)` says; returns the address.
async fn serve(answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = Arc::new(answer);
    let count = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, count) = (answer.clone(), count.clone());
            tokio::spawn(async move {
                let mut bytes = vec![0; 65_536];
                let mut filled = 0;
                loop {
                    let Ok(read) = stream.read(&mut bytes[filled..]).await else { return };
                    filled += read;
                    let text = String::from_utf8_lossy(&bytes[..filled]).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
                    if read == 0 || body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                        let reply = answer(&text, count.fetch_add(1, Ordering::SeqCst));
                        let _ = stream.write_all(reply.as_bytes()).await;
                        return;
                    }
                }
            });
        }
    });
    address
}

fn reply(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

const NOWHERE: &str = "unix:///nowhere/docker.sock";

#[tokio::test]
async fn requests_reach_listed_hosts_only_even_through_redirects() {
    let hidden = serve(|_, _| reply(200, "", "hidden")).await;
    let open = serve(move |text, _| match text {
        text if text.starts_with("GET /away") => reply(302, &format!("location: http://{hidden}/\r\n"), ""),
        text if text.starts_with("GET /home") => reply(302, "location: /end\r\n", ""),
        text if text.starts_with("POST") => reply(201, "x-a: 1\r\nx-a: 2\r\n", text),
        _ => reply(200, "", "end hunter22"),
    })
    .await;
    let live = live(NOWHERE, &[&format!("127.0.0.1:{}", open.port())]);
    let get = |path: &str| drive(&live, "http.get", json!({"url": format!("http://{open}{path}")}), ID, None);
    assert_eq!(get("/home").await.expect("followed")["body"], "end [redacted]");
    assert_eq!(get("/away").await.expect_err("not listed").kind, ErrorKind::Denied);
    let direct =
        drive(&live, "http.get", json!({"url": format!("http://{hidden}/")}), ID, None).await.expect_err("not listed");
    assert_eq!(direct.kind, ErrorKind::Denied);
    assert!(direct.message.contains(&format!("[egress] hosts = [\"127.0.0.1:{}\"]", hidden.port())), "{direct}");
    let args =
        json!({"method": "post", "url": format!("http://{open}/"), "options": {"body": "b", "idempotent": true}});
    let posted = drive(&live, "http.request", args, ID, None).await.expect("posted");
    assert_eq!((posted["status"].clone(), posted["headers"]["x-a"].clone()), (json!(201), json!("1, 2")));
    assert!(posted["body"].as_str().is_some_and(|body| body.contains("idempotency-key: sandbook-r1-3")), "{posted}");
    for url in ["ftp://127.0.0.1", "http://u:p@127.0.0.1", "nonsense"] {
        assert_eq!(
            drive(&live, "http.get", json!({"url": url}), ID, None).await.expect_err(url).kind,
            ErrorKind::Invalid
        );
    }
}

#[tokio::test]
async fn an_unreachable_place_is_an_answer_of_a_probe() {
    let well = serve(|_, _| reply(200, "", "I am well")).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let live = live(NOWHERE, &["127.0.0.1:*", "localhost"]);
    let probe = |url: String, options: Value| {
        let live = &live;
        async move {
            drive(live, "net.http-probe", json!({"url": url, "options": options}), ID, None).await.expect("an answer")
        }
    };
    assert_eq!(probe(format!("http://{well}"), json!({"expect_body": "am w"})).await["ok"], true);
    assert_eq!(probe(format!("http://{well}"), json!({"expect_body": "ill"})).await["ok"], false);
    assert_eq!(
        probe(format!("http://{well}"), json!({"expect_status": 204})).await["reason"],
        "status 200, expected 204"
    );
    let refused = probe(format!("http://{closed}"), json!({})).await;
    assert!(
        refused["ok"] == false && refused["reason"].as_str().is_some_and(|why| why.contains("refused")),
        "{refused}"
    );
    let check = |port: u16| json!({"host": "127.0.0.1", "port": port});
    assert_eq!(drive(&live, "net.tcp-check", check(well.port()), ID, None).await.expect("an answer")["open"], true);
    assert_eq!(drive(&live, "net.tcp-check", check(closed.port()), ID, None).await.expect("an answer")["open"], false);
    let found = drive(&live, "net.dns-lookup", json!({"name": "localhost"}), ID, None).await.expect("addresses");
    assert!(found["addresses"].as_array().is_some_and(|all| all.iter().any(|one| one == "127.0.0.1")), "{found}");
    assert_eq!(
        drive(&live, "net.dns-lookup", json!({"name": "x.y"}), ID, None).await.expect_err("unlisted").kind,
        ErrorKind::Denied
    );
}

#[tokio::test]
async fn prometheus_answers_and_complains_in_its_own_words() {
    let address = serve(|text, _| match text {
        text if text.contains("query=up") && text.contains("query_range") => reply(
            200,
            "",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"],[2,"NaN"]]}]}}"#,
        ),
        text if text.contains("query=up") => reply(
            200,
            "",
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"+Inf"]}]}}"#,
        ),
        text if text.contains("query=1") => {
            reply(200, "", r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"1"]}}"#)
        }
        _ => reply(400, "", r#"{"status":"error","errorType":"bad_data","error":"1:4: parse error: unexpected end"}"#),
    })
    .await;
    let source = metrics::Source { url: format!("http://{address}"), token_file: None };
    let mut live = live(NOWHERE, &[]);
    live.metrics = Some(metrics::Prometheus::new(&source, Secrets::default()).expect("a client"));
    let query = |promql: &str| drive(&live, "metrics.query", json!({"promql": promql}), ID, None);
    let samples = query("up").await.expect("samples");
    assert_eq!(samples, json!([{"labels": {"a": "b"}, "value": "inf", "at": "1970-01-01T00:00:01.5Z"}]));
    assert_eq!(query("1").await.expect("a scalar")[0]["value"], 1.0);
    let error = query("sum(").await.expect_err("malformed");
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, "promql: 1:4: parse error: unexpected end"));
    let args = json!({"promql": "up", "range": {"since_ms": 60_000, "step_ms": 1_000}});
    let series = drive(&live, "metrics.query-range", args, ID, None).await.expect("series");
    assert_eq!(series, json!([{"labels": {"a": "b"}, "points": [[1.0, 2.0]]}]));
}

#[tokio::test]
async fn messages_are_tried_again_and_errors_show_no_url() {
    let flaky = serve(|_, count| reply(if count == 0 { 503 } else { 200 }, "", "ok")).await;
    let refusing = serve(|text, _| reply(403, "", text.lines().next().unwrap_or_default())).await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let good = file("good", format!("http://{flaky}/T000/secretpath\n"));
    let bad = file("bad", format!("http://{refusing}/T000/secretpath"));
    let channels: BTreeMap<String, notify::Channel> = toml::from_str(&format!(
        "[ops]\nkind = \"slack\"\nurl_file = \"{good}\"\n[bad]\nkind = \"webhook\"\nurl_file = \"{bad}\"\n[gone]\nkind = \"slack\"\nurl_file = \"/nowhere\""
    ))
    .expect("channels");
    let secrets = Secrets::default();
    let mut live = live(NOWHERE, &[]);
    live.notifier = notify::Notifier::new(channels, Some("ops".to_owned()), secrets.clone());
    live.secrets = secrets;
    let send = |channel: Option<&str>| {
        let mut message = json!({"title": "t", "text": "x"});
        if let Some(channel) = channel {
            message["channel"] = json!(channel);
        }
        drive(&live, "notify.send", json!({"message": message}), ID, None)
    };
    assert_eq!(send(None).await.expect("sent"), json!({"channel": "ops", "dedup_key": "sandbook-r1-3"}));
    let error = send(Some("bad")).await.expect_err("refused");
    assert!(error.message.contains("403") && !error.message.contains("secretpath"), "{error}");
    assert_eq!(send(Some("nobody")).await.expect_err("unknown").kind, ErrorKind::NotFound);
    assert_eq!(send(Some("gone")).await.expect_err("no file").kind, ErrorKind::Failed);
}

#[tokio::test]
async fn loki_is_asked_for_lines_and_its_words_come_back() {
    let seen = Arc::new(Mutex::new(String::new()));
    let told = seen.clone();
    let loki = serve(move |text, _| {
        text.clone_into(&mut told.lock().expect("unpoisoned"));
        match text {
            text if text.contains("broken") => reply(400, "", "parse error at line 1, col 2"),
            text if text.contains("count_over_time") => reply(
                200,
                "",
                &json!({"status": "success", "data": {"resultType": "matrix", "result": []}}).to_string(),
            ),
            _ => {
                let values =
                    json!([["3000000000", "third hunter22"], ["2000000000", "second"], ["1000000000", "first"]]);
                let streams = json!([{"stream": {"app": "web"}, "values": values}]);
                reply(
                    200,
                    "",
                    &json!({"status": "success", "data": {"resultType": "streams", "result": streams}}).to_string(),
                )
            }
        }
    })
    .await;
    let source = loki::Source { url: format!("http://{loki}"), tenant: Some("shop".to_owned()), token_file: None };
    let found = loki::Loki::new(&source, Secrets::default()).expect("a url");
    let live = live(NOWHERE, &[]).with_loki(Some(found));
    let ask = |logql: &str| {
        drive(&live, "logs.query-loki", json!({"logql": logql, "options": {"limit": 2, "since_ms": 60_000}}), ID, None)
    };
    let page = ask("{app=\"web\"}").await.expect("lines");
    assert_eq!((&page["lines"][0]["line"], &page["lines"][1]["line"]), (&json!("second"), &json!("third [redacted]")));
    assert_eq!((&page["truncated"], &page["lines"][0]["labels"]["app"]), (&json!(true), &json!("web")));
    let request = seen.lock().expect("unpoisoned").to_lowercase();
    assert!(request.contains("limit=3") && request.contains("x-scope-orgid: shop"), "{request}");
    let error = ask("broken").await.expect_err("no query");
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("parse error"), "{error}");
    assert_eq!(ask("count_over_time({a=\"b\"}[1m])").await.expect_err("numbers").kind, ErrorKind::Invalid);
    let none = drive(&super::live(NOWHERE, &[]), "logs.query-loki", json!({"logql": "{a=\"b\"}"}), ID, None).await;
    assert!(none.expect_err("none is configured").message.contains("[loki] url"));
}

#[tokio::test]
async fn without_a_model_the_declared_fallback_is_the_answer() {
    let live = live(NOWHERE, &[]);
    let args = json!({"question": "what now?", "evidence": "e", "options": ["wait", "escalate"], "fallback": "wait"});
    let choice = drive(&live, "llm.choose", args, ID, None).await.expect("an answer");
    assert_eq!((&choice["option"], &choice["fallback"]), (&json!("wait"), &json!(true)));
    assert!(choice["reason"].as_str().is_some_and(|reason| reason.contains("no model is configured")), "{choice}");
    let similar = drive(&live, "incidents.similar", json!({"limit": 3}), ID, None).await;
    assert_eq!(similar.expect("a list"), json!([]));
}
