//! Who calls: tokens, the people they belong to, and their roles.
//!
//! Tokens are held as hashes and compared without telling how much of one was right. The daemon writes two of its own
//! at its first start, `admin-token` and `sender-token`, for whoever can read its data directory. Which role a route
//! needs stands in one table ([`table`]).
//!
//! Deliberately not here: HTTP, and policy. People have roles; what a runbook may do is Cedar's.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::config::{AuthMode, Config, Role};

pub mod table;

pub use table::{Access, access, needs_person};

/// Of the generated tokens, before encoding: as many as a guess can have bits.
const TOKEN_BYTES: usize = 32;
/// Shorter ones are guessed; warned about only, because the operator may know why.
const TOKEN_BYTES_MIN: usize = 16;
/// Longer is a file that was named by mistake.
const TOKEN_BYTES_MAX: usize = 4_096;
/// Who everybody is when authentication is off.
const LOCAL: &str = "local";
/// Tokens the daemon writes at its first start: file in the data directory, name, role.
const GENERATED: [(&str, &str, Role); 2] =
    [("admin-token", "admin", Role::Admin), ("sender-token", "sender", Role::Sender)];

/// Whoever calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of the token.
    pub name: String,
    /// Whose it is.
    pub person: Option<String>,
    /// What it may be used for.
    pub role: Role,
    /// Whether it is a program's that decides by itself: it never does what a person answers for.
    pub agent: bool,
}

impl Caller {
    /// As the audit names them.
    pub fn who(&self) -> &str {
        self.person.as_deref().unwrap_or(&self.name)
    }
}

/// Knows callers by their tokens.
pub struct Auth {
    /// Off: whoever reaches the daemon is its admin.
    open: bool,
    known: Vec<Known>,
}

struct Known {
    hash: [u8; 32],
    caller: Caller,
}

/// What a caller showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing that can be read as a token.
    Nothing,
    /// A token.
    Token(&'a str),
}

impl Auth {
    /// Reads the configured tokens, and the generated ones, which are written when they are missing.
    ///
    /// # Errors
    /// A token file that cannot be read, is empty, or holds the same token as another.
    pub fn load(config: &Config, data_dir: &Path) -> Result<Auth> {
        if config.auth.mode == AuthMode::Off {
            if !config.listen.ip().is_loopback() {
                bail!(
                    "[auth] mode = \"off\" works only on a loopback address, and `listen` is {}; use mode = \"token\"",
                    config.listen
                );
            }
            tracing::warn!("authentication is off: everybody on this machine is the daemon's admin");
            return Ok(Auth { open: true, known: Vec::new() });
        }
        let mut auth = Auth { open: false, known: Vec::new() };
        for (name, token) in &config.auth.tokens {
            let text = read(&token.token_file).with_context(|| format!("[auth.tokens.{name}] token_file"))?;
            auth.add(
                &text,
                Caller { name: name.clone(), person: token.person.clone(), role: token.role, agent: token.agent },
            )?;
        }
        for (file, name, role) in GENERATED {
            let text = generated(&data_dir.join(file))?;
            auth.add(&text, Caller { name: name.to_owned(), person: None, role, agent: false })?;
        }
        Ok(auth)
    }

    fn add(&mut self, token: &str, caller: Caller) -> Result<()> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(other) = self.known.iter().find(|known| known.hash == hash) {
            bail!("the tokens `{}` and `{}` are the same; give each its own", other.caller.name, caller.name);
        }
        if token.len() < TOKEN_BYTES_MIN {
            tracing::warn!(token = %caller.name, "this token is short enough to be guessed; use at least {TOKEN_BYTES_MIN} random characters");
        }
        self.known.push(Known { hash, caller });
        Ok(())
    }

    /// Whether authentication is off.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Who that is. Takes as long for every token, right or wrong.
    pub fn caller(&self, shown: Shown<'_>) -> Option<Caller> {
        if self.open {
            return Some(Caller { name: LOCAL.to_owned(), person: None, role: Role::Admin, agent: false });
        }
        let Shown::Token(token) = shown else { return None };
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for known in &self.known {
            if same(&known.hash, &hash) {
                found = Some(&known.caller);
            }
        }
        found.cloned()
    }

    /// A token of each role, named like it, for tests of the API.
    #[cfg(test)]
    pub(crate) fn with_tokens(tokens: &[(&str, Role)]) -> Auth {
        let mut auth = Auth { open: false, known: Vec::new() };
        for (token, role) in tokens {
            let caller = Caller { name: role.name().to_owned(), person: None, role: *role, agent: false };
            auth.add(token, caller).expect("different tokens");
        }
        auth
    }
}

