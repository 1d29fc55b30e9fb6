//! Messages as senders write them, and as nobody should.

use proptest::prelude::*;

use super::*;

const NOW: &str = "2026-03-01T12:00:00Z";

const WEBHOOK: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"X\"}","truncatedAlerts":2,"status":"firing",
"receiver":"sandbook","groupLabels":{"alertname":"X"},"commonLabels":{},"commonAnnotations":{},"routeLabels":{"a":1},
"externalURL":"http://am:9093","notification_reason":"new alerts added","alerts":[
{"status":"firing","labels":{"alertname":"X","name":"web"},"annotations":{"summary":"down","n":3},
"startsAt":"2026-03-01T11:00:00.5Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/g","fingerprint":"00aa11bb22cc33dd"},
{"status":"resolved","labels":{"alertname":"Y"},"startsAt":"2026-03-01T10:00:00+01:00","endsAt":"2026-03-01T11:30:00Z"}]}"#;

const GRAFANA: &str = r#"{"receiver":"g","status":"firing","orgId":1,"version":"1","title":"t","alerts":[{"status":"firing",
"labels":{"alertname":"X","grafana_folder":"f"},"annotations":{},"startsAt":"2026-03-01T11:00:00Z",
"endsAt":"0001-01-01T00:00:00Z","values":{"A":1.5},"valueString":"[]","silenceURL":"s","fingerprint":"c6eadffa33fcdf37"}]}"#;

