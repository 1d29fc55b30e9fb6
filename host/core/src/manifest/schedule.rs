//! The spelling of a schedule: five fields, `minute hour day-of-month month day-of-week`, in a named time zone.
//!
//! Deliberately not here: when it is next due. That needs a calendar and belongs to the daemon; here only a typo is found.

use crate::problem::{Malformed, quote};

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

/// Checks a cron expression: `*`, `5`, `1-5`, `*/15`, `1-30/2`, `mon-fri` and lists of them. Sunday is 0 or 7.
pub fn check_schedule(text: &str) -> Result<(), Malformed> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(Malformed(format!(
            "schedule {} has {} fields, it must have five: minute hour day-of-month month day-of-week, like 0 3 * * *",
            quote(text),
            fields.len()
        )));
    }
    for (field, part) in FIELDS.iter().zip(fields) {
        part.split(',').try_for_each(|part| check_part(field, part)).map_err(|why| {
            let Field { name, min, max, .. } = field;
            Malformed(format!("schedule {}: {name} {} {why} ({min} to {max}, *, 1-5, */15)", quote(text), quote(part)))
        })?;
    }
    Ok(())
}

fn check_part(field: &Field, part: &str) -> Result<(), &'static str> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    if let Some(step) = step {
        let step = number(step).ok_or("has a step that is no number")?;
        if step == 0 || step > field.max {
            return Err("has a step out of range");
        }
    }
    match range.split_once('-') {
        None if range == "*" => Ok(()),
        None if step.is_some() => Err("has a step without a range"),
        None => value(field, range).map(drop),
        Some((from, to)) if value(field, from)? > value(field, to)? => Err("has a range that runs backwards"),
        Some(_) => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
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
        ] {
            match check_schedule(text) {
                Ok(()) => assert_eq!(says, "", "{text}"),
                Err(error) => assert!(!says.is_empty() && error.0.contains(says), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn time_zones() {
        for (text, ok) in [("Europe/Berlin", true), ("UTC", true), ("Etc/GMT+5", true), ("", false), ("Mars X", false)]
        {
            assert_eq!(check_timezone(text).is_ok(), ok, "{text}");
        }
    }
}
