//! `watch`: what happens, a line at a time, as the daemon tells it; through lost connections too.
//!
//! Server-sent events carry their number, and a new connection asks for what comes after the last one seen. Deliberately
//! not here: the story afterwards, see [`super::timeline`].

use std::time::Duration;

use serde_json::Value;

use super::args::WatchArgs;
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::runs::run_id;
use super::screen::{Paint, Screen};
use super::text::{clean, field, first_field};
use super::timeline;

/// Between two tries to connect again.
const AGAIN: Duration = Duration::from_secs(1);
/// Tries without an event before giving up: half a minute covers a restart of the daemon.
const TRIES_MAX: u32 = 30;
/// Longest event kept, in bytes: a record with the largest result.
const EVENT_BYTES_MAX: usize = 16 << 20;

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
        screen.line(&format!("{} {}", screen.ink.paint(Paint::Bold, &clean(&word)), clean(&field(&run, "sentence"))));
        screen.next(&timeline::next_step(&run, &records));
    }
    Ok(match (field(&run, "state").as_str(), field(&run, "outcome").as_str()) {
        (_, "refused" | "limited") => Exit::Refused,
        ("succeeded", _) => Exit::Ok,
        (_, _) => Exit::Failed,
    })
}

/// States after which nothing happens by itself.
fn over(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled" | "needs-attention")
}

async fn follow(client: &Client, screen: &Screen, path: &str, one_run: bool) -> Result<(), Failure> {
    let mut parser = Parser::default();
    let mut tries = 0;
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
        while let Ok(Some(bytes)) = response.chunk().await {
            for event in parser.feed(&bytes)? {
                tries = 0;
                if show(screen, &event, one_run) {
                    return Ok(());
                }
            }
        }
        // What was cut off comes again.
        parser = Parser { last_id: parser.last_id, ..Parser::default() };
        tries += 1;
        if tries >= TRIES_MAX {
            return Err(Failure::new(Exit::Unreachable, "the daemon ends every connection", "its log says why"));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Prints an event; whether it was the last of a run.
fn show(screen: &Screen, event: &Event, one_run: bool) -> bool {
    let Ok(data) = serde_json::from_str::<Value>(&event.data) else { return false };
    if screen.json {
        // One event a line, so that a reader need not wait for the end.
        screen.line(&data.to_string());
    } else if let Some(line) = line(screen, &event.name, &data, one_run) {
        screen.line(&line);
    }
    one_run && (record(&data)["kind"] == "ended" || over(data["state"].as_str().unwrap_or_default()))
}

fn record(data: &Value) -> &Value {
    if data["record"].is_object() { &data["record"] } else { data }
}

fn line(screen: &Screen, name: &str, data: &Value, one_run: bool) -> Option<String> {
    let record = record(data);
    let ink = screen.ink;
    let at = timeline::at(record).map(|at| at.strftime("%H:%M:%S").to_string()).unwrap_or_default();
    let run = if one_run { String::new() } else { format!("{} ", clean(&field(data, "run"))) };
    let said = if record["kind"].is_string() {
        let [_, kind, what, said] = timeline::line(record);
        // The header says what is known already.
        if kind == "begun" && one_run {
            return None;
        }
        [clean(&kind).into_owned(), ink.paint(Paint::Bold, &clean(&what)), clean(&said).into_owned()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("  ")
    } else if let Some(state) = data["state"].as_str() {
        format!("is {}", ink.paint(super::look::paint_state(state), &clean(state)))
    } else {
        format!("{}  {}", clean(name), clean(&data.to_string()))
    };
    Some(
        [ink.paint(Paint::Dim, &at), format!("{run}{said}")]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("  "),
    )
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
        let record = serde_json::json!({"run": "r1", "record": {"kind": "settled", "slot": 1, "at": "2026-01-02T03:04:05Z",
            "effect": "docker.restart-container", "target": {"host": "local", "name": "web-1"},
            "result": {"error": {"kind": "denied", "message": "no"}}}});
        assert_eq!(
            line(&screen, "record", &record, false).as_deref(),
            Some("03:04:05  r1 settled  docker.restart-container local/web-1  denied: no")
        );
        let state = serde_json::json!({"run": "r1", "state": "succeeded"});
        assert_eq!(line(&screen, "state", &state, true).as_deref(), Some("is succeeded"));
        assert!(over("needs-attention") && !over("waiting"));
    }
}
