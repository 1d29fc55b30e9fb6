//! Packages in every form, and the library over a temporary directory with a real sandbox and store.

use std::io::Write as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::guest::{Code, Compiler, Options};
use crate::store::Sqlite;

const MANIFEST: &str = "name = \"tidy\"\nversion = \"1.0.0\"\nsummary = \"s\"\n[[trigger]]\nalert = [\"X\"]\n[requests]\neffects = [\"docker.inspect-container\"]\n";
const SCRIPT: &str = "fn run(input) {\n    docker::inspect_container(input.target);\n    nothing_to_do(\"fine\")\n}\n";

fn tar(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (index, (name, content)) in entries.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mtime(1_000 + index as u64);
        // Written by hand: the crate refuses to write names that a hostile archive may have.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn read(bytes: &[u8]) -> std::result::Result<Package, Vec<Problem>> {
    Package::read(Upload::Bytes { bytes, content_type: None }).map(|(package, _)| package)
}

fn script_with(header: &str) -> String {
    let header: String = header.lines().map(|line| format!("//! {line}\n")).collect();
    format!("{header}{SCRIPT}")
}

/// A custom section around a manifest, after the preamble of a core module.
fn module_with_section(manifest: &str) -> Vec<u8> {
    let mut content = vec![u8::try_from(MANIFEST_SECTION.len()).expect("short")];
    content.extend_from_slice(MANIFEST_SECTION.as_bytes());
    content.extend_from_slice(manifest.as_bytes());
    let mut module = b"\0asm\x01\0\0\0\0".to_vec();
    let mut length = content.len();
    while length >= 0x80 {
        module.push(u8::try_from(length & 0x7f).expect("masked") | 0x80);
        length >>= 7;
    }
    module.push(u8::try_from(length).expect("small"));
    module.extend_from_slice(&content);
    module
}

#[test]
fn every_form_is_read() {
    let plain = tar(&[("runbook.toml", MANIFEST), ("main.rhai", SCRIPT), ("README.md", "r")]);
    let package = read(&plain).expect("a package");
    assert_eq!((package.name.as_str(), package.version.as_str(), package.readme().as_str()), ("tidy", "1.0.0", "r"));
    assert!(package.digest.starts_with("sha256:") && package.digest.len() == 71);
    assert_eq!(read(&gzip(&plain)).expect("gzip").digest, package.digest);
    assert_eq!(read(&package.to_tar()).expect("canonical").to_tar(), package.to_tar());
    let nested = tar(&[("tidy/runbook.toml", MANIFEST), ("tidy/main.rhai", SCRIPT)]);
    assert_eq!(read(&nested).expect("one folder around it").digest, package.digest);

    let single = read(script_with(MANIFEST).as_bytes()).expect("a script");
    assert!(matches!(single.code, Code::Script(_)) && single.name == "tidy");
    assert_eq!(read(&single.to_tar()).expect("stored").digest, single.digest);

    let module = read(&module_with_section(MANIFEST)).expect("a module");
    assert!(matches!(module.code, Code::Wasm(_)) && module.name == "tidy");
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend_from_slice(&module_with_section(MANIFEST)[8..]);
    assert_eq!(read(&component).expect("a component").name, "tidy");

    let dir = TempDir::new().expect("a directory");
    write(
        dir.path(),
        &[("runbook.toml", MANIFEST), ("main.rhai", SCRIPT), ("scenarios/a.toml", "x = 1"), ("target/junk", "j")],
    );
    let (folder, _) = Package::read(Upload::Path(dir.path())).expect("a folder");
    assert_eq!(folder.digest, package.digest);
    assert_eq!(
        folder.files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["main.rhai", "runbook.toml", "scenarios/a.toml"]
    );
    assert_eq!(folder.scenarios().count(), 1);
    std::fs::write(dir.path().join("x.rhai"), script_with(MANIFEST)).expect("writable");
    assert_eq!(Package::read(Upload::Path(&dir.path().join("x.rhai"))).expect("a file").0.digest, single.digest);
}

