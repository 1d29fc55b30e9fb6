//! Every form of the console: each is checked to be the session's own, becomes one call of the API, and leads to a page.
//!
//! Deliberately not here: judging what is sent; the API does, and writes who did it into the audit.

use std::collections::BTreeMap;

use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use super::client::query;
use super::frame::{Refused, go};
use super::manual::PARAMETER;
use super::session::OwnForm;
use super::visit::Visit;
use crate::api::error::Error;
use crate::api::extract::Path;
use crate::cli::client::segment;
use crate::cli::text::field;

type Done = Result<Response, Refused>;

/// A field of a form, empty when it is not there.
pub(super) fn sent(fields: &BTreeMap<String, String>, name: &str) -> String {
    fields.get(name).map(|value| value.trim().to_owned()).unwrap_or_default()
}

/// A field of a form that may be left empty.
fn given(fields: &BTreeMap<String, String>, name: &str) -> Option<String> {
    Some(sent(fields, name)).filter(|value| !value.is_empty())
}

/// `POST /approvals/{id}`
pub(super) async fn decide(visit: Visit, Path(id): Path<String>, form: OwnForm) -> Done {
    let (decision, answer) = (given(&form.fields, "decision"), form.fields.get("answer"));
    let decision = match (decision.as_deref(), answer) {
        (Some("approve"), None) | (None, Some(_)) => "approve",
        (Some("deny"), None) => "deny",
        (Some(_), _) | (None, None) => {
            return Err(Refused(Error::invalid("the form says neither yes nor no", "use the buttons of the page")));
        }
    };
    let body = json!({"decision": decision, "answer": answer, "reason": sent(&form.fields, "reason")});
    visit.send(Method::POST, &format!("/v1/approvals/{}", segment(&id)), Some(body)).await?;
    Ok(go(&format!("/approvals/{}", segment(&id)), None))
}

/// `POST /runs/{id}/cancel`
pub(super) async fn cancel(visit: Visit, Path(id): Path<String>, form: OwnForm) -> Done {
    let body = json!({"reason": sent(&form.fields, "reason")});
    visit.send(Method::POST, &format!("/v1/runs/{}/cancel", segment(&id)), Some(body)).await?;
    Ok(go(&format!("/runs/{}", segment(&id)), None))
}

/// `POST /runs/{id}/resume`
pub(super) async fn resume(visit: Visit, Path(id): Path<String>, form: OwnForm) -> Done {
    let body = json!({"as": sent(&form.fields, "as"), "reason": sent(&form.fields, "reason")});
    visit.send(Method::POST, &format!("/v1/runs/{}/resume", segment(&id)), Some(body)).await?;
    Ok(go(&format!("/runs/{}", segment(&id)), None))
}

/// `POST /plans/{id}/apply`
pub(super) async fn apply(visit: Visit, Path(id): Path<String>, _form: OwnForm) -> Done {
    let started = visit.send(Method::POST, &format!("/v1/plans/{}/apply", segment(&id)), None).await?;
    Ok(go(&format!("/runs/{}", segment(&field(&started, "run"))), None))
}

/// `POST /runbooks/{name}/stage`
pub(super) async fn set_stage(visit: Visit, Path(name): Path<String>, form: OwnForm) -> Done {
    let fields = &form.fields;
    let body = json!({
        "digest": sent(fields, "digest"), "stage": sent(fields, "stage"), "reason": sent(fields, "reason"),
    });
    visit.send(Method::PUT, &format!("/v1/runbooks/{}/stage", segment(&name)), Some(body)).await?;
    Ok(go(&format!("/runbooks/{}", segment(&name)), None))
}

/// `POST /runbooks/{name}/rollback`
pub(super) async fn roll_back(visit: Visit, Path(name): Path<String>, form: OwnForm) -> Done {
    let body = json!({"reason": sent(&form.fields, "reason")});
    visit.send(Method::POST, &format!("/v1/runbooks/{}/rollback", segment(&name)), Some(body)).await?;
    Ok(go(&format!("/runbooks/{}", segment(&name)), None))
}

/// Parameters that were filled in; what was not has its default.
fn parameters(fields: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let named = fields.iter().filter_map(|(name, text)| Some((name.strip_prefix(PARAMETER)?, text.trim())));
    named.filter(|(_, text)| !text.is_empty()).collect()
}

