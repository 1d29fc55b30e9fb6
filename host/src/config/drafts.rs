//! What drafts of a model may be and show.

use super::shape::{section, words};

/// Rounds of a draft at the most: a model that fails eight times fails the ninth.
pub const ROUNDS_MAX: u32 = 8;
/// Containers one asked-for plan may touch at the most: beyond it is a runbook, not a sentence.
pub const CONTAINERS_MAX: u32 = 20;

section! {
    /// What a model drafts: `sandbook generate` and `sandbook ask`.
    Drafts {
        /// How often a draft is sent back with what is wrong with it. From 1 to 8.
        rounds: u32 = 4;
        /// How many containers what one sentence asks for may change; more comes back as a question. From 1 to 20.
        containers: u32 = 1;
        /// What a model is shown of containers.
        context: Context = Context::Names;
        /// Who may trust a draft with more than planning, and apply its plans.
        trusted_by: Trusted = Trusted::Person;
    }
}

words! {
    /// What a model is shown of containers.
    Context ("names or images") {
        /// Names and states.
        #[default]
        Names = "names",
        /// Also images, compose projects and services.
        Images = "images",
    }
}

words! {
    /// Who may trust a draft with more.
    Trusted ("person or anybody") {
        /// A token that belongs to a person, one version at a time, by its digest.
        #[default]
        Person = "person",
        /// Whoever may promote any other version.
        Anybody = "anybody",
    }
}
