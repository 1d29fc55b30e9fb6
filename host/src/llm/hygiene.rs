//! What leaves for a model: free of secrets, bounded, marked as data with where it comes from.
//!
//! Known secrets are taken out elsewhere; here goes what looks like one. Rather too much is taken out than too little: a
//! model that reads `[redacted]` can still tell what happened. First redact, then select, so that no cut can hide the
//! half of a secret that makes it recognisable.
//!
//! Deliberately not here: what an answer may do. Text in evidence has no power, whatever a model makes of it, because
//! answers are indexes and values that are checked.

use regex::Regex;
use sandbook_core::error::Error;

mod evidence;
mod origin;
mod patterns;
mod select;

pub use evidence::{Evidence, Exhibit};
pub use select::{LINE_BYTES_MAX, Selection, select};

/// Patterns of the operator at the most: each is looked for in everything that leaves.
pub const PATTERNS_MAX: usize = 50;
/// Bytes of a compiled pattern at the most.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// What stands in the place of what was taken out.
pub const TAKEN_OUT: &str = "[redacted]";

/// What is taken out of texts.
#[derive(Debug)]
pub struct Hygiene {
    own: Vec<Regex>,
    emails: bool,
}

impl Hygiene {
    /// With patterns of the operator. Errors: `invalid`, naming the pattern.
    pub fn new(patterns: &[String], emails: bool) -> Result<Hygiene, Error> {
        if patterns.len() > PATTERNS_MAX {
            let message = format!("{} patterns to redact, at most {PATTERNS_MAX} are allowed", patterns.len());
            return Err(Error::invalid(message));
        }
        let own = patterns.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>()?;
        Ok(Hygiene { own, emails })
    }

    /// A text without what looks like a secret.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for (pattern, stays) in patterns::all() {
            replace(&mut clean, pattern, stays);
        }
        if self.emails {
            replace(&mut clean, patterns::email(), TAKEN_OUT);
        }
        for pattern in &self.own {
            replace(&mut clean, pattern, TAKEN_OUT);
        }
        clean
    }
}

/// A pattern of the operator. Errors: `invalid`; one that matches nothing at all would redact between any two letters.
pub fn compile(pattern: &str) -> Result<Regex, Error> {
    let built = regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
    let regex = built.map_err(|error| Error::invalid(format!("pattern `{pattern}`: {error}")))?;
    if regex.is_match("") {
        return Err(Error::invalid(format!("pattern `{pattern}` matches the empty text")));
    }
    Ok(regex)
}

