//! The built-in catalogue, embedded: manifest, code and README of each, and nothing that building them leaves behind.
//!
//! A new runbook is one line here; a test compares the list with the folder.

/// Name and files of one built-in.
pub(super) type BuiltIn = (&'static str, &'static [(&'static str, &'static [u8])]);

macro_rules! built_in {
    ($($name:literal: $code:literal,)+) => {
        /// Every built-in, by name.
        pub(super) const ALL: &[BuiltIn] = &[$(($name, &[
            ("README.md", include_bytes!(concat!("../../../runbooks/", $name, "/README.md"))),
            ($code, include_bytes!(concat!("../../../runbooks/", $name, "/", $code))),
            ("runbook.toml", include_bytes!(concat!("../../../runbooks/", $name, "/runbook.toml"))),
        ])),+];
    };
}

built_in! {
    "collect-evidence": "main.wasm",
    "restart-exited": "main.wasm",
    "restart-unhealthy": "main.rhai",
    "restart-with-dependents": "main.rhai",
}
