//! One version in review: the most it can do, every line of it, what a plan of it says, and trusting that very digest.
//!
//! Made for drafts, those of a model first; it shows any version. Deliberately not here: what follows from a stage, and
//! whether somebody may set it; the API says that.

use axum::response::Response;
use maud::{Markup, html};
use sandbook_core::run::Stage;
use serde::Deserialize;
use serde_json::Value;

use super::client::query;
use super::frame::{Place, Refused};
use super::parts::{badge, badge_of, facts, items, link, plain, reason, said, when};
use super::versions::{compared, diff_lines};
use super::visit::Visit;
use super::{backtests, plans};
use crate::api::error::Error;
use crate::api::extract::{Path, Query};
use crate::cli::client::segment;
use crate::cli::text::{clean, digest, field};
use crate::config::Trusted;

/// Plans looked through for those of this version.
const PLANS: &str = "100";
/// Plans and backtests of it shown.
const TRIED_MAX: usize = 10;

/// Which version.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    digest: String,
}

/// `GET /runbooks/{name}/review`
pub(super) async fn show(
    visit: Visit,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let base = format!("/v1/runbooks/{}", segment(&name));
    let answer = visit.get(&format!("{base}/versions"), &[]).await?;
    let versions = items(&answer, "versions");
    let version = meant(versions, &wanted.digest).ok_or_else(|| {
        Error::not_found(format!("{name} has no such version"), "`sandbook runbooks NAME` lists its versions")
    })?;
    let own = field(version, "digest");
    let files = visit.get(&format!("{base}/files"), &[("digest", &own)]).await?;
    let acting = versions.iter().find(|one| one["current"] == true && one["digest"] != version["digest"]);
    let difference = match acting {
        Some(acting) => {
            let ends = [("from", field(acting, "digest")), ("to", own.clone())];
            Some(visit.get(&format!("{base}/diff"), &ends.each_ref().map(|(key, value)| (*key, value.as_str()))).await?)
        }
        None => None,
    };
    let plans = visit.get("/v1/plans", &[("limit", PLANS)]).await?;
    let tested = visit.get("/v1/backtests", &[("runbook", &name)]).await?;
    let by_model = version["origin"] == "llm";
    let body = html! {
        p class="quiet" { a href="/drafts" { "Drafts" } " / " (link("/runbooks", &name, &name)) " / review" }
        h1 {
            (plain(&name)) " " (said(version, "version")) " " (badge(&field(version, "stage"))) " "
            @if by_model { (badge_of("written by a model", "warn")) }
        }
        @if by_model { p class="note" { "A model wrote it. What it can do at the most is derived from its manifest, to which every run is held; what it does stands in its lines. Read them." } }
        (facts(&[
            ("digest", html! { code { (plain(&own)) } }),
            ("came", html! { (when(&version["at"], visit.now)) " by " (said(version, "by")) }),
            ("why", html! { (said(version, "reason")) }),
            ("signature", html! { (said(&version["signature"], "state")) ", allows at most " (said(version, "ceiling")) }),
        ]))
        (power(&files["power"]))
        section aria-labelledby="lines" {
            @match (acting, &difference) {
                (Some(acting), Some(difference)) => {
                    h2 id="lines" { "What is different from " (said(acting, "version")) ", which runs now" }
                    (compared(difference))
                    p { a href=(query(&format!("/runbooks/{}/diff", segment(&name)), &[("to", &own)])) { "All its files" } }
                }
                _ => {
                    h2 id="lines" { "Every line of it" }
                    (whole(items(&files, "files")))
                }
            }
        }
        div class="columns" {
            section aria-labelledby="try" { h2 id="try" { "Try it" } (tries(&visit, &name, &own)) (tried(&visit, &own, &plans, &tested)) }
            section aria-labelledby="trust" { h2 id="trust" { "Trust it" } (trust(&visit, &name, version)) }
        }
    };
    visit.page(Place::Drafts, &format!("Review of {}", plain(&name)), &body).await
}

/// The version of a digest or its beginning; without one the newest draft, else what runs.
fn meant<'a>(versions: &'a [Value], wanted: &str) -> Option<&'a Value> {
    let draft = || versions.iter().find(|version| version["stage"] == Stage::Draft.name());
    let runs = || versions.iter().find(|version| version["current"] == true);
    match wanted {
        "" => draft().or_else(runs).or(versions.first()),
        beginning => versions.iter().find(|version| field(version, "digest").starts_with(beginning)),
    }
}

