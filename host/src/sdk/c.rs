//! C: clang and lld, no library, no generator; what the WIT says is embedded here.
//!
//! Shows that the contract is enough. Deliberately not here: an SDK; see `examples/runbooks/c`.

use std::path::PathBuf;

use tokio::process::Command;
use wit_component::StringEncoding;

use super::Trouble;
use super::build::{Job, Language, sources};
use super::toolchain::{self, Step};

/// Compilers and linkers by name, as Debian calls them; the first that is there.
const CLANGS: [&str; 4] = ["clang", "clang-19", "clang-16", "clang-14"];
const LINKERS: [&str; 5] = ["wasm-ld", "wasm-ld-22", "wasm-ld-19", "wasm-ld-16", "wasm-ld-14"];

fn tools() -> Result<(PathBuf, PathBuf), Trouble> {
    let first = |names: &[&str]| names.iter().find_map(|name| toolchain::find(name));
    match (first(&CLANGS), first(&LINKERS)) {
        (Some(clang), Some(linker)) => Ok((clang, linker)),
        (clang, linker) => {
            let missing = [(clang.is_none(), "clang"), (linker.is_none(), "lld")];
            let packages: Vec<&str> = missing.iter().filter(|(missing, _)| *missing).map(|(_, name)| *name).collect();
            let steps = vec![Step::by_hand("apt-get", &[&["install"][..], &packages].concat())];
            Err(Trouble::Missing { language: "C", what: packages.join(" and "), steps })
        }
    }
}

pub(super) async fn compile(job: &Job<'_>) -> Result<Vec<u8>, Trouble> {
    let (clang, linker) = tools()?;
    let mut objects = Vec::new();
    for (index, source) in sources(job.folder, Language::C).iter().enumerate() {
        if source.extension().is_some_and(|ending| ending != "c") {
            continue;
        }
        let object = job.work.join(format!("{index}.o"));
        let mut command = Command::new(&clang);
        command
            .args([
                "--target=wasm32-unknown-unknown",
                "-Os",
                "-std=c11",
                "-ffreestanding",
                "-fno-builtin",
                "-mbulk-memory",
            ])
            .args(["-Wall", "-Wextra", "-Werror", "-c"])
            .arg(source)
            .arg("-o")
            .arg(&object);
        toolchain::output(&mut command, "clang").await?;
        objects.push(object);
    }
    let output = job.work.join("module.wasm");
    let mut command = Command::new(linker);
    command.args(["--no-entry", "--strip-all", "-z", "stack-size=16384"]).args(objects).arg("-o").arg(&output);
    toolchain::output(&mut command, "wasm-ld").await?;
    let mut module = std::fs::read(&output).map_err(Trouble::io("read", &output))?;
    let world = &job.world;
    wit_component::embed_component_metadata(&mut module, &world.resolve, world.world, StringEncoding::UTF8)
        .map_err(|error| Trouble::failed(format!("the module's type cannot be embedded: {error:#}"), ""))?;
    Ok(module)
}
