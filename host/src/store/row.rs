//! Between rows and values: numbers, words and JSON.
//!
//! A word or JSON that cannot be read means a damaged file, never an empty value.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, PAGE_MAX, Result};

/// Reads of columns by name.
pub(super) trait Columns {
    fn ms(&self, column: &str) -> rusqlite::Result<u64>;
    fn ms_maybe(&self, column: &str) -> rusqlite::Result<Option<u64>>;
    fn json<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<T>;
    fn json_maybe<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<Option<T>>;
    /// A unit case of an enum, stored as its word.
    fn word<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<T>;
    fn word_maybe<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<Option<T>>;
}

fn unreadable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

fn of_word<T: DeserializeOwned>(word: String) -> rusqlite::Result<T> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(unreadable)
}

impl Columns for Row<'_> {
    fn ms(&self, column: &str) -> rusqlite::Result<u64> {
        Ok(self.get::<_, i64>(column)?.max(0).unsigned_abs())
    }
    fn ms_maybe(&self, column: &str) -> rusqlite::Result<Option<u64>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(|ms| ms.max(0).unsigned_abs()))
    }
    fn json<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<T> {
        serde_json::from_str(self.get_ref(column)?.as_str()?).map_err(unreadable)
    }
    fn json_maybe<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<Option<T>> {
        let text = self.get_ref(column)?.as_str_or_null()?;
        text.map(serde_json::from_str).transpose().map_err(unreadable)
    }
    fn word<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<T> {
        of_word(self.get(column)?)
    }
    fn word_maybe<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<Option<T>> {
        self.get::<_, Option<String>>(column)?.map(of_word).transpose()
    }
}

/// A time or count as SQLite keeps it.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// As stored.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Defect(format!("a value has no json: {error}")))
}

/// The word of a unit case.
pub(super) fn word(value: &impl Serialize) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(_) | Err(_) => Err(Error::Defect("a case has no word".to_owned())),
    }
}

/// Rows of a page, as asked for and as allowed.
pub(super) fn page(limit: u32) -> usize {
    if limit == 0 { PAGE_MAX as usize } else { limit.min(PAGE_MAX) as usize }
}

/// After which row a page begins: its time and id.
pub(super) fn parse_cursor(cursor: Option<&str>) -> Result<Option<(i64, String)>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let parts = cursor.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())));
    parts.map(Some).ok_or_else(|| Error::Invalid(format!("`{cursor}` is not a cursor of an earlier page")))
}

/// Cuts the row that was read beyond the page, and says where the next one begins.
pub(super) fn cut_page<T>(rows: &mut Vec<T>, page: usize, place: impl Fn(&T) -> (u64, String)) -> Option<String> {
    if rows.len() <= page {
        return None;
    }
    rows.truncate(page);
    rows.last().map(place).map(|(at, id)| format!("{at}.{id}"))
}

/// The conditions of a filter. Only constant text can be added, so nothing foreign becomes SQL.
pub(super) struct Where {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Where {
    /// The text up to the conditions.
    pub(super) fn new(select: &'static str) -> Where {
        Where { sql: format!("{select} WHERE 1"), values: Vec::new() }
    }

    /// One more condition with one value, if there is one.
    pub(super) fn and(&mut self, condition: &'static str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.sql.push_str(" AND ");
            self.sql.push_str(condition);
            self.values.push(Box::new(value));
        }
    }

    /// A condition with two values.
    pub(super) fn and_two(&mut self, condition: &'static str, values: Option<(i64, String)>) {
        if let Some((first, second)) = values {
            self.and(condition, Some(first));
            self.values.push(Box::new(second));
        }
    }

    /// A condition without a value.
    pub(super) fn and_plain(&mut self, condition: &'static str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    /// Reads at most `limit` rows in that order.
    pub(super) fn rows<T>(
        mut self,
        sql: &Connection,
        order: &'static str,
        limit: usize,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        self.sql.push_str(order);
        self.sql.push_str(" LIMIT ?");
        self.values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
        let mut statement = sql.prepare_cached(&self.sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(self.values), row)?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }
}

/// The row with that id, else the one row whose id begins with it. `select` takes the first two of the range `?1` to
/// `?2`, by id.
pub(super) fn unique<T>(
    sql: &Connection,
    select: &'static str,
    prefix: &str,
    mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    if prefix.is_empty() {
        return Ok(None);
    }
    let mut statement = sql.prepare_cached(select)?;
    let mut rows = statement.query([prefix, &after_prefix(prefix)])?;
    let Some(first) = rows.next()? else { return Ok(None) };
    let (exact, found) = (first.get::<_, String>("id")? == prefix, row(first)?);
    if exact || rows.next()?.is_none() { Ok(Some(found)) } else { Err(Error::Ambiguous(prefix.to_owned())) }
}

/// The end of the range of ids that begin with `prefix`.
pub(super) fn after_prefix(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}
