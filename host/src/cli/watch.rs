//! `watch`: what happens, a line at a time, as the daemon tells it; through lost connections too.
//!
//! Server-sent events carry their number, and a new connection asks for what comes after the last one seen. Deliberately
//! not here: the story afterwards, see [`super::timeline`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::args::WatchArgs;
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::runs::run_id;
use super::screen::{Paint, Screen};
use super::text::{clean, count, field, first_field};
use super::timeline;

/// Between two tries to connect again.
const AGAIN: Duration = Duration::from_secs(1);
/// Tries without an event before giving up: half a minute covers a restart of the daemon.
const TRIES_MAX: u32 = 30;
/// Longest event kept, in bytes: a record with the largest result.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// Runs whose last state is remembered; told again after that many others.
const STATES_MAX: usize = 10_000;

/// One event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    data: String,
}

/// Text of a stream cut into events.
#[derive(Debug, Default)]
struct Parser {
    buffer: Vec<u8>,
    event: Event,
    last_id: String,
}

impl Parser {
    /// Takes what came and gives the events that are whole.
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Failure> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() + self.event.data.len() > EVENT_BYTES_MAX {
            return Err(Failure::failed(
                "an event is longer than any record",
                "is the server really a sandbook daemon?",
            ));
        }
        let mut events = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "" if line.is_empty() => {
                    let event = std::mem::take(&mut self.event);
                    if !event.data.is_empty() {
                        events.push(event);
                    }
                }
                "event" => self.event.name = value.to_owned(),
                "id" => self.last_id = value.to_owned(),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                _ => {}
            }
        }
        Ok(events)
    }
}

pub(super) async fn watch(client: &Client, screen: &Screen, args: &WatchArgs) -> Result<Exit, Failure> {
    match &args.run {
        Some(word) => run(client, screen, &run_id(client, word).await?).await,
        None => follow(client, screen, "/v1/events", false).await.map(|_| Exit::Ok),
    }
}

/// Follows one run to its end, and says what came of it.
pub(super) async fn run(client: &Client, screen: &Screen, id: &str) -> Result<Exit, Failure> {
    let path = format!("/v1/runs/{}", segment(id));
    let run = client.get(&path, &[]).await?;
    if !over(&field(&run, "state")) {
        follow(client, screen, &format!("{path}/events"), true).await?;
    }
    let run = client.get(&path, &[]).await?;
    if !screen.json {
        let records = super::runs::run_and_records(client, id).await.map(|(_, records)| records).unwrap_or_default();
        let word = first_field(&run, &["outcome", "state"]);
        screen.line(&format!("{} {}", screen.ink.paint(Paint::Bold, &clean(&word)), timeline::sentence(&run)));
        screen.next(&timeline::next_step(&run, &records));
    }
    Ok(exit_of(&field(&run, "state"), &field(&run, "outcome")))
}

/// Whether it came to what a script waits for. A run that found no target or needs a person did not.
fn exit_of(state: &str, outcome: &str) -> Exit {
    match (state, outcome) {
        (_, "refused" | "limited") => Exit::Refused,
        ("succeeded", "done" | "fixed" | "nothing-to-do" | "") => Exit::Ok,
        (_, _) => Exit::Failed,
    }
}

/// States after which nothing happens by itself.
fn over(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled" | "needs-attention")
}

