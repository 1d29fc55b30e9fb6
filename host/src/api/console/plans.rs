//! Plans: what a runbook would do, and letting it do that and nothing else.
//!
//! Deliberately not here: making and applying one, see [`super::acts`].

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{
    ROWS, badge, badge_of, block, facts, items, link, nothing, on, pages, plain, run_link, said, table, tone, when,
};
use super::timeline::before_after;
use super::visit::Visit;
use crate::api::extract::{Path, Query};
use crate::cli::client::segment;
use crate::cli::text::{digest, field, time};

/// Which page of the list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    cursor: String,
}

/// `GET /plans`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let answer = visit.get("/v1/plans", &[("limit", ROWS), ("cursor", &wanted.cursor)]).await?;
    let rows: Vec<Vec<Markup>> = items(&answer, "plans").iter().map(|plan| row(&visit, plan)).collect();
    let body = html! {
        h1 { "Plans" }
        p class="lead" { "A plan reads the real world, changes nothing, and says what a runbook would do. Make one on the page of a runbook." }
        @if rows.is_empty() { (nothing("No plan was made yet.")) }
        @else { (table("Plans, newest first", &["Plan", "State", "Target", "It would", "By", "Made"], &rows)) }
        (pages("/plans", &[], &answer, !wanted.cursor.is_empty()))
    };
    visit.page(Place::Plans, "Plans", &body).await
}

/// `open`, `expired` or `applied`.
fn state(visit: &Visit, plan: &Value) -> &'static str {
    let expired = time(&plan["expires_at"]).is_some_and(|at| at <= visit.now);
    match (plan["applied"].is_string(), expired) {
        (true, _) => "applied",
        (false, true) => "expired",
        (false, false) => "open",
    }
}

fn row(visit: &Visit, plan: &Value) -> Vec<Markup> {
    vec![
        link("/plans", &field(plan, "plan"), &field(plan, "runbook")),
        badge(state(visit, plan)),
        on(&plan["target"]),
        html! { (summary(&plan["summary"])) },
        html! { (said(plan, "by")) },
        when(&plan["at"], visit.now),
    ]
}

/// What it would do, counted.
pub(super) fn summary(summary: &Value) -> String {
    let kinds =
        [("changes", "change"), ("asks", "question"), ("tells", "message"), ("refused", "refusal"), ("reads", "read")];
    let parts: Vec<String> = kinds
        .iter()
        .filter_map(|(key, word)| Some((summary[*key].as_u64().filter(|count| *count > 0)?, word)))
        .map(|(count, word)| crate::cli::text::count(usize::try_from(count).unwrap_or(usize::MAX), word))
        .collect();
    if parts.is_empty() { "do nothing".to_owned() } else { parts.join(", ") }
}

/// Open plans, for whoever decides.
pub(super) fn cards(visit: &Visit, plans: &[Value]) -> Markup {
    let open: Vec<&Value> = plans.iter().filter(|plan| state(visit, plan) == "open").collect();
    html! {
        @if open.is_empty() { (nothing("No plan waits to be applied.")) }
        @for plan in open {
            article class="card" {
                h3 { (link("/plans", &field(plan, "plan"), &field(plan, "runbook"))) " " span class="at" { (on(&plan["target"])) } }
                p { (summary(&plan["summary"])) @if plan["complete"] != true { " " (badge("assumed")) } }
                p class="quiet" { "made by " (said(plan, "by")) " " (when(&plan["at"], visit.now)) " · expires " (when(&plan["expires_at"], visit.now)) }
            }
        }
    }
}

