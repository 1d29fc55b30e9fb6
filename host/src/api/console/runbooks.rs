//! Runbooks: how far each is trusted and how well it does; its versions, with promoting and rolling back.
//!
//! Deliberately not here: what differs between versions, see [`super::versions`].

use axum::response::Response;
use maud::{Markup, html};
use sandbook_core::run::Stage;
use serde_json::Value;

use super::client::query;
use super::frame::{Place, Refused};
use super::parts::{badge, block, facts, items, link, nothing, plain, rate, reason, run_link, said, table, when};
use super::visit::Visit;
use crate::api::extract::Path;
use crate::cli::client::segment;
use crate::cli::text::{count, digest, field};

/// Differences between shadow and live shown.
const COMPARED_MAX: usize = 10;
/// Subjects shown.
const SUBJECTS_MAX: usize = 20;
/// Versions shown.
const VERSIONS_MAX: usize = 50;

/// `GET /runbooks`
pub(super) async fn list(visit: Visit) -> Result<Response, Refused> {
    let answer = visit.get("/v1/runbooks", &[]).await?;
    let rows: Vec<Vec<Markup>> = items(&answer, "runbooks").iter().map(row).collect();
    let body = html! {
        h1 { "Runbooks" }
        @for broken in items(&answer, "broken") {
            p class="note" { "The package in " code { (said(broken, "folder")) } " cannot be used: " (said(&broken["problems"][0], "message")) }
        }
        @if rows.is_empty() { (nothing("No runbook is installed.")) }
        @else { (table("Runbooks by name", &["Runbook", "Stage", "Success", "Runs in 30 days", "What it does", "From"], &rows)) }
    };
    visit.page(Place::Runbooks, "Runbooks", &body).await
}

fn row(runbook: &Value) -> Vec<Markup> {
    vec![
        html! {
            (link("/runbooks", &field(runbook, "name"), &field(runbook, "name"))) " " span class="quiet" { (said(runbook, "version")) }
            (in_review(runbook))
        },
        html! { (badge(&field(runbook, "stage"))) @if runbook["demoted"].is_string() { " " (badge("demoted")) } },
        rate(runbook),
        html! { (said(runbook, "runs")) },
        html! { (said(runbook, "summary")) },
        html! { (said(runbook, "origin")) },
    ]
}

