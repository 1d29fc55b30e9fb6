//! What becomes of notices: grouped, paced, tried again, given up, and how long each of it takes.

use super::*;

fn notice(event: Happened) -> Notice {
    Notice {
        once: "n".to_owned(),
        key: "k".to_owned(),
        event,
        severity: event.severity(),
        run: String::new(),
        runbook: String::new(),
        target: String::new(),
        episode: None,
        title: None,
        sentence: String::new(),
        channel: None,
        over: false,
        at: 0,
    }
}

#[test]
fn a_route_hears_of_its_kinds_its_loudness_and_its_labels() {
    let route = |text: &str| toml::from_str::<NotifyRoute>(text).expect("a route");
    let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    let nobody = BTreeMap::new();
    let named = route("on = [\"acted\"]\nchannel = \"ops\"");
    assert!(hears(&named, &notice(Happened::Acted), &nobody) && !hears(&named, &notice(Happened::Failed), &nobody));
    let loud = route("severity = \"critical\"\nchannel = \"ops\"");
    assert!(hears(&loud, &notice(Happened::NeedsAttention), &nobody));
    assert!(!hears(&loud, &notice(Happened::Failed), &nobody));
    let team = route("match = [\"team=\\\"shop\\\"\"]\nchannel = \"ops\"");
    assert!(hears(&team, &notice(Happened::Acted), &labels) && !hears(&team, &notice(Happened::Acted), &nobody));
}

#[test]
fn a_pace_goes_on_after_a_restart() {
    let pace = Pace { group_wait_ms: 0, per_minute: 2, groups: true };
    let now = 10 * MINUTE_MS;
    let room = |times: &[u64]| Lane::after(times, now).has_room(pace, now);
    assert!(room(&[]) && room(&[now - 1]), "one of two");
    assert!(!room(&[now - 59_000, now - 1]));
    assert!(room(&[now - MINUTE_MS - 1, now - 1]), "one of them is a minute ago");
    assert!(!room(&[now + MINUTE_MS, now + MINUTE_MS]), "a clock that was set back makes no room");
}

#[test]
fn pauses_grow_and_stop_growing() {
    assert_eq!([1, 2, 3, 20, u32::MAX].map(backoff_ms), [2_000, 4_000, 8_000, BACKOFF_MS_MAX, BACKOFF_MS_MAX]);
}
