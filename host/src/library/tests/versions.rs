//! Versions as files, what differs between them, and two people at once.

use super::*;
use crate::library::difference::between;
use crate::trust;

fn package(manifest: &str, script: &str) -> Package {
    read(&tar(&[("runbook.toml", manifest), ("main.rhai", script), ("README.md", "r")])).expect("a package")
}

#[test]
fn a_difference_says_what_is_newly_possible_and_what_no_longer() {
    let from = package(MANIFEST, SCRIPT);
    let manifest = MANIFEST
        .replace("1.0.0", "1.1.0")
        .replace("\"docker.inspect-container\"", "\"docker.restart-container\"")
        .replace("[requests]", "[[trigger]]\nschedule = \"0 3 * * *\"\ntarget = \"web-1\"\n[brake]\nattempts = [\"3/1h\"]\n[limits]\nwall = \"1m\"\neffects = 900\n[requests]");
    let script = SCRIPT.replace("inspect_container", "restart_container");
    let difference = between(&from, &package(&manifest, &script));
    assert!(!difference.same);
    assert_eq!(
        difference.newly,
        [
            "docker.restart-container: restarts a container, running or not, where a policy grants it",
            "be started by schedule 0 3 * * * UTC on web-1",
            "use up 900 effects in a run, 500 before",
        ]
    );
    assert!(difference.no_longer[0].starts_with("docker.inspect-container: "), "{:?}", difference.no_longer);
    assert_eq!(
        difference.no_longer[1..],
        [
            "use up 600000 milliseconds of wall time in a run, 60000 at the most now",
            "act more often than 3/1h on one target",
        ]
    );
    let keys: Vec<&str> = difference.manifest.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys, ["brake.attempts", "limits.effects", "limits.wall", "requests", "triggers", "version"]);
    let files: Vec<(&str, &str)> =
        difference.files.iter().map(|file| (file.file.as_str(), file.change.as_str())).collect();
    assert_eq!(files, [("main.rhai", "changed"), ("runbook.toml", "changed")]);
    let code = &difference.files[0].diff;
    assert!(code.contains("-    docker::inspect_container(input.target);\n+    docker::restart_container"), "{code}");
    // The other way round what was new is gone.
    let back = between(&package(&manifest, &script), &from);
    assert_eq!(back.no_longer[0], difference.newly[0]);
    let none = between(&from, &package(MANIFEST, SCRIPT));
    assert!(none.same && none.newly.is_empty() && none.files.is_empty() && none.manifest.is_empty());
}

#[tokio::test]
async fn an_exported_file_is_the_same_version_elsewhere_signature_included() {
    let here = Fixture::new();
    let library = here.library("").await;
    let original = package(MANIFEST, SCRIPT);
    library.upload(&original.to_tar(), None, "dana", None).await.expect("taken");
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
    let text = trust::sign(&pair.sk, "tidy", "1.0.0", &original.digest).expect("signed");
    library.add_signature("tidy", &original.digest, &text, "dana").await.expect("kept");
    let (standing, bytes) = library.export("tidy", None).await.expect("exported");
    assert_eq!(standing.digest, original.digest);
    let read_again = read(&bytes).expect("a package");
    assert_eq!((&read_again.digest, read_again.signature()), (&original.digest, Some(text.clone())));
    assert_eq!(read_again.readme(), "r");
    let elsewhere = Fixture::new();
    let other = elsewhere.library("").await;
    let uploaded = other.upload(&bytes, Some("application/x-tar"), "dana", None).await.expect("taken");
    assert_eq!((uploaded.digest.as_str(), uploaded.stage), (original.digest.as_str(), Stage::Shadow));
    assert_eq!(other.export("tidy", Some(&uploaded.digest)).await.expect("exported").1, bytes, "the same file again");
    assert!(matches!(other.export("tidy", Some("ffff")).await, Err(Error::UnknownVersion { .. })));
    // A script on its own keeps its digest on the way.
    let single = script_with(&MANIFEST.replace("tidy", "single"));
    let uploaded = library.upload(single.as_bytes(), Some("text/x-rhai"), "dana", None).await.expect("taken");
    let (_, bytes) = library.export("single", None).await.expect("exported");
    assert_eq!(read(&bytes).expect("a package").digest, uploaded.digest);
}

