//! `./dev stack`: everything beside each other on one machine, as a person starts it, and nothing of it left at the end.
//!
//! The script itself with its fixed ports, in a network of its own so that it meets nobody's. Deliberately not here: what
//! `./dev` does before it, which is to install packages and to build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sandbook_tests::daemon::{Ran, binary};
use sandbook_tests::process::{Leashed, require, root_prefix};
use sandbook_tests::{announce, repository, wait};
use serde_json::{Value, json};

/// Five programs start one after the other, beside other tests.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// A scrape, the rule's delay and the group's wait of the files in `monitoring/`, and the health check before them.
const HEALED_WITHIN: Duration = Duration::from_secs(240);

/// Five programs end one after the other, each within its own grace.
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// Long enough for the first health check, after which a restart has helped.
const SICK: &str = "SICK_AFTER=15";

/// The stack, from its start to its end.
struct Stack {
    process: Leashed,
    folder: tempfile::TempDir,
    /// Where it keeps its files, which it removes.
    state: PathBuf,
    token: String,
}

impl Stack {
    fn start() -> Stack {
        for (program, package) in [("unshare", "util-linux"), ("prometheus-node-exporter", "prometheus-node-exporter")]
        {
            require(program, package);
        }
        let folder = tempfile::TempDir::with_prefix("sandbook-stack-test-").expect("a temporary folder");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let script = repository().join("examples/stack/run.sh").display().to_string();
        let inside = "busybox ip link set lo up && echo $$ >\"$1\" && shift && exec \"$@\"";
        let (pid, temporary) = (file("pid"), format!("TMPDIR={}", folder.path().display()));
        let engine = format!("DOCKER_HOST=unix://{}", file("nobody.sock"));
        let binary = binary().display().to_string();
        let words = ["unshare", "-n", "sh", "-c", inside, "stack", &pid, "env", &engine, &temporary, SICK];
        let words = [&words[..], &["sh", &script, &binary]].concat();
        let log = folder.path().join("output");
        let process = Leashed::start("stack", &words, &log, true, None);
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        wait::for_words("Ctrl-C ends everything", UP_WITHIN, text);
        let after = |words: &str| {
            let text = text();
            let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {text}"));
            rest.split_whitespace().next().unwrap_or_default().to_owned()
        };
        let state = PathBuf::from(after("SANDBOOK_CONFIG="));
        let state = state.parent().expect("a file is in a folder").to_owned();
        Stack { process, state, token: after("token: "), folder }
    }

    /// A command in the stack's network.
    fn inside(&self, words: &[&str]) -> Ran {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).expect("written at the start");
        let mut all: Vec<&str> = root_prefix().to_vec();
        let config = format!("SANDBOOK_CONFIG={}", self.state.join("sandbook.toml").display());
        let token = format!("SANDBOOK_TOKEN={}", self.token);
        all.extend(["nsenter", "-t", pid.trim(), "-n", "env", &config, &token]);
        all.extend(words);
        let output = Command::new(all[0]).args(&all[1..]).output().expect("nsenter starts");
        Ran::new(&words.join(" "), output)
    }

    fn cli(&self, words: &[&str]) -> Ran {
        let binary = binary().display().to_string();
        self.inside(&[&[binary.as_str()], words].concat())
    }

    fn get(&self, url: &str) -> Value {
        let ran = self.inside(&["busybox", "wget", "-qO-", url]);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{url}: {error}: {ran}"))
    }
}

/// What runs of the stack, by the folder that all its command lines name.
fn running(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("it is mounted").flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder)).collect()
}

#[test]
fn everything_on_one_machine_heals_a_container_and_is_gone_at_the_end() {
    let stack = Stack::start();
    let explain = || stack.cli(&["status"]).out;
    wait::until("every target to be scraped", UP_WITHIN, explain, || {
        let targets = stack.get("http://127.0.0.1:9090/api/v1/targets?state=active");
        let targets = targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let of =
            |one: &Value| (one["labels"]["job"].as_str().unwrap_or_default().to_owned(), one["health"] == json!("up"));
        let mut jobs: Vec<(String, bool)> = targets.iter().map(of).collect();
        jobs.sort();
        let up = |job: &str| jobs.contains(&(job.to_owned(), true));
        if up("sandbook") && up("node") && jobs.iter().all(|(_, up)| *up) { Ok(()) } else { Err(format!("{jobs:?}")) }
    });
    // As it says itself: nothing acts before somebody lets it.
    stack.cli(&["promote", "restart-unhealthy", "live", "--reason", "trying it"]).expect(0);
    let run = wait::until("the sick container to be healed", HEALED_WITHIN, explain, || {
        let runs = stack.cli(&["runs", "--json"]).expect(0).json();
        // Before it was let act, an event may have been looked at in shadow.
        let live = |run: &&Value| run["outcome"] == "fixed" && run["mode"] == "live";
        let fixed = runs["runs"].as_array().into_iter().flatten().find(live).cloned();
        fixed.ok_or_else(|| runs.to_string())
    });
    assert_eq!(run["runbook"], "restart-unhealthy", "{run}");
    announce(&format!("stack: {}", run["sentence"]));

    let (folder, state) = (stack.folder.path().to_owned(), stack.state.clone());
    assert!(!running(&folder).is_empty() && state.is_dir());
    let Stack { mut process, folder: kept, .. } = stack;
    process.stop();
    let text = || std::fs::read_to_string(kept.path().join("output")).expect("written");
    wait::until("everything of it to be gone", GONE_WITHIN, text, || {
        let left = running(&folder);
        if left.is_empty() && !state.exists() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}
