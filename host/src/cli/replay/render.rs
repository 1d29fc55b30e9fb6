//! A replay as a person reads it: equal in a line, or where it differs and what would have been done from there on.
//!
//! Deliberately not here: fetching and deciding.

use crate::cli::screen::{Ink, Paint};
use crate::cli::text::{clean, count, digest, short, took};
use crate::plan::EffectView;
use crate::replay::{Asked, Differs, Replay, Verdict, Version};

/// Characters of arguments and sentences that are shown: the rest is in `--json`.
const SHOWN_CHARS_MAX: usize = 160;

/// The whole replay.
pub(super) fn render(replay: &Replay, ink: Ink) -> String {
    let mut lines = vec![first(replay, ink)];
    if let Some(differs) = &replay.diverges {
        lines.extend(difference(differs, ink));
    }
    if replay.recorded.digest != replay.with.digest {
        lines.extend(would(replay, ink));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn first(replay: &Replay, ink: Ink) -> String {
    let run = clean(&replay.run).into_owned();
    let effects = count(replay.slots as usize, "effect");
    let time = ink.paint(Paint::Dim, &format!("({})", took(replay.took_ms)));
    let by = match replay.recorded.digest == replay.with.digest {
        true => "as recorded".to_owned(),
        false => format!("with {} as it ran with {}", named(&replay.with), named(&replay.recorded)),
    };
    match replay.verdict {
        Verdict::Equal => {
            let verdict = ink.paint(Paint::Good, "equal");
            format!("{verdict}: {run} replays {by}, {effects}, {} {time}", came_to(replay))
        }
        Verdict::EqualSoFar => {
            let verdict = ink.paint(Paint::Good, "equal so far");
            format!("{verdict}: {run} replays {by}, {effects}; the run is not over {time}")
        }
        Verdict::Diverges => {
            let slot = replay.diverges.as_ref().map_or(replay.slots, |differs| differs.slot);
            let verdict = ink.paint(Paint::Bad, &format!("diverges at slot {slot}"));
            format!(
                "{verdict}: {run}, recorded with {}, replayed with {} {time}",
                named(&replay.recorded),
                named(&replay.with)
            )
        }
    }
}

fn came_to(replay: &Replay) -> String {
    let said = short(replay.sentence.as_deref().unwrap_or_default(), SHOWN_CHARS_MAX);
    match &replay.outcome {
        Some(outcome) => format!("{}: {said}", clean(outcome)),
        None => format!("ended: {said}"),
    }
}

fn named(version: &Version) -> String {
    format!("{}@{} {}", clean(&version.runbook), clean(&version.version), digest(&version.digest))
}

fn difference(differs: &Differs, ink: Ink) -> Vec<String> {
    let line = |title: &str, text: String| format!("  {} {text}", ink.paint(Paint::Dim, &format!("{title:<8}")));
    let asked = |asked: &Option<Asked>| match asked {
        Some(Asked { effect, arguments }) => {
            format!("{} {}", clean(effect), short(&arguments.to_string(), SHOWN_CHARS_MAX))
        }
        None => "nothing more".to_owned(),
    };
    let mut lines = Vec::new();
    if differs.recorded.is_some() || differs.asked.is_some() {
        lines.push(line("recorded", asked(&differs.recorded)));
        lines.push(line("asked", asked(&differs.asked)));
    }
    if differs.recorded.is_none() || differs.asked.is_none() {
        lines.push(line("why", short(&differs.why, SHOWN_CHARS_MAX * 2)));
    }
    lines
}

/// What the other version would have done, as far as it differs.
fn would(replay: &Replay, ink: Ink) -> Vec<String> {
    if replay.verdict != Verdict::Diverges {
        return Vec::new();
    }
    let mut lines = vec![String::new(), "from there on, over a world made of what is recorded, it would".to_owned()];
    lines.extend(replay.would.iter().map(|effect| change(effect, ink)));
    if replay.would.is_empty() {
        lines.push("    change nothing".to_owned());
    }
    lines.push(format!("and end {}", came_to(replay)));
    if replay.assumed > 0 {
        let many = count(replay.assumed as usize, "answer");
        lines.push(ink.paint(Paint::Warn, &format!("{many} assumed: nothing of the kind is recorded")));
    }
    lines
}

fn change(effect: &EffectView, ink: Ink) -> String {
    let said = short(&effect.sentence, SHOWN_CHARS_MAX);
    let error = short(effect.error.as_deref().unwrap_or_default(), SHOWN_CHARS_MAX);
    match (effect.decision.as_str(), effect.error.is_some()) {
        ("deny" | "limited", _) => format!("  {} be refused to {said}: {error}", ink.paint(Paint::Bad, "x")),
        ("ask", _) => format!("  {} ask a person to {said}", ink.paint(Paint::Warn, "?")),
        (_, true) => format!("  {} fail to {said}: {error}", ink.paint(Paint::Bad, "!")),
        (_, false) => format!("  {} {said}", ink.paint(Paint::Good, "~")),
    }
}
