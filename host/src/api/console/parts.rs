//! The pieces that pages are made of: states in words and colours, times, tables, pages of lists, texts of strangers.
//!
//! A colour never stands alone: each state has its word and its shape. Deliberately not here: any decision about what a
//! state means; words come from the API.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use crate::cli::client::segment;
use crate::cli::text::{clean, field, rough, target, time};

/// Rows on a page of a list: what a person reads, and what a phone loads.
pub(super) const ROWS: &str = "50";
/// Characters of a text shown whole on one line.
const LINE_CHARS_MAX: usize = 400;
/// Lines of a block shown at the most; the API has all of it.
const BLOCK_LINES_MAX: usize = 2_000;

/// How a state looks.
pub(super) fn tone(word: &str) -> &'static str {
    match word {
        "succeeded" | "fixed" | "done" | "confirmed" | "healthy" | "up" | "live" | "ok" | "heard" | "resolved"
        | "allow" | "approved" | "equal" | "running" | "nothing-to-do" | "ready" | "applied" => "good",
        "failed" | "contradicted" | "unhealthy" | "down" | "deny" | "denied" | "refused" | "limited" | "firing"
        | "tripped" | "dead" | "error" | "silent" | "stopped" | "diverges" | "broken" => "bad",
        "waiting" | "needs-attention" | "ask" | "unknown" | "pending" | "starting" | "escalate" | "full"
        | "expired" | "no-target" | "ambiguous-target" | "paused" | "restarting" | "assumed" | "demoted" => "warn",
        _ => "calm",
    }
}

/// The shape that goes with a colour.
pub(super) fn glyph(tone: &str) -> Markup {
    let shape = match tone {
        "good" => "✓",
        "bad" => "▲",
        "warn" => "◆",
        _ => "•",
    };
    html! { span class="glyph" aria-hidden="true" { (shape) } }
}

/// A state: its shape, its word, its colour.
pub(super) fn badge(word: &str) -> Markup {
    badge_of(word, tone(word))
}

/// The same where the word does not say how it looks.
pub(super) fn badge_of(word: &str, tone: &str) -> Markup {
    html! { @if !word.is_empty() { span class={ "badge " (tone) } { (glyph(tone)) (plain(&word.replace('-', " "))) } } }
}

/// A stranger's text on one line: nothing in it hides or reorders what is read.
pub(super) fn plain(text: &str) -> String {
    let text = clean(text.trim());
    if text.chars().count() <= LINE_CHARS_MAX {
        return text.into_owned();
    }
    text.chars().take(LINE_CHARS_MAX).chain(['…']).collect()
}

/// A field of an answer on one line.
pub(super) fn said(value: &Value, key: &str) -> String {
    plain(&field(value, key))
}

/// A stranger's text on its own lines, in a region that a keyboard can scroll.
pub(super) fn block(label: &str, text: &str) -> Markup {
    let mut lines: Vec<String> =
        text.lines().take(BLOCK_LINES_MAX).map(|line| clean(&line.replace('\t', "    ")).into_owned()).collect();
    let more = text.lines().count().saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("… {more} more lines"));
    }
    html! { pre tabindex="0" role="region" aria-label=(plain(label)) { (lines.join("\n")) } }
}

/// A time as people say it, with the exact one behind it.
pub(super) fn when(value: &Value, now: Timestamp) -> Markup {
    let Some(at) = time(value) else { return html! {} };
    let said = crate::cli::text::ago(value, now);
    let exact = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(at.to_string()) title=(exact) { (said) } }
}

/// How long ago or ahead, in words without markup.
pub(super) fn span_ms(ms: u64) -> String {
    rough(ms)
}

/// A target by its name.
pub(super) fn on(value: &Value) -> Markup {
    let name = target(value);
    html! { @if !name.is_empty() { span class="target" { (plain(&name)) } } }
}

/// A link into the console whose last piece is anybody's.
pub(super) fn link(base: &str, id: &str, words: &str) -> Markup {
    html! { a href={ (base) "/" (segment(id)) } { (plain(words)) } }
}

