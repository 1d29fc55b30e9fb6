//! The core's calendar beside another cron, and which pause is about which runbook.

use proptest::prelude::*;

use super::*;
use crate::store::Selector;

proptest! {
    #[test]
    fn another_cron_agrees_where_no_clock_is_moved(
        minute in prop_oneof![Just("0"), Just("*/15"), Just("5,35"), Just("*"), Just("10-20/3"), Just("59")],
        hour in prop_oneof![Just("0"), Just("*/6"), Just("9-17"), Just("*"), Just("23"), Just("1,13")],
        day in prop_oneof![Just("*"), Just("1"), Just("*/2"), Just("13-20"), Just("29"), Just("31")],
        month in prop_oneof![Just("*"), Just("2"), Just("jan-mar"), Just("4,6,9,11"), Just("12")],
        weekday in prop_oneof![Just("*"), Just("7"), Just("mon-fri"), Just("*/3"), Just("5")],
        from in 1_700_000_000i64..2_000_000_000,
    ) {
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let other = cronexpr::parse_crontab(&format!("{text} UTC"));
        match (Schedule::parse(&text), other) {
            (Ok(schedule), Ok(other)) => {
                let mut after = Timestamp::from_second(from).expect("a time");
                for _ in 0..4 {
                    // It looks four years ahead and no further.
                    let Ok(theirs) = other.find_next(cronexpr::MakeTimestamp(after)) else { break };
                    let ours = schedule.next(&TimeZone::UTC, after).expect("due again").at;
                    prop_assert_eq!(ours, theirs.timestamp(), "{} after {}", text, after);
                    after = ours;
                }
            }
            // The 31st of months that have none.
            (Err(error), Ok(other)) => {
                prop_assert!(other.find_next(cronexpr::MakeTimestamp(Timestamp::UNIX_EPOCH)).is_err(), "{}", error);
            }
            (ours, Err(error)) => prop_assert!(false, "{}: {} but {:?}", text, error, ours),
        }
    }
}

#[test]
fn a_pause_is_about_a_runbook_when_it_names_it_and_nothing_else() {
    let text = |text: &str| Some(text.to_owned());
    for (runbook, target, names_it) in [
        (text("nightly"), None, true),
        (text("night*"), None, true),
        (text("*"), None, false),
        (text("weekly"), None, false),
        (text("nightly"), text("web-1"), false),
        (None, text("web-1"), false),
    ] {
        let selector = Selector { runbook, target, host: None };
        let pause = Pause { id: String::new(), selector, reason: String::new(), by: String::new(), at: 0, until: 1 };
        assert_eq!(names(&pause, "nightly"), names_it, "{pause:?}");
    }
}

#[test]
fn zones_are_known_without_the_machines_own_database_and_a_typo_is_told() {
    assert!(zone("Europe/Berlin").is_ok() && zone("UTC").is_ok());
    assert_eq!(
        zone("Europe/Berln").expect_err("a typo"),
        "there is no time zone \"Europe/Berln\"; did you mean Europe/Berlin?"
    );
    assert!(zone("Mars/Olympus").expect_err("none").starts_with("there is no time zone"));
}
