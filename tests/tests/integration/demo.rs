//! `sandbook demo --exit`: the newcomer's first command, as it looks.
//!
//! The simulated world's time is data, so the capture is golden but for ids, ports and milliseconds of the machine.

use std::process::Command;

use sandbook_tests::daemon;

/// Makes what differs from run to run the same.
fn redact(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| match word {
                id if id.starts_with("r_") && id.len() == 28 => "RUN".to_owned(),
                digest if digest.starts_with("sha256:") => "DIGEST".to_owned(),
                word => word.to_owned(),
            })
            .collect();
        let line = words.join(" ");
        match line.split_once("answered 202 Accepted in ") {
            Some((before, _)) => lines.push(format!("{before}answered 202 Accepted in N ms.")),
            None => lines.push(line.trim_end().to_owned()),
        }
    }
    lines.join("\n")
}

#[test]
fn the_demo_heals_and_tells_it() {
    let output = Command::new(daemon::binary()).args(["demo", "--exit"]).output().expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!("demo", redact(&text));
}

#[test]
fn the_demo_as_json_is_whole() {
    let output = Command::new(daemon::binary()).args(["demo", "--exit", "--json"]).output().expect("the binary starts");
    let story: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(story["run"]["outcome"], "fixed");
    assert_eq!(story["run"]["verification"], "confirmed");
    assert_eq!(story["receipt"]["accepted"], 1);
    let effects: Vec<&str> =
        story["records"].as_array().expect("records").iter().filter_map(|record| record["effect"].as_str()).collect();
    assert!(effects.contains(&"docker.restart-container"), "{effects:?}");
}
