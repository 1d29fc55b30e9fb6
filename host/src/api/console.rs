//! The console: pages for people, rendered here, readable without scripts, with nothing from elsewhere.
//!
//! - `session`, `entry`: a token for a cookie, who is let in, and the word that only a session's own forms know
//! - `client`: the pages' way to the API, in process: same routes, same roles, same audit
//! - `frame`, `parts`: what every page has around it, and the pieces they are made of
//! - `similar`: what earlier incidents like one came to
//! - `overview`, `alerts`, `runs`, `manual`, `timeline`, `approvals`, `plans`, `runbooks`, `versions`, `drafts`, `review`,
//!   `backtests`, `schedules`, `grants`, `brakes`, `notifications`, `targets`, `audit`: one file per page
//! - `acts`: every form; each calls one route of the API
//!
//! Whatever an alert, a container or a log said is text: maud escapes it and nothing is trusted as markup. Opening a page
//! changes nothing. Deliberately not here: decisions, and any data the API does not have.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::state::App;

mod acts;
mod alerts;
mod approvals;
mod audit;
mod backtests;
mod brakes;
mod client;
mod drafts;
mod entry;
mod frame;
mod grants;
mod manual;
mod notifications;
mod overview;
mod parts;
mod plans;
mod review;
mod runbooks;
mod runs;
mod schedules;
mod session;
mod similar;
mod targets;
mod timeline;
mod versions;
mod visit;

use client::Inside;
pub(super) use entry::admit;
pub(super) use frame::Refused;
pub(super) use session::Sessions;

/// What all pages share.
pub(super) struct Console {
    pub(super) sessions: Sessions,
    inside: Inside,
}

impl Console {
    /// Over the documented routes.
    pub(super) fn new(documented: Router<Arc<App>>, app: Arc<App>) -> Console {
        Console { sessions: Sessions::new(&app.config.public_url()), inside: Inside::new(documented, app) }
    }
}

/// Every page, and every form's way. The guard lets nobody in whose role is not enough, see [`crate::auth::table::PAGES`].
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/alerts", get(alerts::list))
        .route("/alerts/{id}", get(alerts::show))
        .route("/runs", get(runs::list))
        .route("/runs/new", get(manual::show))
        .route("/runs/{id}", get(runs::show))
        .route("/runs/{id}/cancel", post(acts::cancel))
        .route("/runs/{id}/resume", post(acts::resume))
        .route("/runs/{id}/replay", post(runs::replay))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::show).post(acts::decide))
        .route("/plans", get(plans::list))
        .route("/plans/{id}", get(plans::show))
        .route("/plans/{id}/apply", post(acts::apply))
        .route("/runbooks", get(runbooks::list))
        .route("/runbooks/{name}", get(runbooks::show))
        .route("/runbooks/{name}/diff", get(versions::diff))
        .route("/runbooks/{name}/stage", post(acts::set_stage))
        .route("/runbooks/{name}/rollback", post(acts::roll_back))
        .route("/runbooks/{name}/plan", post(acts::plan))
        .route("/runbooks/{name}/runs", post(acts::start))
        .route("/runbooks/{name}/review", get(review::show))
        .route("/schedules", get(schedules::list))
        .route("/drafts", get(drafts::list))
        .route("/backtests", get(backtests::list).post(backtests::make))
        .route("/backtests/{id}", get(backtests::show))
        .route("/grants", get(grants::list).post(acts::grant))
        .route("/grants/remove", post(acts::remove_grant))
        .route("/brakes", get(brakes::show))
        .route("/brakes/{id}/rearm", post(acts::rearm))
        .route("/pauses", post(acts::pause))
        .route("/pauses/{id}/end", post(acts::end_pause))
        .route("/stop", get(brakes::confirm_stop).post(acts::stop))
        .route("/stop/release", post(acts::release))
        .route("/notifications", get(notifications::show))
        .route("/notifications/test", post(notifications::test))
        .route("/targets", get(targets::list))
        .route("/audit", get(audit::list))
        .route("/login", get(entry::form).post(entry::log_in))
        .route("/logout", post(entry::log_out))
        .route("/console.js", get(frame::script))
        .route("/live", get(super::events::all))
}
