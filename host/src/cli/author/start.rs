//! A runbook to begin with, the same one in each language: small, commented, tested, and sound as it is.
//!
//! Deliberately not here: building it.

use std::path::Path;

use crate::cli::exit::Failure;
use crate::sdk::{Language, Trouble, unpack};

/// Files of a language: name in the package, text.
type Files = &'static [(&'static str, &'static str)];

const RHAI: Files = &[("main.rhai", SCRIPT)];
const RUST: Files = &[
    ("Cargo.toml", include_str!("../../../../sdk/templates/rust/Cargo.toml")),
    ("src/lib.rs", include_str!("../../../../sdk/templates/rust/src/lib.rs")),
    ("src/tests.rs", include_str!("../../../../sdk/templates/rust/src/tests.rs")),
    (".gitignore", IGNORED),
];
const PYTHON: Files = &[
    ("main.py", include_str!("../../../../sdk/templates/python/main.py")),
    ("test_main.py", include_str!("../../../../sdk/templates/python/test_main.py")),
    ("pyproject.toml", include_str!("../../../../sdk/templates/python/pyproject.toml")),
    (".gitignore", IGNORED),
];
const JAVASCRIPT: Files = &[
    ("main.js", include_str!("../../../../sdk/templates/js/main.js")),
    ("main.test.js", include_str!("../../../../sdk/templates/js/main.test.js")),
    ("package.json", include_str!("../../../../sdk/templates/js/package.json")),
    ("tsconfig.json", include_str!("../../../../sdk/templates/js/tsconfig.json")),
    (".gitignore", IGNORED),
];

/// Made by tools; `main.wasm` is not among them: a folder the daemon watches needs it.
const IGNORED: &str = "/.sandbook\n/target\n/node_modules\n__pycache__\n";

const MANIFEST: &str = r#"# What starts the runbook, what it is about, what it asks for, and what holds it back.
# `sandbook check` finds every mistake here; `sandbook effects` lists what can be asked for.
name = "NAME"
version = "0.1.0"
summary = "Restart a container that is unhealthy, with its last log lines as evidence."

# Any of these alerts starts it. Try one: sandbook match alertname=ContainerUnhealthy name=web-1
[[trigger]]
alert = ["ContainerUnhealthy"]
# match = ['severity=~"warning|critical"']      # Prometheus matchers; all must hold

# The container is named by the first of these labels that the alert has.
[target]
kind = "container"
container_from = ["name", "container", "container_name"]

# Read as input.parameters.grace, in milliseconds. Set by hand: sandbook run NAME web-1 grace=30s
[parameters.grace]
type = "duration"
default = "10s"

# The most it can ever do. Reads need nothing more; a change also needs `sandbook grant`.
[requests]
effects = ["docker.inspect-container", "docker.restart-container", "logs.tail-container"]

# Attempts on one container, counted by the engine. The tightest of engine, policy and manifest wins.
[brake]
attempts = ["3/1h", "7/1d"]
settle = "2m"

# Whether it helped is looked at by the engine, not claimed by the script.
[verify]
condition = "healthy"
within = "2m"
"#;

const SCRIPT: &str = r#"// A runbook never touches the world: it asks for an effect, and the engine answers.
// Whatever is asked for is recorded, so that `sandbook show last` tells the whole story.

