//! What differs between two versions as a person reads it: what is newly possible first, then the lines.
//!
//! Deliberately not here: finding it, see [`crate::library::difference`].

use serde_json::Value;

use super::look::summary;
use super::screen::{Paint, Screen};
use super::text::{clean, digest};
use crate::library::difference::{Change, Difference, FileChange};

/// All of it.
pub(super) fn show(screen: &Screen, difference: &Difference) {
    let ink = screen.ink;
    for (sign, side) in [("-", difference.from.as_ref()), ("+", Some(&difference.to))] {
        let Some(side) = side else { continue };
        let line = format!("{sign} {} {}", clean(&side.name), clean(&side.version));
        screen.line(&format!("{line} {}", ink.paint(Paint::Dim, &digest(&side.digest))));
    }
    abilities(screen, difference);
    if !difference.manifest.is_empty() {
        screen.line(&format!("\n{}", ink.paint(Paint::Bold, "manifest")));
        for Change { key, before, after } in &difference.manifest {
            let said = |value: &Option<Value>| value.as_ref().map_or_else(|| "–".to_owned(), summary);
            screen.line(&format!("  {}: {} → {}", clean(key), clean(&said(before)), clean(&said(after))));
        }
    }
    files(screen, &difference.files);
}

/// What the newer can newly and can no longer.
pub(super) fn abilities(screen: &Screen, difference: &Difference) {
    if difference.same {
        screen.line("\nthe same code and manifest: they do the same");
    }
    if !difference.same && difference.newly.is_empty() && difference.no_longer.is_empty() {
        screen.line("\nit can do nothing newly, and everything it could before");
    }
    for (title, paint, sentences) in [
        ("this version can newly", Paint::Warn, &difference.newly),
        ("it can no longer", Paint::Good, &difference.no_longer),
    ] {
        if !sentences.is_empty() {
            screen.line(&format!("\n{}", screen.ink.paint(paint, title)));
            sentences.iter().for_each(|sentence| screen.line(&format!("  {}", clean(sentence))));
        }
    }
}

/// Every file that differs, line by line.
pub(super) fn files(screen: &Screen, files: &[FileChange]) {
    let ink = screen.ink;
    for file in files {
        screen.line(&format!("\n{} {}", ink.paint(Paint::Bold, &clean(&file.change)), clean(&file.file)));
        for line in file.diff.lines().filter(|line| !line.starts_with("--- a/") && !line.starts_with("+++ b/")) {
            let paint = match line.as_bytes().first() {
                Some(b'+') => Paint::Good,
                Some(b'-') => Paint::Bad,
                Some(b'@') => Paint::Dim,
                Some(_) | None => Paint::Plain,
            };
            let line = line.replace('\t', "    ");
            screen.line(&ink.paint(paint, &clean(&line)));
        }
    }
}
