//! Grants: what each runbook may change, what it asks for and may not, and the line that permits it.
//!
//! Deliberately not here: writing policy. One permit more or less is the API's; anything else is a file of the operator's.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{badge_of, items, link, nothing, plain, said, table};
use super::visit::Visit;
use crate::api::extract::Query;
use crate::cli::text::{field, shell};

/// Policies shown.
const SHOWN_MAX: usize = 500;
/// Missing permits shown.
const MISSING_MAX: usize = 200;

/// What the lists are narrowed to, and what the form begins with.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    runbook: String,
}

/// `GET /grants`
pub(super) async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    let answer = visit.get("/v1/grants", &[]).await?;
    let effects = visit.get("/v1/effects", &[]).await?;
    let runbooks = visit.get("/v1/runbooks", &[]).await?;
    let changing: Vec<&Value> =
        items(&effects, "effects").iter().filter(|effect| effect["class"] == "mutate").collect();
    let about = |grant: &&Value| {
        wanted.runbook.is_empty() || grant["runbook"].is_null() || grant["runbook"] == wanted.runbook.as_str()
    };
    let all = items(&answer, "grants");
    let rows: Vec<Vec<Markup>> =
        all.iter().filter(about).take(SHOWN_MAX).map(|grant| row(&visit, grant, &wanted)).collect();
    let runbooks: Vec<&Value> = items(&runbooks, "runbooks")
        .iter()
        .filter(|runbook| wanted.runbook.is_empty() || runbook["name"] == wanted.runbook.as_str())
        .collect();
    let body = html! {
        h1 { "Grants" @if !wanted.runbook.is_empty() { " of " (link("/runbooks", &wanted.runbook, &wanted.runbook)) } }
        p class="lead" { "What no policy permits is not changed. A forbid and a protected container win over every permit." }
        @for warning in items(&answer, "warnings") { p class="note" { (said(warning, "message")) " (" (said(warning, "file")) ":" (said(warning, "line")) ")" } }
        @if rows.is_empty() { (nothing("No policy permits anything: runbooks look, and change nothing.")) }
        @else {
            (table("Policies, in the order of their files", &["Runbook", "It", "What", "On", "At most", "Where"], &rows))
            p class="quiet" { "What " code { "sandbook grant" } " wrote can be taken away here. What a person wrote is deleted where it stands; the daemon reads its folder again by itself, and the audit has it." }
        }
        @if !wanted.runbook.is_empty() { p { a href="/grants" { "Grants of all runbooks" } } }
        (missing(&runbooks, &changing, all))
        (add(&visit, &runbooks, &changing))
    };
    visit.page(Place::Grants, "Grants", &body).await
}

fn row(visit: &Visit, grant: &Value, wanted: &Wanted) -> Vec<Markup> {
    let forbids = grant["kind"] == "forbid";
    let effects: Vec<&str> = items(grant, "effects").iter().filter_map(Value::as_str).collect();
    vec![
        html! { @match grant["runbook"].as_str() { Some(name) => (link("/runbooks", name, name)), None => "every runbook" } },
        html! {
            @if forbids { (badge_of("must not", "bad")) } @else if grant["ask"] == true { (badge_of("may after asking", "warn")) } @else { (badge_of("may", "good")) }
        },
        html! { @if effects.is_empty() { "everything" } @for effect in effects { code { (plain(effect)) } " " } },
        html! { (said(grant, "resource")) },
        html! { (said(grant, "limit")) },
        html! {
            code { (said(grant, "id")) } " "
            span class="quiet" { (said(grant, "file")) ":" (said(grant, "line")) @if grant["reason"].is_string() { " · " (said(grant, "reason")) } }
            (take_away(visit, grant, wanted))
        },
    ]
}

/// The way to be rid of a grant; folded, because giving it back needs an admin.
fn take_away(visit: &Visit, grant: &Value, wanted: &Wanted) -> Markup {
    if grant["granted"] != true || !visit.may("DELETE", "/v1/grants/{id}") {
        return html! {};
    }
    let id = field(grant, "id");
    html! {
        details class="act" {
            summary { "Take away" span class="hidden" { " " (plain(&id)) } }
            (visit.form("/grants/remove", "stack", &html! {
                input type="hidden" name="id" value=(id);
                input type="hidden" name="runbook" value=(wanted.runbook);
                p class="quiet" { "From then on " code { (said(grant, "runbook")) } " is refused this, unless another policy permits it." }
                div class="choices" { button class="stop" { "Take this grant away" } }
            }))
        }
    }
}

