//! Which role each route needs: the one table, which a test walks with every role.
//!
//! Roles ascend, except that alerts are posted by senders and admins only: a viewer's token on a dashboard must not be
//! able to start runs. Deliberately not here: routes that do not exist; they are 404 for whoever has a token.

use crate::config::Role;

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Open,
    /// Whoever posts alerts, and admins.
    Alerts,
    /// That role and those above it; never a sender.
    AtLeast(Role),
    /// The same for a page, which a browser's session opens; without one it shows where to log in.
    Page(Role),
    /// Where a browser shows its token.
    Login,
}

impl Access {
    /// Whether a role is enough.
    pub fn allows(self, role: Role) -> bool {
        match self {
            Access::Open | Access::Login => true,
            Access::Alerts => matches!(role, Role::Sender | Role::Admin),
            Access::AtLeast(least) | Access::Page(least) => role >= least && role != Role::Sender,
        }
    }

    /// In words, for a refusal.
    pub fn wanted(self) -> &'static str {
        match self {
            Access::Open | Access::Login => "nothing",
            Access::Alerts => "a token of role sender or admin",
            Access::AtLeast(Role::Sender | Role::Viewer) | Access::Page(Role::Sender | Role::Viewer) => {
                "a token of role viewer or higher"
            }
            Access::AtLeast(Role::Author) | Access::Page(Role::Author) => "a token of role author or higher",
            Access::AtLeast(Role::Operator) | Access::Page(Role::Operator) => "a token of role operator or admin",
            Access::AtLeast(Role::Admin) | Access::Page(Role::Admin) => "a token of role admin",
        }
    }
}

const VIEWER: Access = Access::AtLeast(Role::Viewer);
const AUTHOR: Access = Access::AtLeast(Role::Author);
const OPERATOR: Access = Access::AtLeast(Role::Operator);
const ADMIN: Access = Access::AtLeast(Role::Admin);
const LOOK: Access = Access::Page(Role::Viewer);
const ACT: Access = Access::Page(Role::Operator);

