//! `sandbook-pack check`: do the committed components belong to the sources? `sandbook-pack pack FOLDER MODULE`: make one. `sandbook-pack generate`:
//! write what the SDKs have from the WIT.
//!
//! Called by `sdk/guests.sh`, in the repository's root. `pack` needs the feature `build`.

#[cfg(feature = "build")]
mod build;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(".");
    let result = match arguments.as_slice() {
        ["check"] => check(root),
        ["pack", folder, module] => pack(root, folder, Path::new(module)),
        ["generate"] => sandbook_pack::languages::write(root),
        _ => {
            eprintln!("usage: sandbook-pack check | sandbook-pack generate | sandbook-pack pack FOLDER MODULE");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbook-pack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(root: &Path) -> Result<()> {
    let mut stale = 0;
    for artefact in sandbook_pack::artefacts(root)? {
        match artefact.check(root) {
            Ok(()) => println!("{}: as its sources", artefact.file),
            Err(error) => {
                stale += 1;
                println!("{error:#}");
            }
        }
    }
    anyhow::ensure!(stale == 0, "{stale} components do not belong to their sources");
    Ok(())
}

#[cfg(feature = "build")]
fn pack(root: &Path, folder: &str, module: &Path) -> Result<()> {
    use anyhow::Context as _;
    let artefact = sandbook_pack::artefacts(root)?.into_iter().find(|artefact| artefact.folder == folder);
    let artefact = artefact.with_context(|| format!("{folder} is no guest of this repository"))?;
    let built = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let component = build::component(root, &artefact, &built)?;
    std::fs::write(root.join(&artefact.file), &component).with_context(|| format!("writing {}", artefact.file))?;
    println!("{}: {} bytes", artefact.file, component.len());
    Ok(())
}

#[cfg(not(feature = "build"))]
fn pack(_: &Path, _: &str, _: &Path) -> Result<()> {
    anyhow::bail!("built without the feature `build`: cargo run -p sandbook-pack --features build")
}