#[test]
fn a_signature_beside_a_file_is_found() {
    let dir = TempDir::new().expect("a directory");
    let script = script_with(MANIFEST);
    write(dir.path(), &[("tidy.rhai", &script)]);
    let file = dir.path().join("tidy.rhai");
    let (plain, _) = Package::read(Upload::Path(&file)).expect("a package");
    assert_eq!(plain.signature(), None);
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
    let text = trust::sign(&pair.sk, "tidy", "1.0.0", &plain.digest).expect("signed");
    write(dir.path(), &[("tidy.rhai.minisig", &text)]);
    let (signed, _) = Package::read(Upload::Path(&file)).expect("a package");
    assert_eq!((signed.signature(), &signed.digest), (Some(text), &plain.digest));
    assert_eq!(read(&signed.to_tar()).expect("a tar").digest, plain.digest, "it travels in a tar");
    write(dir.path(), &[("tidy.rhai.minisig", &"x".repeat(trust::TEXT_BYTES_MAX + 1))]);
    assert_eq!(Package::read(Upload::Path(&file)).expect_err("too large")[0].code, TOO_LARGE);
}

#[tokio::test]
async fn two_promotions_and_a_way_back_at_once_leave_one_version_that_acts() {
    let fixture = Fixture::new();
    let library = fixture.library("").await;
    let mut digests = Vec::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let package = package(&MANIFEST.replace("1.0.0", version), &format!("{SCRIPT}// {version}\n"));
        library.upload(&package.to_tar(), None, "dana", None).await.expect("taken");
        digests.push(package.digest);
    }
    let live = |by: &str| StageChange { stage: Stage::Live, reason: "now".to_owned(), by: by.to_owned(), person: true };
    library.set_stage("tidy", &digests[0], live("dana")).await.expect("live");
    let (one, other, back) = tokio::join!(
        library.set_stage("tidy", &digests[1], live("dana")),
        library.set_stage("tidy", &digests[2], live("eve")),
        library.rollback("tidy", "mallory", "both"),
    );
    one.expect("set");
    other.expect("set");
    let actives = library.snapshot();
    let acting: Vec<_> = actives.iter().filter(|active| active.package.name == "tidy" && !active.shadow).collect();
    assert_eq!(acting.len(), 1, "{:?}", shown(&library));
    // Whoever came last has the last word, and what the way back found to go back to is in the history.
    let history = fixture.store.stage_history("tidy").await.expect("read");
    let last = history.iter().find(|row| row.stage == Stage::Live).expect("one");
    assert_eq!(acting[0].package.digest, last.digest, "{history:?}");
    assert!(back.is_ok() || matches!(back, Err(Error::NothingBefore(_))));
}

#[test]
fn a_link_out_of_a_folder_is_not_followed() {
    let dir = TempDir::new().expect("a directory");
    let folder = dir.path().join("tidy");
    write(&folder, &[("runbook.toml", MANIFEST), ("real/main.rhai", SCRIPT), ("scenarios/a.toml", "x = 1")]);
    write(dir.path(), &[("admin-token", "secret"), ("elsewhere/b.toml", "x = 1")]);
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).expect("linked");
    link("real/main.rhai", "main.rhai");
    let (package, _) = Package::read(Upload::Path(&folder)).expect("a link inside is one of its files");
    assert_eq!(package.scenarios().count(), 1);
    for (to, name) in [("../admin-token", "README.md"), ("../../elsewhere/b.toml", "scenarios/b.toml")] {
        link(to, name);
        let problems = Package::read(Upload::Path(&folder)).expect_err(name);
        assert_eq!(problems[0].code, ARCHIVE, "{problems:?}");
        assert!(problems[0].message.contains("a link out of the package"), "{problems:?}");
        std::fs::remove_file(folder.join(name)).expect("there");
    }
    // The folder itself may be a link.
    std::os::unix::fs::symlink(&folder, dir.path().join("other")).expect("linked");
    assert_eq!(Package::read(Upload::Path(&dir.path().join("other"))).expect("read").0.digest, package.digest);
}
