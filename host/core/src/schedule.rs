//! Schedules: five cron fields in a time zone, when they are due, and what is made up for.
//!
//! `minute hour day-of-month month day-of-week`, each `*`, `5`, `1-5`, `*/15`, `1-30/2` or a list of them. When day of
//! month and day of week are both restricted (neither begins with `*`) either is enough, as every cron has it.
//!
//! Where the clock is moved: an hour that was written out (`30 2 * * *`) is due exactly once a day. If the clock skips it, it
//! is due the moment the clock is moved; if it comes twice, the first counts. A schedule of every hour (`30 * * * *`, `*/2`)
//! goes by elapsed hours: what is skipped is skipped, and what comes twice is due twice.
//!
//! Deliberately not here: what time it is and which time zones there are. Both are data: the daemon hands them in.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::problem::{Malformed, quote};

#[cfg(test)]
mod tests;

/// Days looked at for the next time: the 29th of February on a given weekday comes within 40 years, also around 2100.
const DAYS_MAX: u32 = 41 * 366;
/// Noticed within so long, in milliseconds, it is on time: a busy daemon looks late.
pub const ON_TIME_MS: u64 = 60_000;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Words for values, the first for `min`.
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, words: &[] },
    Field { name: "hour", min: 0, max: 23, words: &[] },
    Field { name: "day of month", min: 1, max: 31, words: &[] },
    Field { name: "month", min: 1, max: 12, words: &MONTHS },
    Field { name: "day of week", min: 0, max: 7, words: &WEEKDAYS },
];

/// When something is due. A bit for each value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
    /// The hour begins with `*`.
    every_hour: bool,
    /// One of the fields of days begins with `*`: then both must hold.
    both_days: bool,
}

/// One time that a schedule is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// What the schedule means, on a clock at the place.
    pub clock: DateTime,
    /// What the clock does then.
    pub shift: Shift,
}

/// What the clock does at a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shift {
    /// Nothing.
    None,
    /// It skips that time, so it is due the moment it is moved.
    Skipped,
    /// It shows that time twice, and this is the first.
    First,
    /// It shows that time twice, and this is the second.
    Second,
}

/// What becomes of times that were missed: the daemon was down, or the machine's clock was set forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// The newest is made up for, if it is not older than allowed; those before it are not.
    #[default]
    Latest,
    /// Nothing is made up for.
    Skip,
}

impl CatchUp {
    /// Every case.
    pub const ALL: [CatchUp; 2] = [CatchUp::Latest, CatchUp::Skip];

    /// The word in manifests.
    pub fn name(self) -> &'static str {
        match self {
            CatchUp::Latest => "latest",
            CatchUp::Skip => "skip",
        }
    }
}

/// How late is still worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// What becomes of missed times.
    pub catch_up: CatchUp,
    /// How old the newest may be, in milliseconds.
    pub within_ms: u64,
}

impl Patience {
    /// An hour: long enough for a restart or an upgrade, short enough that a nightly clean-up does not run at noon.
    pub const WITHIN_MS: u64 = 3_600_000;
    /// At least what is on time anyway.
    pub const WITHIN_MS_MIN: u64 = ON_TIME_MS;
    /// A week.
    pub const WITHIN_MS_MAX: u64 = 7 * 86_400_000;
}

impl Default for Patience {
    fn default() -> Self {
        Patience { catch_up: CatchUp::default(), within_ms: Patience::WITHIN_MS }
    }
}

/// What is to be done about the time that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing was due.
    Wait,
    /// This one is to be started.
    Start {
        /// Which.
        due: Due,
        /// It was missed and is made up for.
        late: bool,
        /// Others before it were missed and are not.
        others: bool,
    },
    /// This one, and maybe others before it, was missed and is not made up for.
    Missed {
        /// The newest.
        due: Due,
    },
}

