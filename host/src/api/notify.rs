//! Messages to people: whether a channel works, what waits for it, and the digest.
//!
//! Deliberately not here: sending; see [`crate::outbox`].

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::error::{self, Error, Result};
use super::extract::{Path, Query, since};
use super::time::Time;
use crate::auth::Caller;
use crate::digest::{self, Digest};
use crate::state::App;

/// What waits for a channel, and what came of the rest.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct ChannelStatus {
    /// `slack`, `pagerduty`, `webhook`, `mail` or `grafana`; absent: it is not configured any more.
    kind: Option<&'static str>,
    /// Messages that wait.
    waiting: u64,
    /// Since when the oldest of them does.
    oldest: Option<Time>,
    /// As far as they are kept.
    sent: u64,
    /// When the newest was taken, of those.
    last_sent: Option<Time>,
    /// Since when the oldest waits that was tried and not taken; absent: the channel takes what it gets.
    failing_since: Option<Time>,
    /// Given up, as far as they are kept.
    dropped: u64,
    /// When the newest was given up, of those.
    last_dropped: Option<Time>,
    /// Why the newest that failed did; absent while nothing waits and nothing was dropped.
    error: Option<String>,
}

/// By channel; those that had no message yet are there with zeroes.
pub(super) async fn channels(app: &App) -> Result<BTreeMap<String, ChannelStatus>> {
    let known = app.outbox.channels_known().into_iter();
    let mut channels: BTreeMap<String, ChannelStatus> = known
        .map(|(name, kind)| (name.to_owned(), ChannelStatus { kind: Some(kind), ..ChannelStatus::default() }))
        .collect();
    for count in app.store.message_counts().await? {
        let troubled = count.waiting + count.dropped > 0;
        let status = channels.entry(count.channel).or_default();
        status.waiting = count.waiting;
        status.oldest = count.oldest.map(Time);
        status.sent = count.sent;
        status.last_sent = count.last_sent.map(Time);
        status.failing_since = count.failing_since.map(Time);
        status.dropped = count.dropped;
        status.last_dropped = count.last_dropped.map(Time);
        status.error = count.last_error.filter(|_| troubled);
    }
    Ok(channels)
}

/// That a channel took a message.
#[derive(Serialize, ToSchema)]
pub(super) struct Tested {
    channel: String,
    /// What the receiver said.
    answer: String,
}

/// Sends a message that says that it is a test
///
/// It goes out at once and is tried once: the answer is what the receiver said.
#[utoipa::path(post, path = "/v1/notify/{channel}/test", tag = "notifications",
    params(("channel" = String, Path, description = "name of a channel")),
    responses((status = 200, body = Tested), (status = 424, description = "the channel did not take it")))]
pub(super) async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(channel): Path<String>,
) -> Result<Answer<Tested>> {
    let Some(answer) = app.outbox.test(&channel, caller.who()).await else {
        let message = format!("there is no channel {channel:?}; {}", app.outbox.listed());
        return Err(Error::not_found(message, "add [notify.channels.NAME] and start again"));
    };
    let word = if answer.is_ok() { "taken" } else { "not taken" };
    app.store.audit(caller.who(), "test-channel", &channel, json!({"result": word}), app.now_ms()).await?;
    match answer {
        Ok(answer) => Ok(Answer(Tested { channel, answer })),
        Err(why) => Err(Error::new(
            StatusCode::FAILED_DEPENDENCY,
            error::NOT_TAKEN,
            why,
            "mend the channel or its secret file, then: sandbook notify test NAME",
        )),
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DigestQuery {
    /// From when: a duration back, or a time; absent: a week.
    since: Option<String>,
}

/// What a span of time was like, as the digest says it.
#[derive(Serialize, ToSchema)]
pub(super) struct DigestView {
    #[serde(flatten)]
    digest: Digest,
    /// The same as a message.
    text: String,
}

/// What the last days were like: shadow, people, success rates, noise, and what to promote
#[utoipa::path(get, path = "/v1/digest", tag = "notifications", params(DigestQuery), responses((status = 200, body = DigestView)))]
pub(super) async fn digest(
    State(app): State<Arc<App>>,
    Query(query): Query<DigestQuery>,
) -> Result<Answer<DigestView>> {
    let now = app.now_ms();
    let since = since(query.since.as_deref(), now)?.unwrap_or_else(|| now.saturating_sub(digest::WEEK_MS));
    let digest = digest::read(&app, since, now).await?;
    Ok(Answer(DigestView { text: digest.text(), digest }))
}
