//! Values as words for people: escaped text, relative times, durations, sizes.
//!
//! Labels, logs and names come from whoever sends alerts and starts containers. [`clean`] makes them harmless for a
//! terminal; everything printed goes through it. Deliberately not here: colours and tables, see [`super::screen`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

/// A text in which nothing steers a terminal or reorders what is read: control characters and invisible direction
/// marks are escaped, visibly.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if steers(character) { safe.extend(character.escape_default()) } else { safe.push(character) }
    }
    Cow::Owned(safe)
}

fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A text on one line, at most so many characters.
pub(crate) fn short(text: &str, chars_max: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let cut = line.chars().count() > chars_max || text.trim().lines().nth(1).is_some();
    let mut kept: String = line.chars().take(chars_max).collect();
    if cut {
        kept.push('…');
    }
    clean(&kept).into_owned()
}

/// A field as a text: strings as they are, nothing for null, anything else as JSON.
pub(crate) fn field(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The first of several fields that is there.
pub(crate) fn first_field(value: &Value, keys: &[&str]) -> String {
    keys.iter().map(|key| field(value, key)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// A time in JSON: RFC 3339, or milliseconds since 1970.
pub(crate) fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Milliseconds from one time to another, none before.
pub(crate) fn between_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

/// `3 min ago`, `in 20 s`, `just now`; nothing for no time.
pub(crate) fn ago(value: &Value, now: Timestamp) -> String {
    let Some(at) = time(value) else { return String::new() };
    let ms = now.as_millisecond() - at.as_millisecond();
    if ms.unsigned_abs() < 1_000 {
        return "just now".to_owned();
    }
    let span = rough(ms.unsigned_abs());
    if ms > 0 { format!("{span} ago") } else { format!("in {span}") }
}

/// One unit, rounded down: how people say how long ago something was.
pub(crate) fn rough(ms: u64) -> String {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match ms {
        0..MINUTE => format!("{} s", ms / 1_000),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        DAY.. => format!("{} d", ms / DAY),
    }
}

/// `12 ms`, `1.2 s`, `10 s`, `3 min 5 s`, `2 h 10 min`: how long something took.
pub(crate) fn took(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 if ms % 1_000 < 100 => format!("{} s", ms / 1_000),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => with_rest(ms / 60_000, "min", ms % 60_000 / 1_000, "s"),
        3_600_000.. => with_rest(ms / 3_600_000, "h", ms % 3_600_000 / 60_000, "min"),
    }
}

fn with_rest(whole: u64, unit: &str, rest: u64, rest_unit: &str) -> String {
    if rest == 0 { format!("{whole} {unit}") } else { format!("{whole} {unit} {rest} {rest_unit}") }
}

/// `+0.012s`, `+1m05s`: distance from a run's beginning, aligned in columns.
pub(crate) fn offset(ms: u64) -> String {
    match ms {
        0..60_000 => format!("+{}.{:03}s", ms / 1_000, ms % 1_000),
        60_000..3_600_000 => format!("+{}m{:02}s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000.. => format!("+{}h{:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// `512 B`, `23.4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{scaled:.1} {unit}")
}

/// `1 run`, `3 runs`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A digest as people tell it apart: the algorithm and 12 digits.
pub(crate) fn digest(text: &str) -> String {
    let cut = if text.starts_with("sha256:") { 19 } else { 12 };
    clean(&text.chars().take(cut).collect::<String>()).into_owned()
}

/// A target in JSON: `host/name`, or the text it is.
pub(crate) fn target(value: &Value) -> String {
    match value {
        Value::Object(_) => {
            let (host, name) = (field(value, "host"), field(value, "name"));
            if host.is_empty() || host == name { name } else { format!("{host}/{name}") }
        }
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => String::new(),
    }
}

/// A word that is safe to paste into a shell.
pub(crate) fn shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@=,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Where the line to type begins in a message of the engine.
fn suggestion_at(message: &str) -> Option<usize> {
    ["sandbook grant ", "sandbook promote ", "sandbook stop-all ", "sandbook rearm "]
        .iter()
        .find_map(|command| message.rfind(command))
}

/// The `sandbook …` line a message suggests: the messages of policy, brakes and shadow runs end with it.
pub(crate) fn suggested(message: &str) -> Option<String> {
    let line = message[suggestion_at(message)?..].lines().next().unwrap_or_default();
    Some(clean(line.trim_end_matches(['`', '.', ' '])).into_owned())
}

/// The message without that line and the words that only lead to it (`to let it act:`).
pub(crate) fn without_suggestion(message: &str) -> &str {
    let Some(at) = suggestion_at(message) else { return message };
    let before = message[..at].trim_end();
    let kept = if before.ends_with([':', '`']) {
        let end = [before.rfind("; "), before.rfind(". ")].into_iter().flatten().max();
        end.map_or(before, |end| &before[..end])
    } else {
        before
    };
    kept.trim_end_matches([' ', ';', ':', '`', ',', '.'])
}

/// What a pause selects, as it would be typed.
pub(crate) fn selector(value: &Value) -> String {
    let parts: Vec<(&str, String)> = ["runbook", "target", "host"]
        .into_iter()
        .map(|key| (key, field(value, key)))
        .filter(|(_, glob)| !glob.is_empty() && glob != "*")
        .collect();
    match parts.as_slice() {
        [] => "all".to_owned(),
        [("target", glob)] => glob.clone(),
        several => several.iter().map(|(key, glob)| format!("{key}={glob}")).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("web-1 größe"), "web-1 größe");
        assert_eq!(clean("\x1b[2Jx\r\n\u{202e}y\u{9b}z"), "\\u{1b}[2Jx\\r\\n\\u{202e}y\\u{9b}z");
        assert_eq!(short("one\ntwo", 10), "one…");
        assert_eq!(short("abcdef", 3), "abc…");
    }

    #[test]
    fn times_read_like_speech() {
        let now: Timestamp = "2026-01-02T10:00:00Z".parse().expect("a time");
        for (at, want) in [
            ("2026-01-02T09:59:59.5Z", "just now"),
            ("2026-01-02T09:57:00Z", "3 min ago"),
            ("2026-01-02T10:00:20Z", "in 20 s"),
            ("2025-12-31T10:00:00Z", "2 d ago"),
        ] {
            assert_eq!(ago(&Value::from(at), now), want);
        }
        assert_eq!(ago(&Value::Null, now), "");
        for (ms, want) in
            [(12, "12 ms"), (1_250, "1.2 s"), (10_020, "10 s"), (185_000, "3 min 5 s"), (7_800_000, "2 h 10 min")]
        {
            assert_eq!(took(ms), want);
        }
        assert_eq!((offset(12), offset(65_000)), ("+0.012s".into(), "+1m05s".into()));
        assert_eq!((size(100), size(24_536_678)), ("100 B".into(), "23.4 MiB".into()));
    }

    #[test]
    fn the_line_to_type_is_found_in_a_refusal() {
        let message = "no policy permits it; sandbook grant r docker.restart-container --container 'a b'";
        assert_eq!(suggested(message).expect("a line"), "sandbook grant r docker.restart-container --container 'a b'");
        assert_eq!(without_suggestion(message), "no policy permits it");
        let both = "no policy permits it; sandbook grant r x --host h && sandbook promote r ask";
        assert_eq!(suggested(both).as_deref(), Some("sandbook grant r x --host h && sandbook promote r ask"));
        assert_eq!(without_suggestion(both), "no policy permits it");
        let shadow =
            "in shadow: matched; it would have started on web. To let it act: sandbook promote r live --reason \"…\"";
        assert_eq!(without_suggestion(shadow), "in shadow: matched; it would have started on web");
        let stop = "everything is stopped by dana: fire; lift it with `sandbook stop-all --release`";
        assert_eq!(suggested(stop).as_deref(), Some("sandbook stop-all --release"));
        assert_eq!(without_suggestion(stop), "everything is stopped by dana: fire");
        assert_eq!(without_suggestion("nothing. to: see"), "nothing. to: see");
        assert_eq!(suggested("the stage is shadow"), None);
        assert_eq!(shell("a b'c"), "'a b'\\''c'");
    }

    #[test]
    fn a_pause_reads_as_it_is_typed() {
        for (value, want) in [
            (serde_json::json!({}), "all"),
            (serde_json::json!({"runbook": "*"}), "all"),
            (serde_json::json!({"target": "web-*"}), "web-*"),
            (serde_json::json!({"runbook": "r*", "host": "db1"}), "runbook=r*,host=db1"),
        ] {
            assert_eq!(selector(&value), want);
        }
    }
}