/// A run by the beginning of its id.
pub(super) fn run_link(id: &str) -> Markup {
    html! { @if !id.is_empty() { a class="id" href={ "/runs/" (segment(id)) } { (plain(&short_id(id))) } } }
}

/// As much of an id as tells it apart on a page; whole ids stand in addresses.
pub(super) fn short_id(id: &str) -> String {
    const CHARS: usize = 10;
    if id.chars().count() <= CHARS { id.to_owned() } else { id.chars().take(CHARS).collect() }
}

/// Facts in pairs; those without a value are left out by whoever lists them.
pub(super) fn facts(pairs: &[(&str, Markup)]) -> Markup {
    html! {
        dl {
            @for (name, value) in pairs.iter().filter(|(_, value)| !value.0.is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// A table that becomes a list of cards on a phone. The roles keep it a table for a screen reader there, too.
pub(super) fn table(caption: &str, heads: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table role="table" {
            caption class="hidden" { (caption) }
            thead role="rowgroup" { tr role="row" {
                @for head in heads { th role="columnheader" scope="col" { (head) } }
            } }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (cell, head) in row.iter().zip(heads) {
                            td role="cell" data-label=(head) class=[cell.0.is_empty().then_some("nothing")] { div { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// The way to older rows.
pub(super) fn pages(path: &str, pairs: &[(&str, &str)], answer: &Value, began: bool) -> Markup {
    let next = field(answer, "next_cursor");
    let mut older = pairs.to_vec();
    older.push(("cursor", &next));
    html! {
        @if !next.is_empty() || began {
            nav class="pages" aria-label="Pages" {
                @if began { a href=(super::client::query(path, pairs)) { "← Newest" } }
                @if !next.is_empty() { a href=(super::client::query(path, &older)) { "Older →" } }
            }
        }
    }
}

/// Nothing to list, in a sentence.
pub(super) fn nothing(sentence: &str) -> Markup {
    html! { p class="quiet nothing-here" { (sentence) } }
}

/// The items of a list of an answer.
pub(super) fn items<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A rate from 0 to 1 as a percentage with what it is made of.
pub(super) fn rate(figures: &Value) -> Markup {
    let number = |key: &str| figures[key].as_u64().unwrap_or(0);
    html! {
        @match figures["success_rate"].as_f64() {
            Some(rate) => {
                span class="rate" {
                    (format!("{:.0} %", rate * 100.0))
                    " " span class="quiet" { "of " (number("confirmed") + number("contradicted")) }
                }
            }
            None => span class="quiet" { "not yet known" },
        }
    }
}

/// A reason that stands in the audit. A text area: Enter in an input would press the first button.
pub(super) fn reason(id: &str, label: &str, required: bool) -> Markup {
    html! {
        label for=(id) { (label) }
        textarea id=(id) name="reason" rows="2" maxlength="2000" autocomplete="off" required[required] {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_texts_are_text_and_cannot_reorder_what_is_read() {
        let hostile = "<b onmouseover=alert(1)>\u{202e}x</b>\"'";
        for markup in
            [block(hostile, hostile), badge(hostile), link("/runs", hostile, hostile), html! { (plain(hostile)) }]
        {
            let text = markup.into_string();
            assert!(!text.contains("<b") && !text.contains('\u{202e}'), "{text}");
        }
        assert_eq!(plain(&"x".repeat(500)).chars().count(), LINE_CHARS_MAX + 1);
    }

    #[test]
    fn a_link_leads_to_one_piece_of_a_path() {
        let link = link("/runs", "../v1/stop?x=1", "x").into_string();
        assert_eq!(link, "<a href=\"/runs/..%2Fv1%2Fstop%3Fx%3D1\">x</a>");
    }

    #[test]
    fn times_are_near_in_words_and_exact_behind() {
        let now: Timestamp = "2026-01-02T10:00:00Z".parse().expect("a time");
        let text = when(&Value::from("2026-01-02T09:57:00.000Z"), now).into_string();
        assert!(text.contains(">3 min ago<") && text.contains("title=\"2026-01-02 09:57:00 UTC\""), "{text}");
        assert_eq!(when(&Value::Null, now).into_string(), "");
    }
}