/// Every route.
pub const TABLE: &[(&str, &str, Access)] = &[
    ("POST", "/webhook/alerts", Access::Alerts),
    ("POST", "/webhook/grafana", Access::Alerts),
    ("GET", "/health", Access::Open),
    ("GET", "/ready", VIEWER),
    ("GET", "/status", VIEWER),
    ("GET", "/metrics", VIEWER),
    ("GET", "/openapi.json", VIEWER),
    // Each tool is a request of its own behind it, which needs its own role.
    ("POST", "/mcp", VIEWER),
    ("GET", "/v1/runbooks", VIEWER),
    ("POST", "/v1/runbooks", AUTHOR),
    // A draft changes nothing, but a model is paid for it, and its code reads the real world.
    ("POST", "/v1/runbooks/generate", AUTHOR),
    ("POST", "/v1/ask", AUTHOR),
    ("GET", "/v1/runbooks/{name}", VIEWER),
    ("GET", "/v1/runbooks/{name}/versions", VIEWER),
    ("GET", "/v1/runbooks/{name}/files", VIEWER),
    ("PUT", "/v1/runbooks/{name}/stage", OPERATOR),
    ("POST", "/v1/runbooks/{name}/rollback", OPERATOR),
    ("GET", "/v1/runbooks/{name}/diff", VIEWER),
    ("GET", "/v1/runbooks/{name}/package", VIEWER),
    // A signature proves itself; whose count says the configuration.
    ("PUT", "/v1/runbooks/{name}/signature", AUTHOR),
    ("POST", "/v1/runbooks/{name}/runs", OPERATOR),
    // A plan changes nothing, but its code reads the real world.
    ("POST", "/v1/runbooks/{name}/plan", AUTHOR),
    ("GET", "/v1/runbooks/{name}/shadow", VIEWER),
    ("GET", "/v1/schedules", VIEWER),
    ("GET", "/v1/backtests", VIEWER),
    ("POST", "/v1/backtests", AUTHOR),
    ("GET", "/v1/backtests/{id}", VIEWER),
    ("GET", "/v1/plans", VIEWER),
    ("POST", "/v1/plans", AUTHOR),
    ("GET", "/v1/plans/{id}", VIEWER),
    ("POST", "/v1/plans/{id}/apply", OPERATOR),
    ("GET", "/v1/runs", VIEWER),
    ("GET", "/v1/drift", VIEWER),
    ("GET", "/v1/runs/{id}", VIEWER),
    ("GET", "/v1/runs/{id}/journal", VIEWER),
    ("GET", "/v1/runs/{id}/similar", VIEWER),
    ("GET", "/v1/runs/{id}/explanation", VIEWER),
    ("GET", "/v1/runs/{id}/report", VIEWER),
    ("GET", "/v1/runs/{id}/export", VIEWER),
    ("GET", "/v1/runs/{id}/events", VIEWER),
    // A replay touches nothing, but its code may be new.
    ("POST", "/v1/runs/{id}/replay", AUTHOR),
    ("POST", "/v1/runs/{id}/cancel", OPERATOR),
    ("POST", "/v1/runs/{id}/resume", OPERATOR),
    ("GET", "/v1/events", VIEWER),
    ("GET", "/v1/approvals", VIEWER),
    ("GET", "/v1/approvals/{id}", VIEWER),
    ("POST", "/v1/approvals/{id}", OPERATOR),
    ("GET", "/v1/alerts", VIEWER),
    ("GET", "/v1/alerts/{id}", VIEWER),
    ("GET", "/v1/alerts/{id}/similar", VIEWER),
    ("GET", "/v1/targets", VIEWER),
    ("POST", "/v1/match", VIEWER),
    ("GET", "/v1/grants", VIEWER),
    // Whoever writes policy decides what runbooks may change.
    ("POST", "/v1/grants", ADMIN),
    // Taking away is whoever's is on call, as with stopping; giving it back is not.
    ("DELETE", "/v1/grants/{id}", OPERATOR),
    ("GET", "/v1/pauses", VIEWER),
    ("POST", "/v1/pauses", OPERATOR),
    ("DELETE", "/v1/pauses/{id}", OPERATOR),
    ("GET", "/v1/brakes", VIEWER),
    ("POST", "/v1/brakes/{id}/rearm", OPERATOR),
    // Stopping takes power away, and whoever is on call must be able to; letting everything act again gives it back.
    ("POST", "/v1/stop", OPERATOR),
    ("DELETE", "/v1/stop", ADMIN),
    // A test wakes whoever is on call.
    ("POST", "/v1/notify/{channel}/test", OPERATOR),
    ("GET", "/v1/digest", VIEWER),
    ("GET", "/v1/effects", VIEWER),
    ("GET", "/v1/audit", VIEWER),
    // Everything that ever happened, in one file.
    ("GET", "/v1/backup", ADMIN),
    ("POST", "/v1/backup", ADMIN),
];

/// Every page for people. They take sessions and no tokens: a browser sends its cookie by itself, so a page that changes
/// something also wants what only its own form knows.
pub const PAGES: &[(&str, &str, Access)] = &[
    ("GET", "/", LOOK),
    ("GET", "/alerts", LOOK),
    ("GET", "/alerts/{id}", LOOK),
    ("GET", "/runs", LOOK),
    ("GET", "/runs/new", LOOK),
    ("GET", "/runs/{id}", LOOK),
    ("POST", "/runs/{id}/cancel", ACT),
    ("POST", "/runs/{id}/resume", ACT),
    ("POST", "/runs/{id}/replay", Access::Page(Role::Author)),
    ("GET", "/approvals", LOOK),
    ("GET", "/approvals/{id}", LOOK),
    ("POST", "/approvals/{id}", ACT),
    ("GET", "/plans", LOOK),
    ("GET", "/plans/{id}", LOOK),
    ("POST", "/plans/{id}/apply", ACT),
    ("GET", "/runbooks", LOOK),
    ("GET", "/runbooks/{name}", LOOK),
    ("GET", "/runbooks/{name}/diff", LOOK),
    ("POST", "/runbooks/{name}/stage", ACT),
    ("POST", "/runbooks/{name}/rollback", ACT),
    ("POST", "/runbooks/{name}/plan", Access::Page(Role::Author)),
    ("POST", "/runbooks/{name}/runs", ACT),
    ("GET", "/runbooks/{name}/review", LOOK),
    ("GET", "/schedules", LOOK),
    ("GET", "/drafts", LOOK),
    ("GET", "/backtests", LOOK),
    ("POST", "/backtests", Access::Page(Role::Author)),
    ("GET", "/backtests/{id}", LOOK),
    ("GET", "/grants", LOOK),
    ("POST", "/grants", Access::Page(Role::Admin)),
    ("POST", "/grants/remove", ACT),
    ("GET", "/notifications", LOOK),
    ("POST", "/notifications/test", ACT),
    ("GET", "/brakes", LOOK),
    ("POST", "/brakes/{id}/rearm", ACT),
    ("POST", "/pauses", ACT),
    ("POST", "/pauses/{id}/end", ACT),
    ("GET", "/stop", ACT),
    ("POST", "/stop", ACT),
    ("POST", "/stop/release", Access::Page(Role::Admin)),
    ("GET", "/targets", LOOK),
    ("GET", "/audit", LOOK),
    ("GET", "/login", Access::Login),
    ("POST", "/login", Access::Login),
    ("POST", "/logout", LOOK),
    ("GET", "/console.js", LOOK),
    ("GET", "/live", LOOK),
];

