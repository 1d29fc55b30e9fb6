//! When schedules are due: through a year, where the clock is moved, and after a pause.

use super::*;

/// Berlin as POSIX writes it: the clock goes from 2:00 to 3:00 on 2026-03-29 and from 3:00 back to 2:00 on 2026-10-25.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a time zone")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// The next times, as UTC.
fn next(text: &str, zone: &TimeZone, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text).expect(text);
    let mut after = at(after);
    let mut found = Vec::new();
    for _ in 0..count {
        let due = schedule.next(zone, after).expect("it is due again");
        let shift = match due.shift {
            Shift::None => "",
            Shift::Skipped => " skipped",
            Shift::First => " first",
            Shift::Second => " second",
        };
        found.push(format!("{}{shift}", due.at));
        after = due.at;
    }
    found
}

#[test]
fn spelling() {
    for (text, says) in [
        ("0 3 * * *", ""),
        ("*/15 0-6,22-23 1,15 jan-MAR mon-fri", ""),
        ("5 4 31 12 7", ""),
        ("1-30/2 * * * SUN", ""),
        ("0 3 * *", "has 4 fields"),
        ("0 0 3 * * *", "has 6 fields"),
        ("60 * * * *", "minute \"60\" is out of range (0 to 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of week"),
        ("*/0 * * * *", "step out of range"),
        ("*/x * * * *", "step that is no number"),
        ("5/2 * * * *", "step without a range"),
        ("30-10 * * * *", "runs backwards"),
        ("x * * * *", "is not a value"),
        ("1, * * * *", "is not a value"),
        ("@daily", "has 1 fields"),
        ("0 0 31 2 *", "is never due"),
        ("0 0 30 feb,feb *", "is never due"),
        ("0 0 29 2 *", ""),
    ] {
        match Schedule::parse(text) {
            Ok(_) => assert_eq!(says, "", "{text}"),
            Err(error) => assert!(!says.is_empty() && error.0.contains(says), "{text}: {error}"),
        }
    }
}

#[test]
fn time_zones() {
    for (text, ok) in [("Europe/Berlin", true), ("UTC", true), ("Etc/GMT+5", true), ("", false), ("Mars X", false)] {
        assert_eq!(check_timezone(text).is_ok(), ok, "{text}");
    }
}

#[test]
fn days_months_and_weekdays() {
    let utc = TimeZone::UTC;
    for (text, want) in [
        ("0 3 * * *", ["2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"]),
        ("*/20 * * * *", ["2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("30 12 1 * *", ["2026-01-01T12:30:00Z", "2026-02-01T12:30:00Z"]),
        ("0 0 * * 7", ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]),
        ("0 0 * * sun", ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]),
        // Either of two restricted days is enough: the 13th, and every Friday.
        ("0 0 13 * fri", ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"]),
        // Both must hold where one begins with a star: an odd day that is a Friday.
        ("0 0 */2 * fri", ["2026-01-09T00:00:00Z", "2026-01-23T00:00:00Z"]),
        ("59 23 31 dec *", ["2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"]),
    ] {
        assert_eq!(next(text, &utc, "2026-01-01T00:00:00Z", 2), want, "{text}");
    }
}

#[test]
fn a_time_that_the_clock_skips_is_due_once_when_it_is_moved() {
    let berlin = berlin();
    let night = "2026-03-28T12:00:00Z";
    assert_eq!(
        next("30 2 * * *", &berlin, night, 2),
        ["2026-03-29T01:00:00Z skipped", "2026-03-30T00:30:00Z"],
        "not left out, and not twice"
    );
    // Several skipped ones are one, and the one that falls on that moment is no second.
    assert_eq!(
        next("0,30 2-3 * * *", &berlin, night, 3),
        ["2026-03-29T01:00:00Z skipped", "2026-03-29T01:30:00Z", "2026-03-30T00:00:00Z"]
    );
    // By the hour: nothing is skipped that was not there.
    assert_eq!(
        next("30 * * * *", &berlin, "2026-03-29T00:00:00Z", 3),
        ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]
    );
}

