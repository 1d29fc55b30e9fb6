//! What must hold beyond single values: what belongs together, what is safe, what exists.
//!
//! Deliberately not here: looking at files or hosts. What is checked here needs nothing but the text.

use std::collections::BTreeMap;
use std::fmt::Display;

use sandbook_core::duration::{Bytes, DurationMs, Rate};
use sandbook_core::gate::{APPROVAL_MS_MAX, APPROVAL_MS_MIN};
use sandbook_core::manifest;
use sandbook_core::problem::Problem;
use url::Url;

use super::server::{BODY_BYTES, COUNT_MAX, TIMEOUT_MS as TIMEOUT};
use super::tree::{Misfits, Tree, join};
use super::{
    AuthMode, BAD_VALUE, CONTAINERS_MAX, DUPLICATE, DockerHost, HostKeys, INLINE_SECRET, MISSING_KEY, OPEN, QUEUE_MAX,
    RANGE, RATES_MAX, RETENTION_MS_MIN, ROUNDS_MAX, ROUTES_MAX, RequireSignature, SUSPECT, Sections, UNKNOWN_NAME,
    UNSUPPORTED, WORKERS_MAX,
};
use crate::driver::docker::Endpoint;
use crate::driver::egress::Allow;

mod llm;
mod notify;
mod otel;

/// Runs a demotion looks back at: beyond them it would judge what was mended long ago.
const DEMOTION_RUNS_MAX: u32 = 100;
/// Characters of a name the operator chooses.
const NAME_CHARS_MAX: usize = 63;
/// Timeouts of a Docker host, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (100, 120_000);
/// The watchdog's patience, in milliseconds: shorter than Alertmanager's interval would always be too short.
const WATCHDOG_MS: (u64, u64) = (5_000, 24 * 3_600_000);
struct Checker<'a> {
    tree: &'a Tree,
    problems: Vec<Problem>,
}

/// Warnings, or every problem including them, in the order of the text.
pub(super) fn check(sections: &Sections, tree: &Tree) -> Result<Vec<Problem>, Vec<Problem>> {
    let mut checker = Checker { tree, problems: Vec::new() };
    checker.server(sections);
    checker.bounds(sections);
    checker.docker(sections);
    checker.runbooks(sections);
    checker.brakes(sections);
    checker.tokens(sections);
    checker.notify(sections);
    checker.outside(sections);
    checker.llm(sections);
    checker.otel(sections);
    checker.limits(sections);
    let mut problems = checker.problems;
    problems.extend(tree.warnings.iter().cloned());
    problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    if problems.iter().all(|problem| problem.warning) { Ok(problems) } else { Err(problems) }
}

/// Everything that does not fit, and what is wrong with the values beside it: one look at the file, one list. What is missing
/// or named nowhere is left out, for it may be there under a misspelt key.
pub(super) fn beside(misfits: Misfits, tree: &Tree) -> Vec<Problem> {
    let Misfits { mut problems, rest } = misfits;
    if let Some(mut sections) = rest {
        sections.complete();
        let found = check(&sections, tree).err().unwrap_or_default();
        let own = |problem: &Problem| !problem.warning && ![MISSING_KEY, UNKNOWN_NAME].contains(&problem.code);
        problems.extend(found.into_iter().filter(own));
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    }
    problems
}

