//! Keeps what a container shows right now: state, health probes, logs, resource use, processes, events. Changes nothing.
//!
//! Each part stands alone: one that cannot be read is named in the outcome and the others are kept.

use sandbook_sdk::docker::{self, ContainerDetails, EventFilter};
use sandbook_sdk::{Answer, Error, HealthStatus, Input, done, log, logs, runbook};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn run(input: Input) -> Answer {
    let container = input.container()?;
    let lines = input.integer("lines").and_then(|lines| u32::try_from(lines).ok()).unwrap_or(500);
    let mut kept = Kept::default();
    kept.part("state and health", || docker::inspect_container(container).map(|details| state(&details)));
    kept.part("last log lines", || {
        logs::tail_container(container, logs::TailOptions { lines: Some(lines), since_ms: None }).map(|page| page.text)
    });
    kept.part("resource use", || docker::container_stats(container).map(|stats| usage(&stats)));
    kept.part("processes", || docker::container_processes(container).map(|processes| table(&processes)));
    kept.part("recent events", || {
        let filter = EventFilter { container: Some(container.to_owned()), since_ms: Some(DAY_MS), limit: Some(100) };
        docker::recent_events(&filter).map(|events| history(&events))
    });
    let name = &input.target()?.name;
    match kept.missing.as_slice() {
        [] => done(["collected ", &kept.found.join(", "), " of ", name].concat()),
        missing if kept.found.is_empty() => Err(Error::Failed(["nothing could be read of ", name, ": ", &missing.join("; ")].concat())),
        missing => done(["collected ", &kept.found.join(", "), " of ", name, "; not ", &missing.join("; ")].concat()),
    }
}

#[derive(Default)]
struct Kept {
    found: Vec<&'static str>,
    missing: Vec<String>,
}

impl Kept {
    fn part(&mut self, name: &'static str, read: impl FnOnce() -> Result<String, Error>) {
        match read() {
            Ok(text) => {
                log::attach_evidence(name, &text);
                self.found.push(name);
            }
            Err(error) => self.missing.push([name, " (", error.text(), ")"].concat()),
        }
    }
}

fn state(details: &ContainerDetails) -> String {
    let state = &details.state;
    let or_never = |time: &Option<String>| time.clone().unwrap_or_else(|| "never".into());
    let mut lines = vec![
        ["name: ", &details.name, " (", &details.id, ") on ", &details.host].concat(),
        ["image: ", &details.image].concat(),
        ["status: ", state.status.word()].concat(),
        ["exit code: ", &state.exit_code.map_or("none".into(), |code| code.to_string())].concat(),
        ["out of memory: ", if state.oom_killed { "yes" } else { "no" }].concat(),
        ["started: ", &or_never(&state.started_at), ", finished: ", &or_never(&state.finished_at)].concat(),
        ["restarts by the engine: ", &state.restart_count.to_string(), ", policy ", &details.restart_policy].concat(),
        ["memory limit: ", &details.limits.memory_bytes.to_string(), " bytes (0: none)"].concat(),
    ];
    if !state.error.is_empty() {
        lines.push(["error at start: ", &state.error].concat());
    }
    if state.health != HealthStatus::None {
        lines.push(["health: ", state.health.word()].concat());
    }
    for probe in &details.health_log {
        lines.push(["probe at ", &probe.started_at, ", exit code ", &probe.exit_code.to_string(), ": ", probe.output.trim_end()].concat());
    }
    lines.join("\n")
}

fn usage(stats: &docker::Stats) -> String {
    let tenths = (stats.cpu_percent * 10.0) as u64;
    [
        ["cpu: ", &(tenths / 10).to_string(), ".", &(tenths % 10).to_string(), " % of one core"].concat(),
        ["memory: ", &stats.memory_bytes.to_string(), " of ", &stats.memory_limit_bytes.to_string(), " bytes (0: no limit)"].concat(),
        ["processes: ", &stats.pids.to_string()].concat(),
        ["network: ", &stats.network_received_bytes.to_string(), " bytes in, ", &stats.network_sent_bytes.to_string(), " out"].concat(),
        ["disk: ", &stats.block_read_bytes.to_string(), " bytes read, ", &stats.block_written_bytes.to_string(), " written"].concat(),
        ["throttled periods: ", &stats.throttled_periods.to_string()].concat(),
    ]
    .join("\n")
}

fn table(processes: &docker::Processes) -> String {
    let mut lines = vec![["zombies: ", &processes.zombies.to_string()].concat(), processes.titles.join("\t")];
    lines.extend(processes.rows.iter().map(|row| row.join("\t")));
    lines.join("\n")
}

fn history(events: &[docker::Event]) -> String {
    let line = |event: &docker::Event| match event.exit_code {
        Some(code) => [&event.at, " ", &event.action, ", exit code ", &code.to_string()].concat(),
        None => [&event.at, " ", &event.action].concat(),
    };
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

runbook!(run);

#[cfg(test)]
mod tests {
    use sandbook_sdk::Value;
    use sandbook_sdk::testing::{About, World, play};

    use super::*;

    #[test]
    fn parts_that_cannot_be_read_are_named() {
        let mut kept = Kept::default();
        kept.part("resource use", || Err(Error::Conflict("it is not running".into())));
        assert_eq!(kept.missing, ["resource use (it is not running)"]);
        assert!(kept.found.is_empty());
    }

    /// Everything can be read but the resource use of what does not run.
    fn exited() -> World {
        World::new()
            .answer("docker.inspect-container", ContainerDetails { name: "web".into(), ..Default::default() })
            .answer("logs.tail-container", logs::Page { text: "the last line".into(), ..Default::default() })
            .answer("docker.container-stats", Error::Conflict("it is not running".into()))
            .answer("docker.container-processes", docker::Processes::default())
            .answer("docker.recent-events", Vec::<docker::Event>::new())
    }

    #[test]
    fn what_can_be_read_is_kept_and_the_rest_named() {
        let world = exited();
        let about = About::target("web").parameter("lines", Value::Integer(7));
        let kept = "collected state and health, last log lines, processes, recent events of web";
        assert_eq!(play(&world, run, about), done(format!("{kept}; not resource use (it is not running)")));
        assert_eq!(world.notes()[1], "the last line");
        assert_eq!(world.calls()[2].argument::<logs::TailOptions>("options").lines, Some(7));
    }

    #[test]
    fn nothing_that_can_be_read_is_an_error() {
        let denied = || Error::Denied("no".into());
        let effects = ["docker.inspect-container", "logs.tail-container", "docker.container-stats"];
        let effects = effects.iter().chain(&["docker.container-processes", "docker.recent-events"]);
        let world = effects.fold(World::new(), |world, effect| world.answer(effect, denied()));
        let ended = play(&world, run, About::target("web"));
        assert!(matches!(&ended, Err(Error::Failed(why)) if why.starts_with("nothing could be read of web: ")), "{ended:?}");
    }

    #[test]
    fn usage_is_readable() {
        let stats = docker::Stats { cpu_percent: 150.26, memory_bytes: 10, ..Default::default() };
        assert!(usage(&stats).starts_with("cpu: 150.2 % of one core\nmemory: 10 of 0 bytes"));
    }
}