/// Whether a policy permits an effect of a runbook on something.
fn permits(grant: &Value, runbook: &str, effect: &str) -> bool {
    let effects = items(grant, "effects");
    let of_it = grant["runbook"].is_null() || grant["runbook"] == runbook;
    grant["kind"] == "permit"
        && of_it
        && (effects.is_empty() || effects.iter().any(|one| one == effect || one == "mutate"))
}

/// Changes that runbooks ask for and nothing permits, each with the line that does.
fn missing(runbooks: &[&Value], changing: &[&Value], grants: &[Value]) -> Markup {
    let mut rows: Vec<Vec<Markup>> = Vec::new();
    for runbook in runbooks {
        let name = field(runbook, "name");
        for effect in items(runbook, "requests").iter().filter_map(Value::as_str) {
            let Some(info) = changing.iter().find(|info| info["name"] == effect) else { continue };
            if !grants.iter().any(|grant| permits(grant, &name, effect)) {
                rows.push(vec![
                    link("/runbooks", &name, &name),
                    html! { code { (plain(effect)) } },
                    html! { code { (line(&name, info)) } },
                ]);
            }
        }
    }
    rows.truncate(MISSING_MAX);
    html! {
        section aria-labelledby="missing" {
            h2 id="missing" { "Asked for, and permitted nowhere" }
            @if rows.is_empty() { (nothing("Everything that runbooks ask for is permitted somewhere.")) }
            @else { (table("Changes without a permit", &["Runbook", "Effect", "A line that permits it"], &rows)) }
        }
    }
}

/// The command that permits it on one thing of the kind that it is about.
fn line(name: &str, effect: &Value) -> String {
    let on = match effect["on"][0].as_str() {
        Some("Container") => " --container NAME",
        Some("Service") => " --service PROJECT/NAME",
        Some("Host") => " --host NAME",
        Some(_) | None => "",
    };
    plain(&format!("sandbook grant {} {}{on}", shell(name), shell(&field(effect, "name"))))
}

fn add(visit: &Visit, runbooks: &[&Value], changing: &[&Value]) -> Markup {
    if !visit.may("POST", "/v1/grants") {
        return html! { p class="quiet" { "Permitting more needs a token of role admin." } };
    }
    html! {
        section aria-labelledby="add" {
            h2 id="add" { "Permit one effect" }
            (visit.form("/grants", "card stack", &html! {
                div class="fields" {
                    div { label for="runbook" { "Runbook" } select id="runbook" name="runbook" {
                        @for name in runbooks.iter().map(|runbook| field(runbook, "name")) { option value=(name) { (plain(&name)) } }
                    } }
                    div { label for="effect" { "Effect" } select id="effect" name="effect" {
                        @for effect in changing.iter().map(|effect| field(effect, "name")) { option value=(effect) { (plain(&effect)) } }
                    } }
                    div { label for="container" { "Container (may have *)" } input id="container" name="container" autocomplete="off"; }
                    div { label for="service" { "Compose service" } input id="service" name="service" placeholder="project/service" autocomplete="off"; }
                    div { label for="host" { "Host" } input id="host" name="host" autocomplete="off"; }
                    div { label for="limit" { "At most" } input id="limit" name="limit" placeholder="3/1h" autocomplete="off"; }
                }
                label class="check" { input type="checkbox" name="ask" value="yes" checked; " Ask a person each time" }
                p class="quiet" { "Everything that is filled in must hold. It is in force at once, for every run, and stands in the audit." }
                div class="choices" { button class="go" { "Permit it" } }
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_for_and_permitted_nowhere_has_its_line() {
        let runbook = json!({"name": "heal", "requests": ["docker.restart-container", "docker.kill", "docker.prune-images", "logs.tail-container"]});
        let restart = json!({"name": "docker.restart-container", "on": ["Container"]});
        let (kill, prune) = (
            json!({"name": "docker.kill", "on": ["Container"]}),
            json!({"name": "docker.prune-images", "on": ["Host"]}),
        );
        let permit = json!({"kind": "permit", "runbook": "heal", "effects": ["docker.restart-container"]});
        let html = missing(&[&runbook], &[&restart, &kill, &prune], &[permit]).into_string();
        assert!(html.contains("sandbook grant heal docker.kill --container NAME"), "{html}");
        assert!(html.contains("sandbook grant heal docker.prune-images --host NAME"), "{html}");
        assert!(!html.contains("grant heal docker.restart-container") && !html.contains("logs.tail"), "{html}");
        let forbid = json!({"kind": "forbid", "runbook": null, "effects": []});
        assert!(!permits(&forbid, "heal", "docker.kill"));
        assert!(permits(&json!({"kind": "permit", "runbook": null, "effects": ["mutate"]}), "heal", "docker.kill"));
    }
}
