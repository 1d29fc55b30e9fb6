//! The built-in catalogue, embedded: manifest, code and README of each, and nothing that building them leaves behind.
//!
//! A new runbook is one line here; a test compares the list with the folder. Deliberately not here: runbooks whose components
//! carry the interpreter of their language (Python, JavaScript); see docs/adr/0008.

/// Name and files of one built-in.
pub(crate) type BuiltIn = (&'static str, &'static [(&'static str, &'static [u8])]);

macro_rules! built_in {
    ($($name:literal: $code:literal,)+) => {
        /// Every built-in, by name.
        pub(crate) const ALL: &[BuiltIn] = &[$(($name, &[
            ("README.md", include_bytes!(concat!("../../../runbooks/", $name, "/README.md"))),
            ($code, include_bytes!(concat!("../../../runbooks/", $name, "/", $code))),
            ("runbook.toml", include_bytes!(concat!("../../../runbooks/", $name, "/runbook.toml"))),
        ])),+];
    };
}

built_in! {
    "collect-evidence": "main.wasm",
    "diagnose-network": "main.rhai",
    "diagnose-scrape-target": "main.rhai",
    "explain-stop": "main.rhai",
    "forecast-disk": "main.rhai",
    "free-inodes": "main.rhai",
    "heal-dependency": "main.rhai",
    "heal-dns": "main.rhai",
    "prune-build-cache": "main.rhai",
    "prune-images": "main.rhai",
    "reap-zombies": "main.rhai",
    "reattach-network": "main.rhai",
    "recover-oom": "main.rhai",
    "relieve-throttling": "main.rhai",
    "reload-certificate": "main.rhai",
    "report-clock-skew": "main.rhai",
    "report-heartbeat-lost": "main.rhai",
    "report-hung-docker": "main.rhai",
    "report-missing-config": "main.rhai",
    "report-sla": "main.rhai",
    "report-unkillable": "main.rhai",
    "restart-connection-leaker": "main.rhai",
    "restart-exited": "main.wasm",
    "restart-exporter": "main.rhai",
    "restart-leaking": "main.rhai",
    "restart-on-log-errors": "main.rhai",
    "restart-unhealthy": "main.rhai",
    "restart-with-dependents": "main.rhai",
    "roll-back-deploy": "main.rhai",
    "scale-workers": "main.rhai",
    "start-after-reboot": "main.rhai",
    "start-when-port-free": "main.rhai",
    "stop-crash-loop": "main.rhai",
    "stop-writers": "main.rhai",
    "truncate-log": "main.rhai",
}