/// `GET /plans/{id}`
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Refused> {
    let plan = visit.get(&format!("/v1/plans/{}", segment(&id)), &[]).await?;
    let state = state(&visit, &plan);
    let body = html! {
        p class="quiet" { a href="/plans" { "Plans" } " / " span class="id" { (said(&plan, "plan")) } }
        h1 { "Plan: " (said(&plan, "runbook")) " " span class="at" { "on " (on(&plan["target"])) } " " (badge(state)) }
        p class="lead" { "It comes to " (badge(&field(&plan, "outcome"))) " " (said(&plan, "sentence")) }
        p { "It would: " (summary(&plan["summary"])) "." @if plan["complete"] != true { " Something in it is assumed, so it may turn out otherwise." } }
        @if plan["fault"].is_string() { p class="note" { (said(&plan, "fault")) } }
        (facts(&[
            ("version", html! { (link("/runbooks", &field(&plan, "runbook"), &field(&plan, "runbook"))) " " (said(&plan, "version")) " " code { (digest(&field(&plan, "digest"))) } " " (badge(&field(&plan, "stage"))) }),
            ("alert", html! { (said(&plan, "alert")) }),
            ("made", html! { (when(&plan["at"], visit.now)) " by " (said(&plan, "by")) }),
            ("expires", when(&plan["expires_at"], visit.now)),
            ("applied by run", html! { @if let Some(run) = plan["applied"].as_str() { (run_link(run)) } }),
        ]))
        @if state == "open" { (apply(&visit, &plan)) }
        section aria-labelledby="effects" {
            h2 id="effects" { "Every effect, in order" }
            (effects(items(&plan, "effects")))
        }
        @if !items(&plan, "notes").is_empty() {
            section aria-labelledby="notes" {
                h2 id="notes" { "What the runbook wrote" }
                @for note in items(&plan, "notes") { (block(&field(note, "effect"), &field(note, "text"))) }
            }
        }
    };
    let title = format!("Plan of {}", said(&plan, "runbook"));
    visit.page(Place::Plans, &title, &body).await
}

fn apply(visit: &Visit, plan: &Value) -> Markup {
    if !visit.may("POST", "/v1/plans/{id}/apply") {
        return html! { p class="note" { "Applying needs a token of role operator; yours may look." } };
    }
    visit.form(&format!("/plans/{}/apply", segment(&field(plan, "plan"))), "card stack", &html! {
        @if plan["summary"]["changes"] == 0 { p { "It would change nothing now." } }
        p { "The run may do these changes and no others; it asks at the first that differs. Forbids, protection and brakes hold." }
        div class="choices" { button class="go" { "Apply this plan" } }
    })
}

/// Effects of a plan, or of what another version would have done.
pub(super) fn effects(effects: &[Value]) -> Markup {
    html! {
        @if effects.is_empty() { p class="quiet" { "None." } }
        ol class="timeline" { @for effect in effects { (effect_of(effect)) } }
    }
}

/// What becomes of a change with that decision.
fn would(decision: &str) -> &'static str {
    match decision {
        "allow" => "would change",
        "ask" => "would ask, then change",
        _ => "would be refused",
    }
}

fn effect_of(effect: &Value) -> Markup {
    let decision = field(effect, "decision");
    let changes = effect["class"] == "mutate";
    let look = match (decision.as_str(), changes) {
        ("allow", true) => "good",
        ("allow", false) => "calm",
        (other, _) => tone(other),
    };
    html! {
        li class={ "entry " (look) @if changes { " mutates" } } {
            span class="offset" { (said(effect, "slot")) }
            div class="what" {
                p class="line-of" { strong { (said(effect, "sentence")) } " " @if changes { (badge_of(would(&decision), look)) } }
                p class="quiet" {
                    code { (said(effect, "effect")) } " " (on(&effect["target"])) " · decision "
                    (badge_of(&decision, if decision == "allow" { "calm" } else { tone(&decision) }))
                    @if !items(effect, "policy").is_empty() {
                        " by policy " @for id in items(effect, "policy").iter().filter_map(Value::as_str) { code { (plain(id)) } " " }
                    }
                    " · " (said(effect, "certainty"))
                }
                @if effect["error"].is_string() { p { (said(effect, "error")) } }
                @if effect["drift"].is_string() { p class="note" { (said(effect, "drift")) } }
                (before_after(Some(&effect["before"]), Some(&effect["after"])))
                details class="raw" {
                    summary { "Arguments and answer of " (said(effect, "effect")) }
                    (block("arguments", &format!("{:#}", effect["arguments"])))
                    @if !effect["result"].is_null() { (block("answer", &format!("{:#}", effect["result"]))) }
                }
            }
        }
    }
}
