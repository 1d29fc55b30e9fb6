//! What people install: the image, the Debian package, the unit, the compose file and the dashboards, each by the real tool.
//!
//! The base of the image is made here with debootstrap, because no registry can be asked. The binary is the one under test,
//! without its debug information. Deliberately not here: building it inside the image, which is what CI has just done.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use sandbook_tests::docker::Dockerd;
use sandbook_tests::process::require;
use sandbook_tests::{daemon, repository, wait};
use tempfile::TempDir;

/// A container's first health check comes ten seconds after its start.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

#[track_caller]
fn tool(package: &str, program: &str, arguments: &[&str]) -> String {
    require(program, package);
    succeed(program, Command::new(program).args(arguments).current_dir(repository()).output().expect("it is installed"))
}

#[track_caller]
fn succeed(what: &str, ran: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{what}: {}\n{}{}", ran.status, text(&ran.stdout), text(&ran.stderr));
    text(&ran.stdout)
}

/// Docker's own command line, against an engine of the test.
struct Cli<'a> {
    engine: &'a Dockerd,
}

impl Cli<'_> {
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        succeed(&format!("docker {arguments:?}"), self.try_run(arguments))
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        // Debian's: another one in front of it on the path may lack the builder.
        let mut command = Command::new("/usr/bin/docker");
        command.args(["--host", &self.engine.endpoint()]).args(arguments).env("DOCKER_BUILDKIT", "1");
        command.current_dir(repository()).output().expect("docker.io brings it")
    }

    /// Makes an image of a folder.
    #[track_caller]
    fn import(&self, folder: &Path, image: &str) {
        let tar = folder.with_extension("tar");
        let (from, to) = (folder.to_str().expect("text"), tar.to_str().expect("text"));
        tool("tar", "tar", &["-C", from, "-cf", to, "."]);
        self.run(&["import", to, image]);
        std::fs::remove_file(&tar).expect("it was just written");
    }
}

/// The binary under test without debug information.
fn binary(folder: &Path) -> PathBuf {
    let stripped = folder.join("sandbook");
    let built = daemon::binary();
    tool(
        "binutils",
        "strip",
        &["--strip-debug", "-o", stripped.to_str().expect("text"), built.to_str().expect("text")],
    );
    stripped
}

