//! What a sentence asks for, as far as that can be told without a model: what it may change, what it must not, and which
//! containers it names.
//!
//! Deliberately plain: a list of words for each effect. A sentence this does not understand becomes a question, never a
//! change; so a model can be talked into anything and nothing comes of it that the sentence does not say. English only;
//! other languages can ask for reads and get questions about changes.
//!
//! Deliberately not here: what a draft does, see [`super::guard`].

use std::collections::BTreeSet;

use super::Seen;

/// Bytes of a sentence at the most: longer is a description, and `generate` takes those.
pub const SENTENCE_BYTES_MAX: usize = 1_000;

/// What a sentence is, before any model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A model may draft it.
    Go,
    /// It does not say enough.
    Question(String),
    /// It asks for what is never done from a sentence.
    Refusal(String),
}

/// Whether a sentence asks for an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It says so.
    Asked,
    /// It does not say so.
    Unsaid,
    /// It says not to.
    Forbidden,
}

/// Words that ask for an effect, in the form in which people tell somebody to do it.
const WORDS: &[(&str, &[&str])] = &[
    ("docker.restart-container", &["restart", "reboot", "bounce", "recycle", "reload"]),
    ("docker.start-container", &["start", "launch", "boot"]),
    ("docker.stop-container", &["stop", "halt", "shutdown"]),
    ("docker.kill-container", &["kill", "signal", "sighup", "sigterm", "hup", "terminate"]),
    ("docker.pause-container", &["pause", "freeze"]),
    ("docker.unpause-container", &["unpause", "unfreeze", "resume"]),
    ("docker.exec", &["run", "exec", "execute", "invoke"]),
    ("docker.update-resources", &["memory", "cpu", "cpus", "ram", "limit", "limits", "resources"]),
    ("docker.scale-service", &["scale", "replicas"]),
    ("docker.recreate-container", &["recreate", "deploy", "redeploy", "upgrade", "rollback"]),
    ("docker.connect-network", &["connect", "attach"]),
    ("docker.disconnect-network", &["disconnect", "detach"]),
    ("alertmanager.create-silence", &["silence", "mute"]),
    ("alertmanager.expire-silence", &["unsilence", "unmute"]),
    ("notify.send", &["tell", "notify", "send", "message", "post", "page", "alert", "inform"]),
    ("net.http-probe", &["check", "probe", "ping", "reach", "reachable", "url", "http", "answers", "responds"]),
    ("net.tcp-check", &["check", "probe", "port", "reach", "reachable", "tcp", "listens"]),
    ("net.dns-lookup", &["check", "dns", "resolve", "lookup", "resolves"]),
    ("http.get", &["get", "fetch", "call", "url", "http", "curl"]),
];
/// Two words that ask for an effect.
const PAIRS: &[(&str, &[(&str, &str)])] = &[
    ("docker.start-container", &[("bring", "up"), ("bring", "back"), ("turn", "on")]),
    ("docker.stop-container", &[("shut", "down"), ("take", "down"), ("turn", "off"), ("bring", "down")]),
];
/// Words for what is never done from a sentence: nobody can take it back.
const NEVER: &[&str] = &[
    "delete",
    "remove",
    "rm",
    "destroy",
    "wipe",
    "erase",
    "purge",
    "prune",
    "drop",
    "truncate",
    "nuke",
    "obliterate",
    "uninstall",
    "shred",
    "mkfs",
    "dd",
];
/// Phrases that are about the engine's own rules.
const RULES: &[&str] = &[
    "ignore all",
    "ignore the polic",
    "ignore polic",
    "ignore your",
    "ignore previous",
    "ignore the rules",
    "ignore the brake",
    "bypass",
    "override the",
    "disable the polic",
    "disable polic",
    "disable protection",
    "disable the brake",
    "without approval",
    "without asking",
    "skip approval",
    "skip the approval",
    "as root",
    "docker.sock",
    "docker socket",
    "system prompt",
    "rm -rf",
    "--privileged",
];
/// Words that mean no container in particular.
const SWEEPING: &[&str] = &[
    "everything",
    "all",
    "every",
    "each",
    "anything",
    "whatever",
    "stuff",
    "things",
    "them",
    "those",
    "these",
    "both",
    "any",
    "everybody",
    "rest",
    "others",
];
/// Words that ask for something to be done and do not say what.
const VAGUE: &[&str] = &[
    "clean", "cleanup", "tidy", "fix", "repair", "heal", "improve", "optimize", "optimise", "tune", "handle", "solve",
    "sort", "mend", "help", "deal", "do",
];
/// Words a sentence begins with that asks and does not tell.
const ASKING: &[&str] = &[
    "why", "what", "whats", "when", "how", "who", "which", "where", "is", "are", "was", "were", "does", "did", "do",
    "has", "have", "show", "list", "describe", "explain", "read", "print", "get", "look", "display", "count", "find",
];
/// Words that turn the following ones around.
const NOT: &[&str] = &[
    "not", "dont", "don't", "never", "without", "no", "avoid", "cannot", "wont", "won't", "instead", "doesnt",
    "doesn't",
];
/// How many words a negation reaches.
const NOT_REACHES: usize = 4;

