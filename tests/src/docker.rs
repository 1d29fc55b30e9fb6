//! A real Docker engine of its own for one test: own data, own socket, no network, an image made from `busybox-static`.
//!
//! Nothing is pulled: the image is one file and its links. Containers fall ill on request ([`Container::sicken`],
//! [`Container::crash`]) and a restart heals them, which is what most runbooks are about. The engine is spoken to in plain
//! HTTP, so a fault in the daemon's own Docker client cannot hide here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::event_log::EventLog;
use crate::http::Client;
use crate::process::{Leashed, require};
use crate::wait;

/// A cold engine is up in 0.3 s; a loaded machine is given a hundred times that.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// A container reaches a state it was asked for, health checks included.
const STATE_WITHIN: Duration = Duration::from_secs(30);
/// Between two health checks, in nanoseconds as Docker wants it: shorter only adds load.
const HEALTH_INTERVAL_NS: u64 = 500_000_000;
/// The image of every container.
pub const IMAGE: &str = "sandbook-busybox:latest";

/// What happens to a container, health checks and programs in it aside.
const LIFE: [&str; 10] = ["create", "start", "restart", "stop", "kill", "die", "pause", "unpause", "update", "destroy"];

/// What a container runs: well while `/ok` is there, gone once `/crash` is; both are put right by starting again.
const SERVICE: &str = "
rm -f /crash; touch /ok; trap 'exit 0' TERM; echo started
while [ ! -e /crash ]; do sleep 0.1; done
echo 'fatal: cannot go on' >&2; exit 3";

/// A running engine.
#[derive(Debug)]
pub struct Dockerd {
    process: Leashed,
    api: Client,
    socket: PathBuf,
    more: Vec<String>,
    events: Option<EventLog>,
    folder: TempDir,
}

impl Dockerd {
    /// Starts an engine with the image in it.
    #[track_caller]
    pub fn start() -> Dockerd {
        let folder = TempDir::with_prefix("sandbook-docker-").expect("a temporary folder");
        let engine = Dockerd::start_in(folder, &[]);
        engine.import_busybox();
        engine
    }

    /// Starts an engine that also listens on a TCP port, under TLS, and wants certificates of that CA.
    #[track_caller]
    pub fn start_tls(ca: &crate::certs::Ca, own: &crate::certs::Pair, port: u16) -> Dockerd {
        let folder = TempDir::with_prefix("sandbook-docker-").expect("a temporary folder");
        let (ca, cert, key) = (ca.file(), own.cert.clone(), own.key.clone());
        let text = |path: &Path| path.to_str().expect("temporary paths are text").to_owned();
        let more = [
            "--tlsverify".to_owned(),
            format!("--tlscacert={}", text(&ca)),
            format!("--tlscert={}", text(&cert)),
            format!("--tlskey={}", text(&key)),
            format!("--host=tcp://127.0.0.1:{port}"),
        ];
        let engine = Dockerd::start_in(folder, &more);
        engine.import_busybox();
        engine
    }

    /// Ends the engine and starts it again on the same data; `between` happens while it is gone.
    #[track_caller]
    pub fn bounce(&mut self, between: impl FnOnce()) {
        let keep = self.folder.path().join("data.keep");
        std::fs::write(&keep, "").expect("a writable folder");
        self.process.stop();
        std::fs::remove_file(keep).expect("it was just written");
        between();
        self.process = Dockerd::spawn(self.folder.path(), &self.more);
        wait::until("dockerd to answer", UP_WITHIN, || self.process.log_tail(), || self.ping());
        self.events = Some(EventLog::listen(&self.socket, &LIFE));
    }

    #[track_caller]
    fn start_in(folder: TempDir, more: &[String]) -> Dockerd {
        let socket = folder.path().join("docker.sock");
        let process = Dockerd::spawn(folder.path(), more);
        let api = Client::unix(&socket);
        let mut engine = Dockerd { process, api, socket, more: more.to_vec(), events: None, folder };
        wait::until("dockerd to answer", UP_WITHIN, || engine.process.log_tail(), || engine.ping());
        engine.events = Some(EventLog::listen(&engine.socket, &LIFE));
        engine
    }

    #[track_caller]
    fn spawn(folder: &Path, more: &[String]) -> Leashed {
        require("dockerd", "docker.io");
        let at = |name: &str| folder.join(name).to_str().expect("temporary paths are text").to_owned();
        let (data, exec, pid) = (at("data"), at("exec"), at("pid"));
        let host = format!("unix://{}", at("docker.sock"));
        let group = rustix::process::getgid().as_raw().to_string();
        // No bridge and no packet filter: tests need no network, and several engines on one machine would share both.
        #[rustfmt::skip]
        let mut command = vec![
            "dockerd", "--data-root", &data, "--exec-root", &exec, "--pidfile", &pid, "--host", &host, "--group", &group,
            "--bridge=none", "--iptables=false", "--ip6tables=false",
        ];
        command.extend(more.iter().map(String::as_str));
        Leashed::start("dockerd", &command, &folder.join("dockerd.log"), true, Some(&folder.join("data")))
    }

