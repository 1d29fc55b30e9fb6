//! The configuration for people: as TOML, as a reference of all keys, and the receiver to paste into Alertmanager.
//!
//! Deliberately not here: secrets. The configuration holds none, so there is nothing to leave out.

use std::fmt::Write as _;

use toml::Value;

use super::shape::{Key, Kind, Shape};
use super::{AuthMode, Config, ENV_PREFIX, ENV_RESERVED, Sections};

/// As TOML.
pub(super) fn to_toml(sections: &Sections) -> String {
    // Every value is a text, a number, a flag or a list of them: writing cannot fail, and an empty answer would be seen.
    let value = Value::try_from(sections).unwrap_or_else(|_| Value::Table(toml::Table::new()));
    toml::to_string(&value).unwrap_or_default()
}

/// The text of `docs/reference/config.md`, from the sections' own doc comments and defaults.
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\n<!-- Generated from host/src/config/sections.rs; a test compares. -->\n\n\
         One TOML file, `sandbook serve --config FILE`. Unknown keys are errors. Relative paths count from the file. \
         Secrets are only taken from files (`*_file`).\n\n",
    );
    let _ = writeln!(
        text,
        "Every key can be overridden by a variable: `{ENV_PREFIX}SECTION__KEY`, for example `{ENV_PREFIX}DATA_DIR`, \
         `{ENV_PREFIX}STORE__URL` or `{ENV_PREFIX}DOCKER__HOSTS__LOCAL__ENDPOINT`; lists are written as TOML arrays, \
         relative paths count from the working directory. {} are for the command line.\n",
        ENV_RESERVED.map(|name| format!("`{name}`")).join(", ")
    );
    let Shape::Table(keys) = Sections::shape() else { return text };
    let defaults = Value::try_from(Sections::default()).ok();
    section(&mut text, "", "", &keys, defaults.as_ref());
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// One table of keys, then the sections below it.
fn section(text: &mut String, path: &str, about: &str, keys: &[Key], defaults: Option<&Value>) {
    let (plain, nested): (Vec<&Key>, Vec<&Key>) = keys.iter().partition(|key| !is_nested(&key.shape));
    if !path.is_empty() {
        let _ = writeln!(text, "## `{path}`\n\n{about}\n");
    }
    if !plain.is_empty() {
        text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in plain {
            let default = match defaults.and_then(|defaults| defaults.get(key.name)) {
                _ if key.required => "required".to_owned(),
                Some(value) => format!("`{value}`"),
                None => "–".to_owned(),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                key.name,
                cell(&wanted(&key.shape)),
                cell(&default),
                cell(&key.about)
            );
        }
        text.push('\n');
    }
    let path = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for key in nested {
        let (name, defaults) = (path(key.name), defaults.and_then(|defaults| defaults.get(key.name)));
        match &key.shape {
            Shape::Table(keys) => section(text, &format!("[{}]", bare(&name)), &key.about, keys, defaults),
            Shape::Tables(keys) => section(text, &format!("[[{}]]", bare(&name)), &key.about, keys, None),
            Shape::Map(inner) => match &**inner {
                Shape::Table(keys) => section(text, &format!("[{}.NAME]", bare(&name)), &key.about, keys, None),
                inner => {
                    let name = bare(&name);
                    let _ = writeln!(text, "## `[{name}]`\n\n{}\n\nEach value is {}.\n", key.about, wanted(inner));
                }
            },
            Shape::Leaf(_) | Shape::Leaves(_) | Shape::Scalars => {}
        }
    }
}

/// `docker.hosts` of `[docker].hosts`.
fn bare(path: &str) -> String {
    path.replace(['[', ']'], "")
}

fn is_nested(shape: &Shape) -> bool {
    match shape {
        Shape::Table(_) | Shape::Map(_) | Shape::Tables(_) => true,
        Shape::Leaf(_) | Shape::Leaves(_) | Shape::Scalars => false,
    }
}

fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Leaf(leaf) => leaf.wanted.to_owned(),
        Shape::Leaves(leaf) => format!("list, each {}", leaf.wanted),
        Shape::Scalars => "table of texts, numbers and flags".to_owned(),
        Shape::Table(_) | Shape::Map(_) | Shape::Tables(_) => "table".to_owned(),
    }
}

/// A bar would end the table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The receiver to paste into Alertmanager's configuration. `token_file` is where Alertmanager finds the sender's token,
/// `url` the daemon as Alertmanager reaches it.
pub fn alertmanager_receiver(config: &Config, token_file: &str, url: &str) -> String {
    let url = url.trim_end_matches('/');
    let authorization = match config.auth.mode {
        AuthMode::Token => format!(
            "          authorization:\n            type: Bearer\n            credentials_file: {}\n",
            yaml(token_file)
        ),
        AuthMode::Off => String::new(),
    };
    let mut secured = authorization;
    if config.tls.cert_file.is_some() {
        secured.push_str("          tls_config:\n            # The CA of Sandbook's certificate, where the system does not know it.\n            ca_file: 'sandbook-ca.pem'\n");
    }
    if config.tls.client_ca_file.is_some() {
        secured.push_str("            # Sandbook wants a certificate of its clients.\n            cert_file: 'alertmanager.pem'\n            key_file: 'alertmanager.key'\n");
    }
    let authorization = match secured.is_empty() {
        true => secured,
        false => format!("        http_config:\n{secured}"),
    };
    let receiver = &config.alertmanager.receiver;
    let plain = receiver.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !receiver.is_empty();
    let receiver = if plain { receiver.clone() } else { yaml(receiver) };
    let watchdog = match config.alertmanager.watchdog {
        Some(_) => format!(
            "\x20   # The alert that always fires comes often; `[alertmanager] watchdog` must be longer than this.\n\
             \x20   - matchers: ['sandbook=\"watchdog\"']\n\
             \x20     receiver: {receiver}\n\
             \x20     group_wait: 0s\n\
             \x20     group_interval: 1m\n\
             \x20     repeat_interval: 1m\n"
        ),
        None => String::new(),
    };
    format!(
        "# For alertmanager.yml. Sandbook gets every alert, and people are still paged: `continue: true`.\n\
         route:\n\
         \x20 # Keep your own receiver and routes; add this one before them.\n\
         \x20 routes:\n\
         {watchdog}\
         \x20   - receiver: {receiver}\n\
         \x20     # Sandbook takes groups apart; small groups arrive sooner. ['...'] is one alert a message.\n\
         \x20     group_by: ['...']\n\
         \x20     group_wait: 5s\n\
         \x20     # A resolution is reported up to this much late.\n\
         \x20     group_interval: 1m\n\
         \x20     # Not shorter than the longest settle window; a repeat starts nothing new.\n\
         \x20     repeat_interval: 1h\n\
         \x20     continue: true\n\
         receivers:\n\
         \x20 - name: {receiver}\n\
         \x20   webhook_configs:\n\
         \x20     - url: {}\n\
         \x20       send_resolved: true\n\
         \x20       max_alerts: 0\n\
         {authorization}",
        yaml(&format!("{url}/webhook/alerts"))
    )
}

/// A text in YAML's single quotes.
fn yaml(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
