//! The document of the API: what the handlers do not say themselves.
//!
//! Deliberately not here: paths and shapes, which are generated from the handlers.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::error;
use crate::auth::{Access, access};

const ABOUT: &str = "A runbook engine an on-call engineer can trust with the Docker socket. Lists answer \
    `{\"<plural>\": […], \"next_cursor\": …}`; a cursor is passed back as `cursor`. Times are RFC 3339 in UTC. Every error \
    has a code, and `sandbook explain CODE` its page.";
const TOKEN: &str = "token";
const PASSWORD: &str = "password";

/// What stands before the paths are collected.
pub(super) fn base() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Sandbook")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components())).build()
}

fn components() -> Components {
    let scheme =
        |scheme, about| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(about)).build());
    let mut nested = Vec::new();
    error::Body::schemas(&mut nested);
    ComponentsBuilder::new()
        .schema("Error", error::Body::schema())
        .schemas_from_iter(nested)
        .security_scheme(TOKEN, scheme(HttpAuthScheme::Bearer, "a token of the configuration, or a generated one"))
        .security_scheme(
            PASSWORD,
            scheme(HttpAuthScheme::Basic, "webhooks only: the password is the token, the name does not matter"),
        )
        .build()
}

/// The document with what holds for every path: its errors and the token it needs.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("GET", &mut item.get),
            ("PUT", &mut item.put),
            ("POST", &mut item.post),
            ("DELETE", &mut item.delete),
            ("PATCH", &mut item.patch),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let access = access(method, path);
            for (status, why) in failures(operation, path, access) {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
                let failed = ResponseBuilder::new().description(why).content("application/json", content).build();
                operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(failed));
            }
            let token = || SecurityRequirement::new(TOKEN, Vec::<String>::new());
            operation.security = match access {
                Access::Open | Access::Login | Access::Page(_) => None,
                Access::Alerts => Some(vec![token(), SecurityRequirement::new(PASSWORD, Vec::<String>::new())]),
                Access::AtLeast(role) => {
                    let needs = format!("Needs the role {} or a higher one.", role.name());
                    operation.description = Some(match operation.description.take() {
                        Some(about) if !about.is_empty() => format!("{about}\n\n{needs}"),
                        Some(_) | None => needs,
                    });
                    Some(vec![token()])
                }
            };
        }
    }
    document
}

/// How it can fail, by status; `default` is everything else.
fn failures(operation: &Operation, path: &str, access: Access) -> Vec<(&'static str, &'static str)> {
    let mut failures = Vec::new();
    let mut may = |fails: bool, all: &[(&'static str, &'static str)]| {
        failures.extend(all.iter().filter(|_| fails));
    };
    may(
        !matches!(access, Access::Open | Access::Login),
        &[("401", "no valid token"), ("403", "the token's role is not enough")],
    );
    // A sender of alerts is asked to come again, with 503: Alertmanager would not after a 429.
    may(
        !matches!(access, Access::Open | Access::Login | Access::Alerts),
        &[("429", "asked too often; see `Retry-After`")],
    );
    may(path.contains('{'), &[("404", "there is no such thing")]);
    may(
        operation.request_body.is_some(),
        &[
            ("400", "the body cannot be read as what it says it is"),
            ("413", "the body is too large"),
            ("415", "the content type is not supported"),
            ("422", "the body is read, and makes no sense"),
        ],
    );
    may(
        true,
        &[("503", "it cannot be made durable now, or too much is asked at once"), ("default", "refused or failed")],
    );
    failures
}
