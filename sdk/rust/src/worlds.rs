//! The two kinds of entry point, generated over the same types; `runbook!` picks one.

/// World `runbook`.
#[allow(unsafe_code, missing_docs)]
pub mod plain {
    wit_bindgen::generate!({
        path: "../wit",
        world: "runbook",
        pub_export_macro: true,
        export_macro_name: "export_plain",
        default_bindings_module: "sandbook_sdk::worlds::plain",
        with: {
            "sandbook:runbook/types@1.0.0": crate::bindings::sandbook::runbook::types,
            "sandbook:runbook/docker@1.0.0": crate::bindings::sandbook::runbook::docker,
            "sandbook:runbook/logs@1.0.0": crate::bindings::sandbook::runbook::logs,
            "sandbook:runbook/metrics@1.0.0": crate::bindings::sandbook::runbook::metrics,
            "sandbook:runbook/net@1.0.0": crate::bindings::sandbook::runbook::net,
            "sandbook:runbook/http@1.0.0": crate::bindings::sandbook::runbook::http,
            "sandbook:runbook/notify@1.0.0": crate::bindings::sandbook::runbook::notify,
            "sandbook:runbook/state@1.0.0": crate::bindings::sandbook::runbook::state,
            "sandbook:runbook/clock@1.0.0": crate::bindings::sandbook::runbook::clock,
            "sandbook:runbook/random@1.0.0": crate::bindings::sandbook::runbook::random,
            "sandbook:runbook/log@1.0.0": crate::bindings::sandbook::runbook::log,
            "sandbook:runbook/human@1.0.0": crate::bindings::sandbook::runbook::human,
            "sandbook:runbook/alertmanager@1.0.0": crate::bindings::sandbook::runbook::alertmanager,
            "sandbook:runbook/llm@1.0.0": crate::bindings::sandbook::runbook::llm,
            "sandbook:runbook/incidents@1.0.0": crate::bindings::sandbook::runbook::incidents,
        },
    });
}

/// World `verified-runbook`.
#[allow(unsafe_code, missing_docs)]
pub mod verified {
    wit_bindgen::generate!({
        path: "../wit",
        world: "verified-runbook",
        pub_export_macro: true,
        export_macro_name: "export_verified",
        default_bindings_module: "sandbook_sdk::worlds::verified",
        with: {
            "sandbook:runbook/types@1.0.0": crate::bindings::sandbook::runbook::types,
            "sandbook:runbook/docker@1.0.0": crate::bindings::sandbook::runbook::docker,
            "sandbook:runbook/logs@1.0.0": crate::bindings::sandbook::runbook::logs,
            "sandbook:runbook/metrics@1.0.0": crate::bindings::sandbook::runbook::metrics,
            "sandbook:runbook/net@1.0.0": crate::bindings::sandbook::runbook::net,
            "sandbook:runbook/http@1.0.0": crate::bindings::sandbook::runbook::http,
            "sandbook:runbook/notify@1.0.0": crate::bindings::sandbook::runbook::notify,
            "sandbook:runbook/state@1.0.0": crate::bindings::sandbook::runbook::state,
            "sandbook:runbook/clock@1.0.0": crate::bindings::sandbook::runbook::clock,
            "sandbook:runbook/random@1.0.0": crate::bindings::sandbook::runbook::random,
            "sandbook:runbook/log@1.0.0": crate::bindings::sandbook::runbook::log,
            "sandbook:runbook/human@1.0.0": crate::bindings::sandbook::runbook::human,
            "sandbook:runbook/alertmanager@1.0.0": crate::bindings::sandbook::runbook::alertmanager,
            "sandbook:runbook/llm@1.0.0": crate::bindings::sandbook::runbook::llm,
            "sandbook:runbook/incidents@1.0.0": crate::bindings::sandbook::runbook::incidents,
        },
    });
}
