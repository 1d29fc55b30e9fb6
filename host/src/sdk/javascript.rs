//! JavaScript and TypeScript: bundled by esbuild, compiled by componentize-js, both in a folder of their own.
//!
//! Only http and fetch-event are disabled: without clocks and random, `Date.now()` would be frozen when it was built.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::build::Job;
use super::toolchain::{self, JAVASCRIPT_PACKAGES, Step};
use super::{Trouble, write_if_changed};

/// What calls the two, in Node.
const SCRIPT: &str = include_str!("build.mjs");

fn folder() -> PathBuf {
    toolchain::folder().join("js")
}

fn is_there() -> bool {
    JAVASCRIPT_PACKAGES.iter().all(|package| {
        let name = package.rsplit_once('@').map_or(*package, |(name, _)| name);
        folder().join("node_modules").join(name).join("package.json").is_file()
    })
}

async fn ready(install: bool) -> Result<PathBuf, Trouble> {
    let language = "JavaScript";
    let Some(node) = toolchain::find("node") else {
        let steps = vec![Step::by_hand("apt-get", &["install", "nodejs", "npm"])];
        return Err(Trouble::Missing { language, what: "node".to_owned(), steps });
    };
    if is_there() {
        return Ok(node);
    }
    let prefix = folder().display().to_string();
    let words = [&["install", "--no-audit", "--no-fund", "--prefix", &prefix][..], &JAVASCRIPT_PACKAGES].concat();
    let what = "componentize-js and esbuild".to_owned();
    if toolchain::find("npm").is_none() {
        let steps = vec![Step::by_hand("apt-get", &["install", "npm"]), Step::new("npm", &words)];
        return Err(Trouble::Missing { language, what, steps });
    }
    let steps = [Step::new("npm", &words)];
    if !install {
        return Err(Trouble::Missing { language, what, steps: steps.to_vec() });
    }
    std::fs::create_dir_all(folder()).map_err(Trouble::io("create", &folder()))?;
    toolchain::install(language, &what, &steps).await?;
    Ok(node)
}

pub(super) async fn compile(job: &Job<'_>) -> Result<Vec<u8>, Trouble> {
    let node = ready(job.install).await?;
    let main = ["main.ts", "main.js"].iter().map(|name| job.folder.join(name)).find(|path| path.is_file());
    let main = main.ok_or_else(|| Trouble::failed("there is no main.js", "write one, or main.ts"))?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(Trouble::io("find", path));
    let entry = job.work.join("entry.js");
    write_if_changed(&entry, glue(job, &absolute(&main)?).as_bytes())?;
    // The script lies with the packages it imports.
    let script = folder().join("sandbook-build.mjs");
    write_if_changed(&script, SCRIPT.as_bytes())?;
    let output = job.work.join("main.wasm");
    let _ = std::fs::remove_file(&output);
    let mut command = Command::new(node);
    command
        .arg(&script)
        .arg(absolute(&entry)?)
        .arg(absolute(&job.sdk.join("js"))?)
        .arg(absolute(&job.wit)?)
        .arg(super::world::world_name(job.verify))
        .arg(absolute(&output)?)
        // Where the author's own packages are found.
        .current_dir(job.folder);
    toolchain::output(&mut command, "componentize-js").await?;
    std::fs::read(&output).map_err(Trouble::io("read", &output))
}

/// Hands the bindings that this package's world has to the SDK, and the author's functions to the engine.
fn glue(job: &Job<'_>, main: &Path) -> String {
    let mut text = String::from("import { install, runs, verifies } from \"sandbook/guest\";\n");
    let mut table = String::new();
    for (index, effect) in job.world.effects.iter().enumerate() {
        let Some((interface, function)) = effect.split_once('.') else { continue };
        let name = camel(function);
        text.push_str(&format!("import {{ {name} as e{index} }} from \"sandbook:runbook/{interface}@1.0.0\";\n"));
        table.push_str(&format!("  {effect:?}: e{index},\n"));
    }
    text.push_str(&format!("import * as runbook from {:?};\n\n", main.display().to_string()));
    text.push_str(&format!("install({{\n{table}}});\nexport const run = runs(runbook.run);\n"));
    if job.verify {
        text.push_str("export const verify = verifies(runbook.verify);\n");
    }
    text
}

/// `restart-container` as bindings in JavaScript call it.
fn camel(kebab: &str) -> String {
    let mut parts = kebab.split('-');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut name, part| {
        let mut letters = part.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}
