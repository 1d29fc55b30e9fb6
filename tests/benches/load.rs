//! The daemon under load, beside its peer: numbers with their targets, from the real binary on this machine.
//!
//! Run by `./dev bench`. The engine is the fake one, so that Docker's own speed is not measured; the store is on disk and
//! everything is durable. A missed target is printed; only a broken promise (an alert lost, a wrong status) fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use sandbook_tests::alert::{Alert, message};
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_docker::FakeDocker;
use sandbook_tests::http::Client;
use sandbook_tests::package::{Asks, Package, inspecting};
use sandbook_tests::process::{Leashed, free_port, require};
use sandbook_tests::wait;

/// As many senders as the peer's own measurement had.
const CONNECTIONS: usize = 8;
/// Enough for a rate that does not depend on the first second.
const RUNS: usize = 4_000;
/// Alerts a second that one host must take, and for how long.
const STEADY_PER_SECOND: usize = 1_000;
const STEADY_SECONDS: usize = 10;
/// The burst: messages, alerts in each, connections.
const BURST: (usize, usize, usize) = (500, 20, 50);
/// Everything accepted is also worked off.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// Until what starting up allocates has settled.
const IDLE_AFTER: Duration = Duration::from_secs(5);

const CONFIG: &str = "[auth]\nmode = \"token\"";
/// The script of the peer's documentation for this job, without the script.
const PEER_HOOKS: &str =
    r#"[{"id": "alert", "execute-command": "/bin/true", "include-command-output-in-response": true}]"#;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let benches: [(&str, fn()); 5] =
        [("start", start), ("idle", idle), ("runs", runs), ("steady", steady), ("burst", burst)];
    for (name, bench) in benches {
        if name.contains(&filter) {
            bench();
        }
    }
}

/// One line of the result.
fn report(what: &str, measured: &str, target: &str, met: bool) {
    println!("{:<46} {measured:>18}   target {target:<16} {}", what, if met { "met" } else { "MISSED" });
}

/// From the process's start to the first answer, with an empty and with a filled cache of compiled guests.
fn start() {
    let mut daemon = Daemon::prepare(Setup::with(CONFIG));
    let cold = time_to_listen(&mut daemon);
    daemon.stop();
    let warm = time_to_listen(&mut daemon);
    report("listening, cold cache", &format!("{cold:.0?}"), "5 s", cold < Duration::from_secs(5));
    report("listening, warm cache", &format!("{warm:.0?}"), "150 ms", warm < Duration::from_millis(150));
}

fn time_to_listen(daemon: &mut Daemon) -> Duration {
    const LISTENS_WITHIN: Duration = Duration::from_secs(60);
    let begin = Instant::now();
    daemon.spawn();
    let client = Client::tcp(daemon.port());
    while client.send("GET", "/health", &[], "").is_err() {
        assert!(begin.elapsed() < LISTENS_WITHIN, "not listening\n{}", daemon.log_tail());
        std::thread::sleep(Duration::from_millis(1));
    }
    begin.elapsed()
}

fn idle() {
    let daemon = Daemon::start(Setup::with(CONFIG));
    std::thread::sleep(IDLE_AFTER);
    let mib = daemon.resident_kib() / 1024;
    report("resident when idle, built-in catalogue", &format!("{mib} MiB"), "64 MiB", mib < 64);
}

/// A guest that inspects `web-1` once and is done, triggered by the alert `Bench`.
fn bench_runbook() -> Package {
    let more = "[[trigger]]\nalert = [\"Bench\"]\n";
    let asks = Asks { effects: &["docker.inspect-container"], limits: "", more };
    Package::wat("bench", asks, &inspecting())
}

/// Whole durable runs a second, beside the peer executing `/bin/true`.
fn runs() {
    let fake = FakeDocker::start();
    fake.container("web-1", "healthy");
    let daemon = Daemon::start(Setup::with(CONFIG).docker(&fake.endpoint()));
    daemon.push_live(&bench_runbook());
    let token = daemon.token("sender-token");
    settle_down(&daemon);
    let begin = Instant::now();
    let sent = send_all(daemon.port(), "/webhook/alerts", &token, CONNECTIONS, bench_messages(RUNS, 1));
    assert_eq!(sent.statuses.get(&202), Some(&RUNS), "every alert gets its 202: {:?}", sent.statuses);
    wait::until(
        "every run to end",
        DRAINED_WITHIN,
        || daemon.log_tail(),
        || {
            let done = metric(&daemon, "sandbook_runs_total", "runbook=\"bench\"");
            if done >= RUNS as f64 { Ok(()) } else { Err(format!("{done} of {RUNS}")) }
        },
    );
    let ours = RUNS as f64 / begin.elapsed().as_secs_f64();
    let peer = peer_rate();
    report("whole durable runs a second", &format!("{ours:.0}"), &format!("webhook: {peer:.0}"), ours > peer);
    println!("{:<46} {:>18}", "  202 in that load, p50 / p99", quantiles(&sent.latencies));
}

