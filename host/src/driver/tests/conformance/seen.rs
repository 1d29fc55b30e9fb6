//! What of an answer is compared: everything a runbook can rely on, and nothing that is never equal.
//!
//! Deliberately not here: asking for it.

use super::*;

impl Stage<'_> {
    pub(super) fn seen(
        &mut self,
        real: bool,
        effect: &str,
        on: &str,
        but: &[&str],
        answer: Result<Value, Error>,
    ) -> Seen {
        let value = match answer {
            Ok(value) => value,
            Err(error) => return failure(&error),
        };
        let mut seen = Seen::from([("answer".to_owned(), json!("ok"))]);
        let list = |keys: &[&str]| -> Vec<Value> {
            let line = |item: &Value| keys.iter().map(|key| item[*key].clone()).collect();
            value.as_array().into_iter().flatten().map(line).map(Value::Array).collect()
        };
        match effect {
            "docker.list-containers" => {
                seen.insert("list".to_owned(), json!(list(&["name", "id", "status", "image", "project", "service"])));
            }
            "docker.dependents" => drop(seen.insert("list".to_owned(), json!(list(&["name", "why", "status"])))),
            "docker.recent-events" => {
                let before = self.events.get(on).filter(|_| real);
                let at = list(&["at"]);
                let known = before.map(|before| at.iter().take_while(|at| at[0].as_str() <= Some(before)).count());
                let events = list(&["container", "action", "exit_code"]);
                seen.insert("events".to_owned(), events.into_iter().skip(known.unwrap_or(0)).collect());
                // The engine remembers so many events of all containers together.
                if known == Some(0) {
                    seen.insert(FORGOTTEN.to_owned(), json!(true));
                }
            }
            "docker.list-images" => drop(seen.insert("list".to_owned(), value)),
            "docker.disk-usage" => {
                for (part, used) in value.as_object().into_iter().flatten().filter(|(part, _)| *part != "logs") {
                    let numbers = used.as_object().into_iter().flatten();
                    seen.extend(numbers.map(|(key, number)| (format!("{part} {key}"), number.clone())));
                }
                let logs = value["logs"].as_array().into_iter().flatten();
                let logs: Vec<Value> = logs.map(|log| json!([log["container"], in_kb(&log["size_bytes"])])).collect();
                seen.insert("logs".to_owned(), json!(logs));
            }
            "logs.truncate-container-log" => drop(seen.insert("freed".to_owned(), in_kb(&value["freed_bytes"]))),
            "docker.container-stats" => {
                seen.insert("limit".to_owned(), value["memory_limit_bytes"].clone());
                seen.insert("alive".to_owned(), json!(value["pids"].as_u64().is_some_and(|pids| pids > 0)));
            }
            "docker.container-processes" => {
                seen.insert("any".to_owned(), json!(value["rows"].as_array().is_some_and(|rows| !rows.is_empty())));
                seen.insert("zombies".to_owned(), value["zombies"].clone());
            }
            "logs.search-container" => {
                let found = value["found"].as_array().into_iter().flatten();
                let found: Vec<Value> = found.map(|one| json!([one["line"], one["context"]])).collect();
                seen.insert("found".to_owned(), json!(found));
                seen.insert("scanned".to_owned(), value["scanned"].clone());
                seen.insert("more".to_owned(), json!(value["cursor"].is_string()));
            }
            _ => self.fields(&mut seen, real, on, but, &value),
        }
        seen
    }

    fn changed(&mut self, seen: &mut Seen, real: bool, on: &str, key: &'static str, value: &Value) {
        let last = self.shown.insert((real, on.to_owned(), key), value.clone());
        let new = last.as_ref() != Some(value);
        seen.insert(key.to_owned(), json!(if new { "new" } else { "as before" }));
    }

    /// Every field of an object; of times only whether they changed, of probes their codes and words.
    fn fields(&mut self, seen: &mut Seen, real: bool, on: &str, but: &[&str], value: &Value) {
        let fields = value.as_object().into_iter().flatten();
        for (key, value) in fields.filter(|(key, _)| !but.contains(&key.as_str())) {
            match key.as_str() {
                "state" => self.fields(seen, real, on, but, value),
                "started_at" => self.changed(seen, real, on, "started_at", value),
                "finished_at" => self.changed(seen, real, on, "finished_at", value),
                "created_at" => self.changed(seen, real, on, "created_at", value),
                "id" | "old_id" => self.changed(seen, real, on, "id", value),
                "error" => drop(seen.insert("error".to_owned(), json!(value != ""))),
                "health_log" => {
                    let last = value.as_array().and_then(|probes| probes.last());
                    let last = last.map(|last| json!([last["exit_code"], last["output"]]));
                    seen.insert("last probe".to_owned(), json!(last));
                }
                _ => drop(seen.insert(key.clone(), value.clone())),
            }
        }
    }
}

/// Docker's file has a time of up to 30 characters with each line.
fn in_kb(bytes: &Value) -> Value {
    json!(bytes.as_u64().map(|bytes| bytes.div_ceil(1_024)))
}

/// Where the engine has forgotten the oldest events, the newest of the other side are compared.
pub(super) fn same_length(real: &mut Seen, simulated: &mut Seen) {
    if real.remove(FORGOTTEN).is_none() {
        return;
    }
    let kept = real.get("events").and_then(Value::as_array).map_or(0, Vec::len);
    if let Some(Value::Array(events)) = simulated.get_mut("events") {
        events.drain(..events.len().saturating_sub(kept));
    }
}

pub(super) fn failure(error: &Error) -> Seen {
    Seen::from([("answer".to_owned(), json!(error.kind.name()))])
}
