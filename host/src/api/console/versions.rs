//! What differs between two versions of a runbook: what it can do newly, and file by file; with one version, its files.
//!
//! Deliberately not here: comparing, which the library does.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::frame::{Place, Refused};
use super::parts::{badge_of, block, items, plain, said};
use super::visit::Visit;
use crate::api::extract::{Path, Query};
use crate::cli::client::segment;
use crate::cli::text::{clean, digest, field};

/// Lines shown of one file.
const LINES_MAX: usize = 2_000;

/// Which two.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    from: String,
    to: String,
}

/// `GET /runbooks/{name}/diff`
pub(super) async fn diff(
    visit: Visit,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let base = format!("/v1/runbooks/{}", segment(&name));
    let (title, from, to, body) = if wanted.from.is_empty() {
        let files = visit.get(&format!("{base}/files"), &[("digest", &wanted.to)]).await?;
        ("Files", None, files.clone(), whole(&files))
    } else {
        let found = visit.get(&format!("{base}/diff"), &[("from", &wanted.from), ("to", &wanted.to)]).await?;
        ("What changed", Some(found["from"].clone()), found["to"].clone(), compared(&found))
    };
    let version = |of: &Value| html! { (said(of, "version")) " " code { (digest(&field(of, "digest"))) } };
    let body = html! {
        p class="quiet" { a href="/runbooks" { "Runbooks" } " / " a href={ "/runbooks/" (segment(&name)) } { (plain(&name)) } " / files" }
        h1 { (title) }
        p class="lead" { @if let Some(from) = &from { "From " (version(from)) " to " } (version(&to)) }
        (body)
    };
    visit.page(Place::Runbooks, title, &body).await
}

fn whole(files: &Value) -> Markup {
    html! {
        @for file in items(files, "files") {
            h2 { (said(file, "name")) " " span class="quiet" { (said(file, "bytes")) " bytes" } }
            @match file["text"].as_str() {
                Some(text) => (block(&field(file, "name"), text)),
                None => p class="quiet" { "No text." },
            }
        }
    }
}

/// Powers first, then the manifest, then the files.
pub(super) fn compared(found: &Value) -> Markup {
    let sentences = |key: &str| items(found, key).iter().filter_map(Value::as_str).map(plain).collect::<Vec<_>>();
    let shown = |value: &Value| if value.is_null() { "nothing".to_owned() } else { plain(&value.to_string()) };
    html! {
        @if found["same"] == true { p { "The digests are the same: both do the same." } }
        @for sentence in sentences("newly") { p { (badge_of("new", "warn")) " " (sentence) } }
        @for sentence in sentences("no_longer") { p { (badge_of("no longer", "calm")) " " (sentence) } }
        @for change in items(found, "manifest") {
            p { code { (said(change, "key")) } ": " (shown(&change["before"])) " → " (shown(&change["after"])) }
        }
        @for file in items(found, "files") {
            h2 { (said(file, "file")) " " span class="quiet" { (said(file, "change")) } }
            @if let Some(lines) = file["diff"].as_str() { (diff_lines(&field(file, "file"), lines)) }
        }
    }
}

/// A unified difference; the signs stay, so that the colour says nothing alone.
pub(super) fn diff_lines(name: &str, text: &str) -> Markup {
    let class = |line: &str| match line.chars().next() {
        Some('+') => "new",
        Some('-') => "gone",
        Some('@') => "gap",
        _ => "same",
    };
    html! {
        pre class="diff" tabindex="0" role="region" aria-label={ "Differences in " (plain(name)) } {
            @for line in text.lines().take(LINES_MAX) {
                span class=(class(line)) { (clean(&line.replace('\t', "    "))) "\n" }
            }
        }
        @if text.lines().count() > LINES_MAX { p class="quiet" { "… and more" } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_shown_by_signs_and_as_text() {
        let found = json!({
            "same": false, "newly": ["can newly <b>"], "no_longer": [],
            "manifest": [{"key": "summary", "before": null, "after": "<i>"}],
            "files": [{"file": "main.rhai", "change": "changed", "diff": "@@ -1 +1 @@\n-<b>\n+<i>"}],
        });
        let html = compared(&found).into_string();
        assert!(html.contains("-&lt;b&gt;") && html.contains("+&lt;i&gt;") && html.contains("can newly"), "{html}");
        assert!(!html.contains("<i>") && !html.contains("<b>"), "{html}");
    }
}
