//! Every section of the configuration with its keys and defaults. The doc comments are the reference people read.
//!
//! Deliberately not here: what must fit together, see [`super::check`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use sandbook_core::duration::{Bytes, DurationMs, Rate};
use sandbook_core::error::Error;
use sandbook_core::gate::APPROVAL_MS;
use sandbook_core::journal;
use sandbook_core::manifest;
use sandbook_core::matching::{Matcher, Route};

use super::drafts::Drafts;
use super::llm::Llm;
use super::notify::{Grafana, Notify};
use super::otel::Otel;
use super::shape::{section, words};
use super::{LOCAL_ENDPOINT, LOCAL_HOST, Server, StagePin};
use crate::driver::docker;
use crate::listen::tls::Files;

const HOUR_MS: u64 = 3_600_000;

section! {
    /// The whole configuration.
    Sections {
        /// Where the daemon listens.
        listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7070);
        /// Where people reach the daemon, for links in messages, such as `https://sandbook.example.org`; default: `listen`.
        public_url: Option<String> = None;
        /// The database, compiled runbooks and generated tokens.
        data_dir: PathBuf = PathBuf::from("sandbook-data");
        /// TLS of the daemon's own address; without it plain HTTP.
        tls: Tls = Tls::default();
        /// How much of the daemon anybody may take.
        server: Server = Server::default();
        /// Where everything is remembered.
        store: Store = Store::default();
        /// Docker engines.
        docker: Docker = Docker::default();
        /// The metrics source of `metrics` effects and of `promql:` conditions.
        prometheus: Prometheus = Prometheus::default();
        /// Asked for alerts that were missed and for silences.
        alertmanager: Alertmanager = Alertmanager::default();
        /// What `logs.query-loki` asks.
        loki: Loki = Loki::default();
        /// The operator's own wiring of alerts to runbooks; wins over the manifests' triggers.
        routes: Vec<Route> = Vec::new();
        /// Packages from folders, and stages.
        runbooks: Runbooks = Runbooks::default();
        /// Whose signatures of packages count.
        trust: Trust = Trust::default();
        /// What runbooks may change.
        policy: Policy = Policy::default();
        /// Ceilings of attempts; the tightest of engine, policy and manifest wins.
        brakes: Brakes = Brakes::default();
        /// Who may do what.
        auth: Auth = Auth::default();
        /// Questions to people.
        approvals: Approvals = Approvals::default();
        /// Who hears of what.
        notify: Notify = Notify::default();
        /// Where changes are annotated.
        grafana: Grafana = Grafana::default();
        /// What `http` and `net` effects may reach.
        egress: Egress = Egress::default();
        /// The model of `llm` effects and drafts.
        llm: Llm = Llm::default();
        /// What a model drafts.
        drafts: Drafts = Drafts::default();
        /// Ceilings of every run; a manifest can only be narrower.
        limits: Limits = Limits::default();
        /// How much runs at once.
        workers: Workers = Workers::default();
        /// How long finished things are kept.
        retention: Retention = Retention::default();
        /// Traces of runs, for a collector of OpenTelemetry.
        otel: Otel = Otel::default();
        /// The daemon's own log, on stderr.
        log: Log = Log::default();
    }
}

section! {
    /// Questions to people.
    Approvals {
        /// How long a person has to answer; then it is a no. From 1m to 7d.
        expiry: DurationMs = DurationMs(APPROVAL_MS);
    }
}

section! {
    /// TLS; with a client CA mutual TLS.
    Tls {
        /// Certificate chain, PEM.
        cert_file: Option<PathBuf> = None;
        /// Its private key, PEM.
        key_file: Option<PathBuf> = None;
        /// CA that clients must have a certificate of, PEM.
        client_ca_file: Option<PathBuf> = None;
    }
}

section! {
    /// The store.
    Store {
        /// `sqlite`: in the data directory.
        url: String = "sqlite".to_owned();
    }
}

section! {
    /// Docker.
    Docker {
        /// Engines by name. Without any: `local` at `unix:///var/run/docker.sock`.
        hosts: BTreeMap<String, DockerHost> = BTreeMap::new();
    }
}

