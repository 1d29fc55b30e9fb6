//! The audit: who did what, and whether its chain holds.
//!
//! Deliberately not here: writing it.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{ROWS, badge_of, items, nothing, pages, plain, said, table, when};
use super::visit::Visit;
use crate::api::extract::Query;

/// What the list is narrowed to.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    since: String,
    cursor: String,
}

/// `GET /audit`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let since = wanted.since.as_str();
    let answer = visit.get("/v1/audit", &[("since", since), ("limit", ROWS), ("cursor", &wanted.cursor)]).await?;
    let rows: Vec<Vec<Markup>> = items(&answer, "audit").iter().map(|line| row(&visit, line)).collect();
    let check = &answer["check"];
    let body = html! {
        h1 { "Audit" }
        @if check.is_object() {
            p class="lead" {
                @match check["broken"].as_u64() {
                    None => { (badge_of("the chain holds", "good")) " " (holds(check)) }
                    Some(line) => { (badge_of("the chain is broken", "bad")) " " (holds(check)) " Line " (line) " does not follow from the one before it: somebody changed the database by another way." }
                }
            }
        }
        form method="get" action="/audit" class="filter" {
            div { label for="since" { "Since" } input id="since" name="since" value=(wanted.since) placeholder="90d"; }
            button { "Show" }
        }
        @if rows.is_empty() { (nothing("Nothing was done.")) }
        @else { (table("Audit, newest first", &["Line", "When", "Who", "What", "Of", "Details"], &rows)) }
        (pages("/audit", &[("since", since)], &answer, !wanted.cursor.is_empty()))
    };
    visit.page(Place::Audit, "Audit", &body).await
}

/// Which lines follow from each other.
fn holds(check: &Value) -> String {
    match check["rows"].as_u64().unwrap_or(0) {
        0 => "No line holds yet.".to_owned(),
        1 => "Line 1 holds.".to_owned(),
        last => format!("Lines 1 to {last} hold: each follows from the one before it."),
    }
}

fn row(visit: &Visit, line: &Value) -> Vec<Markup> {
    vec![
        html! { (said(line, "seq")) },
        when(&line["at"], visit.now),
        html! { strong { (said(line, "who")) } },
        html! { (said(line, "what")) },
        html! { (said(line, "subject")) },
        details(&line["details"]),
    ]
}

/// The reason stands out; the rest is folded.
fn details(details: &Value) -> Markup {
    let others = details.as_object().map_or(0, |map| map.keys().filter(|key| *key != "reason").count());
    html! {
        @if details["reason"].is_string() { span class="line" { (said(details, "reason")) } }
        @if others > 0 {
            details class="raw" { summary { "more" } code { (plain(&details.to_string())) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_says_which_lines_hold() {
        let said = |rows: u64| holds(&json!({"rows": rows}));
        assert_eq!(said(41), "Lines 1 to 41 hold: each follows from the one before it.");
        assert_eq!((said(1), said(0)), ("Line 1 holds.".to_owned(), "No line holds yet.".to_owned()));
    }
}
