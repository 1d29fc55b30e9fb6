//! Every command that the documentation shows is typed in, page by page, as a reader types it.
//!
//! A page has a daemon and a real Docker engine of its own, and its commands are run from top to bottom in one folder. What
//! stands for something else on a page (`ID`, `RUN`, `p_01jd8z0q`) is replaced by what a reader would see there, after the
//! world was brought to where the text before it is. A command ends with 0, or as [`RULES`] says. What cannot be typed here
//! is in [`ELSEWHERE`], with the reason; an entry that fits no command any more fails.
//!
//! Deliberately not here: whether a command in running text is one; the command line's own tests read those.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::{Container, Dockerd};
use sandbook_tests::fake_openai::{FakeOpenAi, Say};
use sandbook_tests::package::Package;
use sandbook_tests::{repository, wait};
use serde_json::json;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a command that follows something is followed.
const FOLLOWED: &str = "2";
/// What `timeout` answers for a command that went on.
const WENT_ON: i32 = 124;

/// Commands that are not typed here: their beginning, and who does it instead or why nobody can.
const ELSEWHERE: &[(&str, &str)] = &[
    ("./dev ", "this very repository: tests run within `./dev test`, `install` runs the Debian package's"),
    ("docker build ", "`install` builds the image from a base made here; the shown one needs a registry"),
    ("docker run -d --name sandbook ", "`install` starts the image it built"),
    ("docker exec sandbook ", "`install` starts the image it built"),
    ("sudo ", "a service of the machine; `install` looks into the package and its unit"),
    ("cd examples/compose", "`install` has compose read it; its images need a registry"),
    ("sh secrets.sh", "within that folder"),
    ("docker compose up ", "within that folder"),
    ("sandbook serve", "the page's daemon is running already"),
    ("npm ", "`authoring` runs an author's own tests with the real toolchain"),
    ("PYTHONPATH=", "`authoring` runs an author's own tests with the real toolchain"),
    ("sandbook build ", "`authoring` builds in every language with the real toolchains"),
    ("sandbook test heal-cart", "`authoring` tests what it has built"),
    ("sandbook test examples/runbooks/c", "`authoring` tests what it has built"),
    ("sandbook generate ", "a model writes a whole package; the daemon's own tests have the answers of one"),
    ("sandbook notify test ", "needs somebody who takes messages; `notify::examples` posts to one"),
    ("sandbook resume ", "a change nobody can settle takes half a minute to come about; `kills` resumes one"),
];

/// Commands that do not simply end with 0.
const RULES: &[(&str, End)] = &[
    ("sandbook watch", End::Follows),
    ("sandbook dev ", End::Follows),
    ("cargo run --release -- demo", End::Follows),
    ("sandbook test restart-cart", End::Code(1)),
    // A plan that would be refused says so by its code; with --to-apply none of these would be.
    ("sandbook plan restart-unhealthy web-1 --to-apply", End::Code(0)),
    ("sandbook plan restart-unhealthy ", End::Code(3)),
    ("sandbook plan restart-cart cart-1 ", End::Code(3)),
    // What is refused ends so; each page says it in its comment.
    ("sandbook run restart-cart cart-1 --watch", End::Code(3)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Code(i32),
    /// It goes on until it is stopped.
    Follows,
}

/// A page's own world.
struct Page<'a> {
    daemon: Daemon,
    docker: &'a Dockerd,
    web: Container<'a>,
    /// What the newest command printed.
    before: String,
    wrong: Vec<String>,
}

const CONFIG: &str = r#"
[policy]
dirs = ["./policy"]
[auth]
mode = "token"
[auth.tokens.dana]
role = "admin"
person = "dana"
token_file = "./dana-token"
"#;
const TOKEN: &str = "danas-own-token-of-this-test";
const ASK: &str = "sandbook-cases-ask";
/// What a model drafts when it is asked.
const SCRIPT: &str = "fn run(input) {
    if docker::inspect_container(input.target).state.health != \"unhealthy\" { return nothing_to_do(\"it is well\"); }
    docker::restart_container(input.target);
    fixed(\"restarted\")
}";