/// A minimal Debian, from wherever this machine gets its packages.
fn debian(folder: &Path) -> PathBuf {
    let sources = tool("apt", "apt-get", &["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let mirror = sources.lines().next().expect("apt knows where packages come from").to_owned();
    let root = folder.join("debian");
    let at = root.to_str().expect("text");
    let made = tool(
        "debootstrap",
        "debootstrap",
        &["--variant=minbase", "--include=ca-certificates", "bookworm", at, &mirror],
    );
    assert!(made.contains("Base system installed successfully"), "{made}");
    root
}

#[test]
fn the_image_and_the_package_install_and_run() {
    let folder = TempDir::with_prefix("sandbook-install-").expect("a temporary folder");
    let engine = Dockerd::start();
    let cli = Cli { engine: &engine };
    let base = debian(folder.path());
    cli.import(&base, "test/debian");
    std::fs::create_dir_all(folder.path().join("built/out")).expect("writable");
    let stripped = binary(folder.path());
    std::fs::copy(&stripped, folder.path().join("built/out/sandbook")).expect("just made");
    cli.import(&folder.path().join("built"), "test/built");

    let from = ["--build-arg", "RUNTIME=test/debian", "--build-arg", "BINARY=test/built"];
    let build: Vec<&str> =
        ["build", "--network=none", "--tag", "test/sandbook"].iter().chain(&from).copied().chain(["."]).collect();
    cli.run(&build);
    the_image_runs_as_nobody_on_a_read_only_root(&cli, &engine);
    the_package_installs_and_leaves(&cli, folder.path(), &stripped);
    // What debootstrap left belongs to root, and so does this test.
    drop(engine);
}

fn the_image_runs_as_nobody_on_a_read_only_root(cli: &Cli<'_>, engine: &Dockerd) {
    let group = tool("coreutils", "stat", &["-c", "%g", engine.socket().to_str().expect("text")]);
    let socket = format!("{}:/var/run/docker.sock", engine.socket().display());
    #[rustfmt::skip]
    cli.run(&[
        "run", "--detach", "--name", "sandbook", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
        "--security-opt=no-new-privileges", "--group-add", group.trim(), "--volume", &socket, "--volume=data:/var/lib/sandbook",
        "test/sandbook",
    ]);
    let health = || cli.run(&["inspect", "--format", "{{.State.Health.Status}}", "sandbook"]);
    let log = || String::from_utf8_lossy(&cli.try_run(&["logs", "sandbook"]).stderr).into_owned();
    wait::until("the image's own health check", HEALTHY_WITHIN, log, || match health().trim() {
        "healthy" => Ok(()),
        other => Err(other.to_owned()),
    });
    let inside = |words: &[&str]| cli.run(&[["exec", "sandbook"].as_slice(), words].concat());
    assert_eq!(inside(&["id", "-u"]).trim(), "10070", "it does not run as root");
    let status = inside(&["sandbook", "status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("json");
    assert!(status["docker"].to_string().contains("true") || status["docker"].to_string().contains("up"), "{status}");
    let targets = inside(&["sandbook", "targets", "--json"]);
    assert!(targets.contains("\"sandbook\""), "it sees the engine's containers: {targets}");
    let began = std::time::Instant::now();
    cli.run(&["stop", "--time=30", "sandbook"]);
    let code = cli.run(&["inspect", "--format", "{{.State.ExitCode}}", "sandbook"]);
    assert_eq!(code.trim(), "0", "told to stop, it stops by itself ({:?})", began.elapsed());
    cli.run(&["start", "sandbook"]);
    wait::until("its second start on the same volume", HEALTHY_WITHIN, log, || match health().trim() {
        "healthy" => Ok(()),
        other => Err(other.to_owned()),
    });
    cli.run(&["rm", "--force", "--volumes", "sandbook"]);
}

fn the_package_installs_and_leaves(cli: &Cli<'_>, folder: &Path, stripped: &Path) {
    let (from, to) = (stripped.to_str().expect("text"), folder.to_str().expect("text"));
    let made = tool("dash", "sh", &["host/packaging/deb.sh", from, to]);
    let package = made.lines().last().expect("it prints the path").to_owned();
    let contents = tool("dpkg", "dpkg-deb", &["--contents", &package]);
    for file in ["./usr/bin/sandbook", "./lib/systemd/system/sandbook.service", "./etc/sandbook/sandbook.toml"] {
        assert!(contents.contains(file), "{file} is not in the package\n{contents}");
    }
    let mount = format!("{package}:/sandbook.deb:ro");
    let steps = "dpkg --install /sandbook.deb \
        && su -s /bin/sh sandbook -c 'sandbook config check --config /etc/sandbook/sandbook.toml' \
        && stat -c '%U:%G %a' /etc/sandbook/sandbook.toml \
        && dpkg --purge sandbook && ! getent passwd sandbook && echo gone";
    let said = cli.run(&["run", "--rm", "--network=none", "--volume", &mount, "test/debian", "sh", "-c", steps]);
    assert!(said.contains("root:sandbook 640"), "its configuration is readable by the service alone: {said}");
    assert!(said.ends_with("gone\n"), "{said}");
}

#[test]
fn the_unit_is_valid_and_takes_everything_away_that_it_can() {
    let folder = TempDir::with_prefix("sandbook-unit-").expect("a temporary folder");
    let unit = std::fs::read_to_string(repository().join("host/packaging/sandbook.service")).expect("it is there");
    // The verifier wants the program to exist.
    let here = unit.replace("/usr/bin/sandbook", daemon::binary().to_str().expect("text"));
    let path = folder.path().join("sandbook.service");
    std::fs::write(&path, here).expect("writable");
    let path = path.to_str().expect("text");
    tool("systemd", "systemd-analyze", &["verify", "--man=no", path]);
    // 0 is nothing left to take away, 10 is nothing taken away; what stays is the network, Docker's group, and W^X.
    tool("systemd", "systemd-analyze", &["security", "--offline=true", "--threshold=25", path]);
}

#[test]
fn the_compose_file_is_valid_and_its_configuration_too() {
    let folder = repository().join("examples/compose");
    require("docker-compose", "docker-compose");
    let mut compose = Command::new("docker-compose");
    compose.args(["--file", "compose.yml", "config"]).env("DOCKER_GID", "999").current_dir(&folder);
    let shown = succeed("docker-compose config", compose.output().expect("it is installed"));
    for service in ["sandbook", "prometheus", "alertmanager", "grafana", "loki", "alloy", "node-exporter", "shop"] {
        assert!(shown.contains(&format!("  {service}:\n")), "{service} is missing\n{shown}");
    }
    // Every file it mounts from the repository is there.
    let text = std::fs::read_to_string(folder.join("compose.yml")).expect("readable");
    let mounted = text.lines().filter_map(|line| line.trim().strip_prefix("- ../../")?.split(':').next());
    let missing: Vec<&str> = mounted.filter(|path| !repository().join(path).exists()).collect();
    assert!(missing.is_empty(), "compose.yml mounts what does not exist: {missing:?}");

    let unset = Command::new("docker-compose").args(["--file", "compose.yml", "config"]).current_dir(&folder).output();
    let unset = String::from_utf8_lossy(&unset.expect("it is installed").stderr).into_owned();
    assert!(unset.contains("run sh secrets.sh first"), "without the group it says what to do: {unset}");
}

#[test]
fn dashboards_are_what_their_program_makes_and_name_recorded_figures() {
    tool("python3", "python3", &["monitoring/grafana/dashboards.py", "--check"]);
    let rules = std::fs::read_to_string(repository().join("monitoring/prometheus/rules/sla.yml")).expect("readable");
    let recorded: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let mut named = 0;
    for file in std::fs::read_dir(repository().join("monitoring/grafana/dashboards")).expect("a folder").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("readable");
        let dashboard: serde_json::Value = serde_json::from_str(&text).expect("json");
        let panels = dashboard["panels"].as_array().expect("panels");
        if file.file_name() == "operations.json" {
            assert!(panels.len() >= 16, "operations has {} panels", panels.len());
        }
        for expr in panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
            let expr = expr["expr"].as_str().expect("a query");
            for (at, _) in expr.match_indices("sandbook:") {
                let end = expr[at..].find(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter));
                let name = &expr[at..at + end.unwrap_or(expr.len() - at)];
                assert!(recorded.contains(&name), "{name} of {:?} is recorded nowhere", file.file_name());
                named += 1;
            }
        }
    }
    assert!(named > 3, "dashboards use the recorded figures");
}