/// The way to its drafts, where it has any.
fn in_review(runbook: &Value) -> Markup {
    let drafts = usize::try_from(runbook["drafts"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let way = format!("/runbooks/{}/review", segment(&field(runbook, "name")));
    html! { @if drafts > 0 { span class="line" { a href=(way) { (count(drafts, "draft")) " to be read" span class="hidden" { " of " (said(runbook, "name")) } } } } }
}

/// `GET /runbooks/{name}`
pub(super) async fn show(visit: Visit, Path(name): Path<String>) -> Result<Response, Refused> {
    let path = format!("/v1/runbooks/{}", segment(&name));
    let runbook = visit.get(&path, &[]).await?;
    let name = field(&runbook, "name");
    let path = format!("/v1/runbooks/{}", segment(&name));
    let versions = visit.get(&format!("{path}/versions"), &[]).await?;
    let compared = visit.get(&format!("{path}/shadow"), &[]).await?;
    let body = html! {
        p class="quiet" { a href="/runbooks" { "Runbooks" } " / " (plain(&name)) }
        h1 { (plain(&name)) " " (badge(&field(&runbook, "stage"))) }
        p class="lead" { (said(&runbook, "summary")) }
        @if runbook["demoted"].is_string() { p class="note" { (badge("demoted")) " " (said(&runbook, "demoted")) } }
        (in_review(&runbook))
        (about(&visit, &runbook))
        div class="columns" {
            section { h2 { "Trust" } (promote(&visit, &runbook, items(&versions, "versions"))) }
            section { h2 { "Try" } (plan(&visit, &runbook)) }
        }
        section aria-labelledby="versions" {
            h2 id="versions" { "Versions" }
            (versions_table(&visit, &runbook, items(&versions, "versions")))
        }
        (beside(&compared))
        (subjects(items(&runbook, "subjects")))
        details class="act" { summary { "Its manifest" } (block("manifest", &format!("{:#}", runbook["manifest"]))) }
        p {
            a href=(query("/runs", &[("runbook", &name)])) { "Its runs" } " · "
            a href=(query("/grants", &[("runbook", &name)])) { "Its grants" } " · "
            a href=(query("/backtests", &[("runbook", &name)])) { "Its backtests" }
        }
    };
    visit.page(Place::Runbooks, &name, &body).await
}

fn about(visit: &Visit, runbook: &Value) -> Markup {
    let counted = |key: &str, word: &str| html! { span class="counted" { (said(runbook, key)) " " (word) } };
    facts(&[
        ("version", html! { (said(runbook, "version")) " " code { (digest(&field(runbook, "digest"))) } }),
        (
            "stage since",
            html! { (when(&runbook["since"], visit.now)) @if runbook["reason"].is_string() { ": " (said(runbook, "reason")) } },
        ),
        ("written by", html! { (said(runbook, "origin")) " (" (said(runbook, "source")) ")" }),
        ("success", rate(runbook)),
        (
            "last 30 days",
            html! {
                (counted("runs", "runs")) (counted("confirmed", "confirmed")) (counted("contradicted", "contradicted"))
                (counted("unknown", "unknown")) (counted("nothing_to_do", "had nothing to do")) (counted("false_positives", "changed what was well"))
            },
        ),
        (
            "may ask for",
            html! { @for effect in items(runbook, "requests").iter().filter_map(Value::as_str) { code { (plain(effect)) } " " } },
        ),
    ])
}

fn promote(visit: &Visit, runbook: &Value, versions: &[Value]) -> Markup {
    if !visit.may("PUT", "/v1/runbooks/{name}/stage") {
        return html! { p class="quiet" { "Promoting needs a token of role operator; yours may look." } };
    }
    let (name, current, stage) = (field(runbook, "name"), field(runbook, "digest"), field(runbook, "stage"));
    let action = format!("/runbooks/{}/stage", segment(&name));
    html! {
        (visit.form(&action, "card stack", &html! {
            div class="fields" {
                div { label for="digest" { "Version" } select id="digest" name="digest" {
                    @for version in versions.iter().take(VERSIONS_MAX) {
                        option value=(field(version, "digest")) selected[field(version, "digest") == current] {
                            (said(version, "version")) " " (digest(&field(version, "digest"))) @if version["current"] == true { " (runs now)" }
                        }
                    }
                } }
                div { label for="stage" { "Stage" } select id="stage" name="stage" {
                    @for one in [Stage::Shadow, Stage::Ask, Stage::Live] { option value=(one.name()) selected[one.name() == stage] { (one.name()) } }
                } }
            }
            (reason("promote-reason", "Why (stands in the audit)", true))
            div class="choices" { button class="go" { "Set the stage" } }
        }))
        @if versions.len() > 1 {
            details class="act" {
                summary { "Roll back to the version that acted before" }
                (visit.form(&format!("/runbooks/{}/rollback", segment(&name)), "stack", &html! {
                    p { "It acts again with the stage it had; the one that runs now only watches from then on." }
                    (reason("rollback-reason", "Why (stands in the audit)", true))
                    div class="choices" { button class="stop" { "Roll back" } }
                }))
            }
        }
    }
}

fn plan(visit: &Visit, runbook: &Value) -> Markup {
    if !visit.may("POST", "/v1/runbooks/{name}/plan") {
        return html! { p class="quiet" { "Planning needs a token of role author." } };
    }
    let name = field(runbook, "name");
    html! {
        p { "A plan reads the real world, changes nothing, and says what a run would do; whoever may applies it." }
        p { a class="button" href=(query("/runs/new", &[("runbook", &name)])) { "Plan or start it by hand" } }
    }
}

fn versions_table(visit: &Visit, runbook: &Value, versions: &[Value]) -> Markup {
    let name = field(runbook, "name");
    let rows: Vec<Vec<Markup>> = versions
        .iter()
        .enumerate()
        .take(VERSIONS_MAX)
        .map(|(index, version)| {
            let own = field(version, "digest");
            let before = versions.get(index + 1).map(|older| field(older, "digest")).unwrap_or_default();
            let (diff, review) = (format!("/runbooks/{}/diff", segment(&name)), format!("/runbooks/{}/review", segment(&name)));
            let of_it = || html! { span class="hidden" { " in " (said(version, "version")) " " (digest(&own)) } };
            vec![
                html! { (said(version, "version")) " " code { (digest(&own)) } @if version["current"] == true { " " (badge("running")) } },
                badge(&field(version, "stage")),
                html! { (said(version, "origin")) " · " (said(version, "by")) },
                when(&version["at"], visit.now),
                html! { (said(version, "reason")) },
                html! {
                    a href=(query(&diff, &[("from", &before), ("to", &own)])) { @if before.is_empty() { "Its files" } @else { "What changed" } (of_it()) }
                    " · " a href=(query(&review, &[("digest", &own)])) { "Review" (of_it()) }
                },
            ]
        })
        .collect();
    table("Versions, newest first", &["Version", "Stage", "By", "Came", "Why", "Files"], &rows)
}

/// What the version in shadow would have done beside the one that acts.
fn beside(compared: &Value) -> Markup {
    let episodes = items(compared, "episodes");
    if episodes.is_empty() {
        return html! {};
    }
    let side = |side: &Value| {
        let changes: Vec<&str> = items(side, "changes").iter().filter_map(Value::as_str).collect();
        let changes = if changes.is_empty() { "no change".to_owned() } else { changes.join(", ") };
        html! { (plain(&changes)) " " (run_link(&field(side, "run"))) }
    };
    let rows: Vec<Vec<Markup>> = episodes
        .iter()
        .take(COMPARED_MAX)
        .map(|one| {
            vec![
                html! { (said(one, "target")) },
                if one["same"] == true { badge("equal") } else { badge("diverges") },
                side(&one["acted"]),
                side(&one["shadow"]),
            ]
        })
        .collect();
    html! {
        section aria-labelledby="shadow" {
            h2 id="shadow" { "Shadow beside live" }
            p { (said(compared, "same")) " episodes the same, " (said(compared, "differs")) " different." }
            (table("Shadow beside live", &["Target", "Verdict", "Acted", "Shadow would have"], &rows))
        }
    }
}

fn subjects(subjects: &[Value]) -> Markup {
    let rows: Vec<Vec<Markup>> = subjects
        .iter()
        .take(SUBJECTS_MAX)
        .map(|subject| vec![html! { (said(subject, "subject")) }, rate(subject), html! { (said(subject, "runs")) }])
        .collect();
    html! {
        @if !rows.is_empty() {
            section aria-labelledby="subjects" {
                h2 id="subjects" { "By target, those it helped least first" }
                (table("Success by target", &["Target", "Success", "Runs"], &rows))
            }
        }
    }
}