/// What a person answers for: an agent's token is refused there, whatever its role. It may propose and plan, start what a
/// person promoted, and take power away; it never gives any.
pub const PEOPLE: &[(&str, &str)] = &[
    ("PUT", "/v1/runbooks/{name}/stage"),
    ("POST", "/v1/runbooks/{name}/rollback"),
    ("POST", "/v1/plans/{id}/apply"),
    ("POST", "/v1/approvals/{id}"),
    ("POST", "/v1/grants"),
    ("POST", "/v1/brakes/{id}/rearm"),
    ("DELETE", "/v1/pauses/{id}"),
    ("DELETE", "/v1/stop"),
    ("POST", "/v1/runs/{id}/resume"),
];

/// Whether only a person may do that.
pub fn needs_person(method: &str, path: &str) -> bool {
    PEOPLE.contains(&(method, path))
}

/// What a route needs, by the pattern of its path. A route that is not in the table is for admins, so that forgetting it
/// gives nothing away.
pub fn access(method: &str, path: &str) -> Access {
    let method = if method == "HEAD" { "GET" } else { method };
    let found = TABLE.iter().chain(PAGES).find(|(known, pattern, _)| *known == method && *pattern == path);
    found.map_or(ADMIN, |(_, _, access)| *access)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 5] = [Role::Sender, Role::Viewer, Role::Author, Role::Operator, Role::Admin];

    #[test]
    fn roles_ascend_but_only_senders_and_admins_post_alerts() {
        for role in ROLES {
            assert_eq!(Access::Alerts.allows(role), matches!(role, Role::Sender | Role::Admin), "{role:?}");
            assert_eq!(VIEWER.allows(role), role != Role::Sender, "{role:?}");
            assert_eq!(OPERATOR.allows(role), matches!(role, Role::Operator | Role::Admin), "{role:?}");
            assert!(Access::Open.allows(role));
        }
    }

    #[test]
    fn nothing_changes_without_more_than_looking() {
        for (method, path, access) in TABLE {
            let looks = (*method == "GET" && *path != "/v1/backup") || matches!(*path, "/v1/match" | "/mcp");
            assert_eq!(access.allows(Role::Viewer), looks, "{method} {path}");
            assert!(access.allows(Role::Admin), "{method} {path}");
            assert_eq!(*access == Access::Open, *path == "/health");
        }
    }

    #[test]
    fn pages_change_nothing_for_whoever_may_only_look() {
        for (method, path, access) in PAGES {
            // The page that asks whether to stop everything is of no use to who may not.
            let (looks, logs) = (*method == "GET" && *path != "/stop", matches!(*path, "/login" | "/logout"));
            assert_eq!(access.allows(Role::Viewer), looks || logs, "{method} {path}");
            assert_eq!(*access == Access::Login, *path == "/login", "{method} {path}");
            assert_eq!(access.allows(Role::Sender), *path == "/login", "{method} {path}");
            assert!(!TABLE.iter().any(|(known, pattern, _)| known == method && pattern == path), "{method} {path}");
        }
    }

    #[test]
    fn what_only_people_do_are_routes_that_more_than_looking_is_needed_for() {
        for (method, path) in PEOPLE {
            let (_, _, access) =
                TABLE.iter().find(|(known, pattern, _)| (known, pattern) == (method, path)).expect("a route");
            assert!(!access.allows(Role::Author), "{method} {path}");
        }
    }

    #[test]
    fn heads_are_gets() {
        assert_eq!(access("HEAD", "/v1/runs"), VIEWER);
        assert_eq!(access("PATCH", "/v1/runs"), ADMIN);
    }
}