fn run(input) {
    // What the alert named, found by the labels in [target]. Functions see nothing but their arguments.
    let container = input.target;

    // Look first: the alert may be minutes old.
    let before = docker::inspect_container(container);
    if before.state.health != "unhealthy" {
        return nothing_to_do(`${before.name} is not unhealthy, its health is ${before.state.health}`);
    }

    keep_evidence(container);

    // Changes the world. Policy, brakes and the stage decide whether it may; an error not caught ends the run with
    // place and reason. To go on instead: try { … } catch (e) { if e.kind == "denied" { … } }
    docker::restart_container(container, #{ grace_ms: input.parameters.grace });

    // Waiting costs nothing and survives a restart of the daemon.
    for attempt in 1..=15 {
        clock::sleep(2000);
        let after = docker::inspect_container(container);
        if after.state.health == "healthy" {
            return fixed(`restarted ${after.name}, healthy after about ${attempt * 2} seconds`);
        }
    }

    // A person is needed. The sentence is what they read first.
    escalate(`restarted ${before.name}, but it is not healthy after 30 seconds`)
}

// A restart removes what was wrong, and with it the reason. Keep what a person will want to read.
fn keep_evidence(container) {
    try {
        log::attach_evidence("last log lines", logs::tail_container(container, #{ lines: 50 }).text);
    } catch (e) {
        print(`no log lines: ${e.message}`);
    }
}
"#;

const SCENARIO: &str = r#"# A world, what starts the runbook, and what must come of it: `sandbook test .` plays it in milliseconds.
# Change the script, then let `sandbook test . --update` write what came of it, and read the difference.
summary = "A sick container is restarted and is well five seconds later"

[alert]
labels = { alertname = "ContainerUnhealthy", name = "web-1" }

# What is left out is as it usually is: policy permits whatever the manifest requests.
[world.hosts.local.containers.web-1]
image = "nginx:1.27"
health = "unhealthy"
logs = ["GET / 500"]

# What happens after a start, in milliseconds from it.
[[world.hosts.local.containers.web-1.lives]]
healthy_after_ms = 5000

[expect]
outcome = "fixed"
sentence = "restarted web-1, healthy after about"
effects = [
    { effect = "docker.restart-container", target = "local/web-1", arguments = { options = { grace_ms = 10000 } } },
]

[expect.containers."local/web-1"]
status = "running"
health = "healthy"
"#;

const README: &str = "# NAME

**Meaning.** What the alert means, in a sentence.

**Impact.** Who notices, and how.

**What it does.** Looks whether the container is still unhealthy, keeps its last log lines, restarts it once, and waits for
its health.

**What it cannot do.** Anything its manifest does not request: `sandbook inspect .` says it in full.

**Policy to grant.**

```
sandbook grant NAME docker.restart-container --container 'web-*' --limit 3/1h
```

**From here.** In a compiled language `sandbook build .` comes first; `sandbook dev .` builds, checks and plays on every save.

```
sandbook check .
sandbook test .
sandbook push .
sandbook match alertname=ContainerUnhealthy name=web-1
sandbook promote NAME ask --reason \"first week\"
```
";

/// Writes the package into a new folder; the names of its files.
pub(super) fn write(folder: &Path, language: Language) -> Result<Vec<&'static str>, Failure> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(fits) || name.starts_with('-') {
        let message = format!("`{}` is no name for a runbook", folder.display());
        return Err(Failure::usage(message, "names are a-z, 0-9 and -, at most 63 characters, like restart-web"));
    }
    // Cargo knows no crate that begins with a digit.
    if language == Language::Rust && name.starts_with(|first: char| first.is_ascii_digit()) {
        let message = format!("`{name}` is no name for a crate");
        return Err(Failure::usage(message, format!("begin it with a letter, like run-{name}")));
    }
    let fail = |error: std::io::Error| {
        let fix = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "choose another name, or remove it first: nothing is overwritten",
            _ => "check the folder above it and its permissions",
        };
        Failure::failed(format!("{} cannot be created: {error}", folder.display()), fix)
    };
    if let Some(above) = folder.parent() {
        std::fs::create_dir_all(above).map_err(fail)?;
    }
    std::fs::create_dir(folder).map_err(fail)?;
    let code = match language {
        Language::Rhai | Language::C => RHAI,
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::JavaScript => JAVASCRIPT,
    };
    let common = [("runbook.toml", MANIFEST), ("scenarios/heals.toml", SCENARIO), ("README.md", README)];
    let mut written = Vec::new();
    for (file, text) in common.iter().chain(code) {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        std::fs::write(path, text.replace("NAME", name)).map_err(fail)?;
        written.push(*file);
    }
    // Editors and tests find the SDK at once.
    if code != RHAI {
        unpack(folder, language).map_err(|trouble| match trouble {
            Trouble::Failed { message, fix, .. } => Failure::failed(message, fix),
            Trouble::Problems(_) | Trouble::Missing { .. } => Failure::failed("the SDK cannot be written", ""),
        })?;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;
    use crate::guest::{Compiler, Options, Sandbox};
    use crate::library::{Package, Upload};

    #[tokio::test]
    async fn a_new_runbook_is_sound_as_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("restart-predictor");
        write(&folder, Language::Rhai).expect("written");
        let (package, warnings) = Package::read(Upload::Path(&folder)).expect("reads");
        assert_eq!((package.name.as_str(), warnings.len()), ("restart-predictor", 0));
        let options = Options { cache_dir: dir.path().join("cache"), compiler: Compiler::InProcess };
        let sandbox = Sandbox::new(options).expect("a sandbox");
        assert_eq!(package.check(&sandbox).await, []);
        let (scenarios, problems) = crate::scenario::of(&package);
        assert_eq!((scenarios.len(), problems), (1, Vec::new()));
        let played = crate::scenario::Bench::new(sandbox).expect("a bench").play(&package, &scenarios[0].1).await;
        let expect = scenarios[0].1.expect.as_ref().expect("it expects something");
        assert_eq!(crate::scenario::judge(expect, &played), []);
    }

    #[test]
    fn nothing_is_overwritten_and_names_are_checked() {
        let dir = tempfile::tempdir().expect("a folder");
        let failure = write(dir.path().join("Bad_Name").as_path(), Language::Rhai).expect_err("a bad name");
        assert_eq!(failure.exit, Exit::Usage);
        write(&dir.path().join("a"), Language::Rhai).expect("new");
        let failure = write(&dir.path().join("a"), Language::Rhai).expect_err("exists");
        assert!(failure.fix.contains("nothing is overwritten"), "{failure:?}");
    }
}
