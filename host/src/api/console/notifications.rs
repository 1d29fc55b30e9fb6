//! Notifications: whether people can be told, channel by channel: what waits, what arrived, what does not and why.
//!
//! Deliberately not here: what is told to whom (the configuration says), and sending; see [`crate::outbox`].

use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::acts::sent;
use super::frame::{Place, Refused};
use super::parts::{badge_of, nothing, plain, said, table, when};
use super::session::OwnForm;
use super::visit::Visit;
use crate::cli::client::segment;
use crate::cli::text::field;
use crate::outbox::GRAFANA;

/// Channels shown.
const SHOWN_MAX: usize = 200;

/// `POST /notifications/test`: what the receiver said.
pub(super) async fn test(visit: Visit, form: OwnForm) -> Result<Response, Refused> {
    let channel = sent(&form.fields, "channel");
    let answer = visit.send(Method::POST, &format!("/v1/notify/{}/test", segment(&channel)), None).await?;
    let body = html! {
        p class="quiet" { a href="/notifications" { "Notifications" } " / test" }
        h1 { (plain(&channel)) " took a test message" }
        p { "The receiver said: " (said(&answer, "answer")) }
        p { a href="/notifications" { "Back to the channels" } }
    };
    visit.page(Place::Notifications, "Test of a channel", &body).await
}

/// `GET /notifications`
pub(super) async fn show(visit: Visit) -> Result<Response, Refused> {
    let status = visit.get("/status", &[]).await?;
    let none = Map::new();
    let channels = status["notify"].as_object().unwrap_or(&none);
    let rows: Vec<Vec<Markup>> =
        channels.iter().take(SHOWN_MAX).map(|(name, channel)| row(&visit, name, channel)).collect();
    let body = html! {
        h1 { "Notifications" }
        p class="lead" { (sentence(channels)) }
        @if rows.is_empty() { (nothing("No channel is configured: a question waits until somebody looks here.")) }
        @else {
            (table("Channels", &["Channel", "State", "Waiting", "Last taken", "Not taken since", "Dropped", "Why", "Try it"], &rows))
            p class="quiet" { "What is not taken is tried again, also after a restart, until " code { "give_up" } " under " code { "[notify]" } "; what is dropped stands in " a href="/audit" { "the audit" } ". Numbers count what is kept." }
        }
    };
    visit.page(Place::Notifications, "Notifications", &body).await
}

/// Whether a message would arrive now, as far as is known: a word, and how it looks.
pub(super) fn state(channel: &Value) -> (&'static str, &'static str) {
    let time = |key: &str| channel[key].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    if channel["kind"].is_null() {
        return ("not configured", "calm");
    }
    if channel["failing_since"].is_string() {
        return ("failing", "bad");
    }
    match (time("last_sent"), time("last_dropped")) {
        (taken, Some(dropped)) if taken.is_none_or(|taken| taken < dropped) => ("dropping", "bad"),
        (_, _) if channel["waiting"].as_u64().unwrap_or(0) > 0 => ("waiting", "warn"),
        (Some(_), _) => ("taking", "good"),
        (None, _) => ("not used yet", "calm"),
    }
}

/// All of it for whoever only reads one line.
fn sentence(channels: &Map<String, Value>) -> String {
    let names = |wanted: &str| -> Vec<String> {
        channels.iter().filter(|(_, one)| state(one).1 == wanted).map(|(name, _)| plain(name)).collect()
    };
    let (bad, used) = (names("bad"), names("good").len() + names("warn").len());
    match (bad.as_slice(), used) {
        ([], 0) => "Nothing was sent yet.".to_owned(),
        ([], _) => "Every channel that was used takes what it gets.".to_owned(),
        ([one], _) => format!("{one} does not take what it gets."),
        (several, _) => format!("{} do not take what they get.", several.join(", ")),
    }
}

fn row(visit: &Visit, name: &str, channel: &Value) -> Vec<Markup> {
    let (word, look) = state(channel);
    let testable = channel["kind"].is_string() && name != GRAFANA;
    vec![
        html! { strong { (plain(name)) } " " span class="quiet" { (said(channel, "kind")) } },
        badge_of(word, look),
        html! {
            (field(channel, "waiting"))
            @if channel["oldest"].is_string() { span class="line quiet" { "the oldest " (when(&channel["oldest"], visit.now)) } }
        },
        html! {
            @if channel["last_sent"].is_string() { (when(&channel["last_sent"], visit.now)) " " span class="quiet" { "(" (field(channel, "sent")) ")" } }
            @else { span class="quiet" { "nothing" } }
        },
        when(&channel["failing_since"], visit.now),
        html! {
            (field(channel, "dropped"))
            @if channel["last_dropped"].is_string() { span class="line quiet" { "last " (when(&channel["last_dropped"], visit.now)) } }
        },
        html! { (said(channel, "error")) },
        html! {
            @if testable && visit.may("POST", "/v1/notify/{channel}/test") {
                (visit.form("/notifications/test", "choices", &html! {
                    input type="hidden" name="channel" value=(name);
                    button class="plain" { "Send a test" span class="hidden" { " to " (plain(name)) } }
                }))
            }
        },
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_channel_is_as_its_last_message() {
        let (early, late) = ("2026-01-02T10:00:00.000Z", "2026-01-02T10:00:01.000Z");
        for (channel, word) in [
            (json!({"kind": "slack", "waiting": 0}), "not used yet"),
            (json!({"kind": "slack", "waiting": 2}), "waiting"),
            (json!({"kind": "slack", "waiting": 0, "last_sent": early}), "taking"),
            (json!({"kind": "slack", "waiting": 1, "last_sent": late, "failing_since": early}), "failing"),
            (json!({"kind": "slack", "waiting": 0, "last_sent": early, "last_dropped": late}), "dropping"),
            (json!({"kind": "slack", "waiting": 0, "last_sent": late, "last_dropped": early}), "taking"),
            (json!({"kind": "slack", "waiting": 0, "last_dropped": early}), "dropping"),
            (json!({"waiting": 0, "last_sent": early}), "not configured"),
        ] {
            assert_eq!(state(&channel).0, word, "{channel}");
        }
    }

    #[test]
    fn one_sentence_says_whether_people_can_be_told() {
        let (well, ill) = (
            json!({"kind": "mail", "waiting": 0, "last_sent": "2026-01-02T10:00:00Z"}),
            json!({"kind": "mail", "waiting": 1, "failing_since": "2026-01-02T10:00:00Z"}),
        );
        let of = |all: &[(&str, &Value)]| {
            sentence(&all.iter().map(|(name, one)| ((*name).to_owned(), (*one).clone())).collect())
        };
        assert_eq!(of(&[]), "Nothing was sent yet.");
        assert_eq!(of(&[("a", &well)]), "Every channel that was used takes what it gets.");
        assert_eq!(of(&[("a", &well), ("b", &ill)]), "b does not take what it gets.");
        assert_eq!(of(&[("a", &ill), ("b", &ill)]), "a, b do not take what they get.");
    }
}