async fn follow(client: &Client, screen: &Screen, path: &str, one_run: bool) -> Result<(), Failure> {
    let mut parser = Parser::default();
    let mut teller = Teller { one_run, states: BTreeMap::new() };
    let mut tries = 0;
    let mut lost = false;
    loop {
        let headers: Vec<(&str, String)> =
            if parser.last_id.is_empty() { Vec::new() } else { vec![("last-event-id", parser.last_id.clone())] };
        let mut response = match client.stream(path, &headers).await {
            Ok(response) => response,
            Err(failure) if failure.exit == Exit::Unreachable && tries > 0 && tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if lost && !screen.json {
            screen.line(&screen.ink.paint(Paint::Dim, "connection lost, reconnected"));
        }
        while let Ok(Some(bytes)) = response.chunk().await {
            for event in parser.feed(&bytes)? {
                tries = 0;
                if teller.show(screen, &event) {
                    return Ok(());
                }
            }
        }
        // What was cut off comes again.
        parser = Parser { last_id: parser.last_id, ..Parser::default() };
        lost = true;
        tries += 1;
        if tries >= TRIES_MAX {
            return Err(Failure::new(Exit::Unreachable, "the daemon ends every connection", "its log says why"));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn record(data: &Value) -> &Value {
    if data["record"].is_object() { &data["record"] } else { data }
}

/// What was said already, so that it is not said again.
#[derive(Debug, Default)]
struct Teller {
    one_run: bool,
    /// The last state told, by run.
    states: BTreeMap<String, String>,
}

impl Teller {
    /// Prints an event; whether it was the last of a run.
    fn show(&mut self, screen: &Screen, event: &Event) -> bool {
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else { return false };
        if screen.json {
            // One event a line, so that a reader need not wait for the end.
            screen.line(&data.to_string());
        } else if let Some(line) = self.line(screen, &event.name, &data) {
            screen.line(&line);
        }
        self.one_run && (record(&data)["kind"] == "ended" || over(data["state"].as_str().unwrap_or_default()))
    }

    fn line(&mut self, screen: &Screen, name: &str, data: &Value) -> Option<String> {
        let record = record(data);
        let ink = screen.ink;
        let at = timeline::at(record).map(|at| at.strftime("%H:%M:%S").to_string()).unwrap_or_default();
        let run = if self.one_run { String::new() } else { format!("{} ", clean(&field(data, "run"))) };
        let said = if record["kind"].is_string() {
            self.of_record(screen, &field(data, "run"), record)?
        } else if let Some(state) = data["state"].as_str() {
            if !self.is_news(&field(data, "run"), state) {
                return None;
            }
            format!("is {}", ink.paint(super::look::paint_state(state), &clean(state)))
        } else if name == "lagged" {
            let missed = data["missed"].as_u64().map(|missed| count(missed as usize, "event")).unwrap_or_default();
            let missed = if missed.is_empty() { "events".to_owned() } else { missed };
            return Some(
                ink.paint(Paint::Dim, &format!("fell behind, missed {missed}; what is recorded of them follows")),
            );
        } else {
            format!("{}  {}", clean(name), clean(&data.to_string()))
        };
        let parts = [ink.paint(Paint::Dim, &at), format!("{run}{said}")];
        Some(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "))
    }

    /// One line for an effect: when it is settled, or when a person is asked. Notes stand as they are.
    fn of_record(&mut self, screen: &Screen, run: &str, record: &Value) -> Option<String> {
        let [_, kind, what, said] = timeline::line(record);
        let word = match kind.as_str() {
            "waiting" | "intended" | "step" => return None,
            // The header says what is known already; the end is told with the outcome.
            "begun" | "ended" if self.one_run => return None,
            "settled" | "note" => String::new(),
            "ended" => {
                // Its state comes as an event too.
                self.is_news(run, record["state"].as_str().unwrap_or_default());
                kind
            }
            _ => kind,
        };
        let parts =
            [clean(&word).into_owned(), screen.ink.paint(Paint::Bold, &clean(&what)), clean(&said).into_owned()];
        Some(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "))
    }

    /// Whether a state is worth a line: not one that comes and goes, nor the one told last.
    fn is_news(&mut self, run: &str, state: &str) -> bool {
        if matches!(state, "queued" | "running" | "") || (self.one_run && over(state)) {
            return false;
        }
        if self.states.len() >= STATES_MAX {
            self.states.clear();
        }
        self.states.insert(run.to_owned(), state.to_owned()).is_none_or(|before| before != state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_wherever_the_bytes_are() {
        let text = b": hello\n\nid: 7\nevent: record\ndata: {\"a\":\r\ndata: 1}\n\ndata: 2\n\nda";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in text.chunks(size) {
                events.extend(parser.feed(piece).expect("short"));
            }
            let want = [
                Event { name: "record".into(), data: "{\"a\":\n1}".into() },
                Event { name: String::new(), data: "2".into() },
            ];
            assert_eq!(events, want, "pieces of {size}");
            assert_eq!(parser.last_id, "7");
        }
    }

    #[test]
    fn lines_of_events() {
        let screen = Screen::default();
        let line = |teller: &mut Teller, name: &str, data: Value| teller.line(&screen, name, &data);
        let record = |kind: &str| {
            serde_json::json!({"run": "r1", "record": {"kind": kind, "slot": 1, "at": "2026-01-02T03:04:05Z", "state": "failed",
                "effect": "docker.restart-container", "target": {"host": "local", "name": "web-1"},
                "result": {"error": {"kind": "denied", "message": "no"}}}})
        };
        let state = |state: &str| serde_json::json!({"run": "r1", "state": state});
        let (mut all, mut one) = (Teller::default(), Teller { one_run: true, ..Teller::default() });
        let want = "docker.restart-container local/web-1  denied: no";
        assert_eq!(line(&mut all, "record", record("settled")), Some(format!("03:04:05  r1 {want}")));
        assert_eq!(line(&mut one, "record", record("settled")), Some(format!("03:04:05  {want}")));
        for kind in ["begun", "waiting", "intended", "step", "ended"] {
            assert_eq!(line(&mut one, "record", record(kind)), None, "{kind}");
        }
        for quiet in ["queued", "running", "succeeded"] {
            assert_eq!(line(&mut one, "state", state(quiet)), None, "{quiet}");
        }
        assert_eq!(line(&mut one, "state", state("waiting")).as_deref(), Some("is waiting"));
        assert_eq!(line(&mut one, "state", state("running")), None);
        assert_eq!(line(&mut one, "state", state("waiting")), None, "said already");
        assert!(line(&mut all, "record", record("ended")).is_some());
        assert_eq!(line(&mut all, "state", state("failed")), None, "its end was told");
        let lagged = line(&mut all, "lagged", serde_json::json!({"missed": 12})).expect("a line");
        assert_eq!(lagged, "fell behind, missed 12 events; what is recorded of them follows");
        assert!(over("needs-attention") && !over("waiting"));
    }

    #[test]
    fn the_end_of_a_run_becomes_an_exit_code() {
        for (state, outcome, want) in [
            ("succeeded", "done", Exit::Ok),
            ("succeeded", "fixed", Exit::Ok),
            ("succeeded", "nothing-to-do", Exit::Ok),
            ("succeeded", "no-target", Exit::Failed),
            ("succeeded", "ambiguous-target", Exit::Failed),
            ("succeeded", "escalate", Exit::Failed),
            ("failed", "failed", Exit::Failed),
            ("cancelled", "", Exit::Failed),
            ("failed", "refused", Exit::Refused),
            ("failed", "limited", Exit::Refused),
        ] {
            assert_eq!(exit_of(state, outcome), want, "{state} {outcome}");
        }
    }
}