/// A new data folder has no compiled interpreter: until it has one, a child of the daemon takes a core for itself.
fn settle_down(daemon: &Daemon) {
    wait::until(
        "the daemon to be ready",
        DRAINED_WITHIN,
        || daemon.log_tail(),
        || match daemon.api().get("/ready").status {
            200 => Ok(()),
            status => Err(format!("/ready answers {status}")),
        },
    );
}

/// Requests a second of adnanh/webhook, each executing `/bin/true` to its end.
fn peer_rate() -> f64 {
    require("webhook", "webhook");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hooks = folder.path().join("hooks.json");
    std::fs::write(&hooks, PEER_HOOKS).expect("writable");
    let (port, hooks) = (free_port(), hooks.to_str().expect("temporary paths are text").to_owned());
    let port_text = port.to_string();
    let command = ["webhook", "-hooks", &hooks, "-ip", "127.0.0.1", "-port", &port_text];
    let process = Leashed::start("webhook", &command, &folder.path().join("webhook.log"), false, None);
    wait::until(
        "webhook to listen",
        Duration::from_secs(10),
        || process.log_tail(),
        || Client::tcp(port).send("GET", "/", &[], "").map(drop).map_err(|error| format!("{error:#}")),
    );
    let begin = Instant::now();
    let sent = send_all(port, "/hooks/alert", "", CONNECTIONS, bench_messages(RUNS, 1));
    assert_eq!(sent.statuses.get(&200), Some(&RUNS), "the peer does its work: {:?}", sent.statuses);
    RUNS as f64 / begin.elapsed().as_secs_f64()
}

/// Latency of the durable 202 at a steady rate, counted from when each alert was due.
fn steady() {
    let fake = FakeDocker::start();
    fake.container("web-1", "healthy");
    let daemon = Daemon::start(Setup::with(CONFIG).docker(&fake.endpoint()));
    settle_down(&daemon);
    let total = STEADY_PER_SECOND * STEADY_SECONDS;
    let messages = bench_messages(total, 1);
    let sent = paced(daemon.port(), &daemon.token("sender-token"), messages);
    assert_eq!(sent.statuses.get(&202), Some(&total), "every alert gets its 202: {:?}", sent.statuses);
    let p99 = quantile(&sent.latencies, 0.99);
    let what = format!("202 with fsync at {STEADY_PER_SECOND} alerts a second, p99");
    report(&what, &format!("{p99:.2?}"), "10 ms", p99 < Duration::from_millis(10));
    println!("{:<46} {:>18}", "  p50 / p99", quantiles(&sent.latencies));
}

/// As fast as they go: nothing that got a 202 is lost, and nothing but 202 and 503 is answered.
fn burst() {
    let (messages, alerts, connections) = BURST;
    let mut daemon = Daemon::start(Setup::with(CONFIG));
    let begin = Instant::now();
    let bodies = bench_messages(messages, alerts);
    let sent = send_all(daemon.port(), "/webhook/alerts", &daemon.token("sender-token"), connections, bodies);
    let took = begin.elapsed();
    let odd: Vec<_> = sent.statuses.keys().filter(|status| ![202, 503].contains(*status)).collect();
    assert!(odd.is_empty(), "only 202 and 503: {:?}", sent.statuses);
    let promised = sent.statuses.get(&202).copied().unwrap_or_default() * alerts;
    daemon.kill();
    daemon.restart();
    let kept = count_episodes(&daemon);
    assert!(kept >= promised, "{promised} alerts got a 202, {kept} are there after kill -9");
    let measured = format!("{promised} in {took:.1?}");
    report("burst, alerts kept after kill -9", &measured, "none lost", kept >= promised);
}

fn count_episodes(daemon: &Daemon) -> usize {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = daemon.api().get(&format!("/v1/alerts?limit=1000{cursor}")).expect(200).json();
        count += page["alerts"].as_array().map_or(0, Vec::len);
        match page["next_cursor"].as_str() {
            Some(next) if !next.is_empty() => cursor = format!("&cursor={}", sandbook_tests::docker::percent(next)),
            Some(_) | None => return count,
        }
    }
}

