//! What secrets look like: by their own form, by the word before them, by the place they stand in.
//!
//! Deliberately not here: plain random strings. Container ids and digests look the same, and are what a model needs.

use std::sync::LazyLock;

use regex::Regex;

/// A word that says so, a sign, and the value: bare or in quotes, once more escaped in JSON, or taken out already.
macro_rules! valued {
    ($word:literal) => {
        concat!(
            "(?i)(?P<k>",
            $word,
            r#"\\?["']?\s*(?:=>|:=|[:=])\s*)(?:\[redacted\]|\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s,;&"'}\])]+)"#
        )
    };
}

/// A pattern, and what is put in its place; `$k` is what stays.
static ALL: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let patterns = [
        // Blocks first: their lines match other patterns in parts. One that is cut off ends with the text.
        (r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\z)", OUT),
        // User and password of a URL. A password may hold an @ itself: up to the last one before the path's end.
        (r#"(?P<k>\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s/:@"'<>]*:[^\s"'<>/]+@"#, "${k}[redacted]@"),
        // Headers.
        (r#"(?i)(?P<k>\b(?:proxy-)?authorization\\?["']?\s*[:=]\s*\\?["']?)(?:[a-z0-9_-]+\s+)?[^\s"',;\\]{6,}"#, KEPT),
        (r"(?i)(?P<k>\b(?:set-)?cookie2?\s*[:=]\s*)[^\r\n]+", KEPT),
        (r"(?i)(?P<k>\b(?:bearer|basic)\s+)[A-Za-z0-9+/_.~=-]{12,}", KEPT),
        // Tokens that say what they are.
        (r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?", OUT),
        (r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}\b", OUT),
        (r"\bgh[pousr]_[A-Za-z0-9]{16,}", OUT),
        (r"\b(?:github_pat|dckr_pat|npm|hf|dop_v1|glpat|pypi|xapp|shpat)[-_][A-Za-z0-9_-]{16,}", OUT),
        (r"\bxox[a-z]-[A-Za-z0-9-]{8,}", OUT),
        (r"\b[spr]k[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{16,}", OUT),
        (r"\bAIza[A-Za-z0-9_-]{20,}", OUT),
        (r"\bya29\.[A-Za-z0-9_-]{8,}", OUT),
        (r"\bSG\.[A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{12,}", OUT),
        (r"\bhv[sb]\.[A-Za-z0-9_-]{12,}", OUT),
        (r"\bAGE-SECRET-KEY-1[A-Z0-9]+", OUT),
        (r"\bT[A-Z0-9]{7,}/B[A-Z0-9]{7,}/[A-Za-z0-9]{12,}", OUT),
        // A word that says so, and the value as a block on the next line.
        (
            r"(?i)(?P<k>[A-Za-z0-9_.-]*(?:password|passwd|passphrase|_pass|secret|token|api[_-]?key|private[_-]?key)[A-Za-z0-9_.-]*[ \t]*:[ \t]*[|>][+-]?[ \t]*\r?\n[ \t]+)[^\r\n]+",
            KEPT,
        ),
        // A word that says so, a sign, a value.
        (
            valued!(
                r"[A-Za-z0-9_.-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|signing[_-]?key|encryption[_-]?key|credentials?|signature|webhook[_-]?url)[A-Za-z0-9_.-]*"
            ),
            KEPT,
        ),
        (valued!(r"\b(?:[A-Za-z0-9_.-]*[_-])?(?:pass|pw)"), KEPT),
        (r#"(?i)(?P<k>[?&](?:sig|hmac|auth)=)[^\s&"'<>]+"#, KEPT),
        // Programs whose option of one letter is a password.
        (
            r"(?i)(?P<k>\b(?:mysql|mysqldump|mysqladmin|mysqlcheck|mariadb|mariadb-dump|mariadb-admin|sshpass)\b[^\r\n|;]*?[ \t]-p[ \t]?)[^\s-]\S*",
            KEPT,
        ),
        (r"(?i)(?P<k>\bredis-cli\b[^\r\n|;]*?[ \t]-a[ \t]+)\S+", KEPT),
        (r"(?i)(?P<k>--?(?:password|passwd|pass|passphrase|token|secret|api-?key|access-?key)[ \t]+)[^\s-]\S*", KEPT),
        (r"(?i)(?P<k>\b(?:-u|--user)[ \t]+[^\s:]+:)\S+", KEPT),
        (r"(?i)(?P<k> -u[ \t]+[^\s:]+:)\S+", KEPT),
        (r"(?i)(?P<k>\b(?:password|passphrase|secret|token|api key|access key)\s+(?:is|was)\s+)[^\s.,;]{4,}", KEPT),
        // Without a sign, what stands in quotes or has a digit: "password authentication failed" is no secret.
        (r#"(?i)(?P<k>\b(?:password|passphrase|passwd)\s+)(?:'[^'\r\n]+'|"[^"\r\n]+"|[^\s"']*\d[^\s"',;]*)"#, KEPT),
        (r"(?i)(?P<k>\bidentified\s+by\s+)'[^']*'", KEPT),
    ];
    patterns.into_iter().map(|(pattern, by)| (Regex::new(pattern).expect("a test compiles them all"), by)).collect()
});
static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+").expect("a test compiles it"));

/// All of it goes.
const OUT: &str = "[redacted]";
/// What introduces it stays.
const KEPT: &str = "${k}[redacted]";

/// Patterns and what is put in their place, in this order.
pub(super) fn all() -> impl Iterator<Item = (&'static Regex, &'static str)> {
    ALL.iter().map(|(pattern, by)| (pattern, *by))
}

/// Addresses of mail.
pub(super) fn email() -> &'static Regex {
    &EMAIL
}
