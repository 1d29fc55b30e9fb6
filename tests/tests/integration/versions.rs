//! Versions in a person's hands: signed, inspected, carried to another daemon, compared, promoted and put back.

use std::process::Command;

use sandbook_tests::daemon::{Daemon, Ran, Setup, sandbook};
use serde_json::Value;

const SCRIPT: &str = "fn run(input) {\n    notify::send(#{ channel: \"ops\", title: \"report\", text: \"all well\" });\n    done(\"told\")\n}\n";

fn manifest(version: &str, more: &str) -> String {
    format!(
        "name = \"report\"\nversion = \"{version}\"\nsummary = \"Tells how it is.\"\n[target]\nkind = \"none\"\n\
         [requests]\neffects = [\"notify.send\"{more}]\n[parameters.tries]\ntype = \"integer\"\nmin = 1\nmax = 5\n\
         default = 2\n[parameters.how]\ntype = \"choice\"\nchoices = [\"short\", \"long\"]\ndefault = \"short\"\n"
    )
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A daemon that trusts `dana.pub` and wants signatures for what is live.
fn strict() -> Daemon {
    let folder = tempfile::tempdir().expect("a folder");
    let made: Ran = sandbook(folder.path(), &["keys", "new", "dana"]).expect(0);
    assert!(made.says("public").out.contains("key "));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("written");
    let more = "[runbooks]\nrequire_signature = \"live\"\n[trust.keys.dana]\nfile = \"./dana.pub\"\n";
    let setup = Setup::with(more).file("dana", &read("dana")).file("dana.pub", &read("dana.pub"));
    let daemon =
        Daemon::start(setup.file("report/runbook.toml", &manifest("1.0.0", "")).file("report/main.rhai", SCRIPT));
    // Another's key, which nobody trusts.
    daemon.cli(&["keys", "new", "eve"]).expect(0);
    daemon
}

#[test]
fn a_signed_package_is_inspected_pushed_promoted_carried_and_put_back() {
    let daemon = strict();
    daemon
        .cli(&["--config", "sandbook.toml", "inspect", "report"])
        .expect(0)
        .says("not signed")
        .says("change anything");
    daemon.cli(&["push", "report"]).expect(0);
    daemon.cli(&["promote", "report", "live", "--reason", "x"]).expect(3).says("SB0240").says("not signed");
    daemon.cli(&["sign", "report", "--key", "eve"]).expect(0);
    daemon.cli(&["--config", "sandbook.toml", "inspect", "report"]).expect(0).says("not under [trust.keys]");
    daemon.cli(&["push", "report"]).expect(0);
    daemon.cli(&["promote", "report", "live", "--reason", "x"]).expect(3).says("SB0242");
    daemon.cli(&["sign", "report", "--key", "dana"]).expect(0);
    let inspected = daemon.cli(&["--config", "sandbook.toml", "inspect", "report"]).expect(0);
    inspected
        .says("signed by dana")
        .says("one of short, long")
        .says("a whole number like 3, from 1 to 5, 2 if not given");
    daemon.cli(&["push", "report"]).expect(0);
    daemon.cli(&["promote", "report", "live", "--reason", "signed"]).expect(0).says("live");
    daemon.cli(&["versions", "report"]).expect(0).says("trusted dana").says("signed");

    // Another version, signed where it lies on the daemon.
    daemon.write("report/runbook.toml", manifest("1.1.0", ", \"docker.restart-container\""));
    let script = SCRIPT.replace("    done", "    docker::restart_container(\"web-1\");\n    done");
    daemon.write("report/main.rhai", &script);
    daemon.cli(&["push", "report"]).expect(3).says("SB0244");
    std::fs::remove_file(daemon.path("report/runbook.minisig")).expect("there");
    daemon.cli(&["push", "report"]).expect(0);
    let diff = daemon.cli(&["diff", "report@1.0.0", "report@1.1.0"]);
    let diff = if diff.code == Some(0) { diff } else { panic!("{diff}") };
    let diff = diff.says("this version can newly").says("restarts a container").says("+    docker::restart_container");
    assert!(!diff.out.contains("can no longer"), "{diff}");
    let api = daemon.api().get("/v1/runbooks/report/diff?from=1.0.0&to=1.1.0").expect(200).json();
    assert_eq!(api["newly"].as_array().map(Vec::len), Some(1), "{api}");
    daemon.cli(&["diff", "report@1.0.0", "./report", "--detailed-exitcode"]).expect(7);
    let newer = text(&api["to"]["digest"]);
    daemon.cli(&["sign", &format!("report@{newer}"), "--key", "dana"]).expect(0).says("trusted dana");
    daemon.cli(&["promote", &format!("report@{newer}"), "live", "--reason", "better"]).expect(0);
    daemon.cli(&["rollback", "report", "--reason", "worse"]).expect(0).says("1.0.0").says("live");
    let runbook = daemon.api().get("/v1/runbooks/report").expect(200).json();
    assert_eq!((text(&runbook["version"]), text(&runbook["stage"])), ("1.0.0".to_owned(), "live".to_owned()));

    // A run with a parameter that does not fit is refused by name, type and value.
    let refused = daemon.cli(&["run", "report", "tries=9"]).expect(1);
    refused.says("parameter `tries` is \"9\"").says("from 1 to 5");
    daemon.cli(&["run", "report", "how=loud"]).expect(1).says("one of short, long");
    daemon.cli(&["runbooks", "report"]).expect(0).says("tries=2").says("of short, long");

    // As a file to another daemon: the same digest, and the signature with it.
    daemon.cli(&["export", "report@1.0.0", "report.tar"]).expect(0);
    daemon.cli(&["export", "report@1.0.0", "report.tar"]).expect(1).says("does not exist yet");
    let other = strict();
    std::fs::copy(daemon.path("report.tar"), other.path("report.tar")).expect("copied");
    std::fs::copy(daemon.path("dana.pub"), other.path("first.pub")).expect("copied");
    other.cli(&["inspect", "report.tar", "--trust", "first.pub"]).expect(0).says("signed by first");
    other.cli(&["import", "report.tar"]).expect(0);
    let carried = other.api().get("/v1/runbooks/report").expect(200).json();
    assert_eq!(carried["digest"], runbook["digest"]);
    other.cli(&["promote", "report", "live", "--reason", "x"]).expect(3).says("SB0242");
    let audit = daemon.cli(&["audit", "--json"]).expect(0).json();
    let done: Vec<String> = audit["audit"].as_array().expect("lines").iter().map(|line| text(&line["what"])).collect();
    for what in ["signature", "signature-refused", "stage"] {
        assert!(done.iter().any(|known| known == what), "{what} in {done:?}");
    }
}

#[test]
fn the_minisign_program_and_this_one_understand_each_other() {
    let daemon = strict();
    let minisign = |arguments: &[&str]| {
        let ran = Command::new("minisign").args(arguments).current_dir(daemon.path("")).output();
        let ran = ran.expect("minisign is not installed: apt-get install minisign (`./dev test` does it)");
        assert!(ran.status.success(), "minisign {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    let digest = text(&daemon.cli(&["inspect", "report", "--json"]).expect(0).json()["digest"]);
    daemon.write("digest", format!("{digest}\n"));
    // Ours, checked by theirs.
    daemon.cli(&["sign", "report", "--key", "dana"]).expect(0);
    minisign(&["-V", "-p", "dana.pub", "-m", "digest", "-x", "report/runbook.minisig"]);
    // Theirs, with their own key, checked by ours.
    minisign(&["-G", "-W", "-p", "tool.pub", "-s", "tool"]);
    minisign(&["-S", "-W", "-s", "tool", "-m", "digest", "-x", "report/runbook.minisig"]);
    daemon.cli(&["inspect", "report", "--trust", "tool.pub"]).expect(0).says("signed by tool");
    daemon.write("report/main.rhai", format!("{SCRIPT}// more\n"));
    daemon.cli(&["inspect", "report", "--trust", "tool.pub"]).expect(1).says("SB0245");
}
