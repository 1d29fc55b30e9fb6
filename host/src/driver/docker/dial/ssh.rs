//! A tunnel to an engine's socket on another machine: one `ssh` for each host, forwarding a socket of ours.
//!
//! The system's own `ssh` is used, with the operator's configuration of it (jump hosts, agents); what decides about trust
//! is said on its command line and cannot be loosened there. It is started by the first call that needs it, never asks
//! anybody, and is started again when it has ended. It ends with the daemon, also when that is killed: the shell around
//! it waits for the end of a pipe that the daemon holds. Deliberately not here: whether the engine answers.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use super::super::endpoint::Ssh;

/// Runs the command, and ends it when standard input ends.
const LEASH: &str = r#"exec 3<&0
"$@" </dev/null 3<&- & child=$!
{ cat <&3 >/dev/null; kill "$child"; } 2>/dev/null & watch=$!
exec 3<&-
wait "$child"; status=$?
kill "$watch" 2>/dev/null
exit "$status""#;
/// How often it is looked whether the tunnel is there yet.
const LOOK: Duration = Duration::from_millis(20);
/// Looks for words of ssh after a failure: a line on a pipe takes no two seconds, and some failures have none.
const WORDS_LOOKS: u32 = 100;
/// A peer that says nothing is asked after so many seconds, so many times; then the tunnel ends.
const ALIVE_SECONDS: u32 = 5;
const ALIVE_COUNT: u32 = 3;
/// Lines of what ssh said that are kept: its warnings about a changed key have a dozen.
const LINES_MAX: usize = 24;
/// Characters of one line.
const LINE_CHARS_MAX: usize = 300;

/// A tunnel to one host, up or not.
#[derive(Debug)]
pub(super) struct Tunnel {
    to: Ssh,
    within: Duration,
    up: AsyncMutex<Option<Up>>,
    /// What ssh said since it was started last.
    said: Arc<Mutex<Vec<String>>>,
}

/// A running ssh. Dropping it ends it: its shell's standard input closes.
#[derive(Debug)]
struct Up {
    child: Child,
    reader: JoinHandle<()>,
    folder: TempDir,
}

impl Up {
    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }
}

impl Tunnel {
    pub(super) fn new(to: Ssh, within: Duration) -> Tunnel {
        Tunnel { to, within, up: AsyncMutex::new(None), said: Arc::default() }
    }

    /// The near end of the tunnel, which is brought up first. A caller that gives up leaves it to the next one.
    pub(super) async fn socket(self: Arc<Self>) -> Result<PathBuf> {
        let task = tokio::spawn(async move { self.bring_up().await });
        task.await.map_err(Error::other)?
    }

    async fn bring_up(&self) -> Result<PathBuf> {
        let mut slot = self.up.lock().await;
        if let Some(up) = slot.as_mut()
            && matches!(up.child.try_wait(), Ok(None))
        {
            return Ok(up.socket());
        }
        *slot = None;
        let mut up = self.start()?;
        let path = up.socket();
        let mut left = self.within;
        while !path.exists() {
            if let Some(status) = up.child.try_wait()? {
                // Its last words may still be on their way.
                let _ = tokio::time::timeout(LOOK * 10, &mut up.reader).await;
                let why = self.explain().unwrap_or_else(|| format!("ssh ended with {status}"));
                return Err(Error::new(ErrorKind::NotConnected, why));
            }
            if left.is_zero() {
                let ms = self.within.as_millis();
                let why = self.explain().unwrap_or_else(|| "is the machine up, and sshd on it?".to_owned());
                return Err(Error::new(ErrorKind::TimedOut, format!("no ssh connection within {ms} ms: {why}")));
            }
            let pause = LOOK.min(left);
            tokio::time::sleep(pause).await;
            left -= pause;
        }
        *slot = Some(up);
        Ok(path)
    }

    fn start(&self) -> Result<Up> {
        let folder = tempfile::Builder::new().prefix("sandbook-ssh-").tempdir()?;
        let near = folder.path().join("docker.sock");
        let mut command = Command::new("sh");
        command.args(["-c", LEASH, "leash", "ssh"]).args(arguments(&self.to, self.within, &near));
        // A group of its own: a Ctrl-C at the daemon's terminal is not the tunnel's.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| Error::other("ssh has no standard error"))?;
        let said = self.said.clone();
        lock(&said).clear();
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                keep(&mut lock(&said), &line);
            }
        });
        Ok(Up { child, reader, folder })
    }

    /// The engine answered through it: what was said before is over.
    pub(super) fn works(&self) {
        lock(&self.said).clear();
    }

    /// Waits for what ssh says about something that has just failed: the connection ends before its words are here.
    pub(super) async fn words(&self) {
        for _ in 0..WORDS_LOOKS {
            if !lock(&self.said).is_empty() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What ssh said, in words that say what to do; absent when it said nothing.
    pub(super) fn explain(&self) -> Option<String> {
        let said = lock(&self.said).join("\n");
        (!said.is_empty()).then(|| explain(&self.to, &said))
    }
}

fn lock(said: &Mutex<Vec<String>>) -> std::sync::MutexGuard<'_, Vec<String>> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(said: &mut Vec<String>, line: &str) {
    let line: String = line.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect();
    // That a new key was accepted, as configured, keeps nobody from anything.
    if line.trim().is_empty() || line.starts_with("Warning: Permanently added") {
        return;
    }
    if said.len() >= LINES_MAX {
        said.remove(0);
    }
    said.push(line);
}

