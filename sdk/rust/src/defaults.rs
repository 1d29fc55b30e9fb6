//! `Default` for every record of options, so that a call names only what it sets.

use crate::{alertmanager, docker, http, human, llm, logs, net, notify};

macro_rules! defaults {
    ($($record:path { $($field:ident),* })*) => {$(
        impl Default for $record {
            fn default() -> Self {
                Self { $($field: Default::default()),* }
            }
        }
    )*};
}

defaults! {
    docker::ContainerFilter { all, name, labels, project, service }
    docker::EventFilter { container, since_ms, limit }
    docker::StopOptions { grace_ms }
    docker::KillOptions { signal }
    docker::ExecOptions { timeout_ms, user, workdir }
    docker::Resources { memory_bytes, memory_swap_bytes, cpus, pids }
    docker::RecreateOptions { image, environment, remove_environment, command, mounts, labels, remove_labels, limits, network_of, grace_ms, healthy_within_ms }
    docker::RemoveOptions { force }
    docker::ScaleOptions { grace_ms }
    docker::ConnectOptions { aliases, ipv4_address }
    docker::ImageFilter { dangling, unused, tag }
    docker::PruneImagesOptions { unused, older_than_ms }
    docker::PruneCacheOptions { older_than_ms, keep_bytes }
    logs::TailOptions { lines, since_ms }
    logs::SearchOptions { since_ms, limit, context, cursor }
    logs::LokiOptions { since_ms, limit }
    alertmanager::AlertFilter { matchers, silenced, inhibited }
    alertmanager::SilenceFilter { matchers, expired }
    llm::SummarizeOptions { instructions, max_words }
    net::ProbeOptions { timeout_ms, expect_status, expect_body }
    net::CheckOptions { timeout_ms }
    http::GetOptions { headers, timeout_ms }
    http::RequestOptions { headers, body, timeout_ms, idempotent }
    human::AskSettings { details, fallback, timeout_ms }
    notify::Message { channel, title, text, severity, dedup_key }
}
