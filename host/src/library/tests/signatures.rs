//! Signatures at every door: upload, promotion, the way back, watched folders; each refused, and each allowed.

use minisign::KeyPair;

use super::*;
use crate::trust::{self, Signed};

struct Desk {
    fixture: Fixture,
    dana: KeyPair,
    eve: KeyPair,
}

impl Desk {
    fn new() -> Desk {
        let pair = || KeyPair::generate_unencrypted_keypair().expect("a key");
        Desk { fixture: Fixture::new(), dana: pair(), eve: pair() }
    }

    /// A library that wants signatures as said, by dana.
    async fn library(&self, require: &str, stages: &str, expires: Option<u64>) -> Arc<Library> {
        let dirs = self.fixture.dir.path().join("runbooks");
        let text =
            format!("[runbooks]\ndirs = [{dirs:?}]\nrequire_signature = {require:?}\n[runbooks.stages]\n{stages}\n");
        let config = Config::from_text(&text, None, std::iter::empty()).expect("sound");
        let library = Library::new(self.fixture.store.clone(), self.fixture.sandbox.clone(), Arc::new(config));
        let mut trust = trust::Trust::default();
        trust.add("dana", self.dana.pk.clone(), expires).expect("the first");
        library.trust(trust);
        library.start().await.expect("started");
        library
    }

    fn signed(&self, version: &str, by: Option<&KeyPair>) -> (Vec<u8>, String) {
        let manifest = MANIFEST.replace("1.0.0", version);
        let files = [("runbook.toml", manifest.as_str()), ("main.rhai", SCRIPT)];
        let package = read(&tar(&files)).expect("a package");
        let Some(by) = by else { return (tar(&files), package.digest) };
        let text = trust::sign(&by.sk, "tidy", version, &package.digest).expect("signed");
        (tar(&[files[0], files[1], (SIGNATURE_FILE, &text)]), package.digest)
    }

    async fn refusals(&self) -> Vec<String> {
        let audit = self.fixture.audit().await.into_iter().filter(|(_, what, _)| what == "signature-refused tidy");
        audit.map(|(who, _, details)| format!("{who} {}", details["code"].as_str().unwrap_or_default())).collect()
    }
}

fn to(stage: Stage) -> StageChange {
    StageChange { stage, reason: "it worked".to_owned(), by: "dana".to_owned(), person: true }
}

#[tokio::test]
async fn live_needs_a_signature_that_counts_and_ask_does_not() {
    let desk = Desk::new();
    let library = desk.library("live", "", None).await;
    let (bytes, digest) = desk.signed("1.0.0", None);
    library.upload(&bytes, None, "eve", None).await.expect("unsigned ones are taken");
    assert_eq!(library.set_stage("tidy", &digest, to(Stage::Ask)).await.expect("ask").stage, Stage::Ask);
    let refused = library.set_stage("tidy", &digest, to(Stage::Live)).await.expect_err("not signed");
    assert!(matches!(&refused, Error::Unsigned { ceiling: Stage::Ask, .. }), "{refused}");
    assert_eq!(library.find("tidy", Some(&digest)).expect("there").stage, Stage::Ask, "nothing changed");
    // By somebody who is not trusted: kept, shown, and no more.
    let eves = trust::sign(&desk.eve.sk, "tidy", "1.0.0", &digest).expect("signed");
    let standing = library.add_signature("tidy", &digest, &eves, "eve").await.expect("kept");
    assert!(matches!(standing.signed, Signed::UnknownKey { .. }) && standing.ceiling == Stage::Ask);
    let refused = library.set_stage("tidy", &digest, to(Stage::Live)).await.expect_err("not trusted");
    assert!(refused.to_string().contains("not under [trust.keys]"), "{refused}");
    // By dana: now it may.
    let danas = trust::sign(&desk.dana.sk, "tidy", "1.0.0", &digest).expect("signed");
    let standing = library.add_signature("tidy", &digest, &danas, "dana").await.expect("kept");
    assert!(standing.signed.is_trusted() && standing.ceiling == Stage::Live, "{standing:?}");
    assert_eq!(library.set_stage("tidy", &digest, to(Stage::Live)).await.expect("live").stage, Stage::Live);
    assert_eq!(desk.refusals().await, ["dana SB0240", "dana SB0242"]);
    // What is built in came with the program.
    let built_in = library.standings().iter().find(|one| one.source == Source::BuiltIn).cloned().expect("one");
    assert_eq!((built_in.ceiling, built_in.signed), (Stage::Live, Signed::Unsigned));
    // A daemon that no longer trusts the key takes the stage away, without anybody setting one.
    let config = "[runbooks]\nrequire_signature = \"live\"\n";
    let config = Config::from_text(config, None, std::iter::empty()).expect("sound");
    let other = Library::new(desk.fixture.store.clone(), desk.fixture.sandbox.clone(), Arc::new(config));
    other.start().await.expect("started");
    assert_eq!(other.find("tidy", Some(&digest)).expect("there").stage, Stage::Ask);
}

