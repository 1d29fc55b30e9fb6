//! The command line as a whole: its definitions, what it refuses, and what only looks.

use clap::Parser as _;

use super::*;

#[test]
fn the_definitions_are_consistent() {
    definitions().debug_assert();
}

fn parse(words: &str) -> Result<Cli, clap::error::ErrorKind> {
    Cli::try_parse_from(std::iter::once("sandbook").chain(words.split(' '))).map_err(|error| error.kind())
}

#[test]
fn commands_of_the_contract_are_understood() {
    for words in [
        "serve --config a.toml",
        "demo --docker --exit",
        "status --json",
        "alerts --open --since 1d",
        "runbooks",
        "targets",
        "new my-runbook --lang rhai",
        "check ./x",
        "inspect x.wasm",
        "push ./x --stage draft",
        "promote r@sha256:ab live --reason x",
        "demote r",
        "rollback r",
        "grant r docker.restart-container --container web-* --limit 3/1h --ask",
        "grants",
        "grants --remove r/docker.exec/container=web-*",
        "match alertname=X name=web",
        "match --alert -",
        "run r web-1 grace=30s --watch",
        "plan r web-1 severity=critical --host db1 --digest sha256:ab --assume net.http-probe=fail --detailed-exitcode",
        "plan ./r --alert - --param grace=3s --to-apply --json",
        "plan r --episode e_1",
        "apply p_1 --watch",
        "runs --state failed --limit 5",
        "show last --full",
        "show",
        "journal last --export -",
        "watch",
        "watch last",
        "cancel r1",
        "resume r1 --as not-done",
        "approvals",
        "approve a1 --reason ok",
        "deny a1",
        "pause web-* --for 30m --reason deploy",
        "pauses --end p1",
        "stop-all --release",
        "brakes",
        "effects docker.exec",
        "explain SB0206",
        "config check --config a.toml",
        "config alertmanager",
        "policy check ./policy",
        "policy schema",
        "audit --since 90d",
        "backup out.db",
        "completions bash",
        "compile-component",
        "--server http://x:1 --token t status",
    ] {
        assert!(parse(words).is_ok(), "{words}: {:?}", parse(words).err());
    }
}

#[test]
fn wrong_words_are_usage_errors() {
    for words in [
        "promote r live",
        "push ./x --stage live",
        "push ./x --stage ask",
        "resume r1 --as maybe",
        "pause web --for soon --reason x",
        "grant r e --limit often",
        "plan",
        "plan r --alert a.json --episode e_1",
        "demo --image x",
        "frobnicate",
    ] {
        assert!(parse(words).is_err(), "{words}");
    }
}

#[test]
fn the_reference_has_every_command_once() {
    let page = reference();
    for command in definitions().get_subcommands() {
        let heading = format!("\n## `sandbook {}`\n", command.get_name());
        assert_eq!(page.matches(&heading).count(), usize::from(!command.is_hide_set()), "{heading}");
    }
    assert!(page.contains("### `sandbook config alertmanager`"));
    assert!(page.contains("- `--limit 3/1h`: At most so often"), "{page}");
    assert!(page.contains("or `SANDBOOK_SERVER`"));
    assert!(!page.contains("compile-component"));
}
