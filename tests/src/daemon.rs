//! The real `sandbook` binary: started on a free port with a configuration of the test, spoken to through its API and
//! its command line, killed and started again on the same data.
//!
//! Deliberately not here: any shortcut into the daemon. What a test learns, a user can learn.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Client};
use crate::process::{ended_within, free_port, tail};
use crate::{repository, wait, warm};

/// The promise is 150 ms warm and 5 s cold in a release build; a debug build compiles guests on a loaded machine.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// A daemon asked to end does so within its own grace.
const END_WITHIN: Duration = Duration::from_secs(30);
/// A run of a runbook that does little.
const RUN_WITHIN: Duration = Duration::from_secs(60);
/// Compiling has its own limits of CPU and wall time, two minutes at most; this is beyond them.
const UPLOAD_WITHIN: Duration = Duration::from_secs(200);
/// Where the configuration of a test puts the daemon's data, relative to its folder; also the default.
const DATA: &str = "sandbook-data";

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    config: Option<String>,
    docker: Option<String>,
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A configuration file with listener, data folder and, unless [`Setup::docker`] says otherwise, a Docker socket
    /// that does not exist; `more` is added to it.
    pub fn with(more: &str) -> Setup {
        Setup { config: Some(more.to_owned()), docker: None, files: Vec::new(), environment: Vec::new() }
    }

    /// No configuration file at all; listener and Docker socket come from the environment.
    pub fn without_file() -> Setup {
        Setup { config: None, docker: None, files: Vec::new(), environment: Vec::new() }
    }

    /// The Docker engine named `local`.
    pub fn docker(mut self, endpoint: &str) -> Setup {
        self.docker = Some(endpoint.to_owned());
        self
    }

    /// A file beside the configuration.
    pub fn file(mut self, name: &str, text: &str) -> Setup {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// A variable of the daemon's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    setup: Setup,
    port: u16,
    child: Option<Child>,
}

impl Daemon {
    /// Starts it and waits until `/health` answers.
    #[track_caller]
    pub fn start(setup: Setup) -> Daemon {
        let mut daemon = Daemon::prepare(setup);
        daemon.restart();
        daemon
    }

    /// Its folder and files, not yet a process.
    #[track_caller]
    pub fn prepare(setup: Setup) -> Daemon {
        let folder = TempDir::with_prefix("sandbook-daemon-").expect("a temporary folder");
        let port = free_port();
        let daemon = Daemon { folder, setup, port, child: None };
        if let Some(more) = &daemon.setup.config {
            let head = format!("listen = \"127.0.0.1:{port}\"\ndata_dir = \"./{DATA}\"\n");
            let docker = format!("[docker.hosts.local]\nendpoint = \"{}\"\n", daemon.docker_endpoint());
            daemon.write("sandbook.toml", format!("{head}{more}\n{docker}"));
        }
        for (name, text) in &daemon.setup.files {
            daemon.write(name, text);
        }
        warm::fill(&daemon.path(DATA));
        daemon
    }

    fn docker_endpoint(&self) -> String {
        let absent = || format!("unix://{}", self.path("no-docker.sock").display());
        self.setup.docker.clone().unwrap_or_else(absent)
    }

    /// Starts the process (again) on the same data and waits until `/health` answers.
    #[track_caller]
    pub fn restart(&mut self) {
        self.spawn();
        let api = Client::tcp(self.port);
        let mut child = self.child.take().expect("it was just started");
        wait::until(
            "the daemon to answer /health",
            UP_WITHIN,
            || self.log_tail(),
            || {
                if let Ok(Some(status)) = child.try_wait() {
                    panic!("the daemon ended at start with {status}\n{}", self.log_tail());
                }
                match api.send("GET", "/health", &[], "") {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    Ok(answer) => Err(answer.text()),
                    Err(error) => Err(format!("{error:#}")),
                }
            },
        );
        self.child = Some(child);
    }