/// The most it can do, in sentences.
fn power(power: &Value) -> Markup {
    let whole = |line: &str| clean(line).into_owned();
    let lines = |key: &str| items(power, key).iter().filter_map(Value::as_str).map(whole).collect::<Vec<_>>();
    let list = |all: Vec<String>| html! { @for line in all { span class="line" { (line) } } };
    html! {
        section aria-labelledby="power" {
            h2 id="power" { "The most it can do, whatever anybody grants" }
            (facts(&[
                ("is about", html! { (said(power, "about")) }),
                ("is started by", list(lines("starts"))),
                ("can", html! { @for ability in items(power, "can") {
                    span class="line" { @if ability["class"] == "mutate" { (badge_of("changes", "warn")) " " } (said(ability, "sentence")) }
                } }),
                ("can never", list(lines("cannot"))),
                ("at most", list(lines("bounds"))),
            ]))
        }
    }
}

/// Files that nothing stands beside: every line is new.
fn whole(files: &[Value]) -> Markup {
    html! {
        @for file in files {
            h3 { (said(file, "name")) " " span class="quiet" { (said(file, "bytes")) " bytes" } }
            @match file["text"].as_str() {
                Some(text) => (diff_lines(&field(file, "name"), &text.lines().map(|line| format!("+{line}\n")).collect::<String>())),
                None => p class="quiet" { "No text: it can only be rehearsed." },
            }
        }
    }
}

fn tries(visit: &Visit, name: &str, own: &str) -> Markup {
    if !visit.may("POST", "/v1/runbooks/{name}/plan") {
        return html! { p class="quiet" { "Planning needs a token of role author." } };
    }
    visit.form(&format!("/runbooks/{}/plan", segment(name)), "card stack", &html! {
        input type="hidden" name="digest" value=(own);
        p { "A plan runs exactly this version over the real world, and changes nothing." }
        label for="plan-target" { "Plan it on" }
        input id="plan-target" name="target" placeholder="name or host/name" autocomplete="off";
        div class="choices" { button { "Make a plan" } a class="button" href=(query("/backtests", &[("runbook", &format!("{name}@{own}"))])) { "Backtest it" } }
    })
}

/// Plans and backtests of exactly this version.
fn tried(visit: &Visit, own: &str, plans: &Value, tested: &Value) -> Markup {
    let of_it = |one: &&Value| one["digest"] == own;
    html! {
        @for plan in items(plans, "plans").iter().filter(of_it).take(TRIED_MAX) {
            p { "Plan: " (link("/plans", &field(plan, "plan"), &plans::summary(&plan["summary"]))) " " span class="quiet" { (when(&plan["at"], visit.now)) } }
        }
        @for test in items(tested, "backtests").iter().filter(of_it).take(TRIED_MAX) {
            p { "Backtest: " (link("/backtests", &field(test, "backtest"), &backtests::summary(&test["totals"]))) " " span class="quiet" { (when(&test["at"], visit.now)) } }
        }
    }
}

fn trust(visit: &Visit, name: &str, version: &Value) -> Markup {
    if !visit.may("PUT", "/v1/runbooks/{name}/stage") {
        return html! { p class="quiet" { "Promoting needs a token of role operator; yours may look." } };
    }
    let by_person = visit.app().config.drafts.trusted_by == Trusted::Person;
    if version["origin"] == "llm" && by_person && visit.session.caller.person.is_none() {
        return html! { p class="note" { "What a model wrote is trusted by a person: log in with a token that has a " code { "person" } " under " code { "[auth.tokens]" } "." } };
    }
    let own = field(version, "digest");
    visit.form(
        &format!("/runbooks/{}/stage", segment(name)),
        "card stack",
        &html! {
            input type="hidden" name="digest" value=(own);
            p { "It is about " code { (digest(&own)) } " and no other version." }
            label for="stage" { "Stage" }
            select id="stage" name="stage" {
                option value=(Stage::Shadow.name()) { "shadow: it watches and never acts" }
                option value=(Stage::Ask.name()) { "ask: it asks a person before each change" }
                option value=(Stage::Live.name()) { "live: it acts where a policy grants it" }
            }
            (reason("why", "What you reviewed (stands in the audit)", true))
            div class="choices" { button class="go" { "Promote this version" } }
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_a_digest_the_draft_is_meant() {
        let versions = [
            json!({"digest": "sha256:aa", "stage": "shadow", "current": true}),
            json!({"digest": "sha256:bb", "stage": "draft"}),
        ];
        assert_eq!(meant(&versions, "").expect("one")["digest"], "sha256:bb");
        assert_eq!(meant(&versions, "sha256:a").expect("one")["digest"], "sha256:aa");
        assert_eq!(meant(&versions[..1], "").expect("one")["digest"], "sha256:aa");
        assert!(meant(&versions, "sha256:cc").is_none());
    }

    #[test]
    fn power_and_lines_are_text() {
        let said = power(&json!({"about": "<b>", "can": [{"class": "mutate", "sentence": "<i>"}], "cannot": ["x"]}));
        let html = said.into_string() + &whole(&[json!({"name": "m", "text": "<u>\n", "bytes": 4})]).into_string();
        assert!(html.contains("&lt;b&gt;") && html.contains("changes") && html.contains("+&lt;u&gt;"), "{html}");
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("<u>"), "{html}");
    }
}