section! {
    /// One Docker engine.
    DockerHost {
        /// `unix:///path`, `tcp://host:port` or `ssh://user@host:port`, with the socket's path behind it where it is not
        /// `/var/run/docker.sock`.
        endpoint: String;
        /// Which alerts belong to this host; needed only with several.
        matchers as "match": Vec<Matcher> = Vec::new();
        /// `tcp://`: CA of the engine's certificate, PEM; with it the connection is under TLS.
        ca_file: Option<PathBuf> = None;
        /// `tcp://`: certificate the engine wants of its clients, PEM.
        cert_file: Option<PathBuf> = None;
        /// Private key. `tcp://`: of `cert_file`, PEM. `ssh://`: without a passphrase; absent: ssh's own and its agent's.
        key_file: Option<PathBuf> = None;
        /// `ssh://`: keys of known machines, instead of the user's and the system's own.
        known_hosts_file: Option<PathBuf> = None;
        /// `ssh://`: which machines are believed.
        host_keys: HostKeys = HostKeys::Strict;
        /// Metrics source of this host, instead of the one under `[prometheus]`.
        prometheus: Option<String> = None;
        /// How long connecting may take.
        connect_timeout: DurationMs = DurationMs(5_000);
        /// How long a read may take.
        read_timeout: DurationMs = DurationMs(10_000);
    }
}

words! {
    /// Which machines are believed to be themselves.
    HostKeys ("strict or accept-new") {
        /// Those whose key is known.
        #[default]
        Strict = "strict",
        /// Also those never seen before; one whose key changed never is.
        AcceptNew = "accept-new",
    }
}

section! {
    /// Loki.
    Loki {
        /// Its URL, such as `http://127.0.0.1:3100`.
        url: Option<String> = None;
        /// Tenant, where Loki has several.
        tenant: Option<String> = None;
        /// File with a bearer token.
        token_file: Option<PathBuf> = None;
    }
}

section! {
    /// Prometheus.
    Prometheus {
        /// Base URL, such as `http://127.0.0.1:9090`; a path prefix is kept.
        url: Option<String> = None;
        /// File with a bearer token.
        token_file: Option<PathBuf> = None;
    }
}

section! {
    /// Alertmanager.
    Alertmanager {
        /// Base URL, such as `http://127.0.0.1:9093`; a path prefix is kept.
        url: Option<String> = None;
        /// File with a bearer token.
        token_file: Option<PathBuf> = None;
        /// Name of its receiver that posts here: only alerts it sends there are fetched.
        receiver: String = "sandbook".to_owned();
        /// After how long without the always firing alert (`sandbook="watchdog"`) people are told; absent: never.
        watchdog: Option<DurationMs> = None;
    }
}

section! {
    /// Runbooks.
    Runbooks {
        /// Watched folders; each sub-folder is a package.
        dirs: Vec<PathBuf> = Vec::new();
        /// Stages by runbook: `live` for packages from `dirs`, `live@sha256:…` for built-in and uploaded ones.
        stages: BTreeMap<String, StagePin> = BTreeMap::new();
        /// When a version that does not help stops acting by itself.
        demotion: Demotion = Demotion::default();
        /// A version goes live only after a backtest of exactly it: `sandbook backtest`.
        backtest_required: bool = false;
        /// What needs a signature by a key under `[trust.keys]`; what is built in never does.
        require_signature: RequireSignature = RequireSignature::Never;
    }
}

words! {
    /// What needs a signature that counts.
    RequireSignature ("one of never, live, always") {
        /// Nothing.
        #[default]
        Never = "never",
        /// Whatever is to be live; `ask` is the most an unsigned version can be.
        Live = "live",
        /// Every package: an unsigned one is not taken, and what a model drafted stays a draft.
        Always = "always",
    }
}

section! {
    /// Trust.
    Trust {
        /// Keys by name.
        keys: BTreeMap<String, TrustedKey> = BTreeMap::new();
    }
}

section! {
    /// One key.
    TrustedKey {
        /// File with the public key, as minisign writes it.
        file: PathBuf;
        /// From that day on, such as `2027-01-31`, it makes no new signature count; those accepted before stay.
        expires: Option<String> = None;
    }
}