fn replace(text: &mut String, pattern: &Regex, by: &str) {
    if let std::borrow::Cow::Owned(clean) = pattern.replace_all(text, by) {
        *text = clean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hygiene() -> Hygiene {
        Hygiene::new(&["ACME-[0-9]+".to_owned()], true).expect("valid patterns")
    }

    /// A line, and what of it must be gone. Parts are joined, so that no scanner takes this file for a leak.
    #[test]
    fn secrets_of_every_kind_are_taken_out() {
        let secret = "q7Rz81LmPw0xK4vT9sYd";
        let upper = "Q7RZ81LMPW0XK4VT";
        let lines = [
            format!("password={secret}"),
            format!("PGPASSWORD: '{secret}'"),
            format!("\"db_password\": \"{secret}\", \"n\": 1"),
            format!("{{\\\"apiKey\\\": \\\"{secret}\\\"}}"),
            format!("api-key => {secret};"),
            format!("Authorization: Bearer {secret}"),
            format!("authorization=Basic {secret}=="),
            format!("sent bearer {secret} to upstream"),
            format!("Cookie: session={secret}; theme=dark"),
            format!("postgres://shop:{secret}@db:5432/shop refused"),
            format!("redis://:{secret}@cache:6379/0"),
            format!("amqp://u:p@ss{secret}@mq/ closed"),
            format!("Server=db;User Id=sa;Password={secret};Encrypt=true"),
            format!("AccountName=x;AccountKey={secret}=="),
            format!("using {}{upper}", "AKIA"),
            format!("aws_secret_access_key = {secret}{secret}"),
            format!("{}{secret}{secret}", "ghp_"),
            format!("{}{secret}", "glpat-"),
            format!("{}1234567890-{secret}", "xoxb-"),
            format!("{}proj-{secret}{secret}", "sk-"),
            format!("{}live_{secret}", "sk_"),
            format!("{}{secret}{secret}", "AIza"),
            format!("{}{secret}{secret}", "npm_"),
            format!("posts to /services/T{upper}/B{upper}/{secret}"),
            format!("token ey{}.ey{secret}.{secret} expired", "JhbGciOiJIUzI1NiJ9"),
            format!("-----BEGIN RSA {} KEY-----\nMIIE{secret}\n{secret}\n-----END RSA PRIVATE KEY-----", "PRIVATE"),
            format!("-----BEGIN {} KEY-----\nMIIE{secret} and it is cut off", "PRIVATE"),
            format!("mysqldump --password {secret} --host db"),
            format!("curl -u admin:{secret} localhost"),
            format!("the password is {secret}."),
            format!("DB_PASS={secret}"),
            format!("smtp-pass: {secret}"),
            format!("pass: '{secret}'"),
            format!("mysql -u root -p{secret} shop"),
            format!("sshpass -p {secret} ssh h"),
            format!("redis-cli -h cache -a {secret} ping"),
            format!("logging in with password {secret}"),
            format!("ALTER ROLE shop WITH PASSWORD '{secret}'"),
            format!("https://x.blob.example/c?sp=r&sig={secret}%3D&se=1"),
            format!("env:\n  DB_PASSWORD: |\n    {secret}\n  OTHER: 1"),
            format!("CREATE USER shop IDENTIFIED BY '{secret}'"),
            format!("https://h/cb?access_token={secret}&x=1"),
            format!("https://h/d?X-Amz-Signature={secret}&x=1"),
            format!("vault token {}.{secret}{secret}", "hvs"),
            "mail to dana.q7Rz81LmPw0xK4vT9sYd@shop.example.org".to_owned(),
            "ticket ACME-7781".to_owned(),
        ];
        for line in &lines {
            let clean = hygiene().redact(line);
            assert!(clean.contains(TAKEN_OUT), "{line} → {clean}");
            for gone in [secret, &upper[..10], "ACME-7781"] {
                assert!(!clean.contains(gone), "{line} → {clean}");
            }
        }
    }

    #[test]
    fn what_an_operator_needs_stays() {
        for line in [
            "2026-01-02T03:04:05Z ERROR web-1 connection to db:5432 refused",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "container 4f2a9c11d0e3 exited with 137 (OOMKilled)",
            "GET http://web-1:8080/health 503 in 12 ms",
            "user 42 logged in, secretary notified",
            "authorization failed for user 42",
            "FATAL: password authentication failed for user shop",
            "compass: north, bypass the cache, 12 tests pass",
            "mysql -h db -e status",
        ] {
            assert_eq!(hygiene().redact(line), line);
        }
        let without = Hygiene::new(&[], false).expect("no patterns");
        assert_eq!(without.redact("dana@example.org"), "dana@example.org");
    }

    #[test]
    fn what_is_taken_out_already_stays_as_it_is() {
        for line in ["PGPASSWORD=[redacted]", "{\"password\": [redacted], \"n\": 1}", "DB_PASS=[redacted]"] {
            assert_eq!(hygiene().redact(line), line);
        }
    }

    #[test]
    fn patterns_of_the_operator_are_checked() {
        assert!(Hygiene::new(&["(".to_owned()], true).is_err());
        assert!(Hygiene::new(&["x*".to_owned()], true).is_err(), "it matches the empty text");
        assert!(Hygiene::new(&vec!["x".to_owned(); PATTERNS_MAX + 1], true).is_err());
    }
}