#[test]
fn the_digest_covers_code_and_manifest_only() {
    let one = read(&tar(&[("runbook.toml", MANIFEST), ("main.rhai", SCRIPT)])).expect("a package");
    let other = read(&tar(&[("scenarios/a.toml", "x = 1"), ("main.rhai", SCRIPT), ("runbook.toml", MANIFEST)]))
        .expect("a package");
    assert_eq!(one.digest, other.digest, "order, times and scenarios do not count");
    let code = read(&tar(&[("runbook.toml", MANIFEST), ("main.rhai", &format!("{SCRIPT}\n"))])).expect("a package");
    let manifest = read(&tar(&[("runbook.toml", &format!("{MANIFEST}\n")), ("main.rhai", SCRIPT)])).expect("a package");
    assert!(one.digest != code.digest && one.digest != manifest.digest && code.digest != manifest.digest);
}

#[test]
fn hostile_and_incomplete_packages_are_refused() {
    let good = [("runbook.toml", MANIFEST), ("main.rhai", SCRIPT)];
    let with = |extra: (&'static str, &'static str)| tar(&[good[0], good[1], extra]);
    let many: Vec<(String, &str)> = (0..=FILES_MAX).map(|index| (format!("f{index}"), "")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let mut link = tar::Builder::new(tar(&good)[..tar(&good).len() - 1024].to_vec());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "x", "/etc/passwd").expect("in memory");
    let link = link.into_inner().expect("in memory");
    let mut bomb = tar(&[("runbook.toml", "")]);
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..4].copy_from_slice(b"main");
    header.set_size(UNPACKED_BYTES_MAX + 1);
    header.set_cksum();
    bomb[..512].copy_from_slice(header.as_bytes());
    for (bytes, code, says) in [
        (with(("/etc/x", "")), ARCHIVE, "absolute path"),
        (with(("a/../../x", "")), ARCHIVE, "leaves the package"),
        (with(("main.rhai", "")), ARCHIVE, "twice"),
        (link, ARCHIVE, "a link or a device"),
        (tar(&many), TOO_LARGE, "more than 200 files"),
        (gzip(&bomb), TOO_LARGE, "unpacks to more"),
        (gzip(&[0; 1024]), ARCHIVE, "holds no files"),
        (gzip(&tar(&good))[..60].to_vec(), ARCHIVE, "cannot be read"),
        (with(("main.wasm", "\0asm")), INCOMPLETE, "both main.rhai and main.wasm"),
        (tar(&[("runbook.toml", MANIFEST), ("Cargo.toml", "")]), INCOMPLETE, "neither main.rhai nor main.wasm"),
        (tar(&[("main.rhai", SCRIPT)]), INCOMPLETE, "no manifest"),
        (SCRIPT.as_bytes().to_vec(), INCOMPLETE, "no manifest"),
        (b"\0asm\x01\0\0\0".to_vec(), INCOMPLETE, "custom section"),
        (vec![0xff, 0xfe], INCOMPLETE, "not UTF-8"),
    ] {
        let problems = read(&bytes).expect_err(says);
        assert_eq!(problems[0].code, code, "{problems:?}");
        assert!(problems[0].message.contains(says), "{says}: {problems:?}");
    }
    let problems = read(script_with("name = \"x\"\nversion = \"1\"").as_bytes()).expect_err("placed in the script");
    assert!(problems.iter().any(|problem| (problem.file.as_str(), problem.line) == ("main.rhai", 2)), "{problems:?}");
    let zip = Package::read(Upload::Bytes { bytes: b"PK", content_type: Some("application/zip") }).expect_err("a zip");
    assert_eq!(zip[0].code, MEDIA_TYPE);
}

#[test]
fn the_catalogue_is_complete_and_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runbooks");
    if let Ok(entries) = std::fs::read_dir(folder) {
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join("runbook.toml").exists())
            // What carries an interpreter of its own is built on request.
            .filter(|entry| crate::reference::catalogue::language(&entry.path()).is_some_and(|(_, built_in)| built_in))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let known: Vec<&str> = builtin::ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(known, names, "add a line to host/src/library/builtin.rs");
    }
    for (name, files) in builtin::ALL {
        let package = change::built_in(files).expect(name);
        assert_eq!((package.name.as_str(), package.origin), (*name, Origin::BuiltIn));
    }
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
        std::fs::write(path, content).expect("writable");
    }
}

