//! Child processes that cannot outlive their test, each with a log file whose tail goes into every failure.
//!
//! A process is held on a leash: a shell starts it and reads its own standard input, a pipe from this process. When the
//! pipe closes, on drop or because the test was killed, the shell ends it. So nothing is left behind even after
//! `kill -9`, and a process started as another user through sudo needs no sudo to be stopped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end after being asked to.
const END_WITHIN: Duration = Duration::from_secs(20);
/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 40;

/// Started with `sh -c`; `$1` is the log, `$2` what to remove at the end ("" for nothing) unless `$2.keep` is there, the
/// rest the command.
const LEASH: &str = r#"
log=$1; remove=$2; shift 2
"$@" >"$log" 2>&1 </dev/null &
child=$!
cat >/dev/null
kill -TERM "$child" 2>/dev/null
wait "$child"
[ -z "$remove" ] || [ -e "$remove.keep" ] || rm -rf "$remove"
"#;

/// What stands before a command that needs root.
pub fn root_prefix() -> &'static [&'static str] {
    if rustix::process::getuid().is_root() { &["env"] } else { &["sudo", "-n"] }
}

/// A process on a leash.
#[derive(Debug)]
pub struct Leashed {
    name: &'static str,
    shell: Child,
    log: PathBuf,
}

impl Leashed {
    /// Starts `command` with its output in `log`. With `as_root`, through sudo unless this process already is root.
    #[track_caller]
    pub fn start(name: &'static str, command: &[&str], log: &Path, as_root: bool, remove: Option<&Path>) -> Leashed {
        let mut words: Vec<&str> = if as_root { root_prefix().to_vec() } else { Vec::new() };
        words.extend(["sh", "-c", LEASH, "leash"]);
        let log_text = log.to_str().expect("temporary paths are text");
        let remove = remove.map_or("", |path| path.to_str().expect("temporary paths are text"));
        words.extend([log_text, remove]);
        words.extend(command);
        let mut shell = Command::new(words[0]);
        shell.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = shell.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Leashed { name, shell, log: log.to_owned() }
    }

    /// The end of its log, under a heading.
    pub fn log_tail(&self) -> String {
        tail(self.name, &self.log)
    }

    /// Ends it and waits until it has.
    pub fn stop(&mut self) {
        drop(self.shell.stdin.take());
        if !ended_within(&mut self.shell, END_WITHIN) {
            let _ = self.shell.kill();
            let _ = self.shell.wait();
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether the child ends in time.
pub fn ended_within(child: &mut Child, within: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < within {
        match child.try_wait() {
            Ok(Some(_)) | Err(_) => return true,
            Ok(None) => std::thread::sleep(crate::wait::POLL),
        }
    }
    false
}

/// The end of a log file, under a heading.
pub fn tail(name: &str, log: &Path) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(no log: {error})"),
    };
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    format!("--- the last lines of {name} ---\n{}\n--- end of {name} ---", lines[from..].join("\n"))
}

/// A loopback port nothing listens on. It could be taken before it is used; the kernel hands them out in turn, so in
/// practice it is not.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Fails with the Debian package to install when a program is not there.
#[track_caller]
pub fn require(program: &str, package: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
    let found = path.split(':').chain(system).any(|folder| Path::new(folder).join(program).is_file());
    assert!(found, "`{program}` is not installed: apt-get install {package} (`./dev test` does it)");
}
