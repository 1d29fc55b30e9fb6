//! Runbook packages made by tests: Rhai from text, WASM from WAT, and bytes that are neither.
//!
//! Guests in WAT are core modules with the component type of `sdk/wit` embedded, the simplest thing an author's toolchain
//! could produce; the daemon lifts them. Their canonical ABI is written by hand here, once, in [`frame`].

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use crate::repository;

/// What an upload is sent as.
#[derive(Debug, Clone)]
pub struct Package {
    /// The name in its manifest.
    pub name: String,
    /// How the body is to be read.
    pub content_type: &'static str,
    /// The body.
    pub bytes: Vec<u8>,
}

/// What a manifest asks for, for a runbook without a target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asks<'a> {
    /// Effects.
    pub effects: &'a [&'a str],
    /// Lines of `[limits]`.
    pub limits: &'a str,
    /// Further TOML.
    pub more: &'a str,
}

impl Package {
    /// One `.rhai` file with its manifest in leading comments.
    pub fn rhai(name: &str, asks: Asks<'_>, script: &str) -> Package {
        let header: String = manifest(name, asks).lines().map(|line| format!("//! {line}\n")).collect();
        Package::rhai_file(name, &format!("{header}{script}"))
    }

    /// One `.rhai` file as it is.
    pub fn rhai_file(name: &str, text: &str) -> Package {
        Package { name: name.to_owned(), content_type: "text/x-rhai", bytes: text.into() }
    }

    /// A tar with the manifest and a guest written in WAT; see [`frame`] for what surrounds a body.
    ///
    /// Panics when it could not be lifted: a guest that is refused must be refused for what the test means.
    #[track_caller]
    pub fn wat(name: &str, asks: Asks<'_>, wat: &str) -> Package {
        let module = typed(&core_module(wat));
        let lifted =
            ComponentEncoder::default().validate(true).module(&module).and_then(|mut encoder| encoder.encode());
        lifted.unwrap_or_else(|error| panic!("the test's own guest {name}: {error:#}"));
        Package::wasm(name, asks, &module)
    }

    /// A tar with the manifest and any bytes as `main.wasm`.
    pub fn wasm(name: &str, asks: Asks<'_>, wasm: &[u8]) -> Package {
        Package::tar(name, &[("runbook.toml", manifest(name, asks).as_bytes()), ("main.wasm", wasm)])
    }

    /// A tar of any files, under names no decent tool would write as well.
    pub fn tar(name: &str, files: &[(&str, &[u8])]) -> Package {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, contents) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(contents.len() as u64);
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            tar.append(&header, *contents).expect("memory takes everything");
        }
        let bytes = tar.into_inner().expect("memory takes everything");
        Package { name: name.to_owned(), content_type: "application/x-tar", bytes }
    }

    /// A single `.wasm` file as it is.
    pub fn file(name: &str, wasm: &[u8]) -> Package {
        Package { name: name.to_owned(), content_type: "application/wasm", bytes: wasm.to_vec() }
    }
}

/// The manifest of a runbook without a target.
pub fn manifest(name: &str, asks: Asks<'_>) -> String {
    let effects: Vec<String> = asks.effects.iter().map(|effect| format!("{effect:?}")).collect();
    format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"Made by a test.\"\n[target]\nkind = \"none\"\n\
         [requests]\neffects = [{}]\n[limits]\n{}\n{}\n",
        effects.join(", "),
        asks.limits,
        asks.more
    )
}

/// WAT to bytes.
#[track_caller]
pub fn core_module(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("the test's own WAT: {error}"))
}

/// The module with the component type of world `runbook` embedded.
pub fn typed(module: &[u8]) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(repository().join("sdk/wit")).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("runbook")).expect("the contract has a world `runbook`");
    let mut typed = module.to_vec();
    wit_component::embed_component_metadata(&mut typed, &resolve, world, StringEncoding::UTF8).expect("a module");
    typed
}

/// A guest around the body of `run`, which leaves with `(return (i32.const 1024))` to succeed with `done("well")`.
///
/// `before` holds imports and `after` further items. Memory: the result at 1024, its text at 1040, arguments from 4096.
pub fn frame(before: &str, body: &str, after: &str) -> String {
    format!(
        r#"(module
  {before}
  (memory (export "memory") 1)
  (data (i32.const 1024) "\00\00\00\00\00\00\00\00\10\04\00\00\04\00\00\00well")
  (global $next (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func $run (export "run") (param $input i32) (result i32)
    {body})
  {after})"#
    )
}

/// [`frame`] of a run that inspects `web-1` once and ends well.
pub fn inspecting() -> String {
    let import = "(import \"sandbook:runbook/docker@1.0.0\" \"inspect-container\" (func $inspect (param i32 i32 i32)))";
    let body = "(call $inspect (i32.const 2048) (i32.const 5) (i32.const 2064)) (i32.const 1024)";
    frame(import, body, "(data (i32.const 2048) \"web-1\")")
}

/// [`frame`] of a run that ends well at once.
pub fn well() -> String {
    frame("", "(i32.const 1024)", "")
}
