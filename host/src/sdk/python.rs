//! Python: componentize-py in a virtual environment of its own.
//!
//! Never with stubbed WASI: then `print`, `time` and late imports trap.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::build::{Job, Language, sources};
use super::toolchain::{self, PYTHON_PACKAGE, Step};
use super::{Trouble, write_if_changed};

/// The module that the component is made of: it hands the engine's calls to the author's functions.
const ENTRY: &str = "sandbook_entry";

fn compiler() -> Option<PathBuf> {
    let own = toolchain::folder().join("python/bin/componentize-py");
    if own.is_file() { Some(own) } else { toolchain::find("componentize-py") }
}

async fn ready(install: bool) -> Result<PathBuf, Trouble> {
    if let Some(compiler) = compiler() {
        return Ok(compiler);
    }
    let (language, what) = ("Python", "componentize-py");
    if toolchain::find("python3").is_none() {
        let steps = vec![Step::by_hand("apt-get", &["install", "python3", "python3-venv"])];
        return Err(Trouble::Missing { language, what: "python3".to_owned(), steps });
    }
    let venv = toolchain::folder().join("python");
    let venv = venv.display().to_string();
    let steps = [
        Step::new("python3", &["-m", "venv", &venv]),
        Step::new(format!("{venv}/bin/pip"), &["install", "--quiet", PYTHON_PACKAGE]),
    ];
    if !install {
        return Err(Trouble::Missing { language, what: what.to_owned(), steps: steps.to_vec() });
    }
    toolchain::install(language, what, &steps).await?;
    compiler()
        .ok_or_else(|| Trouble::failed("componentize-py was installed and is not there", format!("look into {venv}")))
}

pub(super) async fn compile(job: &Job<'_>) -> Result<Vec<u8>, Trouble> {
    let compiler = ready(job.install).await?;
    let app = job.work.join("app");
    stage(job, &app)?;
    let output = job.work.join("main.wasm");
    let _ = std::fs::remove_file(&output);
    let mut command = Command::new(compiler);
    command
        .arg("--wit-path")
        .arg(&job.wit)
        .args(["--world", super::world::world_name(job.verify), "componentize", "--python-path"])
        .arg(&app)
        .arg("--python-path")
        .arg(job.sdk.join("python/src"))
        .arg(ENTRY)
        .arg("--output")
        .arg(&output)
        // Modules of whatever environment this was typed in are nothing the package names.
        .env("VIRTUAL_ENV", packages(job.folder).unwrap_or_else(|| job.work.join("no-packages")))
        .env_remove("PYTHONPATH");
    toolchain::output(&mut command, "componentize-py").await?;
    std::fs::read(&output).map_err(Trouble::io("read", &output))
}

/// The package's own environment, where it has one: `python3 -m venv .venv`.
fn packages(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(".venv")).filter(|path| path.is_dir())
}

/// The author's modules and the entry, without tests and without what lies beside them.
fn stage(job: &Job<'_>, app: &Path) -> Result<(), Trouble> {
    let _ = std::fs::remove_dir_all(app);
    for path in sources(job.folder, Language::Python) {
        let Ok(name) = path.strip_prefix(job.folder) else { continue };
        let test = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("test_"));
        if !test {
            let text = std::fs::read(&path).map_err(Trouble::io("read", &path))?;
            write_if_changed(&app.join(name), &text)?;
        }
    }
    write_if_changed(&app.join(format!("{ENTRY}.py")), entry(job.verify).as_bytes())
}

fn entry(verify: bool) -> String {
    let more = match verify {
        true => "\n    def verify(self, input):\n        return _guest.verify(main.verify, input)\n",
        false => "",
    };
    format!(
        "import main\nimport wit_world\nfrom sandbook import _guest\n\n\n\
         class WitWorld(wit_world.WitWorld):\n    def run(self, input):\n        return _guest.run(main.run, input)\n{more}"
    )
}
