//! Webhook messages that were refused since the start, by reason: what is said of them, and how often.
//!
//! Alertmanager sends again after a 5xx and after nothing else, so what is refused for good is lost, and people are told.
//! Of what only a known sender can cause the channel `[notify] self` hears; a stranger must not be able to ring a pager.
//! Deliberately not here: refusing, see [`crate::api`].

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// People are told of a reason at most once in so long: whoever sends a message in vain sends more of them, and what is
/// told first is what there is to do.
pub const TOLD_EVERY_MS: u64 = 3_600_000;

/// Why a webhook message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Without a token, or with one that may not.
    NotAllowed,
    /// No webhook is there.
    NoSuchPath,
    /// Beyond `[server] message`.
    TooLarge,
    /// It says that it is no JSON.
    ContentType,
    /// Another one that its sender does not send again.
    Unreadable,
    /// It cannot be kept now.
    NotDurable,
    /// A mistake of the engine.
    Defect,
}

impl Reason {
    /// Every one, in order.
    pub const ALL: [Reason; 7] = [
        Reason::NotAllowed,
        Reason::NoSuchPath,
        Reason::TooLarge,
        Reason::ContentType,
        Reason::Unreadable,
        Reason::NotDurable,
        Reason::Defect,
    ];

    /// Its word in metrics, the log and the API.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotAllowed => "not-allowed",
            Reason::NoSuchPath => "no-such-path",
            Reason::TooLarge => "too-large",
            Reason::ContentType => "content-type",
            Reason::Unreadable => "unreadable",
            Reason::NotDurable => "not-durable",
            Reason::Defect => "defect",
        }
    }

    /// The reason behind a status of HTTP; none where the message was taken.
    pub fn of(status: u16) -> Option<Reason> {
        Some(match status {
            ..400 => return None,
            401 | 403 => Reason::NotAllowed,
            404 | 405 => Reason::NoSuchPath,
            413 => Reason::TooLarge,
            415 => Reason::ContentType,
            503 => Reason::NotDurable,
            500.. => Reason::Defect,
            400.. => Reason::Unreadable,
        })
    }

    /// Whether Alertmanager never sends it again.
    pub fn is_lost(self) -> bool {
        self.step().is_some()
    }

    /// What a person does about it; nothing where its sender sends it again.
    fn step(self) -> Option<&'static str> {
        match self {
            Reason::NotAllowed => Some(
                "compare the sender's token with `sender-token` in the data directory, unless a stranger knocks there",
            ),
            Reason::NoSuchPath => Some("send to /webhook/alerts or /webhook/grafana"),
            Reason::TooLarge => Some("raise [server] message, or set `max_alerts` on Alertmanager's receiver"),
            Reason::ContentType => Some("let the sender say `content-type: application/json`"),
            Reason::Unreadable => Some(
                "let the sender post what Alertmanager's webhook posts; its log has the answer that says what is wrong",
            ),
            Reason::NotDurable | Reason::Defect => None,
        }
    }

    /// Whether only who shows a token can cause it.
    fn is_told(self) -> bool {
        match self {
            Reason::NoSuchPath | Reason::TooLarge | Reason::ContentType | Reason::Unreadable => true,
            Reason::NotAllowed | Reason::NotDurable | Reason::Defect => false,
        }
    }
}

/// Messages refused for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many, since the start.
    pub count: u64,
    /// When the last one was, in milliseconds since 1970.
    pub last_at: u64,
    told_at: Option<u64>,
}

/// What was refused for good; as many entries as there are reasons.
#[derive(Default)]
pub struct Refused(Mutex<BTreeMap<Reason, Count>>);

impl Refused {
    /// Takes note of one. Answers whether people are told now.
    pub(super) fn add(&self, reason: Reason, now_ms: u64) -> bool {
        if !reason.is_lost() {
            return false;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(reason).or_insert(Count { count: 0, last_at: now_ms, told_at: None });
        count.count += 1;
        count.last_at = now_ms;
        let tell = reason.is_told() && count.told_at.is_none_or(|at| now_ms.saturating_sub(at) >= TOLD_EVERY_MS);
        if tell {
            count.told_at = Some(now_ms);
        }
        tell
    }

    /// By reason.
    pub fn counts(&self) -> BTreeMap<Reason, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `3 webhook messages were refused since the start, the last at TIME as too-large: their alerts are lost …`.
pub fn sentence(reason: Reason, count: u64, last: &str) -> String {
    let (messages, whose) = match count {
        1 => ("1 webhook message was refused since the start,".to_owned(), "its"),
        _ => (format!("{count} webhook messages were refused since the start, the last"), "their"),
    };
    let step = reason.step().unwrap_or("nothing is to be done, it is sent again");
    format!("{messages} at {last} as {}: {whose} alerts are lost until they are sent again; {step}", reason.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_known_sender_loses_is_told_once_an_hour_and_what_a_stranger_causes_never() {
        let refused = Refused::default();
        let told = |reason, now| refused.add(reason, now);
        assert!(told(Reason::TooLarge, 1_000) && told(Reason::Unreadable, 1_000), "each reason by itself");
        assert!(!told(Reason::TooLarge, 999 + TOLD_EVERY_MS));
        assert!(told(Reason::TooLarge, 1_000 + TOLD_EVERY_MS));
        assert!(!told(Reason::NotAllowed, 1_000) && !told(Reason::NotDurable, 1_000) && !told(Reason::Defect, 1_000));
        let counts: Vec<(&str, u64)> =
            refused.counts().iter().map(|(reason, count)| (reason.name(), count.count)).collect();
        assert_eq!(counts, [("not-allowed", 1), ("too-large", 3), ("unreadable", 1)], "what is sent again is not lost");
    }

    #[test]
    fn every_reason_that_loses_alerts_says_what_to_do() {
        assert_eq!(Reason::ALL.into_iter().filter(|reason| reason.is_lost()).count(), 5);
        let text = sentence(Reason::TooLarge, 3, "noon");
        let want = "3 webhook messages were refused since the start, the last at noon as too-large: their alerts are lost until they are sent again; raise [server] message";
        assert!(text.starts_with(want), "{text}");
        assert!(
            sentence(Reason::ContentType, 1, "noon")
                .starts_with("1 webhook message was refused since the start, at noon as")
        );
        let of: Vec<Option<&str>> = [202, 400, 401, 403, 404, 405, 413, 415, 422, 500, 503]
            .map(|status| Reason::of(status).map(Reason::name))
            .into();
        assert_eq!(of[0], None);
        assert_eq!(of[1..].iter().flatten().count(), 10);
    }
}
