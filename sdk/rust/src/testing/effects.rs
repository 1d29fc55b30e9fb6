// Generated from sdk/wit by `sandbook-pack generate`; a test compares.
//! The effects off the engine: the same functions, answered by a [`World`](super::World).

use super::{Kind, given, note, perform};

/// Containers of the run's Docker host. Reads need the manifest's request; changes also the operator's policy.
pub mod docker {
    use super::*;

    pub use crate::bindings::sandbook::runbook::docker::*;

    /// Lists containers of the run's host, by name.
    pub fn list_containers(filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, crate::Error> {
        perform("docker.list-containers", vec![given("filter", filter.clone())])
    }
    const _: fn(&ContainerFilter) -> Result<Vec<ContainerSummary>, crate::Error> = crate::bindings::sandbook::runbook::docker::list_containers;

    /// Everything worth knowing of one container. Values of environment variables are omitted.
    pub fn inspect_container(container: &str) -> Result<ContainerDetails, crate::Error> {
        perform("docker.inspect-container", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<ContainerDetails, crate::Error> = crate::bindings::sandbook::runbook::docker::inspect_container;

    /// One sample of a running container's resource use.
    pub fn container_stats(container: &str) -> Result<Stats, crate::Error> {
        perform("docker.container-stats", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<Stats, crate::Error> = crate::bindings::sandbook::runbook::docker::container_stats;

    /// Processes inside a running container.
    pub fn container_processes(container: &str) -> Result<Processes, crate::Error> {
        perform("docker.container-processes", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<Processes, crate::Error> = crate::bindings::sandbook::runbook::docker::container_processes;

    /// Who stops working when this container restarts: sharers of its network, compose `depends_on`, `volumes-from`.
    pub fn dependents(container: &str) -> Result<Vec<Dependent>, crate::Error> {
        perform("docker.dependents", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<Vec<Dependent>, crate::Error> = crate::bindings::sandbook::runbook::docker::dependents;

    /// What the engine reported lately, oldest first.
    pub fn recent_events(filter: &EventFilter) -> Result<Vec<Event>, crate::Error> {
        perform("docker.recent-events", vec![given("filter", filter.clone())])
    }
    const _: fn(&EventFilter) -> Result<Vec<Event>, crate::Error> = crate::bindings::sandbook::runbook::docker::recent_events;

    /// Starts a container that does not run.
    pub fn start_container(container: &str) -> Result<Change, crate::Error> {
        perform("docker.start-container", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<Change, crate::Error> = crate::bindings::sandbook::runbook::docker::start_container;

    /// Stops a running container.
    pub fn stop_container(container: &str, options: StopOptions) -> Result<Change, crate::Error> {
        perform("docker.stop-container", vec![given("container", container.to_owned()), given("options", options)])
    }
    const _: fn(&str, StopOptions) -> Result<Change, crate::Error> = crate::bindings::sandbook::runbook::docker::stop_container;

    /// Restarts a container, running or not.
    pub fn restart_container(container: &str, options: StopOptions) -> Result<Change, crate::Error> {
        perform("docker.restart-container", vec![given("container", container.to_owned()), given("options", options)])
    }
    const _: fn(&str, StopOptions) -> Result<Change, crate::Error> = crate::bindings::sandbook::runbook::docker::restart_container;

    /// Sends a signal to a running container.
    pub fn kill_container(container: &str, options: &KillOptions) -> Result<Change, crate::Error> {
        perform("docker.kill-container", vec![given("container", container.to_owned()), given("options", options.clone())])
    }
    const _: fn(&str, &KillOptions) -> Result<Change, crate::Error> = crate::bindings::sandbook::runbook::docker::kill_container;

    /// Freezes every process of a running container.
    pub fn pause_container(container: &str) -> Result<Change, crate::Error> {
        perform("docker.pause-container", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<Change, crate::Error> = crate::bindings::sandbook::runbook::docker::pause_container;

    /// Thaws a paused container.
    pub fn unpause_container(container: &str) -> Result<Change, crate::Error> {
        perform("docker.unpause-container", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<Change, crate::Error> = crate::bindings::sandbook::runbook::docker::unpause_container;

    /// Runs a program inside a running container: an argument vector, never a shell string.
    pub fn exec(container: &str, argv: &[String], options: &ExecOptions) -> Result<ExecResult, crate::Error> {
        perform("docker.exec", vec![given("container", container.to_owned()), given("argv", argv.to_vec()), given("options", options.clone())])
    }
    const _: fn(&str, &[String], &ExecOptions) -> Result<ExecResult, crate::Error> = crate::bindings::sandbook::runbook::docker::exec;

    /// Changes limits of a container while it runs.
    pub fn update_resources(container: &str, resources: Resources) -> Result<Change, crate::Error> {
        perform("docker.update-resources", vec![given("container", container.to_owned()), given("resources", resources)])
    }
    const _: fn(&str, Resources) -> Result<Change, crate::Error> = crate::bindings::sandbook::runbook::docker::update_resources;

    /// What differs in a container's files from its image.
    pub fn container_changes(container: &str) -> Result<FileChanges, crate::Error> {
        perform("docker.container-changes", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<FileChanges, crate::Error> = crate::bindings::sandbook::runbook::docker::container_changes;

    /// Images of the run's host, the largest first; at most 500.
    pub fn list_images(filter: &ImageFilter) -> Result<Vec<Image>, crate::Error> {
        perform("docker.list-images", vec![given("filter", filter.clone())])
    }
    const _: fn(&ImageFilter) -> Result<Vec<Image>, crate::Error> = crate::bindings::sandbook::runbook::docker::list_images;

    /// What takes the disk of the run's host, as far as Docker knows.
    pub fn disk_usage() -> Result<DiskUse, crate::Error> {
        perform("docker.disk-usage", vec![])
    }
    const _: fn() -> Result<DiskUse, crate::Error> = crate::bindings::sandbook::runbook::docker::disk_usage;

    /// Replaces a container by a new instance with the same configuration but for what is named here. The old one is stopped, kept
    /// under another name until the new one is healthy, and comes back if it is not. Anonymous volumes, networks with their
    /// aliases and fixed addresses go over to the new one.
    pub fn recreate_container(container: &str, options: &RecreateOptions) -> Result<Recreated, crate::Error> {
        perform("docker.recreate-container", vec![given("container", container.to_owned()), given("options", options.clone())])
    }
    const _: fn(&str, &RecreateOptions) -> Result<Recreated, crate::Error> = crate::bindings::sandbook::runbook::docker::recreate_container;

    /// Removes a container. Its volumes stay, anonymous ones too.
    pub fn remove_container(container: &str, options: RemoveOptions) -> Result<Removed, crate::Error> {
        perform("docker.remove-container", vec![given("container", container.to_owned()), given("options", options)])
    }
    const _: fn(&str, RemoveOptions) -> Result<Removed, crate::Error> = crate::bindings::sandbook::runbook::docker::remove_container;

    /// Sets how many containers a compose service (`project/service`) or swarm service has, 1 to 100: made after one that is there,
    /// with the next numbers; the highest numbers go first.
    pub fn scale_service(service: &str, replicas: u32, options: ScaleOptions) -> Result<Scaled, crate::Error> {
        perform("docker.scale-service", vec![given("service", service.to_owned()), given("replicas", replicas), given("options", options)])
    }
    const _: fn(&str, u32, ScaleOptions) -> Result<Scaled, crate::Error> = crate::bindings::sandbook::runbook::docker::scale_service;

    /// Connects a container to a network, by the network's name.
    pub fn connect_network(container: &str, network: &str, options: &ConnectOptions) -> Result<NetworkChange, crate::Error> {
        perform("docker.connect-network", vec![given("container", container.to_owned()), given("network", network.to_owned()), given("options", options.clone())])
    }
    const _: fn(&str, &str, &ConnectOptions) -> Result<NetworkChange, crate::Error> = crate::bindings::sandbook::runbook::docker::connect_network;

    /// Disconnects a container from a network, by the network's name.
    pub fn disconnect_network(container: &str, network: &str) -> Result<NetworkChange, crate::Error> {
        perform("docker.disconnect-network", vec![given("container", container.to_owned()), given("network", network.to_owned())])
    }
    const _: fn(&str, &str) -> Result<NetworkChange, crate::Error> = crate::bindings::sandbook::runbook::docker::disconnect_network;

    /// Removes images without a tag that nothing uses, and if asked, others that no container uses.
    pub fn prune_images(options: PruneImagesOptions) -> Result<Pruned, crate::Error> {
        perform("docker.prune-images", vec![given("options", options)])
    }
    const _: fn(PruneImagesOptions) -> Result<Pruned, crate::Error> = crate::bindings::sandbook::runbook::docker::prune_images;

    /// Removes build cache.
    pub fn prune_build_cache(options: PruneCacheOptions) -> Result<Pruned, crate::Error> {
        perform("docker.prune-build-cache", vec![given("options", options)])
    }
    const _: fn(PruneCacheOptions) -> Result<Pruned, crate::Error> = crate::bindings::sandbook::runbook::docker::prune_build_cache;
}

/// What containers wrote to stdout and stderr. Filtered and paged on the host side.
pub mod logs {
    use super::*;

    pub use crate::bindings::sandbook::runbook::logs::*;

    /// The last lines of a container's log.
    pub fn tail_container(container: &str, options: TailOptions) -> Result<Page, crate::Error> {
        perform("logs.tail-container", vec![given("container", container.to_owned()), given("options", options)])
    }
    const _: fn(&str, TailOptions) -> Result<Page, crate::Error> = crate::bindings::sandbook::runbook::logs::tail_container;

    /// Lines that match a regular expression (linear time, no backtracking), oldest first.
    pub fn search_container(container: &str, pattern: &str, options: &SearchOptions) -> Result<Matches, crate::Error> {
        perform("logs.search-container", vec![given("container", container.to_owned()), given("pattern", pattern.to_owned()), given("options", options.clone())])
    }
    const _: fn(&str, &str, &SearchOptions) -> Result<Matches, crate::Error> = crate::bindings::sandbook::runbook::logs::search_container;

    /// A log query (LogQL) to the Loki the operator configured.
    pub fn query_loki(logql: &str, options: LokiOptions) -> Result<LokiPage, crate::Error> {
        perform("logs.query-loki", vec![given("logql", logql.to_owned()), given("options", options)])
    }
    const _: fn(&str, LokiOptions) -> Result<LokiPage, crate::Error> = crate::bindings::sandbook::runbook::logs::query_loki;

    /// Empties the file of a container's log (driver `json-file`). What is in it is lost, so a policy must name the container: one
    /// that permits it on a pattern, a service or a label does not suffice.
    pub fn truncate_container_log(container: &str) -> Result<Truncated, crate::Error> {
        perform("logs.truncate-container-log", vec![given("container", container.to_owned())])
    }
    const _: fn(&str) -> Result<Truncated, crate::Error> = crate::bindings::sandbook::runbook::logs::truncate_container_log;
}

/// The Prometheus HTTP API the operator configured.
pub mod metrics {
    use super::*;

    pub use crate::bindings::sandbook::runbook::metrics::*;

    /// An instant query, evaluated now; at most 1,000 samples.
    pub fn query(promql: &str) -> Result<Vec<Sample>, crate::Error> {
        perform("metrics.query", vec![given("promql", promql.to_owned())])
    }
    const _: fn(&str) -> Result<Vec<Sample>, crate::Error> = crate::bindings::sandbook::runbook::metrics::query;

    /// A range query that ends now; at most 1,000 series.
    pub fn query_range(promql: &str, range: Range) -> Result<Vec<Series>, crate::Error> {
        perform("metrics.query-range", vec![given("promql", promql.to_owned()), given("range", range)])
    }
    const _: fn(&str, Range) -> Result<Vec<Series>, crate::Error> = crate::bindings::sandbook::runbook::metrics::query_range;
}

/// Probes from the daemon's place in the network. Each can carry data out, so the operator lists the hosts.
pub mod net {
    use super::*;

    pub use crate::bindings::sandbook::runbook::net::*;

    /// A GET that asks one question: is it well? An unreachable host is an answer, not an error.
    pub fn http_probe(url: &str, options: &ProbeOptions) -> Result<ProbeResult, crate::Error> {
        perform("net.http-probe", vec![given("url", url.to_owned()), given("options", options.clone())])
    }
    const _: fn(&str, &ProbeOptions) -> Result<ProbeResult, crate::Error> = crate::bindings::sandbook::runbook::net::http_probe;

    /// Does something accept connections there?
    pub fn tcp_check(host: &str, port: u16, options: CheckOptions) -> Result<CheckResult, crate::Error> {
        perform("net.tcp-check", vec![given("host", host.to_owned()), given("port", port), given("options", options)])
    }
    const _: fn(&str, u16, CheckOptions) -> Result<CheckResult, crate::Error> = crate::bindings::sandbook::runbook::net::tcp_check;

    /// Addresses of a name, by the daemon's resolver.
    pub fn dns_lookup(name: &str, options: CheckOptions) -> Result<LookupResult, crate::Error> {
        perform("net.dns-lookup", vec![given("name", name.to_owned()), given("options", options)])
    }
    const _: fn(&str, CheckOptions) -> Result<LookupResult, crate::Error> = crate::bindings::sandbook::runbook::net::dns_lookup;
}

/// HTTP to hosts the operator lists. Redirects are followed only to listed hosts.
pub mod http {
    use super::*;

    pub use crate::bindings::sandbook::runbook::http::*;

    /// A GET; any status is an answer.
    pub fn get(url: &str, options: &GetOptions) -> Result<Response, crate::Error> {
        perform("http.get", vec![given("url", url.to_owned()), given("options", options.clone())])
    }
    const _: fn(&str, &GetOptions) -> Result<Response, crate::Error> = crate::bindings::sandbook::runbook::http::get;

    /// Any method. It can carry data out whatever the method is, so the operator lists the hosts.
    pub fn request(method: Method, url: &str, options: &RequestOptions) -> Result<Response, crate::Error> {
        perform("http.request", vec![given("method", method), given("url", url.to_owned()), given("options", options.clone())])
    }
    const _: fn(Method, &str, &RequestOptions) -> Result<Response, crate::Error> = crate::bindings::sandbook::runbook::http::request;
}

/// Messages to people, over channels the operator configured.
pub mod notify {
    use super::*;

    pub use crate::bindings::sandbook::runbook::notify::*;

    /// Delivered at least once, with a deduplication key.
    pub fn send(message: &Message) -> Result<Receipt, crate::Error> {
        perform("notify.send", vec![given("message", message.clone())])
    }
    const _: fn(&Message) -> Result<Receipt, crate::Error> = crate::bindings::sandbook::runbook::notify::send;
}

/// The runbook's own memory, kept between runs of the same runbook.
pub mod state {
    use super::*;

    pub use crate::bindings::sandbook::runbook::state::*;

    /// The value of a key, if there is one.
    pub fn get(key: &str) -> Result<Option<String>, crate::Error> {
        perform("state.get", vec![given("key", key.to_owned())])
    }
    const _: fn(&str) -> Result<Option<String>, crate::Error> = crate::bindings::sandbook::runbook::state::get;

    /// Sets a key; keys up to 256 bytes, values up to 64 KiB, 1,000 keys a runbook.
    pub fn put(key: &str, value: &str) -> Result<(), crate::Error> {
        perform("state.put", vec![given("key", key.to_owned()), given("value", value.to_owned())])
    }
    const _: fn(&str, &str) -> Result<(), crate::Error> = crate::bindings::sandbook::runbook::state::put;

    /// Sets a key if it still has the expected value (absent: if it is not set). False if it has not.
    pub fn compare_and_put(key: &str, expected: Option<&str>, value: &str) -> Result<bool, crate::Error> {
        perform("state.compare-and-put", vec![given("key", key.to_owned()), given("expected", expected.map(str::to_owned)), given("value", value.to_owned())])
    }
    const _: fn(&str, Option<&str>, &str) -> Result<bool, crate::Error> = crate::bindings::sandbook::runbook::state::compare_and_put;
}

/// Recorded time. Replays see the recorded one.
pub mod clock {
    use super::*;

    pub use crate::bindings::sandbook::runbook::clock::*;

    /// Milliseconds since 1970.
    pub fn now() -> Result<u64, crate::Error> {
        perform("clock.now", vec![])
    }
    const _: fn() -> Result<u64, crate::Error> = crate::bindings::sandbook::runbook::clock::now;

    /// Waits; waiting costs nothing and does not count against the run's wall time. At most 7 days.
    pub fn sleep(duration_ms: u64) -> Result<(), crate::Error> {
        perform("clock.sleep", vec![given("duration_ms", duration_ms)])
    }
    const _: fn(u64) -> Result<(), crate::Error> = crate::bindings::sandbook::runbook::clock::sleep;
}

pub mod random {
    use super::*;

    pub use crate::bindings::sandbook::runbook::random::*;

    /// A random number, recorded.
    pub fn random_u64() -> Result<u64, crate::Error> {
        perform("random.random-u64", vec![])
    }
    const _: fn() -> Result<u64, crate::Error> = crate::bindings::sandbook::runbook::random::random_u64;
}

/// Notes. They take no slot and do not count against the effect limit; 1 MiB of them a run.
pub mod log {
    use super::*;

    pub use crate::bindings::sandbook::runbook::log::*;

    /// A line in the run's record.
    pub fn log(level: Level, message: &str) {
        note("log.log", vec![given("level", level), given("message", message.to_owned())])
    }
    const _: fn(Level, &str) = crate::bindings::sandbook::runbook::log::log;

    /// What is being done now, for whoever watches; percent 0 to 100.
    pub fn progress(message: &str, percent: Option<u8>) {
        note("log.progress", vec![given("message", message.to_owned()), given("percent", percent)])
    }
    const _: fn(&str, Option<u8>) = crate::bindings::sandbook::runbook::log::progress;

    /// Keeps a text with the run, to be read before anyone acts; at most 256 KiB.
    pub fn attach_evidence(name: &str, text: &str) {
        note("log.attach-evidence", vec![given("name", name.to_owned()), given("text", text.to_owned())])
    }
    const _: fn(&str, &str) = crate::bindings::sandbook::runbook::log::attach_evidence;
}

/// Questions to a person. The run waits for the answer at no cost, across restarts too.
pub mod human {
    use super::*;

    pub use crate::bindings::sandbook::runbook::human::*;

    /// Asks a person to choose one of the options, at most 10 of 80 bytes; the question has at most 500 bytes. A refusal, the
    /// end of the alert, and silence without a fallback are `denied`.
    pub fn ask(question: &str, options: &[String], settings: &AskSettings) -> Result<Answer, crate::Error> {
        perform("human.ask", vec![given("question", question.to_owned()), given("options", options.to_vec()), given("settings", settings.clone())])
    }
    const _: fn(&str, &[String], &AskSettings) -> Result<Answer, crate::Error> = crate::bindings::sandbook::runbook::human::ask;
}

/// The Alertmanager the operator configured. Matchers are written as there: `alertname="Down"`, `host=~"web.*"`.
pub mod alertmanager {
    use super::*;

    pub use crate::bindings::sandbook::runbook::alertmanager::*;

    /// Alerts it holds, at most 500.
    pub fn list_alerts(filter: &AlertFilter) -> Result<Vec<HeldAlert>, crate::Error> {
        perform("alertmanager.list-alerts", vec![given("filter", filter.clone())])
    }
    const _: fn(&AlertFilter) -> Result<Vec<HeldAlert>, crate::Error> = crate::bindings::sandbook::runbook::alertmanager::list_alerts;

    /// Its silences, at most 500.
    pub fn list_silences(filter: &SilenceFilter) -> Result<Vec<Silence>, crate::Error> {
        perform("alertmanager.list-silences", vec![given("filter", filter.clone())])
    }
    const _: fn(&SilenceFilter) -> Result<Vec<Silence>, crate::Error> = crate::bindings::sandbook::runbook::alertmanager::list_silences;

    /// Silences alerts from now on.
    pub fn create_silence(silence: &NewSilence) -> Result<SilenceCreated, crate::Error> {
        perform("alertmanager.create-silence", vec![given("silence", silence.clone())])
    }
    const _: fn(&NewSilence) -> Result<SilenceCreated, crate::Error> = crate::bindings::sandbook::runbook::alertmanager::create_silence;

    /// Ends a silence now.
    pub fn expire_silence(id: &str) -> Result<SilenceExpired, crate::Error> {
        perform("alertmanager.expire-silence", vec![given("id", id.to_owned())])
    }
    const _: fn(&str) -> Result<SilenceExpired, crate::Error> = crate::bindings::sandbook::runbook::alertmanager::expire_silence;
}

/// The language model the operator configured. It only fills what is declared here: evidence is data and adds no option, and where
/// no valid answer comes (no model, no budget, a deadline, nonsense), the declared fallback is the answer and says so. A plan asks
/// no model and goes on with the fallback.
pub mod llm {
    use super::*;

    pub use crate::bindings::sandbook::runbook::llm::*;

    /// One of 2 to 10 options. The fallback is one of them or another word.
    pub fn choose(question: &str, evidence: &str, options: &[String], fallback: &str) -> Result<Choice, crate::Error> {
        perform("llm.choose", vec![given("question", question.to_owned()), given("evidence", evidence.to_owned()), given("options", options.to_vec()), given("fallback", fallback.to_owned())])
    }
    const _: fn(&str, &str, &[String], &str) -> Result<Choice, crate::Error> = crate::bindings::sandbook::runbook::llm::choose;

    /// The evidence in fewer words.
    pub fn summarize(evidence: &str, options: &SummarizeOptions, fallback: &str) -> Result<Summary, crate::Error> {
        perform("llm.summarize", vec![given("evidence", evidence.to_owned()), given("options", options.clone()), given("fallback", fallback.to_owned())])
    }
    const _: fn(&str, &SummarizeOptions, &str) -> Result<Summary, crate::Error> = crate::bindings::sandbook::runbook::llm::summarize;

    /// What the evidence says, in the shape of a JSON schema. The fallback is JSON, too.
    pub fn extract(evidence: &str, schema: &str, fallback: &str) -> Result<Extraction, crate::Error> {
        perform("llm.extract", vec![given("evidence", evidence.to_owned()), given("schema", schema.to_owned()), given("fallback", fallback.to_owned())])
    }
    const _: fn(&str, &str, &str) -> Result<Extraction, crate::Error> = crate::bindings::sandbook::runbook::llm::extract;
}

/// What this engine has seen before.
pub mod incidents {
    use super::*;

    pub use crate::bindings::sandbook::runbook::incidents::*;

    /// Earlier incidents like the one of this run, the most similar first; at most 20. Empty in a run without an alert.
    pub fn similar(limit: u32) -> Result<Vec<Incident>, crate::Error> {
        perform("incidents.similar", vec![given("limit", limit)])
    }
    const _: fn(u32) -> Result<Vec<Incident>, crate::Error> = crate::bindings::sandbook::runbook::incidents::similar;
}

/// What an effect answers; none where there is no such effect.
pub(super) fn kind(effect: &str) -> Option<Kind> {
    Some(match effect {
        "docker.list-containers" => Kind::of::<Vec<crate::bindings::sandbook::runbook::docker::ContainerSummary>>(),
        "docker.inspect-container" => Kind::of::<crate::bindings::sandbook::runbook::docker::ContainerDetails>(),
        "docker.container-stats" => Kind::of::<crate::bindings::sandbook::runbook::docker::Stats>(),
        "docker.container-processes" => Kind::of::<crate::bindings::sandbook::runbook::docker::Processes>(),
        "docker.dependents" => Kind::of::<Vec<crate::bindings::sandbook::runbook::docker::Dependent>>(),
        "docker.recent-events" => Kind::of::<Vec<crate::bindings::sandbook::runbook::docker::Event>>(),
        "docker.start-container" => Kind::of::<crate::bindings::sandbook::runbook::types::Change>(),
        "docker.stop-container" => Kind::of::<crate::bindings::sandbook::runbook::types::Change>(),
        "docker.restart-container" => Kind::of::<crate::bindings::sandbook::runbook::types::Change>(),
        "docker.kill-container" => Kind::of::<crate::bindings::sandbook::runbook::types::Change>(),
        "docker.pause-container" => Kind::of::<crate::bindings::sandbook::runbook::types::Change>(),
        "docker.unpause-container" => Kind::of::<crate::bindings::sandbook::runbook::types::Change>(),
        "docker.exec" => Kind::of::<crate::bindings::sandbook::runbook::docker::ExecResult>(),
        "docker.update-resources" => Kind::of::<crate::bindings::sandbook::runbook::types::Change>(),
        "docker.container-changes" => Kind::of::<crate::bindings::sandbook::runbook::docker::FileChanges>(),
        "docker.list-images" => Kind::of::<Vec<crate::bindings::sandbook::runbook::docker::Image>>(),
        "docker.disk-usage" => Kind::of::<crate::bindings::sandbook::runbook::docker::DiskUse>(),
        "docker.recreate-container" => Kind::of::<crate::bindings::sandbook::runbook::docker::Recreated>(),
        "docker.remove-container" => Kind::of::<crate::bindings::sandbook::runbook::docker::Removed>(),
        "docker.scale-service" => Kind::of::<crate::bindings::sandbook::runbook::docker::Scaled>(),
        "docker.connect-network" => Kind::of::<crate::bindings::sandbook::runbook::docker::NetworkChange>(),
        "docker.disconnect-network" => Kind::of::<crate::bindings::sandbook::runbook::docker::NetworkChange>(),
        "docker.prune-images" => Kind::of::<crate::bindings::sandbook::runbook::docker::Pruned>(),
        "docker.prune-build-cache" => Kind::of::<crate::bindings::sandbook::runbook::docker::Pruned>(),
        "logs.tail-container" => Kind::of::<crate::bindings::sandbook::runbook::logs::Page>(),
        "logs.search-container" => Kind::of::<crate::bindings::sandbook::runbook::logs::Matches>(),
        "logs.query-loki" => Kind::of::<crate::bindings::sandbook::runbook::logs::LokiPage>(),
        "logs.truncate-container-log" => Kind::of::<crate::bindings::sandbook::runbook::logs::Truncated>(),
        "metrics.query" => Kind::of::<Vec<crate::bindings::sandbook::runbook::metrics::Sample>>(),
        "metrics.query-range" => Kind::of::<Vec<crate::bindings::sandbook::runbook::metrics::Series>>(),
        "net.http-probe" => Kind::of::<crate::bindings::sandbook::runbook::net::ProbeResult>(),
        "net.tcp-check" => Kind::of::<crate::bindings::sandbook::runbook::net::CheckResult>(),
        "net.dns-lookup" => Kind::of::<crate::bindings::sandbook::runbook::net::LookupResult>(),
        "http.get" => Kind::of::<crate::bindings::sandbook::runbook::http::Response>(),
        "http.request" => Kind::of::<crate::bindings::sandbook::runbook::http::Response>(),
        "notify.send" => Kind::of::<crate::bindings::sandbook::runbook::notify::Receipt>(),
        "state.get" => Kind::of::<Option<String>>(),
        "state.put" => Kind::of::<()>(),
        "state.compare-and-put" => Kind::of::<bool>(),
        "clock.now" => Kind::of::<u64>(),
        "clock.sleep" => Kind::of::<()>(),
        "random.random-u64" => Kind::of::<u64>(),
        "log.log" => Kind::of::<()>(),
        "log.progress" => Kind::of::<()>(),
        "log.attach-evidence" => Kind::of::<()>(),
        "human.ask" => Kind::of::<crate::bindings::sandbook::runbook::human::Answer>(),
        "alertmanager.list-alerts" => Kind::of::<Vec<crate::bindings::sandbook::runbook::alertmanager::HeldAlert>>(),
        "alertmanager.list-silences" => Kind::of::<Vec<crate::bindings::sandbook::runbook::alertmanager::Silence>>(),
        "alertmanager.create-silence" => Kind::of::<crate::bindings::sandbook::runbook::alertmanager::SilenceCreated>(),
        "alertmanager.expire-silence" => Kind::of::<crate::bindings::sandbook::runbook::alertmanager::SilenceExpired>(),
        "llm.choose" => Kind::of::<crate::bindings::sandbook::runbook::llm::Choice>(),
        "llm.summarize" => Kind::of::<crate::bindings::sandbook::runbook::llm::Summary>(),
        "llm.extract" => Kind::of::<crate::bindings::sandbook::runbook::llm::Extraction>(),
        "incidents.similar" => Kind::of::<Vec<crate::bindings::sandbook::runbook::incidents::Incident>>(),
        _ => return None,
    })
}

macro_rules! defaults {
    ($($record:path { $($field:ident),* })*) => {$(
        impl Default for $record {
            fn default() -> Self {
                Self { $($field: Default::default()),* }
            }
        }
    )*};
}

macro_rules! first {
    ($($word:path: $case:ident,)*) => {$(
        impl Default for $word {
            fn default() -> Self {
                Self::$case
            }
        }
    )*};
}

defaults! {
    crate::bindings::sandbook::runbook::alertmanager::HeldAlert { name, labels, annotations, starts_at, fingerprint, state, silenced_by }
    crate::bindings::sandbook::runbook::alertmanager::Silence { id, state, matchers, created_by, comment, starts_at, ends_at }
    crate::bindings::sandbook::runbook::alertmanager::SilenceCreated { id, ends_at }
    crate::bindings::sandbook::runbook::alertmanager::SilenceExpired { changed }
    crate::bindings::sandbook::runbook::docker::ContainerDetails { name, id, host, image, image_id, state, health_log, created_at, command, environment_names, labels, project, service, restart_policy, network_mode, networks, mounts, limits, has_healthcheck }
    crate::bindings::sandbook::runbook::docker::ContainerSummary { name, id, host, image, status, status_text, project, service }
    crate::bindings::sandbook::runbook::docker::Dependent { name, id, why, status }
    crate::bindings::sandbook::runbook::docker::DiskUse { images, containers, volumes, build_cache, logs }
    crate::bindings::sandbook::runbook::docker::Event { at, action, container, exit_code }
    crate::bindings::sandbook::runbook::docker::ExecResult { exit_code, stdout, stderr, truncated }
    crate::bindings::sandbook::runbook::docker::FileChange { path, kind }
    crate::bindings::sandbook::runbook::docker::FileChanges { changes, truncated }
    crate::bindings::sandbook::runbook::docker::HealthProbe { started_at, exit_code, output }
    crate::bindings::sandbook::runbook::docker::Image { id, tags, size_bytes, created_at, containers }
    crate::bindings::sandbook::runbook::docker::Limits { memory_bytes, memory_swap_bytes, cpus, pids }
    crate::bindings::sandbook::runbook::docker::LogFile { container, size_bytes }
    crate::bindings::sandbook::runbook::docker::Mount { kind, source, destination, writable }
    crate::bindings::sandbook::runbook::docker::NetworkChange { changed, networks }
    crate::bindings::sandbook::runbook::docker::Processes { titles, rows, zombies }
    crate::bindings::sandbook::runbook::docker::Pruned { deleted, freed_bytes }
    crate::bindings::sandbook::runbook::docker::Recreated { name, id, old_id, image, state }
    crate::bindings::sandbook::runbook::docker::Removed { name, id }
    crate::bindings::sandbook::runbook::docker::Scaled { changed, before, after, created, removed }
    crate::bindings::sandbook::runbook::docker::Stats { cpu_percent, memory_bytes, memory_limit_bytes, pids, network_received_bytes, network_sent_bytes, block_read_bytes, block_written_bytes, throttled_periods }
    crate::bindings::sandbook::runbook::docker::UseOfDisk { count, in_use, size_bytes, reclaimable_bytes }
    crate::bindings::sandbook::runbook::http::Response { status, headers, body, truncated }
    crate::bindings::sandbook::runbook::human::Answer { option, by, reason, fallback }
    crate::bindings::sandbook::runbook::incidents::Incident { episode, run, alert, at, runbook, outcome, verification, score, worked, changes }
    crate::bindings::sandbook::runbook::llm::Choice { option, confidence, quote, fallback, reason }
    crate::bindings::sandbook::runbook::llm::Extraction { json, fallback, reason }
    crate::bindings::sandbook::runbook::llm::Summary { text, fallback, reason }
    crate::bindings::sandbook::runbook::logs::LokiLine { at, line, labels }
    crate::bindings::sandbook::runbook::logs::LokiPage { lines, truncated }
    crate::bindings::sandbook::runbook::logs::Match { at, line, context }
    crate::bindings::sandbook::runbook::logs::Matches { found, cursor, scanned }
    crate::bindings::sandbook::runbook::logs::Page { text, lines, truncated }
    crate::bindings::sandbook::runbook::logs::Truncated { freed_bytes }
    crate::bindings::sandbook::runbook::metrics::Sample { labels, value, at }
    crate::bindings::sandbook::runbook::metrics::Series { labels, points }
    crate::bindings::sandbook::runbook::net::CheckResult { open, duration_ms, reason }
    crate::bindings::sandbook::runbook::net::LookupResult { addresses, duration_ms }
    crate::bindings::sandbook::runbook::net::ProbeResult { ok, status, duration_ms, reason }
    crate::bindings::sandbook::runbook::notify::Receipt { channel, dedup_key }
    crate::bindings::sandbook::runbook::types::Change { changed, state }
    crate::bindings::sandbook::runbook::types::ContainerState { status, health, exit_code, oom_killed, error, started_at, finished_at, restart_count }
}

first! {
    crate::bindings::sandbook::runbook::alertmanager::AlertState: Unprocessed,
    crate::bindings::sandbook::runbook::alertmanager::SilenceState: Pending,
    crate::bindings::sandbook::runbook::docker::Dependency: SharesNetwork,
    crate::bindings::sandbook::runbook::docker::FileChangeKind: Changed,
    crate::bindings::sandbook::runbook::types::ContainerStatus: Created,
    crate::bindings::sandbook::runbook::types::HealthStatus: None,
}
