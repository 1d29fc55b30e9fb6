//! States, modes, outcomes and stages: the words runs and runbook versions are described with.
//!
//! Deliberately not here: storing or scheduling runs. Names are those of the HTTP contract.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }
        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// The word used everywhere outside.
            pub fn name(self) -> &'static str { match self { $($name::$variant => $word),+ } }
            /// The value of that word.
            pub fn from_name(word: &str) -> Option<$name> { match word { $($word => Some($name::$variant),)+ _ => None } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.name()) }
        }
    };
}

words! {
    /// Where a run stands.
    State {
        /// Accepted, not started.
        Queued = "queued",
        /// Its guest executes.
        Running = "running",
        /// Sleeps or waits for a person.
        Waiting = "waiting",
        /// Ended with an outcome.
        Succeeded = "succeeded",
        /// Ended without one.
        Failed = "failed",
        /// A person or a stop ended it.
        Cancelled = "cancelled",
        /// Only a person can tell how it goes on.
        NeedsAttention = "needs-attention",
    }
}

impl State {
    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        match self {
            State::Queued | State::Running | State::Waiting | State::NeedsAttention => false,
            State::Succeeded | State::Failed | State::Cancelled => true,
        }
    }
}

words! {
    /// How a run relates to the world.
    Mode {
        /// Acts.
        Live = "live",
        /// Dry run on the real world: reads are real, writes go to an overlay.
        Plan = "plan",
        /// Plan on every real alert, recorded.
        Shadow = "shadow",
        /// From its journal alone.
        Replay = "replay",
        /// A scenario is the world.
        Simulate = "simulate",
    }
}

words! {
    /// What came of a run.
    Outcome {
        /// Did what it is for.
        Done = "done",
        /// Changed something and believes it is fixed.
        Fixed = "fixed",
        /// Found nothing wrong.
        NothingToDo = "nothing-to-do",
        /// A person is needed.
        Escalate = "escalate",
        /// The labels name nothing that exists.
        NoTarget = "no-target",
        /// The labels name several things where one is expected.
        AmbiguousTarget = "ambiguous-target",
        /// An effect it could not do without was denied.
        Refused = "refused",
        /// A brake or limit held it back.
        Limited = "limited",
        /// An error it did not handle.
        Failed = "failed",
    }
}

words! {
    /// Whether acting helped.
    Verification {
        /// Not yet known.
        Pending = "pending",
        /// The condition holds.
        Confirmed = "confirmed",
        /// The condition failed or the alert fired again.
        Contradicted = "contradicted",
        /// Nobody can tell.
        Unknown = "unknown",
    }
}

words! {
    /// How far a runbook version is trusted, lowest first. The effective stage is the lowest of what
    /// configuration, API and automatic demotion say.
    Stage {
        /// Only plan and simulate.
        Draft = "draft",
        /// Sees every alert, never acts.
        Shadow = "shadow",
        /// Acts, but every mutate asks a person.
        Ask = "ask",
        /// Acts as policy permits.
        Live = "live",
    }
}

words! {
    /// Who wrote a runbook. Policy sees it.
    Origin {
        /// Embedded in the binary.
        BuiltIn = "built-in",
        /// A person uploaded it or put it into a watched directory.
        Person = "person",
        /// Drafted by a model.
        Llm = "llm",
    }
}

words! {
    /// What was decided about an effect.
    Decision {
        /// Goes ahead.
        Allow = "allow",
        /// A person is asked first.
        Ask = "ask",
        /// Refused by manifest, policy or protection.
        Deny = "deny",
        /// Refused by a limit or brake.
        Limited = "limited",
    }
}

words! {
    /// How sure a result is.
    Certainty {
        /// Read from the world.
        Real = "real",
        /// Computed by the simulated world.
        Modelled = "modelled",
        /// Stated by whoever asked for the plan.
        Assumed = "assumed",
        /// Cannot be known.
        Unknown = "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_through_serde_and_names() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).expect("a word"), state.name());
            assert_eq!(State::from_name(state.name()), Some(*state));
        }
        assert!(Stage::Draft < Stage::Shadow && Stage::Ask < Stage::Live);
        assert_eq!(Outcome::from_name("execution"), None);
    }
}
