//! The twin of main.rhai: one call of every kind. Change both.

use sandbook_sdk::docker::{self, ContainerFilter, EventFilter, ExecOptions, KillOptions, Resources, StopOptions};
use sandbook_sdk::log::{self, Level};
use sandbook_sdk::{Answer, Input, Value, clock, done, http, human, logs, metrics, net, notify, random, runbook, state};

fn run(input: Input) -> Answer {
    let c = input.target.as_ref().map(|target| target.handle.as_str()).unwrap_or_default();
    let grace = input.parameters.iter().find_map(|(name, value)| match (name.as_str(), value) {
        ("grace", Value::Duration(ms)) => Some(*ms),
        _ => None,
    });
    docker::list_containers(&ContainerFilter { all: Some(true), project: Some("shop".into()), ..Default::default() })?;
    let details = docker::inspect_container(c)?;
    log::log(Level::Info, &["image ", &details.image].concat());
    docker::container_stats(c)?;
    docker::container_processes(c)?;
    docker::dependents(c)?;
    docker::recent_events(&EventFilter { container: Some(c.into()), since_ms: None, limit: Some(5) })?;
    logs::tail_container(c, logs::TailOptions { lines: Some(3), since_ms: None })?;
    let search = logs::SearchOptions { since_ms: None, limit: Some(2), context: Some(1), cursor: None };
    logs::search_container(c, "ERROR", &search)?;
    docker::pause_container(c)?;
    docker::unpause_container(c)?;
    docker::restart_container(c, StopOptions { grace_ms: grace })?;
    clock::sleep(1500)?;
    docker::exec(c, &["true".to_owned()], &ExecOptions::default())?;
    complain(docker::kill_container(c, &KillOptions { signal: Some("HUP".into()) }));
    complain(docker::inspect_container("nobody"));
    complain(docker::update_resources(c, Resources::default()));
    docker::stop_container(c, StopOptions::default())?;
    docker::start_container(c)?;
    metrics::query("up")?;
    let probe = net::ProbeOptions { timeout_ms: Some(500), expect_status: None, expect_body: None };
    net::http_probe("http://shop-web-1:8080/health", &probe)?;
    net::tcp_check("shop-web-1", 8080, net::CheckOptions::default())?;
    net::dns_lookup("shop-web-1", net::CheckOptions::default())?;
    complain(http::get("http://shop-web-1:8080/health", &http::GetOptions::default()));
    state::put("visits", "1")?;
    log::log(Level::Info, &state::get("visits")?.unwrap_or_default());
    let swapped = state::compare_and_put("visits", Some("1"), "2")?;
    log::log(Level::Info, if swapped { "swapped" } else { "kept" });
    clock::now()?;
    random::random_u64()?;
    notify::send(&notify::Message {
        channel: None,
        title: "tour".into(),
        text: "done".into(),
        severity: Some(notify::Severity::Warning),
        dedup_key: None,
    })?;
    let settings = human::AskSettings { fallback: Some("no".into()), ..Default::default() };
    human::ask("Go on?", &["yes".to_owned(), "no".to_owned()], &settings)?;
    log::progress("nearly there", Some(99));
    log::attach_evidence("image", &details.image);
    done("seen everything")
}

fn complain<T>(answer: Result<T, sandbook_sdk::Error>) {
    if let Err(error) = answer {
        log::log(Level::Warn, error.kind());
    }
}

runbook!(run);
