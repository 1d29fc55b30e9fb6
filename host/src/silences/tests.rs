//! Whom a silence covers.

use sandbook_core::matching::Op;

use super::*;

const NOW: u64 = 1_772_334_000_000;
const HOUR: u64 = 3_600_000;

fn silence(id: &str, from: u64, until: u64, matchers: &[(&str, Op, &str)]) -> Silence {
    let matcher = |(label, op, value): &(&str, Op, &str)| Matcher::new(*label, *op, *value).expect("a matcher");
    Silence {
        id: id.to_owned(),
        by: "dana".to_owned(),
        comment: "deploy\nof web".to_owned(),
        from,
        until,
        matchers: matchers.iter().map(matcher).collect(),
    }
}

fn silences(known: Vec<Silence>) -> Silences {
    let silences = Silences::default();
    silences.learn(Ok(Silenced { silences: known, unreadable: Vec::new() }));
    silences
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn web() -> Vec<(&'static str, Op, &'static str)> {
    vec![("alertname", Op::Equal, "ContainerUnhealthy"), ("name", Op::Matches, "web-.*")]
}

#[test]
fn all_matchers_must_hold_and_the_one_that_lasts_longest_is_named() {
    let silences = silences(vec![
        silence("short", 0, NOW + 1, &web()),
        silence("long", 0, NOW + HOUR, &web()),
        silence("other", 0, NOW + 2 * HOUR, &[("name", Op::Equal, "db-1")]),
    ]);
    let unhealthy = |name: &str| labels(&[("alertname", "ContainerUnhealthy"), ("name", name)]);
    let found = silences.covers(&unhealthy("web-1"), NOW).expect("covered");
    assert_eq!(
        found.sentence(),
        "silenced by dana until 2026-03-01T04:00:00Z: deploy of web (silence long)",
        "one line, and who to ask"
    );
    assert_eq!(silences.covers(&unhealthy("my-web-1"), NOW), None, "anchored");
    assert_eq!(silences.covers(&labels(&[("name", "web-1")]), NOW), None, "another alert");
}

#[test]
fn a_silence_holds_from_its_beginning_to_its_end() {
    let silences = silences(vec![silence("s", NOW, NOW + HOUR, &web())]);
    let alert = labels(&[("alertname", "ContainerUnhealthy"), ("name", "web-1")]);
    for (at, holds) in [(NOW - 1, false), (NOW, true), (NOW + HOUR - 1, true), (NOW + HOUR, false)] {
        assert_eq!(silences.covers(&alert, at).is_some(), holds, "{at}");
    }
}

#[test]
fn silences_heard_last_hold_while_alertmanager_does_not_answer() {
    let silences = silences(vec![silence("s", 0, NOW + HOUR, &web())]);
    let alert = labels(&[("alertname", "ContainerUnhealthy"), ("name", "web-1")]);
    silences.learn(Err(sandbook_core::error::Error::timeout("gone")));
    assert!(silences.covers(&alert, NOW).is_some());
    assert_eq!((silences.known().failures, silences.known().count()), (1, 1));
    assert!(silences.covers(&alert, NOW + HOUR).is_none(), "but not beyond its end");
    silences.learn(Ok(Silenced::default()));
    assert!(silences.covers(&alert, NOW).is_none(), "ended early by its author");
}

#[test]
fn a_containers_event_is_covered_when_the_silence_names_the_container_or_says_nothing_it_lacks() {
    let event = labels(&[("name", "web-1"), ("host", "local"), ("team", "shop")]);
    let stands_for = ["ContainerUnhealthy".to_owned()];
    use Op::{Equal, Matches, NotEqual};
    for (matchers, covered) in [
        (vec![("name", Equal, "web-1")], true),
        (vec![("name", Equal, "web-2")], false),
        (vec![("alertname", Equal, "ContainerUnhealthy")], true),
        (vec![("alertname", Equal, "ContainerExited"), ("name", Equal, "web-1")], false),
        // As Alertmanager's page fills it in from the alert, with labels that an event has not.
        (
            vec![("alertname", Equal, "ContainerUnhealthy"), ("name", Equal, "web-1"), ("severity", Equal, "warning")],
            true,
        ),
        (vec![("alertname", Equal, "ContainerUnhealthy"), ("severity", Equal, "warning")], false),
        (vec![("severity", Equal, "warning")], false),
        (vec![("host", Equal, "local"), ("job", Equal, "x")], false),
        (vec![("host", Equal, "local")], true),
        (vec![("team", Matches, "shop|pay")], true),
        (vec![("team", NotEqual, "shop"), ("name", Equal, "web-1")], false),
    ] {
        let silences = silences(vec![silence("s", 0, NOW + HOUR, &matchers)]);
        assert_eq!(silences.covers_container(&event, &stands_for, NOW).is_some(), covered, "{matchers:?}");
    }
}

#[tokio::test]
async fn without_an_alertmanager_nothing_is_silenced_and_nobody_waits() {
    let (silences, labels) = (Silences::default(), labels(&[("name", "web-1")]));
    let change = Change { trigger: "alert", alert: Some(&labels), container: None, host: "local", name: "web-1" };
    assert_eq!(silences.holds(&change, NOW).await, None);
}
