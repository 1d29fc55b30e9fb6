//! How a command ends: exit codes that scripts rely on, and a failure that says what to do next.
//!
//! Deliberately not here: usage errors, which clap reports with code 2 before any command begins.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::screen::{Paint, Screen};
use super::text::clean;
use crate::trust;

/// The exit codes, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// It did not.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The daemon, policy or a person refused.
    Refused = 3,
    /// A replay or plan no longer agrees with what is.
    Diverged = 4,
    /// It would have to ask a person.
    WouldAsk = 5,
    /// No daemon answers.
    Unreachable = 6,
    /// It would change something, and whoever asked wants to know by the code.
    WouldChange = 7,
}

impl Exit {
    /// As the operating system wants it.
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }

    /// What an HTTP answer means. The code in the answer tells a refusal from a mistake where the status cannot.
    pub fn of_status(status: u16, code: &str) -> Exit {
        match (status, code) {
            (200..=299, _) => Exit::Ok,
            (401 | 403, _) | (_, DENIED | STAGE | BRAKE | PLAN_EXPIRED | PLAN_APPLIED) => Exit::Refused,
            (_, code) if UNTRUSTED.contains(&code) => Exit::Refused,
            (_, MISMATCH | PLAN_CHANGED) => Exit::Diverged,
            // A proxy in between answers for a daemon that does not.
            (502 | 504, _) => Exit::Unreachable,
            (_, _) => Exit::Failed,
        }
    }
}

/// The replay does not match the journal.
const MISMATCH: &str = "SB0501";
/// An effect was denied.
const DENIED: &str = "SB0503";
/// The stage is too low.
const STAGE: &str = "SB0508";
/// A brake holds it back.
const BRAKE: &str = "SB0509";

/// A signature is missing, does not count or does not hold.
const UNTRUSTED: [&str; 5] =
    [trust::UNSIGNED, trust::UNKNOWN_KEY, trust::EXPIRED, trust::OTHER_DIGEST, trust::TAMPERED];

/// The plan is too old.
const PLAN_EXPIRED: &str = "SB0520";
/// It was applied.
const PLAN_APPLIED: &str = "SB0521";
/// What it looked at has changed.
const PLAN_CHANGED: &str = "SB0522";

/// Why a command ended otherwise than it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// With what code.
    pub exit: Exit,
    /// Of the error's page, such as `SB0123`; may be empty.
    pub code: String,
    /// Lower case, no full stop.
    pub message: String,
    /// More of it, a line each; objects are problems with file, line and column.
    pub details: Vec<Value>,
    /// What to do; may be empty.
    pub fix: String,
}

impl Failure {
    /// A failure without a page.
    pub fn new(exit: Exit, message: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure { exit, code: String::new(), message: message.into(), details: Vec::new(), fix: fix.into() }
    }

    /// Something did not work; code 1.
    pub fn failed(message: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, message, fix)
    }

    /// The words on the command line make no sense; code 2.
    pub fn usage(message: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message, fix)
    }

    /// What an answer of the API says: `{"error":{code,message,fix,details}}`, or whatever else came.
    pub fn of_answer(status: u16, path: &str, body: &[u8]) -> Failure {
        let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let error = &parsed["error"];
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let code = text("code");
        let (mut message, mut fix) = (text("message"), text("fix"));
        if message.is_empty() {
            let said = String::from_utf8_lossy(body);
            let said = said.lines().next().unwrap_or_default().trim();
            let said: String = said.chars().take(200).collect();
            (message, fix) = match status {
                404 | 405 => (
                    format!("the daemon knows no {path}"),
                    "it is probably older than this command; compare `sandbook status` with `sandbook --version`"
                        .into(),
                ),
                401 => ("the daemon wants a token".into(), TOKEN_FIX.into()),
                _ => (format!("the daemon answered {status} to {path}: {said}"), "its log says more".to_owned()),
            };
        }
        if status == 404 && message.starts_with("there is no path ") {
            fix = OLDER_FIX.to_owned();
        }
        if status == 401 {
            fix = TOKEN_FIX.to_owned();
        }
        let details = error["details"].as_array().cloned().unwrap_or_default();
        Failure { exit: Exit::of_status(status, &code), code, message, details, fix }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({"error": {
            "code": self.code, "message": self.message, "fix": self.fix, "details": self.details,
            "exit": self.exit as u8,
        }})
    }

    /// On stderr for people; as the one JSON value on stdout for programs.
    pub fn report(&self, screen: &Screen) {
        if screen.json {
            screen.value(&self.json());
            return;
        }
        let head = if self.code.is_empty() { "error".to_owned() } else { format!("error[{}]", clean(&self.code)) };
        let mut text = format!("{}: {}\n", screen.errors.paint(Paint::Bad, &head), clean(&self.message));
        for detail in self.details.iter().filter(|detail| !self.says(detail)) {
            text.push_str(&format!("  {}\n", detail_line(detail)));
        }
        if !self.fix.is_empty() && !self.message.contains(&self.fix) {
            text.push_str(&format!("{}: {}\n", screen.errors.paint(Paint::Good, "fix"), clean(&self.fix)));
        }
        screen.error(&text);
    }

    /// Whether message and fix have said a detail already.
    fn says(&self, detail: &Value) -> bool {
        let message = detail["message"].as_str().or(detail.as_str()).unwrap_or_default();
        let help = detail["help"].as_str().unwrap_or_default();
        let known = help.is_empty() || help == self.fix || self.message.contains(help);
        !message.is_empty() && self.message.contains(message) && known
    }
}