section! {
    /// Automatic demotion to shadow. Two failures in five can be bad luck; three mean that it treats the wrong cause.
    Demotion {
        /// So many contradicted runs demote; 0: never.
        contradicted: u32 = 3;
        /// Of so many of a version's last runs that were confirmed or contradicted.
        of: u32 = 5;
    }
}

section! {
    /// Policy.
    Policy {
        /// Folders with `*.cedar`, validated against the generated schema.
        dirs: Vec<PathBuf> = Vec::new();
        /// Whether a container labelled `sandbook.allow=restart` permits it.
        label_grants: bool = false;
    }
}

section! {
    /// Brakes.
    Brakes {
        /// Attempts of one runbook on one target.
        per_runbook_target: Vec<Rate> = vec![rate(3, HOUR_MS), rate(7, 24 * HOUR_MS)];
        /// Attempts of any runbook on one target.
        per_target: Vec<Rate> = Vec::new();
        /// Attempts of one runbook on anything.
        per_runbook: Vec<Rate> = Vec::new();
        /// Attempts of any runbook on anything of one host.
        per_host: Vec<Rate> = vec![rate(10, 600_000)];
        /// How long a target is left alone after acting.
        settle: DurationMs = DurationMs(120_000);
        /// When so many containers of a host were touched that the cause must lie elsewhere.
        storm: Storm = Storm::default();
    }
}

section! {
    /// The storm limit.
    Storm {
        /// Containers that may always be touched.
        min: u32 = 3;
        /// Share of a host's containers, from 0 to 1.
        share: f64 = 0.25;
        /// In how long.
        window: DurationMs = DurationMs(600_000);
    }
}

section! {
    /// Authentication.
    Auth {
        /// `off` must be written out, and only on loopback.
        mode: AuthMode = AuthMode::Token;
        /// Named tokens. Those generated at the first start need no entry.
        tokens: BTreeMap<String, Token> = BTreeMap::new();
    }
}

words! {
    /// How callers are known.
    AuthMode ("token or off") {
        /// By bearer tokens.
        #[default]
        Token = "token",
        /// Not at all; only on loopback.
        Off = "off",
    }
}

section! {
    /// One token.
    Token {
        /// What its bearer may do.
        role: Role;
        /// Whose it is; the audit then names the person.
        person: Option<String> = None;
        /// Whether a program that decides by itself has it: then it never approves, promotes or applies.
        agent: bool = false;
        /// File with the token; whitespace around it is ignored.
        token_file: PathBuf;
    }
}

words! {
    /// What a bearer may do.
    Role ("one of sender, viewer, author, operator, admin") {
        /// Posts alerts.
        #[default]
        Sender = "sender",
        /// Reads.
        Viewer = "viewer",
        /// Uploads and plans.
        Author = "author",
        /// Promotes, approves, runs, pauses and stops.
        Operator = "operator",
        /// Everything.
        Admin = "admin",
    }
}

section! {
    /// Egress.
    Egress {
        /// `host`, `host:port` or `host:*`; `*` and `?` stand for characters of one label.
        hosts: Vec<String> = Vec::new();
    }
}

section! {
    /// Ceilings of a run.
    Limits {
        /// Wall time without waits.
        wall: DurationMs = DurationMs(manifest::Limits::WALL_MS_MAX);
        /// Processor time.
        cpu: DurationMs = DurationMs(manifest::Limits::CPU_MS_MAX);
        /// Sum of linear memories.
        memory: Bytes = Bytes(manifest::Limits::MEMORY_BYTES_MAX);
        /// Effects.
        effects: u32 = manifest::Limits::EFFECTS_MAX;
        /// One result.
        result: Bytes = Bytes(manifest::Limits::RESULT_BYTES_MAX);
        /// The journal.
        journal: Bytes = Bytes(manifest::Limits::JOURNAL_BYTES_MAX);
        /// Denials before a probing run is ended.
        denials: u32 = manifest::Limits::DENIALS_MAX;
        /// All notes.
        notes: Bytes = Bytes(manifest::Limits::NOTES_BYTES_MAX);
    }
}

section! {
    /// Workers.
    Workers {
        /// Runs executing at once; waiting ones do not count.
        count: u32 = 32;
        /// Queued runs; beyond it new alerts are answered 503.
        queue: u32 = 10_000;
    }
}