/// Commands of a page in order: blocks of `sh` and `console`, and blocks of no language that begin with a command. A
/// line that ends with a backslash goes on.
fn commands(page: &Path) -> Vec<Typed> {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut found = Vec::new();
    let mut block: Option<(String, Vec<String>)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), &mut block) {
            (Some(language), None) => block = Some((language.trim().to_owned(), Vec::new())),
            (Some(_), Some(_)) => {
                let (language, lines) = block.take().expect("it is open");
                found.extend(typed(&language, &lines));
            }
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    found
}

/// A command and what the page shows of its output.
#[derive(Debug)]
struct Typed {
    line: String,
    shown: Vec<String>,
}

fn typed(language: &str, lines: &[String]) -> Vec<Typed> {
    let first = lines.first().map(String::as_str).unwrap_or_default();
    let prompted = first.starts_with("$ ");
    let plain =
        language.is_empty() && ["sandbook ", "npm ", "PYTHONPATH="].iter().any(|start| first.starts_with(start));
    if !matches!(language, "sh" | "console") && !prompted && !plain {
        return Vec::new();
    }
    let mut commands: Vec<Typed> = Vec::new();
    let command = |line: &str| Typed { line: line.to_owned(), shown: Vec::new() };
    let mut goes_on = false;
    for line in lines {
        if goes_on {
            let last = commands.last_mut().expect("something goes on");
            last.line.push('\n');
            last.line.push_str(line);
        } else if let Some(typed) = line.strip_prefix("$ ") {
            commands.push(command(typed));
        } else if prompted {
            commands.last_mut().expect("a block with a prompt begins with one").shown.push(line.clone());
        } else if !line.trim().is_empty() {
            commands.push(command(line));
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

fn elsewhere(command: &str) -> Option<&'static str> {
    ELSEWHERE.iter().map(|(start, _)| *start).find(|start| command.starts_with(start))
}

impl<'a> Page<'a> {
    fn new(docker: &'a Dockerd, setup: Setup) -> Page<'a> {
        docker.import("busybox", "latest", &["tmp/keep"]);
        let setup = setup.docker(&docker.endpoint()).file("dana-token", TOKEN).file("policy/none.cedar", "");
        let (daemon, web) = (Daemon::start(setup), docker.create("web-0", &json!({})));
        Page { daemon, docker, web, before: String::new(), wrong: Vec::new() }
    }

    /// Types a command, after what stands for something else was replaced.
    fn types(&mut self, typed: &Typed) {
        let command = typed.line.as_str();
        let end = RULES.iter().find(|(start, _)| command.starts_with(start)).map_or(End::Code(0), |(_, end)| *end);
        let refused = command.split_once('#').is_some_and(|(_, comment)| comment.trim().starts_with("refused"));
        let end = if refused && end == End::Code(0) { End::Code(3) } else { end };
        self.beforehand(command);
        let line = self.replaced(command).replace("cargo run --release -- ", "sandbook ");
        let line = line.replace("127.0.0.1:7070", &format!("127.0.0.1:{}", self.daemon.port()));
        let socket = self.docker.endpoint();
        let line = match end {
            End::Follows => format!("timeout {FOLLOWED} {line}"),
            End::Code(_) => line,
        };
        // Who answers for a model's draft is a person.
        let token = format!("export DOCKER_HOST={socket} SANDBOOK_TOKEN={TOKEN}; ");
        let token =
            if self.daemon.path("sandbook.toml").exists() { token } else { format!("export DOCKER_HOST={socket}; ") };
        let ran = self.daemon.shell(&format!("{token}{line}"));
        let wanted = match end {
            End::Code(code) => code,
            End::Follows => WENT_ON,
        };
        if ran.code != Some(wanted) {
            self.wrong.push(format!("{command}\n  should end with {wanted}: {ran}"));
        }
        let out: Vec<String> = ran.out.lines().map(loosely).collect();
        for shown in typed.shown.iter().filter(|shown| !out.contains(&loosely(shown))) {
            self.wrong.push(format!("{command}\n  does not say {shown:?}: {ran}"));
        }
        self.before.clone_from(&ran.out);
        self.after(command);
    }

    /// Types every command of a page.
    #[track_caller]
    fn plays(&mut self, page: &str) {
        let commands = commands(&repository().join(page));
        assert!(!commands.is_empty(), "{page} shows no command");
        for command in commands.iter().filter(|command| elsewhere(&command.line).is_none()) {
            self.types(command);
        }
        assert!(self.wrong.is_empty(), "{page}:\n{}\n{}", self.wrong.join("\n"), self.daemon.log_tail());
    }

    /// What must have been before, as the text around it says.
    fn beforehand(&self, command: &str) {
        if command == "sandbook test restart-cart" {
            // An author who requested too much, and expects of a restart what it does not do.
            let read = |name: &str| std::fs::read_to_string(self.daemon.path(name)).expect("`new` wrote it");
            let heals = read("restart-cart/scenarios/heals.toml");
            let wrong = heals.replace("outcome = \"fixed\"", "outcome = \"escalate\"");
            assert_ne!(wrong, heals, "the written scenario expects another outcome now");
            self.daemon.write("restart-cart/scenarios/stays-sick.toml", wrong);
            let manifest = read("restart-cart/runbook.toml").replacen("effects = [", "effects = [\"notify.send\", ", 1);
            self.daemon.write("restart-cart/runbook.toml", manifest);
        }
        if command.starts_with("sandbook rollback restart-unhealthy") {
            self.daemon.push_live(&restarts("restart-unhealthy", "9.0.0", 3));
        }
    }

    /// What a reader sees happen before going on.
    fn after(&mut self, command: &str) {
        if command.starts_with("sandbook stop-all --reason") {
            self.daemon.cli(&["stop-all", "--release", "--reason", "the page goes on"]).expect(0);
        }
        if command == "sandbook test restart-cart" {
            self.daemon.shell("rm -r restart-cart && sandbook new restart-cart");
        }
        if command.starts_with("docker exec web-1 rm") {
            let daemon = &self.daemon;
            let ill = || {
                let targets = daemon.shell("sandbook targets");
                if targets.out.contains("unhealthy") { Ok(()) } else { Err(targets.to_string()) }
            };
            wait::until("`sandbook targets` to say unhealthy", READY_WITHIN, || daemon.log_tail(), ill);
        }
    }

    fn run(&self) -> String {
        self.daemon.runs("limit=1").first().and_then(|run| run["run"].as_str()).unwrap_or_default().to_owned()
    }

    /// The words of a page that stand for something, as they are in this world.
    fn replaced(&mut self, command: &str) -> String {
        let mut line = command.to_owned();
        for name in ["PLAN", "p_01jd8z0q"] {
            if has_word(&line, name) {
                let plan = id_after(&self.before, "p_");
                line = line.replace(name, &plan.unwrap_or_else(|| panic!("no plan in:\n{}", self.before)));
            }
        }
        if has_word(&line, "RUN") {
            line = line.replace("RUN", &self.run());
        }
        if line.contains("@1f3a") || line.contains("@9c0d") {
            line = self.versions(&line);
        }
        if has_word(&line, "ID") {
            let id = match line.split_whitespace().nth(1) {
                Some("pauses") => self.first("/v1/pauses", "pauses"),
                Some("rearm") => self.trip(),
                _ => self.question(line.contains("--answer")),
            };
            line = line.replacen(" ID", &format!(" {id}"), 1);
        }
        line
    }

    fn first(&self, path: &str, list: &str) -> String {
        let answer = self.daemon.api().get(path).expect(200).json();
        answer[list][0]["id"].as_str().unwrap_or_else(|| panic!("none in {answer}")).to_owned()
    }

    /// The digests of two versions of one runbook, where a page compares or exports them.
    fn versions(&self, line: &str) -> String {
        let name =
            line.split_whitespace().find_map(|word| word.split_once("@1f3a").map(|(name, _)| name)).expect("a name");
        let listed = self.daemon.api().get(&format!("/v1/runbooks/{name}/versions")).expect(200).json();
        let digests: Vec<String> = listed["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|version| version["digest"].as_str())
            .map(|digest| digest.trim_start_matches("sha256:")[..12].to_owned())
            .collect();
        let of = |index: usize| digests.get(index).or(digests.first()).cloned().unwrap_or_else(|| panic!("{listed}"));
        line.replace("1f3a", &of(0)).replace("9c0d", &of(1))
    }

    /// A question that is open: of a runbook's own, or about a change.
    fn question(&self, own: bool) -> String {
        if own {
            self.daemon.push_live(&asks());
            self.daemon.run(ASK, &json!({}));
        } else {
            self.daemon.push_live(&restarts("asks-first", "1.0.0", 9));
            self.daemon.cli(&["promote", "asks-first", "ask", "--reason", "a test"]).expect(0);
            permit(&self.daemon);
            self.daemon.run("asks-first", &json!({"target": self.web.name()}));
        }
        let kind = if own { "question" } else { "" };
        let open = || {
            let open = self.daemon.api().get("/v1/approvals").json();
            let list = open["approvals"].as_array().cloned().unwrap_or_default();
            let found = list.iter().find(|one| own == (one["kind"] == kind)).and_then(|one| one["id"].as_str());
            found.map(str::to_owned).ok_or(open.to_string())
        };
        wait::until("a question", READY_WITHIN, || self.daemon.log_tail(), open)
    }

    /// A brake that tripped.
    fn trip(&self) -> String {
        self.daemon.push_live(&restarts("acts-often", "1.0.0", 1));
        permit(&self.daemon);
        for _ in 0..2 {
            let run = self.daemon.run("acts-often", &json!({"target": self.web.name()}));
            self.daemon.ended(&run);
        }
        self.first("/v1/brakes", "brakes")
    }
}

/// Lets the runbooks of this file restart what they are about.
fn permit(daemon: &Daemon) {
    for name in ["asks-first", "acts-often"] {
        // Once is enough; again is told and changes nothing.
        daemon.cli(&["grant", name, "docker.restart-container", "--container", "web-0"]);
    }
}

/// Restarts what it is about, so many times an hour.
fn restarts(name: &str, version: &str, times: u32) -> Package {
    let text = format!(
        "//! name = \"{name}\"\n//! version = \"{version}\"\n//! summary = \"Made by a test.\"\n\
         //! [target]\n//! kind = \"container\"\n\
         //! [requests]\n//! effects = [\"docker.restart-container\"]\n\
         //! [brake]\n//! attempts = [\"{times}/1h\"]\n//! settle = \"1ms\"\n\
         fn run(input) {{\n    docker::restart_container(input.target, #{{ grace_ms: 0 }});\n    fixed(\"restarted\")\n}}\n"
    );
    Package::rhai_file(name, &text)
}

/// Puts a question of its own.
fn asks() -> Package {
    let text = format!(
        "//! name = \"{ASK}\"\n//! version = \"1.0.0\"\n//! summary = \"Made by a test.\"\n//! [target]\n//! kind = \"none\"\n\
         fn run(input) {{\n    done(human::ask(\"Move the volume?\", [\"move it\", \"leave it\"]).option)\n}}\n"
    );
    Package::rhai_file(ASK, &text)
}

/// The first words of a line, whatever figures stand in it.
fn loosely(line: &str) -> String {
    let figures = |word: &str| word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let words =
        line.split_whitespace().filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()) || word.len() == 1);
    words.take(2).map(figures).collect::<Vec<_>>().join(" ")
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|found| found == word)
}

/// The first id with that beginning in a text.
fn id_after(text: &str, start: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(start) && word.len() > 8).map(str::to_owned).next_back()
}