/// A library with its store, over a directory of packages.
mod demotion;
mod signatures;
mod versions;

struct Fixture {
    dir: TempDir,
    sandbox: Arc<Sandbox>,
    store: Arc<dyn Store>,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = TempDir::new().expect("a directory");
        std::fs::create_dir(dir.path().join("runbooks")).expect("writable");
        // Shared, so that the interpreter is compiled once.
        let cache_dir = std::env::temp_dir().join("sandbook-library-tests");
        let sandbox = Sandbox::new(Options { cache_dir, compiler: Compiler::InProcess }).expect("a sandbox");
        Fixture { sandbox, store: Arc::new(Sqlite::in_memory().expect("a store")), dir }
    }

    fn package(&self, folder: &str, manifest: &str, script: &str) {
        write(&self.dir.path().join("runbooks").join(folder), &[("runbook.toml", manifest), ("main.rhai", script)]);
    }

    async fn library(&self, stages: &str) -> Arc<Library> {
        let dirs = self.dir.path().join("runbooks");
        let text = format!("[runbooks]\ndirs = [{dirs:?}]\n[runbooks.stages]\n{stages}");
        let config = Config::from_text(&text, None, std::iter::empty()).expect("sound");
        let library = Library::new(self.store.clone(), self.sandbox.clone(), Arc::new(config));
        library.start().await.expect("started");
        library
    }

    /// Who was audited for what.
    async fn audit(&self) -> Vec<(String, String, Value)> {
        let (mut rows, _) = self.store.audit_rows(None, 0, None).await.expect("audit");
        rows.reverse();
        rows.into_iter().map(|row| (row.who, format!("{} {}", row.what, row.subject), row.details)).collect()
    }
}

/// Name, version, stage, and whether it only watches.
fn shown(library: &Library) -> Vec<String> {
    let line = |active: &Active| {
        format!(
            "{} {} {}{}",
            active.package.name,
            active.package.version,
            active.stage,
            if active.shadow { " beside" } else { "" }
        )
    };
    let actives = library.snapshot();
    let mine = actives.iter().filter(|active| active.package.source != Source::BuiltIn);
    mine.map(line).collect()
}

#[tokio::test]
async fn problems_of_code_and_requests_are_placed() {
    let fixture = Fixture::new();
    for (manifest, script, want) in [
        (MANIFEST.to_owned(), SCRIPT.to_owned(), ""),
        (MANIFEST.to_owned(), "fn run(input) {\n    let x = ;\n}\n".to_owned(), "SB0214 main.rhai:2"),
        (
            MANIFEST.to_owned(),
            SCRIPT.replace("inspect_container", "restart_container"),
            "SB0215 main.rhai:2|~SB0216 runbook.toml:7",
        ),
        (
            MANIFEST.to_owned(),
            format!("// docker::restart_container\n{}", SCRIPT.replace("inspect_container", "restart_container")),
            "SB0215 main.rhai:3|~SB0216 runbook.toml:7",
        ),
        (
            MANIFEST.replace("alert = [\"X\"]", "alert = [\"X\"]\nmatch = ['alertname=\"Y\"']"),
            SCRIPT.to_owned(),
            "~SB0217 runbook.toml:6",
        ),
        (
            MANIFEST.replace("alert = [\"X\"]", "match = ['a=\"1\"', 'a=~\"2|3\"']"),
            SCRIPT.to_owned(),
            "~SB0217 runbook.toml:5",
        ),
    ] {
        let package = read(&tar(&[("runbook.toml", &manifest), ("main.rhai", &script)])).expect("a package");
        let problems = package.check(&fixture.sandbox).await;
        let line = |p: &Problem| format!("{}{} {}:{}", if p.warning { "~" } else { "" }, p.code, p.file, p.line);
        assert_eq!(problems.iter().map(line).collect::<Vec<_>>().join("|"), want, "{problems:#?}");
        if want.starts_with("SB0215") {
            assert!(
                problems[0].help.contains("effects = [\"docker.inspect-container\", \"docker.restart-container\"]")
            );
        }
    }
}

