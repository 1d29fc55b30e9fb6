//! A run started by hand: which runbook, on what, with which parameters; first as a plan, which is then applied.
//!
//! Deliberately not here: typing what was written; the API reads it by the manifest and says what does not fit.

use axum::response::Response;
use maud::{Markup, html};
use sandbook_core::manifest::{ParameterType, ParameterValue};
use sandbook_core::run::Stage;
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{badge, items, link, nothing, plain, reason, said};
use super::visit::Visit;
use crate::api::extract::Query;
use crate::cli::client::segment;
use crate::cli::text::field;

/// What the name of a parameter's field begins with.
pub(super) const PARAMETER: &str = "parameter.";
/// Routes behind the two buttons.
const PLAN: &str = "/v1/runbooks/{name}/plan";
const START: &str = "/v1/runbooks/{name}/runs";

/// What is filled in already.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    runbook: String,
    target: String,
    episode: String,
}

/// `GET /runs/new`
pub(super) async fn show(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let runbooks = visit.get("/v1/runbooks", &[]).await?;
    let chosen = match wanted.runbook.as_str() {
        "" => None,
        name => Some(visit.get(&format!("/v1/runbooks/{}", segment(name)), &[]).await?),
    };
    let name = chosen.as_ref().map(|runbook| field(runbook, "name")).unwrap_or_default();
    let all = items(&runbooks, "runbooks");
    let body = html! {
        p class="quiet" { a href="/runs" { "Runs" } " / by hand" }
        h1 { "Start a run by hand" }
        p class="lead" { "First a plan: it reads the real world, changes nothing, and says what the run would do. Then somebody applies it, and the run does that and nothing else." }
        @if all.is_empty() { (nothing("No runbook is installed.")) }
        form method="get" action="/runs/new" class="filter" {
            input type="hidden" name="target" value=(wanted.target);
            input type="hidden" name="episode" value=(wanted.episode);
            div { label for="which" { "Runbook" } select id="which" name="runbook" {
                @for one in all.iter().map(|runbook| field(runbook, "name")) {
                    option value=(one) selected[one == name] { (plain(&one)) }
                }
            } }
            button { "Choose" }
        }
        @if let Some(runbook) = &chosen {
            h2 { (link("/runbooks", &name, &name)) " " span class="quiet" { (said(runbook, "version")) } " " (badge(&field(runbook, "stage"))) }
            p { (said(runbook, "summary")) }
            (fields(&visit, runbook, &wanted))
        }
    };
    visit.page(Place::Runs, "Start a run by hand", &body).await
}

fn fields(visit: &Visit, runbook: &Value, wanted: &Wanted) -> Markup {
    if !visit.may("POST", PLAN) {
        return html! { p class="note" { "Planning needs a token of role author, applying and starting one of role operator; yours may look." } };
    }
    let base = format!("/runbooks/{}", segment(&field(runbook, "name")));
    let kind = field(&runbook["manifest"]["target"], "kind");
    let parameters: Vec<(&String, &Value)> =
        runbook["manifest"]["parameters"].as_object().into_iter().flatten().collect();
    let starts = visit.may("POST", START);
    visit.form(&format!("{base}/plan"), "card stack", &html! {
        @if !wanted.episode.is_empty() {
            input type="hidden" name="episode" value=(wanted.episode);
            p class="quiet" { "About " (link("/alerts", &wanted.episode, "this alert")) ", whose labels also say on what." }
        }
        // Whoever starts a run by hand means it; forbids, protection and brakes hold all the same.
        @if starts { input type="hidden" name="to_apply" value="yes"; }
        @if kind == "none" { p class="quiet" { "It is about nothing in particular." } } @else {
            label for="target" { "Target (a " (plain(&kind)) ")" }
            input id="target" name="target" value=(wanted.target) placeholder="name, host/name or host/project/service" autocomplete="off" required[wanted.episode.is_empty() && kind != "host"];
        }
        @if !parameters.is_empty() {
            div class="fields wide" {
                @for (index, (name, parameter)) in parameters.iter().enumerate() { (one(index, name, parameter)) }
            }
        }
        div class="choices" { button class="go" { "Plan it first" } }
        @if starts { (at_once(&base, &field(runbook, "stage"))) }
        @else { p class="quiet" { "Applying the plan needs a token of role operator." } }
    })
}