#[tokio::test]
async fn a_signature_that_does_not_hold_is_refused_at_every_door() {
    let desk = Desk::new();
    let library = desk.library("never", "", None).await;
    let (_, other) = desk.signed("9.9.9", None);
    let (_, digest) = desk.signed("1.0.0", None);
    let good = trust::sign(&desk.dana.sk, "tidy", "1.0.0", &digest).expect("signed");
    let elsewhere = trust::sign(&desk.dana.sk, "tidy", "9.9.9", &other).expect("signed");
    for (text, code) in [
        ("hello".to_owned(), trust::UNREADABLE),
        (elsewhere.clone(), trust::OTHER_DIGEST),
        (elsewhere.replace(&other, &digest), trust::TAMPERED),
    ] {
        let manifest = MANIFEST;
        let bytes = tar(&[("runbook.toml", manifest), ("main.rhai", SCRIPT), (SIGNATURE_FILE, &text)]);
        let refused = library.upload(&bytes, None, "eve", None).await.expect_err("refused");
        let UploadError::Signature(broken) = &refused else { panic!("{refused}") };
        assert_eq!(broken.code(), code, "{broken}");
        assert!(library.find("tidy", None).is_err(), "nothing of it is kept");
    }
    let (bytes, _) = desk.signed("1.0.0", None);
    library.upload(&bytes, None, "eve", None).await.expect("without one it is taken");
    let refused = library.add_signature("tidy", &digest, &elsewhere, "eve").await.expect_err("of another");
    assert!(matches!(refused, Error::Signature(crate::trust::Broken::OtherDigest { .. })), "{refused}");
    assert!(library.add_signature("tidy", &digest, &good, "dana").await.expect("holds").signed.is_trusted());
    assert_eq!(desk.refusals().await, ["eve SB0241", "eve SB0244", "eve SB0245", "eve SB0244"]);
}

#[tokio::test]
async fn a_key_that_expired_makes_nothing_new_count_and_takes_nothing_away() {
    let desk = Desk::new();
    let (bytes, digest) = desk.signed("1.0.0", Some(&desk.dana));
    let before = desk.library("live", "", Some(u64::MAX)).await;
    before.upload(&bytes, None, "dana", None).await.expect("taken");
    before.set_stage("tidy", &digest, to(Stage::Live)).await.expect("live");
    // The key expires; the daemon is started again.
    let after = desk.library("live", "", Some(now_ms())).await;
    assert_eq!(after.find("tidy", Some(&digest)).expect("there").stage, Stage::Live, "accepted in time");
    let (bytes, newer) = desk.signed("1.1.0", Some(&desk.dana));
    after.upload(&bytes, None, "dana", None).await.expect("taken");
    let refused = after.set_stage("tidy", &newer, to(Stage::Live)).await.expect_err("expired");
    assert!(refused.to_string().contains("had expired"), "{refused}");
    assert_eq!(desk.refusals().await, ["dana SB0243"]);
}

