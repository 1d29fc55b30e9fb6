//! Compiling: in a child process with limits, ahead of time, kept on disk by digest and engine version.
//!
//! A component can be made to take minutes or gigabytes to compile; a child with limits takes the blow. A core module
//! with an embedded component type is lifted here, so that plain `wasm32-unknown-unknown` and no extra tool is enough.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Options, engine};

/// Largest component accepted, in bytes: a Python guest with its interpreter has 18 MB.
pub const COMPONENT_BYTES_MAX: usize = 40 << 20;
/// Address space of the compiling child, in bytes: a Python guest takes 0.4 GB to compile.
const CHILD_MEMORY_BYTES: u64 = 2 << 30;
/// CPU of the compiling child, in seconds: a JavaScript guest takes 8 s in a release build, six times that without
/// optimisation.
const CHILD_CPU_S: u64 = 90;
/// Compiled code, in bytes: a Python guest's is 40 MB.
const COMPILED_BYTES_MAX: u64 = 512 << 20;
/// Wall time of the compiling child.
const CHILD_WALL: Duration = Duration::from_secs(120);
/// Bytes of what the child says went wrong that are kept.
const COMPLAINT_BYTES_MAX: usize = 2_000;

/// Who compiles.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// This program, started with `compile-component`.
    Child(PathBuf),
    /// This process: for components that are part of it, in tests and benchmarks.
    InProcess,
}

/// From the cache if it is there, else compiled. The interpreter too: what compiling allocates stays with the child.
pub(super) async fn load(engine: &Engine, options: &Options, wasm: &[u8]) -> Result<Component> {
    let path = options.cache_dir.join(cache_name(engine, wasm));
    if let Some(component) = mapped(engine, &path) {
        return Ok(component);
    }
    let wasm = lift(wasm)?;
    // Of this write alone: another thread of this process may be writing the same.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let staged = path.with_extension(format!("{}-{number}.new", std::process::id()));
    let unwritten = || format!("cannot write the compile cache {}", path.display());
    match &options.compiler {
        Compiler::Child(program) => {
            // Straight into the file: what is compiled is megabytes that this process never needs in its own memory.
            let file = std::fs::File::create(&staged).with_context(unwritten)?;
            let compiled = compile_in_child(program, &wasm, file).await;
            compiled.inspect_err(|_| drop(std::fs::remove_file(&staged)))?;
        }
        Compiler::InProcess => {
            let engine = engine.clone();
            let compiled = tokio::task::spawn_blocking(move || engine.precompile_component(&wasm)).await??;
            std::fs::write(&staged, &compiled).with_context(unwritten)?;
        }
    }
    std::fs::rename(&staged, &path).with_context(unwritten)?;
    mapped(engine, &path).context("the component just compiled does not load")
}

/// Only files this program wrote lie in the cache, in a directory only its user can write.
#[allow(unsafe_code, reason = "mapping compiled code is the point of compiling ahead of time")]
fn mapped(engine: &Engine, path: &Path) -> Option<Component> {
    if !path.exists() {
        return None;
    }
    // SAFETY: the file was written by `load` above from `precompile_component`'s output and renamed into place; the
    // directory belongs to the daemon. The engine itself refuses files of another version or configuration.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(file = %path.display(), "compiled component is stale and is compiled again: {error:#}");
            None
        }
    }
}

fn cache_name(engine: &Engine, wasm: &[u8]) -> String {
    use std::hash::{Hash as _, Hasher as _};
    let mut version = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut version);
    let digest = Sha256::digest(wasm);
    let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}-{:016x}.cwasm", version.finish())
}

/// The component that bytes are, or are lifted to, as the sandbox would run it.
///
/// # Errors
/// When they are neither a component nor a core module with the contract's component type.
pub fn component_of(bytes: &[u8]) -> Result<Vec<u8>> {
    lift(bytes)
}