#[test]
fn a_time_that_comes_twice_is_due_once_and_every_hour_is_every_hour() {
    let berlin = berlin();
    let night = "2026-10-24T12:00:00Z";
    assert_eq!(next("30 2 * * *", &berlin, night, 2), ["2026-10-25T00:30:00Z first", "2026-10-26T01:30:00Z"]);
    assert_eq!(next("0 3 * * *", &berlin, night, 1), ["2026-10-25T02:00:00Z"]);
    assert_eq!(
        next("30 * * * *", &berlin, "2026-10-25T00:00:00Z", 3),
        ["2026-10-25T00:30:00Z first", "2026-10-25T01:30:00Z second", "2026-10-25T02:30:00Z"]
    );
    // Between the two: the second is still to come.
    assert_eq!(
        next("15,45 * * * *", &berlin, "2026-10-25T00:50:00Z", 2),
        ["2026-10-25T01:15:00Z second", "2026-10-25T01:45:00Z second"]
    );
}

#[test]
fn each_day_of_a_year_has_its_time_once() {
    let berlin = berlin();
    let (mut after, end) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let schedule = Schedule::parse("30 2 * * *").expect("sound");
    let mut days = std::collections::BTreeSet::new();
    while let Some(due) = schedule.next(&berlin, after).filter(|due| due.at < end) {
        assert!(days.insert(due.clock.date()), "{} twice", due.clock);
        after = due.at;
    }
    assert_eq!(days.len(), 365);
}

#[test]
fn the_newest_is_the_last_of_the_next_ones() {
    let berlin = berlin();
    for text in ["30 2 * * *", "*/15 * * * *", "0 0 1 * *", "5 1-4 * * 0"] {
        let schedule = Schedule::parse(text).expect("sound");
        for (from, until) in [
            ("2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"),
            ("2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z"),
            ("2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z"),
            ("2026-05-31T21:59:59Z", "2026-05-31T22:00:00Z"),
        ] {
            let (mut last, mut after) = (None, at(from));
            while let Some(due) = schedule.next(&berlin, after).filter(|due| due.at <= at(until)) {
                (last, after) = (Some(due.at), due.at);
            }
            let latest = schedule.latest(&berlin, at(from), at(until)).map(|due| due.at);
            assert_eq!(latest, last, "{text} from {from} until {until}");
        }
    }
}

#[test]
fn what_was_missed_is_made_up_for_once_and_not_for_ever() {
    let schedule = Schedule::parse("0 3 * * *").expect("sound");
    let latest = Patience { catch_up: CatchUp::Latest, within_ms: 3_600_000 };
    let skip = Patience { catch_up: CatchUp::Skip, ..latest };
    let utc = TimeZone::UTC;
    let seen = at("2026-05-01T03:00:00Z");
    let step = |patience, now: &str| match schedule.step(&utc, patience, seen, at(now)) {
        Step::Wait => "wait".to_owned(),
        Step::Start { due, late, others } => format!("start {} late {late} others {others}", due.at),
        Step::Missed { due } => format!("missed {}", due.at),
    };
    for (patience, now, want) in [
        (latest, "2026-05-02T02:59:59Z", "wait"),
        (latest, "2026-05-02T03:00:00Z", "start 2026-05-02T03:00:00Z late false others false"),
        (skip, "2026-05-02T03:01:00Z", "start 2026-05-02T03:00:00Z late false others false"),
        (latest, "2026-05-02T03:01:01Z", "start 2026-05-02T03:00:00Z late true others false"),
        (skip, "2026-05-02T03:01:01Z", "missed 2026-05-02T03:00:00Z"),
        (latest, "2026-05-02T04:00:00Z", "start 2026-05-02T03:00:00Z late true others false"),
        (latest, "2026-05-02T04:00:01Z", "missed 2026-05-02T03:00:00Z"),
        // Ten days later: one start, and only if it is recent.
        (latest, "2026-05-11T03:30:00Z", "start 2026-05-11T03:00:00Z late true others true"),
        (latest, "2026-05-11T12:00:00Z", "missed 2026-05-11T03:00:00Z"),
        // A clock that went back has seen everything.
        (latest, "2026-04-30T03:00:00Z", "wait"),
    ] {
        assert_eq!(step(patience, now), want, "{now} {patience:?}");
    }
}
