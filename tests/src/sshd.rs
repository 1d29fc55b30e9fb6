//! A real sshd on a loopback port, with its own configuration and keys: the way to an engine on "another machine".
//!
//! It runs as whoever runs the tests and lets that user in with one key. Deliberately not here: passwords, PAM, and the
//! user's own `~/.ssh`, which the fixture neither reads nor writes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Leashed, free_port, require};
use crate::wait;

/// It listens within a fraction of a second.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// A machine that is reached by ssh.
#[derive(Debug)]
pub struct Sshd {
    process: Option<Leashed>,
    port: u16,
    folder: TempDir,
}

impl Sshd {
    /// Starts it with a key of its own (`known_hosts` names it) and one that it lets in (`client`).
    #[track_caller]
    pub fn start() -> Sshd {
        require("sshd", "openssh-server");
        require("ssh-keygen", "openssh-client");
        let folder = TempDir::with_prefix("sandbook-sshd-").expect("a temporary folder");
        let mut sshd = Sshd { process: None, port: free_port(), folder };
        for key in ["machine", "client", "stranger"] {
            sshd.make_key(key);
        }
        let public = std::fs::read_to_string(sshd.path("client.pub")).expect("ssh-keygen wrote it");
        std::fs::write(sshd.path("authorized_keys"), public).expect("a writable folder");
        sshd.make_known("known_hosts", "machine");
        sshd.restart();
        sshd
    }

    /// A key pair in its folder, readable by its owner only.
    #[track_caller]
    pub fn make_key(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).status();
        assert!(made.expect("ssh-keygen runs").success(), "no key {name}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
        path
    }

    /// A file of known machines that says this one has that key.
    #[track_caller]
    pub fn make_known(&self, file: &str, key: &str) -> PathBuf {
        let public = std::fs::read_to_string(self.path(&format!("{key}.pub"))).expect("a key of this fixture");
        let path = self.path(file);
        std::fs::write(&path, format!("[127.0.0.1]:{} {public}", self.port)).expect("a writable folder");
        path
    }

    /// Starts it (again) on the same port with the same keys.
    #[track_caller]
    pub fn restart(&mut self) {
        let folder = |name: &str| self.path(name).display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nLogLevel VERBOSE\n\
             AllowStreamLocalForwarding yes\n",
            self.port,
            folder("machine"),
            folder("authorized_keys"),
        );
        std::fs::write(self.path("sshd_config"), config).expect("a writable folder");
        if rustix::process::getuid().is_root() {
            // Where sshd locks itself in until it knows who it is; its service makes it otherwise.
            std::fs::create_dir_all("/run/sshd").expect("root may");
        }
        let (config, log) = (folder("sshd_config"), self.path("sshd.log"));
        let process = Leashed::start("sshd", &["/usr/sbin/sshd", "-D", "-e", "-f", &config], &log, false, None);
        let port = self.port;
        wait::until(
            "sshd to listen",
            UP_WITHIN,
            || process.log_tail(),
            || std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string()),
        );
        self.process = Some(process);
    }

    /// Ends it and every session of it, at once: the machine is gone.
    pub fn kill(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.cut_sessions();
        drop(process);
    }

    /// Ends every session and goes on listening.
    pub fn cut_sessions(&self) {
        let config = self.path("sshd_config");
        for pid in sessions(&config) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Where an engine's socket is reached through it.
    pub fn endpoint(&self, socket: &Path) -> String {
        let user = Command::new("id").arg("-un").output().expect("id runs");
        let user = String::from_utf8(user.stdout).expect("names are text");
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, socket.display())
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.process.as_ref().map_or_else(|| "(sshd is stopped)".to_owned(), Leashed::log_tail)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Processes of sessions: descendants of the sshd that was started with that configuration.
fn sessions(config: &Path) -> Vec<rustix::process::Pid> {
    let mut processes = Vec::new();
    for entry in Path::new("/proc").read_dir().expect("Linux").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        processes.push((pid, parent.unwrap_or(0), String::from_utf8_lossy(&line).replace('\0', " ")));
    }
    let config = config.display().to_string();
    // It renames itself once it listens.
    let is_sshd = |line: &str| line.starts_with("sshd: ") || line.starts_with("/usr/sbin/sshd");
    let listener = processes.iter().find(|(_, _, line)| is_sshd(line) && line.contains(&config));
    let Some((listener, _, _)) = listener else { return Vec::new() };
    let mut found = vec![*listener];
    let mut next = 0;
    while next < found.len() {
        let above = found[next];
        found.extend(processes.iter().filter(|(_, parent, _)| *parent == above).map(|(pid, _, _)| *pid));
        next += 1;
    }
    found.into_iter().skip(1).filter_map(rustix::process::Pid::from_raw).collect()
}