section! {
    /// Retention. The audit, versions and runbooks' memory stay.
    Retention {
        /// Finished runs with their journals.
        runs: DurationMs = DurationMs(90 * 24 * HOUR_MS);
        /// Alerts that are over.
        episodes: DurationMs = DurationMs(90 * 24 * HOUR_MS);
    }
}

section! {
    /// The log.
    Log {
        /// How lines look.
        format: LogFormat = LogFormat::Text;
        /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,sandbook=debug`.
        level: String = "info".to_owned();
    }
}

words! {
    /// How log lines look.
    LogFormat ("text or json") {
        /// For people.
        #[default]
        Text = "text",
        /// For machines.
        Json = "json",
    }
}

fn rate(count: u32, window_ms: u64) -> Rate {
    Rate { count, window_ms }
}

impl Sections {
    /// What is there when nothing was said.
    pub(super) fn complete(&mut self) {
        if self.docker.hosts.is_empty() {
            let local = DockerHost { endpoint: LOCAL_ENDPOINT.to_owned(), ..DockerHost::default() };
            self.docker.hosts.insert(LOCAL_HOST.to_owned(), local);
        }
    }
}

impl Limits {
    /// What a run of that manifest may use up: its own limits or the engine's defaults, under these ceilings.
    pub fn of(&self, narrower: &manifest::Limits) -> journal::Limits {
        let usual = journal::Limits::default();
        let bytes = |own: Option<Bytes>, usual: u64, ceiling: Bytes| own.map_or(usual, |own| own.0).min(ceiling.0);
        let ms =
            |own: Option<DurationMs>, usual: u64, ceiling: DurationMs| own.map_or(usual, |own| own.0).min(ceiling.0);
        journal::Limits {
            memory_bytes: bytes(narrower.memory, usual.memory_bytes, self.memory),
            cpu_ms: ms(narrower.cpu, usual.cpu_ms, self.cpu),
            wall_ms: ms(narrower.wall, usual.wall_ms, self.wall),
            effects: narrower.effects.unwrap_or(usual.effects).min(self.effects),
            result_bytes: bytes(narrower.result, usual.result_bytes, self.result),
            journal_bytes: bytes(narrower.journal, usual.journal_bytes, self.journal),
            denials: narrower.denials.unwrap_or(usual.denials).min(self.denials),
            notes_bytes: bytes(narrower.notes, usual.notes_bytes, self.notes),
        }
    }
}

impl Tls {
    /// The files, where TLS is configured.
    pub fn files(&self) -> Option<Files> {
        let (cert, key) = self.cert_file.clone().zip(self.key_file.clone())?;
        Some(Files { cert, key, client_ca: self.client_ca_file.clone() })
    }
}

impl DockerHost {
    /// How the driver reaches it. Errors: `invalid`.
    pub fn settings(&self) -> Result<docker::Settings, Error> {
        Ok(docker::Settings {
            endpoint: self.reached()?,
            connect_timeout: self.connect_timeout.to_std(),
            read_timeout: self.read_timeout.to_std(),
        })
    }
}

impl DockerHost {
    /// The endpoint with the files that belong to it.
    fn reached(&self) -> Result<docker::Endpoint, Error> {
        use docker::Endpoint;
        match (Endpoint::parse(&self.endpoint)?, &self.ca_file) {
            (Endpoint::Tcp(address), Some(ca_file)) => {
                let files = self.cert_file.clone().zip(self.key_file.clone());
                let identity = files.map(|(cert_file, key_file)| docker::Identity { cert_file, key_file });
                Ok(Endpoint::Tls(docker::Tls { address, ca_file: ca_file.clone(), identity }))
            }
            (Endpoint::Ssh(ssh), _) => {
                let (key_file, known_hosts_file) = (self.key_file.clone(), self.known_hosts_file.clone());
                let accept_new = self.host_keys == HostKeys::AcceptNew;
                Ok(Endpoint::Ssh(docker::Ssh { key_file, known_hosts_file, accept_new, ..ssh }))
            }
            (plain @ (Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls(_)), _) => Ok(plain),
        }
    }
}