    /// Starts the process and waits for nothing.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it is running already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a writable folder");
        let mut command = self.command();
        command.arg("serve");
        if self.setup.config.is_some() {
            command.args(["--config", "sandbook.toml"]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file handle")).stderr(log);
        // Its own group, so that a Ctrl-C on the terminal ends the test first and the test ends the daemon.
        self.child = Some(command.process_group(0).spawn().expect("the binary starts"));
    }

    /// The binary, in the daemon's folder, with its environment and nothing inherited that could mislead it.
    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.folder.path()).env("HOME", self.folder.path());
        command.env("XDG_CACHE_HOME", warm::cache_home());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SANDBOOK_")) {
            command.env_remove(name);
        }
        if self.setup.config.is_none() {
            command.env("SANDBOOK_LISTEN", format!("127.0.0.1:{}", self.port));
            command.env("SANDBOOK_DOCKER__HOSTS__LOCAL__ENDPOINT", self.docker_endpoint());
        }
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the command line against this daemon, as its administrator.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command();
        command.args(arguments).env("SANDBOOK_SERVER", self.url()).stdin(Stdio::null());
        Ran::of(arguments.join(" "), command.output().expect("the binary starts"))
    }

    /// Starts the command line against this daemon, as its administrator, for a command that only ends when it is killed. What
    /// it says goes into the file.
    pub fn follow(&self, arguments: &[&str], output: &Path) -> Following {
        let mut command = self.command();
        command.args(arguments).env("SANDBOOK_SERVER", self.url()).stdin(Stdio::null());
        command.stdout(std::fs::File::create(output).expect("a writable folder"));
        Following(command.spawn().expect("the binary starts"))
    }

    /// Runs a line as a person types it, `sandbook` being this binary.
    pub fn shell(&self, line: &str) -> Ran {
        let mut command = Command::new("sh");
        let folder = binary().parent().expect("a file is in a folder").to_owned();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        command.args(["-c", line]).current_dir(self.folder.path()).env("HOME", self.folder.path());
        command
            .env("XDG_CACHE_HOME", warm::cache_home())
            .env("PATH", path)
            .env("SANDBOOK_SERVER", self.url())
            .stdin(Stdio::null());
        Ran::of(line.to_owned(), command.output().expect("sh starts"))
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of its data folder.
    pub fn data(&self, name: &str) -> PathBuf {
        self.path(DATA).join(name)
    }

    /// Writes a file of its folder; what is in `secrets/` only its owner can read.
    #[track_caller]
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a writable folder");
        std::fs::write(&path, text).expect("a writable folder");
        if name.starts_with("secrets/") {
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).expect("our own file");
        }
    }

    /// The API as its administrator.
    #[track_caller]
    pub fn api(&self) -> Client {
        self.anonymous().with_token(&self.token("admin-token"))
    }

    /// The API as a sender of alerts.
    #[track_caller]
    pub fn sender(&self) -> Client {
        self.anonymous().with_token(&self.token("sender-token"))
    }

    /// The API without a token.
    pub fn anonymous(&self) -> Client {
        Client::tcp(self.port)
    }

    /// A token the daemon wrote at its first start.
    #[track_caller]
    pub fn token(&self, file: &str) -> String {
        let path = self.data(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("the daemon wrote no {file} into its data folder: {error}\n{}", self.log_tail())
        });
        text.trim().to_owned()
    }

    /// Posts alerts and returns the acknowledgement; anything but 202 is a failure.
    #[track_caller]
    pub fn alert(&self, alerts: &[crate::alert::Alert]) -> Value {
        self.sender().post("/webhook/alerts", &crate::alert::message(alerts)).expect(202).json()
    }

    /// Uploads a package and promotes it to live; returns its digest.
    #[track_caller]
    pub fn push_live(&self, package: &crate::package::Package) -> String {
        let answer = self.push(package);
        assert!(matches!(answer.status, 200 | 201), "{} was refused: {}", package.name, answer.text());
        let digest = answer.json()["digest"].as_str().expect("an upload has a digest").to_owned();
        let stage = json!({"digest": digest, "stage": "live", "reason": "a test runs it"});
        let answer = self.api().json("PUT", &format!("/v1/runbooks/{}/stage", package.name), &stage);
        assert!((200..300).contains(&answer.status), "promoting {}: {}", package.name, answer.text());
        digest
    }

    /// Uploads a package.
    #[track_caller]
    pub fn push(&self, package: &crate::package::Package) -> Answer {
        let headers = [("content-type", package.content_type)];
        let answer = self.api().send_within(UPLOAD_WITHIN, "POST", "/v1/runbooks", &headers, package.bytes.clone());
        answer.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log_tail()))
    }

    /// Starts a run by hand and returns its id.
    #[track_caller]
    pub fn run(&self, runbook: &str, request: &Value) -> String {
        let answer = self.api().post(&format!("/v1/runbooks/{runbook}/runs"), request).expect(202).json();
        answer["run"].as_str().expect("a run has an id").to_owned()
    }

    /// Waits until a run has ended and returns it.
    #[track_caller]
    pub fn ended(&self, run: &str) -> Value {
        self.ended_within(run, RUN_WITHIN)
    }

    /// [`Daemon::ended`] with another deadline.
    #[track_caller]
    pub fn ended_within(&self, run: &str, within: Duration) -> Value {
        wait::until(
            &format!("run {run} to end"),
            within,
            || self.log_tail(),
            || {
                let found = self.api().get(&format!("/v1/runs/{run}")).expect(200).json();
                match found["state"].as_str() {
                    Some("succeeded" | "failed" | "cancelled" | "needs-attention") => Ok(found),
                    Some(_) | None => Err(found.to_string()),
                }
            },
        )
    }

    /// Runs, newest first.
    #[track_caller]
    pub fn runs(&self, query: &str) -> Vec<Value> {
        let answer = self.api().get(&format!("/v1/runs?{query}")).expect(200).json();
        answer["runs"].as_array().expect("a list of runs").clone()
    }

    /// What a run recorded.
    #[track_caller]
    pub fn journal(&self, run: &str) -> Vec<Value> {
        let answer = self.api().get(&format!("/v1/runs/{run}/journal")).expect(200).json();
        answer["records"].as_array().expect("a list of records").clone()
    }

    /// Episodes, newest first.
    #[track_caller]
    pub fn episodes(&self) -> Vec<Value> {
        let answer = self.api().get("/v1/alerts").expect(200).json();
        answer["alerts"].as_array().unwrap_or_else(|| panic!("a list of episodes, not {answer}")).clone()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        tail("the daemon's log", &self.log())
    }

    /// All of its log.
    pub fn log_text(&self) -> String {
        std::fs::read(self.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.path("daemon.log")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its process.
    #[track_caller]
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.child.as_ref().expect("it is running"))
    }

    /// Sends its process a signal, such as `STOP` and `CONT`.
    #[track_caller]
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it is our child");
    }

    /// Asks it to end and waits until it has; returns its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it is running");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is our child");
        let ended = ended_within(&mut child, END_WITHIN);
        assert!(ended, "the daemon did not end within {END_WITHIN:?} of SIGTERM\n{}", self.log_tail());
        child.wait().expect("it is our child").code()
    }

    /// Waits for a process that ends by itself; returns its exit code.
    #[track_caller]
    pub fn ended_by_itself(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it is running");
        if !ended_within(&mut child, END_WITHIN) {
            let _ = child.kill();
            panic!("the daemon went on where it should have refused to start\n{}", self.log_tail());
        }
        child.wait().expect("it is our child").code()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.child.as_ref().expect("it is running").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// Runs of a test that are replayed at its end: the newest page of them, which is all but in the test about ten thousand.
const REPLAYED_MAX: usize = 1_000;

impl Daemon {
    /// Whatever a test had a daemon run executes again from its journal alone and is the same.
    fn replays(&self) -> Result<(), String> {
        let Ok(token) = std::fs::read_to_string(self.data("admin-token")) else { return Ok(()) };
        let api = self.anonymous().with_token(token.trim());
        // A daemon that a test broke or stopped answers nothing, and that is not what is looked at here.
        let listed = api.send("GET", &format!("/v1/runs?limit={REPLAYED_MAX}"), &[], "");
        let Some(listed) = listed.ok().filter(|answer| answer.status == 200) else { return Ok(()) };
        for run in listed.json()["runs"].as_array().into_iter().flatten().filter(|run| !run["finished_at"].is_null()) {
            let id = run["run"].as_str().unwrap_or_default();
            let Ok(answer) = api.send("POST", &format!("/v1/runs/{id}/replay"), &[], "") else { return Ok(()) };
            // It ended before its runbook began, or its version is gone.
            if matches!(answer.status, 404 | 409) {
                continue;
            }
            let replay = answer.json();
            if replay["verdict"] != "equal" {
                return Err(format!("{run} does not replay: {replay}\n{}", self.log_tail()));
            }
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            let replayed = self.replays();
            self.kill();
            if let Err(why) = replayed {
                panic!("{why}");
            }
        }
        self.kill();
    }
}

/// A command that follows something; killed when dropped.
#[derive(Debug)]
pub struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    line: String,
    /// The exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// What a command that a test started itself came to.
    pub fn new(line: &str, output: Output) -> Ran {
        Ran::of(line.to_owned(), output)
    }

    fn of(line: String, output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { line, code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Itself, if it ended with that code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Itself, if it printed that somewhere.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(self.out.contains(text) || self.err.contains(text), "wanted {text:?} in {self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`sandbook {}` ended with {:?}\nstdout:\n{}\nstderr:\n{}", self.line, self.code, self.out, self.err)
    }
}

/// Runs the binary in some folder, without a daemon.
pub fn sandbook(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).env("HOME", folder).env("XDG_CACHE_HOME", warm::cache_home());
    Ran::of(arguments.join(" "), command.output().expect("the binary starts"))
}