impl Schedule {
    /// Reads five fields. Sunday is 0 or 7; months and weekdays may be words.
    pub fn parse(text: &str) -> Result<Schedule, Malformed> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return Err(Malformed(format!(
                "schedule {} has {} fields, it must have five: minute hour day-of-month month day-of-week, like 0 3 * * *",
                quote(text),
                parts.len()
            )));
        };
        let read = |index: usize, part: &str| -> Result<u64, Malformed> {
            let field = &FIELDS[index];
            let bits = part.split(',').try_fold(0, |bits, part| bits_of(field, part).map(|more| bits | more));
            bits.map_err(|why| {
                let Field { name, min, max, .. } = field;
                let part = quote(part);
                Malformed(format!("schedule {}: {name} {part} {why} ({min} to {max}, *, 1-5, */15)", quote(text)))
            })
        };
        let weekdays = read(4, weekday)?;
        let schedule = Schedule {
            minutes: read(0, minute)?,
            hours: read(1, hour)?,
            days: read(2, day)?,
            months: read(3, month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            every_hour: hour.starts_with('*'),
            both_days: day.starts_with('*') || weekday.starts_with('*'),
        };
        // Which year it is does not matter: so many days hold every combination of day and weekday.
        let from = Timestamp::UNIX_EPOCH;
        if schedule.next(&TimeZone::UTC, from).is_none() {
            return Err(Malformed(format!("schedule {} is never due: no year has such a day", quote(text))));
        }
        Ok(schedule)
    }

    /// The first time after `after`.
    pub fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Due> {
        // An hour that comes twice may belong to the day before.
        let mut date = after.to_zoned(zone.clone()).date().yesterday().ok()?;
        for _ in 0..DAYS_MAX {
            let found = self.of_day(zone, date).into_iter().filter(|due| due.at > after).min();
            if found.is_some() {
                return found;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The newest time after `after` and not after `until`.
    pub fn latest(&self, zone: &TimeZone, after: Timestamp, until: Timestamp) -> Option<Due> {
        let first = after.to_zoned(zone.clone()).date().yesterday().ok()?;
        // A time that the clock skips at midnight belongs to the day after.
        let mut date = until.to_zoned(zone.clone()).date().tomorrow().ok()?;
        for _ in 0..DAYS_MAX {
            let within = |due: &Due| due.at > after && due.at <= until;
            let found = self.of_day(zone, date).into_iter().filter(within).max();
            if found.is_some() || date <= first {
                return found;
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// What is to be done at `now` when everything up to `seen` is settled.
    pub fn step(&self, zone: &TimeZone, patience: Patience, seen: Timestamp, now: Timestamp) -> Step {
        let Some(due) = self.latest(zone, seen, now) else { return Step::Wait };
        let age = now.as_millisecond().saturating_sub(due.at.as_millisecond()).unsigned_abs();
        let others = self.next(zone, seen).is_some_and(|first| first.at < due.at);
        match patience.catch_up {
            _ if age <= ON_TIME_MS => Step::Start { due, late: false, others },
            CatchUp::Latest if age <= patience.within_ms => Step::Start { due, late: true, others },
            CatchUp::Latest | CatchUp::Skip => Step::Missed { due },
        }
    }

    /// Every time of a day; some may be equal where the clock skips.
    fn of_day(&self, zone: &TimeZone, date: Date) -> Vec<Due> {
        let mut found: Vec<Due> = Vec::new();
        if !self.has_day(date) {
            return found;
        }
        for hour in (0..24i8).filter(|hour| has(self.hours, *hour)) {
            for minute in (0..60i8).filter(|minute| has(self.minutes, *minute)) {
                self.at(zone, date.at(hour, minute, 0, 0), &mut found);
            }
        }
        found
    }

    fn has_day(&self, date: Date) -> bool {
        let (day, weekday) = (has(self.days, date.day()), has(self.weekdays, date.weekday().to_sunday_zero_offset()));
        let right = if self.both_days { day && weekday } else { day || weekday };
        right && has(self.months, date.month())
    }

    /// When that time of the clock is, if it is.
    fn at(&self, zone: &TimeZone, clock: DateTime, found: &mut Vec<Due>) {
        let mut add = |at: Option<Timestamp>, shift| found.extend(at.map(|at| Due { at, clock, shift }));
        let on = |offset: jiff::tz::Offset| offset.to_timestamp(clock).ok();
        match zone.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => add(on(offset), Shift::None),
            AmbiguousOffset::Gap { .. } if self.every_hour => {}
            AmbiguousOffset::Gap { before, .. } => {
                let moved = on(before).and_then(|at| zone.preceding(at).next()).map(|moved| moved.timestamp());
                add(moved, Shift::Skipped);
            }
            AmbiguousOffset::Fold { before, after } => {
                add(on(before), Shift::First);
                if self.every_hour {
                    add(on(after), Shift::Second);
                }
            }
        }
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits & 1 << value != 0)
}

fn bits_of(field: &Field, part: &str) -> Result<u64, &'static str> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let every = match step {
        Some(step) => number(step).ok_or("has a step that is no number")?,
        None => 1,
    };
    if every == 0 || every > field.max {
        return Err("has a step out of range");
    }
    let (from, to) = match range.split_once('-') {
        None if range == "*" => (field.min, field.max),
        None if step.is_some() => return Err("has a step without a range"),
        None => value(field, range).map(|value| (value, value))?,
        Some((from, to)) => (value(field, from)?, value(field, to)?),
    };
    if from > to {
        return Err("has a range that runs backwards");
    }
    let steps = usize::try_from(every).unwrap_or(usize::MAX);
    Ok((from..=to).step_by(steps).fold(0, |bits, value| bits | 1 << value))
}

fn value(field: &Field, text: &str) -> Result<u32, &'static str> {
    let lower = text.to_ascii_lowercase();
    let word = field.words.iter().position(|word| *word == lower).and_then(|at| u32::try_from(at).ok());
    let value = word.map(|at| at + field.min).or_else(|| number(text)).ok_or("is not a value")?;
    if (field.min..=field.max).contains(&value) { Ok(value) } else { Err("is out of range") }
}

fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Checks that a text can be a time zone's name, such as `Europe/Berlin` or `UTC`. Whether there is one of that name only
/// the daemon's database knows.
pub fn check_timezone(text: &str) -> Result<(), Malformed> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '/');
    if text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) {
        return Ok(());
    }
    Err(Malformed(format!("{} is not a time zone: write it like Europe/Berlin or UTC", quote(text))))
}