#[tokio::test]
async fn always_takes_only_what_is_signed_also_from_folders() {
    let desk = Desk::new();
    let manifest = MANIFEST;
    desk.fixture.package("tidy", manifest, SCRIPT);
    let library = desk.library("always", "tidy = \"live\"", None).await;
    assert!(library.find("tidy", None).is_err(), "an unsigned folder is not loaded");
    let problem = |library: &Library| library.broken().iter().flat_map(|(_, problems)| problems.clone()).next();
    assert_eq!(problem(&library).map(|found| found.code), Some(trust::UNSIGNED));
    let (unsigned, _) = desk.signed("2.0.0", None);
    let refused = library.upload(&unsigned, None, "eve", None).await.expect_err("not taken");
    assert!(matches!(refused, UploadError::Unsigned { .. }), "{refused}");
    let (eves, _) = desk.signed("2.0.0", Some(&desk.eve));
    let refused = library.upload(&eves, None, "eve", None).await.expect_err("not by her");
    assert!(refused.to_string().contains("not under [trust.keys]"), "{refused}");
    let (danas, _) = desk.signed("2.0.0", Some(&desk.dana));
    assert_eq!(library.upload(&danas, None, "dana", None).await.expect("taken").stage, Stage::Shadow);
    // A draft of a model never acts, and stays one.
    let draft = MANIFEST.replace("name = \"tidy\"", "name = \"drafted\"");
    let draft = library.upload_draft(&tar(&[("runbook.toml", &draft), ("main.rhai", SCRIPT)]), "dana").await;
    let draft = draft.expect("taken");
    let refused = library.set_stage("drafted", &draft.digest, to(Stage::Shadow)).await.expect_err("a draft");
    assert!(matches!(refused, Error::Unsigned { ceiling: Stage::Draft, .. }), "{refused}");
    // The signature is put into the folder; nothing else changes.
    let folder = desk.fixture.dir.path().join("runbooks/tidy");
    let (_, digest) = desk.signed("1.0.0", None);
    let text = trust::sign(&desk.dana.sk, "tidy", "1.0.0", &digest).expect("signed");
    std::fs::write(folder.join(SIGNATURE_FILE), text).expect("written");
    library.look_now().await.expect("looked");
    let standing = library.find("tidy", Some(&digest)).expect("loaded");
    assert_eq!((standing.stage, standing.signed.is_trusted()), (Stage::Live, true));
    assert_eq!(problem(&library), None);
    // The code changes and the signature does not: the signed version stays in use.
    std::fs::write(folder.join("main.rhai"), format!("{SCRIPT}// more\n")).expect("written");
    library.look_now().await.expect("looked");
    assert_eq!(problem(&library).map(|found| found.code), Some(trust::OTHER_DIGEST));
    assert_eq!(library.find("tidy", None).expect("in use").digest, digest);
}

#[tokio::test]
async fn a_watched_folder_goes_no_higher_than_its_signature() {
    let desk = Desk::new();
    desk.fixture.package("tidy", MANIFEST, SCRIPT);
    let library = desk.library("live", "tidy = \"live\"", None).await;
    let standing = library.find("tidy", None).expect("loaded");
    assert_eq!((standing.stage, standing.configured), (Stage::Ask, Some(Stage::Live)));
    let doubt = library.broken().iter().flat_map(|(_, problems)| problems.clone()).next().expect("a doubt");
    assert_eq!((doubt.code, doubt.warning), (trust::UNSIGNED, true), "{doubt}");
    let text = trust::sign(&desk.dana.sk, "tidy", "1.0.0", &standing.digest).expect("signed");
    std::fs::write(desk.fixture.dir.path().join("runbooks/tidy").join(SIGNATURE_FILE), text).expect("written");
    library.look_now().await.expect("looked");
    assert_eq!(library.find("tidy", None).expect("loaded").stage, Stage::Live);
}

#[tokio::test]
async fn the_way_back_leads_to_what_may_act_or_changes_nothing() {
    let desk = Desk::new();
    let before = desk.library("never", "", None).await;
    let (old, old_digest) = desk.signed("1.0.0", None);
    before.upload(&old, None, "dana", None).await.expect("taken");
    before.set_stage("tidy", &old_digest, to(Stage::Live)).await.expect("live");
    // Now signatures are wanted, and the new version has one.
    let library = desk.library("live", "", None).await;
    let (new, new_digest) = desk.signed("1.1.0", Some(&desk.dana));
    library.upload(&new, None, "dana", None).await.expect("taken");
    library.set_stage("tidy", &new_digest, to(Stage::Live)).await.expect("live");
    let refused = library.rollback("tidy", "dana", "worse").await.expect_err("the old one is not signed");
    assert!(matches!(refused, Error::Unsigned { .. }), "{refused}");
    let current = library.find("tidy", None).expect("in use");
    assert_eq!(
        (current.digest, current.stage),
        (new_digest.clone(), Stage::Live),
        "half a way back would leave nothing"
    );
    let text = trust::sign(&desk.dana.sk, "tidy", "1.0.0", &old_digest).expect("signed");
    library.add_signature("tidy", &old_digest, &text, "dana").await.expect("kept");
    let back = library.rollback("tidy", "dana", "worse").await.expect("back");
    assert_eq!((back.digest, back.stage), (old_digest, Stage::Live));
    assert_eq!(library.find("tidy", Some(&new_digest)).expect("there").stage, Stage::Shadow);
}
