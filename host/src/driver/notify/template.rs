//! Bodies of webhooks as templates.
//!
//! Whatever is filled in is escaped for the inside of a JSON string, so that no title can break the body it stands in;
//! `tojson` writes a value with its quotes. Templates of the operator run with fuel, so that none takes the daemon.
//! Deliberately not here: files, includes and clocks; a template sees the message and nothing else.

use minijinja::value::{Serde, Value as Data};
use minijinja::{AutoEscape, Environment};
use serde_json::json;

use super::{Said, body};

/// Instructions of one template: a loop over every label of an alert takes some hundred.
const FUEL: u64 = 50_000;
/// Longest body.
const BODY_BYTES_MAX: usize = 256 << 10;
/// What a template may name.
pub(super) const WORDS: [&str; 15] = [
    "title",
    "text",
    "severity",
    "dedup_key",
    "kind",
    "happened",
    "evidence",
    "runbook",
    "run",
    "target",
    "url",
    "command",
    "labels",
    "count",
    "resolved",
];

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, _, value| {
        if value.is_undefined() || value.is_none() {
            return Ok(());
        }
        let text = value.to_string();
        if value.is_safe() {
            return out.write_str(&text).map_err(minijinja::Error::from);
        }
        let quoted = serde_json::Value::from(text).to_string();
        out.write_str(&quoted[1..quoted.len() - 1]).map_err(minijinja::Error::from)
    });
    environment
}

/// Fills a template with what a plain webhook gets, and its parts. Errors: what is wrong with it, with its line.
pub(super) fn fill(template: &str, said: &Said) -> Result<String, String> {
    let mut data = body::plain(said);
    data["happened"] = json!(said.text);
    data["evidence"] = json!(said.evidence.join("\n"));
    data["resolved"] = json!(said.resolves);
    let data = Data::from(Serde(data));
    let filled = environment().render_named_str("body", template, data).map_err(|error| said_of(&error))?;
    if filled.len() > BODY_BYTES_MAX {
        return Err(format!("makes {} bytes, at most {BODY_BYTES_MAX} may be", filled.len()));
    }
    Ok(filled)
}

fn said_of(error: &minijinja::Error) -> String {
    let place = error.line().map_or_else(String::new, |line| format!(" in line {line}"));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("{detail}{place}")
}

/// Whether a template is one, names what there is, and makes JSON of the worst texts. Errors: why not.
pub(super) fn check(template: &str, is_json: bool) -> Result<(), String> {
    let environment = environment();
    let parsed = environment.template_from_named_str("body", template).map_err(|error| said_of(&error))?;
    let known = |name: &String| WORDS.contains(&name.as_str()) || environment.globals().any(|(known, _)| known == name);
    let mut unknown: Vec<String> = parsed.undeclared_variables(false).into_iter().filter(|name| !known(name)).collect();
    unknown.sort();
    if let Some(name) = unknown.first() {
        return Err(format!("has `{name}`, which no message has; there are: {}", WORDS.join(", ")));
    }
    let hostile = "\"\\\n{{ title }}</script>\u{7}".to_owned();
    let worst = Said {
        title: hostile.clone(),
        text: hostile.clone(),
        evidence: vec![hostile.clone()],
        labels: [(hostile.clone(), hostile)].into(),
        ..Said::default()
    };
    for sample in [&Said::default(), &worst] {
        let filled = fill(template, sample)?;
        let parsed = serde_json::from_str::<serde_json::Value>(&filled);
        if let (true, Err(error)) = (is_json, parsed) {
            return Err(format!(
                "makes no JSON ({error}); keep values in quotes, or set headers.content-type to what it makes"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sandbook_core::effect::notify::Severity;

    use super::*;

    fn said() -> Said {
        Said {
            title: "a \"b\" {{text}}".to_owned(),
            text: "x\n<!channel>".to_owned(),
            severity: Severity::Critical,
            dedup_key: "k".to_owned(),
            labels: [("team".to_owned(), "o\"ps".to_owned())].into(),
            ..Said::default()
        }
    }

    #[test]
    fn templates_are_filled_once_and_stay_json() {
        let filled = fill(r#"{"t": "{{title}}", "b": "{{ text }}", "s": "{{severity}}/{{dedup_key}}"}"#, &said());
        let value: serde_json::Value = serde_json::from_str(&filled.expect("filled")).expect("JSON");
        assert_eq!(value, json!({"t": said().title, "b": said().text, "s": "critical/k"}));
    }

    #[test]
    fn conditions_labels_and_lists_can_be_used() {
        let template = r#"{"c": {% if severity == "critical" %}1{% else %}2{% endif %}, "l": {{ labels|tojson }},
            "team": "{{ labels.team }}", "none": "{{ labels.absent }}", "u": "{{ title|upper }}"}"#;
        check(template, true).expect("a good template");
        let value: serde_json::Value = serde_json::from_str(&fill(template, &said()).expect("filled")).expect("JSON");
        let wanted = json!({"c": 1, "l": {"team": "o\"ps"}, "team": "o\"ps", "none": "", "u": "A \"B\" {{TEXT}}"});
        assert_eq!(value, wanted);
    }

    #[test]
    fn what_cannot_be_filled_is_found_before() {
        for (template, wanted) in [
            (r#"{"t": "{{titel}}"}"#, "`titel`"),
            (r#"{"t": "{{title"}"#, "line 1"),
            (r#"{"t": {{title}}}"#, "makes no JSON"),
            (r#"{"t": "{{title|safe}}"}"#, "makes no JSON"),
            (r#"{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}{}"#, "fuel"),
            (r#"{"t": "{% include "/etc/passwd" %}"}"#, "line 1"),
        ] {
            let error = check(template, true).expect_err(template);
            assert!(error.contains(wanted), "{template}: {error}");
        }
        check("{{title}}", false).expect("plain text, if it is said so");
    }
}