    fn ping(&self) -> Result<(), String> {
        match self.api.send("GET", "/_ping", &[], "") {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its address as Sandbook's configuration has it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its API.
    pub fn api(&self) -> &Client {
        &self.api
    }

    #[track_caller]
    fn import_busybox(&self) {
        self.import("sandbook-busybox", "latest", &[]);
    }

    /// Makes an image of busybox and further empty files. One of that name before it loses its tag.
    #[track_caller]
    pub fn import(&self, repository: &str, tag: &str, files: &[&str]) {
        let query = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}");
        let headers = [("content-type", "application/x-tar")];
        let answer = self.api.send("POST", &query, &headers, busybox_tar(files)).expect("dockerd answers").expect(200);
        assert!(!answer.text().contains("errorDetail"), "the image was refused: {}", answer.text());
    }

    /// A container that is healthy and stays so until asked otherwise.
    #[track_caller]
    pub fn service(&self, name: &str) -> Container<'_> {
        self.create(name, &json!({}))
    }

    /// The same with labels as compose writes them.
    #[track_caller]
    pub fn compose_service(&self, project: &str, service: &str, number: u32) -> Container<'_> {
        let name = format!("{project}-{service}-{number}");
        let labels = json!({
            "com.docker.compose.project": project,
            "com.docker.compose.service": service,
            "com.docker.compose.container-number": number.to_string(),
        });
        self.create(&name, &json!({"Labels": labels}))
    }

    /// A service container with fields of Docker's create request changed; started and healthy unless it has no check.
    #[track_caller]
    pub fn create(&self, name: &str, changes: &Value) -> Container<'_> {
        let request = request(changes);
        let container = self.create_stopped(name, changes);
        let refused = container.start();
        assert_eq!(refused, "", "{name} was not started");
        if request["Healthcheck"]["Test"][0] != "NONE" {
            container.await_health("healthy");
        }
        container
    }

    /// The same, not started.
    #[track_caller]
    pub fn create_stopped(&self, name: &str, changes: &Value) -> Container<'_> {
        let answer = self.api.post(&format!("/containers/create?name={name}"), &request(changes)).expect(201);
        let id = answer.json()["Id"].as_str().expect("dockerd names what it creates").to_owned();
        Container { engine: self, name: name.to_owned(), id }
    }

    /// A network of its own bridge, which goes with the engine; its address is as good as unique on this machine.
    #[track_caller]
    pub fn network(&self, name: &str) -> String {
        self.network_part(name, 0)
    }

    /// The same, of eight there may be.
    #[track_caller]
    pub fn network_part(&self, name: &str, part: u8) -> String {
        let own = std::process::id();
        let subnet = format!("10.{}.{}.{}/27", 64 + own % 64, own / 64 % 256, u32::from(part % 8) * 32);
        let request = json!({"Name": name, "Driver": "bridge", "IPAM": {"Config": [{"Subnet": subnet}]}});
        self.api.post("/networks/create", &request).expect(201);
        name.to_owned()
    }

    /// How often Docker did that to a container (`restart`, `start`, `die`), from its own record of events.
    pub fn events(&self, container: &str, action: &str) -> usize {
        let filters = json!({"type": ["container"], "container": [container], "event": [action]}).to_string();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        // To the nanosecond: an event of this very second counts, and a moment to come would be waited for.
        let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let answer = self.api.get(&format!("/events?since=0&until={until}&filters={}", percent(&filters))).expect(200);
        let remembered = answer.text().lines().filter(|line| !line.trim().is_empty()).count();
        assert!(LIFE.contains(&action), "{action} is not listened to");
        // The engine forgets all but its last events, and what it says as it happens may still be on its way.
        self.events.as_ref().map_or(0, |events| events.count(container, action)).max(remembered)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Removed first: an engine that ends would otherwise give each container its whole stop grace.
        if let Ok(answer) = self.api.send("GET", "/containers/json?all=1", &[], "")
            && let Ok(Value::Array(containers)) = serde_json::from_slice(&answer.body)
        {
            for container in containers {
                let id = container["Id"].as_str().unwrap_or_default();
                let _ = self.api.send("DELETE", &format!("/containers/{id}?force=1"), &[], "");
            }
        }
        // Their bridges would outlive it.
        let own = percent(&json!({"type": ["custom"]}).to_string());
        if let Ok(answer) = self.api.send("GET", &format!("/networks?filters={own}"), &[], "")
            && let Ok(Value::Array(networks)) = serde_json::from_slice(&answer.body)
        {
            for network in networks {
                let id = network["Id"].as_str().unwrap_or_default();
                let _ = self.api.send("DELETE", &format!("/networks/{id}"), &[], "");
            }
        }
        self.process.stop();
    }
}