/// Compares without stopping at the first difference.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0u8, |difference, (left, right)| difference | (left ^ right));
    std::hint::black_box(difference) == 0
}

/// The token in `Authorization`: `Bearer …`, and where `basic` is accepted the password of `Basic …`, decoded into `scratch`.
pub fn shown<'a>(header: Option<&'a str>, basic: bool, scratch: &'a mut String) -> Shown<'a> {
    let Some((scheme, rest)) = header.and_then(|header| header.trim().split_once(' ')) else { return Shown::Nothing };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Shown::Token(rest);
    }
    if !basic || !scheme.eq_ignore_ascii_case("basic") {
        return Shown::Nothing;
    }
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(decoded) = decoded else { return Shown::Nothing };
    *scratch = decoded;
    scratch.split_once(':').map_or(Shown::Nothing, |(_, password)| Shown::Token(password))
}

fn read(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the token file {} cannot be read; create it or correct the path", file.display()))?;
    let token = text.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!(
            "the token file {} holds no token; write one line of visible ASCII characters, at most {TOKEN_BYTES_MAX}",
            file.display()
        );
    }
    let mode = std::fs::metadata(file)?.permissions().mode();
    if mode & 0o004 != 0 {
        tracing::warn!("the token file {} can be read by everybody on this machine; chmod 600 it", file.display());
    }
    Ok(token.to_owned())
}

/// The token in a file, which is written if there is none.
fn generated(file: &Path) -> Result<String> {
    if !file.exists() {
        let mut bytes = [0u8; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers for a token: {error}"))?;
        let dir = file.parent().unwrap_or(Path::new("."));
        let fail = || format!("the token file {} cannot be written; make the data directory writable", file.display());
        std::fs::create_dir_all(dir).with_context(fail)?;
        let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        let mut written = written.with_context(fail)?;
        writeln!(written, "{}", URL_SAFE_NO_PAD.encode(bytes)).and_then(|()| written.sync_all()).with_context(fail)?;
        tracing::info!("wrote a token into {}", file.display());
    }
    read(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_writes_two_tokens_and_the_second_keeps_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Auth::load(&Config::default(), dir.path()).expect("loads");
        let token = std::fs::read_to_string(dir.path().join("admin-token")).expect("written");
        assert_eq!(token.trim().len(), 43);
        let mode = std::fs::metadata(dir.path().join("sender-token")).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Auth::load(&Config::default(), dir.path()).expect("loads");
        for auth in [first, second] {
            let admin = auth.caller(Shown::Token(token.trim())).expect("known");
            assert_eq!((admin.who(), admin.role), ("admin", Role::Admin));
            assert_eq!(auth.caller(Shown::Token("guess")), None);
            assert_eq!(auth.caller(Shown::Nothing), None);
        }
    }

    #[test]
    fn off_is_for_loopback_only() {
        let mut config = Config::default();
        config.sections.auth.mode = AuthMode::Off;
        let dir = tempfile::tempdir().expect("a directory");
        let auth = Auth::load(&config, dir.path()).expect("loads");
        assert_eq!(auth.caller(Shown::Nothing).map(|caller| caller.role), Some(Role::Admin));
        config.sections.listen = "0.0.0.0:7070".parse().expect("an address");
        assert!(Auth::load(&config, dir.path()).is_err());
    }

    #[test]
    fn tokens_are_taken_from_bearer_and_where_accepted_from_basic() {
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("anybody:se:cret"));
        for (header, accepted, want) in [
            (Some("Bearer abc"), false, Some("abc")),
            (Some("bearer  abc "), true, Some("abc")),
            (Some(basic.as_str()), true, Some("se:cret")),
            (Some(basic.as_str()), false, None),
            (Some("Basic %%%"), true, None),
            (Some("abc"), true, None),
            (None, true, None),
        ] {
            let mut scratch = String::new();
            let shown = match shown(header, accepted, &mut scratch) {
                Shown::Nothing => None,
                Shown::Token(token) => Some(token),
            };
            assert_eq!(shown, want, "{header:?}");
        }
    }

    #[test]
    fn the_same_token_twice_is_refused() {
        let mut auth = Auth::with_tokens(&[("a", Role::Viewer)]);
        let caller = Caller { name: "other".to_owned(), person: None, role: Role::Admin, agent: false };
        assert!(auth.add("a", caller).is_err());
    }
}