/// Appends a custom section, which nothing executes.
pub fn append_section(wasm: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let length = |out: &mut Vec<u8>, mut value: usize| {
        while value > 0x7f {
            out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    };
    let mut body = Vec::with_capacity(name.len() + contents.len() + 5);
    length(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(contents);
    // The id of custom sections, in modules and components alike.
    wasm.push(0);
    length(wasm, body.len());
    wasm.extend(body);
}

/// A component as it is; a core module with its embedded component type as a component; anything else an error.
fn lift(bytes: &[u8]) -> Result<Vec<u8>> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        bail!("the component has {} bytes, at most {COMPONENT_BYTES_MAX} are accepted", bytes.len());
    }
    if bytes.starts_with(b"\0asm\x0d\0\x01\0") {
        return Ok(bytes.to_vec());
    }
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        wasmparser::Validator::new().validate_all(bytes).context("the module is not valid WebAssembly")?;
        return wit_component::ComponentEncoder::default()
            .module(bytes)
            .and_then(|mut encoder| encoder.encode())
            .context(
                "the module carries no component type of the guest contract; build it with wit-bindgen or the SDK",
            );
    }
    bail!("not WebAssembly: the file does not begin with \\0asm")
}

async fn compile_in_child(program: &Path, wasm: &[u8], compiled: std::fs::File) -> Result<()> {
    let mut child = tokio::process::Command::new(program)
        .arg("compile-component")
        .stdin(Stdio::piped())
        .stdout(compiled)
        .stderr(Stdio::piped())
        .env_clear()
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {} to compile the component", program.display()))?;
    let mut stdin = child.stdin.take().context("the child has a stdin")?;
    let feed = async move {
        // A child that dies early closes the pipe; its exit says why.
        let _ = stdin.write_all(wasm).await;
        drop(stdin);
    };
    let finished = async { tokio::join!(feed, child.wait_with_output()).1 };
    let Ok(output) = tokio::time::timeout(CHILD_WALL, finished).await else {
        bail!("the component takes longer than {} s to compile and is refused", CHILD_WALL.as_secs());
    };
    let output = output.context("the compiling child is lost")?;
    if output.status.success() {
        return Ok(());
    }
    let mut complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    sandbook_core::error::truncate_at_char(&mut complaint, COMPLAINT_BYTES_MAX);
    match output.status.code() {
        Some(1) => bail!("{complaint}"),
        Some(_) | None => bail!(
            "the component needs more than {CHILD_CPU_S} s of CPU, {} MiB of memory or {} MiB of code to compile and is \
             refused",
            CHILD_MEMORY_BYTES >> 20,
            COMPILED_BYTES_MAX >> 20
        ),
    }
}

/// The child: limits itself, reads a component from stdin, writes compiled code to stdout. Exit code 1 is the author's
/// fault and explained on stderr.
pub fn compile_worker() -> std::process::ExitCode {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let limited = setrlimit(Resource::As, limit(CHILD_MEMORY_BYTES))
        .and_then(|()| setrlimit(Resource::Cpu, limit(CHILD_CPU_S)))
        .and_then(|()| setrlimit(Resource::Fsize, limit(COMPILED_BYTES_MAX)))
        .and_then(|()| setrlimit(Resource::Core, limit(0)));
    if let Err(error) = limited {
        eprintln!("cannot limit the compiling child: {error}");
        return std::process::ExitCode::from(3);
    }
    match compile_stdin() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::from(1)
        }
    }
}

fn compile_stdin() -> Result<()> {
    let mut wasm = Vec::new();
    std::io::stdin()
        .take(4 * COMPONENT_BYTES_MAX as u64)
        .read_to_end(&mut wasm)
        .context("cannot read the component")?;
    let engine = Engine::new(&engine::config()).map_err(anyhow::Error::from).context("cannot set up the compiler")?;
    let compiled =
        engine.precompile_component(&wasm).map_err(anyhow::Error::from).context("the component does not compile")?;
    std::io::stdout().write_all(&compiled).context("cannot write the compiled component")?;
    Ok(())
}