/// A container of an engine.
#[derive(Debug)]
pub struct Container<'engine> {
    engine: &'engine Dockerd,
    name: String,
    id: String,
}

impl Container<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Starts it; what Docker objects, empty if nothing.
    #[track_caller]
    pub fn start(&self) -> String {
        let answer = self.engine.api.post(&format!("/containers/{}/start", self.name), &json!({}));
        if answer.status == 204 { String::new() } else { answer.text() }
    }

    /// Stops it as a person does, with `docker stop`; it gives in at once.
    #[track_caller]
    pub fn stop(&self) {
        self.engine.api.post(&format!("/containers/{}/stop?t=5", self.id), &json!({})).expect(204);
    }

    /// Removes it, running or not.
    #[track_caller]
    pub fn remove(self) {
        let path = format!("/containers/{}?force=1", self.id);
        self.engine.api.send("DELETE", &path, &[], "").expect("dockerd answers").expect(204);
    }

    /// Everything Docker says of it.
    #[track_caller]
    pub fn inspect(&self) -> Value {
        self.engine.api.get(&format!("/containers/{}/json", self.name)).expect(200).json()
    }

    /// When it was last started.
    #[track_caller]
    pub fn started_at(&self) -> String {
        self.inspect()["State"]["StartedAt"].as_str().expect("Docker says when").to_owned()
    }

    /// Makes its health check fail, and waits until Docker has noticed.
    #[track_caller]
    pub fn sicken(&self) {
        self.exec(&["rm", "-f", "/ok"]);
        self.await_health("unhealthy");
    }

    /// Makes it exit with code 3, and waits until it has.
    #[track_caller]
    pub fn crash(&self) {
        self.exec(&["touch", "/crash"]);
        self.await_state("exited");
    }

    /// Runs a command in it and waits for its end.
    #[track_caller]
    pub fn exec(&self, argv: &[&str]) {
        let request = json!({"Cmd": argv, "AttachStdout": true, "AttachStderr": true});
        let created = self.engine.api.post(&format!("/containers/{}/exec", self.name), &request).expect(201).json();
        let id = created["Id"].as_str().expect("dockerd names an exec");
        self.engine.api.post(&format!("/exec/{id}/start"), &json!({"Detach": false})).expect(200);
    }

    /// Waits for `healthy`, `unhealthy` or `starting`.
    #[track_caller]
    pub fn await_health(&self, health: &str) {
        self.await_health_within(health, STATE_WITHIN);
    }

    /// The same where many containers are checked at once, each check a process of its own.
    #[track_caller]
    pub fn await_health_within(&self, health: &str, within: Duration) {
        self.await_field(&format!("{} to be {health}", self.name), "/State/Health/Status", health, within);
    }

    /// Waits for `running`, `exited` and the like.
    #[track_caller]
    pub fn await_state(&self, state: &str) {
        self.await_field(&format!("{} to be {state}", self.name), "/State/Status", state, STATE_WITHIN);
    }

    #[track_caller]
    fn await_field(&self, what: &str, pointer: &str, wanted: &str, within: Duration) {
        let context = || self.engine.process.log_tail();
        wait::until(what, within, context, || {
            let inspected = self.inspect();
            let seen = inspected.pointer(pointer).and_then(Value::as_str).unwrap_or("nothing");
            if seen == wanted { Ok(()) } else { Err(format!("{seen}: {}", inspected["State"])) }
        });
    }
}

/// `bin/busybox`, a link for each of its applets, and further empty files.
fn busybox_tar(files: &[&str]) -> Vec<u8> {
    require("busybox", "busybox-static");
    let program = std::fs::read("/bin/busybox").expect("the package busybox-static installs /bin/busybox");
    let listed = std::process::Command::new("/bin/busybox").arg("--list").output().expect("busybox runs");
    let applets = String::from_utf8(listed.stdout).expect("applets have plain names");
    let mut image = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    image.append_data(&mut header, "bin/busybox", program.as_slice()).expect("memory takes everything");
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_mode(0o777);
        link.set_size(0);
        image.append_link(&mut link, format!("bin/{applet}"), "busybox").expect("memory takes everything");
    }
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        image.append_data(&mut header, file, std::io::empty()).expect("memory takes everything");
    }
    image.into_inner().expect("memory takes everything")
}

/// Docker's create request of a service container, with changes.
fn request(changes: &Value) -> Value {
    let mut request = json!({
        "Image": IMAGE,
        "Cmd": ["sh", "-c", SERVICE],
        "Healthcheck": {
            "Test": ["CMD-SHELL", "test -e /ok || { echo 'the file /ok is gone'; exit 1; }"],
            "Interval": HEALTH_INTERVAL_NS, "Timeout": 5_000_000_000_u64, "Retries": 2,
        },
        "HostConfig": {"NetworkMode": "none"},
    });
    merge(&mut request, changes);
    request
}

/// Objects are merged, everything else replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// A text as it stands in a query.
pub fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte as char),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