/// Plays a page in a world that is brought to where it begins.
#[track_caller]
fn plays(page: &str, setup: Setup, prepare: impl FnOnce(&mut Page<'_>)) {
    let docker = Dockerd::start();
    let mut world = Page::new(&docker, setup);
    prepare(&mut world);
    world.plays(page);
}

fn with_config() -> Setup {
    Setup::with(CONFIG)
}

/// A container that a page calls so, ill.
fn ill(page: &Page<'_>, name: &str) {
    page.docker.create(name, &json!({})).sicken();
}

#[test]
fn the_five_minutes_of_the_readme() {
    plays("README.md", Setup::without_file(), |_| {});
}

#[test]
fn the_first_week() {
    plays("docs/first-week.md", with_config(), |page| {
        ill(page, "web-1");
    });
}

#[test]
fn operating() {
    plays("docs/operating.md", with_config(), |page| {
        ill(page, "web-1");
        ill(page, "cart-1");
        page.daemon.push_live(&report("seen", "1.0.0"));
        let run = page.daemon.run("seen", &json!({}));
        page.daemon.ended(&run);
        for version in ["1.0.0", "1.0.1"] {
            page.daemon.push(&report("report", version));
        }
        page.daemon.push(&report("nightly-report", "1.0.0"));
        page.daemon.shell("sandbook new restart-cart && sandbook new report");
    });
}

/// Says something once a night.
fn report(name: &str, version: &str) -> Package {
    let text = format!(
        "//! name = \"{name}\"\n//! version = \"{version}\"\n//! summary = \"Made by a test.\"\n\
         //! [[trigger]]\n//! schedule = \"0 3 * * *\"\n//! [target]\n//! kind = \"none\"\n\
         //! [requests]\n//! effects = []\nfn run(input) {{ done(\"nothing {version}\") }}\n"
    );
    Package::rhai_file(name, &text)
}

#[test]
fn writing_runbooks() {
    plays("docs/writing-runbooks.md", with_config(), |page| ill(page, "cart-1"));
}

#[test]
fn policy_by_example_and_installing() {
    plays("docs/policy.md", with_config(), |_| {});
}

#[test]
fn drafting() {
    let fake = FakeOpenAi::start();
    let plan = json!({"kind": "plan", "say": "safe", "target": "local/market-predictor", "script": SCRIPT});
    fake.always(Say::json(&plan));
    let llm = format!("{CONFIG}[llm]\nbase_url = \"{}\"\nmodel = \"fake\"\n", fake.base_url());
    plays("docs/drafting.md", Setup::with(&llm), |page| ill(page, "market-predictor"));
}

#[test]
fn telling_people() {
    plays("docs/notifications.md", with_config(), |_| {});
}

/// Each in a folder as it was before: all of them begin with the same package.
#[test]
fn guides() {
    let docker = Dockerd::start();
    let mut world = Page::new(&docker, with_config());
    for guide in ["rhai", "rust", "python", "javascript"] {
        world.plays(&format!("docs/guides/{guide}.md"));
        world.daemon.shell("rm -r heal-cart").expect(0);
    }
}

/// No page is left out, and nothing is excused that is no longer there.
#[test]
fn every_page_with_commands_is_played_and_what_is_excused_is_there() {
    let root = repository();
    let mut pages: Vec<String> = vec!["README.md".to_owned()];
    for folder in ["docs", "docs/guides"] {
        let entries = root.join(folder).read_dir().expect("the documentation is there").flatten();
        let names = entries.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy()));
        pages.extend(names.filter(|name| name.ends_with(".md")));
    }
    let source = include_str!("commands.rs");
    let mut used = BTreeSet::new();
    for page in &pages {
        let commands = commands(&root.join(page));
        used.extend(commands.iter().filter_map(|command| elsewhere(&command.line)));
        let typed = commands.iter().any(|command| elsewhere(&command.line).is_none());
        let guide = page.strip_prefix("docs/guides/").and_then(|name| name.strip_suffix(".md"));
        let played = source.contains(&format!("plays(\"{page}\""))
            || guide.is_some_and(|guide| source.contains(&format!("\"{guide}\"")));
        assert!(played || !typed, "nobody plays {page}: {commands:?}");
    }
    let unused: Vec<&str> = ELSEWHERE.iter().map(|(start, _)| *start).filter(|start| !used.contains(start)).collect();
    assert!(unused.is_empty(), "no page shows these any more: {unused:?}");
}
