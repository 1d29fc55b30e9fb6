//! What a runbook in Rust is written with: the effects, the input, the outcomes, the entry point.
//!
//! ```ignore
//! use sandbook_sdk::{Answer, Input, docker, fixed, runbook};
//!
//! fn run(input: Input) -> Answer {
//!     docker::restart_container(input.container()?, docker::StopOptions::default())?;
//!     fixed("restarted")
//! }
//! runbook!(run);
//! ```
//!
//! Effects exist only inside the engine. Off the engine, in `cargo test`, a `testing::World` answers in its place.
//! Deliberately not here: wrappers around effects. What the WIT says is what is called.

mod defaults;
mod input;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod words;
pub mod worlds;

/// Everything the WIT holds, generated.
#[allow(unsafe_code, missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "imports",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

pub use bindings::sandbook::runbook::types::{
    Alert, Change, ContainerState, ContainerStatus, Error, HealthStatus, Input, Outcome, Target, TargetKind, Value,
};
#[cfg(target_arch = "wasm32")]
pub use bindings::sandbook::runbook::{
    alertmanager, clock, docker, http, human, incidents, llm, log, logs, metrics, net, notify, random, state,
};

#[cfg(not(target_arch = "wasm32"))]
pub use testing::effects::{
    alertmanager, clock, docker, http, human, incidents, llm, log, logs, metrics, net, notify, random, state,
};

/// What an entry point returns; `?` passes an effect's error on.
pub type Answer = Result<Outcome, Error>;

/// Did what it is for; nothing was broken.
pub fn done(text: impl Into<String>) -> Answer {
    Ok(Outcome::Done(text.into()))
}

/// Changed something and believes it is fixed; the engine verifies.
pub fn fixed(text: impl Into<String>) -> Answer {
    Ok(Outcome::Fixed(text.into()))
}

/// Found nothing wrong.
pub fn nothing_to_do(text: impl Into<String>) -> Answer {
    Ok(Outcome::NothingToDo(text.into()))
}

/// A person is needed.
pub fn escalate(text: impl Into<String>) -> Answer {
    Ok(Outcome::Escalate(text.into()))
}

impl Error {
    /// As policies, journals and scripts spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::NotFound(_) => "not-found",
            Self::Conflict(_) => "conflict",
            Self::Timeout(_) => "timeout",
            Self::Limited(_) => "limited",
            Self::Failed(_) => "failed",
        }
    }

    /// What a person reads. (`Display` is the binding generator's and shows the variant.)
    pub fn text(&self) -> &str {
        match self {
            Self::Denied(text) | Self::Invalid(text) | Self::NotFound(text) | Self::Conflict(text) => text,
            Self::Timeout(text) | Self::Limited(text) | Self::Failed(text) => text,
        }
    }
}

/// Makes a function the entry point: `runbook!(run)`, or `runbook!(run, verify)` with `fn verify(Input) -> Result<bool, Error>`.
#[macro_export]
macro_rules! runbook {
    ($run:path) => {
        const _: () = {
            struct Entry;
            impl $crate::worlds::plain::Guest for Entry {
                fn run(input: $crate::Input) -> $crate::Answer {
                    $run(input)
                }
            }
            #[cfg(target_arch = "wasm32")]
            $crate::worlds::plain::export_plain!(Entry with_types_in $crate::worlds::plain);
            // Off the engine nothing calls it; the compiler still sees that it is used.
            #[cfg(not(target_arch = "wasm32"))]
            const _: () = _ = <Entry as $crate::worlds::plain::Guest>::run;
        };
    };
    ($run:path, $verify:path) => {
        const _: () = {
            struct Entry;
            impl $crate::worlds::verified::Guest for Entry {
                fn run(input: $crate::Input) -> $crate::Answer {
                    $run(input)
                }
                fn verify(input: $crate::Input) -> Result<bool, $crate::Error> {
                    $verify(input)
                }
            }
            #[cfg(target_arch = "wasm32")]
            $crate::worlds::verified::export_verified!(Entry with_types_in $crate::worlds::verified);
            // Off the engine nothing calls it; the compiler still sees that it is used.
            #[cfg(not(target_arch = "wasm32"))]
            const _: () = _ = <Entry as $crate::worlds::verified::Guest>::run;
        };
    };
}