/// What ssh is called with. What stands here wins over every configuration file.
fn arguments(to: &Ssh, within: Duration, near: &Path) -> Vec<String> {
    let seconds = within.as_secs().max(1);
    let checking = if to.accept_new { "accept-new" } else { "yes" };
    let mut options = vec![
        "BatchMode=yes".to_owned(),
        format!("StrictHostKeyChecking={checking}"),
        "UpdateHostKeys=no".to_owned(),
        format!("ConnectTimeout={seconds}"),
        format!("ServerAliveInterval={ALIVE_SECONDS}"),
        format!("ServerAliveCountMax={ALIVE_COUNT}"),
        "ExitOnForwardFailure=yes".to_owned(),
        "ControlMaster=no".to_owned(),
        "ControlPath=none".to_owned(),
        "PermitLocalCommand=no".to_owned(),
        "LogLevel=INFO".to_owned(),
    ];
    if let Some(file) = &to.known_hosts_file {
        options.push(format!("UserKnownHostsFile={}", quoted(file)));
        options.push("GlobalKnownHostsFile=/dev/null".to_owned());
    }
    let mut arguments: Vec<String> = ["-N", "-T", "-a", "-x"].map(str::to_owned).to_vec();
    for option in options {
        arguments.extend(["-o".to_owned(), option]);
    }
    if let Some(file) = &to.key_file {
        arguments.extend([
            "-i".to_owned(),
            file.display().to_string(),
            "-o".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
        ]);
    }
    if let Some(user) = &to.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = to.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["-L".to_owned(), format!("{}:{}", near.display(), to.socket.display())]);
    arguments.extend(["--".to_owned(), to.host.clone()]);
    arguments
}

/// A path in ssh's own configuration, where a blank would end it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// ssh's words, and what to do. The order matters: what is certain stands before what may only follow from it.
fn explain(to: &Ssh, said: &str) -> String {
    let has = |text: &str| said.contains(text);
    let machine = &to.host;
    let port = to.port.map_or(String::new(), |port| format!("-p {port} "));
    let known = match &to.known_hosts_file {
        Some(file) => file.display().to_string(),
        None => "~/.ssh/known_hosts".to_owned(),
    };
    let user = to.user.as_deref().unwrap_or("the user");
    let last = said.lines().last().unwrap_or_default();
    let key = match &to.key_file {
        Some(file) => format!("the key {}", file.display()),
        None => "any key ssh has (set key_file)".to_owned(),
    };
    if has("IDENTIFICATION HAS CHANGED") {
        return format!(
            "its host key is another one than {known} has: somebody may be in between; if the machine was set up anew, \
             compare the new key's fingerprint there, then ssh-keygen -R it from that file and add it"
        );
    }
    if has("Host key verification failed") || has("host key is known for") {
        return format!(
            "its host key is not known; compare the fingerprint on the machine, then \
             `ssh-keyscan {port}{machine} >> {known}`"
        );
    }
    if has("UNPROTECTED PRIVATE KEY") || has("bad permissions") {
        return format!("others can read {key}, so ssh does not use it; chmod 600 it");
    }
    if has("not accessible: No such file") || has("Load key") {
        return format!("{key} cannot be used ({last}); name a private key without a passphrase");
    }
    if has("Permission denied") {
        return format!(
            "sshd does not take {key} for {user}; add its public key to ~{user}/.ssh/authorized_keys there"
        );
    }
    if has("administratively prohibited") {
        return "sshd forwards no sockets; set AllowStreamLocalForwarding yes in its sshd_config".to_owned();
    }
    if has("open failed") {
        let socket = to.socket.display();
        return format!(
            "ssh is up, but {user} cannot open {socket} there ({last}); is dockerd running, and {user} in its group?"
        );
    }
    if has("ssh: not found") {
        return "there is no program `ssh` here; install openssh-client".to_owned();
    }
    last.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to() -> Ssh {
        Ssh {
            user: Some("dana".to_owned()),
            host: "web1".to_owned(),
            port: Some(2222),
            socket: PathBuf::from("/var/run/docker.sock"),
            key_file: Some(PathBuf::from("/k/id")),
            known_hosts_file: Some(PathBuf::from("/k/known hosts")),
            accept_new: false,
        }
    }

    #[test]
    fn trust_is_said_on_the_command_line() {
        let line = arguments(&to(), Duration::from_millis(2_500), Path::new("/t/docker.sock")).join(" ");
        for wanted in [
            "-o BatchMode=yes -o StrictHostKeyChecking=yes",
            "-o ConnectTimeout=2",
            "-o UserKnownHostsFile=\"/k/known hosts\" -o GlobalKnownHostsFile=/dev/null",
            "-i /k/id -o IdentitiesOnly=yes -l dana -p 2222 -L /t/docker.sock:/var/run/docker.sock -- web1",
        ] {
            assert!(line.contains(wanted), "{wanted} in {line}");
        }
        let new = arguments(&Ssh { accept_new: true, ..to() }, Duration::ZERO, Path::new("/t/s")).join(" ");
        assert!(new.contains("StrictHostKeyChecking=accept-new") && new.contains("ConnectTimeout=1"), "{new}");
    }

    #[test]
    fn what_ssh_says_becomes_what_to_do() {
        for (said, wanted) in [
            ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "somebody may be"),
            ("Host key verification failed.", "ssh-keyscan -p 2222 web1 >> /k/known hosts"),
            ("dana@web1: Permission denied (publickey).", "~dana/.ssh/authorized_keys"),
            ("channel 2: open failed: connect failed: No such file", "is dockerd running"),
            ("channel 2: open failed: administratively prohibited: open failed", "AllowStreamLocalForwarding"),
            ("leash: 2: ssh: not found", "openssh-client"),
            ("ssh: connect to host web1 port 22: Connection refused", "Connection refused"),
        ] {
            let explained = explain(&to(), said);
            assert!(explained.contains(wanted), "{said}: {explained}");
        }
    }
}