/// The binary beside the test's own executable: of the same profile, built by the same `./dev test`.
///
/// Panics when there is none, and says so when it is older than its sources.
#[track_caller]
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("Linux says which program this is");
    let profile = own.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let binary = profile.join("sandbook");
    assert!(binary.is_file(), "there is no {}: cargo build --workspace --bins", binary.display());
    warn_if_stale(&binary);
    binary
}

/// Testing yesterday's binary is a classic; said once.
fn warn_if_stale(binary: &Path) {
    static CHECKED: std::sync::Once = std::sync::Once::new();
    CHECKED.call_once(|| {
        let built = std::fs::metadata(binary).and_then(|meta| meta.modified()).expect("it was just found");
        let sources = [repository().join("host/src"), repository().join("host/core/src")];
        let newer = sources.iter().filter_map(|folder| newest(folder)).find(|(time, _)| *time > built);
        if let Some((_, source)) = newer {
            crate::announce(&format!("the binary is older than {}: cargo build --workspace --bins", source.display()));
        }
    });
}

fn newest(folder: &Path) -> Option<(std::time::SystemTime, PathBuf)> {
    let mut found = None;
    for entry in folder.read_dir().ok()?.flatten() {
        let path = entry.path();
        let candidate = match path.is_dir() {
            true => newest(&path),
            false => entry.metadata().and_then(|meta| meta.modified()).ok().map(|time| (time, path)),
        };
        found = found.max(candidate);
    }
    found
}
