//! The runbooks of the simulation: small ones in Rhai, one for each way an effect is settled, beside the built-in ones,
//! of which one is a component written in Rust.
//!
//! Deliberately not here: good runbooks. These ask for much in few lines.

/// A runbook of the simulation.
pub struct Book {
    /// Name of its alert.
    pub alert: &'static str,
    name: &'static str,
    effects: &'static [&'static str],
    brake: &'static str,
    body: &'static str,
}

/// Those that are uploaded.
pub const BOOKS: &[Book] = &[
    Book {
        alert: "SimIll",
        name: "sim-restart",
        effects: &["docker.inspect-container", "docker.restart-container"],
        brake: "attempts = [\"2/10m\"]\n//! settle = \"30s\"",
        body: r#"fn run(input) {
    let before = docker::inspect_container(input.target).state;
    if before.health != "unhealthy" && before.status == "running" { return nothing_to_do("well"); }
    docker::restart_container(input.target, #{ grace_ms: 1000 });
    for attempt in 1..=4 {
        clock::sleep(3000);
        if docker::inspect_container(input.target).state.health == "healthy" { return fixed("restarted"); }
    }
    escalate("still ill")
}"#,
    },
    Book {
        alert: "SimStuck",
        name: "sim-bounce",
        effects: &["docker.stop-container", "docker.start-container", "docker.inspect-container"],
        brake: "attempts = [\"4/10m\"]",
        body: r#"fn run(input) {
    docker::stop_container(input.target, #{ grace_ms: 500 });
    clock::sleep(500);
    docker::start_container(input.target);
    done(docker::inspect_container(input.target).state.status)
}"#,
    },
    Book {
        alert: "SimCount",
        name: "sim-count",
        effects: &["docker.restart-container"],
        brake: "",
        body: r#"fn run(input) {
    let before = state::get("n");
    let count = if before == () { 0 } else { parse_int(before) };
    if before == () { state::put("n", "1"); } else { state::compare_and_put("n", before, (count + 1).to_string()); }
    if count % 3 == 2 { return nothing_to_do("every third time"); }
    try { docker::restart_container(input.target, #{ grace_ms: 0 }); } catch (e) { state::put("last", e.kind); throw e; }
    state::put("last", "ok");
    done("counted " + count)
}"#,
    },
    Book {
        alert: "SimTell",
        name: "sim-tell",
        effects: &["notify.send", "docker.exec", "docker.inspect-container"],
        brake: "",
        body: r#"fn run(input) {
    try { notify::send(#{ title: "looking", text: input.target.name }); } catch (e) { print(e.kind); }
    let code = -1;
    try { code = docker::exec(input.target, ["repair"]).exit_code; } catch (e) { print(e.kind); }
    clock::sleep(90000);
    notify::send(#{ title: "ended", text: "code " + code, severity: "warning" });
    if code == 0 { fixed("repaired") } else { escalate("not repaired") }
}"#,
    },
    Book {
        alert: "SimFreeze",
        name: "sim-freeze",
        effects: &[
            "docker.pause-container",
            "docker.unpause-container",
            "docker.kill-container",
            "docker.start-container",
            "docker.inspect-container",
        ],
        brake: "attempts = [\"8/10m\"]",
        body: r#"fn run(input) {
    let state = docker::inspect_container(input.target).state;
    if state.status == "running" {
        docker::pause_container(input.target);
        clock::sleep(2000);
        docker::unpause_container(input.target);
    }
    try { docker::kill_container(input.target); } catch (e) { print(e.kind); }
    docker::start_container(input.target);
    done("thawed")
}"#,
    },
];

/// Alerts of the built-in runbooks: the first is a component, the second a script.
pub const BUILT_IN: [(&str, &str); 2] =
    [("ContainerExited", "restart-exited"), ("ContainerUnhealthy", "restart-unhealthy")];

impl Book {
    /// Its file, as it is uploaded.
    pub fn file(&self) -> String {
        let effects: Vec<String> = self.effects.iter().map(|effect| format!("\"{effect}\"")).collect();
        let brake = if self.brake.is_empty() { String::new() } else { format!("//! [brake]\n//! {}\n", self.brake) };
        format!(
            "//! name = \"{}\"\n//! version = \"1.0.0\"\n//! summary = \"of the simulation\"\n\
             //! [[trigger]]\n//! alert = [\"{}\"]\n//! [target]\n//! kind = \"container\"\n\
             //! [requests]\n//! effects = [{}]\n{brake}{}\n",
            self.name,
            self.alert,
            effects.join(", "),
            self.body
        )
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// Names of all alerts that start something.
pub fn alerts() -> Vec<&'static str> {
    BOOKS.iter().map(|book| book.alert).chain(BUILT_IN.iter().map(|(alert, _)| *alert)).collect()
}