impl Checker<'_> {
    fn error(&mut self, code: &'static str, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.tree.problem(code, path, message.into(), help.into()));
    }

    fn warn(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let problem = self.tree.problem(SUSPECT, path, message.into(), help.into());
        self.problems.push(Problem { warning: true, ..problem });
    }

    fn range<T: PartialOrd + Display>(&mut self, path: &str, value: T, min: T, max: T) {
        if value < min || value > max {
            self.error(RANGE, path, format!("`{path}` is {value}, it must be from {min} to {max}"), "");
        }
    }

    /// A name that stands in paths, variables and messages.
    fn name(&mut self, path: &str, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
            let message = format!("{name:?} is no name: it must be 1 to {NAME_CHARS_MAX} letters, digits, -, _ and .");
            self.problems.push(self.tree.problem_at_key(BAD_VALUE, path, message, String::new()));
        }
    }

    fn runbook_name(&mut self, path: &str, name: &str) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
            let message = format!("{name:?} is no runbook's name: it must be 1 to {NAME_CHARS_MAX} of a-z, 0-9 and -");
            self.error(BAD_VALUE, path, message, "");
        }
    }

    fn url(&mut self, path: &str, text: Option<&String>) {
        let Some(text) = text else { return };
        match Url::parse(text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                let message = format!("`{path}` has a user or password in it");
                self.error(
                    INLINE_SECRET,
                    path,
                    message,
                    "put the secret into a file, and name it with the `_file` key",
                );
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
            Ok(_) | Err(_) => {
                let message = format!("`{path}` is {text:?}, it must be a url like \"http://127.0.0.1:9090\"");
                self.error(BAD_VALUE, path, message, "");
            }
        }
    }

    fn server(&mut self, sections: &Sections) {
        self.url("public_url", sections.public_url.as_ref());
        if sections.auth.mode == AuthMode::Off && !sections.listen.ip().is_loopback() {
            let message = format!("auth is off and {} can be reached from other machines", sections.listen);
            self.error(OPEN, "auth.mode", message, "listen on 127.0.0.1, or write mode = \"token\"");
        }
        let tls = &sections.tls;
        match (&tls.cert_file, &tls.key_file) {
            (Some(_), None) => {
                self.error(MISSING_KEY, "tls.cert_file", "`tls.cert_file` stands without `key_file`", "add key_file")
            }
            (None, Some(_)) => {
                self.error(MISSING_KEY, "tls.key_file", "`tls.key_file` stands without `cert_file`", "add cert_file")
            }
            (None, None) if tls.client_ca_file.is_some() => {
                let message = "`tls.client_ca_file` stands without a certificate of the daemon's own";
                self.error(MISSING_KEY, "tls.client_ca_file", message, "add cert_file and key_file");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        match sections.store.url.as_str() {
            "sqlite" => {}
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                let message = "a store in PostgreSQL is not supported yet";
                self.error(UNSUPPORTED, "store.url", message, "write url = \"sqlite\"");
            }
            other => self.error(BAD_VALUE, "store.url", format!("`store.url` is {other:?}, it must be \"sqlite\""), ""),
        }
        if tracing_subscriber::EnvFilter::try_new(&sections.log.level).is_err() {
            let message = format!("`log.level` is {:?}, which is no filter", sections.log.level);
            self.error(BAD_VALUE, "log.level", message, "write error, warn, info, debug or trace");
        }
    }

    /// How much anybody may take of the daemon.
    fn bounds(&mut self, sections: &Sections) {
        let server = &sections.server;
        for (key, count) in [
            ("connections", server.connections),
            ("connections_per_address", server.connections_per_address),
            ("requests", server.requests),
            ("streams", server.streams),
            ("streams_per_token", server.streams_per_token),
        ] {
            self.range(&join("server", key), count, 1, COUNT_MAX);
        }
        for (key, timeout) in [
            ("handshake_timeout", server.handshake_timeout),
            ("header_timeout", server.header_timeout),
            ("request_timeout", server.request_timeout),
            ("write_timeout", server.write_timeout),
        ] {
            self.range(&join("server", key), timeout, DurationMs(TIMEOUT.0), DurationMs(TIMEOUT.1));
        }
        for (key, rate) in
            [("requests_per_token", server.requests_per_token), ("requests_per_address", server.requests_per_address)]
        {
            if rate.count == 0 {
                let path = join("server", key);
                self.error(RANGE, &path, format!("`{path}` lets nobody through"), "write a rate like \"30000/1m\"");
            }
        }
        for (key, bytes) in [("message", server.message), ("body", server.body)] {
            self.range(&join("server", key), bytes, Bytes(BODY_BYTES.0), Bytes(BODY_BYTES.1));
        }
    }

    fn docker(&mut self, sections: &Sections) {
        let hosts = &sections.docker.hosts;
        for (name, host) in hosts {
            let path = join("docker.hosts", name);
            self.name(&path, name);
            let endpoint = join(&path, "endpoint");
            match Endpoint::parse(&host.endpoint) {
                Ok(parsed) => self.docker_files(&path, &parsed, host),
                Err(error) => self.error(BAD_VALUE, &endpoint, error.message, ""),
            }
            self.url(&join(&path, "prometheus"), host.prometheus.as_ref());
            let (min, max) = (DurationMs(TIMEOUT_MS.0), DurationMs(TIMEOUT_MS.1));
            self.range(&join(&path, "connect_timeout"), host.connect_timeout, min, max);
            self.range(&join(&path, "read_timeout"), host.read_timeout, min, max);
        }
        let open: Vec<&String> =
            hosts.iter().filter(|(_, host)| host.matchers.is_empty()).map(|(name, _)| name).collect();
        if let [first, second, ..] = open[..] {
            let message =
                format!("docker hosts `{first}` and `{second}` have no `match`: their alerts cannot be told apart");
            self.warn(&join("docker.hosts", second), message, "add match = ['instance=~\"web1:.*\"']");
        }
    }

    /// Files that belong together, and to this kind of endpoint.
    fn docker_files(&mut self, path: &str, endpoint: &Endpoint, host: &DockerHost) {
        let (tls, ssh) = match endpoint {
            Endpoint::Unix(_) => (false, false),
            Endpoint::Tcp(_) | Endpoint::Tls(_) => (true, false),
            Endpoint::Ssh(_) => (false, true),
        };
        let named = [
            ("ca_file", host.ca_file.is_some(), tls),
            ("cert_file", host.cert_file.is_some(), tls),
            ("key_file", host.key_file.is_some(), tls || ssh),
            ("known_hosts_file", host.known_hosts_file.is_some(), ssh),
            ("host_keys", host.host_keys != HostKeys::Strict, ssh),
        ];
        for (key, _, _) in named.iter().filter(|(_, is_set, fits)| *is_set && !fits) {
            let at = join(path, key);
            self.error(BAD_VALUE, &at, format!("`{at}` means nothing for `{}`", host.endpoint), "remove it");
        }
        if !tls {
            return;
        }
        let missing = match (&host.ca_file, &host.cert_file, &host.key_file) {
            (_, Some(_), None) => Some(("cert_file", "key_file")),
            (_, None, Some(_)) => Some(("key_file", "cert_file")),
            (None, Some(_), Some(_)) => Some(("cert_file", "ca_file")),
            (Some(_), Some(_), Some(_)) | (Some(_) | None, None, None) => None,
        };
        if let Some((there, absent)) = missing {
            let at = join(path, there);
            self.error(MISSING_KEY, &at, format!("`{at}` stands without `{absent}`"), format!("add {absent}"));
        }
    }

    fn runbooks(&mut self, sections: &Sections) {
        let routes = sections.routes.len();
        if routes > ROUTES_MAX {
            self.error(RANGE, "routes", format!("there are {routes} routes, at most {ROUTES_MAX} are allowed"), "");
        }
        for (index, route) in sections.routes.iter().enumerate() {
            let path = format!("routes[{index}]");
            self.runbook_name(&join(&path, "runbook"), &route.runbook);
            if route.matchers.is_empty() {
                let help = "add match = ['alertname=\"…\"']; alertname=~\".+\" would be every alert";
                self.warn(&path, format!("route {} has no matchers and never matches", index + 1), help);
            }
        }
        let demotion = &sections.runbooks.demotion;
        self.range("runbooks.demotion.of", demotion.of, 1, DEMOTION_RUNS_MAX);
        self.range("runbooks.demotion.contradicted", demotion.contradicted, 0, demotion.of);
        for (name, key) in &sections.trust.keys {
            let path = join("trust.keys", name);
            self.name(&path, name);
            if let Some(Err(error)) = key.expires.as_deref().map(crate::trust::expiry) {
                let message = format!("`{}`: {error}", join(&path, "expires"));
                self.error(BAD_VALUE, &join(&path, "expires"), message, "");
            }
        }
        if sections.runbooks.require_signature != RequireSignature::Never && sections.trust.keys.is_empty() {
            let message =
                "`require_signature` wants signatures, and no key is under [trust.keys]: nothing can have one";
            self.warn(
                "runbooks.require_signature",
                message,
                "sandbook keys new FILE, then [trust.keys.NAME] file = \"FILE.pub\"",
            );
        }
        for name in sections.runbooks.stages.keys() {
            self.runbook_name(&join("runbooks.stages", name), name);
        }
        for (key, dirs) in [("runbooks.dirs", &sections.runbooks.dirs), ("policy.dirs", &sections.policy.dirs)] {
            for (index, dir) in dirs.iter().enumerate() {
                if dirs[..index].contains(dir) {
                    let message = format!("`{key}` names {} twice", dir.display());
                    self.error(DUPLICATE, &format!("{key}[{index}]"), message, "remove one");
                }
            }
        }
    }

    fn brakes(&mut self, sections: &Sections) {
        let brakes = &sections.brakes;
        let mut rates = |key: &str, rates: &[Rate]| {
            if rates.len() > RATES_MAX {
                let message = format!("`brakes.{key}` has {} rates, at most {RATES_MAX} are allowed", rates.len());
                self.error(RANGE, &join("brakes", key), message, "");
            }
        };
        rates("per_runbook_target", &brakes.per_runbook_target);
        rates("per_target", &brakes.per_target);
        rates("per_runbook", &brakes.per_runbook);
        rates("per_host", &brakes.per_host);
        self.range("brakes.storm.min", brakes.storm.min, 1, 10_000);
        self.range("brakes.storm.window", brakes.storm.window, DurationMs(1_000), DurationMs(24 * 3_600_000));
        let share = brakes.storm.share;
        if !(share > 0.0 && share <= 1.0) {
            self.error(
                RANGE,
                "brakes.storm.share",
                format!("`brakes.storm.share` is {share}, it must be above 0 and at most 1"),
                "",
            );
        }
    }

    fn tokens(&mut self, sections: &Sections) {
        let mut files: BTreeMap<&std::path::Path, &str> = BTreeMap::new();
        for (name, token) in &sections.auth.tokens {
            let path = join("auth.tokens", name);
            self.name(&path, name);
            if token.agent && token.person.is_some() {
                let message = format!("token `{name}` is a person's and an agent's");
                self.error(BAD_VALUE, &join(&path, "agent"), message, "give the agent a token of its own");
            }
            if let Some(first) = files.insert(&token.token_file, name) {
                let message =
                    format!("tokens `{first}` and `{name}` have the same token_file: nobody could tell who it was");
                self.error(DUPLICATE, &join(&path, "token_file"), message, "give each a file of its own");
            }
        }
    }

    fn outside(&mut self, sections: &Sections) {
        self.url("prometheus.url", sections.prometheus.url.as_ref());
        self.url("alertmanager.url", sections.alertmanager.url.as_ref());
        self.url("loki.url", sections.loki.url.as_ref());
        self.url("grafana.url", sections.grafana.url.as_ref());
        if let Some(watchdog) = sections.alertmanager.watchdog {
            self.range("alertmanager.watchdog", watchdog, DurationMs(WATCHDOG_MS.0), DurationMs(WATCHDOG_MS.1));
            if sections.notify.self_.is_none() {
                let message = "`alertmanager.watchdog` has nobody to tell: there is no channel for Sandbook itself";
                self.warn("alertmanager.watchdog", message, "write self = \"…\" under [notify]");
            }
        }
        for (index, pattern) in sections.egress.hosts.iter().enumerate() {
            if let Err(error) = Allow::new([pattern]) {
                self.error(BAD_VALUE, &format!("egress.hosts[{index}]"), error.message, "");
            }
        }
    }

    fn limits(&mut self, sections: &Sections) {
        use manifest::Limits as Most;
        let limits = &sections.limits;
        self.range("limits.wall", limits.wall, DurationMs(1), DurationMs(Most::WALL_MS_MAX));
        self.range("limits.cpu", limits.cpu, DurationMs(1), DurationMs(Most::CPU_MS_MAX));
        self.range("limits.memory", limits.memory, Bytes(1 << 20), Bytes(Most::MEMORY_BYTES_MAX));
        self.range("limits.effects", limits.effects, 1, Most::EFFECTS_MAX);
        self.range("limits.result", limits.result, Bytes(1 << 10), Bytes(Most::RESULT_BYTES_MAX));
        self.range("limits.journal", limits.journal, Bytes(1 << 10), Bytes(Most::JOURNAL_BYTES_MAX));
        self.range("limits.denials", limits.denials, 1, Most::DENIALS_MAX);
        self.range("limits.notes", limits.notes, Bytes(1 << 10), Bytes(Most::NOTES_BYTES_MAX));
        self.range("drafts.rounds", sections.drafts.rounds, 1, ROUNDS_MAX);
        self.range("drafts.containers", sections.drafts.containers, 1, CONTAINERS_MAX);
        self.range("workers.count", sections.workers.count, 1, WORKERS_MAX);
        self.range("workers.queue", sections.workers.queue, 1, QUEUE_MAX);
        let longest = DurationMs(sandbook_core::duration::DURATION_MS_MAX);
        let (shortest, most) = (DurationMs(APPROVAL_MS_MIN), DurationMs(APPROVAL_MS_MAX));
        self.range("approvals.expiry", sections.approvals.expiry, shortest, most);
        self.range("retention.runs", sections.retention.runs, DurationMs(RETENTION_MS_MIN), longest);
        self.range("retention.episodes", sections.retention.episodes, DurationMs(RETENTION_MS_MIN), longest);
    }
}