#[tokio::test]
async fn folders_are_read_again_and_a_broken_package_keeps_the_version_before() {
    let fixture = Fixture::new();
    fixture.package("tidy", MANIFEST, SCRIPT);
    let library = fixture.library("tidy = \"live\"\n").await;
    assert_eq!(shown(&library), ["tidy 1.0.0 live"]);
    let built_in = library.snapshot().iter().filter(|active| active.package.source == Source::BuiltIn).count();
    assert_eq!(built_in, builtin::ALL.len());
    assert!(
        library
            .snapshot()
            .iter()
            .filter(|active| active.package.source == Source::BuiltIn)
            .all(|active| active.stage == Stage::Shadow)
    );
    let first =
        library.snapshot().iter().find(|active| active.package.name == "tidy").expect("there").package.digest.clone();

    fixture.package("tidy", MANIFEST, "fn run(input) { ");
    library.look_now().await.expect("looked");
    assert_eq!(shown(&library), ["tidy 1.0.0 live"], "the version before stays");
    let broken = library.broken();
    assert_eq!((broken.len(), broken[0].1[0].code), (1, CODE));

    fixture.package("tidy", MANIFEST, &SCRIPT.replace("fine", "well"));
    library.look_now().await.expect("looked");
    let second = library.find("tidy", None).expect("there").digest;
    assert_ne!(first, second);
    assert_eq!(shown(&library).len(), 1, "{:?}", shown(&library));
    assert!(shown(&library)[0].starts_with("tidy 1.0.0+") && shown(&library)[0].ends_with(" live"));
    assert!(library.broken().is_empty());
    let audit = fixture.audit().await;
    let digests: Vec<&Value> = audit
        .iter()
        .filter(|(who, what, _)| who == CONFIGURED && what == "stage tidy")
        .map(|(_, _, d)| &d["digest"])
        .collect();
    assert_eq!(digests, [&Value::from(first.as_str()), &Value::from(second.as_str())], "each new digest once");

    // A run of the first version goes on with its code; a restart finds the same.
    assert_eq!(library.package_by_digest(&first).await.expect("read").expect("stored").digest, first);
    let again = fixture.library("tidy = \"live\"\n").await;
    assert_eq!(again.find("tidy", None).expect("there").digest, second);
    assert_eq!(fixture.audit().await.len(), audit.len(), "nothing new");

    std::fs::remove_dir_all(fixture.dir.path().join("runbooks/tidy")).expect("removed");
    again.look_now().await.expect("looked");
    assert!(shown(&again).is_empty(), "{:?}", shown(&again));
}