/// The way without a plan, for what is trusted to act.
fn at_once(base: &str, stage: &str) -> Markup {
    let acts = [Stage::Ask, Stage::Live].iter().any(|acting| acting.name() == stage);
    html! {
        @if acts {
            details class="act" {
                summary { "Start it at once, without a plan" }
                div class="stack" {
                    p class="quiet" { "It does what its stage, policy and brakes let it." }
                    (reason("reason", "Why (stands in the audit)", false))
                    div class="choices" { button formaction={ (base) "/runs" } { "Start it now" } }
                }
            }
        } @else {
            p class="quiet" { "In stage " (stage) " it never acts by itself; a plan of it can be applied." }
        }
    }
}

/// A parameter's field, by its type.
fn one(index: usize, name: &str, parameter: &Value) -> Markup {
    let read = |key: &str| serde_json::from_value::<ParameterValue>(parameter[key].clone()).ok();
    let type_ = serde_json::from_value(parameter["type"].clone()).unwrap_or(ParameterType::Text);
    let text = |key: &str| read(key).map(|value| value.text(type_));
    let (id, called, default) = (format!("parameter-{index}"), format!("{PARAMETER}{name}"), text("default"));
    let needed = default.is_none();
    let bounds = [("at least", text("min")), ("at most", text("max"))];
    let choices: Vec<String> = match type_ {
        ParameterType::Choice => {
            items(parameter, "choices").iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        ParameterType::Flag => vec!["true".to_owned(), "false".to_owned()],
        ParameterType::Text
        | ParameterType::Integer
        | ParameterType::Number
        | ParameterType::Duration
        | ParameterType::Size => Vec::new(),
    };
    html! {
        div {
            label for=(id) { (plain(name)) " (" (type_.name()) ")" }
            @if choices.is_empty() {
                input id=(id) name=(called) value=(default.as_deref().unwrap_or_default()) placeholder=(type_.example()) inputmode=[digits(type_)] autocomplete="off" required[needed] aria-describedby={ (id) "-about" };
            } @else {
                select id=(id) name=(called) required[needed] aria-describedby={ (id) "-about" } {
                    @if needed { option value="" { "choose" } }
                    @for choice in &choices { option value=(choice) selected[Some(choice) == default.as_ref()] { (plain(choice)) } }
                }
            }
            p class="quiet" id={ (id) "-about" } {
                (said(parameter, "summary"))
                @for (word, bound) in &bounds { @if let Some(bound) = bound { " " (word) " " (plain(bound)) } }
                @if parameter["pattern"].is_string() { " like " code { (said(parameter, "pattern")) } }
            }
        }
    }
}

/// Which keys a phone offers.
fn digits(type_: ParameterType) -> Option<&'static str> {
    match type_ {
        ParameterType::Integer => Some("numeric"),
        ParameterType::Number => Some("decimal"),
        ParameterType::Text
        | ParameterType::Flag
        | ParameterType::Duration
        | ParameterType::Size
        | ParameterType::Choice => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_is_asked_for_by_its_type_and_what_is_said_of_it_is_text() {
        let duration =
            json!({"type": "duration", "default": {"duration": 10_000}, "max": {"duration": 60_000}, "summary": "<b>"});
        let html = one(0, "grace", &duration).into_string();
        assert!(html.contains("value=\"10s\"") && html.contains("at most 1m") && !html.contains("required"), "{html}");
        assert!(html.contains("&lt;b&gt;") && html.contains("name=\"parameter.grace\""), "{html}");
        let number = one(1, "count", &json!({"type": "integer", "summary": ""})).into_string();
        assert!(number.contains("inputmode=\"numeric\"") && number.contains("required"), "{number}");
        let choice = json!({"type": "choice", "choices": ["a", "<i>"], "default": {"text": "a"}, "summary": ""});
        let html = one(2, "which", &choice).into_string();
        assert!(html.contains("<option value=\"a\" selected>") && html.contains("&lt;i&gt;"), "{html}");
        let flag = one(3, "deep", &json!({"type": "flag", "default": {"flag": false}, "summary": ""})).into_string();
        assert!(flag.contains("<option value=\"false\" selected>"), "{flag}");
    }
}
