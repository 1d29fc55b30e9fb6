//! What of Docker's (and its neighbours') behaviour the simulated world models, effect by effect, and what it does not.
//! A plan may rely on the first column only; a test fails when an effect has no line.
//!
//! Deliberately not here: how it is modelled.

/// One effect's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// `interface.function` of the WIT.
    pub effect: &'static str,
    /// What a simulated answer can be relied on for.
    pub modelled: &'static str,
    /// What it ignores.
    pub not_modelled: &'static str,
}

const fn line(effect: &'static str, modelled: &'static str, not_modelled: &'static str) -> Line {
    Line { effect, modelled, not_modelled }
}

/// Every effect, in the order of the catalogue.
pub const TABLE: &[Line] = &[
    line(
        "docker.list-containers",
        "running, paused and restarting unless all; name pattern, labels, project, service; by name; `docker ps` \
         wording",
        "containers that appear or vanish by themselves",
    ),
    line(
        "docker.inspect-container",
        "state, last 5 probes, configuration, limits",
        "values of environment variables; any field no runbook sees; an out-of-memory kill that Docker fails to notice",
    ),
    line(
        "docker.container-stats",
        "one sample while running or paused, else conflict; limit taken from the container's",
        "use that changes with time or load",
    ),
    line(
        "docker.container-processes",
        "the scenario's table, else one row of the command; conflict unless running or paused",
        "the event `top`; processes that come and go",
    ),
    line(
        "docker.dependents",
        "container:<name or id> networks, compose depends_on label and list, volumes-from",
        "dependence through links, shared volumes or plain network use",
    ),
    line(
        "docker.recent-events",
        "Docker's words and order for everything done here; 256 a host; time and container filters",
        "events of images, networks, volumes and the daemon; execs, which the driver leaves out but which take room \
         among Docker's 256; an `oom` that comes after its `die`; attributes beside the exit code",
    ),
    line("docker.container-changes", "the scenario's list, at most 1,000", "files that programs write while they run"),
    line(
        "docker.list-images",
        "the scenario's images with the containers made from them; dangling, unused and tag filters; the largest first",
        "layers that images share; images that are pulled or built meanwhile",
    ),
    line(
        "docker.disk-usage",
        "sums over the scenario's images, cache, volumes and logs",
        "writable layers; sizes that change by themselves; what of a shared layer is reclaimable",
    ),
    line(
        "docker.start-container",
        "already running or restarting: unchanged; paused and removing: conflict; start errors, which stay in the state; \
         sharers of a stopped network refuse; the restart count begins anew",
        "image, mount and port checks; exit codes other than 128 of a failed start",
    ),
    line(
        "docker.stop-container",
        "grace, own exit code or 137, slow and unstoppable containers, cancels a restart in progress, thaws a \
         paused one; rests the restart policy",
        "stop signals other than TERM; a daemon that finishes after its client left",
    ),
    line(
        "docker.restart-container",
        "stop then start in one, running or not; new start time, health back to starting; the restart count begins \
         anew; whatever goes wrong: failed",
        "stop signals other than TERM; a daemon that finishes after its client left",
    ),
    line(
        "docker.kill-container",
        "KILL ends with 137; TERM, INT, QUIT end it unless ignored; other signals leave it; not running: \
         conflict; a paused one goes on unless killed; rests the restart policy",
        "how soon a program gives in; what it does on HUP or USR1; STOP as freezing",
    ),
    line(
        "docker.pause-container",
        "only running, already paused: unchanged, else conflict; the future waits; health becomes unhealthy without an event",
        "time-outs of others who wait for it",
    ),
    line(
        "docker.unpause-container",
        "only paused, running: unchanged, else failed; the future goes on; healthy again at the next probe",
        "the health check's own interval: 5 seconds always",
    ),
    line(
        "docker.exec",
        "listed programs by the beginning of their arguments; unknown ones exit 126 as in 20.10; timeouts; \
         conflict unless running",
        "users and directories; what a program changes; 127 of later engines and the engine's words for it",
    ),
    line(
        "docker.update-resources",
        "memory above the swap limit: conflict (also with no swap limit, as Docker does); swap rules, else failed; \
         cpus; pids; applies to stopped ones too",
        "kernels that refuse a limit below present use; effect on speed",
    ),
    line(
        "docker.recreate-container",
        "a new instance of the same name with what is changed; the old one stopped with its grace and back when the new one fails, ends or is not well in time; refused while another shares its network",
        "what the old image gave and the new one gives; pulls; ports, mounts and addresses in use; the events in between; what a compose file says",
    ),
    line(
        "docker.remove-container",
        "a running one is a conflict unless forced; volumes stay",
        "files of its own layer; the events of a removal",
    ),
    line(
        "docker.scale-service",
        "next numbers made after the first member, highest numbers removed; a swarm service has what was asked for at once",
        "fixed ports and addresses that two cannot share; how a swarm places what it starts",
    ),
    line(
        "docker.connect-network",
        "already connected: unchanged; unknown networks; sharers of a network refuse",
        "addresses, aliases and name resolution",
    ),
    line("docker.disconnect-network", "not connected: unchanged", "addresses, aliases and name resolution"),
    line(
        "docker.prune-images",
        "dangling ones, or unused ones by age, no container uses",
        "layers that images share; build stages in use",
    ),
    line(
        "docker.prune-build-cache",
        "all but what is kept",
        "age and use of single records; held against an engine without a builder only, whose cache is empty",
    ),
    line(
        "logs.tail-container",
        "lines, age, 256 KiB of the newest, in every state",
        "drivers that cannot be read; streams",
    ),
    line(
        "logs.search-container",
        "pattern, age, page, context, cursor (a full page always has one); oldest first",
        "drivers that cannot be read; rotation while paging beyond 10,000 lines",
    ),
    line(
        "logs.query-loki",
        "the scenario's answer to the same text; time and limit",
        "LogQL; a query that is not listed finds nothing",
    ),
    line(
        "logs.truncate-container-log",
        "the log is empty afterwards",
        "rotated files; where the engine keeps its files",
    ),
    line("metrics.query", "a table by the query's text, changing at given times; unknown: empty", "PromQL"),
    line("metrics.query-range", "the same table at every step", "PromQL, staleness"),
    line(
        "net.http-probe",
        "status, body, latency, timeout; endpoints that follow a container's state",
        "TLS, redirects, everything not listed (unreachable)",
    ),
    line(
        "net.tcp-check",
        "listed hosts and ports; endpoints that follow a container",
        "firewalls, half-open connections",
    ),
    line(
        "net.dns-lookup",
        "names of listed endpoints; others: not-found",
        "record types, failing resolvers (use a fault)",
    ),
    line("http.get", "status, headers, body, latency, timeout; every request is remembered", "redirects, TLS, cookies"),
    line("http.request", "as http.get, with method and body remembered", "what the other side does with it"),
    line("notify.send", "remembered with channel, severity and key", "delivery, merging by key"),
    line("state.get", "one memory a world", "memories of several runbooks"),
    line("state.put", "1,000 keys at the most", "transactions with the journal"),
    line("state.compare-and-put", "absent means: not set", "transactions with the journal"),
    line("clock.now", "the world's clock", "real time"),
    line("clock.sleep", "advances the world's clock; everything due happens, in order", "real time"),
    line("random.random-u64", "splitmix64 from the world's seed", "true randomness"),
    line("log.log", "accepted", "kept by the engine, not the world"),
    line("log.progress", "accepted", "kept by the engine, not the world"),
    line("log.attach-evidence", "accepted", "kept by the engine, not the world"),
    line(
        "human.ask",
        "the answer listed for the question, else the fallback, else the first option",
        "people; waiting, denying",
    ),
    line(
        "alertmanager.list-alerts",
        "the scenario's alerts with the silences that hold for them",
        "grouping, inhibition rules, alerts that come and go",
    ),
    line("alertmanager.list-silences", "the scenario's silences and those made since", "silences of other people"),
    line("alertmanager.create-silence", "holds from now on and is over in time", "run and slot in the comment"),
    line("alertmanager.expire-silence", "over from now on; already over: unchanged", "permissions in Alertmanager"),
    line("llm.choose", "the scenario's answer, else the declared fallback", "models, money and time"),
    line("llm.summarize", "the scenario's answer, else the declared fallback", "models, money and time"),
    line("llm.extract", "the scenario's answer, else the declared fallback", "models, money and time; the schema"),
    line("incidents.similar", "the scenario's list by score", "how alike two incidents are"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;

    #[test]
    fn every_effect_has_its_line() {
        let listed: Vec<&str> = TABLE.iter().map(|line| line.effect).collect();
        let known: Vec<&str> = Effect::ALL.iter().map(|info| info.name).collect();
        assert_eq!(listed, known, "a new effect needs a line that says what of it is modelled");
        assert!(TABLE.iter().all(|line| !line.modelled.is_empty() && !line.not_modelled.is_empty()));
    }
}