/// The sum of a metric's samples whose labels contain a text.
fn metric(daemon: &Daemon, name: &str, labels: &str) -> f64 {
    let text = daemon.api().get("/metrics").expect(200).text();
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(labels));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Messages about different faults, so that each alert is an episode of its own.
fn bench_messages(messages: usize, alerts: usize) -> Vec<Bytes> {
    let alert = |number: usize| Alert::firing("Bench").label("number", &number.to_string());
    let body = |index: usize| {
        let of_message: Vec<Alert> = (0..alerts).map(|alert_index| alert(index * alerts + alert_index)).collect();
        Bytes::from(message(&of_message).to_string())
    };
    (0..messages).map(body).collect()
}

/// What came back.
struct Sent {
    statuses: BTreeMap<u16, usize>,
    latencies: Vec<Duration>,
}

impl Sent {
    fn of(answers: Vec<(u16, Duration)>) -> Sent {
        let (mut statuses, mut latencies) = (BTreeMap::new(), Vec::new());
        for (status, latency) in answers {
            *statuses.entry(status).or_default() += 1;
            latencies.push(latency);
        }
        latencies.sort_unstable();
        Sent { statuses, latencies }
    }
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn quantiles(sorted: &[Duration]) -> String {
    format!("{:.2?} / {:.2?}", quantile(sorted, 0.5), quantile(sorted, 0.99))
}

/// Each connection sends the next message as soon as it has its answer.
fn send_all(port: u16, path: &'static str, token: &str, connections: usize, messages: Vec<Bytes>) -> Sent {
    let (messages, next, token) = (Arc::new(messages), Arc::new(AtomicUsize::new(0)), token.to_owned());
    let answers = runtime().block_on(async move {
        let workers = (0..connections).map(|_| {
            let (messages, next, token) = (messages.clone(), next.clone(), token.clone());
            tokio::spawn(async move {
                let mut sender = connect(port).await;
                let mut answers = Vec::new();
                while let Some(body) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begin = Instant::now();
                    let status = post(&mut sender, path, &token, body.clone()).await;
                    answers.push((status, begin.elapsed()));
                }
                answers
            })
        });
        gather(workers.collect()).await
    });
    Sent::of(answers)
}

/// Messages are due at equal distances, whatever the answers do; a late answer counts from when it was due.
fn paced(port: u16, token: &str, messages: Vec<Bytes>) -> Sent {
    const SENDERS: usize = 64;
    let (messages, token) = (Arc::new(messages), token.to_owned());
    let gap = Duration::from_secs(1) / STEADY_PER_SECOND as u32;
    let answers = runtime().block_on(async move {
        let begin = Instant::now() + Duration::from_millis(100);
        let workers = (0..SENDERS).map(|worker| {
            let (messages, token) = (messages.clone(), token.clone());
            tokio::spawn(async move {
                let mut sender = connect(port).await;
                let mut answers = Vec::new();
                for (index, body) in messages.iter().enumerate().skip(worker).step_by(SENDERS) {
                    let due = begin + gap * index as u32;
                    tokio::time::sleep_until(due.into()).await;
                    let status = post(&mut sender, "/webhook/alerts", &token, body.clone()).await;
                    answers.push((status, due.elapsed()));
                }
                answers
            })
        });
        gather(workers.collect()).await
    });
    Sent::of(answers)
}

async fn gather(workers: Vec<tokio::task::JoinHandle<Vec<(u16, Duration)>>>) -> Vec<(u16, Duration)> {
    let mut answers = Vec::new();
    for worker in workers {
        answers.extend(worker.await.expect("a sender does not panic"));
    }
    answers
}

async fn connect(port: u16) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

/// The status; 0 when there was none, which no promise covers.
async fn post(sender: &mut SendRequest<Full<Bytes>>, path: &str, token: &str, body: Bytes) -> u16 {
    let request = hyper::Request::post(path).header("host", "localhost").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}")).body(Full::new(body));
    if sender.ready().await.is_err() {
        return 0;
    }
    match sender.send_request(request.expect("plain parts")).await {
        Ok(response) => {
            let status = response.status().as_u16();
            if response.into_body().collect().await.is_ok() { status } else { 0 }
        }
        Err(_) => 0,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be built")
}