const API_V2: &str = r#"[{"annotations":{},"endsAt":"2026-03-01T12:04:00Z","fingerprint":"0a0b0c0d0e0f0a0b",
"receivers":[{"name":"x"}],"startsAt":"2026-03-01T11:00:00Z","status":{"inhibitedBy":[],"silencedBy":[],"state":"active"},
"updatedAt":"2026-03-01T12:00:00Z","generatorURL":"http://p","labels":{"alertname":"X"}},
{"labels":{"alertname":"Z"},"endsAt":"2026-03-01T11:59:00Z"}]"#;

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn parse(text: &str) -> Message {
    parse_message(text.as_bytes(), now()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// One line an alert: status, name, start, end, or the reason.
fn lines(message: &Message) -> Vec<String> {
    let line = |alert: &Result<Alert, String>| match alert {
        Ok(alert) => {
            let end = alert.ends_at.map_or_else(|| "-".to_owned(), |end| end.to_string());
            format!("{:?} {} {} {end}", alert.status, alert.name(), alert.starts_at)
        }
        Err(reason) => format!("rejected: {reason}"),
    };
    message.alerts.iter().map(line).collect()
}

#[test]
fn every_format_is_recognised() {
    for (text, format, want) in [
        (
            WEBHOOK,
            Format::Alertmanager,
            vec!["Firing X 2026-03-01T11:00:00.5Z -", "Resolved Y 2026-03-01T09:00:00Z 2026-03-01T11:30:00Z"],
        ),
        (GRAFANA, Format::Grafana, vec!["Firing X 2026-03-01T11:00:00Z -"]),
        (
            API_V2,
            Format::ApiV2,
            vec!["Firing X 2026-03-01T11:00:00Z -", "Resolved Z 2026-03-01T12:00:00Z 2026-03-01T11:59:00Z"],
        ),
        (r#"{"labels":{"alertname":"B"}}"#, Format::Bare, vec!["Firing B 2026-03-01T12:00:00Z -"]),
        (r#"{"labels":{"a":"b"},"status":"resolved"}"#, Format::Bare, vec!["Resolved  2026-03-01T12:00:00Z -"]),
        (r#"{"alerts":[]}"#, Format::Alertmanager, vec![]),
        (r#"{"alerts":null,"labels":{"a":"b"}}"#, Format::Alertmanager, vec![]),
        ("[]", Format::ApiV2, vec![]),
    ] {
        let message = parse(text);
        assert_eq!(message.format, format, "{text}");
        assert_eq!(lines(&message), want, "{text}");
    }
}

#[test]
fn the_webhooks_fields_are_kept() {
    let message = parse(WEBHOOK);
    assert_eq!(message.truncated, 2);
    assert_eq!(message.group_key, "{}:{alertname=\"X\"}");
    assert_eq!((message.receiver.as_str(), message.external_url.as_str()), ("sandbook", "http://am:9093"));
    let first = message.alerts[0].as_ref().expect("sound");
    assert_eq!(first.fingerprint, "00aa11bb22cc33dd");
    assert_eq!(first.generator_url, "http://p/g");
    assert_eq!(first.annotations.get("summary").map(String::as_str), Some("down"));
    assert_eq!(first.annotations.get("n"), None);
    assert_eq!(first.episode_key(), "00aa11bb22cc33dd-1772362800500");
    let second = message.alerts[1].as_ref().expect("sound");
    assert_eq!(second.fingerprint, fingerprint(&second.labels));
    assert_eq!(second.fingerprint.len(), 16);
    let json = serde_json::to_value(first).expect("plain");
    assert_eq!(serde_json::from_value::<Alert>(json).expect("round trip"), *first);
}

#[test]
fn a_broken_alert_is_a_reason_in_its_place() {
    let long = "x".repeat(LABEL_BYTES_MAX + 1);
    let full = "x".repeat(LABEL_BYTES_MAX);
    let many: String = (0..5).map(|i| format!(r#""l{i}":"{full}","#)).collect();
    for (alert, reason) in [
        ("3".to_owned(), "it is a number, not an object"),
        ("[1,[2]]".to_owned(), "it is a list"),
        ("{}".to_owned(), "it has no labels"),
        (r#"{"labels":{}}"#.to_owned(), "it has no labels"),
        (r#"{"labels":7}"#.to_owned(), "labels is a number, not an object"),
        (r#"{"labels":{"a":{"b":[1]}}}"#.to_owned(), r#"label "a" is an object, not a text"#),
        (r#"{"labels":{"":"x"}}"#.to_owned(), "a label has no name"),
        (format!(r#"{{"labels":{{"a":"{long}"}}}}"#), "has 65537 bytes, at most 65536"),
        (format!(r#"{{"labels":{{{many}"z":""}}}}"#), "at most 262144"),
        (r#"{"labels":{"a":"b"},"startsAt":"yesterday"}"#.to_owned(), r#"startsAt "yesterday" is not a time"#),
        (r#"{"labels":{"a":"b"},"startsAt":12}"#.to_owned(), "startsAt is a number"),
        (r#"{"labels":{"a":"b"},"status":"odd"}"#.to_owned(), r#"status is "odd""#),
    ] {
        let text =
            format!(r#"{{"alerts":[{{"labels":{{"alertname":"A"}}}},{alert},{{"labels":{{"alertname":"B"}}}}]}}"#);
        let message = parse(&text);
        assert_eq!(message.alerts.len(), 3, "{reason}");
        assert!(message.alerts[0].is_ok() && message.alerts[2].is_ok(), "{reason}");
        let found = message.alerts[1].as_ref().expect_err(reason);
        assert!(found.contains(reason), "{reason}: {found}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for (text, says) in [
        ("", "not json: EOF while parsing a value at line 1, column 0"),
        ("{\"alerts\":[\n{]}", "not json: "),
        ("[] x", "not json: trailing characters at line 1, column 4"),
        ("3", "not an alert message: it is a number"),
        ("{}", "not an alert message: the object has neither"),
        (r#"{"alerts":{}}"#, "not an alert message: `alerts` is an object, not a list"),
        (r#"{"alerts":"x"}"#, "not an alert message: `alerts` is a text, not a list"),
    ] {
        let error = parse_message(text.as_bytes(), now()).expect_err(text);
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
}

#[test]
fn messages_are_bounded() {
    let one = r#"{"labels":{"a":"b"}},"#;
    let text = format!(r#"{{"truncatedAlerts":5,"alerts":[{}0]}}"#, one.repeat(ALERTS_MAX + REJECTED_MAX + 2));
    let message = parse(&text);
    assert_eq!(message.alerts.len(), ALERTS_MAX + REJECTED_MAX);
    assert_eq!(message.alerts.iter().filter(|alert| alert.is_ok()).count(), ALERTS_MAX);
    assert!(message.alerts[ALERTS_MAX].as_ref().is_err_and(|reason| reason.contains("10000")));
    assert_eq!(message.truncated, 5 + 3);
}

#[test]
fn fingerprints_are_stable_and_odd_ones_replaced() {
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(fingerprint(&labels(&[("alertname", "X"), ("name", "web")])), "093ca4af44a76a54");
    assert_ne!(fingerprint(&labels(&[("a", "bc")])), fingerprint(&labels(&[("ab", "c")])));
    for given in ["", "../../etc", "x y", &"a".repeat(65)] {
        let text = serde_json::json!({"labels": {"a": "b"}, "fingerprint": given}).to_string();
        let alert = parse(&text).alerts.remove(0).expect("sound");
        assert_eq!(alert.fingerprint, fingerprint(&alert.labels), "{given}");
    }
}

#[test]
fn invalid_utf8_costs_no_alert_and_annotations_are_cut() {
    let message = parse_message(b"{\"labels\":{\"a\":\"\xff\"}}", now()).expect("replaced");
    assert_eq!(message.alerts[0].as_ref().expect("sound").labels["a"], "\u{fffd}");
    let text = serde_json::json!({"labels": {"a": "b"}, "annotations": {"long": "ä".repeat(LABEL_BYTES_MAX)}});
    let alert = parse(&text.to_string()).alerts.remove(0).expect("sound");
    assert_eq!(alert.annotations["long"].len(), LABEL_BYTES_MAX);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body: Vec<u8>) {
        let _ = parse_message(&body, now());
    }

    #[test]
    fn mutated_samples_never_panic(
        which in 0usize..3,
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let mut body = [WEBHOOK, GRAFANA, API_V2][which].as_bytes().to_vec();
        for (at, byte, edit) in edits {
            let at = at.index(body.len());
            match edit {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => body.truncate(at.max(1)),
            }
        }
        let _ = parse_message(&body, now());
    }
}