/// `POST /runbooks/{name}/runs`
pub(super) async fn start(visit: Visit, Path(name): Path<String>, form: OwnForm) -> Done {
    let fields = &form.fields;
    let body = json!({
        "target": given(fields, "target"), "parameters": parameters(fields), "reason": sent(fields, "reason"),
    });
    let started = visit.send(Method::POST, &format!("/v1/runbooks/{}/runs", segment(&name)), Some(body)).await?;
    Ok(go(&format!("/runs/{}", segment(&field(&started, "run"))), None))
}

/// `POST /grants`
pub(super) async fn grant(visit: Visit, form: OwnForm) -> Done {
    let fields = &form.fields;
    let body = json!({
        "runbook": sent(fields, "runbook"), "effect": sent(fields, "effect"), "container": given(fields, "container"),
        "service": given(fields, "service"), "host": given(fields, "host"), "limit": given(fields, "limit"),
        "ask": fields.contains_key("ask"),
    });
    visit.send(Method::POST, "/v1/grants", Some(body)).await?;
    Ok(go(&query("/grants", &[("runbook", &sent(fields, "runbook"))]), None))
}

/// `POST /grants/remove`: ids of grants have slashes, so the form has it in a field.
pub(super) async fn remove_grant(visit: Visit, form: OwnForm) -> Done {
    let fields = &form.fields;
    visit.send(Method::DELETE, &format!("/v1/grants/{}", segment(&sent(fields, "id"))), None).await?;
    Ok(go(&query("/grants", &[("runbook", &sent(fields, "runbook"))]), None))
}

/// `POST /runbooks/{name}/plan`
pub(super) async fn plan(visit: Visit, Path(name): Path<String>, form: OwnForm) -> Done {
    let fields = &form.fields;
    let body = json!({
        "target": given(fields, "target"), "digest": given(fields, "digest"), "episode": given(fields, "episode"),
        "to_apply": fields.contains_key("to_apply"), "parameters": parameters(fields),
    });
    let plan = visit.send(Method::POST, &format!("/v1/runbooks/{}/plan", segment(&name)), Some(body)).await?;
    Ok(go(&format!("/plans/{}", segment(&field(&plan, "plan"))), None))
}

/// `POST /brakes/{id}/rearm`
pub(super) async fn rearm(visit: Visit, Path(id): Path<String>, form: OwnForm) -> Done {
    let body = json!({"reason": sent(&form.fields, "reason")});
    visit.send(Method::POST, &format!("/v1/brakes/{}/rearm", segment(&id)), Some(body)).await?;
    Ok(go("/brakes", None))
}

/// `POST /pauses`
pub(super) async fn pause(visit: Visit, form: OwnForm) -> Done {
    let mut selector = serde_json::Map::new();
    for name in ["runbook", "target", "host"] {
        if let Some(glob) = given(&form.fields, name) {
            selector.insert(name.to_owned(), Value::from(glob));
        }
    }
    let body = json!({
        "selector": selector, "for": sent(&form.fields, "for"), "reason": sent(&form.fields, "reason"),
    });
    visit.send(Method::POST, "/v1/pauses", Some(body)).await?;
    Ok(go("/brakes", None))
}

/// `POST /pauses/{id}/end`
pub(super) async fn end_pause(visit: Visit, Path(id): Path<String>, _form: OwnForm) -> Done {
    visit.send(Method::DELETE, &format!("/v1/pauses/{}", segment(&id)), None).await?;
    Ok(go("/brakes", None))
}

/// `POST /stop`, from the page that asks whether it is meant.
pub(super) async fn stop(visit: Visit, form: OwnForm) -> Done {
    if !form.fields.contains_key("sure") {
        return Err(Refused(Error::invalid(
            "nothing was stopped: the box was not ticked",
            "tick it, so that nobody stops everything by mistake",
        )));
    }
    let body = json!({"reason": sent(&form.fields, "reason")});
    visit.send(Method::POST, "/v1/stop", Some(body)).await?;
    Ok(go("/brakes", None))
}

/// `POST /stop/release`
pub(super) async fn release(visit: Visit, _form: OwnForm) -> Done {
    visit.send(Method::DELETE, "/v1/stop", None).await?;
    Ok(go("/brakes", None))
}