/// A sentence, taken apart.
#[derive(Debug, Clone)]
pub struct Sentence {
    /// As it was written, in lower case.
    text: String,
    /// Its words, hyphens and dots inside them kept.
    words: Vec<String>,
    /// Its words with spaces around each, so that a name is found whole and not inside another.
    spaced: String,
}

impl Sentence {
    /// Reads a sentence. Errors: empty, too long, or no text.
    pub fn read(text: &str) -> Result<Sentence, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err("the sentence is empty".to_owned());
        }
        if trimmed.len() > SENTENCE_BYTES_MAX {
            let bytes = trimmed.len();
            return Err(format!("the sentence has {bytes} bytes, at most {SENTENCE_BYTES_MAX} are read"));
        }
        if trimmed.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err("the sentence holds control characters".to_owned());
        }
        let text = trimmed.to_lowercase().replace('’', "'");
        let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
        let words: Vec<String> = text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
        let spaced = format!(" {} ", words.join(" "));
        Ok(Sentence { text, words, spaced })
    }

    /// What it is before any model is asked.
    pub fn verdict(&self) -> Verdict {
        if let Some(phrase) = RULES.iter().find(|phrase| self.text.contains(**phrase)) {
            return Verdict::Refusal(format!(
                "`{phrase}` is about the rules themselves, and no sentence changes those"
            ));
        }
        let tells = !self.asks_only();
        let never = NEVER.iter().find(|word| self.says(word) && !self.negated(word));
        // A question about it gets a look at most: what asks is granted no change, see `wish`.
        if let (true, Some(word)) = (tells, never) {
            let why = "that cannot be taken back, so it is never done from a sentence";
            return Verdict::Refusal(format!("it says `{word}`: {why}"));
        }
        let sweeping = SWEEPING.iter().find(|word| self.says(word));
        // `do not` is as clear as can be.
        let plain = |word: &str| word != "do" || !self.spaced.contains(" do not ");
        let vague = VAGUE.iter().find(|word| self.says(word) && plain(word));
        if let (true, Some(word)) = (tells, sweeping) {
            return Verdict::Question(format!("`{word}` names nothing: which container is meant?"));
        }
        let says_how = WORDS.iter().any(|(effect, _)| self.wish(effect) == Wish::Asked);
        if let (true, Some(word), false) = (tells, vague, says_how) {
            return Verdict::Question(format!("`{word}` does not say what to do: restart it, stop it, look at it?"));
        }
        Verdict::Go
    }

    /// Whether it asks for an effect that changes, sends or tells something.
    pub fn wish(&self, effect: &str) -> Wish {
        let words = WORDS.iter().filter(|(known, _)| *known == effect).flat_map(|(_, words)| words.iter());
        let said: Vec<&str> = words.copied().filter(|word| self.says(word)).collect();
        let pairs = PAIRS.iter().filter(|(known, _)| *known == effect).flat_map(|(_, pairs)| pairs.iter());
        let said_in_two = pairs.copied().any(|(first, second)| self.says_in_two(first, second));
        if self.forbids(effect) {
            return Wish::Forbidden;
        }
        if self.asks_only() || (said.is_empty() && !said_in_two) { Wish::Unsaid } else { Wish::Asked }
    }

    /// It says not to: in any form of the word, such as `without restarting`.
    fn forbids(&self, effect: &str) -> bool {
        let words = WORDS.iter().filter(|(known, _)| *known == effect).flat_map(|(_, words)| words.iter());
        words.copied().any(|word| {
            let form = |said: &String| said == word || (word.len() > 3 && said.starts_with(word.trim_end_matches('e')));
            let places = self.words.iter().enumerate().filter(|(_, said)| form(said));
            places.into_iter().any(|(place, _)| self.negated_at(place))
        })
    }

    /// It asks, or wants something shown, and tells nobody to change anything.
    fn asks_only(&self) -> bool {
        self.words.first().is_some_and(|first| ASKING.contains(&first.as_str()) && first != "do")
            || (self.words.first().is_some_and(|first| first == "do")
                && self.words.get(1).is_some_and(|word| word != "not"))
                && self.text.ends_with('?')
    }

    fn says(&self, word: &str) -> bool {
        self.words.iter().any(|said| said == word)
    }

    fn says_in_two(&self, first: &str, second: &str) -> bool {
        let place = self.words.iter().position(|said| said == first);
        place.is_some_and(|place| self.words[place + 1..].iter().take(NOT_REACHES).any(|said| said == second))
    }

    fn negated(&self, word: &str) -> bool {
        let mut places = self.words.iter().enumerate().filter(|(_, said)| *said == word);
        places.all(|(place, _)| self.negated_at(place))
    }

    fn negated_at(&self, place: usize) -> bool {
        self.words[place.saturating_sub(NOT_REACHES)..place].iter().any(|word| NOT.contains(&word.as_str()))
    }

    /// The containers it names: those whose whole name it says, else those it says most of; of one name on several hosts
    /// those whose host it says.
    pub fn names<'a>(&self, containers: &'a [Seen]) -> Named<'a> {
        let whole: Vec<&Seen> = containers.iter().filter(|container| self.says_name(&container.name)).collect();
        if !whole.is_empty() {
            let containers = self.on_hosts(whole);
            let names: BTreeSet<&str> = containers.iter().map(|container| container.name.as_str()).collect();
            // The same name twice is not clear: which of the hosts?
            let whole = names.len() == containers.len();
            return Named { containers, whole };
        }
        let scores: Vec<(usize, &Seen)> =
            containers.iter().map(|container| (self.part_of_name(container), container)).collect();
        let best = scores.iter().map(|(score, _)| *score).max().filter(|score| *score > 0);
        let containers = scores.into_iter().filter(|(score, _)| Some(*score) == best).map(|(_, container)| container);
        Named { containers: self.on_hosts(containers.collect()), whole: false }
    }

    /// Without those whose host it does not say, where it says the host of another of the same name.
    fn on_hosts<'a>(&self, containers: Vec<&'a Seen>) -> Vec<&'a Seen> {
        // `host/name` says it best, a word on the host next.
        let told = |one: &Seen| match self.spaced.contains(&format!(" {}/{} ", one.host, one.name).to_lowercase()) {
            true => 2,
            false => u8::from(self.says_name(&one.host)),
        };
        let best = |name: &str| containers.iter().filter(|other| other.name == name).map(|other| told(other)).max();
        containers.iter().filter(|one| Some(told(one)) == best(&one.name)).copied().collect()
    }

    /// `market-predictor` and `market predictor` are the same name; `payments` is no part of `payments-gateway`.
    fn says_name(&self, name: &str) -> bool {
        let spaced = pieces(name).join(" ");
        let forms = [name.to_lowercase(), spaced];
        // `host/name` says both.
        let said = |form: &String| {
            [format!(" {form} "), format!("/{form} "), format!(" {form}/")]
                .iter()
                .any(|form| self.spaced.contains(form))
        };
        forms.iter().any(|form| !form.is_empty() && said(form))
    }

    /// How much of a name or of its service it says, in percent; figures are no part of what people call something.
    fn part_of_name(&self, container: &Seen) -> usize {
        let names = std::iter::once(container.name.as_str()).chain(container.service.as_deref());
        names.map(|name| self.part(name)).max().unwrap_or(0)
    }

    fn part(&self, name: &str) -> usize {
        let pieces: Vec<String> = pieces(name);
        let told: Vec<&String> =
            pieces.iter().filter(|piece| piece.len() > 1 && !piece.bytes().all(|byte| byte.is_ascii_digit())).collect();
        let said = |piece: &str| self.says(piece) || self.says(&format!("{piece}s"));
        let count = told.iter().filter(|piece| said(piece)).count();
        count * 100 / told.len().max(1)
    }
}

/// Which containers a sentence names.
#[derive(Debug, Clone)]
pub struct Named<'a> {
    /// None, one, or several that fit equally well.
    pub containers: Vec<&'a Seen>,
    /// Their whole names were said.
    pub whole: bool,
}

impl Named<'_> {
    /// It is clear which is meant.
    pub fn is_clear(&self) -> bool {
        self.containers.len() == 1 || (self.whole && !self.containers.is_empty())
    }

    /// Whether it may be that one.
    pub fn has(&self, host: &str, name: &str) -> bool {
        self.containers.iter().any(|container| container.host == host && container.name == name)
    }

    /// For a question.
    pub fn listed(&self) -> String {
        let names: Vec<String> = self
            .containers
            .iter()
            .take(LISTED_MAX)
            .map(|container| format!("{}/{}", container.host, container.name))
            .collect();
        names.join(", ")
    }
}

/// Containers named in a question.
const LISTED_MAX: usize = 10;

fn pieces(name: &str) -> Vec<String> {
    let name = name.to_lowercase();
    name.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
}