#[tokio::test]
async fn a_change_in_a_folder_is_seen_without_asking() {
    let fixture = Fixture::new();
    let library = fixture.library("").await;
    fixture.package("tidy", MANIFEST, SCRIPT);
    for _ in 0..600 {
        if !shown(&library).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(shown(&library), ["tidy 1.0.0 shadow"]);
}

#[tokio::test]
async fn two_folders_with_one_name_are_a_problem_of_the_second() {
    let fixture = Fixture::new();
    fixture.package("a", MANIFEST, SCRIPT);
    fixture.package("b", MANIFEST, &SCRIPT.replace("fine", "well"));
    let library = fixture.library("").await;
    assert_eq!(shown(&library), ["tidy 1.0.0 shadow"]);
    assert_eq!(
        (library.broken()[0].0.clone(), library.broken()[0].1[0].code),
        (fixture.dir.path().join("runbooks/b"), SAME_NAME)
    );
}

#[tokio::test]
async fn uploads_begin_in_shadow_and_act_only_when_promoted() {
    let fixture = Fixture::new();
    let library = fixture.library("").await;
    let bytes = |version: &str, word: &str| {
        tar(&[("runbook.toml", &MANIFEST.replace("1.0.0", version)), ("main.rhai", &SCRIPT.replace("fine", word))])
    };
    let one = library.upload(&bytes("1.0.0", "a"), Some("application/x-tar"), "dana", None).await.expect("taken");
    assert_eq!((one.stage, one.created, one.requests.len()), (Stage::Shadow, true, 1));
    let same = library.upload(&bytes("1.0.0", "a"), None, "dana", None).await.expect("taken");
    assert_eq!((same.digest.as_str(), same.created), (one.digest.as_str(), false));
    let taken = library.upload(&bytes("1.0.0", "b"), None, "dana", None).await;
    assert!(matches!(taken, Err(UploadError::VersionTaken { digest, .. }) if digest == one.digest));
    let high = library.upload(&bytes("1.1.0", "b"), None, "dana", Some(Stage::Live)).await;
    assert_eq!(high, Err(UploadError::StageTooHigh(Stage::Live)));
    let broken = library.upload(&tar(&[("runbook.toml", MANIFEST), ("main.rhai", "fn")]), None, "dana", None).await;
    assert!(matches!(broken, Err(UploadError::Problems(problems)) if problems[0].code == CODE));

    let change = |stage| StageChange { stage, reason: "r".to_owned(), by: "dana".to_owned(), person: true };
    let set = library.set_stage("tid", &one.digest[..20], change(Stage::Live)).await.expect("set");
    assert_eq!((set.from, set.stage), (Stage::Shadow, Stage::Live));
    let two = library.upload(&bytes("1.1.0", "b"), None, "dana", None).await.expect("taken");
    assert_eq!(shown(&library), ["tidy 1.0.0 live", "tidy 1.1.0 shadow beside"]);
    let draft = library.upload(&bytes("1.2.0", "c"), None, "dana", Some(Stage::Draft)).await.expect("taken");
    assert_eq!((draft.stage, shown(&library).len()), (Stage::Draft, 2));

    library.set_stage("tidy", &two.digest, change(Stage::Live)).await.expect("set");
    assert_eq!(shown(&library), ["tidy 1.1.0 live"], "of two that are live the later one runs");
    let back = library.rollback("tidy", "dana", "worse").await.expect("rolled back");
    assert_eq!((back.digest.as_str(), back.stage), (one.digest.as_str(), Stage::Live));
    assert_eq!(shown(&library), ["tidy 1.0.0 live", "tidy 1.1.0 shadow beside"]);
    library.set_stage("tidy", "", change(Stage::Shadow)).await.expect("demoted");
    assert_eq!(library.find("tidy", Some("1.0.0")).expect("there").stage, Stage::Shadow);

    let whats: Vec<String> = fixture.audit().await.into_iter().map(|(who, what, _)| format!("{who} {what}")).collect();
    assert_eq!(whats.iter().filter(|what| *what == "dana upload tidy").count(), 3);
    assert_eq!(whats.iter().filter(|what| *what == "dana stage tidy").count(), 5);
    assert!(matches!(library.set_stage("nix", "", change(Stage::Live)).await, Err(Error::UnknownRunbook { .. })));
    assert!(matches!(library.find("restart", None), Err(Error::Ambiguous(_))));
    assert!(library.get("tidy", Some("ffff")).await.expect("read").is_none());
}

#[tokio::test]
async fn the_configuration_pins_and_lowers_but_an_unpinned_stage_raises_only_folders() {
    let fixture = Fixture::new();
    let name = "restart-unhealthy";
    let digest = fixture.library("").await.find(name, None).expect("built in").digest;
    let stage = |library: &Arc<Library>| library.find(name, None).expect("built in").stage;
    assert_eq!(stage(&fixture.library(&format!("{name} = \"live\"\n")).await), Stage::Shadow);
    let pinned = fixture.library(&format!("{name} = \"live@{}\"\n", &digest[..30])).await;
    assert_eq!(stage(&pinned), Stage::Live);
    let change = |stage| StageChange { stage, reason: "r".to_owned(), by: "dana".to_owned(), person: true };
    let set = pinned.set_stage(name, "", change(Stage::Ask)).await.expect("set");
    assert_eq!((set.set, set.stage), (Stage::Ask, Stage::Ask), "the lowest counts");
    let unpinned = fixture.library("").await;
    assert_eq!(stage(&unpinned), Stage::Ask, "the API's word stays");
    let low = fixture.library(&format!("{name} = \"shadow\"\n")).await;
    assert_eq!(low.set_stage(name, "", change(Stage::Live)).await.expect("set").stage, Stage::Shadow);
}

#[tokio::test]
async fn drafts_of_a_model_start_nothing() {
    let fixture = Fixture::new();
    let library = fixture.library("").await;
    let draft = library.upload_draft(script_with(MANIFEST).as_bytes(), "dana").await.expect("taken");
    assert_eq!(draft.stage, Stage::Draft);
    assert!(shown(&library).is_empty());
    let package = library.get("tidy", None).await.expect("read").expect("there");
    assert_eq!((package.origin, package.digest.as_str()), (Origin::Llm, draft.digest.as_str()));
}

#[tokio::test]
async fn what_a_model_drafted_stays_its_draft_on_every_way_it_travels() {
    let fixture = Fixture::new();
    let library = fixture.library("").await;
    let marked = format!("drafted_by = \"m\"\n{MANIFEST}");
    let package = tar(&[("runbook.toml", marked.as_str()), ("main.rhai", SCRIPT)]);
    // By an upload that asks for more, as from another daemon's export.
    let taken = library.upload(&package, None, "dana", Some(Stage::Shadow)).await.expect("taken");
    assert_eq!(taken.stage, Stage::Draft);
    let kept = library.package_by_digest(&taken.digest).await.expect("read").expect("there");
    assert_eq!((kept.origin, kept.manifest.drafted_by.as_deref()), (Origin::Llm, Some("m")));
    let change = |person| StageChange { stage: Stage::Live, reason: "x".into(), by: "dana".into(), person };
    let refused = library.set_stage("tidy", &taken.digest, change(false)).await;
    assert!(matches!(refused, Err(Error::NeedsPerson { .. })), "{refused:?}");
    let refused = library.set_stage("tidy", "", change(true)).await;
    assert!(matches!(refused, Err(Error::NeedsPerson { .. })), "{refused:?}");
    assert_eq!(library.set_stage("tidy", &taken.digest, change(true)).await.expect("by a person").stage, Stage::Live);
    // Without the line it is another version, and whoever uploads it answers for it.
    let own = tar(&[("runbook.toml", MANIFEST), ("main.rhai", SCRIPT)]);
    let read = Package::read(Upload::Bytes { bytes: &own, content_type: None }).expect("sound").0;
    assert_eq!(read.origin, Origin::Person);
    assert_ne!(read.digest, taken.digest);
}

#[tokio::test]
async fn the_same_code_with_other_scenarios_replaces_them_and_says_so() {
    let fixture = Fixture::new();
    let library = fixture.library("").await;
    let with = |text: &str| tar(&[("runbook.toml", MANIFEST), ("main.rhai", SCRIPT), ("scenarios/a.toml", text)]);
    let scenario = async |library: &Library, digest: &str| {
        let package = library.package_by_digest(digest).await.expect("read").expect("stored");
        package.file("scenarios/a.toml").map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let one = library.upload(&with("x = 1"), None, "dana", None).await.expect("taken");
    assert!(one.created && !one.replaced);
    let same = library.upload(&with("x = 1"), None, "lee", None).await.expect("taken");
    assert!(!same.created && !same.replaced, "nothing new");
    let audited = fixture.audit().await.len();
    let other = library.upload(&with("x = 2"), None, "lee", None).await.expect("taken");
    assert_eq!((other.created, other.replaced, &other.digest, other.stage), (false, true, &one.digest, one.stage));
    assert_eq!(scenario(&library, &one.digest).await.as_deref(), Some("x = 2"));
    let audit = fixture.audit().await;
    assert_eq!(audit.len(), audited + 1);
    assert_eq!((audit[audited].0.as_str(), audit[audited].1.as_str()), ("lee", "scenarios tidy"));
    assert_eq!(audit[audited].2["after"], serde_json::json!(["scenarios/a.toml"]));

    // What comes without any, and what an agent sends, leaves them; a daemon that starts again has the new ones.
    let bare = tar(&[("runbook.toml", MANIFEST), ("main.rhai", SCRIPT)]);
    assert!(!library.upload(&bare, None, "lee", None).await.expect("taken").replaced);
    assert!(!library.upload_draft(&with("x = 3"), "agent").await.expect("taken").replaced);
    let again = fixture.library("").await;
    assert_eq!(scenario(&again, &one.digest).await.as_deref(), Some("x = 2"));
}