/// Why a path can be missing.
const OLDER_FIX: &str = "it is probably older than this command; compare `sandbook status` with `sandbook --version`";
/// Where a token comes from when none was given.
const TOKEN_FIX: &str = "pass --token or set SANDBOOK_TOKEN; the daemon wrote `admin-token` into its data directory";

/// One detail: a problem with its place, or whatever was sent.
fn detail_line(detail: &Value) -> String {
    let Some(message) = detail["message"].as_str() else {
        let text = detail.as_str().map_or_else(|| detail.to_string(), str::to_owned);
        return clean(&text).into_owned();
    };
    let mut line = String::new();
    if let Some(file) = detail["file"].as_str().filter(|file| !file.is_empty()) {
        line.push_str(&format!("{file}:{}:{}: ", detail["line"], detail["column"]));
    }
    line.push_str(message);
    if let Some(help) = detail["help"].as_str().filter(|help| !help.is_empty()) {
        line.push_str(&format!(" ({help})"));
    }
    clean(&line).into_owned()
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Failure::failed(format!("{error:#}"), ""),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_exit_codes() {
        for (status, code, want) in [
            (200, "", Exit::Ok),
            (202, "", Exit::Ok),
            (400, "SB0401", Exit::Failed),
            (401, "", Exit::Refused),
            (403, "SB0402", Exit::Refused),
            (404, "", Exit::Failed),
            (409, "SB0508", Exit::Refused),
            (409, "SB0501", Exit::Diverged),
            (409, "SB0108", Exit::Failed),
            (422, "SB0201", Exit::Failed),
            (503, "", Exit::Failed),
            (502, "", Exit::Unreachable),
        ] {
            assert_eq!(Exit::of_status(status, code), want, "{status} {code}");
        }
    }

    #[test]
    fn an_answer_of_the_api_keeps_its_words() {
        let body =
            br#"{"error":{"code":"SB0123","message":"no such runbook","fix":"push it","details":["near: web"]}}"#;
        let failure = Failure::of_answer(404, "/v1/runbooks/x", body);
        assert_eq!((failure.code.as_str(), failure.fix.as_str()), ("SB0123", "push it"));
        assert_eq!(detail_line(&failure.details[0]), "near: web");
        let placed = json!({"file": "a.rhai", "line": 3, "column": 7, "message": "bad", "help": "good"});
        assert_eq!(detail_line(&placed), "a.rhai:3:7: bad (good)");
    }

    #[test]
    fn nothing_is_said_twice() {
        let failure =
            Failure { details: Vec::new(), ..Failure::failed("the grant: a:1:1: no such effect", "list them") };
        for (detail, said) in [
            (json!({"message": "no such effect", "file": "a", "line": 1, "column": 1, "help": "list them"}), true),
            (json!({"message": "no such effect", "help": "did you mean x?"}), false),
            (json!({"message": "another one", "help": ""}), false),
            (json!("no such effect"), true),
            (json!({"near": "web"}), false),
        ] {
            assert_eq!(failure.says(&detail), said, "{detail}");
        }
    }

    #[test]
    fn a_missing_route_is_explained_by_age() {
        let failure = Failure::of_answer(404, "/v1/match", b"");
        assert!(failure.fix.contains("older"), "{failure:?}");
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(Failure::of_answer(401, "/v1/runs", b"").exit, Exit::Refused);
    }

    #[test]
    fn a_failure_survives_its_way_through_anyhow() {
        let failure = Failure::usage("no such lang", "use rhai");
        assert_eq!(Failure::from(anyhow::Error::from(failure.clone())), failure);
        assert_eq!(Failure::from(anyhow::anyhow!("disk full")).exit, Exit::Failed);
    }
}
